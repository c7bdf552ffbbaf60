/* Where definitions are found: built in, in the directories of SGC_DATASETS_PATH, or by file name.
 */
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

/* Gives the definition called `name`: a path when it contains '/' or ends in ".json", else an id in
 * any case. Files in SGC_DATASETS_PATH come before what is built in. SGC_NOT_FOUND names the
 * nearest. */
SGC_CHECKED sgc_status sgc_registry_find(const char *name, sgc_definition **out, sgc_error *err);

SGC_END_C

#endif
