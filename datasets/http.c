#include "datasets/http.h"

#include <cJSON.h>
#include <cpl_conv.h>
#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/param.h>
#include <sys/random.h>
#include <time.h>

#include "datasets/condition.h"
#include "datasets/http_configuration.h"
#include "datasets/http_words.h"
#include "datasets/template.h"
#include "store/fork.h"

enum {
    MOST_MISSING = 16,
    SLICE_MS = 100, /* how long a cancelled user may have to wait for us */
    MAX_REDIRECTS = 10,
    FIRST_CAPACITY = 16 << 10,
    ERROR_TEXT_SIZE = 64 << 10, /* of an error's body; what follows is dropped */
    LOWEST_SPEED = 1000,        /* bytes per second, that a transfer may have for `slow_s` */
};

static const size_t default_max_size = (size_t)1 << 30;

/* A private multi handle instead of curl_easy_perform(), which looks at its callbacks only once a
 * second while a server is silent. The multi handle owns the open connection. */
typedef struct connection {
    CURLM *multi;
    CURL *easy;
    struct connection *next;
} connection;

struct sgc_http {
    sgc_http_options options;
    char **headers, **header_urls;
    int missing[MOST_MISSING + 1];
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t released;
    connection *idle; /* last used first: the warmest connection */
    unsigned running;
    sgc_http_counters counters;
    sgc_fork_watch forks;
};

typedef enum surplus { SURPLUS_FAILS, SURPLUS_ENDS, SURPLUS_DROPPED } surplus;

typedef struct http_body {
    unsigned char *data;
    size_t size, capacity; /* capacity counts the final NUL */
    uint64_t skip;         /* bytes before the wanted part */
    size_t keep;           /* length of the wanted part */
    surplus surplus;       /* what bytes after it mean */
    sgc_status status;
} http_body;

/* One attempt at a request. */
typedef struct attempt {
    const sgc_http *http;
    const sgc_http_request *request;
    const struct curl_slist *headers;
    CURL *easy;
    char *redirect; /* where the answer sends us */
    bool has_begun;
    http_body body;
    bool is_transient;
    uint64_t retry_after_s;
    char curl_message[CURL_ERROR_SIZE];
} attempt;

/* ---- connections ---- */

static void connection_free(connection *conn)
{
    if (conn == NULL)
        return;
    curl_easy_cleanup(conn->easy);
    curl_multi_cleanup(conn->multi);
    free(conn);
}

static connection *connection_new(void)
{
    connection *conn = calloc(1, sizeof *conn);
    if (conn == NULL)
        return NULL;
    conn->multi = curl_multi_init();
    conn->easy = curl_easy_init();
    if (conn->multi == NULL || conn->easy == NULL) {
        connection_free(conn);
        return NULL;
    }
    return conn;
}

/* Waits until fewer than max_requests run, then counts one more. False when cancelled. */
static bool take_turn(sgc_http *http, const sgc_cancel *cancel, connection **idle)
{
    bool cancelled;
    pthread_mutex_lock(&http->mutex);
    while (!(cancelled = sgc_cancel_requested(cancel)) &&
           http->running == http->options.max_requests)
        sgc_condition_wait(&http->released, &http->mutex, SLICE_MS);
    if (!cancelled) {
        http->running++;
        *idle = http->idle;
        if (http->idle != NULL)
            http->idle = http->idle->next;
    }
    pthread_mutex_unlock(&http->mutex);
    return !cancelled;
}

static void end_turn(sgc_http *http, connection *conn, sgc_http_counters used)
{
    if (conn != NULL)
        curl_easy_reset(conn->easy);
    pthread_mutex_lock(&http->mutex);
    if (conn != NULL) {
        conn->next = http->idle;
        http->idle = conn;
    }
    http->running--;
    http->counters.requests += used.requests;
    http->counters.bytes_received += used.bytes_received;
    pthread_cond_signal(&http->released);
    pthread_mutex_unlock(&http->mutex);
}

/* CURLE_ABORTED_BY_CALLBACK when cancelled. */
static CURLcode transfer(connection *conn, const sgc_cancel *cancel)
{
    int running = 1, queued;
    CURLMcode status = curl_multi_add_handle(conn->multi, conn->easy);
    while (status == CURLM_OK && running > 0 && !sgc_cancel_requested(cancel)) {
        status = curl_multi_perform(conn->multi, &running);
        if (status == CURLM_OK && running > 0)
            status = curl_multi_poll(conn->multi, NULL, 0, SLICE_MS, NULL);
    }
    CURLcode code = status == CURLM_OK ? CURLE_ABORTED_BY_CALLBACK : CURLE_FAILED_INIT;
    const CURLMsg *message = curl_multi_info_read(conn->multi, &queued);
    if (message != NULL)
        code = message->data.result;
    curl_multi_remove_handle(conn->multi, conn->easy);
    return code;
}

