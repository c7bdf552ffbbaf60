/* FlatBuffers <-> plain structs (format guide 4, 5). The only C++ of the store stands behind this.
 *
 * Decoded structs live in the caller's arena. Decoding verifies everything the format demands of a
 * buffer (bounds, required fields, alignment, orders); a violation is SGC_CORRUPT. Encoding expects
 * sorted input, as the comments say, and appends the FlatBuffers buffer to `out`. */
#ifndef SGC_CODEC_H
#define SGC_CODEC_H

#include <stdbool.h>

#include "store/icechunk/object_id.h"
#include "store/memory.h"

#include "store/error.h"

SGC_BEGIN_C

enum { SGC_MAX_DIMENSIONS = 16 };

typedef struct sgc_metadata_item {
    const char *name;
    const unsigned char *value; /* MessagePack in spec 1 files, FlexBuffers in spec 2 files */
    size_t value_size;
} sgc_metadata_item;

typedef struct sgc_dimension {
    uint64_t array_length;
    uint64_t chunk_length; /* 0 in spec 2 files, which store num_chunks */
    uint32_t num_chunks;
    const char *name; /* NULL: unnamed */
} sgc_dimension;

/* Chunks [from, to) along one dimension. */
typedef struct sgc_extent {
    uint32_t from, to;
} sgc_extent;

typedef struct sgc_manifest_ref {
    sgc_object_id id;
    const sgc_extent *extents; /* one per dimension */
} sgc_manifest_ref;

typedef struct sgc_node {
    sgc_node_id id;
    const char *path;               /* absolute */
    const unsigned char *user_data; /* zarr.json, verbatim */
    size_t user_data_size;
    bool is_array;
    /* The rest is of arrays. */
    size_t dimension_count;
    const sgc_dimension *dimensions;
    bool has_dimension_names;
    size_t manifest_count;
    const sgc_manifest_ref *manifests;
} sgc_node;

typedef struct sgc_manifest_file {
    sgc_object_id id;
    uint64_t size_bytes; /* of the stored file */
    uint32_t num_chunk_refs;
} sgc_manifest_file;

typedef struct sgc_snapshot_data {
    sgc_object_id id;
    bool has_parent;
    sgc_object_id parent;
    uint64_t flushed_at; /* microseconds since 1970 */
    const char *message;
    size_t metadata_count;
    const sgc_metadata_item *metadata; /* by name */
    size_t node_count;
    const sgc_node *nodes; /* by path */
    size_t manifest_file_count;
    const sgc_manifest_file *manifest_files; /* by id */
} sgc_snapshot_data;

typedef enum sgc_chunk_kind {
    SGC_CHUNK_NONE, /* not stored: the fill value */
    SGC_CHUNK_INLINE,
    SGC_CHUNK_NATIVE,
    SGC_CHUNK_VIRTUAL,
} sgc_chunk_kind;

/* Where the encoded bytes of a chunk are. */
typedef struct sgc_chunk_ref {
    sgc_chunk_kind kind;
    sgc_object_id id;                 /* native: of the object */
    uint64_t offset, length;          /* native, virtual: bytes in the object; inline: length */
    const unsigned char *inline_data; /* inline */
    const char *location;             /* virtual: URL; NULL where it is compressed */
} sgc_chunk_ref;

typedef struct sgc_array_manifest {
    sgc_node_id node;
    size_t dimension_count;
    size_t count;
    const uint32_t *coordinates; /* count x dimension_count, in lexicographic order */
    const sgc_chunk_ref *refs;   /* count */
} sgc_array_manifest;

typedef struct sgc_manifest_data {
    sgc_object_id id;
    size_t array_count;
    const sgc_array_manifest *arrays; /* by node id */
} sgc_manifest_data;

typedef struct sgc_node_ids {
    size_t count;
    const sgc_node_id *ids; /* sorted */
} sgc_node_ids;

typedef struct sgc_updated_chunks {
    sgc_node_id node;
    size_t dimension_count;
    size_t count;
    const uint32_t *coordinates; /* count x dimension_count, in lexicographic order */
} sgc_updated_chunks;

typedef struct sgc_transaction_log {
    sgc_object_id id;
    sgc_node_ids new_groups, new_arrays, deleted_groups, deleted_arrays;
    sgc_node_ids updated_arrays, updated_groups;
    size_t updated_chunk_count;
    const sgc_updated_chunks *updated_chunks; /* by node id */
} sgc_transaction_log;

/* Snapshots are written as spec 1 does it (format guide 23.2), and read as either. */
SGC_CHECKED sgc_status sgc_snapshot_encode(const sgc_snapshot_data *snapshot, sgc_buffer *out,
                                           sgc_error *err);
SGC_CHECKED sgc_status sgc_snapshot_decode(const void *buffer, size_t size, sgc_arena *arena,
                                           sgc_snapshot_data *out, sgc_error *err);

SGC_CHECKED sgc_status sgc_manifest_encode(const sgc_manifest_data *manifest, sgc_buffer *out,
                                           sgc_error *err);
SGC_CHECKED sgc_status sgc_manifest_decode(const void *buffer, size_t size, sgc_arena *arena,
                                           sgc_manifest_data *out, sgc_error *err);

SGC_CHECKED sgc_status sgc_transaction_log_encode(const sgc_transaction_log *log, sgc_buffer *out,
                                                  sgc_error *err);

SGC_END_C

#endif
