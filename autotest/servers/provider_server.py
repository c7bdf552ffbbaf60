#!/usr/bin/env python3
"""Plays the services that the shipped definitions name, under their own names.

    provider_server.py DIRECTORY

prints "PORT <n>" when it listens on 127.0.0.1 and ends when its standard input closes. It is a proxy that
ends TLS itself: to a client with GDAL_HTTP_PROXY=http://127.0.0.1:<n> that trusts DIRECTORY/ca.pem the address

    https://HOST/PATH                    is the file DIRECTORY/HOST/PATH, for the hosts of HOSTS only
    https://HOST/…/collections/C/items/I is an item, a file of JSON
    https://HOST/…/search                (POST) finds those items
    https://EARTH_ENGINE/…               is what earthengine_server plays

Faults, log and reset are those of http_server; the log has whole addresses.
"""
from datetime import datetime
import json
from pathlib import Path
import ssl
import subprocess
import sys

from earthengine_server import EarthEngineHandler, EarthEngineServer
from http_server import RangeFileHandler, run

EARTH_ENGINE = "earthengine-highvolume.googleapis.com"
HOSTS = [
    EARTH_ENGINE,
    "copernicus-dem-30m.s3.eu-central-1.amazonaws.com",
    "copernicus-dem-90m.s3.eu-central-1.amazonaws.com",
    "data.pgc.umn.edu",
    "data.source.coop",
    "e84-earth-search-sentinel-data.s3.us-west-2.amazonaws.com",
    "earth-search.aws.element84.com",
    "esa-worldcover.s3.eu-central-1.amazonaws.com",
    "opentopography.s3.sdsc.edu",
    "pgc-opendata-dems.s3.us-west-2.amazonaws.com",
    "stac.pgc.umn.edu",
    "storage.googleapis.com",
]
SEARCH_KEYS = {"collections", "intersects", "bbox", "datetime", "limit"}


def make_certificate(directory):
    """A certificate for all hosts, that vouches for itself: its files with and without the key."""
    certificate, key = directory / "ca.pem", directory / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-days", "2", "-subj", "/CN=test", "-keyout", key, "-out", certificate,
                    "-addext", "subjectAltName=" + ",".join("DNS:" + host for host in HOSTS)],
                   check=True, stderr=subprocess.DEVNULL)
    return certificate, key


class ProviderServer(EarthEngineServer):
    def __init__(self, directory):
        super().__init__(directory)
        self.RequestHandlerClass = ProviderHandler
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(*make_certificate(self.directory))


def bounds(geometry):
    """West, south, east and north of a Polygon or MultiPolygon."""
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    points = [point for rings in polygons for ring in rings for point in ring]
    return [f(p[i] for p in points) for f in (min, max) for i in (0, 1)]


def overlaps(a, b):
    return a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]


def parse_time(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def meets(item, query):
    if not overlaps(item["bbox"], query.get("bbox") or bounds(query["intersects"])):
        return False
    if "datetime" not in query:
        return True
    start, end = (parse_time(text) for text in query["datetime"].split("/"))
    return start <= parse_time(item["properties"]["datetime"]) <= end


class ProviderHandler(EarthEngineHandler):
    host = None

    def do_CONNECT(self):
        host, _, port = self.path.rpartition(":")
        if host not in HOSTS or port != "443":
            self.fault, self.is_running = {}, False
            return self.respond(403, b"no such host\n", "text/plain")
        self.host = host
        self.send_response_only(200, "Connection established")
        self.end_headers()
        self.wfile.flush()
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")

    def do_GET(self):
        if self.host is not None:
            self.path = "https://" + self.host + self.path
        super().do_GET()

    do_HEAD = do_POST = do_GET

    def serve(self):
        if self.host == EARTH_ENGINE:
            return super().serve()
        self.path_only = "/%s%s" % (self.host, self.path_only)
        file = self.server.directory / self.path_only[1:]
        if file.name == "search" and (file.parent / "collections").is_dir():
            return self.search(file.parent)
        if file.parent.name == "items" and file.is_file():
            return self.respond(200, file.read_bytes(), "application/geo+json")
        return RangeFileHandler.serve(self)

    def search(self, api):
        query = json.loads(self.body) if self.command == "POST" else {}
        area = [key for key in ("bbox", "intersects") if key in query]
        if not {"collections", "limit"} <= set(query) <= SEARCH_KEYS or len(area) != 1:
            return self.respond_json({"code": "BadRequestError", "description": "keys %s" % sorted(query)}, 400)
        items = [json.loads(file.read_text()) for collection in query["collections"]
                 for file in sorted((api / "collections" / collection / "items").iterdir())]
        found = [item for item in items if meets(item, query)]
        self.respond(200, json.dumps({"type": "FeatureCollection", "features": found, "links": []}).encode(),
                     "application/geo+json")


if __name__ == "__main__":
    run(ProviderServer(Path(sys.argv[1])))
