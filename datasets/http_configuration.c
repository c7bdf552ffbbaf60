#include "datasets/http_configuration.h"

#include <cpl_conv.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "datasets/quiet.h"

#ifndef SGC_VERSION
#define SGC_VERSION "0"
#endif

const char *sgc_http_option(const char *url, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "/vsicurl/%s", url);
    const char *value = VSIGetPathSpecificOption(path, name, NULL);
    return value != NULL && *value != '\0' ? value : NULL;
}

static bool is_on(const char *url, const char *name, bool otherwise)
{
    const char *value = sgc_http_option(url, name);
    return value != NULL ? CPLTestBool(value) : otherwise;
}

static long count_of(const char *url, const char *name, long otherwise)
{
    const char *value = sgc_http_option(url, name);
    const double count = value != NULL ? CPLAtof(value) : -1;
    return count >= 0 && count < INT_MAX ? (long)count : otherwise;
}

/* ---- options that are texts ---- */

typedef struct text_option {
    CURLoption option;
    const char *name;
} text_option;

static const text_option texts[] = {
    {CURLOPT_USERAGENT, "GDAL_HTTP_USERAGENT"},
    {CURLOPT_PROXY, "GDAL_HTTP_PROXY"},
    {CURLOPT_PROXYUSERPWD, "GDAL_HTTP_PROXYUSERPWD"},
    {CURLOPT_CAINFO, "SSL_CERT_FILE"},
    {CURLOPT_CAINFO, "CURL_CA_BUNDLE"}, /* counts more */
    {CURLOPT_CAINFO, "GDAL_CURL_CA_BUNDLE"},
    {CURLOPT_CAPATH, "GDAL_HTTP_CAPATH"},
};

static const text_option credentials[] = {
    {CURLOPT_USERPWD, "GDAL_HTTP_USERPWD"},         {CURLOPT_NETRC_FILE, "GDAL_HTTP_NETRC_FILE"},
    {CURLOPT_COOKIE, "GDAL_HTTP_COOKIE"},           {CURLOPT_COOKIEFILE, "GDAL_HTTP_COOKIEFILE"},
    {CURLOPT_COOKIEJAR, "GDAL_HTTP_COOKIEJAR"},     {CURLOPT_SSLCERT, "GDAL_HTTP_SSLCERT"},
    {CURLOPT_SSLCERTTYPE, "GDAL_HTTP_SSLCERTTYPE"}, {CURLOPT_SSLKEY, "GDAL_HTTP_SSLKEY"},
    {CURLOPT_KEYPASSWD, "GDAL_HTTP_KEYPASSWD"},
};

static sgc_status fail_option(const char *name, CURLcode code, sgc_error *err)
{
    return sgc_fail(err, SGC_INVALID, "the configuration option %s cannot be used: %s", name,
                    curl_easy_strerror(code));
}

static sgc_status set_number(CURL *easy, CURLoption option, long value, const char *name,
                             sgc_error *err)
{
    const CURLcode code = curl_easy_setopt(easy, option, value);
    return code == CURLE_OK ? SGC_OK : fail_option(name, code, err);
}

static sgc_status set_text(CURL *easy, CURLoption option, const char *url, const char *name,
                           sgc_error *err)
{
    const char *value = sgc_http_option(url, name);
    const CURLcode code = value != NULL ? curl_easy_setopt(easy, option, value) : CURLE_OK;
    return code == CURLE_OK ? SGC_OK : fail_option(name, code, err);
}

static sgc_status set_texts(CURL *easy, const char *url, const text_option *list, size_t count,
                            sgc_error *err)
{
    for (size_t i = 0; i < count; i++)
        SGC_TRY(set_text(easy, list[i].option, url, list[i].name, err));
    return SGC_OK;
}

/* ---- options that are words ---- */

typedef struct word {
    const char *text;
    long value;
} word;

static const word methods[] = {
    {"BASIC", CURLAUTH_BASIC},   {"DIGEST", CURLAUTH_DIGEST},
    {"NTLM", CURLAUTH_NTLM},     {"NEGOTIATE", CURLAUTH_NEGOTIATE},
    {"ANY", (long)CURLAUTH_ANY}, {"ANYSAFE", (long)CURLAUTH_ANYSAFE},
    {"BEARER", CURLAUTH_BEARER}, {NULL, 0},
};

