#include "datasets/google_credentials.h"
#include "datasets/condition.h"

#include <cjson/cJSON.h>
#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_http.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "datasets/condition.h"
#include "datasets/quiet.h"
#include "store/fork.h"

#define SCOPE "https://www.googleapis.com/auth/earthengine.readonly"
#define USER_TOKEN_URL "https://oauth2.googleapis.com/token"
#define METADATA_HOST "metadata.google.internal"
#define METADATA_PATH "/computeMetadata/v1/instance/service-accounts/default/token"
#define LOGIN_AGAIN "log in again with \"gcloud auth application-default login\""

enum { LARGEST_FILE = 1 << 20, RENEWED_BEFORE_S = 60, SLICE_MS = 100 };

static const char *option(const char *name)
{
    const char *value = CPLGetConfigOption(name, NULL);
    return value != NULL && *value != '\0' ? value : NULL;
}

/* ---- finding ---- */

/* NULL when there is no such file. */
static char *read_file(const char *path)
{
    GByte *data = NULL;
    sgc_quiet quiet = sgc_quiet_begin();
    VSILFILE *file = VSIFOpenL(path, "rb");
    if (file != NULL && !VSIIngestFile(file, NULL, &data, NULL, LARGEST_FILE))
        data = NULL;
    if (file != NULL)
        VSIFCloseL(file);
    sgc_quiet_end(&quiet);
    char *text = data != NULL ? strdup((const char *)data) : NULL;
    VSIFree(data);
    return text;
}

static sgc_status copy(const char *text, char **out, sgc_error *err)
{
    *out = text != NULL ? strdup(text) : NULL;
    return text == NULL || *out != NULL ? SGC_OK : sgc_fail_memory(err, strlen(text), "a text");
}

/* A token goes into a header: nothing that would end its line may be in it. */
static bool is_token(const char *text)
{
    if (text == NULL || *text == '\0')
        return false;
    while (*text > ' ' && *text <= '~')
        text++;
    return *text == '\0';
}

static sgc_status use_bearer(sgc_google_credentials *c, const char *origin, char *text,
                             sgc_error *err)
{
    size_t length = strlen(text);
    while (length > 0 && strchr(" \r\n\t", text[length - 1]) != NULL)
        text[--length] = '\0';
    c->kind = SGC_GOOGLE_BEARER;
    c->bearer = text;
    if (!is_token(text))
        return sgc_fail(err, SGC_AUTH, "%s holds no access token", origin);
    return copy(origin, &c->origin, err);
}

static sgc_status find_bearer(sgc_google_credentials *c, sgc_error *err)
{
    const char *bearer = option("EEDA_BEARER"), *file = option("EEDA_BEARER_FILE");
    if (bearer == NULL && file == NULL)
        return SGC_NOT_FOUND;
    char *text = bearer != NULL ? strdup(bearer) : read_file(file);
    if (text == NULL)
        return sgc_fail(err, SGC_AUTH, "EEDA_BEARER_FILE: \"%s\" cannot be read", file);
    return use_bearer(c, bearer != NULL ? "EEDA_BEARER" : "EEDA_BEARER_FILE", text, err);
}

/* In an option a key is one line; its line ends are written \n. */
static void break_lines(char *key)
{
    char *to = key;
    for (const char *from = key; *from != '\0'; from++, to++) {
        const bool is_break = from[0] == '\\' && from[1] == 'n';
        *to = is_break ? '\n' : *from;
        from += is_break;
    }
    *to = '\0';
}

static sgc_status find_private_key(sgc_google_credentials *c, sgc_error *err)
{
    const char *key = option("EEDA_PRIVATE_KEY"), *file = option("EEDA_PRIVATE_KEY_FILE");
    const char *email = option("EEDA_CLIENT_EMAIL");
    if (key == NULL && file == NULL)
        return SGC_NOT_FOUND;
    if (email == NULL)
        return sgc_fail(err, SGC_AUTH,
                        "there is a private key, but EEDA_CLIENT_EMAIL does not say whose it is");
    c->kind = SGC_GOOGLE_SERVICE;
    c->private_key = key != NULL ? strdup(key) : read_file(file);
    if (c->private_key == NULL)
        return sgc_fail(err, SGC_AUTH, "EEDA_PRIVATE_KEY_FILE: \"%s\" cannot be read", file);
    break_lines(c->private_key);
    SGC_TRY(copy(email, &c->email, err));
    return copy("EEDA_CLIENT_EMAIL", &c->origin, err);
}

