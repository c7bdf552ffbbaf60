/* The persistent configuration of a repository (format guide 7.3, 8.1, 12): what of it concerns a
 * writer of chunks and manifests. The rest is for the library's own run-time, or, like the
 * storage.unsafe_* values, describes the machine it was born on. */
#ifndef SGC_CONFIG_H
#define SGC_CONFIG_H

#include "store/memory.h"

#include "store/error.h"

SGC_BEGIN_C

/* How the references of an array are divided into manifests: windows of so many chunks along the
 * dimensions of that name. Dimensions without a rule are not divided. */
typedef struct sgc_split_rule {
    const char *dimension;
    uint32_t chunks;
} sgc_split_rule;

/* Immutable; any number of threads may ask at a time. In place of a pointer to one, NULL stands for
 * the defaults. */
typedef struct sgc_config sgc_config;

/* Gives (free with sgc_config_free()) what the file config.yaml says, or the configuration in a
 * repository info. SGC_CORRUPT when that is no mapping; values of a wrong type are ignored. */
SGC_CHECKED sgc_status sgc_config_parse_yaml(const void *text, size_t size, sgc_config **out,
                                             sgc_error *err);
SGC_CHECKED sgc_status sgc_config_parse_flex(const void *bytes, size_t size, sgc_config **out,
                                             sgc_error *err);

/* Gives (free with sgc_config_free()) the configuration that our rules make; copies. Their names
 * have only letters, digits and '_'. */
SGC_CHECKED sgc_status sgc_config_new(const sgc_split_rule *rules, size_t count, sgc_config **out,
                                      sgc_error *err);
void sgc_config_free(sgc_config *config);

/* The first part that had to be ignored and why, or NULL; borrows. */
const char *sgc_config_warning(const sgc_config *config);

/* Encoded chunks of up to so many bytes are stored inside manifests. */
uint32_t sgc_config_inline_threshold(const sgc_config *config);
/* How many operations a repository info lists; at least 1. */
uint32_t sgc_config_updates_per_file(const sgc_config *config);

/* False also when all rules had to be ignored. */
bool sgc_config_has_split_rules(const sgc_config *config);
/* Gives the lengths in chunks of the windows of the array at `path`, for each dimension: UINT32_MAX
 * where no rule assigns one. A name may be NULL, and so may `dimension_names`. */
void sgc_config_split(const sgc_config *config, const char *path, size_t dimension_count,
                      const char *const *dimension_names, uint32_t *lengths);

/* Append the configuration that our rules make, as in sgc_config_new(). */
SGC_CHECKED sgc_status sgc_config_print_yaml(const sgc_split_rule *rules, size_t count,
                                             sgc_buffer *out, sgc_error *err);
SGC_CHECKED sgc_status sgc_config_print_flex(const sgc_split_rule *rules, size_t count,
                                             sgc_buffer *out, sgc_error *err);

SGC_END_C

#endif
