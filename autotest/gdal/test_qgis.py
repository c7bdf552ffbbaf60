"""Maps in QGIS: how much of an empty cube a look loads, what stands in the gaps, that no look takes too long.

They run when SGC_TEST_QGIS is 1, in a Python that is called qgis: so the driver takes it for the program."""
import importlib.util
import json
import os
import shutil
import sys

import numpy as np
from osgeo import gdal
import pytest

from conftest import FileServer

pytestmark = [
    pytest.mark.skipif(os.environ.get("SGC_TEST_QGIS") != "1", reason="QGIS is not tested unless SGC_TEST_QGIS is 1"),
    pytest.mark.skipif(importlib.util.find_spec("qgis") is None,
                       reason="there is no qgis: install python3-qgis and qgis-providers")]

SIDE, CHUNK, TILE = 1024, 128, 256
PIXEL, WEST, SOUTH = 10, 500000, 4000000
NORTH, EAST = SOUTH + PIXEL * SIDE, WEST + PIXEL * SIDE
STATISTICS = {"minimum": 0, "maximum": 1000, "mean": 500, "stddev": 200}

# What all scripts begin with: name and the server's address are given.
PRELUDE = """
import gc, json, sys, urllib.request
from osgeo import gdal
from qgis.core import *
from qgis.PyQt.QtCore import QSize

name, server = sys.argv[1:]
application = QgsApplication([], False)
application.initQgis()
found = {}

def open_raster(name, **options):
    layer = QgsRasterLayer(name + "".join(",%s=%s" % option for option in options.items()), "layer", "gdal")
    assert layer.isValid()
    return layer

def job_of(layers, extent=None, size=(512, 512)):
    settings = QgsMapSettings()
    settings.setLayers(layers)
    settings.setDestinationCrs(layers[0].crs())
    settings.setExtent(extent or layers[0].extent())
    settings.setOutputSize(QSize(*size))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    return job

def render(picture, layers, extent=None, size=(512, 512)):
    job = job_of(layers, extent, size)
    job.waitForFinished()
    assert not job.errors(), [error.message for error in job.errors()]
    assert job.renderedImage().save(picture + ".png")

def window(x, y, width, height):
    layer = QgsRasterLayer(name, "layer", "gdal")
    west, north = layer.extent().xMinimum(), layer.extent().yMaximum()
    return QgsRectangle(west + 10 * x, north - 10 * (y + height), west + 10 * (x + width), north - 10 * y)

def stretch_of(layer):
    renderer = layer.renderer()
    contrast = (renderer.redContrastEnhancement if layer.bandCount() > 1 else renderer.contrastEnhancement)()
    return [contrast.minimumValue(), contrast.maximumValue()]

def loaded():
    "The number of complete chunks of each level that has some, by its factor."
    raster = gdal.OpenEx(name, open_options=["DOWNLOAD=NO"])
    band = raster.GetRasterBand(1)
    levels = [band] + [band.GetOverview(i) for i in range(band.GetOverviewCount())]
    counts = {band.XSize // level.XSize: int(level.GetDataset().GetMetadataItem("CHUNKS_COMPLETE", "SGC"))
              for level in levels}
    return {factor: count for factor, count in counts.items() if count > 0}
"""
# Each step in a scope of its own: nothing of QGIS may live longer than it.
END = """
for step in steps:
    found[step.__name__] = step()
    gc.collect()
print(json.dumps(found))
del step, steps
QgsProject.instance().clear()
gc.collect()
application.exitQgis()
"""


