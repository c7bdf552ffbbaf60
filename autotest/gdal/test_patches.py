"""The vector layer `patches`: which patches there are, and what is in the cube of them."""
from collections import Counter
import json
import shutil

from osgeo import gdal, ogr
import pytest

import arcticdem_tiles
from conftest import FileServer, ROOT

PATCH, MARGIN, HEIGHT, WIDTH = 2500, 100, 100, 20000
COLUMNS = range(9)
STRIP = {  # patches 00_00, 00_01 and so on of the imaginary terrain, side by side
    "type": "CubeDataset", "version": "1", "id": "strip", "proj:code": "EPSG:3413",
    "proj:transform": [40, 0, -2000000, 0, -40, 2000000], "proj:shape": [HEIGHT, WIDTH], "chunk_shape": [100, 100],
    "bands": [{"name": "h", "data_type": "float32"}], "source": {"kind": "synthetic"}}


def pixels_of(column):
    """First column and one past the last of a patch, cut at the edges of the cube."""
    return max(PATCH * column - MARGIN, 0), min(PATCH * (column + 1) + MARGIN, WIDTH)


def load(raster, first, end):
    raster.ReadRaster(first, 0, end - first, HEIGHT)


def layer_of(place, *options):
    """The layer of an existing cube, opened for nothing else, and its dataset."""
    dataset = gdal.OpenEx("SGC:%s" % place, gdal.OF_VECTOR, open_options=list(options))
    assert dataset.GetLayerCount() == 1 and dataset.RasterCount == 0
    return dataset, dataset.GetLayerByName("patches")


def rows(layer):
    """What the features say, by id, level and time."""
    found = {}
    for feature in layer:
        row = feature.items()
        geometry = feature.GetGeometryRef()
        row["envelope"] = geometry.GetEnvelope() if geometry else None
        key = row.pop("id"), row.pop("level"), row.pop("time")
        assert key not in found
        found[key] = row
    return found


def states(layer):
    return {id: row["state"] for (id, level, _), row in rows(layer).items() if level == 1}


def messages_of(call):
    """What is said while `call` runs: severities and texts."""
    said = []
    gdal.DontUseExceptions()  # which GDAL 3.7 and later raise for layers too
    gdal.PushErrorHandler(lambda severity, number, text: said.append((severity, text)))
    try:
        call()
    finally:
        gdal.PopErrorHandler()
        gdal.UseExceptions()
    return said


@pytest.fixture
def strip(open_document):
    """An empty cube of the strip, opened as a raster."""
    return open_document(STRIP)


@pytest.fixture
def loaded(strip):
    """The same with patch 2, and with it the edges of 1 and 3, and a part of 5."""
    load(strip, *pixels_of(2))
    load(strip, 13000, 13100)
    return strip


EXPECTED = dict({"00_%02d" % column: "absent" for column in COLUMNS},
                **{"00_01": "partial", "00_02": "loaded", "00_03": "partial", "00_05": "partial"})


def test_states(loaded, cube):
    dataset, layer = layer_of(cube)
    assert states(layer) == EXPECTED


def test_a_cube_that_is_not_made_yet(open_document, cube):
    raster = open_document(STRIP)  # for rasters and vectors
    assert raster.RasterCount == 1 and raster.GetLayerCount() == 1
    assert set(states(raster.GetLayer(0)).values()) == {"absent"}
    assert not cube.exists()


def test_only_those_who_ask_get_the_layer(loaded, cube):
    raster = gdal.OpenEx("SGC:%s" % cube, gdal.OF_RASTER)
    assert raster.GetLayerCount() == 0 and raster.GetLayer(0) is None
    assert gdal.GetDriverByName("SGC").GetMetadataItem(gdal.DCAP_VECTOR) == "YES"


def test_nothing_is_looked_up_before_somebody_reads(loaded, cube):
    dataset = gdal.OpenEx("SGC:%s" % cube)
    shutil.rmtree(cube / "snapshots")
    layer = dataset.GetLayer(0)
    assert layer.GetLayerDefn().GetFieldCount() == 9
    failures = messages_of(layer.GetFeatureCount)
    assert len(failures) == 1 and "snapshots" in failures[0][1] and failures[0][0] == gdal.CE_Failure
    assert layer.GetNextFeature() is None


