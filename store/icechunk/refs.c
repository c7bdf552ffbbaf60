#include "store/icechunk/refs.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/zarr/json_text.h"

enum { KEY_SIZE = 320, LONGEST_NAME = 200, BODY_SIZE = 64 };

static const char *noun(sgc_ref_kind kind)
{
    return kind == SGC_REF_BRANCH ? "branch" : "tag";
}

/* Names we accept are those that every back end of the official library writes the same way. */
static sgc_status format_key(sgc_ref_kind kind, const char *name, char key[KEY_SIZE],
                             sgc_error *err)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._- !";
    const size_t length = strlen(name);
    if (length == 0 || length > LONGEST_NAME || strspn(name, allowed) != length ||
        strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return sgc_fail(err, SGC_INVALID,
                        "\"%.*s\" is not a name of a %s: use letters, digits, '.', '_' and '-'",
                        LONGEST_NAME, name, noun(kind));
    snprintf(key, KEY_SIZE, "refs/%s.%s/ref.json", noun(kind), name);
    return SGC_OK;
}

static void format_body(const sgc_object_id *snapshot, char body[BODY_SIZE])
{
    char text[SGC_OBJECT_ID_TEXT + 1];
    sgc_object_id_format(snapshot, text);
    snprintf(body, BODY_SIZE, "{\"snapshot\":\"%s\"}", text);
}

static sgc_status parse_body(const sgc_object *body, sgc_object_id *snapshot, sgc_error *err)
{
    cJSON *json = NULL;
    const sgc_span span = {(const char *)body->data, body->size};
    SGC_TRY(sgc_json_parse(span, &json, err));
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "snapshot"));
    const sgc_status status =
        text != NULL && sgc_object_id_parse(text, strlen(text), snapshot, NULL) == SGC_OK
            ? SGC_OK
            : sgc_fail(err, SGC_CORRUPT, "does not name a snapshot");
    cJSON_Delete(json);
    return status;
}

static sgc_status read_key(sgc_object_store *store, const char *key, sgc_object *body,
                           sgc_object_id *snapshot, sgc_error *err)
{
    SGC_TRY(store->get(store, key, 0, SGC_TO_END, body, err));
    const sgc_status status = parse_body(body, snapshot, err);
    if (status != SGC_OK) {
        sgc_object_clear(body);
        return sgc_fail_in(err, status, "%s/%s", store->name, key);
    }
    return SGC_OK;
}

static sgc_status check_not_deleted(sgc_object_store *store, const char *key, const char *name,
                                    sgc_error *err)
{
    char tombstone[KEY_SIZE + 16];
    snprintf(tombstone, sizeof tombstone, "%s.deleted", key);
    sgc_object object = {0};
    const sgc_status status = store->get(store, tombstone, 0, SGC_TO_END, &object, err);
    sgc_object_clear(&object);
    if (status == SGC_OK)
        return sgc_fail(err, SGC_NOT_FOUND, "tag \"%s\" was deleted", name);
    return status == SGC_NOT_FOUND ? SGC_OK : status;
}

sgc_status sgc_ref_read(sgc_object_store *store, sgc_ref_kind kind, const char *name,
                        sgc_object_id *snapshot, sgc_error *err)
{
    char key[KEY_SIZE];
    SGC_TRY(format_key(kind, name, key, err));
    sgc_object body = {0};
    sgc_object_id id;
    const sgc_status status = read_key(store, key, &body, &id, err);
    sgc_object_clear(&body);
    if (status == SGC_NOT_FOUND)
        return sgc_fail(err, status, "%s has no %s \"%s\"", store->name, noun(kind), name);
    if (status != SGC_OK)
        return status;
    if (kind == SGC_REF_TAG)
        SGC_TRY(check_not_deleted(store, key, name, err));
    *snapshot = id;
    return SGC_OK;
}

static sgc_status create(sgc_object_store *store, sgc_ref_kind kind, const char *name,
                         const sgc_object_id *snapshot, sgc_error *err)
{
    char key[KEY_SIZE], body[BODY_SIZE];
    SGC_TRY(format_key(kind, name, key, err));
    format_body(snapshot, body);
    const sgc_status status =
        store->put(store, key, body, strlen(body), SGC_PUT_IF_ABSENT, NULL, err);
    if (status == SGC_EXISTS)
        return sgc_fail(err, status, "%s has a %s \"%s\" already", store->name, noun(kind), name);
    return status;
}

sgc_status sgc_branch_create(sgc_object_store *store, const char *name,
                             const sgc_object_id *snapshot, sgc_error *err)
{
    return create(store, SGC_REF_BRANCH, name, snapshot, err);
}

sgc_status sgc_tag_create(sgc_object_store *store, const char *name, const sgc_object_id *snapshot,
                          sgc_error *err)
{
    return create(store, SGC_REF_TAG, name, snapshot, err);
}

sgc_status sgc_branch_move(sgc_object_store *store, const char *name, const sgc_object_id *from,
                           const sgc_object_id *to, sgc_error *err)
{
    char key[KEY_SIZE], body[BODY_SIZE];
    SGC_TRY(format_key(SGC_REF_BRANCH, name, key, err));
    sgc_object previous = {0};
    sgc_object_id tip;
    SGC_TRY(read_key(store, key, &previous, &tip, err));
    sgc_status status;
    if (sgc_object_id_compare(&tip, from) != 0) {
        status = sgc_fail(err, SGC_CONFLICT, "%s: branch \"%s\" was moved by somebody else",
                          store->name, name);
    } else {
        format_body(to, body);
        status = store->put(store, key, body, strlen(body), SGC_PUT_IF_UNCHANGED, &previous, err);
    }
    sgc_object_clear(&previous);
    return status;
}
