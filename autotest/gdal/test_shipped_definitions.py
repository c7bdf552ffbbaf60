"""Every definition that ships, unchanged, filled from a stand-in of its service: provider_server plays all hosts
under their own names, so that a wrong host, path, CRS, grid, order of bands or nodata shows.

Each stand-in publishes files in the provider's layout and says what one chunk of the cube must then hold.
"""
from collections import namedtuple
import copy
import json

import numpy as np
from osgeo import gdal, osr
import pytest

from conftest import LocalServer, ROOT
import demo_formula
import earthengine_server
from test_earthengine import formula

DEFINITIONS = sorted((ROOT / "datasets" / "definitions").glob("*.json"))
SIDE = 256  # of the chunks
BUCKET = "https://pgc-opendata-dems.s3.us-west-2.amazonaws.com"
PGC = "https://stac.pgc.umn.edu/api/v1"
EARTH_SEARCH = "https://earth-search.aws.element84.com/v1"

# The pixels of a chunk, by band; what to open the cube with besides.
Expected = namedtuple("Expected", "x y pixels options", defaults=[{}])


class Providers(LocalServer):
    """provider_server, and the directory that it serves."""

    def __init__(self, directory):
        self.directory = directory
        super().__init__("provider_server.py", directory)

    def file(self, url):
        path = self.directory / url[len("https://"):]
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def asked(self):
        return [entry["path"] for entry in self.log()]


AUTHORITIES = ["GDAL_CURL_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"]  # who imports rasterio sets the first


@pytest.fixture
def providers(tmp_path, config):
    directory = tmp_path / "providers"
    directory.mkdir()
    server = Providers(directory)
    authorities = str(directory / "ca.pem")
    config(GDAL_HTTP_PROXY=server.url, **dict.fromkeys(AUTHORITIES, authorities),
           GDAL_HTTP_RETRY_DELAY="0.01", EEDA_BEARER=earthengine_server.BEARER, SGC_PROJECT=earthengine_server.PROJECT)
    yield server
    server.close()


@pytest.fixture
def open_cube(cube):
    def open_by_name(dataset, **options):
        return gdal.OpenEx("SGC:%s,dataset=%s,create=yes" % (cube, dataset),
                           open_options=["%s=%s" % pair for pair in options.items()])

    return open_by_name


def random(seed, shape, data_type, low, high):
    return np.random.default_rng(seed).integers(low, high, shape).astype(data_type)


class Raster:
    """A file of `shape` whose first pixel is pixel (column, row) of the cube, or lies where it would if it is
    `factor` as coarse: `values` from (x, y) of the file on, `background` around them."""

    def __init__(self, column, row, shape, values, x=0, y=0, background=0, nodata=None, factor=1):
        self.column, self.row, self.shape, self.values, self.x, self.y = column, row, shape, values, x, y
        self.background, self.nodata, self.factor = background, nodata, factor

    def write(self, path, code, left, top, width, height=None):
        """Writes it with its corner at (left, top) and pixels of that size."""
        crs = osr.SpatialReference()
        crs.ImportFromEPSG(code)
        types = {"uint8": gdal.GDT_Byte, "uint16": gdal.GDT_UInt16, "int16": gdal.GDT_Int16,
                 "float32": gdal.GDT_Float32}
        file = gdal.GetDriverByName("GTiff").Create(
            str(path), self.shape[1], self.shape[0], 1, types[self.values.dtype.name],
            ["TILED=YES", "BLOCKXSIZE=512", "BLOCKYSIZE=512", "COMPRESS=LZW", "SPARSE_OK=TRUE", "BIGTIFF=YES"])
        file.SetProjection(crs.ExportToWkt())
        file.SetGeoTransform((left, width, 0, top, 0, -(height or width)))
        if self.nodata is not None:
            file.GetRasterBand(1).SetNoDataValue(self.nodata)
        file.GetRasterBand(1).WriteArray(self.values, self.x, self.y)

    def paint(self, canvas, left, top, empty):
        """Puts its pixels where the canvas, whose corner is pixel (left, top) of the cube, is empty."""
        whole = np.full((SIDE, SIDE), np.nan)
        for row in range(SIDE):
            y = (top + row - self.row) // self.factor
            if 0 <= y < self.shape[0]:
                x = (left + np.arange(SIDE) - self.column) // self.factor
                whole[row, (0 <= x) & (x < self.shape[1])] = self.background
                inside = (self.x <= x) & (x < self.x + self.values.shape[1])
                if 0 <= y - self.y < self.values.shape[0]:
                    whole[row, inside] = self.values[y - self.y, x[inside] - self.x]
        is_empty = np.isnan(canvas) if np.isnan(empty) else canvas == empty
        valid = ~np.isnan(whole) if self.nodata is None else ~np.isnan(whole) & (whole != self.nodata)
        canvas[is_empty & valid] = whole[is_empty & valid]


