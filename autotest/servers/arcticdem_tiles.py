"""Tiles of the 32 m ArcticDEM mosaic, made of ETOPO5's relief.

What a cube must hold is computed from the arrays alone, never from the COGs that are served.
"""
from functools import lru_cache
import os
from pathlib import Path
import tempfile

import numpy as np
from osgeo import gdal, osr

ROWS = range(7, 82)
COLUMNS = range(1, 75)
PIXEL = 32.0
BUFFER = 3
TILE_SIZE = 3131
TILE_STEP = 3125
LATTICE_ORIGIN = -4000000.0
LATTICE_STEP = 100000.0
CUBE_WIDTH, CUBE_HEIGHT = 231256, 234381
CRS_CODE = 3413
NODATA = {"dem": -9999.0, "datamask": 0}

RELIEF_FILE = Path(__file__).resolve().parent.parent / "data" / "etopo5_arctic_epsg3413_5km.tif"
RELIEF_PIXEL = 5000.0
RELIEF_ORIGIN = (-4000000.0, 4100000.0)


def tile_name(tile):
    return "%02d_%02d" % tile


def tile_from_name(name):
    row, column = name.split("_")
    return int(row), int(column)


def item_id(tile):
    return tile_name(tile) + "_32m_v4.1"


def on_lattice(tile):
    return tile[0] in ROWS and tile[1] in COLUMNS


def tile_bounds(tile):
    """xmin, ymin, xmax, ymax with the buffer."""
    row, column = tile
    buffer = BUFFER * PIXEL
    xmin = LATTICE_ORIGIN + (column - 1) * LATTICE_STEP
    ymin = LATTICE_ORIGIN + (row - 1) * LATTICE_STEP
    return xmin - buffer, ymin - buffer, xmin + LATTICE_STEP + buffer, ymin + LATTICE_STEP + buffer


def tile_offset(tile):
    """Column and row of the cube at which the tile begins."""
    row, column = tile
    return TILE_STEP * (column - 1), TILE_STEP * (81 - row)


@lru_cache(maxsize=1)
def relief():
    return gdal.Open(str(RELIEF_FILE)).ReadAsArray().astype(np.float64)


