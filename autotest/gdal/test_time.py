"""Cubes with a time axis: steps, ranges and parts of them, every pixel; what is loaded together."""
import json
import re
import subprocess
import sys

from osgeo import gdal
import pytest

import demo_formula

X, Y, SIDE = 48000, 43200, 100  # on land, in four patches; meets 2 x 2 chunks
CHUNK = 64
YEARS = ["2017-01-01", "2018-01-01", "2019-01-01", "2020-01-01"]
BANDS = ["b0", "b1", "b2"]


@pytest.fixture
def define(tmp_path):
    """define(key=value, …) writes a definition of that terrain in time and gives its path."""

    def write(**changes):
        definition = {
            "type": "CubeDataset", "version": "1", "id": "years", "proj:code": "EPSG:3413",
            "proj:transform": [40, 0, -2000000, 0, -40, 2000000], "proj:shape": [100000, 100000],
            "chunk_shape": [CHUNK, CHUNK], "time": {"values": YEARS},
            "bands": [{"name": name, "data_type": "float32"} for name in BANDS],
            "source": {"kind": "synthetic"}, **changes}
        definition = {key: value for key, value in definition.items() if value is not None}
        path = tmp_path / "years.json"
        path.write_text(json.dumps(definition))
        return path

    return write


@pytest.fixture
def name(cube, define):
    """name(key=value, …) is the connection string of the cube in time, with options."""
    path = define()

    def connection(**options):
        given = {"dataset": path, "create": "yes", **options}
        return "SGC:%s,%s" % (cube, ",".join("%s=%s" % pair for pair in given.items()))

    return connection


def expected(band=0, step=0, window=(X, Y, SIDE, SIDE), **options):
    return demo_formula.window(*window, band=band, step=step, **options)


def subdatasets(dataset):
    return [name for name, _ in dataset.GetSubDatasets()]


def missing(dataset, window=(X, Y, SIDE, SIDE)):
    state = dataset.GetMetadataItem("Window_%d_%d_%d_%d" % window, "SGC")
    return int(re.match(r"missing=(\d+);", state)[1])


# Steps

@pytest.mark.parametrize("time, step", [("2017", 0), ("2018-01-01", 1), ("2019-06", 2), ("%233", 3),
                                        ("#3", 3), ("2020-12-31", 3), ("2018/2018", 1)])
def test_a_step_has_a_band_for_each_channel(name, read, assert_pixels, time, step):
    dataset = gdal.Open(name(time=time))
    assert [dataset.GetRasterBand(b).GetDescription() for b in (1, 2, 3)] == BANDS
    for number in (3, 1, 2):
        band = dataset.GetRasterBand(number)
        assert_pixels(read(band, X, Y, SIDE, SIDE), expected(number - 1, step))
        assert band.GetMetadataItem("DIM_time_INDEX") == str(step)
        assert band.GetMetadataItem("DIM_time_VALUE") == ["0", "365", "730", "1095"][step]
        assert band.GetMetadataItem("DIM_time_UNIT") == "days since 2017-01-01 00:00:00"
        assert band.GetMetadataItem("TIME") == YEARS[step]


def test_a_range_is_time_major(name, read, assert_pixels):
    dataset = gdal.Open(name(time="2018/2019", channels="b2,b0"))
    wanted = [(2, 1), (0, 1), (2, 2), (0, 2)]
    bands = [dataset.GetRasterBand(i + 1) for i in range(dataset.RasterCount)]
    assert [(b.GetDescription(), b.GetMetadataItem("DIM_time_INDEX")) for b in bands] == [
        ("b%d %s" % (band, YEARS[step]), str(step)) for band, step in wanted]
    pixels = read(dataset, X, Y, SIDE, SIDE)
    for i, (band, step) in enumerate(wanted):
        assert_pixels(pixels[i], expected(band, step))


def test_bands_in_any_order(name, read, assert_pixels):
    dataset = gdal.Open(name(time="2017/2020"))
    pixels = read(dataset, X, Y, SIDE, SIDE, band_list=[12, 1, 5])
    for i, (band, step) in enumerate([(2, 3), (0, 0), (1, 1)]):
        assert_pixels(pixels[i], expected(band, step))


def test_only_the_steps_that_are_read_are_loaded(name, read, run, cube):
    dataset = gdal.Open(name(time="2017/2020"))
    assert missing(dataset) == 4 * 4
    read(dataset.GetRasterBand(3 * 2 + 2), X, Y, SIDE, SIDE)  # b1 of 2019 brings all channels of 2019
    assert missing(dataset) == 3 * 4
    assert missing(gdal.Open(name(time="2019"))) == 0
    log = run(["sgc", "log", "SGC:%s" % cube]).stdout
    assert len(re.findall("Load 4 chunks from", log)) == 1
    assert "Initialize empty datacube" in log