static const word delegations[] = {
    {"NONE", CURLGSSAPI_DELEGATION_NONE},
    {"POLICY", CURLGSSAPI_DELEGATION_POLICY_FLAG},
    {"ALWAYS", CURLGSSAPI_DELEGATION_FLAG},
    {NULL, 0},
};

static const word versions[] = {
    {"1.0", CURL_HTTP_VERSION_1_0},
    {"1.1", CURL_HTTP_VERSION_1_1},
    {"2", CURL_HTTP_VERSION_2_0},
    {"2.0", CURL_HTTP_VERSION_2_0},
    {"2TLS", CURL_HTTP_VERSION_2TLS},
    {"2PRIOR_KNOWLEDGE", CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE},
    {NULL, 0},
};

static sgc_status set_word(CURL *easy, CURLoption option, const word *words, const char *url,
                           const char *name, sgc_error *err)
{
    const char *value = sgc_http_option(url, name);
    char known[128] = "";
    if (value == NULL)
        return SGC_OK;
    for (; words->text != NULL; words++) {
        if (EQUAL(words->text, value))
            return set_number(easy, option, words->value, name, err);
        const size_t length = strlen(known);
        snprintf(known + length, sizeof known - length, "%s%s", length > 0 ? ", " : "",
                 words->text);
    }
    return sgc_fail(err, SGC_INVALID, "the configuration option %s must be one of %s", name, known);
}

/* ---- a request ---- */

static sgc_status set_connection(CURL *easy, const char *url, sgc_error *err)
{
    static const char keep[] = "GDAL_HTTP_TCP_KEEPALIVE", idle[] = "GDAL_HTTP_TCP_KEEPIDLE",
                      interval[] = "GDAL_HTTP_TCP_KEEPINTVL";
    if (is_on(url, keep, false)) {
        SGC_TRY(set_number(easy, CURLOPT_TCP_KEEPALIVE, 1, keep, err));
        SGC_TRY(set_number(easy, CURLOPT_TCP_KEEPIDLE, count_of(url, idle, 60), idle, err));
        SGC_TRY(
            set_number(easy, CURLOPT_TCP_KEEPINTVL, count_of(url, interval, 60), interval, err));
    }
    if (EQUALN(url, "https:", 6))
        SGC_TRY(set_text(easy, CURLOPT_PROXY, url, "GDAL_HTTPS_PROXY", err));
    SGC_TRY(set_word(easy, CURLOPT_PROXYAUTH, methods, url, "GDAL_PROXY_AUTH", err));
    return set_word(easy, CURLOPT_HTTP_VERSION, versions, url, "GDAL_HTTP_VERSION", err);
}

static sgc_status set_verification(CURL *easy, const char *url, sgc_error *err)
{
    static const char unsafe[] = "GDAL_HTTP_UNSAFESSL", status[] = "GDAL_HTTP_SSL_VERIFYSTATUS";
    if (is_on(url, unsafe, false)) {
        SGC_TRY(set_number(easy, CURLOPT_SSL_VERIFYPEER, 0, unsafe, err));
        SGC_TRY(set_number(easy, CURLOPT_SSL_VERIFYHOST, 0, unsafe, err));
    }
    if (is_on(url, status, false))
        SGC_TRY(set_number(easy, CURLOPT_SSL_VERIFYSTATUS, 1, status, err));
    return SGC_OK;
}

static sgc_status set_credentials(CURL *easy, const char *url, sgc_error *err)
{
    static const char netrc[] = "GDAL_HTTP_NETRC", method[] = "GDAL_HTTP_AUTH",
                      bearer[] = "GDAL_HTTP_BEARER";
    const char *chosen = sgc_http_option(url, method);
    const bool is_bearer = chosen != NULL ? EQUAL(chosen, "BEARER")
                                          : sgc_http_option(url, bearer) != NULL &&
                                                sgc_http_option(url, "GDAL_HTTP_USERPWD") == NULL;
    SGC_TRY(set_texts(easy, url, credentials, sizeof credentials / sizeof *credentials, err));
    SGC_TRY(set_number(easy, CURLOPT_NETRC,
                       is_on(url, netrc, true) ? CURL_NETRC_OPTIONAL : CURL_NETRC_IGNORED, netrc,
                       err));
    if (is_bearer) {
        SGC_TRY(set_text(easy, CURLOPT_XOAUTH2_BEARER, url, bearer, err));
        SGC_TRY(set_number(easy, CURLOPT_HTTPAUTH, CURLAUTH_BEARER, method, err));
    }
    SGC_TRY(set_word(easy, CURLOPT_HTTPAUTH, methods, url, method, err));
    return set_word(easy, CURLOPT_GSSAPI_DELEGATION, delegations, url, "GDAL_GSSAPI_DELEGATION",
                    err);
}

