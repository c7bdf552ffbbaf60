"""Cubes that the Python package itself has made: every pixel, and what SGC adds to them."""
import hashlib
import json
import re
import shutil

import numpy as np
from osgeo import gdal
import pytest

from conftest import LocalServer, ROOT
import demo_formula

RELEASE = ROOT / "autotest" / "data" / "release-0.1.6"
EXPECTED = json.loads((RELEASE / "EXPECTED.json").read_text())
STATIC, TEMPORAL = EXPECTED["static.icechunk"], EXPECTED["temporal.icechunk"]
WIDTH, HEIGHT, CHUNK = 700, 640, 256
WHOLE = (0, 0, WIDTH, HEIGHT)
POSITIONS = 9  # of chunks


class ReleaseServer(LocalServer):
    def __init__(self, prefix, stderr):
        super().__init__("release_server.py", RELEASE / "source", prefix, stderr=stderr)

    def files(self):
        return {entry["path"].split("/")[-1] for entry in self.log() if entry["path"].endswith(".tif")}


@pytest.fixture
def serve(tmp_path):
    """serve(prefix) serves the items whose ids begin so."""
    servers = []

    def start(prefix):
        with open(tmp_path / "release_server.stderr", "w") as stderr:
            servers.append(ReleaseServer(prefix, stderr))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def copy(tmp_path):
    """copy(name) copies one of the cubes."""

    def copy_cube(name):
        place = tmp_path / name
        shutil.copytree(RELEASE / name, place)
        return place

    return copy_cube


@pytest.fixture
def define(tmp_path):
    """define(key=value, …) writes a definition of the grid of these cubes and gives its path."""

    def write(api="http://127.0.0.1:9", **changes):
        definition = {
            "type": "CubeDataset", "version": "1", "id": "release", "proj:code": "EPSG:3413",
            "proj:transform": [32, 0, 419840, 0, -32, 1920000], "proj:shape": [HEIGHT, WIDTH],
            "bands": [{"name": "dem", "data_type": "float32", "source_nodata": -9999},
                      {"name": "datamask", "data_type": "bool", "source_nodata": 0}],
            "source": {"kind": "stac", "api": api, "collection": "tiles"}, **changes}
        path = tmp_path / "release.json"
        path.write_text(json.dumps(definition))
        return path

    return write


YEARS = {"time": {"values": ["2020-01-01", "2021-01-01", "2022-01-01"]},
         "bands": [{"name": "dem", "data_type": "float32", "source_nodata": -9999}]}
OFFLINE = ["DOWNLOAD=NO", "ON_MISSING=NODATA"]


def open_cube(place, definition, *options):
    return gdal.OpenEx("SGC:%s,dataset=%s" % (place, definition), open_options=list(options))


def sha256(pixels):
    return hashlib.sha256(np.ascontiguousarray(pixels, "<f4").tobytes()).hexdigest()


def missing(dataset):
    return int(re.match(r"missing=(\d+);", dataset.GetMetadataItem("Window_0_0_%d_%d" % (WIDTH, HEIGHT), "SGC"))[1])


def reset_by_one_commit(place):
    """The branch as it was before the last patch."""
    (place / "refs" / "branch.main" / "ref.json").write_text(json.dumps({"snapshot": STATIC["history"][1][0]}))


@pytest.fixture
def warnings():
    """What GDAL has warned of."""
    found = []

    def collect(severity, number, message):
        if severity == gdal.CE_Warning:
            found.append(message)

    gdal.PushErrorHandler(collect)
    yield found
    gdal.PopErrorHandler()


# Without a source

def test_static_cube_shows_every_pixel(copy, define, read, warnings, contents_of):
    place = copy("static.icechunk")
    before = contents_of(place)
    dataset = open_cube(place, define(), *OFFLINE)
    assert (dataset.RasterXSize, dataset.RasterYSize) == (WIDTH, HEIGHT)
    assert dataset.GetRasterBand(1).GetBlockSize() == [CHUNK, CHUNK]
    dem = read(dataset.GetRasterBand(1), *WHOLE)
    assert sha256(dem) == STATIC["dem"]["sha256_f32le"]
    for row, column, value in STATIC["samples"]:
        assert np.isnan(dem[row, column]) if value is None else dem[row, column] == value
    masks = open_cube(place, define(), "CHANNELS=datamask", *OFFLINE)
    assert (read(masks, *WHOLE) == 1).sum() == STATIC["datamask_true"]
    assert contents_of(place) == before


def test_what_cannot_be_verified_is_said_once(copy, define, read, warnings):
    dataset = open_cube(copy("static.icechunk"), define(), *OFFLINE)
    for _ in range(2):
        read(dataset, *WHOLE)
    assert len([w for w in warnings if "as stored by another program" in w]) == 1
    assert all("not in the cube" not in w for w in warnings)  # something of each chunk is stored


