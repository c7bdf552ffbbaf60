"""GDAL's programs, its Python bindings, rasterio, QGIS and R: on an empty cube each gives what it gives on a
GeoTIFF of the same pixels, whose overviews numpy has computed from full resolution.

The cubes are filled from that GeoTIFF's pixels, without the overviews. QGIS and R run when SGC_TEST_QGIS and
SGC_TEST_R are 1."""
from concurrent.futures import ThreadPoolExecutor
import importlib.util
import json
import os
import shutil
import sys

import numpy as np
from osgeo import gdal
import pytest

WIDTH, HEIGHT, CHUNK = 811, 703, 256  # the last pixel of each level stands for a part of one
WHOLE = (816, 704)  # as wide as its levels: elsewhere GDAL shifts decimated reads of a copy (test_resampling.py)
whole = pytest.mark.parametrize("pixels", [WHOLE], ids=["whole"], indirect=True, scope="module")
FACTORS = (2, 4, 8, 16)
GRID = (-640000.0, 100.0, 0.0, -1200000.0, 0.0, -100.0)
WEST, NORTH = GRID[0], GRID[3]
EAST, SOUTH = WEST + 100 * WIDTH, NORTH - 100 * HEIGHT
DEFINITION = {
    "type": "CubeDataset", "version": "1", "id": "Hosts", "proj:code": "EPSG:3413",
    "proj:transform": [100, 0, WEST, 0, -100, NORTH], "proj:shape": [HEIGHT, WIDTH], "chunk_shape": [CHUNK, CHUNK],
    "bands": [{"name": name, "data_type": "float32", "band": i + 1, "resampling": "average"}
              for i, name in enumerate(("height", "noise"))]}
CUTLINE = {"type": "Polygon", "coordinates": [[[-620000, -1215000], [-570000, -1207000], [-565000, -1262000],
                                               [-590000, -1250000], [-620000, -1215000]]]}


# Renders a raster far away, near, in another CRS and far again, and prints what it finds at three places.
QGIS = """
import gc, sys
from qgis.core import (QgsApplication, QgsContrastEnhancement, QgsCoordinateReferenceSystem, QgsCoordinateTransform,
                       QgsMapRendererParallelJob, QgsMapSettings, QgsPointXY, QgsProject, QgsRaster, QgsRasterLayer,
                       QgsRectangle, QgsSingleBandGrayRenderer)
from qgis.PyQt.QtCore import QSize

name, prefix = sys.argv[1:]
application = QgsApplication([], False)
application.initQgis()
layer = QgsRasterLayer(name, "layer", "gdal")
assert layer.isValid(), layer.error().summary()
provider = layer.dataProvider()
assert (layer.bandCount(), layer.crs().authid()) == (2, "EPSG:3413")
renderer = QgsSingleBandGrayRenderer(provider, 1)
contrast = QgsContrastEnhancement(provider.dataType(1))
contrast.setMinimumValue(150)
contrast.setMaximumValue(850)
contrast.setContrastEnhancementAlgorithm(QgsContrastEnhancement.StretchToMinimumMaximum)
renderer.setContrastEnhancement(contrast)
layer.setRenderer(renderer)

def render(step, extent, crs=layer.crs()):
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(crs)
    transform = QgsCoordinateTransform(layer.crs(), crs, QgsProject.instance())
    settings.setExtent(transform.transformBoundingBox(extent))
    settings.setOutputSize(QSize(400, 300))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    assert not job.errors(), [error.message for error in job.errors()]
    assert job.renderedImage().save("%s-%s.png" % (prefix, step))

whole, middle = layer.extent(), layer.extent().center()
near = QgsRectangle(middle.x() - 10000, middle.y() - 7500, middle.x() + 10000, middle.y() + 7500)
render("far", whole)
render("nearer", QgsRectangle(middle.x() - 20000, middle.y() - 15000, middle.x() + 20000, middle.y() + 15000))
render("near", near)
render("turned", near, QgsCoordinateReferenceSystem("EPSG:3995"))
render("far-again", whole)
for x, y in ((0, 0), (-9000, 4000), (15000, -20000)):
    place = QgsPointXY(middle.x() + x, middle.y() + y)
    print(provider.identify(place, QgsRaster.IdentifyFormatValue).results())
del layer, provider, renderer, contrast
gc.collect()
application.exitQgis()
"""

