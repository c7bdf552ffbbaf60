/* What the tests of Earth Engine share: definitions of cubes of the kind "earthengine". Failures
 * are those of the running cmocka test. */
#ifndef EARTHENGINE_TESTING_H
#define EARTHENGINE_TESTING_H

#include <stddef.h>

#include "datasets/definition.h"

/* Assets of servers/earthengine_server.py, and keys of definitions that fit them. */
#define SMALL_GRID                                       \
    "\"proj:transform\": [0.25, 0, -10, 0, -0.25, 60], " \
    "\"proj:shape\": [80, 100], \"chunk_shape\": [32, 48]"
#define TREND "TCB_slope TCG_slope TCW_slope"
#define TREND_TYPE "\"uint8\", \"nodata\": 255"
#define TREND_SOURCE "\"asset\": \"projects/example/assets/trend\", \"sentinel\": -1"
#define FLOAT_TYPE "\"float32\""
#define ANNUAL_SOURCE "\"asset\": \"EXAMPLE/ANNUAL\", \"sentinel\": -9999"

/* Parses the definition of a grid in EPSG:4326 whose bands are `bands`, of one type, separated by
 * spaces; with that many yearly time steps from 2019 on. */
sgc_status parse_definition(const char *grid, const char *bands, const char *type,
                            const char *source, size_t years, sgc_definition **out, sgc_error *err);

/* Gives (free with sgc_definition_free()) a good one. */
sgc_definition *make_definition(const char *grid, const char *bands, const char *type,
                                const char *source, size_t years);

#endif
