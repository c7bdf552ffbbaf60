"""What a user is told who has made a mistake, or may have: once, with the thing and what to do."""
from osgeo import gdal
import pytest

from conftest import FileServer

SIDE = 100  # pixels of a tile, two by two of which make the cube


def definition(href, **source):
    return {
        "type": "CubeDataset", "version": "1", "id": "hills", "proj:code": "EPSG:32632",
        "proj:bbox": [0, 0, 2000, 2000], "resolution": 10, "chunk_shape": [SIDE, SIDE],
        "bands": [{"name": "dem", "data_type": "int16", "nodata": -1}],
        "source": {"kind": "tiles", "href": href, "tile": {"origin": [0, 0], "size": [1000, 1000]}, **source}}


def write_tile(path, column, row, value=7.0):
    tile = gdal.GetDriverByName("GTiff").Create(str(path), SIDE, SIDE, 1, gdal.GDT_Float32)
    tile.SetGeoTransform((1000 * (column - 1), 10, 0, 1000 * row, 0, -10))
    tile.GetRasterBand(1).Fill(value)


@pytest.fixture
def server(tmp_path):
    served = tmp_path / "served"
    served.mkdir()
    write_tile(served / "1_1.tif", 1, 1)
    server = FileServer(served)
    yield server
    server.close()


@pytest.fixture
def warnings():
    """What GDAL warns of."""
    messages = []
    gdal.PushErrorHandler(lambda severity, number, text: messages.append(text) if severity == gdal.CE_Warning else None)
    yield messages
    gdal.PopErrorHandler()


def test_nothing_that_was_supposed_exists(open_document, server, warnings, read, config):
    config(HILLS_KEY="s3cret")
    raster = open_document(definition(server.url + "/x_{col}_{row}.tif?key={config:HILLS_KEY}"))
    assert (read(raster, 0, 0, SIDE, SIDE) == -1).all() and (read(raster, 0, SIDE, SIDE, SIDE) == -1).all()
    assert len(warnings) == 1, warnings
    for part in ["none of the files supposed here exists (1, the first %s/x_1_2.tif)" % server.url, "definition.json"]:
        assert part in warnings[0]
    assert "s3cret" not in warnings[0]


def test_places_without_data_are_normal(open_document, server, warnings, read):
    raster = open_document(definition(server.url + "/{col}_{row}.tif"))
    assert (read(raster, 0, SIDE, SIDE, SIDE) == 7).all()
    assert (read(raster, SIDE, 0, SIDE, SIDE) == -1).all()
    assert warnings == []


def test_definition_that_was_corrected(open_document, server, cube, warnings, read):
    read(open_document(definition(server.url + "/x_{col}_{row}.tif")), 0, 0, SIDE, SIDE)
    warnings.clear()
    raster = open_document(definition(server.url + "/{col}_{row}.tif"))
    assert len(warnings) == 1, warnings
    assert "%s: the cube was made with another definition" % cube in warnings[0]
    assert "/source/href differs" in warnings[0] and "to begin anew, remove %s" % cube in warnings[0]
    assert (read(raster, 0, 0, SIDE, SIDE) == -1).all()
    open_document(definition(server.url + "/{col}_{row}.tif"), DOWNLOAD="NO")
    assert len(warnings) == 1, warnings


def test_another_definition_of_a_cube_with_data(open_document, server, warnings, read):
    document = definition(server.url + "/{col}_{row}.tif")
    read(open_document(document), 0, SIDE, SIDE, SIDE)
    open_document({**document, "resolution": 20})
    assert len(warnings) == 1, warnings
    assert "proj:transform, which follows from proj:bbox and resolution, differs" in warnings[0]
    assert "name another place" in warnings[0] and "remove" not in warnings[0]


def test_state_of_a_file_that_does_not_exist(open_document, server, read):
    document = definition(server.url + "/x_{col}_{row}.tif")
    document["chunk_shape"] = [SIDE // 2, SIDE // 2]
    raster = open_document(document)
    read(raster, 0, 0, SIDE // 2, SIDE // 2)
    found = raster.GetRasterBand(1).GetMetadataItem("Pixel_0_0", "LocationInfo")
    assert 'state="empty"' in found, found


@pytest.mark.parametrize("href", ["file:///tmp/{col}_{row}.tif", "/tmp/{col}_{row}.tif", "/vsicurl/http://a/{col}_{row}.tif"])
def test_address_of_another_kind(open_document, failure, href):
    assert failure(open_document, definition(href)).endswith(
        "definition.json: /source/href: must begin with http:// or https://")


def test_template_is_refused_by_its_file(open_document, failure):
    message = failure(open_document, definition("http://me:pass@a/{col}_{row}.tif"))
    assert "definition.json: /source/href: " in message


def test_key_with_letters_left_out(open_document, failure):
    document = definition("http://127.0.0.1:1/{col}_{row}.tif")
    document["bands"] = [{"name": "dem", "dtype": "int16"}]
    assert "/bands/0/dtype: unknown key (did you mean data_type?)" in failure(open_document, document)


def test_page_instead_of_a_file(open_document, server, failure, config):
    config(HILLS_KEY="s3cret")
    server.fault("/1_1.tif", status=200, body="<html>Log in</html>", content_type="text/html")
    raster = open_document(definition(server.url + "/{col}_{row}.tif?key={config:HILLS_KEY}"))
    message = failure(raster.ReadRaster, 0, SIDE, SIDE, SIDE)
    assert "its file %s/1_1.tif (type text/html) is not a GeoTIFF" % server.url in message
    assert "s3cret" not in message


def test_value_that_does_not_fit(open_document, server, tmp_path, failure):
    write_tile(tmp_path / "served" / "1_1.tif", 1, 1, 70000.5)
    raster = open_document(definition(server.url + "/{col}_{row}.tif"))
    message = failure(raster.ReadRaster, 0, SIDE, SIDE, SIDE)
    assert "70000.5" in message and "like float32" in message and "source_nodata" in message


def test_refusal_says_how_to_log_in(open_document, server, failure):
    server.fault("/1_1.tif", status=401)
    message = failure(open_document(definition(server.url + "/{col}_{row}.tif")).ReadRaster, 0, SIDE, SIDE, SIDE)
    assert "401" in message and "GDAL_HTTP_HEADERS" in message and "{config:NAME}" in message


def test_layer_for_programs_that_try_to_update(run):
    done = run(["ogrinfo", "-sql", "SELECT COUNT(*) FROM patches", "SGC:Demo"])
    assert "ERROR" not in done.stderr.replace("ERROR 4: SGC:Demo: No such file", "")  # so ogrinfo 3.10 of any driver
    assert "COUNT_* (Integer) = " in done.stdout


@pytest.mark.parametrize("command", ["expire", "gc"])
def test_age_that_is_not_given(run, command):
    done = run(["sgc", command, "SGC:./cube"], fails=True)
    assert done.returncode == 2 and "sgc: %s needs --older-than=WHEN" % command in done.stderr


def test_log_of_a_cube_that_is_not_made(run):
    done = run(["sgc", "log", "SGC:Demo"], fails=True)
    assert done.returncode == 1 and "Demo.icechunk holds no repository" in done.stderr
