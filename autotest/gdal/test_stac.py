"""Sources of kind stac: static items, lattices, index files, pages of all styles, signatures, and what
Earth Search and Planetary Computer have answered."""
import json
import os
import re
import subprocess
import sys
import urllib.request

import numpy as np
from osgeo import gdal, osr
import pytest

import arcticdem_tiles
from conftest import FileServer, TILES
from test_processes import root_attributes

EXISTING = ["65_33", "66_33", "66_34", "67_33", "67_34", "68_34"]
COLUMN, ROW = 100800, 43200  # of the 32 m grid, where the cubes of these tests begin
SHAPE = [7200, 3600]
OVERLAP = (2200, 3600, 300, 300)  # where 66_33, 66_34, 67_33 and 67_34 meet
COAST = (100, 400, 400, 300)  # of 67_33 and 68_33, which does not exist
ALONE = (100, 3300, 250, 250)  # of 67_33 alone
ITEMS = "/arcticdem/mosaics/v4.1/32m"
QUICK = {"GDAL_HTTP_RETRY_DELAY": "0.01"}
COLLECTION = "arcticdem-mosaics-v4.1-32m"


def expected_dem(window, names=EXISTING):
    x, y, width, height = window
    tiles = [arcticdem_tiles.tile_from_name(name) for name in names]
    return arcticdem_tiles.cube_window(COLUMN + x, ROW + y, width, height, tiles)[0]


def definition(source, **changes):
    return {
        "type": "CubeDataset", "version": "1", "id": "tiles", "proj:code": "EPSG:3413",
        "proj:transform": [32, 0, -4000096 + 32 * COLUMN, 0, -32, 4100096 - 32 * ROW],
        "proj:shape": SHAPE, "chunk_shape": [600, 600],
        "bands": [{"name": "dem", "data_type": "float32"}], "source": {"kind": "stac", **source}, **changes,
    }


@pytest.fixture
def make_cube(tmp_path):
    """make_cube(source, …) opens a new cube of a definition with this source."""
    count = [0]

    def make(source, options=(), **changes):
        count[0] += 1
        file = tmp_path / ("definition-%d.json" % count[0])
        file.write_text(json.dumps(definition(source, **changes)))
        name = "SGC:%s,dataset=%s,create=yes" % (tmp_path / ("cube-%d" % count[0]), file)
        return gdal.OpenEx(name, open_options=list(options))

    return make


@pytest.fixture
def server(start_stac_server):
    return start_stac_server(only=EXISTING)


@pytest.fixture(autouse=True)
def index_cache(tmp_path, config):
    directory = tmp_path / "index-cache"
    config(SGC_INDEX_CACHE=str(directory), **QUICK)
    return directory


def api(server, **more):
    return {"api": server.url, "collection": COLLECTION, **more}


def requests_for(server, pattern):
    return [entry for entry in server.log() if re.search(pattern, entry["path"])]


# Searches

def of_instants(years):
    """A cube of 67_33 alone, whose item is of 2011 to 2021."""
    x, y, width, height = ALONE
    return {
        "proj:transform": [32, 0, -4000096 + 32 * (COLUMN + x), 0, -32, 4100096 - 32 * (ROW + y)],
        "proj:shape": [height, width], "chunk_shape": [200, 200],
        "time": {"values": ["%d-01-01" % year for year in years], "cell": "instant"}}


def test_item_of_several_instants_is_loaded_when_all_its_steps_are(server, make_cube, read, tmp_path):
    """The Python package takes a patch that is listed for loaded in every step."""
    make_cube(api(server), **of_instants([2010, 2012, 2016, 2020, 2024]))
    name = "SGC:%s,create=yes,dataset=%s" % (tmp_path / "cube-1", tmp_path / "definition-1.json")
    listed = []
    for year in 2012, 2020, 2016:
        read(gdal.OpenEx(name, open_options=["TIME=%d" % year]), 0, 0, *ALONE[2:])
        listed.append(root_attributes(tmp_path / "cube-1")["loaded_patches"])
    assert listed == [[], [], ["67_33_32m_v4.1"]]


def test_item_of_several_instants_is_listed_once(server, make_cube, read, tmp_path):
    dataset = make_cube(api(server), ["TIME=2012/2020"], **of_instants([2012, 2016, 2020]))
    read(dataset, 0, 0, *ALONE[2:])
    assert root_attributes(tmp_path / "cube-1")["loaded_patches"] == ["67_33_32m_v4.1"]


