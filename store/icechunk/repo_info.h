/* The repo info of spec 2 repositories: one object with all branches, tags, snapshots and the
 * operations log, replaced as a whole (format guide 8). */
#ifndef SGC_REPO_INFO_H
#define SGC_REPO_INFO_H

#include "store/icechunk/codec.h"
#include "store/icechunk/refs.h"
#include "store/object_store.h"

#include "store/error.h"

SGC_BEGIN_C

#define SGC_REPO_INFO_KEY "repo"

typedef struct sgc_repo_info {
    sgc_object file; /* as it was read */
    sgc_arena arena; /* of `data` and all that is put into it */
    sgc_repo_info_data data;
} sgc_repo_info;

/* SGC_NOT_FOUND where there is none. Release with sgc_repo_info_clear(). */
SGC_CHECKED sgc_status sgc_repo_info_load(sgc_object_store *store, sgc_repo_info *out,
                                          sgc_error *err);
void sgc_repo_info_clear(sgc_repo_info *info);

typedef struct sgc_named_snapshots {
    const sgc_named_snapshot *items;
    size_t count;
} sgc_named_snapshots;

/* The branches or the tags, sorted by name; borrows until the next change of the info. */
sgc_named_snapshots sgc_repo_info_refs(const sgc_repo_info *info, sgc_ref_kind kind);
/* The branch or tag, or NULL; borrows. */
const sgc_named_snapshot *sgc_repo_info_find_ref(const sgc_repo_info *info, sgc_ref_kind kind,
                                                 const char *name);
/* The snapshot `id`, or NULL; borrows. */
const sgc_snapshot_entry *sgc_repo_info_find_snapshot(const sgc_repo_info *info,
                                                      const sgc_object_id *id);

/* SGC_INVALID when the repository is not online, SGC_UNSUPPORTED when something in the info is of a
 * later version of the format: it may be read, not changed. */
SGC_CHECKED sgc_status sgc_repo_info_check_writable(const sgc_repo_info *info,
                                                    const sgc_object_store *store, sgc_error *err);

enum { SGC_FLAG_CREATE_TAG = 4, SGC_FLAG_DELETE_TAG = 5 };
/* SGC_INVALID when the flag forbids what it is about. */
SGC_CHECKED sgc_status sgc_repo_info_check_flag(const sgc_repo_info *info, uint16_t flag,
                                                const sgc_object_store *store, sgc_error *err);

/* ---- changes of a loaded info; what is put in must live as long as its arena ---- */

SGC_CHECKED sgc_status sgc_repo_info_put_ref(sgc_repo_info *info, sgc_ref_kind kind,
                                             const char *name, uint32_t snapshot, sgc_error *err);
/* The name of a tag is not free again. */
SGC_CHECKED sgc_status sgc_repo_info_drop_ref(sgc_repo_info *info, sgc_ref_kind kind,
                                              const char *name, sgc_error *err);
/* Adds a snapshot, whose `parent` is an index before the insertion, and says where it is.
 * SGC_EXISTS when it is listed. All indexes into the snapshots are those after it. */
SGC_CHECKED sgc_status sgc_repo_info_add_snapshot(sgc_repo_info *info,
                                                  const sgc_snapshot_entry *entry, uint32_t *index,
                                                  sgc_error *err);
/* Removes the snapshots with keep[i] false. No ref and no snapshot that is kept may name one. */
SGC_CHECKED sgc_status sgc_repo_info_filter_snapshots(sgc_repo_info *info, const bool *keep,
                                                      sgc_error *err);

/* Makes one change: alters info->data and describes it in *operation, all but the time. It is
 * called again, with a new info, when somebody else was faster. */
typedef sgc_status (*sgc_repo_info_change)(void *user, sgc_repo_info *info,
                                           sgc_operation *operation, sgc_error *err);

/* Applies `change` to the stored info and publishes the result; the version before is kept below
 * overwritten/. `updates_per_file`: entries of the operations log before the rest is left to that.
 * Fails as sgc_repo_info_check_writable() does. */
SGC_CHECKED sgc_status sgc_repo_info_update(sgc_object_store *store, uint32_t updates_per_file,
                                            sgc_repo_info_change change, void *user,
                                            sgc_error *err);

/* Writes the info of a new repository. SGC_EXISTS when there is one. */
SGC_CHECKED sgc_status sgc_repo_info_store_new(sgc_object_store *store,
                                               const sgc_repo_info_data *data, sgc_error *err);

/* Writes the info of a new repository, with branch "main" at `root`. `config` may be empty.
 * SGC_EXISTS when there is one. */
SGC_CHECKED sgc_status sgc_repo_info_create(sgc_object_store *store, const sgc_snapshot_entry *root,
                                            sgc_bytes config, sgc_error *err);

SGC_END_C

#endif
