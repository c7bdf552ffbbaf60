/* What the tests of rebasing share. All tests begin with a repository that has the group "/g", an
 * array "/a" of inline chunks and one "/n" of chunk objects. */
#ifndef REBASE_TESTING_H
#define REBASE_TESTING_H

#include "autotest/unit/store_model.h"
#include "autotest/unit/store_testing.h"

extern sgc_object_store *memory; /* the repository's store counts what it does to it */
extern sgc_repository *repository;
extern model before; /* what is in it */

/* Makes another one, which is empty; its manifests are of 2 x 2 chunks. */
void create_repository(int version);

extern int rebase_versions[2];
int rebase_set_up(void **state);
int rebase_tear_down(void **state);

#define VERSION_2(test)                                                                  \
    {                                                                                    \
#test " (version 2)", test, rebase_set_up, rebase_tear_down, rebase_versions + 1 \
    }
/* The test in repositories of both versions. */
#define BOTH(test) \
    {#test " (version 1)", test, rebase_set_up, rebase_tear_down, rebase_versions}, VERSION_2(test)

/* The tip of branch "main". */
sgc_snapshot *tip(void);
sgc_object_id tip_id(void);
void check_tip(model *expected);
void assert_same_id(const sgc_object_id *a, const sgc_object_id *b);

/* Another writer's commit. */
void commit_changes(const model_change *changes, size_t count);
void commit_change(model_change change);

void do_change(sgc_session *session, model_change change);
void apply_change(model *m, model_change change);
#define CHANGE(kind, ...) ((model_change)kind(__VA_ARGS__))

/* Commits to what others have committed meanwhile. */
sgc_status commit_merged(sgc_session *session, const sgc_merge *merge, sgc_object_id *id);

#endif