@pytest.mark.parametrize("paging", ["pgstac", "earth-search", "merge", "get"])
def test_all_pages_in_every_style(start_stac_server, make_cube, read, assert_pixels, paging):
    server = start_stac_server(only=EXISTING, max_limit=1, paging=paging)
    dataset = make_cube(api(server, limit=1))
    assert_pixels(read(dataset, *OVERLAP), expected_dem(OVERLAP))
    assert len(server.search_requests()) >= 4


def test_explicit_limit_and_filter(server, make_cube, read, assert_pixels):
    query = {"op": "or", "args": [{"op": "=", "args": [{"property": "pgc:tile"}, name]}
                                  for name in ("66_33", "67_34")]}
    dataset = make_cube(api(server, limit=3, query=query))
    assert_pixels(read(dataset, *OVERLAP), expected_dem(OVERLAP, ["66_33", "67_34"]))
    body = json.loads(server.search_requests()[0]["body"])
    assert body["limit"] == 3
    assert body["filter"] == query and body["filter-lang"] == "cql2-json"
    assert "datetime" not in body


def test_refused_filter_says_what_the_service_says(server, make_cube, read):
    dataset = make_cube(api(server, query={"op": "like", "args": [{"property": "pgc:tile"}, "6%"]}))
    with pytest.raises(RuntimeError, match="400: filter: 'like' is not supported by this server"):
        read(dataset, *OVERLAP)


def test_answer_is_remembered_for_the_same_place(server, make_cube, read, assert_pixels):
    dataset = make_cube(api(server))
    server.fault(server.tile_path("67_33"), status=404)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="67_33_32m_v4.1.*404"):
            read(dataset, *ALONE)
    server.reset()
    assert_pixels(read(dataset, *ALONE), expected_dem(ALONE))
    assert server.search_requests() == []


ELSEWHERE = {"proj:code": "EPSG:3413", "proj:shape": [10, 10], "proj:transform": [32, 0, 9e6, 0, -32, 9e6]}


@pytest.mark.parametrize("endless", [None, "a", "elsewhere-%d"], ids=["redirect loop", "same item", "items elsewhere"])
def test_search_without_end(server, make_cube, read, assert_pixels, endless):
    if endless:
        for i in range(20):
            link = {"rel": "next", "method": "POST", "href": "search", "body": {"token": str(i)}}
            names = [endless % n for n in range(1000 * i, 1000 * (i + 1))] if "%" in endless else [endless]
            page = {"type": "FeatureCollection", "links": [link], "features": [
                {"id": name, "assets": {}, "properties": ELSEWHERE, "bbox": [0, 0, 1, 1]} for name in names]}
            server.fault("/api/v1/search", status=200, times=1, body=json.dumps(page))
    else:
        server.fault("/api/v1/search", redirect_to=server.url + "search", status=307)
    dataset = make_cube(api(server))
    with pytest.raises(RuntimeError, match="endless" if endless else "redirect"):
        read(dataset, *OVERLAP)
    assert len(server.search_requests()) < 20
    server.reset()
    assert_pixels(read(dataset, *OVERLAP), expected_dem(OVERLAP))


@pytest.mark.parametrize("row, column, names", [
    (58, 23, ["57_22", "57_23", "58_22", "58_23", "58_24", "59_23"]),  # the antimeridian runs through 58_23
    (40, 40, ["40_40", "40_41", "41_40", "41_41", "39_40", "43_40"]),  # the pole is a corner of four
], ids=["antimeridian", "pole"])
def test_search_where_longitudes_are_odd(start_stac_server, make_cube, read, assert_pixels, row, column, names):
    server = start_stac_server(only=names)
    x, y = arcticdem_tiles.tile_offset((row, column))
    side = 3200  # a little more than the tile and its neighbours' overlaps
    dataset = make_cube(api(server), **{
        "proj:transform": [32, 0, -4000096 + 32 * (x - 30), 0, -32, 4100096 - 32 * (y - 30)],
        "proj:shape": [side, side], "chunk_shape": [800, 800]})
    tiles = [arcticdem_tiles.tile_from_name(name) for name in names]
    expected = arcticdem_tiles.cube_window(x - 30, y - 30, side, side, tiles)[0]
    assert_pixels(read(dataset, 0, 0, side, side), expected)

    def meets(tile):
        left, top = arcticdem_tiles.tile_offset(tile)
        size = arcticdem_tiles.TILE_SIZE
        return left < x - 30 + side and left + size > x - 30 and top < y - 30 + side and top + size > y - 30

    assert {name for name, _ in server.tile_requests()} == {
        arcticdem_tiles.tile_name(tile) for tile in tiles if meets(tile)}


# Items by id: a lattice of tiles, an index

