"""The plugin is a good guest: it costs nothing until it is asked for, claims nothing that is not its own, does not spoil
GDAL where it cannot run, does as the thread that reads is configured, and minds no locale."""
from concurrent.futures import ThreadPoolExecutor
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys

from osgeo import gdal
import pytest

from conftest import BUILD_DIR
import patchwork

GDAL_310 = int(gdal.VersionInfo()) >= 3100000


@pytest.fixture
def build_library(tmp_path):
    """build_library(name, C code, argument, …) is a shared library of it."""
    compiler = shutil.which("cc") or pytest.skip("there is no C compiler")

    def build(name, code, *args):
        path = tmp_path / name
        (tmp_path / "code.c").write_text(code)
        subprocess.run([compiler, "-shared", "-fPIC", "-w", "-o", path, tmp_path / "code.c", *args], check=True)
        return path

    return build


def python(code):
    return [sys.executable, "-c", code]


# What is loaded with the plugin, and when

START = """
import os
from osgeo import gdal
files = [os.readlink("/proc/self/fd/" + n) for n in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + n)]
print(len(os.listdir("/proc/self/task")), sum(not f.startswith("/proc/") for f in files))
"""
WHOLE_READ = """
from osgeo import gdal
gdal.UseExceptions()
gdal.Open("SGC:./cube,dataset=definition.json,create=yes").ReadRaster(0, 0, 300, 300)
"""
# Tells of what may only happen when something is asked for.
TELL_STARTS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>
int curl_global_init(long flags)
{
    write(2, "CURL\\n", 5);
    return 0; /* curl makes up for it */
}
int socket(int domain, int type, int protocol)
{
    write(2, "SOCKET\\n", 7);
    return ((int (*)(int, int, int))dlsym(RTLD_NEXT, "socket"))(domain, type, protocol);
}
"""


def definition(server):
    return patchwork.definition(patchwork.source("tiles", server.url))


def test_nothing_starts_with_the_plugin(run, build_library, open_document, patchwork_server, tmp_path):
    """No thread, no open file, no socket and no curl, until something is loaded."""
    teller = {"LD_PRELOAD": str(build_library("teller.so", TELL_STARTS, "-ldl"))}
    with_us, without = (run(python(START), **teller, **more) for more in ({}, {"GDAL_DRIVER_PATH": "disable"}))
    assert with_us.stdout == without.stdout
    assert with_us.stderr == without.stderr == ""
    open_document(definition(patchwork_server))
    Path("definition.json").write_text((tmp_path / "definition.json").read_text())
    said = run(python(WHOLE_READ), **teller).stderr.split()
    assert "CURL" in said and "SOCKET" in said


def test_curl_is_that_of_gdal(run):
    """The same flavour of the library, whose handles are not given to GDAL even so."""
    plugin = BUILD_DIR / "gdal_SGC.so"
    libgdal, = set(re.findall(r"/\S+/libgdal\.so\S*", Path("/proc/self/maps").read_text()))
    ours, theirs = (re.findall(r"NEEDED.*\[(libcurl.*)\]", run(["readelf", "-d", file]).stdout) for file in (plugin, libgdal))
    assert ours == theirs != []
    symbols = run(["nm", "-D", "--undefined-only", plugin]).stdout
    assert "curl_" in symbols and "CPLHTTP" not in symbols


# What is not ours

def test_only_names_of_ours_are_identified(cube, read):
    read(gdal.Open("SGC:%s,dataset=Demo,create=yes,chunk_size=64" % cube), 0, 0, 10, 10)
    shutil.copytree(cube, "cube.sgc")
    shutil.copytree(cube, "cube.icechunk")
    for path in (cube, cube / "refs", cube / "refs" / "branch.main" / "ref.json", "cube.sgc", "cube.icechunk", ".", "/"):
        assert gdal.IdentifyDriverEx(str(path), allowed_drivers=["SGC"]) is None
    assert gdal.IdentifyDriverEx("SGC:%s" % cube).ShortName == "SGC"


@pytest.fixture
def calls():
    """calls(file, **environment): the system calls that gdalinfo makes to look at files, to talk to others and to start
    threads, from its first look at that file on."""
    strace = shutil.which("strace") or pytest.skip("there is no strace")
    program = shutil.which("gdalinfo")

    def trace(file, **environment):
        done = subprocess.run([strace, "-f", "-e", "trace=%file,%network,clone,clone3", "-o", "calls", program, file],
                              env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if "ptrace" in done.stderr:
            pytest.skip("nothing may be traced here: " + done.stderr)
        lines = [line for line in Path("calls").read_text().splitlines() if "execve" not in line]
        first = next(i for i, line in enumerate(lines) if '"%s"' % file in line)
        # Numbers of processes and addresses differ from run to run.
        return [re.sub(r"0x[0-9a-f]+|^\d+ +|st_[am]time[^,}]*", "", line) for line in lines[first:]]

    return trace


@pytest.mark.parametrize("name", ["nothing.tif", "nothing.sgc", "file.tif", "text.sgc", "directory.sgc", "."])
def test_other_files_cost_no_system_call(calls, name):
    """More than GDAL makes without us."""
    Path("text.sgc").write_text("not JSON")
    Path("directory.sgc").mkdir()
    gdal.GetDriverByName("GTiff").Create("file.tif", 5, 5)
    assert calls(name) == calls(name, GDAL_SKIP="SGC")


# Where it cannot run

# For us alone; a caller that gives its name makes a failure of it.
OTHER_GDAL = """
#include <stdio.h>
#include <string.h>
int GDALCheckVersion(int major, int minor, const char *caller)
{
    if (caller != 0 && strstr(caller, "SGC") == 0)
        return 1;
    if (caller != 0)
        fprintf(stderr, "ERROR 1: %s was compiled against GDAL %d.%d\\n", caller, major, minor);
    return 0;
}
"""
USE_GDAL = """
from osgeo import gdal
gdal.UseExceptions()
print(gdal.GetDriverByName("SGC"), gdal.GetDriverByName("GTiff").ShortName)
gdal.GetDriverByName("GTiff").Create("file.tif", 5, 5)
assert gdal.Open("file.tif").RasterXSize == 5
"""


def test_another_version_of_gdal(run, build_library):
    """The plugin stays away, says so once, and disturbs nothing."""
    other = {"LD_PRELOAD": str(build_library("other.so", OTHER_GDAL))}
    done = run(python(USE_GDAL), **other)
    assert done.stdout == "None GTiff\n"
    assert run(["gdalinfo", "file.tif"], **other).stdout.startswith("Driver: GTiff")
    for said in (done.stderr, run(["gdalinfo", "file.tif"], **other).stderr):
        assert re.fullmatch(r"Warning 1: SGC: .*built for GDAL \d+\.\d+.*\n", said)


@pytest.fixture
def broken(tmp_path, build_library):
    """A plugin directory with a plugin of our name that needs a library which is gone, as after GDAL's next version."""
    missing = build_library("libmissing.so", "int gone(void) { return 0; }", "-Wl,-soname,libmissing.so.36")
    directory = tmp_path / "plugins"
    directory.mkdir()
    plugin = build_library("gdal_SGC.so", "int gone(void); void GDALRegister_SGC(void) { gone(); }", missing)
    plugin.rename(directory / "gdal_SGC.so")
    missing.unlink()
    return {"GDAL_DRIVER_PATH": str(directory)}


