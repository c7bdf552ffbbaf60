#include "datasets/stac_index.h"

#include <cpl_conv.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <errno.h>
#include <fcntl.h>
#include <gdal.h>
#include <inttypes.h>
#include <math.h>
#include <ogr_api.h>
#include <ogr_srs_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datasets/hash.h"
#include "datasets/quiet.h"
#include "datasets/stac_json.h"
#include "store/memory.h"

enum { DIRECTORY_SIZE = 768, PATH_SIZE = 1024 };

/* A part of an item's footprint. */
typedef struct footprint {
    char *id;
    sgc_rect extent; /* pixels of the grid */
} footprint;

struct sgc_stac_index {
    footprint *parts;
    size_t count, capacity;
};

/* ---- the copy in the cache ---- */

/* A file of the cache and what it should be. */
typedef struct copy {
    char pointer[PATH_SIZE]; /* the document that tells the rest */
    char path[PATH_SIZE];    /* the file */
    char etag[128];
    uint64_t size, digest;
} copy;

static bool make_directories(char *path)
{
    for (char *c = path + 1; *c != '\0'; c++)
        if (*c == '/') {
            *c = '\0';
            const bool good = mkdir(path, 0777) == 0 || errno == EEXIST;
            *c = '/';
            if (!good)
                return false;
        }
    return mkdir(path, 0777) == 0 || errno == EEXIST;
}

/* Writes where the copies are kept, or will be. */
static sgc_status name_directory(char path[DIRECTORY_SIZE], sgc_error *err)
{
    const char *chosen = CPLGetConfigOption("SGC_INDEX_CACHE", NULL);
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int length;
    if (chosen != NULL)
        length = snprintf(path, DIRECTORY_SIZE, "%s", chosen);
    else if (cache != NULL && *cache == '/')
        length = snprintf(path, DIRECTORY_SIZE, "%s/sgc", cache);
    else if (home != NULL && *home == '/')
        length = snprintf(path, DIRECTORY_SIZE, "%s/.cache/sgc", home);
    else
        return sgc_fail(err, SGC_INVALID,
                        "there is no home directory to keep the index in: set SGC_INDEX_CACHE");
    return length > 0 && length < DIRECTORY_SIZE
               ? SGC_OK
               : sgc_fail(err, SGC_INVALID, "SGC_INDEX_CACHE: \"%.300s\" is no directory", path);
}

static sgc_status cache_directory(char path[DIRECTORY_SIZE], sgc_error *err)
{
    SGC_TRY(name_directory(path, err));
    return make_directories(path) ? SGC_OK
                                  : sgc_fail(err, SGC_IO,
                                             "cannot make the directory %.300s for the index: set "
                                             "SGC_INDEX_CACHE to another one",
                                             path);
}

/* The end of the file's name, by which GDAL knows the format. */
static void suffix_of(const char *href, char suffix[16])
{
    char shown[512];
    sgc_http_redact(href, shown, sizeof shown);
    const char *dot = strrchr(shown, '.');
    const bool good = dot != NULL && strlen(dot) < 16 && strchr(dot, '/') == NULL;
    snprintf(suffix, 16, "%s", good ? dot : "");
}

static void name_file(copy *c, const char *directory, const char *href)
{
    char suffix[16];
    suffix_of(href, suffix);
    snprintf(c->path, PATH_SIZE, "%.767s/index-%016" PRIx64 "-%016" PRIx64 "%s", directory,
             sgc_hash(href, strlen(href)), c->digest, suffix);
}

/* Gives (free with VSIFree()) the content of a file, or NULL. */
static GByte *content_of(const char *path, int64_t most, uint64_t *size)
{
    GByte *data = NULL;
    vsi_l_offset length = 0;
    sgc_quiet quiet = sgc_quiet_begin();
    if (!VSIIngestFile(NULL, path, &data, &length, most))
        data = NULL;
    sgc_quiet_end(&quiet);
    *size = length;
    return data;
}

