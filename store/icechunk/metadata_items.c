#include "store/icechunk/metadata_items.h"

#include <stdlib.h>

#include "store/icechunk/flex_buffers.h"
#include "store/icechunk/message_pack.h"
#include "store/zarr/json_text.h"

static int compare_items(const void *a, const void *b)
{
    return strcmp(((const sgc_metadata_item *)a)->name, ((const sgc_metadata_item *)b)->name);
}

static sgc_status encode_item(sgc_span key, sgc_span json, int spec_version, sgc_arena *arena,
                              sgc_metadata_item *item, sgc_error *err)
{
    sgc_buffer name = {0}, value = {0};
    sgc_status status = sgc_json_unquote(key, &name, err);
    if (status == SGC_OK)
        status = spec_version == 2 ? sgc_flex_buffers_encode(json, &value, err)
                                   : sgc_message_pack_encode(json, &value, err);
    if (status == SGC_OK) {
        *item = (sgc_metadata_item){sgc_arena_string(arena, (const char *)name.data, name.size),
                                    sgc_arena_copy(arena, value.data, value.size), value.size};
        if (item->name == NULL || item->value == NULL)
            status = sgc_fail_memory(err, name.size + value.size, "metadata");
        else if (strlen(item->name) != name.size)
            status = sgc_fail(err, SGC_CORRUPT, "a name contains a NUL");
    }
    sgc_buffer_free(&name);
    sgc_buffer_free(&value);
    return status;
}

static sgc_status encode_items(sgc_span object, int spec_version, sgc_arena *arena,
                               const sgc_metadata_item **out, size_t *out_count, sgc_error *err)
{
    size_t count, position = 0;
    SGC_TRY(sgc_json_whole(object, &object, err));
    if (sgc_json_kind_of(object) != SGC_JSON_OBJECT)
        return sgc_fail(err, SGC_CORRUPT, "not a JSON object");
    SGC_TRY(sgc_json_count(object, &count, err));
    sgc_metadata_item *items = sgc_arena_alloc(arena, count, sizeof *items);
    if (items == NULL)
        return sgc_fail_memory(err, count * sizeof *items, "metadata");
    for (size_t i = 0; i < count; i++) {
        sgc_span key, value;
        SGC_TRY(sgc_json_next_pair(object, &position, &key, &value, err));
        SGC_TRY(encode_item(key, value, spec_version, arena, &items[i], err));
    }
    if (count > 0)
        qsort(items, count, sizeof *items, compare_items);
    for (size_t i = 1; i < count; i++)
        if (strcmp(items[i - 1].name, items[i].name) == 0)
            return sgc_fail(err, SGC_CORRUPT, "\"%s\" comes twice", items[i].name);
    *out = items;
    *out_count = count;
    return SGC_OK;
}

sgc_status sgc_metadata_items_encode(const char *json, int spec_version, sgc_arena *arena,
                                     const sgc_metadata_item **items, size_t *count, sgc_error *err)
{
    if (json == NULL) {
        *items = NULL;
        *count = 0;
        return SGC_OK;
    }
    const sgc_status status =
        encode_items((sgc_span){json, strlen(json)}, spec_version, arena, items, count, err);
    return status == SGC_CORRUPT ? sgc_fail_in(err, SGC_INVALID, "metadata") : status;
}

sgc_status sgc_metadata_items_print(const sgc_metadata_item *items, size_t count, int spec_version,
                                    sgc_buffer *out, sgc_error *err)
{
    SGC_TRY(sgc_buffer_append(out, "{", 1, err));
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            SGC_TRY(sgc_buffer_append(out, ",", 1, err));
        SGC_TRY(sgc_json_quote(out, items[i].name, err));
        SGC_TRY(sgc_buffer_append(out, ":", 1, err));
        SGC_TRY(spec_version == 2
                    ? sgc_flex_buffers_print(items[i].value, items[i].value_size, out, err)
                    : sgc_message_pack_print(items[i].value, items[i].value_size, out, err));
    }
    return sgc_buffer_print(out, err, "}");
}
