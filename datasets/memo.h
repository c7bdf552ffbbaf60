/* Answers of a service, kept for a while.
 *
 * A value is made once, by the first who asks for its key; others who ask meanwhile wait for it,
 * and share its failure, unless that was SGC_CANCELLED: then one of them makes it. Failures are not
 * kept: whoever asks later has it made anew. Thread-safe. */
#ifndef SGC_MEMO_H
#define SGC_MEMO_H

#include <stddef.h>

#include "datasets/cancel.h"
#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_memo sgc_memo;
typedef struct sgc_memo_entry sgc_memo_entry;

/* Gives the value for `key`, and for how many seconds it may be kept (0: only those who wait for it
 * get it). */
typedef sgc_status sgc_memo_make(void *user, const char *key, const sgc_cancel *cancel,
                                 void **value, double *seconds, sgc_error *err);

/* Gives a memo of about `capacity` values, released with `free_value`; free it when no entry is in
 * use. */
SGC_CHECKED sgc_status sgc_memo_new(size_t capacity, void (*free_value)(void *value),
                                    sgc_memo **out, sgc_error *err);
void sgc_memo_free(sgc_memo *memo);

/* Gives the entry for `key`, made now if need be; release it with sgc_memo_release(). `is_new`, if
 * not NULL, tells whether this very call made it. */
SGC_CHECKED sgc_status sgc_memo_get(sgc_memo *memo, const char *key, sgc_memo_make *make,
                                    void *user, const sgc_cancel *cancel, sgc_memo_entry **out,
                                    bool *is_new, sgc_error *err);

/* The value; borrows from the entry. */
const void *sgc_memo_value(const sgc_memo_entry *entry);
void sgc_memo_release(sgc_memo *memo, sgc_memo_entry *entry);

/* Whether a value for `key` is there. */
bool sgc_memo_has(sgc_memo *memo, const char *key);

/* Takes a value that came unasked, unless there is one already. */
void sgc_memo_put(sgc_memo *memo, const char *key, void *value, double seconds);

/* The next one who asks for the entry's key has it made anew. */
void sgc_memo_forget(sgc_memo *memo, sgc_memo_entry *entry);

SGC_END_C

#endif
