# flake8: noqa: F811
"""Expiration and garbage collection by both libraries: what goes, and that nothing else does."""
import shutil

import pytest

pytest.register_assert_rewrite("tree", "world")

from world import each_version, grow, in_an_hour, objects, seed, seeds, world  # noqa: E402


def random_cutoff(world):
    """Around the time of some commit."""
    repository = world.repository(world.ours)
    times = {commit["time"] for tip in world.branches.values() for commit in repository.history(tip)}
    return world.random.choice(sorted(times)) + world.random.choice([-1, 0, 1])


def random_expiration(world):
    return dict(older_than=random_cutoff(world), delete_branches=world.random.random() < 0.5,
                delete_tags=world.random.random() < 0.5)


def look(library, place):
    """Branches and tags, and their histories."""
    repository = library.open(place)
    refs = repository.refs()
    histories = {name: [(commit["id"], commit["parent"]) for commit in repository.history(tip)]
                 for kind in refs.values() for name, tip in kind.items()}
    repository.close()
    return refs, histories


@each_version
@seeds(25)
def test_both_expire_and_collect_the_same(world):
    grow(world, 6)
    world.close()
    copies = [shutil.copytree(world.place, world.place.with_name(name)) for name in ("by_us", "by_them")]
    expiration = random_expiration(world)
    for library, place in zip(world.libraries, copies):
        repository = library.open(place)
        repository.expire(**expiration)
        repository.close()
    assert look(world.ours, copies[0]) == look(world.ours, copies[1])
    assert look(world.official, copies[0]) == look(world.official, copies[1])
    for library, place in zip(world.libraries, copies):
        repository = library.open(place)
        repository.collect_garbage(in_an_hour())
        repository.close()
    ours, theirs = map(objects, copies)
    if not world.official.keeps_logs_of_expired:
        assert set(theirs.pop("transactions")) <= set(ours.pop("transactions"))
    assert ours == theirs


@each_version
@seeds(25)
def test_maintenance_by_both(world):
    grow(world, 4)
    for _ in range(4):
        library, random = world.random.choice(world.libraries), world.random
        if random.random() < 0.5:
            world.repository(library).expire(**random_expiration(world))
        else:
            world.repository(library).collect_garbage(in_an_hour())
        if world.official in world.open:  # it remembers the parents of snapshots
            world.open.pop(world.official).close()
        world.adopt_history()
        world.check_all()
        world.change_refs(random.choice(world.libraries))
        for library in random.sample(world.libraries, 2):
            world.commit(library, random.choice(sorted(world.branches)))
            world.check()
