"""A complete chunk is a pure function of the source: whoever reads what in which order, cubes end up
with the same bytes in every chunk. The tiles of the source differ where they overlap."""
import hashlib
import json
import random
import subprocess
import sys

from osgeo import gdal
import pytest

WIDTH, HEIGHT, CHUNK = 3000, 2600, 512
WHOLE = (0, 0, WIDTH, HEIGHT)


@pytest.fixture
def dataset(tmp_path):
    path = tmp_path / "small.json"
    path.write_text(json.dumps({
        "type": "CubeDataset", "version": "1", "id": "Small", "proj:code": "EPSG:3413",
        "proj:transform": [40, 0, -2000000, 0, -40, 2000000], "proj:shape": [HEIGHT, WIDTH],
        "chunk_shape": [CHUNK, CHUNK],
        "bands": [{"name": "elevation", "data_type": "float32", "unit": "m"}],
        "source": {"kind": "synthetic"}}))
    return path


@pytest.fixture
def open_small(dataset, tmp_path):
    return lambda name: gdal.Open("SGC:%s,dataset=%s,create=yes" % (tmp_path / name, dataset))


@pytest.fixture
def stored(tmp_path, run):
    """stored(name): the hashes of the chunk objects that the cube's tip names."""

    def hashes(name):
        run(["sgc", "copy", "SGC:%s" % (tmp_path / name), tmp_path / (name + "-copy")])
        return sorted(hashlib.sha256(path.read_bytes()).hexdigest()
                      for path in (tmp_path / (name + "-copy") / "chunks").iterdir())

    return hashes


def random_windows(seed, count):
    generator = random.Random(seed)
    for _ in range(count):
        width, height = generator.randint(1, 900), generator.randint(1, 900)
        yield generator.randint(0, WIDTH - width), generator.randint(0, HEIGHT - height), width, height


def read_levels(raster, order):
    band = raster.GetRasterBand(1)
    for i in order(range(band.GetOverviewCount())):
        level = band.GetOverview(i)
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


def test_order_of_reads_does_not_matter(open_small, stored, dataset, tmp_path):
    whole = open_small("whole")
    whole.ReadRaster(*WHOLE)
    read_levels(whole, list)

    pieces = open_small("pieces")
    read_levels(pieces, reversed)
    for window in random_windows(1, 40):
        pieces.ReadRaster(*window)
    pieces.ReadRaster(*WHOLE)

    name = "SGC:%s,dataset=%s,create=yes" % (tmp_path / "shared", dataset)
    readers = [subprocess.Popen([sys.executable, "-c", READER, name, str(seed)]) for seed in range(4)]
    assert [reader.wait(timeout=600) for reader in readers] == [0, 0, 0, 0]

    expected = stored("whole")
    assert len(set(expected)) > 30  # 6 x 6 chunks of full resolution, some of them sea
    assert stored("pieces") == expected
    assert stored("shared") == expected
