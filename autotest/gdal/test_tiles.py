"""Kind `tiles`: files on a lattice, by a definition file alone, from a local server."""
import numpy as np
from osgeo import gdal
import pytest

from conftest import FileServer
import relief_tiles

QUICK = {"GDAL_HTTP_RETRY_DELAY": "0.01"}
SOME = [(40, 40), (40, 41), (41, 40), (42, 39), (42, 40)]  # (41, 41) and (41, 39) are missing


def definition(href, **source):
    return {
        "type": "CubeDataset", "version": "1", "id": "relief", "proj:code": "EPSG:3413",
        "proj:transform": [5000, 0, relief_tiles.LEFT, 0, -5000, relief_tiles.TOP],
        "proj:shape": [relief_tiles.HEIGHT, relief_tiles.WIDTH], "chunk_shape": [256, 256],
        "bands": [{"name": "dem", "data_type": "float32", "unit": "m", "resampling": "average"}],
        "source": {"kind": "tiles", "href": href, "buffer": 1,
                   "tile": {"origin": [-4000000, -4000000], "size": [100000, 100000], "first": [1, 1]}, **source},
    }


@pytest.fixture
def start_server(tmp_path):
    servers = []

    def start(directory):
        servers.append(FileServer(directory))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def server(start_server, tmp_path):
    relief_tiles.write(tmp_path / "served", SOME)
    return start_server(tmp_path / "served")


AROUND = (740, 760, 100, 100)  # the tiles of SOME, and others around them


def part(pixels, window):
    x, y, width, height = window
    return pixels[y:y + height, x:x + width]


def tile_path(tile):
    return "/" + relief_tiles.PATH.format(name=relief_tiles.tile_name(tile))


def test_recheck(open_document, server, tmp_path, cube, read, run, assert_pixels):
    """A tile that comes later is seen once the cube is told to ask again; nothing else changes."""
    raster = open_document(definition(server.url + relief_tiles.TEMPLATE))
    assert_pixels(read(raster, *AROUND), part(relief_tiles.cube(SOME), AROUND))
    more = SOME + [(41, 41), (41, 39)]
    relief_tiles.write(tmp_path / "served", more)
    server.reset()
    assert_pixels(read(raster, *AROUND), part(relief_tiles.cube(SOME), AROUND))
    assert server.log() == []
    assert run(["sgc", "recheck", "SGC:%s" % cube]).stdout == "4 chunks will be asked for again\n"
    raster = open_document(definition(server.url + relief_tiles.TEMPLATE))
    assert_pixels(read(raster, *AROUND), part(relief_tiles.cube(more), AROUND))
    assert server.log()
    run(["sgc", "recheck", "SGC:%s" % cube])
    assert "no defects" in run(["sgc", "verify", "SGC:%s" % cube, "--chunks"]).stdout


@pytest.mark.parametrize("status", [404, 403])
def test_lost_part_of_a_tile_is_fetched_again(open_document, start_server, tmp_path, read, status):
    """Only what cannot be opened is no tile."""
    side, served = 1000, tmp_path / "served"
    served.mkdir()
    tile = gdal.GetDriverByName("GTiff").Create(str(served / "1_1.tif"), side, side, 1, gdal.GDT_Byte, ["TILED=YES"])
    tile.SetGeoTransform((0, 10, 0, 10 * side, 0, -10))
    tile.GetRasterBand(1).Fill(7)
    del tile
    server = start_server(served)
    document = {
        "type": "CubeDataset", "version": "1", "id": "seven", "proj:code": "EPSG:32632",
        "proj:transform": [10, 0, 0, 0, -10, 10 * side], "proj:shape": [side, side], "chunk_shape": [500, 500],
        "bands": [{"name": "b", "data_type": "uint8", "nodata": 0}],
        "source": {"kind": "tiles", "href": server.url + "/{col}_{row}.tif", "missing_status": [403],
                   "tile": {"origin": [0, 0], "size": [10 * side, 10 * side]}}}
    server.fault("/1_1.tif", status=status, skip=2, times=1)
    assert (read(open_document(document, MAX_REQUESTS="1"), 0, 0, side, side) == 7).all()