def test_time_is_an_option_too(name, read, assert_pixels, config):
    dataset = gdal.OpenEx(name(), open_options=["TIME=2018"])
    assert_pixels(read(dataset, X, Y, SIDE, SIDE)[1], expected(1, 1))
    assert gdal.OpenEx(name(time="2019"), open_options=["TIME=2018/2020"]).RasterCount == 9
    config(SGC_TIME="2017")
    assert gdal.Open(name()).RasterCount == 3


def test_overviews_of_a_step(name, read, assert_pixels):
    dataset = gdal.Open(name(time="2019"))
    band = dataset.GetRasterBand(2).GetOverview(2)
    assert_pixels(read(band, X // 8, Y // 8, 50, 40), expected(1, 2, (X // 8, Y // 8, 50, 40), factor=8))
    at_once = read(dataset, X, Y, 800, 800, 100, 100)
    assert_pixels(at_once[2], expected(2, 2, (X // 8, Y // 8, 100, 100), factor=8))


# The container

def test_a_cube_without_time_is_a_container(name, read, assert_pixels, cube):
    dataset = gdal.Open(name())
    assert dataset.RasterCount == 0
    assert (dataset.RasterXSize, dataset.RasterYSize) == (100000, 100000)
    assert dataset.GetGeoTransform() == (-2000000, 40, 0, 2000000, 0, -40)
    assert dataset.GetSpatialRef().GetAuthorityCode(None) == "3413"
    names = subdatasets(dataset)
    assert len(names) == len(YEARS) + len(BANDS)
    for step, part in enumerate(names[:4]):
        opened = gdal.Open(part)
        assert opened.RasterCount == 3
        assert opened.GetRasterBand(1).GetMetadataItem("TIME") == YEARS[step]
        assert_pixels(read(opened, X, Y, SIDE, SIDE)[1], expected(1, step))
    for band, part in enumerate(names[4:]):
        opened = gdal.Open(part)
        assert [opened.GetRasterBand(i + 1).GetDescription() for i in range(4)] == YEARS
        assert_pixels(read(opened, X, Y, SIDE, SIDE)[3], expected(band, 3))


def test_a_container_tells_what_all_its_steps_lack(name):
    window = "Window_0_0_4000_4000"
    sizes = [re.fullmatch(r"missing=(\d+);bytes=(\d+)", gdal.Open(opened).GetMetadataItem(window, "SGC")).groups()
             for opened in (name(), name(time="2019"))]
    assert [int(number) for number in sizes[0]] == [len(YEARS) * int(number) for number in sizes[1]]


def test_steps_with_data_come_first(name, read):
    read(gdal.Open(name(time="2019")), X, Y, SIDE, SIDE)
    steps = [re.search(r"time=([^,]*)", part)[1] for part in subdatasets(gdal.Open(name()))[:4]]
    assert steps == [YEARS[2], YEARS[0], YEARS[1], YEARS[3]]


def test_parts_open_again_with_what_was_given(tmp_path, define, read, assert_pixels):
    place = tmp_path / "a, b=c %41"  # all that means something in the string
    options = ["DATASET=%s" % define(), "CREATE=YES", "CHANNELS=b2,b1"]
    container = gdal.OpenEx("SGC:%s" % str(place).replace("%", "%25").replace(",", "%2c"), open_options=options)
    names = subdatasets(container)
    assert len(names) == 4 + 2
    opened = gdal.Open(names[1])
    assert_pixels(read(opened, X, Y, SIDE, SIDE)[0], expected(2, 1))
    assert place.is_dir()
    assert_pixels(read(gdal.Open(names[5]), X, Y, SIDE, SIDE)[1], expected(1, 1))


@pytest.mark.parametrize("given, options", [
    ("SGC:./here,dataset=./years.json,create=yes", []), ("SGC:./here,create=yes", ["DATASET=years.json"]),
    ("SGC:years.json", []), ("SGC:./years.json", []), ("sub/years.sgc", [])])
def test_parts_open_from_any_directory(tmp_path, define, monkeypatch, given, options):
    define()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "years.sgc").write_text('{"place": "here", "dataset": "../years.json", "options": {"create": true}}')
    monkeypatch.chdir(tmp_path)
    names = subdatasets(gdal.OpenEx(given, open_options=options))
    monkeypatch.chdir("work")
    assert [gdal.Open(names[i]).RasterCount for i in (0, 4)] == [3, 4]


def test_at_most_100_steps(define, cube):
    days = ["2020-%02d-%02d" % (month, day) for month in range(1, 13) for day in range(1, 11)]
    container = gdal.Open("SGC:%s,create=yes,dataset=%s" % (cube, define(time={"values": days})))
    names = subdatasets(container)
    assert len(names) == 100 + 3
    assert gdal.Open(names[100]).RasterCount == 120


def test_gdalinfo_lists_parts_and_writes_nothing(name, run, cube):
    report = run(["gdalinfo", name()]).stdout
    assert "SUBDATASET_1_NAME=SGC:" in report
    assert "SUBDATASET_7_DESC=b2 - 4 time steps" in report
    assert not cube.exists()


# What cannot be

@pytest.mark.parametrize("time, message", [
    ("2016", r"the nearest is 2017-01-01 \(of 4, from 2017-01-01 to 2020-01-01\)"),
    ("2021", "the nearest is 2020-01-01"), ("#4", "#0 to #3"), ("2019/2018", "before the start"),
    ("soon", "must be a date like 2020"), ("", "must be a date like 2020")])
def test_times_outside_the_axis(name, failure, time, message):
    assert re.search(message, failure(gdal.Open, name(time=time)))


def test_time_of_a_static_cube(cube, failure):
    message = failure(gdal.Open, "SGC:%s,dataset=Demo,create=yes,time=2020" % cube)
    assert "TIME=2020: Demo has no time axis" in message


def test_more_bands_than_gdal_has(define, cube, failure):
    path = define(time={"start": "2000-01-01", "end": "2002-12-31", "step": "PT1H"})
    name = "SGC:%s,create=yes,dataset=%s" % (cube, path)
    message = failure(gdal.Open, name + ",time=2000/2002")
    assert "26281 time steps of 3 channels are more than 65535 bands" in message
    assert gdal.Open(name + ",time=2001-05-17,channels=b1").RasterCount == 24


def test_unknown_keys_list_the_known(name, cube, failure, run):
    message = failure(gdal.Open, name(colour="red"))
    assert 'unknown option "colour"' in message and "PROJECT" in message
    gdal.Open(name(time="2017")).ReadRaster(X, Y, 1, 1)
    assert "did you mean BRANCH?" in failure(gdal.Open, "SGC:%s,brnach=dev" % cube)
    done = run(["sgc", "tag", "SGC:%s,brnach=dev" % cube, "v1"], fails=True)
    assert "did you mean BRANCH?" in done.stderr


# Steps that come later

def test_steps_are_appended(define, cube, read, assert_pixels, run):
    def open_with(years, time):
        options = ["TIME=" + time] if time else []
        return gdal.OpenEx("SGC:%s,create=yes,dataset=%s" % (cube, define(time={"values": years})), open_options=options)

    read(open_with(YEARS[:2], "2018"), X, Y, SIDE, SIDE)
    read(open_with(YEARS[:2], "2018"), 0, 0, 800, 800, 100, 100)  # of a level
    assert len(subdatasets(open_with(YEARS, None))) == 2 + 3  # the cube's own steps
    old_definition = cube.with_name("old.json")
    old_definition.write_text(define(time={"values": YEARS[:2]}).read_text())
    old = gdal.Open("SGC:%s,dataset=%s,time=2018" % (cube, old_definition))
    later = open_with(YEARS, "2020")
    assert missing(later) == 4
    assert_pixels(read(later, X, Y, SIDE, SIDE)[1], expected(1, 3))
    assert run(["sgc", "log", "SGC:%s" % cube]).stdout.count("Append time steps") == 1
    names = subdatasets(gdal.Open("SGC:%s,dataset=%s" % (cube, define())))
    assert len(names) == 4 + 3
    assert_pixels(read(gdal.Open(names[-1]), X, Y, SIDE, SIDE)[3], expected(2, 3))
    assert_pixels(read(old, X, Y, SIDE, SIDE)[0], expected(0, 1))
    assert_pixels(read(old, X + 900, Y, SIDE, SIDE)[0], expected(0, 1, (X + 900, Y, SIDE, SIDE)))
    coarse = read(open_with(YEARS, "2020"), 0, 0, 800, 800, 100, 100)
    assert_pixels(coarse[0], expected(0, 3, (0, 0, 100, 100), factor=8))
    offline = gdal.OpenEx("SGC:%s" % cube, open_options=["TIME=2020", "DOWNLOAD=NO"])  # it knows by itself now
    assert_pixels(read(offline, X, Y, SIDE, SIDE)[1], expected(1, 3))
    assert run(["sgc", "verify", "SGC:%s" % cube, "--chunks"]).stdout.endswith("no defects\n")


def test_other_steps_are_not_mixed_in(define, cube, read, failure):
    read(gdal.Open("SGC:%s,create=yes,dataset=%s,time=2018" % (cube, define())), X, Y, SIDE, SIDE)
    days = define(time={"values": [year[:-1] + "2" for year in YEARS]})
    dataset = gdal.Open("SGC:%s,dataset=%s,time=2018" % (cube, days))
    read(dataset, X, Y, SIDE, SIDE)  # what is there is shown
    assert "/time" in failure(dataset.ReadRaster, X + 500, Y, SIDE, SIDE)


def test_parameters_of_a_definition(define, cube, failure, read, assert_pixels, monkeypatch, tmp_path):
    path = define(id="years-{zone}", parameters={"zone": {"values": ["north", "south"], "default": "north"}})
    monkeypatch.setenv("SGC_DATASETS_PATH", str(tmp_path))
    container = gdal.Open("SGC:%s,dataset=%s,zone=south,create=yes" % (cube, path))
    assert container.GetMetadataItem("DATASET") == "years-south"
    part = gdal.Open(subdatasets(container)[1])
    assert_pixels(read(part, X, Y, SIDE, SIDE)[2], expected(2, 1))
    assert "years-north" in failure(gdal.Open, "SGC:%s,dataset=%s,zone=north" % (cube, path))
    assert "zone" in failure(gdal.Open, "SGC:%s,dataset=%s,zone=west" % (cube, path))
    message = failure(gdal.Open, "SGC:%s,dataset=%s,zoom=3" % (cube, path))
    assert 'unknown option "zoom" (did you mean zone?' in message
    assert "TIME, " in message and message.endswith(", zone)")
    gdal.Open("SGC:%s,zone=south" % cube)


def test_parameters_in_the_configuration(define, cube, config, monkeypatch, tmp_path, failure):
    path = define(id="years-{zone}", parameters={"zone": {"values": ["north", "south"], "default": "north"}})
    config(SGC_ZONE="south")
    assert gdal.Open("SGC:%s,dataset=%s,create=yes" % (cube, path)).GetMetadataItem("DATASET") == "years-south"
    north = gdal.Open("SGC:%s-north,dataset=%s,create=yes,zone=north" % (cube, path))
    assert north.GetMetadataItem("DATASET") == "years-north"
    config(SGC_ZONE="west")
    assert "west is not one of north, south" in failure(gdal.Open, "SGC:%s,dataset=%s,create=yes" % (cube, path))


# What is loaded together

def test_channels_loaded_alone(define, cube, read, assert_pixels, run):
    path = define(fill="channels")
    dataset = gdal.Open("SGC:%s,dataset=%s,create=yes,time=2018/2019" % (cube, path))
    assert missing(dataset) == 4 * 6
    assert_pixels(read(dataset.GetRasterBand(2), X, Y, SIDE, SIDE), expected(1, 1))
    assert missing(dataset) == 4 * 5
    log = run(["sgc", "log", "SGC:%s" % cube]).stdout
    assert log.count("Load 4 chunks") == 1
    pixels = read(dataset, X, Y, SIDE, SIDE)
    for i in range(6):
        assert_pixels(pixels[i], expected(i % 3, 1 + i // 3))
    assert missing(dataset) == 0


@pytest.mark.parametrize("memory, description", [("512", "all bands at once"), ("0.1", "two bands at once"),
                                                 ("0.0001", "one band at a time")])
def test_bands_fit_into_memory(name, read, assert_pixels, config, memory, description):
    config(SGC_LOAD_MEMORY=memory)
    pixels = read(gdal.Open(name(time="2020")), X, Y, SIDE, SIDE)
    for band in range(3):
        assert_pixels(pixels[band], expected(band, 3))


@pytest.mark.parametrize("fill", ["all", "channels"])
def test_processes_share_the_work(define, cube, read, assert_pixels, run, fill):
    connection = "SGC:%s,dataset=%s,create=yes,time=2017/2020" % (cube, define(fill=fill))
    code = ("from osgeo import gdal; gdal.UseExceptions(); "
            "gdal.Open(%r).ReadRaster(%d, %d, %d, %d)" % (connection, X, Y, 3 * SIDE, 3 * SIDE))
    readers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [reader.wait(timeout=120) for reader in readers] == [0, 0, 0]
    pixels = read(gdal.Open(connection), X, Y, 3 * SIDE, 3 * SIDE)
    for i in range(12):
        assert_pixels(pixels[i], expected(i % 3, i // 3, (X, Y, 3 * SIDE, 3 * SIDE)))
    log = run(["sgc", "log", "SGC:%s" % cube]).stdout
    loaded = sum(int(n) for n in re.findall(r"Load (\d+) chunks? from", log))
    assert loaded == 25 * 4 * (1 if fill == "all" else 3)  # none twice
    assert run(["sgc", "verify", "SGC:%s" % cube, "--chunks"]).stdout.endswith("no defects\n")


def test_steps_that_have_not_ended_are_complete_for_now(define, cube, read, assert_pixels):
    path = define(time={"values": ["2020-01-01", "2400-01-01", "2800-01-01"]})
    dataset = gdal.Open("SGC:%s,dataset=%s,create=yes,time=2020/2800" % (cube, path))
    pixels = read(dataset, X, Y, SIDE, SIDE)
    assert missing(dataset) == 0
    assert_pixels(pixels[8], expected(2, 2))


def test_budget_of_a_channel(define, cube, failure, read):
    connection = "SGC:%s,dataset=%s,create=yes,time=2018" % (cube, define(fill="channels", bytes_per_pixel=100))
    one = 4 * CHUNK * CHUNK * 100
    message = failure(gdal.OpenEx(connection, open_options=["MAX_DOWNLOAD=%d" % one]).ReadRaster, X, Y, SIDE, SIDE)
    assert "needs 12 chunks (about 4.9 MB)" in message
    dataset = gdal.OpenEx(connection, open_options=["MAX_DOWNLOAD=%d" % one])
    read(dataset.GetRasterBand(3), X, Y, SIDE, SIDE)


# Levels from other sources

def test_levels_of_their_own_sources(define, cube, read, assert_pixels):
    path = define(source={"kind": "synthetic", "levels": False}, levels=[
        {"from": 8, "source": {"kind": "synthetic", "offset": 1000}},
        {"from": 32, "source": {"kind": "synthetic", "offset": 3000}}])
    dataset = gdal.Open("SGC:%s,dataset=%s,create=yes,time=2018" % (cube, path))
    band = dataset.GetRasterBand(2)
    assert band.GetOverview(0).XSize == 100000 // 8  # 2 and 4 are nowhere
    for overview, factor, offset in [(0, 8, 1000), (1, 16, 1000), (2, 32, 3000), (3, 64, 3000)]:
        window = (X // factor, Y // factor, 20, 30)
        assert_pixels(read(band.GetOverview(overview), *window),
                      expected(1, 1, window, factor=factor, offset=offset))
    assert_pixels(read(band, X, Y, SIDE, SIDE), expected(1, 1))


def test_sources_are_added_for_levels_that_are_not_begun(define, cube, read, assert_pixels, failure):
    def open_with(offsets):
        path = define(levels=[{"from": factor, "source": {"kind": "synthetic", "offset": offset}}
                              for factor, offset in offsets.items()])
        return gdal.Open("SGC:%s,dataset=%s,create=yes,time=2018" % (cube, path))

    def level(dataset, factor):
        return dataset.GetRasterBand(1).GetOverview(factor.bit_length() - 2)

    def check(offsets, factor, x, offset):
        window, dataset = (x // factor, Y // factor, 20, 30), open_with(offsets)
        assert_pixels(read(level(dataset, factor), *window), expected(0, 1, window, factor=factor, offset=offset))

    check({}, 8, X, 0)
    check({8: 1000}, 8, X, 0)  # what is there is shown
    changed = open_with({8: 1000})
    assert "/levels/0/source/offset" in failure(level(changed, 8).ReadRaster, 0, 0, 20, 30)
    del changed
    check({16: 3000}, 16, X, 3000)
    check({16: 3000}, 16, 0, 3000)  # also when it is begun
    unaware = open_with({})
    assert "/levels" in failure(level(unaware, 16).ReadRaster, 1000, 1000, 20, 30)


def test_no_levels_without_a_source_of_them(define, cube):
    path = define(source={"kind": "synthetic", "levels": False})
    dataset = gdal.Open("SGC:%s,dataset=%s,create=yes,time=2018" % (cube, path))
    assert dataset.GetRasterBand(1).GetOverviewCount() == 0
