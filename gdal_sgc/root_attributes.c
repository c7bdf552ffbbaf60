#include "gdal_sgc/root_attributes.h"

#include <cjson/cJSON.h>
#include <string.h>

/* The root attribute that is ours. */
static cJSON *own_attribute(const sgc_definition *definition)
{
    cJSON *ours = cJSON_CreateObject();
    cJSON_AddNumberToObject(ours, "version", 1);
    cJSON_AddRawToObject(ours, "definition", definition->text);
    if (definition->license != NULL)
        cJSON_AddStringToObject(ours, "license", definition->license);
    if (definition->attribution != NULL)
        cJSON_AddStringToObject(ours, "attribution", definition->attribution);
    return ours;
}

char *sgc_root_attributes_new(const sgc_definition *definition)
{
    cJSON *attributes = cJSON_CreateObject();
    cJSON_AddStringToObject(attributes, "title", definition->id);
    cJSON_AddArrayToObject(attributes, "loaded_patches");
    cJSON_AddItemToObject(attributes, "sgc", own_attribute(definition));
    char *text = cJSON_PrintUnformatted(attributes);
    cJSON_Delete(attributes);
    return text;
}

static sgc_status find_attribute(const sgc_node *root, const char *key, sgc_span *document,
                                 sgc_span *attributes, sgc_span *value, sgc_error *err)
{
    *document = (sgc_span){(const char *)root->user_data, root->user_data_size};
    SGC_TRY(sgc_json_find(*document, "attributes", attributes, err));
    return sgc_json_find(*attributes, key, value, err);
}

sgc_status sgc_root_find_definition(const sgc_node *root, sgc_span *definition, sgc_error *err)
{
    sgc_span document, attributes, ours;
    SGC_TRY(find_attribute(root, "sgc", &document, &attributes, &ours, err));
    return sgc_json_find(ours, "definition", definition, err);
}

/* Appends the document with an attribute replaced or added. */
static sgc_status replace_attribute(sgc_span document, const char *key, sgc_span value,
                                    sgc_buffer *out, sgc_error *err)
{
    sgc_span attributes;
    sgc_buffer inner = {0};
    SGC_TRY(sgc_json_find(document, "attributes", &attributes, err));
    sgc_status status = sgc_json_replace(attributes, key, value, &inner, err);
    if (status == SGC_OK)
        status = sgc_json_replace(document, "attributes",
                                  (sgc_span){(const char *)inner.data, inner.size}, out, err);
    sgc_buffer_free(&inner);
    return status;
}

/* Begins the list where there is none. */
static sgc_status put_list(sgc_span document, sgc_span ids, sgc_buffer *out, sgc_error *err)
{
    sgc_buffer list = {0};
    sgc_status status = sgc_buffer_print(&list, err, "[%.*s]", (int)ids.size, ids.text);
    if (status == SGC_OK)
        status = replace_attribute(document, "loaded_patches",
                                   (sgc_span){(const char *)list.data, list.size}, out, err);
    sgc_buffer_free(&list);
    return status;
}

/* The list may be long: it is copied once, and not looked through. */
sgc_status sgc_root_add_loaded(const sgc_node *root, sgc_span ids, sgc_buffer *out, sgc_error *err)
{
    sgc_span document, attributes, list;
    const sgc_status found =
        find_attribute(root, "loaded_patches", &document, &attributes, &list, err);
    if (found == SGC_NOT_FOUND)
        return put_list(document, ids, out, err);
    SGC_TRY(found);
    const char *end = list.text + list.size - 1; /* the "]" */
    if (*end != ']')
        return sgc_fail(err, SGC_CORRUPT, "loaded_patches is no list");
    while (strchr(" \t\r\n", end[-1]) != NULL)
        end--;
    SGC_TRY(sgc_buffer_reserve(out, document.size + ids.size + 2, err));
    SGC_TRY(sgc_buffer_append(out, document.text, (size_t)(end - document.text), err));
    if (end[-1] != '[')
        SGC_TRY(sgc_buffer_append(out, ", ", 2, err));
    SGC_TRY(sgc_buffer_append(out, ids.text, ids.size, err));
    return sgc_buffer_append(out, end, (size_t)(document.text + document.size - end), err);
}

