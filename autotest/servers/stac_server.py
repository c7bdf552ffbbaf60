#!/usr/bin/env python3
"""Plays PGC's STAC API and its bucket over the tiles of arcticdem_tiles.

    stac_server.py --tiles DIRECTORY [--only 66_33,67_33] [--delay-ms N] [--bandwidth BYTES_PER_S]
                   [--max-limit N] [--paging pgstac|earth-search|merge|get] [--indexed 66_33,68_34]
                   [--sign-uses N] [--moments 66_33=2020-01-01T00:00:00Z,…]

prints "PORT <n>" when it listens on 127.0.0.1 and ends when its standard input closes. The API's root is
http://127.0.0.1:<n>/api/v1/. Tiles are made at their first request; servers may share the directory.
Faults, log and reset are those of http_server.

Besides, the bucket has the static documents of items, with relative hrefs, and /index/ has the mosaic's
index: tiles.geojson, tiles.gpkg, tiles_gpkg.zip and, as if it were one, tiles_gpqt.zip. It names the
tiles that exist or, with --indexed, those.

With --moments items have the datetime that is given for their tile; others have a null one and an interval.

With --sign-uses the files of the bucket ask for a token of Planetary Computer's kind, which
/sas/v1/token/<collection> gives and which is good for so many answers.
"""
import argparse
from collections import defaultdict
from datetime import datetime, timedelta, timezone
import hashlib
import io
import json
import operator
import os
from pathlib import Path
import re
import tempfile
import threading
import time
from urllib.parse import parse_qs, unquote, urlencode, urlsplit
import zipfile

os.environ["GDAL_DRIVER_PATH"] = "disable"  # the driver under test has no part in making its tests

from osgeo import gdal, ogr, osr  # noqa: E402

import arcticdem_tiles as arcticdem  # noqa: E402
from http_server import RangeFileHandler, RangeFileServer, run  # noqa: E402

gdal.UseExceptions()
ogr.UseExceptions()
osr.UseExceptions()

API = "/api/v1/"
COLLECTION = "arcticdem-mosaics-v4.1-32m"
BUCKET_PATH = "arcticdem/mosaics/v4.1/32m"
TILE_PATH = re.compile("/" + re.escape(BUCKET_PATH)
                       + r"/(?P<name>\d\d_\d\d)/(?P=name)_32m_v4\.1_(?P<asset>dem|datamask)\.tif")
START, END = "2011-03-01T00:00:00Z", "2021-09-30T00:00:00Z"
DEFAULT_LIMIT = 10
SEARCH_KEYS = {"collections", "intersects", "bbox", "ids", "datetime", "limit", "token", "next", "filter",
               "filter-lang"}
ITEM_PATH = re.compile("/" + re.escape(BUCKET_PATH) + r"/(?P<name>\d\d_\d\d)/(?P=name)_32m_v4\.1\.json")
TOKEN_PATH = "/sas/v1/token/"


class ApiError(Exception):
    def __init__(self, status, code, description):
        super().__init__(description)
        self.status = status
        self.body = {"code": code, "description": description}


def bad_request(description):
    return ApiError(400, "BadRequestError", description)


# Footprints

def to_lon_lat():
    projected, geographic = osr.SpatialReference(), osr.SpatialReference()
    projected.ImportFromEPSG(arcticdem.CRS_CODE)
    geographic.ImportFromEPSG(4326)
    for crs in (projected, geographic):
        crs.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    return osr.CoordinateTransformation(projected, geographic)


def polygon(ring):
    return ogr.CreateGeometryFromJson(json.dumps({"type": "Polygon", "coordinates": [ring]}))


def box(west, south, east, north):
    return polygon([[west, south], [east, south], [east, north], [west, north], [west, south]])


def exterior(geometry, shift):
    ring = geometry.GetGeometryRef(0)
    return [[round(ring.GetX(i) + shift, 6), round(ring.GetY(i), 6)] for i in range(ring.GetPointCount())]


