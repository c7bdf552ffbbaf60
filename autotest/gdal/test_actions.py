"""How many chunks of which levels each action of a client loads, and how many files it asks for, from an empty cube
and a server that counts. Done again it asks for nothing; and it leaves no file but what it was to make."""
from concurrent.futures import ThreadPoolExecutor
import json

import numpy as np
from osgeo import gdal
import pytest

from conftest import FileServer

SIDE, CHUNK, TILE = 1024, 128, 256
PIXEL, WEST, SOUTH = 10, 500000, 4000000
NORTH, EAST = SOUTH + PIXEL * SIDE, WEST + PIXEL * SIDE
ALL = (SIDE // CHUNK) ** 2
LEVELS = {factor: max(SIDE // factor // (CHUNK // 4), 1) ** 2 for factor in (2, 4, 8, 16, 32)}
ALL_FILES = (SIDE // TILE) ** 2
WINDOW = (150, 250, 200, 150)  # 2 x 3 chunks, in 2 x 2 files
PART = (WEST + 1500, NORTH - 4000, WEST + 3500, NORTH - 2500)  # the same: west, south, east, north


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("served")
    values = np.arange(TILE, dtype=np.float32)
    for row, column in np.ndindex(SIDE // TILE, SIDE // TILE):
        tile = gdal.GetDriverByName("GTiff").Create(str(directory / ("%d_%d.tif" % (row, column))), TILE, TILE, 2,
                                                    gdal.GDT_Float32, ["TILED=YES", "COMPRESS=DEFLATE"])
        tile.SetGeoTransform((WEST + PIXEL * TILE * column, PIXEL, 0, SOUTH + PIXEL * TILE * (row + 1), 0, -PIXEL))
        for band in (1, 2):
            tile.GetRasterBand(band).WriteArray(1000 * row + 100 * column + np.add.outer(values, values / band))
        tile.BuildOverviews("AVERAGE", [2, 4, 8])
        del tile
    server = FileServer(directory)
    yield server
    server.close()


@pytest.fixture
def changes():
    """Of the definition."""
    return {}


@pytest.fixture
def name(server, cube, tmp_path, changes):
    """The name of an empty cube."""
    path = tmp_path / "counted.json"
    path.write_text(json.dumps({
        "type": "CubeDataset", "version": "1", "id": "counted", "proj:code": "EPSG:32633",
        "proj:transform": [PIXEL, 0, WEST, 0, -PIXEL, NORTH], "proj:shape": [SIDE, SIDE],
        "chunk_shape": [CHUNK, CHUNK],
        "bands": [{"name": "height", "data_type": "float32", "nodata": -9999, "resampling": "average"}], **changes,
        "source": {"kind": "tiles", "href": server.url + "/{row}_{col}.tif",
                   "tile": {"origin": [WEST, SOUTH], "size": [PIXEL * TILE, PIXEL * TILE], "first": [0, 0]}}}))
    server.reset()
    return "SGC:%s,dataset=%s,create=yes" % (cube, path)


def loaded(name):
    """The number of complete chunks of each level that has some, by its factor."""
    dataset = gdal.Open(name)
    band = dataset.GetRasterBand(1)
    levels = [band] + [band.GetOverview(i) for i in range(band.GetOverviewCount())]
    counts = {SIDE // level.XSize: int(level.GetDataset().GetMetadataItem("CHUNKS_COMPLETE", "SGC")) for level in levels}
    return {factor: count for factor, count in counts.items() if count > 0}


@pytest.fixture
def assert_loads(name, server, tmp_path, own_directory):
    """assert_loads(action, chunks, files, makes=…) calls action(name) twice; the first time it loads so many chunks,
    from so many files. A range may stand for a number."""

    def fits(number, expected):
        return number in expected if isinstance(expected, range) else number == expected

    def check(action, chunks, files, makes=()):
        before = {p.name for p in tmp_path.iterdir()}
        action(name)
        asked = server.paths()
        found = loaded(name)
        assert all(fits(found.get(factor, 0), chunks.get(factor, 0)) for factor in {**chunks, **found}), found
        assert fits(len(asked), files), sorted(asked)
        server.reset()
        action(name)
        assert server.log() == []
        assert loaded(name) == found
        assert {p.name for p in (tmp_path / "work").iterdir()} == set(makes)
        assert {p.name for p in tmp_path.iterdir()} - before == ({"cube"} if found else set())
        assert not list(tmp_path.rglob("*.aux.xml"))

    return check


# Programs: what they load, from how many files

EVERYTHING = {1: ALL}, ALL_FILES
NOTHING = {}, 0
A_WINDOW = {1: 6}, 4
EVERY_LEVEL = {1: ALL, **LEVELS}, ALL_FILES
QUARTER = {4: LEVELS[4]}, ALL_FILES
COMMANDS = {
    "gdalinfo {in}": NOTHING,
    "gdalinfo -json {in}": NOTHING,
    "gdalinfo -approx_stats {in}": NOTHING,
    "gdalinfo -stats {in}": EVERYTHING,
    "gdalinfo -mm {in}": EVERYTHING,
    "gdalinfo -hist {in}": EVERYTHING,
    "gdalinfo -checksum {in}": EVERY_LEVEL,
    "gdal_translate {in} {out}.tif": EVERYTHING,
    "gdal_translate -srcwin 150 250 200 150 {in} {out}.tif": A_WINDOW,
    "gdal_translate -projwin %d %d %d %d {in} {out}.tif" % (PART[0], PART[3], PART[2], PART[1]): A_WINDOW,
    "gdal_translate -srcwin 150 250 200 150 -co TILED=YES -co BLOCKXSIZE=64 -co BLOCKYSIZE=64 {in} {out}.tif": A_WINDOW,
    "gdal_translate -outsize 25% 25% {in} {out}.tif": QUARTER,
    "gdal_translate -outsize 256 256 -r bilinear {in} {out}.tif": QUARTER,
    "gdal_translate -tr 40 40 -r average {in} {out}.tif": QUARTER,
    "gdal_translate -outsize 50 38 -srcwin 150 250 200 150 {in} {out}.tif": ({4: 6}, 4),
    "gdal_translate -of VRT {in} {out}.vrt": NOTHING,
    "gdal_translate -of VRT -srcwin 150 250 200 150 -outsize 50% 50% {in} {out}.vrt": NOTHING,
    "gdal_translate -of COG {in} {out}.tif": EVERY_LEVEL,  # whose overviews are ours
    "gdal_translate -of COG -co OVERVIEWS=NONE {in} {out}.tif": EVERYTHING,
    "gdalwarp -overwrite {in} {out}.tif": EVERYTHING,
    "gdalwarp -overwrite -multi -wo NUM_THREADS=2 {in} {out}.tif": EVERYTHING,
    "gdalwarp -overwrite -t_srs EPSG:32632 {in} {out}.tif": EVERYTHING,
    "gdalwarp -overwrite -te %d %d %d %d {in} {out}.tif" % PART: A_WINDOW,
    "gdalwarp -overwrite -te %d %d %d %d -r cubic {in} {out}.tif" % PART: A_WINDOW,
    "gdaldem hillshade {in} {out}.tif": EVERYTHING,
    "gdallocationinfo {in} 150 250": ({1: 1}, 1),
    "gdallocationinfo {in} 150 250 -overview 1": ({2: range(1, 5)}, 1),  # GDAL 3.13 reads 64 x 64 pixels
    "gdalbuildvrt {out}.vrt {in}": NOTHING,
    "gdalbuildvrt -separate {out}.vrt {in} {in}": NOTHING,
    "gdalsrsinfo {in}": NOTHING,
    "ogrinfo -al {in}": NOTHING,
}


@pytest.fixture
def assert_command_loads(assert_loads, run):
    def check(command, chunks, files, fails=False):
        words = command.split()
        makes = {word.format(out="out") for word in words if word.startswith("{out}.")}
        assert_loads(lambda name: run([word.format(**{"in": name, "out": "out"}) for word in words], fails=fails),
                     chunks, files, makes)

    return check


@pytest.mark.parametrize("command", COMMANDS)
def test_program(assert_command_loads, command):
    assert_command_loads(command, *COMMANDS[command])


# Two channels, loaded together or each by itself

BOTH = {"bands": [{"name": name, "band": band, "data_type": "float32", "nodata": -9999, "resampling": "average"}
                  for band, name in ((1, "height"), (2, "other"))]}
EACH = {**BOTH, "fill": "channels"}
TWICE = {1: 2 * ALL}, ALL_FILES
TWO_CHANNELS = {
    "gdalinfo -stats {in}": (TWICE, TWICE),
    "gdal_translate {in} {out}.tif": (TWICE, TWICE),
    "gdal_translate -co INTERLEAVE=BAND {in} {out}.tif": (TWICE, TWICE),
    "gdal_translate -b 2 {in} {out}.tif": (TWICE, EVERYTHING),
    "gdal_translate -outsize 256 256 -r bilinear {in} {out}.tif": 2 * [({4: 2 * LEVELS[4]}, ALL_FILES)],
    "gdal_translate -of VRT {in} {out}.vrt": (NOTHING, NOTHING),
    "gdalwarp -overwrite -te %d %d %d %d {in} {out}.tif" % PART: 2 * [({1: 12}, 4)],
    "gdallocationinfo {in} 150 250": 2 * [({1: 2}, 1)],
    "gdallocationinfo -b 1 {in} 150 250": (({1: 2}, 1), ({1: 1}, 1)),
    "gdalbuildvrt -separate {out}.vrt {in}": (NOTHING, NOTHING),
}


@pytest.mark.parametrize("changes", [BOTH, EACH], ids=["together", "each"])
@pytest.mark.parametrize("command", TWO_CHANNELS)
def test_two_channels(assert_command_loads, changes, command):
    assert_command_loads(command, *TWO_CHANNELS[command][changes is EACH])


# What changes a raster

@pytest.mark.parametrize("command", ["gdaladdo -ro {in} 2 4", "gdaladdo -clean {in}", "gdal_edit.py -stats {in}"])
def test_program_that_changes_a_raster(assert_command_loads, command):
    """A cube is read-only; nothing stays beside it."""
    assert_command_loads(command, *NOTHING, fails=True)


def test_gdal_deletes_no_cube(name, cube, driver, contents_of):
    gdal.Open(name).ReadRaster(*WINDOW)
    before = contents_of(cube)
    for call in (lambda: driver.Delete(name), lambda: driver.Rename("moved", name), lambda: driver.CopyFiles("copy", name)):
        with pytest.raises(RuntimeError):
            call()
    assert contents_of(cube) == before


@pytest.mark.parametrize("resampling", ["near", "average"])
def test_warp_to_a_coarse_target(assert_loads, run, name, resampling):
    """Which level that is GDAL decides; the whole of it is loaded, and nothing else."""
    def action(name):
        run(["gdalwarp", "-overwrite", "-r", resampling, "-tr", 50, 50, name, "out.tif"])

    assert_loads(action, {2: range(LEVELS[2] + 1), 4: range(LEVELS[4] + 1)}, ALL_FILES, {"out.tif"})
    (factor, count), = loaded(name).items()
    assert count == LEVELS[factor]


# Python: what a function of an open dataset loads

def announce(dataset):
    for _ in range(2):
        dataset.GetRasterBand(1).AdviseRead(0, 0, SIDE, SIDE)
        dataset.AdviseRead(0, 0, SIDE, SIDE)  # which tells a band from GDAL 3.7 on


def announce_and_read(dataset):
    """A strip of what was announced loads ahead: enough chunks for all workers."""
    dataset.GetRasterBand(1).AdviseRead(0, 0, SIDE, SIDE)
    dataset.ReadRaster(0, 0, SIDE, 10)


def cache_blocks(dataset):
    gdal.SetThreadLocalConfigOption("GDAL_FORCE_CACHING", "YES")
    try:
        again = gdal.Open(dataset.GetDescription())
        again.ReadRaster(*WINDOW)
        again.GetRasterBand(1).ReadRaster(*WINDOW)
    finally:
        gdal.SetThreadLocalConfigOption("GDAL_FORCE_CACHING", None)


def compute_exact_statistics(dataset):
    band = dataset.GetRasterBand(1)
    band.ComputeRasterMinMax(False)
    band.ComputeStatistics(False)
    band.GetHistogram(0, 100, 10, approx_ok=False)


def add_to_qgis(dataset):
    """QGIS's provider: what it asks for a new layer, and once more for the renderer's clone."""
    for opened in (dataset, gdal.OpenEx(dataset.GetDescription(), gdal.OF_RASTER | gdal.OF_VECTOR | gdal.OF_GNM)):
        band = opened.GetRasterBand(1)
        band.GetStatistics(True, False)
        band.ComputeStatistics(True)
        band.GetHistogram(-0.5, 255.5, 250000, approx_ok=True)
        band.GetOverviewCount(), band.GetNoDataValue(), band.GetColorTable(), band.GetCategoryNames()
        opened.GetMetadata_List("SUBDATASETS"), opened.GetGeoTransform(), opened.GetSpatialRef(), opened.GetFileList()


def look_from_far_in_qgis(dataset):
    dataset.GetRasterBand(1).ReadRaster(0, 0, SIDE, SIDE, 600, 600)


def look_closely_in_qgis(dataset):
    dataset.GetRasterBand(1).ReadRaster(60, 200, 801, 601, 801, 601)


def identify_in_qgis(dataset):
    dataset.GetRasterBand(1).ReadRaster(WINDOW[0], WINDOW[1], 2, 2)


def read_classic_view(dataset):
    group = gdal.OpenEx(dataset.GetDescription(), gdal.OF_MULTIDIM_RASTER).GetRootGroup()
    array = group.OpenMDArray("height")
    view = array.AsClassicDataset(1, 0)
    view.ReadRaster(*WINDOW)


def annotate(dataset):
    """What GDAL keeps in files beside the rasters of other formats."""
    band = dataset.GetRasterBand(1)
    for owner in (dataset, band):
        owner.SetDescription("described")
        owner.SetMetadataItem("KEY", "value")
        owner.SetMetadata({"KEY": "value"}, "DOMAIN")
    band.SetStatistics(1, 2, 3, 4)
    dataset.FlushCache()


def look_around(dataset):
    for i in range(dataset.GetRasterBand(1).GetOverviewCount()):
        level = dataset.GetRasterBand(1).GetOverview(i)
        # GDAL resamples several bands through it, in its coordinates.
        assert (level.GetDataset().RasterXSize, level.GetDataset().RasterYSize) == (level.XSize, level.YSize)
    dataset.GetRasterBand(1).GetMetadataItem("Pixel_5_5", "LocationInfo")
    dataset.GetMetadataItem("Window_0_0_500_500", "SGC")
    dataset.GetRasterBand(1).GetDataCoverageStatus(0, 0, SIDE, SIDE)


PYTHON = [
    (announce, {}, 0),
    (announce_and_read, {1: 2 * SIDE // CHUNK}, SIDE // TILE),
    (lambda d: d.ReadAsArray(*WINDOW), {1: 6}, 4),
    (lambda d: d.GetRasterBand(1).ReadAsArray(*WINDOW), {1: 6}, 4),
    (lambda d: d.ReadAsArray(*WINDOW, buf_xsize=50, buf_ysize=38), {4: 6}, 4),
    (lambda d: d.GetRasterBand(1).GetOverview(1).ReadAsArray(40, 70, 20, 20), {4: 1}, 1),
    (lambda d: d.GetRasterBand(1).ReadBlock(1, 2), {1: 1}, 1),
    (cache_blocks, {1: 6}, 4),
    (lambda d: d.GetRasterBand(1).GetMaskBand().ReadRaster(*WINDOW), {1: 6}, 4),
    (compute_exact_statistics, {1: ALL}, ALL_FILES),
    (add_to_qgis, {}, 0),
    (look_from_far_in_qgis, {2: LEVELS[2]}, ALL_FILES),
    (look_closely_in_qgis, {1: 7 * 6}, 4 * 4),
    (identify_in_qgis, {1: 1}, 1),
    (read_classic_view, {1: 6}, 4),
    (look_around, {}, 0),
    (annotate, {}, 0),
]


@pytest.mark.parametrize("action, chunks, files", PYTHON)
def test_python(assert_loads, action, chunks, files):
    assert_loads(lambda name: action(gdal.Open(name)), chunks, files)


# What was announced, and then not read, or otherwise

PIXEL_WITHIN = (500, 900, 1, 1)
STRIP = (0, 0, SIDE, 10)
ROW = SIDE // CHUNK  # chunks of a strip


def announce_all(dataset):
    dataset.GetRasterBand(1).AdviseRead(0, 0, SIDE, SIDE)


def announce_by_vrt(dataset):
    gdal.Translate("/vsimem/announced.vrt", dataset, format="VRT")
    gdal.Unlink("/vsimem/announced.vrt")


def announce_by_warped_vrt(dataset):
    gdal.Warp("/vsimem/announced.vrt", dataset, format="VRT", dstSRS="EPSG:32632")
    gdal.Unlink("/vsimem/announced.vrt")


@pytest.mark.parametrize("announce_it", [announce_all, announce_by_vrt, announce_by_warped_vrt])
@pytest.mark.parametrize("window", [PIXEL_WITHIN, (0, 0, 10, 10)], ids=["inside", "in the corner"])
def test_small_read_after_an_announcement(name, announce_it, window):
    dataset = gdal.Open(name + ",max_download=200kB")  # 64 chunks are estimated at 4.2 MB
    announce_it(dataset)
    dataset.ReadRaster(*window)
    assert loaded(name) == {1: 1}


@pytest.mark.parametrize("before, chunks", [
    ((0, 0, SIDE, CHUNK), 3 * ROW),  # goes on
    ((0, 0, SIDE - 1, CHUNK), 2 * ROW),
    ((0, 0, SIDE, 10), 2 * ROW),
    (PIXEL_WITHIN, 1 + ROW),
])
def test_reads_that_do_something_else_end_an_announcement(name, before, chunks):
    dataset = gdal.Open(name)
    gdal.Open(name).ReadRaster(*before)  # nothing of it is left to be loaded
    announce_all(dataset)
    dataset.ReadRaster(*before)
    dataset.ReadRaster(0, CHUNK, SIDE, 10)
    assert loaded(name) == {1: chunks}


def test_announcement_beyond_the_budget(name, failure):
    """A copy fails before anything is loaded; who reads on after that has announced nothing."""
    dataset = gdal.Open(name + ",max_download=600kB")
    announce_all(dataset)
    assert "this read needs %d chunks (about 4.2 MB)" % ALL in failure(dataset.ReadRaster, *STRIP)
    assert loaded(name) == {}
    dataset.ReadRaster(*STRIP)
    assert loaded(name) == {1: ROW}
    assert "this read needs %d chunks (about 524.3 kB)" % ROW in failure(dataset.ReadRaster, 0, CHUNK, SIDE, 10)


def test_announcement_of_what_cannot_be_fetched(name, server):
    """The read of a strip above is not about that."""
    server.fault("/0_0.tif", status=403)
    dataset = gdal.Open(name)
    dataset.GetRasterBand(1).AdviseRead(0, 5 * CHUNK, SIDE, 3 * CHUNK)
    dataset.ReadRaster(0, 5 * CHUNK, SIDE, 10)
    with pytest.raises(RuntimeError, match="403"):
        dataset.ReadRaster(0, 6 * CHUNK, SIDE, 10)


# What a failed read has downloaded

def refused(server):
    server.fault("/3_1.tif", status=403)
    return None


def stopped(server):
    server.fault("/3_1.tif", delay_ms=3600000)
    return lambda fraction, text, data: fraction < 0.4


@pytest.mark.parametrize("end", [refused, stopped])
def test_failed_reads_count_against_the_budget(name, server, end):
    """The left one of two chunks comes, from a file of its own."""
    dataset = gdal.Open(name + ",max_requests=1,max_download=200kB")  # three chunks
    with pytest.raises(RuntimeError, match="403|cancelled"):
        dataset.ReadRaster(TILE - CHUNK, 0, 2 * CHUNK, CHUNK, callback=end(server))
    assert loaded(name) == {1: 1}
    with pytest.raises(RuntimeError, match="MAX_DOWNLOAD leaves"):
        dataset.ReadRaster(0, 4 * CHUNK, 3 * CHUNK, CHUNK)
    dataset.ReadRaster(0, 4 * CHUNK, CHUNK, CHUNK)
    assert loaded(name) == {1: 2}


@pytest.mark.parametrize("changes", [{"chunk_shape": [2 * TILE, 2 * TILE]}])
def test_unfinished_chunks_count_against_the_budget(name, server):
    """As much as has been received for them."""
    refused(server)
    dataset = gdal.Open(name + ",max_download=450kB")  # a chunk is estimated at 419 kB
    with pytest.raises(RuntimeError, match="403"):
        dataset.ReadRaster(0, 0, 1, 1)
    with pytest.raises(RuntimeError, match="MAX_DOWNLOAD leaves"):
        dataset.ReadRaster(2 * TILE, 2 * TILE, 1, 1)
    assert loaded(name) == {}


def copy_too_much(dataset):
    with pytest.raises(RuntimeError, match="this read needs"):
        gdal.GetDriverByName("MEM").CreateCopy("", dataset)


def copy_cancelled(dataset):
    calls = []
    with pytest.raises(RuntimeError, match="cancelled"):
        gdal.GetDriverByName("MEM").CreateCopy("", dataset, callback=lambda *call: calls.append(call) or len(calls) < 3)


@pytest.mark.parametrize("fail, budget", [(copy_too_much, "600kB"), (copy_cancelled, "10MB")])
def test_announcement_of_a_copy_that_failed(name, fail, budget):
    dataset = gdal.Open(name + ",max_download=" + budget)
    fail(dataset)
    before = loaded(name).get(1, 0)
    dataset.ReadRaster(*PIXEL_WITHIN)
    assert loaded(name) == {1: before + 1}


@pytest.mark.skipif(not hasattr(gdal, "OF_THREAD_SAFE"), reason="GDAL has no thread-safe datasets before 3.10")
def test_thread_safe_dataset(assert_loads):
    def action(name):
        dataset = gdal.OpenEx(name, gdal.OF_RASTER | gdal.OF_THREAD_SAFE)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda i: dataset.ReadRaster(WINDOW[0] + 10 * i, *WINDOW[1:]), range(4)))

    assert_loads(action, {1: 6}, 4)


def read_masked(cube, window):
    cube.read(masked=True, window=window)


def read_by_mask(cube, window):
    cube.dataset_mask(window=window)


def decimate(cube, window):
    cube.read(window=window, out_shape=(1, 38, 50))


def sample(cube, window):
    points = [(WEST + PIXEL * x + 5, NORTH - PIXEL * y - 5) for x, y in ((0, 0), (5, 9), (SIDE - 1, SIDE - 1))]
    list(cube.sample(points))


def tell(cube, window):
    cube.meta, cube.profile, cube.tags(), cube.overviews(1), cube.mask_flag_enums, cube.files, cube.tags(ns="SGC")


@pytest.mark.parametrize("action, chunks, files", [
    (lambda cube, window: cube.read(window=window), {1: 6}, 4), (read_masked, {1: 6}, 4), (read_by_mask, {1: 6}, 4),
    (decimate, {4: 6}, 4), (sample, {1: 2}, 2), (tell, {}, 0)])
def test_rasterio(assert_loads, action, chunks, files):
    rasterio = pytest.importorskip("rasterio")

    def read(name):
        with rasterio.open(name) as cube:
            action(cube, rasterio.windows.Window(*WINDOW))

    assert_loads(read, chunks, files)
