/* The sgc command: what GDAL's programs have no words for. */
#include <cpl_conv.h>
#include <gdal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "datasets/registry.h"
#include "gdal_sgc/cube.h"
#include "gdal_sgc/descriptor.h"
#include "gdal_sgc/time_text.h"
#include "store/clock.h"
#include "store/icechunk/maintenance.h"

#ifndef SGC_VERSION
#define SGC_VERSION "0"
#endif

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char usage[] =
    "usage: sgc log NAME                          the commits of a cube, the newest first\n"
    "       sgc verify NAME [--chunks]            look for damage; with --chunks, decode all data\n"
    "       sgc expire NAME --older-than=WHEN     forget old commits; what is in the cube stays\n"
    "       sgc gc NAME --older-than=WHEN         remove what no branch and no tag needs, if it "
    "is\n"
    "                                             so old: no load may have begun before WHEN\n"
    "       sgc copy NAME PLACE                   copy the newest state to an empty directory\n"
    "       sgc tag NAME TAG                      give the newest state a name, for ever\n"
    "       sgc recheck NAME                      ask again, at the next read, for what was not\n"
    "                                             there when it was loaded\n"
    "       sgc datasets                          what can be asked for by name\n"
    "       sgc --version\n"
    "NAME is what GDAL programs take, like SGC:Demo, SGC:./cube or cube.sgc; WHEN is a time like\n"
    "2026-03-01 or an age like 30d, 12h or 10m. With --dry-run, expire and gc only count. gc "
    "refuses\n"
    "a WHEN of the last ten minutes without --force. Exit status: 0, 1 after a failure or with "
    "damage\n"
    "found, 2 for wrong usage.\n";

/* What the command line says. */
typedef struct arguments {
    const char *values[3]; /* command, NAME, PLACE or TAG */
    int count;
    const char *older_than;
    bool chunks, dry_run, force;
} arguments;

typedef struct context {
    const arguments *arguments;
    sgc_connection *connection;
    sgc_repository *repository;
} context;

/* ---- log ---- */

static sgc_status print_commit(void *user, const sgc_commit_info *commit, bool *more,
                               sgc_error *err)
{
    (void)user;
    (void)more;
    (void)err;
    char id[SGC_OBJECT_ID_TEXT + 1], when[32];
    const time_t seconds = (time_t)(commit->time / 1000000);
    struct tm utc;
    sgc_object_id_format(&commit->id, id);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &utc));
    printf("%s  %s  %s\n", id, when, commit->message);
    return SGC_OK;
}

static sgc_status print_log(context *c, sgc_error *err)
{
    sgc_object_id id;
    SGC_TRY(sgc_connection_resolve(c->connection, c->repository, &id, err));
    return sgc_repository_history(c->repository, &id, print_commit, NULL, err);
}

/* ---- maintenance ---- */

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

static void print_defect(void *user, const char *key, const char *message)
{
    (void)user;
    printf("%s: %s\n", key, message);
}

static sgc_status verify(context *c, sgc_error *err)
{
    const sgc_verify_options options = {.decode_chunks = c->arguments->chunks, .fn = print_defect};
    sgc_verify_result result;
    SGC_TRY(sgc_repository_verify(c->repository, &options, &result, err));
    printf("%zu snapshot%s, %zu manifest%s, %zu chunk%s: ", result.snapshots,
           plural(result.snapshots), result.manifests, plural(result.manifests), result.chunks,
           plural(result.chunks));
    if (result.defects == 0) {
        printf("no defects\n");
        return SGC_OK;
    }
    printf("%zu defect%s\n", result.defects, plural(result.defects));
    return sgc_fail(err, SGC_CORRUPT, "%s is damaged", c->connection->place);
}

/* What the commits of this driver say about what they loaded (committer.c). */
static const char *const provenance[] = {"sgc_patches", "sgc_patch_count", "sgc_bytes"};

