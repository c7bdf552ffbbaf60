"""Ctrl-C during a load: what is finished stays, and the host does what it does."""
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from conftest import FileServer
import relief_tiles
from test_tiles import definition, tile_path

TILES = [(40, 40), (40, 41), (41, 40), (41, 41)]
WINDOW = (740, 760, 100, 100)  # four chunks, of which one has the last tile


@pytest.fixture
def server(tmp_path):
    relief_tiles.write(tmp_path / "served", TILES)
    server = FileServer(tmp_path / "served")
    server.fault(tile_path(TILES[3]), delay_ms=600000)
    yield server
    server.close()


@pytest.fixture
def source(tmp_path, cube, server):
    path = tmp_path / "relief.json"
    path.write_text(json.dumps(definition(server.url + relief_tiles.TEMPLATE)))
    return "SGC:%s,dataset=%s,create=yes" % (cube, path)


@pytest.fixture
def interrupt(server, cube, run):
    """interrupt(args) starts a program, interrupts it when a chunk is there, and returns it, ended."""
    def start(args):
        process = subprocess.Popen([str(a) for a in args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, "SGC_COMMIT_INTERVAL": "0"})
        deadline = time.monotonic() + 60
        while "Load" not in committed(run, cube):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.out, process.err = process.communicate(timeout=60)
        return process

    return start


def committed(run, cube):
    return run(["sgc", "log", "SGC:%s" % cube]).stdout if (cube / "repo").exists() or (cube / "refs").exists() else ""


def chunks_in(text):
    return sum(int(line.split("Load ")[1].split()[0]) for line in text.splitlines() if "Load " in line)


def test_program_dies_of_it_and_keeps_what_is_finished(interrupt, source, cube, run, tmp_path):
    process = interrupt(["gdal_translate", "-q", "-srcwin", *WINDOW, source, tmp_path / "out.tif"])
    assert process.returncode == -signal.SIGINT
    assert 1 <= chunks_in(committed(run, cube)) <= 3
    assert "no defects" in run(["sgc", "verify", "SGC:%s" % cube, "--chunks"]).stdout


PROGRAM = """
import sys, time
from osgeo import gdal
gdal.UseExceptions()
try:
    try:
        gdal.Open(sys.argv[1]).ReadRaster(*map(int, sys.argv[2:]))
    finally:
        for _ in range(600):
            time.sleep(0.1)
except KeyboardInterrupt:
    print("KeyboardInterrupt")
"""


def test_python_hears_of_it(interrupt, source, cube, run):
    process = interrupt([sys.executable, "-c", PROGRAM, source, *WINDOW])
    assert process.out == "KeyboardInterrupt\n"
    assert 1 <= chunks_in(committed(run, cube)) <= 3


def test_next_read_goes_on(interrupt, source, server, tmp_path, run):
    interrupt(["gdal_translate", "-q", "-srcwin", *WINDOW, source, tmp_path / "out.tif"])
    server.reset()
    run(["gdal_translate", "-q", "-srcwin", *WINDOW, source, tmp_path / "out.tif"])
    asked = {entry["path"] for entry in server.log()}
    assert tile_path(TILES[3]) in asked