@lru_cache(maxsize=1)
def default_tiles():
    """The tiles over which some pixel of the relief is land, as a frozen set of (row, column)."""
    land = relief() > 0
    height, width = land.shape

    def has_land(tile):
        xmin, ymin, xmax, ymax = tile_bounds(tile)
        left = int((xmin - RELIEF_ORIGIN[0]) // RELIEF_PIXEL)
        right = int(-((RELIEF_ORIGIN[0] - xmax) // RELIEF_PIXEL))
        top = int((RELIEF_ORIGIN[1] - ymax) // RELIEF_PIXEL)
        bottom = int(-((ymin - RELIEF_ORIGIN[1]) // RELIEF_PIXEL))
        return land[max(top, 0):min(bottom, height), max(left, 0):min(right, width)].any()

    return frozenset((r, c) for r in ROWS for c in COLUMNS if has_land((r, c)))


def neighbours_and_weight(position, size):
    """For bilinear interpolation at positions in pixels from the first pixel's centre."""
    position = np.clip(position, 0, size - 1)
    first = np.minimum(np.floor(position).astype(int), size - 2)
    return first, position - first


def relief_at_pixel_centres(tile):
    xmin, _, _, ymax = tile_bounds(tile)
    centre = (np.arange(TILE_SIZE) + 0.5) * PIXEL
    height, width = relief().shape
    column, right = neighbours_and_weight((xmin + centre - RELIEF_ORIGIN[0]) / RELIEF_PIXEL - 0.5, width)
    row, lower = neighbours_and_weight((RELIEF_ORIGIN[1] - ymax + centre) / RELIEF_PIXEL - 0.5, height)
    top, bottom = row[0], row[-1] + 2
    rows = relief()[top:bottom]
    along_x = rows[:, column] * (1 - right) + rows[:, column + 1] * right
    return along_x[row - top] * (1 - lower)[:, None] + along_x[row - top + 1] * lower[:, None]


def signature(tile):
    """A small term that gives away a shift of a few pixels and the tile that a pixel came from."""
    row, column = tile
    pixel = np.arange(TILE_SIZE)
    texture = (37 * pixel[:, None] + 61 * pixel[None, :]) % 251 / 128
    return texture + (5 * row + 3 * column) % 16 / 2


def cut_corner(tile):
    """Slices of the corner block without data, or None. It reaches into the neighbours' overlap."""
    row, column = tile
    if (row + column) % 3 == 0:
        return None
    height, width = 150 + 10 * (row % 7), 200 + 10 * (column % 5)
    vertical = slice(-height, None) if row // 2 % 2 else slice(0, height)
    horizontal = slice(-width, None) if column % 2 else slice(0, width)
    return vertical, horizontal


@lru_cache(maxsize=8)
def tile_pixels(tile):
    """dem: float32, NaN without data; datamask: bool. Both are shared: do not write to them."""
    ground = relief_at_pixel_centres(tile)
    dem = (np.floor((ground + signature(tile)) * 128 + 0.5) / 128).astype(np.float32)
    dem[ground <= 0] = np.nan
    corner = cut_corner(tile)
    if corner:
        dem[corner] = np.nan
    pixel = np.arange(TILE_SIZE)
    sprinkle = (7 * pixel[:, None] + 11 * pixel[None, :] + tile[0] + 5 * tile[1]) % 97 < 3
    mask = ~np.isnan(dem) & ~sprinkle
    dem.setflags(write=False)
    mask.setflags(write=False)
    return dem, mask


def crs_wkt():
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(CRS_CODE)
    return crs.ExportToWkt()


def write_cog(tile, asset, path):
    """Writes the asset `dem` or `datamask` of the tile. Another process may do the same meanwhile."""
    dem, mask = tile_pixels(tile)
    if asset == "dem":
        pixels = np.where(np.isnan(dem), np.float32(NODATA["dem"]), dem)
        data_type, options = gdal.GDT_Float32, ["PREDICTOR=3", "OVERVIEW_RESAMPLING=AVERAGE"]
    else:
        pixels = mask.astype(np.uint8)
        data_type, options = gdal.GDT_Byte, ["PREDICTOR=NO", "OVERVIEW_RESAMPLING=NEAREST"]

    memory = gdal.GetDriverByName("MEM").Create("", TILE_SIZE, TILE_SIZE, 1, data_type)
    xmin, _, _, ymax = tile_bounds(tile)
    memory.SetProjection(crs_wkt())
    memory.SetGeoTransform((xmin, PIXEL, 0, ymax, 0, -PIXEL))
    band = memory.GetRasterBand(1)
    band.SetNoDataValue(NODATA[asset])
    band.WriteArray(pixels)

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem + "-", suffix=".tmp.tif")
    os.close(handle)
    try:
        cog = gdal.GetDriverByName("COG").CreateCopy(
            temporary, memory, options=["COMPRESS=DEFLATE", "BLOCKSIZE=512", "NUM_THREADS=2"] + options)
        if cog is None:
            raise RuntimeError("cannot write %s: %s" % (path, gdal.GetLastErrorMsg()))
        cog = None  # closes the file
        os.link(temporary, path)
    except FileExistsError:
        pass  # another server was first, and its readers know that file's ETag
    finally:
        os.unlink(temporary)


def cube_window(xoff, yoff, xsize, ysize, tiles):
    """What a cube on the grid ArcticDEM32m holds in a window when only `tiles` exist: for each channel
    the first valid pixel in ascending order of the item ids. dem: float32 with NaN; datamask: bool."""
    assert 0 <= xoff and xoff + xsize <= CUBE_WIDTH and 0 <= yoff and yoff + ysize <= CUBE_HEIGHT
    dem = np.full((ysize, xsize), np.nan, np.float32)
    mask = np.zeros((ysize, xsize), bool)
    for tile in sorted(tiles, key=item_id):
        column, row = tile_offset(tile)
        left, right = max(column, xoff), min(column + TILE_SIZE, xoff + xsize)
        top, bottom = max(row, yoff), min(row + TILE_SIZE, yoff + ysize)
        if left >= right or top >= bottom:
            continue
        tile_dem, tile_mask = tile_pixels(tile)
        source = np.s_[top - row:bottom - row, left - column:right - column]
        target = np.s_[top - yoff:bottom - yoff, left - xoff:right - xoff]
        dem[target] = np.where(np.isnan(dem[target]), tile_dem[source], dem[target])
        mask[target] |= tile_mask[source]
    return dem, mask
