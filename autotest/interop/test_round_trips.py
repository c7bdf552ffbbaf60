"""What one library writes, the other reads and goes on with: random repositories, held against a model of numpy arrays.

Every Python that SGC_INTEROP_PYTHON, SGC_INTEROP2_PYTHON and SGC_INTEROP3_PYTHON name takes part with its version of
the official library; SGC_INTEROP_SEEDS multiplies the number of seeds. A failing seed alone: -k 'round_trips and 17'.
"""
import os
import random as random_module
import shutil
import time

import numpy as np
import pytest

import peers
import tree as trees
from peers import PeerError

if not peers.PYTHONS:
    pytest.skip("SGC_INTEROP_PYTHON and SGC_INTEROP2_PYTHON name no Python with the official library",
                allow_module_level=True)

SEEDS = float(os.environ.get("SGC_INTEROP_SEEDS", "1"))


def seeds(count):
    return range(max(1, round(count * SEEDS)))


# The libraries: one process each for all tests of this process

class Libraries:
    def __init__(self):
        self.ours = peers.Ours()
        self.official = {}

    def get(self, python):
        if python not in self.official:
            self.official[python] = peers.Official(python)
        return self.official[python]


LIBRARIES = Libraries()


def versions():
    """(Python, version of the format) for each that one of the official libraries writes."""
    return [(python, version) for python in peers.PYTHONS for version in LIBRARIES.get(python).spec_versions]


def version_name(value):
    return "%s-v%d" % (LIBRARIES.get(value[0]).name, value[1])


each_version = pytest.mark.parametrize("version", versions(), ids=version_name)


def is_subsequence(part, whole):
    rest = iter(whole)
    return part[0] == whole[0] and part[-1] == whole[-1] and all(item in rest for item in part)


class World:
    """A repository, how the libraries have it open, and what must be in it."""

    def __init__(self, place, version, random):
        self.place = place
        self.random = random
        self.spec_version = version[1]
        self.libraries = [LIBRARIES.ours, LIBRARIES.get(version[0])]
        self.has_arrays = self.spec_version == 1 or self.official.finds_chunks_of_2
        self.open = {}
        self.branches, self.tags = {}, {}
        self.named = 0  # branches and tags, ever
        self.commits = {}  # by id: (parent, message, metadata)
        self.trees = {}    # by id

    ours = property(lambda self: self.libraries[0])
    official = property(lambda self: self.libraries[1])

    def create(self, library, **options):
        self.open[library] = library.create(self.place, self.spec_version, **options)
        root = self.open[library].tip()
        self.branches["main"] = root
        self.trees[root] = trees.Tree()

    def repository(self, library):
        """Opened long ago, or just now."""
        if library in self.open and self.random.random() < 0.3:
            self.open.pop(library).close()
        if library not in self.open:
            self.open[library] = library.open(self.place)
        return self.open[library]

    def close(self):
        for repository in self.open.values():
            repository.close()
        self.open = {}

    # Changes

    def commit(self, library, branch="main", fill=None):
        """A transaction of random changes, or of those that fill(changes) makes."""
        repository = self.repository(library)
        session = repository.session(branch)
        parent = self.branches[branch]
        changes = trees.Changes(session, self.trees[parent])
        if fill is None:
            trees.make_random_changes(self.random, changes, self.ours.supports if self.has_arrays else None)
        else:
            fill(changes)
        message, metadata = self.random.choice(trees.TEXTS), trees.random_attributes(self.random)
        try:
            snapshot = session.commit(message, metadata)
        except PeerError as error:
            assert "commit" in str(error) and "change" in str(error) or "nothing to commit" in str(error), error
            session.end()
            return None
        session.end()
        self.commits[snapshot] = (parent, message, metadata)
        self.trees[snapshot] = changes.tree
        self.branches[branch] = snapshot
        self.check_diffs(parent, snapshot, changes, library)
        return snapshot

    def change_refs(self, library):
        repository, random = self.repository(library), self.random
        kind = random.choice(["branch", "tag"])
        refs = self.branches if kind == "branch" else self.tags
        removable = sorted(set(refs) - {"main"})
        what = random.choice(["create", "create", "delete", "reset"])
        if what == "create":
            self.named += 1
            name = "%s.%d_%s" % (random.choice("ab-Z"), self.named, kind)
            refs[name] = random.choice(sorted(self.trees))
            repository.create_ref(kind, name, refs[name])
        elif what == "delete" and removable:
            name = random.choice(removable)
            repository.delete_ref(kind, name)
            del refs[name]
        elif what == "reset":
            name = random.choice(sorted(self.branches))
            new = random.choice(sorted(self.trees))
            repository.reset_branch(name, self.branches[name], new)
            self.branches[name] = new

    # Checks

    def check_diffs(self, parent, snapshot, changes, library):
        if library is self.ours:  # what the official library makes of our transaction log
            assert self.repository(self.official).diff(parent, snapshot) == changes.expected_log()
        nodes = self.repository(self.ours).diff(parent, snapshot)["nodes"]
        changes.check_differences(nodes)

    def check(self):
        """Both libraries list and read what must be there."""
        tips = {}
        for library in self.libraries:
            repository = self.repository(library)
            assert repository.refs() == {"branches": self.branches, "tags": self.tags}, library.name
            for branch, tip in sorted(self.branches.items()):
                tips.setdefault(branch, []).append((self.history(repository, tip), repository.dump(tip)))
        for branch, (ours, theirs) in tips.items():
            assert ours == theirs, branch
            self.trees[self.branches[branch]].check(ours[1])
            self.trees[self.branches[branch]].check(theirs[1])

    def history(self, repository, tip):
        """The commits, after a look at whether they are those that were made."""
        commits = repository.history(tip)
        times = [commit["time"] for commit in commits]
        assert times == sorted(set(times), reverse=True)
        assert commits[-1]["parent"] is None and commits[-1]["id"] not in self.commits
        for commit in commits[:-1]:
            assert (commit["parent"], commit["message"], commit["metadata"]) == self.commits[commit["id"]]
        return [(commit["id"], commit["parent"], commit["time"], commit["metadata"]) for commit in commits]

    def adopt_history(self):
        """After an expiration: the branches, tags and parents as both libraries have them now. Of each history, in its
        order, the tip and the root must be left."""
        refs = [self.repository(library).refs() for library in self.libraries]
        assert refs[0] == refs[1]
        kept = {}
        for kind, before in (("branches", self.branches), ("tags", self.tags)):
            assert refs[0][kind].items() <= before.items()
            for name, tip in refs[0][kind].items():
                ours, theirs = (self.repository(library).history(tip) for library in self.libraries)
                assert [commit["id"] for commit in ours] == [commit["id"] for commit in theirs], name
                assert is_subsequence([commit["id"] for commit in ours], self.ancestry(tip))
                kept.update((commit["id"], commit["parent"]) for commit in ours)
        assert "main" in refs[0]["branches"]
        self.branches, self.tags = refs[0]["branches"], refs[0]["tags"]
        self.trees = {snapshot: self.trees[snapshot] for snapshot in kept}
        self.commits = {snapshot: (kept[snapshot],) + self.commits[snapshot][1:]
                        for snapshot in kept if snapshot in self.commits}

    def ancestry(self, snapshot):
        found = [snapshot]
        while found[-1] in self.commits:
            found.append(self.commits[found[-1]][0])
        return found

    def check_all(self):
        """Old snapshots too, and the soundness of it all."""
        self.check()
        for library in self.libraries:
            for snapshot, tree in self.trees.items():
                tree.check(self.repository(library).dump(snapshot))
        assert self.repository(self.ours).defects() == []


