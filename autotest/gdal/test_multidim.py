"""The multidimensional API: what arrays say, every value they give, and how little they load."""
from concurrent.futures import ThreadPoolExecutor
import json
import os
import re

import numpy as np
from osgeo import gdal, gdal_array, osr
import pytest

import demo_formula

X, Y, SIDE = 48000, 43200, 100  # on land, in four patches; meets 2 x 2 chunks
CHUNK = 64
YEARS = ["2017-01-01", "2018-01-01", "2019-01-01"]
BANDS = ["b0", "b1"]
NOWHERE = {"kind": "gdal", "dataset": "none.tif"}
GRID = (-2000000.0, 40.0, 0.0, 2000000.0, 0.0, -40.0)


def terrain(**changes):
    """A definition of that terrain in time; None takes a key out."""
    definition = {
        "type": "CubeDataset", "version": "1", "id": "years", "title": "Three years", "license": "CC0-1.0",
        "attribution": "Nobody", "proj:code": "EPSG:3413", "proj:transform": [40, 0, -2000000, 0, -40, 2000000],
        "proj:shape": [100000, 100000], "chunk_shape": [CHUNK, CHUNK], "time": {"values": YEARS},
        "bands": [{"name": name, "data_type": "float32", "unit": "m", "description": "Height " + name}
                  for name in BANDS],
        "source": {"kind": "synthetic"}, **changes}
    return {key: value for key, value in definition.items() if value is not None}


@pytest.fixture
def name(tmp_path, cube):
    """name(definition, key=value, …) is the connection string of the test's cube."""

    def connection(definition=terrain(), **options):
        path = tmp_path / "definition.json"
        path.write_text(json.dumps(definition))
        given = {"dataset": path, "create": "yes", **options}
        return "SGC:%s,%s" % (cube, ",".join("%s=%s" % pair for pair in given.items()))

    return connection


def open_group(name):
    return gdal.OpenEx(name, gdal.OF_MULTIDIM_RASTER).GetRootGroup()


@pytest.fixture
def group(name):
    return open_group(name())


@pytest.fixture
def static_array(name):
    return open_group(name(terrain(time=None))).OpenMDArray("b1")


@pytest.fixture
def from_file(tmp_path):
    """from_file(pixels, data type, key of the band=value, …) is a definition of them; chunk_shape may be among the keys."""

    def define(pixels, data_type, chunk_shape=(CHUNK, CHUNK), **band):
        path = str(tmp_path / "pixels.tif")
        height, width = pixels.shape
        code = gdal_array.NumericTypeCodeToGDALTypeCode(pixels.dtype)
        file = gdal.GetDriverByName("GTiff").Create(path, width, height, 1, code)
        file.SetGeoTransform(GRID)
        file.SetProjection("EPSG:3413")
        file.WriteArray(pixels)
        return terrain(time=None, bands=[{"name": "b0", "data_type": data_type, **band}], chunk_shape=chunk_shape,
                       source={"kind": "gdal", "dataset": path}, **{"proj:shape": [height, width]})

    return define


@pytest.fixture
def noise(from_file):
    """A definition of random numbers, with large chunks, and the numbers."""
    pixels = np.random.default_rng(6).normal(0, 9, (1200, 3800)).astype(np.float32)
    return from_file(pixels, "float32", chunk_shape=[512, 512]), pixels


@pytest.fixture
def packed(from_file):
    """A definition of packed numbers some of which mean something, the numbers, and whether they are data."""
    pixels = np.random.default_rng(7).integers(0, 300, (100, 130)).astype(np.int16)
    return from_file(pixels, "int16", nodata=9, source_nodata=9, categories={"10": "Tree cover", "200": "Water"},
                     **{"raster:scale": 0.5, "raster:offset": 273}), pixels, pixels != 9