static sgc_status expire(context *c, sgc_error *err)
{
    sgc_expire_options options = {.inherited = provenance,
                                  .inherited_count = sizeof provenance / sizeof *provenance,
                                  .dry_run = c->arguments->dry_run};
    sgc_expire_result result;
    SGC_TRY(sgc_age_parse(c->arguments->older_than, &options.older_than, err));
    SGC_TRY(sgc_repository_expire(c->repository, &options, &result, err));
    printf("%s %zu snapshot%s\n", options.dry_run ? "would forget" : "forgot", result.snapshots,
           plural(result.snapshots));
    return SGC_OK;
}

/* What a running load has written and not committed yet is young. */
static sgc_status check_age(const arguments *a, uint64_t older_than, sgc_error *err)
{
    static const uint64_t ten_minutes = 600 * UINT64_C(1000000);
    return a->force || a->dry_run || older_than + ten_minutes <= sgc_clock_now()
               ? SGC_OK
               : sgc_fail(err, SGC_INVALID,
                          "--older-than=%s would destroy what a load writes now; if none runs, add "
                          "--force",
                          a->older_than);
}

static sgc_status collect(context *c, sgc_error *err)
{
    sgc_garbage_options options = {.dry_run = c->arguments->dry_run};
    sgc_garbage_result result;
    SGC_TRY(sgc_age_parse(c->arguments->older_than, &options.older_than, err));
    SGC_TRY(check_age(c->arguments, options.older_than, err));
    SGC_TRY(sgc_repository_collect_garbage(c->repository, &options, &result, err));
    printf("%s %zu snapshot%s, %zu transaction log%s, %zu manifest%s, %zu chunk%s and %zu other "
           "file%s: %.1f MB\n",
           options.dry_run ? "would remove" : "removed", result.snapshots, plural(result.snapshots),
           result.transaction_logs, plural(result.transaction_logs), result.manifests,
           plural(result.manifests), result.chunks, plural(result.chunks), result.leftovers,
           plural(result.leftovers), (double)result.bytes / 1e6);
    return SGC_OK;
}

static sgc_status copy(context *c, sgc_error *err)
{
    const char *place = c->arguments->values[2];
    if (strncmp(place, SGC_PREFIX, strlen(SGC_PREFIX)) == 0)
        place += strlen(SGC_PREFIX);
    if (strstr(place, "://") != NULL)
        return sgc_fail(err, SGC_UNSUPPORTED, "%s: copies go to directories only", place);
    sgc_object_id id;
    sgc_object_store *to;
    sgc_copy_result result;
    SGC_TRY(sgc_connection_resolve(c->connection, c->repository, &id, err));
    SGC_TRY(sgc_object_store_local_new(place, NULL, &to, err));
    const sgc_status status =
        sgc_repository_copy(c->repository, &id, to, c->connection->num_threads, &result, err);
    sgc_object_store_free(to);
    if (status == SGC_OK)
        printf("copied %zu object%s, %.1f MB, to %s\n", result.objects, plural(result.objects),
               (double)result.bytes / 1e6, place);
    return status;
}

static sgc_status tag(context *c, sgc_error *err)
{
    sgc_object_id id;
    SGC_TRY(sgc_connection_resolve(c->connection, c->repository, &id, err));
    return sgc_repository_create_ref(c->repository, SGC_REF_TAG, c->arguments->values[2], &id, err);
}

static sgc_status recheck(context *c, sgc_error *err)
{
    size_t count;
    if (c->connection->ref_choice != SGC_CHOOSE_BRANCH)
        return sgc_fail(err, SGC_INVALID, "only a branch can be changed");
    SGC_TRY(sgc_repository_recheck(c->repository, c->connection->ref, &count, err));
    printf("%zu chunk%s will be asked for again\n", count, plural(count));
    return SGC_OK;
}

/* ---- datasets ---- */

