"""ArcticDEM32m, filled from a server that plays PGC's: every pixel, every request."""
import json
import re
import subprocess
import urllib.request

import numpy as np
from osgeo import gdal
import pytest

import arcticdem_tiles

# The chunks (12, 28) and (13, 28) meet the eight tiles 65_33 to 68_34. Two of them do not exist here,
# and all around are tiles that must not be asked for.
EIGHT = {"%02d_%02d" % (row, column) for row in range(65, 69) for column in (33, 34)}
AROUND = {"%02d_%02d" % (row, column) for row in range(64, 70) for column in range(32, 36)} - EIGHT
EXISTING = EIGHT - {"65_34", "68_33"}
SERVED = sorted(EXISTING | AROUND)

MAIN_JOB = (101313, 45111, 1905, 2104)
NORTHERN = (101400, 45200, 1500, 1200)  # within the chunk (12, 28), of 67_33, 67_34 and 68_34
SOUTHERN = (101400, 46900, 1500, 1200)  # within the chunk (13, 28), of 65_33, 66_33, 66_34, 67_33 and 67_34
BOTH_CHUNKS = (100800, 43200, 3600, 7200)
QUICK = {"GDAL_HTTP_RETRY_DELAY": "0.01"}


def connection(cube, dataset="ArcticDEM32m"):
    return "SGC:%s,dataset=%s,create=yes" % (cube, dataset)


def expected(window, names=SERVED):
    return arcticdem_tiles.cube_window(*window, [arcticdem_tiles.tile_from_name(n) for n in names])


def expected_dem(window, names=SERVED):
    return expected(window, names)[0]


def tiles_of(server):
    return {name for name, _ in server.tile_requests()}


@pytest.fixture
def server(start_stac_server):
    return start_stac_server(only=SERVED)


@pytest.fixture
def open_cube(cube, server):
    def open_with(**options):
        options = {"SOURCE_URL": server.url, **options}
        return gdal.OpenEx(connection(cube), open_options=["%s=%s" % pair for pair in options.items()])

    return open_with


@pytest.fixture
def open_searching(cube, searching, server):
    def open_with():
        return gdal.OpenEx(connection(cube, searching), open_options=["SOURCE_URL=" + server.url])

    return open_with


@pytest.fixture
def translate(run, cube, server):
    """translate(window, file) runs gdal_translate in a process of its own."""

    def translate_window(window, file, *args, **options):
        return run(["gdal_translate", "-q", "-srcwin", *window, "-oo", "SOURCE_URL=" + server.url, *args,
                    connection(cube), file], **options)

    return translate_window


def test_oracle_sees_overlaps_and_holes():
    dem, mask = expected(MAIN_JOB)
    assert 0 < np.isnan(dem).mean() < 0.5
    assert (mask != ~np.isnan(dem)).any()
    column, row = arcticdem_tiles.tile_offset((66, 33))
    overlap = np.s_[row - MAIN_JOB[1]:row - MAIN_JOB[1] + 6, 0:1000]
    south, north = (expected_dem(MAIN_JOB, [name])[overlap] for name in ("66_33", "67_33"))
    np.testing.assert_array_equal(dem[overlap], south)
    assert (south != north).all()


# The main job

def test_main_job(translate, run, cube, server, read, assert_pixels, files_of):
    dem = expected_dem(MAIN_JOB)

    translate(MAIN_JOB, "first.tif")
    first = gdal.Open("first.tif")
    assert_pixels(read(first, 0, 0, *MAIN_JOB[2:]), dem)
    assert first.GetGeoTransform() == (-4000096.0 + 32 * MAIN_JOB[0], 32.0, 0.0,
                                       4100096.0 - 32 * MAIN_JOB[1], 0.0, -32.0)
    assert first.GetSpatialRef().GetAuthorityCode(None) == "3413"
    assert first.RasterCount == 1
    assert tiles_of(server) == EXISTING
    assert {asset for _, asset in server.tile_requests()} <= {"dem", "datamask"}

    server.reset()
    filled = files_of(cube)
    translate(MAIN_JOB, "again.tif")
    assert_pixels(read(gdal.Open("again.tif"), 0, 0, *MAIN_JOB[2:]), dem)
    translate(BOTH_CHUNKS, "whole.tif")
    assert_pixels(read(gdal.Open("whole.tif"), 0, 0, *BOTH_CHUNKS[2:]), expected_dem(BOTH_CHUNKS))
    run(["gdalinfo", "SGC:%s" % cube])
    assert server.log() == []
    assert files_of(cube) == filled