@pytest.fixture
def world(version, seed, tmp_path):
    made = World(tmp_path / "repository", version, random_module.Random("%s %d" % (version_name(version), seed)))
    yield made
    made.close()


SPLITS = [
    [["any", [[None, 2]]]],
    [["any", [[0, 1], [None, 3]]]],
    [["name ^a", [["^x$", 1], [1, 2]]], ["path b", [[None, 1]]]],
    [["name a or path ^/b", [[1, 2], ["time|y", 1]]], ["any", [[None, 4]]]],
    [["name b and path a", [["x", 3]]], ["any", [[0, 2]]]],
]


def random_configuration(random, version):
    config = {}
    if random.random() < 0.5:
        config["split"] = random.choice(SPLITS)
    if random.random() < 0.3:
        config["inline_threshold"] = random.choice([0, 16, 5000])
    if version == 2 and random.random() < 0.5:
        config["updates_per_file"] = random.randrange(1, 5)
    return config


def create_by(world, library):
    if library is world.ours:
        split = {"x": world.random.randrange(1, 4), "time": 1} if world.random.random() < 0.5 else {}
        world.create(library, split=split)
    else:
        world.create(library, config=random_configuration(world.random, world.spec_version))


@each_version
@pytest.mark.parametrize("seed", seeds(30))
@pytest.mark.parametrize("writer", ["ours", "theirs"])
def test_round_trips(world, writer):
    library = world.libraries[writer == "theirs"]
    world.has_arrays = world.has_arrays or writer == "theirs"
    create_by(world, library)
    for _ in range(3):
        world.commit(library)
        world.check()
    world.check_all()


@each_version
@pytest.mark.parametrize("seed", seeds(30))
def test_alternating(world):
    create_by(world, world.random.choice(world.libraries))
    for _ in range(6):
        if world.random.random() < 0.4:
            world.change_refs(world.random.choice(world.libraries))
        world.commit(world.random.choice(world.libraries), world.random.choice(sorted(world.branches)))
        world.check()
    world.check_all()


