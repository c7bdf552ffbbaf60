"""Files that name a cube: what may stand in them, and that they open wherever files are picked."""
import json
import os
import shutil

from osgeo import gdal
import pytest

WINDOW = (47008, 43200, 16, 16)


@pytest.fixture
def write(tmp_path):
    """write(content, …) writes a file, text or JSON, and gives its path."""

    def write_file(content, name="mine.sgc"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return write_file


DEMO = {"place": "cube", "dataset": "Demo", "options": {"create": True, "CHUNK_SIZE": 16}}


def missing(dataset):
    return dataset.GetMetadataItem("Window_%d_%d_%d_%d" % WINDOW, "SGC").split(";")[0]


def test_a_place_beside_the_file(write, tmp_path, cube, read, monkeypatch):
    path = write(DEMO)
    pixels = read(gdal.Open(path), *WINDOW)
    assert (cube / "chunks").is_dir()
    assert (pixels == read(gdal.Open("SGC:%s,download=no" % cube), *WINDOW)).all()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.move(path, moved)
    shutil.move(cube, moved)
    monkeypatch.chdir(moved)
    for name in "mine.sgc", "./mine.sgc", str(moved / "mine.sgc"):
        assert missing(gdal.Open(name)) == "missing=0"


def test_other_places(write, tmp_path, cube, read):
    read(gdal.Open(write(DEMO)), *WINDOW)
    (tmp_path / "deep").mkdir()
    for place in "../cube", str(cube), "./../cube/":
        path = write({"place": place}, "deep/there.sgc")
        assert missing(gdal.Open(path)) == "missing=0"


def test_a_link_is_the_file_that_it_leads_to(write, tmp_path, cube, read):
    read(gdal.Open(write(DEMO)), *WINDOW)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "other.sgc").symlink_to("../mine.sgc")
    assert missing(gdal.Open(str(tmp_path / "links" / "other.sgc"))) == "missing=0"


def test_a_backslash_before_zeros_is_no_nul(write, tmp_path):
    assert missing(gdal.Open(write({**DEMO, "place": "a\\u0000"}))) == "missing=1"


def test_a_file_in_memory(write, cube, read):
    gdal.FileFromMemBuffer("/vsimem/there.sgc", json.dumps({**DEMO, "place": str(cube)}))
    read(gdal.Open("/vsimem/there.sgc"), *WINDOW)
    assert missing(gdal.Open("SGC:%s" % cube)) == "missing=0"
    gdal.Unlink("/vsimem/there.sgc")


def test_names_with_the_separators_of_options(write, tmp_path, read):
    strange = "a,time=b&c?d%20e"
    (tmp_path / strange).mkdir()
    read(gdal.Open(write({**DEMO, "place": strange}, strange + "/x.sgc")), *WINDOW)
    assert (tmp_path / strange / strange / "chunks").is_dir()


def test_a_dataset_in_its_default_place(write, tmp_path, read):
    read(gdal.Open(write({"dataset": "demo", "options": {"chunk_size": "16"}})), *WINDOW)
    assert (tmp_path / "cubes" / "Demo.icechunk" / "chunks").is_dir()


def test_a_definition_beside_the_file(write, tmp_path):
    definition = {
        "type": "CubeDataset", "version": "1", "id": "small", "proj:code": "EPSG:3413",
        "proj:transform": [40, 0, -2000000, 0, -40, 2000000], "proj:shape": [100, 200], "chunk_shape": [100, 100],
        "bands": [{"name": "h", "data_type": "float32"}], "source": {"kind": "synthetic"}}
    (tmp_path / "small.json").write_text(json.dumps(definition))
    raster = gdal.Open(write({"place": "new", "dataset": "small.json", "options": {"create": True}}))
    assert (raster.RasterXSize, raster.RasterYSize) == (200, 100)


def test_open_options_win(write, read):
    path = write({**DEMO, "options": {**DEMO["options"], "download": False, "on_missing": "FAIL"}})
    with pytest.raises(RuntimeError, match="DOWNLOAD=NO"):
        read(gdal.Open(path), *WINDOW)
    read(gdal.OpenEx(path, open_options=["DOWNLOAD=YES"]), *WINDOW)