def chunk_of(column, row):
    return column // SIDE * SIDE, row // SIDE * SIDE


def mosaic(x, y, rasters, data_type, empty):
    """The chunk at (x, y): where several rasters have a value, the first counts."""
    canvas = np.full((SIDE, SIDE), empty, data_type)
    for raster in rasters:
        before = canvas.copy()
        raster.paint(canvas, x, y, empty)
        assert (canvas != before).sum() > 1000, "a raster misses the chunk"
    return canvas


# ArcticDEM and REMA of the Polar Geospatial Center

# The lattice of 100 km begins at (-origin, -origin); the cube's north is at `north`, buffers aside.
Mosaic = namedtuple("Mosaic", "name version code origin north")
ARCTICDEM = Mosaic("arcticdem", "v4.1", 3413, 4000000, 4100000)
REMA = Mosaic("rema", "v2.0", 3031, 3000000, 3000000)


def pgc_item(shared, product, tile, resolution, left, top, size):
    """The item of a tile, as like the real one as the documents at hand allow."""
    item = json.loads(shared("data", "stac", "pgc-constructed", "67_33_10m_v4.1.json").read_text())
    if product is REMA:
        seen = json.loads(shared("data", "stac", "pgc", "rema-mosaics-v2.0-32m-features.geojson").read_text())
        item["properties"] = seen["features"][0]["properties"]
        del item["assets"]["datamask"]
    text = json.dumps(item)
    for old, new in (("arcticdem", product.name), ("67_33", tile[:5]), ("v4.1", product.version),
                     ("_10m_", "_%dm_" % resolution), ("10m/", "%dm/" % resolution)):
        text = text.replace(old, new)
    item = json.loads(text)
    identifier = "%s_%dm_%s" % (tile, resolution, product.version)
    for asset in item["assets"].values():
        for place in (asset, asset["alternate"]["s3"]):
            head, name = place["href"].rsplit("/", 1)
            place["href"] = "%s/%s_%s" % (head, identifier, name.split("_%s_" % product.version)[1])
    item["id"] = identifier
    item["collection"] = "%s-mosaics-%s-%dm" % (product.name, product.version, resolution)
    item["properties"].update({
        "proj:code": "EPSG:%d" % product.code, "proj:shape": [size, size],
        "proj:transform": [float(resolution), 0.0, left, 0.0, -float(resolution), top, 0.0, 0.0, 1.0]})
    corners = [(left, top), (left + size * resolution, top), (left + size * resolution, top - size * resolution),
               (left, top - size * resolution), (left, top)]
    projected, geographic = osr.SpatialReference(), osr.SpatialReference()
    projected.ImportFromEPSG(product.code)
    geographic.ImportFromEPSG(4326)
    for crs in (projected, geographic):
        crs.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
    ring = osr.CoordinateTransformation(projected, geographic).TransformPoints(corners)
    item["geometry"] = {"type": "MultiPolygon", "coordinates": [[[[lon, lat, 0] for lon, lat, _ in ring]]]}
    lons, lats = [p[0] for p in ring], [p[1] for p in ring]
    item["bbox"] = [min(lons), min(lats), max(lons), max(lats)]
    return item


def publish_pgc(providers, shared, product, tile, resolution, seed):
    """Publishes the item and files of a tile with values in a southern corner; gives its rasters by asset."""
    numbers = [int(number) - 1 for number in tile.split("_")]
    cell = 100000 if resolution > 2 else 50000
    buffer = 96 if resolution == 32 else 100
    row, column = numbers if resolution > 2 else (2 * numbers[0] + numbers[2], 2 * numbers[1] + numbers[3])
    left, bottom = column * cell - product.origin - buffer, row * cell - product.origin - buffer
    size = (cell + 2 * buffer) // resolution
    top = bottom + size * resolution
    item = pgc_item(shared, product, tile, resolution, left, top, size)
    providers.file("%s/collections/%s/items/%s" % (PGC, item["collection"], item["id"])).write_text(json.dumps(item))
    url = "%s/%s/mosaics/%s/%dm/%s/%s" % (BUCKET, product.name, product.version, resolution, tile[:5], item["id"])
    rasters = {}
    for asset, kind, nodata, high in (("dem", np.float32, -9999, 3000), ("datamask", np.uint8, 0, 2)):
        if asset not in item["assets"]:
            continue
        values = random(seed, (512, 512), kind, 0, high)
        values[random(seed + 1, values.shape, int, 0, 10) == 0] = nodata
        rasters[asset] = Raster((left + product.origin + buffer) // resolution,
                                (product.north + buffer - top) // resolution, (size, size), values,
                                size - 512 if seed % 2 else 0, size - 512, nodata, nodata)
        assert item["assets"][asset]["href"] == "%s_%s.tif" % (url, asset)
        rasters[asset].write(providers.file("%s_%s.tif" % (url, asset)), product.code, left, top, resolution)
    return rasters


