/* Shared by the files that are the STAC source. */
#ifndef SGC_STAC_PRIVATE_H
#define SGC_STAC_PRIVATE_H

#include <stdatomic.h>

#include "datasets/memo.h"
#include "datasets/remote_file.h"
#include "datasets/source.h"
#include "datasets/stac_items.h"
#include "datasets/stac_sign.h"
#include "datasets/template.h"

enum { SGC_STAC_KEPT_S = 300 }; /* how long an answer is believed */

typedef struct sgc_stac_source {
    sgc_source base;
    const sgc_definition *definition;
    char *search;        /* URL, or NULL */
    sgc_template *items; /* URL of the document of an item, or NULL */
    const char *collection;
    const cJSON *query;
    int limit;
    bool prefer_s3;
    sgc_source *lattice; /* supposes tiles, or NULL */
    cJSON *lattice_json; /* its definition */
    char *index;         /* URL, or NULL */
    const char *index_member, *id_column;
    sgc_http *http;
    sgc_remote_files *files;
    sgc_signer *signer;  /* NULL: addresses are good as they are */
    sgc_memo *searches;  /* sgc_patch_list by rectangle and step */
    sgc_memo *documents; /* sgc_stac_item by id */
    sgc_memo *indexes;   /* sgc_stac_index, one */
    sgc_memo *kept;      /* likewise, as it was last time */
    atomic_bool asked_for_collection;
} sgc_stac_source;

/* What the service has said about an id. */
typedef struct sgc_stac_item {
    bool exists;
    sgc_patch patch;
    sgc_stac_times times;
    size_t band_count;
} sgc_stac_item;

/* For memos: the value is an sgc_stac_item, an sgc_patch_list. */
void sgc_stac_item_free(void *item);
void sgc_stac_list_free(void *list);

/* An sgc_memo_make of an sgc_stac_item: asks the service for the document of the item `key`. */
SGC_CHECKED sgc_status sgc_stac_fetch_item(void *source, const char *key, const sgc_cancel *cancel,
                                           void **item, double *seconds, sgc_error *err);

/* Puts the documents of so many items into the memo `documents`, by one search. */
SGC_CHECKED sgc_status sgc_stac_fetch_ids(sgc_stac_source *source, char **ids, int count,
                                          const sgc_cancel *cancel, sgc_error *err);

/* The methods of the source. */
SGC_CHECKED sgc_status sgc_stac_find(sgc_source *self, sgc_rect rect, size_t step,
                                     const sgc_cancel *cancel, sgc_patch_list *out, sgc_error *err);
SGC_CHECKED sgc_status sgc_stac_find_known(sgc_source *self, sgc_rect rect, size_t step,
                                           sgc_patch_list *out, sgc_error *err);

#endif
