/* What the tests of repositories share: places for them, what lies there, small arrays, and
 * histories made by hand. */
#ifndef REPOSITORY_TESTING_H
#define REPOSITORY_TESTING_H

#include <stdbool.h>

#include "autotest/unit/hook_store.h"
#include "autotest/unit/store_testing.h"
#include "store/icechunk/repo_info.h"

/* ---- places ---- */

typedef struct place {
    int version;             /* of the repository to be made */
    char *directory;         /* NULL: in memory */
    sgc_object_store *store; /* all of the place */
} place;

/* Which place a test gets; its *state is a new one. */
typedef struct place_kind {
    int version;
    bool is_directory;
} place_kind;
extern place_kind place_kinds[4];
int place_set_up(void **state);
int place_tear_down(void **state);

#define PLACE_TEST(test, text, kind)                                        \
    {                                                                       \
#test text, test, place_set_up, place_tear_down, &place_kinds[kind] \
    }
/* The test in repositories of both versions: in memory, in a directory, in both. */
#define IN_MEMORY(test) PLACE_TEST(test, " [1]", 0), PLACE_TEST(test, " [2]", 1)
#define IN_DIRECTORY(test) PLACE_TEST(test, " [1, dir]", 2), PLACE_TEST(test, " [2, dir]", 3)
#define EVERYWHERE(test) IN_MEMORY(test), IN_DIRECTORY(test)
/* The test in one version alone. */
#define IN_VERSION(version, test) PLACE_TEST(test, "", (version)-1)
#define IN_DIRECTORY_OF_VERSION(version, test) PLACE_TEST(test, "", (version) + 1)

/* Give a new repository, or that of the place, on a handle of its own. */
sgc_repository *place_create(place *p);
sgc_repository *place_open(place *p);
/* As above, with a hook. */
sgc_repository *place_open_hooked(place *p, store_hook hook, void *user);

/* Makes a place in a directory of the golden repository `name`, copied. */
void place_copy_golden(place *p, const char *name);
void place_clear(place *p);

/* Objects of the place, which must be there. */
sgc_object place_get(place *p, const char *key);
void place_put(place *p, const char *key, const void *data, size_t size);
void place_remove(place *p, const char *key);
bool place_has(place *p, const char *key);

/* Checks that its repository has no defect. */
void check_clean(place *p);

/* The key of an object, like "snapshots/<id>"; valid until the next call but three. */
const char *key_of(const char *folder, const sgc_object_id *id);

/* ---- all objects of a place ---- */

typedef struct stored_file {
    char *key;
    sgc_object object;
} stored_file;

typedef struct contents {
    stored_file *files; /* by key */
    size_t count, capacity;
} contents;

/* Free with contents_free(). */
contents contents_take(place *p);
void contents_free(contents *c);
/* NULL: there is none. */
const sgc_object *contents_find(const contents *c, const char *key);
/* Assert that the objects under `prefix` are the same, bytes and all; that those in `before` are
 * also in `after`. */
void assert_same_contents(const contents *before, const contents *after, const char *prefix);
void assert_kept_contents(const contents *before, const contents *after, const char *prefix);
/* Checks that all objects of the place are still what they were, and frees `before`. */
void check_unchanged(place *p, contents *before);

/* ---- repositories with something in them ---- */

/* Commits "/", the group "/g" and three arrays of bytes, filled with 0: "/inline" (4 chunks of one
 * byte), "/g/native" (2 x 3 chunks of 30 x 20) and "/scalar". Gives the commit. */
sgc_object_id commit_arrays(sgc_repository *repository);

/* Sets all bytes of one chunk; 0 removes it. */
void set_value(sgc_session *session, const char *path, uint32_t y, uint32_t x, unsigned char value);

/* Commits the chunk {y, x} (fewer coordinates where the array has fewer dimensions) to `branch`. */
sgc_object_id commit_value(sgc_repository *repository, const char *branch, const char *path,
                           uint32_t y, uint32_t x, unsigned char value);

sgc_object_id tip_of(sgc_repository *repository, const char *branch);

/* Give (free with free()) a text that says what can be read: of one snapshot, or of all branches
 * and tags. Equal texts mean equal trees and values. */
char *describe_snapshot(sgc_repository *repository, const sgc_object_id *id);
char *describe_refs(sgc_repository *repository);

/* Gives (free with free()) the messages from `from` to the root, like "c b root". */
char *describe_history(sgc_repository *repository, const sgc_object_id *from);

/* Load and store the repo info of a place. */
sgc_repo_info load_info(place *p);
void put_info(place *p, const sgc_repo_info_data *data);

/* Loads and stores the file of a snapshot, changed by `change` between. */
void rewrite_snapshot(place *p, const sgc_object_id *id,
                      void (*change)(sgc_snapshot_data *data, sgc_arena *arena));

/* ---- histories by hand: snapshots without nodes ---- */

typedef struct made_commit {
    const char *message;
    int parent;           /* index, -1: none */
    uint64_t time;        /* microseconds */
    const char *metadata; /* JSON object, or NULL */
} made_commit;

typedef struct made_ref {
    sgc_ref_kind kind;
    const char *name;
    size_t commit;
} made_ref;

/* Writes a repository with these commits and references, by kind and name. */
void make_history(place *p, const made_commit *commits, size_t count, const made_ref *refs,
                  size_t ref_count);
/* The id of commit number `i`; not in the order of the numbers. */
sgc_object_id made_id(size_t i);

#endif
