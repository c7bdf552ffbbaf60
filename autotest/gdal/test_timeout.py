"""TIMEOUT: what a read has finished by then is kept, and the rest is said, or shown as nodata."""
from concurrent.futures import ThreadPoolExecutor
import time

import numpy as np
from osgeo import gdal
import pytest

from conftest import FileServer

SIDE = 40  # pixels of a tile, which is a chunk
TIMEOUT = 2  # ample for a tile that comes, nothing for one that never does
HOURS = {"delay_ms": 3600000}
BOTH = (0, 0, 2 * SIDE, SIDE)
PIXELS = np.concatenate([np.full((SIDE, SIDE), value, np.uint8) for value in (1, 2)], 1)


@pytest.fixture
def server(tmp_path):
    served = tmp_path / "served"
    served.mkdir()
    for column in 1, 2:
        tile = gdal.GetDriverByName("GTiff").Create(str(served / ("%d.tif" % column)), SIDE, SIDE)
        tile.SetGeoTransform((10 * SIDE * (column - 1), 10, 0, 10 * SIDE, 0, -10))
        tile.GetRasterBand(1).Fill(column)
        del tile
    server = FileServer(served)
    yield server
    server.close()


@pytest.fixture
def open_cube(open_document, server):
    def open_with(**options):
        return open_document({
            "type": "CubeDataset", "version": "1", "id": "two", "proj:code": "EPSG:32632",
            "proj:transform": [10, 0, 0, 0, -10, 10 * SIDE], "proj:shape": [SIDE, 2 * SIDE],
            "chunk_shape": [SIDE, SIDE], "bands": [{"name": "b", "data_type": "uint8", "nodata": 0}],
            "source": {"kind": "tiles", "href": server.url + "/{col}.tif",
                       "tile": {"origin": [0, 0], "size": [10 * SIDE, 10 * SIDE], "first": [1, 1]}}}, **options)

    return open_with


@pytest.fixture
def warnings():
    said = []

    def collect(severity, number, message):
        said.append((severity, message))

    gdal.PushErrorHandler(collect)
    yield said
    gdal.PopErrorHandler()


def test_what_was_finished_is_kept(open_cube, server, read, assert_pixels):
    server.fault("/2.tif", **HOURS)
    with pytest.raises(RuntimeError, match=r"TIMEOUT.* 1 chunk .*about .*ON_MISSING=NODATA"):
        read(open_cube(TIMEOUT=TIMEOUT), *BOTH)
    assert_pixels(read(open_cube(DOWNLOAD="NO"), 0, 0, SIDE, SIDE), PIXELS[:, :SIDE])
    server.reset()
    assert_pixels(read(open_cube(TIMEOUT="0"), *BOTH), PIXELS)
    assert server.paths() == {"/2.tif"}


def test_rest_as_nodata(open_cube, server, read, assert_pixels, warnings):
    server.fault("/2.tif", **HOURS)
    dataset = open_cube(TIMEOUT=TIMEOUT, ON_MISSING="NODATA")
    expected = np.where(PIXELS == 2, np.uint8(0), PIXELS)
    assert_pixels(read(dataset, *BOTH), expected)
    assert [severity for severity, _ in warnings] == [gdal.CE_Warning]
    assert "1 chunk of the window is not in the cube" in warnings[0][1]
    server.reset()
    assert_pixels(read(dataset, *BOTH), PIXELS)


def test_failure_is_no_lack_of_time(open_cube, server, read):
    server.fault("/2.tif", status=403)
    with pytest.raises(RuntimeError, match="403"):
        read(open_cube(TIMEOUT="3600", ON_MISSING="NODATA"), *BOTH)


def test_time_of_the_configuration(open_cube, server, read, config):
    server.fault("/1.tif", **HOURS)
    config(SGC_TIMEOUT="0.2")
    with pytest.raises(RuntimeError, match="TIMEOUT.* 1 chunk"):
        read(open_cube(), 0, 0, SIDE, SIDE)