/* ---- the body ---- */

static bool reserve(http_body *body, size_t size)
{
    if (size < body->capacity)
        return true;
    const size_t ample = MIN(MAX(2 * body->capacity, (size_t)FIRST_CAPACITY), body->keep + 1);
    const size_t capacity = MAX(size + 1, ample);
    unsigned char *data = realloc(body->data, capacity);
    if (data == NULL) {
        body->status = SGC_NO_MEMORY;
        return false;
    }
    body->data = data;
    body->capacity = capacity;
    return true;
}

static long http_status(CURL *easy)
{
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* Content-Length, or UINT64_MAX. */
static uint64_t content_length(CURL *easy)
{
    curl_off_t length = -1;
    curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    return length < 0 ? UINT64_MAX : (uint64_t)length;
}

/* Decides, once the status is known, which part of the body is wanted. */
static bool begin_body(attempt *try)
{
    const sgc_http_request *request = try->request;
    http_body *body = &try->body;
    const long status = http_status(try->easy);
    const uint64_t length = content_length(try->easy);
    const size_t max_size = request->max_size == 0 ? default_max_size : request->max_size;

    body->keep = MIN(max_size, SIZE_MAX / 4);
    if (status >= 300) {
        body->keep = ERROR_TEXT_SIZE;
        body->surplus = SURPLUS_DROPPED;
    } else if (status == 200 && request->has_range) {
        const uint64_t wanted = request->range_last - request->range_first + 1;
        body->skip = request->range_first;
        if (wanted <= body->keep) {
            body->keep = (size_t)wanted;
            body->surplus = SURPLUS_ENDS;
        }
    } else if (length != UINT64_MAX && length > body->keep) {
        body->status = SGC_CORRUPT;
        return false;
    }
    return reserve(body, length == UINT64_MAX ? 0 : (size_t)MIN(length, body->keep));
}

static size_t receive(char *bytes, size_t unit, size_t count, void *user)
{
    attempt *try = user;
    http_body *body = &try->body;
    if (!try->has_begun && !begin_body(try))
        return CURL_WRITEFUNC_ERROR;
    try->has_begun = true;

    size_t size = unit * count;
    const size_t skipped = (size_t)MIN(size, body->skip);
    body->skip -= skipped;
    bytes += skipped;
    size -= skipped;

    const size_t kept = MIN(size, body->keep - body->size);
    if (kept < size && body->surplus == SURPLUS_FAILS) {
        body->status = SGC_CORRUPT;
        return CURL_WRITEFUNC_ERROR;
    }
    if (!reserve(body, body->size + kept))
        return CURL_WRITEFUNC_ERROR;
    memcpy(body->data + body->size, bytes, kept);
    body->size += kept;
    if (kept < size && body->surplus == SURPLUS_ENDS)
        return CURL_WRITEFUNC_ERROR;
    return unit * count;
}

/* A body of size 0 has its final NUL, too. */
static void terminate(http_body *body)
{
    if (reserve(body, body->size))
        body->data[body->size] = '\0';
}

static bool has_wanted_part(const http_body *body)
{
    return body->surplus == SURPLUS_ENDS && body->size == body->keep;
}

/* ---- options ---- */

#define SET(option, value)                                           \
    do {                                                             \
        const CURLcode set_ = curl_easy_setopt(easy, option, value); \
        if (set_ != CURLE_OK)                                        \
            return set_;                                             \
    } while (0)

static long number_option(const char *url, const char *name, double otherwise, double scale)
{
    const char *value = sgc_http_option(url, name);
    const double number = (value != NULL ? CPLAtof(value) : otherwise) * scale;
    return number > 0 && number < INT_MAX ? (long)number : 0;
}

/* A user's time without limit means a silent server, as in GDAL. */
static CURLcode apply_limits(const attempt *try)
{
    static const char slow[] = "GDAL_HTTP_LOW_SPEED_TIME";
    CURL *easy = try->easy;
    const char *url = try->request->url;
    const double floor = sgc_http_option(url, slow) != NULL ? 1 : LOWEST_SPEED;
    SET(CURLOPT_TIMEOUT_MS, number_option(url, "GDAL_HTTP_TIMEOUT", 0, 1000));
    SET(CURLOPT_CONNECTTIMEOUT_MS, number_option(url, "GDAL_HTTP_CONNECTTIMEOUT", 30, 1000));
    SET(CURLOPT_LOW_SPEED_TIME, number_option(url, slow, try->http->options.slow_s, 1));
    SET(CURLOPT_LOW_SPEED_LIMIT, number_option(url, "GDAL_HTTP_LOW_SPEED_LIMIT", floor, 1));
    return CURLE_OK;
}

/* Each step of a redirected request is one of its own: not all hosts may hear the same. */
static CURLcode apply_policy(CURL *easy)
{
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    return CURLE_OK;
}

static CURLcode apply_method(CURL *easy, const sgc_http_request *request)
{
    const bool is_head = strcmp(request->method, "HEAD") == 0;
    if (is_head)
        SET(CURLOPT_NOBODY, 1L);
    if (strcmp(request->method, "POST") == 0) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_size);
        SET(CURLOPT_POSTFIELDS, request->body_size > 0 ? request->body : "");
    }
    if (request->has_range) {
        char range[48];
        snprintf(range, sizeof range, "%" PRIu64 "-%" PRIu64, request->range_first,
                 request->range_last);
        SET(CURLOPT_RANGE, range);
    }
    /* Ranges and sizes are those of the resource, not of its compressed form. */
    SET(CURLOPT_ACCEPT_ENCODING, is_head || request->has_range ? "identity" : "gzip");
    return CURLE_OK;
}

