/* Changes of a repository that must happen wholly or not at all, for the tests that break them in
 * the middle. */
#ifndef STORE_SCENARIOS_H
#define STORE_SCENARIOS_H

#include "store/store.h"

/* Where a repository is: `open` gives a new store over it each time. */
typedef struct scenario_place {
    sgc_object_store *(*open)(void *user);
    void *user;
} scenario_place;

typedef enum scenario_state { SCENARIO_BEFORE, SCENARIO_AFTER } scenario_state;

typedef struct store_scenario {
    const char *name;
    const sgc_repository_options *options;
    /* Makes what the change needs of a new repository; may be NULL. */
    void (*prepare)(sgc_repository *repository);
    /* The change; without assertions. NULL: it is the creation of the repository. */
    sgc_status (*act)(sgc_repository *repository, sgc_error *error);
    /* Says in which state `repository` is; asserts that it is in one of the two. */
    scenario_state (*look)(sgc_repository *repository);
    bool writes_nothing; /* it only removes */
} store_scenario;

/* For cmocka_run_group_tests(): all is read from the store. */
int forget_blocks(void **state);

extern const store_scenario store_scenarios[];
extern const size_t store_scenario_count;
/* One of them, after which there is something to read. */
extern const store_scenario *const store_scenario_tag;

/* What follows opens the place anew. */

void scenario_prepare(const store_scenario *scenario, const scenario_place *place);

/* Changes without assertions. */
sgc_status scenario_act(const store_scenario *scenario, const scenario_place *place,
                        sgc_error *error);

/* Asserts that the repository is in one of the two states and all that can be reached in it is
 * whole. */
scenario_state scenario_look(const store_scenario *scenario, const scenario_place *place);

/* As above, and asserts that life goes on: the change succeeds if it has not yet happened, and so
 * does another commit. */
scenario_state scenario_check(const store_scenario *scenario, const scenario_place *place);

/* Reads all that the snapshot holds, and asserts that it can be read. */
void scenario_read_snapshot(sgc_repository *repository, sgc_snapshot *snapshot);

/* Uses all that reads: refs, the history of "main" and its arrays. Without assertions; `digest`
 * tells results apart. */
sgc_status scenario_read_all(sgc_repository *repository, uint64_t *digest, sgc_error *error);

#endif
