"""A cube of Earth Engine pixels, filled from a server that plays the service: every pixel, every refusal."""
import json

import numpy as np
from osgeo import gdal
import pytest

from conftest import LocalServer
import earthengine_server
from test_processes import root_attributes

WIDTH, HEIGHT, CHUNK_WIDTH, CHUNK_HEIGHT = 100, 80, 48, 32
WEST, NORTH, PIXEL = -10, 60, 0.25
BANDS = ["TCB_slope", "TCG_slope", "TCW_slope"]
WHOLE = (0, 0, WIDTH, HEIGHT)
FIRST_CHUNK = (0, 0, CHUNK_WIDTH, CHUNK_HEIGHT)
LAST_CHUNK = (96, 64, 4, 16)
COMPUTE_PIXELS = "/v1/projects/example/image:computePixels"
DEFINITION = {
    "type": "CubeDataset", "version": "1", "id": "trend", "proj:code": "EPSG:4326",
    "proj:transform": [PIXEL, 0, WEST, 0, -PIXEL, NORTH], "proj:shape": [HEIGHT, WIDTH],
    "chunk_shape": [CHUNK_HEIGHT, CHUNK_WIDTH],
    "bands": [{"name": name, "data_type": "uint8", "nodata": 255} for name in BANDS],
    "source": {"kind": "earthengine", "asset": "projects/example/assets/trend", "sentinel": -1},
}
REFUSALS = {
    "asset": (400, "INVALID_ARGUMENT", "ImageCollection.load: ImageCollection asset 'users/example/missing' "
              "not found (does not exist or caller does not have access)."),
    "permission": (403, "PERMISSION_DENIED", "Permission 'earthengine.computations.create' denied on resource "
                   "'projects/example' (or it may not exist)."),
    "memory of one pixel": (400, "INVALID_ARGUMENT", "User memory limit exceeded."),
    "rate": (429, "RESOURCE_EXHAUSTED", "Too Many Requests: Request was rejected because the request rate or "
             "concurrency limit was exceeded."),
}


