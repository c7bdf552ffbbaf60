#include "store/icechunk/metadata_file.h"

#include <stdio.h>

void sgc_metadata_file_key(sgc_file_kind kind, const sgc_object_id *id, char key[SGC_METADATA_KEY])
{
    char text[SGC_OBJECT_ID_TEXT + 1];
    sgc_object_id_format(id, text);
    snprintf(key, SGC_METADATA_KEY, "%s/%s",
             kind == SGC_FILE_SNAPSHOT   ? "snapshots"
             : kind == SGC_FILE_MANIFEST ? "manifests"
                                         : "transactions",
             text);
}

sgc_status sgc_metadata_file_fail(const sgc_object_store *store, sgc_file_kind kind,
                                  const sgc_object_id *id, sgc_status status, sgc_error *err)
{
    char key[SGC_METADATA_KEY];
    sgc_metadata_file_key(kind, id, key);
    return sgc_fail_in(err, status, "%s/%s", store->name, key);
}

sgc_status sgc_metadata_file_read(sgc_object_store *store, sgc_file_kind kind,
                                  const sgc_object_id *id, uint64_t length, int *spec_version,
                                  sgc_buffer *payload, sgc_error *err)
{
    char key[SGC_METADATA_KEY];
    sgc_metadata_file_key(kind, id, key);
    sgc_object file = {0};
    SGC_TRY(store->get(store, key, 0, length, &file, err));
    const sgc_status status =
        sgc_envelope_unwrap(kind, file.data, file.size, spec_version, payload, err);
    sgc_object_clear(&file);
    return status == SGC_OK ? SGC_OK : sgc_metadata_file_fail(store, kind, id, status, err);
}

sgc_status sgc_metadata_file_write(sgc_object_store *store, sgc_file_kind kind,
                                   const sgc_object_id *id, int spec_version,
                                   const sgc_buffer *payload, sgc_put_condition condition,
                                   uint64_t *size, sgc_error *err)
{
    char key[SGC_METADATA_KEY];
    sgc_metadata_file_key(kind, id, key);
    sgc_buffer file = {0};
    sgc_status status = sgc_envelope_wrap(kind, spec_version == 2 ? 2 : 1, payload->data,
                                          payload->size, &file, err);
    if (status == SGC_OK)
        status = store->put(store, key, file.data, file.size, condition, NULL, err);
    if (status == SGC_OK && size != NULL)
        *size = file.size;
    sgc_buffer_free(&file);
    return status;
}