def test_what_was_never_stored_is_missing(copy, define, failure, read, warnings):
    place = copy("temporal.icechunk")
    dataset = open_cube(place, define(**YEARS), "TIME=2021", "DOWNLOAD=NO")  # nobody has filled that year
    assert "9 chunks of this window are not in the cube" in failure(dataset.ReadRaster, *WHOLE)
    dataset = open_cube(place, define(**YEARS), "TIME=2021", *OFFLINE)
    assert np.isnan(read(dataset, *WHOLE)).all()
    assert len([w for w in warnings if "not in the cube" in w]) == 1


def test_temporal_cube_shows_every_step(copy, define, read, warnings):
    place = copy("temporal.icechunk")
    container = open_cube(place, define(**YEARS), *OFFLINE)
    assert container.RasterCount == 0
    dataset = open_cube(place, define(**YEARS), "TIME=2020/2022", *OFFLINE)
    assert [dataset.GetRasterBand(i + 1).GetDescription() for i in range(3)] == TEMPORAL["time"]
    dem = read(dataset, *WHOLE)
    assert sha256(dem) == TEMPORAL["dem"]["sha256_f32le"]
    assert [int(np.isnan(step).sum()) for step in dem] == TEMPORAL["nan_per_step"]
    seen = set()
    for name, _ in container.GetSubDatasets()[:3]:
        opened = gdal.OpenEx(name, open_options=OFFLINE)
        index = int(opened.GetRasterBand(1).GetMetadataItem("DIM_time_INDEX"))
        assert sha256(read(opened, *WHOLE)) == sha256(dem[index])
        seen.add(index)
    assert seen == {0, 1, 2}


def test_temporal_cube_is_an_array(copy, define, warnings):
    name = "SGC:%s,dataset=%s" % (copy("temporal.icechunk"), define(**YEARS))
    group = gdal.OpenEx(name, gdal.OF_MULTIDIM_RASTER, open_options=OFFLINE).GetRootGroup()
    dem, time = group.OpenMDArray("dem"), group.OpenMDArray("time")
    assert sha256(dem.ReadAsArray()) == TEMPORAL["dem"]["sha256_f32le"]
    assert time.GetUnit() == "days since 2020-01-01 00:00:00"
    days = np.datetime64("2020-01-01") + time.ReadAsArray().astype("timedelta64[D]")
    assert [str(day) for day in days] == TEMPORAL["time"]


@pytest.mark.parametrize("changes, message", [
    ({"proj:transform": [32, 0, 419872, 0, -32, 1920000]}, 'its "x" goes from 419856 to 442224, not from 419888'),
    ({"proj:transform": [32, 0, 419840, 0, -32, 1920016]}, 'its "y" goes from'),
    ({"proj:shape": [HEIGHT, WIDTH + 1]}, 'its coordinate "x" has not 701'),
    ({"proj:code": "EPSG:3995"}, "its CRS is not EPSG:3995"),
    ({"time": {"values": ["2020-01-01", "2021-01-01"]}}, 'it has no array "time"'),
    ({"bands": [{"name": "dem", "data_type": "float32"}, {"name": "slope", "data_type": "float32"}]},
     'it has no array "slope"'),
    ({"bands": [{"name": "dem", "data_type": "float64"}]}, 'its "dem" is float32, not float64'),
    ({"bands": [{"name": "dem", "data_type": "float32", "nodata": -9999}]}, 'the fill value of its "dem" is nan'),
])
def test_definitions_of_another_grid(copy, define, failure, changes, message):
    name = "SGC:%s,dataset=%s" % (copy("static.icechunk"), define(**changes))
    found = failure(gdal.Open, name)
    assert "is not what" in found and message in found


@pytest.mark.parametrize("values, message", [
    (["2020-01-01", "2021-01-01", "2022-01-02"], "its time step 2 is 2022-01-01, not 2022-01-02"),
    (["2020-01-01", "2021-01-01"], "its time axis has not 1 to 2"),
    (None, "it has a time axis")])
def test_definitions_of_another_time_axis(copy, define, failure, values, message):
    changes = {**YEARS, "time": {"values": values}} if values else {"bands": YEARS["bands"]}
    name = "SGC:%s,dataset=%s" % (copy("temporal.icechunk"), define(**changes))
    assert message in failure(gdal.Open, name)


def test_without_a_definition(copy, failure):
    assert "name the definition of its grid with DATASET" in failure(gdal.Open, "SGC:%s" % copy("static.icechunk"))


# With a source

