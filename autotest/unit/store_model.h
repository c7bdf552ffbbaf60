/* A plain model of the tree of a repository, and changes that are made both to it and to a
 * transaction. Failures are those of the running cmocka test. */
#ifndef STORE_MODEL_H
#define STORE_MODEL_H

#include "store/store.h"

enum { MODEL_SIDE = 6, MODEL_MOST_NODES = 40, MODEL_PATH = 16 };

typedef struct model_node {
    char path[MODEL_PATH];
    bool is_array;
    unsigned number;                              /* in its attributes */
    uint32_t height, width;                       /* of an array, in chunks */
    unsigned char chunks[MODEL_SIDE][MODEL_SIDE]; /* 0: not stored */
    bool has_id;                                  /* it was seen */
    sgc_node_id id;
} model_node;

typedef struct model {
    size_t count;
    model_node nodes[MODEL_MOST_NODES];
} model;

typedef enum model_verb { MODEL_GROUP, MODEL_ARRAY, MODEL_DELETE, MODEL_SET } model_verb;

/* One change. The chunks of arrays whose path ends in 'n' are objects, those of others stand in the
 * manifests. */
typedef struct model_change {
    model_verb verb;
    char path[MODEL_PATH];
    unsigned number;        /* of groups and arrays: different documents have different ones */
    uint32_t height, width; /* of arrays */
    uint32_t y, x;          /* of chunks */
    unsigned char value;    /* of chunks; 0 removes */
} model_change;

/* Initialisers of changes. */
#define PUT_GROUP(at, with)                               \
    {                                                     \
        .verb = MODEL_GROUP, .path = at, .number = (with) \
    }
#define PUT_ARRAY(at, with, rows, columns)                                                      \
    {                                                                                           \
        .verb = MODEL_ARRAY, .path = at, .number = (with), .height = (rows), .width = (columns) \
    }
#define DELETE(at)                       \
    {                                    \
        .verb = MODEL_DELETE, .path = at \
    }
#define SET(at, row, column, to)                                                \
    {                                                                           \
        .verb = MODEL_SET, .path = at, .y = (row), .x = (column), .value = (to) \
    }

/* The node at `path`, or NULL. */
model_node *model_find(model *m, const char *path);

/* True for the node `top` itself too. */
bool model_is_below(const char *path, const char *top);

/* Changes the model; false where the change has no place in it. */
bool model_apply(model *m, const model_change *change);

/* Appends the zarr.json that a change puts. */
void model_print_json(const model_change *change, sgc_buffer *json);
/* Describes a chunk of the array at `path`, which is written where it is an object. An inline one
 * borrows `value`. */
sgc_chunk_ref model_write_chunk(sgc_repository *repository, const char *path,
                                const unsigned char *value);
/* The value of a chunk of the array at `path`; 0 for none. */
unsigned char model_read_chunk(sgc_repository *repository, const char *path,
                               const sgc_chunk_ref *ref);

/* Changes the session, which must succeed. */
void model_do(sgc_session *session, const model_change *change);

/* Checks that the snapshot is what the model says: nodes, documents, shapes and all chunks; and
 * that nodes have kept their ids. Ids of new nodes are noted in the model. */
void model_check(model *m, sgc_repository *repository, sgc_snapshot *snapshot);
/* Checks what a session says of the tree as it would be. */
void model_check_session(const model *m, sgc_session *session);

/* Checks that the transaction log of the tip says what its commit, which has made `changes`, did to
 * its parent, as the two snapshots show it. */
void model_check_log(sgc_repository *repository, const model_change *changes, size_t count);

#endif
