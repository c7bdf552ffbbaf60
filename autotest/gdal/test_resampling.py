"""Reads at any resolution come from the right level, whatever the resampling and the number of bands: they equal
those of a copy with the same levels in a format of GDAL's own."""
import json

import numpy as np
from osgeo import gdal, gdal_array
import pytest

SIDE, CHUNK = 720, 180
METHODS = {name: getattr(gdal, "GRIORA_" + name) for name in (
    "NearestNeighbour", "Bilinear", "Cubic", "CubicSpline", "Lanczos", "Average", "Mode", "Gauss", "RMS")}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Has a definition of three channels, and the file that cubes of it are filled from."""
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
    return directory


def open_cube(place, directory):
    return gdal.Open("SGC:%s,dataset=%s,create=yes" % (place, directory / "definition.json"))


@pytest.fixture(scope="module")
def pair(directory):
    """A cube, and a copy of it and of its levels. (MEM of GDAL 3.6 resamples nothing at native size.)"""
    cube = open_cube(directory / "cube", directory)
    copy = gdal.GetDriverByName("GTiff").Create(str(directory / "copy.tif"), SIDE, SIDE, 3, gdal.GDT_Float32,
                                                ["INTERLEAVE=BAND"])
    copy.SetGeoTransform(cube.GetGeoTransform())
    copy.SetProjection(cube.GetProjection())
    for i in range(1, 4):
        copy.GetRasterBand(i).SetNoDataValue(-9999)
    copy.WriteRaster(0, 0, SIDE, SIDE, cube.ReadRaster())
    factors = [SIDE // level.XSize for level in levels(cube, 1)]
    assert factors == [2, 4, 8, 16]
    copy.BuildOverviews("NONE", factors)
    for i in (1, 2, 3):
        for to, level in zip(levels(copy, i), levels(cube, i)):
            to.WriteRaster(0, 0, level.XSize, level.YSize, level.ReadRaster())
    copy.FlushCache()
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


@pytest.fixture
def odd(tmp_path):
    """odd(pixels, method, chunk) gives the name, but for the place, of cubes of one band of such pixels."""

    def define(pixels, method, chunk):
        height, width = pixels.shape
        code = gdal_array.NumericTypeCodeToGDALTypeCode(pixels.dtype)
        source = gdal.GetDriverByName("GTiff").Create(str(tmp_path / "source.tif"), width, height, 1, code)
        source.SetGeoTransform((0, 30, 0, 0, 0, -30))
        source.GetRasterBand(1).SetNoDataValue(-9999)
        source.WriteRaster(0, 0, width, height, pixels.tobytes())
        del source
        (tmp_path / "definition.json").write_text(json.dumps({
            "type": "CubeDataset", "version": "1", "id": "odd", "proj:code": "EPSG:3413",
            "proj:transform": [30, 0, 0, 0, -30, 0], "proj:shape": [height, width], "chunk_shape": [chunk, chunk],
            "bands": [{"name": "b", "data_type": pixels.dtype.name, "nodata": -9999, "resampling": method}],
            "source": {"kind": "gdal", "dataset": str(tmp_path / "source.tif")}}))
        return "SGC:%%s,dataset=%s,create=yes" % (tmp_path / "definition.json")

    return define


ODD_SIZE = (134, 203)


@pytest.mark.parametrize("method, data_type", [("nearest", np.int64)] + [
    (method, np.float32) for method in ("nearest", "bilinear", "cubic", "average", "mode")])
def test_last_pixels_of_levels(odd, read, method, data_type):
    """Those that the raster's end cuts are as full as others: loaded or computed, they stand for what is left."""
    pixels = np.random.default_rng(7).integers(1, 200, ODD_SIZE).astype(data_type)
    name = odd(pixels, method, 64)
    read(gdal.Open(name % "./full"), 0, 0, *ODD_SIZE[::-1])
    offline, online = gdal.Open(name % "./full" + ",download=no"), gdal.Open(name % "./levels")
    for factor, computed, level in zip((2, 4), levels(offline, 1), levels(online, 1)):
        loaded = read(level, 0, 0, level.XSize, level.YSize)
        np.testing.assert_allclose(loaded, read(computed, 0, 0, level.XSize, level.YSize), rtol=1e-5)
        last = pixels[(level.YSize - 1) * factor:, (level.XSize - 1) * factor:]
        assert last.shape == (ODD_SIZE[0] % factor or factor, ODD_SIZE[1] % factor)
        if method == "nearest":
            assert loaded[-1, -1] == last[last.shape[0] // 2, last.shape[1] // 2]
        elif method == "average":
            assert loaded[-1, -1] == pytest.approx(last.mean())


@pytest.mark.parametrize("method, shared", [("average", 0), ("cubic", 32)])
def test_levels_are_computed_of_what_is_there(odd, read, method, shared):
    """In the west that is full resolution, in the east half of it, in the south nothing. Kernels that reach beyond
    their pixel must have what they reach for."""
    border, south = 96, 96
    rows, columns = np.mgrid[:ODD_SIZE[0], :ODD_SIZE[1]]
    pixels = (3 * rows + columns).astype(np.float32)  # a plane is one at all levels, but near its edges
    near = 4 if shared else 0
    if not shared:
        pixels = np.random.default_rng(7).integers(1, 200, (34, 51))[rows // 4, columns // 4].astype(np.float32)
        pixels[40:60, 20:44] = pixels[16:24, 160:176] = -9999
    name, east = odd(pixels, method, 32), (border - shared) // 2
    dataset = gdal.Open(name % "./part")
    read(dataset, 0, 0, border + shared, south)
    half = dataset.GetRasterBand(1).GetOverview(0)
    read(half, east, 0, half.XSize - east, south // 2)
    offline, online = gdal.Open(name % "./part" + ",download=no"), gdal.Open(name % "./levels")
    north = (south - shared) // 32 * 32
    for factor, computed, level in zip((2, 4, 8), levels(offline, 1), levels(online, 1)):
        window = (0, 0, level.XSize, north // factor)
        inside = np.s_[near:, near:level.XSize - 1 - near]
        np.testing.assert_allclose(read(computed, *window)[inside], read(level, *window)[inside], rtol=1e-5)
        beyond = level.YSize
        if shared:
            beyond = south // factor
        else:
            np.testing.assert_allclose(read(computed, *window, 61, 13), read(level, *window, 61, 13), rtol=1e-5)
        with pytest.raises(RuntimeError, match="DOWNLOAD=NO"):
            read(computed, 0, 0, level.XSize, beyond)


def test_a_level_is_computed_of_the_nearest_finer_one(odd, read):
    """Its pixels count alike there, and full resolution is not asked."""
    pixels = np.random.default_rng(7).integers(1, 200, (128, 128)).astype(np.float32)
    pixels[::2, ::2] = pixels[:4, :4] = -9999
    name = odd(pixels, "average", 64)
    dataset = gdal.Open(name % "./half")
    expected = read(dataset.GetRasterBand(1).GetOverview(0), 0, 0, 64, 64)
    offline = gdal.Open(name % "./half" + ",download=no")
    for number, side in ((1, 32), (2, 16)):
        squares = np.ma.masked_equal(expected, -9999).reshape(side, 2, side, 2)
        expected = squares.mean(axis=(1, 3)).filled(-9999)
        level = offline.GetRasterBand(1).GetOverview(number)
        np.testing.assert_allclose(read(level, 0, 0, side, side), expected, rtol=1e-5)
    with pytest.raises(RuntimeError, match="DOWNLOAD=NO"):
        read(offline, 0, 0, 1, 1)


@pytest.mark.parametrize("bands", [[2], [1, 2, 3], [3, 1]], ids=str)
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_resampled_reads(pair, read, method, bands):
    for window, size in [((0, 0, SIDE, SIDE), (SIDE // 4, SIDE // 4)), ((0, 0, SIDE, SIDE), (100, 83)),
                         ((64, 48, 512, 640), (256, 320)), ((37, 51, 300, 301), (90, 91)),
                         ((200, 220, 150, 150), (230, 240)),
                         # Windows between the pixels: at native size, also at the border and of a level, and others.
                         ((100.5, 80.7, 160, 150), (160, 150)), ((0.3, 569.6, 100, 150), (100, 150)),
                         ((101, 203, 400, 300), (200, 150)), ((90.25, 80.5, 300.5, 250.75), (100, 83)),
                         ((200.7, 220.2, 50.5, 60.25), (150, 133))]:
        actual, expected = (read(dataset, *window, *size, band_list=bands, resample_alg=method) for dataset in pair)
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())
def test_a_band_reads_like_its_dataset(pair, read, method):
    window, size = (64, 48, 512, 640), (131, 170)
    together = read(pair[0], *window, *size, resample_alg=method)
    for i in range(3):
        alone = read(pair[0].GetRasterBand(i + 1), *window, *size, resample_alg=method)
        np.testing.assert_array_equal(alone, together[i])


def test_nearest_samples(pair, read):
    """Up to the raster's last pixel, and beyond the whole pixels that the bindings round a window to."""
    random = np.random.default_rng(5)
    for _ in range(100):
        extent = random.uniform(5, 60, 2)
        window = *(random.choice([1, random.random()], 2) * (SIDE - extent)), *extent
        # As many pixels as the window has, fewer, or more.
        size = [max(1, round(n * random.choice([1, 1, 0.9, 0.2, 1.1]))) for n in extent]
        actual, expected = (read(dataset.GetRasterBand(2), *window, *size) for dataset in pair)
        np.testing.assert_array_equal(actual, expected, err_msg="%s as %s" % (window, size))


@pytest.mark.parametrize("size", [(80, 20), (161, 41)], ids=str)
def test_what_is_sampled_is_loaded(pair, directory, cube, read, size):
    """The last sample is in a chunk that the window's whole pixels do not touch."""
    window = CHUNK - 80 + 0.45, CHUNK - 20 + 0.45, 80.4, 20.4
    actual, expected = (read(dataset, *window, *size) for dataset in (open_cube(cube, directory), pair[1]))
    np.testing.assert_array_equal(actual, expected)
    assert (expected[:, -1, -1] == read(pair[1], CHUNK, CHUNK, 1, 1)[:, 0, 0]).all()


@pytest.mark.parametrize("method", ["NearestNeighbour", "Bilinear", "Cubic", "Average", "Mode"])
def test_programs_read_between_the_pixels(pair, method):
    """A part that begins within a pixel, and a mosaic on a grid that is shifted by half a one."""
    pixel = 30
    parts = [gdal.Translate("", dataset, format="MEM", srcWin=[100.7, 80.6, 60, 50], resampleAlg=METHODS[method])
             for dataset in pair]
    bounds = [50.5 * pixel, -200.5 * pixel, 170.5 * pixel, -100.5 * pixel]
    mosaics = [gdal.BuildVRT("", [dataset], outputBounds=bounds, xRes=pixel, yRes=pixel,
                             resampleAlg=method.lower().replace("neighbour", "")) for dataset in pair]
    for ours, theirs in (parts, mosaics):
        np.testing.assert_allclose(ours.ReadAsArray(), theirs.ReadAsArray(), rtol=1e-6)


WIDTH, HEIGHT = 1203, 602  # no level divides them


@pytest.fixture(scope="module", params=["loaded", "offline"])
def ramp(tmp_path_factory, request):
    """Two channels whose pixels say which column and row they are, from their centres; offline without levels."""
    directory = tmp_path_factory.mktemp("ramp")
    source = gdal.GetDriverByName("GTiff").Create(str(directory / "source.tif"), WIDTH, HEIGHT, 2, gdal.GDT_Float32)
    source.SetGeoTransform((0, 30, 0, 0, 0, -30))
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    source.WriteRaster(0, 0, WIDTH, HEIGHT, np.array([columns, rows], np.float32).tobytes())
    del source
    (directory / "definition.json").write_text("""{
        "type": "CubeDataset", "version": "1", "id": "ramp", "proj:code": "EPSG:3413",
        "proj:transform": [30, 0, 0, 0, -30, 0], "proj:shape": [%d, %d], "chunk_shape": [180, 180],
        "bands": [{"name": "column", "data_type": "float32"},
                  {"name": "row", "band": 2, "data_type": "float32"}],
        "source": {"kind": "gdal", "dataset": "%s"}}""" % (HEIGHT, WIDTH, directory / "source.tif"))
    name = "SGC:%s,dataset=%s,create=yes" % (directory / "cube", directory / "definition.json")
    if request.param == "offline":
        gdal.Open(name).ReadRaster()
    return gdal.Open(name + (",download=no" if request.param == "offline" else ""))


@pytest.mark.parametrize("method, tolerance", [("NearestNeighbour", 0.51), ("Bilinear", 0.1), ("Average", 0.1)])
@pytest.mark.parametrize("factor", [4, 11, 16.5])
def test_decimated_reads_are_where_they_say(ramp, read, factor, method, tolerance):
    """To the last column and row, though levels are wider than the raster."""
    width, height = int(WIDTH / factor), int(HEIGHT / factor)
    x = (np.arange(width) + 0.5) * WIDTH / width
    y = (np.arange(height) + 0.5) * HEIGHT / height
    together = read(ramp, 0, 0, WIDTH, HEIGHT, width, height, resample_alg=METHODS[method])
    alone = [read(ramp.GetRasterBand(i), 0, 0, WIDTH, HEIGHT, width, height, resample_alg=METHODS[method])
             for i in (1, 2)]
    for columns, rows in (together, alone):
        inner = np.s_[1:-1, 1:-1]  # means at an edge are of what is there
        assert np.abs(columns - x)[inner].max() < tolerance * factor
        assert np.abs(rows - y[:, np.newaxis])[inner].max() < tolerance * factor
