/* FlatBuffers <-> plain structs (format guide 4, 5). The only C++ of the store stands behind this.
 *
 * Decoded structs live in the caller's arena. Decoding verifies everything the format demands of a
 * buffer (bounds, required fields, alignment, orders, UTF-8); a violation is SGC_CORRUPT, and so is
 * a buffer that would become more than 64 times as large (and 1 MiB) because its parts share bytes.
 * What decoding took of the arena before it failed stays there.
 *
 * Encoding expects sorted input, as the comments say, and appends the FlatBuffers buffer to `out`,
 * in the slots that `spec_version` (2, else 1) uses. A text that is not UTF-8 or is missing is
 * SGC_INVALID, more than 2 GiB are SGC_UNSUPPORTED. What a file says decodes and encodes to the
 * same again, `extra` fields included, unless a comment says otherwise. */
#ifndef SGC_CODEC_H
#define SGC_CODEC_H

#include <stdbool.h>

#include "store/icechunk/object_id.h"
#include "store/memory.h"

#include "store/error.h"

SGC_BEGIN_C

enum { SGC_MAX_DIMENSIONS = 16 };

/* Opaque bytes; data is NULL where the field is absent. */
typedef struct sgc_bytes {
    const unsigned char *data;
    size_t size;
} sgc_bytes;

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
    sgc_bytes extra; /* of all nodes */
} sgc_node;

typedef struct sgc_manifest_file {
    sgc_object_id id;
    uint64_t size_bytes; /* of the stored file */
    uint32_t num_chunk_refs;
    sgc_bytes extra; /* spec 2 */
} sgc_manifest_file;

typedef struct sgc_snapshot_data {
    int spec_version; /* which slots are encoded; decoding leaves it 0: the envelope knows */
    sgc_object_id id;
    bool has_parent; /* spec 2 keeps parents in the repo info, and encodes none here */
    sgc_object_id parent;
    uint64_t flushed_at; /* microseconds since 1970 */
    const char *message;
    size_t metadata_count;
    const sgc_metadata_item *metadata; /* by name */
    size_t node_count;
    const sgc_node *nodes; /* by path */
    size_t manifest_file_count;
    const sgc_manifest_file *manifest_files; /* by id */
    sgc_bytes extra;
} sgc_snapshot_data;

typedef enum sgc_chunk_kind {
    SGC_CHUNK_NONE, /* not stored: the fill value */
    SGC_CHUNK_INLINE,
    SGC_CHUNK_NATIVE,
    SGC_CHUNK_VIRTUAL,
} sgc_chunk_kind;

/* What few references have: virtual ones, and those of writers to come. */
typedef struct sgc_ref_details {
    const char *location;   /* virtual: URL, decompressed */
    const char *etag;       /* virtual: NULL if absent */
    uint32_t last_modified; /* virtual: seconds since 1970, 0 if absent */
    sgc_bytes extra;
} sgc_ref_details;

/* Where the encoded bytes of a chunk are. */
typedef struct sgc_chunk_ref {
    sgc_chunk_kind kind;
    sgc_object_id id;                 /* native: of the object */
    uint64_t offset, length;          /* native, virtual: bytes in the object; inline: length */
    const unsigned char *inline_data; /* inline */
    const sgc_ref_details *details;   /* virtual, else mostly NULL */
} sgc_chunk_ref;

typedef struct sgc_array_manifest {
    sgc_node_id node;
    size_t dimension_count;
    size_t count;
    const uint32_t *coordinates; /* count x dimension_count, in lexicographic order */
    const sgc_chunk_ref *refs;   /* count */
    sgc_bytes extra;
} sgc_array_manifest;

/* Compressed locations are decoded, and encoded plain. */
typedef struct sgc_manifest_data {
    int spec_version; /* as in sgc_snapshot_data */
    sgc_object_id id;
    size_t array_count;
    const sgc_array_manifest *arrays; /* by node id */
    sgc_bytes extra;
} sgc_manifest_data;

typedef struct sgc_node_ids {
    size_t count;
    const sgc_node_id *ids; /* sorted */
} sgc_node_ids;

typedef struct sgc_updated_chunks {
    sgc_node_id node;
    size_t dimension_count;
    size_t count;
    const uint32_t *coordinates; /* count x dimension_count; in lexicographic order only when we
                                    wrote them (format guide 13) */
} sgc_updated_chunks;

typedef struct sgc_moved_node {
    const char *from, *to; /* paths */
    sgc_node_id id;
    bool is_array;
} sgc_moved_node;

typedef struct sgc_transaction_log {
    int spec_version; /* as in sgc_snapshot_data */
    sgc_object_id id;
    sgc_node_ids new_groups, new_arrays, deleted_groups, deleted_arrays;
    sgc_node_ids updated_arrays, updated_groups;
    size_t updated_chunk_count;
    const sgc_updated_chunks *updated_chunks; /* by node id */
    size_t moved_node_count;                  /* spec 2; with spec 1 SGC_INVALID */
    const sgc_moved_node *moved_nodes;
} sgc_transaction_log;