def test_what_programs_see(write, cube, run, tmp_path, read):
    path = write("\ufeff\n " + json.dumps(DEMO))
    dataset = gdal.OpenEx(path)
    read(dataset, *WINDOW)
    assert dataset.GetDriver().ShortName == "SGC"
    assert dataset.GetFileList() == [path] and dataset.GetDescription() == path
    assert dataset.GetLayer(0).GetName() == "patches"
    text = run(["gdalinfo", path]).stdout
    assert "Files: %s\n" % path in text and "Driver: SGC" in text
    assert "patches" in run(["ogrinfo", path]).stdout
    assert "Load 1 chunk" in run(["sgc", "log", path]).stdout
    run(["gdal_translate", "-of", "VRT", "-srcwin", *WINDOW, path, tmp_path / "part.vrt"])
    assert (read(gdal.Open(str(tmp_path / "part.vrt")), 0, 0, 16, 16) == read(dataset, *WINDOW)).all()
    assert sorted(os.listdir(tmp_path)) == ["cube", "mine.sgc", "part.vrt", "work"]
    assert gdal.GetDriverByName("SGC").GetMetadataItem(gdal.DMD_EXTENSIONS) == "sgc"


def test_upper_case_extension(write):
    assert gdal.Open(write({"dataset": "Demo"}, "MINE.SGC")).RasterXSize == 100000


@pytest.mark.parametrize("content, messages", [
    ("{", ["mine.sgc: must be a JSON object"]),
    ('{"place": "cube"} rest', ["mine.sgc: must be a JSON object"]),
    ({}, ['mine.sgc: needs "place" or "dataset"']),
    ({"options": {"create": True}}, ['mine.sgc: needs "place" or "dataset"']),
    ({"place": 7}, ["mine.sgc: /place: must be a text"]),
    ({"place": ""}, ["not a cube"]),
    ({"dataset": ""}, ["mine.sgc", "needs a dataset or a place"]),
    ({"place": "cube", "dataset": ["Demo"]}, ["mine.sgc: /dataset: must be a text"]),
    ({"place": "cube", "colour": "red"}, ["mine.sgc: /colour: unknown key (known are place, dataset, options)"]),
    ({"place": "cube", "options": ["time=2020"]}, ["mine.sgc: /options: must be an object"]),
    ({"place": "cube", "options": {"time": None}}, ["mine.sgc: /options/time: must be a text, a number"]),
    ({"place": "cube", "options": {"time": {}}}, ["mine.sgc: /options/time: must be a text, a number"]),
    ({"place": "cube", "options": {"dataset": "Demo"}}, ['mine.sgc: /options/dataset: stands beside "options"']),
    ({"place": "cube", "options": {"a,create": "yes"}}, ["mine.sgc: /options/a,create: is no name"]),
    ({"place": "cube", "options": {"": "yes"}}, ["mine.sgc: /options/: is no name"]),
    ({"dataset": "Demo", "options": {"colour": "red"}}, ['mine.sgc: unknown option "colour"', "CHANNELS"]),
    ({"dataset": "Demo", "options": {"download": "maybe"}}, ["mine.sgc: DOWNLOAD=maybe: must be YES, NO or VIEW"]),
    ({"place": "absent"}, ["mine.sgc: ", "absent holds no cube"]),
    ({"dataset": "Demo", "options": {"channels": "snow"}}, ['mine.sgc: CHANNELS: Demo has no channel "snow"']),
    ({"dataset": "Demo", "options": {"channels": ","}}, ["mine.sgc: CHANNELS names no channel"]),
    ({"dataset": "Demo", "options": {"time": "2020"}}, ["mine.sgc: TIME=2020: Demo has no time axis"]),
    ({"place": "Demo\0", "dataset": "Demo"}, ["mine.sgc: must have no character of code 0"]),
    ('{"place": "cu\0be", "dataset": "Demo"}', ["mine.sgc: must have no character of code 0"]),
])
def test_mistakes(write, failure, content, messages):
    said = failure(gdal.OpenEx, write(content), gdal.OF_RASTER)
    for message in messages:
        assert message in said


def test_files_that_are_none(write, tmp_path):
    """What another program may call *.sgc is left to other drivers, and says nothing of SGC."""
    (tmp_path / "directory.sgc").mkdir()
    for path in (write(""), write("not JSON"), write('{"dataset": "Demo"}', "mine.json"), str(tmp_path / "no.sgc"),
                 str(tmp_path / "directory.sgc")):
        with pytest.raises(RuntimeError) as failure:
            gdal.Open(path)
        assert "SGC:" not in str(failure.value)
