/* One polite HTTP client.
 *
 * All requests of one source go through one sgc_http, from any thread. It keeps connections open
 * for reuse, lets at most `max_requests` run at a time (others wait their turn), repeats transient
 * failures (no connection, reset, timeout, truncated body, 408, 425, 429, 500, 502, 503, 504) with
 * exponential back-off and jitter, honours Retry-After, and stops within a fraction of a second
 * when cancelled, also while it waits. It remembers no failure. Other statuses fail at once: 401
 * and 403 with SGC_AUTH, 404 and 410 with SGC_NOT_FOUND, or SGC_AUTH
 * when a redirection led to another origin, the rest with SGC_NETWORK and the first
 * line of what the server said. A transient failure that outlives its retries or the patience for
 * the whole request, or for which the server asks to wait longer than allowed, is SGC_NETWORK. At
 * most 10 redirections are followed, to http and https only; headers of the caller go along, except
 * Authorization and Cookie to another host. Messages never carry credentials: user info and query
 * strings are cut from URLs, and what requests tell about their user from what servers say.
 *
 * GDAL_HTTP_TIMEOUT, GDAL_HTTP_CONNECTTIMEOUT, GDAL_HTTP_LOW_SPEED_TIME, GDAL_HTTP_LOW_SPEED_LIMIT
 * and the options of http_configuration.h are read, as GDAL configuration options, from the calling
 * thread at each request. Those that say who the user is hold for the scheme, host and port of one
 * of `header_urls`, and for the hosts of SGC_TRUSTED_HOSTS, also when a request is redirected. */
#ifndef SGC_HTTP_H
#define SGC_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "datasets/cancel.h"
#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_http sgc_http;

typedef struct sgc_http_options {
    unsigned max_requests;   /* running at a time, 1 or more */
    unsigned retries;        /* repetitions of a transient failure, 0 or more */
    unsigned first_delay_ms; /* pause before the first repetition; doubles, 0 means 500 */
    unsigned max_delay_ms;   /* longest pause, also bounds Retry-After; 0 means 120000 */
    unsigned patience_ms;    /* no repetition begins later than this after the request, whatever
                                bounds GDAL_HTTP_TIMEOUT sets to one attempt; 0 means 600000 */
    unsigned slow_s;         /* slower than 1 kB/s for so long is a transient failure, unless
                                GDAL_HTTP_LOW_SPEED_* say otherwise; 0 means 60 */
    /* "Name: value", NULL-terminated, or NULL. They may hold secrets: they go with requests to the
     * scheme, host and port of one of `header_urls` only, also when a request is redirected, and
     * {config:NAME} in them is expanded at each. `header_urls` are also whom the user trusts. Both
     * lists are copied. */
    const char *const *headers;
    const char *const *header_urls;
    const int *missing_statuses; /* mean the same as 404; ends with 0, or NULL. Copied */
} sgc_http_options;

typedef struct sgc_http_request {
    const char *method;         /* "GET", "HEAD" or "POST" */
    const char *url;            /* http or https */
    const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
    const void *body;           /* of a POST */
    size_t body_size;
    bool has_range; /* then only bytes first … last (inclusive) are wanted */
    uint64_t range_first, range_last;
    size_t max_size;        /* a larger body is SGC_CORRUPT; 0 means 1 GiB */
    const char *known_etag; /* of a copy at hand: the answer may be 304, without body; or NULL */
    bool stays;             /* a redirection is a failure: the body is secret */
    int *answered; /* gets the status of the last answer, also of a refusal; 0 when there was none.
                      May be NULL */
} sgc_http_request;

typedef struct sgc_http_response {
    int status;          /* 200, 206 or, for what is known, 304 on success */
    unsigned char *data; /* body, followed by a NUL that `size` does not count */
    size_t size;
    uint64_t total_size;    /* of the whole resource (Content-Range or Content-Length); UINT64_MAX
                               unknown */
    char etag[128];         /* empty when absent or longer */
    char content_type[128]; /* likewise */
    char last_modified[64]; /* likewise */
} sgc_http_response;

typedef struct sgc_http_counters {
    uint64_t requests;       /* sent, repetitions and redirections included */
    uint64_t bytes_received; /* of bodies */
} sgc_http_counters;

/* Gives a client; free with sgc_http_free() when no request runs. */
SGC_CHECKED sgc_status sgc_http_new(const sgc_http_options *options, sgc_http **out,
                                    sgc_error *err);
void sgc_http_free(sgc_http *http);

/* Performs one request and gives its response (free with sgc_http_response_clear()). A range
 * request that the server answers with 200 yields exactly the wanted part of the body; a range that
 * begins beyond the end is SGC_INVALID. `cancel` may be NULL. Thread-safe. */
SGC_CHECKED sgc_status sgc_http_perform(sgc_http *http, const sgc_http_request *request,
                                        const sgc_cancel *cancel, sgc_http_response *response,
                                        sgc_error *err);
void sgc_http_response_clear(sgc_http_response *response);

/* Writes `url` without user info, query and fragment: as it may appear in a message. */
void sgc_http_redact(const char *url, char *text, size_t size);

/* Writes the first line of what a server said in its answer to a request to `url`, printable, and
 * without what a request tells about its user: as it may appear in a message. Thread-safe. */
void sgc_http_quote(const sgc_http *http, const char *url, const char *said, char *line,
                    size_t size);

/* True when both URLs are valid and have the same scheme, host and port. */
bool sgc_http_is_same_origin(const char *a, const char *b);

/* True when the configuration option SGC_TRUSTED_HOSTS, a list of "host" or "host:port" with commas
 * between, names the host of the URL: what the user's credentials may be sent to although no
 * definition says so. */
bool sgc_http_is_trusted(const char *url);

/* What this client has done so far. Thread-safe. */
sgc_http_counters sgc_http_get_counters(sgc_http *http);

SGC_END_C

#endif
