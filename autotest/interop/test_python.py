"""The official icechunk, zarr and xarray read what SGC writes, and the other way round.

The tests run in the Python that osgeo is built for. The functions named official_… run in another one,
SGC_INTEROP_PYTHON, which has the packages of requirements.txt (they need a newer numpy than osgeo's).
"""
import copy
import inspect
import json
import math
import os
from pathlib import Path
import shutil
import subprocess
import sys

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "gdal"))

from conftest import StacServer, assert_pixels, driver, own_directory, read, run, shared  # noqa: E402,F401
import numpy as np  # noqa: E402
from osgeo import gdal, osr  # noqa: E402
import pytest  # noqa: E402

import arcticdem_tiles  # noqa: E402

PYTHON = os.environ.get("SGC_INTEROP_PYTHON")
pytestmark = pytest.mark.skipif(
    not PYTHON, reason="SGC_INTEROP_PYTHON names no Python with the packages of requirements.txt")

CHUNK = 3600
ROWS, COLUMNS = 66, 65  # of chunks
# Around the chunks (12, 27) to (13, 28), where some are missing, and one in another manifest's window.
TILES = sorted({"%02d_%02d" % (row, column) for row in range(64, 70) for column in range(31, 36)}
               - {"65_34", "68_33"} | {"61_33"})
FOUR_CHUNKS = (97200, 43200, 7200, 7200)
MAIN_JOB = (101313, 45111, 1905, 2104)
NEXT_CHUNK = (104500, 45200, 300, 200)  # in the chunk (12, 29)
FAR_CHUNK = (102000, 63000, 300, 300)  # in the chunk (17, 28), of the tile 61_33


# What the official libraries do

def official_load(place, channel, x, y, width, height, file):
    """Saves a window of a channel as xarray has it."""
    import numpy
    dataset = open_dataset(place)
    window = dataset[channel].isel(x=slice(x, x + width), y=slice(y, y + height))
    numpy.save(file, window.values)


def official_load_by_zarr(place, channel, x, y, width, height, file):
    """Saves a window of an array as zarr-python alone has it."""
    import numpy
    import zarr
    array = zarr.open_array(open_store(place), path=channel, mode="r")
    numpy.save(file, array[y:y + height, x:x + width])


def official_save_coordinates(place, file):
    import numpy
    dataset = open_dataset(place)
    numpy.savez(file, x=dataset["x"].values, y=dataset["y"].values, crs=dataset["spatial_ref"].values)


def official_describe(place):
    dataset = open_dataset(place)
    return {"coordinates": sorted(dataset.coords), "variables": sorted(dataset.data_vars),
            "crs": dict(dataset["spatial_ref"].attrs), "title": dataset.attrs["title"],
            "grid_mapping": {name: dataset[name].encoding.get("grid_mapping") for name in dataset.data_vars}}


def official_documents(place):
    """Every zarr.json, by the path of its node."""
    import asyncio
    from zarr.core.buffer import default_buffer_prototype
    store = open_store(place)

    async def read_all():
        keys = [key async for key in store.list_prefix("") if key.endswith("zarr.json")]
        return {key[:-len("zarr.json")].rstrip("/"):
                json.loads((await store.get(key, default_buffer_prototype())).to_bytes()) for key in keys}

    return asyncio.run(read_all())


def official_root_attributes(place):
    import zarr
    return dict(zarr.open_group(open_store(place), mode="r").attrs)


def official_nonzero(place, path):
    """The positions and values of an array that are not 0."""
    import numpy
    import zarr
    array = zarr.open_array(open_store(place), path=path, mode="r")[:]
    return [[int(i) for i in position] + [int(array[tuple(position)])] for position in numpy.argwhere(array)]


def official_history(place):
    return [[commit.id, commit.message, commit.parent_id, commit.written_at.timestamp(), commit.metadata]
            for commit in open_repository(place).ancestry(branch="main")]


def official_collect_garbage(place, days_ago):
    import datetime
    cutoff = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days_ago)
    result = open_repository(place).garbage_collect(cutoff)
    return [result.chunks_deleted, result.manifests_deleted, result.snapshots_deleted,
            result.transaction_logs_deleted]


def official_splitting(place):
    """The rules, as (dimension's regular expression, chunks), and each manifest's extents by node."""
    repository = open_repository(place)
    (_, rules), = repository.config.manifest.splitting.split_sizes
    snapshot = json.loads(repository.inspect_snapshot(repository.lookup_branch("main")))
    return {"rules": [[str(condition), chunks] for condition, chunks in rules],
            "extents": {node["path"]: [ref["extents"] for ref in node["manifest_refs"]]
                        for node in snapshot["nodes"] if node["node_type"] == "array"}}


