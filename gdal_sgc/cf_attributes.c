#include "gdal_sgc/cf_attributes.h"

#include <cpl_conv.h>
#include <cpl_string.h>
#include <stdio.h>
#include <string.h>

#include "datasets/number_text.h"

/* As Python prints floats: the shortest text that is the same double, and never without a point.
 * cJSON rounds to 15 digits where that is nearly the same, in which grids would drift. */
static void print_number(double value, char text[SGC_NUMBER_TEXT_SIZE])
{
    sgc_number_print(value, text);
    if (strpbrk(text, ".en") == NULL)
        strcat(text, ".0");
}

void sgc_cf_add_number(cJSON *object, const char *key, double value)
{
    char text[SGC_NUMBER_TEXT_SIZE];
    print_number(value, text);
    cJSON_AddRawToObject(object, key, text);
}

static void add_parameter(cJSON *attributes, OGRSpatialReferenceH crs, const char *cf,
                          const char *wkt)
{
    sgc_cf_add_number(attributes, cf, OSRGetNormProjParm(crs, wkt, 0, NULL));
}

/* The CF parameters of the projections that CF knows and cubes use; crs_wkt says the rest. */
static void add_projection(cJSON *attributes, OGRSpatialReferenceH crs)
{
    static const struct {
        const char *projection, *grid_mapping, *parameters[6][2];
    } known[] = {
        {SRS_PT_POLAR_STEREOGRAPHIC,
         "polar_stereographic",
         {{"standard_parallel", SRS_PP_LATITUDE_OF_ORIGIN},
          {"straight_vertical_longitude_from_pole", SRS_PP_CENTRAL_MERIDIAN}}},
        {SRS_PT_TRANSVERSE_MERCATOR,
         "transverse_mercator",
         {{"latitude_of_projection_origin", SRS_PP_LATITUDE_OF_ORIGIN},
          {"longitude_of_central_meridian", SRS_PP_CENTRAL_MERIDIAN},
          {"scale_factor_at_central_meridian", SRS_PP_SCALE_FACTOR}}},
        {SRS_PT_LAMBERT_AZIMUTHAL_EQUAL_AREA,
         "lambert_azimuthal_equal_area",
         {{"latitude_of_projection_origin", SRS_PP_LATITUDE_OF_CENTER},
          {"longitude_of_projection_origin", SRS_PP_LONGITUDE_OF_CENTER}}},
    };
    const char *projection = OSRGetAttrValue(crs, "PROJECTION", 0);
    for (size_t i = 0; projection != NULL && i < sizeof known / sizeof *known; i++) {
        if (!EQUAL(projection, known[i].projection))
            continue;
        cJSON_AddStringToObject(attributes, "grid_mapping_name", known[i].grid_mapping);
        for (size_t k = 0; known[i].parameters[k][0] != NULL; k++)
            add_parameter(attributes, crs, known[i].parameters[k][0], known[i].parameters[k][1]);
        add_parameter(attributes, crs, "false_easting", SRS_PP_FALSE_EASTING);
        add_parameter(attributes, crs, "false_northing", SRS_PP_FALSE_NORTHING);
    }
}

static void add_text(cJSON *attributes, const char *cf, const cJSON *json, const char *fallback)
{
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "name"));
    if (name != NULL || fallback != NULL)
        cJSON_AddStringToObject(attributes, cf, name != NULL ? name : fallback);
}

/* Names as the current registry gives them, which OSR's own accessors do not. */
static void add_names(cJSON *attributes, OGRSpatialReferenceH crs)
{
    char *text = NULL;
    if (OSRExportToPROJJSON(crs, &text, NULL) != OGRERR_NONE)
        return;
    cJSON *json = cJSON_Parse(text);
    CPLFree(text);
    const cJSON *base = cJSON_GetObjectItemCaseSensitive(json, "base_crs");
    const cJSON *geographic = base != NULL ? base : json;
    const cJSON *datum = cJSON_GetObjectItemCaseSensitive(geographic, "datum_ensemble");
    if (datum == NULL)
        datum = cJSON_GetObjectItemCaseSensitive(geographic, "datum");
    add_text(attributes, "reference_ellipsoid_name",
             cJSON_GetObjectItemCaseSensitive(datum, "ellipsoid"), NULL);
    add_text(attributes, "prime_meridian_name",
             cJSON_GetObjectItemCaseSensitive(datum, "prime_meridian"), "Greenwich");
    add_text(attributes, "geographic_crs_name", geographic, NULL);
    add_text(attributes, "horizontal_datum_name", datum, NULL);
    if (base != NULL)
        add_text(attributes, "projected_crs_name", json, NULL);
    cJSON_Delete(json);
}

static void add_wkt(cJSON *attributes, OGRSpatialReferenceH crs)
{
    static const char *const options[] = {"FORMAT=WKT2_2019", "MULTILINE=NO", NULL};
    char *wkt = NULL;
    OSRExportToWktEx(crs, &wkt, options);
    cJSON_AddStringToObject(attributes, "spatial_ref", wkt != NULL ? wkt : "");
    cJSON_AddStringToObject(attributes, "crs_wkt", wkt != NULL ? wkt : "");
    CPLFree(wkt);
}

static void add_geotransform(cJSON *attributes, const double transform[6])
{
    char numbers[6][SGC_NUMBER_TEXT_SIZE], text[6 * SGC_NUMBER_TEXT_SIZE];
    for (int i = 0; i < 6; i++)
        print_number(transform[i], numbers[i]);
    snprintf(text, sizeof text, "%s %s %s %s %s %s", numbers[0], numbers[1], numbers[2], numbers[3],
             numbers[4], numbers[5]);
    cJSON_AddStringToObject(attributes, "GeoTransform", text);
}

void sgc_cf_add_crs(cJSON *attributes, OGRSpatialReferenceH crs, const double transform[6])
{
    add_wkt(attributes, crs);
    sgc_cf_add_number(attributes, "semi_major_axis", OSRGetSemiMajor(crs, NULL));
    sgc_cf_add_number(attributes, "semi_minor_axis", OSRGetSemiMinor(crs, NULL));
    sgc_cf_add_number(attributes, "inverse_flattening", OSRGetInvFlattening(crs, NULL));
    sgc_cf_add_number(attributes, "longitude_of_prime_meridian", OSRGetPrimeMeridian(crs, NULL));
    add_names(attributes, crs);
    if (OSRIsProjected(crs))
        add_projection(attributes, crs);
    else
        cJSON_AddStringToObject(attributes, "grid_mapping_name", "latitude_longitude");
    add_geotransform(attributes, transform);
}