def formula(window, bands, year=2000, factor=1, grid=(WEST, NORTH, PIXEL)):
    """Bands of the server's formula in a window of the level, and where they are masked."""
    x0, y0, width, height = window
    west, north, pixel = grid
    x = west + (x0 + np.arange(width) + 0.5) * pixel * factor
    y = north - (y0 + np.arange(height) + 0.5) * pixel * factor
    u, v = (np.floor(8 * axis).astype(int) for axis in (x[np.newaxis, :], y[:, np.newaxis]))
    masked = (u // 16 + v // 16) % 5 == 0
    return np.array([(7 * u + 13 * v + 31 * b + 17 * (year - 2000)) % 251 for b in bands]), masked


def expected(window, factor=1):
    values, masked = formula(window, range(len(BANDS)), factor=factor)
    return np.where(masked, 255, values).astype(np.uint8)


# Of AlphaEarth's kind: years, floats, each channel loaded alone. The service has no images of 2021.
YEARLY = {
    "time": {"values": ["2019-01-01", "2020-01-01", "2021-01-01", "2022-01-01"]}, "fill": "channels",
    "bands": [{"name": "A%02d" % band, "data_type": "float32"} for band in range(3)],
    "source": {"kind": "earthengine", "asset": "EXAMPLE/ANNUAL", "sentinel": -9999},
}


def expected_of_year(window, year):
    values, masked = formula(window, range(3), year)
    return np.where(masked, np.nan, values / 8 - 10).astype(np.float32)


class EarthEngine(LocalServer):
    def __init__(self, stderr):
        super().__init__("earthengine_server.py", stderr=stderr)

    def bodies(self):
        return [json.loads(e["body"]) for e in self.log() if e["path"] == COMPUTE_PIXELS]

    def refuse(self, code, status, message, **rule):
        error = {"error": {"code": code, "message": message, "status": status}}
        self.fault(COMPUTE_PIXELS, status=code, body=json.dumps(error), content_type="application/json", **rule)


@pytest.fixture
def server(tmp_path, config):
    with open(tmp_path / "earthengine_server.stderr", "w") as stderr:
        running = EarthEngine(stderr)
    config(EEDA_BEARER=earthengine_server.BEARER, SGC_PROJECT=earthengine_server.PROJECT,
           SGC_TRUSTED_HOSTS="127.0.0.1", GDAL_HTTP_RETRY_DELAY="0.01", GDAL_HTTP_MAX_RETRY="2")
    yield running
    running.close()


@pytest.fixture
def open_cube(cube, server, tmp_path):
    def open_with(source=(), changes=(), **options):
        file = tmp_path / "trend.json"
        file.write_text(json.dumps({**DEFINITION, "source": {**DEFINITION["source"], **dict(source)},
                                    **dict(changes)}))
        options = {"SOURCE_URL": server.url, **options}
        return gdal.OpenEx("SGC:%s,dataset=%s,create=yes" % (cube, file),
                           open_options=["%s=%s" % pair for pair in options.items()])

    return open_with


def bands_of(dataset):
    return [dataset.GetRasterBand(i + 1) for i in range(dataset.RasterCount)]


def test_every_pixel(open_cube, server, read, assert_pixels):
    dataset = open_cube()
    assert [band.GetDescription() for band in bands_of(dataset)] == BANDS
    assert_pixels(read(dataset, *WHOLE), expected(WHOLE))
    asked = [(body["grid"]["affineTransform"]["translateX"], body["grid"]["affineTransform"]["translateY"],
              body["bandIds"]) for body in server.bodies()]
    assert sorted(asked) == [(WEST + x * PIXEL, NORTH - y * PIXEL, BANDS) for x in (0, 48, 96) for y in (64, 32, 0)]
    server.reset()
    assert_pixels(read(open_cube(), 30, 20, 60, 40), expected((30, 20, 60, 40)))
    assert server.log() == []


def test_one_chunk_asks_for_that_chunk(open_cube, server, read, assert_pixels):
    assert_pixels(read(open_cube(), *LAST_CHUNK), expected(LAST_CHUNK))
    for body in server.bodies():
        assert body["grid"]["dimensions"] == {"width": 4, "height": 16}
        assert body["grid"]["affineTransform"] == {
            "scaleX": PIXEL, "shearX": 0, "translateX": WEST + 24, "shearY": 0, "scaleY": -PIXEL,
            "translateY": NORTH - 16}


def test_patches_are_called_as_in_python(open_cube, cube, read):
    dataset = open_cube()
    read(dataset, 40, 20, 20, 20)
    assert sorted(root_attributes(cube)["loaded_patches"]) == ["0-0", "0-1", "1-0", "1-1"]


@pytest.mark.parametrize("index, factor", [(0, 2), (2, 8)])
def test_levels_ask_for_coarse_grids(open_cube, server, read, assert_pixels, index, factor):
    dataset = open_cube()
    overview = dataset.GetRasterBand(1).GetOverview(index)
    window = (0, 0, WIDTH // factor, HEIGHT // factor)  # no pixel whose centre lies beyond the edge
    assert_pixels(read(overview, *window), expected(window, factor)[0])
    assert {body["grid"]["affineTransform"]["scaleX"] for body in server.bodies()} == {factor * PIXEL}


def test_view_of_the_whole_cube_costs_few_requests(open_cube, server, read):
    read(open_cube(), *WHOLE, buf_xsize=12, buf_ysize=10)
    assert 0 < len(server.bodies()) <= 12


def test_large_chunks_are_asked_for_in_parts(open_cube, server, read, assert_pixels):
    limit = 2000
    server.fault(COMPUTE_PIXELS, max_request_bytes=limit)
    assert_pixels(read(open_cube(source={"max_request_bytes": limit}), *FIRST_CHUNK), expected(FIRST_CHUNK))
    assert all(entry["status"] == 200 for entry in server.log())
    heights = [body["grid"]["dimensions"]["height"] for body in server.bodies()]
    assert max(heights) < CHUNK_HEIGHT


def test_refused_parts_are_halved(open_cube, server, read, assert_pixels):
    server.fault(COMPUTE_PIXELS, max_pixels=200)
    assert_pixels(read(open_cube(), *FIRST_CHUNK), expected(FIRST_CHUNK))
    assert {entry["status"] for entry in server.log()} == {200, 400}


# Time

@pytest.mark.parametrize("year", [2019, 2020, 2022])
def test_years(open_cube, server, cube, read, assert_pixels, year):
    dataset = open_cube(changes=YEARLY, TIME=str(year))
    assert_pixels(read(dataset, *WHOLE), expected_of_year(WHOLE, year))
    for body in server.bodies():
        text = json.dumps(body["expression"])
        assert '"start": {"constantValue": "%d-01-01"}' % year in text
        assert '"end": {"constantValue": "%d-01-01"}' % (year + 1) in text
    loaded = root_attributes(cube)["loaded_patches"]
    assert sorted(loaded) == ["%d-%d-%d" % (year - 2019, row, column) for row in range(3) for column in range(3)]


def test_a_year_without_images_has_no_pixels(open_cube, server, read, assert_pixels):
    dataset = open_cube(changes=YEARLY, TIME="2021")
    assert np.isnan(read(dataset, *FIRST_CHUNK)).all()
    dataset = open_cube(changes=YEARLY, TIME="2022")
    assert_pixels(read(dataset, *FIRST_CHUNK), expected_of_year(FIRST_CHUNK, 2022))


def test_channels_are_loaded_alone(open_cube, server, read, assert_pixels):
    dataset = open_cube(changes=YEARLY, TIME="2020")
    assert_pixels(read(dataset.GetRasterBand(2), *FIRST_CHUNK), expected_of_year(FIRST_CHUNK, 2020)[1])
    assert [body["bandIds"] for body in server.bodies()] == [["A01"]]
    assert_pixels(read(dataset, *FIRST_CHUNK), expected_of_year(FIRST_CHUNK, 2020))
    assert sorted(body["bandIds"] for body in server.bodies()) == [["A00"], ["A01"], ["A02"]]


def test_levels_of_a_year(open_cube, server, read):
    dataset = open_cube(changes=YEARLY, TIME="2020")
    pixels = read(dataset, *WHOLE, buf_xsize=12, buf_ysize=10)
    assert not np.isnan(pixels).all()
    assert 0 < len(server.bodies()) <= 12


# Definitions that ship; all read where four patches meet, in chunks that are no parts of patches.

def open_shipped(cube, server, dataset, **options):
    options = {"SOURCE_URL": server.url, "CHUNK_SIZE": "64", **options}
    return gdal.OpenEx("SGC:%s,dataset=%s,create=yes" % (cube, dataset),
                       open_options=["%s=%s" % pair for pair in options.items()])


@pytest.mark.parametrize("dataset", ["TCTrend2019", "TCTrend2020", "TCTrend2022", "TCTrend2024", "TCTrend"])
def test_tctrend(server, cube, read, assert_pixels, dataset):
    window = (341 * 3600 - 30, 25 * 3600 - 30, 50, 60)
    values, masked = formula(window, range(3), grid=(-180.00001488697754, 90.00014219078139, 0.00026949458523585647))
    assert_pixels(read(open_shipped(cube, server, dataset), *window),
                  np.where(masked, 0, values).astype(np.uint8))
    ids = {"24-340", "24-341", "25-340", "25-341"}
    assert root_attributes(cube)["title"]
    assert not ids & set(root_attributes(cube)["loaded_patches"])  # a window of a patch is not the patch


@pytest.mark.parametrize("year", [2017, 2024])
def test_alphaearth(server, cube, read, assert_pixels, year):
    window = (1021 * 3600 - 10, 77 * 3600 - 30, 50, 60)
    values, masked = formula(window, (0, 63), year, grid=(-180.00001486302838, 90.0000523472784, 8.98315284e-05))
    dataset = open_shipped(cube, server, "AlphaEarthEmbeddings", TIME=str(year), CHANNELS="A00,A63")
    assert_pixels(read(dataset, *window), np.where(masked, np.nan, values / 8 - 10).astype(np.float32))
    assert {tuple(body["bandIds"]) for body in server.bodies()} == {("A00",), ("A63",)}


@pytest.mark.parametrize("dataset", ["TCTrend", "AlphaEarthEmbeddings"])
def test_first_view_of_the_world_costs_few_requests(server, cube, read, dataset):
    options = {"TIME": "2020", "CHANNELS": "A01,A16,A09"} if dataset.startswith("Alpha") else {}
    world = open_shipped(cube, server, dataset, CHUNK_SIZE="3600", **options)
    pixels = read(world, 0, 0, world.RasterXSize, world.RasterYSize, buf_xsize=80, buf_ysize=40)
    assert len(np.unique(pixels)) > 100
    assert 0 < len(server.bodies()) <= 12


# Failures: the read fails with what the service said; the chunks that were finished stay, and the next read
# goes on from there.

@pytest.mark.parametrize("code, status, message", REFUSALS.values(), ids=REFUSALS.keys())
def test_refusal(open_cube, server, read, assert_pixels, failure, code, status, message):
    assert_pixels(read(open_cube(), *LAST_CHUNK), expected(LAST_CHUNK))
    server.refuse(code, status, message)
    said = failure(open_cube().ReadRaster, *WHOLE)
    assert message in said
    assert "patch " in said
    server.reset()
    assert_pixels(read(open_cube(), *LAST_CHUNK), expected(LAST_CHUNK))
    assert server.log() == []
    assert_pixels(read(open_cube(), *WHOLE), expected(WHOLE))


@pytest.mark.parametrize("rule", [{"status": 429, "retry_after": 0}, {"status": 503}, {"reset": True},
                                  {"truncate": 50}, {"spoil": 12}], ids=lambda rule: "-".join(map(str, rule)))
def test_transient_trouble(open_cube, server, read, assert_pixels, rule):
    server.fault(COMPUTE_PIXELS, times=1, **rule)
    assert_pixels(read(open_cube(), *FIRST_CHUNK), expected(FIRST_CHUNK))


def test_html_instead_of_pixels(open_cube, server, read, assert_pixels, failure):
    server.fault(COMPUTE_PIXELS, status=200, body="<html>Welcome</html>", content_type="text/html")
    assert "text/html" in failure(open_cube().ReadRaster, *FIRST_CHUNK)
    server.reset()
    assert_pixels(read(open_cube(), *FIRST_CHUNK), expected(FIRST_CHUNK))


def test_expired_token_is_renewed_in_mid_load(open_cube, server, config, read, assert_pixels, tmp_path):
    login = tmp_path / "login.json"
    login.write_text(json.dumps({"type": "authorized_user", **earthengine_server.LOGIN}))
    config(EEDA_BEARER="", GOOGLE_APPLICATION_CREDENTIALS=str(login),
           GOA2_AUTH_URL_TOKEN=server.url + "/token")
    assert_pixels(read(open_cube(), *FIRST_CHUNK), expected(FIRST_CHUNK))
    before = {e["headers"].get("Authorization") for e in server.log() if e["path"] == COMPUTE_PIXELS}
    server.reset()
    server.fault(COMPUTE_PIXELS, times=1, status=401)
    assert_pixels(read(open_cube(), *WHOLE), expected(WHOLE))
    assert len([e for e in server.log() if e["path"] == "/token"]) == 1
    asked = [e for e in server.log() if e["path"] == COMPUTE_PIXELS]
    refused, = [e for e in asked if e["status"] == 401]
    again, = [e for e in asked if e["status"] == 200 and e["body"] == refused["body"]]
    assert refused["headers"]["Authorization"] in before
    assert again["headers"]["Authorization"] not in before
    assert {e["headers"]["X-Goog-User-Project"] for e in asked} == {earthengine_server.PROJECT}


def test_wrong_band_is_not_an_empty_collection(open_cube, server, cube, tmp_path, failure):
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps({**DEFINITION, "bands": [{"name": "slope", "data_type": "uint8", "nodata": 255}]}))
    dataset = gdal.OpenEx("SGC:%s,dataset=%s,create=yes" % (cube, file),
                          open_options=["SOURCE_URL=" + server.url])
    assert "Pattern 'slope' did not match any bands" in failure(dataset.ReadRaster, *FIRST_CHUNK)


def test_nothing_is_sent_to_hosts_that_are_not_trusted(open_cube, server, config, failure):
    config(SGC_TRUSTED_HOSTS="example.org")
    assert "SGC_TRUSTED_HOSTS" in failure(open_cube().ReadRaster, *FIRST_CHUNK)
    assert all("Authorization" not in entry["headers"] for entry in server.log())


def test_without_project(open_cube, server, config, failure):
    config(SGC_PROJECT="", GOOGLE_CLOUD_PROJECT="")
    said = failure(open_cube().ReadRaster, *FIRST_CHUNK)
    assert "SGC_PROJECT" in said and "GOOGLE_CLOUD_PROJECT" in said
    assert server.log() == []


def test_secrets_stay_out_of_the_cube(open_cube, server, cube, read):
    read(open_cube(), *FIRST_CHUNK)
    assert cube.is_dir()
    for file in (p for p in cube.rglob("*") if p.is_file()):
        assert earthengine_server.BEARER.encode() not in file.read_bytes()