def hills(band):
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    large, small = np.sin((band + 1) * x / 57) * np.cos(y / 83), np.sin(x / 7) * np.sin(y / 9)
    return (500 + 300 * large + 100 * small).astype(np.float32)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    directory = tmp_path_factory.mktemp("served")
    pixels = [hills(band) for band in range(3)]
    for row, column in np.ndindex(SIDE // TILE, SIDE // TILE):
        path = directory / ("%d_%d.tif" % (SIDE // TILE - 1 - row, column))  # rows northward
        file = gdal.GetDriverByName("GTiff").Create(str(path), TILE, TILE, 3, gdal.GDT_Float32,
                                                    ["TILED=YES", "COMPRESS=DEFLATE"])
        file.SetGeoTransform((WEST + PIXEL * TILE * column, PIXEL, 0, NORTH - PIXEL * TILE * row, 0, -PIXEL))
        for band in range(3):
            file.GetRasterBand(band + 1).WriteArray(
                pixels[band][row * TILE:(row + 1) * TILE, column * TILE:(column + 1) * TILE])
        file.BuildOverviews("AVERAGE", [2, 4, 8, 16])
        del file
    server = FileServer(directory)
    yield server
    server.close()


@pytest.fixture
def document(server):
    """The definition of a cube of one band."""
    server.reset()
    return {"type": "CubeDataset", "version": "1", "id": "hills", "proj:code": "EPSG:32633",
            "proj:transform": [PIXEL, 0, WEST, 0, -PIXEL, NORTH], "proj:shape": [SIDE, SIDE],
            "chunk_shape": [CHUNK, CHUNK],
            "bands": [{"name": "height", "data_type": "float32", "nodata": -9999, "statistics": STATISTICS}],
            "source": {"kind": "tiles", "href": server.url + "/{row}_{col}.tif",
                       "tile": {"origin": [WEST, SOUTH], "size": [PIXEL * TILE, PIXEL * TILE], "first": [0, 0]}}}


def of_three_bands(document):
    bands = [{**document["bands"][0], "name": "b%d" % band, "band": band + 1} for band in range(3)]
    return {**document, "bands": bands, "fill": "channels"}


@pytest.fixture
def name_of(cube, tmp_path):
    """name_of(definition) is the name of an empty cube."""

    def write(definition):
        path = tmp_path / "definition.json"
        path.write_text(json.dumps(definition))
        return "SGC:%s,dataset=%s,create=yes" % (cube, path)

    return write


@pytest.fixture
def qgis(run, server, tmp_path):
    """qgis(name, script, program=…) runs the functions of a script, and gives what each has returned."""

    def run_script(name, script, program="qgis", **environment):
        os.makedirs("runtime", mode=0o700, exist_ok=True)
        shutil.copy(os.path.realpath(sys.executable), tmp_path / program)
        steps = [line.split("(")[0][4:] for line in script.splitlines() if line.startswith("def ")]
        text = PRELUDE + script + "\nsteps = [%s]\n" % ", ".join(steps) + END
        options = {"QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": os.path.abspath("runtime"), "HOME": os.getcwd(),
                   "PYTHONHOME": sys.base_prefix, **environment}
        return json.loads(run([tmp_path / program, "-c", text, name, server.url], **options).stdout.splitlines()[-1])

    return run_script


def picture(name):
    return gdal.Open(name + ".png").ReadAsArray()[0].astype(int)


def level(document, tmp_path, factor):
    """All pixels of a level, from a cube that has loaded it."""
    path = tmp_path / "whole.json"
    path.write_text(json.dumps(document))
    raster = gdal.Open("SGC:%s,dataset=%s,create=yes" % (tmp_path / "whole", path))
    return raster.ReadAsArray(buf_xsize=SIDE // factor, buf_ysize=SIDE // factor)


LOOKS = """
def add():
    global layer
    layer = open_raster(name)
    return stretch_of(layer), loaded()

def coarse():
    render("coarse", [layer], size=(64, 64))
    return loaded()

def far():
    render("far", [layer])
    return loaded()

def again():
    for _ in range(20):
        render("again", [layer])
    return loaded()

def near():
    render("near", [layer], window(384, 384, 256, 256), (256, 256))
    return loaded()

def pan():
    render("pan", [layer], window(512, 384, 256, 256), (256, 256))
    return loaded()

def identify():
    place = window(100, 900, 1, 1).center()
    result = layer.dataProvider().identify(place, QgsRaster.IdentifyFormatValue).results()
    return [result["1"] if "1" in result else result[1], loaded()]

def close():
    global layer
    del layer
"""


def assert_shows(picture, pixels, low=0, high=1000):
    """Stretched between these bounds, of the statistics if none are given."""
    expected = np.clip((pixels - low) / (high - low) * 255, 0, 255)
    assert np.ptp(expected) > 50 and np.abs(picture - expected).max() <= 1


@pytest.mark.parametrize("how", ["by the host", "by name", "by file"])
def test_looks(qgis, document, name_of, tmp_path, cube, how):
    """The budget bears the coarsest level, which needs all files, or 17 chunks of level 2."""
    name, budget = name_of(document), 1800000
    if how == "by name":
        name = "SGC:%s?dataset=%s&create=yes&download=VIEW" % (cube, tmp_path / "definition.json")
    if how == "by file":
        name = str(tmp_path / "hills.sgc")
        with open(name, "w") as file:
            json.dump({"place": cube.name, "dataset": "definition.json", "options": {"create": True}}, file)
    found = qgis(name, LOOKS, "python3" if how == "by name" else "qgis", SGC_MAX_DOWNLOAD=str(budget))
    fine, coarse, all_pixels = (level(document, tmp_path, factor) for factor in (2, 16, 1))
    coarse = coarse.repeat(8, axis=0).repeat(8, axis=1)

    assert found["add"] == [[0, 1000], {}]
    assert found["coarse"] == {"16": 4}
    assert found["far"] == {"16": 4, "2": 17}
    far, side = picture("far"), CHUNK // 4
    chunks = [np.s_[y:y + side, x:x + side] for y in range(0, SIDE // 2, side) for x in range(0, SIDE // 2, side)]
    is_fine = [np.abs(far[at] - fine[at] / 1000 * 255).max() <= 1 for at in chunks]
    assert sum(is_fine) == 17
    is_fine = np.array(is_fine).reshape(16, 16).repeat(side, axis=0).repeat(side, axis=1)
    assert_shows(far, np.where(is_fine, fine, coarse))
    assert_shows(far[192:320, 192:320], fine[192:320, 192:320])
    assert found["again"] == {"16": 4, "2": 256}
    assert_shows(picture("again"), fine)
    assert found["near"] == {"16": 4, "2": 256, "1": 9}  # QGIS reads a pixel more than it shows
    assert_shows(picture("near"), all_pixels[384:640, 384:640])
    assert found["pan"] == {"16": 4, "2": 256, "1": 12}
    assert_shows(picture("pan"), all_pixels[384:640, 512:768])
    assert found["identify"] == [all_pixels[900, 100], {"16": 4, "2": 256, "1": 13}]


def test_a_program_that_qgis_starts_is_not_qgis(qgis, document, name_of):
    """It loads all it needs, or fails, where a map would show coarser pixels."""
    found = qgis(name_of(document), """
def translate():
    import os, subprocess
    open_raster(name)
    done = []
    for budget in "1.8MB", "1GB":
        command = ["gdal_translate", "-q", "-outsize", "50%", "50%", name, "half.tif"]
        code = subprocess.run(command, env={**os.environ, "SGC_MAX_DOWNLOAD": budget}).returncode
        done.append([code, loaded()])
    return done
""")
    assert found["translate"] == [[1, {}], [0, {"2": 256}]]


LATE = """
def three_bands():
    layer = open_raster(name)
    render("late", [layer])

def cancel():
    layer = open_raster(name)
    job_of([layer]).cancel()

def cancel_and_look_elsewhere():
    layer = open_raster(name)
    job = job_of([layer])
    job.cancelWithoutBlocking()
    render("elsewhere", [layer], window(0, 0, 512, 512), (256, 256))
    job.waitForFinished()

def look_closely():
    job = job_of([open_raster(name)], window(0, 0, 512, 512))
    job.waitForFinished()
    return [error.message for error in job.errors()]

def remove_the_layer():
    layer = open_raster(name)
    QgsProject.instance().addMapLayer(layer)
    job = job_of([layer])
    QgsProject.instance().removeMapLayer(layer.id())
    del layer
    job.waitForFinished()

def close_the_project():
    QgsProject.instance().addMapLayer(open_raster(name))
    job = job_of(list(QgsProject.instance().mapLayers().values()))
    QgsProject.instance().clear()
    job.cancel()

def two_layers():
    layers = [open_raster(name), open_raster(name)]
    jobs = [job_of([layer]) for layer in layers] + [job_of(layers)]
    for job in jobs:
        job.waitForFinished()

def in_the_end():
    urllib.request.urlopen(server + "/__reset", b"{}")
    layers = [open_raster(name, timeout=600), open_raster(name, timeout=600)]
    jobs = [job_of([layer]) for layer in layers]
    for number, job in enumerate(jobs):
        job.waitForFinished()
        job.renderedImage().save("both%d.png" % number)
    return stretch_of(layers[0]), loaded()
"""


def test_a_server_that_does_not_answer_hangs_nothing(qgis, document, name_of, server, tmp_path):
    """Not even a picture of three bands. When the server answers, two layers that are drawn at once show all of it."""
    document = of_three_bands(document)
    for row, column in np.ndindex(SIDE // TILE, SIDE // TILE):
        server.fault("/%d_%d.tif" % (row, column), delay_ms=3600000)
    found = qgis(name_of(document), LATE, SGC_TIMEOUT="0.6")
    assert (picture("late") == 255).all()
    assert found["look_closely"] and all("TIMEOUT" in error for error in found["look_closely"])
    bounds, chunks = found["in_the_end"]
    assert chunks == {"2": 3 * 256}
    for number in range(2):
        assert_shows(picture("both%d" % number), level(document, tmp_path, 2)[0], *bounds)


def test_stretch_of_three_bands(qgis, document, name_of, tmp_path):
    """QGIS cuts it at 2 and 98 percent of a histogram, which an empty cube has not."""
    document = of_three_bands(document)
    found = qgis(name_of(document), """
def stretch():
    layer = open_raster(name)
    render("colours", [layer])
    return stretch_of(layer)
""")
    low, high = found["stretch"]
    assert 0 < low < 150 and 850 < high < 1000
    assert_shows(picture("colours"), level(document, tmp_path, 2)[0], low, high)


PATCHES = """
def add():
    (found,) = QgsProviderRegistry.instance().providerMetadata("ogr").querySublayers(name)
    layer = QgsVectorLayer(found.uri(), found.name(), found.providerKey())
    assert layer.isValid() and not layer.startEditing()
    colours = {"absent": "#000000", "partial": "#808080", "loaded": "#ffffff"}
    symbols = {state: QgsFillSymbol.createSimple({"color": colours[state], "outline_style": "no"}) for state in colours}
    categories = [QgsRendererCategory(state, symbols[state], state) for state in colours]
    layer.setRenderer(QgsCategorizedSymbolRenderer("state", categories))
    render("before", [layer], size=(128, 128))
    raster = open_raster(name)
    raster.dataProvider().block(1, window(256, 256, 380, 256), 380, 256)
    layer.dataProvider().reloadData()
    render("after", [layer], size=(128, 128))
    layer.setSubsetString("state = 'loaded'")
    return [layer.name(), sorted([patch["id"], patch["level"]] for patch in layer.getFeatures())]
"""


def test_patches(qgis, document, name_of):
    found = qgis(name_of(document), PATCHES)
    assert found["add"] == ["patches", [["02_01", 1]]]
    assert (picture("before") == 0).all()
    assert picture("after")[16::32, 16::32].tolist() == [
        [0, 0, 0, 0], [0, 255, 128, 0], [0, 128, 128, 0], [0, 0, 0, 0]]  # QGIS reads a pixel more than it is asked for


def test_layers_of_a_cube_with_time(qgis, document, name_of, tmp_path):
    """In the browser and where data sources are added, of a name and of a file."""
    document = {**document, "time": {"start": "2020-01-01", "end": "2020-02-01", "step": "P1M"},
                "source": {"kind": "synthetic"}}
    name = name_of(document)
    (tmp_path / "months.sgc").write_text(json.dumps({"place": "cube", "dataset": "definition.json",
                                                     "options": {"create": True}}))
    found = qgis(name, """
def query():
    layers = []
    for source in name, name.split("SGC:")[1].split("cube,")[0] + "months.sgc":
        for found in QgsProviderRegistry.instance().querySublayers(source):
            layer = found.toLayer(QgsProviderSublayerDetails.LayerOptions(QgsCoordinateTransformContext()))
            assert layer.isValid()
            layers.append([layer.name(), found.description(), found.providerKey()])
    return layers
""")
    assert found["query"] == 2 * [
        ["2020-01-01", "1 channel, nothing stored yet", "gdal"],
        ["2020-02-01", "1 channel, nothing stored yet", "gdal"],
        ["height", "2 time steps", "gdal"], ["patches", "", "ogr"]]
