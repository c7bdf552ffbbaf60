/* The patches that the root attributes of a cube list as loaded, for many questions. */
#ifndef SGC_LOADED_SET_H
#define SGC_LOADED_SET_H

#include "store/icechunk/snapshot.h"
#include "store/memory.h"

#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_loaded_set sgc_loaded_set;

/* Gives the set of "loaded_patches" of the root group `root`, from which it borrows; free with
 * sgc_loaded_set_free(). Without such a list it is empty. */
SGC_CHECKED sgc_status sgc_loaded_set_new(const sgc_node *root, sgc_loaded_set **out,
                                          sgc_error *err);
void sgc_loaded_set_free(sgc_loaded_set *set);

size_t sgc_loaded_set_count(const sgc_loaded_set *set);
bool sgc_loaded_set_is_empty(const sgc_loaded_set *set);

/* Appends the id at `index`; a NUL that the buffer's size does not count follows it. */
SGC_CHECKED sgc_status sgc_loaded_set_id(const sgc_loaded_set *set, size_t index, sgc_buffer *out,
                                         sgc_error *err);
SGC_CHECKED sgc_status sgc_loaded_set_find(const sgc_loaded_set *set, const char *id, bool *found,
                                           sgc_error *err);

SGC_END_C

#endif