def pgc(product, resolution, west, east):
    """The chunk over the overlap of two tiles side by side, at their southern end."""
    def stand_in(providers, shared):
        tiles = [publish_pgc(providers, shared, product, tile, resolution, seed)
                 for seed, tile in ((1, west), (2, east))]
        first = tiles[1]["dem"]
        x, y = chunk_of(first.column, first.row + first.shape[0] - 300)
        empty = {"dem": (np.float32, np.nan), "datamask": (np.uint8, 0)}
        pixels = {asset: mosaic(x, y, [tile[asset] for tile in tiles], *empty[asset]) for asset in tiles[0]}
        return Expected(x, y, pixels, {"CHANNELS": ",".join(pixels)})

    return stand_in


# Files on a lattice of degrees

def lattice(assets, names, data_type, empty, high, size, side, left, top, column, row, nodata=None):
    """The chunk over the edge of two tiles of `size` degrees and side x side pixels: the western one has its
    corner at (left, top), pixel (column, row) of the cube. `assets` are the bands' addresses for `names`."""
    def stand_in(providers, _):
        pixels = {}
        x, y = chunk_of(column + side, row + 300)
        for number, (band, url) in enumerate(assets.items()):
            rasters = []
            for i, name in enumerate(names):
                values = random(10 * number + i, (700, 400), data_type, 0, high)
                raster = Raster(column + i * side, row, (side, side), values, 0 if i else side - 400, nodata=nodata)
                raster.write(providers.file(url % name), 4326, left + i * size, top, size / side)
                rasters.append(raster)
            pixels[band] = mosaic(x, y, rasters, data_type, empty)
        return Expected(x, y, pixels)

    return stand_in


def copernicus(seconds, bucket, number):
    """Below 50 degrees of latitude the tiles have the cube's grid; they lie half a pixel to the north-west."""
    pixel = seconds / 3600
    name = "Copernicus_DSM_COG_%d_%%s_00_%%s_00_DEM" % number
    url = "https://%s.s3.eu-central-1.amazonaws.com/%s/%s.tif" % (bucket, name, name)
    side = 3600 // seconds
    return lattice({"dem": url}, [("N46", "E010") * 2, ("N46", "E011") * 2], np.float32, np.nan, high=4000, size=1,
                   side=side, left=10 - pixel / 2, top=47 + pixel / 2, column=190 * side, row=43 * side)


WORLDCOVER = "https://esa-worldcover.s3.eu-central-1.amazonaws.com/"
TILE_2021 = "ESA_WorldCover_10m_2021_v200_N00E006_Map.tif"
COLUMN, ROW, TILE = 186 * 12000, 81 * 12000, 36000  # where it lies in the cube


def worldcover_2021(providers, shared):
    """The tile that is at hand, where it has a coast."""
    source = shared("data", "raster", TILE_2021)
    providers.file(WORLDCOVER + "v200/2021/map/" + TILE_2021).write_bytes(source.read_bytes())
    x, y = chunk_of(COLUMN + 6000, ROW + TILE - 300)
    pixels = gdal.Open(str(source)).ReadAsArray(x - COLUMN, y - ROW, SIDE, SIDE)
    assert len(np.unique(pixels)) > 2
    return Expected(x, y, {"map": pixels})


HANSEN = "https://storage.googleapis.com/earthenginepartners-hansen/GFC-2024-v1.12/Hansen_GFC-2024-v1.12_%s_%%s.tif"
WATER = "https://storage.googleapis.com/global-surface-water/downloads2021/LAYER/LAYER_%sv1_4_2021.tif"
LANDSAT_GRID = dict(empty=255, high=250, size=10, side=40000, left=-10, top=50, column=170 * 4000, row=30 * 4000)


