"""Whoever is killed while he loads leaves a cube that holds nothing false and can be loaded further."""
import os
import random
import subprocess
import time

import numpy as np
from osgeo import gdal
import pytest

import arcticdem_tiles

CHUNK = 512
COLUMNS, ROWS = range(200, 204), range(90, 94)
WINDOW = (COLUMNS[0] * CHUNK, ROWS[0] * CHUNK, len(COLUMNS) * CHUNK, len(ROWS) * CHUNK)
TILES = ["66_33", "66_34", "67_33", "67_34"]  # their common corner lies in the window
KILLS, HITS = 50, 40
MOST_KILLS_OF_A_CUBE = 7
STRUCTURE = 2  # chunk objects of a cube without pixels: x and y
SLOW = {"delay_ms": 20, "bandwidth": 2000000}


def chunk_windows():
    return [(column * CHUNK, row * CHUNK, CHUNK, CHUNK) for row in ROWS for column in COLUMNS]


def inside(window):
    x, y = window[0] - WINDOW[0], window[1] - WINDOW[1]
    return np.s_[y:y + window[3], x:x + window[2]]


def chunk_files(cube):
    """Chunk objects and those that are being written."""
    try:
        return set(os.listdir(cube / "chunks"))
    except FileNotFoundError:
        return set()


class Loader:
    """A process that loads the window, committing five times a second."""

    def __init__(self, name):
        self.args = ["gdal_translate", "-q", "-srcwin", *map(str, WINDOW), name, "/vsimem/out.tif"]

    def start(self):
        return subprocess.Popen(self.args, env={**os.environ, "SGC_COMMIT_INTERVAL": "0.2"},
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)


def wait_for_write(process, cube, before):
    """True when the process has begun to write a chunk with pixels, False when it ended without."""
    while process.poll() is None:
        files = chunk_files(cube)
        if len(files) > STRUCTURE and files - before:
            return True
        time.sleep(0.002)
    return False


@pytest.fixture
def server(start_stac_server):
    return start_stac_server(only=TILES, **SLOW)


@pytest.fixture
def expected():
    dem, mask = arcticdem_tiles.cube_window(*WINDOW, map(arcticdem_tiles.tile_from_name, TILES))
    for window in chunk_windows():
        assert not np.isnan(dem[inside(window)]).all() and mask[inside(window)].any()
    return dem, mask.astype(np.uint8)


@pytest.fixture
def check_chunks(read, assert_pixels, expected):
    """check_chunks(name) compares all complete chunks and returns how many chunks are missing."""
    dem, mask = expected

    def check(name):
        options = ["DOWNLOAD=NO", "ON_MISSING=NODATA", "CHANNELS=dem,datamask"]
        dataset = gdal.OpenEx(name, open_options=options)
        missing = 0
        for window in chunk_windows():
            state = dataset.GetMetadataItem("Window_%d_%d_%d_%d" % window, "SGC")
            pixels = [read(dataset.GetRasterBand(b), *window) for b in (1, 2)]
            if state.startswith("missing=0;"):
                assert_pixels(pixels[0], dem[inside(window)])
                assert_pixels(pixels[1], mask[inside(window)])
            else:
                assert state.startswith("missing=1;"), state
                assert np.isnan(pixels[0]).all() and not pixels[1].any()
                missing += 1
        return missing

    return check


def test_killed_at_random_moments(server, tmp_path, check_chunks):
    seed = random.randrange(10 ** 9)
    print("seed", seed)
    chance = random.Random(seed)

    def name(cube):
        return "SGC:%s,dataset=ArcticDEM32m,create=yes,chunk_size=%d,source_url=%s" % (cube, CHUNK, server.url)

    def whole_load(cube):
        """Loads what is missing and compares everything; seconds until the first chunk and to the end."""
        before, start = chunk_files(cube), time.monotonic()
        process = Loader(name(cube)).start()
        wait_for_write(process, cube, before)
        first = time.monotonic()
        assert process.wait() == 0
        assert check_chunks(name(cube)) == 0
        return first - start, time.monotonic() - first

    whole_load(tmp_path / "made")  # the server makes the tiles at their first request
    until_first, until_end = whole_load(tmp_path / "measured")

    kills = hits = kills_of_cube = 0
    share = 0.8  # of the time that a load should still need
    cube, missing = tmp_path / "cube-0", len(chunk_windows())
    most = chance.randint(1, MOST_KILLS_OF_A_CUBE)
    while kills < KILLS:
        before = chunk_files(cube)
        process = Loader(name(cube)).start()
        if kills % 16 == 15:
            time.sleep(chance.uniform(0, until_first))
        elif wait_for_write(process, cube, before):
            time.sleep(chance.uniform(0, until_end * share * missing / len(chunk_windows())))
        was_running = process.poll() is None
        process.kill()
        process.wait()
        written = chunk_files(cube)
        if (cube / "refs").exists():
            missing = check_chunks(name(cube))
        if was_running:
            kills += 1
            kills_of_cube += 1
            hits += missing > 0 and len(written) > STRUCTURE and bool(written - before)
        if missing == 0:
            share *= 0.9
        if missing == 0 or kills_of_cube >= most:
            whole_load(cube)
            cube, missing = tmp_path / ("cube-%d" % kills), len(chunk_windows())
            kills_of_cube, most = 0, chance.randint(1, MOST_KILLS_OF_A_CUBE)
    print("%d of %d kills while chunks were being loaded" % (hits, kills))
    assert hits >= HITS
