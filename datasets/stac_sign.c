#include "datasets/stac_sign.h"

#include <cpl_conv.h>
#include <cpl_string.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "datasets/memo.h"
#include "datasets/stac_items.h"
#include "datasets/stac_json.h"
#include "datasets/stac_search.h"

#define TOKEN_URL "https://planetarycomputer.microsoft.com/api/sas/v1/token/"

enum {
    MARGIN_S = 60, /* how long a token must be good yet */
    MOST_TOKENS = 16,
};

struct sgc_signer {
    sgc_http *http;
    char *service; /* ends with a slash */
    char *collection;
    sgc_memo *tokens; /* by the address that gives them */
};

sgc_status sgc_signer_new(sgc_http *http, const char *collection, sgc_signer **out, sgc_error *err)
{
    const char *base = CPLGetConfigOption("VSICURL_PC_SAS_TOKEN_URL", TOKEN_URL);
    sgc_signer *signer = calloc(1, sizeof *signer);
    if (signer == NULL)
        return sgc_fail_memory(err, sizeof *signer, "a signer");
    signer->http = http;
    signer->collection = CPLEscapeString(collection, -1, CPLES_URL);
    if (asprintf(&signer->service, "%s%s", base, base[strlen(base) - 1] == '/' ? "" : "/") < 0) {
        signer->service = NULL;
        sgc_signer_free(signer);
        return sgc_fail_memory(err, strlen(base), "a URL");
    }
    const sgc_status status = sgc_memo_new(MOST_TOKENS, free, &signer->tokens, err);
    if (status == SGC_OK)
        *out = signer;
    else
        sgc_signer_free(signer);
    return status;
}

void sgc_signer_free(sgc_signer *signer)
{
    if (signer == NULL)
        return;
    sgc_memo_free(signer->tokens);
    free(signer->service);
    CPLFree(signer->collection);
    free(signer);
}

/* A part of a token must not pass for the name of a file, which messages show. */
static char *escape_slashes(const char *token)
{
    char *escaped = malloc(3 * strlen(token) + 1), *to = escaped;
    for (; escaped != NULL && *token != '\0'; token++) {
        if (*token == '/')
            to += sprintf(to, "%%2F");
        else
            *to++ = *token;
    }
    if (escaped != NULL)
        *to = '\0';
    return escaped;
}

/* The token of an answer, which must fit into a query. */
static sgc_status read_token(const cJSON *json, void **value, double *seconds, sgc_error *err)
{
    const char *token = sgc_stac_text(json, "token");
    int64_t expiry;
    if (token == NULL || strpbrk(token, " \t\r\n#{}") != NULL)
        return sgc_fail(err, SGC_CORRUPT, "the token service answered without a token");
    if (!sgc_stac_parse_time(sgc_stac_text(json, "msft:expiry"), &expiry))
        return sgc_fail(err, SGC_CORRUPT,
                        "the token service does not say when its token expires (msft:expiry)");
    *value = escape_slashes(token + (*token == '?'));
    if (*value == NULL)
        return sgc_fail_memory(err, strlen(token), "a token");
    *seconds = (double)(expiry - (int64_t)time(NULL) - MARGIN_S);
    return SGC_OK;
}

static sgc_status fetch_token(void *user, const char *key, const sgc_cancel *cancel, void **value,
                              double *seconds, sgc_error *err)
{
    const sgc_signer *signer = user;
    cJSON *json = NULL;
    SGC_TRY(sgc_stac_get(signer->http, key, cancel, &json, err));
    const sgc_status status = read_token(json, value, seconds, err);
    cJSON_Delete(json);
    return status;
}

/* Gives (free with free()) the address of the token that a file may have, or NULL when it may have
 * none: a token goes to the very container of Azure's blob storage for which the service gave it,
 * and to the service itself. */
static sgc_status choose_token(const sgc_signer *signer, const char *url, char **out,
                               sgc_error *err)
{
    char account[64], container[64], slash = '\0';
    int length = 0;
    *out = NULL;
    if (strstr(url, "?sig=") != NULL || strstr(url, "&sig=") != NULL)
        return SGC_OK;
    if (sscanf(url, "https://%63[a-z0-9].blob.core.windows.net/%63[a-z0-9$-]%c", account, container,
               &slash) == 3 &&
        slash == '/')
        length = asprintf(out, "%s%s/%s", signer->service, account, container);
    else if (sgc_http_is_same_origin(url, signer->service))
        length = asprintf(out, "%s%s", signer->service, signer->collection);
    if (length >= 0)
        return SGC_OK;
    *out = NULL;
    return sgc_fail_memory(err, strlen(url), "a URL");
}

sgc_status sgc_signer_sign(sgc_signer *signer, const char *url, const sgc_cancel *cancel,
                           sgc_signed_url *out, sgc_error *err)
{
    sgc_signed_url result = {0};
    const char *token = "";
    char *token_url;
    SGC_TRY(choose_token(signer, url, &token_url, err));
    if (token_url != NULL) {
        const sgc_status status = sgc_memo_get(signer->tokens, token_url, fetch_token, signer,
                                               cancel, &result.token, &result.is_fresh, err);
        free(token_url);
        if (status != SGC_OK) /* a missing token is no missing file */
            return sgc_fail_in(err, status == SGC_NOT_FOUND ? SGC_NETWORK : status,
                               "asking for a token to read the files");
        token = sgc_memo_value(result.token);
    }
    const char *separator = *token == '\0' ? "" : strchr(url, '?') != NULL ? "&" : "?";
    if (asprintf(&result.url, "%s%s%s", url, separator, token) < 0) {
        result.url = NULL;
        sgc_signer_release(signer, &result, false);
        return sgc_fail_memory(err, strlen(url), "a URL");
    }
    *out = result;
    return SGC_OK;
}

void sgc_signer_release(sgc_signer *signer, sgc_signed_url *url, bool refused)
{
    if (refused && url->token != NULL)
        sgc_memo_forget(signer->tokens, url->token);
    sgc_memo_release(signer->tokens, url->token);
    free(url->url);
    *url = (sgc_signed_url){0};
}
