"""Many processes and threads fill one cube together: no wrong pixel, no chunk twice, no commit lost."""
from concurrent.futures import ThreadPoolExecutor
import ctypes
import ctypes.util
import fcntl
from functools import lru_cache
import json
import multiprocessing
import os
import re
import struct
import subprocess
import sys
import time

import numpy as np
from osgeo import gdal
import pytest

import arcticdem_tiles
import demo_formula

CHUNK = 64
STRUCTURE = 2  # chunk objects of a cube without pixels: x and y
MESSAGE = re.compile(r"Load (\d+) chunks? from \d+ patch(es)?")

# Four windows of some 9 x 9 chunks that overlap their neighbours, over land.
DEMO_WINDOWS = [(46800 + 5 * CHUNK * i, 43200 + 3 * CHUNK * i, 8 * CHUNK, 8 * CHUNK) for i in range(4)]
# Around the common corner of four tiles.
TILES = ["66_33", "66_34", "67_33", "67_34"]
CORNER = (103125, 46875)
ARCTIC_WINDOWS = [(CORNER[0] - 400 + 60 * i, CORNER[1] - 300 + 30 * i, 550, 560) for i in range(4)]

READER = """
import sys
from osgeo import gdal
gdal.UseExceptions()
name, window, file = sys.argv[1], [int(n) for n in sys.argv[2].split()], sys.argv[3]
cube = gdal.Open(name)
print("ready", flush=True)
sys.stdin.readline()
pixels = cube.ReadRaster(*window)
open(file, "wb").write(pixels)
"""


expected_demo = lru_cache(maxsize=None)(demo_formula.window)


def demo(cube):
    return "SGC:%s,dataset=Demo,create=yes,chunk_size=%d" % (cube, CHUNK)


def arctic(cube, server):
    return "SGC:%s,dataset=ArcticDEM32m,create=yes,chunk_size=%d,source_url=%s" % (cube, CHUNK, server.url)


def arctic_dem(window):
    return arcticdem_tiles.cube_window(*window, map(arcticdem_tiles.tile_from_name, TILES))[0]