static CURLcode apply_request(attempt *try, struct curl_slist *headers)
{
    CURL *easy = try->easy;
    SET(CURLOPT_ERRORBUFFER, try->curl_message);
    SET(CURLOPT_URL, try->request->url);
    SET(CURLOPT_HTTPHEADER, headers);
    SET(CURLOPT_WRITEFUNCTION, receive);
    SET(CURLOPT_WRITEDATA, try);
    return apply_method(easy, try->request);
}

/* ---- what went wrong ---- */

static const char *string_member(const cJSON *object, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
}

static const char *json_explanation(const cJSON *json)
{
    const char *text = string_member(json, "description");
    if (text == NULL)
        text = string_member(json, "message");
    if (text == NULL)
        text = string_member(cJSON_GetObjectItemCaseSensitive(json, "error"), "message");
    return text;
}

/* What the server said about its refusal, as ": text", or nothing. */
static void explain(const attempt *try, char *text, size_t size)
{
    text[0] = '\0';
    if (try->body.size == 0)
        return;
    const char *said = (const char *)try->body.data;
    cJSON *json = cJSON_Parse(said);
    if (json != NULL)
        said = json_explanation(json);
    char line[200] = "";
    if (said != NULL && *said != '<')
        sgc_http_copy_words(try->request, try->headers, said, line, sizeof line);
    if (line[0] != '\0')
        snprintf(text, size, ": %s", line);
    cJSON_Delete(json);
}

static bool is_transient_code(CURLcode code)
{
    switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return true;
    default:
        return false;
    }
}

static sgc_status fail_code(attempt *try, CURLcode code, sgc_error *err)
{
    /* A message may quote the URL of a proxy, with its user and password. */
    const bool is_good = try->curl_message[0] != '\0' && strchr(try->curl_message, '@') == NULL;
    const char *message = is_good ? try->curl_message : curl_easy_strerror(code);
    try->is_transient = is_transient_code(code);
    switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
        return sgc_fail(err, SGC_CANCELLED, "cancelled");
    case CURLE_OUT_OF_MEMORY:
        return sgc_fail(err, SGC_NO_MEMORY, "%s", message);
    case CURLE_URL_MALFORMAT:
        return sgc_fail(err, SGC_INVALID, "%s", message);
    default:
        return sgc_fail(err, SGC_NETWORK, "%s", message);
    }
}

static bool is_transient_status(long status)
{
    return status == 408 || status == 425 || status == 429 || status == 500 || status == 502 ||
           status == 503 || status == 504;
}

static bool is_missing(const sgc_http *http, long status)
{
    const int *missing = http->missing;
    while (*missing != 0 && *missing != status)
        missing++;
    return *missing != 0;
}

static bool is_home(const sgc_http *http, const char *url)
{
    bool found = false;
    for (char **home = http->header_urls; home != NULL && *home != NULL && !found; home++)
        found = sgc_http_is_same_origin(url, *home);
    return found;
}

static bool may_hear_user(const sgc_http *http, const char *url)
{
    return is_home(http, url) || sgc_http_is_trusted(url);
}