static const char *text_of(const cJSON *json, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));
}

/* Copies members of `json` that all must be there. */
static sgc_status copy_members(const cJSON *json, const char *path, size_t count,
                               const char *const *keys, char **const *out, sgc_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (text_of(json, keys[i]) == NULL)
            return sgc_fail(err, SGC_AUTH, "%s has no %s: " LOGIN_AGAIN, path, keys[i]);
        SGC_TRY(copy(text_of(json, keys[i]), out[i], err));
    }
    return SGC_OK;
}

static sgc_status use_service_account(sgc_google_credentials *c, const char *path,
                                      const cJSON *json, sgc_error *err)
{
    static const char *const keys[] = {"client_email", "private_key"};
    char **const out[] = {&c->email, &c->private_key};
    c->kind = SGC_GOOGLE_SERVICE;
    SGC_TRY(copy(text_of(json, "token_uri"), &c->token_url, err));
    return copy_members(json, path, 2, keys, out, err);
}

static sgc_status use_login(sgc_google_credentials *c, const char *path, const cJSON *json,
                            sgc_error *err)
{
    static const char *const keys[] = {"client_id", "client_secret", "refresh_token"};
    char **const out[] = {&c->client_id, &c->client_secret, &c->refresh_token};
    c->kind = SGC_GOOGLE_USER;
    return copy_members(json, path, 3, keys, out, err);
}

static sgc_status use_project(sgc_google_credentials *c, const cJSON *json, sgc_error *err)
{
    static const char *const keys[] = {"quota_project_id", "project", "project_id"};
    for (size_t i = 0; c->project == NULL && i < sizeof keys / sizeof *keys; i++)
        SGC_TRY(copy(text_of(json, keys[i]), &c->project, err));
    return SGC_OK;
}

/* The earthengine client writes no "type", and may write a project alone. */
static sgc_status use_json(sgc_google_credentials *c, const char *path, const cJSON *json,
                           sgc_error *err)
{
    const char *type = text_of(json, "type");
    SGC_TRY(use_project(c, json, err));
    if (type == NULL && text_of(json, "refresh_token") == NULL)
        return SGC_NOT_FOUND;
    SGC_TRY(copy(path, &c->origin, err));
    if (type == NULL || strcmp(type, "authorized_user") == 0)
        return use_login(c, path, json, err);
    if (strcmp(type, "service_account") == 0)
        return use_service_account(c, path, json, err);
    return sgc_fail(err, SGC_AUTH,
                    "%s holds credentials of type \"%.40s\", which this build cannot use: give a "
                    "service account's or a user's",
                    path, type);
}

/* SGC_NOT_FOUND when the file is not there, or has no credentials in it. */
static sgc_status find_in_file(sgc_google_credentials *c, const char *path, sgc_error *err)
{
    char *text = read_file(path);
    if (text == NULL)
        return SGC_NOT_FOUND;
    cJSON *json = cJSON_Parse(text);
    free(text);
    const sgc_status status = cJSON_IsObject(json)
                                  ? use_json(c, path, json, err)
                                  : sgc_fail(err, SGC_AUTH, "%s is no JSON object", path);
    cJSON_Delete(json);
    return status;
}

static sgc_status find_application(sgc_google_credentials *c, sgc_error *err)
{
    const char *path = option("GOOGLE_APPLICATION_CREDENTIALS");
    if (path == NULL)
        return SGC_NOT_FOUND;
    const sgc_status status = find_in_file(c, path, err);
    if (status == SGC_NOT_FOUND)
        return sgc_fail(err, SGC_AUTH,
                        "GOOGLE_APPLICATION_CREDENTIALS: \"%s\" cannot be read, or holds no "
                        "credentials",
                        path);
    return status;
}

static sgc_status find_below(sgc_google_credentials *c, const char *directory, const char *name,
                             sgc_error *err)
{
    char *path = NULL;
    if (directory == NULL)
        return SGC_NOT_FOUND;
    if (asprintf(&path, "%s/%s", directory, name) < 0)
        return sgc_fail_memory(err, strlen(directory) + strlen(name), "a path");
    const sgc_status status = find_in_file(c, path, err);
    free(path);
    return status;
}

