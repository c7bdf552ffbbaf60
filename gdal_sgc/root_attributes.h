/* What the attributes of a cube's root group say: which cube it is, and which patches are loaded.
 * `root` is the root group's node, from which spans borrow. */
#ifndef SGC_ROOT_ATTRIBUTES_H
#define SGC_ROOT_ATTRIBUTES_H

#include "datasets/definition.h"
#include "store/store.h"

#include "store/error.h"

SGC_BEGIN_C

/* Gives the attributes of an empty cube, JSON; free with cJSON_free(). NULL without memory. */
char *sgc_root_attributes_new(const sgc_definition *definition);

/* Says in the root group what the cube is; all else there stays as it is, to the byte. */
SGC_CHECKED sgc_status sgc_root_put_definition(sgc_session *session,
                                               const sgc_definition *definition, sgc_error *err);

/* Notes where levels are loaded from: whoever loads more of them must have them from there too. */
SGC_CHECKED sgc_status sgc_root_put_levels(sgc_session *session, const sgc_definition *definition,
                                           sgc_error *err);

/* Finds the definition that the root group's zarr.json names. SGC_NOT_FOUND
 * without. */
SGC_CHECKED sgc_status sgc_root_find_definition(const sgc_node *root, sgc_span *definition,
                                                sgc_error *err);

/* Appends the root group's zarr.json with `ids` (quoted JSON strings, comma-separated) added to
 * "loaded_patches". */
SGC_CHECKED sgc_status sgc_root_add_loaded(const sgc_node *root, sgc_span ids, sgc_buffer *out,
                                           sgc_error *err);

/* Finds the list "loaded_patches". SGC_NOT_FOUND without. */
SGC_CHECKED sgc_status sgc_root_find_loaded(const sgc_node *root, sgc_span *list, sgc_error *err);

/* For one question; sgc_loaded_set is for many. Says whether "loaded_patches" has `id`. */
SGC_CHECKED sgc_status sgc_root_is_loaded(const sgc_node *root, const char *id, bool *loaded,
                                          sgc_error *err);

SGC_END_C

#endif