def test_a_missing_library(run, broken):
    """What GDAL makes of it, and that the remedy of README.md is one."""
    gdal.GetDriverByName("GTiff").Create("file.tif", 5, 5)
    done = run(["gdalinfo", "file.tif"], **broken)
    assert done.stdout.startswith("Driver: GTiff") and "libmissing.so.36" in done.stderr
    done = run(python("from osgeo import gdal\nassert gdal.Open('file.tif').RasterXSize == 5"), **broken)
    assert "libmissing.so.36" in done.stderr
    run(python(USE_GDAL), fails=GDAL_310, **broken)
    done = run(python(USE_GDAL), GDAL_DRIVER_PATH="disable")
    assert (done.stdout, done.stderr) == ("None GTiff\n", "")


# Beginnings and ends

# Without exceptions: with them the bindings of GDAL 3.10 do not survive the end of GDAL.
AGAIN = """
from osgeo import gdal
gdal.DontUseExceptions()
name = "SGC:./cube,dataset=definition.json,create=yes"
for i in range(3):
    dataset = gdal.Open(name)
    dataset.ReadRaster(300 * i, 0, 300, 300)
    del dataset
    gdal.GDALDestroyDriverManager()
    gdal.AllRegister()
    gdal.AllRegister()
    assert gdal.GetDriverByName("SGC") is not None
    assert sum(gdal.GetDriver(i).ShortName == "SGC" for i in range(gdal.GetDriverCount())) == 1
gdal.Open(name + ",download=no").ReadRaster(0, 0, 900, 300)
gdal.GDALDestroyDriverManager()
gdal.GDALDestroyDriverManager()
print("done")
"""


def test_gdal_ends_and_begins_again(run, open_document, patchwork_server, tmp_path):
    open_document(definition(patchwork_server))
    Path("definition.json").write_text((tmp_path / "definition.json").read_text())
    done = run(python(AGAIN))
    assert (done.stdout, done.stderr) == ("done\n", "")


def test_gdal_ends_with_an_open_dataset(run):
    run(python("""
from osgeo import gdal
dataset = gdal.Open("SGC:./cube,dataset=Demo,create=yes,chunk_size=64")
dataset.ReadRaster(0, 0, 10, 10)
import os
gdal.GDALDestroyDriverManager()
os._exit(0)
"""))


