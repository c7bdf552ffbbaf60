"""Nobody waits for ever: processes and threads read overlapping windows of one cube in opposite orders, while one is
cancelled, one killed and one forked; and Python is called back while others read.

SGC_TEST_ROUNDS  rounds of the hunt, each with another seed (default: 2)
"""
from collections import Counter
import json
import os
from pathlib import Path
import random
import re
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
from osgeo import gdal
import pytest

from conftest import FileServer

ROUNDS = int(os.environ.get("SGC_TEST_ROUNDS", "2"))
PATIENCE = 60  # seconds until those who still run hang
CHUNK, TILES = 64, 8  # a tile of the server is a chunk of the cube
SIDE = CHUNK * TILES
PIECE = 160
DEFINITION = {
    "type": "CubeDataset", "version": "1", "id": "grid", "proj:code": "EPSG:3413",
    "proj:transform": [1, 0, 0, 0, -1, SIDE], "proj:shape": [SIDE, SIDE], "chunk_shape": [CHUNK, CHUNK],
    "bands": [{"name": "v", "data_type": "float32"}],
    "source": {"kind": "tiles", "tile": {"origin": [0, 0], "size": [CHUNK, CHUNK], "first": [1, 1]}},
}
PIXELS = (np.add.outer(np.arange(SIDE) * 104729, np.arange(SIDE) * 7919) % 65521).astype(np.float32)

# What every program begins with: `wrong` says whether what was read is what the tiles hold.
PRELUDE = """
import faulthandler, json, os, signal, sys, threading, time
import numpy as np
from osgeo import gdal
faulthandler.register(signal.SIGUSR1, all_threads=True)
gdal.UseExceptions()
name, pieces, pixels = sys.argv[1], json.loads(sys.argv[2]), np.load(sys.argv[3])

def say(text):
    os.write(1, text.encode() + bytes([10]))

def check(window, data):
    x, y, width, height = window
    if data != pixels[y:y + height, x:x + width].tobytes():
        say("wrong pixels in %r" % (window,))

def read(cube, window, **options):
    check(window, cube.ReadRaster(*window, **options))
    say("read")
"""

IN_THREADS = """
def read_all(pieces):
    cube = gdal.Open(name)
    for window in pieces:
        read(cube, window)

threads = [threading.Thread(target=read_all, args=(order,)) for order in (pieces, pieces[::-1])]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""

CANCELLED = """
calls = []

def stop(fraction, message, data):
    calls.append(fraction)
    return len(calls) % 3 != 0

cube = gdal.Open(name)
for window in pieces:
    try:
        read(cube, window, callback=stop)
    except RuntimeError as error:
        say("cancelled" if "cancelled" in str(error) else "failed: %s" % error)
"""

KILLED = """
cube = gdal.Open(name)
for window in pieces:
    read(cube, window)
"""

# Parent and child go on with the dataset and the cube that both have opened.
FORKED = """
cube = gdal.Open(name)
read(cube, pieces[0])
child = os.fork()
for window in pieces[1:] if child else pieces[:0:-1]:
    read(cube, window)
if child == 0:
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


# ---- programs that may hang ----

