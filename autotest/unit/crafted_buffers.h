/* Buffers as no codec of ours writes them, made slot by slot from the tables of the format guide
 * (5), not from our schema. All are appended to `out`. */
#ifndef CRAFTED_BUFFERS_H
#define CRAFTED_BUFFERS_H

#include "store/icechunk/codec.h"

SGC_BEGIN_C

/* One array of `count` chunks, whose references share one vector of `size` bytes. */
void crafted_shared_inline(uint32_t count, size_t size, sgc_buffer *out);
/* A snapshot of `count` groups that share one document of `size` bytes. */
void crafted_shared_document(uint32_t count, size_t size, sgc_buffer *out);
/* A transaction log of `count` entries for arrays that are one and the same, of `count` chunks that
 * are one and the same. */
void crafted_shared_tables(uint32_t count, sgc_buffer *out);

/* A manifest with one reference, to a compressed location. Absent are a `dictionary` without data
 * and a negative `algorithm`. */
void crafted_location(int algorithm, sgc_bytes dictionary, sgc_bytes location, sgc_buffer *out);
/* A transaction log with one moved node: `slots` is the set of bits of those it has. */
void crafted_move(unsigned slots, uint8_t node_type, sgc_buffer *out);

typedef enum crafted_flaw {
    CRAFTED_FLAWLESS,
    /* A field behind those we know, in tables of that kind. */
    CRAFTED_LATER_REPO,
    CRAFTED_LATER_REF,
    CRAFTED_LATER_SNAPSHOT,
    CRAFTED_LATER_METADATA,
    CRAFTED_LATER_STATUS,
    CRAFTED_LATER_UPDATE,
    CRAFTED_LATER_OPERATION,
    CRAFTED_LAST_LATER = CRAFTED_LATER_OPERATION,
    CRAFTED_UNKNOWN_KIND, /* of the last operation, whose table is no table */
    CRAFTED_NO_KIND,      /* the same */
    CRAFTED_NO_STATUS,    /* in operations that change it */
} crafted_flaw;

/* Checks nothing. */
void crafted_repo(const sgc_repo_info_data *info, crafted_flaw flaw, sgc_buffer *out);

SGC_END_C

#endif