/* Reads which file is the newest; false when there is none. */
static bool read_pointer(copy *c, const char *directory, const char *href)
{
    uint64_t size;
    snprintf(c->pointer, PATH_SIZE, "%.767s/index-%016" PRIx64 ".json", directory,
             sgc_hash(href, strlen(href)));
    c->etag[0] = '\0';
    GByte *text = content_of(c->pointer, 65536, &size);
    if (text == NULL)
        return false;
    cJSON *json = cJSON_ParseWithLength((const char *)text, (size_t)size);
    VSIFree(text);
    const char *etag = sgc_stac_text(json, "etag"), *digest = sgc_stac_text(json, "digest");
    const cJSON *bytes = sgc_stac_member(json, "size");
    const bool good = etag != NULL && strlen(etag) < sizeof c->etag && digest != NULL &&
                      sscanf(digest, "%" SCNx64, &c->digest) == 1 && cJSON_IsNumber(bytes) &&
                      bytes->valuedouble >= 0 && bytes->valuedouble < 1e15;
    if (good) {
        strcpy(c->etag, etag);
        c->size = (uint64_t)bytes->valuedouble;
        name_file(c, directory, href);
    }
    cJSON_Delete(json);
    return good;
}

/* Whether the file is there, whole. */
static bool is_whole(const copy *c)
{
    uint64_t size;
    VSIStatBufL stat;
    if (VSIStatL(c->path, &stat) != 0 || (uint64_t)stat.st_size != c->size)
        return false;
    GByte *data = content_of(c->path, -1, &size);
    const bool good = data != NULL && size == c->size && sgc_hash(data, (size_t)size) == c->digest;
    VSIFree(data);
    return good;
}

