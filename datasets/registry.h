/* Where definitions are found: in the directories of SGC_DATASETS_PATH, in the one that is
 * installed with the driver, built in, or by file name. */
#ifndef SGC_REGISTRY_H
#define SGC_REGISTRY_H

#include "datasets/definition.h"

#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_builtin_definition {
    const char *id;
    const char *text;
} sgc_builtin_definition;

/* Ends with an entry whose id is NULL. */
extern const sgc_builtin_definition sgc_builtin_definitions[];

/* Whether `name` is the path of a definition file: it contains '/' or ends in ".json". */
bool sgc_registry_is_path(const char *name);

/* Gives the definition called `name`: a path, or an id in any case or an alias: of a file
 * <name>.json, else of one whose id that is. A definition <name>.json whose id is a template, like
 * "Name-{zone}", is also found by such an id. `parameters` is as in sgc_definition_parse().
 * SGC_NOT_FOUND names the nearest. */
SGC_CHECKED sgc_status sgc_registry_find(const char *name, char *const *parameters,
                                         sgc_definition **out, sgc_error *err);

/* A dataset that can be asked for by name. */
typedef struct sgc_known_dataset {
    char *name;
    char *title;  /* NULL when its definition has none, or cannot be read */
    char *path;   /* of its file; NULL: built in */
    char *defect; /* why its definition cannot be used; NULL: nothing is known against it */
} sgc_known_dataset;

/* Gives (free with sgc_registry_list_free()) the known datasets by name, without regard to case;
 * of those with the same name the one that sgc_registry_find() takes. */
SGC_CHECKED sgc_status sgc_registry_list(sgc_known_dataset **out, size_t *count, sgc_error *err);
void sgc_registry_list_free(sgc_known_dataset *list, size_t count);

SGC_END_C

#endif
