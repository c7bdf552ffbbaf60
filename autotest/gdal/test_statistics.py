"""Statistics and histograms: approximate ones of what is there, without a download; exact ones of every pixel."""
import math
import statistics

import numpy as np
from osgeo import gdal
import pytest

SIDE, CHUNK = 1024, 256
NODATA = -9999


@pytest.fixture
def pixels():
    values = np.random.default_rng(6).integers(-500, 3000, (SIDE, SIDE)).astype(np.float32)
    values[:CHUNK, :CHUNK] = NODATA
    values[300:310, 300:700] = NODATA
    return values


@pytest.fixture
def open_cube(tmp_path, pixels, open_document):
    """open_cube(band={…}, OPTION=value, …) opens a cube of a local file of these pixels, with levels of 2 and 4."""
    file = tmp_path / "source.tif"
    dataset = gdal.GetDriverByName("GTiff").Create(str(file), SIDE, SIDE, 1, gdal.GDT_Float32)
    dataset.SetGeoTransform((0, 30, 0, 0, 0, -30))
    dataset.GetRasterBand(1).SetNoDataValue(NODATA)
    dataset.GetRasterBand(1).WriteRaster(0, 0, SIDE, SIDE, pixels.tobytes())
    dataset.BuildOverviews("NEAREST", [2, 4])
    del dataset
    opened = []  # bands do not outlive their datasets

    def open_it(band={}, **options):
        opened.append(open_document({
            "type": "CubeDataset", "version": "1", "id": "numbers", "proj:code": "EPSG:3413",
            "proj:transform": [30, 0, 0, 0, -30, 0], "proj:shape": [SIDE, SIDE], "chunk_shape": [CHUNK, CHUNK],
            "bands": [{"name": "number", "data_type": "float32", "nodata": NODATA, "resampling": "nearest", **band}],
            "source": {"kind": "gdal", "dataset": str(file)}}, **options))
        return opened[-1]

    return open_it


def expected(pixels):
    valid = pixels[pixels != NODATA].astype(np.float64)
    return valid.min(), valid.max(), valid.mean(), valid.std()


KNOWN = {"statistics": {"minimum": -100, "maximum": 4000, "mean": 700, "stddev": 80}}


def test_a_map_needs_no_pixels_where_the_definition_knows_statistics(open_cube, cube):
    band = open_cube(KNOWN).GetRasterBand(1)
    assert band.GetStatistics(True, False) == [-100, 4000, 700, 80]
    assert band.GetMetadataItem("STATISTICS_APPROXIMATE") == "YES"
    assert band.ComputeStatistics(True) == [-100, 4000, 700, 80]
    assert list(band.ComputeRasterMinMax(True)) == [-100, 4000]
    assert not cube.exists()


def test_a_map_of_several_bands_cuts_the_histogram_that_the_definition_lets_expect(open_cube, cube):
    """QGIS asks for one of the whole range, and shows what lies between 2 and 98 percent."""
    band = open_cube(KNOWN).GetRasterBand(1)
    counts = np.cumsum(band.GetHistogram(-100, 4000, 4100, approx_ok=True))
    normal = statistics.NormalDist(700, 80)
    for share in 0.02, 0.5, 0.98:
        assert abs(np.searchsorted(counts, share * counts[-1]) - 100 - normal.inv_cdf(share)) <= 1
    inside, both = (band.GetHistogram(600, 800, 2, approx_ok=True, include_out_of_range=out) for out in (False, True))
    assert inside[0] == inside[1] < both[0] == both[1] == counts[-1] / 2
    assert not cube.exists()


def test_of_nothing_approximate_statistics_say_nothing(open_cube, cube):
    messages = []
    gdal.PushErrorHandler(lambda *error: messages.append(error))
    try:
        band = open_cube().GetRasterBand(1)
        # GDAL 3.6 gives what we leave in its variables, later ones None.
        assert all(math.isnan(value) for value in band.ComputeStatistics(True) or [])
        assert all(math.isnan(value) for value in band.ComputeRasterMinMax(True) or [])
        assert not any(band.GetHistogram(-500, 3000, 250000, approx_ok=True) or [])
    finally:
        gdal.PopErrorHandler()
    assert messages == []
    assert not cube.exists()


def test_gdalinfo_of_nothing(open_cube, cube, tmp_path, run):
    open_cube()
    name = "SGC:%s,dataset=%s,create=yes" % (cube, tmp_path / "definition.json")
    assert "STATISTICS" not in run(["gdalinfo", "-approx_stats", name]).stdout
    assert not cube.exists()


