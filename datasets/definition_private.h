/* The rooms of a definition, used by definition.c alone. Each reads its members of the document
 * `json`, which stands at `root`, into the definition, whose `json` is that document. */
#ifndef SGC_DEFINITION_PRIVATE_H
#define SGC_DEFINITION_PRIVATE_H

#include "datasets/definition.h"
#include "datasets/json_member.h"

#include "store/error.h"

SGC_BEGIN_C

SGC_CHECKED sgc_status sgc_definition_read_grid(sgc_definition *definition, const sgc_place *root,
                                                sgc_error *err);
SGC_CHECKED sgc_status sgc_definition_read_time(sgc_definition *definition, const sgc_place *root,
                                                sgc_error *err);
SGC_CHECKED sgc_status sgc_definition_read_bands(sgc_definition *definition, const sgc_place *root,
                                                 sgc_error *err);
/* "source" and "levels"; after the grid and the time axis. */
SGC_CHECKED sgc_status sgc_definition_read_sources(sgc_definition *definition,
                                                   const sgc_place *root, sgc_error *err);

/* Fills the values of `parameters` into `json`, and gives the text to keep in a cube and the list
 * of what has been chosen. */
SGC_CHECKED sgc_status sgc_definition_read_parameters(sgc_definition *definition,
                                                      char *const *parameters,
                                                      const sgc_place *root, sgc_error *err);

/* Compares two sources of patches: the key whose values would mix two products, or NULL. */
const char *sgc_source_difference(const cJSON *theirs, const cJSON *mine);

/* Whether a value with this name, in any case, of a header or an open option, is a secret in plain
 * text: {config:NAME} is none. */
bool sgc_definition_is_secret(const char *name, const char *value);

/* Whether a secret stands in plain text in a URL or another name that GDAL opens: a user before a
 * host, or the value of a parameter or keyword with the name of a secret. */
bool sgc_definition_has_secret(const char *text);

static const char *const sgc_resampling_words[] = {"nearest", "bilinear", "cubic",
                                                   "average", "mode",     NULL};

/* A CRS by "EPSG:n", WKT or the name that EPSG's registry has for it. Gives (free with free()) what
 * is shortest: "EPSG:n" where there is one, else the text. */
SGC_CHECKED sgc_status sgc_definition_read_crs(const char *text, const sgc_place *at, char **out,
                                               sgc_error *err);

SGC_END_C

#endif
