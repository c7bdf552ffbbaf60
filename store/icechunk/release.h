/* Taking snapshots out of the repo info, for expiration and garbage collection (format guide 18.2,
 * 18.3). */
#ifndef SGC_RELEASE_H
#define SGC_RELEASE_H

#include "store/icechunk/repo_info.h"

#include "store/error.h"

SGC_BEGIN_C

/* Removes the snapshots with keep[i] false. A kept one whose parent goes gets the root of its
 * branch as parent, and the logs of all that lay between. `inherited` as in sgc_expire_options. */
SGC_CHECKED sgc_status sgc_repo_info_release(sgc_repo_info *info, const bool *keep,
                                             const char *const *inherited, size_t inherited_count,
                                             sgc_error *err);

SGC_END_C

#endif