def test_approximate_statistics_are_of_what_is_complete(open_cube, pixels, read, cube, files_of):
    dataset = open_cube(KNOWN)
    read(dataset, CHUNK, CHUNK, 2 * CHUNK, CHUNK)
    before = files_of(cube)
    band = dataset.GetRasterBand(1)
    there = pixels[CHUNK:2 * CHUNK, CHUNK:3 * CHUNK]
    np.testing.assert_allclose(band.ComputeStatistics(True), expected(there))
    np.testing.assert_allclose(band.ComputeRasterMinMax(True), expected(there)[:2])
    valid = there[there != NODATA]
    assert band.GetHistogram(-500, 3000, 7, approx_ok=True) == np.histogram(valid, 7, (-500, 3000))[0].tolist()
    assert band.GetHistogram(0, 1000, 2, approx_ok=True, include_out_of_range=True) == [
        (valid < 500).sum(), (valid >= 500).sum()]
    assert sum(band.GetHistogram(0, 1000, 2, approx_ok=True)) == ((valid >= 0) & (valid < 1000)).sum()
    assert files_of(cube) == before


def test_the_level_that_has_most_is_asked(open_cube, read):
    dataset = open_cube()
    band = dataset.GetRasterBand(1)
    read(dataset, CHUNK, CHUNK, 2 * CHUNK, CHUNK)  # an eighth
    part = read(band.GetOverview(0), 0, 0, CHUNK, CHUNK)  # a quarter
    np.testing.assert_allclose(band.ComputeStatistics(True), expected(part))
    whole = read(band.GetOverview(1), 0, 0, CHUNK, CHUNK)
    np.testing.assert_allclose(band.ComputeStatistics(True), expected(whole))


def test_exact_statistics_read_every_pixel(open_cube, pixels):
    band = open_cube(KNOWN).GetRasterBand(1)
    np.testing.assert_allclose(band.GetStatistics(False, True), expected(pixels))
    np.testing.assert_allclose(band.GetStatistics(False, False), expected(pixels))
    assert band.GetMetadataItem("STATISTICS_APPROXIMATE") is None
    assert list(band.ComputeRasterMinMax(False)) == list(expected(pixels)[:2])
    valid = pixels[pixels != NODATA]
    assert band.GetHistogram(-500, 3000, 7, approx_ok=False) == np.histogram(valid, 7, (-500, 3000))[0].tolist()


def test_exact_histogram_of_a_new_cube(open_cube, pixels):
    low, high, buckets, counts = open_cube().GetRasterBand(1).GetDefaultHistogram()
    assert low < expected(pixels)[0] and high > expected(pixels)[1]
    assert sum(counts) == (pixels != NODATA).sum()


def test_exact_statistics_tell_the_whole_price_first(open_cube, pixels, read, assert_pixels):
    dataset = open_cube(MAX_DOWNLOAD="1MB")  # 16 chunks are about 1.7 MB
    with pytest.raises(RuntimeError, match="needs 16 chunks"):
        dataset.GetRasterBand(1).ComputeStatistics(False)
    # Later reads are not about all that.
    assert_pixels(read(dataset, CHUNK, 0, 10, 10), pixels[:10, CHUNK:CHUNK + 10])


def hush(call, *args):
    """What it gives, or None where it fails; without a word."""
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    try:
        return call(*args)
    except RuntimeError:
        return None
    finally:
        gdal.PopErrorHandler()


def test_statistics_of_a_part_are_not_kept_as_exact(open_cube, pixels, read):
    read(open_cube(), CHUNK, CHUNK, CHUNK, CHUNK)
    band = open_cube(DOWNLOAD="NO", ON_MISSING="NODATA").GetRasterBand(1)
    there = expected(pixels[CHUNK:2 * CHUNK, CHUNK:2 * CHUNK])
    np.testing.assert_allclose(hush(band.ComputeStatistics, False), there)
    assert band.GetMetadataItem("STATISTICS_APPROXIMATE") == "YES"
    read(open_cube(), 0, 0, SIDE, SIDE)
    np.testing.assert_allclose(band.GetStatistics(False, True), expected(pixels))
    assert band.GetMetadataItem("STATISTICS_APPROXIMATE") is None


@pytest.mark.parametrize("compute, expect", [
    (lambda band: band.ComputeStatistics(False), expected),
    (lambda band: band.ComputeRasterMinMax(False), lambda pixels: expected(pixels)[:2]),
    (lambda band: band.GetHistogram(-500, 3000, 7, approx_ok=False),
     lambda pixels: np.histogram(pixels[pixels != NODATA], 7, (-500, 3000))[0]),
], ids=["statistics", "minmax", "histogram"])
def test_exact_ones_see_what_was_loaded_meanwhile(open_cube, pixels, read, compute, expect):
    """Also of the last block that GDAL has looked at, when it was not there: of the only one, here."""
    one = {"CHUNK_SIZE": 1031}  # a prime
    other = open_cube(**one)
    band = open_cube(DOWNLOAD="NO", ON_MISSING="NODATA", **one).GetRasterBand(1)
    assert band.GetBlockSize() == [1031, 1031]
    hush(compute, band)
    read(other, 0, 0, SIDE, SIDE)
    np.testing.assert_allclose(compute(band), expect(pixels))
