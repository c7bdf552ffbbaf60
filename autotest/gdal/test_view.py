"""DOWNLOAD=VIEW: maps on screen load a little at a time, and show what there is."""
import json
import shutil

import numpy as np
from osgeo import gdal
import pytest

from conftest import FileServer
import relief_tiles
from test_tiles import definition, tile_path

CHUNK = 32  # pixels of a level
WINDOW = (512, 512, 256, 256)  # 4 x 4 chunks of level 2
MIDDLE = (288, 288, 64, 64)  # the inner ones of them, in pixels of that level
TILES = [(row, column) for row in range(41, 57) for column in range(26, 41)]  # all that meet it


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("served")
    relief_tiles.write(directory, TILES)
    server = FileServer(directory)
    yield server
    server.close()


@pytest.fixture(autouse=True)
def patient(server, config):
    """Nothing here depends on how fast the machine is, but for the test that says so."""
    server.reset()
    config(SGC_TIMEOUT="600")


@pytest.fixture
def document(server):
    return {**definition(server.url + relief_tiles.TEMPLATE), "chunk_shape": [4 * CHUNK, 4 * CHUNK]}


@pytest.fixture
def expected(document, tmp_path):
    """expected(factor) is what the window holds at a level: from a cube that loads all of it."""
    path = tmp_path / "whole.json"
    path.write_text(json.dumps(document))
    raster = gdal.Open("SGC:%s,dataset=%s,create=yes" % (tmp_path / "whole", path))
    return lambda factor: decimated(raster, factor)


