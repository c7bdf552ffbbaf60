"""What goes wrong is said once, by name and with the remedy, and leaves everything as it was."""
from concurrent.futures import ThreadPoolExecutor
import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys

from osgeo import gdal
import pytest

import demo_formula

OPTIONS = ["DATASET", "CREATE", "DOWNLOAD", "ON_MISSING", "MAX_DOWNLOAD", "TIMEOUT", "BRANCH", "TAG", "SNAPSHOT",
           "CHANNELS", "NUM_THREADS", "MAX_REQUESTS", "CHUNK_SIZE", "COMPRESSION_LEVEL", "SOURCE_URL",
           "LOCKING"]
CHUNK = 256


def window_on_land(chunk_row):
    """A window inside one chunk of that row whose pixels differ, so that it has an object of its own."""
    for column in range(20, 380):
        window = (column * CHUNK, chunk_row * CHUNK, CHUNK, CHUNK)
        if demo_formula.window(*window).std() > 10:
            return window[:2] + (100, 100)
    raise LookupError("no land there")


# So far apart that the references to the first two lie in two manifests.
FIRST, SECOND, NEVER_READ = map(window_on_land, (60, 260, 200))


def creating(place, dataset="Demo"):
    return "SGC:%s,dataset=%s,create=yes,chunk_size=%d" % (place, dataset, CHUNK)


def open_error(failure, name, *options):
    return failure(gdal.OpenEx, name, open_options=list(options))


def read_error(failure, dataset, window):
    return failure(dataset.ReadRaster, *window)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A cube with the two chunks, each in a commit of its own, filled by another process, so that this one
    has cached nothing. Not to be changed."""
    place = tmp_path_factory.mktemp("filled") / "cube"
    script = "from osgeo import gdal; cube = gdal.Open(%r); cube.ReadRaster%r; cube.ReadRaster%r" % (
        creating(place), FIRST, SECOND)
    subprocess.run([sys.executable, "-c", script], check=True, stdin=subprocess.DEVNULL)
    return place


@pytest.fixture
def copy(filled, cube):
    shutil.copytree(filled, cube)
    return cube


@pytest.fixture
def translate(run):
    """translate(name, window) reads in a new process, where nothing is cached, and writes out.tif."""

    def translate_window(name, window, **options):
        return run(["gdal_translate", "-q", "-srcwin", *window, name, "out.tif"], **options)

    return translate_window


@pytest.fixture
def translate_error(translate):
    """translate_error(name, window): the only error that a process prints which reads the window."""

    def message(name, window):
        done = translate(name, window, fails=True)
        errors = re.findall(r"^ERROR \d+: (.*)$", done.stderr, re.MULTILINE)
        assert len(errors) == 1, done.stderr
        return errors[0]

    return message


@pytest.fixture
def assert_reads(translate, read, assert_pixels):
    """assert_reads(name, window): a new process gets the pixels of Demo."""

    def check(name, window):
        translate(name, window)
        assert_pixels(read(gdal.Open("out.tif"), 0, 0, *window[2:]), demo_formula.window(*window))

    return check


@pytest.fixture
def unchanged(tmp_path, contents_of):
    """unchanged() asserts that nothing was written since the last unchanged.start(), or the test's start."""

    class Unchanged:
        def start(self):
            self.before = contents_of(tmp_path)

        def __call__(self):
            assert contents_of(tmp_path) == self.before

    check = Unchanged()
    check.start()
    return check


# Names and options

@pytest.mark.parametrize("name, parts", [
    ("SGC:", ["SGC:Demo", "SGC:./cube,dataset=Demo,create=yes"]),
    ("SGC:,dataset=Demo", ["needs a dataset or a place"]),
    ("SGC:Demo?create", ['"create" is not KEY=VALUE']),
    ("SGC:Demo?download=no&create", ['"create" is not KEY=VALUE']),
    ("SGC:Demo,create", ['"Demo,create"', 'the option ",create=']),
    ("SGC:./cube, dataset=Demo,create=yes", ['the option ",dataset=', "%2C"]),
    ("SGC:./cube;create=yes,dataset=Demo", ['the option ",create=', "%3B"]),
    ("SGC:./cube,download ,dataset=Demo,create=yes", ['the option ",download=']),
    ("SGC:./cube,Download;x,dataset=Demo,create=yes", ['the option ",Download=']),
    ("SGC:Demo,download=no,DOWNLOAD=yes", ["DOWNLOAD is given twice"]),
    ("SGC:s3://bucket/prefix?dataset=Demo", ["s3://bucket/prefix", "local directories"]),
    ("SGC:Demo,branch=main,tag=v1", ["at most one", "BRANCH", "TAG", "SNAPSHOT"]),
    ("SGC:Demo,tag=v1,download=yes", ["DOWNLOAD=yes", "branch"]),
])
def test_bad_connection_string(failure, unchanged, name, parts):
    message = open_error(failure, name)
    assert all(part in message for part in parts), message
    unchanged()


