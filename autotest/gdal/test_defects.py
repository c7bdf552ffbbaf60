"""What the Python package does wrong and this driver does not (datasets guide 2.6; the numbers are its).

Most of the 28 defects are tested where their subject is; here are those that need a source of their own."""
from concurrent.futures import ThreadPoolExecutor
import json
import sys

import numpy as np
from osgeo import gdal
import pytest

import patchwork

SIZE, NODATA = patchwork.SIZE, patchwork.NODATA


def write_tiff(path, transform, bands, mask=None, options=()):
    """Writes arrays of uint8, with a mask inside the file."""
    height, width = bands[0].shape
    path.parent.mkdir(parents=True, exist_ok=True)
    gdal.SetThreadLocalConfigOption("GDAL_TIFF_INTERNAL_MASK", "YES")
    file = gdal.GetDriverByName("GTiff").Create(str(path), width, height, len(bands), gdal.GDT_Byte,
                                                ["TILED=YES", "PHOTOMETRIC=MINISBLACK", "ALPHA=NO", *options])
    file.SetGeoTransform(transform)
    for number, values in enumerate(bands):
        file.GetRasterBand(number + 1).WriteArray(values)
    if mask is not None:
        file.CreateMaskBand(gdal.GMF_PER_DATASET)
        file.GetRasterBand(1).GetMaskBand().WriteArray(np.where(mask, 255, 0).astype(np.uint8))
    del file
    gdal.SetThreadLocalConfigOption("GDAL_TIFF_INTERNAL_MASK", None)


def definition(href, shape, tile, bands, **changes):
    """Of pixels of 10 m in files side by side, {col}.tif."""
    return {
        "type": "CubeDataset", "version": "1", "id": "columns", "proj:code": "EPSG:3413",
        "proj:transform": [10, 0, 0, 0, -10, 10 * shape[0]], "proj:shape": shape, "chunk_shape": [256, 256],
        "bands": bands, **changes, "source": {"kind": "tiles", "href": href, "tile": {
            "origin": [0, 0], "size": [10 * tile, 10 * shape[0]], "first": [0, 0]}, **changes.get("source", {})}}


# 1 and 26: overlapping patches of integers

@pytest.mark.parametrize("kind", ["tiles", "search"])
@pytest.mark.parametrize("rule", ["first", "last", "min", "max"])
def test_rule_of_overlapping_patches(open_document, patchwork_server, read, assert_pixels, rule, kind):
    """Holes of one patch hide nothing of another, and the rule is the definition's."""
    window = (400, 400, 400, 300)  # where four patches meet
    document = patchwork.definition(patchwork.source(kind, patchwork_server.url), window, composite=rule)
    assert_pixels(read(open_document(document), 0, 0, *window[2:]), patchwork.mosaic(rule, window))


# 1 and 12: no value of a byte has to stand for "nothing"

def bytes_and_mask(column):
    random = np.random.default_rng(column)
    return random.integers(0, 256, (300, 400), np.uint8), np.kron(random.random((15, 20)) < 0.5,
                                                                  np.ones((20, 20), bool))


def test_every_value_of_a_byte_beside_a_mask_channel(open_document, file_server, read, assert_pixels):
    """The files overlap by half."""
    values, masks = np.zeros((300, 600), np.uint8), np.zeros((300, 600), bool)
    for column in (1, 0):
        value, mask = bytes_and_mask(column)
        place = np.s_[:, 200 * column:200 * column + 400]
        values[place][mask] = value[mask]
        masks[place] |= mask
        write_tiff(file_server.directory / ("%d.tif" % column), (2000 * column, 10, 0, 3000, 0, -10),
                   [value, mask.astype(np.uint8)], mask)
    document = definition(file_server.url + "/{col}.tif", [300, 600], 200, [
        {"name": "value", "data_type": "uint8", "nodata": 0}, {"name": "mask", "data_type": "bool", "band": 2}],
        source={"buffer": 200})
    assert (values[masks] == 0).any() and (values[masks] == 255).any()
    assert_pixels(read(open_document(document), 0, 0, 600, 300), values)
    assert_pixels(read(open_document(document, CHANNELS="mask"), 0, 0, 600, 300), masks.astype(np.uint8))


