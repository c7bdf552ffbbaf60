/* What the tests of verification share: what it finds, and something to be found. */
#ifndef VERIFY_TESTING_H
#define VERIFY_TESTING_H

#include "autotest/unit/repository_testing.h"
#include "store/icechunk/maintenance.h"

typedef struct findings {
    sgc_buffer text; /* lines like "chunks/...: is missing" */
    sgc_verify_result result;
} findings;

/* Free with free_findings(). */
findings verify(place *p, bool decode_chunks);
findings verify_with(sgc_repository *repository, bool decode_chunks);
void free_findings(findings *f);

/* There is a defect of the object `key`; what is said of it has `part`. */
void assert_finding(const findings *f, const char *key, const char *part);
/* There is this defect and no other, whether chunks are decoded or not. */
void check_one(place *p, const char *key, const char *part);

/* The root, two commits of arrays with native, inline and compressed ("/z") chunks, one of a chunk;
 * branch "main" and tag "t". */
typedef struct scene {
    place *p;
    sgc_object_id root, first, second, tip;
} scene;
scene begin(void **state);

/* Of the tip: the one manifest of the array at `path`, the object of a chunk. */
sgc_object_id manifest_of(const scene *s, const char *path);
sgc_object_id chunk_of(const scene *s, const char *path, uint32_t y, uint32_t x);

/* Cuts an object short, or makes it longer. */
void resize_object(place *p, const char *key, int bytes);
void flip_byte(place *p, const char *key, size_t at);

/* ---- for rewrite_snapshot(): changes of the node at edited_path ---- */

extern const char *edited_path;
/* Give the node, or what the list says of its first manifest, to be changed. */
sgc_node *edit_node(sgc_snapshot_data *data, sgc_arena *arena);
sgc_manifest_file *edit_file(sgc_snapshot_data *data, sgc_arena *arena);
/* A reference more, an item more along the second dimension. */
void count_one_more(sgc_snapshot_data *data, sgc_arena *arena);
void lengthen(sgc_snapshot_data *data, sgc_arena *arena);

/* Changes the manifest of the array at edited_path; the snapshots `second` and `tip`, which share
 * it, are told its new size. */
void change_manifest(const scene *s, const sgc_object_id *id,
                     void (*change)(sgc_manifest_data *data, sgc_array_manifest *array,
                                    sgc_arena *arena));

#endif