def chunks_of(windows):
    return {(row, column) for x, y, width, height in windows
            for row in range(y // CHUNK, (y + height - 1) // CHUNK + 1)
            for column in range(x // CHUNK, (x + width - 1) // CHUNK + 1)}


class Reader:
    """A process that has opened the cube and reads the window when told to."""

    def __init__(self, name, window, file):
        self.window, self.file = window, file
        self.process = subprocess.Popen(
            [sys.executable, "-c", READER, name, " ".join(map(str, window)), str(file)],
            env={**os.environ, "SGC_COMMIT_INTERVAL": "0.2"}, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def pixels(self, like):
        _, stderr = self.process.communicate(timeout=300)
        assert self.process.returncode == 0, stderr
        return np.frombuffer(self.file.read_bytes(), like.dtype).reshape(like.shape)


@pytest.fixture
def start_reader(tmp_path):
    readers = []

    def start(name, window):
        readers.append(Reader(name, window, tmp_path / ("pixels-%d" % len(readers))))
        return readers[-1]

    yield start
    for reader in readers:
        reader.process.kill()
        reader.process.communicate()


@pytest.fixture
def read_at_once(start_reader, assert_pixels):
    """read_at_once(name, windows, expected): a process for each window, all at once; compares pixels."""

    def read_windows(name, windows, expected):
        readers = [start_reader(name, window) for window in windows]
        for reader in readers:
            reader.go()
        for reader in readers:
            pixels = expected(*reader.window)
            assert_pixels(reader.pixels(pixels), pixels)

    return read_windows


@pytest.fixture
def history(run):
    """history(cube): the messages of its commits, the oldest first."""

    def messages(cube):
        done = run(["sgc", "log", "SGC:%s" % cube])
        return [line.split("  ", 2)[2] for line in done.stdout.splitlines()][::-1]

    return messages


@pytest.fixture
def assert_nothing_lost(history):
    """assert_nothing_lost(cube, windows): the history loads each chunk of the windows exactly once."""

    def check(cube, windows):
        messages = history(cube)
        assert messages[:2] == ["Repository initialized", "Initialize empty datacube"]
        loads = [MESSAGE.fullmatch(message) for message in messages[2:]]
        assert all(loads), messages
        assert sum(int(load[1]) for load in loads) == len(chunks_of(windows))

    return check


def root_attributes(cube):
    """Of the branch's tip: the snapshot is a header and one zstd frame, which holds zarr.json as text."""
    tip = json.loads((cube / "refs" / "branch.main" / "ref.json").read_text())["snapshot"]
    frame = (cube / "snapshots" / tip).read_bytes()[39:]
    zstd = ctypes.CDLL(ctypes.util.find_library("zstd"))
    zstd.ZSTD_decompress.restype = ctypes.c_size_t
    zstd.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    buffer = ctypes.create_string_buffer(16 << 20)
    size = zstd.ZSTD_decompress(buffer, len(buffer), frame, len(frame))
    assert size <= len(buffer), "not a zstd frame"
    text = buffer.raw[:size].decode("utf-8", "replace")
    documents = (json.JSONDecoder().raw_decode(text, match.start())[0]
                 for match in re.finditer(r'\{"attributes"', text))
    return next(d["attributes"] for d in documents if "loaded_patches" in d["attributes"])


def chunk_objects(cube):
    return len(os.listdir(cube / "chunks")) - STRUCTURE


# Processes

def test_processes_fill_demo_together(cube, read_at_once, assert_nothing_lost):
    read_at_once(demo(cube), DEMO_WINDOWS, expected_demo)
    assert_nothing_lost(cube, DEMO_WINDOWS)
    chunks = len(chunks_of(DEMO_WINDOWS))
    assert chunks <= chunk_objects(cube) <= 1.2 * chunks


def test_processes_with_the_same_window_share_its_work(cube, read_at_once, assert_nothing_lost):
    windows = 4 * [(46800, 43200, 12 * CHUNK, 12 * CHUNK)]
    read_at_once(demo(cube), windows, expected_demo)
    assert_nothing_lost(cube, windows)
    chunks = len(chunks_of(windows))
    assert chunks <= chunk_objects(cube) <= 1.2 * chunks


def data_requests(server):
    """Requests for pixels: all but those for the beginning of a file."""
    return sum(not (e["range"] or "").startswith("bytes=0-") for e in server.log() if e["path"].endswith(".tif"))


def test_processes_fetch_each_chunk_once(start_stac_server, tmp_path, read_at_once, assert_nothing_lost):
    server = start_stac_server(only=TILES, delay_ms=5)
    for window in ARCTIC_WINDOWS:
        gdal.Open(arctic(tmp_path / "one-by-one", server)).ReadRaster(*window)
    one_by_one = data_requests(server)
    server.reset()

    read_at_once(arctic(tmp_path / "at-once", server), ARCTIC_WINDOWS, lambda *window: arctic_dem(window))
    assert data_requests(server) <= 1.5 * one_by_one
    assert_nothing_lost(tmp_path / "at-once", ARCTIC_WINDOWS)


def test_processes_list_each_loaded_patch_once(cube, start_stac_server, read_at_once):
    """Each completes another part of the same tile."""
    server = start_stac_server(only=["61_33"])
    left, top = arcticdem_tiles.tile_offset((61, 33))
    size = arcticdem_tiles.TILE_SIZE
    windows = [(left, top + i * size // 4, size, size // 4 + 1) for i in range(4)]
    name = arctic(cube, server).replace("chunk_size=%d" % CHUNK, "chunk_size=512")

    def expected(*window):
        return arcticdem_tiles.cube_window(*window, [(61, 33)])[0]

    read_at_once(name, windows, expected)
    assert root_attributes(cube)["loaded_patches"] == ["61_33_32m_v4.1"]


def is_claimed(cube):
    """Whether some process has a lock on a chunk: above those of the store, in the cube's lock file."""
    try:
        with open(cube / ".lock#0", "rb+") as file:
            ask = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 1 << 62, 0, 0)
            answer = fcntl.fcntl(file, fcntl.F_OFD_GETLK, ask)
    except FileNotFoundError:
        return False
    return struct.unpack("hhqqi4x", answer)[0] != fcntl.F_UNLCK


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)


@pytest.fixture
def slow_server(start_stac_server):
    """Answers for the tile 66_33 after a minute, or when it is reset."""
    server = start_stac_server(only=TILES)
    server.fault(server.tile_path("66_33"), delay_ms=60000)
    return server


SOUTH_WEST = (CORNER[0] - 1000, CORNER[1] + 500, 3 * CHUNK, CHUNK)  # of 66_33 alone
NORTH_WEST = (CORNER[0] - 1000, CORNER[1] - 500, CHUNK, CHUNK)  # of 67_33 alone


def test_claims_of_a_killed_process_block_nobody(cube, slow_server, start_reader, read, assert_pixels):
    owner = start_reader(arctic(cube, slow_server), SOUTH_WEST)
    owner.go()
    wait_for(lambda: is_claimed(cube))
    owner.process.kill()
    owner.process.wait()
    assert not is_claimed(cube)
    slow_server.reset()
    assert_pixels(read(gdal.Open(arctic(cube, slow_server)), *SOUTH_WEST), arctic_dem(SOUTH_WEST))


def test_waiting_process_takes_over_from_a_killed_one(searching, cube, slow_server, start_reader, assert_pixels):
    name = arctic(cube, slow_server).replace("dataset=ArcticDEM32m", "dataset=%s" % searching)
    owner = start_reader(name, SOUTH_WEST)
    owner.go()
    wait_for(lambda: is_claimed(cube))
    waiter = start_reader(name, SOUTH_WEST)
    searches = len(slow_server.search_requests())
    waiter.go()
    wait_for(lambda: len(slow_server.search_requests()) > searches or waiter.process.poll() is not None)
    with pytest.raises(subprocess.TimeoutExpired):
        waiter.process.wait(timeout=0.5)
    owner.process.kill()
    owner.process.wait()
    slow_server.reset()
    pixels = arctic_dem(SOUTH_WEST)
    assert_pixels(waiter.pixels(pixels), pixels)


def test_claims_of_a_slow_process_block_no_other_chunk(cube, slow_server, start_reader, read, assert_pixels):
    owner = start_reader(arctic(cube, slow_server), SOUTH_WEST)
    owner.go()
    wait_for(lambda: is_claimed(cube))
    assert_pixels(read(gdal.Open(arctic(cube, slow_server)), *NORTH_WEST), arctic_dem(NORTH_WEST))
    assert owner.process.poll() is None


def test_claims_are_released_after_a_read(cube, read):
    dataset = gdal.Open(demo(cube))
    read(dataset, *DEMO_WINDOWS[0])
    assert (cube / ".lock#0").exists()
    assert not is_claimed(cube)


# Threads

@pytest.mark.parametrize("one_cube", [True, False], ids=["one cube in the process", "a cube for each thread"])
def test_threads_fill_a_cube_together(cube, start_stac_server, read, assert_pixels, assert_nothing_lost,
                                      one_cube):
    """Handles that differ in an option share no cube in the process, and meet at the locks only."""
    server = start_stac_server(only=TILES)
    windows = [(CORNER[0] - 400 + 60 * i, CORNER[1] - 300 + 30 * i, 300, 260) for i in range(8)]

    def read_one(i):
        options = [] if one_cube else ["MAX_REQUESTS=%d" % (i + 1)]
        return read(gdal.OpenEx(arctic(cube, server), open_options=options), *windows[i])

    with ThreadPoolExecutor(8) as pool:
        for window, pixels in zip(windows, pool.map(read_one, range(8))):
            assert_pixels(pixels, arctic_dem(window))
    assert_nothing_lost(cube, windows)


def test_threads_with_different_windows_of_one_chunk(cube, read, assert_pixels, assert_nothing_lost):
    windows = [(732 * CHUNK + 4 * i, 676 * CHUNK + 2 * i, 30, 40) for i in range(8)]
    assert len(chunks_of(windows)) == 1
    with ThreadPoolExecutor(8) as pool:
        for window, pixels in zip(windows, pool.map(
                lambda window: read(gdal.Open(demo(cube)), *window), windows)):
            assert_pixels(pixels, expected_demo(*window))
    assert_nothing_lost(cube, windows)
    assert chunk_objects(cube) == 1


def test_threads_make_a_cube_together(tmp_path, assert_nothing_lost):
    """Again and again, because the race is short."""
    def read_pixel(cube, i):
        dataset = gdal.OpenEx(demo(cube), open_options=["MAX_REQUESTS=%d" % (i + 1)])
        return bytes(dataset.ReadRaster(0, 0, 1, 1))

    with ThreadPoolExecutor(8) as pool:
        for n in range(30):
            cube = tmp_path / ("cube-%d" % n)
            assert len(set(pool.map(read_pixel, 8 * [cube], range(8)))) == 1
            assert_nothing_lost(cube, [(0, 0, 1, 1)])


# Forked children

def read_in_child(name_or_dataset, window, queue):
    gdal.UseExceptions()
    try:
        dataset = gdal.Open(name_or_dataset) if isinstance(name_or_dataset, str) else name_or_dataset
        queue.put(dataset.ReadRaster(*window))
    except RuntimeError as error:
        queue.put(str(error))
    queue.close()
    queue.join_thread()
    os._exit(0)  # this interpreter is pytest's, and has no business in winding that up


def forked_read(name_or_dataset, windows):
    """What children of this process read, all at once, by a name or from a dataset they inherit."""
    fork = multiprocessing.get_context("fork")
    queues = [fork.Queue() for _ in windows]
    children = [fork.Process(target=read_in_child, args=(name_or_dataset, window, queue))
                for window, queue in zip(windows, queues)]
    for child in children:
        child.start()
    results = [queue.get(timeout=120) for queue in queues]
    for child in children:
        child.join(60)
        assert child.exitcode == 0
    return results


def assert_bytes(result, window):
    assert not isinstance(result, str), result
    assert result == expected_demo(*window).tobytes()


@pytest.mark.parametrize("state", ["opened", "has loaded", "has read what is there"])
def test_forked_child_reads(cube, read, state):
    name = demo(cube)
    if state == "has read what is there":
        subprocess.run(["gdal_translate", "-q", "-srcwin", *map(str, DEMO_WINDOWS[0]), name, "/vsimem/out.tif"],
                       check=True)
    dataset = gdal.Open(name)
    if state != "opened":
        read(dataset, *DEMO_WINDOWS[0])
    result, = forked_read(name, DEMO_WINDOWS[:1])
    assert_bytes(result, DEMO_WINDOWS[0])
    assert dataset is not None


def test_forked_children_load_what_the_parent_has_not(cube, read, assert_pixels, assert_nothing_lost):
    dataset = gdal.Open(demo(cube))
    read(dataset, *DEMO_WINDOWS[0])
    for result, window in zip(forked_read(demo(cube), DEMO_WINDOWS[1:]), DEMO_WINDOWS[1:]):
        assert_bytes(result, window)
    assert_pixels(read(dataset, *DEMO_WINDOWS[3]), expected_demo(*DEMO_WINDOWS[3]))
    assert_nothing_lost(cube, DEMO_WINDOWS)


def test_child_of_a_killed_parent_keeps_no_claims(cube, slow_server, start_reader, read, assert_pixels):
    """The child was forked while a thread of its parent was loading, and lives on."""
    script = READER.replace('print("ready", flush=True)', '''
import os, threading
print("ready", flush=True)
''').replace("pixels = cube.ReadRaster(*window)", '''
thread = threading.Thread(target=cube.ReadRaster, args=window)
thread.start()
sys.stdin.readline()
child = os.fork()
if child == 0:
    sys.stdin.readline()  # until the test ends
    os._exit(0)
print(child, flush=True)
thread.join()
os._exit(1)
''')
    parent = subprocess.Popen(
        [sys.executable, "-c", script, arctic(cube, slow_server), " ".join(map(str, SOUTH_WEST)), ""],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout.readline() == "ready\n"
        parent.stdin.write("\n")
        parent.stdin.flush()
        wait_for(lambda: is_claimed(cube))
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert int(parent.stdout.readline()) > 0
        parent.kill()
        parent.wait()
        assert not is_claimed(cube)
        slow_server.reset()
        assert_pixels(read(gdal.Open(arctic(cube, slow_server)), *SOUTH_WEST), arctic_dem(SOUTH_WEST))
    finally:
        parent.kill()
        parent.stdin.close()
        parent.stdout.close()
        parent.wait()


def test_forked_children_share_no_connection_with_their_parent(cube, start_stac_server, read):
    """They go on with the dataset that they have inherited, whose connections are still open."""
    server = start_stac_server(only=TILES)
    windows = [(CORNER[0] + dx, CORNER[1] + dy, 2 * CHUNK, 2 * CHUNK)
               for dx in (-1600, 1600) for dy in (-1600, 1600)]
    dataset = gdal.Open(arctic(cube, server) + ",max_requests=1")
    read(dataset, CORNER[0], CORNER[1], 10, 10)
    for result, window in zip(forked_read(dataset, windows), windows):
        assert not isinstance(result, str), result
        assert result == arctic_dem(window).tobytes()
