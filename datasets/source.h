/* What a dataset can be downloaded from, whatever kind of service that is.
 *
 * A source finds the patches that meet a rectangle, and reads windows of one patch as pixels on the
 * cube's grid. Sources are immutable after creation and used by many threads at once. */
#ifndef SGC_SOURCE_H
#define SGC_SOURCE_H

#include "datasets/cancel.h"
#include "datasets/definition.h"

#include "store/error.h"

SGC_BEGIN_C

/* One remote unit. */
typedef struct sgc_patch {
    char *id;
    sgc_rect rect; /* full-resolution pixels of the cube's grid; may reach outside it */
    char **hrefs;  /* one per band; NULL where the patch has none. NULL for sources without files */
} sgc_patch;

typedef struct sgc_patch_list {
    sgc_patch *patches; /* in byte order of ids */
    size_t count;
    size_t band_count;
} sgc_patch_list;

void sgc_patch_list_free(sgc_patch_list *list);

typedef struct sgc_source_options {
    const char *url;       /* another endpoint of the same service, or NULL */
    unsigned max_requests; /* 0: the definition's */
} sgc_source_options;

/* What a read of one patch has cost. */
typedef struct sgc_fetch {
    uint64_t bytes; /* received */
    char etag[128]; /* of the file; empty when there is none */
} sgc_fetch;

typedef struct sgc_source sgc_source;

struct sgc_source {
    /* Gives the patches that meet `rect`, full-resolution pixels, with their ids in order. */
    sgc_status (*find)(sgc_source *self, sgc_rect rect, const sgc_cancel *cancel,
                       sgc_patch_list *out, sgc_error *err);
    /* Reads the pixels of `rect`, which lies inside the patch at level `factor`, of one band:
     * rect.width x rect.height items of the band's type, row by row, and for each 1 where the
     * source has a value, else 0; and says what it has cost. SGC_NOT_FOUND: the patch has no such
     * band. */
    sgc_status (*read)(sgc_source *self, const sgc_patch *patch, size_t band, int64_t factor,
                       sgc_rect rect, void *pixels, uint8_t *valid, sgc_fetch *fetch,
                       const sgc_cancel *cancel, sgc_error *err);
    void (*free)(sgc_source *self);
    bool has_levels;       /* factors other than 1 can be read */
    unsigned max_requests; /* concurrent ones the service bears */
};

/* Gives a source for `definition`, which it borrows; connects to nothing. */
SGC_CHECKED sgc_status sgc_source_new(const sgc_definition *definition,
                                      const sgc_source_options *options, sgc_source **out,
                                      sgc_error *err);
void sgc_source_free(sgc_source *source);

/* The constructors of each kind; use sgc_source_new(). */
SGC_CHECKED sgc_status sgc_source_stac_new(const sgc_definition *definition,
                                           const sgc_source_options *options, sgc_source **out,
                                           sgc_error *err);
SGC_CHECKED sgc_status sgc_source_synthetic_new(const sgc_definition *definition, sgc_source **out,
                                                sgc_error *err);

/* The keys of "source" that each kind allows besides "kind", NULL-terminated. */
extern const char *const sgc_source_stac_keys[];
extern const char *const sgc_source_synthetic_keys[];

SGC_END_C

#endif
