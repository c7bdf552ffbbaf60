"""Reads at any resolution come from the right level, whatever the resampling and the number of bands: they equal
those of a copy with the same levels in a format of GDAL's own."""
import numpy as np
from osgeo import gdal
import pytest

SIDE, CHUNK = 720, 180
METHODS = {name: getattr(gdal, "GRIORA_" + name) for name in (
    "NearestNeighbour", "Bilinear", "Cubic", "CubicSpline", "Lanczos", "Average", "Mode", "Gauss", "RMS")}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A cube of three channels, and a copy of it and of its levels."""
    directory = tmp_path_factory.mktemp("resampling")
    rows, columns = np.mgrid[:SIDE, :SIDE]
    noise = np.random.default_rng(2).normal(0, 5, (3, SIDE, SIDE))
    pixels = (noise + [rows + columns, 900 - rows, 2 * columns]).astype(np.float32)
    pixels[:, 100:260, 90:170] = -9999
    source = gdal.GetDriverByName("GTiff").Create(str(directory / "source.tif"), SIDE, SIDE, 3, gdal.GDT_Float32)
    source.SetGeoTransform((0, 30, 0, 0, 0, -30))
    for i in range(3):
        source.GetRasterBand(i + 1).SetNoDataValue(-9999)
    source.WriteRaster(0, 0, SIDE, SIDE, pixels.tobytes())
    del source
    (directory / "definition.json").write_text("""{
        "type": "CubeDataset", "version": "1", "id": "three", "proj:code": "EPSG:3413",
        "proj:transform": [30, 0, 0, 0, -30, 0], "proj:shape": [%d, %d], "chunk_shape": [%d, %d], "bands": [%s],
        "source": {"kind": "gdal", "dataset": "%s"}}""" % (SIDE, SIDE, CHUNK, CHUNK, ",".join(
            '{"name": "b%d", "band": %d, "data_type": "float32", "nodata": -9999}' % (i, i) for i in (1, 2, 3)),
        directory / "source.tif"))
    cube = gdal.Open("SGC:%s,dataset=%s,create=yes" % (directory / "cube", directory / "definition.json"))
    copy = gdal.GetDriverByName("MEM").Create("", SIDE, SIDE, 3, gdal.GDT_Float32)
    for i in range(1, 4):
        copy.GetRasterBand(i).SetNoDataValue(-9999)
    copy.WriteRaster(0, 0, SIDE, SIDE, cube.ReadRaster())
    factors = [SIDE // level.XSize for level in levels(cube, 1)]
    assert factors == [2, 4, 8, 16]
    copy.BuildOverviews("NEAREST", factors)
    for i in (1, 2, 3):
        for to, level in zip(levels(copy, i), levels(cube, i)):
            to.WriteRaster(0, 0, level.XSize, level.YSize, level.ReadRaster())
    return cube, copy


def levels(dataset, number):
    band = dataset.GetRasterBand(number)
    return [band.GetOverview(i) for i in range(band.GetOverviewCount())]


def test_levels_are_means(pair, read):
    pixels = read(pair[0], 0, 0, SIDE, SIDE)
    for factor, level in zip((2, 4, 8), levels(pair[0], 2)):
        size = SIDE // factor
        blocks = pixels[1].reshape(size, factor, size, factor).transpose(0, 2, 1, 3)
        valid = (blocks != -9999).all(axis=(2, 3))
        means = blocks.astype(np.float64).mean(axis=(2, 3))
        np.testing.assert_allclose(read(level, 0, 0, size, size)[valid], means[valid], rtol=1e-5)


@pytest.mark.parametrize("bands", [[2], [1, 2, 3], [3, 1]], ids=str)
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_resampled_reads(pair, read, method, bands):
    for window, size in [((0, 0, SIDE, SIDE), (SIDE // 4, SIDE // 4)), ((0, 0, SIDE, SIDE), (100, 83)),
                         ((64, 48, 512, 640), (256, 320)), ((37, 51, 300, 301), (90, 91)),
                         ((200, 220, 150, 150), (230, 240))]:
        actual, expected = (read(dataset, *window, *size, band_list=bands, resample_alg=method) for dataset in pair)
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_a_band_reads_like_its_dataset(pair, read, method):
    window, size = (64, 48, 512, 640), (131, 170)
    together = read(pair[0], *window, *size, resample_alg=method)
    for i in range(3):
        alone = read(pair[0].GetRasterBand(i + 1), *window, *size, resample_alg=method)
        np.testing.assert_array_equal(alone, together[i])
