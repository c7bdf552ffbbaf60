"""What a repository of version 2 has beside snapshots, and how one of version 1 becomes one."""
import random as random_module

import pytest

pytest.register_assert_rewrite("tree", "world")

from peers import PeerError  # noqa: E402
from world import LIBRARIES, World, each_python_of_2, grow, in_an_hour, seeds, small_array, write_chunk  # noqa: E402


@pytest.fixture
def world_2(python, tmp_path):
    """Of version 2; by us, if the official library finds our chunks then."""
    version = (python, 2)
    made = World(tmp_path / "repository", version, random_module.Random(python))
    made.create(made.official, config={"updates_per_file": 2})
    yield made
    made.close()


def new_group(name):
    def fill(changes):
        if "/" not in changes.tree.nodes:
            changes.put_group("/", {})
        changes.put_group("/" + name, {})
    return fill


@each_python_of_2
def test_settings_survive_our_changes(world_2):
    settings = {"metadata": {"title": "ü", "numbers": [1, -2, 2.5, 2**63, None, True]},
                "flags": {"move_node": False, "delete_tag": True}}
    official = world_2.repository(world_2.official)
    before = official.ask("settings", **settings)
    for name in ("one", "two", "three"):
        tip = world_2.commit(world_2.ours, fill=new_group(name))
        world_2.repository(world_2.ours).create_ref("tag", name, tip)
        world_2.tags[name] = tip
    world_2.repository(world_2.ours).delete_ref("tag", "one")
    del world_2.tags["one"]
    world_2.check()
    assert world_2.repository(world_2.official).ask("settings") == before
    assert before["metadata"] == settings["metadata"]
    assert world_2.repository(world_2.official).ask("operations")["operations"] == (
        ["TagDeleted"] + ["TagCreated", "NewCommit"] * 3 + ["FeatureFlagChanged"] * 2 +
        ["MetadataChanged", "RepoInitialized"])


@each_python_of_2
def test_what_is_forbidden(world_2):
    world_2.commit(world_2.ours, fill=new_group("one"))
    ours, official = (world_2.repository(library) for library in world_2.libraries)
    tip = ours.tip()
    official.ask("settings", flags={"create_tag": False})
    with pytest.raises(PeerError, match="flag"):
        ours.create_ref("tag", "t", tip)
    session = ours.session()
    session.put_group("/two", {})
    official.ask("settings", availability="read_only", reason="on holiday")
    with pytest.raises(PeerError, match="on holiday"):
        session.commit("two")
    with pytest.raises(PeerError, match="on holiday"):
        ours.create_ref("branch", "b", tip)
    official.ask("settings", availability="online")
    session.commit("two")
    session.end()
    ours.create_ref("branch", "b", tip)
    assert [commit["message"] for commit in official.history(ours.tip())][0] == "two"


def first_commit(official):
    session = official.session()
    session.put_group("/", {})
    session.put_array("/a", small_array())
    write_chunk("/a", 0, 0, 4)(session)
    session.commit("first")
    session.end()


def messages(repository):
    return [commit["message"] for commit in repository.history(repository.tip())]


@each_python_of_2
def test_amended_and_detached(world_2):
    ours, official = (world_2.repository(library) for library in world_2.libraries)
    first_commit(official)
    late = ours.session()  # that will not find its base any more
    late.set_attributes("/a", {"late": True})
    session = official.session()
    session.put_group("/g", {})
    session.commit("amended", how="amend")
    session = official.session()
    session.put_group("/detached", {})
    detached = session.commit("detached", how="flush")
    assert messages(ours) == ["amended", "Repository initialized"]
    assert sorted(ours.dump(detached)) == ["/", "/a", "/detached", "/g"]
    with pytest.raises(PeerError, match="was reset"):
        late.commit("late", rebase="ours")
    late.end()

    session = ours.session()
    session.set_attributes("/g", {"by": "us"})
    session.commit("ours")
    assert messages(ours) == messages(official) == ["ours", "amended", "Repository initialized"]
    ours.collect_garbage(in_an_hour())
    assert ours.defects() == []
    assert ours.dump(ours.tip())["/a"].data[0, 0] == 4
    assert official.refs() == ours.refs()


@each_python_of_2
def test_moved(world_2):
    if not world_2.has_arrays:
        pytest.skip("its transaction logs do not tell all that was moved")
    ours, official = (world_2.repository(library) for library in world_2.libraries)
    first_commit(official)
    late = ours.session()
    late.set_attributes("/", {"late": True})
    official.rearrange({"/a": "/b"}, "moved")
    with pytest.raises(PeerError, match="moved by others"):
        late.commit("late", rebase="ours")
    late.end()
    official.ask("rewrite_manifests", branch="main", message="rewritten")
    session = ours.session()
    write_chunk("/b", 1, 1, 5)(session)
    session.commit("ours")
    session.end()
    for repository in (ours, official):
        assert messages(repository) == ["ours", "rewritten", "moved", "first", "Repository initialized"]
        dump = repository.dump(repository.tip())
        assert sorted(dump) == ["/", "/b"]
        assert dump["/b"].data[[0, 3], [0, 3]].tolist() == [4, 5]
    assert ours.defects() == []


# From version 1 to 2

@each_python_of_2
@seeds(8)
def test_migration(python, seed, tmp_path):
    world = World(tmp_path / "repository", (python, 1), random_module.Random(seed))
    grow(world, 4)
    open_before = world.repository(world.ours)
    session = open_before.session()
    session.put_group("/late", {}) if world.trees[world.branches["main"]].nodes else session.put_group("/", {})
    world.repository(world.official).ask("migrate")
    for attempt in (lambda: session.commit("late"), lambda: session.commit("late", rebase="ours"),
                    lambda: open_before.create_ref("branch", "late", world.branches["main"]), open_before.tip):
        with pytest.raises(PeerError, match="was migrated to Icechunk version 2 meanwhile: open it again"):
            attempt()
    world.close()
    world.spec_version = 2
    world.forget_unreachable()
    world.check_all()
    world.has_arrays = world.official.finds_chunks_of_2
    world.commit(world.ours, fill=new_group("after"))
    if not world.has_arrays:
        world.libraries = [world.ours]
    world.check_all()
    world.change_refs(world.ours)
    world.commit(world.official)
    world.check_all()
    world.close()