@pytest.fixture
def loaded_chunks(name):
    """loaded_chunks(definition, window) counts the chunks in the cube, of all steps."""

    def count(definition=terrain(), window=(X - X % CHUNK, Y - Y % CHUNK, 40 * CHUNK, 40 * CHUNK)):
        loaded = 0
        for step in range(len(YEARS)) if "time" in definition else [None]:
            dataset = gdal.Open(name(definition, **({} if step is None else {"time": "%%23%d" % step})))
            state = dataset.GetMetadataItem("Window_%d_%d_%d_%d" % window, "SGC")
            loaded += window[2] * window[3] // CHUNK ** 2 - int(re.match(r"missing=(\d+);", state)[1])
        return loaded

    return count


def expected(band=0, step=0, window=(X, Y, SIDE, SIDE), **options):
    return demo_formula.window(*window, band=band, step=step, **options)


def stack(band, window=(X, Y, SIDE, SIDE)):
    return np.stack([expected(band, step, window) for step in range(len(YEARS))])


def attributes(owner):
    said = [(a.GetName(), a.Read()) for a in owner.GetAttributes()]
    assert len(dict(said)) == len(said)
    return dict(said)


# What it says

def test_group(group):
    assert group.GetMDArrayNames() == ["time", "y", "x"] + BANDS
    assert attributes(group) == {"dataset": "years", "title": "Three years", "license": "CC0-1.0",
                                 "attribution": "Nobody", "source": "synthetic", "branch": "main"}
    described = [(d.GetName(), d.GetFullName(), d.GetSize(), d.GetType()) for d in group.GetDimensions()]
    assert described == [("time", "/time", 3, "TEMPORAL"), ("y", "/y", 100000, "HORIZONTAL_Y"),
                         ("x", "/x", 100000, "HORIZONTAL_X")]


def test_group_tells_where_pixels_come_from(name, run, cube):
    """The same as a raster, and the snapshot that it shows now."""
    connection = name(terrain(**{"sci:citation": "Nobody (2026)", "sci:doi": "10.1/x"}))
    group = open_group(connection)
    assert "snapshot" not in attributes(group)
    group.OpenMDArray("b0").ReadAsArray([0, Y, X], [1, 1, 1])
    said = attributes(group)
    assert said["snapshot"] == re.search("[0-9A-Z]{20}", run(["sgc", "log", "SGC:%s" % cube]).stdout)[0]
    assert (said["citation"], said["doi"]) == ("Nobody (2026)", "10.1/x")
    raster = gdal.Open(connection).GetMetadata()
    del raster["AREA_OR_POINT"]
    assert said == {key.lower(): text for key, text in raster.items()}
    run(["sgc", "tag", "SGC:%s" % cube, "v1"])
    tagged = attributes(open_group("SGC:%s,tag=v1" % cube))
    assert (tagged["tag"], tagged["snapshot"], "branch" in tagged) == ("v1", said["snapshot"], False)
    pinned = attributes(open_group("SGC:%s,snapshot=%s" % (cube, said["snapshot"])))
    assert pinned["snapshot"] == said["snapshot"]


def test_channel(group):
    array = group.OpenMDArray("b1")
    assert array.GetFullName() == "/b1"
    assert [d.GetFullName() for d in array.GetDimensions()] == ["/time", "/y", "/x"]
    assert array.GetBlockSize() == [1, CHUNK, CHUNK]
    assert array.GetDataType().GetNumericDataType() == gdal.GDT_Float32
    assert np.isnan(array.GetNoDataValueAsDouble())
    assert (array.GetUnit(), array.GetScale(), array.GetOffset()) == ("m", None, None)
    assert array.GetStructuralInfo() == {"COMPRESSION": "ZSTD"}
    assert attributes(array) == {"long_name": "Height b1"}
    assert not hasattr(array, "IsWritable") or not array.IsWritable()


def test_static_cube_has_rows_and_columns(name):
    group = open_group(name(terrain(time=None)))
    assert group.GetMDArrayNames() == ["y", "x"] + BANDS
    array = group.OpenMDArray("b0")
    assert [d.GetName() for d in array.GetDimensions()] == ["y", "x"]
    assert array.GetBlockSize() == [CHUNK, CHUNK]


