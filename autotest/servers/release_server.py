#!/usr/bin/env python3
"""Serves the STAC items, and their files, that the cubes of the Python package's release were filled from.

    release_server.py DIRECTORY PREFIX

where DIRECTORY is autotest/data/release-0.1.6/source, and PREFIX that of the items that there are: "s" for
those of the static cube, "t" for those of the temporal one. It

prints "PORT <n>" when it listens on 127.0.0.1 and ends when its standard input closes. The API's root is
http://127.0.0.1:<n>/. Faults, log and reset are those of http_server.
"""
from datetime import datetime
import json
from pathlib import Path
import sys

from http_server import RangeFileHandler, RangeFileServer, run


def bounds(geometry):
    points = [point for ring in geometry["coordinates"] for point in ring]
    return [min(p[0] for p in points), min(p[1] for p in points), max(p[0] for p in points), max(p[1] for p in points)]


def overlaps(a, b):
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def parse_time(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


class ReleaseHandler(RangeFileHandler):
    def serve(self):
        if self.path_only == "/collections/tiles":
            return self.respond_json({"type": "Collection", "id": "tiles", "links": []})
        if self.path_only != "/search":
            return super().serve()
        query = json.loads(self.body)
        base = "http://%s:%d" % self.server.server_address
        text = (self.server.directory / "items.json").read_text().replace("@BASE@", base)
        items = [item for item in json.loads(text)
                 if item["id"].startswith(self.server.prefix) and self.meets(item, query)]
        return self.respond_json({"type": "FeatureCollection", "features": items, "links": []})

    @staticmethod
    def meets(item, query):
        if item["collection"] not in query["collections"]:
            return False
        area = query.get("bbox") or bounds(query["intersects"])
        if not overlaps(item["bbox"], area):
            return False
        if "datetime" not in query:
            return True
        start, end = query["datetime"].split("/")
        return parse_time(start) <= parse_time(item["properties"]["datetime"]) <= parse_time(end)


if __name__ == "__main__":
    server = RangeFileServer(Path(sys.argv[1]), ReleaseHandler)
    server.prefix = sys.argv[2]
    run(server)
