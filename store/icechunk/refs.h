/* Branches and tags of spec 1 repositories (format guide 7.1, 7.2). */
#ifndef SGC_REFS_H
#define SGC_REFS_H

#include "store/icechunk/object_id.h"
#include "store/object_store.h"

#include "store/error.h"

SGC_BEGIN_C

typedef enum sgc_ref_kind { SGC_REF_BRANCH, SGC_REF_TAG } sgc_ref_kind;

/* The snapshot that a live branch or tag names; SGC_NOT_FOUND if there is none. */
SGC_CHECKED sgc_status sgc_ref_read(sgc_object_store *store, sgc_ref_kind kind, const char *name,
                                    sgc_object_id *snapshot, sgc_error *err);

/* Makes a branch; SGC_EXISTS if there is one. */
SGC_CHECKED sgc_status sgc_branch_create(sgc_object_store *store, const char *name,
                                         const sgc_object_id *snapshot, sgc_error *err);

/* Makes a tag; SGC_EXISTS if there is or was one. */
SGC_CHECKED sgc_status sgc_tag_create(sgc_object_store *store, const char *name,
                                      const sgc_object_id *snapshot, sgc_error *err);

/* Moves a branch from `from` to `to`; SGC_CONFLICT if it is not at `from` (any more). */
SGC_CHECKED sgc_status sgc_branch_move(sgc_object_store *store, const char *name,
                                       const sgc_object_id *from, const sgc_object_id *to,
                                       sgc_error *err);

SGC_END_C

#endif