def lattice(server, items=ITEMS + "/{id}.json", **more):
    """Items in the bucket lie below directories with their tile's name, so these go by the API."""
    return {"items": server.base + items, "id": "{row|02}_{col|02}_32m_v4.1", "buffer": 3,
            "tile": {"origin": [-4000000, -4000000], "size": [100000, 100000], "first": [1, 1]}, **more}


API_ITEMS = "/api/v1/collections/%s/items/{id}" % COLLECTION


def test_lattice_needs_no_search(server, make_cube, read, assert_pixels):
    dataset = make_cube(lattice(server, API_ITEMS))
    assert_pixels(read(dataset, *OVERLAP), expected_dem(OVERLAP))
    items = [entry["path"].rpartition("/")[2] for entry in requests_for(server, "/items/")]
    assert sorted(items) == ["%s_32m_v4.1" % n for n in ("66_33", "66_34", "67_33", "67_34")]
    assert server.search_requests() == []
    again = read(dataset, OVERLAP[0] - 900, *OVERLAP[1:])
    assert_pixels(again, expected_dem((OVERLAP[0] - 900, *OVERLAP[1:])))
    assert len(requests_for(server, "/items/66_33")) == 1


def test_tile_that_the_lattice_only_supposed_is_no_error(server, make_cube, read, assert_pixels):
    dataset = make_cube(lattice(server, API_ITEMS))
    assert_pixels(read(dataset, *COAST), expected_dem(COAST))
    assert {entry["status"] for entry in requests_for(server, "/items/68_33")} == {404}
    assert len(requests_for(server, "/items/68_33")) == 1


@pytest.mark.parametrize("status", [403, 500])
def test_item_that_could_not_be_asked_for_is_never_sea(server, make_cube, read, assert_pixels, status):
    server.fault(API_ITEMS.format(id="68_33_32m_v4.1"), status=status, body="the service says no")
    dataset = make_cube(lattice(server, API_ITEMS, retries=1))
    with pytest.raises(RuntimeError, match="68_33_32m_v4.1.*%d" % status):
        read(dataset, *COAST)
    server.reset()
    assert_pixels(read(dataset, *COAST), expected_dem(COAST))


def test_status_that_the_definition_lists_is_a_missing_item(server, make_cube, read, assert_pixels):
    server.fault(API_ITEMS.format(id="68_33_32m_v4.1"), status=403)
    dataset = make_cube(lattice(server, API_ITEMS, missing_status=[403]))
    assert_pixels(read(dataset, *COAST), expected_dem(COAST))


@pytest.mark.parametrize("body", ["<html>Please log in</html>", "{", "[]", "{}",
                                  '{"id": "66_33_32m_v4.1", "assets": {}, "properties": {}}'])
def test_nonsense_for_an_item(server, make_cube, read, body):
    server.fault(API_ITEMS.format(id="67_33_32m_v4.1"), status=200, body=body, content_type="text/html")
    dataset = make_cube(lattice(server, API_ITEMS))
    with pytest.raises(RuntimeError, match="67_33_32m_v4.1"):
        read(dataset, *COAST)


def test_file_that_an_item_promised_must_exist(server, make_cube, read):
    server.fault(server.tile_path("67_33"), status=404)
    dataset = make_cube(lattice(server, API_ITEMS))
    with pytest.raises(RuntimeError, match="67_33_32m_v4.1.*404"):
        read(dataset, *COAST)


def test_lattice_with_too_small_a_buffer(server, make_cube, read):
    dataset = make_cube({**lattice(server, API_ITEMS), "buffer": 2})
    with pytest.raises(RuntimeError, match="67_33_32m_v4.1.*buffer"):
        read(dataset, *COAST)


def test_collection_that_does_not_exist(server, make_cube, read, tmp_path):
    """Services find nothing in it: without a question that is an empty cube."""
    dataset = make_cube({**api(server), "collection": "arcticdem-mosaics-v4.1-32n"})
    for _ in range(2):
        with pytest.raises(RuntimeError, match='definition-1.json: /source/collection: .*"arcticdem-mosaics-v4.1-32n"'):
            read(dataset, *ALONE)


@pytest.mark.parametrize("status", [None, 403])
def test_nothing_found_in_a_collection_that_exists(start_stac_server, make_cube, read, status):
    server = start_stac_server(only=["65_33"])
    if status:
        server.fault("/api/v1/collections/" + COLLECTION, status=status)
    dataset = make_cube(api(server))
    for x in 0, 1000:
        assert np.isnan(read(dataset, x, 0, 100, 100)).all()
    assert len(requests_for(server, "/collections/[^/]*$")) == 1