def test_options_for_other_drivers(loaded, cube):
    """QGIS asks each driver for all layers in this way, when a vector layer is added or browsed."""
    dataset, layer = layer_of(cube, "@LIST_ALL_TABLES=YES")
    assert states(layer) == EXPECTED


def test_nobody_writes(loaded, cube):
    dataset, layer = layer_of(cube)
    for capability in ogr.OLCSequentialWrite, ogr.OLCRandomWrite, ogr.OLCDeleteFeature, ogr.OLCCreateField:
        assert not layer.TestCapability(capability)
    with pytest.raises(RuntimeError):
        gdal.OpenEx("SGC:%s" % cube, gdal.OF_VECTOR | gdal.OF_UPDATE)


def test_each_opening_shows_the_newest_state(strip, cube):
    assert set(states(strip.GetLayer(0)).values()) == {"absent"}
    load(strip, *pixels_of(7))
    dataset, layer = layer_of(cube)
    assert states(layer)["00_07"] == "loaded"
    load(strip, *pixels_of(4))
    dataset, layer = layer_of(cube)
    assert states(layer)["00_04"] == states(layer)["00_07"] == "loaded"


def test_fields_and_footprints(loaded, cube, run):
    commits = [line.split("  ") for line in run(["sgc", "log", "SGC:%s" % cube]).stdout.splitlines()]
    dataset, layer = layer_of(cube)
    assert layer.GetSpatialRef().IsSame(loaded.GetSpatialRef())
    assert layer.GetGeomType() == ogr.wkbPolygon
    found = rows(layer)
    for column in COLUMNS:
        row = found["00_%02d" % column, 1, None]
        left, right = (-2000000 + 40 * pixel for pixel in pixels_of(column))
        assert row["envelope"] == (left, right, 2000000 - 40 * HEIGHT, 2000000)
        assert row["href"] is None
    for id, commit in (("00_02", commits[1]), ("00_05", commits[0])):
        row = found[id, 1, None]
        assert row["snapshot"] == commit[0]
        assert row["commit_time"] == commit[1].replace("-", "/").replace("T", " ").replace("Z", "+00")
    assert found["00_00", 1, None]["snapshot"] is None


def test_what_a_snapshot_shows(loaded, cube, run):
    """Of the cube as it was then."""
    commits = [line.split("  ")[0] for line in run(["sgc", "log", "SGC:%s" % cube]).stdout.splitlines()]
    dataset, layer = layer_of(cube, "SNAPSHOT=" + commits[1])
    assert states(layer) == dict(EXPECTED, **{"00_05": "absent"})


def test_filters(loaded, cube):
    dataset, layer = layer_of(cube)
    layer.SetAttributeFilter("state = 'partial' AND id > '00_01'")
    assert list(states(layer)) == ["00_03", "00_05"]
    layer.SetAttributeFilter(None)
    x = -2000000 + 40 * (PATCH * 4 + 1000)
    layer.SetSpatialFilterRect(x, 1999000, x + 10, 1999010)
    assert list(states(layer)) == ["00_04"]
    layer.SetSpatialFilter(None)
    result = dataset.ExecuteSQL("SELECT DISTINCT state FROM patches")
    assert {feature["state"] for feature in result} == set(EXPECTED.values())
    dataset.ReleaseResultSet(result)
    result = dataset.ExecuteSQL("SELECT state, COUNT(*) AS n FROM patches GROUP BY state", dialect="SQLITE")
    assert {feature["state"]: feature["n"] for feature in result} == Counter(EXPECTED.values())
    dataset.ReleaseResultSet(result)


def test_levels(strip, cube):
    """Of coarser levels those that are in the cube."""
    strip.GetRasterBand(1).GetOverview(0).ReadRaster(1250, 0, 100, 50)
    dataset, layer = layer_of(cube)
    found = rows(layer)
    assert {key: row["state"] for key, row in found.items() if key[1] > 1} == {
        ("00_00", 2, None): "partial", ("00_01", 2, None): "partial"}
    assert {row["state"] for key, row in found.items() if key[1] == 1} == {"absent"}


