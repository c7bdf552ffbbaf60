/* The sgc command: what GDAL's programs have no words for. */
#include <cpl_conv.h>
#include <gdal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gdal_sgc/cube.h"

#ifndef SGC_VERSION
#define SGC_VERSION "0"
#endif

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char usage[] = "usage: sgc log NAME      the commits of a cube, the newest first\n"
                            "       sgc --version\n"
                            "NAME is what GDAL programs take, like SGC:Demo or SGC:./cube\n";

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

static sgc_status print_log(const char *name, sgc_error *err)
{
    if (strncmp(name, SGC_PREFIX, strlen(SGC_PREFIX)) != 0)
        return sgc_fail(err, SGC_INVALID, "\"%s\" does not begin with %s", name, SGC_PREFIX);
    sgc_connection *connection;
    SGC_TRY(sgc_connection_parse(name, NULL, &connection, err));
    sgc_cube *cube;
    sgc_status status = sgc_cube_open(connection, &cube, err);
    sgc_connection_free(connection);
    SGC_TRY(status);
    status = sgc_cube_history(cube, print_commit, NULL, err);
    sgc_cube_unref(cube);
    return status;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("sgc %s, %s\n", SGC_VERSION, GDALVersionInfo("--version"));
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc != 3 || strcmp(argv[1], "log") != 0) {
        if (argc > 1 && strcmp(argv[1], "log") != 0)
            fprintf(stderr, "sgc: there is no command \"%s\"\n", argv[1]);
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    sgc_error error = {""};
    const sgc_status status = print_log(argv[2], &error);
    if (status != SGC_OK)
        fprintf(stderr, "sgc: %s\n", error.message);
    return status == SGC_OK ? 0 : EXIT_FAILED;
}