def test_assets_that_no_item_has(server, make_cube, read, assert_pixels, tmp_path):
    def bands(*names):
        return [{"name": name, "data_type": "float32"} for name in names]

    with pytest.raises(RuntimeError, match='no item has an asset "dme".*they have "dem", "mad", "datamask"'):
        read(make_cube(api(server), bands=bands("dme")), *ALONE)
    with pytest.raises(RuntimeError, match="/bands/0/name differs.*holds no data yet: to begin anew, remove .*cube-1$"):
        file = tmp_path / "definition-1.json"
        file.write_text(json.dumps(definition(api(server))))
        read(gdal.Open("SGC:%s,dataset=%s" % (tmp_path / "cube-1", file)), *ALONE)
    dem, slope = read(make_cube(api(server), bands=bands("dem", "slope")), *ALONE)  # which may come
    assert_pixels(dem, expected_dem(ALONE))
    assert np.isnan(slope).all()


@pytest.mark.parametrize("overview", [None, 1])
def test_item_that_promises_another_shape(server, make_cube, read, overview):
    """Also where a read goes beyond what the item promises."""
    path = API_ITEMS.format(id="67_33_32m_v4.1")
    with urllib.request.urlopen(server.base + path) as answer:
        item = json.load(answer)
    item["properties"]["proj:shape"][1] -= 500
    server.fault(path, status=200, body=json.dumps(item), content_type="application/geo+json")
    dataset = make_cube(lattice(server, API_ITEMS))
    band = dataset.GetRasterBand(1)
    if overview is not None:
        band = band.GetOverview(overview)
    with pytest.raises(RuntimeError, match="67_33_32m_v4.1.*promises"):
        read(band, 1900 * band.XSize // SHAPE[1], 3300 * band.YSize // SHAPE[0], 5, 5)


@pytest.mark.parametrize("change, message", [
    ({"sign": "planetary-computer"}, "/source/collection: its token is asked for"),
    ({"items": "http://127.0.0.1/{id}-{row}.json"}, "/source/items.*{id} and no other"),
    ({"api": "http://127.0.0.1/", "items": None}, "/source/collection: required"),
    ({"query": {"op": "=", "args": [1, 1]}}, "/source/query: goes with a search"),
])
def test_source_that_makes_no_sense(server, make_cube, change, message):
    source = {**lattice(server), **change}
    with pytest.raises(RuntimeError, match=message):
        make_cube({key: value for key, value in source.items() if value is not None})


def index(server, file, **more):
    return {"items": server.base + API_ITEMS, "index": {"href": server.base + "/index/" + file,
                                                        "id_column": "dem_id", **more}}


@pytest.mark.parametrize("file, member", [("tiles.geojson", None), ("tiles.gpkg", None),
                                          ("tiles_gpkg.zip", "tiles.gpkg")])
def test_index(server, make_cube, read, assert_pixels, index_cache, file, member):
    source = index(server, file, **({"member": member} if member else {}))
    dataset = make_cube(source)
    assert_pixels(read(dataset, *OVERLAP), expected_dem(OVERLAP))
    assert_pixels(read(dataset, *COAST), expected_dem(COAST))
    assert server.search_requests() == []
    assert [entry["status"] for entry in requests_for(server, "/index/")] == [200]
    assert len(list(index_cache.iterdir())) == 2

    other = make_cube(source)
    assert_pixels(read(other, *OVERLAP), expected_dem(OVERLAP))
    assert [entry["status"] for entry in requests_for(server, "/index/")] == [200, 304]


def test_layer_of_patches_knows_the_index_that_is_kept(server, make_cube, read, index_cache):
    dataset = make_cube(index(server, "tiles.geojson"))
    assert dataset.GetLayer(0).GetFeatureCount() == 0
    assert gdal.GetLastErrorMsg() == ""
    assert server.log() == [] and not index_cache.exists()
    read(dataset, *ALONE)
    server.close()
    vectors = gdal.OpenEx(dataset.GetDescription(), gdal.OF_VECTOR)
    found = {feature["id"][:5]: feature for feature in vectors.GetLayer(0)}
    assert set(found) == set(EXISTING)
    assert {name: feature["state"] for name, feature in found.items() if feature["state"] != "absent"} == {
        "67_33": "partial"}
    west, south, east, north = arcticdem_tiles.tile_bounds(arcticdem_tiles.tile_from_name("67_33"))
    left, top = -4000096 + 32 * COLUMN, 4100096 - 32 * ROW
    assert found["67_33"].GetGeometryRef().GetEnvelope() == (
        max(west, left), min(east, left + 32 * SHAPE[1]), max(south, top - 32 * SHAPE[0]), min(north, top))


def test_index_and_api_ask_for_many_items_at_once(server, make_cube, read, assert_pixels):
    dataset = make_cube({**index(server, "tiles.geojson"), **api(server)})
    assert_pixels(read(dataset, *OVERLAP), expected_dem(OVERLAP))
    bodies = [json.loads(entry["body"]) for entry in server.search_requests()]
    assert len(bodies) == 1
    assert set(bodies[0]["ids"]) >= {"%s_32m_v4.1" % n for n in ("66_33", "66_34", "67_33", "67_34")}
    assert "intersects" not in bodies[0] and "bbox" not in bodies[0]
    assert requests_for(server, "/items/") == []


def test_query_is_the_matter_of_the_api(server, make_cube, read, assert_pixels):
    query = {"op": "=", "args": [{"property": "pgc:tile"}, "66_33"]}
    dataset = make_cube({**index(server, "tiles.geojson"), **api(server, query=query)})
    assert_pixels(read(dataset, *OVERLAP), expected_dem(OVERLAP, ["66_33"]))
    assert requests_for(server, "/index/") == []


@pytest.mark.parametrize("with_api", [False, True])
def test_index_that_names_an_item_which_is_gone(start_stac_server, make_cube, read, assert_pixels, with_api):
    """What an index lists is promised, as what an item lists is."""
    server = start_stac_server(only=EXISTING, indexed=EXISTING + ["68_33"])
    dataset = make_cube({**index(server, "tiles.gpkg"), **(api(server) if with_api else {})})
    with pytest.raises(RuntimeError, match='index has item 68_33_32m_v4.1, but.*"id_column"'):
        read(dataset, *COAST)
    assert_pixels(read(dataset, *OVERLAP), expected_dem(OVERLAP))


def test_index_of_a_format_that_gdal_lacks(server, make_cube, read, assert_pixels):
    if gdal.GetDriverByName("Parquet") is not None:
        pytest.skip("this GDAL reads Parquet")
    source = index(server, "tiles_gpqt.zip", member="tiles.parquet")
    with pytest.raises(RuntimeError, match="Parquet driver.*install.*another format"):
        read(make_cube(source), *COAST)
    assert_pixels(read(make_cube({**source, **api(server)}), *COAST), expected_dem(COAST))


def test_index_that_is_missing(server, make_cube, read):
    with pytest.raises(RuntimeError, match="/index/nothing.gpkg.*404"):
        read(make_cube(index(server, "nothing.gpkg")), *COAST)


def test_processes_share_the_index(server, tmp_path, index_cache):
    file = tmp_path / "definition.json"
    file.write_text(json.dumps(definition(index(server, "tiles_gpkg.zip"))))
    program = ("import sys; from osgeo import gdal; gdal.UseExceptions();"
               "gdal.Open('SGC:%s,dataset=%s,create=yes' % tuple(sys.argv[1:3])).ReadRaster(100, 2500, 60, 60)")
    running = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path / ("cube-%d" % i)), str(file)],
                                env={**os.environ, "SGC_INDEX_CACHE": str(index_cache)}) for i in range(4)]
    assert [process.wait(timeout=120) for process in running] == [0] * 4
    assert len(list(index_cache.iterdir())) == 2


