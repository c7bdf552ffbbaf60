"""Every pixel of `Demo` is what the formula says, whichever way it is read."""
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from osgeo import gdal
import pytest

import demo_formula

SIZE = demo_formula.SIZE
CHUNK = 3600
LEVELS = demo_formula.FACTORS[1:]
WHOLE_LEVELS = [f for f in LEVELS if f >= 32]
PARTIAL_LEVELS = [f for f in LEVELS if f < 32]


def connection(cube):
    return "SGC:%s,dataset=Demo,create=yes" % cube


@pytest.fixture(scope="module")
def demo_cube(tmp_path_factory):
    """A cube that the tests of this file fill further and further."""
    return tmp_path_factory.mktemp("demo") / "cube"


@pytest.fixture
def demo(demo_cube):
    return gdal.OpenEx(connection(demo_cube))


def expected_in_memory(*window):
    pixels = demo_formula.window(*window)
    dataset = gdal.GetDriverByName("MEM").Create("", window[2], window[3], 1, gdal.GDT_Float32)
    dataset.WriteRaster(0, 0, window[2], window[3], pixels.tobytes())
    return dataset


def nearest(pixels, width, height):
    rows = ((np.arange(height) + 0.5) * (pixels.shape[0] / height) + 1e-10).astype(int)
    columns = ((np.arange(width) + 0.5) * (pixels.shape[1] / width) + 1e-10).astype(int)
    return pixels[rows[:, None], columns[None, :]]


WINDOWS = {
    "inside one patch": (50300, 75300, 700, 240),
    "corner of four patches": (52390, 77390, 230, 225),
    "corner of four chunks": (50310, 75510, 200, 190),
    "last pixel of a chunk": (50399, 75599, 1, 1),
    "one row over many chunks": (42000, 75599, 12000, 1),
    "one column over many chunks": (50400, 70000, 1, 9000),
    "one whole chunk": (50400, 75600, 3600, 3600),
    "corner of an absent patch": (17400, 16000, 400, 400),
    "absent patches": (26000, 16000, 500, 500),
    "north-west corner": (0, 0, 300, 301),
    "north-east corner": (99700, 0, 300, 299),
    "south-west corner": (0, 99690, 310, 310),
    "south-east corner": (99700, 99600, 300, 400),
}


def test_windows_are_what_their_names_say():
    pixels = {name: demo_formula.window(*window) for name, window in WINDOWS.items()}
    assert np.isnan(pixels["absent patches"]).all()
    assert 0 < np.isnan(pixels["corner of an absent patch"]).mean() < 1
    inside = demo_formula.tags(*WINDOWS["inside one patch"], 1)
    assert (inside == inside[0, 0]).all()
    assert len(np.unique(demo_formula.tags(*WINDOWS["corner of four patches"], 1))) == 4


def test_grid(demo):
    assert (demo.RasterXSize, demo.RasterYSize, demo.RasterCount) == (SIZE, SIZE, 1)
    assert demo.GetGeoTransform() == (-2000000.0, 40.0, 0.0, 2000000.0, 0.0, -40.0)
    assert demo.GetSpatialRef().GetAuthorityCode(None) == "3413"
    band = demo.GetRasterBand(1)
    assert band.DataType == gdal.GDT_Float32
    assert np.isnan(band.GetNoDataValue())


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS.keys())
def test_window(demo, read, assert_pixels, window):
    expected = demo_formula.window(*window)
    assert_pixels(read(demo, *window), expected)
    assert_pixels(read(demo.GetRasterBand(1), *window), expected)


def test_window_of_many_chunks_in_a_new_cube(cube, read, assert_pixels):
    window = (49000, 74000, 3000, 2600)
    dataset = gdal.OpenEx(connection(cube))
    assert_pixels(read(dataset, *window), demo_formula.window(*window))


def test_window_outside_the_raster_fails(demo, read):
    with pytest.raises(RuntimeError):
        read(demo, SIZE - 10, 0, 20, 10)


def test_levels_have_their_sizes(demo):
    band = demo.GetRasterBand(1)
    overviews = [band.GetOverview(i) for i in range(band.GetOverviewCount())]
    sizes = [demo_formula.level_size(f) for f in LEVELS]
    assert [(o.XSize, o.YSize) for o in overviews] == list(zip(sizes, sizes))
    assert {o.DataType for o in overviews} == {gdal.GDT_Float32}


@pytest.mark.parametrize("factor", WHOLE_LEVELS)
def test_whole_level(demo, read, assert_pixels, factor):
    size = demo_formula.level_size(factor)
    overview = demo.GetRasterBand(1).GetOverview(LEVELS.index(factor))
    assert_pixels(read(overview, 0, 0, size, size), demo_formula.window(0, 0, size, size, factor))


