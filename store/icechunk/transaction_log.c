#include "store/icechunk/transaction_log.h"

#include "store/icechunk/metadata_file.h"

static sgc_status decode(const sgc_buffer *payload, const sgc_object_id *id, sgc_arena *arena,
                         sgc_transaction_log *out, sgc_error *err)
{
    sgc_transaction_log log;
    SGC_TRY(sgc_transaction_log_decode(payload->data, payload->size, arena, &log, err));
    if (sgc_object_id_compare(&log.id, id) != 0)
        return sgc_fail(err, SGC_CORRUPT, "the file holds another transaction log");
    *out = log;
    return SGC_OK;
}

sgc_status sgc_transaction_log_load(sgc_object_store *store, const sgc_object_id *id,
                                    sgc_arena *arena, sgc_transaction_log *out, sgc_error *err)
{
    sgc_buffer payload = {0};
    int version;
    sgc_status status = sgc_metadata_file_read(store, SGC_FILE_TRANSACTION_LOG, id, SGC_TO_END,
                                               &version, &payload, err);
    if (status == SGC_OK) {
        status = decode(&payload, id, arena, out, err);
        if (status == SGC_OK)
            out->spec_version = version;
        else
            sgc_metadata_file_fail(store, SGC_FILE_TRANSACTION_LOG, id, status, err);
    }
    sgc_buffer_free(&payload);
    return status;
}

sgc_status sgc_transaction_log_store(sgc_object_store *store, const sgc_transaction_log *log,
                                     sgc_error *err)
{
    sgc_buffer payload = {0};
    sgc_status status = sgc_transaction_log_encode(log, &payload, err);
    if (status == SGC_OK)
        status = sgc_metadata_file_write(store, SGC_FILE_TRANSACTION_LOG, &log->id,
                                         log->spec_version, &payload, SGC_PUT_ALWAYS, NULL, err);
    sgc_buffer_free(&payload);
    return status;
}