def test_static_items_with_relative_addresses(server, make_cube, read, assert_pixels):
    """The document of one tile in the bucket, found by a template that leads into its directory."""
    dataset = make_cube({"items": server.base + ITEMS + "/67_33/{id}.json", "id": "{row|02}_{col|02}_32m_v4.1",
                         "buffer": 3, "tile": lattice(server)["tile"]})
    assert_pixels(read(dataset, *ALONE), expected_dem(ALONE))
    assert set(server.tile_requests()) == {("67_33", "dem")}


# Time

MOMENTS = {"66_33": "2019-12-31T23:59:59Z", "67_33": "2020-01-01T00:00:00Z", "66_34": "2020-07-01T12:00:00Z",
           "67_34": "2021-01-01T00:00:00Z"}


@pytest.mark.parametrize("way", ["search", "index"])
def test_items_belong_to_one_step(start_stac_server, tmp_path, read, assert_pixels, way):
    """The first and the last moment of a year, and the first of the next (defect 13)."""
    server = start_stac_server(only=list(MOMENTS), moments=",".join("%s=%s" % pair for pair in MOMENTS.items()))
    file = tmp_path / "definition.json"
    source = api(server) if way == "search" else index(server, "tiles.geojson")
    file.write_text(json.dumps(definition(source, time={"start": "2019-01-01", "end": "2020-01-01", "step": "P1Y"})))
    for year, names in (("2019", ["66_33"]), ("2020", ["66_34", "67_33"])):
        dataset = gdal.OpenEx("SGC:%s,dataset=%s,create=yes,time=%s" % (tmp_path / "cube", file, year))
        assert_pixels(read(dataset, *OVERLAP), expected_dem(OVERLAP, names))
    bodies = [json.loads(entry["body"]) for entry in server.search_requests()]
    assert [body["datetime"] for body in bodies] == ([] if way == "index" else [
        "2019-01-01T00:00:00Z/2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z/2021-01-01T00:00:00Z"])