# Who reads

def users(server):
    return {entry["headers"].get("X-User") for entry in server.log()}


def test_configuration_of_the_thread_reaches_downloads(open_document, patchwork_server, read, config):
    """Those threads that download for it too, and nobody else's downloads from the same cube."""
    config(GDAL_HTTP_HEADERS="X-User: me")
    document = definition(patchwork_server)
    dataset = open_document(document)  # stays open, and so does its cube
    read(dataset, 0, 0, 600, 600)
    assert users(patchwork_server) == {"me"}
    assert len({entry["connection"] for entry in patchwork_server.log()}) > 1
    patchwork_server.reset()

    def read_as(user, x):
        gdal.SetThreadLocalConfigOption("GDAL_HTTP_HEADERS", user and "X-User: " + user)
        read(open_document(document), x, 1000, 250, 250)
        return users(patchwork_server)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(read_as, None, 0).result() == {None}
        patchwork_server.reset()
        assert pool.submit(read_as, "another", 1000).result() == {"another"}


def test_environment_of_rasterio_reaches_downloads(open_document, patchwork_server, read):
    rasterio = pytest.importorskip("rasterio")
    name = open_document(definition(patchwork_server)).GetDescription()
    options = dict(DATASET=str(Path(name[4:]).parent / "definition.json"), CREATE="YES")
    with rasterio.Env(GDAL_HTTP_HEADERS="X-User: rasterio"), rasterio.open(name, **options) as cube:
        cube.read(window=rasterio.windows.Window(0, 0, 600, 600))
    assert users(patchwork_server) == {"rasterio"}


# Where numbers have a comma, as in programs with windows

TELL_ALL = """
import hashlib, json, locale, sys
from osgeo import gdal
gdal.UseExceptions()
locale.setlocale(locale.LC_ALL, "" if sys.argv[2] == "comma" else "C")
assert locale.localeconv()["decimal_point"] == ("," if sys.argv[2] == "comma" else ".")
name, x, y = sys.argv[1], 103100, 46800
dataset = gdal.OpenEx(name, gdal.OF_RASTER | gdal.OF_VECTOR)
band, transform = dataset.GetRasterBand(1), dataset.GetGeoTransform()
geo_x, geo_y = transform[0] + 32 * x + 9.6, transform[3] - 32 * y - 9.6
said = [hashlib.sha256(dataset.ReadRaster(x, y, 300, 200)).hexdigest(), transform,
        [[o.GetMetadata(d) for d in ("", "IMAGE_STRUCTURE")] for o in (dataset, band)], repr(band.GetNoDataValue()),
        band.GetMetadataItem("Window_%d_%d_900_900" % (x, y), "SGC"), band.ComputeStatistics(True),
        [band.GetMetadataItem("%s_%s_%s" % words, "LocationInfo") for words in (("Pixel", x, y), ("GeoPixel", geo_x, geo_y))]]
layer = dataset.GetLayer(0)
layer.SetAttributeFilter("state <> 'absent'")
for feature in layer:
    for differs in ("snapshot", "commit_time", "bytes"):
        feature.UnsetField(differs)
    said.append(feature.ExportToJson())
said[2][0][0].pop("SNAPSHOT")
print(json.dumps(said, indent=1))
"""


@pytest.fixture
def comma(tmp_path):
    """An environment with such a locale."""
    localedef = shutil.which("localedef") or pytest.skip("there is no localedef")
    made = subprocess.run([localedef, "-i", "de_DE", "-f", "UTF-8", str(tmp_path / "de_DE.UTF-8")])
    if made.returncode != 0:
        pytest.skip("no locale can be made here")
    return {"LOCPATH": str(tmp_path), "LC_ALL": "de_DE.UTF-8"}


def test_decimal_comma(run, comma, start_stac_server, searching):
    """The same requests, pixels, metadata and files; an option has a point in any country."""
    server = start_stac_server(only=["66_33", "66_34", "67_33", "67_34"])
    told, asked = [], []
    for which, environment in (("point", {}), ("comma", comma)):
        server.reset()
        name = "SGC:./%s,dataset=%s,create=yes,source_url=%s,chunk_size=128,max_download=0.5GB,timeout=599.5" % (
            which, searching, server.url)
        told.append(run(python(TELL_ALL) + [name, which], **environment).stdout)
        asked.append({(entry["path"], entry["body"]) for entry in server.log()})
    assert told[0] == told[1]
    assert asked[0] == asked[1] != set()
    told.append(run(python(TELL_ALL) + ["SGC:./comma,download=no", "point"]).stdout)
    told.append(run(python(TELL_ALL) + ["SGC:./point,download=no", "comma"], **comma).stdout)
    assert told[2] == told[3]
