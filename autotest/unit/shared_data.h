/* The project's shared data: in $SGC_SHARED (default: ../shared beside the sources). */
#ifndef SHARED_DATA_H
#define SHARED_DATA_H

#include <cjson/cJSON.h>

/* The path of a file or directory there; valid until the next call. */
const char *shared_path(const char *name);

/* Gives the document there; where it is absent, the running test says so and is skipped. */
cJSON *shared_json(const char *name);

#endif