# Levels

def test_overview_reads_the_overviews_of_the_files(server, make_cube, read):
    dataset = make_cube(api(server), chunk_shape=[900, 900])
    band = dataset.GetRasterBand(1)
    factors = [round(dataset.RasterXSize / band.GetOverview(i).XSize) for i in range(band.GetOverviewCount())]
    assert 4 in factors
    overview = band.GetOverview(factors.index(4))
    pixels = overview.ReadRaster(80, 800, 64, 64)
    coarse = np.frombuffer(pixels, np.float32).reshape(64, 64)
    fine = expected_dem((320, 3200, 256, 256)).reshape(64, 4, 64, 4).mean((1, 3))
    assert not np.isnan(fine).any()
    np.testing.assert_allclose(coarse, fine, atol=1.5)
    received = sum(int(entry["range"].rpartition("-")[2]) - int(entry["range"][6:].partition("-")[0])
                   for entry in requests_for(server, "_dem.tif"))
    assert received < 4e6


# Addresses and signatures

def test_s3_addresses(server, make_cube, read, assert_pixels, config):
    config(AWS_S3_ENDPOINT=server.base.partition("//")[2], AWS_HTTPS="NO", AWS_VIRTUAL_HOSTING="NO")
    dataset = make_cube(api(server, href="s3"))
    server.fault("/pgc-opendata-dems" + server.tile_path("67_33"), redirect_to=server.base +
                 server.tile_path("67_33"))
    assert_pixels(read(dataset, *ALONE), expected_dem(ALONE))
    assert requests_for(server, "^/pgc-opendata-dems/")


def signed(server, config, **more):
    config(VSICURL_PC_SAS_TOKEN_URL=server.base + "/sas/v1/token/")
    return api(server, sign="planetary-computer", **more)


def test_signed_files(start_stac_server, make_cube, read, assert_pixels, config, tmp_path):
    server = start_stac_server(only=EXISTING, sign_uses=1000)
    dataset = make_cube(signed(server, config))
    assert_pixels(read(dataset, *OVERLAP), expected_dem(OVERLAP))
    assert len(requests_for(server, "/sas/")) == 1
    assert requests_for(server, "_dem.tif")
    assert not [e for e in server.log() if "sig=" in e["path"] and "_dem.tif" not in e["path"]]
    for file in (tmp_path / "cube-1").rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            plain = subprocess.run(["zstd", "-dcq"], input=content[39:], stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL).stdout
            assert b"TOKEN1" not in content and b"TOKEN1" not in plain


def test_refused_token_is_renewed_in_mid_load(start_stac_server, make_cube, read, assert_pixels, config):
    server = start_stac_server(only=EXISTING, sign_uses=7)
    dataset = make_cube(signed(server, config, max_concurrency=1))
    window = (2000, 3000, 1500, 1500)
    assert_pixels(read(dataset, *window), expected_dem(window))
    tokens = len(requests_for(server, "/sas/"))
    refused = [e for e in requests_for(server, "_dem.tif") if e["status"] == 403]
    assert tokens > 2 and 0 < len(refused) <= tokens


def test_token_near_its_end_is_not_used_twice(start_stac_server, make_cube, read, assert_pixels, config):
    server = start_stac_server(only=EXISTING, sign_uses=1000)
    soon = {"token": "sig=OLD", "msft:expiry": "2020-01-01T00:00:00Z"}
    server.fault("/sas/v1/token/" + COLLECTION, status=200, times=1, body=json.dumps(soon))
    dataset = make_cube(signed(server, config, max_concurrency=1))
    with pytest.raises(RuntimeError, match="403") as error:
        read(dataset, *ALONE)
    assert "OLD" not in str(error.value)
    assert_pixels(read(dataset, *ALONE), expected_dem(ALONE))
    assert len(requests_for(server, "sig=OLD")) == 1


def test_permanent_refusal_is_asked_about_once(start_stac_server, make_cube, read, config):
    server = start_stac_server(only=EXISTING, sign_uses=0)
    dataset = make_cube(signed(server, config, max_concurrency=1))
    with pytest.raises(RuntimeError, match="67_33_32m_v4.1.*403") as error:
        read(dataset, *ALONE)
    assert "TOKEN" not in str(error.value)
    assert len(requests_for(server, "_dem.tif")) <= 2