def footprint(tile, transformation):
    """The rings of PGC's footprint (four corners, not densified, split at the antimeridian), and bbox."""
    xmin, ymin, xmax, ymax = arcticdem.tile_bounds(tile)
    corners = [(xmin, ymax), (xmax, ymax), (xmax, ymin), (xmin, ymin), (xmin, ymax)]
    ring = [[lon, lat] for lon, lat, _ in transformation.TransformPoints(corners)]
    lons, lats = zip(*ring)
    south, north = round(min(lats), 6), round(max(lats), 6)
    if max(lons) - min(lons) <= 180:
        rings = [[[round(lon, 6), round(lat, 6)] for lon, lat in ring]]
        return rings, [round(min(lons), 6), south, round(max(lons), 6), north]
    whole = polygon([[lon % 360, lat] for lon, lat in ring])
    rings, edges = [], []
    for west, shift in ((0, 0), (180, -360)):
        part = whole.Intersection(box(west, -90, west + 180, 90))
        if part.GetArea() > 1e-9:
            rings.append(exterior(part, shift))
            west, east, _, _ = part.GetEnvelope()
            edges += [round(west + shift, 6), round(east + shift, 6)]
    return rings, [edges[0], south, edges[-1], north]


def multi_polygon(rings, z=None):
    height = [] if z is None else [z]
    return {"type": "MultiPolygon", "coordinates": [[[point + height for point in ring]] for ring in rings]}


# Items

def asset(base, tile, key, suffix, **fields):
    name = "%s/%s/%s%s" % (BUCKET_PATH, arcticdem.tile_name(tile), arcticdem.item_id(tile), suffix)
    return key, {
        "href": base + "/" + name,
        "type": "image/tiff; application=geotiff; profile=cloud-optimized",
        **fields,
        "alternate": {"s3": {"href": "s3://pgc-opendata-dems/" + name}},
    }


def item(tile, rings, bbox, base):
    name, identifier = arcticdem.tile_name(tile), arcticdem.item_id(tile)
    xmin, ymin, xmax, ymax = arcticdem.tile_bounds(tile)
    size, pixel = arcticdem.TILE_SIZE, arcticdem.PIXEL
    collection = base + API + "collections/" + COLLECTION
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": ["https://stac-extensions.github.io/projection/v2.0.0/schema.json",
                            "https://stac-extensions.github.io/alternate-assets/v1.2.0/schema.json"],
        "id": identifier,
        "collection": COLLECTION,
        "bbox": bbox,
        "geometry": multi_polygon(rings, 0),
        "properties": {
            "title": identifier,
            "created": "2022-11-01T00:00:00Z",
            "published": "2023-02-01T00:00:00Z",
            "license": "CC-BY-4.0",
            "constellation": "maxar",
            "datetime": None,
            "start_datetime": START,
            "end_datetime": END,
            "gsd": pixel,
            "proj:code": "EPSG:%d" % arcticdem.CRS_CODE,
            "proj:shape": [size, size],
            "proj:transform": [pixel, 0.0, xmin, 0.0, -pixel, ymax, 0.0, 0.0, 1.0],
            "proj:bbox": [xmin, ymin, xmax, ymax],
            "proj:geometry": {"type": "Polygon", "coordinates": [
                [[xmin, ymin], [xmax, ymin], [xmax, ymax], [xmin, ymax], [xmin, ymin]]]},
            "pgc:pairname_ids": [],
            "pgc:supertile": name,
            "pgc:tile": name,
            "pgc:release_version": "4.1",
            "pgc:data_perc": 1.0,
            "pgc:num_components": 0,
        },
        "links": [
            {"rel": "collection", "type": "application/json", "href": collection},
            {"rel": "parent", "type": "application/json", "href": collection},
            {"rel": "root", "type": "application/json", "href": base + API, "title": "PGC Data Catalog"},
            {"rel": "self", "type": "application/geo+json", "href": collection + "/items/" + identifier},
        ],
        "assets": dict([
            asset(base, tile, "dem", "_dem.tif", title="32m DEM", unit="meter",
                  nodata=arcticdem.NODATA["dem"], data_type="float32", roles=["data"]),
            asset(base, tile, "mad", "_mad.tif", title="Median Absolute Deviation", unit="meter",
                  nodata=-9999.0, data_type="float32", roles=["metadata", "mad"]),
            asset(base, tile, "datamask", "_datamask.tif", title="Valid data mask",
                  nodata=arcticdem.NODATA["datamask"], data_type="uint8", roles=["metadata", "data-mask"]),
        ]),
    }


