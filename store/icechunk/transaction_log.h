/* Transaction log files (format guide 13): what a commit changed. */
#ifndef SGC_TRANSACTION_LOG_H
#define SGC_TRANSACTION_LOG_H

#include "store/icechunk/codec.h"
#include "store/object_store.h"

#include "store/error.h"

SGC_BEGIN_C

/* Decodes the log of the snapshot `id` into `arena`; SGC_NOT_FOUND if it has none. */
SGC_CHECKED sgc_status sgc_transaction_log_load(sgc_object_store *store, const sgc_object_id *id,
                                                sgc_arena *arena, sgc_transaction_log *out,
                                                sgc_error *err);

/* Writes the file of `log`. */
SGC_CHECKED sgc_status sgc_transaction_log_store(sgc_object_store *store,
                                                 const sgc_transaction_log *log, sgc_error *err);

SGC_END_C

#endif
