"""GDAL's blocks, and which level answers when nothing may be downloaded."""
import numpy as np
from osgeo import gdal
import pytest

import demo_formula

CENTRE = (46800, 43200)


def demo(cube, options=""):
    return gdal.Open("SGC:%s,dataset=Demo,create=yes%s" % (cube, options))


@pytest.mark.parametrize("chunk, block", [(3600, 720), (900, 900), (64, 64), (1511, 1511), (15991, 15991),
                                          (2 * 1511, 1511)])
def test_blocks_divide_chunks_and_are_never_tiny(cube, chunk, block):
    assert demo(cube, ",chunk_size=%d" % chunk).GetRasterBand(1).GetBlockSize() == [block, block]


def test_block_beyond_the_edge_is_nodata_there(cube):
    dataset = demo(cube, ",chunk_size=300")
    band = dataset.GetRasterBand(1)
    assert band.GetBlockSize() == [300, 300]
    block = np.frombuffer(band.ReadBlock(333, 300), np.float32).reshape(300, 300)
    np.testing.assert_array_equal(block[:, :100], demo_formula.window(99900, 90000, 100, 300))
    assert np.isnan(block[:, 100:]).all()


def test_offline_view_comes_from_the_level_that_is_there(cube, read, assert_pixels):
    window = (*CENTRE, 2000, 2000)
    pixels = read(demo(cube, ",chunk_size=500"), *window)
    offline = gdal.Open("SGC:%s,download=no" % cube)
    seen = np.frombuffer(offline.ReadRaster(*window, buf_xsize=500, buf_ysize=500), np.float32)
    # Nearest neighbour picks the pixel behind the middle of each square of 4 x 4.
    assert_pixels(seen.reshape(500, 500), pixels[2::4, 2::4])


def test_offline_view_prefers_a_level_that_is_complete(cube, read, assert_pixels):
    window = (48000, 44000, 4000, 4000)
    online = demo(cube, ",chunk_size=500")
    expected = np.frombuffer(online.ReadRaster(*window, buf_xsize=500, buf_ysize=500), np.float32)
    offline = gdal.Open("SGC:%s,download=no" % cube)
    seen = np.frombuffer(offline.ReadRaster(*window, buf_xsize=500, buf_ysize=500), np.float32)
    assert_pixels(seen.reshape(500, 500), expected.reshape(500, 500))


def test_offline_level_is_computed(cube, open_document, read):
    """Also where the last pixel of a level stands for a part of one."""
    width, height, factor = 1001, 906, 4
    definition = {
        "type": "CubeDataset", "version": "1", "id": "Small", "proj:code": "EPSG:3413",
        "proj:transform": [40, 0, -128000, 0, -40, 272000], "proj:shape": [height, width], "chunk_shape": [256, 256],
        "bands": [{"name": "elevation", "data_type": "float32"}], "source": {"kind": "synthetic"}}
    pixels = read(open_document(definition), 0, 0, width, height)
    padded = np.full((-(-height // factor) * factor, -(-width // factor) * factor), np.nan, np.float32)
    padded[:height, :width] = pixels
    squares = padded.reshape(padded.shape[0] // factor, factor, -1, factor)
    expected = np.nanmean(squares, axis=(1, 3))
    offline = gdal.Open("SGC:%s,download=no" % cube)
    level = offline.GetRasterBand(1).GetOverview(1)
    assert (level.YSize, level.XSize) == expected.shape
    whole = read(level, 0, 0, level.XSize, level.YSize)
    np.testing.assert_allclose(whole, expected, rtol=1e-5)
    corner = read(level, level.XSize - 3, level.YSize - 2, 3, 2)
    np.testing.assert_array_equal(corner, whole[-2:, -3:])
    warped = gdal.Warp("", offline, format="MEM", xRes=160, yRes=160)
    inside = warped.ReadAsArray()[1:225, 1:249]
    assert np.isfinite(inside).all() and inside.std() > 1


def test_offline_bands_in_different_states(cube, open_document, read, assert_pixels):
    """One band has its level stored, the other one only full resolution."""
    side, factor = 256, 4
    definition = {
        "type": "CubeDataset", "version": "1", "id": "Steps", "proj:code": "EPSG:3413",
        "proj:transform": [40, 0, -120000, 0, -40, 280000], "proj:shape": [side, side], "chunk_shape": [64, 64],
        "time": {"values": ["2017-01-01", "2018-01-01"]}, "bands": [{"name": "elevation", "data_type": "float32"}],
        "source": {"kind": "synthetic"}}
    online = open_document(definition, TIME="2017/2018")
    read(online, 0, 0, side, side)
    stored = read(online.GetRasterBand(1).GetOverview(1), 0, 0, side // factor, side // factor)
    offline = open_document(definition, TIME="2017/2018", DOWNLOAD="NO")
    level = offline.GetRasterBand(1).GetOverview(1).GetDataset()
    window = 0, 0, level.RasterXSize, level.RasterYSize
    alone = [read(level.GetRasterBand(i), *window) for i in (1, 2)]
    assert_pixels(alone[0], stored)
    # Each step lies 16 m above the one before.
    np.testing.assert_allclose(alone[1], alone[0] + 16, rtol=1e-6)
    for bands in ([1, 2], [2, 1]):
        assert_pixels(read(level, *window, band_list=bands), np.stack([alone[i - 1] for i in bands]))
    # Between the pixels: of a level that is computed, too.
    shifted = read(level, 1.6, 2.7, 20, 10, 20, 10)
    assert_pixels(shifted, np.stack(alone)[:, 3:13, 2:22])
    warped = gdal.Warp("", offline, format="MEM", xRes=40 * factor, yRes=40 * factor)
    assert_pixels(warped.ReadAsArray(), np.stack(alone))


def test_rasterio_understands_the_metadata(cube):
    rasterio = pytest.importorskip("rasterio")
    demo(cube)
    with rasterio.open("SGC:%s,dataset=Demo,create=yes" % cube) as dataset:
        assert dataset.profile["dtype"] == "float32"
        assert dataset.compression == rasterio.enums.Compression.zstd


def test_block_without_its_chunk_is_not_kept(cube, read, config, assert_pixels):
    """Another handle loads the chunk between two reads, though the user wants GDAL's block cache."""
    window = (46784, 43200, 64, 64)
    read(demo(cube, ",chunk_size=64"), 6400, 6400, 1, 1)  # makes the cube, far away
    config(GDAL_FORCE_CACHING="YES")  # looked at when a dataset is opened
    patient = gdal.Open("SGC:%s,download=no,on_missing=nodata" % cube)
    config(GDAL_FORCE_CACHING="NO")

    gdal.PushErrorHandler("CPLQuietErrorHandler")
    try:
        for source in (patient, patient.GetRasterBand(1)):
            assert np.isnan(read(source, *window)).all()
        read(gdal.Open("SGC:%s" % cube), *window)
        for source in (patient, patient.GetRasterBand(1)):
            assert_pixels(read(source, *window), demo_formula.window(*window))
    finally:
        gdal.PopErrorHandler()