# Searches

def instant(text, default):
    if text in ("", ".."):
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise bad_request("datetime: %r is not RFC 3339" % text) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def meets_datetime(text, properties):
    first, _, last = text.partition("/")
    first, last = (first, last) if "/" in text else (text, text)
    begin = instant(first, datetime.min.replace(tzinfo=timezone.utc))
    end = instant(last, datetime.max.replace(tzinfo=timezone.utc))
    if end < begin:
        raise bad_request("datetime: %r ends before it begins" % text)
    moment = properties["datetime"]
    return (begin <= instant(moment or properties["end_datetime"], None)
            and end >= instant(moment or properties["start_datetime"], None))


def area(body):
    """The geometry asked for, or None."""
    if "bbox" in body and "intersects" in body:
        raise bad_request("intersects and bbox parameters are mutually exclusive")
    if "intersects" in body:
        geometry = body["intersects"]
        if not isinstance(geometry, dict) or geometry.get("type") not in ("Polygon", "MultiPolygon"):
            raise bad_request("intersects: expected a GeoJSON Polygon or MultiPolygon")
        try:
            return ogr.CreateGeometryFromJson(json.dumps(geometry))
        except RuntimeError as error:
            raise bad_request("intersects: %s" % error) from None
    if "bbox" not in body:
        return None
    bbox = body["bbox"]
    if not isinstance(bbox, list) or len(bbox) not in (4, 6):
        raise bad_request("bbox: expected 4 or 6 numbers")
    west, south, east, north = bbox if len(bbox) == 4 else bbox[0:2] + bbox[3:5]
    if west <= east:
        return box(west, south, east, north)
    return box(west, south, 180, north).Union(box(-180, south, east, north))


COMPARISONS = {"=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
               ">=": operator.ge}


def operand(value, properties):
    if isinstance(value, dict) and set(value) == {"property"}:
        return properties.get(value["property"])
    if isinstance(value, (str, int, float, bool)):
        return value
    raise bad_request("filter: %r is no operand" % (value,))


def meets_filter(expression, properties):
    """The part of basic CQL2 that is needed here."""
    if not isinstance(expression, dict) or set(expression) != {"op", "args"}:
        raise bad_request("filter: expected an object with op and args")
    op, args = expression["op"], expression["args"]
    if op in ("and", "or"):
        met = [meets_filter(part, properties) for part in args]
        return all(met) if op == "and" else any(met)
    if op not in COMPARISONS or len(args) != 2:
        raise bad_request("filter: %r is not supported by this server" % op)
    left, right = (operand(value, properties) for value in args)
    return left is not None and right is not None and COMPARISONS[op](left, right)


def check_filter(body):
    if "filter" in body and body.get("filter-lang") != "cql2-json":
        raise bad_request("filter-lang: a posted filter is cql2-json")


def checked_limit(body, max_limit):
    limit = body.get("limit", DEFAULT_LIMIT)
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise bad_request("limit: expected a positive integer")
    return min(limit, max_limit)


def parse_query(query):
    """A GET search as the body of the equal POST search."""
    body = {key: values[-1] for key, values in parse_qs(query).items()}
    try:
        for key in ("collections", "ids"):
            if key in body:
                body[key] = body[key].split(",")
        if "bbox" in body:
            body["bbox"] = [float(number) for number in body["bbox"].split(",")]
        if "intersects" in body:
            body["intersects"] = json.loads(body["intersects"])
        if "limit" in body:
            body["limit"] = int(body["limit"])
    except ValueError as error:
        raise bad_request(str(error)) from None
    return body