# Expiration and garbage collection

def grow(world, commits):
    """A history of several branches and tags, made by both."""
    create_by(world, world.random.choice(world.libraries))
    for _ in range(commits):
        world.commit(world.random.choice(world.libraries), world.random.choice(sorted(world.branches)))
        for _ in range(world.random.randrange(3)):
            world.change_refs(world.random.choice(world.libraries))


def random_cutoff(world):
    """Around the time of some commit."""
    repository = world.repository(world.ours)
    times = {commit["time"] for tip in world.branches.values() for commit in repository.history(tip)}
    return world.random.choice(sorted(times)) + world.random.choice([-1, 0, 1])


def random_expiration(world):
    return dict(older_than=random_cutoff(world), delete_branches=world.random.random() < 0.5,
                delete_tags=world.random.random() < 0.5)


def in_an_hour():
    return int((time.time() + 3600) * 1e6)


def objects(place):
    return {kind: sorted(path.name for path in (place / kind).iterdir()) if (place / kind).exists() else []
            for kind in ("snapshots", "transactions", "manifests", "chunks")}


def look(library, place):
    """Branches and tags, and their histories."""
    repository = library.open(place)
    refs = repository.refs()
    histories = {name: [(commit["id"], commit["parent"]) for commit in repository.history(tip)]
                 for kind in refs.values() for name, tip in kind.items()}
    repository.close()
    return refs, histories


@each_version
@pytest.mark.parametrize("seed", seeds(25))
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
@pytest.mark.parametrize("seed", seeds(25))
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


# Conflicts: one commits while the other has a transaction open, which is then rebased

def small_array(attributes=None, shape=(4, 4)):
    return {"zarr_format": 3, "node_type": "array", "shape": list(shape), "data_type": "int32",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 2]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}}, "fill_value": 0,
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}], "attributes": attributes or {},
            "storage_transformers": []}


def write_chunk(path, row, column, value):
    chunk = np.full((2, 2), value, np.int32)
    return lambda session: session.write(path, [2 * row, 2 * column], chunk, {(row, column): chunk})


def made_again(session):
    session.delete("/g/x")
    session.put_array("/g/x", small_array({"again": True}))
    write_chunk("/g/x", 1, 1, 77)(session)


def made_an_array(session):
    session.delete("/h")
    session.put_array("/h", small_array())


def new_array_with_chunk(session):
    session.put_array("/g/n", small_array())
    write_chunk("/g/n", 0, 0, 5)(session)


def came_and_went(session):
    session.put_group("/g/n", {})
    session.put_array("/g/n/m", small_array())
    session.delete("/g/n")
    session.set_attributes("/i", {"came": "and went"})


def tree_for_conflicts(session):
    for path in ("/", "/g", "/g/s", "/h", "/i"):
        session.put_group(path, {"made": "first"})
    for path in ("/g/x", "/y"):
        session.put_array(path, small_array())
        write_chunk(path, 0, 0, 1)(session)
        write_chunk(path, 0, 1, 2)(session)


# By what they do; {} is a number that tells the first from the second.
ACTIONS = {
    "write /g/x 0 0": lambda s, n: write_chunk("/g/x", 0, 0, 10 + n)(s),
    "write /g/x 0 1": lambda s, n: write_chunk("/g/x", 0, 1, 20 + n)(s),
    "write /g/x 1 1": lambda s, n: write_chunk("/g/x", 1, 1, 30 + n)(s),
    "write /y 0 0": lambda s, n: write_chunk("/y", 0, 0, 40 + n)(s),
    "delete chunk /g/x 0 0": lambda s, n: s.delete_chunk("/g/x", [0, 0]),
    "update /": lambda s, n: s.set_attributes("/", {"by": n}),
    "update /g": lambda s, n: s.set_attributes("/g", {"by": n}),
    "update /i": lambda s, n: s.set_attributes("/i", {"by": n}),
    "update /h": lambda s, n: s.set_attributes("/h", {"by": n}),
    "update /g/x": lambda s, n: s.set_attributes("/g/x", {"by": n}),
    "grow /g/x": lambda s, n: s.resize("/g/x", [8 + n, 4]),
    "shrink /g/x": lambda s, n: s.resize("/g/x", [3, 2]),
    "delete /g/x": lambda s, n: s.delete("/g/x"),
    "delete /h": lambda s, n: s.delete("/h"),
    "delete /g": lambda s, n: s.delete("/g"),
    "make /g/x again": lambda s, n: made_again(s),
    "make /h an array": lambda s, n: made_an_array(s),
    "new array /g/n": lambda s, n: s.put_array("/g/n", small_array({"by": n})),
    "new array /g/n with a chunk": lambda s, n: new_array_with_chunk(s),
    "new group /g/n": lambda s, n: s.put_group("/g/n", {"by": n}),
    "new group /h/n": lambda s, n: s.put_group("/h/n", {}),
    "new array /g/s/n": lambda s, n: s.put_array("/g/s/n", small_array()),
    "make and delete /g/n": lambda s, n: came_and_went(s),
}