@pytest.mark.parametrize("as_open_option", [False, True])
def test_unknown_option_lists_the_known_ones(failure, unchanged, as_open_option):
    message = open_error(failure, "SGC:Demo", "COLOUR=RED") if as_open_option else \
        open_error(failure, "SGC:Demo,colour=red")
    assert re.search('unknown option "colour"', message, re.IGNORECASE)
    assert all(option in message for option in OPTIONS), message
    unchanged()


@pytest.mark.parametrize("wrong, nearest", [
    ("chunksize", "CHUNK_SIZE"), ("create_", "CREATE"), ("sourceurl", "SOURCE_URL"), ("tags", "TAG"),
    ("numthreads", "NUM_THREADS")])
def test_unknown_option_names_the_nearest(failure, wrong, nearest):
    assert "did you mean %s?" % nearest in open_error(failure, "SGC:Demo,%s=1" % wrong)


BAD_VALUES = [
    ("CREATE", "maybe", "YES or NO"),
    ("DOWNLOAD", "2", "YES, NO or VIEW"),
    ("LOCKING", "", "YES or NO"),
    ("ON_MISSING", "ZERO", "FAIL or NODATA"),
    ("MAX_DOWNLOAD", "lots", "10GB"),
    ("MAX_DOWNLOAD", "-1", "10GB"),
    ("MAX_DOWNLOAD", "5 apples", "10GB"),
    ("MAX_DOWNLOAD", "nan", "10GB"),
    ("TIMEOUT", "soon", "a number of seconds"),
    ("TIMEOUT", "-1", "a number of seconds"),
    ("TIMEOUT", "1 s", "a number of seconds"),
    ("TIMEOUT", "nan", "a number of seconds"),
    ("TIMEOUT", "", "a number of seconds"),
    ("NUM_THREADS", "0", "ALL_CPUS"),
    ("NUM_THREADS", "many", "ALL_CPUS"),
    ("NUM_THREADS", "", "ALL_CPUS"),
    ("MAX_REQUESTS", "0", "1 to 256"),
    ("MAX_REQUESTS", "257", "1 to 256"),
    ("MAX_REQUESTS", "4x", "1 to 256"),
    ("CHUNK_SIZE", "15", "16 to 16000"),
    ("CHUNK_SIZE", "16001", "16 to 16000"),
    ("CHUNK_SIZE", "99999999999999999999", "16 to 16000"),
    ("COMPRESSION_LEVEL", "0", "1 to 9"),
    ("COMPRESSION_LEVEL", "10", "1 to 9"),
    ("COMPRESSION_LEVEL", "5.5", "1 to 9"),
]


@pytest.mark.parametrize("key, value, allowed", BAD_VALUES)
def test_bad_value_of_an_option(failure, unchanged, key, value, allowed):
    message = open_error(failure, "SGC:./cube,dataset=Demo,create=yes,%s=%s" % (key.lower(), value)
                         if key != "CREATE" else "SGC:./cube,dataset=Demo,create=%s" % value)
    assert "%s=%s" % (key, value) in message
    assert allowed in message
    unchanged()


@pytest.mark.parametrize("value", ["", "0", "-1", "2000", "50%"])
def test_what_gdal_num_threads_may_mean_elsewhere_is_no_mistake(monkeypatch, cube, value):
    monkeypatch.setenv("GDAL_NUM_THREADS", value)
    assert gdal.Open("SGC:%s,dataset=Demo,create=yes" % cube).RasterCount == 1


def test_bad_value_of_an_open_option(failure):
    assert "CHUNK_SIZE=7" in open_error(failure, "SGC:Demo", "CHUNK_SIZE=7")


def test_bad_value_of_a_configuration_option(failure, config):
    config(SGC_CHUNK_SIZE="7")
    assert "CHUNK_SIZE=7" in open_error(failure, "SGC:Demo")


def test_bad_configuration_is_worth_a_warning(run):
    nonsense = {"SGC_CACHE_SIZE": "-1", "SGC_LOAD_MEMORY": "0", "SGC_COMMIT_INTERVAL": "soon", "SGC_PROGRESS": "maybe"}
    said = run(["gdalinfo", "SGC:Demo"], **nonsense).stderr
    for option in nonsense.items():
        assert said.count("Warning 1: SGC: %s=%s: must be" % option) == 1
    assert "SGC_" not in run(["gdalinfo", "SGC:Demo"], SGC_CACHE_SIZE="0", SGC_LOAD_MEMORY="0.5",
                             SGC_COMMIT_INTERVAL="0.2", SGC_PROGRESS="auto").stderr