# Reads a raster with terra and stars: all of it, a window, coarsely and at places.
R = """
suppressMessages({library(terra); library(stars)})
name <- commandArgs(TRUE)
raster <- rast(name)
stopifnot(nlyr(raster) == 2, grepl("3413", crs(raster, describe = TRUE)$code))
show <- function(...) cat(sprintf("%.6g", unlist(list(...))), sep = "\\n")
show(ext(raster)[1:4], global(raster, "range", na.rm = TRUE), global(raster, "mean", na.rm = TRUE))
part <- crop(raster, ext(-610000, -600000, -1240000, -1230000))
show(values(part)[1:500, ], values(aggregate(part, 10)))
show(values(spatSample(raster, 400, method = "regular", as.raster = TRUE)))
show(extract(raster, cbind(c(-600050, -580050), c(-1220050, -1250050))))
coarse <- read_stars(name, RasterIO = list(nXOff = 101, nYOff = 51, nXSize = 400, nYSize = 300,
                                           nBufXSize = 40, nBufYSize = 30, resample = "bilinear"))
show(as.vector(coarse[[1]]))
"""


def make_pixels(width, height):
    """Hills, and noise with holes; a corner without data."""
    random = np.random.default_rng(11)
    y, x = np.mgrid[0:height, 0:width]
    hills = 500 + 300 * np.sin(x / 57) * np.cos(y / 83) + random.normal(0, 2, (height, width))
    noise = random.normal(100, 30, (height, width))
    noise[random.random((height, width)) < 0.02] = np.nan
    pixels = np.stack([hills, noise]).astype(np.float32)
    pixels[:, 500:, :200] = np.nan
    return pixels