def test_last_pixels_of_levels(open_document, start_server, tmp_path, read):
    """The middle of a level's last pixel lies outside of the cube and of all tiles, a part of it does not."""
    side, served = 129, tmp_path / "served"
    served.mkdir()
    tile = gdal.GetDriverByName("GTiff").Create(str(served / "1_1.tif"), side, side, 1, gdal.GDT_Byte)
    tile.SetGeoTransform((0, 10, 0, 10 * side, 0, -10))
    tile.GetRasterBand(1).Fill(7)
    del tile
    raster = open_document({
        "type": "CubeDataset", "version": "1", "id": "odd", "proj:code": "EPSG:32632",
        "proj:transform": [10, 0, 0, 0, -10, 10 * side], "proj:shape": [side, side], "chunk_shape": [64, 64],
        "bands": [{"name": "b", "data_type": "uint8", "nodata": 0}],
        "source": {"kind": "tiles", "href": start_server(served).url + "/{col}_{row}.tif",
                   "tile": {"origin": [0, 0], "size": [10 * side, 10 * side], "first": [1, 1]}}})
    level = raster.GetRasterBand(1).GetOverview(1)
    assert (read(level, 0, 0, 33, 33) == 7).all()


@pytest.mark.parametrize("side", [100, 500], ids=["in the head", "behind the head"])
@pytest.mark.parametrize("timeout", [0, 60])
def test_damaged_answer_is_not_kept(open_document, start_server, tmp_path, read, assert_pixels, side, timeout):
    """Whoever reads again, while the cube stays open, has the file fetched again."""
    directory = tmp_path / "damaged"
    directory.mkdir()
    pixels = np.random.default_rng(2).integers(1, 255, (side, side), np.uint8)
    file = gdal.GetDriverByName("GTiff").Create(str(directory / "1.tif"), side, side, 1, gdal.GDT_Byte,
                                                ["COMPRESS=DEFLATE"])
    file.SetGeoTransform((0, 10, 0, 10 * side, 0, -10))
    file.GetRasterBand(1).WriteArray(pixels)
    del file
    good = (directory / "1.tif").read_bytes()
    (directory / "damaged.tif").write_bytes(good[:2500] + b"\xff" * (len(good) - 2500))
    server = start_server(directory)
    server.fault("/1.tif", redirect_to=server.url + "/damaged.tif")
    raster = open_document({
        "type": "CubeDataset", "version": "1", "id": "damaged", "proj:code": "EPSG:32632",
        "proj:transform": [10, 0, 0, 0, -10, 10 * side], "proj:shape": [side, side], "chunk_shape": [side, side],
        "bands": [{"name": "b", "data_type": "uint8", "nodata": 0}],
        "source": {"kind": "tiles", "href": server.url + "/{col}.tif",
                   "tile": {"origin": [0, 0], "size": [10 * side, 10 * side], "first": [1, 1]}}}, TIMEOUT=timeout)
    with pytest.raises(RuntimeError, match="cannot be read"):
        read(raster, 0, 0, side, side)
    server.reset()
    assert_pixels(read(raster, 0, 0, side, side), pixels)


def test_empty_file(open_document, start_server, tmp_path, read):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "1.tif").touch()
    raster = open_document({
        "type": "CubeDataset", "version": "1", "id": "empty", "proj:code": "EPSG:32632",
        "proj:transform": [10, 0, 0, 0, -10, 640], "proj:shape": [64, 64], "chunk_shape": [64, 64],
        "bands": [{"name": "b", "data_type": "uint16", "nodata": 0}],
        "source": {"kind": "tiles", "href": start_server(tmp_path / "empty").url + "/{col}.tif",
                   "tile": {"origin": [0, 0], "size": [640, 640], "first": [1, 1]}}})
    with pytest.raises(RuntimeError, match="the file is empty"):
        read(raster, 0, 0, 64, 64)


