"""Kind `gdal`: cubes filled from whatever GDAL opens, on the same grid, on another, and step by step from arrays."""
import json
from pathlib import Path
import json
import shutil
import time
import zipfile

import numpy as np
from osgeo import gdal, osr
import pytest

from conftest import FileServer

SIZE = 500
GRID = (-1000000.0, 100.0, 0.0, 2000000.0, 0.0, -100.0)


def crs(code):
    reference = osr.SpatialReference()
    reference.ImportFromEPSG(code)
    reference.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return reference


def definition(dataset, grid=GRID, shape=(SIZE, SIZE), code="EPSG:3413", chunk=128, band=None, **source):
    return {
        "type": "CubeDataset", "version": "1", "id": "any", "proj:code": code,
        "proj:transform": [grid[1], 0, grid[0], 0, grid[5], grid[3]], "proj:shape": list(shape),
        "chunk_shape": [chunk, chunk],
        "bands": [band or {"name": "value", "data_type": "float32", "resampling": "average"}],
        "source": {"kind": "gdal", "dataset": str(dataset), **source},
    }


@pytest.fixture
def pixels():
    return np.random.default_rng(5).normal(100, 30, (SIZE, SIZE)).astype(np.float32)


@pytest.fixture
def write(tmp_path):
    def write_raster(name, values, transform=GRID, code=3413, nodata=None):
        path = tmp_path / name
        height, width = values.shape
        kind = {"float32": gdal.GDT_Float32, "int16": gdal.GDT_Int16, "uint8": gdal.GDT_Byte}[str(values.dtype)]
        file = gdal.GetDriverByName("GTiff").Create(str(path), width, height, 1, kind, ["TILED=YES"])
        file.SetGeoTransform(transform)
        file.SetSpatialRef(crs(code))
        if nodata is not None:
            file.GetRasterBand(1).SetNoDataValue(nodata)
        file.GetRasterBand(1).WriteArray(values)
        return path

    return write_raster


def test_same_grid(open_document, write, pixels, read, assert_pixels):
    pixels[100:140, 200:300] = -9999
    path = write("a.tif", pixels, nodata=-9999)
    expected = np.where(pixels == -9999, np.float32(np.nan), pixels)
    assert_pixels(read(open_document(definition(path)), 0, 0, SIZE, SIZE), expected)
    path.unlink()
    assert_pixels(read(open_document(definition(path), DOWNLOAD="NO"), 0, 0, SIZE, SIZE), expected)


def test_many_readers_of_one_file(open_document, write, pixels, read, assert_pixels):
    path = write("a.tif", pixels)
    dataset = open_document(definition(path, chunk=32), MAX_REQUESTS="8")
    assert_pixels(read(dataset, 0, 0, SIZE, SIZE), pixels)


def test_raster_that_covers_a_part(open_document, write, pixels, read, assert_pixels):
    transform = (GRID[0] + 20000, 100, 0, GRID[3] + 10000, 0, -100)
    path = write("part.tif", pixels, transform)
    expected = np.full((SIZE, SIZE), np.nan, np.float32)
    expected[:400, 200:] = pixels[100:, :300]
    assert_pixels(read(open_document(definition(path)), 0, 0, SIZE, SIZE), expected)