def means(pixels, factor):
    """Each pixel of a level is the mean of the valid ones under it."""
    height, width = (-(-n // factor) for n in pixels.shape)
    padded = np.full((height * factor, width * factor), np.nan)
    padded[:pixels.shape[0], :pixels.shape[1]] = pixels
    blocks = padded.reshape(height, factor, width, factor).transpose(0, 2, 1, 3).reshape(height, width, -1)
    valid = np.isfinite(blocks)
    with np.errstate(invalid="ignore"):
        return (np.where(valid, blocks, 0).sum(2) / valid.sum(2)).astype(np.float32)


def write_geotiff(path, pixels):
    file = gdal.GetDriverByName("GTiff").Create(
        str(path), pixels.shape[2], pixels.shape[1], 2, gdal.GDT_Float32, ["TILED=YES"])
    file.SetGeoTransform(GRID)
    file.SetProjection("EPSG:3413")
    for i in (0, 1):
        file.GetRasterBand(i + 1).SetNoDataValue(np.nan)
        file.GetRasterBand(i + 1).WriteArray(pixels[i])


@pytest.fixture(scope="module")
def pixels(request):
    return make_pixels(*getattr(request, "param", (WIDTH, HEIGHT)))


@pytest.fixture(scope="module")
def source(tmp_path_factory, pixels):
    path = tmp_path_factory.mktemp("source") / "source.tif"
    write_geotiff(path, pixels)
    return path


@pytest.fixture(scope="module")
def geotiff(tmp_path_factory, pixels):
    """The raster that the cube must not be told from."""
    path = str(tmp_path_factory.mktemp("geotiff") / "reference.tif")
    write_geotiff(path, pixels)
    file = gdal.Open(path, gdal.GA_Update)
    file.BuildOverviews("NONE", FACTORS)
    for i in (0, 1):
        for k, factor in enumerate(FACTORS):
            file.GetRasterBand(i + 1).GetOverview(k).WriteArray(means(pixels[i], factor))
    del file
    return path


@pytest.fixture
def name(tmp_path, source, pixels, cube):
    """The connection string of an empty cube."""
    path = tmp_path / "hosts.json"
    path.write_text(json.dumps({**DEFINITION, "proj:shape": pixels.shape[1:],
                                "source": {"kind": "gdal", "dataset": str(source)}}))
    return "SGC:%s,dataset=%s,create=yes" % (cube, path)


def assert_close(actual, expected):
    """Levels are computed in another order of additions."""
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-4)


def assert_same_raster(actual, expected):
    actual, expected = gdal.Open(actual), gdal.Open(expected)
    assert (actual.RasterXSize, actual.RasterYSize, actual.RasterCount) == (
        expected.RasterXSize, expected.RasterYSize, expected.RasterCount)
    assert actual.GetGeoTransform() == expected.GetGeoTransform()
    assert actual.GetSpatialRef().IsSame(expected.GetSpatialRef())
    for i in range(1, actual.RasterCount + 1):
        bands = actual.GetRasterBand(i), expected.GetRasterBand(i)
        assert np.array_equal(*[np.array(b.GetNoDataValue(), float) for b in bands], equal_nan=True)
        pictures = [b.ReadAsArray() for b in bands]
        assert np.ptp(pictures[1][np.isfinite(pictures[1])]) > 0
        assert_close(*(p.astype(np.float64) for p in pictures))


def test_reference_differs_from_level_to_level(geotiff):
    file = gdal.Open(geotiff)
    sizes = [(o.XSize, o.YSize) for o in (file.GetRasterBand(1).GetOverview(i) for i in range(len(FACTORS)))]
    assert sizes == [(-(-WIDTH // f), -(-HEIGHT // f)) for f in FACTORS]


def test_levels(name, geotiff):
    cube, file = gdal.Open(name), gdal.Open(geotiff)
    for i in (1, 2):
        ours, theirs = cube.GetRasterBand(i), file.GetRasterBand(i)
        assert ours.GetOverviewCount() == theirs.GetOverviewCount()
        for k in range(theirs.GetOverviewCount()):
            assert_close(ours.GetOverview(k).ReadAsArray(), theirs.GetOverview(k).ReadAsArray())


# Programs that make a raster: {in} and {out}

TRANSLATE = {
    "plain": "", "srcwin": "-srcwin 250 240 300 280", "projwin": "-projwin -590000 -1210000 -560000 -1250000",
    "bands": "-b 2 -b 1 -b 2 -srcwin 100 80 500 400", "type": "-ot Int16 -b 1 -srcwin 0 0 600 450 -a_nodata none",
    "rows": "-co TILED=NO -co BLOCKYSIZE=1 -srcwin 100 100 400 300",
    "half": "-outsize 50% 50%", "nearest": "-outsize 333 217", "bilinear": "-outsize 333 217 -r bilinear",
    "cubic": "-outsize 333 217 -r cubic", "average": "-outsize 97 71 -r average",
    "mode": "-b 1 -outsize 97 71 -r mode",
    "enlarged": "-srcwin 500 400 40 50 -outsize 200 250 -r cubicspline",
    "resolution": "-tr 730 730 -r lanczos",
    "part of a pixel": "-srcwin 100.25 200.5 300.5 200.25 -outsize 100 80 -r bilinear",
    "between pixels": "-srcwin 100.7 80.6 300 250", "between pixels, cubic": "-srcwin 100.5 80.5 300 250 -r cubic",
    "COG": "-of COG -b 1 -co BLOCKSIZE=128", "COG, reprojected": "-of COG -b 1 -co TILING_SCHEME=GoogleMapsCompatible"}
WARP = {
    "reprojected": "-t_srs EPSG:3995 -r bilinear", "to degrees": "-t_srs EPSG:4326 -r cubic -te -73 76.9 -69 77.5",
    "threads": "-t_srs EPSG:32622 -multi -wo NUM_THREADS=2 -r near",
    "coarse": "-t_srs EPSG:3995 -tr 1500 1500 -r average", "coarse, nearest": "-tr 900 900",
    "level": "-tr 500 500 -ovr 0 -r bilinear", "no level": "-tr 500 500 -ovr NONE -r near",
    "cutline": "-cutline cutline.geojson -crop_to_cutline -tr 100 100", "blend": "-cutline cutline.geojson -cblend 5",
    "beyond": "-te %d %d %d %d -tr 100 100" % (EAST - 20000, NORTH - 20000, EAST + 10000, NORTH + 10000),
    "little memory": "-t_srs EPSG:3995 -wm 1 -r bilinear", "alpha": "-dstalpha -t_srs EPSG:3995"}
DECIMATED = ["half", "nearest", "bilinear", "cubic", "average", "mode", "resolution", "part of a pixel"]
DEM = ["hillshade", "slope -compute_edges", "hillshade -multidirectional -b 2"]
COMMANDS = {
    **{"gdal_translate " + k: "gdal_translate -q %s {in} {out}" % v for k, v in TRANSLATE.items()},
    **{"gdalwarp " + k: "gdalwarp -q %s {in} {out}" % v for k, v in WARP.items()},
    **{"gdaldem " + v: "gdaldem %s {in} {out} %s -q" % tuple((v + " ").split(" ", 1)) for v in DEM}}


@pytest.mark.parametrize("pixels, command", [
    (WHOLE if k in ["gdal_translate " + d for d in DECIMATED] else (WIDTH, HEIGHT), v) for k, v in COMMANDS.items()],
    ids=COMMANDS.keys(), indirect=["pixels"], scope="module")
def test_program(name, geotiff, run, command):
    with open("cutline.geojson", "w") as file:
        json.dump({"type": "FeatureCollection", "crs": {"type": "name", "properties": {"name": "EPSG:3413"}},
                   "features": [{"type": "Feature", "properties": {}, "geometry": CUTLINE}]}, file)
    for source, target in ((name, "ours.tif"), (geotiff, "theirs.tif")):
        words = {"{in}": source, "{out}": target}
        run([words.get(word, word) for word in command.split()])
    assert_same_raster("ours.tif", "theirs.tif")


def test_mosaic(name, geotiff, run):
    """gdalbuildvrt of two cubes' halves; the VRT names them, opens them again and reads them."""
    for source, target in ((name, "ours"), (geotiff, "theirs")):
        for i, (x, width) in enumerate(((0, 400), (400, WIDTH - 400))):
            window = ["-srcwin", x, 0, width, HEIGHT]
            run(["gdal_translate", "-q", "-of", "VRT", *window, source, "%s%d.vrt" % (target, i)])
        run(["gdalbuildvrt", "-q", target + ".vrt", target + "0.vrt", target + "1.vrt"])
        run(["gdal_translate", "-q", "-outsize", 300, 0, "-r", "bilinear", target + ".vrt", target + ".tif"])
    assert_same_raster("ours.vrt", "theirs.vrt")
    assert_same_raster("ours.tif", "theirs.tif")


def test_vrt_of_the_cube_itself(name, geotiff, run):
    run(["gdalbuildvrt", "-q", "-separate", "ours.vrt", name, geotiff])
    run(["gdalbuildvrt", "-q", "-separate", "theirs.vrt", geotiff, geotiff])
    assert_same_raster("ours.vrt", "theirs.vrt")


# Bands of 8 bits without a nodata value, which GDAL resamples together, from the overviews' dataset

@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    """A GeoTIFF of two masks in which any level is told from any other, and the definition of their cube."""
    height, width = 640, 768
    y, x = np.mgrid[0:height, 0:width]
    disc = (x - 380) ** 2 + (y - 300) ** 2 < 280 ** 2
    pixels = np.stack([(x // 37 + y // 53) % 2, disc & (x % 48 > 20)])
    directory = tmp_path_factory.mktemp("masks")
    for path in ("masks.tif", "reference.tif"):
        file = gdal.GetDriverByName("GTiff").Create(str(directory / path), width, height, 2, gdal.GDT_Byte)
        file.SetGeoTransform(GRID)
        file.SetProjection("EPSG:3413")
        file.WriteArray(pixels.astype(np.uint8))
        if path == "reference.tif":
            file.BuildOverviews("NONE", FACTORS)
            for i, k in np.ndindex(2, len(FACTORS)):
                at = slice(FACTORS[k] // 2, None, FACTORS[k])  # the pixel behind the middle of the one above
                file.GetRasterBand(i + 1).GetOverview(k).WriteArray(pixels[i, at, at].astype(np.uint8))
        del file
    bands = [{"name": name, "data_type": "bool", "band": i + 1, "resampling": "nearest"}
             for i, name in enumerate(("board", "disc"))]
    definition = {**DEFINITION, "proj:shape": [height, width], "bands": bands,
                  "source": {"kind": "gdal", "dataset": str(directory / "masks.tif")}}
    return str(directory / "reference.tif"), definition


@pytest.mark.parametrize("command", [
    "gdal_translate -q -outsize 250 207 -r bilinear {in} {out}", "gdal_translate -q -outsize 91 80 -r cubic {in} {out}",
    "gdal_translate -q -outsize 50% 50% {in} {out}", "gdal_translate -q -ot Float32 -scale 0 1 0 100 {in} {out}",
    "gdalwarp -q -t_srs EPSG:3995 -tr 450 450 -r bilinear {in} {out}",
    "nearblack -q -white -near 0 -nb 0 -o {out} {in}",
    "gdal_fillnodata.py -q -md 5 -b 2 {in} {out}", "gdal_sieve.py -q -st 9 {in} {out}"])
def test_masks(masks, cube, tmp_path, run, command):
    geotiff, definition = masks
    path = tmp_path / "masks.json"
    path.write_text(json.dumps(definition))
    for source, target in (("SGC:%s,dataset=%s,create=yes" % (cube, path), "ours.tif"), (geotiff, "theirs.tif")):
        words = {"{in}": source, "{out}": target}
        run([words.get(word, word) for word in command.split()])
    assert_same_raster("ours.tif", "theirs.tif")


# Programs that print

def test_statistics_histogram_and_checksum(name, geotiff, run):
    reports = [json.loads(run(["gdalinfo", "-json", "-stats", "-hist", "-checksum", source]).stdout)["bands"]
               for source in (name, geotiff)]
    for ours, theirs in zip(*reports):
        for key in ("checksum", "histogram", "minimum", "maximum", "mean", "stdDev"):
            assert ours[key] == theirs[key], key
        assert ours["metadata"][""]["STATISTICS_VALID_PERCENT"] == theirs["metadata"][""]["STATISTICS_VALID_PERCENT"]


def test_checksum_alone(name, geotiff, run):
    """Line by line, from an empty cube."""
    reports = [json.loads(run(["gdalinfo", "-json", "-checksum", source]).stdout)["bands"]
               for source in (name, geotiff)]
    assert [b["checksum"] for b in reports[0]] == [b["checksum"] for b in reports[1]]


@pytest.mark.parametrize("options", [["-b", 2], ["-geoloc"], ["-wgs84", "-b", 1], ["-overview", 2]], ids=lambda o: o[0])
def test_locations(name, geotiff, run, options):
    places = {"-geoloc": [(WEST + 150, NORTH - 250), (EAST - 1, SOUTH + 1)], "-wgs84": [(-71, 77.41)]}
    for x, y in places.get(options[0], [(0, 0), (400, 300), (WIDTH - 1, HEIGHT - 1), (127, 128)]):
        answers = [run(["gdallocationinfo", "-valonly", *options, source, x, y]).stdout for source in (name, geotiff)]
        assert answers[0] == answers[1] != "\n"


def test_contours(name, geotiff, run):
    """A program that reads line by line."""
    for source, target in ((name, "ours.geojson"), (geotiff, "theirs.geojson")):
        run(["gdal_contour", "-q", "-b", 1, "-i", 200, "-a", "height", source, target])
    ours, theirs = (json.load(open(file))["features"] for file in ("ours.geojson", "theirs.geojson"))
    assert ours == theirs and len(ours) > 5


# GDAL's Python bindings

def test_rows_one_by_one(name, pixels, read, assert_pixels):
    cube = gdal.Open(name)
    for i in (0, 1):
        rows = [read(cube.GetRasterBand(i + 1), 0, row, WIDTH, 1) for row in range(0, HEIGHT, 5)]
        assert_pixels(np.concatenate(rows), pixels[i, ::5])


def test_columns_and_points(name, pixels, read, assert_pixels):
    cube = gdal.Open(name)
    columns = [read(cube, x, 0, 1, HEIGHT) for x in range(0, WIDTH, 100)]
    assert_pixels(np.concatenate(columns, axis=2), pixels[:, :, ::100])
    points = [read(cube, 7 * i, 5 * i, 1, 1)[:, 0, 0] for i in range(100)]
    assert_pixels(np.stack(points, axis=1), pixels[:, 5 * np.arange(100), 7 * np.arange(100)])


def test_virtual_memory(name, pixels, assert_pixels):
    """A page is read when it is touched."""
    cube = gdal.Open(name)
    array = cube.GetRasterBand(1).GetVirtualMemArray(xoff=30, yoff=20, xsize=500, ysize=400, bufxsize=500, bufysize=400)
    assert_pixels(array[::-1].copy(), pixels[0, 20:420, 30:530][::-1])


def test_blocks(name, pixels, assert_pixels):
    """Every block through GDAL's own cache, whatever fits in it."""
    cube = gdal.Open(name)
    before = gdal.GetCacheMax()
    gdal.SetCacheMax(300000)
    try:
        band = cube.GetRasterBand(1)
        width, height = band.GetBlockSize()
        for column in range(-(-WIDTH // width)):
            for row in range(-(-HEIGHT // height)):
                block = np.frombuffer(band.ReadBlock(column, row), np.float32).reshape(height, width)
                expected = pixels[0, row * height:(row + 1) * height, column * width:(column + 1) * width]
                assert_pixels(block[:expected.shape[0], :expected.shape[1]], expected)
    finally:
        gdal.SetCacheMax(before)


def test_exceptions_on_and_off(name, source, read):
    """A failed read says what failed; a handle goes on after it."""
    window = (300, 300, 200, 200)
    offline = gdal.Open(name + ",download=no")
    messages = []
    with pytest.raises(RuntimeError, match="DOWNLOAD=NO forbids to get more"):
        read(offline, *window)
    gdal.DontUseExceptions()
    gdal.PushErrorHandler(lambda severity, number, message: messages.append((severity, message)))
    try:
        assert offline.ReadRaster(*window) is None
        assert offline.GetRasterBand(1).ReadAsArray(*window) is None
        assert gdal.Open(name + ",nonsense=1") is None
    finally:
        gdal.PopErrorHandler()
        gdal.UseExceptions()
    assert [severity for severity, _ in messages] == 3 * [gdal.CE_Failure]
    assert "nonsense" in messages[2][1]
    read(gdal.Open(name), *window)
    read(offline, *window)


# rasterio

@pytest.fixture
def rasterio():
    return pytest.importorskip("rasterio")


def test_rasterio_reads(rasterio, name, geotiff, pixels, assert_pixels):
    with rasterio.open(name) as cube, rasterio.open(geotiff) as file:
        assert cube.crs.to_epsg() == 3413
        assert (cube.transform, cube.bounds, cube.dtypes) == (file.transform, file.bounds, file.dtypes)
        assert cube.overviews(1) == file.overviews(1)
        assert_pixels(cube.read(), pixels)
        window = rasterio.windows.Window(100, 120, 333, 250)
        assert_pixels(cube.read(2, window=window), pixels[1, 120:370, 100:433])
        beyond = rasterio.windows.Window(-10, 650, 60, 100)
        assert_pixels(cube.read(window=beyond, boundless=True), file.read(window=beyond, boundless=True))


@whole
@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "cubic", "average", "lanczos", "mode"])
def test_rasterio_resamples(rasterio, name, geotiff, resampling):
    method = rasterio.enums.Resampling[resampling]
    window = rasterio.windows.Window(50.5, 60.25, 600.5, 500)
    with rasterio.open(name) as cube, rasterio.open(geotiff) as file:
        for options in ({"out_shape": (2, 100, 90)}, {"out_shape": (2, 77, 130), "window": window},
                        {"window": rasterio.windows.Window(50.5, 60.7, 300, 200)}):
            assert_close(*(d.read(resampling=method, **options) for d in (cube, file)))


def test_rasterio_masks_and_samples(rasterio, name, geotiff):
    places = [(WEST + 100 * x + 50, NORTH - 100 * y - 50) for x, y in ((3, 4), (500, 400), (810, 702), (50, 600))]
    with rasterio.open(name) as cube, rasterio.open(geotiff) as file:
        np.testing.assert_array_equal(list(cube.sample(places)), list(file.sample(places)))
        ours, theirs = (d.read(masked=True) for d in (cube, file))
        np.testing.assert_array_equal(ours.mask, theirs.mask)
        assert theirs.mask.any() and not theirs.mask.all()
        np.testing.assert_array_equal(cube.dataset_mask(), file.dataset_mask())
        np.testing.assert_array_equal(cube.read_masks(2), file.read_masks(2))


def test_rasterio_warps(rasterio, name, geotiff):
    from rasterio.vrt import WarpedVRT
    pictures = []
    for source in (name, geotiff):
        with rasterio.open(source) as dataset, WarpedVRT(dataset, crs="EPSG:3995",
                                                         resampling=rasterio.enums.Resampling.bilinear) as warped:
            pictures.append((warped.read(1, window=rasterio.windows.Window(200, 250, 256, 256)),
                             warped.read(out_shape=(2, 120, 130))))
    for ours, theirs in zip(*pictures):
        assert_close(ours, theirs)


def test_rasterio_in_threads(rasterio, name, pixels, assert_pixels):
    """Each thread has a dataset of its own; together they read every window of an empty cube."""
    with rasterio.open(name) as cube:
        windows = [window for _, window in cube.block_windows(1)]

    def read_some(part):
        with rasterio.Env(GDAL_CACHEMAX=1000000), rasterio.open(name) as cube:
            return [cube.read(window=window) for window in windows[part::4]]

    with ThreadPoolExecutor(4) as pool:
        for part, found in enumerate(pool.map(read_some, range(4))):
            for window, actual in zip(windows[part::4], found):
                rows, columns = window.toslices()
                assert_pixels(actual, pixels[:, rows, columns])


def test_rasterio_says_what_failed(rasterio, name):
    with rasterio.open(name + ",download=no") as cube:
        with pytest.raises(rasterio.errors.RasterioIOError) as error:
            cube.read(1, window=rasterio.windows.Window(0, 0, 10, 10))
    assert "DOWNLOAD=NO" in str(error.value) or "DOWNLOAD=NO" in str(error.value.__cause__)


# Programs that are not always there

@whole
def test_qgis(name, geotiff, run):
    if os.environ.get("SGC_TEST_QGIS") != "1":
        pytest.skip("QGIS is not tested unless SGC_TEST_QGIS is 1")
    if importlib.util.find_spec("qgis") is None:
        pytest.skip("there is no qgis: install python3-qgis and qgis-providers")
    os.mkdir("runtime", mode=0o700)
    options = {"QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": os.path.abspath("runtime"), "HOME": os.getcwd()}
    found = [run([sys.executable, "-c", QGIS, source, target], **options).stdout
             for source, target in ((name, "ours"), (geotiff, "theirs"))]
    assert found[0] == found[1] != ""
    for step in ("far", "nearer", "near", "turned", "far-again"):
        ours, theirs = (gdal.Open("%s-%s.png" % (target, step)).ReadAsArray() for target in ("ours", "theirs"))
        assert len(np.unique(theirs[0])) > 50
        assert np.abs(ours.astype(int) - theirs).max() <= 1, step  # a mean that was rounded the other way


@whole
def test_r(name, geotiff, run):
    if os.environ.get("SGC_TEST_R") != "1":
        pytest.skip("R is not tested unless SGC_TEST_R is 1")
    if shutil.which("Rscript") is None:
        pytest.skip("there is no R: install r-cran-terra and r-cran-stars")
    found = [np.array(run(["Rscript", "-e", R, source]).stdout.split(), float) for source in (name, geotiff)]
    assert len(found[1]) > 2000
    np.testing.assert_allclose(*found, rtol=2e-6)
