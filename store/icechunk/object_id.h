/* Ids of objects and nodes (format guide 1): random bytes, written in Crockford base 32. */
#ifndef SGC_OBJECT_ID_H
#define SGC_OBJECT_ID_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "store/error.h"

SGC_BEGIN_C

enum { SGC_OBJECT_ID_TEXT = 20 }; /* characters, without the NUL */

typedef struct sgc_object_id {
    uint8_t bytes[12];
} sgc_object_id;

typedef struct sgc_node_id {
    uint8_t bytes[8];
} sgc_node_id;

/* Fresh ids from the operating system's random source. */
SGC_CHECKED sgc_status sgc_object_id_random(sgc_object_id *id, sgc_error *err);
SGC_CHECKED sgc_status sgc_node_id_random(sgc_node_id *id, sgc_error *err);

void sgc_object_id_format(const sgc_object_id *id, char text[SGC_OBJECT_ID_TEXT + 1]);

/* Reads `length` characters, of either case and with Crockford's aliases; SGC_INVALID if they are
 * no id. */
SGC_CHECKED sgc_status sgc_object_id_parse(const char *text, size_t length, sgc_object_id *id,
                                           sgc_error *err);

/* The order of ids: unsigned bytes. */
static inline int sgc_object_id_compare(const sgc_object_id *a, const sgc_object_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

static inline int sgc_node_id_compare(const sgc_node_id *a, const sgc_node_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

SGC_END_C

#endif