def test_programs_that_want_one_type_work_as_it_opens(translate, run, cube, read, assert_pixels):
    window = NORTHERN[:2] + (600, 500)
    translate(window, "window.tif", "-of", "COG")
    cog = gdal.Open("window.tif")
    assert (cog.RasterCount, cog.GetRasterBand(1).GetDescription()) == (1, "dem")
    assert_pixels(read(cog, 0, 0, 600, 500), expected_dem(window))
    west, north = -4000096 + 32 * window[0], 4100096 - 32 * window[1]
    extent = (west, north - 32 * 500, west + 32 * 600, north)
    warp = ["gdalwarp", "-q", "-t_srs", "EPSG:3413", "-te", *extent, "-tr", 64, 64, "-r", "average", "-ovr", "NONE"]
    run(warp + ["SGC:%s,download=no" % cube, "cube.tif"])
    run(warp + ["window.tif", "copy.tif"])
    assert_pixels(read(gdal.Open("cube.tif"), 0, 0, 300, 250), read(gdal.Open("copy.tif"), 0, 0, 300, 250))


def test_second_read_in_the_same_process_makes_no_request(open_cube, server, read, assert_pixels):
    dem = expected_dem(MAIN_JOB)
    dataset = open_cube()
    assert_pixels(read(dataset, *MAIN_JOB), dem)
    server.reset()
    assert_pixels(read(dataset, *MAIN_JOB), dem)
    another = open_cube()
    assert_pixels(read(another.GetRasterBand(1), *MAIN_JOB), dem)
    assert server.log() == []


def test_filled_cube_is_read_without_server_and_dataset(translate, run, cube, server, read, assert_pixels):
    translate(MAIN_JOB, "first.tif")
    server.close()
    run(["gdal_translate", "-q", "-srcwin", *MAIN_JOB, "SGC:%s" % cube, "offline.tif"])
    assert_pixels(read(gdal.Open("offline.tif"), 0, 0, *MAIN_JOB[2:]), expected_dem(MAIN_JOB))


def test_gdalinfo_of_an_empty_cube_asks_and_writes_nothing(run, cube, server):
    done = run(["gdalinfo", "-oo", "SOURCE_URL=" + server.url, connection(cube)])
    assert "Size is 231256, 234381" in done.stdout
    assert server.log() == []
    assert not cube.exists()


# Pixels

def test_both_chunks_and_both_channels(open_cube, server, read, assert_pixels):
    dataset = open_cube(CHANNELS="dem,datamask")
    dem, mask = expected(BOTH_CHUNKS)
    bands = [dataset.GetRasterBand(i + 1) for i in range(dataset.RasterCount)]
    assert [band.GetDescription() for band in bands] == ["dem", "datamask"]
    assert [band.DataType for band in bands] == [gdal.GDT_Float32, gdal.GDT_Byte]
    assert np.isnan(bands[0].GetNoDataValue())
    assert bands[1].GetNoDataValue() is None
    assert_pixels(read(bands[0], *BOTH_CHUNKS), dem)
    assert_pixels(read(bands[1], *BOTH_CHUNKS), mask.astype(np.uint8))
    assert set(server.tile_requests()) == {(n, a) for n in EXISTING for a in ("dem", "datamask")}


def test_both_channels_in_one_read(open_cube, read, assert_pixels):
    dataset = open_cube(CHANNELS="datamask,dem")
    dem, mask = expected(SOUTHERN)
    pixels = read(dataset, *SOUTHERN, buf_type=gdal.GDT_Float32)
    assert_pixels(pixels[0], mask.astype(np.float32))
    assert_pixels(pixels[1], dem)