def srtm(providers, _):
    """A VRT of tiles of 3601 pixels, which share those at their edges."""
    sources, rasters = [], []
    for i, name in enumerate(("N46E010", "N46E011")):
        values = random(i, (700, 400), np.int16, -100, 3000)
        raster = Raster((190 + i) * 3600, 13 * 3600, (3601, 3601), values, 0 if i else 3201, 0, -32768, -32768)
        raster.write(providers.file("https://opentopography.s3.sdsc.edu/raster/SRTM_GL1/SRTM_GL1_srtm/%s.tif" % name),
                     4326, 10 + i - 1 / 7200, 47 + 1 / 7200, 1 / 3600)
        rasters.append(raster)
        place = 'xOff="%d" yOff="%d" xSize="3601" ySize="3601"'
        sources.append('<ComplexSource><SourceFilename relativeToVRT="1">SRTM_GL1_srtm/%s.tif</SourceFilename>'
                       '<SourceBand>1</SourceBand><SrcRect %s/><DstRect %s/><NODATA>-32768</NODATA></ComplexSource>'
                       % (name, place % (0, 0), place % (raster.column, raster.row)))
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(4326)
    providers.file("https://opentopography.s3.sdsc.edu/raster/SRTM_GL1/SRTM_GL1_srtm.vrt").write_text(
        '<VRTDataset rasterXSize="1296001" rasterYSize="417601"><SRS>%s</SRS><GeoTransform>-180.00013888888888, '
        '0.0002777777777777778, 0, 60.00013888888889, 0, -0.0002777777777777778</GeoTransform>'
        '<VRTRasterBand dataType="Int16" band="1"><NoDataValue>-32768</NoDataValue>%s</VRTRasterBand></VRTDataset>'
        % (crs.ExportToWkt().replace('"', "&quot;"), "".join(sources)))
    x, y = chunk_of(191 * 3600, 13 * 3600 + 300)
    # What VRT paints last counts where tiles share a column.
    return Expected(x, y, {"dem": mosaic(x, y, rasters[::-1], np.int16, -32768)})


def sentinel2(providers, shared):
    """Two items of one day, of which the first by name counts, and one of the next day; bands of 10 m and 20 m."""
    page = json.loads(shared("data", "stac", "earth-search", "v1-search-s2-l2a+landsat-page1.json").read_text())
    seen = page["response"]["body"]["features"][0]
    assert seen["collection"] == "sentinel-2-l2a"
    column, row = (399960 - 166020) // 10, (10000020 - 4500000) // 10
    files = {"red": ("B04", 1, np.uint16), "swir16": ("B11", 2, np.uint16), "scl": ("SCL", 2, np.uint8)}
    rasters = {asset: [] for asset in files}
    for seed, (satellite, day) in enumerate([("S2A", 8), ("S2B", 8), ("S2A", 9)]):
        item = copy.deepcopy(seen)
        item["id"] = "%s_T13TDE_202310%02dT1755%02d_L2A" % (satellite, day, seed)
        item["collection"] = "sentinel-2-c1-l2a"
        item["properties"]["datetime"] = "2023-10-%02dT18:02:55.276000Z" % day
        base = ("https://e84-earth-search-sentinel-data.s3.us-west-2.amazonaws.com/sentinel-2-c1-l2a/13/T/DE/2023/10/"
                + item["id"])
        for asset, (name, factor, kind) in files.items():
            url = "%s/%s.tif" % (base, name)
            item["assets"][asset]["href"] = url
            values = random(seed, (300, 300), kind, 0, 12)
            side = 10980 // factor
            raster = Raster(column, row, (side, side), values, background=0, nodata=0, factor=factor)
            raster.write(providers.file(url), 32613, 399960, 4500000, 10 * factor)
            if day == 8:
                rasters[asset].append(raster)
        providers.file("%s/collections/sentinel-2-c1-l2a/items/%s" % (EARTH_SEARCH, item["id"])).write_text(
            json.dumps(item))
    x, y = chunk_of(column, row + 200)
    return Expected(x, y, {asset: mosaic(x, y, found, files[asset][2], 0) for asset, found in rasters.items()},
                    {"ZONE": "13N", "TIME": "2023-10-08", "CHANNELS": ",".join(files)})


# Earth Engine, and what needs no service

def earth_engine(bands, year, fill, scale, corner, grid, **options):
    """The chunk at `corner`, a pixel at which masked pixels are near."""
    def stand_in(_providers, _shared):
        x, y = chunk_of(*corner)
        values, masked = formula((x, y, SIDE, SIDE), bands.values(), year, grid=grid)
        kind = np.float32 if np.isnan(fill) else np.uint8
        pixels = {band: np.where(masked, fill, scale(v)).astype(kind) for band, v in zip(bands, values)}
        return Expected(x, y, pixels, options)

    return stand_in


