"""A repository that the libraries share in a test, and what must be in it.

Every Python that SGC_INTEROP_PYTHON, SGC_INTEROP2_PYTHON and SGC_INTEROP3_PYTHON name takes part with its version of
the official library; SGC_INTEROP_SEEDS multiplies the number of seeds."""
import os
import random as random_module
import time

import numpy as np
import pytest

import peers
from peers import PeerError
import tree as trees

if not peers.PYTHONS:
    pytest.skip("SGC_INTEROP_PYTHON and SGC_INTEROP2_PYTHON name no Python with the official library",
                allow_module_level=True)

SEEDS = float(os.environ.get("SGC_INTEROP_SEEDS", "1"))


def seeds(count):
    return pytest.mark.parametrize("seed", range(max(1, round(count * SEEDS))))


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


def finds_our_chunks(version):
    return version[1] == 1 or LIBRARIES.get(version[0]).finds_chunks_of_2


def version_name(value):
    return "%s-v%d" % (LIBRARIES.get(value[0]).name, value[1])


each_version = pytest.mark.parametrize("version", versions(), ids=version_name)
each_version_with_chunks = pytest.mark.parametrize(
    "version", [version for version in versions() if finds_our_chunks(version)], ids=version_name)
each_python_of_2 = pytest.mark.parametrize(
    "python", [python for python, version in versions() if version == 2], ids=lambda p: LIBRARIES.get(p).name)


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
        self.has_arrays = finds_our_chunks(version)
        self.open = {}
        self.branches, self.tags = {}, {}
        self.named = 0  # branches and tags, ever
        self.operations = ["RepoInitialized"]  # as version 2 records them, the oldest first
        self.commits = {}  # by id: (parent, message, metadata)
        self.trees = {}    # by id

    ours = property(lambda self: self.libraries[0])
    official = property(lambda self: self.libraries[-1])

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
            assert "nothing to commit" in str(error) or "no changes" in str(error), error
            # zarr does nothing at all for a new shape that is the old one, or to remove what is not there.
            assert not changes.fresh and not changes.deleted
            assert library is self.official or not changes.updated and not any(changes.chunks.values())
            session.end()
            return None
        session.end()
        self.commits[snapshot] = (parent, message, metadata)
        self.trees[snapshot] = changes.tree
        self.branches[branch] = snapshot
        self.operations.append("NewCommit")
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
            self.operations.append(kind.capitalize() + "Created")
        elif what == "delete" and removable:
            name = random.choice(removable)
            repository.delete_ref(kind, name)
            del refs[name]
            self.operations.append(kind.capitalize() + "Deleted")
        elif what == "reset":
            name = random.choice(sorted(self.branches))
            new = random.choice(sorted(self.trees))
            repository.reset_branch(name, self.branches[name], new)
            self.branches[name] = new
            self.operations.append("BranchReset")

    # Checks

    def check_diffs(self, parent, snapshot, changes, library):
        if library is self.ours is not self.official:  # what the official library makes of our transaction log
            assert self.repository(self.official).diff(parent, snapshot) == changes.expected_log()
        nodes = self.repository(self.ours).diff(parent, snapshot)["nodes"]
        changes.check_differences(nodes)

    def check(self):
        """All libraries list and read what must be there."""
        tips = {}
        for library in self.libraries:
            repository = self.repository(library)
            assert repository.refs() == {"branches": self.branches, "tags": self.tags}, library.name
            for branch, tip in sorted(self.branches.items()):
                tips.setdefault(branch, []).append((self.history(repository, tip), repository.dump(tip)))
        for branch, seen in tips.items():
            assert all(other == seen[0] for other in seen), branch
            for _, dump in seen:
                self.trees[self.branches[branch]].check(dump)

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

    def forget_unreachable(self):
        kept = {snapshot for refs in (self.branches, self.tags) for tip in refs.values()
                for snapshot in self.ancestry(tip)}
        self.trees = {snapshot: self.trees[snapshot] for snapshot in kept}

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


def grow(world, commits):
    """A history of several branches and tags, made by both."""
    create_by(world, world.random.choice(world.libraries))
    for _ in range(commits):
        world.commit(world.random.choice(world.libraries), world.random.choice(sorted(world.branches)))
        for _ in range(world.random.randrange(3)):
            world.change_refs(world.random.choice(world.libraries))


def in_an_hour():
    return int((time.time() + 3600) * 1e6)


def objects(place):
    return {kind: sorted(path.name for path in (place / kind).iterdir()) if (place / kind).exists() else []
            for kind in ("snapshots", "transactions", "manifests", "chunks")}


def small_array(attributes=None, shape=(4, 4)):
    return {"zarr_format": 3, "node_type": "array", "shape": list(shape), "data_type": "int32",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 2]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}}, "fill_value": 0,
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}], "attributes": attributes or {},
            "storage_transformers": []}


def write_chunk(path, row, column, value):
    chunk = np.full((2, 2), value, np.int32)
    return lambda session: session.write(path, [2 * row, 2 * column], chunk, {(row, column): chunk})


@pytest.fixture
def seed():
    """Of tests that have only one."""
    return 0


@pytest.fixture
def world(version, seed, tmp_path):
    """A World without a repository yet. What is random in it is the same in each run, by the test's seed."""
    random = random_module.Random("%s %d" % (version_name(version), seed))
    made = World(tmp_path / "repository", version, random)
    yield made
    made.close()
