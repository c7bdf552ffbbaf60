/* What a user typed: the connection string, open options and configuration options, as one struct.
 */
#ifndef SGC_CONNECTION_H
#define SGC_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datasets/definition.h"
#include "store/memory.h"

#include "store/error.h"

SGC_BEGIN_C

#define SGC_PREFIX "SGC:"

typedef enum sgc_ref_choice {
    SGC_CHOOSE_BRANCH,
    SGC_CHOOSE_TAG,
    SGC_CHOOSE_SNAPSHOT,
    SGC_CHOOSE_AS_OF, /* what branch "main" was at a time */
} sgc_ref_choice;

typedef struct sgc_connection {
    char *place;        /* a directory (absolute), or "mem:" and a name */
    char *dataset;      /* id or path (absolute) of a definition file; NULL: what the cube says */
    bool create;        /* the place may be empty */
    bool hides_dataset; /* the place was named like a dataset, and is a directory */
    bool download;
    bool for_view; /* for maps on screen: a read loads little, and a decimated one shows what there
                      is */
    bool missing_is_nodata;
    bool view_misses_nodata; /* the same for decimated reads under for_view */
    uint64_t max_download;   /* bytes; of a handle, under for_view of a read */
    uint64_t timeout_ms;     /* that one read may spend loading; 0: as long as it takes */
    sgc_ref_choice ref_choice;
    char *ref;       /* name of the branch or tag, id of the snapshot, or the time */
    uint64_t as_of;  /* microseconds since 1970 */
    char **channels; /* NULL-terminated; NULL: the default */
    char *time;      /* the steps wanted; NULL: none in particular */
    unsigned num_threads;
    unsigned max_requests; /* 0: the definition's */
    int64_t chunk_size;    /* at creation; 0: the definition's */
    int compression_level; /* at creation */
    int spec_version;      /* of Icechunk, at creation: 1 or 2 */
    char *source_url;      /* NULL: the definition's */
    char *project;         /* that pays for requests; NULL: what credentials say */
    char **parameters;     /* NAME=VALUE: keys that are no option, for the definition */
    bool locking;
    char *name;   /* what names the cube: a dataset, or a path (absolute) of a place or a file */
    char *file;   /* that names it (descriptor.h), as it was given; NULL: none does */
    char **given; /* KEY=VALUE: what the string and the open options say but TIME and CHANNELS */
} sgc_connection;

/* Gives the connection in `name`, which begins with "SGC:" or is the path of a file that names a
 * cube (descriptor.h). `open_options` is a GDAL string list of
 * KEY=VALUE, or NULL. An open option wins over the string, the string over SGC_<KEY> in the
 * configuration. Free with sgc_connection_free(). */
SGC_CHECKED sgc_status sgc_connection_parse(const char *name, const char *const *open_options,
                                            sgc_connection **out, sgc_error *err);
void sgc_connection_free(sgc_connection *connection);

/* Gives the definition called `name` with the connection's parameters; see sgc_registry_find(). */
SGC_CHECKED sgc_status sgc_connection_find_definition(const sgc_connection *connection,
                                                      const char *name, sgc_definition **out,
                                                      sgc_error *err);

/* SGC_INVALID, listing what is known, when the connection has a key that is neither an option nor a
 * parameter of `definition` (NULL: it has none). */
SGC_CHECKED sgc_status sgc_connection_check_parameters(const sgc_connection *connection,
                                                       const sgc_definition *definition,
                                                       sgc_error *err);

/* How much of `text`, a connection string after "SGC:", names the cube, before any options. */
size_t sgc_connection_place_length(const char *text);

/* Appends the string that opens the same cube with these TIME and CHANNELS (NULL: without). */
SGC_CHECKED sgc_status sgc_connection_print(const sgc_connection *connection, const char *time,
                                            const char *channels, sgc_buffer *out, sgc_error *err);

/* Appends text so that it stands for itself in a connection string. */
SGC_CHECKED sgc_status sgc_connection_encode(const char *text, sgc_buffer *out, sgc_error *err);

/* Whether a text is one that CPLTestBool() understands. */
bool sgc_is_yes_or_no(const char *text);

/* Gives (free with free()) GDAL's description of the open options, as XML. */
char *sgc_connection_option_list(void);

SGC_END_C

#endif