/* Why a host may refuse who has, or has not, said in GDAL's options who he is. */
static const char *remedy(const attempt *try, long status)
{
    const char *url = try->request->url;
    const bool names_user = sgc_http_configuration_names_user(url);
    if (names_user && !may_hear_user(try->http, url))
        return " (the user that GDAL's options name is not told to this host; to tell it, name "
               "the host in SGC_TRUSTED_HOSTS)";
    if (!names_user && status == 401 && try->request->headers == NULL)
        return " (to say who you are, set GDAL_HTTP_HEADERS, or write \"headers\" with "
               "{config:NAME} into the definition's source)";
    return "";
}

static sgc_status fail_beyond_end(const attempt *try, sgc_error *err)
{
    return sgc_fail(err, SGC_INVALID,
                    try->request->range_first == 0 ? "the file is empty"
                                                   : "the range begins beyond the end of the file");
}

static sgc_status fail_status(attempt *try, long status, sgc_error *err)
{
    char text[256];
    curl_off_t retry_after = 0;
    curl_easy_getinfo(try->easy, CURLINFO_RETRY_AFTER, &retry_after);
    explain(try, text, sizeof text);
    if (is_missing(try->http, status))
        return sgc_fail(err, SGC_NOT_FOUND, "not found, status %ld%s", status, text);
    try->is_transient = is_transient_status(status);
    try->retry_after_s = retry_after > 0 ? (uint64_t)retry_after : 0;
    switch (status) {
    case 401:
    case 403:
        return sgc_fail(err, SGC_AUTH, "access refused with status %ld%s%s", status, text,
                        remedy(try, status));
    case 407:
        return sgc_fail(err, SGC_AUTH,
                        "the proxy refuses with status 407%s: look at GDAL_HTTP_PROXYUSERPWD and "
                        "GDAL_PROXY_AUTH",
                        text);
    case 404:
    case 410:
        return sgc_fail(err, SGC_NOT_FOUND, "not found, status %ld%s", status, text);
    case 416:
        return fail_beyond_end(try, err);
    default:
        return sgc_fail(err, SGC_NETWORK, "the server answered %ld%s", status, text);
    }
}

static sgc_status fail_body(const attempt *try, sgc_error *err)
{
    if (try->body.status == SGC_NO_MEMORY)
        return sgc_fail(err, SGC_NO_MEMORY, "no memory for a body of more than %zu bytes",
                        try->body.size);
    return sgc_fail(err, SGC_CORRUPT, "the answer is larger than %zu bytes", try->body.keep);
}

/* ---- the answer ---- */

static const char *header(CURL *easy, const char *name)
{
    struct curl_header *found;
    const CURLHcode code = curl_easy_header(easy, name, 0, CURLH_HEADER, -1, &found);
    return code == CURLHE_OK ? found->value : NULL;
}

static void copy_header(CURL *easy, const char *name, char *text, size_t size)
{
    const char *value = header(easy, name);
    if (value != NULL && strlen(value) < size)
        strcpy(text, value);
}

static bool parse_number(const char **text, uint64_t *number)
{
    if (!isdigit((unsigned char)**text))
        return false;
    char *end;
    errno = 0;
    *number = strtoull(*text, &end, 10);
    *text = end;
    return errno == 0;
}

/* "bytes first-last/total"; a total of "*" is UINT64_MAX. */
static bool parse_content_range(const char *text, uint64_t *first, uint64_t *last, uint64_t *total)
{
    if (text == NULL || strncasecmp(text, "bytes ", 6) != 0)
        return false;
    text += 6;
    if (!parse_number(&text, first) || *text++ != '-' || !parse_number(&text, last) ||
        *text++ != '/')
        return false;
    *total = UINT64_MAX;
    if (strcmp(text, "*") == 0)
        return true;
    return parse_number(&text, total) && *text == '\0' && *last < *total;
}

/* A part must begin where asked, and end there or at the end of the resource. */
static sgc_status accept_part(attempt *try, uint64_t *total_size, sgc_error *err)
{
    const sgc_http_request *request = try->request;
    const char *text = header(try->easy, "Content-Range");
    uint64_t first, last, total;
    if (!parse_content_range(text, &first, &last, &total) || first != request->range_first ||
        last > request->range_last || last - first + 1 != try->body.size ||
        (last != request->range_last && last + 1 != total)) {
        char line[64];
        sgc_http_copy_words(request, try->headers, text == NULL ? "" : text, line, sizeof line);
        try->is_transient = true;
        return sgc_fail(err, SGC_NETWORK,
                        "asked for bytes %" PRIu64 "-%" PRIu64 ", got %zu with Content-Range '%s'",
                        request->range_first, request->range_last, try->body.size, line);
    }
    *total_size = total;
    return SGC_OK;
}

