/* What a dataset can be downloaded from, whatever kind of service that is.
 *
 * A source finds the patches that meet a rectangle, and reads windows of one patch as pixels on the
 * cube's grid. Sources are immutable after creation and used by many threads at once. */
#ifndef SGC_SOURCE_H
#define SGC_SOURCE_H

#include "datasets/cancel.h"
#include "datasets/definition.h"
#include "datasets/http.h"

#include "store/error.h"

SGC_BEGIN_C

/* One remote unit. */
typedef struct sgc_patch {
    char *id;
    sgc_rect rect; /* full-resolution pixels of the cube's grid; may reach outside it */
    size_t step;   /* of the time axis; 0 when the cube is static */
    size_t first_step, step_count; /* the steps that it is of; a count of 0: `step` alone */
    char **hrefs;   /* one per band; NULL where the patch has none. NULL for sources without files,
                       or when they are known only when it is read */
    double *nodata; /* one per band: what the service says the file's nodata value is, or NaN. NULL:
                       it says nothing */
    bool has_own_grid; /* its files have pixels of their own; `rect` is what they may cover */
    bool is_promised;  /* the service says where its files lie: none may reach beyond `rect` */
} sgc_patch;

typedef struct sgc_patch_list {
    sgc_patch *patches; /* in byte order of ids */
    size_t count;
    size_t band_count;
} sgc_patch_list;

void sgc_patch_clear(sgc_patch *patch, size_t band_count);
void sgc_patch_list_free(sgc_patch_list *list);

/* Adds a copy of the patch to the end. */
SGC_CHECKED sgc_status sgc_patch_list_add(sgc_patch_list *list, const sgc_patch *patch,
                                          sgc_error *err);

typedef struct sgc_source_options {
    const char *url;       /* another endpoint of the same service, or NULL */
    unsigned max_requests; /* 0: the definition's */
    const char *project;   /* that pays for requests to Earth Engine, or NULL */
} sgc_source_options;

/* What a read of one patch has cost. */
typedef struct sgc_fetch {
    uint64_t bytes; /* received */
    char etag[128]; /* of the file; empty when there is none */
    char href[256]; /* of the file, without secrets, where the patch does not tell; else empty */
} sgc_fetch;

typedef struct sgc_source sgc_source;

struct sgc_source {
    /* Gives the patches that meet `rect`, full-resolution pixels, at a time step (0 when the cube
     * is static), with their ids in order. */
    sgc_status (*find)(sgc_source *self, sgc_rect rect, size_t step, const sgc_cancel *cancel,
                       sgc_patch_list *out, sgc_error *err);
    /* The same for reading at factors other than 1, where patches may be larger and be called
     * otherwise; NULL: they are those of full resolution. */
    sgc_status (*find_level)(sgc_source *self, sgc_rect rect, size_t step, const sgc_cancel *cancel,
                             sgc_patch_list *out, sgc_error *err);
    /* As find(), but asks nobody: what an index that is kept on this computer tells, the places
     * roughly; NULL: nothing, unless finds_alone. */
    sgc_status (*find_known)(sgc_source *self, sgc_rect rect, size_t step, sgc_patch_list *out,
                             sgc_error *err);
    /* Reads the pixels of `rect`, which lies inside the patch at level `factor`, of `count` bands
     * (one, unless `reads_together`): of each, rect.width x rect.height items of its type, row by
     * row, and for each 1 where the source has a value, else 0; and says what it has cost.
     * SGC_NOT_FOUND: the patch has no such band, or is only supposed to be and is not. */
    sgc_status (*read)(sgc_source *self, const sgc_patch *patch, const size_t *bands, size_t count,
                       int64_t factor, sgc_rect rect, void *const *pixels, uint8_t *const *valid,
                       sgc_fetch *fetch, const sgc_cancel *cancel, sgc_error *err);
    void (*free)(sgc_source *self);
    bool has_levels;      /* factors other than 1 can be read */
    bool reads_together;  /* one request brings several bands */
    bool finds_alone;     /* find() asks nobody */
    bool stays_on_thread; /* find() and read() must be called by the thread that wants the pixels: a
                           * library below has a lock that this thread may hold already */
    unsigned max_requests; /* concurrent ones the service bears */
};

/* Gives a source of the kind that `json` (a definition's "source", or one of its "levels") says,
 * for `definition`; it borrows both. Connects to nothing. */
SGC_CHECKED sgc_status sgc_source_new(const sgc_definition *definition, const cJSON *json,
                                      const sgc_source_options *options, sgc_source **out,
                                      sgc_error *err);
void sgc_source_free(sgc_source *source);

/* Gives a client for the requests of a source as its "max_concurrency" and "retries" and GDAL's
 * options for retries say, and how many requests may run at a time. */
SGC_CHECKED sgc_status sgc_source_new_client(const cJSON *json, const sgc_source_options *options,
                                             unsigned default_requests, sgc_http **http,
                                             unsigned *max_requests, sgc_error *err);

/* What /vsicurl/ would fetch: the rest of a name that has it, maybe inside of an archive or of
 * quotes, or all of another. */
const char *sgc_source_address(const char *name);

/* Bytes that chunks being loaded, and what has been received for them, may take: SGC_LOAD_MEMORY of
 * the calling thread's configuration, in MiB. */
size_t sgc_load_memory(void);

/* A whole number of `json` that is at least `smallest`; else `otherwise`. */
int sgc_source_number(const cJSON *json, const char *key, int smallest, int otherwise);

/* The address of a file of the patch, or NULL; borrows. */
const char *sgc_patch_first_href(const sgc_patch *patch, size_t band_count);

/* Sorts the patches by id and drops those that are there twice. */
void sgc_patch_list_sort(sgc_patch_list *list);

/* The constructors of each kind; use sgc_source_new(). */
typedef sgc_status sgc_source_constructor(const sgc_definition *definition, const cJSON *json,
                                          const sgc_source_options *options, sgc_source **out,
                                          sgc_error *err);
sgc_source_constructor sgc_source_earthengine_new, sgc_source_gdal_new, sgc_source_stac_new,
    sgc_source_synthetic_new, sgc_source_tiles_new;

SGC_END_C

#endif
