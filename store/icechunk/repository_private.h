/* What the files about repositories share. */
#ifndef SGC_REPOSITORY_PRIVATE_H
#define SGC_REPOSITORY_PRIVATE_H

#include <pthread.h>

#include "store/fork.h"
#include "store/icechunk/config.h"
#include "store/icechunk/repository.h"

SGC_BEGIN_C

struct sgc_repository {
    sgc_object_store *store;
    uint64_t place;
    int spec_version;
    sgc_manifest_cache *manifests;
    sgc_config *config; /* that the repository has; NULL: all defaults */
    sgc_config *rules;  /* of the options, for repositories without rules */
    pthread_mutex_t queue;
    bool queue_locked; /* the store's lock is held too; guarded by the mutex */
    sgc_fork_watch forks;
};

/* SGC_UNSUPPORTED when `store` holds a repository of spec 2, perhaps since a migration a moment
 * ago. */
SGC_CHECKED sgc_status sgc_repository_check_not_migrated(sgc_object_store *store, sgc_error *err);

/* Says which version `store` holds, and gives its configuration unless `config` is NULL; it becomes
 * NULL where there is none. SGC_NOT_FOUND when there is no repository. */
SGC_CHECKED sgc_status sgc_repository_detect(sgc_object_store *store, int *spec_version,
                                             sgc_config **config, sgc_error *err);

SGC_END_C

#endif
