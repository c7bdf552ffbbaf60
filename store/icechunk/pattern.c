#include "store/icechunk/pattern.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    LONGEST_PATTERN = 1024,
    MOST_STEPS = 10000, /* from one place in the text */
    MOST_KIBIBYTES = 1024,
};

struct sgc_pattern {
    pcre2_code *code;
    pcre2_match_context *limits;
};

static sgc_status unsupported(sgc_span text, const char *reason, sgc_error *err)
{
    return sgc_fail(err, SGC_UNSUPPORTED, "the pattern \"%.*s\": %s",
                    (int)(text.size < 64 ? text.size : 64), text.text, reason);
}

static sgc_status compile(sgc_pattern *pattern, sgc_span text, sgc_error *err)
{
    int error;
    size_t offset;
    pattern->limits = pcre2_match_context_create(NULL);
    if (pattern->limits == NULL)
        return sgc_fail_memory(err, text.size, "a pattern");
    pcre2_set_match_limit(pattern->limits, MOST_STEPS);
    pcre2_set_heap_limit(pattern->limits, MOST_KIBIBYTES);
    pattern->code = pcre2_compile((const unsigned char *)text.text, text.size,
                                  PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF |
                                      PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C,
                                  &error, &offset, NULL);
    if (pattern->code != NULL)
        return SGC_OK;
    if (error == PCRE2_ERROR_HEAP_FAILED)
        return sgc_fail_memory(err, text.size, "a pattern");
    char reason[128];
    pcre2_get_error_message(error, (unsigned char *)reason, sizeof reason);
    return unsupported(text, reason, err);
}

sgc_status sgc_pattern_new(sgc_span text, sgc_pattern **out, sgc_error *err)
{
    if (text.size > LONGEST_PATTERN)
        return unsupported(text, "too long", err);
    sgc_pattern *pattern = calloc(1, sizeof *pattern);
    if (pattern == NULL)
        return sgc_fail_memory(err, sizeof *pattern, "a pattern");
    const sgc_status status = compile(pattern, text, err);
    if (status != SGC_OK) {
        sgc_pattern_free(pattern);
        return status;
    }
    *out = pattern;
    return SGC_OK;
}

void sgc_pattern_free(sgc_pattern *pattern)
{
    if (pattern == NULL)
        return;
    pcre2_code_free(pattern->code);
    pcre2_match_context_free(pattern->limits);
    free(pattern);
}

bool sgc_pattern_matches(const sgc_pattern *pattern, const char *text)
{
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    if (match == NULL)
        return false;
    const int count = pcre2_match(pattern->code, (const unsigned char *)text, strlen(text), 0, 0,
                                  match, pattern->limits);
    pcre2_match_data_free(match);
    return count >= 0;
}
