#include "autotest/fuzz/fuzz.h"

#include "store/icechunk/refs.h"

static sgc_status count_name(void *user, const char *name, bool deleted, sgc_error *err)
{
    (void)err;
    demand(strcmp(name, "main") == 0 && !deleted);
    ++*(size_t *)user;
    return SGC_OK;
}

/* A file of a branch, with any content. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sgc_object_store *store;
    sgc_object_id id, moved = {{0}};
    size_t count = 0;
    demand(sgc_object_store_memory_new(&store, NULL) == SGC_OK);
    demand(store->put(store, "refs/branch.main/ref.json", data, size, SGC_PUT_ALWAYS, NULL, NULL) ==
           SGC_OK);
    demand(sgc_ref_list(store, SGC_REF_BRANCH, count_name, &count, NULL) == SGC_OK && count == 1);
    if (sgc_ref_read(store, SGC_REF_BRANCH, "main", &id, NULL) == SGC_OK) {
        demand(sgc_branch_move(store, "main", &id, &moved, NULL) == SGC_OK);
        demand(sgc_ref_read(store, SGC_REF_BRANCH, "main", &id, NULL) == SGC_OK);
        demand(sgc_object_id_compare(&id, &moved) == 0);
    }
    sgc_object_store_free(store);
    return 0;
}