def test_time_in_the_search_of_patches(open_document, server, read):
    """Nothing has been found yet when it ends."""
    server.fault("/search", **HOURS)
    document = {
        "type": "CubeDataset", "version": "1", "id": "silent", "proj:code": "EPSG:32632",
        "proj:transform": [10, 0, 500000, 0, -10, 5000000], "proj:shape": [SIDE, SIDE], "chunk_shape": [SIDE, SIDE],
        "bands": [{"name": "b", "data_type": "uint8", "nodata": 0, "asset": "b"}],
        "source": {"kind": "stac", "api": server.url, "collection": "c"}}
    with pytest.raises(RuntimeError, match="TIMEOUT.* 1 chunk"):
        read(open_document(document, TIMEOUT="0.2"), 0, 0, SIDE, SIDE)
    assert server.paths() == {"/search"}


def test_time_spent_waiting_for_another_thread(open_cube, server, read, assert_pixels):
    """Which has the same chunk: others come meanwhile."""
    server.fault("/2.tif", **HOURS)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(read, open_cube(), SIDE, 0, SIDE, SIDE)
        try:
            while not server.log() and not other.done():
                time.sleep(0.01)
            with pytest.raises(RuntimeError, match="TIMEOUT.* 1 chunk"):
                read(open_cube(TIMEOUT="0.2"), SIDE, 0, SIDE, SIDE)
            assert [entry["path"] for entry in server.log()] == ["/2.tif"]
            assert_pixels(read(open_cube(TIMEOUT="60"), 0, 0, SIDE, SIDE), PIXELS[:, :SIDE])
            assert not other.done()
        finally:
            server.reset()  # answers the other
        assert_pixels(other.result(), PIXELS[:, SIDE:])


def test_too_large_download_as_nodata(open_cube, server, read, assert_pixels, warnings):
    dataset = open_cube(MAX_DOWNLOAD="1", ON_MISSING="NODATA")
    assert_pixels(read(dataset, *BOTH), np.zeros_like(PIXELS))
    assert [severity for severity, _ in warnings] == [gdal.CE_Warning]
    assert server.log() == []


def ranges(server):
    """The bytes that were sent, as pairs of the first and the one behind the last."""
    found = [entry["range"].removeprefix("bytes=").split("-") for entry in server.log() if entry["status"] == 206]
    return [(int(first), int(last) + 1) for first, last in found]


def test_what_an_unfinished_chunk_has_received_is_not_fetched_again(open_document, tmp_path, read, assert_pixels):
    """So that a slow line gets there, read after read."""
    side, served = 1500, tmp_path / "large"
    served.mkdir()
    pixels = np.random.default_rng(5).integers(1, 255, (side, side), np.uint8)
    tile = gdal.GetDriverByName("GTiff").Create(str(served / "1.tif"), side, side, 1, gdal.GDT_Byte,
                                                ["TILED=YES", "BLOCKXSIZE=512", "BLOCKYSIZE=512"])
    tile.SetGeoTransform((0, 10, 0, 10 * side, 0, -10))
    tile.GetRasterBand(1).WriteArray(pixels)
    del tile
    document = {
        "type": "CubeDataset", "version": "1", "id": "large", "proj:code": "EPSG:32632",
        "proj:transform": [10, 0, 0, 0, -10, 10 * side], "proj:shape": [side, side], "chunk_shape": [side, side],
        "bands": [{"name": "b", "data_type": "uint8", "nodata": 0}],
        "source": {"kind": "tiles", "href": "", "tile": {"origin": [0, 0], "size": [10 * side, 10 * side]}}}
    server = FileServer(served)
    document["source"]["href"] = server.url + "/{col}.tif"
    server.fault("/1.tif", skip=3, **HOURS)
    raster = open_document(document, TIMEOUT=TIMEOUT)
    with pytest.raises(RuntimeError, match="TIMEOUT"):
        read(raster, 0, 0, side, side)
    early = ranges(server)[:3]
    assert sum(last - first for first, last in early) > 2 ** 20
    server.reset()
    assert_pixels(read(raster, 0, 0, side, side), pixels)
    for first, last in ranges(server):
        assert all(last <= begin or end <= first for begin, end in early)
    server.close()
