/* The header and compression around snapshots, manifests, transaction logs and the repo info
 * (format guide 3). */
#ifndef SGC_ENVELOPE_H
#define SGC_ENVELOPE_H

#include "store/memory.h"

#include "store/error.h"

SGC_BEGIN_C

typedef enum sgc_file_kind {
    SGC_FILE_SNAPSHOT = 1,
    SGC_FILE_MANIFEST = 2,
    SGC_FILE_TRANSACTION_LOG = 4,
    SGC_FILE_REPO_INFO = 6,
} sgc_file_kind;

/* Appends the file with `payload` (a FlatBuffers buffer) to the empty buffer `file`. */
SGC_CHECKED sgc_status sgc_envelope_wrap(sgc_file_kind kind, int spec_version, const void *payload,
                                         size_t size, sgc_buffer *file, sgc_error *err);

/* Puts the payload of `file` into the empty buffer `payload`. SGC_CORRUPT unless the file has the
 * expected kind, a known version, one zstd frame and nothing behind it. Payloads are at most 2 GiB,
 * as FlatBuffers can address, and at most 64 MiB and 1000 times as large as the file. */
SGC_CHECKED sgc_status sgc_envelope_unwrap(sgc_file_kind kind, const void *file, size_t size,
                                           int *spec_version, sgc_buffer *payload, sgc_error *err);

SGC_END_C

#endif