def test_open_option_wins_over_string_and_string_over_configuration(cube, config):
    config(SGC_CHUNK_SIZE="64")
    name = "SGC:%s,dataset=Demo,create=yes" % cube
    for wins, opened in [
            (64, gdal.OpenEx(name)),
            (128, gdal.OpenEx(name + ",chunk_size=128")),
            (256, gdal.OpenEx(name + ",chunk_size=128", open_options=["CHUNK_SIZE=256"]))]:
        assert opened.GetMetadataItem("Window_0_0_%d_%d" % (wins, wins), "SGC").startswith("missing=1;")
        assert opened.GetMetadataItem("Window_0_0_%d_1" % (wins + 1), "SGC").startswith("missing=2;")


@pytest.mark.parametrize("value, parts", [
    ("height", ['"height"', "elevation"]), ("elevation,height", ['"height"', "elevation"]), (",", ["CHANNELS"])])
def test_unknown_channel(failure, unchanged, value, parts):
    message = open_error(failure, "SGC:Demo", "CHANNELS=" + value)
    assert all(part in message for part in parts), message
    unchanged()


@pytest.mark.parametrize("name, nearest", [
    ("Dmeo", "Demo"), ("demos", "Demo"), ("ArcticDEM23m", "ArcticDEM2m"), ("ArcticDEM32", "ArcticDEM32m")])
def test_unknown_dataset_names_the_nearest(failure, unchanged, name, nearest):
    for message in (open_error(failure, "SGC:" + name),
                    open_error(failure, "SGC:./cube,create=yes,dataset=" + name)):
        assert 'unknown dataset "%s"' % name in message
        assert "did you mean %s?" % nearest in message
    unchanged()


def test_unknown_dataset_like_no_other_lists_the_known(failure):
    message = open_error(failure, "SGC:Xylophonics")
    assert "did you mean" not in message
    assert "Demo" in message and "ArcticDEM32m" in message


# Definition files

def definition(**changes):
    """Demo's definition with some keys changed, or left out where the change is None."""
    keys = {
        "type": "CubeDataset", "version": "1", "id": "Mine", "proj:code": "EPSG:3413",
        "proj:transform": [40, 0, -2000000, 0, -40, 2000000], "proj:shape": [100000, 100000],
        "bands": [{"name": "elevation", "data_type": "float32"}], "source": {"kind": "synthetic"},
        **changes}
    return {key: value for key, value in keys.items() if value is not None}


def band(**changes):
    return {"bands": [{"name": "first", "data_type": "float32"},
                      {"name": "second", "data_type": "float32", **changes}]}


BAD_DEFINITIONS = {
    "no type": ({"type": None}, "/type: required"),
    "another type": ({"type": "Collection"}, "/type: "),
    "another version": ({"version": "2"}, '/version: "2" is not supported (this build reads "1")'),
    "no id": ({"id": None}, "/id: required"),
    "id is a path": ({"id": "../Mine"}, "/id: "),
    "no CRS": ({"proj:code": None}, "/proj:code: required"),
    "unknown CRS": ({"proj:code": "EPSG:99999"}, '/proj:code: unknown CRS "EPSG:99999"'),
    "no grid": ({"proj:transform": None, "proj:shape": None}, "/proj:transform: give "),
    "two grids": ({"proj:bbox": [0, 0, 1, 1], "resolution": 1}, "/proj:transform: give "),
    "rotated grid": ({"proj:transform": [40, 1, 0, 0, -40, 0]}, "/proj:transform: only north-up"),
    "south-up grid": ({"proj:transform": [40, 0, 0, 0, 40, 0]}, "/proj:transform: only north-up"),
    "five coefficients": ({"proj:transform": [40, 0, 0, 0, -40]}, "/proj:transform: "),
    "empty shape": ({"proj:shape": [0, 100]}, "/proj:shape: "),
    "resolution 0": ({"proj:transform": None, "proj:shape": None, "proj:bbox": [0, 0, 1, 1],
                      "resolution": 0}, "/resolution: must be positive"),
    "huge chunks": ({"chunk_shape": [60000, 60000]}, "/chunk_shape: 60000 x 60000"),
    "chunks of half a pixel": ({"chunk_shape": [0.5, 16]}, "/chunk_shape: "),
    "unknown key": ({"chunk_size": 512}, "/chunk_size: unknown key (did you mean chunk_shape?)"),
    "no bands": ({"bands": None}, "/bands: required"),
    "empty bands": ({"bands": []}, "/bands: "),
    "band without name": ({"bands": [{"data_type": "float32"}]}, "/bands/0/name: required"),
    "band twice": (band(name="first"), "/bands/1/name: "),
    "band that leaves the group": (band(name="../x"), "/bands/1/name: "),
    "unknown data type": (band(data_type="float128"), "/bands/1/data_type: "),
    "nodata outside its type": (band(data_type="uint8", nodata=-9999),
                                "/bands/1/nodata: -9999 does not fit uint8"),
    "no nodata": (band(data_type="int16"), "/bands/1/nodata: required"),
    "unknown key of a band": (band(no_data=0), "/bands/1/no_data: unknown key (did you mean nodata?)"),
    "unknown composite": ({"composite": "best"}, "/composite: "),
    "no source": ({"source": None}, "/source: required"),
    "no kind": ({"source": {}}, "/source/kind: required"),
    "unknown kind": ({"source": {"kind": "ftp"}}, '/source/kind: kind "ftp"'),
    "key of another kind": ({"source": {"kind": "synthetic", "api": "https://example.org/"}},
                            "/source/api: "),
}


