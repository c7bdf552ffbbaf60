/* What the tests of the store share. Failures are those of the running cmocka test. */
#ifndef STORE_TESTING_H
#define STORE_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/store.h"

/* The last failure; for the main thread only. */
extern sgc_error err;

/* How many times something is tried, where sanitizers make it slow. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TIMES(plain, sanitized) (sanitized)
#else
#define TIMES(plain, sanitized) (plain)
#endif

#define assert_status(expected, call) check_status(expected, call, #call, __FILE__, __LINE__)
#define assert_ok(call) assert_status(SGC_OK, call)
/* The message of the last failure must have `part`. */
#define assert_message(part) check_message(part, __FILE__, __LINE__)

void check_status(sgc_status expected, sgc_status actual, const char *call, const char *file,
                  int line);
void check_message(const char *part, const char *file, int line);

/* Say what is being tried, and that it went well; the third, a teardown, tells what a test failed
 * at. */
void note_trial(const char *format, ...) SGC_PRINTF(1, 2);
void forget_trial(void);
int say_trial(void **state);

/* Gives a new directory below $TMPDIR; remove it, with all that is in it, with
 * temporary_directory_free(). */
char *temporary_directory_new(void);
void temporary_directory_free(char *path);

/* The same for each test, as its set-up and tear-down. */
extern char *test_directory;
int make_test_directory(void **state);
int remove_test_directory(void **state);

/* The number of objects under `prefix`. */
size_t count_objects(sgc_object_store *store, const char *prefix);
/* The number of files that a local store has left behind. */
size_t count_staging_files(sgc_object_store *store);

/* Reproducible numbers below `limit`; *state is the seed. */
uint32_t random_below(uint64_t *state, uint32_t limit);

/* Gives (free with sgc_buffer_free()) the zarr.json of an array. */
sgc_buffer array_json(const sgc_array_metadata *metadata, const char *fill_value);

/* Puts the array, below the root group, which it puts too. */
void put_array(sgc_session *session, const char *path, const sgc_array_metadata *metadata,
               const char *fill_value);

sgc_repository *new_repository(void);
sgc_session *new_session(sgc_repository *repository);

/* Commits and frees the session. */
void commit(sgc_session *session);

/* Gives (release with sgc_snapshot_unref()) the tip of branch "main". */
sgc_snapshot *load_tip(sgc_repository *repository);

/* The number of commits from the tip of branch "main" to the root, and with it. */
size_t count_commits(sgc_repository *repository);

/* An sgc_merge whose answer is always SGC_OURS; adds 1 to the size_t `user`, where there is one. */
sgc_status take_ours(void *user, const sgc_conflict *conflict, sgc_merged *merged,
                     sgc_error *error);

/* The byte of an inline chunk of the array "/a"; 0 where there is no chunk. */
unsigned char read_cell(sgc_repository *repository, const sgc_snapshot *snapshot, uint32_t y,
                        uint32_t x);

/* Checks that the repository has no defect. */
void check_sound(sgc_repository *repository);

#endif