def test_attributes_of_a_definition(name):
    """Those that GDAL has methods for are told by them alone."""
    definition = terrain(time=None, source=NOWHERE, bands=[
        {"name": "packed", "data_type": "int16", "nodata": -9, "unit": "K", "raster:scale": 0.5, "raster:offset": 273,
         "zarr:attributes": {"long_name": "Temperature", "units": "K", "scale_factor": 0.5, "add_offset": 273,
                             "runs": 3, "version": 0.25, "flag_values": [1, -2], "valid_range": [-0.5, 40000],
                             "tags": ["a", 1], "final": False}},
        {"name": "mask", "data_type": "bool"}])
    group = open_group(name(definition))
    packed, mask = group.OpenMDArray("packed"), group.OpenMDArray("mask")
    assert attributes(packed) == {"long_name": "Temperature", "runs": 3, "version": 0.25, "flag_values": (1, -2),
                                  "valid_range": (-0.5, 40000), "tags": ["a", 1], "final": False}
    assert [packed.GetAttribute(name).GetDataType().GetNumericDataType() for name in ("flag_values", "valid_range")] == [
        gdal.GDT_Int16, gdal.GDT_Float64]
    assert (packed.GetScale(), packed.GetOffset(), packed.GetUnit()) == (0.5, 273, "K")
    assert packed.GetNoDataValueAsDouble() == -9
    assert mask.GetDataType().GetNumericDataType() == gdal.GDT_Byte
    assert mask.GetNoDataValueAsRaw() is None


@pytest.mark.parametrize("data_type, values", [
    ("uint8", [10, 80]), ("bool", [0, 1]), ("int16", [-30000, 7]), ("uint32", [7, 4000000000]),
    ("int64", [-9007199254740993, 9007199254740993])])
def test_categories_are_flags(name, data_type, values):
    """Of the type of the pixels; colours without a name are none."""
    band = {"name": "b0", "data_type": data_type, "nodata": 0, "description": "Cover",
            "categories": {str(value): text for value, text in zip(values, ["Moss and lichen", "Water"])}}
    if data_type == "uint8":
        band.update(colors={"10": "#006400", "95": "#ff0000"}, categories={**band["categories"], "96": ""})
    array = open_group(name(terrain(time=None, bands=[band], source=NOWHERE))).OpenMDArray("b0")
    said = attributes(array)
    assert (said["long_name"], said["flag_meanings"]) == ("Cover", "Moss_and_lichen Water")
    flags = array.GetAttribute("flag_values")
    assert flags.GetDataType().GetNumericDataType() == array.GetDataType().GetNumericDataType()
    assert np.frombuffer(flags.ReadAsRaw(), data_type).tolist() == values


@pytest.mark.parametrize("code, transform, units, names", [
    (3413, [40, 0, -2000000, 0, -40, 2000000], ("m", "m"), ("projection_x_coordinate", "projection_y_coordinate")),
    (2263, [1000, 0, 900000, 0, -1000, 300000], ("US survey foot",) * 2,
     ("projection_x_coordinate", "projection_y_coordinate")),
    (4326, [0.001, 0, -50, 0, -0.001, 50], ("degrees_east", "degrees_north"), ("longitude", "latitude"))])
@pytest.mark.parametrize("time", [None, {"values": YEARS}])
def test_where_it_lies(name, code, transform, units, names, time):
    definition = terrain(time=time, **{"proj:code": "EPSG:%d" % code, "proj:transform": transform,
                                       "proj:shape": [300, 500]})
    array = open_group(name(definition)).OpenMDArray("b0")
    y, x = [d.GetIndexingVariable() for d in array.GetDimensions()[-2:]]
    step, origin = transform[0], (transform[2], transform[5])
    np.testing.assert_array_equal(x.ReadAsArray(), np.arange(500) * step + (origin[0] + step / 2))
    np.testing.assert_array_equal(y.ReadAsArray(), np.arange(300) * -step + (origin[1] - step / 2))
    np.testing.assert_array_equal(y.ReadAsArray([290], [97], [-3]), y.ReadAsArray()[290::-3])
    assert (x.GetUnit(), y.GetUnit()) == units
    assert (attributes(x), attributes(y)) == ({"standard_name": names[0], "axis": "X"},
                                              {"standard_name": names[1], "axis": "Y"})
    count = array.GetDimensionCount()
    classic = array.AsClassicDataset(count - 1, count - 2)
    raster = gdal.Open(name(definition, **({"time": "2017"} if time else {})))
    np.testing.assert_allclose(classic.GetGeoTransform(), raster.GetGeoTransform(), rtol=1e-9)
    assert classic.GetSpatialRef().IsSame(raster.GetSpatialRef())
    assert (classic.GetSpatialRef().GetDataAxisToSRSAxisMapping()
            == raster.GetSpatialRef().GetDataAxisToSRSAxisMapping())