class Catalogue:
    def __init__(self, tiles, base, max_limit, paging="pgstac", moments=None):
        self.base = base
        self.max_limit = max_limit
        self.paging = paging
        self.items = {}
        self.footprints = {}
        transformation = to_lon_lat()
        for tile in tiles:
            rings, bbox = footprint(tile, transformation)
            identifier = arcticdem.item_id(tile)
            self.items[identifier] = item(tile, rings, bbox, base)
            self.items[identifier]["properties"]["datetime"] = (moments or {}).get(arcticdem.tile_name(tile))
            self.footprints[identifier] = ogr.CreateGeometryFromJson(json.dumps(multi_polygon(rings)))

    def matching(self, body):
        """Ids in pgstac's order: newest first, then descending ids; all items here are equally old."""
        unknown = set(body) - SEARCH_KEYS
        if unknown:
            raise bad_request("not supported by this server: " + ", ".join(sorted(unknown)))
        if not isinstance(body.get("collections"), list):
            raise bad_request("collections: a list is required by this server")
        where = area(body)
        check_filter(body)
        if COLLECTION not in body["collections"]:
            return []
        found = set(self.items) & set(body["ids"]) if "ids" in body else self.items
        if where is not None:
            found = [i for i in found if self.footprints[i].Intersects(where)]
        if "datetime" in body:
            found = [i for i in found if meets_datetime(body["datetime"], self.items[i]["properties"])]
        if "filter" in body:
            found = [i for i in found if meets_filter(body["filter"], self.items[i]["properties"])]
        return sorted(found, reverse=True)

    def page(self, body):
        """Ids of the page, and the tokens of the pages after and before it (or None)."""
        limit = checked_limit(body, self.max_limit)
        ids = self.matching(body)
        first = 0
        if "next" in body:
            return self.page_behind(str(body["next"]), ids, limit)
        if "token" in body:
            token = re.fullmatch("(next|prev):%s:(.+)" % re.escape(COLLECTION), str(body["token"]))
            if not token or token[2] not in ids:
                raise bad_request("token: %r is not of this search" % body["token"])
            position = ids.index(token[2])
            first = position + 1 if token[1] == "next" else max(position - limit, 0)
        page = ids[first:first + limit]
        after = "next:%s:%s" % (COLLECTION, page[-1]) if first + limit < len(ids) else None
        before = "prev:%s:%s" % (COLLECTION, page[0]) if page and first > 0 else None
        return page, after, before

    @staticmethod
    def page_behind(cursor, ids, limit):
        """As Earth Search has it: a last page that is full has a link to one that is empty."""
        last = cursor.split(",")[1:2]
        if not last or last[0] not in ids:
            raise bad_request("next: %r is not of this search" % cursor)
        first = ids.index(last[0]) + 1
        return ids[first:first + limit], "full" if len(ids[first:first + limit]) == limit else None, None

    def next_link(self, body, page, after, method):
        """The link to the page behind, in the style of this server."""
        href = self.base + API + "search"
        link = {"rel": "next", "type": "application/geo+json", "method": method, "href": href}
        cursor = {"next": "%s,%s,%s" % (START, page[-1], COLLECTION)} if page else {}
        if method == "GET" or self.paging == "get":
            link["method"] = "GET"
            link["href"] += "?" + urlencode(self.query_of({**body, "token": after}))
        elif self.paging == "earth-search":
            link.update(merge=False, body={**body, **cursor})
        elif self.paging == "merge":
            link.update(merge=True, body=cursor)
        else:
            link["body"] = {**body, "token": after}
        return link

    def search(self, body, method):
        page, after, before = self.page(body)
        if self.paging in ("earth-search", "merge") and len(page) == checked_limit(body, self.max_limit):
            after = after or "full"
        href = self.base + API + "search"
        links = []
        if after is not None:
            links.append(self.next_link(body, page, after, method))
        if before is not None:
            link = {"rel": "previous", "type": "application/geo+json", "method": method, "href": href}
            if method == "POST":
                link["body"] = {**body, "token": before}
            else:
                link["href"] += "?" + urlencode(self.query_of({**body, "token": before}))
            links.append(link)
        links += [{"rel": "root", "type": "application/json", "href": self.base + API},
                  {"rel": "self", "type": "application/json", "href": href}]
        return {"type": "FeatureCollection", "links": links,
                "features": [self.items[i] for i in page], "numberReturned": len(page)}

    @staticmethod
    def query_of(body):
        def text(value):
            if isinstance(value, dict):
                return json.dumps(value)
            return ",".join(map(str, value)) if isinstance(value, list) else value

        return {key: text(value) for key, value in body.items()}

    def static_item(self, identifier):
        """The document in the bucket: it is its own self, and its files lie beside it."""
        document = json.loads(json.dumps(self.items[identifier]))
        files = document["assets"].values()
        directory = next(iter(files))["href"].rpartition("/")[0]
        document["links"] = [{"rel": "self", "href": "%s/%s.json" % (directory, identifier)}]
        for file in files:
            file["href"] = "./" + file["href"].rpartition("/")[2]
        return document

    def root(self):
        api = self.base + API
        return {
            "type": "Catalog", "id": "pgc-data-stac", "stac_version": "1.0.0", "title": "PGC Data Catalog",
            "description": "PGC Data Catalog of open digital elevation models",
            "conformsTo": ["https://api.stacspec.org/v1.0.0/core",
                           "https://api.stacspec.org/v1.0.0/ogcapi-features",
                           "https://api.stacspec.org/v1.0.0/item-search"],
            "links": [
                {"rel": "self", "type": "application/json", "href": api},
                {"rel": "root", "type": "application/json", "href": api},
                {"rel": "data", "type": "application/json", "href": api + "collections"},
                *({"rel": "search", "type": "application/geo+json", "href": api + "search", "method": m}
                  for m in ("GET", "POST")),
                {"rel": "child", "type": "application/json", "href": api + "collections/" + COLLECTION},
            ],
        }

    def collection(self):
        api = self.base + API
        href = api + "collections/" + COLLECTION
        return {
            "type": "Collection", "id": COLLECTION, "stac_version": "1.0.0", "license": "CC-BY-4.0",
            "title": "ArcticDEM DEM mosaics v4.1 32m", "description": "ArcticDEM DEM mosaics v4.1 32m",
            "extent": {"spatial": {"bbox": [[-180, 50, 180, 90]]}, "temporal": {"interval": [[START, END]]}},
            "links": [
                {"rel": "items", "type": "application/geo+json", "href": href + "/items"},
                {"rel": "parent", "type": "application/json", "href": api},
                {"rel": "root", "type": "application/json", "href": api},
                {"rel": "self", "type": "application/json", "href": href},
            ],
        }

    def get(self, path):
        """The document under the API's root."""
        documents = {
            "": self.root,
            "collections": lambda: {"collections": [self.collection()], "links": []},
            "collections/" + COLLECTION: self.collection,
        }
        if path in documents:
            return documents[path]()
        prefix = "collections/%s/items/" % COLLECTION
        identifier = path[len(prefix):] if path.startswith(prefix) else None
        if identifier in self.items:
            return self.items[identifier]
        raise ApiError(404, "NotFoundError", "%s does not exist." % (identifier or path))


