"""What the tests of the driver share.

SGC_BUILD_DIR   directory with gdal_SGC.so and the sgc command (default: build/release)
SGC_TEST_CACHE  directory for the tiles that the local server makes, kept between runs
SGC_SHARED      directory of the project's shared data (default: ../shared); tests that need it skip without
"""
from collections import Counter
import hashlib
import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request

ROOT = Path(__file__).resolve().parents[2]
SERVERS = ROOT / "autotest" / "servers"
BUILD_DIR = Path(os.environ.get("SGC_BUILD_DIR", ROOT / "build" / "release")).resolve()
TILES = Path(os.environ.get("SGC_TEST_CACHE")
             or Path(tempfile.gettempdir()) / ("sgc-test-cache-%d" % os.getuid())) / "arcticdem-32m"

SHARED = Path(os.environ.get("SGC_SHARED", ROOT.parent / "shared")).resolve()

for name in [n for n in os.environ if n.startswith("SGC_")]:
    if name not in ("SGC_BUILD_DIR", "SGC_TEST_CACHE", "SGC_SHARED", "SGC_TEST_QGIS", "SGC_TEST_R", "SGC_TEST_ROUNDS",
                    "SGC_INTEROP_PYTHON", "SGC_SMART_GEOCUBES_PYTHON"):
        del os.environ[name]
os.environ["GDAL_DRIVER_PATH"] = str(BUILD_DIR)  # GDAL looks for plugins once, when it is imported
os.environ["PATH"] = "%s%s%s" % (BUILD_DIR, os.pathsep, os.environ.get("PATH", os.defpath))
for name in ("no_proxy", "NO_PROXY"):
    os.environ[name] = "127.0.0.1,localhost"
sys.path.insert(0, str(SERVERS))

import numpy as np  # noqa: E402
from osgeo import gdal, gdal_array  # noqa: E402
import pytest  # noqa: E402

import patchwork  # noqa: E402

gdal.UseExceptions()


@pytest.fixture(scope="session", autouse=True)
def driver():
    found = gdal.GetDriverByName("SGC")
    if found is None:
        pytest.fail("GDAL finds no driver SGC in %s: build it, or set SGC_BUILD_DIR" % BUILD_DIR, False)
    return found


@pytest.fixture(autouse=True)
def own_directory(tmp_path, monkeypatch):
    """Nothing is written outside the test's own directory, whatever a relative name or a default means."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("SGC_CUBE_DIR", str(tmp_path / "cubes"))


@pytest.fixture
def config():
    """config(KEY="value", …) sets configuration options of this thread until the end of the test."""
    before = {}

    def set_options(**options):
        for key, value in options.items():
            before.setdefault(key, gdal.GetThreadLocalConfigOption(key))
            gdal.SetThreadLocalConfigOption(key, value)

    yield set_options
    for key, value in before.items():
        gdal.SetThreadLocalConfigOption(key, value)


@pytest.fixture(scope="session")
def failure():
    """failure(call, …) calls what must fail and returns the message of its one CE_Failure."""

    def collect_failure(call, *args, **options):
        failures = []

        def collect(severity, number, message):
            if severity >= gdal.CE_Failure:
                failures.append(message)

        gdal.DontUseExceptions()
        gdal.PushErrorHandler(collect)
        try:
            result = call(*args, **options)
        finally:
            gdal.PopErrorHandler()
            gdal.UseExceptions()
        assert result is None, "did not fail: %.100r" % result
        assert len(failures) == 1, failures
        return failures[0]

    return collect_failure


@pytest.fixture
def cube(tmp_path):
    """Where a test's cube may be created."""
    return tmp_path / "cube"


@pytest.fixture
def open_document(tmp_path, cube):
    """open_document(definition, OPTION=value, …) opens the test's cube by a definition in a file."""

    def open_cube(definition, **options):
        path = tmp_path / "definition.json"
        path.write_text(json.dumps(definition))
        options = {"DATASET": str(path), "CREATE": "YES", **options}
        return gdal.OpenEx("SGC:%s" % cube, open_options=["%s=%s" % pair for pair in options.items()])

    return open_cube


