"""What cubes say about themselves: what values mean, where pixels come from, and what is in the cube."""
import json
import math
import re
import xml.etree.ElementTree as xml

import numpy as np
from osgeo import gdal
import pytest

SIDE, CHUNK = 1024, 256
DATA, EMPTY = gdal.GDAL_DATA_COVERAGE_STATUS_DATA, gdal.GDAL_DATA_COVERAGE_STATUS_EMPTY
UNKNOWN = gdal.GDAL_DATA_COVERAGE_STATUS_UNIMPLEMENTED | DATA
NAMES = {"10": "Trees", "80": "Water", "90": "Reed"}
COLORS = {"10": "#006400", "80": "#0064c8", "95": "#00cf75"}


@pytest.fixture
def source(tmp_path):
    """source(type, bands) writes a raster with nothing in the first of its 16 chunks, and gives its path."""

    def write(data_type=gdal.GDT_Byte, bands=1):
        path = tmp_path / "source.tif"
        file = gdal.GetDriverByName("GTiff").Create(str(path), SIDE, SIDE, bands, data_type)
        file.SetGeoTransform((0, 30, 0, 0, 0, -30))
        values = np.random.default_rng(3).choice([10, 80], (SIDE, SIDE)).astype(np.uint8)
        values[:CHUNK, :CHUNK] = 0
        for i in range(bands):
            file.GetRasterBand(i + 1).SetNoDataValue(0)
            file.GetRasterBand(i + 1).WriteRaster(0, 0, SIDE, SIDE, values.tobytes(), buf_type=gdal.GDT_Byte)
        if gdal.GetDataTypeSize(data_type) < 64:  # GDAL 3.6 makes no overviews of others, for ever
            file.BuildOverviews("NEAREST", [2, 4])
        return path

    return write


@pytest.fixture
def open_cube(source, open_document):
    """open_cube(*bands, OPTION=value, …) opens a cube with such bands; DOCUMENT={…} adds to its definition."""

    opened = []  # bands do not outlive their datasets

    def open_it(*bands, data_type="uint8", DOCUMENT={}, **options):
        bands = bands or ({},)
        types = {"uint8": gdal.GDT_Byte, "bool": gdal.GDT_Byte, "int32": gdal.GDT_Int32, "uint32": gdal.GDT_UInt32,
                 "int64": gdal.GDT_Int64, "uint64": gdal.GDT_UInt64}
        opened.append(open_document({
            "type": "CubeDataset", "version": "1", "id": "classes", "proj:code": "EPSG:3413",
            "proj:transform": [30, 0, 0, 0, -30, 0], "proj:shape": [SIDE, SIDE], "chunk_shape": [CHUNK, CHUNK],
            "bands": [{"name": "b%d" % i, "data_type": data_type, "nodata": 0, "band": i + 1, "resampling": "nearest",
                       **band} for i, band in enumerate(bands)],
            "source": {"kind": "gdal", "dataset": str(source(types[data_type], len(bands)))}, **DOCUMENT}, **options))
        return opened[-1]

    return open_it


# What values mean

CLASSES = {"categories": NAMES, "colors": COLORS}


def check_classes(band):
    names = band.GetCategoryNames()
    assert {i: name for i, name in enumerate(names) if name} == {10: "Trees", 80: "Water", 90: "Reed"}
    colors = band.GetColorTable()
    assert colors.GetColorEntry(10) == (0, 100, 0, 255)
    assert colors.GetColorEntry(80) == (0, 100, 200, 255)
    assert band.GetColorInterpretation() == gdal.GCI_PaletteIndex
    table = band.GetDefaultRAT()
    assert [(table.GetNameOfCol(i), table.GetUsageOfCol(i)) for i in range(table.GetColumnCount())] == [
        ("Value", gdal.GFU_MinMax), ("Class", gdal.GFU_Name), ("Red", gdal.GFU_Red), ("Green", gdal.GFU_Green),
        ("Blue", gdal.GFU_Blue), ("Alpha", gdal.GFU_Alpha)]
    rows = [[table.GetValueAsString(row, column) for column in range(6)] for row in range(table.GetRowCount())]
    assert rows == [["10", "Trees", "0", "100", "0", "255"], ["80", "Water", "0", "100", "200", "255"],
                    ["90", "Reed", "0", "0", "0", "0"], ["95", "", "0", "207", "117", "255"]]