static sgc_status accept_whole(attempt *try, uint64_t *total_size, sgc_error *err)
{
    if (try->request->has_range && try->body.size == 0)
        return fail_beyond_end(try, err);
    *total_size =
        header(try->easy, "Content-Encoding") == NULL ? content_length(try->easy) : UINT64_MAX;
    return SGC_OK;
}

/* Fails, and remembers where to go on. */
static sgc_status note_redirect(attempt *try, long status, sgc_error *err)
{
    const char *url = NULL;
    curl_easy_getinfo(try->easy, CURLINFO_REDIRECT_URL, &url);
    if (url == NULL)
        return fail_status(try, status, err);
    try->redirect = strdup(url);
    return try->redirect != NULL ? sgc_fail(err, SGC_NETWORK, "redirected")
                                 : sgc_fail_memory(err, strlen(url), "a URL");
}

static sgc_status accept_answer(attempt *try, CURLcode code, sgc_http_response *response,
                                sgc_error *err)
{
    if (try->body.status != SGC_OK)
        return fail_body(try, err);
    if (code != CURLE_OK && !has_wanted_part(&try->body))
        return fail_code(try, code, err);
    const long status = http_status(try->easy);
    uint64_t total_size = UINT64_MAX;
    if (status == 206 && try->request->has_range)
        SGC_TRY(accept_part(try, &total_size, err));
    else if (status == 200)
        SGC_TRY(accept_whole(try, &total_size, err));
    else if (status == 304 && try->request->known_etag != NULL)
        total_size = 0;
    else if (status / 100 == 3 && !try->request->stays)
        return note_redirect(try, status, err);
    else
        return fail_status(try, status, err);

    *response = (sgc_http_response){.status = (int)status,
                                    .data = try->body.data,
                                    .size = try->body.size,
                                    .total_size = total_size};
    copy_header(try->easy, "ETag", response->etag, sizeof response->etag);
    copy_header(try->easy, "Content-Type", response->content_type, sizeof response->content_type);
    copy_header(try->easy, "Last-Modified", response->last_modified,
                sizeof response->last_modified);
    return SGC_OK;
}

/* ---- the request ---- */

static sgc_status apply_all(attempt *try, struct curl_slist *headers, sgc_error *err)
{
    SGC_TRY(sgc_http_configure(try->easy, try->request->url,
                               may_hear_user(try->http, try->request->url), err));
    CURLcode code = apply_limits(try);
    if (code == CURLE_OK)
        code = apply_policy(try->easy);
    if (code == CURLE_OK)
        code = apply_request(try, headers);
    return code == CURLE_OK ? SGC_OK : fail_code(try, code, err);
}

static sgc_http_counters count_use(CURL *easy)
{
    curl_off_t received = 0;
    curl_easy_getinfo(easy, CURLINFO_SIZE_DOWNLOAD_T, &received);
    return (sgc_http_counters){.requests = 1, .bytes_received = (uint64_t)received};
}

static sgc_status run_attempt(connection *conn, struct curl_slist *headers,
                              const sgc_cancel *cancel, attempt *try, sgc_http_response *response,
                              sgc_error *err)
{
    try->easy = conn->easy;
    SGC_TRY(apply_all(try, headers, err));
    const CURLcode code = transfer(conn, cancel);
    sgc_http_configure_end(try->easy);
    terminate(&try->body);
    *try->request->answered = (int)http_status(try->easy);
    const sgc_status status = accept_answer(try, code, response, err);
    if (status != SGC_OK)
        free(try->body.data);
    return status;
}

static sgc_status try_once(sgc_http *http, struct curl_slist *headers, const sgc_cancel *cancel,
                           attempt *try, sgc_http_response *response, sgc_error *err)
{
    connection *conn = NULL;
    if (!take_turn(http, cancel, &conn))
        return sgc_fail(err, SGC_CANCELLED, "cancelled");
    if (conn == NULL)
        conn = connection_new();
    if (conn == NULL) {
        end_turn(http, NULL, (sgc_http_counters){0});
        return sgc_fail_memory(err, sizeof *conn, "a connection");
    }
    const sgc_status status = run_attempt(conn, headers, cancel, try, response, err);
    end_turn(http, conn, count_use(conn->easy));
    return status;
}

/* How far a request has come, over all its steps. */
typedef struct course {
    unsigned attempts; /* of this step */
    uint64_t begin_ms; /* of the request */
} course;

static sgc_status check_patience(const sgc_http_options *options, const course *c,
                                 uint64_t pause_ms, sgc_error *err)
{
    if (sgc_monotonic_ms() + pause_ms - c->begin_ms <= options->patience_ms)
        return SGC_OK;
    const sgc_error answer = *err;
    return sgc_fail(err, SGC_NETWORK, "%.500s; no more attempts after %u s: try again later",
                    answer.message, (options->patience_ms + 999) / 1000);
}