@pytest.mark.parametrize("time, unit, values", [
    ({"values": YEARS}, "days since 2017-01-01 00:00:00", [0, 365, 730]),
    ({"start": "2000-02-29T18:00:00Z", "end": "2000-03-01T18:00:00Z", "step": "PT6H"},
     "hours since 2000-02-29 18:00:00", [0, 6, 12, 18, 24])])
def test_time(name, time, unit, values):
    array = open_group(name(terrain(time=time))).OpenMDArray("time")
    assert array.GetUnit() == unit
    assert attributes(array) == {"standard_name": "time", "calendar": "proleptic_gregorian", "axis": "T"}
    assert array.GetDataType().GetNumericDataType() == gdal.GDT_Int64
    np.testing.assert_array_equal(array.ReadAsArray(), values)


def test_time_is_encoded_as_python_encodes_it(shared):
    document = json.loads(shared("data", "zarr", "metadata-alphaearth", "time", "zarr.json").read_text())
    time = open_group("SGC:AlphaEarthEmbeddings").OpenMDArray("time")
    assert time.GetUnit() == document["attributes"]["units"]
    assert attributes(time)["calendar"] == document["attributes"]["calendar"]
    assert [time.GetDimensions()[0].GetSize()] == document["shape"]
    years = np.datetime64("2017-01-01") + time.ReadAsArray().astype("timedelta64[D]")
    np.testing.assert_array_equal(years, np.arange("2017", "2025", dtype="datetime64[Y]").astype("datetime64[D]"))


# What it gives

