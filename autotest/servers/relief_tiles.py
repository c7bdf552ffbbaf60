"""The relief of autotest/data cut into 100 km tiles with a buffer of one pixel, named as PGC names its own.

What a cube must hold is computed from the relief alone.
"""
import os
from pathlib import Path

import numpy as np
from osgeo import gdal

PIXEL = 5000
WIDTH, HEIGHT = 1480, 1500
LEFT, TOP = -4000000, 4100000
TILE = 20  # pixels
BUFFER = 1
PATH = "arcticdem/mosaics/v4.1/5km/{name}/{name}_5km_v4.1_dem.tif"
TEMPLATE = "/arcticdem/mosaics/v4.1/5km/{row|02}_{col|02}/{row|02}_{col|02}_5km_v4.1_dem.tif"
RELIEF_FILE = Path(__file__).resolve().parent.parent / "data" / "etopo5_arctic_epsg3413_5km.tif"


def relief():
    return gdal.Open(str(RELIEF_FILE)).ReadAsArray()


def tile_name(tile):
    return "%02d_%02d" % tile


def tile_window(tile):
    """Columns and rows of the relief that the tile's file has, as half-open ranges: it ends where the relief does."""
    row, column = tile
    x = TILE * (column - 1)
    y = (TOP + 4000000) // PIXEL - TILE * row
    return (max(x - BUFFER, 0), min(x + TILE + BUFFER, WIDTH)), (max(y - BUFFER, 0), min(y + TILE + BUFFER, HEIGHT))


def tiles():
    """All places of the lattice with a pixel of land, as (row, column) from 1, rows northward."""
    pixels = relief()
    found = []
    for row in range(7, 82):
        for column in range(1, 75):
            (left, right), (first, last) = tile_window((row, column))
            if (pixels[first:last, left:right] > 0).any():
                found.append((row, column))
    return found


def write(directory, which):
    """Writes the files of those tiles, and returns their paths."""
    source = gdal.Open(str(RELIEF_FILE))
    paths = []
    for tile in which:
        (left, right), (first, last) = tile_window(tile)
        path = Path(directory) / PATH.format(name=tile_name(tile))
        os.makedirs(path.parent, exist_ok=True)
        gdal.Translate(str(path), source, srcWin=[left, first, right - left, last - first], format="GTiff",
                       creationOptions=["COMPRESS=DEFLATE"])
        paths.append(path)
    return paths


def cube(which):
    """What a cube on the relief's grid holds when only those tiles exist: float32, NaN elsewhere."""
    pixels = np.full((HEIGHT, WIDTH), np.nan, np.float32)
    source = relief()
    for tile in which:
        (left, right), (first, last) = tile_window(tile)
        pixels[first:last, left:right] = source[first:last, left:right]
    return pixels


def level(which, factor):
    """The same reduced: each tile's pixels whose centres it has are means of what it has under them; of several
    tiles the first by name counts."""
    height, width = -(-HEIGHT // factor), -(-WIDTH // factor)
    result = np.full((height, width), np.nan, np.float32)
    source = relief().astype(np.float64)
    for tile in sorted(which, key=tile_name):
        # The grid of tiles does not end where the relief does: the buffer counts for a tile's place.
        (left, right), (first, last) = tile_window(tile)
        row, column = tile
        x0, y0 = TILE * (column - 1) - BUFFER, (TOP + 4000000) // PIXEL - TILE * row - BUFFER
        side = TILE + 2 * BUFFER
        for y in range(max(0, y0 // factor), min(height, (y0 + side) // factor + 1)):
            for x in range(max(0, x0 // factor), min(width, (x0 + side) // factor + 1)):
                centre_x, centre_y = (x + 0.5) * factor, (y + 0.5) * factor
                if not (x0 <= centre_x < x0 + side and y0 <= centre_y < y0 + side):
                    continue
                part = source[max(first, y * factor):min(last, (y + 1) * factor),
                              max(left, x * factor):min(right, (x + 1) * factor)]
                if part.size and np.isnan(result[y, x]):
                    result[y, x] = part.mean()
    return result
