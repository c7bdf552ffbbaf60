#include "gdal_sgc/loaded_set.h"

#include <stdlib.h>
#include <string.h>

#include "gdal_sgc/root_attributes.h"

struct sgc_loaded_set {
    size_t count;
    sgc_span ids[]; /* JSON strings, sorted */
};

static int compare_spans(const void *a, const void *b)
{
    const sgc_span *l = a, *r = b;
    const int order = memcmp(l->text, r->text, l->size < r->size ? l->size : r->size);
    return order != 0 ? order : (l->size > r->size) - (l->size < r->size);
}

static sgc_status collect_ids(sgc_span list, sgc_loaded_set *set, sgc_error *err)
{
    size_t position = 0;
    for (size_t i = 0; i < set->count; i++)
        SGC_TRY(sgc_json_next(list, &position, &set->ids[i], err));
    qsort(set->ids, set->count, sizeof *set->ids, compare_spans);
    return SGC_OK;
}

sgc_status sgc_loaded_set_new(const sgc_node *root, sgc_loaded_set **out, sgc_error *err)
{
    sgc_span list = {NULL, 0};
    size_t count = 0;
    const sgc_status found = sgc_root_find_loaded(root, &list, err);
    if (found != SGC_OK && found != SGC_NOT_FOUND)
        return found;
    if (found == SGC_OK)
        SGC_TRY(sgc_json_count(list, &count, err));
    sgc_loaded_set *set = calloc(1, sizeof *set + count * sizeof *set->ids);
    if (set == NULL)
        return sgc_fail_memory(err, count * sizeof *set->ids, "the loaded patches");
    set->count = count;
    const sgc_status status = collect_ids(list, set, err);
    if (status != SGC_OK) {
        free(set);
        return status;
    }
    *out = set;
    return SGC_OK;
}

void sgc_loaded_set_free(sgc_loaded_set *set)
{
    free(set);
}

size_t sgc_loaded_set_count(const sgc_loaded_set *set)
{
    return set->count;
}

bool sgc_loaded_set_is_empty(const sgc_loaded_set *set)
{
    return set->count == 0;
}

sgc_status sgc_loaded_set_id(const sgc_loaded_set *set, size_t index, sgc_buffer *out,
                             sgc_error *err)
{
    return sgc_json_unquote(set->ids[index], out, err);
}

sgc_status sgc_loaded_set_find(const sgc_loaded_set *set, const char *id, bool *found,
                               sgc_error *err)
{
    sgc_buffer quoted = {0};
    SGC_TRY(sgc_json_quote(&quoted, id, err));
    const sgc_span key = {(const char *)quoted.data, quoted.size};
    *found = bsearch(&key, set->ids, set->count, sizeof key, compare_spans) != NULL;
    sgc_buffer_free(&quoted);
    return SGC_OK;
}
