#!/usr/bin/env python3
"""Plays Earth Engine's REST interface, and Google's token services, over pixels from a formula.

    earthengine_server.py [DIRECTORY]

prints "PORT <n>" when it listens on 127.0.0.1 and ends when its standard input closes. (DIRECTORY is not
used; other servers serve files from it.) Faults, log and reset are those of http_server; these hold for
good answers of the service:

    "max_request_bytes": n   accept requests of n accounted bytes at most
    "max_pixels": n          "User memory limit exceeded." for larger ones
    "spoil": n               xor byte n of the answer with 255 (n < 0: from its end)

    POST /v1/projects/example/image:computePixels   and value:compute
    POST /token                                     for a login (LOGIN below) or a signed assertion
    GET  /computeMetadata/v1/…/token                what a machine in Google's cloud is told
    GET  /__service_account                         a service account's file, with a key of its own

With u = floor(8 x) and v = floor(8 y) at a pixel's centre, band b of an image of year t has the value
(7 u + 13 v + 31 b + 17 (t - 2000)) mod 251, of the assets' `value`, and is masked where
(floor(u / 16) + floor(v / 16)) mod 5 = 0. Images without a year count as of 2000.
"""
import base64
import hashlib
import json
import math
import re
import secrets
import struct
import sys
import tempfile
import zlib
from datetime import datetime, timezone
from urllib.parse import parse_qs, unquote

from http_server import RangeFileHandler, RangeFileServer, run

PROJECT = "example"
BEARER = "test-bearer"  # accepted without having been asked for
LOGIN = {"client_id": "test-client", "client_secret": "test-secret", "refresh_token": "test-refresh"}
SCOPE = "https://www.googleapis.com/auth/earthengine.readonly"

MOST_BYTES, MOST_SIDE, MOST_BANDS = 50331648, 32768, 1024
SAMPLES = {  # by the function that makes them: struct's letter, size, range
    "Image.toUint8": ("B", 1, (0, 255)),
    "Image.toInt16": ("h", 2, (-32768, 32767)),
    "Image.toUint16": ("H", 2, (0, 65535)),
    "Image.toInt32": ("i", 4, (-2**31, 2**31 - 1)),
    "Image.toUint32": ("I", 4, (0, 2**32 - 1)),
    "Image.toFloat": ("f", 4, None),
    "Image.toDouble": ("d", 8, None),
}
NUMPY = {"B": "|u1", "h": "<i2", "H": "<u2", "i": "<i4", "I": "<u4", "f": "<f4", "d": "<f8"}


class Refusal(Exception):
    def __init__(self, code, status, message):
        super().__init__(message)
        self.code = code
        self.body = {"error": {"code": code, "message": message, "status": status}}


def invalid(message):
    return Refusal(400, "INVALID_ARGUMENT", message)


def demand(condition, message):
    if not condition:
        raise invalid("test server: " + message)


# Assets

class Asset:
    def __init__(self, kind, bands, years, value):
        self.kind, self.bands, self.years, self.value = kind, bands, years, value


def trend():
    return Asset("ImageCollection", ["TCB_slope", "TCG_slope", "TCW_slope"], [2000], lambda n: n)


def annual(*years):
    return Asset("ImageCollection", ["A%02d" % b for b in range(64)], years, lambda n: n / 8 - 10)


ASSETS = {
    "projects/example/assets/trend": trend(),
    "EXAMPLE/ANNUAL": annual(2019, 2020, 2022),
    "projects/example/assets/relief": Asset("Image", ["relief"], [2000], lambda n: n * 100 - 12000),
    # What the definitions that ship ask for.
    "users/ingmarnitze/TCTrend_SR_2000-2019_TCVIS": trend(),
    "users/ingmarnitze/TCTrend_SR_2001-2020_TCVIS": trend(),
    "users/ingmarnitze/TCTrend_SR_2003-2022_TCVIS": trend(),
    "projects/ee-ingmarnitze/assets/TCTrend_SR_2005-2024_TCVIS": trend(),
    "GOOGLE/SATELLITE_EMBEDDING/V1/ANNUAL": annual(*range(2017, 2026)),
}


class Image:
    """What a band is at a place: value(band, x, y), None where it is masked."""

    def __init__(self, bands, value, sample=None, is_unmasked=False):
        self.bands, self.value, self.sample, self.is_unmasked = bands, value, sample, is_unmasked