sgc_status sgc_http_configure(CURL *easy, const char *url, bool trusts, sgc_error *err)
{
    const CURLcode code = curl_easy_setopt(easy, CURLOPT_USERAGENT, "SGC/" SGC_VERSION);
    if (code != CURLE_OK)
        return fail_option("GDAL_HTTP_USERAGENT", code, err);
    SGC_TRY(set_texts(easy, url, texts, sizeof texts / sizeof *texts, err));
    SGC_TRY(set_connection(easy, url, err));
    SGC_TRY(set_verification(easy, url, err));
    return trusts ? set_credentials(easy, url, err) : SGC_OK;
}

void sgc_http_configure_end(CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_COOKIELIST, "FLUSH");
    curl_easy_setopt(easy, CURLOPT_COOKIEFILE, NULL);
}

/* ---- headers ---- */

static bool is_there(const struct curl_slist *headers, const char *line)
{
    const size_t size = strcspn(line, ":;");
    for (; headers != NULL; headers = headers->next)
        if (strncasecmp(headers->data, line, size) == 0 &&
            (headers->data[size] == ':' || headers->data[size] == ';'))
            return true;
    return false;
}

/* Adds each of `lines` and frees them. */
static sgc_status add_lines(char **lines, struct curl_slist **headers, sgc_error *err)
{
    sgc_status status = SGC_OK;
    for (char **line = lines; status == SGC_OK && line != NULL && *line != NULL; line++) {
        const char *text = *line + strspn(*line, " \t");
        if (*text == '\0' || is_there(*headers, text))
            continue;
        struct curl_slist *longer = curl_slist_append(*headers, text);
        if (longer == NULL)
            status = sgc_fail_memory(err, strlen(text), "a header");
        else
            *headers = longer;
    }
    CSLDestroy(lines);
    return status;
}

/* Lines, or texts with commas between, of which those with commas inside are quoted. */
static char **split(const char *text)
{
    return strpbrk(text, "\r\n") != NULL ? CSLTokenizeString2(text, "\r\n", 0)
                                         : CSLTokenizeString2(text, ",", CSLT_HONOURSTRINGS);
}

static sgc_status add_file(const char *name, struct curl_slist **headers, sgc_error *err)
{
    enum { MOST_LINES = 1000, LONGEST_LINE = 100000 };
    /* No request to know how to make requests. */
    VSILFILE *file = strncmp(name, "/vsicurl", 8) != 0 ? VSIFOpenL(name, "rb") : NULL;
    if (file == NULL)
        return sgc_fail(err, SGC_IO, "GDAL_HTTP_HEADER_FILE: cannot read %.300s", name);
    VSIFCloseL(file);
    sgc_quiet quiet = sgc_quiet_begin();
    char **lines = CSLLoad2(name, MOST_LINES, LONGEST_LINE, NULL);
    sgc_quiet_end(&quiet);
    return add_lines(lines, headers, err);
}

sgc_status sgc_http_configure_headers(const char *url, struct curl_slist **headers, sgc_error *err)
{
    const char *file = sgc_http_option(url, "GDAL_HTTP_HEADER_FILE");
    if (file != NULL)
        SGC_TRY(add_file(file, headers, err));
    const char *text = sgc_http_option(url, "GDAL_HTTP_HEADERS");
    return text != NULL ? add_lines(split(text), headers, err) : SGC_OK;
}

bool sgc_http_configuration_names_user(const char *url)
{
    static const char *const more[] = {"GDAL_HTTP_HEADERS", "GDAL_HTTP_HEADER_FILE",
                                       "GDAL_HTTP_BEARER"};
    bool found = false;
    for (size_t i = 0; !found && i < sizeof more / sizeof *more; i++)
        found = sgc_http_option(url, more[i]) != NULL;
    for (size_t i = 0; !found && i < sizeof credentials / sizeof *credentials; i++)
        found = sgc_http_option(url, credentials[i].name) != NULL;
    return found;
}