def test_mask_read_after_dem_makes_no_request(open_cube, server, read, assert_pixels):
    dem, mask = expected(SOUTHERN)
    assert_pixels(read(open_cube(), *SOUTHERN), dem)
    server.reset()
    assert_pixels(read(open_cube(CHANNELS="datamask"), *SOUTHERN), mask.astype(np.uint8))
    assert server.log() == []


@pytest.mark.parametrize("order", [(NORTHERN, SOUTHERN), (SOUTHERN, NORTHERN)],
                         ids=["north first", "south first"])
def test_order_of_reads_does_not_matter(open_cube, read, assert_pixels, order):
    for window in order:
        assert_pixels(read(open_cube(), *window), expected_dem(window))
    assert_pixels(read(open_cube(DOWNLOAD="NO"), *BOTH_CHUNKS), expected_dem(BOTH_CHUNKS))


def test_read_block(open_cube, server, assert_pixels):
    dataset = open_cube()
    band = dataset.GetRasterBand(1)
    width, height = band.GetBlockSize()
    x, y = 103125 // width, 46875 // height
    block = np.frombuffer(band.ReadBlock(x, y), np.float32).reshape(height, width)
    assert_pixels(block, expected_dem((x * width, y * height, width, height)))
    assert tiles_of(server) <= EXISTING


def test_coast(start_stac_server, cube, read, assert_pixels):
    names = ["60_33", "60_34", "61_33"]
    coast = start_stac_server(only=names)
    window = (100900, 64900, 3400, 3000)
    dataset = gdal.OpenEx(connection(cube), open_options=["SOURCE_URL=" + coast.url])
    dem = expected_dem(window, names)
    assert 0.2 < np.isnan(dem).mean() < 0.8
    assert_pixels(read(dataset, *window), dem)
    assert tiles_of(coast) == set(names)


def test_place_without_tiles_is_asked_for_once(open_searching, server, read):
    window = (7300, 7300, 200, 100)
    assert np.isnan(read(open_searching(), *window)).all()
    assert server.search_requests()
    assert tiles_of(server) == set()
    server.reset()
    assert np.isnan(read(open_searching(), *window)).all()
    assert server.log() == []


def test_every_page_of_a_search_is_followed(start_stac_server, cube, searching, read, assert_pixels):
    paging = start_stac_server(only=SERVED, max_limit=1)
    dataset = gdal.OpenEx(connection(cube, searching), open_options=["SOURCE_URL=" + paging.url])
    assert_pixels(read(dataset, *MAIN_JOB), expected_dem(MAIN_JOB))
    assert len(paging.search_requests()) >= len(EXISTING)


# Policies

def test_download_no_fails_on_what_is_missing(open_cube, server, cube, read):
    dataset = open_cube(DOWNLOAD="NO")
    with pytest.raises(RuntimeError, match="DOWNLOAD"):
        read(dataset, *MAIN_JOB)
    assert server.log() == []
    assert not cube.exists()


def test_on_missing_nodata(open_cube, server, read, assert_pixels):
    dataset = open_cube(DOWNLOAD="NO", ON_MISSING="NODATA", CHANNELS="dem,datamask")
    assert np.isnan(read(dataset.GetRasterBand(1), *MAIN_JOB)).all()
    assert not read(dataset.GetRasterBand(2), *MAIN_JOB).any()
    assert server.log() == []

    read(open_cube(), *NORTHERN)
    server.reset()
    dem = expected_dem(MAIN_JOB)
    dem[46800 - MAIN_JOB[1]:] = np.nan
    assert_pixels(read(open_cube(DOWNLOAD="NO", ON_MISSING="NODATA"), *MAIN_JOB), dem)
    with pytest.raises(RuntimeError, match="DOWNLOAD"):
        read(open_cube(DOWNLOAD="NO"), *MAIN_JOB)
    assert server.log() == []