@pytest.mark.parametrize("window", [
    (X, Y, SIDE, SIDE), (X // CHUNK * CHUNK, Y // CHUNK * CHUNK, CHUNK, CHUNK), (X, Y + 63, 300, 1),
    (X + 63, Y, 1, 300), (0, 0, 50, 60), (99950, 99930, 50, 70)])
def test_values_are_those_of_the_raster(group, name, read, assert_pixels, window):
    x, y, width, height = window
    values = group.OpenMDArray("b1").ReadAsArray([0, y, x], [3, height, width])
    assert_pixels(values, stack(1, window))
    assert_pixels(read(gdal.Open(name(time="2018", download="no", channels="b1")), *window), values[1])


STEPS = [((2, Y, X), (2, 50, 50), (-2, 2, 2)), ((0, Y + 99, X + 99), (3, 100, 100), (1, -1, -1)),
         ((1, Y + 90, X + 2), (1, 10, 20), (1, -9, 5)), ((2, Y, X + 99), (3, 1, 34), (-1, 1, -3)),
         ((0, Y + 7, X), (2, 31, 100), (1, 3, 1))]


@pytest.mark.parametrize("start, count, step", STEPS)
def test_steps_of_any_sign(group, assert_pixels, start, count, step):
    full = stack(0)
    picked = full[np.ix_(*[first - origin + stride * np.arange(n) for first, n, stride, origin
                           in zip(start, count, step, (0, Y, X))])]
    assert_pixels(group.OpenMDArray("b0").ReadAsArray(start, count, step), picked)


@pytest.mark.parametrize("start, count, step", [((Y + 99, X), (34, 50), (-3, 2)), ((Y, X + 99), (100, 100), (1, -1))])
def test_steps_in_a_static_cube(static_array, assert_pixels, start, count, step):
    full = expected(1)
    rows, columns = (first - origin + stride * np.arange(n) for first, n, stride, origin
                     in zip(start, count, step, (Y, X)))
    assert_pixels(static_array.ReadAsArray(start, count, step), full[np.ix_(rows, columns)])


@pytest.mark.parametrize("data_type", [gdal.GDT_Byte, gdal.GDT_Int16, gdal.GDT_Float64, gdal.GDT_CFloat32],
                         ids=gdal.GetDataTypeName)
def test_buffer_type(static_array, name, read, assert_pixels, data_type):
    values = static_array.ReadAsArray([Y, X], [SIDE, SIDE], buffer_datatype=gdal.ExtendedDataType.Create(data_type))
    raster = gdal.Open(name(terrain(time=None), channels="b1"))
    assert_pixels(values, read(raster, X, Y, SIDE, SIDE, buf_type=data_type))


def test_buffer_strides(group, assert_pixels):
    """Columns first, with gaps, in another type."""
    strides = [1, 4, 4 * SIDE]
    number = gdal.ExtendedDataType.Create(gdal.GDT_Float64)
    data = group.OpenMDArray("b1").Read([0, Y + 99, X], [3, SIDE, SIDE], [1, -1, 1], strides, number)
    values = np.frombuffer(data, np.float64)
    last = sum(stride * (n - 1) for stride, n in zip(strides, (3, SIDE, SIDE)))
    values = np.append(values, np.zeros(4 * SIDE * SIDE - len(values)))[:last + 1]
    seen = np.append(values, np.full(4 * SIDE * SIDE - last - 1, 0)).reshape(SIDE, SIDE, 4)[:, :, :3]
    assert_pixels(seen.transpose(2, 1, 0), stack(1)[:, ::-1].astype(np.float64))


def test_views(group, assert_pixels):
    array = group.OpenMDArray("b0")
    part = array.GetView("[::-1,%d:%d,%d]" % (Y, Y + SIDE, X))
    assert_pixels(part.ReadAsArray(), stack(0)[::-1, :, 0])
    turned = array.Transpose([2, 0, 1])
    assert_pixels(turned.ReadAsArray([X, 0, Y], [SIDE, 3, SIDE]), stack(0).transpose(2, 0, 1))
    mask = array.GetMask().ReadAsArray([0, Y, X], [3, SIDE, SIDE])
    assert (mask == np.isfinite(stack(0))).all() and mask.any()


def test_unscaled(packed, name, assert_pixels):
    definition, pixels, valid = packed
    array = open_group(name(definition)).OpenMDArray("b0")
    unpacked = np.where(valid, pixels * 0.5 + 273, np.nan)
    assert_pixels(array.GetUnscaled().ReadAsArray(), unpacked)
    turned = array.GetUnscaled().Transpose([1, 0]).GetView("[::-3,90:10:-2]")
    assert_pixels(turned.ReadAsArray(), unpacked.T[::-3, 90:10:-2])
    assert (array.GetView("[5:90,::7]").GetMask().ReadAsArray() == valid[5:90, ::7]).all() and not valid[5:90, ::7].all()


def test_large_read_is_right(noise, name, assert_pixels):
    """More than a strip, and a step within it."""
    definition, pixels = noise
    array = open_group(name(definition)).OpenMDArray("b0")
    assert_pixels(array.ReadAsArray(), pixels)
    assert_pixels(array.ReadAsArray([1190, 5], [100, 220], [-10, 9]), pixels[1190::-10, 5::9][:100, :220])


def test_classic_dataset(group, read, assert_pixels):
    classic = group.OpenMDArray("b1").AsClassicDataset(2, 1)
    assert (classic.RasterXSize, classic.RasterYSize, classic.RasterCount) == (100000, 100000, 3)
    band = classic.GetRasterBand(3)
    assert band.GetMetadataItem("DIM_time_VALUE") == "730"
    assert band.GetUnitType() == "m" and np.isnan(band.GetNoDataValue())
    assert_pixels(read(band, X, Y, SIDE, SIDE), expected(1, 2))


def test_resampled(name, read, assert_pixels):
    definition = terrain(**{"proj:shape": [150, 170]})
    polar = osr.SpatialReference()
    polar.ImportFromEPSG(3995)
    resampled = open_group(name(definition)).OpenMDArray("b1").GetResampled([None] * 3, gdal.GRIORA_Bilinear, polar)
    sizes = [d.GetSize() for d in resampled.GetDimensions()]
    raster = gdal.Open(name(definition, time="2018", channels="b1"))
    warped = gdal.Warp("", raster, format="MEM", dstSRS=polar, resampleAlg="bilinear")
    assert sizes == [3, warped.RasterYSize, warped.RasterXSize]
    assert_pixels(resampled.ReadAsArray([1, 0, 0], [1, *sizes[1:]])[0], read(warped, 0, 0, *sizes[:0:-1]))


def test_threads_with_groups_of_their_own(name, assert_pixels):
    connection = name()
    corners = [(X + 30 * i, Y + 20 * i) for i in range(4)]

    def read_one(corner):
        x, y = corner
        return open_group(connection).OpenMDArray("b1").ReadAsArray([0, y + SIDE - 1, x], [3, SIDE, SIDE], [1, -1, 1])

    with ThreadPoolExecutor(len(corners)) as pool:
        for (x, y), values in zip(corners, pool.map(read_one, corners)):
            assert_pixels(values, stack(1, (x, y, SIDE, SIDE))[:, ::-1])


def test_array_outlives_its_dataset(name, assert_pixels):
    dataset = gdal.OpenEx(name(), gdal.OF_MULTIDIM_RASTER)
    group = dataset.GetRootGroup()
    array = group.OpenMDArray("b0")
    del dataset, group
    assert_pixels(array.ReadAsArray([1, Y, X], [1, SIDE, SIDE])[0], expected(0, 1))
    axis = array.GetDimensions()[2]
    del array
    assert axis.GetIndexingVariable().ReadAsArray([5], [1])[0] == GRID[0] + 40 * 5.5


# What it loads

def test_opening_writes_nothing(name, run, files_of, tmp_path, cube):
    connection = name()
    before = files_of(tmp_path)
    report = json.loads(run(["gdalmdiminfo", connection]).stdout)
    assert report["arrays"]["b1"]["dimension_size"] == [3, 100000, 100000]
    assert report["arrays"]["time"]["unit"] == "days since 2017-01-01 00:00:00"
    assert files_of(tmp_path) == before
    assert not cube.exists()


def test_only_what_is_read_is_loaded(group, loaded_chunks):
    array = group.OpenMDArray("b1")
    array.ReadAsArray([0, Y, X], [1, 1, 1])
    assert loaded_chunks() == 1
    array.ReadAsArray([2, Y, X], [2, SIDE, SIDE], [-2, 1, 1])
    assert loaded_chunks() == 2 * 4


def test_one_load_for_all_steps(group, run, cube):
    group.OpenMDArray("b1").ReadAsArray([0, Y, X], [3, SIDE, SIDE])
    log = run(["sgc", "log", "SGC:%s" % cube]).stdout
    assert len(re.findall("Load 12 chunks from", log)) == 1


@pytest.mark.parametrize("step, columns, chunks", [(32, 38, 2 * 19), (200, 4, 2 * 4), (-200, 4, 2 * 4)])
def test_chunks_between_samples_are_not_loaded(noise, name, loaded_chunks, assert_pixels, step, columns, chunks):
    definition, pixels = noise
    definition["chunk_shape"] = [CHUNK, CHUNK]
    array = open_group(name(definition)).OpenMDArray("b0")
    rows = 40 + abs(step) * np.arange(2)
    across = 30 + abs(step) * np.arange(columns)[::np.sign(step)]
    values = array.ReadAsArray([int(rows[-1]), int(across[0])], [2, columns], [-abs(step), step])
    assert_pixels(values, pixels[np.ix_(rows[::-1], across)])
    assert loaded_chunks(definition, (0, 0, 59 * CHUNK, 18 * CHUNK)) == chunks


def test_advice_is_followed_by_the_first_read(group, loaded_chunks, assert_pixels):
    array = group.OpenMDArray("b0")
    array.AdviseRead([1, Y, X], [1, 200, 150])
    assert loaded_chunks() == 0
    assert_pixels(array.ReadAsArray([1, Y, X], [1, 1, 150])[0], expected(0, 1, (X, Y, 150, 1)))
    columns = (X + 149) // CHUNK - X // CHUNK + 1
    rows = (Y + 199) // CHUNK - Y // CHUNK + 1
    assert loaded_chunks() == columns * rows


def test_advice_for_a_view(group, loaded_chunks):
    view = group.OpenMDArray("b0").GetView("[1,%d:%d,%d:%d]" % (Y, Y + 200, X, X + 150)).Transpose([1, 0])
    view.AdviseRead([0, 0], [150, 200])
    view.Read([0, 0], [150, 1])
    columns = (X + 149) // CHUNK - X // CHUNK + 1
    rows = (Y + 199) // CHUNK - Y // CHUNK + 1
    assert loaded_chunks() == columns * rows


def test_advice_beyond_the_budget(name, loaded_chunks):
    array = open_group(name(max_download="1MB")).OpenMDArray("b0")
    array.AdviseRead([0, Y, X], [3, 1000, 1000])
    array.Read([0, Y, X], [1, 10, 10])
    assert loaded_chunks() == 1


def test_no_file_beside_it(name, failure, tmp_path, own_directory):
    array = open_group(name()).OpenMDArray("b0").GetView("[0,%d:%d,%d:%d]" % (Y, Y + 9, X, X + 9))
    statistics = array.GetStatistics(False, True)
    assert statistics.valid_count == 81
    classic = array.AsClassicDataset(1, 0)
    classic.GetRasterBand(1).ComputeStatistics(False)
    del array, classic
    assert os.listdir() == []


# What is restricted, and what cannot be

def test_channels_and_time_restrict(name, assert_pixels):
    group = open_group(name(channels="b1", time="2018/2019"))
    assert group.GetMDArrayNames() == ["time", "y", "x", "b1"]
    time = group.OpenMDArray("time")
    assert (time.GetUnit(), list(time.ReadAsArray())) == ("days since 2017-01-01 00:00:00", [365, 730])
    values = group.OpenMDArray("b1").ReadAsArray([0, Y, X], [2, SIDE, SIDE])
    assert_pixels(values, stack(1)[1:])


@pytest.mark.parametrize("options, message", [
    ({"channels": "b9"}, 'no channel "b9"'), ({"time": "2031"}, "the nearest is 2019-01-01")])
def test_what_the_cube_has_not(name, failure, options, message):
    assert message in failure(gdal.OpenEx, name(**options), gdal.OF_MULTIDIM_RASTER)


def test_unknown_array(group):
    with pytest.raises(RuntimeError, match="Array b9 does not exist"):
        group.OpenMDArray("b9")


def test_update_is_refused(name, failure):
    message = failure(gdal.OpenEx, name(), gdal.OF_MULTIDIM_RASTER | gdal.OF_UPDATE)
    assert "cubes are opened read-only" in message


def test_offline(group, name, failure, assert_pixels):
    group.OpenMDArray("b0").ReadAsArray([1, Y, X], [1, SIDE, SIDE])
    offline = open_group(name(download="no")).OpenMDArray("b0")
    assert_pixels(offline.ReadAsArray([1, Y, X], [1, SIDE, SIDE])[0], expected(0, 1))
    assert "4 chunks of this window are not in the cube" in failure(offline.Read, [1, Y, X], [2, SIDE, SIDE])
    with pytest.raises(RuntimeError, match="not in the cube"):
        offline.Read([2, Y, X], [1, SIDE, SIDE])
    blank = open_group(name(download="no", on_missing="nodata")).OpenMDArray("b0")
    warnings = []
    gdal.PushErrorHandler(lambda severity, number, message: warnings.append(message))
    try:
        values = blank.ReadAsArray([1, Y, X], [2, SIDE, SIDE])
    finally:
        gdal.PopErrorHandler()
    assert_pixels(values[0], expected(0, 1))
    assert np.isnan(values[1]).all()
    assert len(warnings) == 1 and "4 chunks of the window are not in the cube" in warnings[0]


def test_source_that_fails(name, failure, tmp_path):
    definition = terrain(time=None, source={"kind": "gdal", "dataset": str(tmp_path / "none.tif")})
    array = open_group(name(definition)).OpenMDArray("b0")
    assert "none.tif" in failure(array.Read, [0, 0], [10, 10])


# Programs

@pytest.mark.parametrize("driver, path", [("netCDF", "out.nc"), ("Zarr", "out.zarr"), ("VRT", "out.vrt")])
def test_translate(name, run, assert_pixels, driver, path):
    if gdal.GetDriverByName(driver) is None:
        pytest.skip("this GDAL has no driver %s" % driver)
    west, north = GRID[0] + 40 * X, GRID[3] - 40 * Y
    run(["gdalmdimtranslate", "-q", "-of", driver, "-array", "b1",
         "-subset", "x(%g,%g)" % (west + 20, west + 40 * SIDE - 20), "-subset",
         "y(%g,%g)" % (north - 40 * SIDE + 20, north - 20), name(), path])
    copy = open_group(path)
    array = copy.OpenMDArray("b1")
    assert_pixels(array.ReadAsArray(), stack(1))
    assert np.isnan(array.GetNoDataValueAsDouble()) and array.GetUnit() == "m"
    assert array.GetSpatialRef().GetAuthorityCode(None) == "3413"
    time, y, x = array.GetDimensions()
    assert list(time.GetIndexingVariable().ReadAsArray()) == [0, 365, 730]
    assert time.GetIndexingVariable().GetUnit() == "days since 2017-01-01 00:00:00"
    assert y.GetIndexingVariable().ReadAsArray()[0] == north - 20
    assert x.GetIndexingVariable().ReadAsArray()[-1] == west + 40 * SIDE - 20


def test_translate_a_whole_cube(name, run, assert_pixels):
    definition = terrain(**{"proj:shape": [150, 170]})
    run(["gdalmdimtranslate", "-q", "-of", "netCDF", name(definition), "all.nc"])
    in_memory = gdal.MultiDimTranslate("", gdal.OpenEx(name(definition), gdal.OF_MULTIDIM_RASTER), format="MEM")
    for group in (open_group("all.nc"), in_memory.GetRootGroup()):
        for band, channel in enumerate(BANDS):
            assert_pixels(group.OpenMDArray(channel).ReadAsArray(), stack(band, (0, 0, 170, 150)))
        assert group.GetAttribute("license").Read() == "CC0-1.0"
        assert group.GetAttribute("source").Read() == "synthetic"


def test_a_copy_keeps_what_values_mean(packed, name, assert_pixels):
    definition, pixels, _ = packed
    gdal.MultiDimTranslate("packed.nc", gdal.OpenEx(name(definition), gdal.OF_MULTIDIM_RASTER))
    array = open_group("packed.nc").OpenMDArray("b0")
    assert_pixels(array.ReadAsArray(), pixels)
    assert (array.GetScale(), array.GetOffset(), array.GetNoDataValueAsDouble()) == (0.5, 273, 9)
    flags = array.GetAttribute("flag_values")
    assert (flags.Read(), flags.GetDataType().GetNumericDataType()) == ((10, 200), gdal.GDT_Int16)
    assert array.GetAttribute("flag_meanings").Read() == "Tree_cover Water"


@pytest.mark.skipif(not hasattr(gdal.Group, "SubsetDimensionFromSelection"), reason="GDAL before 3.8 has no such method")
def test_a_step_selected_by_its_value(group):
    times = group.OpenMDArray("time").ReadAsArray()
    array = group.SubsetDimensionFromSelection("/time=%s" % times[1]).OpenMDArray("b1")
    assert array.GetDimensions()[0].GetSize() == 1
    pixels = array.ReadAsArray([0, Y, X], [1, 20, 30])
    np.testing.assert_array_equal(pixels[0], expected(1, 1, (X, Y, 30, 20)))
