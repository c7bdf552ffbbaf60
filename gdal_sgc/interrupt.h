/* Ctrl-C while a read loads.
 *
 * Between begin and end, on the main thread, SIGINT only asks the load to end; what was finished is
 * then committed, and the end sends the signal on to the host's own handler. A second SIGINT goes
 * there at once. On other threads, and where the host ignores SIGINT, nothing happens. Children
 * that other threads fork meanwhile have the host's handler. */
#ifndef SGC_INTERRUPT_H
#define SGC_INTERRUPT_H

#include <stdbool.h>

#include "store/error.h"

SGC_BEGIN_C

/* Each begin is followed by an end on the same thread; pairs may nest: the outermost counts, as a
 * progress callback may read another cube. */
void sgc_interrupt_begin(void);
void sgc_interrupt_end(void);

/* Whether SIGINT came since the calling thread began, first. */
bool sgc_interrupt_came(void);

SGC_END_C

#endif
