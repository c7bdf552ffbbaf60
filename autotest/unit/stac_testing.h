/* What tests of STAC catalogues share. Failures are those of the running cmocka test. */
#ifndef STAC_TESTING_H
#define STAC_TESTING_H

#include <cjson/cJSON.h>

#include "datasets/definition.h"

/* A definition that lives as long as the program, with one float32 band for each asset key
 * (NULL-terminated), on a grid of north-up pixels. */
const sgc_definition *stac_definition(const char *crs, const double transform[6], int64_t width,
                                      int64_t height, const char *const *assets);

/* Gives (free with cJSON_Delete()) a recorded document of the project's shared data, a path below
 * stac/; skips the test where there is none. */
cJSON *stac_document(const char *path);

/* A member below several others, by keys (NULL-terminated list); must be there. */
cJSON *stac_at(cJSON *json, ...);

#endif
