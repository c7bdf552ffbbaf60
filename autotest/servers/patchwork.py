"""Tiles that overlap widely and have other values where they do, with holes: as files on a lattice, as STAC items,
and as the answer to a search, to be served from a directory.

What a cube must hold is computed from the arrays alone.
"""
import json
from pathlib import Path

import numpy as np
from osgeo import gdal, osr

CRS_CODE = 3413
PIXEL = 10
STEP = 500  # pixels from tile to tile
BUFFER = 70  # pixels around each
SIDE = STEP + 2 * BUFFER
COUNT = 3  # tiles along each axis
SIZE = COUNT * STEP
WHOLE = (0, 0, SIZE, SIZE)
NODATA = -32768
ABSENT = (1, 2)
TILES = [(row, column) for row in range(COUNT) for column in range(COUNT) if (row, column) != ABSENT]


def tile_name(tile):
    return "%d_%d" % tile


def tile_offset(tile):
    """Column and row of the whole at which the tile begins; rows of tiles are counted northward."""
    row, column = tile
    return STEP * column - BUFFER, STEP * (COUNT - 1 - row) - BUFFER


def tile_transform(tile):
    column, row = tile_offset(tile)
    return PIXEL * column, PIXEL, 0, PIXEL * (SIZE - row), 0, -PIXEL


def tile_pixels(tile):
    """int16, NODATA in the holes."""
    random = np.random.default_rng(100 + 10 * tile[0] + tile[1])
    pixels = random.integers(-1000, 1000, (SIDE, SIDE), np.int16)
    holes = random.random((SIDE // 20, SIDE // 20)) < 0.3
    pixels[np.kron(holes, np.ones((20, 20), bool))] = NODATA
    return pixels


def write_tiles(directory, which=TILES):
    """Writes them as COGs with overviews by average."""
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(CRS_CODE)
    for tile in which:
        memory = gdal.GetDriverByName("MEM").Create("", SIDE, SIDE, 1, gdal.GDT_Int16)
        memory.SetSpatialRef(crs)
        memory.SetGeoTransform(tile_transform(tile))
        memory.GetRasterBand(1).SetNoDataValue(NODATA)
        memory.GetRasterBand(1).WriteArray(tile_pixels(tile))
        path = Path(directory) / (tile_name(tile) + ".tif")
        cog = gdal.GetDriverByName("COG").CreateCopy(str(path), memory, options=[
            "COMPRESS=DEFLATE", "LEVEL=1", "BLOCKSIZE=128", "OVERVIEW_RESAMPLING=AVERAGE"])
        assert cog is not None, path


def item(base, tile):
    a, b, c, d, e, f = tile_transform(tile)
    identifier = tile_name(tile)
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": identifier, "collection": "patchwork",
        "geometry": None, "bbox": [-46, 88, 0, 90], "links": [
            {"rel": "self", "href": "%s/items/%s.json" % (base, identifier)}],
        "properties": {"datetime": "2020-01-01T00:00:00Z", "proj:code": "EPSG:%d" % CRS_CODE,
                       "proj:shape": [SIDE, SIDE], "proj:transform": [b, c, a, e, f, d]},
        "assets": {"height": {"href": "%s/tiles/%s.tif" % (base, identifier)}},
    }


def write_items(directory, base, which=TILES):
    """Writes what says that the tiles are served at `base`: each item, and all as the answer to a search."""
    items = [item(base, tile) for tile in which]
    for folder in ("items", "api"):
        (Path(directory) / folder).mkdir()
    for document in items:
        (Path(directory) / "items" / (document["id"] + ".json")).write_text(json.dumps(document))
    answer = {"type": "FeatureCollection", "links": [], "features": items}
    (Path(directory) / "api" / "search").write_text(json.dumps(answer))
    collections = Path(directory) / "api" / "collections"
    collections.mkdir()
    (collections / "patchwork").write_text(json.dumps({"type": "Collection", "id": "patchwork", "links": []}))


def source(kind, base):
    lattice = {"tile": {"origin": [0, 0], "size": [PIXEL * STEP, PIXEL * STEP], "first": [0, 0]},
               "id": "{row}_{col}",
               "buffer": BUFFER}
    return {
        "tiles": {"kind": "tiles", "href": base + "/tiles/{row}_{col}.tif", **lattice},
        "items": {"kind": "stac", "items": base + "/items/{id}.json", **lattice},
        "search": {"kind": "stac", "api": base + "/api", "collection": "patchwork"},
    }[kind]


KINDS = ["tiles", "items", "search"]


def definition(source, window=WHOLE, **changes):
    """Of a cube whose pixels are those of a window of the whole, which may reach beyond it."""
    x, y, width, height = window
    return {
        "type": "CubeDataset", "version": "1", "id": "patchwork", "proj:code": "EPSG:%d" % CRS_CODE,
        "proj:transform": [PIXEL, 0, PIXEL * x, 0, -PIXEL, PIXEL * (SIZE - y)], "proj:shape": [height, width],
        "chunk_shape": [256, 256], "bands": [{"name": "height", "data_type": "int16", "nodata": NODATA}],
        "source": source, **changes,
    }


def mosaic(rule="first", window=WHOLE, which=TILES):
    """What that cube holds: of the valid pixels at a place, in the order of the tiles' names, that of the rule."""
    x, y, width, height = window
    result = np.full((height, width), NODATA, np.int16)
    for tile in sorted(which, key=tile_name):
        column, row = tile_offset(tile)
        left, right = max(column, x), min(column + SIDE, x + width)
        top, bottom = max(row, y), min(row + SIDE, y + height)
        if left >= right or top >= bottom:
            continue
        new = tile_pixels(tile)[top - row:bottom - row, left - column:right - column]
        old = result[top - y:bottom - y, left - x:right - x]
        wins = {"first": False, "last": True, "min": new < old, "max": new > old}[rule]
        old[:] = np.where((new != NODATA) & ((old == NODATA) | wins), new, old)
    return result