@pytest.mark.parametrize("changes, expected", BAD_DEFINITIONS.values(), ids=BAD_DEFINITIONS.keys())
def test_error_in_a_definition_file(failure, unchanged, changes, expected):
    Path("mine.json").write_text(json.dumps(definition(**changes)))
    unchanged.start()
    message = open_error(failure, creating("./cube", "./mine.json"))
    assert "mine.json: " + expected in message
    unchanged()


@pytest.mark.parametrize("edge, wanted", [
    (-2000000, []),
    (-2000010, ["/source/tile: tiles will be resampled: their edges are no edges of pixels"])])
def test_tiles_off_the_grid_are_worth_a_warning(edge, wanted):
    tiles = {"kind": "tiles", "href": "https://127.0.0.1/{col}_{row}.tif",
             "tile": {"origin": [edge, -2000000], "size": [100000, 100000]}}
    Path("mine.json").write_text(json.dumps(definition(source=tiles)))
    messages = []
    gdal.PushErrorHandler(lambda severity, _, message: messages.append((severity, message)))
    try:
        assert gdal.OpenEx(creating("./cube", "./mine.json")) is not None
    finally:
        gdal.PopErrorHandler()
    assert [message for severity, message in messages if severity == gdal.CE_Warning] == [
        "SGC: %s: %s" % (Path("mine.json").resolve(), text) for text in wanted]


def test_good_definition_file(cube, read, assert_pixels):
    Path("mine.json").write_text(json.dumps(definition()))
    dataset = gdal.OpenEx(creating(cube, "./mine.json"))
    assert_pixels(read(dataset, *FIRST), demo_formula.window(*FIRST))


def test_cube_keeps_every_bit_of_its_definition(cube):
    """Numbers that 15 digits nearly give back, in a cube whose definition file is gone."""
    x, y = -6356752.314245179, 6356752.314245179
    Path("mine.json").write_text(json.dumps(definition(**{"proj:transform": [40, 0, x, 0, -40, y]})))
    gdal.OpenEx(creating(cube, "./mine.json")).ReadRaster(*FIRST)
    os.remove("mine.json")
    assert gdal.Open("SGC:%s" % cube).GetGeoTransform() == (x, 40, 0, y, 0, -40)


@pytest.mark.parametrize("text, place", [('{\n"type":\n,}', "mine.json:3"), ("", "mine.json:1"),
                                         ("{} {}", "mine.json:1"), ("[]", "mine.json: ")])
def test_definition_file_that_is_no_json_object(failure, text, place):
    Path("mine.json").write_text(text)
    assert place in open_error(failure, creating("./cube", "./mine.json"))


def test_missing_definition_file(failure):
    assert str(Path("mine.json").resolve()) in open_error(failure, creating("./cube", "./mine.json"))


@pytest.fixture
def datasets_path(tmp_path, config):
    directories = [tmp_path / "first", tmp_path / "second"]
    for directory in directories:
        directory.mkdir()
    config(SGC_DATASETS_PATH=":".join(map(str, directories)))
    return directories


def test_dataset_from_the_datasets_path(datasets_path, tmp_path, read, assert_pixels):
    (datasets_path[1] / "Mine.json").write_text(json.dumps(definition(chunk_shape=[CHUNK, CHUNK])))
    assert_pixels(read(gdal.OpenEx("SGC:mine"), *FIRST), demo_formula.window(*FIRST))
    assert (tmp_path / "cubes" / "Mine.icechunk" / "refs").is_dir()


def test_dataset_from_a_file_of_another_name(datasets_path, tmp_path):
    (datasets_path[1] / "terrain.json").write_text(json.dumps(definition(id="Mine")))
    assert gdal.OpenEx("SGC:mine").GetMetadataItem("DATASET") == "Mine"