@pytest.mark.parametrize("factor", PARTIAL_LEVELS)
def test_windows_of_a_level(demo, read, assert_pixels, factor):
    size = demo_formula.level_size(factor)
    overview = demo.GetRasterBand(1).GetOverview(LEVELS.index(factor))
    chunk_corner = CHUNK // 4 * max(1, 40000 // factor // (CHUNK // 4))
    patch_corner_x, patch_corner_y = 52500 // factor, 77500 // factor
    absent_corner = 45000 // factor, 15000 // factor
    for x, y in ((chunk_corner, chunk_corner), (patch_corner_x, patch_corner_y), absent_corner):
        window = (x - 150, y - 150, 290, 310)
        assert_pixels(read(overview, *window), demo_formula.window(*window, factor))
    window = (size - 200, size - 150, 200, 150)
    assert_pixels(read(overview, *window), demo_formula.window(*window, factor))


@pytest.mark.parametrize("data_type", [
    gdal.GDT_Byte, gdal.GDT_UInt16, gdal.GDT_Int16, gdal.GDT_UInt32, gdal.GDT_Int32, gdal.GDT_Float64,
    gdal.GDT_CFloat32], ids=gdal.GetDataTypeName)
def test_buffer_type(demo, read, assert_pixels, data_type):
    window = WINDOWS["corner of four patches"]
    expected = read(expected_in_memory(*window), 0, 0, window[2], window[3], buf_type=data_type)
    assert_pixels(read(demo, *window, buf_type=data_type), expected)
    assert_pixels(read(demo.GetRasterBand(1), *window, buf_type=data_type), expected)


def test_interleaved_buffer(demo, assert_pixels):
    xoff, yoff, xsize, ysize = window = WINDOWS["corner of four chunks"]
    expected = demo_formula.window(*window)
    buffer = np.full((ysize, xsize, 3), -1, np.float32)
    demo.ReadRaster(xoff, yoff, xsize, ysize, band_list=[1, 1], buf_obj=buffer,
                    buf_pixel_space=12, buf_line_space=12 * xsize, buf_band_space=4)
    assert_pixels(buffer[:, :, 0], expected)
    assert_pixels(buffer[:, :, 1], expected)
    assert (buffer[:, :, 2] == -1).all()


def test_wide_strides_of_another_type(demo, assert_pixels):
    xoff, yoff, xsize, ysize = window = WINDOWS["corner of four chunks"]
    buffer = np.full((ysize, 2 * xsize + 7), -1, np.float64)
    demo.GetRasterBand(1).ReadRaster(xoff, yoff, xsize, ysize, buf_type=gdal.GDT_Float64, buf_obj=buffer,
                                     buf_pixel_space=16, buf_line_space=8 * buffer.shape[1])
    assert_pixels(buffer[:, 0:2 * xsize:2], demo_formula.window(*window).astype(np.float64))
    buffer[:, 0:2 * xsize:2] = -1
    assert (buffer == -1).all()


# Ratios for which it is beyond doubt which level serves them, however an implementation rounds.
@pytest.mark.parametrize("factor, width, height", [
    (1, 551, 617), (1, 719, 480), (2, 263, 289), (2, 240, 233), (4, 143, 141), (8, 75, 71)])
