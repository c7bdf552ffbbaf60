#include <cpl_conv.h>
#include <cpl_string.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "datasets/definition_private.h"

/* Names of secrets in parameters of URLs, headers, open options and keywords of databases, in small
 * letters and without marks: "X-Amz-Security-Token" is "xamzsecuritytoken". */
static const char *const whole_names[] = {"code", "pass", "sas", "sig", NULL};
static const char *const endings[] = {"auth", "key", "keyid", "pwd", NULL};
static const char *const parts[] = {
    "accesskey",  "apikey", "authent",  "authoriz", "bearer",    "cookie", "credential",
    "passphrase", "passwd", "password", "secret",   "signature", "token",  NULL,
};

enum { LONGEST_NAME = 64 };

static bool has_ending(const char *name, const char *ending)
{
    const size_t length = strlen(name), size = strlen(ending);
    return length >= size && strcmp(name + length - size, ending) == 0;
}

static bool is_secret_name(const char *name, size_t size)
{
    char plain[LONGEST_NAME + 1];
    size_t n = 0;
    bool found = false;
    for (size_t i = size > LONGEST_NAME ? size - LONGEST_NAME : 0; i < size; i++)
        if (isalnum((unsigned char)name[i]))
            plain[n++] = (char)tolower((unsigned char)name[i]);
    plain[n] = '\0';
    for (const char *const *word = whole_names; *word != NULL; word++)
        found |= strcmp(plain, *word) == 0;
    for (const char *const *word = endings; *word != NULL; word++)
        found |= has_ending(plain, *word);
    for (const char *const *word = parts; *word != NULL; word++)
        found |= strstr(plain, *word) != NULL;
    return found;
}

/* Gives what follows {config:NAME}, or several of them with colons between, also in quotes or
 * behind the word of an authentication scheme; NULL when the value begins otherwise. */
static const char *after_references(const char *value)
{
    static const char *const schemes[] = {"bearer ", "basic ", "token ", NULL};
    const char *end = NULL;
    value += strspn(value, " '\"");
    for (const char *const *scheme = schemes; *scheme != NULL; scheme++)
        if (strncasecmp(value, *scheme, strlen(*scheme)) == 0)
            value += strlen(*scheme);
    value += strspn(value, " ");
    while (strncmp(value, "{config:", 8) == 0 && (value = strchr(value, '}')) != NULL) {
        end = ++value;
        value += *value == ':';
    }
    return end;
}

/* Whether the value of a pair, which more text may follow, is nothing but references. */
static bool is_reference(const char *value)
{
    const char *rest = after_references(value);
    return rest != NULL && (*rest == '\0' || strchr(" '\"&;,<", *rest) != NULL);
}

bool sgc_definition_is_secret(const char *name, const char *value)
{
    const char *rest = after_references(value);
    return is_secret_name(name, strlen(name)) &&
           (rest == NULL || rest[strspn(rest, " '\"")] != '\0');
}

/* True for user:password@. */
static bool has_user(const char *text)
{
    for (const char *at = text; (at = strstr(at, "://")) != NULL;) {
        at += 3;
        if (at[strcspn(at, "@/?#")] == '@')
            return true;
    }
    return false;
}

/* Whether the name before `mark`, with spaces between, is one of a secret. */
static bool is_named(const char *text, const char *mark)
{
    const char *end = mark;
    while (end > text && end[-1] == ' ')
        end--;
    const char *name = end;
    while (name > text && (isalnum((unsigned char)name[-1]) || strchr("-_.", name[-1]) != NULL))
        name--;
    const bool closes = *mark == '>' && (name == text || name[-1] != '<');
    return !closes && is_secret_name(name, (size_t)(end - name));
}

/* name=value, and <name>value. */
static bool has_pair(const char *text)
{
    for (const char *mark = text; (mark = strpbrk(mark, "=>")) != NULL; mark++)
        if (is_named(text, mark) && !is_reference(mark + 1))
            return true;
    return false;
}

bool sgc_definition_has_secret(const char *text)
{
    char *plain = CPLUnescapeString(text, NULL, CPLES_URL);
    const bool found = has_user(text) || has_pair(text) || has_user(plain) || has_pair(plain);
    CPLFree(plain);
    return found;
}