def test_categories_and_colours(open_cube):
    dataset = open_cube(CLASSES)
    band = dataset.GetRasterBand(1)
    check_classes(band)
    check_classes(band)  # made once
    assert band.GetColorTable().GetColorEntry(11)[3] == 0
    check_classes(band.GetOverview(1))


def test_gdal_translate_keeps_them(open_cube, assert_pixels):
    dataset = open_cube(CLASSES)
    copy = gdal.Translate("copy.tif", dataset)
    check_classes(copy.GetRasterBand(1))
    assert_pixels(copy.ReadAsArray(), dataset.ReadAsArray())


def test_names_without_colours(open_cube):
    dataset = open_cube({"categories": NAMES}, {})
    band = dataset.GetRasterBand(1)
    assert band.GetCategoryNames()[80] == "Water"
    assert band.GetColorTable() is None
    assert band.GetColorInterpretation() != gdal.GCI_PaletteIndex
    assert band.GetDefaultRAT().GetColumnCount() == 2
    plain = dataset.GetRasterBand(2)
    assert (plain.GetCategoryNames(), plain.GetColorTable(), plain.GetDefaultRAT()) == (None, None, None)


@pytest.mark.parametrize("data_type, value", [("int32", -70000), ("uint32", 4000000000)])
def test_values_that_have_no_place_in_a_list(open_cube, data_type, value):
    dataset = open_cube({"categories": {str(value): "far", "7": "near"}, "colors": {"7": "#000001"}}, data_type=data_type)
    band = dataset.GetRasterBand(1)
    assert not band.GetCategoryNames()
    assert band.GetColorTable() is None
    table = band.GetDefaultRAT()
    assert {(table.GetValueAsDouble(row, 0), table.GetValueAsString(row, 1)) for row in range(2)} == {
        (value, "far"), (7, "near")}


# Nodata, masks and how pixels are kept

@pytest.mark.parametrize("data_type, nodata", [("int64", -9007199254740993), ("uint64", 18446744073709551614)])
def test_nodata_of_64_bits(open_cube, data_type, nodata):
    dataset = open_cube({"nodata": nodata}, data_type=data_type, DOWNLOAD="NO", ON_MISSING="NODATA")
    assert dataset.GetRasterBand(1).GetNoDataValue() == nodata
    assert (dataset.ReadAsArray(0, 0, 2, 2) == nodata).all()
    assert dataset.GetRasterBand(1).GetMaskFlags() == gdal.GMF_NODATA


def test_of_a_bool_every_pixel_is_valid(open_cube, read):
    dataset = open_cube({"data_type": "bool"}, {}, CHANNELS="b0,b1")
    flag, number = dataset.GetRasterBand(1), dataset.GetRasterBand(2)
    assert flag.GetNoDataValue() is None
    assert flag.GetMaskFlags() == gdal.GMF_ALL_VALID
    assert (read(flag.GetMaskBand(), 0, 0, CHUNK, CHUNK) == 255).all()
    assert number.GetMaskFlags() == gdal.GMF_NODATA
    assert (read(number.GetMaskBand(), 0, 0, CHUNK, CHUNK) == 0).all()


@pytest.mark.parametrize("second, bits", [({"data_type": "bool"}, "1"), ({}, None)])
def test_a_bit_for_a_bool(open_cube, second, bits):
    dataset = open_cube({"data_type": "bool"}, second, CHANNELS="b0,b1")
    for number in (1, 2):
        assert dataset.GetRasterBand(number).GetMetadataItem("NBITS", "IMAGE_STRUCTURE") == bits