def test_nodata_of_a_missing_chunk_is_not_remembered(open_cube, read, assert_pixels):
    view = open_cube(DOWNLOAD="NO", ON_MISSING="NODATA")
    assert np.isnan(read(view, *MAIN_JOB)).all()
    assert_pixels(read(open_cube(), *MAIN_JOB), expected_dem(MAIN_JOB))


def test_max_download_is_checked_before_the_first_byte(translate, server):
    done = translate(MAIN_JOB, "out.tif", "-oo", "MAX_DOWNLOAD=1MB", fails=True)
    assert re.search(r"\b2 chunks\b", done.stderr)
    assert re.search(r"\d\s*([kMG]i?B|bytes)\b", done.stderr)
    assert "MAX_DOWNLOAD" in done.stderr
    assert server.tile_requests() == {}


# Faults

def assert_nothing_false(dataset, read, assert_pixels):
    """Each of the two chunks is either missing or as the source has it. True for the complete ones."""
    complete = []
    for window in (NORTHERN, SOUTHERN):
        pixels = read(dataset, *window)
        complete.append(not np.isnan(pixels).all())
        if complete[-1]:
            assert_pixels(pixels, expected_dem(window))
    return complete


@pytest.mark.parametrize("retry_delay, chunks_to_expect", [("0.01", 0), ("0.2", 1)],
                         ids=["at once", "after the other chunk is finished"])
def test_broken_tile_fails_the_read_by_name(open_cube, server, config, read, assert_pixels,
                                            retry_delay, chunks_to_expect):
    server.fault(server.tile_path("66_33"), status=503)
    config(GDAL_HTTP_RETRY_DELAY=retry_delay)
    with pytest.raises(RuntimeError, match="66_33_32m_v4.1"):
        read(open_cube(), *MAIN_JOB)

    offline = open_cube(DOWNLOAD="NO", ON_MISSING="NODATA")
    northern, southern = assert_nothing_false(offline, read, assert_pixels)
    assert not southern
    assert northern >= chunks_to_expect

    server.reset()
    assert_pixels(read(open_cube(), *MAIN_JOB), expected_dem(MAIN_JOB))
    if northern:
        assert not {name for name in tiles_of(server) if name.startswith("68")}


def test_broken_tile_gives_one_error(open_cube, server, config, read):
    server.fault(server.tile_path("66_33"), status=503)
    config(**QUICK)
    failures = []

    def collect(severity, number, message):
        if severity >= gdal.CE_Failure:
            failures.append(message)

    dataset = open_cube()
    gdal.DontUseExceptions()
    gdal.PushErrorHandler(collect)
    try:
        result = dataset.ReadRaster(*MAIN_JOB)
    finally:
        gdal.PopErrorHandler()
        gdal.UseExceptions()
    assert result is None
    assert len(failures) == 1, failures
    assert "66_33_32m_v4.1" in failures[0]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
@pytest.mark.parametrize("asset", ["dem", "datamask"])
def test_refused_tile_is_never_sea(open_cube, server, read, assert_pixels, status, asset):
    path = server.tile_path("66_33", asset)
    server.fault(path, status=status)
    with pytest.raises(RuntimeError, match="66_33_32m_v4.1") as error:
        read(open_cube(), *MAIN_JOB)
    assert str(status) in str(error.value)
    assert len([e for e in server.log() if e["path"] == path]) <= 2, "retried, though it is permanent"

    offline = open_cube(DOWNLOAD="NO", ON_MISSING="NODATA")
    assert not assert_nothing_false(offline, read, assert_pixels)[1]
    server.reset()
    assert_pixels(read(open_cube(), *MAIN_JOB), expected_dem(MAIN_JOB))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 503])
def test_failed_search_is_never_sea(open_searching, server, config, read, assert_pixels, status):
    server.fault("/api/v1/search", status=status, body="the service says no")
    config(**QUICK)
    with pytest.raises(RuntimeError) as error:
        read(open_searching(), *MAIN_JOB)
    assert str(status) in str(error.value)
    assert server.tile_requests() == {}
    server.reset()
    assert_pixels(read(open_searching(), *MAIN_JOB), expected_dem(MAIN_JOB))