/* ---- the repo info (spec 2; format guide 5.5, 8) ---- */

/* A branch or tag. */
typedef struct sgc_named_snapshot {
    const char *name;
    uint32_t snapshot; /* index into sgc_repo_info_data.snapshots */
} sgc_named_snapshot;

typedef struct sgc_snapshot_entry {
    sgc_object_id id;
    int32_t parent;      /* index into sgc_repo_info_data.snapshots, -1: none */
    uint64_t flushed_at; /* microseconds since 1970 */
    const char *message;
    bool has_metadata;
    size_t metadata_count;
    const sgc_metadata_item *metadata; /* by name; values are FlexBuffers */
    size_t pruned_log_count;
    const sgc_object_id *pruned_logs; /* of ancestors that were expired, oldest first */
} sgc_snapshot_entry;

/* The tags of the union. */
typedef enum sgc_operation_kind {
    SGC_REPO_INITIALIZED = 1,
    SGC_REPO_MIGRATED,
    SGC_CONFIG_CHANGED,
    SGC_METADATA_CHANGED,
    SGC_TAG_CREATED,
    SGC_TAG_DELETED,
    SGC_BRANCH_CREATED,
    SGC_BRANCH_DELETED,
    SGC_BRANCH_RESET,
    SGC_NEW_COMMIT,
    SGC_COMMIT_AMENDED,
    SGC_NEW_DETACHED_SNAPSHOT,
    SGC_GC_RAN,
    SGC_EXPIRATION_RAN,
    SGC_FEATURE_FLAG_CHANGED,
    SGC_REPO_STATUS_CHANGED,
    SGC_LAST_OPERATION = SGC_REPO_STATUS_CHANGED,
} sgc_operation_kind;

typedef enum sgc_availability { SGC_ONLINE, SGC_READ_ONLY, SGC_OFFLINE } sgc_availability;

typedef struct sgc_repo_status {
    uint8_t availability; /* sgc_availability, or one of a later version */
    uint64_t set_at;      /* microseconds since 1970 */
    const char *reason;   /* NULL if absent */
} sgc_repo_status;

/* An entry of the operations log. Each kind uses some of the fields. */
typedef struct sgc_operation {
    sgc_operation_kind kind;
    uint64_t time;                    /* microseconds since 1970 */
    const char *backup;               /* file below overwritten/; NULL if absent */
    const char *name;                 /* of a tag or branch */
    sgc_object_id previous;           /* deleted, reset, amended: the snapshot before */
    sgc_object_id snapshot;           /* committed, amended, detached: the new snapshot */
    uint8_t from_version, to_version; /* migrated */
    uint16_t flag;                    /* feature flag */
    bool flag_value, flag_is_set;
    sgc_repo_status status; /* status changed */
} sgc_operation;

typedef struct sgc_repo_info_data {
    uint8_t spec_version; /* 2 */
    size_t tag_count, branch_count, deleted_tag_count, snapshot_count;
    const sgc_named_snapshot *tags, *branches; /* by name */
    const char *const *deleted_tags;           /* sorted */
    const sgc_snapshot_entry *snapshots;       /* by id */
    sgc_repo_status status;
    bool has_metadata;
    size_t metadata_count;
    const sgc_metadata_item *metadata; /* by name */
    size_t operation_count;
    const sgc_operation *operations; /* the newest first; at least one, but for unknown ones */
    const char *previous_file;       /* repo_before_updates; NULL if absent */
    sgc_bytes config;                /* FlexBuffers */
    bool has_enabled_flags, has_disabled_flags;
    size_t enabled_flag_count, disabled_flag_count;
    const uint16_t *enabled_flags, *disabled_flags;
    sgc_bytes extra;
    /* Of a later version of the format, anywhere in the file: what is decoded is not all. */
    bool has_unknown_fields;
} sgc_repo_info_data;

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
SGC_CHECKED sgc_status sgc_transaction_log_decode(const void *buffer, size_t size, sgc_arena *arena,
                                                  sgc_transaction_log *out, sgc_error *err);

/* SGC_UNSUPPORTED for data with has_unknown_fields, which would lose them. SGC_INVALID for data
 * that decoding would refuse, or whose newest operation has a backup or is not later than the one
 * before: the official library could not go on from there. */
SGC_CHECKED sgc_status sgc_repo_info_encode(const sgc_repo_info_data *info, sgc_buffer *out,
                                            sgc_error *err);
/* Checks the order of names, ids and flags, that indices exist, that no snapshot is its own
 * ancestor, and that there is a branch "main"; not the times of operations. An operation of an
 * unknown kind is an unknown field: it is left out. */
SGC_CHECKED sgc_status sgc_repo_info_decode(const void *buffer, size_t size, sgc_arena *arena,
                                            sgc_repo_info_data *out, sgc_error *err);

SGC_END_C

#endif
