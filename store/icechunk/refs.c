#include "store/icechunk/refs.h"

#include <stdio.h>
#include <stdlib.h>

#include "store/zarr/json_tree.h"

enum {
    KEY_SIZE = 1100, /* S3 allows 1024 bytes */
    LONGEST_NAME = 200,
    BODY_SIZE = 64,
};

#define PLAIN_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

const char *sgc_ref_noun(sgc_ref_kind kind)
{
    return kind == SGC_REF_BRANCH ? "branch" : "tag";
}

sgc_status sgc_ref_check_name(sgc_ref_kind kind, const char *name, sgc_error *err)
{
    const size_t length = strlen(name);
    if (length > 0 && length <= LONGEST_NAME && strspn(name, PLAIN_LETTERS) == length &&
        strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
        return SGC_OK;
    return sgc_fail(
        err, SGC_INVALID,
        "\"%.*s\" is not a name for a %s: use up to %d letters, digits, '.', '_' and '-'",
        LONGEST_NAME, name, sgc_ref_noun(kind), LONGEST_NAME);
}

/* ---- keys ---- */

/* What the official library writes as it is in file names; the rest is percent-encoded. On S3 it
 * encodes nothing. */
static bool is_literal(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && strchr("\\{^}%`]\">[~<#|*?", c) == NULL;
}

/* False for what cannot be in a key. */
static bool format_key(sgc_ref_kind kind, const char *name, bool encode, char key[KEY_SIZE])
{
    static const char end[] = "/ref.json";
    if (name[0] == '\0' || strchr(name, '/') != NULL)
        return false;
    size_t n = (size_t)snprintf(key, KEY_SIZE, "refs/%s.", sgc_ref_noun(kind));
    for (; *name != '\0'; name++) {
        const unsigned char c = (unsigned char)*name;
        if (n + 3 + sizeof end > KEY_SIZE)
            return false;
        n += (size_t)snprintf(key + n, 4, !encode || is_literal(c) ? "%c" : "%%%02X", c);
    }
    memcpy(key + n, end, sizeof end);
    return true;
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

/* ---- reading ---- */

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

/* A branch or tag as it is stored, dead tags among them. */
typedef struct stored_ref {
    char key[KEY_SIZE];
    sgc_object body;
    sgc_object_id snapshot;
} stored_ref;

static sgc_status read_key(sgc_object_store *store, stored_ref *ref, sgc_error *err)
{
    SGC_TRY(store->get(store, ref->key, 0, SGC_TO_END, &ref->body, err));
    const sgc_status status = parse_body(&ref->body, &ref->snapshot, err);
    if (status != SGC_OK) {
        sgc_object_clear(&ref->body);
        return sgc_fail_in(err, status, "%s/%s", store->name, ref->key);
    }
    return SGC_OK;
}

/* Reads it, whichever way its name is written; the body is the caller's. */
static sgc_status find(sgc_object_store *store, sgc_ref_kind kind, const char *name,
                       stored_ref *ref, sgc_error *err)
{
    sgc_status status = SGC_NOT_FOUND;
    if (format_key(kind, name, true, ref->key))
        status = read_key(store, ref, err);
    if (status == SGC_NOT_FOUND && strspn(name, PLAIN_LETTERS) < strlen(name) &&
        format_key(kind, name, false, ref->key))
        status = read_key(store, ref, err);
    return status == SGC_NOT_FOUND ? sgc_fail(err, status, "%s has no %s \"%.*s\"", store->name,
                                              sgc_ref_noun(kind), LONGEST_NAME, name)
                                   : status;
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
        return sgc_fail(err, SGC_NOT_FOUND, "%s: tag \"%s\" was deleted", store->name, name);
    return status == SGC_NOT_FOUND ? SGC_OK : status;
}

sgc_status sgc_ref_read(sgc_object_store *store, sgc_ref_kind kind, const char *name,
                        sgc_object_id *snapshot, sgc_error *err)
{
    stored_ref ref = {0};
    SGC_TRY(find(store, kind, name, &ref, err));
    sgc_object_clear(&ref.body);
    if (kind == SGC_REF_TAG)
        SGC_TRY(check_not_deleted(store, ref.key, name, err));
    *snapshot = ref.snapshot;
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
    for (size_t i = 0; i < length; i++, name++) {
        const int high = text[i] == '%' && i + 2 < length ? hexadecimal(text[i + 1]) : -1;
        const int low = high >= 0 ? hexadecimal(text[i + 2]) : -1;
        *name = text[i];
        if (low >= 0) {
            *name = (char)(high << 4 | low);
            i += 2;
        }
    }
    *name = '\0';
}

/* The name in the key of a reference: decoded, if it was written by the book, else as it is. Either
 * way it can be read under it. */
static void name_of(sgc_ref_kind kind, const char *key, size_t at, size_t length, char *name)
{
    char again[KEY_SIZE];
    decode_name(key + at, length, name);
    if (format_key(kind, name, true, again) && strncmp(again, key, at + length + 1) == 0)
        return;
    memcpy(name, key + at, length);
    name[length] = '\0';
}

/* Two passes over the keys, since they come in any order: tombstones are collected first. */
typedef struct listing {
    sgc_ref_kind kind;
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
    const size_t prefix = strlen(l->prefix);
    char name[KEY_SIZE];
    if (strncmp(key, l->prefix, prefix) != 0)
        return SGC_OK;
    const size_t length = strcspn(key + prefix, "/");
    if (length == 0 || length >= sizeof name ||
        strcmp(key + prefix + length, l->tombstones ? "/ref.json.deleted" : "/ref.json") != 0)
        return SGC_OK;
    name_of(l->kind, key, prefix, length, name);
    if (l->tombstones)
        return sgc_buffer_append(&l->deleted, name, strlen(name) + 1, err);
    return l->fn(l->user, name, is_deleted(l, name), err);
}

sgc_status sgc_ref_list(sgc_object_store *store, sgc_ref_kind kind, sgc_ref_name_fn fn, void *user,
                        sgc_error *err)
{
    listing l = {.kind = kind,
                 .prefix = kind == SGC_REF_BRANCH ? "refs/branch." : "refs/tag.",
                 .fn = fn,
                 .user = user};
    l.tombstones = kind == SGC_REF_TAG;
    sgc_status status = l.tombstones ? store->list(store, "refs/", list_key, &l, err) : SGC_OK;
    l.tombstones = false;
    if (status == SGC_OK)
        status = store->list(store, "refs/", list_key, &l, err);
    sgc_buffer_free(&l.deleted);
    return status;
}

/* ---- changes ---- */

static sgc_status fail_exists(const sgc_object_store *store, sgc_ref_kind kind, const char *name,
                              sgc_error *err)
{
    return sgc_fail(err, SGC_EXISTS, "%s has, or had, a %s \"%s\" already", store->name,
                    sgc_ref_noun(kind), name);
}

sgc_status sgc_ref_create(sgc_object_store *store, sgc_ref_kind kind, const char *name,
                          const sgc_object_id *snapshot, sgc_error *err)
{
    char key[KEY_SIZE], body[BODY_SIZE];
    SGC_TRY(sgc_ref_check_name(kind, name, err));
    format_key(kind, name, true, key);
    format_body(snapshot, body);
    sgc_status status = kind == SGC_REF_TAG ? check_not_deleted(store, key, name, err) : SGC_OK;
    if (status == SGC_OK)
        status = store->put(store, key, body, strlen(body), SGC_PUT_IF_ABSENT, NULL, err);
    return status == SGC_EXISTS || status == SGC_NOT_FOUND ? fail_exists(store, kind, name, err)
                                                           : status;
}

static sgc_status bury_tag(sgc_object_store *store, const char *key, const char *name,
                           sgc_error *err)
{
    char tombstone[KEY_SIZE + 16];
    format_tombstone(key, tombstone);
    const sgc_status status = store->put(store, tombstone, "", 0, SGC_PUT_IF_ABSENT, NULL, err);
    return status == SGC_EXISTS
               ? sgc_fail(err, SGC_NOT_FOUND, "%s: tag \"%s\" was deleted", store->name, name)
               : status;
}

sgc_status sgc_ref_delete(sgc_object_store *store, sgc_ref_kind kind, const char *name,
                          sgc_error *err)
{
    stored_ref ref = {0};
    SGC_TRY(find(store, kind, name, &ref, err));
    sgc_object_clear(&ref.body);
    return kind == SGC_REF_TAG ? bury_tag(store, ref.key, name, err)
                               : sgc_object_store_remove(store, ref.key, err);
}

static sgc_status move(sgc_object_store *store, const stored_ref *ref, const char *name,
                       const sgc_object_id *from, const sgc_object_id *to, sgc_error *err)
{
    char body[BODY_SIZE];
    if (sgc_object_id_compare(&ref->snapshot, from) != 0)
        return sgc_fail(err, SGC_CONFLICT, "%s: branch \"%s\" was moved by somebody else",
                        store->name, name);
    format_body(to, body);
    return store->put(store, ref->key, body, strlen(body), SGC_PUT_IF_UNCHANGED, &ref->body, err);
}

sgc_status sgc_branch_move(sgc_object_store *store, const char *name, const sgc_object_id *from,
                           const sgc_object_id *to, sgc_error *err)
{
    stored_ref ref = {0};
    SGC_TRY(find(store, SGC_REF_BRANCH, name, &ref, err));
    const sgc_status status = move(store, &ref, name, from, to, err);
    sgc_object_clear(&ref.body);
    return status;
}
