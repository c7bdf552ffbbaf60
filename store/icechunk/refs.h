/* Branches and tags of spec 1 repositories: a small file each (format guide 7.1, 7.2). */
#ifndef SGC_REFS_H
#define SGC_REFS_H

#include "store/icechunk/object_id.h"
#include "store/memory.h"
#include "store/object_store.h"

#include "store/error.h"

SGC_BEGIN_C

typedef enum sgc_ref_kind { SGC_REF_BRANCH, SGC_REF_TAG } sgc_ref_kind;

/* "branch" or "tag"; static. */
const char *sgc_ref_noun(sgc_ref_kind kind);

/* SGC_INVALID unless a branch or tag may be made under this name: letters, digits, '.', '_' and
 * '-', which every back end of the official library writes the same way. Others made it can be
 * read. */
SGC_CHECKED sgc_status sgc_ref_check_name(sgc_ref_kind kind, const char *name, sgc_error *err);

/* The snapshot that a live branch or tag names; SGC_NOT_FOUND if there is none. */
SGC_CHECKED sgc_status sgc_ref_read(sgc_object_store *store, sgc_ref_kind kind, const char *name,
                                    sgc_object_id *snapshot, sgc_error *err);

/* Called for each name; anything but SGC_OK ends the listing with that status. */
typedef sgc_status (*sgc_ref_name_fn)(void *user, const char *name, bool deleted, sgc_error *err);

/* All branches, or all tags, the deleted ones among them, in any order. What else lies there is
 * passed over. */
SGC_CHECKED sgc_status sgc_ref_list(sgc_object_store *store, sgc_ref_kind kind, sgc_ref_name_fn fn,
                                    void *user, sgc_error *err);

/* Makes a branch or tag; SGC_EXISTS if there is one, or was a tag. */
SGC_CHECKED sgc_status sgc_ref_create(sgc_object_store *store, sgc_ref_kind kind, const char *name,
                                      const sgc_object_id *snapshot, sgc_error *err);

/* Removes a branch, which must be there, or buries a tag for ever. */
SGC_CHECKED sgc_status sgc_ref_delete(sgc_object_store *store, sgc_ref_kind kind, const char *name,
                                      sgc_error *err);

/* Moves a branch from `from` to `to`; SGC_CONFLICT if it is not at `from` (any more). */
SGC_CHECKED sgc_status sgc_branch_move(sgc_object_store *store, const char *name,
                                       const sgc_object_id *from, const sgc_object_id *to,
                                       sgc_error *err);

SGC_END_C

#endif