def test_what_is_in_a_vast_cube_costs_what_is_in_it(open_document):
    side = 2_000_000_000
    dataset = open_document({
        "type": "CubeDataset", "version": "1", "id": "vast", "proj:code": "EPSG:3413",
        "proj:transform": [0.001, 0, 0, 0, -0.001, 0], "proj:shape": [side, side], "chunk_shape": [16, 16],
        "bands": [{"name": "elevation", "data_type": "float32"}], "source": {"kind": "gdal", "dataset": "absent.tif"}})
    band = dataset.GetRasterBand(1)
    state = dataset.GetMetadata("SGC")
    assert [state[key] for key in ("CHUNKS", "CHUNKS_COMPLETE")] == [str((side // 16) ** 2), "0"]
    assert band.GetDataCoverageStatus(0, 0, side, side) == [UNKNOWN, 100]
    assert all(math.isnan(value) for value in band.ComputeStatistics(True) or [])


def test_coverage(open_cube, read):
    dataset = open_cube()
    band = dataset.GetRasterBand(1)
    assert band.GetDataCoverageStatus(0, 0, CHUNK, CHUNK) == [UNKNOWN, 100]
    read(dataset, 0, 0, 2 * CHUNK, CHUNK)
    assert band.GetDataCoverageStatus(5, 5, 10, 10) == [EMPTY, 0]
    assert band.GetDataCoverageStatus(CHUNK, 0, 10, 10) == [DATA, 100]
    assert band.GetDataCoverageStatus(CHUNK - 30, 0, 40, 10) == [EMPTY | DATA, 25]
    assert band.GetDataCoverageStatus(0, 0, SIDE, SIDE) == [UNKNOWN, 100]
    assert band.GetOverview(0).GetDataCoverageStatus(0, 0, 10, 10) == [UNKNOWN, 100]


def test_gdal_translate_leaves_holes(open_cube, assert_pixels):
    dataset = open_cube()
    pixels = dataset.ReadAsArray()
    tiles = ["TILED=YES", "BLOCKXSIZE=256", "BLOCKYSIZE=256", "SPARSE_OK=TRUE"]
    gdal.Translate("sparse.tif", dataset, creationOptions=tiles)
    copy = gdal.Open("sparse.tif")
    offsets = [copy.GetRasterBand(1).GetMetadataItem("BLOCK_OFFSET_%d_0" % i, "TIFF") for i in (0, 1)]
    assert offsets[0] is None and offsets[1] is not None
    assert_pixels(copy.ReadAsArray(), pixels)


# Where pixels come from

def test_provenance(open_cube):
    texts = {"title": "Classes", "license": "CC0-1.0", "attribution": "nobody", "sci:citation": "Nobody (2026)",
             "sci:doi": "10.1/x"}
    said = open_cube(DOCUMENT=texts).GetMetadata()
    assert {key: said[key] for key in ("DATASET", "TITLE", "LICENSE", "ATTRIBUTION", "CITATION", "DOI", "BRANCH")} == {
        "DATASET": "classes", "TITLE": "Classes", "LICENSE": "CC0-1.0", "ATTRIBUTION": "nobody",
        "CITATION": "Nobody (2026)", "DOI": "10.1/x", "BRANCH": "main"}
    assert re.fullmatch("gdal .*/source.tif", said["SOURCE"])
    assert "SNAPSHOT" not in said


def test_a_source_is_told_without_secrets(open_cube):
    href = "https://host/{row}_{col}.tif?key={config:KEY}"
    tiles = {"kind": "tiles", "href": href, "tile": {"origin": [0, -30720], "size": [3000, 3000]}}
    assert open_cube(DOCUMENT={"source": tiles}).GetMetadataItem("SOURCE") == "tiles https://host/{row}_{col}.tif"


def test_nor_are_those_of_a_file_that_gdal_opens(open_cube):
    source = {"kind": "gdal", "dataset": "/vsicurl/https://host/a.vrt?key={config:KEY}"}
    assert open_cube(DOCUMENT={"source": source}).GetMetadataItem("SOURCE") == "gdal /vsicurl/https://host/a.vrt"


def newest(run, cube):
    return re.search(r"[0-9A-Z]{20}", run(["sgc", "log", "SGC:%s" % cube]).stdout)[0]


def test_the_snapshot_is_the_one_that_is_shown(open_cube, read, run, cube):
    dataset = open_cube()
    assert dataset.GetMetadataItem("SNAPSHOT") is None
    read(dataset, 0, 0, 10, 10)
    first = newest(run, cube)
    assert dataset.GetMetadataItem("SNAPSHOT") == dataset.GetMetadata()["SNAPSHOT"] == first
    read(dataset, 900, 900, 10, 10)
    second = newest(run, cube)
    assert second != first
    assert dataset.GetMetadata()["SNAPSHOT"] == dataset.GetMetadataItem("SNAPSHOT") == second
    run(["sgc", "tag", "SGC:%s" % cube, "v1"])
    tagged = gdal.Open("SGC:%s,tag=v1" % cube).GetMetadata()
    assert (tagged["TAG"], tagged["SNAPSHOT"], "BRANCH" in tagged) == ("v1", second, False)


# What is in the cube

def counts(dataset):
    said = dataset.GetMetadata("SGC")
    return [int(said[key]) for key in ("CHUNKS", "CHUNKS_COMPLETE", "CHUNKS_EMPTY", "PATCHES_LOADED")]


def test_state(open_cube, read, cube):
    dataset = open_cube()
    assert "SGC" in dataset.GetMetadataDomainList()
    assert counts(dataset) == [16, 0, 0, 0]
    assert dataset.GetMetadata("SGC")["LEVELS"] == ""
    assert not cube.exists()
    read(dataset, 0, 0, 2 * CHUNK, CHUNK)
    assert counts(dataset) == [16, 2, 1, 2]
    said = dataset.GetMetadata("SGC")
    assert (said["PLACE"], said["BRANCH"], said["DOWNLOAD"], said["LEVELS"]) == (str(cube), "main", "YES", "1")
    assert said["SNAPSHOT"] == dataset.GetMetadataItem("SNAPSHOT", "SGC") == dataset.GetMetadataItem("SNAPSHOT")
    assert counts(open_cube(DOWNLOAD="NO")) == [16, 2, 1, 2]
    assert open_cube(DOWNLOAD="NO").GetMetadataItem("DOWNLOAD", "SGC") == "NO"
    assert dataset.GetMetadataItem("NONSENSE", "SGC") is None


def test_state_of_channels_and_levels(open_cube, read):
    dataset = open_cube({}, {}, {})
    overview = dataset.GetRasterBand(2).GetOverview(0)
    read(overview, 0, 0, 64, 64)
    assert counts(dataset) == [48, 0, 0, 0]
    assert counts(overview.GetDataset()) == [192, 3, 3, 0]
    assert dataset.GetMetadataItem("LEVELS", "SGC") == "1,2"


def test_window_at_every_level(open_cube, read):
    dataset = open_cube()
    band = dataset.GetRasterBand(1)
    for part in [band] + [band.GetOverview(i) for i in range(band.GetOverviewCount())]:
        of_dataset, window = part.GetDataset(), "Window_0_0_%d_%d" % (part.XSize, part.YSize)
        chunk = CHUNK if part.XSize == SIDE else CHUNK // 4
        chunks = (-(-part.XSize // chunk)) ** 2
        for asked in (part, of_dataset):
            state = asked.GetMetadataItem(window, "SGC")
            missing, size = re.fullmatch(r"missing=(\d+);bytes=(\d+)", state).groups()
            assert int(missing) == chunks
            assert int(size) >= part.XSize * part.YSize * 0.4
        read(part, 0, 0, part.XSize, part.YSize)
        assert part.GetMetadataItem(window, "SGC") == of_dataset.GetMetadataItem(window, "SGC") == "missing=0;bytes=0"
        for outside in ("Window_0_0_%d_1" % (part.XSize + 1), "Window_-1_0_1_1", "Window_0_0_1_1_", "Window_0_0_0_1"):
            assert part.GetMetadataItem(outside, "SGC") is None


# Which patches a pixel comes from

def patches_at(band, name):
    text = band.GetMetadataItem(name, "LocationInfo")
    return text and [(p.get("id"), p.get("state")) for p in xml.fromstring(text).findall("Patch")]


def test_patches_of_a_pixel(open_cube, read, cube, run):
    dataset = open_cube()
    band = dataset.GetRasterBand(1)
    assert "LocationInfo" in band.GetMetadataDomainList()
    assert patches_at(band, "Pixel_300_10") == [("0-1", "absent")]
    assert not cube.exists()
    read(dataset, 300, 10, 1, 1)
    assert patches_at(band, "Pixel_300_10") == patches_at(band, "GeoPixel_9015.0_-315") == [("0-1", "loaded")]
    assert patches_at(band.GetOverview(0), "Pixel_200_5") == [("0-0", "absent")]  # one for a whole level
    for outside in ("Pixel_1024_0", "Pixel_-1_0", "GeoPixel_-1_-1", "GeoPixel_1e30_0", "Pixel_a_b", "nonsense"):
        assert patches_at(band, outside) is None
    done = run(["gdallocationinfo", "-xml", "SGC:%s" % cube, 300, 10])
    assert 'state="loaded"' in done.stdout


def test_files_of_a_pixel(open_cube, cube):
    tiles = {"kind": "tiles", "href": "https://host/{row}_{col}.tif?key={config:KEY}",
             "tile": {"origin": [0, -30720], "size": [15360, 15360]}}
    dataset = open_cube(DOCUMENT={"source": tiles})
    text = dataset.GetRasterBand(1).GetMetadataItem("Pixel_600_600", "LocationInfo")
    assert [file.text for file in xml.fromstring(text).findall("File")] == ["https://host/1_2.tif"]
    assert not cube.exists()


# The driver

def test_driver_metadata(driver):
    said = driver.GetMetadata()
    assert said["DMD_LONGNAME"] and said["DMD_CONNECTION_PREFIX"] == "SGC:" and said["DMD_SUBDATASETS"] == "YES"
    assert {key: value for key, value in said.items() if key.startswith("DCAP_")}.items() >= {
        "DCAP_RASTER": "YES", "DCAP_OPEN": "YES", "DCAP_VIRTUALIO": "YES"}.items()
    assert {value for key, value in said.items() if key.startswith("DCAP_")} == {"YES"}
    assert not {"DCAP_CREATE", "DCAP_CREATECOPY"} & set(said)


def test_open_options_follow_the_schema_of_gdal(driver):
    known = {"name", "type", "description", "default", "scope", "required", "alias", "aliasOf", "deprecated_alias",
             "min", "max", "maxsize", "alt_config_option"}
    types = {"int", "integer", "unsigned int", "float", "boolean", "string-select", "string"}
    options = xml.fromstring(driver.GetMetadataItem("DMD_OPENOPTIONLIST"))
    assert options.tag == "OpenOptionList" and len(options) > 10
    for option in options:
        assert option.tag == "Option" and set(option.attrib) <= known, option.attrib
        assert re.fullmatch(r"\S+", option.get("name")) and option.get("type") in types and option.get("description")
        assert option.get("alt_config_option") == "SGC_" + option.get("name")
        values = [value.text for value in option]
        assert (option.get("type") == "string-select") == bool(values)
        assert not values or option.get("default") is None or option.get("default") in values


def test_nothing_is_left_beside(open_cube, read, tmp_path, failure):
    dataset = open_cube()
    band = dataset.GetRasterBand(1)
    band.ComputeStatistics(False)
    band.SetMetadataItem("NOTE", "for this handle")
    assert dataset.GetFileList() is None
    del band, dataset
    assert [path.name for path in tmp_path.rglob("*.aux.xml")] == []
    assert "read-only" in failure(gdal.OpenEx, "SGC:%s" % (tmp_path / "cube"), gdal.OF_RASTER | gdal.OF_UPDATE)


@pytest.mark.skipif(int(gdal.VersionInfo()) < 3080000, reason="GDAL knows no parts of names before 3.8")
def test_a_vrt_and_its_cube_move_together(open_cube, cube, tmp_path, assert_pixels):
    pixels = open_cube().ReadAsArray()
    name = "SGC:%s,channels=b0" % cube
    assert (gdal.GetSubdatasetInfo(name).GetPathComponent(), gdal.GetSubdatasetInfo(name).GetSubdatasetComponent()) == (
        str(cube), "channels=b0")
    assert gdal.GetSubdatasetInfo("SGC:Demo") is None
    gdal.Translate(str(tmp_path / "beside.vrt"), name, format="VRT")
    there = tmp_path / "there"
    there.mkdir()
    for moved in ("cube", "beside.vrt"):
        (tmp_path / moved).rename(there / moved)
    assert_pixels(gdal.Open(str(there / "beside.vrt")).ReadAsArray(), pixels)
