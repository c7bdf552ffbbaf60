#include "datasets/stac_href.h"

#include <cpl_conv.h>
#include <cpl_string.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/http.h"
#include "datasets/stac_json.h"

static bool is_web(const char *url)
{
    return EQUALN(url, "http://", 7) || EQUALN(url, "https://", 8);
}

/* "scheme:" as RFC 3986 has it. */
static bool has_scheme(const char *href)
{
    const size_t n = strspn(href, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789+-.");
    return n > 1 && href[n] == ':';
}

/* What others write must not pass for a place that is filled in with a secret ({config:NAME}). */
static sgc_status without_braces(char **url, sgc_error *err)
{
    if (strpbrk(*url, "{}") == NULL)
        return SGC_OK;
    char *safe = malloc(3 * strlen(*url) + 1), *to = safe;
    if (safe == NULL)
        return sgc_fail_memory(err, 3 * strlen(*url), "a URL");
    for (const char *from = *url; *from != '\0'; from++) {
        if (*from == '{' || *from == '}')
            to += sprintf(to, "%%%02X", *from);
        else
            *to++ = *from;
    }
    *to = '\0';
    free(*url);
    *url = safe;
    return SGC_OK;
}

static sgc_status copy(const char *text, char **out, sgc_error *err)
{
    char *result = strdup(text);
    if (result == NULL)
        return sgc_fail_memory(err, strlen(text), "a URL");
    *out = result;
    return SGC_OK;
}

sgc_status sgc_href_resolve(const char *base, const char *href, char **out, sgc_error *err)
{
    if (has_scheme(href))
        return copy(href, out, err);
    CURLU *url = curl_url();
    char *text = NULL;
    if (url == NULL)
        return sgc_fail_memory(err, strlen(href), "a URL");
    const bool good = base != NULL && is_web(base) &&
                      curl_url_set(url, CURLUPART_URL, base, 0) == CURLUE_OK &&
                      curl_url_set(url, CURLUPART_URL, href, CURLU_URLENCODE) == CURLUE_OK &&
                      curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK;
    const sgc_status status =
        good ? copy(text, out, err)
             : sgc_fail(err, SGC_CORRUPT, "its relative href has no address to start from");
    curl_free(text);
    curl_url_cleanup(url);
    return status;
}

static sgc_status print_url(char **out, sgc_error *err, const char *format, const char *scheme,
                            const char *host, const char *path)
{
    char *text;
    if (asprintf(&text, format, scheme, host, path) < 0)
        return sgc_fail_memory(err, strlen(path), "a URL");
    *out = text;
    return SGC_OK;
}

/* `name`: bucket/key. */
static sgc_status s3_url(const char *name, const char *region, char **out, sgc_error *err)
{
    const char *endpoint = CPLGetConfigOption("AWS_S3_ENDPOINT", NULL);
    const char *scheme = CPLTestBool(CPLGetConfigOption("AWS_HTTPS", "YES")) ? "https" : "http";
    const size_t length = strcspn(name, "/");
    char host[256];
    if (endpoint != NULL)
        snprintf(host, sizeof host, "%s", is_web(endpoint) ? strstr(endpoint, "//") + 2 : endpoint);
    else if (region != NULL &&
             strspn(region, "abcdefghijklmnopqrstuvwxyz-0123456789") == strlen(region))
        snprintf(host, sizeof host, "s3.%.64s.amazonaws.com", region);
    else
        snprintf(host, sizeof host, "s3.amazonaws.com");
    /* A bucket with dots in its name does not fit a wildcard certificate. */
    const bool in_host = memchr(name, '.', length) == NULL &&
                         CPLTestBool(CPLGetConfigOption("AWS_VIRTUAL_HOSTING", "YES"));
    if (!in_host || name[length] == '\0')
        return print_url(out, err, "%s://%s/%s", scheme, host, name);
    char full[512];
    snprintf(full, sizeof full, "%.*s.%s", (int)(length < 128 ? length : 128), name, host);
    return print_url(out, err, "%s://%s/%s", scheme, full, name + length + 1);
}

static sgc_status web_url(const char *href, const char *region, const char *base, char **out,
                          sgc_error *err)
{
    if (EQUALN(href, "s3://", 5))
        return s3_url(href + 5, region, out, err);
    if (EQUALN(href, "gs://", 5))
        return print_url(out, err, "%s://%s/%s", "https", "storage.googleapis.com", href + 5);
    if (has_scheme(href) && !is_web(href)) {
        char shown[128];
        sgc_http_redact(href, shown, sizeof shown);
        return sgc_fail(err, SGC_UNSUPPORTED, "its href %s is neither https nor s3", shown);
    }
    return sgc_href_resolve(base, href, out, err);
}

sgc_status sgc_href_of_asset(const cJSON *asset, bool prefer_s3, const char *region,
                             const char *base, char **out, sgc_error *err)
{
    const cJSON *alternates = sgc_stac_member(asset, "alternate");
    const char *href = sgc_stac_text(asset, "href");
    if (href == NULL)
        return sgc_fail(err, SGC_CORRUPT, "it has no href");
    const char *s3 = sgc_stac_text(sgc_stac_member(alternates, "s3"), "href");
    const char *https = sgc_stac_text(sgc_stac_member(alternates, "https"), "href");
    if (prefer_s3 && s3 != NULL)
        href = s3;
    else if (!prefer_s3 && has_scheme(href) && !is_web(href) && https != NULL)
        href = https;
    char *url = NULL;
    SGC_TRY(web_url(href, region, base, &url, err));
    const sgc_status status = without_braces(&url, err);
    if (status == SGC_OK)
        *out = url;
    else
        free(url);
    return status;
}

/* The host of a URL with its port, and in *length how long it is. */
static const char *host_of(const char *url, size_t *length)
{
    const char *authority = strstr(url, "://");
    authority = authority != NULL ? authority + 3 : url;
    const char *end = authority + strcspn(authority, "/?#");
    for (const char *c = authority; c < end; c++)
        if (*c == '@')
            authority = c + 1;
    *length = (size_t)(end - authority);
    return authority;
}

sgc_status sgc_href_rebase(const char *url, const char *theirs, const char *mine, char **out,
                           sgc_error *err)
{
    const size_t length = theirs != NULL ? strlen(theirs) : 0;
    size_t host_length;
    if (length > 0 && EQUALN(url, theirs, length)) {
        const char *rest = url + length;
        const bool ends = mine[strlen(mine) - 1] == '/';
        rest += ends && *rest == '/';
        return print_url(out, err, "%s%s%s", mine, ends || *rest == '/' ? "" : "/", rest);
    }
    const char *host = host_of(mine, &host_length);
    char *origin = strndup(mine, (size_t)(host - mine) + host_length);
    if (origin == NULL)
        return sgc_fail_memory(err, host_length, "a URL");
    host = host_of(url, &host_length);
    const sgc_status status = print_url(out, err, "%s%s%s", origin, "", host + host_length);
    free(origin);
    return status;
}
