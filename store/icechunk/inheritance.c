#include "store/icechunk/inheritance.h"

#include <stdlib.h>

#include "store/icechunk/metadata_items.h"
#include "store/zarr/json_number.h"
#include "store/zarr/json_text.h"

sgc_status sgc_inheritance_init(sgc_inheritance *inheritance, const char *const *names,
                                size_t count, sgc_error *err)
{
    *inheritance = (sgc_inheritance){
        .names = names,
        .count = count,
        .lists = calloc(count + 1, sizeof *inheritance->lists),
        .sums = calloc(count + 1, sizeof *inheritance->sums),
    };
    return inheritance->lists != NULL && inheritance->sums != NULL
               ? SGC_OK
               : sgc_fail_memory(err, count, "metadata");
}

void sgc_inheritance_free(sgc_inheritance *inheritance)
{
    for (size_t i = 0; inheritance->lists != NULL && i < inheritance->count; i++)
        sgc_buffer_free(&inheritance->lists[i]);
    free(inheritance->lists);
    free(inheritance->sums);
    *inheritance = (sgc_inheritance){0};
}

static sgc_status add_list(sgc_buffer *list, sgc_span value, sgc_error *err)
{
    sgc_span element;
    size_t position = 0;
    for (;;) {
        const sgc_status status = sgc_json_next(value, &position, &element, err);
        if (status == SGC_NOT_FOUND)
            return SGC_OK;
        SGC_TRY(status);
        if (list->size > 0)
            SGC_TRY(sgc_buffer_append(list, ",", 1, err));
        SGC_TRY(sgc_buffer_append(list, element.text, element.size, err));
    }
}

/* A sum of integers is one as long as it can be. */
static sgc_status add_number(sgc_sum *sum, sgc_span value, sgc_error *err)
{
    sgc_number number;
    double real;
    SGC_TRY(sgc_json_number_parse(value, &number, err));
    SGC_TRY(sgc_parse_double(value, &real, err));
    const bool overflows =
        number.kind == SGC_NUMBER_UNSIGNED
            ? __builtin_add_overflow(sum->integer, number.value.positive, &sum->integer)
        : number.kind == SGC_NUMBER_NEGATIVE
            ? __builtin_add_overflow(sum->integer, number.value.negative, &sum->integer)
            : true;
    sum->real += real;
    sum->is_real = sum->is_real || overflows;
    sum->exists = true;
    return SGC_OK;
}

static sgc_status print_sum(sgc_buffer *out, const sgc_sum *sum, sgc_error *err)
{
    return sum->is_real ? sgc_json_print_double(out, sum->real, err)
                        : sgc_buffer_print(out, err, "%lld", (long long)sum->integer);
}

static sgc_status add_member(sgc_inheritance *in, size_t i, sgc_span members, sgc_error *err)
{
    sgc_span value;
    const sgc_status status = sgc_json_find(members, in->names[i], &value, err);
    if (status != SGC_OK)
        return status == SGC_NOT_FOUND ? SGC_OK : status;
    const sgc_json_kind kind = sgc_json_kind_of(value);
    if (kind == SGC_JSON_ARRAY)
        return add_list(&in->lists[i], value, err);
    return kind == SGC_JSON_NUMBER ? add_number(&in->sums[i], value, err) : SGC_OK;
}

sgc_status sgc_inheritance_add(sgc_inheritance *inheritance, const sgc_metadata_item *items,
                               size_t count, int spec_version, sgc_error *err)
{
    sgc_buffer json = {0};
    sgc_status status = sgc_metadata_items_print(items, count, spec_version, &json, err);
    for (size_t i = 0; status == SGC_OK && i < inheritance->count; i++)
        status = add_member(inheritance, i, (sgc_span){(const char *)json.data, json.size}, err);
    sgc_buffer_free(&json);
    return status;
}

/* The JSON object of all that was taken over. */
static sgc_status print_heritage(const sgc_inheritance *in, sgc_buffer *out, sgc_error *err)
{
    const char *comma = "";
    SGC_TRY(sgc_buffer_append(out, "{", 1, err));
    for (size_t i = 0; i < in->count; i++) {
        if (in->lists[i].size == 0 && !in->sums[i].exists)
            continue;
        SGC_TRY(sgc_buffer_print(out, err, "%s", comma));
        SGC_TRY(sgc_json_quote(out, in->names[i], err));
        SGC_TRY(sgc_buffer_append(out, ":", 1, err));
        if (in->lists[i].size > 0) {
            SGC_TRY(sgc_buffer_append(out, "[", 1, err));
            SGC_TRY(sgc_buffer_append(out, in->lists[i].data, in->lists[i].size, err));
            SGC_TRY(sgc_buffer_append(out, "]", 1, err));
        } else {
            SGC_TRY(print_sum(out, &in->sums[i], err));
        }
        comma = ",";
    }
    return sgc_buffer_print(out, err, "}");
}

static const sgc_metadata_item *find_item(const sgc_metadata_item *items, size_t count,
                                          const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(items[i].name, name) == 0)
            return &items[i];
    return NULL;
}

static int compare_items(const void *a, const void *b)
{
    return strcmp(((const sgc_metadata_item *)a)->name, ((const sgc_metadata_item *)b)->name);
}

/* What stays of `items`, and all of `heritage`; by name. */
static sgc_status join(const sgc_metadata_item *items, size_t count,
                       const sgc_metadata_item *heritage, size_t heritage_count, sgc_arena *arena,
                       const sgc_metadata_item **out, size_t *out_count, sgc_error *err)
{
    sgc_metadata_item *list = sgc_arena_alloc(arena, count + heritage_count, sizeof *list);
    if (list == NULL)
        return sgc_fail_memory(err, count, "metadata");
    size_t n = 0;
    for (size_t i = 0; i < heritage_count; i++)
        list[n++] = heritage[i];
    for (size_t i = 0; i < count; i++)
        if (find_item(heritage, heritage_count, items[i].name) == NULL)
            list[n++] = items[i];
    if (n > 0)
        qsort(list, n, sizeof *list, compare_items);
    *out = list;
    *out_count = n;
    return SGC_OK;
}

sgc_status sgc_inheritance_apply(const sgc_inheritance *inheritance, const sgc_metadata_item *items,
                                 size_t count, int spec_version, sgc_arena *arena,
                                 const sgc_metadata_item **out, size_t *out_count, sgc_error *err)
{
    sgc_buffer json = {0};
    const sgc_metadata_item *heritage = NULL;
    size_t heritage_count = 0;
    sgc_status status = print_heritage(inheritance, &json, err);
    if (status == SGC_OK)
        status = sgc_metadata_items_encode((const char *)json.data, spec_version, arena, &heritage,
                                           &heritage_count, err);
    if (status == SGC_OK)
        status = join(items, count, heritage, heritage_count, arena, out, out_count, err);
    sgc_buffer_free(&json);
    return status;
}