def test_dataset_from_the_datasets_path_comes_before_ours(datasets_path):
    (datasets_path[0] / "demo.json").write_text(json.dumps(definition(id="Demo", title="Another")))
    assert gdal.OpenEx("SGC:Demo").GetMetadataItem("TITLE") == "Another"


def test_bad_definition_in_the_datasets_path(datasets_path, failure, unchanged):
    (datasets_path[0] / "Mine.json").write_text(json.dumps(definition(version="2")))
    unchanged.start()
    message = open_error(failure, "SGC:Mine")
    assert str(datasets_path[0] / "Mine.json") in message
    assert "/version: " in message
    unchanged()


def test_datasets_path_that_does_not_exist_is_passed_over(config):
    config(SGC_DATASETS_PATH="/no/such/directory")
    assert gdal.OpenEx("SGC:Demo") is not None


# Places

def test_place_that_does_not_exist(failure, unchanged, cube):
    message = open_error(failure, "SGC:%s" % cube)
    assert str(cube) in message
    assert "create=yes" in message
    unchanged()


def test_empty_directory_without_create(failure, unchanged, cube):
    cube.mkdir()
    unchanged.start()
    message = open_error(failure, "SGC:%s,dataset=Demo" % cube)
    assert str(cube) in message
    assert "create=yes" in message
    unchanged()


def test_create_without_dataset(failure, unchanged, cube):
    message = open_error(failure, "SGC:%s,create=yes" % cube)
    assert str(cube) in message
    assert "dataset=" in message
    unchanged()


@pytest.mark.parametrize("options", ["", ",dataset=Demo", ",dataset=Demo,create=yes"])
def test_directory_that_is_no_cube(failure, unchanged, cube, options):
    (cube / "chunks").mkdir(parents=True)
    (cube / "notes.txt").write_text("mine")
    (cube / "chunks" / "mine.bin").write_bytes(bytes(100))
    unchanged.start()
    message = open_error(failure, "SGC:%s%s" % (cube, options))
    assert str(cube) in message
    assert "notes.txt" in message or "chunks/mine.bin" in message
    unchanged()


@pytest.mark.parametrize("content", [[], ["notes.txt"]])
def test_directory_with_the_name_of_a_dataset(failure, unchanged, content):
    Path("Demo").mkdir()
    for name in content:
        Path("Demo", name).write_text("mine")
    unchanged.start()
    assert "hides the dataset" in open_error(failure, "SGC:Demo")
    assert "hides the dataset" not in open_error(failure, "SGC:./Demo")
    unchanged()


def test_places_that_look_like_options(read):
    for name in "a, b=c", "a;b=2", "a,creates", "a;create%2c":
        read(gdal.Open(creating("./" + name)), *FIRST)
        assert Path(name.replace("%2c", ","), "chunks").is_dir()


@pytest.mark.parametrize("options", ["", ",dataset=Demo", ",dataset=Demo,create=yes"])
def test_file_instead_of_a_directory(failure, unchanged, cube, options):
    cube.write_text("mine")
    unchanged.start()
    message = open_error(failure, "SGC:%s%s" % (cube, options))
    assert str(cube) in message
    unchanged()


@pytest.mark.parametrize("options", ["", ",dataset=Demo,create=yes"])
def test_place_below_a_file(failure, unchanged, tmp_path, options):
    (tmp_path / "file").write_text("mine")
    unchanged.start()
    message = open_error(failure, "SGC:%s%s" % (tmp_path / "file" / "cube", options))
    assert str(tmp_path / "file" / "cube") in message
    unchanged()


def test_cube_of_another_dataset(failure, copy, unchanged):
    message = open_error(failure, "SGC:%s,dataset=ArcticDEM32m" % copy)
    assert all(part in message for part in (str(copy), '"Demo"', '"ArcticDEM32m"')), message
    unchanged()


def test_cube_of_another_definition_is_read_and_not_filled(failure, copy, unchanged, read, assert_pixels):
    Path("demo.json").write_text(json.dumps(definition(id="Demo", composite="last")))
    unchanged.start()
    dataset = gdal.OpenEx("SGC:%s,dataset=./demo.json" % copy)
    assert_pixels(read(dataset, *FIRST), demo_formula.window(*FIRST))
    message = read_error(failure, dataset, NEVER_READ)
    assert "/composite" in message and "not loaded further" in message
    unchanged()


def test_update_mode_is_refused(failure, copy, unchanged):
    message = failure(gdal.OpenEx, "SGC:%s" % copy, gdal.OF_RASTER | gdal.OF_UPDATE)
    assert "read-only" in message
    unchanged()


@pytest.mark.parametrize("option, words", [
    ("tag=v7", ["tag", "v7"]), ("branch=other", ["branch", "other"]), ("tag=../../x", ["../../x"]),
    ("branch=a/b", ["a/b"]), ("snapshot=1CECHNKREP0F1RSTCMZZ", ["1CECHNKREP0F1RSTCM"]),
    ("snapshot=1CEC", ["1CEC"])])