def formula(asset, year):
    def value(band, x, y):
        u, v = math.floor(8 * x), math.floor(8 * y)
        if (u // 16 + v // 16) % 5 == 0:
            return None
        return asset.value((7 * u + 13 * v + 31 * asset.bands.index(band) + 17 * (year - 2000)) % 251)

    return value


def load(kind, arguments):
    asset = ASSETS.get(arguments["id"])
    if asset is None or asset.kind != kind:
        raise invalid("%s.load: %s asset '%s' not found (does not exist or caller does not have access)."
                      % (kind, kind, arguments["id"]))
    return asset, list(asset.years)


def load_image(arguments):
    asset, years = load("Image", arguments)
    return Image(asset.bands, formula(asset, years[0]))


def parse_time(text):
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def filter_images(arguments):
    asset, years = arguments["collection"]
    start, end, field = arguments["filter"]
    demand(field == "system:time_start", "images have no " + field)
    demand(start < end, "an empty range of dates")
    return asset, [y for y in years if start <= datetime(y, 1, 1, tzinfo=timezone.utc) < end]


def reduce_images(choose):
    def reduce(arguments):
        asset, years = arguments["collection"]
        if not years:
            return Image([], None)

        def value(band, x, y):
            values = [v for v in (formula(asset, year)(band, x, y) for year in years) if v is not None]
            return choose(values) if values else None

        return Image(asset.bands, value)

    return reduce


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def unmask(arguments):
    image, other = arguments["input"], arguments["value"]
    demand(arguments["sameFootprint"] is False, "pixels outside the footprint would stay masked")

    def value(band, x, y):
        inner = image.value(band, x, y)
        return other.value(None, x, y) if inner is None else inner

    return Image(image.bands, value, is_unmasked=True)


def cast(name):
    def convert(arguments):
        image, limits = arguments["value"], SAMPLES[name][2]

        def value(band, x, y):
            inner = image.value(band, x, y)
            return inner if inner is None or limits is None else max(limits[0], min(limits[1], int(inner)))

        return Image(image.bands, value, name, image.is_unmasked)

    return convert


FUNCTIONS = {
    "Image.load": load_image,
    "ImageCollection.load": lambda a: load("ImageCollection", a),
    "DateRange": lambda a: (parse_time(a["start"]), parse_time(a["end"])),
    "Filter.dateRangeContains": lambda a: a["leftValue"] + (a["rightField"],),
    "Collection.filter": filter_images,
    "Collection.size": lambda a: len(a["collection"][1]),
    "ImageCollection.mosaic": reduce_images(lambda values: values[-1]),
    "Collection.first": reduce_images(lambda values: values[0]),
    "reduce.median": reduce_images(median),
    "Image.constant": lambda a: Image(["constant"], lambda band, x, y: a["value"]),
    "Image.unmask": unmask,
    **{name: cast(name) for name in SAMPLES},
}


def evaluate(expression):
    values = expression["values"]

    def node(value):
        (kind, content), = value.items()
        if kind == "constantValue":
            return content
        if kind == "valueReference":
            return node(values[content])
        demand(kind == "functionInvocationValue", "a node " + kind)
        name = content["functionName"]
        demand(name in FUNCTIONS, "no function " + name)
        return FUNCTIONS[name]({key: node(argument) for key, argument in content["arguments"].items()})

    return node(values[expression["result"]])


# Pixels

def check_grid(grid):
    demand(set(grid) == {"dimensions", "affineTransform", "crsCode"}, "a grid of %s" % sorted(grid))
    demand(grid["crsCode"] == "EPSG:4326", "CRS %s" % grid["crsCode"])
    width, height = grid["dimensions"]["width"], grid["dimensions"]["height"]
    t = grid["affineTransform"]
    demand(set(t) == {"scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY"}, "a transform")
    demand(t["shearX"] == 0 == t["shearY"] and t["scaleX"] > 0 > t["scaleY"], "a turned grid")
    if not (0 < width <= MOST_SIDE and 0 < height <= MOST_SIDE):
        raise invalid("Image grid dimensions (%sx%s) must be at most 32768 a side." % (width, height))
    xs = [t["translateX"] + (i + 0.5) * t["scaleX"] for i in range(width)]
    ys = [t["translateY"] + (j + 0.5) * t["scaleY"] for j in range(height)]
    demand(-180 <= xs[0] and xs[-1] <= 180 and -90 <= ys[-1] and ys[0] <= 90, "pixels off the Earth")
    return xs, ys


def compute_pixels(body, max_bytes, max_pixels):
    allowed = {"expression", "fileFormat", "bandIds", "grid", "workloadTag"}
    demand(set(body) <= allowed, "keys %s" % sorted(set(body) - allowed))
    image = evaluate(body["expression"])
    demand(image.sample is not None and image.is_unmasked, "an image not unmasked and cast")
    for band in body["bandIds"]:
        if band not in image.bands:
            raise invalid("Image.select: Pattern '%s' did not match any bands." % band)
    demand(0 < len(body["bandIds"]) <= MOST_BANDS, "%d bands" % len(body["bandIds"]))
    xs, ys = check_grid(body["grid"])
    letter, size, _ = SAMPLES[image.sample]
    total = len(xs) * len(ys) * len(body["bandIds"]) * (size + 1)
    if total > max_bytes:
        raise invalid("Total request size (%d bytes) must be less than or equal to %d bytes."
                      % (total, max_bytes))
    if len(xs) * len(ys) > max_pixels:
        raise invalid("User memory limit exceeded.")
    values = [image.value(band, x, y) for y in ys for x in xs for band in body["bandIds"]]
    samples = struct.pack("<%d%s" % (len(values), letter), *values)
    if body["fileFormat"] == "NPY":
        return "application/octet-stream", npy(body["bandIds"], letter, len(xs), len(ys), samples)
    demand(body["fileFormat"] == "GEO_TIFF", "format " + body["fileFormat"])
    return "image/tiff", tiff(body["grid"], letter, len(body["bandIds"]), len(xs), len(ys), samples)


def npy(bands, letter, width, height, samples):
    header = str({"descr": [(band, NUMPY[letter]) for band in bands], "fortran_order": False,
                  "shape": (height, width)})[:-1] + ", }"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + samples


def tiff(grid, letter, bands, width, height, samples):
    """One deflated strip, pixel-interleaved."""
    t, size = grid["affineTransform"], SAMPLES_SIZE[letter]
    strip = zlib.compress(samples)
    sample_format = 1 if letter.isupper() else 2
    tags = [  # tag, type (3: 16 bit, 4: 32 bit, 12: double), values
        (256, 4, [width]), (257, 4, [height]), (258, 3, [8 * size] * bands), (259, 3, [8]), (262, 3, [1]),
        (273, 4, [8]), (277, 3, [bands]), (278, 4, [height]), (279, 4, [len(strip)]), (284, 3, [1]),
        (338, 3, [0] * (bands - 1)), (339, 3, [sample_format] * bands),
        (33550, 12, [t["scaleX"], -t["scaleY"], 0.0]),
        (33922, 12, [0.0, 0.0, 0.0, t["translateX"], t["translateY"], 0.0]),
        (34735, 3, [1, 1, 0, 2, 1024, 0, 1, 2, 2048, 0, 1, 4326]),
    ]
    tags = [tag for tag in tags if tag[2]]
    letters = {3: "H", 4: "I", 12: "d"}
    start = 8 + len(strip) + len(strip) % 2
    data_at = start + 2 + 12 * len(tags) + 4
    entries, data = b"", b""
    for number, kind, values in tags:
        packed = struct.pack("<%d%s" % (len(values), letters[kind]), *values)
        if len(packed) <= 4:
            field = packed.ljust(4, b"\0")
        else:
            field = struct.pack("<I", data_at + len(data))
            data += packed
        entries += struct.pack("<HHI", number, kind, len(values)) + field
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return (struct.pack("<2sHI", b"II", 42, start) + strip).ljust(start, b"\0") + directory + data


SAMPLES_SIZE = {letter: size for letter, size, _ in SAMPLES.values()}


# A service account

def is_prime(n):
    if any(n % p == 0 for p in (3, 5, 7, 11, 13, 17, 19, 23)):
        return False
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(20):
        x = pow(secrets.randbelow(n - 3) + 2, odd, n)
        if x not in (1, n - 1) and not any((x := x * x % n) == n - 1 for _ in range(twos - 1)):
            return False
    return True


def prime(bits):
    while True:
        n = secrets.randbits(bits) | 3 << (bits - 2) | 1
        if n % 65537 != 1 and is_prime(n):
            return n


def der(kind, content):
    length = len(content).to_bytes(4, "big").lstrip(b"\0")
    if len(content) > 127:
        length = bytes([128 + len(length)]) + length
    return bytes([kind]) + length + content


class ServiceAccount:
    email = "test@example.iam.gserviceaccount.com"

    def __init__(self):
        p, q, e = prime(1024), prime(1024), 65537
        d = pow(e, -1, (p - 1) * (q - 1))
        self.modulus, self.exponent = p * q, e
        numbers = [0, p * q, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p)]
        whole = der(0x30, b"".join(der(2, n.to_bytes(n.bit_length() // 8 + 1, "big")) for n in numbers))
        algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
        text = base64.encodebytes(der(0x30, der(2, b"\0") + algorithm + der(4, whole))).decode()
        words = "PRIVATE KEY"
        self.private_key = "-----BEGIN %s-----\n%s-----END %s-----\n" % (words, text, words)

    def check(self, assertion, audience):
        signed, signature = assertion.rsplit(".", 1)
        header, claims = (json.loads(self.decode(part)) for part in signed.split("."))
        demand(header["alg"] == "RS256", "an assertion signed otherwise")
        demand(claims["iss"] == self.email and claims["scope"] == SCOPE, "claims %s" % claims)
        demand(claims["aud"] == audience and claims["exp"] > claims["iat"], "claims %s" % claims)
        size = (self.modulus.bit_length() + 7) // 8
        plain = pow(int.from_bytes(self.decode(signature), "big"), self.exponent, self.modulus)
        digest = (bytes.fromhex("3031300d060960864801650304020105000420")
                  + hashlib.sha256(signed.encode()).digest())
        padded = b"\0\1" + b"\xff" * (size - 3 - len(digest)) + b"\0" + digest
        demand(plain.to_bytes(size, "big") == padded, "a wrong signature")

    @staticmethod
    def decode(text):
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


# The server

class EarthEngineServer(RangeFileServer):
    def __init__(self, directory):
        super().__init__(directory, EarthEngineHandler)
        self.tokens = {BEARER}
        self.account = None

    def new_token(self):
        token = "ya29.test-%d" % len(self.tokens)
        self.tokens.add(token)
        return {"access_token": token, "expires_in": 3599, "token_type": "Bearer"}


class EarthEngineHandler(RangeFileHandler):
    server: EarthEngineServer

    @property
    def base(self):
        return "http://127.0.0.1:%d" % self.server.server_address[1]

    def obey(self):
        if self.path_only != "/__service_account":
            return super().obey()
        self.server.account = self.server.account or ServiceAccount()
        return self.respond_json({
            "type": "service_account", "project_id": PROJECT, "client_email": self.server.account.email,
            "private_key": self.server.account.private_key, "token_uri": self.base + "/token"})

    def serve(self):
        try:
            if self.path_only == "/token":
                return self.serve_token()
            if self.path_only.startswith("/computeMetadata/"):
                return self.serve_metadata()
            return self.serve_service()
        except Refusal as refusal:
            return self.respond_json(refusal.body, refusal.code)

    def serve_token(self):
        form = {key: values[0] for key, values in parse_qs(self.body.decode()).items()}
        kind = form.pop("grant_type", None)
        if kind == "refresh_token" and form == LOGIN:
            return self.respond_json(self.server.new_token())
        if kind == "urn:ietf:params:oauth:grant-type:jwt-bearer" and self.server.account is not None:
            self.server.account.check(form["assertion"], self.base + "/token")
            return self.respond_json(self.server.new_token())
        return self.respond_json({"error": "invalid_grant", "error_description": "Bad Request"}, 400)

    def serve_metadata(self):
        if self.headers.get("Metadata-Flavor") != "Google":
            raise Refusal(403, "PERMISSION_DENIED", "no Metadata-Flavor")
        if self.path_only != "/computeMetadata/v1/instance/service-accounts/default/token":
            raise Refusal(404, "NOT_FOUND", "not found")
        return self.respond_json(self.server.new_token())

    def check_caller(self, project):
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or token not in self.server.tokens:
            raise Refusal(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if project != PROJECT or self.headers.get("X-Goog-User-Project", project) != project:
            raise Refusal(403, "PERMISSION_DENIED", "Permission 'earthengine.computations.create' denied on "
                          "resource 'projects/%s' (or it may not exist)." % project)

    def serve_service(self):
        path = re.fullmatch(r"/v1/projects/([^/]+)/(image:computePixels|value:compute)", self.path_only)
        if path is None or self.command != "POST":
            raise Refusal(404, "NOT_FOUND", "Not found.")
        self.check_caller(unquote(path[1]))
        demand(self.headers.get("Content-Type") == "application/json", "a body of another type")
        body = json.loads(self.body)
        if path[2] == "value:compute":
            return self.respond_json({"result": evaluate(body["expression"])})
        kind, pixels = compute_pixels(body, self.fault.get("max_request_bytes", MOST_BYTES),
                                      self.fault.get("max_pixels", math.inf))
        if "spoil" in self.fault:
            pixels = bytearray(pixels)
            pixels[self.fault["spoil"]] ^= 255
        return self.respond(200, bytes(pixels), kind)


if __name__ == "__main__":
    run(EarthEngineServer(sys.argv[1] if len(sys.argv) > 1 else tempfile.gettempdir()))