def test_complete_chunks_are_verified_and_stay(copy, define, read, serve, contents_of):
    server = serve("s")
    place = copy("static.icechunk")
    chunks = contents_of(place / "chunks")
    dataset = open_cube(place, define(server.base))
    assert missing(dataset) == POSITIONS
    assert sha256(read(dataset.GetRasterBand(1), *WHOLE)) == STATIC["dem"]["sha256_f32le"]
    assert server.files() == set()
    assert contents_of(place / "chunks") == chunks
    assert missing(dataset) == 0
    server.close()
    again = open_cube(place, define(server.base))  # nothing is asked any more
    assert sha256(read(again.GetRasterBand(1), *WHOLE)) == STATIC["dem"]["sha256_f32le"]
    said = gdal.OpenEx("SGC:%s" % place)  # now the cube says what it is
    assert sha256(read(said.GetRasterBand(1), *WHOLE)) == STATIC["dem"]["sha256_f32le"]


def test_the_missing_patch_is_taken_from_the_source(copy, define, read, serve, run):
    server = serve("s")
    place = copy("static.icechunk")
    reset_by_one_commit(place)
    dataset = open_cube(place, define(server.base))
    assert sha256(read(dataset.GetRasterBand(1), *WHOLE)) == STATIC["dem"]["sha256_f32le"]
    masks = open_cube(place, define(server.base), "CHANNELS=datamask")
    assert (read(masks, *WHOLE) == 1).sum() == STATIC["datamask_true"]
    assert server.files() == {"s1_dem.tif", "s1_datamask.tif"}
    assert run(["sgc", "verify", "SGC:%s" % place, "--chunks"]).stdout.endswith("no defects\n")


def test_window_by_window(copy, define, read, serve):
    server = serve("s")
    place = copy("static.icechunk")
    reset_by_one_commit(place)
    dem = np.empty((HEIGHT, WIDTH), np.float32)
    for x in range(0, WIDTH, 100):
        for y in range(0, HEIGHT, 160):
            band = open_cube(place, define(server.base), "CHANNELS=dem")
            dem[y:y + 160, x:x + 100] = read(band, x, y, 100, 160)
    assert sha256(dem) == STATIC["dem"]["sha256_f32le"]


def test_cubes_of_our_own_have_the_very_pixels(tmp_path, define, read, serve):
    server = serve("s")
    own = {"chunk_shape": [CHUNK, CHUNK]}
    static = open_cube(tmp_path / "static", define(server.base, **own), "CREATE=YES")
    assert sha256(read(static.GetRasterBand(1), *WHOLE)) == STATIC["dem"]["sha256_f32le"]
    masks = open_cube(tmp_path / "static", define(server.base, **own), "CHANNELS=datamask")
    assert (read(masks, *WHOLE) == 1).sum() == STATIC["datamask_true"]
    server.close()
    server = serve("t")
    temporal = open_cube(tmp_path / "temporal", define(server.base, **own, **YEARS), "CREATE=YES", "TIME=2020/2022")
    assert sha256(read(temporal, *WHOLE)) == TEMPORAL["dem"]["sha256_f32le"]


def test_stored_steps_are_verified_and_stay(copy, define, read, serve, contents_of):
    server = serve("t")
    place = copy("temporal.icechunk")
    chunks = contents_of(place / "chunks")
    dataset = open_cube(place, define(server.base, **YEARS), "TIME=2020/2022")
    assert sha256(read(dataset, *WHOLE)) == TEMPORAL["dem"]["sha256_f32le"]
    assert server.files() == set()
    assert contents_of(place / "chunks") == chunks
    server.close()
    assert sha256(read(dataset, *WHOLE)) == TEMPORAL["dem"]["sha256_f32le"]


def test_stored_pixels_come_first(copy, define, read, assert_pixels):
    """From another source, so that it can be told who gave a pixel; its patches need no request."""
    place = copy("temporal.icechunk")
    changes = {**YEARS, "source": {"kind": "synthetic"}}
    stored = read(open_cube(copy("static.icechunk").parent / "temporal.icechunk", define(**YEARS),
                            "TIME=2020/2022", *OFFLINE), *WHOLE)
    for composite in ("first", "last", "max"):
        shutil.rmtree(place)
        place = copy("temporal.icechunk")
        dataset = open_cube(place, define(**changes, composite=composite), "TIME=2020/2022")
        assert missing(dataset) == 3 * POSITIONS
        pixels = read(dataset, *WHOLE)
        for step in range(3):
            terrain = demo_formula.window(*WHOLE, step=step)
            if composite != "first":
                terrain = pixels[step]
            assert_pixels(pixels[step], np.where(np.isnan(stored[step]), terrain, stored[step]))
        assert not np.isnan(pixels).any()


def test_levels_of_such_a_cube(copy, define, read, assert_pixels):
    place = copy("temporal.icechunk")
    dataset = open_cube(place, define(**YEARS, source={"kind": "synthetic"}), "TIME=2021")
    band = dataset.GetRasterBand(1).GetOverview(0)
    assert_pixels(read(band, 0, 0, 350, 320), demo_formula.window(0, 0, 350, 320, factor=2, step=1))
