#include "store/icechunk/refs.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/zarr/json_text.h"

enum { KEY_SIZE = 640, LONGEST_NAME = 200, BODY_SIZE = 64 };

#define PLAIN_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

const char *sgc_ref_noun(sgc_ref_kind kind)
{
    return kind == SGC_REF_BRANCH ? "branch" : "tag";
}

static bool is_name(const char *name)
{
    const size_t length = strlen(name);
    return length > 0 && length <= LONGEST_NAME && strchr(name, '/') == NULL &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

sgc_status sgc_ref_check_name(sgc_ref_kind kind, const char *name, sgc_error *err)
{
    if (is_name(name) && strspn(name, PLAIN_LETTERS) == strlen(name))
        return SGC_OK;
    return sgc_fail(
        err, SGC_INVALID,
        "\"%.*s\" is not a name for a %s: use up to %d letters, digits, '.', '_' and '-'",
        LONGEST_NAME, name, sgc_ref_noun(kind), LONGEST_NAME);
}

/* What the official library writes as it is in file names; the rest is percent-encoded. */
static bool is_literal(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && strchr("\\{^}%`]\">[~<#|*?", c) == NULL;
}

/* The key of any name that a listing may have shown. */
static sgc_status format_key(sgc_ref_kind kind, const char *name, char key[KEY_SIZE],
                             sgc_error *err)
{
    if (!is_name(name))
        return sgc_fail(err, SGC_INVALID, "\"%.*s\" is not the name of a %s", LONGEST_NAME, name,
                        sgc_ref_noun(kind));
    int n = snprintf(key, KEY_SIZE, "refs/%s.", sgc_ref_noun(kind));
    for (; *name != '\0'; name++) {
        const unsigned char c = (unsigned char)*name;
        n += snprintf(key + n, (size_t)(KEY_SIZE - n), is_literal(c) ? "%c" : "%%%02X", c);
    }
    return snprintf(key + n, (size_t)(KEY_SIZE - n), "/ref.json") < KEY_SIZE - n
               ? SGC_OK
               : sgc_fail(err, SGC_INVALID, "a name of a %s that is too long", sgc_ref_noun(kind));
}

static void format_tombstone(const char *key, char tombstone[KEY_SIZE + 16])
{
    snprintf(tombstone, KEY_SIZE + 16, "%s.deleted", key);
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
    format_tombstone(key, tombstone);
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
        return sgc_fail(err, status, "%s has no %s \"%s\"", store->name, sgc_ref_noun(kind), name);
    SGC_TRY(status);
    if (kind == SGC_REF_TAG)
        SGC_TRY(check_not_deleted(store, key, name, err));
    *snapshot = id;
    return SGC_OK;
}

/* ---- listing ---- */

static int hexadecimal(char c)
{
    static const char digits[] = "0123456789ABCDEF";
    const char *at = c != '\0' ? strchr(digits, c >= 'a' && c <= 'f' ? c - 'a' + 'A' : c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

static void decode_name(const char *text, size_t length, char *name)
{
    for (size_t i = 0; i < length; i++) {
        const int high = text[i] == '%' && i + 2 < length ? hexadecimal(text[i + 1]) : -1;
        const int low = high >= 0 ? hexadecimal(text[i + 2]) : -1;
        *name = text[i];
        if (low >= 0) {
            *name = (char)(high << 4 | low);
            i += 2;
        }
        name++;
    }
    *name = '\0';
}

/* Two passes over the keys, since they come in any order: tombstones are collected first. */
typedef struct listing {
    const char *prefix;
    bool tombstones;
    sgc_buffer deleted; /* names, each with its NUL */
    sgc_ref_name_fn fn;
    void *user;
} listing;

static bool is_deleted(const listing *l, const char *name)
{
    for (size_t at = 0; at < l->deleted.size; at += strlen((char *)l->deleted.data + at) + 1)
        if (strcmp((char *)l->deleted.data + at, name) == 0)
            return true;
    return false;
}

static sgc_status list_key(void *user, const char *key, const sgc_object_info *info, sgc_error *err)
{
    (void)info;
    listing *l = user;
    const size_t prefix = strlen(l->prefix), length = strcspn(key + prefix, "/");
    const char *file = key + prefix + length;
    char name[KEY_SIZE];
    if (strncmp(key, l->prefix, prefix) != 0 || length == 0 || length >= sizeof name ||
        strcmp(file, l->tombstones ? "/ref.json.deleted" : "/ref.json") != 0)
        return SGC_OK;
    decode_name(key + prefix, length, name);
    if (l->tombstones)
        return sgc_buffer_append(&l->deleted, name, strlen(name) + 1, err);
    return l->fn(l->user, name, is_deleted(l, name), err);
}

sgc_status sgc_ref_list(sgc_object_store *store, sgc_ref_kind kind, sgc_ref_name_fn fn, void *user,
                        sgc_error *err)
{
    listing l = {
        .prefix = kind == SGC_REF_BRANCH ? "refs/branch." : "refs/tag.", .fn = fn, .user = user};
    l.tombstones = kind == SGC_REF_TAG;
    sgc_status status = l.tombstones ? store->list(store, "refs/", list_key, &l, err) : SGC_OK;
    l.tombstones = false;
    if (status == SGC_OK)
        status = store->list(store, "refs/", list_key, &l, err);
    sgc_buffer_free(&l.deleted);
    return status;
}

/* ---- changes ---- */

sgc_status sgc_ref_create(sgc_object_store *store, sgc_ref_kind kind, const char *name,
                          const sgc_object_id *snapshot, sgc_error *err)
{
    char key[KEY_SIZE], body[BODY_SIZE];
    SGC_TRY(sgc_ref_check_name(kind, name, err));
    SGC_TRY(format_key(kind, name, key, err));
    format_body(snapshot, body);
    const sgc_status status =
        store->put(store, key, body, strlen(body), SGC_PUT_IF_ABSENT, NULL, err);
    if (status == SGC_EXISTS)
        return sgc_fail(err, status, "%s has a %s \"%s\" already", store->name, sgc_ref_noun(kind),
                        name);
    return status;
}

static sgc_status bury_tag(sgc_object_store *store, const char *key, const char *name,
                           sgc_error *err)
{
    char tombstone[KEY_SIZE + 16];
    format_tombstone(key, tombstone);
    const sgc_status status = store->put(store, tombstone, "", 0, SGC_PUT_IF_ABSENT, NULL, err);
    return status == SGC_EXISTS ? sgc_fail(err, SGC_NOT_FOUND, "tag \"%s\" was deleted", name)
                                : status;
}

sgc_status sgc_ref_delete(sgc_object_store *store, sgc_ref_kind kind, const char *name,
                          sgc_error *err)
{
    char key[KEY_SIZE];
    sgc_object_id snapshot;
    SGC_TRY(format_key(kind, name, key, err));
    SGC_TRY(sgc_ref_read(store, kind, name, &snapshot, err));
    return kind == SGC_REF_TAG ? bury_tag(store, key, name, err)
                               : sgc_object_store_remove(store, key, err);
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
