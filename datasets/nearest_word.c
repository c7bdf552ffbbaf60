#include "datasets/nearest_word.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static size_t edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 64 };
    size_t row[LONGEST + 1];
    const size_t n = strlen(b);
    if (n > LONGEST)
        return SIZE_MAX;
    for (size_t k = 0; k <= n; k++)
        row[k] = k;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t k = 1; k <= n; k++) {
            const int same = (a[i - 1] | 32) == (b[k - 1] | 32);
            size_t best = diagonal + (same ? 0 : 1);
            diagonal = row[k];
            if (row[k] + 1 < best)
                best = row[k] + 1;
            if (row[k - 1] + 1 < best)
                best = row[k - 1] + 1;
            row[k] = best;
        }
    }
    return row[n];
}

/* Whether `word` begins as `whole` does and leaves letters of it out, as "dtype" does of
 * "data_type". */
static bool is_abbreviation(const char *word, const char *whole)
{
    enum { FEWEST_LETTERS = 3 };
    if (strlen(word) < FEWEST_LETTERS || (*word | 32) != (*whole | 32))
        return false;
    for (; *word != '\0' && *whole != '\0'; whole++)
        word += (*word | 32) == (*whole | 32);
    return *word == '\0';
}

const char *sgc_nearest_word(const char *word, const char *const *candidates)
{
    const char *const *all = candidates;
    const char *nearest = NULL;
    size_t smallest = strlen(word) / 2 + 1;
    for (; *candidates != NULL; candidates++) {
        const size_t distance = edit_distance(word, *candidates);
        if (distance < smallest) {
            smallest = distance;
            nearest = *candidates;
        }
    }
    for (; nearest == NULL && *all != NULL; all++)
        if (is_abbreviation(word, *all))
            nearest = *all;
    return nearest;
}