@pytest.mark.parametrize("rule", [{"status": 200, "body": "no TIFF at all", "content_type": "image/tiff"},
                                  {"status": 503}, {"status": 404}, {"truncate": 100}])
def test_tokens_stay_out_of_messages(start_stac_server, make_cube, read, config, rule):
    server = start_stac_server(only=EXISTING, sign_uses=1000)
    server.fault(server.tile_path("67_33"), **rule)
    with pytest.raises(RuntimeError, match="67_33_32m_v4.1") as error:
        read(make_cube(signed(server, config, retries=1)), *ALONE)
    assert "TOKEN" not in str(error.value) and "sig=" not in str(error.value)


def test_tokens_stay_out_of_messages_about_damaged_pixels(start_stac_server, make_cube, read, config):
    """The head of the file is good, so that GDAL itself complains, by the name of the file."""
    server = start_stac_server(only=EXISTING, sign_uses=1000)
    path = server.tile_path("67_33")
    good = read(make_cube(signed(server, config)), *ALONE)
    assert not np.isnan(good).all()
    file = next(TILES.glob("*" + path))
    content = bytearray(file.read_bytes())
    content[20000:] = b"\xff" * (len(content) - 20000)
    damaged = content.decode("latin-1")
    server.fault(path, status=200, body=damaged, content_type="image/tiff")
    with pytest.raises(RuntimeError, match="67_33_32m_v4.1") as error:
        read(make_cube(signed(server, config, retries=1)), *ALONE)
    assert "TOKEN" not in str(error.value) and "sig=" not in str(error.value)


@pytest.mark.parametrize("answer, message", [
    ({"status": 404, "body": '{"message": "no such collection"}'}, "no such collection"),
    ({"status": 200, "body": "<html>"}, "no JSON"),
    ({"status": 200, "body": "{}"}, "without a token"),
    ({"status": 200, "body": '{"token": "sig=SECRET"}'}, "msft:expiry"),
    ({"status": 200, "body": '{"token": "sig=SECRET {config:HOME}", "msft:expiry": "2030-01-01T00:00:00Z"}'},
     "without a token"),
])
def test_token_service_that_fails(start_stac_server, make_cube, read, config, answer, message):
    server = start_stac_server(only=EXISTING, sign_uses=1)
    server.fault("/sas/v1/token/" + COLLECTION, **answer)
    dataset = make_cube(signed(server, config))
    with pytest.raises(RuntimeError, match=message) as error:
        read(dataset, *COAST)
    assert "SECRET" not in str(error.value)
    assert requests_for(server, "_dem.tif") == []


def test_tokens_go_to_no_other_host(start_stac_server, make_cube, read, config):
    """The same server by another name is another host."""
    server = start_stac_server(only=EXISTING, sign_uses=1000)
    source = signed(server, config)
    config(VSICURL_PC_SAS_TOKEN_URL=server.base.replace("127.0.0.1", "localhost") + "/sas/v1/token/")
    with pytest.raises(RuntimeError, match="403"):
        read(make_cube(source), *COAST)
    assert requests_for(server, "_dem.tif") and not requests_for(server, "sig=")


# What real services have answered

def play(server, path, exchanges, host):
    """Answers the requests for `path` with recorded bodies, one after another, then with an empty page."""
    empty = {"type": "FeatureCollection", "features": [], "links": []}
    for body in [exchange["response"]["body"] for exchange in exchanges] + [empty]:
        text = json.dumps(body)
        for name, place in host.items():
            text = text.replace(name, server.url + place)
        server.fault(path, status=200, times=1, body=text, content_type="application/geo+json")


def recorded(shared, *names):
    return [json.loads(shared("data", "stac", name).read_text()) for name in names]


