/* A disk that fails, a process that is killed and a power that goes, simulated.
 *
 * The linker puts the functions of this file before the system calls that change the disk
 * (CMakeLists.txt). They are counted; to the n-th of them something happens. What was not synced
 * is known and can be taken away. Nothing is ever really synced. One thread only. */
#ifndef POWER_LOSS_H
#define POWER_LOSS_H

#include <stdbool.h>

typedef enum disk_event {
    DISK_FINE,
    DISK_ERROR,       /* the call fails with `code` */
    DISK_FULL,        /* it fails with ENOSPC, and so do all later ones that need space */
    DISK_SHORT_WRITE, /* it writes a half; only writes are counted */
    DISK_CRASH,       /* the process ends before it, with the exit status DISK_CRASHED */
} disk_event;

/* What is lost at the end. Names are those in directories, unless these were synced since. */
typedef enum power_loss {
    LOSE_NOTHING,            /* the system goes on */
    LOSE_NAMES_AND_CONTENTS, /* contents become empty */
    LOSE_NAMES_KEEP_GARBAGE, /* contents become half as long, and wrong */
    LOSE_CONTENTS,           /* become half as long, and wrong; all names are there */
} power_loss;

enum { DISK_CRASHED = 99 };

typedef struct disk_plan {
    unsigned at; /* the number of the call, from 1 on */
    disk_event event;
    int code;
    power_loss loss; /* at DISK_CRASH, or at disk_end() */
} disk_plan;

/* Begins to count. `spare` is an existing directory of the same file system, for what must be kept
 * to be brought back. */
void disk_begin(const disk_plan *plan, const char *spare);

/* Ends it and says to which call the event happened; NULL: to none. Static text. */
const char *disk_end(void);

#endif