def test_declared_nodata_of_bytes(open_document, file_server, read, assert_pixels):
    value, mask = bytes_and_mask(0)
    value[value == 255] = 0
    write_tiff(file_server.directory / "0.tif", (0, 10, 0, 3000, 0, -10), [value], mask)
    band = {"name": "value", "data_type": "uint8", "nodata": 255}
    raster = open_document(definition(file_server.url + "/{col}.tif", [300, 400], 400, [band]))
    assert raster.GetRasterBand(1).GetNoDataValue() == 255
    assert_pixels(read(raster, 0, 0, 400, 300), np.where(mask, value, np.uint8(255)))


# 3: a channel that cannot be written

FULL_DISK = """
import resource, sys
from osgeo import gdal
gdal.UseExceptions()
resource.setrlimit(resource.RLIMIT_FSIZE, (100000, resource.RLIM_INFINITY))
gdal.Open(sys.argv[1]).ReadRaster()
"""


def test_chunk_of_which_one_channel_cannot_be_written(file_server, tmp_path, cube, run, read, assert_pixels):
    """Files end at 100 kB: room for a channel that compresses well, not for the other."""
    noise = np.random.default_rng(1).integers(1, 256, (500, 500), np.uint8)
    write_tiff(file_server.directory / "0.tif", (0, 10, 0, 5000, 0, -10), [np.full_like(noise, 7), noise])
    path = tmp_path / "two.json"
    path.write_text(json.dumps(definition(file_server.url + "/{col}.tif", [500, 500], 500, [
        {"name": "flat", "data_type": "uint8", "nodata": 0},
        {"name": "noise", "data_type": "uint8", "nodata": 0, "band": 2}], chunk_shape=[500, 500])))
    name = "SGC:%s,dataset=%s,create=yes" % (cube, path)
    done = run([sys.executable, "-c", FULL_DISK, name], fails=True)
    assert "File too large" in done.stderr
    assert gdal.Open(name).GetMetadataItem("Window_0_0_500_500", "SGC").startswith("missing=1;")
    pixels = read(gdal.Open(name), 0, 0, 500, 500)
    assert_pixels(pixels[0], np.full_like(noise, 7))
    assert_pixels(pixels[1], noise)


# 4: whoever waits for what fails is told

def test_error_reaches_every_waiter(file_server, tmp_path, cube):
    file_server.fault("/0.tif", status=403, delay_ms=300)
    path = tmp_path / "refused.json"
    path.write_text(json.dumps(definition(file_server.url + "/{col}.tif", [500, 500], 500, [
        {"name": "value", "data_type": "uint8", "nodata": 0}])))
    raster = "SGC:%s,dataset=%s,create=yes" % (cube, path)

    def read_one(i):
        with pytest.raises(RuntimeError, match="403"):
            gdal.OpenEx(raster, open_options=["MAX_REQUESTS=%d" % (1 + i % 2)]).ReadRaster(10 * i, 0, 5, 5)

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(read_one, range(8)))) == 8


# 18: no tile is a result

@pytest.mark.parametrize("kind", patchwork.KINDS)
def test_place_without_patches(open_document, patchwork_server, read, kind):
    hole = (patchwork.STEP * 2 + 80, patchwork.STEP + 80, 300, 300)  # only the absent tile lies here
    assert (patchwork.mosaic(window=hole) == NODATA).all()
    document = patchwork.definition(patchwork.source(kind, patchwork_server.url), hole, chunk_shape=[300, 300])
    for _ in range(2):
        assert (read(open_document(document), 0, 0, 300, 300) == NODATA).all()
    asked = [entry["path"] for entry in patchwork_server.log()]
    # For what may be there, in one attempt; after an empty search also whether there is such a collection.
    assert len(asked) == (2 if kind == "search" else 1), asked


# 21: patches that reach outside the cube

@pytest.mark.parametrize("kind", patchwork.KINDS)
def test_patches_are_cropped_to_the_cube(open_document, patchwork_server, read, assert_pixels, kind):
    window = (333, 217, 400, 300)
    document = patchwork.definition(patchwork.source(kind, patchwork_server.url), window)
    assert_pixels(read(open_document(document), 0, 0, *window[2:]), patchwork.mosaic(window=window))


@pytest.mark.parametrize("kind", patchwork.KINDS)
def test_cube_that_reaches_beyond_its_patches(open_document, patchwork_server, read, assert_pixels, kind):
    window = (-200, SIZE - 150, 500, 400)
    document = patchwork.definition(patchwork.source(kind, patchwork_server.url), window)
    assert_pixels(read(open_document(document), 0, 0, *window[2:]), patchwork.mosaic(window=window))


# 22: patches on another grid