def test_mosaic_of_files(open_document, write, pixels, tmp_path, read, assert_pixels):
    parts = []
    for i in range(4):
        y, x = 250 * (i // 2), 250 * (i % 2)
        transform = (GRID[0] + 100 * x, 100, 0, GRID[3] - 100 * y, 0, -100)
        parts.append(str(write("%d.tif" % i, np.ascontiguousarray(pixels[y:y + 250, x:x + 250]), transform)))
    mosaic = gdal.BuildVRT(str(tmp_path / "all.vrt"), parts)
    del mosaic
    assert_pixels(read(open_document(definition(tmp_path / "all.vrt")), 0, 0, SIZE, SIZE), pixels)


@pytest.mark.parametrize("index, factor", [(0, 2), (1, 4), (2, 8)])
def test_levels(open_document, write, pixels, read, index, factor):
    dataset = open_document(definition(write("a.tif", pixels)))
    overview = dataset.GetRasterBand(1).GetOverview(index)
    size = -(-SIZE // factor)
    assert (overview.XSize, overview.YSize) == (size, size)
    whole = SIZE // factor * factor
    means = pixels[:whole, :whole].astype(np.float64).reshape(whole // factor, factor, -1, factor).mean((1, 3))
    np.testing.assert_allclose(read(overview, 0, 0, whole // factor, whole // factor), means, rtol=1e-5)
    if whole < size * factor:  # the last row has fewer pixels under it
        rest = pixels[whole:, :whole].astype(np.float64).reshape(SIZE - whole, -1, factor).mean((0, 2))
        np.testing.assert_allclose(read(overview, 0, size - 1, whole // factor, 1)[0], rest, rtol=1e-5)


@pytest.mark.parametrize("first", ["plain", "with levels"])
def test_level_of_two_definitions(open_document, write, pixels, tmp_path, read, assert_pixels, first):
    """Both are open before the level is begun: it never gets pixels of both."""
    plain = definition(write("a.tif", pixels), chunk=32)
    own = {"from": 4, "source": {"kind": "gdal", "dataset": str(write("b.tif", np.full_like(pixels, 99)))}}
    with_levels = tmp_path / "levels.json"
    with_levels.write_text(json.dumps({**plain, "levels": [own]}))
    rasters = [open_document(plain), open_document(plain, DATASET=with_levels)]
    level = [raster.GetRasterBand(1).GetOverview(1) for raster in rasters]
    size, half = level[0].XSize, 64
    begins, comes_late = level if first == "plain" else reversed(level)
    there = read(begins, 0, 0, half, size)
    with pytest.raises(RuntimeError, match="level 4: .*another definition.*source/dataset differs"):
        read(comes_late, half, 0, size - half, size)
    assert_pixels(read(comes_late, 0, 0, half, size), there)
    for raster in rasters:
        assert_pixels(read(raster, 0, 0, SIZE, SIZE), pixels)


def test_another_resolution(open_document, write, read):
    """A plane stays a plane under bilinear resampling."""
    rows, columns = np.meshgrid(np.arange(100), np.arange(100), indexing="ij")
    path = write("coarse.tif", (3 * rows + 2 * columns).astype(np.float32), (GRID[0], 500, 0, GRID[3], 0, -500))
    document = definition(path)
    document["resampling"] = "bilinear"
    actual = read(open_document(document), 10, 10, 400, 400)
    centre = (np.arange(10, 410) + 0.5) / 5 - 0.5
    np.testing.assert_allclose(actual, 3 * centre[:, None] + 2 * centre[None, :], atol=1e-3)


def check_pixels_under_centres(actual, window, grid, source):
    """Each pixel in degrees is the one that PROJ finds under its centre."""
    values, t = source.ReadAsArray(), source.GetGeoTransform()
    change = osr.CoordinateTransformation(crs(4326), crs(int(source.GetSpatialRef().GetAuthorityCode(None))))
    x, y, width, height = window
    points = [(grid[0] + (x + i + 0.5) * grid[1], grid[3] + (y + j + 0.5) * grid[5])
              for j in range(height) for i in range(width)]
    places = np.array(change.TransformPoints(points))
    columns, rows = (places[:, 0] - t[0]) / t[1], (places[:, 1] - t[3]) / t[5]
    inside = (columns >= 0) & (rows >= 0) & (columns < values.shape[1]) & (rows < values.shape[0])
    expected = np.zeros(len(points), values.dtype)
    expected[inside] = values[rows[inside].astype(int), columns[inside].astype(int)]
    sure = (np.abs(columns - np.round(columns)) > 0.02) & (np.abs(rows - np.round(rows)) > 0.02)
    np.testing.assert_array_equal(actual.ravel()[sure], expected[sure])
    return int((inside & sure).sum())


@pytest.mark.parametrize("window", [(0, 15880, 700, 600), (178600, 15880, 1400, 600)], ids=["west", "east"])
def test_across_the_antimeridian(open_document, shared, read, window):
    path = shared("data", "raster", "landsat_cog_antimeridian_100m_utm60n.tif")
    grid = (-180.0, 0.002, 0.0, 84.0, 0.0, -0.002)
    band = {"name": "value", "data_type": "uint16", "nodata": 0}
    document = definition(path, grid, (84000, 180000), "EPSG:4326", 512, band)
    actual = read(open_document(document), *window)
    assert check_pixels_under_centres(actual, window, grid, gdal.Open(str(path))) > 50000
    assert len(np.unique(actual)) > 4


POLAR = (-2000000.0, 10000.0, 0.0, 2000000.0, 0.0, -10000.0)  # the pole is in the middle


def degrees_at(grid, x, y, code=3413):
    """Longitudes and latitudes of places in pixels of the grid."""
    change = osr.CoordinateTransformation(crs(code), crs(4326))
    points = np.stack([grid[0] + x.ravel() * grid[1], grid[3] + y.ravel() * grid[5]], 1)
    return np.array(change.TransformPoints(points.tolist()))[:, :2].T.reshape((2,) + x.shape)


def whole_world(write, value):
    """A raster of one degree around the world."""
    lon, lat = np.meshgrid(np.arange(-179.5, 180), np.arange(89.5, -90, -1))
    return write("world.tif", value(lon, lat).astype(np.float32), (-180, 1, 0, 90, 0, -1), 4326)


def test_world_around_the_pole(open_document, write, read):
    path = whole_world(write, lambda lon, lat: 1000 * np.floor(lat) + np.floor(lon))
    actual = read(open_document(definition(path, POLAR, (400, 400))), 0, 0, 400, 400)
    x, y = np.meshgrid(np.arange(400) + 0.5, np.arange(400) + 0.5)
    lon, lat = degrees_at(POLAR, x, y)
    sure = (np.abs(lon - np.round(lon)) > 0.05) & (np.abs(lat - np.round(lat)) > 0.05) & (lat < 89)
    assert sure.sum() > 100000
    np.testing.assert_array_equal(actual[sure], (1000 * np.floor(lat) + np.floor(lon))[sure])


@pytest.mark.parametrize("resampling", ["bilinear", "average"])
def test_level_of_the_world_has_no_seam(open_document, write, read, resampling):
    """Of a smooth surface levels are smooth, also where the raster ends and begins."""
    def surface(lon, lat):
        return 100 * np.cos(np.radians(lon)) * np.cos(np.radians(lat)) + lat

    path = whole_world(write, surface)
    band = {"name": "value", "data_type": "float32", "resampling": resampling}
    dataset = open_document(definition(path, POLAR, (400, 400), chunk=64, band=band))
    actual = read(dataset.GetRasterBand(1).GetOverview(2), 0, 0, 50, 50)
    x, y = np.meshgrid((np.arange(50) + 0.5) * 8, (np.arange(50) + 0.5) * 8)
    lon, lat = degrees_at(POLAR, x, y)
    np.testing.assert_allclose(actual[lat < 88], surface(lon, lat)[lat < 88], atol=2)


def test_place_where_the_rasters_projection_ends(open_document, write, read):
    """A raster of a UTM zone has nothing on the other side of the Earth, which is no error."""
    path = write("utm.tif", np.full((100, 100), 7, np.float32), (600000, 1000, 0, 7300000, 0, -1000), 32660)
    grid = (-180.0, 0.25, 0.0, 90.0, 0.0, -0.25)
    actual = read(open_document(definition(path, grid, (720, 1440), "EPSG:4326")), 0, 0, 1440, 720)
    found = np.argwhere(actual == 7)
    assert 10 < len(found) < 200
    assert np.isnan(actual).sum() + len(found) == actual.size
    assert (found[:, 0] > 85).all() and (found[:, 0] < 105).all()  # 65 degrees north
    assert ((found[:, 1] < 12) | (found[:, 1] > 1430)).all()  # on both sides of the antimeridian


# Datasets on a web server

@pytest.fixture
def server(tmp_path):
    server = FileServer(tmp_path)
    yield server
    server.close()


@pytest.mark.parametrize("prefix", ["", "/vsicurl/"])
def test_file_on_a_server(open_document, write, pixels, server, read, assert_pixels, prefix):
    """A part is fetched in ranges; what stands beside the file counts."""
    pixels[100:140, 200:300] = -9999
    write("a.tif", pixels)
    local = gdal.Open(str(server.directory / "a.tif"))
    local.GetRasterBand(1).SetNoDataValue(-9999)
    del local
    assert (server.directory / "a.tif.aux.xml").exists()
    dataset = open_document(definition(prefix + server.url + "/a.tif"), MAX_REQUESTS="1")
    expected = np.where(pixels == -9999, np.float32(np.nan), pixels)
    assert_pixels(read(dataset, 200, 100, 64, 64), expected[100:164, 200:264])
    assert server.bytes_asked() < (server.directory / "a.tif").stat().st_size * 0.75
    assert_pixels(read(dataset, 0, 0, SIZE, SIZE), expected)
    assert server.paths() <= {"/a.tif", "/a.tif.aux.xml", "/a.tif.ovr", "/a.tif.msk", "/a.tfw"}


def error_number(call, *args, **options):
    with pytest.raises(RuntimeError) as error:
        call(*args, **options)
    return gdal.GetLastErrorNo(), str(error.value)


@pytest.mark.parametrize("mirrored, trusted, key", [
    (False, None, "k3y"), (True, None, None), (True, "127.0.0.1", "k3y")], ids=["own host", "mirror", "trusted mirror"])
def test_headers_of_a_file_on_a_server(open_document, write, pixels, server, read, config, mirrored, trusted, key):
    write("a.tif", pixels)
    config(MY_KEY="k3y", SGC_TRUSTED_HOSTS=trusted)
    name = "/vsicurl/" + server.url + "/a.tif"
    options = {"SOURCE_URL": name} if mirrored else {}
    document = definition("/vsicurl/https://service.example/a.tif" if mirrored else name,
                          headers={"X-Key": "{config:MY_KEY}"})
    read(open_document(document, **options), 0, 0, 10, 10)
    assert {entry["headers"].get("X-Key") for entry in server.log()} == {key}


def test_plain_address_of_what_gdal_opens(open_document, write, pixels, server, read, assert_pixels):
    """A mosaic finds the files beside it."""
    path = write("a.tif", pixels)
    mosaic = gdal.BuildVRT(str(path.with_name("a.vrt")), [str(path)])
    del mosaic
    assert 'relativeToVRT="1"' in path.with_name("a.vrt").read_text()
    assert_pixels(read(open_document(definition(server.url + "/a.vrt")), 0, 0, 10, 10), pixels[:10, :10])


SILENT = {"delay_ms": 60000}


@pytest.mark.parametrize("served, name", [
    ("a.tif", "/vsicurl/{url}"), ("a.zip", "/vsizip//vsicurl/{url}/in/a.tif"), ("a.zip", "/vsizip/{{/vsicurl/{url}}}/in/a.tif"),
    ("a.nc", "/vsicurl/{url}"), ("a.nc", 'NETCDF:"/vsicurl/{url}":Band1')])
def test_silent_server_and_a_user_who_stops(open_document, write, pixels, server, read, assert_pixels, config, served, name):
    path = write("a.tif", pixels)
    if served == "a.zip":
        with zipfile.ZipFile(server.directory / served, "w") as archive:
            archive.write(path, "in/a.tif")
    elif served == "a.nc":
        gdal.Translate(str(server.directory / served), str(path), format="netCDF")
    config(GDAL_HTTP_HEADERS="X-User: me")
    server.fault("/" + served, **SILENT)
    dataset = open_document(definition(name.format(url=server.url + "/" + served)))
    began = time.monotonic()
    number, message = error_number(dataset.ReadRaster, 0, 0, 10, 10, callback=lambda *_: not server.log())
    assert number == gdal.CPLE_UserInterrupt
    assert "cancelled" in message
    assert time.monotonic() - began < SILENT["delay_ms"] / 2000
    server.reset()
    assert_pixels(read(dataset, 0, 0, 10, 10), pixels[:10, :10])
    assert server.log()[0]["headers"].get("X-User") == "me"  # what follows may come from a thread of netCDF


def test_silent_server_and_the_end_of_the_time(open_document, server, read):
    """GDAL itself asks for this file, and cannot be stopped while it waits."""
    for path in "/", "/a.vrt":
        server.fault(path, **SILENT)
    dataset = open_document(definition("/vsicurl/" + server.url + "/a.vrt"), TIMEOUT="0.2")
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="TIMEOUT"):
        read(dataset, 0, 0, 10, 10)
    assert time.monotonic() - began < SILENT["delay_ms"] / 2000


@pytest.mark.parametrize("name", ["a.tif", "a.vrt"])
def test_silent_server(open_document, server, config, name):
    """GDAL itself asks for the second."""
    for path in "/", "/" + name:
        server.fault(path, **SILENT)
    config(GDAL_HTTP_LOW_SPEED_TIME="1", GDAL_HTTP_LOW_SPEED_LIMIT="1", GDAL_HTTP_MAX_RETRY="0")
    dataset = open_document(definition("/vsicurl/" + server.url + "/" + name))
    assert error_number(dataset.ReadRaster, 0, 0, 10, 10)[0] == gdal.CPLE_HttpResponse


@pytest.mark.parametrize("status", [404, 403])
def test_refused_file_is_never_nodata(open_document, write, pixels, server, read, assert_pixels, status):
    write("a.tif", pixels)
    server.fault("/a.tif", status=status)
    dataset = open_document(definition(server.url + "/a.tif"))
    number, message = error_number(dataset.ReadRaster, 0, 0, 10, 10)
    assert number == gdal.CPLE_HttpResponse
    assert str(status) in message
    server.reset()
    assert_pixels(read(dataset, 0, 0, 10, 10), pixels[:10, :10])


@pytest.mark.parametrize("status", [403, 503])
def test_refused_sidecar(open_document, write, pixels, server, read, assert_pixels, config, status):
    """A bucket may refuse what it does not have; what could not be asked for may be there."""
    write("a.tif", pixels)
    server.fault("/a.tif.aux.xml", status=status)
    config(GDAL_HTTP_MAX_RETRY="0")
    dataset = open_document(definition(server.url + "/a.tif"))
    if status == 403:
        assert_pixels(read(dataset, 0, 0, 10, 10), pixels[:10, :10])
    else:
        with pytest.raises(RuntimeError, match="503"):
            read(dataset, 0, 0, 10, 10)


# Arrays with a time axis

YEARS = ["2017-01-01", "2018-01-01", "2019-01-01", "2020-01-01"]
SIDE = 40


def write_array(driver, path, days, units=None):
    values = np.arange(len(days) * SIDE * SIDE, dtype=np.float32).reshape(len(days), SIDE, SIDE)
    file = gdal.GetDriverByName(driver).CreateMultiDimensional(str(path))
    root = file.GetRootGroup()
    number = gdal.ExtendedDataType.Create(gdal.GDT_Float64)
    axes = {"time": ("TEMPORAL", np.array(days, float)),
            "y": ("HORIZONTAL_Y", 59.5 - np.arange(SIDE, dtype=float)),
            "x": ("HORIZONTAL_X", 10.5 + np.arange(SIDE, dtype=float))}
    dimensions = []
    for name, (kind, coordinates) in axes.items():
        dimensions.append(root.CreateDimension(name, kind, None, len(coordinates)))
        variable = root.CreateMDArray(name, dimensions[-1:], number)
        if name == "time":
            variable.SetUnit("days since 2017-01-01")
        elif units:
            variable.SetUnit(units[name])
        variable.Write(coordinates)
        if driver == "Zarr":  # which forgets the names of dimensions otherwise; netCDF cannot
            dimensions[-1].SetIndexingVariable(variable)
    array = root.CreateMDArray("value", dimensions, gdal.ExtendedDataType.Create(gdal.GDT_Float32))
    array.Write(values)
    return values


@pytest.fixture(params=["netCDF", "Zarr"])
def array(request, tmp_path):
    if gdal.GetDriverByName(request.param) is None:
        pytest.skip("this GDAL has no driver %s" % request.param)
    path = tmp_path / {"netCDF": "array.nc", "Zarr": "array.zarr"}[request.param]
    values = write_array(request.param, path, [0, 365, 730])
    document = definition(path, (10.0, 1.0, 0.0, 60.0, 0.0, -1.0), (SIDE, SIDE), "EPSG:4326", 16, dimension="time")
    document["time"] = {"values": YEARS}
    return document, values


def test_steps_of_an_array(open_document, array, read, assert_pixels):
    document, values = array
    for step, year in enumerate(("2017", "2018", "2019")):
        assert_pixels(read(open_document(document, TIME=year), 0, 0, SIDE, SIDE), values[step])
    several = read(open_document(document, TIME="2018/2019"), 3, 5, 20, 10)
    assert_pixels(several, values[1:, 5:15, 3:23])


def test_step_that_the_array_does_not_have(open_document, array, read):
    document, _ = array
    assert np.isnan(read(open_document(document, TIME="2020"), 0, 0, SIDE, SIDE)).all()


@pytest.mark.parametrize("driver", ["netCDF", "Zarr"])
def test_time_that_is_none(open_document, tmp_path, read, assert_pixels, driver):
    """Of a step whose coordinate is NaN nobody knows the time: it is no step that is asked for."""
    if gdal.GetDriverByName(driver) is None:
        pytest.skip("this GDAL has no driver %s" % driver)
    path = tmp_path / ("array." + driver)
    values = write_array(driver, path, [np.nan, 365, 730])
    document = definition(path, (10.0, 1.0, 0.0, 60.0, 0.0, -1.0), (SIDE, SIDE), "EPSG:4326", 16, dimension="time")
    document["time"] = {"values": YEARS}
    assert_pixels(read(open_document(document, TIME="2018"), 0, 0, SIDE, SIDE), values[1])
    assert np.isnan(read(open_document(document, TIME="2017"), 0, 0, SIDE, SIDE)).all()


def degrees_array(driver, path, **units):
    if gdal.GetDriverByName(driver) is None:
        pytest.skip("this GDAL has no driver %s" % driver)
    return write_array(driver, path, [0, 365, 730], units)


UTM = (600000.0, 5000.0, 0.0, 6000000.0, 0.0, -5000.0)


def of_2017(path, grid, shape, code, **source):
    return {**definition(path, grid, shape, code, 16, dimension="time", **source), "time": {"values": YEARS}}


def nearest_of_array(values, grid, size, code):
    """Of a raster of write_array(), and where that is sure."""
    x, y = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    lon, lat = degrees_at(grid, x, y, code)
    columns, rows = lon - 10, 60 - lat
    sure = (np.abs(columns - np.round(columns)) > 0.02) & (np.abs(rows - np.round(rows)) > 0.02)
    return values[rows.astype(int), columns.astype(int)], sure


@pytest.mark.parametrize("driver", ["netCDF", "Zarr"])
def test_array_in_degrees_that_names_no_crs(open_document, tmp_path, read, driver):
    values = degrees_array(driver, tmp_path / "array", x="degrees_east", y="degrees_north")
    expected, sure = nearest_of_array(values[0], UTM, 40, 32633)
    document = of_2017(tmp_path / "array", UTM, (40, 40), "EPSG:32633")
    actual = read(open_document(document, TIME="2017"), 0, 0, 40, 40)
    assert sure.sum() > 1000
    np.testing.assert_array_equal(actual[sure], expected[sure])


def test_array_that_names_no_crs(open_document, tmp_path, cube, read):
    values = degrees_array("netCDF", tmp_path / "array", x="", y="")
    expected, sure = nearest_of_array(values[0], UTM, 40, 32633)
    with pytest.raises(RuntimeError, match='no CRS.*"proj:code" in /source'):
        read(open_document(of_2017(tmp_path / "array", UTM, (40, 40), "EPSG:32633"), TIME="2017"), 0, 0, 40, 40)
    shutil.rmtree(cube)
    document = of_2017(tmp_path / "array", UTM, (40, 40), "EPSG:32633", **{"proj:code": "OGC:CRS84"})
    actual = read(open_document(document, TIME="2017"), 0, 0, 40, 40)
    np.testing.assert_array_equal(actual[sure], expected[sure])


def test_raster_of_a_netcdf_file_in_degrees(open_document, tmp_path, read):
    values = degrees_array("netCDF", tmp_path / "array", x="degrees_east", y="degrees_north")
    expected, sure = nearest_of_array(values[0], UTM, 40, 32633)
    document = definition("NETCDF:%s:value" % (tmp_path / "array"), UTM, (40, 40), "EPSG:32633", 16)
    np.testing.assert_array_equal(read(open_document(document), 0, 0, 40, 40)[sure], expected[sure])


@pytest.mark.parametrize("change, words", [
    ({"asset": "t2m"}, 'no array "t2m" .it has .*"value"'),
    ({"dimension": "month"}, 'no dimension "month" .it has "time", "y", "x"'),
    ({"prefix": "NETCDF:"}, "plain file name.*asset"),
])
def test_array_that_is_misnamed(open_document, tmp_path, read, change, words):
    degrees_array("netCDF", tmp_path / "array", x="", y="")
    document = of_2017(change.get("prefix", "") + str(tmp_path / "array"), (10.0, 1.0, 0.0, 60.0, 0.0, -1.0), (40, 40),
                       "EPSG:4326")
    document["bands"][0]["asset"] = change.get("asset", "value")
    document["source"]["dimension"] = change.get("dimension", "time")
    with pytest.raises(RuntimeError, match=words):
        read(open_document(document, TIME="2017"), 0, 0, 10, 10)


# What cannot be

@pytest.mark.parametrize("code, transform", [
    (3413, (GRID[0] + 100 * SIZE, 100, 0, GRID[3], 0, -100)), (32633, (500000, 10, 0, 6000000, 0, -10)),
    (4326, (10, 0.1, 0, 20, 0, -0.1))])
def test_dataset_elsewhere(open_document, write, pixels, read, code, transform):
    path = write("a.tif", pixels, transform, code)
    with pytest.raises(RuntimeError, match=r"lies at \[.*EPSG:%d, but the cube at \[.*EPSG:3413: see proj:code" % code):
        read(open_document(definition(path)), 0, 0, 10, 10)


def test_grid_in_degrees_with_a_resolution_in_metres(open_document):
    document = definition("a.tif", code="EPSG:32633")
    del document["proj:transform"], document["proj:shape"]
    document.update({"proj:bbox": [14, 53, 16, 54], "resolution": 10})
    with pytest.raises(RuntimeError, match="/proj:bbox: a grid of 1 x 1 pixels.*units of the CRS"):
        open_document(document)


def pack(write, pixels):
    path = write("packed.tif", pixels)
    file = gdal.Open(str(path), gdal.GA_Update)
    file.GetRasterBand(1).SetScale(0.1)
    file.GetRasterBand(1).SetOffset(5)
    return path


def test_packed_values_as_floats(open_document, write, read):
    path = pack(write, np.full((SIZE, SIZE), 300, np.int16))
    with pytest.raises(RuntimeError, match='scale 0.1 and the offset 5.*"raster:scale": 0.1 and "raster:offset": 5'):
        read(open_document(definition(path)), 0, 0, 10, 10)


@pytest.mark.parametrize("band", [
    {"data_type": "float32", "raster:scale": 0.1, "raster:offset": 5}, {"data_type": "float32", "raster:scale": 1},
    {"data_type": "int16", "nodata": -1}])
def test_packed_values_that_are_wanted(open_document, write, read, band):
    path = pack(write, np.full((SIZE, SIZE), 300, np.int16))
    assert (read(open_document(definition(path, band={"name": "value", **band})), 0, 0, 10, 10) == 300).all()


def test_dataset_beside_its_definition(open_document, write, pixels, read, assert_pixels, tmp_path):
    """A relative name is that of a file beside the definition; without one, of one here."""
    write("beside.tif", pixels)
    write("work/here.tif", pixels + 1)
    write("work/beside.tif", pixels + 2)
    assert Path("here.tif").exists()
    for name, expected in [("beside.tif", pixels), ("here.tif", pixels + 1)]:
        dataset = open_document({**definition(name), "id": name.replace(".tif", "")}, CREATE="YES")
        assert_pixels(read(dataset, 0, 0, 50, 50), expected[:50, :50])
        del dataset
        shutil.rmtree(tmp_path / "cube")


def test_definition_that_is_edited_while_the_cube_is_open(open_document, write, pixels, read, assert_pixels):
    old = open_document({**definition(write("old.tif", pixels)), "title": "Old"})
    new = open_document({**definition(write("new.tif", pixels + 1)), "title": "New"})
    assert [dataset.GetMetadataItem("TITLE") for dataset in (old, new)] == ["Old", "New"]
    assert_pixels(read(new, 0, 0, 50, 50), pixels[:50, :50] + 1)


def test_cube_that_is_removed_while_it_is_open(open_document, write, pixels, read, assert_pixels, cube):
    document = definition(write("a.tif", pixels))
    read(old := open_document(document), 0, 0, 50, 50)
    shutil.rmtree(cube)
    new = open_document(document)
    assert_pixels(read(new, 0, 0, 50, 50), pixels[:50, :50])
    del old
    assert_pixels(read(open_document(document), 0, 0, 200, 200), pixels[:200, :200])


def test_dataset_that_is_not_there(open_document, tmp_path, read):
    with pytest.raises(RuntimeError, match="any: GDAL cannot open its dataset.*nothing.tif"):
        read(open_document(definition(tmp_path / "nothing.tif")), 0, 0, 10, 10)


def test_secret_in_the_name_of_a_dataset(open_document, read, config):
    document = definition("/vsimem/{config:MY_SECRET}.tif")
    with pytest.raises(RuntimeError, match="MY_SECRET"):
        read(open_document(document), 0, 0, 10, 10)
    config(MY_SECRET="s3cret")
    with pytest.raises(RuntimeError, match="cannot open") as error:
        read(open_document(document), 0, 0, 10, 10)
    assert "s3cret" not in str(error.value)


def test_secret_in_the_address_of_a_file(open_document, write, pixels, server, read, config, assert_pixels):
    """We fetch it, as any other GeoTIFF on a web server, and not GDAL, whose client asks for the directory, too."""
    write("a.tif", pixels)
    config(MY_SECRET="s3cret")
    dataset = open_document(definition("/vsicurl/" + server.url + "/a.tif?key={config:MY_SECRET}"))
    assert_pixels(read(dataset, 0, 0, 10, 10), pixels[:10, :10])
    assert all(entry["headers"]["User-Agent"].startswith("SGC/") for entry in server.log())


def test_secret_in_an_open_option(open_document, write, pixels, read, config, assert_pixels):
    """It is filled in when the file is opened: here as the level that is."""
    path = write("a.tif", pixels)
    file = gdal.Open(str(path), gdal.GA_Update)
    file.BuildOverviews("NEAREST", [2])
    overview = file.GetRasterBand(1).GetOverview(0).ReadAsArray()
    del file
    document = definition(path, grid=(GRID[0], 200.0, 0.0, GRID[3], 0.0, -200.0), shape=overview.shape,
                          open_options=["OVERVIEW_LEVEL={config:MY_SECRET}"])
    with pytest.raises(RuntimeError, match="MY_SECRET"):
        read(open_document(document), 0, 0, 10, 10)
    config(MY_SECRET="0")
    assert_pixels(read(open_document(document), 0, 0, 250, 250), overview)


def test_secret_open_option_goes_to_no_other_endpoint(open_document, read, config):
    """Who is trusted is asked: port 1 answers nobody."""
    config(MY_SECRET="s3cret", SGC_TRUSTED_HOSTS="other.example")
    document = definition("/vsicurl/https://service.example/a.tif", retries=0,
                          open_options=["API_KEY={config:MY_SECRET}"])
    mirror = "/vsicurl/http://127.0.0.1:1/a.tif"
    with pytest.raises(RuntimeError, match="SGC_TRUSTED_HOSTS"):
        read(open_document(document, SOURCE_URL=mirror), 0, 0, 10, 10)
    config(SGC_TRUSTED_HOSTS="127.0.0.1")
    with pytest.raises(RuntimeError, match="connect") as error:
        read(open_document(document, SOURCE_URL=mirror), 0, 0, 10, 10)
    assert "s3cret" not in str(error.value)


def test_no_cube_is_the_source_of_a_cube(open_document):
    with pytest.raises(RuntimeError, match="source of a cube"):
        open_document(definition("SGC:Demo"))


def test_band_that_the_dataset_does_not_have(open_document, write, pixels, read):
    band = {"name": "value", "data_type": "float32", "band": 2}
    with pytest.raises(RuntimeError, match="no band 2"):
        read(open_document(definition(write("a.tif", pixels), band=band)), 0, 0, 10, 10)


def test_value_that_the_type_cannot_hold(open_document, write, read):
    values = np.full((SIZE, SIZE), 300, np.int16)
    band = {"name": "value", "data_type": "uint8", "nodata": 0}
    with pytest.raises(RuntimeError, match="the value 300.*uint8"):
        read(open_document(definition(write("a.tif", values), band=band)), 0, 0, 10, 10)


def test_patches_are_the_chunks_that_the_cube_has(open_document, write, pixels, read, assert_pixels):
    """Whatever the definition says of them when it is opened again."""
    document = definition(write("a.tif", pixels), chunk=256)
    assert_pixels(read(open_document(document, CHUNK_SIZE="100"), 0, 0, 50, 50), pixels[:50, :50])
    assert_pixels(read(open_document(document), 100, 100, 50, 50), pixels[100:150, 100:150])


@pytest.mark.parametrize("prefix", ["", "/vsicurl/"])
def test_file_on_a_server_hears_who_the_user_is(open_document, write, pixels, tmp_path, read, config, prefix):
    config(GDAL_HTTP_HEADERS="X-User: me")
    write("a.tif", pixels)
    server = FileServer(tmp_path)
    read(open_document(definition(prefix + server.url + "/a.tif")), 0, 0, 10, 10)
    heard = {entry["headers"].get("X-User") for entry in server.log() if entry["path"] == "/a.tif"}
    server.close()
    assert heard == {"me"}


def test_array_becomes_a_file_of_its_own_format(array, tmp_path, run):
    """GDAL's netCDF driver holds its one lock while it reads what it shall write."""
    document, values = array
    (tmp_path / "array.json").write_text(json.dumps(document))
    source = "SGC:%s,dataset=%s,create=yes" % (tmp_path / "cube", tmp_path / "array.json")
    for name, args in {
        "of_raster.nc": ["gdal_translate", "-of", "netCDF", source + ",time=2018", tmp_path / "of_raster.nc"],
        "of_array.nc": ["gdalmdimtranslate", "-array", "value", source + ",time=2019", tmp_path / "of_array.nc"],
    }.items():
        run(["timeout", "30", *args])
        written = gdal.Open("NETCDF:%s:%s" % (tmp_path / name, "Band1" if name == "of_raster.nc" else "value"))
        step = 1 if name == "of_raster.nc" else 2
        assert np.array_equal(np.squeeze(written.ReadAsArray()), values[step])
