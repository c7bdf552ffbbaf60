#include <cpl_conv.h>
#include <cpl_string.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "datasets/http.h"

void sgc_http_redact(const char *url, char *text, size_t size)
{
    const char *delimiter = url + strcspn(url, "/?#");
    const bool has_scheme = delimiter > url && strncmp(delimiter - 1, "://", 3) == 0;
    const char *authority = has_scheme ? delimiter + 2 : url;
    const char *authority_end = authority + strcspn(authority, "/?#");
    const char *host = authority;
    for (const char *c = authority; c < authority_end; c++)
        if (*c == '@')
            host = c + 1;
    snprintf(text, size, "%.*s%.*s", (int)(authority - url), url, (int)strcspn(host, "?#"), host);
}

/* Gives a part of a URL in a form that can be compared, or NULL. */
static char *part_of(const char *url, CURLUPart part)
{
    CURLU *parsed = curl_url();
    char *text = NULL;
    if (parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK)
        curl_url_get(parsed, part, &text, CURLU_DEFAULT_PORT);
    curl_url_cleanup(parsed);
    return text;
}

static bool is_same_part(const char *a, const char *b, CURLUPart part)
{
    char *of_a = part_of(a, part), *of_b = part_of(b, part);
    const bool same = of_a != NULL && of_b != NULL && strcasecmp(of_a, of_b) == 0;
    curl_free(of_a);
    curl_free(of_b);
    return same;
}

bool sgc_http_is_same_origin(const char *a, const char *b)
{
    return is_same_part(a, b, CURLUPART_SCHEME) && is_same_part(a, b, CURLUPART_HOST) &&
           is_same_part(a, b, CURLUPART_PORT);
}

bool sgc_http_is_trusted(const char *url)
{
    char *host = part_of(url, CURLUPART_HOST), *port = part_of(url, CURLUPART_PORT);
    char **trusted = CSLTokenizeString2(CPLGetConfigOption("SGC_TRUSTED_HOSTS", ""), ", ", 0);
    bool found = false;
    for (int i = 0; host != NULL && port != NULL && i < CSLCount(trusted); i++) {
        const size_t length = strlen(host);
        const char *rest = trusted[i] + length;
        found |= EQUALN(trusted[i], host, length) &&
                 (*rest == '\0' || (*rest == ':' && strcmp(rest + 1, port) == 0));
    }
    CSLDestroy(trusted);
    curl_free(host);
    curl_free(port);
    return found;
}