static sgc_status find_earthengine(sgc_google_credentials *c, sgc_error *err)
{
    return find_below(c, option("HOME"), ".config/earthengine/credentials", err);
}

static sgc_status find_gcloud(sgc_google_credentials *c, sgc_error *err)
{
    const char *directory = option("CLOUDSDK_CONFIG");
    return directory != NULL
               ? find_below(c, directory, "application_default_credentials.json", err)
               : find_below(c, option("HOME"),
                            ".config/gcloud/application_default_credentials.json", err);
}

sgc_status sgc_google_credentials_find(const char *project, sgc_google_credentials *out,
                                       sgc_error *err)
{
    static sgc_status (*const places[])(sgc_google_credentials *, sgc_error *) = {
        find_bearer, find_private_key, find_application, find_earthengine, find_gcloud};
    sgc_google_credentials c = {.kind = SGC_GOOGLE_METADATA};
    sgc_status status = copy(project != NULL ? project : option("SGC_PROJECT"), &c.project, err);
    if (status == SGC_OK)
        status = SGC_NOT_FOUND;
    for (size_t i = 0; status == SGC_NOT_FOUND && i < sizeof places / sizeof *places; i++)
        status = places[i](&c, err);
    if (status == SGC_NOT_FOUND)
        status = SGC_OK;
    if (status == SGC_OK && c.project == NULL)
        status = copy(option("GOOGLE_CLOUD_PROJECT"), &c.project, err);
    if (status != SGC_OK)
        sgc_google_credentials_clear(&c);
    else
        *out = c;
    return status;
}

void sgc_google_credentials_clear(sgc_google_credentials *c)
{
    free(c->origin);
    free(c->bearer);
    free(c->email);
    free(c->private_key);
    free(c->token_url);
    free(c->client_id);
    free(c->client_secret);
    free(c->refresh_token);
    free(c->project);
    *c = (sgc_google_credentials){0};
}

/* ---- asking for tokens ---- */

typedef struct fresh_token {
    char *text;
    double seconds; /* that it lasts */
} fresh_token;

static sgc_status accept_token(const char *text, const char *seconds, fresh_token *out,
                               sgc_error *err)
{
    if (!is_token(text))
        return sgc_fail(err, SGC_AUTH, "the answer holds no access token");
    out->seconds = CPLAtof(seconds);
    return copy(text, &out->text, err);
}

/* Performs a request that answers with a token. */
static sgc_status ask(sgc_http *http, const sgc_http_request *request, const sgc_cancel *cancel,
                      fresh_token *out, sgc_error *err)
{
    sgc_http_response response = {0};
    SGC_TRY(sgc_http_perform(http, request, cancel, &response, err));
    cJSON *json = cJSON_ParseWithLength((const char *)response.data, response.size);
    sgc_http_response_clear(&response);
    const cJSON *lasts = cJSON_GetObjectItemCaseSensitive(json, "expires_in");
    char seconds[32];
    snprintf(seconds, sizeof seconds, "%.0f", cJSON_IsNumber(lasts) ? lasts->valuedouble : 0);
    const sgc_status status = accept_token(text_of(json, "access_token"), seconds, out, err);
    cJSON_Delete(json);
    return status;
}

static char *escape(const char *text)
{
    return CPLEscapeString(text, -1, CPLES_URL);
}

static sgc_status ask_as_user(const sgc_google_credentials *c, sgc_http *http,
                              const sgc_cancel *cancel, fresh_token *out, sgc_error *err)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded", NULL};
    char *id = escape(c->client_id), *secret = escape(c->client_secret);
    char *refresh = escape(c->refresh_token), *form = NULL;
    const int length =
        asprintf(&form, "grant_type=refresh_token&client_id=%s&client_secret=%s&refresh_token=%s",
                 id, secret, refresh);
    CPLFree(id);
    CPLFree(secret);
    CPLFree(refresh);
    if (length < 0)
        return sgc_fail_memory(err, 0, "a request");
    int answered;
    const sgc_http_request request = {
        .method = "POST",
        .url = CPLGetConfigOption("GOA2_AUTH_URL_TOKEN", USER_TOKEN_URL),
        .headers = headers,
        .body = form,
        .body_size = (size_t)length,
        .max_size = LARGEST_FILE,
        .answered = &answered,
        .stays = true,
    };
    const sgc_status status = ask(http, &request, cancel, out, err);
    free(form);
    if (status != SGC_OK && (answered == 400 || answered == 401))
        return sgc_fail(err, SGC_AUTH, "Google does not accept the login in %s: " LOGIN_AGAIN,
                        c->origin);
    return status;
}