def stacks(pid):
    """Where the threads of a process are: in the kernel, and in C where there is a debugger."""
    lines = []
    for task in sorted(Path("/proc/%d/task" % pid).iterdir()):
        lines.append("thread %s: %s" % (task.name, (task / "wchan").read_text()))
    if shutil.which("gdb"):
        done = subprocess.run(["gdb", "-p", str(pid), "-batch", "-ex", "thread apply all backtrace"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=120)
        lines.append(done.stdout)
    return "\n".join(lines)


class Program:
    """A program that reads the cube; what it says is in `said`."""

    def __init__(self, body, name, pieces, directory, **environment):
        self.errors = directory / ("stderr-%d" % len(list(directory.glob("stderr-*"))))
        with open(self.errors, "w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PRELUDE + body, name, json.dumps(pieces), str(directory / "pixels.npy")],
                env={**os.environ, "SGC_COMMIT_INTERVAL": "0.1", "GDAL_HTTP_RETRY_DELAY": "0.01", **environment},
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, text=True)
        self.said, self.heard = [], threading.Condition()
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()

    def listen(self):
        for line in self.process.stdout:
            with self.heard:
                self.said.append(line.rstrip("\n"))
                self.heard.notify()
        self.process.wait()
        with self.heard:
            self.heard.notify()

    def wait_for_reads(self, count):
        with self.heard:
            heard = self.heard.wait_for(lambda: self.said.count("read") >= count or self.process.poll(), PATIENCE)
        assert heard and not self.process.poll(), self.where()

    def where(self):
        if self.process.poll() is not None:
            return "has ended:\n" + self.errors.read_text()
        found = stacks(self.process.pid)
        self.process.send_signal(signal.SIGUSR1)
        try:
            self.process.wait(1)
        except subprocess.TimeoutExpired:
            pass
        return "hangs:\n%s\n%s" % (found, self.errors.read_text())

    def end(self):
        """Waits until it has ended by itself, well."""
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.fail(self.where())
        self.listener.join(PATIENCE)
        assert status == 0, self.errors.read_text()
        unexpected = [line for line in self.said if line not in ("read", "cancelled", "ok")]
        assert not unexpected, unexpected

    def kill(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start(tmp_path):
    programs = []
    np.save(tmp_path / "pixels.npy", PIXELS)

    def start_program(body, name, pieces, **environment):
        programs.append(Program(body, name, pieces, tmp_path, **environment))
        return programs[-1]

    yield start_program
    for program in programs:
        program.kill()


# ---- the cube ----

def tile_path(row, column):
    return "/%02d_%02d.tif" % (row, column)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory):
    directory = tmp_path_factory.mktemp("grid")
    for row in range(1, TILES + 1):
        for column in range(1, TILES + 1):
            x, y = (column - 1) * CHUNK, SIDE - row * CHUNK
            tile = gdal.GetDriverByName("GTiff").Create(str(directory / tile_path(row, column)[1:]), CHUNK, CHUNK, 1,
                                                        gdal.GDT_Float32)
            tile.SetGeoTransform((x, 1, 0, SIDE - y, 0, -1))
            tile.GetRasterBand(1).WriteArray(PIXELS[y:y + CHUNK, x:x + CHUNK])
    return directory


@pytest.fixture
def server(tiles):
    server = FileServer(tiles)
    yield server
    server.close()


@pytest.fixture
def source(tmp_path, cube, server):
    definition = json.loads(json.dumps(DEFINITION))
    definition["source"]["href"] = server.url + "/{row|02}_{col|02}.tif"
    (tmp_path / "grid.json").write_text(json.dumps(definition))
    return "SGC:%s,dataset=%s,create=yes" % (cube, tmp_path / "grid.json")


def slow_down(server, chance):
    for row in range(1, TILES + 1):
        for column in range(1, TILES + 1):
            if chance.random() < 0.3:
                server.fault(tile_path(row, column), delay_ms=chance.choice([20, 60, 200]))


def draw_pieces(chance, count):
    """Windows that overlap, of whole pixels anywhere."""
    return [[chance.randrange(SIDE - PIECE), chance.randrange(SIDE - PIECE), PIECE, PIECE] for _ in range(count)]


def chunks_of(pieces):
    return {(row, column) for x, y, width, height in pieces
            for row in range(y // CHUNK, (y + height - 1) // CHUNK + 1)
            for column in range(x // CHUNK, (x + width - 1) // CHUNK + 1)}


def chunks_in_history(run, cube):
    log = run(["sgc", "log", "SGC:%s" % cube]).stdout
    return sum(int(count) for count in re.findall(r"Load (\d+) chunk", log))


@pytest.fixture
def check_cube(cube, run, source, read, assert_pixels):
    """check_cube(pieces): all of them are in the cube, right, noted once, and the cube has no defects."""

    def check(pieces):
        dataset = gdal.OpenEx(source, open_options=["DOWNLOAD=NO"])
        for x, y, width, height in pieces:
            assert_pixels(read(dataset, x, y, width, height), PIXELS[y:y + height, x:x + width])
        assert chunks_in_history(run, cube) == len(chunks_of(pieces))
        assert "no defects" in run(["sgc", "verify", "SGC:%s" % cube, "--chunks"]).stdout

    return check


# ---- the hunt ----

@pytest.mark.parametrize("seed", range(ROUNDS))
def test_opposite_orders(source, cube, server, start, check_cube, seed):
    """Whoever fills a chunk asks for its tile: nobody asks for one that another has asked for."""
    chance = random.Random(seed)
    pieces = draw_pieces(chance, 6)
    slow_down(server, chance)
    programs = [start(IN_THREADS, source, order) for order in (pieces, pieces[::-1])]
    programs.append(start(FORKED, source, chance.sample(pieces, len(pieces))))
    for program in programs:
        program.end()
    asked = Counter((entry["path"], entry["range"]) for entry in server.log())
    assert asked and set(asked.values()) == {1}
    check_cube(pieces)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_one_cancelled_one_killed_one_forked(source, cube, server, start, check_cube, seed):
    chance = random.Random(1000 + seed)
    pieces = draw_pieces(chance, 6)
    slow_down(server, chance)
    killed = start(KILLED, source, chance.sample(pieces, len(pieces)))
    others = [start(body, source, order) for body, order in (
        (IN_THREADS, pieces), (CANCELLED, pieces[::-1]), (FORKED, chance.sample(pieces, len(pieces))))]
    killed.wait_for_reads(chance.randrange(1, 4))
    killed.kill()
    for program in others:
        program.end()
    check_cube(pieces)


# ---- Python is called back ----

# Whoever held a lock of ours meanwhile would wait for himself, or for one who waits for Python's.
CALLED_BACK = """
gdal.DontUseExceptions() # with which GDAL 3.10 calls no handler of Python's for a failure

def look():
    seen = gdal.OpenEx(name, gdal.OF_RASTER | gdal.OF_VECTOR)
    if seen.GetMetadata("SGC")["DATASET"] != "grid" or seen.GetLayer(0).GetFeatureCount() != 64:
        say("sees something else")
    time.sleep(0)

def progress(fraction, message, data):
    look()
    return 1

def handler(severity, number, message):
    look()
    errors.append(message)

def read_all(pieces, options):
    gdal.PushErrorHandler(handler)
    cube = gdal.OpenEx(name, open_options=options)
    for window in pieces:
        if cube.ReadRaster(*window) is not None:
            say("read without its chunks")
        read(gdal.OpenEx(name, open_options=options[1:]), window, callback=progress)
    gdal.PopErrorHandler()

errors = []
own_cube = [["MAX_REQUESTS=%d" % i] if i % 2 else [] for i in range(len(pieces))]
threads = [threading.Thread(target=read_all, args=([window], ["MAX_DOWNLOAD=1"] + options))
           for window, options in zip(pieces, own_cube)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
say("ok" if len(errors) >= len(threads) else "only %r" % errors)
"""


def test_progress_and_errors_in_python_threads(source, server, start, check_cube):
    pieces = [[CHUNK * i, CHUNK // 2 * i, PIECE, PIECE] for i in range(5)]
    for row, column in chunks_of(pieces):
        server.fault(tile_path(TILES - row, column + 1), delay_ms=100)
    program = start(CALLED_BACK, source, pieces)
    program.end()
    assert program.said.count("read") == len(pieces) and program.said[-1] == "ok"
    check_cube(pieces)


# The log cannot be written, which is said in the middle of the load.
READING_HANDLER = """
gdal.DontUseExceptions() # with which the failure in the handler is one of the read around it, from GDAL 3.10 on

def handler(severity, number, message):
    gdal.PushErrorHandler("CPLQuietErrorHandler")
    said = "" if cube.ReadRaster(*pieces[1]) else gdal.GetLastErrorMsg()
    say("ok" if "middle of a load" in said else "said %r" % said)
    gdal.PopErrorHandler()

cube = gdal.Open(name)
gdal.PushErrorHandler(handler)
read(cube, pieces[0])
gdal.PopErrorHandler()
read(cube, pieces[1])
"""


def test_error_handler_cannot_load(source, start, tmp_path):
    program = start(READING_HANDLER, source, [[0, 0, CHUNK, CHUNK], [200, 200, CHUNK, CHUNK]],
                    SGC_LOG=str(tmp_path / "absent" / "log"))
    program.end()
    assert "ok" in program.said and program.said.count("read") == 2


# ---- a log that nobody reads ----

@pytest.mark.parametrize("is_open", [False, True], ids=["no reader", "a reader who sleeps"])
def test_load_waits_for_no_reader_of_its_log(source, start, tmp_path, is_open):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK) if is_open else None
    if is_open:
        writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(writer, b"\n" * 4096)
    program = start(KILLED, source, [[0, 0, PIECE, PIECE]], SGC_LOG=str(pipe))
    program.end()
    assert "SGC_LOG" in program.errors.read_text()
    if is_open:
        os.close(reader)
        os.close(writer)