@pytest.mark.parametrize("bands, interleaving", [(1, "BAND"), (3, "PIXEL")])
def test_tile_that_does_not_fit_into_memory(open_document, start_server, tmp_path, read, config, bands, interleaving):
    side, directory = 1024 if bands == 1 else 640, tmp_path / "huge"
    directory.mkdir()
    options = ["TILED=YES", "BLOCKXSIZE=%d" % side, "BLOCKYSIZE=%d" % side, "COMPRESS=DEFLATE",
               "INTERLEAVE=" + interleaving]
    file = gdal.GetDriverByName("GTiff").Create(str(directory / "1.tif"), side, side, bands, gdal.GDT_UInt16, options)
    file.SetGeoTransform((0, 10, 0, 10 * side, 0, -10))
    file.GetRasterBand(1).Fill(7)
    del file
    server = start_server(directory)
    document = {
        "type": "CubeDataset", "version": "1", "id": "huge", "proj:code": "EPSG:32632",
        "proj:transform": [10, 0, 0, 0, -10, 10 * side], "proj:shape": [side, side], "chunk_shape": [64, 64],
        "bands": [{"name": "b", "data_type": "uint16", "nodata": 0}],
        "source": {"kind": "tiles", "href": server.url + "/{col}.tif",
                   "tile": {"origin": [0, 0], "size": [10 * side, 10 * side], "first": [1, 1]}}}
    raster = open_document(document)
    config(SGC_LOAD_MEMORY="1")
    with pytest.raises(RuntimeError, match="blocks of %d x %d pixels.*SGC_LOAD_MEMORY" % (side, side)):
        read(raster, 0, 0, 64, 64)
    config(SGC_LOAD_MEMORY="3")
    assert (read(raster, 0, 0, 64, 64) == 7).all()


def test_steps_do_not_share_what_is_loaded(open_document, start_server, tmp_path, read):
    """Even if their files have the same names, but for the directory."""
    for month in 1, 2, 3:
        directory = tmp_path / "months" / str(month)
        directory.mkdir(parents=True)
        with_value = gdal.GetDriverByName("GTiff").Create(str(directory / "1_1.tif"), 40, 40)
        with_value.SetGeoTransform((0, 10, 0, 400, 0, -10))
        with_value.GetRasterBand(1).Fill(month)
        del with_value
    server = start_server(tmp_path / "months")
    document = {
        "type": "CubeDataset", "version": "1", "id": "months", "proj:code": "EPSG:32632",
        "proj:transform": [10, 0, 0, 0, -10, 400], "proj:shape": [40, 40], "chunk_shape": [40, 40],
        "time": {"start": "2020-01-01", "end": "2020-03-01", "step": "P1M"},
        "bands": [{"name": "b", "data_type": "uint8", "nodata": 0}],
        "source": {"kind": "tiles", "href": server.url + "/{t_month}/{col}_{row}.tif", "id": "{t_year}-{t_month}_{col}_{row}",
                   "tile": {"origin": [0, 0], "size": [400, 400]}}}
    for month in 1, 2, 3:
        raster = open_document(document, TIME="2020-%02d" % month)
        assert (read(raster, 0, 0, 40, 40) == month).all()


def test_relief(open_document, start_server, tmp_path, read, assert_pixels):
    window = (400, 500, 500, 500)
    tiles = [(row, column) for row, column in relief_tiles.tiles() if 31 <= row <= 57 and 20 <= column <= 46]
    assert 100 < len(tiles) < 27 * 27
    relief_tiles.write(tmp_path / "served", tiles)
    server = start_server(tmp_path / "served")
    expected = relief_tiles.cube(tiles)
    source = relief_tiles.relief()
    land = source > 0
    np.testing.assert_array_equal(part(expected, window)[part(land, window)], part(source, window)[part(land, window)])
    assert np.isnan(part(expected, window)).any()
    pixels = read(open_document(definition(server.url + relief_tiles.TEMPLATE), MAX_REQUESTS="8"), *window)
    assert_pixels(pixels, part(expected, window))


def test_missing_neighbours_are_nodata_and_are_asked_for_once(open_document, server, read, assert_pixels):
    document = definition(server.url + relief_tiles.TEMPLATE)
    assert_pixels(read(open_document(document), *AROUND), part(relief_tiles.cube(SOME), AROUND))
    missing = {entry["path"] for entry in server.log() if entry["status"] == 404}
    assert tile_path((41, 41)) in missing
    assert {tile_path(tile) for tile in SOME} & missing == set()
    server.reset()
    assert_pixels(read(open_document(document), *AROUND), part(relief_tiles.cube(SOME), AROUND))
    assert server.log() == []


def test_missing_tile_may_be_an_error(open_document, server, read):
    dataset = open_document(definition(server.url + relief_tiles.TEMPLATE, missing="error"))
    with pytest.raises(RuntimeError, match="404"):
        read(dataset, *AROUND)


