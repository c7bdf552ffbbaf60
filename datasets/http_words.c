#include "datasets/http_words.h"

#include <cpl_conv.h>
#include <cpl_string.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "datasets/http_configuration.h"

enum {
    SHORTEST_SECRET = 3,   /* of the words of a header */
    SHORTEST_IN_QUERY = 8, /* where most words are none */
};

/* What a server said, and which of its characters must not be shown. */
typedef struct quotation {
    const char *said;
    char *covered; /* as many; not 0 where so */
} quotation;

static void cover(const quotation *q, const char *secret, size_t size)
{
    const size_t length = strlen(q->said);
    for (const char *at = q->said; size > 0 && at < q->said + length; at++) {
        at = memmem(at, length - (size_t)(at - q->said), secret, size);
        if (at == NULL)
            return;
        memset(q->covered + (at - q->said), 1, size);
    }
}

static bool is_scheme(const char *word, size_t size)
{
    static const char *const schemes[] = {"Basic", "Bearer", "Digest", "Token"};
    bool found = false;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        found |= strlen(schemes[i]) == size && strncasecmp(word, schemes[i], size) == 0;
    return found;
}

/* Covers a text and each word of it, if it is so long that it may be a secret: a server may quote
 * the token of "Bearer token", or a password without its user. */
static void cover_words(const quotation *q, const char *text, size_t shortest)
{
    if (text == NULL)
        return;
    if (strlen(text) >= shortest)
        cover(q, text, strlen(text));
    while (*text != '\0') {
        const size_t size = strcspn(text, " \t:,;&=\"'");
        if (size >= shortest && !is_scheme(text, size))
            cover(q, text, size);
        text += size + (text[size] != '\0');
    }
}

/* "user:password", as it is and as it is sent. */
static void cover_user(const quotation *q, const char *user)
{
    if (user == NULL || strlen(user) > INT_MAX)
        return;
    char *sent = CPLBase64Encode((int)strlen(user), (const GByte *)user);
    cover_words(q, user, SHORTEST_SECRET);
    cover_words(q, sent, SHORTEST_SECRET);
    CPLFree(sent);
}

/* Says what is asked for, not who asks. */
static bool is_harmless(const char *line)
{
    return strncasecmp(line, "Accept:", 7) == 0 || strncasecmp(line, "Content-Type:", 13) == 0;
}

static void cover_headers(const quotation *q, const struct curl_slist *headers)
{
    for (; headers != NULL; headers = headers->next) {
        const char *value = headers->data + strcspn(headers->data, ":");
        if (!is_harmless(headers->data))
            cover_words(q, value + strspn(value, ": \t"), SHORTEST_SECRET);
    }
}

/* The user and the password in a URL, and its query. */
static void cover_url(const quotation *q, const char *url)
{
    const char *host = strstr(url, "://");
    char *authority = host != NULL ? strndup(host + 3, strcspn(host + 3, "/?#")) : NULL;
    char *end = authority != NULL ? strrchr(authority, '@') : NULL;
    const char *query = strchr(url, '?');
    if (end != NULL) {
        *end = '\0';
        cover_user(q, authority);
    }
    free(authority);
    if (query != NULL)
        cover_words(q, query + 1, SHORTEST_IN_QUERY);
}

static void cover_options(const quotation *q, const char *url)
{
    static const char *const names[] = {"GDAL_HTTP_BEARER", "GDAL_HTTP_COOKIE",
                                        "GDAL_HTTP_KEYPASSWD"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        cover_words(q, sgc_http_option(url, names[i]), SHORTEST_SECRET);
    cover_user(q, sgc_http_option(url, "GDAL_HTTP_USERPWD"));
    cover_user(q, sgc_http_option(url, "GDAL_HTTP_PROXYUSERPWD"));
}

/* Only bodies that stay are secret. */
static void cover_body(const quotation *q, const sgc_http_request *request)
{
    char *text = request->stays && request->body_size > 0
                     ? strndup(request->body, request->body_size)
                     : NULL;
    cover_words(q, text, SHORTEST_IN_QUERY);
    free(text);
}

/* Gives (free with free()) what a server said, with "***" for what a request told it about its
 * user; NULL without memory. */
static char *without_secrets(const sgc_http_request *request, const struct curl_slist *headers,
                             const char *said)
{
    const size_t length = strlen(said);
    const quotation q = {.said = said, .covered = calloc(length + 1, 1)};
    char *text = malloc(3 * length + 1);
    size_t n = 0;
    if (q.covered != NULL && text != NULL) {
        cover_headers(&q, headers);
        cover_url(&q, request->url);
        cover_options(&q, request->url);
        cover_body(&q, request);
    }
    for (size_t i = 0; q.covered != NULL && text != NULL && i < length; i++) {
        if (!q.covered[i])
            text[n++] = said[i];
        else if (i == 0 || !q.covered[i - 1])
            n += (size_t)sprintf(text + n, "***");
    }
    if (text != NULL)
        text[q.covered != NULL ? n : 0] = '\0';
    free(q.covered);
    return text;
}

/* Copies the first line of `from`, printable, and without the query of a URL that it may quote. */
static void copy_printable(const char *from, char *line, size_t size)
{
    size_t n = 0;
    from += strspn(from, " \t\r\n");
    while (*from != '\0' && *from != '\n' && n + 1 < size) {
        line[n++] = *from >= ' ' && *from <= '~' ? *from : '?';
        from += *from == '?' ? strcspn(from, " \n\"'<>") : 1;
    }
    line[n] = '\0';
}

void sgc_http_copy_words(const sgc_http_request *request, const struct curl_slist *headers,
                         const char *said, char *line, size_t size)
{
    char *text = without_secrets(request, headers, said);
    copy_printable(text != NULL ? text : "", line, size);
    free(text);
}