@pytest.fixture
def run(tmp_path):
    """run(args, **environment) runs a program with the plugin, in a process of its own."""

    def run_program(args, fails=False, **environment):
        args = [str(a) for a in args]
        done = subprocess.run(args, env={**os.environ, **environment}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=600)
        report = "%s\nexit code %d\nstdout:\n%s\nstderr:\n%s" % (
            " ".join(args), done.returncode, done.stdout[-4000:], done.stderr[-4000:])
        assert done.returncode >= 0, "killed by a signal: " + report
        assert (done.returncode != 0) == fails, report
        return done

    return run_program


class LocalServer:
    """A server of autotest/servers in a process of its own."""

    def __init__(self, script, *args, stderr=None):
        self.process = subprocess.Popen([sys.executable, str(SERVERS / script), *map(str, args)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True)
        port = re.fullmatch(r"PORT (\d+)\n", self.process.stdout.readline())
        assert port, "%s did not start" % script
        self.base = self.url = "http://127.0.0.1:%s" % port[1]

    def close(self):
        if not self.process.stdin.closed:
            self.process.stdin.close()
            self.process.wait(timeout=30)
            self.process.stdout.close()

    def _call(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(self.base + path, data, timeout=30) as response:
            return json.load(response)

    def log(self):
        """The requests since the start or the last reset(), in order."""
        return self._call("/__log")

    def reset(self):
        """Forgets the log and the faults."""
        self._call("/__reset", {})

    def fault(self, path, **rule):
        """Makes requests for `path` misbehave; http_server.py lists the rules."""
        self._call("/__fault", {"path": path, **rule})


class FileServer(LocalServer):
    """A server of the files of a directory."""

    def __init__(self, directory):
        super().__init__("http_server.py", directory)
        self.directory = directory

    def paths(self):
        """What was asked for, each once."""
        return {entry["path"] for entry in self.log()}

    def bytes_asked(self):
        """The sum of all ranges that were served."""
        total = 0
        for entry in self.log():
            if entry["status"] == 206:
                first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", entry["range"]).groups()
                total += int(last) - int(first) + 1
        return total


class StacServer(LocalServer):
    """A STAC API of tiles like those of ArcticDEM, with the options of stac_server.py."""

    def __init__(self, stderr, **options):
        args = ["--tiles", TILES]
        for name, value in options.items():
            value = ",".join(value) if name in ("only", "indexed") else str(value)
            args += ["--" + name.replace("_", "-"), value]
        super().__init__("stac_server.py", *args, stderr=stderr)
        self.url = self.base + "/api/v1/"

    @staticmethod
    def tile_path(name, asset="dem"):
        return "/arcticdem/mosaics/v4.1/32m/%s/%s_32m_v4.1_%s.tif" % (name, name, asset)

    def tile_requests(self):
        """How often each file was asked for, by (tile's name, asset)."""
        pattern = re.compile(r"/arcticdem/.*/(\d\d_\d\d)_32m_v4\.1_(\w+)\.tif")
        found = (pattern.fullmatch(entry["path"]) for entry in self.log())
        return Counter((match[1], match[2]) for match in found if match)

    def search_requests(self):
        return [entry for entry in self.log() if entry["path"].startswith("/api/v1/search")]


@pytest.fixture
def start_stac_server(tmp_path):
    """start_stac_server(only=names, …) starts a server with the options of stac_server.py."""
    servers = []

    def start(**options):
        with open(tmp_path / ("stac_server-%d.stderr" % len(servers)), "w") as stderr:
            server = StacServer(stderr, **options)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def stac_server(start_stac_server):
    """A server of all tiles over land."""
    return start_stac_server()


@pytest.fixture
def file_server(tmp_path, config):
    """A server of the files in its `directory`, which is empty; failed requests are repeated at once."""
    config(GDAL_HTTP_RETRY_DELAY="0.01")
    directory = tmp_path / "served"
    directory.mkdir()
    server = FileServer(directory)
    yield server
    server.close()


@pytest.fixture(scope="session")
def patchwork_tiles(tmp_path_factory):
    directory = tmp_path_factory.mktemp("patchwork")
    patchwork.write_tiles(directory)
    return directory


@pytest.fixture
def patchwork_server(file_server, patchwork_tiles):
    """A server of the tiles, items and search of patchwork.py."""
    shutil.copytree(patchwork_tiles, file_server.directory / "tiles")
    patchwork.write_items(file_server.directory, file_server.url)
    return file_server


@pytest.fixture
def searching(tmp_path):
    """The definition of ArcticDEM32m without its lattice: then tiles are found by searches."""
    text = json.loads((ROOT / "datasets" / "definitions" / "ArcticDEM32m.json").read_text())
    for key in ("tile", "id", "buffer"):
        del text["source"][key]
    file = tmp_path / "searching.json"
    file.write_text(json.dumps(text))
    return file


@pytest.fixture(scope="session")
def read():
    """read(dataset or band, xoff, yoff, xsize, ysize, …) as an array of its own type.

    ReadAsArray() returns None instead of raising in GDAL 3.6, ReadRaster() raises everywhere."""

    def read_window(source, xoff, yoff, xsize, ysize, buf_xsize=None, buf_ysize=None, buf_type=None,
                    **options):
        if isinstance(source, gdal.Dataset):
            bands = options.get("band_list") or range(1, source.RasterCount + 1)
            count, first = len(bands), source.GetRasterBand(bands[0])
        else:
            count, first = 1, source
        buf_type = buf_type or first.DataType
        buf_xsize, buf_ysize = buf_xsize or xsize, buf_ysize or ysize
        data = source.ReadRaster(xoff, yoff, xsize, ysize, buf_xsize, buf_ysize, buf_type, **options)
        pixels = np.frombuffer(data, gdal_array.GDALTypeCodeToNumericTypeCode(buf_type))
        shape = (buf_ysize, buf_xsize)
        return pixels.reshape(shape if count == 1 else (count,) + shape)

    return read_window


@pytest.fixture(scope="session")
def assert_pixels():
    """assert_pixels(actual, expected) compares every pixel; NaN equals NaN only."""

    def compare(actual, expected):
        assert actual.dtype == expected.dtype
        assert actual.shape == expected.shape
        same = actual == expected
        if np.issubdtype(actual.dtype, np.floating):
            same |= np.isnan(actual) & np.isnan(expected)
        if not same.all():
            wrong = np.argwhere(~same)
            lines = ["%s: %r, expected %r" % (tuple(p), actual[tuple(p)], expected[tuple(p)])
                     for p in wrong[:5]]
            pytest.fail("%d of %d pixels differ, in rows and columns %s to %s:\n%s" % (
                len(wrong), same.size, wrong.min(axis=0), wrong.max(axis=0), "\n".join(lines)))

    return compare


@pytest.fixture(scope="session")
def files_of():
    """files_of(directory): each file under it with its size and time of change."""

    def state(directory):
        return {str(p.relative_to(directory)): (p.stat().st_size, p.stat().st_mtime_ns)
                for p in sorted(Path(directory).rglob("*")) if p.is_file()}

    return state


@pytest.fixture(scope="session")
def contents_of():
    """contents_of(directory): each directory, and each file with a hash of its bytes, under it."""

    def state(directory):
        return {str(p.relative_to(directory)):
                hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "not a file"
                for p in sorted(Path(directory).rglob("*"))}

    return state


@pytest.fixture(scope="session")
def shared():
    """shared(name, …) is a file or directory of the project's shared data; skips where it is absent."""

    def find(*names):
        path = SHARED.joinpath(*names)
        if not path.exists():
            pytest.skip("there is no %s: set SGC_SHARED to the directory of the shared data"
                        % Path("shared").joinpath(*names))
        return path

    return find