@pytest.mark.parametrize("status", [403, 410])
def test_statuses_that_mean_missing(open_document, server, read, config, assert_pixels, status):
    config(**QUICK)
    server.fault(tile_path((40, 41)), status=status)
    document = definition(server.url + relief_tiles.TEMPLATE, missing_status=[status])
    left = [tile for tile in SOME if tile != (40, 41)]
    assert_pixels(read(open_document(document), *AROUND), part(relief_tiles.cube(left), AROUND))


@pytest.mark.parametrize("status", [401, 403, 500])
def test_refused_tile_is_never_nodata(open_document, server, read, config, status):
    config(**QUICK)
    server.fault(tile_path((40, 41)), status=status)
    with pytest.raises(RuntimeError, match=str(status)) as error:
        read(open_document(definition(server.url + relief_tiles.TEMPLATE)), *AROUND)
    assert "40_41" in str(error.value)


def test_levels(open_document, server, read, assert_pixels):
    dataset = open_document(definition(server.url + relief_tiles.TEMPLATE))
    band = dataset.GetRasterBand(1)
    for index, factor in ((0, 2), (1, 4), (2, 8)):
        overview = band.GetOverview(index)
        assert overview.XSize == -(-relief_tiles.WIDTH // factor)
        window = tuple(number // factor for number in AROUND)
        expected = part(relief_tiles.level(SOME, factor), window)
        assert 0.1 < np.isnan(expected).mean() < 0.9
        pixels = read(overview, *window)
        np.testing.assert_array_equal(np.isnan(pixels), np.isnan(expected))
        np.testing.assert_allclose(pixels, expected, rtol=1e-6, atol=1e-4)


def test_source_url_replaces_the_host(open_document, server, start_server, tmp_path, read, assert_pixels):
    relief_tiles.write(tmp_path / "mirror" / "deep" / "copy", SOME)
    mirror = start_server(tmp_path / "mirror")
    document = definition(server.url + relief_tiles.TEMPLATE)
    dataset = open_document(document, SOURCE_URL=mirror.url + "/deep/copy/")
    assert_pixels(read(dataset, *AROUND), part(relief_tiles.cube(SOME), AROUND))
    assert server.log() == []
    assert "/deep/copy" + tile_path((40, 40)) in mirror.paths()


def test_headers_go_to_the_endpoint_and_to_no_mirror(open_document, server, start_server, tmp_path, read, config):
    config(MY_SECRET="s3cret")
    document = definition(server.url + relief_tiles.TEMPLATE, headers={"X-Api-Key": "{config:MY_SECRET}"})
    read(open_document(document), *AROUND)
    assert {entry["headers"].get("X-Api-Key") for entry in server.log()} == {"s3cret"}


@pytest.mark.parametrize("trusted", [False, True])
def test_headers_and_source_url(open_document, server, read, config, trusted):
    config(MY_SECRET="s3cret", SGC_TRUSTED_HOSTS="127.0.0.1" if trusted else "other.example")
    document = definition("https://service.example" + relief_tiles.TEMPLATE,
                          headers={"X-Api-Key": "{config:MY_SECRET}"})
    read(open_document(document, SOURCE_URL=server.url), *AROUND)
    assert {entry["headers"].get("X-Api-Key") for entry in server.log()} == {"s3cret" if trusted else None}


@pytest.mark.parametrize("trusted", [False, True])
def test_gdals_own_options_say_who_the_user_is(open_document, server, start_server, tmp_path, read, config, trusted):
    """To the hosts of the definition, and to a mirror only if the user trusts it."""
    config(GDAL_HTTP_HEADERS="X-User: me", GDAL_HTTP_USERPWD="me:s3cret",
           SGC_TRUSTED_HOSTS="127.0.0.1" if trusted else None)
    told = {("me", "Basic bWU6czNjcmV0")}
    relief_tiles.write(tmp_path / "mirror", SOME)
    mirror = start_server(tmp_path / "mirror")

    def heard(at):
        return {(entry["headers"].get("X-User"), entry["headers"].get("Authorization")) for entry in at.log()}

    document = definition(server.url + relief_tiles.TEMPLATE)
    read(open_document(document), *AROUND)
    assert heard(server) == told
    read(open_document(document, SOURCE_URL=mirror.url), 760, 380, 100, 100)
    assert heard(mirror) == (told if trusted else {(None, None)})


def test_secret_in_the_query(open_document, server, read, config, cube, assert_pixels):
    document = definition(server.url + relief_tiles.TEMPLATE + "?key={config:MY_SECRET}")
    with pytest.raises(RuntimeError, match="MY_SECRET"):
        read(open_document(document), *AROUND)
    config(MY_SECRET="s3cret")
    assert_pixels(read(open_document(document), *AROUND), part(relief_tiles.cube(SOME), AROUND))
    assert all(path.endswith("?key=s3cret") for path in server.paths())
    server.fault(tile_path((60, 40)), status=403)
    with pytest.raises(RuntimeError, match="403") as error:
        read(open_document(document), 760, 380, 100, 100)
    assert "s3cret" not in str(error.value)


def test_files_fetched_whole(open_document, server, read, assert_pixels):
    document = definition(server.url + relief_tiles.TEMPLATE, access="whole")
    assert_pixels(read(open_document(document), *AROUND), part(relief_tiles.cube(SOME), AROUND))
    assert {entry["range"] for entry in server.log()} == {None}


def test_lattice_in_another_crs(open_document, start_server, tmp_path, read, assert_pixels):
    """Tiles of one degree in EPSG:4326: each pixel of the cube is the source's under its centre."""
    step, pixel = 1, 0.02
    side = round(step / pixel)
    directory = tmp_path / "degrees"
    directory.mkdir()
    rows, columns = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    for lon in range(-47, -43):
        for lat in (74, 75, 76):
            file = gdal.GetDriverByName("GTiff").Create(str(directory / ("N%02dW%03d.tif" % (lat, -lon))),
                                                        side, side, 1, gdal.GDT_Float32)
            file.SetProjection("EPSG:4326")
            file.SetGeoTransform((lon, pixel, 0, lat + 1, 0, -pixel))
            values = (lat - rows * pixel) * 1000 + (lon + columns * pixel) / 1000
            file.GetRasterBand(1).WriteArray(values.astype(np.float32))
            file = None
    server = start_server(directory)
    document = definition(server.url + "/{y_min|NS02}{x_min|EW003}.tif", buffer=0,
                          tile={"origin": [-180, -90], "size": [1, 1]}, **{"proj:code": "EPSG:4326"})
    window = (790, 1120, 16, 24)
    pixels = read(open_document(document), *window)

    from osgeo import osr
    polar, degrees = osr.SpatialReference(), osr.SpatialReference()
    polar.ImportFromEPSG(3413)
    degrees.ImportFromEPSG(4326)
    degrees.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    change = osr.CoordinateTransformation(polar, degrees)
    compared = 0
    for j in range(window[3]):
        for i in range(window[2]):
            x = relief_tiles.LEFT + (window[0] + i + 0.5) * 5000
            y = relief_tiles.TOP - (window[1] + j + 0.5) * 5000
            lon, lat, _ = change.TransformPoint(x, y)
            column, row = (lon + 180) / pixel, (90 - lat) / pixel
            if min(abs(column - round(column)), abs(row - round(row))) < 0.05:
                continue  # nearer to an edge than GDAL's approximation is exact
            inside = -47 <= lon < -43 and 74 <= lat < 77
            if not inside:
                assert np.isnan(pixels[j, i])
                continue
            tile_lat, tile_lon = np.floor(lat), np.floor(lon)
            r, c = int((tile_lat + 1 - lat) / pixel), int((lon - tile_lon) / pixel)
            expected = np.float32((tile_lat - r * pixel) * 1000 + (tile_lon + c * pixel) / 1000)
            assert pixels[j, i] == expected, (i, j, lon, lat)
            compared += 1
    assert compared > 100


REFUSED = {
    "credentials": ({"href": "https://user:PASSWORD@h.example/{row}_{col}.tif"}, "credentials"),
    "not the web": ({"href": "file:///data/{row}_{col}.tif"}, "http"),
    "unknown field": ({"href": "https://h.example/{rwo}_{col}.tif"}, "rwo"),
    "unknown format": ({"href": "https://h.example/{row|x}_{col}.tif"}, "format"),
    "time in a static cube": ({"href": "https://h.example/{t_year}/{row}_{col}.tif"}, "time|value"),
    "no lattice": ({"tile": {"origin": [0, 0]}}, "tile"),
}


@pytest.mark.parametrize("change, words", REFUSED.values(), ids=REFUSED.keys())
def test_refused_definitions(open_document, change, words):
    document = definition("https://h.example" + relief_tiles.TEMPLATE)
    document["source"].update(change)
    with pytest.raises(RuntimeError, match=words) as error:
        open_document(document)
    assert "PASSWORD" not in str(error.value)


# Set (b): a complete tile of ESA WorldCover

WORLDCOVER = "ESA_WorldCover_10m_2021_v200_N00E006_Map.tif"
COLUMN, ROW = (6 + 180) * 12000, (84 - 3) * 12000  # of the cube, where the tile begins
SIDE = 36000


@pytest.fixture
def worldcover(shared, start_server, tmp_path):
    source = shared("data", "raster", WORLDCOVER)
    directory = tmp_path / "worldcover" / "v200" / "2021" / "map"
    directory.mkdir(parents=True)
    (directory / WORLDCOVER).write_bytes(source.read_bytes())
    server = start_server(tmp_path / "worldcover")
    document = {
        "type": "CubeDataset", "version": "1", "id": "worldcover", "proj:code": "EPSG:4326",
        "proj:transform": [8.333333333333333e-05, 0, -180, 0, -8.333333333333333e-05, 84],
        "proj:shape": [1728000, 4320000],
        "bands": [{"name": "map", "data_type": "uint8", "nodata": 0, "resampling": "nearest"}],
        "source": {"kind": "tiles", "tile": {"origin": [-180, -90], "size": [3, 3]}, "href": server.url
                   + "/v200/2021/map/ESA_WorldCover_10m_2021_v200_{y_min|NS02}{x_min|EW003}_Map.tif"},
    }
    return server, document, gdal.Open(str(source))


def test_worldcover_at_the_edge_of_its_tile(open_document, worldcover, read, assert_pixels):
    server, document, source = worldcover
    window = (COLUMN + 6000, ROW + SIDE - 300, 400, 500)
    expected = np.zeros((500, 400), np.uint8)
    expected[:300] = source.ReadAsArray(6000, SIDE - 300, 400, 300)
    assert len(np.unique(expected)) > 2
    assert_pixels(read(open_document(document), *window), expected)
    assert server.paths() == {"/v200/2021/map/" + WORLDCOVER, "/v200/2021/map/" + WORLDCOVER.replace("N00", "S03")}
    assert server.bytes_asked() < 600000  # of 2.5 MB


def test_worldcover_level(open_document, worldcover, read):
    server, document, source = worldcover
    dataset = open_document(document)
    overview = dataset.GetRasterBand(1).GetOverview(6)
    factor = 128
    assert overview.XSize == 4320000 // factor
    x, y = -(-COLUMN // factor), -(-ROW // factor)
    pixels = read(overview, x, y, 281, 281)
    for j in range(0, 281, 20):
        for i in range(0, 281, 20):
            left, top = (x + i) * factor - COLUMN, (y + j) * factor - ROW
            block = source.ReadAsArray(max(left, 0), max(top, 0), min(factor, SIDE - left), min(factor, SIDE - top))
            assert pixels[j, i] in block
    assert len(np.unique(pixels)) > 2
    assert server.bytes_asked() < 400000


@pytest.mark.parametrize("code, name, place", [
    ("EPSG:3413", "/{col}_{y_max}.tif", "lies at .* but its tile at"), ("EPSG:32633", "/{col}_{y_min}.tif", "of EPSG:3413, but")])
def test_file_in_another_tile(open_document, start_server, tmp_path, read, code, name, place):
    """A mistake in the template or the CRS is no place without data."""
    served = tmp_path / "served"
    served.mkdir()
    for y in 0, 200:
        file = gdal.GetDriverByName("GTiff").Create(str(served / ("1_%d.tif" % y)), 22, 22)
        file.SetGeoTransform((-10, 10, 0, y + 210, 0, -10))
        file.SetProjection("EPSG:3413")
        file.GetRasterBand(1).Fill(7)
        del file
    document = {
        "type": "CubeDataset", "version": "1", "id": "seven", "proj:code": code, "proj:transform": [10, 0, 0, 0, -10, 400],
        "proj:shape": [40, 20], "chunk_shape": [20, 20], "bands": [{"name": "b", "data_type": "uint8", "nodata": 0}],
        "source": {"kind": "tiles", "href": start_server(served).url + name, "buffer": 1,
                   "tile": {"origin": [0, 0], "size": [200, 200]}}}
    with pytest.raises(RuntimeError, match=place):
        read(open_document(document), 0, 20, 20, 20)