TREND = earth_engine({"TCB_slope": 0, "TCG_slope": 1, "TCW_slope": 2}, 2000, 0, lambda v: v, (341 * 3600, 25 * 3600),
                     (-180.00001488697754, 90.00014219078139, 0.00026949458523585647))
EMBEDDINGS = earth_engine({"A00": 0, "A63": 63}, 2020, np.nan, lambda v: v / 8 - 10, (1021 * 3600, 77 * 3600),
                          (-180.00001486302838, 90.0000523472784, 8.98315284e-05), TIME="2020", CHANNELS="A00,A63")


def demo(_providers, _shared):
    x, y = chunk_of(50000, 50000)
    return Expected(x, y, {"elevation": demo_formula.window(x, y, SIDE, SIDE)})


# The mosaic of embeddings: one Zarr array in shards

EMBEDDINGS_MOSAIC = "https://data.source.coop/tge-labs/aef-mosaic"
MOSAIC_SHAPE = (9, 64, 1859584, 4009984)  # time, band, y, x
MOSAIC_PIXEL, MOSAIC_WEST, MOSAIC_NORTH = 8.983111749910169e-05, -180.0, 83.68570533713473
INNER, SHARD = 256, 4096  # sides of the chunks in a shard, and of the shards


def crc32c(data):
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ 0x82F63B78 * (byte & 1)
        table.append(byte)
    checksum = 0xFFFFFFFF
    for byte in data:
        checksum = checksum >> 8 ^ table[(checksum ^ byte) & 0xFF]
    return checksum ^ 0xFFFFFFFF


LITTLE_ENDIAN = {"name": "bytes", "configuration": {"endian": "little"}}


def array_document(shape, dimensions, data_type, fill_value, chunk_shape, codecs):
    return {"zarr_format": 3, "node_type": "array", "shape": shape, "data_type": data_type, "fill_value": fill_value,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk_shape}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "dimension_names": dimensions, "codecs": codecs, "attributes": {}}


def compress(chunk):
    """The chunk as a writer of Zarr compresses it: GDAL writes it as the only one of an array."""
    name = "/vsimem/compress.zarr"
    group = gdal.GetDriverByName("Zarr").CreateMultiDimensional(name, options=["FORMAT=ZARR_V3"]).GetRootGroup()
    dimensions = [group.CreateDimension("d%d" % i, None, None, size) for i, size in enumerate(chunk.shape)]
    array = group.CreateMDArray("a", dimensions, gdal.ExtendedDataType.Create(gdal.GDT_Int8),
                                ["COMPRESS=ZSTD", "BLOCKSIZE=%s" % ",".join(map(str, chunk.shape))])
    array.Write(chunk)
    array = dimensions = group = None
    with gdal.VSIFile(name + "/a/c/" + "/".join("0" * chunk.ndim), "rb") as file:
        data = file.read()
    gdal.RmdirRecursive(name)
    return data


def shard_of(chunks):
    """A shard with those compressed chunks, by (row, column), and no others."""
    side = SHARD // INNER
    index = np.full((side, side, 2), 2**64 - 1, "<u8")
    data = b""
    for place, chunk in chunks.items():
        index[place] = len(data), len(chunk)
        data += chunk
    return data + index.tobytes() + crc32c(index.tobytes()).to_bytes(4, "little")


def publish_mosaic(providers):
    """Publishes the documents of the mosaic, and its coordinates: GDAL learns from them alone where it lies, and has
    no CRS, as the provider's proj: and spatial: are attributes of the group, where GDAL does not look."""
    def publish(name, document, coordinates=None):
        providers.file("%s/%szarr.json" % (EMBEDDINGS_MOSAIC, name)).write_text(json.dumps(document))
        if coordinates is not None:
            providers.file("%s/%sc/0" % (EMBEDDINGS_MOSAIC, name)).write_bytes(coordinates.tobytes())

    time, bands, height, width = MOSAIC_SHAPE
    inner = {"chunk_shape": [1, bands, INNER, INNER],
             "codecs": [{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 3, "checksum": False}}],
             "index_codecs": [LITTLE_ENDIAN, {"name": "crc32c"}], "index_location": "end"}
    publish("", {"zarr_format": 3, "node_type": "group", "attributes": {}})
    publish("embeddings/", array_document(
        MOSAIC_SHAPE, ["time", "band", "y", "x"], "int8", -128, [1, bands, SHARD, SHARD],
        [{"name": "sharding_indexed", "configuration": inner}]))
    publish("band/", array_document([bands], ["band"], "string", "", [bands], [{"name": "vlen-utf8"}]))
    publish("time/", array_document([time], ["time"], "int32", 0, [time], [LITTLE_ENDIAN]),
            np.arange(2017, 2017 + time, dtype="<i4"))
    for name, size, edge, step in (("x", width, MOSAIC_WEST, MOSAIC_PIXEL), ("y", height, MOSAIC_NORTH, -MOSAIC_PIXEL)):
        publish(name + "/", array_document([size], [name], "float64", 0.0, [size], [LITTLE_ENDIAN]),
                edge + (np.arange(size, dtype="<f8") + 0.5) * step)