def test_reference_that_does_not_exist(failure, copy, unchanged, option, words):
    message = open_error(failure, "SGC:%s,%s" % (copy, option))
    assert all(word in message for word in words), message
    unchanged()


def test_branch_of_an_empty_place(failure, unchanged, cube):
    message = open_error(failure, creating(cube) + ",branch=other")
    assert str(cube) in message and "other" in message
    unchanged()


def test_foreign_repository_is_refused_and_unharmed(failure, shared, unchanged, tmp_path):
    for name in ("test-repo-v1", "split-repo-v1", "expire-repo-v1-by-1.1.21", "test-repo-v2"):
        place = tmp_path / name
        shutil.copytree(shared("icechunk-repos", name), place)
        unchanged.start()
        for options in ("", ",dataset=Demo,create=yes"):
            message = open_error(failure, "SGC:%s%s" % (place, options))
            assert str(place) in message
            assert "Icechunk repository" in message
        unchanged()


# Where nothing may be written

@pytest.fixture
def read_only(tmp_path, run):
    """read_only(place, args, …) runs a program that cannot write into the directory `place`."""
    mounts = subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0 \
        if shutil.which("unshare") else False
    if not mounts:
        pytest.skip("this user cannot make a read-only mount")

    def run_read_only(place, args, **options):
        script = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
        return run(["unshare", "-m", "sh", "-c", script, place, *args], **options)

    return run_read_only


@pytest.fixture
def plain(run):
    """plain(args, …) runs a program that obeys the permissions of files, also when root runs the tests."""
    if os.getuid() != 0:
        return run
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"]
    if not shutil.which("setpriv") or subprocess.run(drop + ["true"], capture_output=True).returncode != 0:
        pytest.skip("there is no setpriv to give up root's rights")
    return lambda args, **options: run(drop + list(args), **options)


def translate_args(name, window):
    return ["gdal_translate", "-q", "-srcwin", *window, name, "out.tif"]


def only_error(done):
    errors = re.findall(r"^ERROR \d+: (.*)$", done.stderr, re.MULTILINE)
    assert len(errors) == 1, done.stderr
    return errors[0]


def test_read_only_mount_is_read(copy, read_only, unchanged, read, assert_pixels):
    read_only(copy, translate_args("SGC:%s" % copy, FIRST))
    assert_pixels(read(gdal.Open("out.tif"), 0, 0, 100, 100), demo_formula.window(*FIRST))
    os.remove("out.tif")
    unchanged()


def test_read_only_mount_is_not_filled(copy, read_only, unchanged):
    message = only_error(read_only(copy, translate_args("SGC:%s" % copy, NEVER_READ), fails=True))
    assert str(copy) in message
    assert "Read-only file system" in message
    assert "must be writable" in message
    unchanged()


def test_empty_read_only_mount_is_shown_and_not_filled(cube, read_only, unchanged):
    cube.mkdir()
    unchanged.start()
    read_only(cube, ["gdalinfo", creating(cube)])
    message = only_error(read_only(cube, translate_args(creating(cube), FIRST), fails=True))
    assert str(cube) in message
    assert "must be writable" in message
    unchanged()


def test_directory_without_permission_to_write(copy, plain, unchanged, read, assert_pixels):
    for directory in [copy, *copy.iterdir()]:
        if directory.is_dir():
            directory.chmod(0o555)
    plain(translate_args("SGC:%s" % copy, FIRST))
    assert_pixels(read(gdal.Open("out.tif"), 0, 0, 100, 100), demo_formula.window(*FIRST))
    os.remove("out.tif")
    message = only_error(plain(translate_args("SGC:%s" % copy, NEVER_READ), fails=True))
    assert str(copy) in message
    assert "Permission denied" in message
    assert "must be writable" in message
    unchanged()


def test_directory_without_permission_to_read(copy, plain, unchanged):
    copy.chmod(0)
    message = only_error(plain(["gdalinfo", "SGC:%s" % copy], fails=True))
    copy.chmod(0o755)
    assert str(copy) in message
    assert "Permission denied; the place must be readable" in message
    unchanged()


def test_parent_without_permission_to_write(tmp_path, plain, unchanged):
    parent = tmp_path / "parent"
    parent.mkdir(mode=0o555)
    unchanged.start()
    name = creating(parent / "cube")
    plain(["gdalinfo", name])
    message = only_error(plain(translate_args(name, FIRST), fails=True))
    assert str(parent / "cube") in message
    assert "Permission denied" in message
    unchanged()


# Damage

