"""What a long load says, on a terminal and in a log, and what a progress function hears."""
import json
import os
import re
import subprocess

from osgeo import gdal
import pytest

from conftest import FileServer
import relief_tiles
from test_tiles import definition, tile_path

TILES = [(40, 40), (40, 41), (41, 40)]
WINDOW = (740, 760, 100, 100)
STALL = 600000  # milliseconds; until the server is told otherwise


@pytest.fixture
def server(tmp_path):
    relief_tiles.write(tmp_path / "served", TILES)
    server = FileServer(tmp_path / "served")
    yield server
    server.close()


@pytest.fixture
def translate(tmp_path, server):
    """translate(name, …) starts gdal_translate from an empty cube of that name; more goes to Popen."""
    document = tmp_path / "relief.json"
    document.write_text(json.dumps(definition(server.url + relief_tiles.TEMPLATE)))
    started = []

    def start(name, environment={}, **options):
        args = ["gdal_translate", "-q", "-srcwin", *map(str, WINDOW),
                "SGC:%s,dataset=%s,create=yes" % (tmp_path / name, document), str(tmp_path / (name + ".tif"))]
        started.append(subprocess.Popen(args, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
                                        **options))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


LINE = re.compile(rb"SGC: relief: \d of 4 chunks, \d+\.\d [kM]B in \d+ s\r?\n")


def test_line_on_a_terminal_only(server, translate):
    server.fault(tile_path(TILES[0]), delay_ms=STALL)
    silent = translate("silent", stderr=subprocess.PIPE)
    asked = translate("asked", {"SGC_PROGRESS": "YES"}, stderr=subprocess.PIPE)
    ours, theirs = os.openpty()
    shown = translate("shown", stderr=theirs)
    os.close(theirs)
    assert LINE.fullmatch(os.read(ours, 4096))
    assert LINE.fullmatch(asked.stderr.readline())
    server.reset()
    for process in (silent, asked, shown):
        assert process.wait(timeout=60) == 0
    assert silent.stderr.read() == b""
    os.close(ours)


def lines(log):
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_log_has_a_line_for_each_patch(open_document, server, tmp_path, cube, config):
    log = tmp_path / "sgc.log"
    config(SGC_LOG=str(log), GDAL_HTTP_RETRY_DELAY="0.01")
    raster = open_document(definition(server.url + relief_tiles.TEMPLATE))
    raster.ReadRaster(*WINDOW)
    found = lines(log)
    assert all(line["cube"] == str(cube) and line["level"] == 1 for line in found)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line["time"]) for line in found)
    by_state = {state: {line["patch"]["id"] for line in found if line["state"] == state}
                for state in ("loaded", "absent", "partial")}
    names = {relief_tiles.tile_name(tile) for tile in TILES}
    assert by_state["loaded"] == names
    assert "41_41" in by_state["absent"] and not by_state["absent"] & names
    assert by_state["partial"] == set()
    assert len(found) == len(by_state["loaded"]) + len(by_state["absent"])
    for line in found:
        if line["state"] == "loaded":
            patch = line["patch"]
            assert patch["bytes"] > 0 and patch["seconds"] >= 0
            assert patch["href"] == server.url + "/" + relief_tiles.PATH.format(name=patch["id"])

    raster.ReadRaster(*WINDOW)
    assert len(lines(log)) == len(found)


def test_log_tells_failures(open_document, server, tmp_path, config, failure):
    log = tmp_path / "sgc.log"
    config(SGC_LOG=str(log), GDAL_HTTP_RETRY_DELAY="0.01", GDAL_HTTP_MAX_RETRY="1")
    server.fault(tile_path(TILES[0]), status=503)
    raster = open_document(definition(server.url + relief_tiles.TEMPLATE))
    message = failure(raster.ReadRaster, *WINDOW)
    last = lines(log)[-1]
    assert last["error"] and last["error"] in message


def test_unwritable_log_is_a_warning(open_document, server, tmp_path, config):
    config(SGC_LOG=str(tmp_path / "absent" / "sgc.log"))
    raster = open_document(definition(server.url + relief_tiles.TEMPLATE))
    messages = []
    gdal.PushErrorHandler(lambda severity, number, text: messages.append((severity, text)))
    try:
        assert raster.ReadRaster(*WINDOW)
    finally:
        gdal.PopErrorHandler()
    assert [severity for severity, text in messages] == [gdal.CE_Warning]
    assert "SGC_LOG" in messages[0][1] and "No such file" in messages[0][1]


# A progress function

LARGE = (0, 0, 1024, 2048)  # 16 MB, decoded in parts
READS = {
    "dataset": lambda raster, **options: raster.ReadRaster(*LARGE, **options),
    "band": lambda raster, **options: raster.GetRasterBand(1).ReadRaster(*LARGE, **options),
    "another type": lambda raster, **options: raster.ReadRaster(*LARGE, buf_type=gdal.GDT_Int16, **options),
    "nearest": lambda raster, **options: raster.GetRasterBand(1).ReadRaster(*LARGE, 1600, 3000, **options),
    "coarse": lambda raster, **options: raster.ReadRaster(*LARGE, 500, 1000, **options),
}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """The name of a cube that is complete, at full resolution and level 2."""
    directory = tmp_path_factory.mktemp("large")
    source, document = directory / "source.tif", directory / "large.json"
    file = gdal.GetDriverByName("GTiff").Create(str(source), *LARGE[2:], 1, gdal.GDT_Float64, ["COMPRESS=DEFLATE"])
    file.SetGeoTransform((0, 30, 0, 0, 0, -30))
    file.GetRasterBand(1).Fill(7)
    file.BuildOverviews("NEAREST", [2])
    del file
    document.write_text(json.dumps({
        "type": "CubeDataset", "version": "1", "id": "large", "proj:code": "EPSG:3413",
        "proj:transform": [30, 0, 0, 0, -30, 0], "proj:shape": [LARGE[3], LARGE[2]], "chunk_shape": [1024, 1024],
        "bands": [{"name": "b", "data_type": "float64", "nodata": -1, "resampling": "nearest"}],
        "source": {"kind": "gdal", "dataset": str(source)}}))
    name = "SGC:%s,dataset=%s,create=yes" % (directory / "cube", document)
    raster = gdal.Open(name)
    for read in READS.values():
        read(raster)
    return name


@pytest.mark.parametrize("kind", READS)
def test_progress_of_what_is_complete(large, kind):
    calls = []
    READS[kind](gdal.Open(large), callback=lambda fraction, text, data: calls.append(fraction) or 1)
    assert len(calls) > 1 and calls == sorted(calls) and calls[-1] == 1


@pytest.mark.parametrize("kind", READS)
def test_what_is_complete_can_be_cancelled(large, kind):
    calls = []
    with pytest.raises(RuntimeError, match="SGC: cancelled"):
        READS[kind](gdal.Open(large), callback=lambda *call: calls.append(call) or 0)
    assert len(calls) == 1


@pytest.mark.parametrize("options", [{}, {"buf_xsize": 50, "buf_ysize": 50}], ids=["native", "coarse"])
def test_progress_of_a_load_ends(cube, options):
    calls = []
    raster = gdal.Open("SGC:%s,dataset=Demo,create=yes,chunk_size=64" % cube)
    raster.ReadRaster(46784, 43200, 100, 100, callback=lambda fraction, text, data: calls.append(fraction) or 1, **options)
    assert calls == sorted(calls) and calls[-1] == 1
