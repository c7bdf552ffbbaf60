# flake8: noqa: F811
"""What one library writes, the other reads and goes on with: random trees, held against a model of numpy arrays.

A failing seed alone: -k "test_alternating and 17-"."""
import numpy as np
import pytest

pytest.register_assert_rewrite("tree", "world")

from peers import PeerError  # noqa: E402
import tree as trees  # noqa: E402
from world import (SPLITS, create_by, each_version, each_version_with_chunks, objects, seed, seeds,  # noqa: E402
                   small_array, world)


@each_version
@seeds(30)
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
@seeds(30)
def test_alternating(world):
    create_by(world, world.random.choice(world.libraries))
    for _ in range(6):
        if world.random.random() < 0.4:
            world.change_refs(world.random.choice(world.libraries))
        world.commit(world.random.choice(world.libraries), world.random.choice(sorted(world.branches)))
        world.check()
    world.check_all()
    if world.spec_version == 2:
        operations = world.repository(world.official).ask("operations")["operations"]
        assert operations == world.operations[::-1]


# Codecs and types, one by one

def small_float(**members):
    document = small_array(shape=(5, 5))
    return dict(document, data_type="float32", **members)


BIG_ENDIAN = {"name": "bytes", "configuration": {"endian": "big"}}
LITTLE_ENDIAN = {"name": "bytes", "configuration": {"endian": "little"}}
FEATURES = {
    "float16": dict(small_array(shape=(5, 5)), data_type="float16", fill_value="NaN"),
    "big endian": small_float(codecs=[BIG_ENDIAN]),
    "gzip": small_float(codecs=[LITTLE_ENDIAN, {"name": "gzip", "configuration": {"level": 5}}]),
    "crc32c": small_float(codecs=[LITTLE_ENDIAN, {"name": "crc32c"}]),
    "transpose": small_float(codecs=[{"name": "transpose", "configuration": {"order": [1, 0]}}, LITTLE_ENDIAN]),
    "several": small_float(codecs=[
        {"name": "transpose", "configuration": {"order": [1, 0]}}, BIG_ENDIAN,
        {"name": "zstd", "configuration": {"level": 1, "checksum": True}},
        {"name": "gzip", "configuration": {"level": 1}}, {"name": "crc32c"}]),
    **{"blosc " + name: small_float(codecs=[LITTLE_ENDIAN, {"name": "blosc", "configuration": {
        "cname": name, "clevel": 5, "typesize": 4, "shuffle": "bitshuffle", "blocksize": 0}}])
       for name in trees.COMPRESSORS},
}


@each_version_with_chunks
@pytest.mark.parametrize("feature", FEATURES)
def test_features(world, feature):
    if not world.ours.supports(FEATURES[feature]):
        pytest.skip("our library does not read %s yet" % feature)
    world.create(world.official)

    def fill(path):
        def make(changes):
            if "/" not in changes.tree.nodes:
                changes.put_group("/", {})
            changes.put_array(path, FEATURES[feature])
            array = changes.tree.nodes[path]
            changes.write(path, [0, 1], trees.random_items(world.random, [5, 3], array.type, array.fill_value))
        return make

    for library in world.libraries:
        world.commit(library, fill=fill("/by " + library.name))
        world.check()
    assert world.repository(world.ours).defects() == []


@each_version_with_chunks
def test_an_array_as_root(world):
    def fill(changes):
        if "/" not in changes.tree.nodes:
            changes.put_array("/", small_array())
        changes.write("/", [1, 1], np.full([2, 3], len(world.trees), np.int32))

    world.create(world.ours)
    for library in (world.ours, world.official, world.ours):
        world.commit(library, fill=fill)
        world.check()
    world.check_all()


@each_version_with_chunks
def test_what_our_library_cannot_read_survives_it(world):
    """Arrays of all types and codecs stay what they are while we change what is around them."""
    theirs, ours = (library.create(world.place, world.spec_version) if library is world.official
                    else library.open(world.place) for library in (world.official, world.ours))
    session = theirs.session()
    paths = session.ask("put_exotic", "/exotic")["paths"]
    before = session.commit("exotic")
    session.end()

    session = ours.session()
    session.set_attributes("/exotic", {"ours": True})
    session.set_attributes("/exotic/complex", {"ours": True}) if ours_reads(ours, before, paths[0]) else None
    session.put_group("/exotic/between", {})
    after = session.commit("ours")
    session.end()
    for path in paths:
        values = [theirs.ask("values", snapshot=snapshot, path=path)["values"] for snapshot in (before, after)]
        assert values[0] == values[1]
        ours_reads(ours, after, path)
    assert ours.defects() == []
    for repository in (ours, theirs):
        repository.close()