/* Half of the doubled delay is random, so that clients that failed together do not return together.
 * Fails when it takes, or the server asks for, more patience than we may have. */
static sgc_status choose_pause(const sgc_http_options *options, const course *c,
                               uint64_t retry_after_s, uint64_t *pause_ms, sgc_error *err)
{
    if (retry_after_s > options->max_delay_ms / 1000) {
        sgc_error answer = *err;
        return sgc_fail(err, SGC_NETWORK,
                        "%.500s; it asks to wait %" PRIu64
                        " s, more than the %u s that are allowed: try again later",
                        answer.message, retry_after_s, options->max_delay_ms / 1000);
    }
    const uint64_t doubled = (uint64_t)options->first_delay_ms << MIN(c->attempts - 1, 31);
    const uint64_t delay = MIN(doubled, options->max_delay_ms);
    uint64_t random;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = sgc_monotonic_ms();
    *pause_ms = MAX(delay / 2 + random % (delay / 2 + 1), retry_after_s * 1000);
    return check_patience(options, c, *pause_ms, err);
}

static sgc_status wait_ms(uint64_t ms, const sgc_cancel *cancel, sgc_error *err)
{
    const uint64_t end = sgc_monotonic_ms() + ms;
    for (uint64_t now = sgc_monotonic_ms(); now < end; now = sgc_monotonic_ms()) {
        if (sgc_cancel_requested(cancel))
            return sgc_fail(err, SGC_CANCELLED, "cancelled");
        const struct timespec slice = {.tv_nsec = (long)MIN(end - now, SLICE_MS) * 1000000};
        nanosleep(&slice, NULL);
    }
    return SGC_OK;
}

/* `err` is scratch: it is written by attempts that fail before one that succeeds. */
static sgc_status try_until_done(sgc_http *http, const sgc_http_request *request,
                                 struct curl_slist *headers, const sgc_cancel *cancel,
                                 sgc_http_response *response, char **redirect, course *c,
                                 sgc_error *err)
{
    for (c->attempts = 1;; c->attempts++) {
        attempt try = {.http = http, .request = request, .headers = headers};
        const sgc_status status = try_once(http, headers, cancel, &try, response, err);
        *redirect = try.redirect;
        if (status == SGC_OK || !try.is_transient || c->attempts > http->options.retries)
            return status;
        uint64_t pause_ms = 0;
        SGC_TRY(choose_pause(&http->options, c, try.retry_after_s, &pause_ms, err));
        SGC_TRY(wait_ms(pause_ms, cancel, err));
    }
}

static bool is_known_method(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 || strcmp(method, "POST") == 0;
}

static sgc_status check_request(const sgc_http_request *request, sgc_error *err)
{
    if (!is_known_method(request->method))
        return sgc_fail(err, SGC_INVALID, "HTTP method %s is not known", request->method);
    if (strncasecmp(request->url, "http://", 7) != 0 &&
        strncasecmp(request->url, "https://", 8) != 0)
        return sgc_fail(err, SGC_INVALID, "a URL must begin with http:// or https://");
    if (request->has_range &&
        (strcmp(request->method, "GET") != 0 || request->range_first > request->range_last ||
         request->range_last == UINT64_MAX))
        return sgc_fail(err, SGC_INVALID, "bytes %" PRIu64 "-%" PRIu64 " cannot be asked for",
                        request->range_first, request->range_last);
    return SGC_OK;
}

static bool append_header(struct curl_slist **headers, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*headers, line);
    if (longer != NULL)
        *headers = longer;
    return longer != NULL;
}

static bool is_credential(const char *line)
{
    return strncasecmp(line, "Authorization:", 14) == 0 || strncasecmp(line, "Cookie:", 7) == 0;
}

/* `first_url`: where the request went before it was redirected. */
static bool append_callers_headers(struct curl_slist **headers, const sgc_http_request *request,
                                   const char *first_url)
{
    const bool is_at_home =
        request->url == first_url || sgc_http_is_same_origin(request->url, first_url);
    bool good = true;
    for (const char *const *line = request->headers; good && line != NULL && *line != NULL; line++)
        if (is_at_home || !is_credential(*line))
            good = append_header(headers, *line);
    return good;
}

static sgc_status append_own_headers(const sgc_http *http, struct curl_slist **headers,
                                     const char *url, sgc_error *err)
{
    const bool is_meant = is_home(http, url);
    for (char **line = http->headers; is_meant && line != NULL && *line != NULL; line++) {
        char *expanded;
        SGC_TRY(sgc_config_expand(*line, &expanded, err));
        const bool good = append_header(headers, expanded);
        free(expanded);
        if (!good)
            return sgc_fail(err, SGC_NO_MEMORY, "no memory for the headers of a request");
    }
    return SGC_OK;
}