def embeddings_mosaic(providers, _shared):
    """The chunk lies over four chunks of a shard, one of which is not there. Another year differs."""
    if int(gdal.VersionInfo()) < 3130000:
        pytest.skip("AlphaEarthMosaic needs GDAL 3.13")
    publish_mosaic(providers)
    x, y = chunk_of(1021 * 3600, 77 * 3600)
    longitude = -180.00001486302838 + (x + np.arange(SIDE) + 0.5) * 8.98315284e-05
    latitude = 90.0000523472784 - (y + np.arange(SIDE) + 0.5) * 8.98315284e-05
    column = ((longitude - MOSAIC_WEST) / MOSAIC_PIXEL).astype(int)
    row = ((MOSAIC_NORTH - latitude) / MOSAIC_PIXEL).astype(int)
    left, top = column[0] // INNER * INNER, row[0] // INNER * INNER
    assert column[-1] // INNER == left // INNER + 1 and row[-1] // INNER == top // INNER + 1
    assert column[-1] // SHARD == left // SHARD and row[-1] // SHARD == top // SHARD
    for year in (2019, 2020):
        values = random(year, (64, 2 * INNER, 2 * INNER), np.int8, -127, 128)
        values[random(year, values.shape, int, 0, 10) == 0] = -128
        values[:, INNER:, INNER:] = -128
        chunks = {}
        for i, j in ((0, 1), (1, 0), (0, 0)):
            chunk = values[None, :, i * INNER:(i + 1) * INNER, j * INNER:(j + 1) * INNER]
            chunks[top % SHARD // INNER + i, left % SHARD // INNER + j] = compress(np.ascontiguousarray(chunk))
        providers.file("%s/embeddings/c/%d/0/%d/%d" % (EMBEDDINGS_MOSAIC, year - 2017, top // SHARD, left // SHARD)
                       ).write_bytes(shard_of(chunks))
    of_2020 = values[:, (row - top)[:, None], column - left]
    return Expected(x, y, {"A00": of_2020[0], "A63": of_2020[63]}, {"TIME": "2020", "CHANNELS": "A00,A63"})


STAND_INS = {
    "AlphaEarthEmbeddings": EMBEDDINGS,
    "AlphaEarthMosaic": embeddings_mosaic,
    "ArcticDEM2m": pgc(ARCTICDEM, 2, "67_33_2_1", "67_33_2_2"),
    "ArcticDEM10m": pgc(ARCTICDEM, 10, "67_33", "67_34"),
    "ArcticDEM32m": pgc(ARCTICDEM, 32, "67_33", "67_34"),
    "CopernicusDEM30": copernicus(1, "copernicus-dem-30m", 10),
    "CopernicusDEM90": copernicus(3, "copernicus-dem-90m", 30),
    "Demo": demo,
    "ESAWorldCover2020": lattice({"map": WORLDCOVER + "v100/2020/map/ESA_WorldCover_10m_2020_v100_%s_Map.tif"},
                                 ["S03W060", "S03W057"], np.uint8, 0, high=100, size=3, side=TILE, left=-60, top=0,
                                 column=120 * 12000, row=84 * 12000, nodata=0),
    "ESAWorldCover2021": worldcover_2021,
    "HansenGFC": lattice({layer: HANSEN % layer for layer in ("treecover2000", "lossyear", "gain", "datamask")},
                         ["50N_010W", "50N_000E"], np.uint8, **LANDSAT_GRID),
    "JRCGlobalSurfaceWater": lattice({layer: WATER.replace("LAYER", layer) for layer in
                                      ("occurrence", "change", "seasonality", "recurrence", "transitions", "extent")},
                                     ["10W_50N", "0E_50N"], np.uint8, **LANDSAT_GRID),
    "REMA2m": pgc(REMA, 2, "44_06_2_1", "44_06_2_2"),
    "REMA10m": pgc(REMA, 10, "44_06", "44_07"),
    "REMA32m": pgc(REMA, 32, "44_06", "44_07"),
    "SRTMGL1": srtm,
    "Sentinel2": sentinel2,
    "TCTrend2019": TREND,
    "TCTrend2020": TREND,
    "TCTrend2022": TREND,
    "TCTrend2024": TREND,
}


@pytest.mark.parametrize("dataset", [path.stem for path in DEFINITIONS])
def test_one_chunk(providers, open_cube, shared, read, assert_pixels, dataset):
    expected = STAND_INS[dataset](providers, shared)
    options = {"CHUNK_SIZE": str(SIDE), **expected.options}
    window = (expected.x, expected.y, SIDE, SIDE)

    def read_bands():
        raster = open_cube(dataset, **options)
        assert raster.RasterCount == len(expected.pixels)
        for number, (band, pixels) in enumerate(expected.pixels.items(), 1):
            assert raster.GetRasterBand(number).GetDescription() == band
            assert_pixels(read(raster.GetRasterBand(number), *window), pixels)

    read_bands()
    assert {entry["status"] for entry in providers.log()} <= {200, 206, 404}
    providers.reset()
    read_bands()
    assert providers.asked() == [], "what is in the cube was asked for again"


def test_copernicus_dem_north_of_50_degrees(providers, open_cube, read):
    """There tiles have 2400 columns: a plane stays a plane under bilinear resampling."""
    x0, y0 = 900, 1500
    values = (np.arange(x0, x0 + 700)[None, :] + 3 * np.arange(y0, y0 + 700)[:, None]).astype(np.float32)
    tile = Raster(0, 0, (3600, 2400), values, x0, y0)
    name = "Copernicus_DSM_COG_10_N53_00_W115_00_DEM"
    url = "https://copernicus-dem-30m.s3.eu-central-1.amazonaws.com/%s/%s.tif" % (name, name)
    tile.write(providers.file(url), 4326, -115.00020833333333, 54.00013888888889, 1 / 2400, 1 / 3600)
    x, y = chunk_of(65 * 3600 + 1800, 36 * 3600 + 1800)
    found = read(open_cube("CopernicusDEM30", CHUNK_SIZE=str(SIDE)), x, y, SIDE, SIDE)
    longitude = -180 - 1 / 7200 + (x + np.arange(SIDE) + 0.5) / 3600
    column = (longitude + 115.00020833333333) * 2400 - 0.5
    row = y - 36 * 3600 + np.arange(SIDE)
    np.testing.assert_allclose(found, column[None, :] + 3 * row[:, None], atol=0.05)


@pytest.mark.skipif(int(gdal.VersionInfo()) >= 3070000, reason="this GDAL has int8")
def test_mosaic_of_embeddings_says_which_gdal_it_needs(open_cube, providers):
    with pytest.raises(RuntimeError, match="int8 needs GDAL 3.7 or later"):
        open_cube("AlphaEarthMosaic")
    assert providers.asked() == []


# First views of whole empty cubes

VIEW = 500  # pixels


def slope(x, y):
    """Heights in metres at projected coordinates in metres."""
    return (x + 2 * y) / 1000


def publish_coarse_mosaic(providers, product):
    """PGC's mosaic of 1 km pixels, one file: a slope. Only overviews of 4 km and more are written."""
    west, north, width, height = {"arcticdem": (-4000000, 4100000, 7400, 7500),
                                  "rema": (-2700000, 2750000, 5500, 5500)}[product.name]
    folder = "ArcticDEM/mosaic/latest" if product is ARCTICDEM else "REMA/mosaic/v2.0"
    path = providers.file("https://data.pgc.umn.edu/elev/dem/setsm/%s/1km/%s_mosaic_1km_%s_dem.tif" % (
        folder, product.name, product.version))
    file = gdal.GetDriverByName("GTiff").Create(
        str(path), width, height, 1, gdal.GDT_Float32,
        ["TILED=YES", "BLOCKXSIZE=512", "BLOCKYSIZE=512", "COMPRESS=LZW", "SPARSE_OK=TRUE"])
    crs = osr.SpatialReference()
    crs.ImportFromEPSG(product.code)
    file.SetProjection(crs.ExportToWkt())
    file.SetGeoTransform((west, 1000, 0, north, 0, -1000))
    file.GetRasterBand(1).SetNoDataValue(-9999)
    file.BuildOverviews("NONE", [2, 4, 8, 16])
    for i in (1, 2, 3):
        overview = file.GetRasterBand(1).GetOverview(i)
        x = west + (np.arange(overview.XSize) + 0.5) * 1000 * width / overview.XSize
        y = north - (np.arange(overview.YSize) + 0.5) * 1000 * height / overview.YSize
        overview.WriteArray(slope(x[None, :], y[:, None]).astype(np.float32))
    return west, north, width, height


@pytest.mark.parametrize("resolution, index", [(2, 11), (10, 9), (32, 7)])
@pytest.mark.parametrize("product", [ARCTICDEM, REMA], ids=["ArcticDEM", "REMA"])
def test_first_view_of_a_mosaic(providers, open_cube, read, product, resolution, index):
    """It takes the provider's coarse product, not a tile; so does the whole level of 8 or 10 km."""
    west, north, width, height = publish_coarse_mosaic(providers, product)
    cube = open_cube("%s%dm" % ("ArcticDEM" if product is ARCTICDEM else "REMA", resolution))
    read(cube, 0, 0, cube.RasterXSize, cube.RasterYSize, VIEW, VIEW)
    assert 0 < len(providers.asked()) <= 10
    providers.reset()
    level = cube.GetRasterBand(1).GetOverview(index)
    pixels = read(level, 0, 0, level.XSize, level.YSize)
    assert len(providers.asked()) <= 12
    left, _, _, top, _, _ = cube.GetGeoTransform()
    pixel = resolution * (2 << index)
    x, y = left + (np.arange(level.XSize) + 0.5) * pixel, top - (np.arange(level.YSize) + 0.5) * pixel
    inside = (((x > west + pixel) & (x < west + 1000 * width - pixel))[None, :]
              & ((y < north - pixel) & (y > north - 1000 * height + pixel))[:, None])
    np.testing.assert_allclose(pixels[inside], slope(x[None, :], y[:, None])[inside], atol=2.5)  # 1.25 km to the north
    assert np.isnan(pixels[:, (x < west - 2 * pixel) | (x > west + 1000 * width + 2 * pixel)]).all()


@pytest.mark.parametrize("dataset", ["CopernicusDEM30", "CopernicusDEM90"])
def test_first_view_without_a_coarse_product_is_refused(providers, open_cube, failure, dataset):
    """It would ask for 64 800 tiles."""
    cube = open_cube(dataset)
    message = failure(cube.ReadRaster, 0, 0, cube.RasterXSize, cube.RasterYSize, VIEW, VIEW // 2)
    assert "MAX_DOWNLOAD leaves 10.0 GB: raise MAX_DOWNLOAD or read a smaller window" in message
    assert "a part of every file below" in message
    assert providers.asked() == []


# Set (b) of the datasets guide: a complete tile of WorldCover, whose neighbours do not exist

ISLAND = (5800, 31500, 900, 900)  # of the tile: the north of São Tomé


@pytest.fixture
def worldcover(providers, shared):
    worldcover_2021(providers, shared)
    return gdal.Open(str(shared("data", "raster", TILE_2021)))


def test_worldcover_island(worldcover, open_cube, read, assert_pixels):
    x, y, width, height = ISLAND
    expected = worldcover.ReadAsArray(x, y, width, height)
    assert len(np.unique(expected)) > 5
    assert_pixels(read(open_cube("ESAWorldCover2021"), COLUMN + x, ROW + y, width, height), expected)


def test_worldcover_corner(worldcover, open_cube, providers, read, assert_pixels):
    """Three of four tiles are missing there: they are nodata, and are asked for once."""
    expected = np.zeros((200, 200), np.uint8)
    expected[100:, :100] = worldcover.ReadAsArray(TILE - 100, 0, 100, 100)
    cube = open_cube("ESAWorldCover2021", CHUNK_SIZE="1000")
    assert_pixels(read(cube, COLUMN + TILE - 100, ROW - 100, 200, 200), expected)
    missing = [entry["path"][-15:] for entry in providers.log() if entry["status"] == 404]
    assert sorted(missing) == ["N00E009_Map.tif", "N03E006_Map.tif", "N03E009_Map.tif"]


@pytest.mark.parametrize("index", range(5))
def test_worldcover_levels_are_the_overviews_of_the_tile(worldcover, open_cube, read, assert_pixels, index):
    factor = 2 << index
    overview = worldcover.GetRasterBand(1).GetOverview(index)
    assert overview.XSize * factor == TILE
    x, y, width, height = (v // factor for v in ISLAND) if factor < 32 else (0, 0, overview.XSize, overview.YSize)
    expected = overview.ReadAsArray(x, y, width, height)
    assert len(np.unique(expected)) > 3
    cube = open_cube("ESAWorldCover2021")
    window = (COLUMN // factor + x, ROW // factor + y, width, height)
    assert_pixels(read(cube.GetRasterBand(1).GetOverview(index), *window), expected)