static sgc_status list_datasets(context *c, sgc_error *err)
{
    (void)c;
    sgc_known_dataset *list;
    size_t count;
    SGC_TRY(sgc_registry_list(&list, &count, err));
    for (size_t i = 0; i < count; i++)
        if (list[i].defect != NULL)
            printf("%-22s  cannot be used: %s\n", list[i].name, list[i].defect);
        else
            printf("%-22s  %s\n", list[i].name, list[i].title != NULL ? list[i].title : "");
    sgc_registry_list_free(list, count);
    return SGC_OK;
}

/* ---- commands ---- */

static const struct command {
    const char *name;
    sgc_status (*run)(context *c, sgc_error *err);
    int values; /* with the command itself */
    bool takes_older_than, takes_chunks;
} commands[] = {
    {"log", print_log, 2, false, false},   {"verify", verify, 2, false, true},
    {"expire", expire, 2, true, false},    {"gc", collect, 2, true, false},
    {"copy", copy, 3, false, false},       {"tag", tag, 3, false, false},
    {"recheck", recheck, 2, false, false}, {"datasets", list_datasets, 1, false, false},
};

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    fprintf(stderr, "sgc: there is no command \"%s\"\n", name);
    return NULL;
}

/* False when an argument is none that any command knows. */
static bool parse_arguments(int argc, char **argv, arguments *a)
{
    static const char older_than[] = "--older-than=";
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], older_than, strlen(older_than)) == 0)
            a->older_than = argv[i] + strlen(older_than);
        else if (strcmp(argv[i], "--older-than") == 0 && i + 1 < argc)
            a->older_than = argv[++i];
        else if (strcmp(argv[i], "--chunks") == 0)
            a->chunks = true;
        else if (strcmp(argv[i], "--dry-run") == 0)
            a->dry_run = true;
        else if (strcmp(argv[i], "--force") == 0)
            a->force = true;
        else if (argv[i][0] == '-') {
            fprintf(stderr, "sgc: there is no option \"%s\"\n", argv[i]);
            return false;
        } else if (a->count == 3)
            return false;
        else
            a->values[a->count++] = argv[i];
    }
    return a->count > 0;
}

static bool fits(const struct command *command, const arguments *a)
{
    return a->count == command->values && (a->older_than != NULL) == command->takes_older_than &&
           (!a->dry_run || command->takes_older_than) && (!a->force || command->run == collect) &&
           (!a->chunks || command->takes_chunks);
}

static sgc_status run(const struct command *command, const arguments *a, sgc_error *err)
{
    const char *name = a->values[1];
    context c = {.arguments = a};
    if (command->values == 1)
        return command->run(&c, err);
    if (strncmp(name, SGC_PREFIX, strlen(SGC_PREFIX)) != 0 && !sgc_descriptor_is_named(name))
        return sgc_fail(err, SGC_INVALID, "\"%s\" does not begin with \"%s\": write it %s%s", name,
                        SGC_PREFIX, SGC_PREFIX, name);
    SGC_TRY(sgc_connection_parse(name, NULL, &c.connection, err));
    sgc_status status = sgc_connection_open_repository(c.connection, &c.repository, err);
    if (status == SGC_OK)
        status = command->run(&c, err);
    sgc_repository_free(c.repository);
    sgc_connection_free(c.connection);
    return status;
}

int main(int argc, char **argv)
{
    arguments a = {0};
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("sgc %s, %s\n", SGC_VERSION, GDALVersionInfo("--version"));
        return 0;
    }
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    const bool parsed = parse_arguments(argc, argv, &a);
    const struct command *command = parsed ? find_command(a.values[0]) : NULL;
    if (command != NULL && command->takes_older_than && a.older_than == NULL)
        fprintf(stderr, "sgc: %s needs --older-than=WHEN, like --older-than=30d\n", command->name);
    if (command == NULL || !fits(command, &a)) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    sgc_error error = {""};
    const sgc_status status = run(command, &a, &error);
    if (status != SGC_OK)
        fprintf(stderr, "sgc: %s\n", error.message);
    return status == SGC_OK ? 0 : EXIT_FAILED;
}