@pytest.fixture
def damaged(copy, filled):
    """damaged(kind): the files of that kind that only the second chunk's commit has made."""

    def find(kind):
        tips = sorted((filled / "snapshots").iterdir(), key=lambda p: p.stat().st_mtime_ns)
        first_tip = tips[-2].stat().st_mtime_ns
        return [copy / kind / p.name for p in sorted((filled / kind).iterdir())
                if p.stat().st_mtime_ns > first_tip]

    return find


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"snapshot": 7}', '{"snapshot": "short"}',
                                  '{"snapshot": "1CECHNKREP0F1RSTCMZZ"}'])
def test_corrupt_branch(failure, copy, unchanged, text):
    (copy / "refs" / "branch.main" / "ref.json").write_text(text)
    unchanged.start()
    for options in ("", ",dataset=Demo,create=yes"):
        message = open_error(failure, "SGC:%s%s" % (copy, options))
        assert str(copy / "refs" / "branch.main" / "ref.json") in message or \
            str(copy / "snapshots" / "1CECHNKREP0F1RSTCM") in message
    unchanged()


def cut(path, kept):
    """Keeps the first bytes only: a number, or a share."""
    data = path.read_bytes()
    path.write_bytes(data[:kept if isinstance(kept, int) else int(len(data) * kept)])


@pytest.mark.parametrize("kept", [0, 10, 39, 0.5, 0.99])
def test_truncated_snapshot(failure, copy, damaged, unchanged, kept):
    tip, = damaged("snapshots")
    cut(tip, kept)
    unchanged.start()
    assert str(tip) in open_error(failure, "SGC:%s" % copy)
    unchanged()


@pytest.mark.parametrize("kept", [0, 10, 39, 0.5, 0.99])
def test_truncated_manifest(copy, damaged, translate_error, assert_reads, run, unchanged, contents_of,
                            tmp_path, kept):
    name = "SGC:%s" % copy
    others_readable = []
    for manifest in damaged("manifests"):
        whole = manifest.read_bytes()
        cut(manifest, kept)
        before = contents_of(copy)
        run(["gdalinfo", name])
        assert str(manifest) in translate_error(name, SECOND)
        try:
            assert_reads(name, FIRST)
            others_readable.append(manifest)
        except AssertionError:  # the manifest of what is complete
            assert str(manifest) in translate_error(name, FIRST)
        assert contents_of(copy) == before
        manifest.write_bytes(whole)
    assert others_readable
    assert_reads(name, SECOND)


@pytest.mark.parametrize("kept", [0, 10, 16, 0.5, 0.99])
def test_truncated_chunk(copy, damaged, translate_error, assert_reads, contents_of, kept):
    name = "SGC:%s" % copy
    chunk, = damaged("chunks")
    cut(chunk, kept)
    before = contents_of(copy)
    assert str(chunk) in translate_error(name, SECOND)
    assert_reads(name, FIRST)
    assert contents_of(copy) == before


def test_removed_chunk(copy, damaged, translate_error, assert_reads, contents_of):
    name = "SGC:%s" % copy
    chunk, = damaged("chunks")
    chunk.unlink()
    before = contents_of(copy)
    assert str(chunk) in translate_error(name, SECOND)
    assert_reads(name, FIRST)
    assert contents_of(copy) == before


@pytest.mark.parametrize("position, value", [
    (0, b"\xff\xff\xff\xff"), (4, b"\xff\xff\xff\x7f"), (4, bytes(4)), (8, b"\1\0\0\0"), (8, bytes(4)),
    (16, b"\xff\xff\xff\x7f"), (16, bytes(4))])
def test_chunk_with_another_blosc_header(copy, damaged, translate_error, assert_reads, position, value):
    chunk, = damaged("chunks")
    data = bytearray(chunk.read_bytes())
    data[position:position + 4] = value
    chunk.write_bytes(data)
    assert chunk.name in translate_error("SGC:%s" % copy, SECOND)
    assert_reads("SGC:%s" % copy, FIRST)


def test_damage_in_the_same_process_is_one_error(failure, copy, damaged, read, assert_pixels):
    chunk, = damaged("chunks")
    cut(chunk, 0.5)
    dataset = gdal.OpenEx("SGC:%s" % copy)
    assert str(chunk) in read_error(failure, dataset, SECOND)
    assert_pixels(read(dataset, *FIRST), demo_formula.window(*FIRST))
    chunk_again = read_error(failure, dataset.GetRasterBand(1), SECOND)
    assert str(chunk) in chunk_again


def test_threads_that_meet_the_same_damage_get_an_error_each(failure, copy, damaged):
    chunk, = damaged("chunks")
    cut(chunk, 10)
    gdal.DontUseExceptions()

    def read_damaged(_):
        messages = []
        gdal.PushErrorHandler(lambda severity, number, message: messages.append(message))
        try:
            result = gdal.OpenEx("SGC:%s" % copy).ReadRaster(*SECOND)
        finally:
            gdal.PopErrorHandler()
        return result, messages

    try:
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(read_damaged, range(8)))
    finally:
        gdal.UseExceptions()
    for result, messages in results:
        assert result is None
        assert len(messages) == 1 and str(chunk) in messages[0], messages