/* GDAL signs, and so also asks: its cryptography is not to be had alone. */
static sgc_status ask_as_service(const sgc_google_credentials *c, fresh_token *out, sgc_error *err)
{
    const char *configured = CPLGetThreadLocalConfigOption("GO2A_AUD", NULL);
    char *before = configured != NULL ? strdup(configured) : NULL;
    const bool has_url = option("GO2A_AUD") == NULL && c->token_url != NULL;
    if (has_url)
        CPLSetThreadLocalConfigOption("GO2A_AUD", c->token_url);
    sgc_quiet quiet = sgc_quiet_begin();
    char **answer =
        GOA2GetAccessTokenFromServiceAccount(c->private_key, c->email, SCOPE, NULL, NULL);
    if (has_url)
        CPLSetThreadLocalConfigOption("GO2A_AUD", before);
    free(before);
    const sgc_status status =
        accept_token(CSLFetchNameValue(answer, "access_token"),
                     CSLFetchNameValueDef(answer, "expires_in", "0"), out, err);
    CSLDestroy(answer);
    sgc_quiet_end(&quiet);
    if (status == SGC_AUTH)
        return sgc_fail(err, SGC_AUTH,
                        "Google gives no token for the service account %s of %s: look at its "
                        "private key, this machine's clock and its connection",
                        c->email, c->origin);
    return status;
}

/* No machine outside Google's cloud has a metadata server, so it is given little time. */
static sgc_status ask_machine(const sgc_cancel *cancel, fresh_token *out, sgc_error *err)
{
    static const char *const headers[] = {"Metadata-Flavor: Google", NULL};
    static const char *const limits[] = {"GDAL_HTTP_CONNECTTIMEOUT", "GDAL_HTTP_TIMEOUT"};
    const sgc_http_options options = {.max_requests = 1};
    char url[512], *before[2];
    sgc_http *http;
    snprintf(url, sizeof url, "http://%.300s%s",
             CPLGetConfigOption("GCE_METADATA_HOST", METADATA_HOST), METADATA_PATH);
    SGC_TRY(sgc_http_new(&options, &http, err));
    for (int i = 0; i < 2; i++) {
        const char *value = CPLGetThreadLocalConfigOption(limits[i], NULL);
        before[i] = value != NULL ? strdup(value) : NULL;
        CPLSetThreadLocalConfigOption(limits[i], i == 0 ? "2" : "10");
    }
    const sgc_http_request request = {
        .method = "GET", .url = url, .headers = headers, .max_size = LARGEST_FILE};
    const sgc_status status = ask(http, &request, cancel, out, err);
    for (int i = 0; i < 2; i++) {
        CPLSetThreadLocalConfigOption(limits[i], before[i]);
        free(before[i]);
    }
    sgc_http_free(http);
    return status;
}

static sgc_status ask_without_credentials(const sgc_cancel *cancel, fresh_token *out,
                                          sgc_error *err)
{
    sgc_error reason = {"CPL_GCE_SKIP is set"};
    sgc_status status = SGC_AUTH;
    if (!CPLTestBool(CPLGetConfigOption("CPL_GCE_SKIP", "NO")))
        status = ask_machine(cancel, out, &reason);
    if (status == SGC_OK)
        return SGC_OK;
    if (status == SGC_CANCELLED)
        return sgc_fail(err, status, "%s", reason.message);
    return sgc_fail(err, SGC_AUTH,
                    "there are no credentials for Google: run \"gcloud auth application-default "
                    "login\", or set GOOGLE_APPLICATION_CREDENTIALS to the file of a service "
                    "account (the machine itself has none: %.300s)",
                    reason.message);
}

static sgc_status ask_for_token(const sgc_google_credentials *c, sgc_http *http,
                                const sgc_cancel *cancel, fresh_token *out, sgc_error *err)
{
    switch (c->kind) {
    case SGC_GOOGLE_SERVICE:
        return ask_as_service(c, out, err);
    case SGC_GOOGLE_USER:
        return ask_as_user(c, http, cancel, out, err);
    default:
        return ask_without_credentials(cancel, out, err);
    }
}

