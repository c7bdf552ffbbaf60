/* Repositories written by the official library, and what a correct reader finds in them. They are
 * in $SGC_SHARED/icechunk-repos (default: ../shared beside the sources); without them tests are
 * skipped. */
#ifndef GOLDEN_H
#define GOLDEN_H

#include <cJSON.h>

#include "store/icechunk/object_id.h"

/* For cmocka_run_group_tests(). */
int golden_set_up(void **state);
int golden_tear_down(void **state);

/* EXPECTED.json; skips the test when there is none. */
const cJSON *golden_expected(void);
/* The directory that has the repositories. */
const char *golden_directory(void);

/* The names of the repositories; those from GOLDEN_EXPIRED on have been expired. */
enum { GOLDEN_EXPIRED = 5, GOLDEN_COUNT = 9 };
extern const char *const golden_names[GOLDEN_COUNT];

const cJSON *member(const cJSON *object, const char *name);

/* Compare with the texts that EXPECTED.json has. */
void assert_id(const sgc_object_id *id, const char *text);
void assert_node_id(const sgc_node_id *id, const char *text);

#endif