def test_nearest_decimation(demo, read, assert_pixels, factor, width, height):
    xoff, yoff, size = 50080, 75200, 720
    level = demo_formula.window(xoff // factor, yoff // factor, size // factor, size // factor, factor)
    expected = nearest(level, width, height)
    assert_pixels(read(demo, xoff, yoff, size, size, width, height), expected)
    assert_pixels(read(demo.GetRasterBand(1), xoff, yoff, size, size, width, height), expected)


def test_nearest_enlargement(demo, read, assert_pixels):
    window = (50380, 75580, 41, 43)
    expected = nearest(demo_formula.window(*window), 100, 129)
    assert_pixels(read(demo, *window, 100, 129), expected)


@pytest.mark.parametrize("resampling", [gdal.GRIORA_Bilinear, gdal.GRIORA_Cubic, gdal.GRIORA_Average])
def test_resampling_at_native_level(demo, read, resampling):
    window = WINDOWS["corner of four chunks"]
    width, height = 150, 141
    expected = read(expected_in_memory(*window), 0, 0, window[2], window[3], width, height,
                    resample_alg=resampling)
    actual = read(demo, *window, width, height, resample_alg=resampling)
    # GDAL's kernels see beyond the window in the raster, and not in the copy.
    inner = np.s_[4:-4, 4:-4]
    np.testing.assert_allclose(actual[inner], expected[inner], rtol=1e-6)


def block_range(index, block_size, size):
    return index * block_size, min((index + 1) * block_size, size)


def test_block_size_divides_chunks(demo):
    width, height = demo.GetRasterBand(1).GetBlockSize()
    assert width == height
    assert CHUNK % width == 0
    assert 360 <= width <= 1440


@pytest.mark.parametrize("x, y", [(50400, 75600), (44900, 15200), (20700, 30700), (0, SIZE - 1),
                                  (SIZE - 1, SIZE - 1), (SIZE - 1, 0)])
def test_read_block(demo, assert_pixels, x, y):
    band = demo.GetRasterBand(1)
    width, height = band.GetBlockSize()
    block = np.frombuffer(band.ReadBlock(x // width, y // height), np.float32).reshape(height, width)
    left, right = block_range(x // width, width, SIZE)
    top, bottom = block_range(y // height, height, SIZE)
    expected = demo_formula.window(left, top, right - left, bottom - top)
    assert_pixels(block[:bottom - top, :right - left], expected)


def test_read_block_of_a_level(demo, assert_pixels):
    overview = demo.GetRasterBand(1).GetOverview(LEVELS.index(32))
    width, height = overview.GetBlockSize()
    size = demo_formula.level_size(32)
    block = np.frombuffer(overview.ReadBlock(1, 2), np.float32).reshape(height, width)
    left, right = block_range(1, width, size)
    top, bottom = block_range(2, height, size)
    expected = demo_formula.window(left, top, right - left, bottom - top, 32)
    assert_pixels(block[:bottom - top, :right - left], expected)


def test_statistics(demo_cube, run):
    window = WINDOWS["one whole chunk"]
    run(["gdal_translate", "-q", "-of", "VRT", "-srcwin", *window, connection(demo_cube), "chunk.vrt"])
    chunk = gdal.Open("chunk.vrt")
    stored = chunk.GetRasterBand(1).ComputeStatistics(False)
    pixels = demo_formula.window(*window).astype(np.float64)
    np.testing.assert_allclose(stored, (pixels.min(), pixels.max(), pixels.mean(), pixels.std()), rtol=1e-9)


def test_threads_with_handles_of_their_own(cube, read, assert_pixels):
    windows = [(50000 + 300 * i, 75000 + 200 * i, 1500, 1100) for i in range(6)]

    def read_one(window):
        return read(gdal.OpenEx(connection(cube)), *window)

    with ThreadPoolExecutor(len(windows)) as pool:
        for window, actual in zip(windows, pool.map(read_one, windows)):
            assert_pixels(actual, demo_formula.window(*window))


def test_gdalinfo_writes_nothing(cube, tmp_path, run, files_of):
    before = files_of(tmp_path)
    done = run(["gdalinfo", connection(cube)])
    assert "Size is %d, %d" % (SIZE, SIZE) in done.stdout
    assert files_of(tmp_path) == before
    assert not cube.exists()


def test_translate_then_read_again_without_writing(cube, run, read, files_of, assert_pixels):
    window = (50000, 75000, 1000, 900)
    expected = demo_formula.window(*window)
    translate = ["gdal_translate", "-q", "-srcwin", *window]
    run(translate + [connection(cube), "first.tif"])
    assert_pixels(read(gdal.Open("first.tif"), 0, 0, 1000, 900), expected)

    filled = files_of(cube)
    run(translate + ["SGC:%s" % cube, "second.tif"])
    run(translate + ["SGC:%s,download=no" % cube, "third.tif"])
    for name in ("second.tif", "third.tif"):
        assert_pixels(read(gdal.Open(name), 0, 0, 1000, 900), expected)
    assert files_of(cube) == filled


def test_small_image_of_everything_costs_few_chunks(cube, run, read, files_of):
    run(["gdal_translate", "-q", "-outsize", 600, 600, connection(cube), "all.tif"])
    actual = read(gdal.Open("all.tif"), 0, 0, 600, 600)
    size = demo_formula.level_size(128)
    level = np.pad(demo_formula.window(0, 0, size, size, 128), 1, mode="edge")

    # The level's last row and column reach beyond the raster; whether a level is stretched over the
    # raster or laid over it moves the nearest pixel by one at most.
    rows = (np.arange(600)[:, None] * 2 + 1) * size // 1200 + 1
    columns = (np.arange(600)[None, :] * 2 + 1) * size // 1200 + 1
    found = np.zeros((600, 600), bool)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            candidate = level[rows + down, columns + right]
            found |= (actual == candidate) | (np.isnan(actual) & np.isnan(candidate))
    assert found.all()

    stored = sum(size for size, _ in files_of(cube).values())
    assert stored < 2 * level.nbytes + 2000000
