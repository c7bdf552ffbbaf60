"""The Python package at work on a cube of autotest/data/release-0.1.6/static.icechunk's kind.

    smart_geocubes_peer.py load PLACE ITEMS ID…    loads these items of a JSON list, unless they are loaded
    smart_geocubes_peer.py read PLACE FILE         saves the whole `dem`
    smart_geocubes_peer.py list PLACE ID…          says that these patches are loaded
    smart_geocubes_peer.py paint PLACE X Y W H V   sets a rectangle of `dem` to V, as any program may

prints what is loaded afterwards as a JSON list.
"""
import json
import os
from pathlib import Path
import sys

import icechunk
import numpy
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from pystac import Item
from smart_geocubes.accessors import STACAccessor
from smart_geocubes.core import PatchIndex
import zarr


class Static(STACAccessor):
    extent = GeoBox.from_bbox((419840, 1899520, 442240, 1920000), "EPSG:3413", resolution=32)
    temporal_extent = None
    chunk_size = 256
    channels = ["dem", "datamask"]
    _channels_meta = {"dem": {}, "datamask": {}}
    _channels_encoding = {"dem": {"dtype": "float32"}, "datamask": {"dtype": "bool"}}
    items = []

    def adjacent_patches(self, roi, toi):
        return [PatchIndex(item.id, Geometry(item.geometry, crs="EPSG:4326"), None, item) for item in self.items]

    def visualize_state(self, ax=None):
        raise NotImplementedError  # the package wants one


def load(cube, items, *ids):
    found = (Item.from_dict(item) for item in json.loads(Path(items).read_text()) if item["id"] in ids)
    cube.items = list(found)
    cube.load(cube.extent)


def read(cube, file):
    numpy.save(file, cube.open_xarray().dem.values)


def list_loaded(cube, *ids):
    session = cube.repo.writable_session("main")
    zarr.open_group(session.store).attrs["loaded_patches"] = cube.loaded_patches() + list(ids)
    session.commit("List")


def paint(cube, *numbers):
    x, y, width, height, value = map(int, numbers)
    session = cube.repo.writable_session("main")
    zarr.open_group(session.store)["dem"][y:y + height, x:x + width] = value
    session.commit("Paint")


if __name__ == "__main__":
    command, place, *arguments = sys.argv[1:]
    cube = Static(icechunk.local_filesystem_storage(place), create_icechunk_storage=False, backend="simple")
    {"load": load, "read": read, "list": list_loaded, "paint": paint}[command](cube, *arguments)
    print(json.dumps(cube.loaded_patches()), flush=True)
    os._exit(0)  # icechunk's threads may end a leaving interpreter with an abort
