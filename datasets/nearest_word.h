/* Spelling help for messages. */
#ifndef SGC_NEAREST_WORD_H
#define SGC_NEAREST_WORD_H

#include "store/error.h"

SGC_BEGIN_C

/* The candidate (of a NULL-terminated list) nearest to `word` in spelling, or else the first that
 * it abbreviates; NULL when there is none. */
const char *sgc_nearest_word(const char *word, const char *const *candidates);

SGC_END_C

#endif
