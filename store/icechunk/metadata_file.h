/* Where snapshots, manifests and transaction logs are, and how they get there: one place for their
 * keys, envelopes and names in messages. */
#ifndef SGC_METADATA_FILE_H
#define SGC_METADATA_FILE_H

#include "store/icechunk/envelope.h"
#include "store/icechunk/object_id.h"
#include "store/object_store.h"

SGC_BEGIN_C

enum { SGC_METADATA_KEY = 40 };

/* The key of the file `id`. */
void sgc_metadata_file_key(sgc_file_kind kind, const sgc_object_id *id, char key[SGC_METADATA_KEY]);

/* Puts the payload of the file `id`, `length` bytes long (or SGC_TO_END), into the empty buffer
 * `payload`, and says which version of the format it has. */
SGC_CHECKED sgc_status sgc_metadata_file_read(sgc_object_store *store, sgc_file_kind kind,
                                              const sgc_object_id *id, uint64_t length,
                                              int *spec_version, sgc_buffer *payload,
                                              sgc_error *err);

/* Writes `payload`, of either version, as the file `id` and says how many bytes that took; `size`
 * may be NULL. SGC_EXISTS with SGC_PUT_IF_ABSENT when there is one. */
SGC_CHECKED sgc_status sgc_metadata_file_write(sgc_object_store *store, sgc_file_kind kind,
                                               const sgc_object_id *id, int spec_version,
                                               const sgc_buffer *payload,
                                               sgc_put_condition condition, uint64_t *size,
                                               sgc_error *err);

/* Puts the name of the file in front of a callee's message, and returns `status`. */
sgc_status sgc_metadata_file_fail(const sgc_object_store *store, sgc_file_kind kind,
                                  const sgc_object_id *id, sgc_status status, sgc_error *err);

SGC_END_C

#endif