def ours_reads(repository, snapshot, path):
    """False for what is refused as unsupported; anything else fails."""
    try:
        repository.ask("read", snapshot=snapshot, path=path)
    except PeerError as error:
        assert error.kind == "unsupported", error
        return False
    return True


# Manifests are divided alike

@each_version_with_chunks
@pytest.mark.parametrize("seed", range(len(SPLITS)))
def test_same_windows(world, seed):
    """Both write the same arrays, by rules of the official library's configuration."""
    threshold = world.random.choice([0, 16, 512])
    world.create(world.official, config={"split": SPLITS[seed], "inline_threshold": threshold})
    random, chunks = world.random, []
    for library in world.libraries:
        random.seed(seed)
        before = len(objects(world.place)["chunks"])
        world.commit(library, fill=lambda changes: fill_split_arrays(random, changes, "/" + library.name[0] * 2))
        world.commit(library, fill=lambda changes: touch_split_arrays(changes, "/" + library.name[0] * 2))
        chunks.append(len(objects(world.place)["chunks"]) - before)
    world.check()
    repository = world.repository(world.official)
    extents = repository.ask("extents", snapshot=repository.tip())["extents"]
    names = sorted({path.rpartition("/")[2] for path in extents})
    ours, theirs = ([extents["/%s/%s" % (library.name[0] * 2, name)] for name in names] for library in world.libraries)
    assert ours == theirs
    assert chunks[0] == chunks[1]


def fill_split_arrays(random, changes, group):
    if "/" not in changes.tree.nodes:
        changes.put_group("/", {})
    changes.put_group(group, {})
    for name, shape, dimensions in (("a", [7, 9], ["x", "y"]), ("ab", [9, 8], None), ("c", [], None),
                                    ("b", [5, 3, 6], ["time", None, "x"]), ("ba", [11], ["t"])):
        path = group + "/" + name
        document = dict(small_array(shape=shape), dimension_names=dimensions, attributes={})
        document["chunk_grid"] = {"name": "regular", "configuration": {"chunk_shape": [2] * len(shape)}}
        changes.put_array(path, {key: value for key, value in document.items() if value is not None})
        items = trees.random_items(random, shape, np.dtype("int32"), 0)
        changes.write(path, [0] * len(shape), np.asarray(items | 1, np.int32))


def touch_split_arrays(changes, group):
    """One chunk, and a smaller shape."""
    changes.write(group + "/a", [3, 3], np.full([1, 1], 5, np.int32))
    changes.resize(group + "/ab", [5, 8])
    changes.write(group + "/b", [4, 0, 5], np.full([1, 1, 1], 5, np.int32))


@each_version_with_chunks
def test_xarray(world):
    """A dataset of ours, opened and continued by xarray."""
    def fill(changes):
        changes.put_group("/", {})
        changes.put_group("/set", {"title": "ours"})
        for name, shape, dimensions in (("x", [4], ["x"]), ("time", [2], ["time"]), ("v", [2, 4], ["time", "x"])):
            document = small_array({"units": "1"}, shape)
            document["chunk_grid"] = {"name": "regular", "configuration": {"chunk_shape": [2] * len(shape)}}
            changes.put_array("/set/" + name, dict(document, dimension_names=dimensions))
            items = np.arange(np.prod(shape), dtype=np.int32).reshape(shape) + 1
            changes.write("/set/" + name, [0] * len(shape), items)

    world.create(world.ours, split={"time": 1})
    tip = world.commit(world.ours, fill=fill)
    official = world.repository(world.official)
    variables = official.ask("open_xarray", snapshot=tip, path="/set")["variables"]
    dump = world.repository(world.ours).dump(tip)
    for name in ("x", "time", "v"):
        assert variables[name]["dims"] == dump["/set/" + name].json["dimension_names"]
        assert variables[name]["data"] == dump["/set/" + name].data.tobytes().hex()

    session = official.session()
    session.ask("append_by_xarray", "/set", dimension="time")
    tip = session.commit("appended")
    session.end()
    items = world.repository(world.ours).dump(tip)["/set/v"].data
    assert items.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]] * 2
    assert world.repository(world.ours).defects() == []