/* ---- keeping tokens ---- */

/* What is kept for one set of credentials; lives as long as the process. */
typedef struct kept_token {
    char *key;
    char *text; /* NULL: none */
    double until;
    bool is_renewed; /* by some thread, at this moment */
    struct kept_token *next;
} kept_token;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static pthread_cond_t renewed;
static kept_token *kept;

static void forget_in_child(void *unused)
{
    (void)unused;
    pthread_mutex_init(&mutex, NULL);
    sgc_condition_init(&renewed);
    kept = NULL; /* a thread of the parent may have been about to change it */
}

static void watch_forks(void)
{
    static sgc_fork_watch watch;
    sgc_condition_init(&renewed);
    sgc_fork_watch_begin(&watch, forget_in_child, NULL);
}

static double now_s(void)
{
    return (double)sgc_monotonic_ms() / 1000;
}

static const char *text_or_empty(const char *text)
{
    return text != NULL ? text : "";
}

/* All that a token depends on. */
static char *key_of(const sgc_google_credentials *c)
{
    char *key = NULL;
    const int length = asprintf(
        &key, "%d\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s", (int)c->kind, text_or_empty(c->email),
        text_or_empty(c->private_key), text_or_empty(c->token_url), text_or_empty(c->client_id),
        text_or_empty(c->client_secret), text_or_empty(c->refresh_token),
        text_or_empty(option("GO2A_AUD")), text_or_empty(option("GOA2_AUTH_URL_TOKEN")),
        text_or_empty(option("GCE_METADATA_HOST")));
    return length < 0 ? NULL : key;
}

/* The entry for these credentials; NULL when there is no memory. */
static kept_token *entry_of(const sgc_google_credentials *c)
{
    char *key = key_of(c);
    kept_token *entry = kept;
    while (key != NULL && entry != NULL && strcmp(entry->key, key) != 0)
        entry = entry->next;
    if (key == NULL || entry != NULL) {
        free(key);
        return entry;
    }
    entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        free(key);
        return NULL;
    }
    *entry = (kept_token){.key = key, .next = kept};
    kept = entry;
    return entry;
}

static bool is_good(const kept_token *entry, const char *refused)
{
    return entry->text != NULL && now_s() < entry->until &&
           (refused == NULL || strcmp(entry->text, refused) != 0);
}

/* Called and left with the mutex locked; not held while Google is asked. */
static sgc_status renew(kept_token *entry, const sgc_google_credentials *c, sgc_http *http,
                        const sgc_cancel *cancel, sgc_error *err)
{
    fresh_token fresh = {0};
    entry->is_renewed = true;
    pthread_mutex_unlock(&mutex);
    const sgc_status status = ask_for_token(c, http, cancel, &fresh, err);
    pthread_mutex_lock(&mutex);
    entry->is_renewed = false;
    pthread_cond_broadcast(&renewed);
    if (status == SGC_OK) {
        free(entry->text);
        entry->text = fresh.text;
        entry->until = now_s() + fresh.seconds - RENEWED_BEFORE_S;
    }
    return status;
}

static sgc_status get_kept(const sgc_google_credentials *c, sgc_http *http, const char *refused,
                           const sgc_cancel *cancel, char **token, sgc_error *err)
{
    kept_token *entry = entry_of(c);
    if (entry == NULL)
        return sgc_fail_memory(err, sizeof *entry, "a token");
    while (!is_good(entry, refused) && entry->is_renewed) {
        if (sgc_cancel_requested(cancel))
            return sgc_fail(err, SGC_CANCELLED, "cancelled");
        sgc_condition_wait(&renewed, &mutex, SLICE_MS);
    }
    if (!is_good(entry, refused))
        SGC_TRY(renew(entry, c, http, cancel, err));
    return copy(entry->text, token, err);
}

sgc_status sgc_google_get_token(const sgc_google_credentials *c, sgc_http *http,
                                const char *refused, const sgc_cancel *cancel, char **token,
                                sgc_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (c->kind == SGC_GOOGLE_BEARER)
        return copy(c->bearer, token, err);
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&mutex);
    const sgc_status status = get_kept(c, http, refused, cancel, token, err);
    pthread_mutex_unlock(&mutex);
    return status;
}