def official_commit(place):
    """Adds an attribute to the root, and an array that is none of ours."""
    import zarr
    session = open_repository(place).writable_session("main")
    group = zarr.open_group(session.store)
    group.attrs["note"] = 'by "somebody" else'
    array = group.create_array("theirs", shape=(5, 7), chunks=(2, 3), dtype="int16")
    array[:] = [[10 * row + column for column in range(7)] for row in range(5)]
    return session.commit("Theirs")


def official_tag(place, name):
    repository = open_repository(place)
    repository.create_tag(name, repository.lookup_branch("main"))


COMMON = '''
import json, os, sys

def open_repository(place):
    import icechunk
    return icechunk.Repository.open(icechunk.local_filesystem_storage(place))

def open_store(place):
    return open_repository(place).readonly_session("main").store

def open_dataset(place):
    import xarray
    return xarray.open_zarr(open_store(place), consolidated=False, chunks=None, decode_coords="all")
'''


def official(function, *args):
    """Runs one of the functions above in the other Python and returns what it returns.

    That process does not wind up: icechunk's threads may abort it then."""
    script = "%s\n%s\nprint(json.dumps(%s(*json.loads(sys.argv[1]))), flush=True)\nos._exit(0)" % (
        COMMON, inspect.getsource(function), function.__name__)
    done = subprocess.run([PYTHON, "-c", script, json.dumps([str(a) if isinstance(a, Path) else a for a in args])],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


# What must be in the cubes

def expected(window):
    return arcticdem_tiles.cube_window(*window, map(arcticdem_tiles.tile_from_name, TILES))


def chunks_of(x, y, width, height):
    return {(row, column) for row in range(y // CHUNK, (y + height - 1) // CHUNK + 1)
            for column in range(x // CHUNK, (x + width - 1) // CHUNK + 1)}


def loaded(complete):
    """The ids of the tiles all of whose chunks are complete."""
    size = arcticdem_tiles.TILE_SIZE
    return {arcticdem_tiles.item_id(tile) for tile in map(arcticdem_tiles.tile_from_name, TILES)
            if chunks_of(*arcticdem_tiles.tile_offset(tile), size, size) <= complete}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with open(tmp_path_factory.mktemp("server") / "stderr", "w") as stderr:
        server = StacServer(stderr, only=TILES)
    yield server
    server.close()


def load(server, place, window, *options):
    args = ["gdal_translate", "-q", "-srcwin", *map(str, window), "-oo", "SOURCE_URL=" + server.url]
    for option in options:
        args += ["-oo", option]
    done = subprocess.run(args + ["SGC:%s,dataset=ArcticDEM32m,create=yes" % place, "/vsimem/out.tif"],
                          stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def filled(server, tmp_path_factory):
    """A cube with four chunks. Not to be changed."""
    place = tmp_path_factory.mktemp("filled") / "cube"
    load(server, place, FOUR_CHUNKS)
    return place


@pytest.fixture
def cube(filled, tmp_path):
    """A copy to change."""
    return shutil.copytree(filled, tmp_path / "cube")


# Reading

@pytest.mark.parametrize("function", [official_load, official_load_by_zarr])
def test_pixels(filled, tmp_path, assert_pixels, function):  # noqa: F811
    for channel, pixels in zip(("dem", "datamask"), expected(FOUR_CHUNKS)):
        official(function, filled, channel, *FOUR_CHUNKS, tmp_path / "pixels.npy")
        assert_pixels(np.load(tmp_path / "pixels.npy"), pixels)


@pytest.mark.parametrize("function", [official_load, official_load_by_zarr])
def test_pixels_that_nobody_loaded(filled, tmp_path, function):
    for channel, blank in (("dem", np.isnan), ("datamask", np.logical_not)):
        official(function, filled, channel, *NEXT_CHUNK, tmp_path / "pixels.npy")
        assert blank(np.load(tmp_path / "pixels.npy")).all()


def test_coordinates(filled, tmp_path):
    official(official_save_coordinates, filled, tmp_path / "coordinates.npz")
    coordinates = np.load(tmp_path / "coordinates.npz")
    x, y = coordinates["x"], coordinates["y"]
    assert (x.size, x[0], x[-1]) == (231256, -4000080, 3400080)
    assert (y.size, y[0], y[-1]) == (234381, 4100080, -3400080)
    assert (x == [i * 32.0 + (-4000096.0 + 32.0 / 2) for i in range(231256)]).all()
    assert (y == [j * -32.0 + (4100096.0 - 32.0 / 2) for j in range(234381)]).all()
    assert coordinates["crs"] == 3413


def test_dataset(filled):
    found = official(official_describe, filled)
    assert found["variables"] == ["datamask", "dem"]
    assert found["coordinates"] == ["spatial_ref", "x", "y"]
    assert found["title"] == "ArcticDEM32m"
    assert set(found["grid_mapping"].values()) == {"spatial_ref"}


def crs_from(text):
    crs = osr.SpatialReference()
    assert crs.SetFromUserInput(text) == 0
    return crs


@pytest.mark.parametrize("attribute", ["spatial_ref", "crs_wkt"])
def test_crs(filled, attribute):
    crs = crs_from(official(official_describe, filled)["crs"][attribute])
    assert crs.IsSame(crs_from("EPSG:3413"))
    assert crs.GetAuthorityCode(None) == "3413"


# The documents

# By node and path inside the document: what the development version of the package wrote, what we write.
ABSENT = "absent"
ON_PURPOSE = {
    "dem": {
        "codecs/1/configuration/clevel": (9, 5),  # architecture 6.9
        "codecs/1/configuration/shuffle": ("shuffle", "bitshuffle"),  # architecture 6.9
        "attributes/grid_mapping": (ABSENT, "spatial_ref"),  # architecture 6.1
    },
    "datamask": {
        "data_type": ("int8", "bool"),  # datasets 1.6
        "fill_value": (0, False),  # datasets 1.6
        "attributes/dtype": ("bool", ABSENT),  # datasets 1.6
        "codecs/1/configuration/clevel": (9, 5),  # architecture 6.9
        "attributes/grid_mapping": (ABSENT, "spatial_ref"),  # architecture 6.1
    },
    "x": {"attributes/units": ("", "metre")},  # datasets 1.4: write "metre" for both
    "y": {},
}


def differences(theirs, ours, path=""):
    """{path: (theirs, ours)} of all leaves that differ; 1 is not true."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys, values = list(theirs) + [k for k in ours if k not in theirs], dict.get
    elif isinstance(theirs, list) and isinstance(ours, list):
        keys = range(max(len(theirs), len(ours)))
        values = lambda items, i, absent: items[i] if i < len(items) else absent  # noqa: E731
    else:
        same = theirs == ours and isinstance(theirs, bool) == isinstance(ours, bool)
        return {} if same else {path: (theirs, ours)}
    found = {}
    for key in keys:
        inner = "%s/%s" % (path, key) if path else str(key)
        found.update(differences(values(theirs, key, ABSENT), values(ours, key, ABSENT), inner))
    return found


@pytest.fixture(scope="module")
def documents(filled):
    return official(official_documents, filled)


@pytest.fixture
def pair(documents, shared):  # noqa: F811
    """pair(node): the document as the package wrote it, and ours."""
    root = shared("data", "zarr", "metadata-arcticdem32m")
    return lambda node: (json.loads((root / node / "zarr.json").read_text()), copy.deepcopy(documents[node]))


@pytest.mark.parametrize("node", ON_PURPOSE)
def test_document_of_an_array(pair, node):
    assert differences(*pair(node)) == ON_PURPOSE[node]


def test_document_of_the_crs(pair):
    theirs, ours = pair("spatial_ref")
    for document in (theirs, ours):  # their spelling depends on the version of PROJ
        for key in ("spatial_ref", "crs_wkt"):
            assert crs_from(document["attributes"].pop(key)).IsSame(crs_from("EPSG:3413"))
    assert differences(theirs, ours) == {}


def test_document_of_the_root(pair):
    theirs, ours = pair("")
    about = ours["attributes"].pop("sgc")  # architecture 6.1
    ours["attributes"]["loaded_patches"] = []
    assert differences(theirs, ours) == {}
    assert about["definition"]["id"] == "ArcticDEM32m"
    assert about["version"] == 1
    assert about["license"] == about["definition"]["license"]
    assert about["attribution"] == about["definition"]["attribution"]


def test_everything_else_is_in_one_group(documents):
    assert set(documents) == {"", "dem", "datamask", "x", "y", "spatial_ref", "sgc", "sgc/x1", "sgc/x1/complete"}
    complete = documents["sgc/x1/complete"]  # architecture 6.3
    assert (complete["data_type"], complete["fill_value"]) == ("uint8", 0)
    assert complete["shape"] == [2, ROWS, COLUMNS]
    assert complete["dimension_names"] == ["channel", "y", "x"]
    assert complete["chunk_grid"]["configuration"]["chunk_shape"] == [1, 64, 64]
    assert [codec["name"] for codec in complete["codecs"]] in (["zstd"], ["bytes", "zstd"])


# What is complete, and what is loaded

def completeness(chunk):
    """1, or 2 (for now) where the lattice supposes a tile that is absent."""
    size = arcticdem_tiles.TILE_SIZE
    absent = ((row, column) for row in arcticdem_tiles.ROWS for column in arcticdem_tiles.COLUMNS
              if arcticdem_tiles.tile_name((row, column)) not in TILES)
    return 2 if any(chunk in chunks_of(*arcticdem_tiles.tile_offset(tile), size, size) for tile in absent) else 1


def assert_complete_and_loaded(place, complete):
    assert official(official_nonzero, place, "sgc/x1/complete") == [
        [channel, *chunk, completeness(chunk)] for channel in (0, 1) for chunk in sorted(complete)]
    ids = official(official_root_attributes, place)["loaded_patches"]
    assert len(ids) == len(set(ids))
    assert set(ids) == loaded(complete)
    return set(ids)


def test_four_chunks_complete_two_patches(filled):
    ids = assert_complete_and_loaded(filled, chunks_of(*FOUR_CHUNKS))
    assert ids == {"66_33_32m_v4.1", "67_33_32m_v4.1"}


def test_main_job_completes_two_chunks(server, tmp_path):
    load(server, tmp_path / "cube", MAIN_JOB)
    assert_complete_and_loaded(tmp_path / "cube", {(12, 28), (13, 28)})


def test_loading_more_completes_more_patches(server, cube):
    complete = chunks_of(*FOUR_CHUNKS)
    load(server, cube, NEXT_CHUNK)
    complete |= chunks_of(*NEXT_CHUNK)
    before = assert_complete_and_loaded(cube, complete)
    window = (FOUR_CHUNKS[0] + 2 * CHUNK, FOUR_CHUNKS[1], CHUNK, 2 * CHUNK)
    load(server, cube, window)
    after = assert_complete_and_loaded(cube, complete | chunks_of(*window))
    assert before < after


# History, garbage, splitting

def test_history(filled, run):  # noqa: F811
    theirs = official(official_history, filled)
    ours = [line.split("  ", 2) for line in run(["sgc", "log", "SGC:%s" % filled]).stdout.splitlines()]
    assert [(commit[0], commit[1]) for commit in theirs] == [(line[0], line[2]) for line in ours]
    assert [commit[2] for commit in theirs] == [commit[0] for commit in theirs[1:]] + [None]
    times = [commit[3] for commit in theirs]
    assert all(later > earlier for later, earlier in zip(times, times[1:]))


def test_commits_name_their_patches(filled):
    patches = [patch for commit in official(official_history, filled)
               for patch in commit[4].get("sgc_patches", [])]
    complete = chunks_of(*FOUR_CHUNKS)
    size = arcticdem_tiles.TILE_SIZE
    meeting = {arcticdem_tiles.item_id(tile) for tile in map(arcticdem_tiles.tile_from_name, TILES)
               if chunks_of(*arcticdem_tiles.tile_offset(tile), size, size) & complete}
    assert {patch["id"] for patch in patches} == meeting
    assert all(patch["id"] in patch["href"] for patch in patches)


@pytest.mark.parametrize("days_ago", [1, -1])
def test_garbage_collection_takes_nothing_that_is_used(cube, read, assert_pixels, days_ago):  # noqa: F811
    deleted = official(official_collect_garbage, cube, days_ago)
    assert deleted == [0, 0, 0, 0]
    assert_pixels(read(gdal.Open("SGC:%s,download=no" % cube), *MAIN_JOB), expected(MAIN_JOB)[0])


def test_garbage_collection_takes_what_nobody_names(cube, read, assert_pixels):  # noqa: F811
    chunk = max((cube / "chunks").iterdir(), key=lambda path: path.stat().st_size)
    orphan = chunk.with_name("0" * 20)
    shutil.copy(chunk, orphan)
    assert official(official_collect_garbage, cube, -1) == [1, 0, 0, 0]
    assert not orphan.exists()
    assert_pixels(read(gdal.Open("SGC:%s,download=no" % cube), *MAIN_JOB), expected(MAIN_JOB)[0])


def window_side(chunk):
    """Architecture 6.8."""
    ny, nx = math.ceil(arcticdem_tiles.CUBE_HEIGHT / chunk), math.ceil(arcticdem_tiles.CUBE_WIDTH / chunk)
    return next(w for w in (16, 32, 64, 128)
                if w == 128 or 2 * math.ceil(ny / w) * math.ceil(nx / w) <= 100000)


@pytest.mark.parametrize("chunk, side", [(3600, 16), (64, 32), (32, 64), (16, 128)])
def test_splitting_rules(server, tmp_path, chunk, side):
    assert window_side(chunk) == side
    load(server, tmp_path / "cube", (7300, 7300, 1, 1), "CHUNK_SIZE=%d" % chunk)
    rules = official(official_splitting, tmp_path / "cube")["rules"]
    assert [[condition.split("(")[1].strip("\"^$)"), chunks] for condition, chunks in rules] == [
        ["time", 1], ["y", side], ["x", side]]


def assert_split(place, side):
    """The channels have several manifests, none of which reaches from one window into another."""
    found = official(official_splitting, place)["extents"]
    for path in ("/dem", "/datamask"):
        for extents in found[path]:
            assert all(first // side == (end - 1) // side for first, end in extents), (path, extents)
        assert len(found[path]) > 1


def test_manifests_stay_split_when_another_process_goes_on(server, cube):
    load(server, cube, FAR_CHUNK)
    assert_split(cube, 16)


def test_manifests_stay_split_when_the_official_library_goes_on(server, cube):
    official(official_commit, cube)
    load(server, cube, FAR_CHUNK)
    assert_split(cube, 16)


# On top of the official library's commits

def test_commit_of_the_official_library(server, cube, run, read, assert_pixels):  # noqa: F811
    snapshot = official(official_commit, cube)
    server.reset()
    dataset = gdal.OpenEx("SGC:%s" % cube, open_options=["SOURCE_URL=" + server.url])
    assert dataset.GetMetadataItem("SNAPSHOT") == snapshot
    assert run(["sgc", "log", "SGC:%s" % cube]).stdout.startswith(snapshot)
    assert_pixels(read(dataset, *MAIN_JOB), expected(MAIN_JOB)[0])
    assert server.log() == []

    assert_pixels(read(dataset, *NEXT_CHUNK), expected(NEXT_CHUNK)[0])
    assert server.tile_requests()
    assert_complete_and_loaded(cube, chunks_of(*FOUR_CHUNKS) | chunks_of(*NEXT_CHUNK))
    assert official(official_root_attributes, cube)["note"] == 'by "somebody" else'
    theirs = [[5 * i // 35, i % 7, 10 * (i // 7) + i % 7] for i in range(35)]
    assert official(official_nonzero, cube, "theirs") == [value for value in theirs if value[2]]
    assert "Theirs" in [commit[1] for commit in official(official_history, cube)]


def test_commit_while_our_handle_is_open(server, cube, read, assert_pixels):  # noqa: F811
    dataset = gdal.OpenEx("SGC:%s" % cube, open_options=["SOURCE_URL=" + server.url])
    assert_pixels(read(dataset, *MAIN_JOB), expected(MAIN_JOB)[0])
    official(official_commit, cube)
    assert_pixels(read(dataset, *NEXT_CHUNK), expected(NEXT_CHUNK)[0])
    assert official(official_history, cube)[1][1] == "Theirs"
    assert official(official_root_attributes, cube)["note"] == 'by "somebody" else'


def test_tag_of_the_official_library(server, cube, read, assert_pixels):  # noqa: F811
    official(official_tag, cube, "v1")
    tip = official(official_history, cube)[0][0]
    load(server, cube, NEXT_CHUNK)
    for name in ("SGC:%s,tag=v1" % cube, "SGC:%s,snapshot=%s" % (cube, tip)):
        old = gdal.Open(name)
        assert old.GetMetadataItem("SNAPSHOT") == tip
        assert_pixels(read(old, *MAIN_JOB), expected(MAIN_JOB)[0])
        with pytest.raises(RuntimeError, match="DOWNLOAD"):
            read(old, *NEXT_CHUNK)
    assert_pixels(read(gdal.Open("SGC:%s,download=no" % cube), *NEXT_CHUNK), expected(NEXT_CHUNK)[0])