@pytest.mark.parametrize("kind", patchwork.KINDS)
def test_patches_between_whose_pixels_the_cubes_lie(open_document, patchwork_server, read, assert_pixels, kind):
    """The centres of the cube's pixels are 0.3 and 0.4 pixels beside those of the patches: the nearest are the same."""
    window = (400, 400, 400, 300)
    document = patchwork.definition(patchwork.source(kind, patchwork_server.url), window)
    for i, shift in ((2, 0.3), (5, -0.4)):
        document["proj:transform"][i] += shift * patchwork.PIXEL
    assert_pixels(read(open_document(document), 0, 0, *window[2:]), patchwork.mosaic(window=window))


# 23: a patch larger than what is asked of it

HUGE = 25100  # of ArcticDEM's tiles of 2 m: 2.5 GB
PEAK = """
import re, sys
from osgeo import gdal
gdal.UseExceptions()
gdal.Open(sys.argv[1]).ReadRaster(12100, 12100, 10, 10)
print(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])  # ru_maxrss knows the parent, too
"""


def test_one_chunk_of_a_huge_tile(file_server, tmp_path, cube, run):
    """Only its bytes are fetched, and only it is in memory."""
    file = gdal.GetDriverByName("GTiff").Create(str(file_server.directory / "0.tif"), HUGE, HUGE, 1,
                                                gdal.GDT_Float32, ["TILED=YES", "SPARSE_OK=TRUE"])
    file.SetGeoTransform((0, 10, 0, 10 * HUGE, 0, -10))
    noise = np.random.default_rng(1).random((3072, 3072), np.float32)
    file.GetRasterBand(1).WriteArray(noise, 10752, 10752)
    del file
    assert (file_server.directory / "0.tif").stat().st_size > noise.nbytes
    path = tmp_path / "huge.json"
    path.write_text(json.dumps(definition(file_server.url + "/{col}.tif", [HUGE, HUGE], HUGE, [
        {"name": "height", "data_type": "float32"}], chunk_shape=[500, 500])))
    done = run([sys.executable, "-c", PEAK, "SGC:%s,dataset=%s,create=yes" % (cube, path)])
    assert file_server.bytes_asked() < 4 * 4 * 500 * 500 + 500000  # of 38 MB; 9604 tiles are listed in its head
    assert int(done.stdout) < 600000, done.stdout  # kB


def test_one_channel_of_one_chunk(open_document, file_server, read, assert_pixels):
    """As of AlphaEarth's files with 64 bands."""
    random = np.random.default_rng(1)
    bands = [random.integers(1, 256, (1024, 1024), np.uint8) for _ in range(8)]
    write_tiff(file_server.directory / "0.tif", (0, 10, 0, 10240, 0, -10), bands, options=["INTERLEAVE=BAND"])
    raster = open_document(definition(
        file_server.url + "/{col}.tif", [1024, 1024], 1024, [
            {"name": "b%d" % number, "data_type": "uint8", "nodata": 0, "band": number} for number in range(1, 9)],
        fill="channels"))
    assert_pixels(read(raster.GetRasterBand(6), 300, 300, 100, 100), bands[5][300:400, 300:400])
    assert file_server.bytes_asked() < 256 * 256 + 40000  # of 8 MB


# 24: the service has a step more than when the cube was made

def test_step_that_a_service_adds(open_document, file_server, read):
    def publish(year):
        write_tiff(file_server.directory / str(year) / "0.tif", (0, 10, 0, 1000, 0, -10),
                   [np.full((100, 100), year - 2000, np.uint8)])

    def value_of(year, last):
        document = definition(file_server.url + "/{t_year}/{col}.tif", [100, 100], 100, [
            {"name": "value", "data_type": "uint8", "nodata": 0}],
            time={"start": "2023-01-01", "end": "%d-01-01" % last, "step": "P1Y"})
        values = np.unique(read(open_document(document, TIME=str(year)), 0, 0, 100, 100))
        return values.tolist()

    for year in (2023, 2024):
        publish(year)
    assert value_of(2024, 2024) == [24]
    with pytest.raises(RuntimeError, match="2024"):
        value_of(2025, 2024)
    publish(2025)
    file_server.reset()
    assert value_of(2024, 2025) == [24]  # without a request
    assert file_server.log() == []
    assert value_of(2025, 2025) == [25]
    assert file_server.paths() == {"/2025/0.tif"}
    assert value_of(2023, 2025) == [23]