# What our library refuses and the official one does not see: format guide 15, a to c; and a node that is deleted here
# and was made anew there, which the official library leaves as it is.
STRICTER = ["others have made nodes in the group that is deleted", "its group was deleted by others",
            "others have changed chunks of the array that is reshaped", "others have made a node there"]


def content(repository):
    """Without what lies in no group: the official library's walk does not find it."""
    nodes = repository.dump(repository.tip())
    return {path: (node.json.get("shape"), node.json["attributes"], node.data is not None and node.data.tobytes())
            for path, node in nodes.items() if not is_lost(path, nodes)}


def is_lost(path, nodes):
    above = path.rpartition("/")[0] or "/"
    return path != "/" and (above not in nodes or nodes[above].data is not None or is_lost(above, nodes))


def race(place, first, second, actions, rebase):
    """What comes out when the library `first` commits, each action alone, during a transaction of `second`: a
    conflict's message, or what is there after the rebase."""
    repositories = [first.open(place), second.open(place)]
    loser = repositories[1].session()
    ACTIONS[actions[-1]](loser, 2)
    for action in actions[:-1]:
        winner = repositories[0].session()
        ACTIONS[action](winner, 1)
        winner.commit("first")
        winner.end()
    try:
        loser.commit("second", rebase=rebase)
        outcome = content(repositories[1])
        assert outcome == content(repositories[0])
    except PeerError as error:
        assert error.kind == "conflict", error
        outcome = str(error)
    loser.end()
    if second is LIBRARIES.ours:
        assert repositories[1].defects() == []
    for repository in repositories:
        repository.close()
    return outcome


def same_outcome(a, b):
    return a == b or (isinstance(a, str) and isinstance(b, str))


@pytest.fixture(scope="module")
def contested(tmp_path_factory):
    """contested(version): a repository to copy."""
    made = {}

    def make(version):
        if version not in made:
            made[version] = tmp_path_factory.mktemp("contested") / "repository"
            repository = LIBRARIES.get(version[0]).create(made[version], version[1])
            session = repository.session()
            tree_for_conflicts(session)
            session.commit("base")
            session.end()
            repository.close()
        return made[version]

    return make


# The actions, the last one that of the transaction that is rebased, and whose chunks win.
CONFLICTS = [(["new array /g/n", "make and delete /g/n"], "detect"),
             (["write /g/x 0 0", "update /", "write /g/x 0 0"], "theirs"),
             (["write /g/x 0 0", "delete /g/x"], "ours")]
HARMLESS = ["write /y 0 0", "write /g/x 0 1", "update /", "update /i", "new group /h/n", "new array /g/n"]


def random_conflict(random):
    actions = [random.choice(HARMLESS)] if random.random() < 0.3 else []
    names = sorted(set(ACTIONS) - set(actions))
    actions.append(random.choice([name for name in names if not (actions and "/n" in name)]))
    last = random.choice(sorted(ACTIONS))
    # The official library would commit a snapshot that has two nodes at one path.
    while last == actions[-1] and last in ("make /g/x again", "make /h an array"):
        last = random.choice(sorted(ACTIONS))
    return actions + [last], random.choice(["detect", "ours", "theirs"])


@each_version
@pytest.mark.parametrize("seed", seeds(40))
def test_conflicts(contested, version, seed, tmp_path):
    ours, official = LIBRARIES.ours, LIBRARIES.get(version[0])
    if version[1] == 2 and not official.finds_chunks_of_2:
        pytest.skip("it does not find our chunks")
    random = random_module.Random("%s %d" % (version_name(version), seed))
    actions, rebase = CONFLICTS[seed] if seed < len(CONFLICTS) else random_conflict(random)
    outcomes = {}
    for first in (ours, official):
        for second in (ours, official):
            place = shutil.copytree(contested(version), tmp_path / ("%s_%s" % (first.name, second.name)))
            outcomes[first, second] = race(place, first, second, actions, rebase)
    # What the official library makes of our transaction log is what it makes of its own, and so with us.
    assert same_outcome(outcomes[ours, official], outcomes[official, official]), actions
    assert same_outcome(outcomes[official, ours], outcomes[ours, ours]), actions
    if not same_outcome(outcomes[ours, ours], outcomes[official, official]):
        assert isinstance(outcomes[ours, ours], str), (actions, rebase)
        assert any(reason in outcomes[ours, ours] for reason in STRICTER), (actions, outcomes[ours, ours])