static bool write_all(int file, const char *data, size_t size)
{
    while (size > 0) {
        const ssize_t n = write(file, data, size);
        if (n < 0 && errno != EINTR)
            return false;
        data += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Others see all of the file or nothing. */
static sgc_status write_file(const char *path, const void *data, size_t size, sgc_error *err)
{
    char staging[PATH_SIZE + 16];
    snprintf(staging, sizeof staging, "%s.XXXXXX", path);
    const int file = mkostemp(staging, O_CLOEXEC);
    bool good = file >= 0 && write_all(file, data, size);
    if (file >= 0)
        good = close(file) == 0 && good;
    if (good && rename(staging, path) == 0)
        return SGC_OK;
    const int number = errno;
    if (file >= 0)
        unlink(staging);
    return sgc_fail(err, SGC_IO,
                    "cannot write %.300s: %s; set SGC_INDEX_CACHE to another directory", path,
                    strerror(number));
}

static sgc_status keep(copy *c, const char *directory, const char *href,
                       const sgc_http_response *response, sgc_error *err)
{
    char old[PATH_SIZE];
    snprintf(old, sizeof old, "%s", c->path);
    c->size = response->size;
    c->digest = sgc_hash(response->data, response->size);
    name_file(c, directory, href);
    snprintf(c->etag, sizeof c->etag, "%s", response->etag);
    SGC_TRY(write_file(c->path, response->data, response->size, err));
    cJSON *json = cJSON_CreateObject();
    char digest[20], shown[512];
    snprintf(digest, sizeof digest, "%016" PRIx64, c->digest);
    sgc_http_redact(href, shown, sizeof shown);
    cJSON_AddStringToObject(json, "url", shown);
    cJSON_AddStringToObject(json, "etag", c->etag);
    cJSON_AddStringToObject(json, "digest", digest);
    cJSON_AddNumberToObject(json, "size", (double)c->size);
    char *text = cJSON_Print(json);
    cJSON_Delete(json);
    const sgc_status status = text != NULL ? write_file(c->pointer, text, strlen(text), err)
                                           : sgc_fail_memory(err, 0, "an index");
    cJSON_free(text);
    if (status == SGC_OK && old[0] != '\0' && strcmp(old, c->path) != 0)
        unlink(old);
    return status;
}

/* Gives the newest copy of the file, asking the server whether the kept one is that. */
static sgc_status fetch(sgc_http *http, const char *href, bool anew, const sgc_cancel *cancel,
                        copy *c, sgc_error *err)
{
    char directory[DIRECTORY_SIZE];
    SGC_TRY(cache_directory(directory, err));
    *c = (copy){0};
    const bool known = read_pointer(c, directory, href) && !anew && is_whole(c);
    const sgc_http_request request = {
        .method = "GET", .url = href, .known_etag = known ? c->etag : NULL};
    sgc_http_response response = {0};
    SGC_TRY(sgc_http_perform(http, &request, cancel, &response, err));
    sgc_status status = SGC_OK;
    if (response.status != 304)
        status = keep(c, directory, href, &response, err);
    sgc_http_response_clear(&response);
    return status;
}

/* ---- its content ---- */

static const struct {
    const char *suffix, *driver;
} formats[] = {
    {".parquet", "Parquet"}, {".geoparquet", "Parquet"}, {".gpkg", "GPKG"},
    {".geojson", "GeoJSON"}, {".json", "GeoJSON"},       {".shp", "ESRI Shapefile"},
    {".fgb", "FlatGeobuf"},
};

/* The driver for a file of such a name, or NULL. */
static const char *driver_for(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const size_t length = strlen(name), n = strlen(formats[i].suffix);
        if (length > n && EQUAL(name + length - n, formats[i].suffix))
            return formats[i].driver;
    }
    return NULL;
}

static bool is_zip(const char *path)
{
    const size_t length = strlen(path);
    return length > 4 && EQUAL(path + length - 4, ".zip");
}

bool sgc_stac_index_is_readable(const char *name)
{
    char shown[512];
    sgc_http_redact(name, shown, sizeof shown);
    const char *driver = driver_for(shown);
    return is_zip(shown) || (driver != NULL && GDALGetDriverByName(driver) != NULL);
}

/* Finds the file in the archive whose name, with or without directories, is `member`; without
 * `member`, the first that has a format we know. */
static bool find_member(const char *archive, const char *member, char path[PATH_SIZE + 300])
{
    char root[PATH_SIZE + 20];
    snprintf(root, sizeof root, "/vsizip/{%s}", archive);
    char **names = VSIReadDirRecursive(root);
    bool found = false;
    for (int i = 0; !found && names != NULL && names[i] != NULL; i++) {
        const char *base = strrchr(names[i], '/');
        base = base != NULL ? base + 1 : names[i];
        found = member != NULL ? EQUAL(names[i], member) || EQUAL(base, member)
                               : driver_for(names[i]) != NULL;
        if (found)
            found = snprintf(path, PATH_SIZE + 300, "%s/%s", root, names[i]) < PATH_SIZE + 300;
    }
    CSLDestroy(names);
    return found;
}

/* From the CRS of a layer to that of the grid; NULL when there is none. */
static OGRCoordinateTransformationH to_grid(OGRLayerH layer, const sgc_grid *grid)
{
    OGRSpatialReferenceH from = OGR_L_GetSpatialRef(layer), lonlat = NULL;
    OGRSpatialReferenceH to = OSRNewSpatialReference(NULL);
    if (from == NULL) { /* as GeoParquet and GeoJSON have it */
        from = lonlat = OSRNewSpatialReference(NULL);
        OSRSetFromUserInput(lonlat, "OGC:CRS84");
    }
    OGRCoordinateTransformationH transformation = NULL;
    if (OSRSetFromUserInput(to, grid->crs) == OGRERR_NONE) {
        OSRSetAxisMappingStrategy(to, OAMS_TRADITIONAL_GIS_ORDER);
        OGRSpatialReferenceH same = OSRClone(from);
        OSRSetAxisMappingStrategy(same, OAMS_TRADITIONAL_GIS_ORDER);
        transformation = OCTNewCoordinateTransformation(same, to);
        OSRDestroySpatialReference(same);
    }
    OSRDestroySpatialReference(to);
    OSRDestroySpatialReference(lonlat);
    return transformation;
}

static int64_t clamp(double pixel)
{
    return pixel > INT32_MAX ? INT32_MAX : pixel < INT32_MIN ? INT32_MIN : (int64_t)pixel;
}

/* The pixels around a box, wider by what straight edges of a footprint may cut off. */
static sgc_rect pixels_around(const OGREnvelope *box, const sgc_grid *grid)
{
    const double *t = grid->transform;
    const double dx = 0.05 * (box->MaxX - box->MinX), dy = 0.05 * (box->MaxY - box->MinY);
    const int64_t left = clamp(floor((box->MinX - dx - t[0]) / t[1]));
    const int64_t right = clamp(ceil((box->MaxX + dx - t[0]) / t[1]));
    const int64_t top = clamp(floor((box->MaxY + dy - t[3]) / t[5]));
    const int64_t bottom = clamp(ceil((box->MinY - dy - t[3]) / t[5]));
    return (sgc_rect){left, top, right - left, bottom - top};
}

static bool is_finite_box(const OGREnvelope *box)
{
    return isfinite(box->MinX) && isfinite(box->MaxX) && isfinite(box->MinY) && isfinite(box->MaxY);
}

static bool is_usable(OGRGeometryH geometry)
{
    OGREnvelope box;
    if (geometry == NULL || OGR_G_IsEmpty(geometry))
        return false;
    OGR_G_GetEnvelope(geometry, &box);
    return is_finite_box(&box);
}

/* Adds the place of a polygon. */
static sgc_status add_part(sgc_stac_index *index, const char *id, OGRGeometryH polygon,
                           OGRCoordinateTransformationH transformation, const sgc_grid *grid,
                           sgc_error *err)
{
    enum { PIECES = 16 };
    OGREnvelope box;
    OGRGeometryH outline = OGR_G_Clone(polygon);
    OGR_G_GetEnvelope(outline, &box);
    const double size = fmax(box.MaxX - box.MinX, box.MaxY - box.MinY);
    if (size > 0)
        OGR_G_Segmentize(outline, size / PIECES);
    footprint part = {.extent = {INT32_MIN, INT32_MIN, 1LL << 32, 1LL << 32}};
    if (OGR_G_Transform(outline, transformation) == OGRERR_NONE) {
        OGR_G_GetEnvelope(outline, &box);
        if (is_finite_box(&box))
            part.extent = pixels_around(&box, grid);
    } /* else it may be anywhere */
    OGR_G_DestroyGeometry(outline);
    footprint *parts =
        sgc_list_grow(index->parts, index->count, &index->capacity, sizeof *index->parts);
    if (parts == NULL || (part.id = strdup(id)) == NULL) {
        index->parts = parts != NULL ? parts : index->parts;
        return sgc_fail_memory(err, sizeof *parts, "an index");
    }
    index->parts = parts;
    index->parts[index->count++] = part;
    return SGC_OK;
}

static sgc_status fail_row(OGRFeatureH feature, const char *id, sgc_error *err)
{
    return sgc_fail(
        err, SGC_CORRUPT,
        "its row %lld, item %.100s, does not say where the item lies: geometry and bbox "
        "are missing or none",
        (long long)OGR_F_GetFID(feature), id);
}

static OGRGeometryH new_box(double west, double south, double east, double north)
{
    const double x[] = {west, east, east, west, west}, y[] = {south, south, north, north, south};
    OGRGeometryH ring = OGR_G_CreateGeometry(wkbLinearRing);
    OGRGeometryH polygon = OGR_G_CreateGeometry(wkbPolygon);
    for (int i = 0; i < 5; i++)
        OGR_G_AddPoint_2D(ring, x[i], y[i]);
    OGR_G_AddGeometryDirectly(polygon, ring);
    return polygon;
}

/* Reads the field "bbox", a list, and says how many numbers it has; 0 without. */
static int read_bbox(OGRFeatureH feature, double numbers[6])
{
    const int field = OGR_F_GetFieldIndex(feature, "bbox");
    int n = 0;
    if (field < 0 || !OGR_F_IsFieldSetAndNotNull(feature, field))
        return 0;
    const double *reals = OGR_F_GetFieldAsDoubleList(feature, field, &n);
    for (int i = 0; reals != NULL && i < n && i < 6; i++)
        numbers[i] = reals[i];
    if (reals != NULL)
        return n;
    const int *integers = OGR_F_GetFieldAsIntegerList(feature, field, &n);
    for (int i = 0; integers != NULL && i < n && i < 6; i++)
        numbers[i] = integers[i];
    return integers != NULL ? n : 0;
}

/* Gives the polygons around the field "bbox", which is in degrees; NULL without. */
static OGRGeometryH new_bbox(OGRFeatureH feature)
{
    double b[6];
    const int n = read_bbox(feature, b);
    OGRGeometryH own = OGR_F_GetGeometryRef(feature);
    OGRSpatialReferenceH crs = own != NULL ? OGR_G_GetSpatialReference(own) : NULL;
    if ((n != 4 && n != 6) || (crs != NULL && !OSRIsGeographic(crs)))
        return NULL;
    const double west = b[0], south = b[1], east = b[n / 2], north = b[n / 2 + 1];
    if (!(fabs(west) <= 180 && fabs(east) <= 180 && south >= -90 && south <= north && north <= 90))
        return NULL;
    OGRGeometryH polygons = OGR_G_CreateGeometry(wkbMultiPolygon);
    OGR_G_AddGeometryDirectly(polygons, new_box(west, south, west > east ? 180 : east, north));
    if (west > east)
        OGR_G_AddGeometryDirectly(polygons, new_box(-180, south, east, north));
    return polygons;
}

static sgc_status add_geometry(sgc_stac_index *index, OGRFeatureH feature, const char *id,
                               OGRGeometryH geometry, OGRCoordinateTransformationH transformation,
                               const sgc_grid *grid, sgc_error *err)
{
    if (!OGR_GT_IsSubClassOf(wkbFlatten(OGR_G_GetGeometryType(geometry)), wkbGeometryCollection))
        return add_part(index, id, geometry, transformation, grid, err);
    for (int i = 0; i < OGR_G_GetGeometryCount(geometry); i++) {
        OGRGeometryH part = OGR_G_GetGeometryRef(geometry, i);
        if (OGR_G_IsEmpty(part))
            continue;
        if (!is_usable(part))
            return fail_row(feature, id, err);
        SGC_TRY(add_part(index, id, part, transformation, grid, err));
    }
    return SGC_OK;
}

static sgc_status add_feature(sgc_stac_index *index, OGRFeatureH feature, int column,
                              OGRCoordinateTransformationH transformation, const sgc_grid *grid,
                              sgc_error *err)
{
    const char *id = OGR_F_GetFieldAsString(feature, column);
    OGRGeometryH geometry = OGR_F_GetGeometryRef(feature), box = NULL;
    if (!OGR_F_IsFieldSetAndNotNull(feature, column) || *id == '\0')
        return sgc_fail(err, SGC_CORRUPT,
                        "its row %lld does not say which item it is: its \"%.60s\" is missing or "
                        "empty; see /source/index/id_column",
                        (long long)OGR_F_GetFID(feature),
                        OGR_Fld_GetNameRef(OGR_F_GetFieldDefnRef(feature, column)));
    if (!is_usable(geometry))
        geometry = box = new_bbox(feature);
    const sgc_status status =
        geometry != NULL ? add_geometry(index, feature, id, geometry, transformation, grid, err)
                         : fail_row(feature, id, err);
    OGR_G_DestroyGeometry(box);
    return status;
}

static sgc_status add_layer(sgc_stac_index *index, OGRLayerH layer, const char *id_column,
                            const sgc_grid *grid, sgc_error *err)
{
    const int column = OGR_L_FindFieldIndex(layer, id_column, 0);
    if (column < 0)
        return sgc_fail(err, SGC_INVALID, "has no column \"%.60s\": see /source/index/id_column",
                        id_column);
    OGRCoordinateTransformationH transformation = to_grid(layer, grid);
    if (transformation == NULL)
        return sgc_fail(err, SGC_UNSUPPORTED, "its CRS cannot be transformed to that of the cube");
    sgc_status status = SGC_OK;
    OGRFeatureH feature;
    CPLErrorReset();
    OGR_L_ResetReading(layer);
    while (status == SGC_OK && (feature = OGR_L_GetNextFeature(layer)) != NULL) {
        status = add_feature(index, feature, column, transformation, grid, err);
        OGR_F_Destroy(feature);
    }
    OCTDestroyCoordinateTransformation(transformation);
    if (status == SGC_OK && CPLGetLastErrorType() >= CE_Failure)
        return sgc_fail(err, SGC_CORRUPT, "%s", CPLGetLastErrorMsg());
    return status;
}

static sgc_status read_file(const char *path, const char *driver, const char *id_column,
                            const sgc_grid *grid, sgc_stac_index **out, sgc_error *err)
{
    const char *const drivers[] = {driver, NULL};
    if (GDALGetDriverByName(driver) == NULL)
        return sgc_fail(err, SGC_UNSUPPORTED,
                        "this GDAL has no %s driver to read it with: install GDAL's plugin for it, "
                        "or name the index in another format (GeoPackage, shapefile, GeoJSON) in "
                        "/source/index of the definition",
                        driver);
    GDALDatasetH file =
        GDALOpenEx(path, GDAL_OF_VECTOR | GDAL_OF_READONLY | GDAL_OF_INTERNAL, drivers, NULL, NULL);
    OGRLayerH layer = file != NULL ? GDALDatasetGetLayer(file, 0) : NULL;
    sgc_stac_index *index = layer != NULL ? calloc(1, sizeof *index) : NULL;
    sgc_status status;
    if (layer == NULL)
        status = sgc_fail(err, SGC_CORRUPT, "is no %s file%s%s", driver,
                          *CPLGetLastErrorMsg() != '\0' ? ": " : "", CPLGetLastErrorMsg());
    else if (index == NULL)
        status = sgc_fail_memory(err, sizeof *index, "an index");
    else
        status = add_layer(index, layer, id_column, grid, err);
    if (file != NULL)
        GDALClose(file);
    if (status == SGC_OK)
        *out = index;
    else
        sgc_stac_index_free(index);
    return status;
}

static sgc_status read_copy(const copy *c, const char *member, const char *id_column,
                            const sgc_grid *grid, sgc_stac_index **out, sgc_error *err)
{
    char path[PATH_SIZE + 300];
    snprintf(path, sizeof path, "%s", c->path);
    if (is_zip(c->path) && !find_member(c->path, member, path))
        return sgc_fail(err, SGC_CORRUPT, "is no zip with a file \"%.100s\": see /source/index",
                        member != NULL ? member : "*.gpkg");
    const char *driver = driver_for(path);
    if (driver == NULL)
        return sgc_fail(err, SGC_UNSUPPORTED,
                        "is of a format that is not known: see /source/index");
    return read_file(path, driver, id_column, grid, out, err);
}

/* As read_copy(), and silently. */
static sgc_status read_quietly(const copy *c, const char *member, const char *id_column,
                               const sgc_grid *grid, sgc_stac_index **out, sgc_error *err)
{
    sgc_quiet quiet = sgc_quiet_begin();
    const sgc_status status = read_copy(c, member, id_column, grid, out, err);
    sgc_quiet_end(&quiet);
    return status;
}

sgc_status sgc_stac_index_load(sgc_http *http, const char *href, const char *member,
                               const char *id_column, const sgc_grid *grid,
                               const sgc_cancel *cancel, sgc_stac_index **out, sgc_error *err)
{
    copy c;
    char shown[256];
    sgc_status status = SGC_CORRUPT;
    sgc_http_redact(href, shown, sizeof shown);
    for (int attempt = 0; attempt < 2 && status == SGC_CORRUPT; attempt++) {
        SGC_TRY(fetch(http, href, attempt > 0, cancel, &c, err));
        status = read_quietly(&c, member, id_column, grid, out, err);
    }
    return status == SGC_OK ? SGC_OK : sgc_fail_in(err, status, "the index %s", shown);
}

sgc_status sgc_stac_index_load_kept(const char *href, const char *member, const char *id_column,
                                    const sgc_grid *grid, sgc_stac_index **out, sgc_error *err)
{
    copy c = {0};
    char directory[DIRECTORY_SIZE], shown[256];
    sgc_http_redact(href, shown, sizeof shown);
    SGC_TRY(name_directory(directory, err));
    if (!read_pointer(&c, directory, href) || !is_whole(&c))
        return sgc_fail(err, SGC_NOT_FOUND, "no copy of the index %s is kept", shown);
    const sgc_status status = read_quietly(&c, member, id_column, grid, out, err);
    return status == SGC_OK ? SGC_OK : sgc_fail_in(err, status, "the index %s", shown);
}

void sgc_stac_index_free(sgc_stac_index *index)
{
    if (index == NULL)
        return;
    for (size_t i = 0; i < index->count; i++)
        free(index->parts[i].id);
    free(index->parts);
    free(index);
}

sgc_status sgc_stac_index_select(const sgc_stac_index *index, sgc_rect rect, sgc_stac_take_id *take,
                                 void *user, sgc_error *err)
{
    for (size_t i = 0; i < index->count; i++) {
        const footprint *part = &index->parts[i];
        if (!sgc_rect_is_empty(sgc_rect_intersect(part->extent, rect)))
            SGC_TRY(take(user, part->id, part->extent, err));
    }
    return SGC_OK;
}