@pytest.mark.parametrize("body", ["", "{", "[]", "{\"type\": \"FeatureCollection\"}",
                                  "<html>Please log in</html>"])
def test_nonsense_for_a_search_is_never_sea(open_searching, server, config, read, body):
    server.fault("/api/v1/search", status=200, body=body, content_type="application/json")
    config(**QUICK)
    with pytest.raises(RuntimeError):
        read(open_searching(), *MAIN_JOB)


def test_damaged_tile_fails_the_read_by_name(open_cube, server, config, read):
    server.fault(server.tile_path("66_33"), status=200, body="no TIFF at all", content_type="image/tiff")
    config(**QUICK)
    with pytest.raises(RuntimeError, match="66_33_32m_v4.1"):
        read(open_cube(), *MAIN_JOB)


def test_failure_in_a_program_of_its_own(translate, cube, server, read, assert_pixels):
    server.fault(server.tile_path("66_33"), status=503)
    done = translate(MAIN_JOB, "out.tif", fails=True, **QUICK)
    assert "66_33_32m_v4.1" in done.stderr
    server.reset()
    translate(MAIN_JOB, "out.tif")
    assert_pixels(read(gdal.Open("out.tif"), 0, 0, *MAIN_JOB[2:]), expected_dem(MAIN_JOB))


ITEM_PATH = "/api/v1/collections/arcticdem-mosaics-v4.1-32m/items/66_33_32m_v4.1"


def change_item(server, change):
    """Lets the item of tile 66_33 be as `change` has changed it."""
    with urllib.request.urlopen(server.base + ITEM_PATH) as response:
        item = json.load(response)
    change(item)
    server.fault(ITEM_PATH, status=200, body=json.dumps(item), content_type="application/geo+json")


ONE_TILE = (101000, 47500, 64, 64)  # in tile 66_33 alone, in a chunk of 500


def test_secrets_of_an_item_stay_out_of_the_cube(open_cube, server, cube, read):
    def sign(item):
        for asset in item["assets"].values():
            asset["href"] = asset["href"].replace("http://", "http://user:PASSWORD@") + "?sig=TOPSECRET"
    change_item(server, sign)
    read(open_cube(CHUNK_SIZE="500"), *ONE_TILE)
    stored = b""
    for file in (cube / "snapshots").iterdir():
        unpacked = subprocess.run(["zstd", "-dcq"], input=file.read_bytes()[39:], capture_output=True, check=True)
        stored += unpacked.stdout
    assert b"66_33_32m_v4.1_dem.tif" in stored
    assert b"PASSWORD" not in stored and b"TOPSECRET" not in stored


def test_secrets_of_the_endpoint_stay_out_of_messages(cube, server):
    server.fault(ITEM_PATH, status=200, body="<html>", content_type="text/html")
    url = server.url.replace("http://", "http://user:PASSWORD@")
    with pytest.raises(RuntimeError) as error:
        gdal.OpenEx(connection(cube), open_options=["SOURCE_URL=" + url]).ReadRaster(*ONE_TILE)
    assert "66_33_32m_v4.1" in str(error.value)
    assert "PASSWORD" not in str(error.value)
    with pytest.raises(RuntimeError, match="without query") as error:
        gdal.OpenEx(connection(cube), open_options=["SOURCE_URL=%s?key=TOPSECRET" % url])
    assert "TOPSECRET" not in str(error.value)


def test_file_that_lies_elsewhere_is_refused(open_cube, server, read):
    def swap(item):
        for asset in item["assets"].values():
            asset["href"] = asset["href"].replace("66_33", "67_33")
    change_item(server, swap)
    with pytest.raises(RuntimeError, match="lies elsewhere"):
        read(open_cube(CHUNK_SIZE="500"), *ONE_TILE)


def test_asset_without_href_is_an_error(open_cube, server, read):
    def forget(item):
        item["assets"]["dem"]["href"] = None
    change_item(server, forget)
    with pytest.raises(RuntimeError, match="has no href"):
        read(open_cube(CHUNK_SIZE="500"), *ONE_TILE)