def test_programs(loaded, cube, tmp_path, run):
    name = "SGC:%s" % cube
    text = run(["ogrinfo", "-al", "-where", "state='loaded'", name]).stdout
    assert "Feature Count: 1" in text and "id (String) = 00_02" in text and "using driver `SGC'" in text
    for file, options in (("patches.gpkg", ()), ("patches.geojson", ("-t_srs", "OGC:CRS84"))):
        run(["ogr2ogr", *options, tmp_path / file, name, "patches"])
        copy = ogr.Open(str(tmp_path / file))
        assert states(copy.GetLayer(0)) == EXPECTED
    _, _, south, north = copy.GetLayer(0).GetExtent()
    assert 60 < south < north < 75


# Patches of a time axis

YEARS = ["2019-01-01", "2020-01-01", "2021-01-01"]


def test_steps(open_document, cube):
    document = {**STRIP, "time": {"values": YEARS}}
    load(open_document(document, TIME="2020"), *pixels_of(2))
    dataset, layer = layer_of(cube)
    found = rows(layer)
    assert len(found) == len(YEARS) * len(COLUMNS)
    assert {key[2] for key in found} == {"%s 00:00:00+00" % year.replace("-", "/") for year in YEARS}
    assert {key[0]: row["state"] for key, row in found.items() if row["state"] != "absent"} == {
        "1-00_01": "partial", "1-00_02": "loaded", "1-00_03": "partial"}
    dataset, layer = layer_of(cube, "TIME=2020/2021")
    assert {key[2][:4] for key in rows(layer)} == {"2020", "2021"}
    with pytest.raises(RuntimeError, match="2030"):
        layer_of(cube, "TIME=2030")


# Bounds

def test_too_many_absent_ones(loaded, cube, config):
    config(SGC_MAX_ABSENT_PATCHES="8")
    dataset, layer = layer_of(cube)
    said = messages_of(layer.GetFeatureCount)
    assert len(said) == 1 and said[0][0] == gdal.CE_Warning and "more than 8" in said[0][1]
    assert states(layer) == {id: state for id, state in EXPECTED.items() if state != "absent"}
    config(SGC_MAX_ABSENT_PATCHES="9")
    dataset, layer = layer_of(cube)
    assert states(layer) == EXPECTED


# Files of a service

@pytest.fixture
def server(tmp_path):
    """Serves a tile of 100 pixels, 1_1."""
    served = tmp_path / "served"
    served.mkdir()
    tile = gdal.GetDriverByName("GTiff").Create(str(served / "1_1.tif"), 100, 100, 1, gdal.GDT_Byte)
    tile.SetGeoTransform((0, 10, 0, 1000, 0, -10))
    tile.GetRasterBand(1).Fill(7)
    del tile
    server = FileServer(served)
    yield server
    server.close()


def two_tiles(server, path="/{col}_{row}.tif", **changes):
    """A definition of tiles 1_1 and 2_1."""
    return {
        "type": "CubeDataset", "version": "1", "id": "two", "proj:code": "EPSG:32632",
        "proj:transform": [10, 0, 0, 0, -10, 1000], "proj:shape": [100, 200], "chunk_shape": [50, 50],
        "bands": [{"name": "b", "data_type": "uint8", "nodata": 0}],
        "source": {"kind": "tiles", "href": server.url + path + "?key={config:SECRET}", "id": "{col}_{row}",
                   "tile": {"origin": [0, 0], "size": [1000, 1000]}}, **changes}


def test_each_step_has_patches_of_its_own(server, open_document, cube, tmp_path, config):
    config(SECRET="hush")
    for month in "2", "3":
        (tmp_path / "served" / month).mkdir()
        shutil.copy(tmp_path / "served" / "1_1.tif", tmp_path / "served" / month)
    document = two_tiles(server, "/{t_month}/{col}_{row}.tif",
                         time={"start": "2020-01-01", "end": "2020-03-01", "step": "P1M"})
    document["source"]["id"] = "{t_year}-{t_month}_{col}_{row}"
    open_document(document, TIME="2020-02").ReadRaster(0, 0, 100, 100)
    dataset, layer = layer_of(cube, "DATASET=" + str(cube.parent / "definition.json"))
    found = rows(layer)
    assert len(found) == 6
    assert {(key[0], key[2][:7], row["state"]) for key, row in found.items() if row["state"] != "absent"} == {
        ("2020-2_1_1", "2020/02", "loaded")}
    before = {key: row["snapshot"] for key, row in found.items() if row["snapshot"]}
    open_document(document, TIME="2020-03").ReadRaster(0, 0, 100, 100)
    dataset, layer = layer_of(cube, "DATASET=" + str(cube.parent / "definition.json"))
    after = {key: row["snapshot"] for key, row in rows(layer).items() if row["snapshot"]}
    assert len(before) == 1 and len(after) == 2 and len(set(after.values())) == 2
    assert before.items() <= after.items()


