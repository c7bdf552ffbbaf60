/* Counts what the program asks malloc(), calloc() and realloc() for. Link with COUNTING_MALLOC. */
#ifndef COUNTING_MALLOC_H
#define COUNTING_MALLOC_H

#include <stddef.h>

/* Forgets what was asked for so far. */
void counting_malloc_reset(void);
/* The sum of all sizes since then. */
size_t counting_malloc_total(void);

#endif
