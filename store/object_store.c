#include "store/object_store.h"

#include <stdlib.h>
#include <string.h>

void sgc_object_clear(sgc_object *object)
{
    free(object->data);
    *object = (sgc_object){0};
}

sgc_status sgc_object_store_remove(sgc_object_store *store, const char *key, sgc_error *err)
{
    return store->remove(store, &key, 1, err);
}

void sgc_object_store_free(sgc_object_store *store)
{
    if (store != NULL)
        store->free(store);
}

bool sgc_object_store_name_is_hidden(const char *name)
{
    const char *hash = strrchr(name, '#');
    return hash != NULL && hash[1] != '\0' && strspn(hash + 1, "0123456789") == strlen(hash + 1);
}