def decimated(raster, factor, **options):
    size = [n // factor for n in WINDOW[2:]]
    return raster.GetRasterBand(1).ReadAsArray(*WINDOW, buf_xsize=size[0], buf_ysize=size[1], **options)


@pytest.fixture
def budget(open_document, document):
    """What the middle costs, as MAX_DOWNLOAD."""
    raster = open_document(document, DOWNLOAD="NO")
    level = raster.GetRasterBand(1).GetOverview(0).GetDataset()
    return level.GetMetadataItem("Window_%d_%d_%d_%d" % MIDDLE, "SGC").split("bytes=")[1]


def repeated(pixels, times):
    return pixels.repeat(times, axis=0).repeat(times, axis=1)


def warnings_of(call, *args, **options):
    found = []
    gdal.PushErrorHandler(lambda severity, number, text: found.append((severity, text)))
    try:
        result = call(*args, **options)
    finally:
        gdal.PopErrorHandler()
    assert all(severity in (gdal.CE_Debug, gdal.CE_Warning) for severity, text in found), found
    return result, [text for severity, text in found if severity == gdal.CE_Warning]


def test_levels_differ(expected):
    """So that the tests below can tell whose pixels they see."""
    assert np.isfinite(expected(2)).all()
    assert (repeated(expected(8), 4) != expected(2)).mean() > 0.9


def test_loads_the_middle_and_shows_coarser_pixels_around(open_document, document, budget, expected, assert_pixels):
    coarse, said = warnings_of(decimated, open_document(document, DOWNLOAD="VIEW"), 8)
    assert_pixels(coarse, expected(8))
    assert said == []

    raster = open_document(document, DOWNLOAD="VIEW", MAX_DOWNLOAD=budget)
    mixed, said = warnings_of(decimated, raster, 2)
    around = repeated(expected(8), 4)
    around[CHUNK:-CHUNK, CHUNK:-CHUNK] = expected(2)[CHUNK:-CHUNK, CHUNK:-CHUNK]
    assert_pixels(mixed, around)
    assert len(said) == 1 and "12 chunks" in said[0]
    assert raster.GetRasterBand(1).GetOverview(0).GetDataset().GetMetadataItem(
        "Window_256_256_128_128", "SGC").startswith("missing=12;")

    for _ in range(6):  # each look loads some more
        mixed, said = warnings_of(decimated, raster, 2)
        assert said == []  # a warning a handle is enough
    assert_pixels(mixed, expected(2))


def test_nodata_where_there_is_nothing_coarser(open_document, document, budget, expected, assert_pixels):
    raster = open_document(document, DOWNLOAD="VIEW", MAX_DOWNLOAD=budget)
    pixels, _ = warnings_of(decimated, raster, 2)
    around = np.full_like(expected(2), np.nan)
    around[CHUNK:-CHUNK, CHUNK:-CHUNK] = expected(2)[CHUNK:-CHUNK, CHUNK:-CHUNK]
    assert_pixels(pixels, around)


@pytest.mark.parametrize("resampling", [gdal.GRIORA_NearestNeighbour, gdal.GRIORA_Bilinear])
def test_slightly_decimated_reads_are_decimated(open_document, document, resampling):
    raster = open_document(document, DOWNLOAD="VIEW", MAX_DOWNLOAD="0")
    pixels, said = warnings_of(raster.GetRasterBand(1).ReadAsArray, *WINDOW, buf_xsize=250, buf_ysize=250,
                               resample_alg=resampling)
    assert np.isnan(pixels).all() and len(said) == 1


@pytest.mark.parametrize("band", [{"data_type": "uint8", "nodata": 0, "colors": {"1": "#006400"}},
                                  {"data_type": "bool"}], ids=["palette", "masks"])
def test_what_gdal_reads_to_decimate_is_decimated(open_document, document, band):
    """Of a palette blocks, as bilinear is not possible; of masks without levels all together."""
    bands = [{"name": name, **band, "resampling": "nearest"} for name in ("a", "b")]
    raster = open_document({**document, "bands": bands, "proj:shape": [16, 16]}, DOWNLOAD="VIEW", MAX_DOWNLOAD="0")
    assert raster.GetRasterBand(1).GetOverviewCount() == 0
    pixels, said = warnings_of(raster.ReadAsArray, 1, 1, 14, 14, buf_xsize=13, buf_ysize=13,
                               resample_alg=gdal.GRIORA_Bilinear)
    assert (pixels == 0).all() and any("coarser pixels or nodata" in text for text in said)


def test_native_reads_load_or_fail(open_document, document, failure, read, assert_pixels):
    raster = open_document(document, DOWNLOAD="VIEW", MAX_DOWNLOAD=str(4 * 128 ** 2))
    assert "MAX_DOWNLOAD" in failure(raster.ReadRaster, *WINDOW)
    for x in (512, 640):  # the budget is each read's own
        read(raster, x, 512, 128, 128)


def test_on_missing_fail_is_obeyed(open_document, document, failure):
    raster = open_document(document, DOWNLOAD="VIEW", MAX_DOWNLOAD="1MB", ON_MISSING="FAIL")
    message = failure(raster.ReadRaster, *WINDOW, 128, 128)
    assert "16 chunks" in message and "MAX_DOWNLOAD" in message


def test_deadline_ends_a_look_and_the_next_one_goes_on(open_document, document, server, expected, assert_pixels,
                                                        config):
    whole = {factor: expected(factor) for factor in (2, 8)}
    raster = open_document(document, DOWNLOAD="VIEW", TIMEOUT="0.3")
    for tile in TILES:
        server.fault(tile_path(tile), delay_ms=600000)
    pixels, said = warnings_of(decimated, raster, 2)
    assert np.isnan(pixels).all() and len(said) == 1
    server.reset()
    raster = open_document(document, DOWNLOAD="VIEW", TIMEOUT="60")
    assert_pixels(decimated(raster, 2), whole[2])


SIZES = {"decimated": 128, "native": 256}


@pytest.mark.parametrize("fill, size, loads",
                         [("all", "decimated", 1), ("channels", "decimated", 3), ("all", "native", 1)])
def test_bands_of_a_look_share_its_time(open_document, document, server, fill, size, loads):
    """A map reads band after band: no picture takes longer than one TIMEOUT. Of a picture's three bands each has a
    third, if it is loaded by itself."""
    bands = [{**document["bands"][0], "name": name} for name in "abcd"]
    raster = open_document({**document, "bands": bands, "fill": fill}, DOWNLOAD="VIEW", TIMEOUT="0.5")
    for tile in TILES:
        server.fault(tile_path(tile), delay_ms=600000)
    asked = []
    for band in range(1, 5):
        try:
            pixels, _ = warnings_of(raster.GetRasterBand(band).ReadRaster, *WINDOW, SIZES[size], SIZES[size])
            assert np.isnan(np.frombuffer(pixels, np.float32)).all()
        except RuntimeError as failure:
            assert size == "native" and "TIMEOUT" in str(failure)
        asked.append(len(server.log()))
    assert asked[loads:] == [asked[loads - 1]] * (4 - loads)


def test_what_gdal_makes_of_a_read_shares_its_time(open_document, document, server):
    """It resamples pixels and their mask, one after the other."""
    raster = open_document(document, DOWNLOAD="VIEW", TIMEOUT="0.5", MAX_REQUESTS="2")
    for tile in TILES:
        server.fault(tile_path(tile), delay_ms=600000)
    pixels, _ = warnings_of(raster.GetRasterBand(1).ReadAsArray, *WINDOW, buf_xsize=100, buf_ysize=100,
                            resample_alg=gdal.GRIORA_Bilinear)
    assert np.isnan(pixels).all() and len(server.log()) <= 2


def test_failed_fetch_fails_the_look(open_document, document, server, failure, config):
    config(GDAL_HTTP_RETRY_DELAY="0.01", GDAL_HTTP_MAX_RETRY="1")
    raster = open_document(document, DOWNLOAD="VIEW")
    for tile in TILES:
        server.fault(tile_path(tile), status=503)
    assert "503" in failure(raster.ReadRaster, *WINDOW, 128, 128)


def test_blocks_shown_too_early_do_not_stay(open_document, document, budget, expected, assert_pixels, config):
    """Whatever the user wants of GDAL's cache."""
    config(GDAL_FORCE_CACHING="YES")
    raster = open_document(document, DOWNLOAD="VIEW", MAX_DOWNLOAD=budget)
    for _ in range(8):
        pixels, _ = warnings_of(decimated, raster, 2)
    assert_pixels(pixels, expected(2))


@pytest.mark.parametrize("name, is_host", [("qgis", True), ("qgis.bin", True), ("gdal_translate", False)])
def test_qgis_is_recognised(document, tmp_path, run, name, is_host):
    """By the program that runs, not by who started it."""
    path = tmp_path / "relief.json"
    path.write_text(json.dumps(document))
    program = tmp_path / name
    shutil.copy(shutil.which("gdal_translate"), program)
    source = "SGC:%s,dataset=%s,create=yes,max_download=0" % (tmp_path / "cube", path)
    done = run([program, "-outsize", "128", "128", "-srcwin", *WINDOW, source, tmp_path / "out.tif"],
               fails=not is_host, QGIS_PREFIX_PATH="/usr")
    assert ("Warning" if is_host else "MAX_DOWNLOAD") in done.stderr


def test_explicit_download_wins_in_qgis(document, tmp_path, run):
    path = tmp_path / "relief.json"
    path.write_text(json.dumps(document))
    program = tmp_path / "qgis"
    shutil.copy(shutil.which("gdal_translate"), program)
    source = "SGC:%s,dataset=%s,create=yes,max_download=0,download=yes" % (tmp_path / "cube", path)
    assert "MAX_DOWNLOAD" in run([program, "-outsize", "128", "128", "-srcwin", *WINDOW, source,
                                  tmp_path / "out.tif"], fails=True).stderr