static bool append_condition(struct curl_slist **headers, const sgc_http_request *request)
{
    char line[160];
    if (request->known_etag == NULL)
        return true;
    snprintf(line, sizeof line, "If-None-Match: %.130s", request->known_etag);
    return append_header(headers, line);
}

static sgc_status make_headers(const sgc_http *http, const sgc_http_request *request,
                               const char *first_url, struct curl_slist **headers, sgc_error *err)
{
    /* Without this curl asks before it sends a large body, and waits a second for servers that do
     * not answer that. */
    if (!append_header(headers, "Expect:") ||
        !append_callers_headers(headers, request, first_url) || !append_condition(headers, request))
        return sgc_fail(err, SGC_NO_MEMORY, "no memory for the headers of a request");
    SGC_TRY(append_own_headers(http, headers, request->url, err));
    return may_hear_user(http, request->url)
               ? sgc_http_configure_headers(request->url, headers, err)
               : SGC_OK;
}

/* One step of a request: up to its answer, or to where that sends us. */
static sgc_status perform_step(sgc_http *http, const sgc_http_request *request,
                               const char *first_url, const sgc_cancel *cancel,
                               sgc_http_response *response, char **redirect, course *c,
                               sgc_error *err)
{
    struct curl_slist *headers = NULL;
    *redirect = NULL;
    sgc_status status = make_headers(http, request, first_url, &headers, err);
    if (status == SGC_OK)
        status = try_until_done(http, request, headers, cancel, response, redirect, c, err);
    curl_slist_free_all(headers);
    return status;
}

/* Whether both are places of one origin, or the second is that of the first with TLS. */
static bool is_at_home(const char *first_url, const char *url)
{
    char secure[1024] = "";
    if (strncasecmp(first_url, "http://", 7) == 0)
        snprintf(secure, sizeof secure, "https%s", first_url + 4);
    return sgc_http_is_same_origin(first_url, url) || sgc_http_is_same_origin(secure, url);
}

/* That a page of a login, say, is missing elsewhere does not mean that the file is. */
static sgc_status fail_elsewhere(const char *url, int answered, sgc_error *err)
{
    char shown[256];
    sgc_http_redact(url, shown, sizeof shown);
    return sgc_fail(err, SGC_AUTH,
                    "redirected to another host, where %s is not there (status %d), which does not "
                    "mean that the file is missing: give credentials if it asks to log in, or name "
                    "the other host in the definition if the files have moved there",
                    shown, answered);
}

static sgc_status perform_steps(sgc_http *http, const sgc_http_request *request,
                                const sgc_cancel *cancel, sgc_http_response *response, course *c,
                                sgc_error *err)
{
    sgc_http_request step = *request;
    char *redirect, *url = NULL;
    int answered = 0;
    step.answered = &answered;
    sgc_status status =
        perform_step(http, &step, request->url, cancel, response, &redirect, c, err);
    for (int steps = 0; redirect != NULL && steps < MAX_REDIRECTS; steps++) {
        free(url);
        step.url = url = redirect;
        if (answered == 303 && strcmp(step.method, "POST") == 0)
            step.method = "GET";
        status = perform_step(http, &step, request->url, cancel, response, &redirect, c, err);
    }
    if (redirect != NULL)
        status = sgc_fail(err, SGC_NETWORK, "more than %d redirections", MAX_REDIRECTS);
    else if (status == SGC_NOT_FOUND && url != NULL && !is_at_home(request->url, url))
        status = fail_elsewhere(url, answered, err);
    if (request->answered != NULL)
        *request->answered = answered;
    free(redirect);
    free(url);
    return status;
}

void sgc_http_quote(const sgc_http *http, const char *url, const char *said, char *line,
                    size_t size)
{
    const sgc_http_request request = {.method = "GET", .url = url};
    struct curl_slist *headers = NULL;
    sgc_error err;
    const bool good = make_headers(http, &request, url, &headers, &err) == SGC_OK;
    sgc_http_copy_words(&request, headers, good ? said : "", line, size);
    curl_slist_free_all(headers);
}

static sgc_status fail_request(const sgc_http_request *request, unsigned attempts,
                               const sgc_error *reason, sgc_status status, sgc_error *err)
{
    char url[256], times[32] = "";
    sgc_http_redact(request->url, url, sizeof url);
    if (attempts > 1)
        snprintf(times, sizeof times, ", attempt %u", attempts);
    return sgc_fail(err, status, "%s %s%s: %.600s", request->method, url, times, reason->message);
}

