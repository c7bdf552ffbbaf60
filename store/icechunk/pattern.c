#include "store/icechunk/pattern.h"

#include <ctype.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "store/memory.h"

enum {
    LONGEST_PATTERN = 256,
    MOST_COPIES = 1000, /* that {} makes of characters */
    MOST_NESTING = 2,   /* of repetitions */
};

struct sgc_pattern {
    regex_t regex;
};

/* What may be repeated stands before `at`. */
typedef enum operand {
    NO_OPERAND, /* also an anchor, or what is repeated already */
    CHARACTER,
    GROUP,
} operand;

/* A pattern on its way from Rust's syntax to that of the C library, whose compiler takes time and
 * memory that are exponential in nested repetitions. */
typedef struct translation {
    const char *at;
    char text[3 * LONGEST_PATTERN + 1]; /* no character becomes more than 3 */
    size_t size;
    operand last;
    int last_nesting;                 /* of repetitions in `last` */
    int nesting[LONGEST_PATTERN + 1]; /* of repetitions in each open group */
    size_t depth;                     /* of groups */
    unsigned long copies;
} translation;

static void put(translation *t, const char *text)
{
    strcpy(t->text + t->size, text);
    t->size += strlen(text);
}

static void copy(translation *t, size_t count)
{
    memcpy(t->text + t->size, t->at, count);
    t->text[t->size += count] = '\0';
    t->at += count;
}

/* At a backslash. */
static bool translate_escape(translation *t)
{
    const char c = t->at[1];
    const bool is_word_end = c == 'b' || c == 'B';
    t->last = is_word_end ? NO_OPERAND : CHARACTER;
    if (c == 'd' || c == 'D') {
        put(t, c == 'd' ? "[0-9]" : "[^0-9]");
        t->at += 2;
        return true;
    }
    if (c == '\0' || strchr("`'<>", c) != NULL ||
        (!ispunct((unsigned char)c) && strchr("wWsSbB", c) == NULL))
        return false;
    copy(t, 2);
    return true;
}

/* At "[": to behind its "]". The C library knows neither escapes nor sets within sets. */
static bool translate_set(translation *t)
{
    t->last = CHARACTER;
    copy(t, 1);
    copy(t, *t->at == '^');
    copy(t, *t->at == ']');
    while (*t->at != ']') {
        const char *name_end = strncmp(t->at, "[:", 2) == 0 ? strstr(t->at, ":]") : NULL;
        if (*t->at == '\0' || *t->at == '\\' || (*t->at == '[' && name_end == NULL) ||
            strncmp(t->at, "&&", 2) == 0 || strncmp(t->at, "--", 2) == 0 ||
            strncmp(t->at, "~~", 2) == 0)
            return false;
        copy(t, name_end != NULL ? (size_t)(name_end + 2 - t->at) : 1);
    }
    copy(t, 1);
    return true;
}

static bool open_group(translation *t)
{
    if (t->at[1] == '?' && t->at[2] != ':')
        return false;
    put(t, "(");
    t->at += t->at[1] == '?' ? 3 : 1;
    t->nesting[++t->depth] = 0;
    t->last = NO_OPERAND;
    return true;
}

static bool close_group(translation *t)
{
    if (t->depth == 0)
        return false;
    copy(t, 1);
    const int inner = t->nesting[t->depth--];
    if (inner > t->nesting[t->depth])
        t->nesting[t->depth] = inner;
    t->last = GROUP;
    t->last_nesting = inner;
    return true;
}

/* At "{": to behind its "}". */
static bool copy_counts(translation *t)
{
    char *end;
    unsigned long most = 0;
    if (t->last == GROUP)
        return false;
    do {
        copy(t, 1);
        if (!isdigit((unsigned char)*t->at))
            return false;
        const unsigned long count = strtoul(t->at, &end, 10);
        most = count > most ? count : most;
        copy(t, (size_t)(end - t->at));
    } while (*t->at == ',' && t->at[1] != '}');
    copy(t, *t->at == ',');
    if (*t->at != '}' || most > MOST_COPIES - t->copies)
        return false;
    copy(t, 1);
    t->copies += most;
    return true;
}

/* At "*", "+", "?" or "{". */
static bool translate_repetition(translation *t)
{
    const int nesting = (t->last == GROUP ? t->last_nesting : 0) + 1;
    if (t->last == NO_OPERAND || nesting > MOST_NESTING)
        return false;
    if (*t->at != '{')
        copy(t, 1);
    else if (!copy_counts(t))
        return false;
    /* Whether a repetition is lazy does not change whether a text matches. */
    t->at += *t->at == '?';
    if (nesting > t->nesting[t->depth])
        t->nesting[t->depth] = nesting;
    t->last = NO_OPERAND;
    return true;
}

static bool translate(translation *t)
{
    while (*t->at != '\0') {
        bool good = true;
        switch (*t->at) {
        case '\\':
            good = translate_escape(t);
            break;
        case '[':
            good = translate_set(t);
            break;
        case '(':
            good = open_group(t);
            break;
        case ')':
            good = close_group(t);
            break;
        case '*':
        case '+':
        case '?':
        case '{':
            good = translate_repetition(t);
            break;
        default:
            t->last = strchr("^$|", *t->at) != NULL ? NO_OPERAND : CHARACTER;
            copy(t, 1);
            break;
        }
        if (!good)
            return false;
    }
    return true;
}

sgc_status sgc_pattern_new(const char *text, sgc_pattern **out, sgc_error *err)
{
    translation t = {.at = text};
    if (strlen(text) > LONGEST_PATTERN || !translate(&t))
        return sgc_fail(err, SGC_UNSUPPORTED, "the pattern \"%.64s\" is not supported", text);
    sgc_pattern *pattern = malloc(sizeof *pattern);
    if (pattern == NULL)
        return sgc_fail_memory(err, sizeof *pattern, "a pattern");
    const int code = regcomp(&pattern->regex, t.text, REG_EXTENDED | REG_NOSUB);
    if (code != 0) {
        char reason[64];
        regerror(code, &pattern->regex, reason, sizeof reason);
        free(pattern);
        return sgc_fail(err, code == REG_ESPACE ? SGC_NO_MEMORY : SGC_UNSUPPORTED,
                        "the pattern \"%.64s\": %s", text, reason);
    }
    *out = pattern;
    return SGC_OK;
}

void sgc_pattern_free(sgc_pattern *pattern)
{
    if (pattern == NULL)
        return;
    regfree(&pattern->regex);
    free(pattern);
}

bool sgc_pattern_matches(const sgc_pattern *pattern, const char *text)
{
    return regexec(&pattern->regex, text, 0, NULL, 0) == 0;
}