# What writes nothing, and where a cube is by default

@pytest.mark.parametrize("program", [["gdalinfo"], ["gdalinfo", "-json", "-mdd", "all"], ["sgc", "log"],
                                     ["gdalmanage", "identify"]], ids=" ".join)
@pytest.mark.parametrize("place", ["empty", "filled"])
def test_looking_writes_nothing(run, copy, tmp_path, unchanged, program, place):
    name = "SGC:%s" % copy if place == "filled" else creating(tmp_path / "nothing")
    run([*program, name], fails=program == ["sgc", "log"] and place == "empty")
    unchanged()


def test_opening_writes_nothing(copy, unchanged):
    for dataset in (gdal.OpenEx("SGC:%s" % copy), gdal.OpenEx("SGC:Demo"), gdal.OpenEx(creating("./new"))):
        band = dataset.GetRasterBand(1)
        band.GetOverview(2).GetBlockSize()
        band.GetStatistics(True, False)
        band.GetMinimum()
        dataset.GetFileList()
        dataset.GetMetadata()
        dataset.GetMetadataItem("Window_0_0_100_100", "SGC")
        dataset = band = None
    unchanged()


def test_reading_writes_into_the_cube_only(cube, tmp_path, unchanged, contents_of):
    gdal.OpenEx(creating(cube)).ReadRaster(*FIRST)
    assert contents_of(cube)
    shutil.rmtree(cube)
    unchanged()


@pytest.fixture
def small_chunks(config):
    config(SGC_CHUNK_SIZE=str(CHUNK))


@pytest.mark.parametrize("name", ["SGC:Demo", "SGC:demo", "SGC:DEMO?download=yes"])
def test_dataset_id_uses_the_cube_directory(small_chunks, tmp_path, name):
    gdal.OpenEx(name).ReadRaster(*FIRST)
    assert [p.name for p in (tmp_path / "cubes").iterdir()] == ["Demo.icechunk"]
    assert gdal.OpenEx("SGC:%s" % (tmp_path / "cubes" / "Demo.icechunk")).GetMetadataItem("DATASET") == "Demo"
    assert os.listdir() == []


def test_dataset_id_uses_xdg_data_home(small_chunks, tmp_path, monkeypatch):
    monkeypatch.delenv("SGC_CUBE_DIR")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    gdal.OpenEx("SGC:Demo").ReadRaster(*FIRST)
    assert (tmp_path / "data" / "sgc" / "Demo.icechunk" / "refs").is_dir()


@pytest.mark.parametrize("data_home", [None, "not/absolute"])
def test_dataset_id_uses_the_home_directory(small_chunks, tmp_path, monkeypatch, data_home):
    monkeypatch.delenv("SGC_CUBE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_DATA_HOME", False)
    if data_home:
        monkeypatch.setenv("XDG_DATA_HOME", data_home)
    gdal.OpenEx("SGC:Demo").ReadRaster(*FIRST)
    assert (tmp_path / "home" / ".local" / "share" / "sgc" / "Demo.icechunk" / "refs").is_dir()


def test_no_home_directory(failure, monkeypatch):
    for name in ("SGC_CUBE_DIR", "XDG_DATA_HOME", "HOME"):
        monkeypatch.delenv(name, False)
    assert "SGC_CUBE_DIR" in open_error(failure, "SGC:Demo")


def test_percent_encoded_nul(failure, tmp_path):
    assert "%00" in open_error(failure, "SGC:%s/a%%00b,dataset=Demo,create=yes" % tmp_path)
    assert "%00" in open_error(failure, "SGC:Demo%00x")


def test_unknown_snapshot_is_named_as_typed(failure, small_chunks, tmp_path):
    gdal.OpenEx("SGC:Demo").ReadRaster(*FIRST)
    cube = tmp_path / "cubes" / "Demo.icechunk"
    message = open_error(failure, "SGC:%s,snapshot=YYYYYYYYYYYYYYYYYYYY" % cube)
    assert "no snapshot \"YYYYYYYYYYYYYYYYYYYY\"" in message and "sgc log" in message


def test_snapshot_from_before_the_cube(failure, small_chunks, tmp_path):
    gdal.OpenEx("SGC:Demo").ReadRaster(*FIRST)
    cube = tmp_path / "cubes" / "Demo.icechunk"
    assert "it was empty then" in open_error(failure, "SGC:%s,snapshot=1CECHNKREP0F1RSTCMT0" % cube)