def write_tiff(path, code, transform, width, height, values, column=0, row=0, bands=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(code)
    kind = gdal.GDT_Float32 if values.dtype == np.float32 else gdal.GDT_Byte
    file = gdal.GetDriverByName("GTiff").Create(
        str(path), width, height, bands, kind, ["TILED=YES", "SPARSE_OK=TRUE", "COMPRESS=DEFLATE",
                                              "PHOTOMETRIC=MINISBLACK"])
    file.SetProjection(crs.ExportToWkt())
    a, b, c, d, e, f = transform[:6]
    file.SetGeoTransform((c, a, b, f, d, e))
    file.GetRasterBand(1).WriteArray(values, column, row)


def test_earth_search_playback(file_server, make_cube, tmp_path, shared, read, assert_pixels):
    """Ten real items of Copernicus DEM around the South Pole; the cube has their very pixels."""
    exchanges = recorded(shared, "earth-search/v1-search-cop-dem-glo-30-page1.json")
    features = exchanges[0]["response"]["body"]["features"]
    exchanges[0]["response"]["body"]["numberMatched"] = len(features)  # the recording ends here
    bucket = features[0]["assets"]["data"]["href"]
    host = re.match(r"(s3|https)://[^/]+", bucket)[0]
    play(file_server, "/v1/search", exchanges, {"https://earth-search.aws.element84.com/v1": "/v1", host: "/dem"})
    heights = {}
    for number, item in enumerate(features):
        values = np.arange(3600, dtype=np.float32)[:, None] + np.arange(360, dtype=np.float32) / 512 + number
        heights[item["id"]] = values
        write_tiff(tmp_path / "served" / ("dem" + item["assets"]["data"]["href"][len(host):]), 4326,
                   item["properties"]["proj:transform"], 360, 3600, values)
    a, _, c, _, e, f = features[0]["properties"]["proj:transform"]
    dataset = make_cube({"api": file_server.url + "/v1", "collection": "cop-dem-glo-30"},
                        **{"proj:code": "EPSG:4326", "proj:transform": [a, 0, c, 0, e, f],
                           "proj:shape": [3600, 3600], "chunk_shape": [600, 360],
                           "bands": [{"name": "dem", "data_type": "float32", "asset": "data"}]})
    whole = np.full((3600, 3600), np.nan, np.float32)
    for item in features:
        column = round((item["properties"]["proj:transform"][2] - c) / a)
        whole[:, column:column + 360] = heights[item["id"]]
    window = (100, 200, 1000, 300)
    found = read(dataset, *window)
    assert not np.isnan(found).all()
    assert_pixels(found, whole[200:500, 100:1100])


def test_planetary_computer_playback(file_server, make_cube, tmp_path, shared, read, config):
    """Two real pages of NAIP, signed; a cube on the grid of one of the items."""
    exchanges = recorded(shared, "planetary-computer/v1-search-naip-page1.json",
                         "planetary-computer/v1-search-naip-page2.json")
    item = exchanges[1]["response"]["body"]["features"][0]
    assert item["id"] == "vt_m_4307307_ne_18_060_20211029"
    blob = "https://naipeuwest.blob.core.windows.net"
    play(file_server, "/v1/search", exchanges,
         {"https://planetarycomputer.microsoft.com/api/stac/v1": "/v1", blob: "/blob"})
    file_server.fault("/token/naip", status=200, content_type="application/json", body=json.dumps(
        {"token": "sig=TOKEN", "msft:expiry": "2099-01-01T00:00:00Z"}))
    config(VSICURL_PC_SAS_TOKEN_URL=file_server.url + "/token/")
    values = np.arange(1, 64 * 64 + 1).reshape(64, 64).astype(np.uint8) | 1
    files = 0
    for feature in [f for e in exchanges for f in e["response"]["body"]["features"]]:
        properties = feature["properties"]
        (height, width), transform = properties["proj:shape"], properties["proj:transform"]
        mine = values if feature["id"] == item["id"] else np.zeros((1, 1), np.uint8)
        write_tiff(tmp_path / "served" / ("blob" + feature["assets"]["image"]["href"][len(blob):]),
                   properties["proj:epsg"], transform, width, height, mine, 1000, 2000, bands=4)
        files += 1
    assert files == 20
    t = item["properties"]["proj:transform"]
    grid = [0.6, 0, t[2] + 0.6 * 1000, 0, -0.6, t[5] - 0.6 * 2000]
    dataset = make_cube({"api": file_server.url + "/v1", "collection": "naip", "limit": 10,
                         "sign": "planetary-computer"},
                        **{"proj:code": "EPSG:26918", "proj:transform": grid, "proj:shape": [64, 64],
                           "chunk_shape": [64, 64], "bands": [{"name": "red", "data_type": "uint8", "nodata": 0,
                                                               "source_nodata": 0, "asset": "image"}]})
    np.testing.assert_array_equal(read(dataset, 0, 0, 64, 64), values)
    log = file_server.log()
    searches = [json.loads(entry["body"]) for entry in log if entry["path"] == "/v1/search"]
    assert [search.get("token") for search in searches] == [
        None, "next:naip:vt_m_4307307_nw_18_060_20211029", "next:naip:vt_m_4307307_ne_18_h_20160805"]
    asked = [entry["path"] for entry in log if entry["path"].startswith("/blob/")]
    assert asked and all(path.endswith("?sig=TOKEN") for path in asked)