# The server

class ThrottledWriter:
    def __init__(self, writer, bytes_per_second):
        self.writer = writer
        self.bytes_per_second = bytes_per_second

    def write(self, data):
        piece = max(self.bytes_per_second // 20, 1)
        for first in range(0, len(data), piece):
            part = data[first:first + piece]
            self.writer.write(part)
            self.writer.flush()
            time.sleep(len(part) / self.bytes_per_second)
        return len(data)

    def __getattr__(self, name):
        return getattr(self.writer, name)


class Index:
    """The mosaic's index in the forms that it is published in."""

    def __init__(self, tiles):
        self.tiles = sorted(tiles)
        self.files = {}
        self.lock = threading.Lock()

    def geojson(self):
        transformation = to_lon_lat()
        return json.dumps({"type": "FeatureCollection", "features": [
            {"type": "Feature", "properties": {"dem_id": arcticdem.item_id(tile), "tile": arcticdem.tile_name(tile)},
             "geometry": multi_polygon(footprint(tile, transformation)[0])} for tile in self.tiles]}).encode()

    def geopackage(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "tiles.gpkg")
            gdal.VectorTranslate(path, gdal.OpenEx(self.geojson().decode()), format="GPKG")
            return Path(path).read_bytes()

    @staticmethod
    def zipped(name, content):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
            files.writestr("ArcticDEM_Mosaic_Index_v4_1/readme.txt", "read me")
            files.writestr("ArcticDEM_Mosaic_Index_v4_1/" + name, content)
        return archive.getvalue()

    def make(self, name):
        makers = {
            "tiles.geojson": self.geojson,
            "tiles.gpkg": self.geopackage,
            "tiles_gpkg.zip": lambda: self.zipped("tiles.gpkg", self.geopackage()),
            "tiles_gpqt.zip": lambda: self.zipped("tiles.parquet", b"PAR1"),
        }
        return makers[name]() if name in makers else None

    def get(self, name):
        with self.lock:
            if name not in self.files:
                self.files[name] = self.make(name)
            return self.files[name]


class Tokens:
    """Each token is good for some answers; then there must be a new one."""

    def __init__(self, uses):
        self.uses = uses
        self.lock = threading.Lock()
        self.left = {}

    def new(self):
        with self.lock:
            token = "st=2026-01-01T00:00:00Z&sig=a/TOKEN%d" % (len(self.left) + 1)
            self.left[token] = self.uses
            return token

    def use(self, query):
        """Whether the query has a good token."""
        with self.lock:
            token = unquote(query)
            if self.left.get(token, 0) < 1:
                return False
            self.left[token] -= 1
            return True


class StacServer(RangeFileServer):
    def __init__(self, directory, tiles, delay_ms=0, bandwidth=None, max_limit=100, paging="pgstac",
                 indexed=None, sign_uses=None, moments=None):
        super().__init__(directory, StacHandler)
        self.tiles = frozenset(tiles)
        self.delay_ms = delay_ms
        self.bandwidth = bandwidth
        self.catalogue = Catalogue(self.tiles, "http://127.0.0.1:%d" % self.server_address[1], max_limit,
                                   paging, moments)
        self.index = Index(self.tiles if indexed is None else indexed)
        self.tokens = Tokens(sign_uses) if sign_uses is not None else None
        self.making = defaultdict(threading.Lock)

    def make_tile(self, tile, asset, path):
        target = self.directory / path.lstrip("/")
        with self.making[target]:
            if not target.exists():
                arcticdem.write_cog(tile, asset, target)


class StacHandler(RangeFileHandler):
    def serve(self):
        if self.path_only == API.rstrip("/") or self.path_only.startswith(API):
            return self.serve_api(self.path_only[len(API):].rstrip("/"))
        if self.path_only.startswith("/index/"):
            return self.serve_index(self.path_only[len("/index/"):])
        if self.path_only.startswith(TOKEN_PATH) and self.server.tokens is not None:
            return self.serve_token(self.path_only[len(TOKEN_PATH):])
        item = ITEM_PATH.fullmatch(self.path_only)
        if item and arcticdem.tile_from_name(item["name"]) in self.server.tiles:
            identifier = arcticdem.item_id(arcticdem.tile_from_name(item["name"]))
            return self.respond_json(self.server.catalogue.static_item(identifier))
        wanted = TILE_PATH.fullmatch(self.path_only)
        tile = wanted and arcticdem.tile_from_name(wanted["name"])
        if tile not in self.server.tiles:
            return self.respond(404, b"NoSuchKey\n", "text/plain")
        if self.server.tokens is not None and not self.server.tokens.use(urlsplit(self.path).query):
            return self.respond(403, b"Server failed to authenticate the request.\n", "text/plain")
        self.server.make_tile(tile, wanted["asset"], self.path_only)
        self.server.faults.wait(self.server.delay_ms)
        if self.server.bandwidth is None:
            return super().serve()
        writer, self.wfile = self.wfile, ThrottledWriter(self.wfile, self.server.bandwidth)
        try:
            return super().serve()
        finally:
            self.wfile = writer

    def serve_index(self, name):
        content = self.server.index.get(name)
        if content is None:
            return self.respond(404, b"no such index\n", "text/plain")
        return self.respond_part(content, {"ETag": '"%s"' % hashlib.sha256(content).hexdigest()[:20]})

    def serve_token(self, collection):
        if collection != COLLECTION:
            return self.respond_json({"detail": "Unknown collection"}, 404)
        expiry = datetime.now(timezone.utc) + timedelta(minutes=45)
        return self.respond_json({"token": self.server.tokens.new(),
                                  "msft:expiry": expiry.strftime("%Y-%m-%dT%H:%M:%SZ")})

    def serve_api(self, path):
        try:
            document = self.search() if path == "search" else self.document(path)
        except ApiError as error:
            return self.respond_json(error.body, error.status)
        geojson = document["type"] in ("Feature", "FeatureCollection") if "type" in document else False
        return self.respond(200, json.dumps(document).encode(),
                            "application/geo+json" if geojson else "application/json")

    def document(self, path):
        if self.command == "POST":
            raise ApiError(405, "MethodNotAllowed", "Method Not Allowed")
        return self.server.catalogue.get(path)

    def search(self):
        if self.command != "POST":
            return self.server.catalogue.search(parse_query(urlsplit(self.path).query), "GET")
        if self.headers.get_content_type() != "application/json":
            raise ApiError(415, "UnsupportedMediaType", "a search is posted as application/json")
        try:
            body = json.loads(self.body)
        except ValueError as error:
            raise bad_request(str(error)) from None
        if not isinstance(body, dict):
            raise bad_request("expected a JSON object")
        return self.server.catalogue.search(body, "POST")


def cache_directory(directory):
    """A directory of its own for each version of the tiles, so that none is ever stale."""
    version = hashlib.sha256()
    for source in (Path(arcticdem.__file__), arcticdem.RELIEF_FILE):
        version.update(source.read_bytes())
    path = Path(directory) / version.hexdigest()[:16]
    path.mkdir(parents=True, exist_ok=True)
    return path


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tiles", required=True)
    parser.add_argument("--only")
    parser.add_argument("--delay-ms", type=int, default=0)
    parser.add_argument("--bandwidth", type=int)
    parser.add_argument("--max-limit", type=int, default=100)
    parser.add_argument("--paging", choices=["pgstac", "earth-search", "merge", "get"], default="pgstac")
    parser.add_argument("--indexed")
    parser.add_argument("--sign-uses", type=int)
    parser.add_argument("--moments")
    options = parser.parse_args()

    def tiles_of(names):
        tiles = {arcticdem.tile_from_name(name) for name in names.split(",") if name}
        outside = [arcticdem.tile_name(tile) for tile in tiles if not arcticdem.on_lattice(tile)]
        if outside:
            parser.error("not on the lattice: " + ", ".join(outside))
        return tiles

    tiles = arcticdem.default_tiles() if options.only is None else tiles_of(options.only)
    indexed = None if options.indexed is None else tiles_of(options.indexed)
    moments = dict(pair.split("=") for pair in options.moments.split(",")) if options.moments else None
    run(StacServer(cache_directory(options.tiles), tiles, options.delay_ms, options.bandwidth,
                   options.max_limit, options.paging, indexed, options.sign_uses, moments))


if __name__ == "__main__":
    main()
