"""Servers that misbehave, for each kind of source that asks one: what passes is repeated; what lasts is one error that
names the patch, and nothing false is in the cube; afterwards the rest is loaded."""
import re

from osgeo import gdal
import pytest

from conftest import FileServer
import patchwork

BOTH = [(0, 0), (0, 1)]
CHUNK = 300
CUBE = (50, 1150, 860, 300)  # chunks of tile 0_0, of both, and of 0_1
TILE, ITEM, SEARCH = "/tiles/0_0.tif", "/items/0_0.json", "/api/search"
TARGETS = {"tiles: file": ("tiles", TILE), "items: file": ("items", TILE), "search: file": ("search", TILE),
           "items: item": ("items", ITEM), "search: answer": ("search", SEARCH), "gdal: file": ("gdal", TILE)}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    directory = tmp_path_factory.mktemp("served")
    server = FileServer(directory)
    (directory / "tiles").mkdir()
    patchwork.write_tiles(directory / "tiles", BOTH)
    patchwork.write_items(directory, server.url, BOTH)
    whole = (directory / TILE[1:]).read_bytes()
    (directory / "damaged.tif").write_bytes(whole[:20000] + b"\xff" * (len(whole) - 20000))
    (directory / "short.tif").write_bytes(whole[:len(whole) // 2])
    other = gdal.GetDriverByName("GTiff").Create(str(directory / "other.tif"), patchwork.SIDE, patchwork.SIDE, 1,
                                                 gdal.GDT_Float32)
    other.SetGeoTransform(patchwork.tile_transform((0, 0)))
    other.SetProjection("EPSG:3413")
    other.GetRasterBand(1).Fill(70000)
    del other
    names = ["/vsicurl/%s/tiles/0_%d.tif" % (server.url, column) for column in (1, 0)]  # the last is above
    gdal.BuildVRT(str(directory / "both.vrt"), names).FlushCache()
    server.reset()
    yield server
    server.close()


@pytest.fixture
def server(served, config):
    config(GDAL_HTTP_RETRY_DELAY="0.01")
    gdal.VSICurlClearCache()
    yield served
    served.reset()


@pytest.fixture
def open_kind(open_document, server):
    def open_cube(kind, **options):
        source = {"kind": "gdal", "dataset": str(server.directory / "both.vrt")} if kind == "gdal" else \
            patchwork.source(kind, server.url)
        if kind == "gdal":  # when two threads fail on one file, GDAL tells the reason to one of them
            options["MAX_REQUESTS"] = "1"
        document = patchwork.definition({**source, "retries": 3}, CUBE, chunk_shape=[CHUNK, CHUNK])
        return open_document(document, **options)

    return open_cube


def expected(window=(0, 0, *CUBE[2:])):
    x, y, width, height = window
    return patchwork.mosaic(window=(CUBE[0] + x, CUBE[1] + y, width, height), which=BOTH)


def asked(server, path):
    return [entry for entry in server.log() if entry["path"] == path]


TRANSIENT = {"503": {"status": 503}, "429": {"status": 429, "retry_after": 0}, "reset": {"reset": True},
             "truncated": {"truncate": 100}}
BY_GDAL = ("503", "429")  # what its own client repeats


@pytest.mark.parametrize("what", TRANSIENT)
@pytest.mark.parametrize("kind, path", TARGETS.values(), ids=TARGETS.keys())
def test_what_passes(open_kind, server, read, assert_pixels, kind, path, what):
    if kind == "gdal" and what not in BY_GDAL:
        pytest.skip("GDAL's own client repeats statuses only")
    server.fault(path, times=2, **TRANSIENT[what])
    said = []
    gdal.PushErrorHandler(lambda severity, number, message: said.append((severity, message)))
    try:
        assert_pixels(read(open_kind(kind), 0, 0, *CUBE[2:]), expected())
    finally:
        gdal.PopErrorHandler()
    # A failure would be an exception in Python, from GDAL 3.10 on.
    assert all(severity in (gdal.CE_Debug, gdal.CE_Warning) for severity, message in said), said
    if "status" in TRANSIENT[what]:
        assert [entry["status"] for entry in asked(server, path)[:2]] == 2 * [int(what)]


PERMANENT = {  # what it is, and what is said of it
    "403": ({"status": 403, "body": "the service says no"}, "403"),
    "404": ({"status": 404}, "404"),
    "HTML": ({"status": 200, "body": "<html>Please log in</html>", "content_type": "text/html"},
             "not a GeoTIFF|no JSON object|not recognized|HTTP response code"),  # the last of a sidecar, on GDAL 3.13
    "redirect loop": ({"redirect_to": "{url}{path}"}, "redirect"),
    "damaged": ({"redirect_to": "{url}/damaged.tif"}, "cannot be read"),
    "short": ({"redirect_to": "{url}/short.tif"}, "cannot be read"),
    "wrong type": ({"redirect_to": "{url}/other.tif"}, "70000.*int16"),
}
LASTING = {**{what: (rule, what if "status" in rule else "reset by peer|remaining|bytes missing|TIFFReadDirectory")
              for what, rule in TRANSIENT.items()}, **PERMANENT}


def goes_with(what, kind, path):
    if what == "404":
        return path == TILE and kind != "tiles"  # the lattice only supposes its tiles and items
    if what == "wrong type":
        return path == TILE and kind != "gdal"  # GDAL's mosaic converts it
    return path == TILE or what not in ("damaged", "short")


@pytest.mark.parametrize("what, kind, path", [
    pytest.param(what, *target, id="%s: %s" % (name, what))
    for name, target in TARGETS.items() for what in LASTING if goes_with(what, *target)])
def test_what_lasts(open_kind, server, failure, read, assert_pixels, what, kind, path):
    rule, words = LASTING[what]
    if "redirect_to" in rule:
        rule = {"redirect_to": rule["redirect_to"].format(url=server.url, path=path)}
    server.fault(path, **rule)
    message = failure(open_kind(kind).ReadRaster)
    assert re.search(words, message), message
    assert {"gdal": "patch 0-", "search": "patchwork" if path == SEARCH else "patch 0_0"}.get(
        kind, "patch 0_0") in message
    if kind != "gdal" and (what in TRANSIENT or what in ("403", "404")):
        attempts = len(asked(server, path))
        # Of one chunk, or of both; curl repeats by itself what an old connection lost.
        assert 4 <= attempts <= 16 if what in TRANSIENT else attempts <= 2

    there = read(open_kind(kind, DOWNLOAD="NO", ON_MISSING="NODATA"), 0, 0, *CUBE[2:])
    assert (there[:, :2 * CHUNK] == patchwork.NODATA).all()
    if not (there == patchwork.NODATA).all():
        assert_pixels(there[:, 2 * CHUNK:], expected((2 * CHUNK, 0, CUBE[2] - 2 * CHUNK, CUBE[3])))

    server.reset()
    assert_pixels(read(open_kind(kind), 0, 0, *CUBE[2:]), expected())
