"""The examples of README.md run as they stand there.

An example is a fenced block after a comment such as <!-- test: gdalwarp, makes: warped.tif -->: it must end
well in an empty directory and leave the rasters that the comment names. That of QGIS runs when SGC_TEST_QGIS
is 1.
"""
import importlib.util
import os
import re
import subprocess
import sys

import numpy as np
from osgeo import gdal
import pytest

from conftest import ROOT

BLOCK = re.compile(
    r"^<!-- test: (?P<name>[\w-]+)(?:, makes: (?P<makes>[^>\n]*?))? -->\n+"
    r"^(?P<fence>```+)(?P<language>\w*)\n(?P<code>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL)

# Adds the README's layer to a project as the program would, and renders it far away, near, and far again.
QGIS = """
import gc
from qgis.core import (QgsApplication, QgsMapRendererParallelJob, QgsMapSettings, QgsProject,
                       QgsRasterLayer, QgsRectangle)
from qgis.PyQt.QtCore import QSize

application = QgsApplication([], False)
application.initQgis()
%s
assert layer.isValid(), layer.error().summary()
assert layer.width() == 100000 and layer.crs().authid() == "EPSG:3413"

def render(file, extent):
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setDestinationCrs(layer.crs())
    settings.setExtent(extent)
    settings.setOutputSize(QSize(400, 300))
    job = QgsMapRendererParallelJob(settings)
    job.start()
    job.waitForFinished()
    assert not job.errors(), [error.message for error in job.errors()]
    assert job.renderedImage().save(file)

middle = layer.extent().center()
near = QgsRectangle(middle.x() - 40000, middle.y() - 30000, middle.x() + 40000, middle.y() + 30000)
render("far.png", layer.extent())
render("near.png", near)
render("far-again.png", layer.extent())
del layer
QgsProject.instance().clear()
gc.collect()
application.exitQgis()
"""


def examples(text):
    """{name: (language, code, files that it makes)}"""
    found = {}
    for block in BLOCK.finditer(text):
        makes = [file.strip() for file in (block["makes"] or "").split(",") if file.strip()]
        assert block["name"] not in found, "two examples are named %s" % block["name"]
        found[block["name"]] = (block["language"], block["code"], makes)
    return found


@pytest.fixture(scope="module")
def readme():
    text = (ROOT / "README.md").read_text()
    found = examples(text)
    assert len(found) == text.count("<!-- test:"), "a comment stands before no fenced block"
    return found


@pytest.fixture
def environment(tmp_path):
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    return {**os.environ, "SGC_CUBE_DIR": str(tmp_path / "cubes"), "HOME": str(tmp_path),
            "XDG_RUNTIME_DIR": str(runtime), "QT_QPA_PLATFORM": "offscreen"}


@pytest.fixture
def run_example(environment):
    """run_example(language, code) runs it in the current directory."""
    interpreters = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}

    def run_code(language, code):
        done = subprocess.run(interpreters[language] + [code], env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
        assert done.returncode == 0, "exit code %d:\n%s\n%s" % (done.returncode, code, done.stdout)

    return run_code


def assert_is_raster_with_pixels(file):
    assert os.path.exists(file), "the example made no %s" % file
    dataset = gdal.Open(file)
    band = dataset.GetRasterBand(1)
    pixels, mask = band.ReadAsArray(), band.GetMaskBand().ReadAsArray()
    valid = pixels[(mask != 0) & np.isfinite(pixels)]
    assert valid.size > pixels.size / 2
    assert valid.min() < valid.max()


# The extractor

def test_extractor():
    text = ("Text\n```sh\nnot this\n```\n\n<!-- test: one, makes: a.tif, b.tif -->\n```sh\ngdalinfo\n\nx\n```\n"
            "<!-- another comment -->\n```python\nnor this\n```\n<!-- test: two -->\n\n```python\nx = 1\n```\n")
    assert examples(text) == {"one": ("sh", "gdalinfo\n\nx\n", ["a.tif", "b.tif"]),
                              "two": ("python", "x = 1\n", [])}


def test_extractor_refuses_a_name_twice():
    with pytest.raises(AssertionError, match="named one"):
        examples(2 * "<!-- test: one -->\n```sh\n```\n")


def test_runner_notices_a_failing_line(run_example):
    for language, code in (("sh", "false\ntrue\n"), ("sh", "false | true\n"), ("python", "raise SystemExit(3)\n")):
        with pytest.raises(AssertionError, match="exit code"):
            run_example(language, code)


def test_raster_without_pixels_is_noticed():
    blank = gdal.GetDriverByName("GTiff").Create("blank.tif", 10, 10, 1, gdal.GDT_Float32)
    blank.GetRasterBand(1).SetNoDataValue(0)
    blank = None
    for file in ("blank.tif", "absent.tif"):
        with pytest.raises(AssertionError):
            assert_is_raster_with_pixels(file)


# The examples

def test_readme_has_the_five_examples(readme):
    assert {"gdal_translate", "gdalwarp", "python", "rasterio", "qgis"} <= set(readme)


@pytest.mark.parametrize("name", ["gdal_translate", "gdalwarp", "python", "rasterio"])
def test_example(readme, run_example, name):
    if name == "rasterio" and importlib.util.find_spec("rasterio") is None:
        pytest.skip("there is no rasterio: install python3-rasterio")
    language, code, makes = readme[name]
    assert makes, "the example makes nothing that could be checked"
    run_example(language, code)
    for file in makes:
        assert_is_raster_with_pixels(file)


def test_every_other_example(readme, run_example):
    for name in set(readme) - {"gdal_translate", "gdalwarp", "python", "rasterio", "qgis"}:
        language, code, makes = readme[name]
        run_example(language, code)
        for file in makes:
            assert_is_raster_with_pixels(file)


def test_qgis_example(readme, run_example):
    if os.environ.get("SGC_TEST_QGIS") != "1":
        pytest.skip("QGIS is not tested unless SGC_TEST_QGIS is 1")
    if importlib.util.find_spec("qgis") is None:
        pytest.skip("there is no qgis: install python3-qgis and qgis-providers")
    run_example("python", QGIS % readme["qgis"][1])
    pictures = [gdal.Open(name + ".png").ReadAsArray() for name in ("far", "near", "far-again")]
    for picture in pictures:
        assert picture.shape[1:] == (300, 400)
        assert len(np.unique(picture[0])) > 20
    assert (pictures[0] != pictures[1]).any()
    assert (pictures[0] == pictures[2]).all()
