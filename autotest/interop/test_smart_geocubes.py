"""The Python package and SGC fill one cube by turns.

The package runs in SGC_SMART_GEOCUBES_PYTHON, a Python with requirements-smart-geocubes.txt (3.13 or later).
"""
import json
import os
from pathlib import Path
import subprocess
import sys
import time
import urllib.request

PYTHON = os.environ.get("SGC_SMART_GEOCUBES_PYTHON")
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "gdal"))

from conftest import driver, own_directory, read, run  # noqa: E402,F401
import numpy as np  # noqa: E402
import pytest  # noqa: E402

from test_python_cubes import (RELEASE, STATIC, WHOLE, copy, define, missing, open_cube, serve, sha256)  # noqa: E402,F401

pytestmark = pytest.mark.skipif(not PYTHON, reason="SGC_SMART_GEOCUBES_PYTHON names no Python with the package")


def package(*args):
    """Runs the package and gives the patches that are loaded then."""
    done = subprocess.run([PYTHON, str(HERE / "smart_geocubes_peer.py"), *map(str, args)], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300,
                          env={k: v for k, v in os.environ.items() if not k.startswith("GDAL_")})
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def reset_to(place, commits_back):
    snapshot = STATIC["history"][commits_back][0]
    (place / "refs" / "branch.main" / "ref.json").write_text(json.dumps({"snapshot": snapshot}))


@pytest.fixture
def server(serve):
    return serve("s")


@pytest.fixture
def items(tmp_path, server):
    path = tmp_path / "items.json"
    path.write_text((RELEASE / "source" / "items.json").read_text().replace("@BASE@", server.base))
    return path


def test_the_package_reads_what_sgc_has_added(copy, define, read, server, items, tmp_path):
    place = copy("static.icechunk")
    reset_to(place, 1)
    read(open_cube(place, define(server.base)), *WHOLE)
    file = tmp_path / "dem.npy"
    assert sorted(package("read", place, file)) == ["s0", "s1", "s2", "s3"]
    assert sha256(np.load(file)) == STATIC["dem"]["sha256_f32le"]
    asked = len(server.log())
    package("load", place, items, "s0", "s1", "s2", "s3")
    assert len(server.log()) == asked  # nothing is left to load


def test_the_package_fills_on(copy, define, read, server, items):
    place = copy("static.icechunk")
    reset_to(place, 2)
    definition = define(server.base)
    read(open_cube(place, definition), 600, 0, 50, 50)  # one chunk
    assert sorted(package("load", place, items, "s1", "s3")) == ["s0", "s1", "s2", "s3"]
    dataset = open_cube(place, definition)
    asked = len(server.log())
    assert sha256(read(dataset.GetRasterBand(1), *WHOLE)) == STATIC["dem"]["sha256_f32le"]
    assert missing(dataset) == 0
    assert all(entry["path"] == "/search" for entry in server.log()[asked:])


def test_pixels_that_python_stores_during_a_load_stay(copy, define, read, server, run, tmp_path):
    copy_of_all = copy("static.icechunk").rename(tmp_path / "all.icechunk")
    place = copy("static.icechunk")
    reset_to(place, 1)
    definition = define(server.base)
    fault = {"path": "/s1_dem.tif", "delay_ms": 300000}
    urllib.request.urlopen(server.base + "/__fault", json.dumps(fault).encode(), timeout=30).close()
    code = ("from osgeo import gdal; gdal.UseExceptions(); "
            "gdal.Open('SGC:%s,dataset=%s').ReadRaster(%d, %d, %d, %d)" % ((place, definition) + WHOLE))
    reader = subprocess.Popen([sys.executable, "-c", code])
    while not any(entry["path"] == "/s1_dem.tif" for entry in server.log()):
        assert reader.poll() is None
        time.sleep(0.05)
    package("paint", place, 520, 300, 40, 20, 7777)  # within s1
    urllib.request.urlopen(server.base + "/__reset", b"{}", timeout=30).close()
    assert reader.wait(timeout=120) == 0
    dataset = open_cube(place, definition)
    dem = read(dataset.GetRasterBand(1), *WHOLE).copy()
    assert (dem[300:320, 520:560] == 7777).all()
    whole = open_cube(copy_of_all, definition, "DOWNLOAD=NO", "ON_MISSING=NODATA")
    dem[300:320, 520:560] = read(whole.GetRasterBand(1), 520, 300, 40, 20)
    assert sha256(dem) == STATIC["dem"]["sha256_f32le"]
    log = run(["sgc", "log", "SGC:%s" % place]).stdout
    assert log.index("Load") < log.index("Paint")
    assert run(["sgc", "verify", "SGC:%s" % place, "--chunks"]).stdout.endswith("no defects\n")


def test_listed_patches_make_chunks_complete(copy, define, read, run):
    """Where patches are known without a request, nothing is asked, loaded or committed."""
    place = copy("static.icechunk")
    definition = define(bands=[{"name": "dem", "data_type": "float32"}], source={"kind": "synthetic"})
    assert missing(open_cube(place, definition)) == 9
    package("list", place, "00_00")  # which meets all chunks
    for options in ([], ["DOWNLOAD=NO"]):
        dataset = open_cube(place, definition, *options)
        assert missing(dataset) == 0
        assert sha256(read(dataset, *WHOLE)) == STATIC["dem"]["sha256_f32le"]
    assert run(["sgc", "log", "SGC:%s" % place]).stdout.splitlines()[0].endswith("List")