sgc_status sgc_root_is_loaded(const sgc_node *root, const char *id, bool *loaded, sgc_error *err)
{
    sgc_span document, attributes, list;
    const sgc_status found =
        find_attribute(root, "loaded_patches", &document, &attributes, &list, err);
    *loaded = false;
    if (found != SGC_OK)
        return found == SGC_NOT_FOUND ? SGC_OK : found;
    sgc_buffer quoted = {0};
    SGC_TRY(sgc_json_quote(&quoted, id, err));
    *loaded = memmem(list.text, list.size, quoted.data, quoted.size) != NULL;
    sgc_buffer_free(&quoted);
    return SGC_OK;
}

sgc_status sgc_root_find_loaded(const sgc_node *root, sgc_span *list, sgc_error *err)
{
    sgc_span document, attributes;
    SGC_TRY(find_attribute(root, "loaded_patches", &document, &attributes, list, err));
    return sgc_json_kind_of(*list) == SGC_JSON_ARRAY
               ? SGC_OK
               : sgc_fail(err, SGC_CORRUPT, "loaded_patches is no list");
}

sgc_status sgc_root_put_definition(sgc_session *session, const sgc_definition *definition,
                                   sgc_error *err)
{
    sgc_node root;
    SGC_TRY(sgc_session_get_node(session, "/", &root, err));
    cJSON *ours = own_attribute(definition);
    char *text = cJSON_PrintUnformatted(ours);
    cJSON_Delete(ours);
    if (text == NULL)
        return sgc_fail_memory(err, 0, "attributes");
    sgc_buffer document = {0};
    sgc_status status =
        replace_attribute((sgc_span){(const char *)root.user_data, root.user_data_size}, "sgc",
                          (sgc_span){text, strlen(text)}, &document, err);
    if (status == SGC_OK)
        status = sgc_session_put_group(session, "/", document.data, document.size, err);
    sgc_buffer_free(&document);
    cJSON_free(text);
    return status;
}

/* Appends what our attribute is when the definition in it has the sources of levels `mine`. */
static sgc_status replace_levels(sgc_span ours, sgc_span mine, sgc_buffer *out, sgc_error *err)
{
    sgc_span kept;
    sgc_buffer inner = {0};
    SGC_TRY(sgc_json_find(ours, "definition", &kept, err));
    sgc_status status = sgc_json_replace(kept, "levels", mine, &inner, err);
    if (status == SGC_OK)
        status = sgc_json_replace(ours, "definition",
                                  (sgc_span){(const char *)inner.data, inner.size}, out, err);
    sgc_buffer_free(&inner);
    return status;
}

sgc_status sgc_root_put_levels(sgc_session *session, const sgc_definition *definition,
                               sgc_error *err)
{
    sgc_node root;
    sgc_span mine, document, attributes, ours;
    sgc_buffer attribute = {0}, out = {0};
    if (definition->level_count == 0)
        return SGC_OK;
    SGC_TRY(sgc_json_find((sgc_span){definition->text, strlen(definition->text)}, "levels", &mine,
                          err));
    SGC_TRY(sgc_session_get_node(session, "/", &root, err));
    SGC_TRY(find_attribute(&root, "sgc", &document, &attributes, &ours, err));
    sgc_status status = replace_levels(ours, mine, &attribute, err);
    if (status == SGC_OK)
        status = replace_attribute(
            document, "sgc", (sgc_span){(const char *)attribute.data, attribute.size}, &out, err);
    if (status == SGC_OK &&
        (out.size != document.size || memcmp(out.data, document.text, out.size) != 0))
        status = sgc_session_put_group(session, "/", out.data, out.size, err);
    sgc_buffer_free(&attribute);
    sgc_buffer_free(&out);
    return status;
}
