/* What the tests of the codecs share: comparisons, damage, and a look at bare FlatBuffers. */
#ifndef CODEC_TESTING_H
#define CODEC_TESTING_H

#include "autotest/unit/store_testing.h"

#include "store/icechunk/codec.h"

SGC_BEGIN_C

/* All that a file says is the same. */
void assert_same_snapshot(const sgc_snapshot_data *a, const sgc_snapshot_data *b);
void assert_same_manifest(const sgc_manifest_data *a, const sgc_manifest_data *b);
void assert_same_log(const sgc_transaction_log *a, const sgc_transaction_log *b);
void assert_same_repo_info(const sgc_repo_info_data *a, const sgc_repo_info_data *b);
void assert_same_operation(const sgc_operation *a, const sgc_operation *b);
void assert_same_bytes(sgc_bytes a, sgc_bytes b);

/* Gives the status of decoding. What was decoded is encoded again, so that sanitizers see all of
 * it being read. */
typedef sgc_status recode_fn(const void *buffer, size_t size);
sgc_status recode_snapshot(const void *buffer, size_t size);
sgc_status recode_manifest(const void *buffer, size_t size);
sgc_status recode_log(const void *buffer, size_t size);
sgc_status recode_repo_info(const void *buffer, size_t size);

/* Changes each byte in many ways and cuts the payload everywhere: damage may go unnoticed, but
 * nothing worse. */
void damage_everywhere(recode_fn *recode, const sgc_buffer *payload);

/* FlatBuffers by hand (format guide 4). */
const unsigned char *flat_root(const sgc_buffer *payload);
/* Where a table has a field; NULL: it has none. */
const unsigned char *flat_field(const unsigned char *table, size_t slot);
const unsigned char *flat_target(const unsigned char *offset);
/* Item `i` of the vector of tables in `slot`. */
const unsigned char *flat_item(const unsigned char *table, size_t slot, size_t i);
/* `slots` like "0 2 3" are those that the table has. */
void assert_slots(const unsigned char *table, const char *slots);

SGC_END_C

#endif