sgc_status sgc_http_perform(sgc_http *http, const sgc_http_request *request,
                            const sgc_cancel *cancel, sgc_http_response *response, sgc_error *err)
{
    SGC_TRY(check_request(request, err));
    course c = {.attempts = 1, .begin_ms = sgc_monotonic_ms()};
    sgc_error reason;
    const sgc_status status = perform_steps(http, request, cancel, response, &c, &reason);
    if (status != SGC_OK)
        return fail_request(request, c.attempts, &reason, status, err);
    return SGC_OK;
}

void sgc_http_response_clear(sgc_http_response *response)
{
    free(response->data);
    *response = (sgc_http_response){0};
}

/* ---- the client ---- */

static CURLcode curl_status;

static void start_curl(void)
{
    curl_status = curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* The idle connections are still the parent's: using them, or only closing them in good order,
 * would mix into its conversations. The child forgets them. */
static void renew_in_child(void *object)
{
    sgc_http *http = object;
    pthread_mutex_init(&http->mutex, NULL);
    sgc_condition_init(&http->released);
    http->idle = NULL;
    http->running = 0;
}

/* A copy of a list; NULL of an empty one. */
static bool copy_list(const char *const *list, char ***copy)
{
    size_t count = 0;
    while (list != NULL && list[count] != NULL)
        count++;
    *copy = count > 0 ? calloc(count + 1, sizeof **copy) : NULL;
    bool good = count == 0 || *copy != NULL;
    for (size_t i = 0; good && i < count; i++)
        good = ((*copy)[i] = strdup(list[i])) != NULL;
    return good;
}

static void free_list(char **list)
{
    for (char **item = list; item != NULL && *item != NULL; item++)
        free(*item);
    free(list);
}

static void free_lists(sgc_http *http)
{
    free_list(http->headers);
    free_list(http->header_urls);
}

static sgc_status copy_lists(sgc_http *http, const sgc_http_options *options, sgc_error *err)
{
    size_t count = 0;
    for (; options->missing_statuses != NULL && options->missing_statuses[count] != 0; count++) {
        if (count == MOST_MISSING)
            return sgc_fail(err, SGC_INVALID, "more than %d missing_status", MOST_MISSING);
        http->missing[count] = options->missing_statuses[count];
    }
    http->options.headers = http->options.header_urls = NULL;
    http->options.missing_statuses = NULL;
    return copy_list(options->headers, &http->headers) &&
                   copy_list(options->header_urls, &http->header_urls)
               ? SGC_OK
               : sgc_fail(err, SGC_NO_MEMORY, "no memory for headers");
}

sgc_status sgc_http_new(const sgc_http_options *options, sgc_http **out, sgc_error *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_curl);
    if (curl_status != CURLE_OK)
        return sgc_fail(err, SGC_NETWORK, "libcurl: %s", curl_easy_strerror(curl_status));
    if (options->max_requests == 0)
        return sgc_fail(err, SGC_INVALID, "a client needs at least one concurrent request");
    sgc_http *http = calloc(1, sizeof *http);
    if (http == NULL)
        return sgc_fail_memory(err, sizeof *http, "an HTTP client");
    http->options = *options;
    sgc_status status = copy_lists(http, options, err);
    if (status != SGC_OK) {
        free_lists(http);
        free(http);
        return status;
    }
    if (http->options.first_delay_ms == 0)
        http->options.first_delay_ms = 500;
    if (http->options.max_delay_ms == 0)
        http->options.max_delay_ms = 120000;
    if (http->options.patience_ms == 0)
        http->options.patience_ms = 600000;
    if (http->options.slow_s == 0)
        http->options.slow_s = 60;
    pthread_mutex_init(&http->mutex, NULL);
    sgc_condition_init(&http->released);
    sgc_fork_watch_begin(&http->forks, renew_in_child, http);
    *out = http;
    return SGC_OK;
}

void sgc_http_free(sgc_http *http)
{
    if (http == NULL)
        return;
    sgc_fork_watch_end(&http->forks);
    while (http->idle != NULL) {
        connection *conn = http->idle;
        http->idle = conn->next;
        connection_free(conn);
    }
    pthread_cond_destroy(&http->released);
    pthread_mutex_destroy(&http->mutex);
    free_lists(http);
    free(http);
}

sgc_http_counters sgc_http_get_counters(sgc_http *http)
{
    pthread_mutex_lock(&http->mutex);
    const sgc_http_counters counters = http->counters;
    pthread_mutex_unlock(&http->mutex);
    return counters;
}