def test_missing_tiles_are_empty(server, open_document, cube, config):
    raster = open_document(two_tiles(server))
    config(SECRET="hush")
    layer = raster.GetLayer(0)
    assert states(layer) == {"1_1": "absent", "2_1": "absent"}
    assert {feature["href"] for feature in layer} == {server.url + "/1_1.tif", server.url + "/2_1.tif"}
    assert server.log() == []
    raster.ReadRaster(0, 0, 150, 100)
    server.reset()
    dataset, layer = layer_of(cube, "DATASET=" + str(cube.parent / "definition.json"))
    found = {key[0]: row for key, row in rows(layer).items()}
    assert {id: row["state"] for id, row in found.items()} == {"1_1": "loaded", "2_1": "empty"}
    assert found["1_1"]["bytes"] > 100 and found["1_1"]["href"] == server.url + "/1_1.tif"
    assert server.log() == []
    raster.ReadRaster(0, 0, 200, 100)
    dataset, layer = layer_of(cube, "DATASET=" + str(cube.parent / "definition.json"))
    assert states(layer) == {"1_1": "loaded", "2_1": "empty"}


def test_patches_that_only_a_search_finds(start_stac_server, searching, cube):
    """Where they are is in the commits; of others nobody is asked."""
    names = ["66_33", "66_34"]
    server = start_stac_server(only=names)
    options = ["DATASET=%s" % searching, "SOURCE_URL=" + server.url, "CREATE=YES", "CHUNK_SIZE=600"]
    raster = gdal.OpenEx("SGC:%s" % cube, open_options=options)
    assert raster.GetLayer(0).GetFeatureCount() == 0
    assert server.log() == []
    tile = arcticdem_tiles.tile_from_name("66_33")
    x, y = arcticdem_tiles.tile_offset(tile)
    raster.ReadRaster(x + 1000, y + 1000, 200, 200)
    server.close()
    dataset, layer = layer_of(cube, *options)
    (key, row), = rows(layer).items()
    west, south, east, north = arcticdem_tiles.tile_bounds(tile)
    assert key[0] == arcticdem_tiles.item_id(tile) and row["state"] == "partial"
    assert row["envelope"] == (west, east, south, north)
    assert row["href"] == server.base + server.tile_path("66_33")


def test_cubes_of_the_python_package(tmp_path):
    """Their commits tell no places, and an API no patches without a request: the ids are shown."""
    release = ROOT / "autotest" / "data" / "release-0.1.6"
    place = tmp_path / "static"
    shutil.copytree(release / "static.icechunk", place)
    definition = tmp_path / "release.json"
    definition.write_text(json.dumps({
        "type": "CubeDataset", "version": "1", "id": "release", "proj:code": "EPSG:3413",
        "proj:transform": [32, 0, 419840, 0, -32, 1920000], "proj:shape": [640, 700],
        "bands": [{"name": "dem", "data_type": "float32", "source_nodata": -9999},
                  {"name": "datamask", "data_type": "bool", "source_nodata": 0}],
        "source": {"kind": "stac", "api": "http://127.0.0.1:9", "collection": "tiles"}}))
    dataset, layer = layer_of(place, "DATASET=%s" % definition)
    found = rows(layer)


    expected = json.loads((release / "EXPECTED.json").read_text())["static.icechunk"]
    assert {key[0] for key in found} == set(expected["loaded_patches"])
    assert {row["state"] for row in found.values()} == {"loaded"}
    assert {row["envelope"] for row in found.values()} == {None}
