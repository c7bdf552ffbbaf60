"""A complete chunk is a pure function of the source: whoever reads what in which order, cubes end up
with the same bytes in every chunk. The tiles of the sources differ where they overlap."""
import hashlib
import json
import random
import subprocess
import sys

from osgeo import gdal
import pytest

import patchwork

SYNTHETIC = {
    "type": "CubeDataset", "version": "1", "id": "Small", "proj:code": "EPSG:3413",
    "proj:transform": [40, 0, -2000000, 0, -40, 2000000], "proj:shape": [2600, 3000], "chunk_shape": [512, 512],
    "bands": [{"name": "elevation", "data_type": "float32", "unit": "m"}], "source": {"kind": "synthetic"}}


@pytest.fixture
def define(tmp_path, request):
    """define(kind) writes the definition of a source and gives its path."""

    def write(kind):
        path = tmp_path / (kind + ".json")
        if kind == "synthetic":
            text = SYNTHETIC
        else:
            server = request.getfixturevalue("patchwork_server")
            text = patchwork.definition(patchwork.source(kind, server.url))
        path.write_text(json.dumps(text))
        return path

    return write


@pytest.fixture
def connection(tmp_path):
    return lambda name, dataset: "SGC:%s,dataset=%s,create=yes" % (tmp_path / name, dataset)


@pytest.fixture
def stored(tmp_path, run):
    """stored(name): the hashes of the chunk objects that the cube's tip names."""

    def hashes(name):
        run(["sgc", "copy", "SGC:%s" % (tmp_path / name), tmp_path / (name + "-copy")])
        return sorted(hashlib.sha256(path.read_bytes()).hexdigest()
                      for path in (tmp_path / (name + "-copy") / "chunks").iterdir())

    return hashes


@pytest.fixture
def decoded(tmp_path):
    """decoded(name): the pixels of full resolution and of each level, as they are in the cube."""

    def pixels(name):
        raster = gdal.OpenEx("SGC:%s" % (tmp_path / name), open_options=["DOWNLOAD=NO"])
        return [bytes(level.ReadRaster(0, 0, level.XSize, level.YSize)) for level in levels(raster)]

    return pixels


def levels(raster):
    band = raster.GetRasterBand(1)
    return [band] + [band.GetOverview(i) for i in range(band.GetOverviewCount())]


def random_windows(raster, seed, count):
    generator = random.Random(seed)
    for _ in range(count):
        width, height = generator.randint(1, 900), generator.randint(1, 900)
        yield (generator.randint(0, raster.RasterXSize - width), generator.randint(0, raster.RasterYSize - height),
               width, height)


def read_levels(raster, order):
    for level in order(levels(raster)):
        level.ReadRaster(0, 0, level.XSize, level.YSize)


READER = """
import random, sys
from osgeo import gdal
gdal.UseExceptions()
raster = gdal.Open(sys.argv[1])
windows = [(x, y, min(700, raster.RasterXSize - x), min(700, raster.RasterYSize - y))
           for x in range(0, raster.RasterXSize, 600) for y in range(0, raster.RasterYSize, 600)]
random.Random(int(sys.argv[2])).shuffle(windows)
for window in windows:
    raster.ReadRaster(*window)
band = raster.GetRasterBand(1)
for i in range(band.GetOverviewCount()):
    band.GetOverview(i).ReadRaster()
"""


@pytest.mark.parametrize("kind", ["synthetic", "tiles", "search"])
def test_order_of_reads_does_not_matter(define, connection, stored, decoded, kind):
    dataset = define(kind)
    read_levels(gdal.Open(connection("whole", dataset)), list)

    pieces = gdal.Open(connection("pieces", dataset))
    read_levels(pieces, lambda all_levels: all_levels[:0:-1])
    for window in random_windows(pieces, 1, 40):
        pieces.ReadRaster(*window)
    pieces.ReadRaster()

    name = connection("shared", dataset)
    readers = [subprocess.Popen([sys.executable, "-c", READER, name, str(seed)]) for seed in range(4)]
    assert [reader.wait(timeout=600) for reader in readers] == [0, 0, 0, 0]

    expected, pixels = stored("whole"), decoded("whole")
    assert len(set(expected)) > 30  # 6 x 6 chunks of full resolution, some of them without data
    assert len(pixels) > 3 and len(set(pixels)) == len(pixels)
    for name in ("pieces", "shared"):
        assert stored(name) == expected
        assert decoded(name) == pixels


def test_kinds_of_the_same_tiles_store_the_same_chunks(define, connection, stored, decoded, read, assert_pixels):
    """Full resolution is what the tiles' arrays say; the levels are equal to each other."""
    found = []
    for kind in patchwork.KINDS:
        raster = gdal.Open(connection(kind, define(kind)))
        read_levels(raster, list)
        assert_pixels(read(raster, *patchwork.WHOLE), patchwork.mosaic())
        found.append((stored(kind), decoded(kind)))
    assert len(set(found[0][0])) > 36  # of full resolution and of levels
    assert found[1] == found[0]
    assert found[2] == found[0]
