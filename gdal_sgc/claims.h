/* Who fills which chunk.
 *
 * A claim of a position excludes the other loads of the process by the cube's table of chunks in
 * flight, and those of other handles and processes by a lock on disk. It is tried, never waited
 * for, and held until the chunk is committed, which is at once if somebody waits for it, or the
 * load has ended. Nobody waits for others' claims while he holds one. A thread that wants a chunk
 * in flight looks at the cube again when the claim is released, and fills it itself if its load has
 * failed. All functions are thread-safe. */
#ifndef SGC_CLAIMS_H
#define SGC_CLAIMS_H

#include "gdal_sgc/cube_private.h"

#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_claim {
    bool taken;
    size_t level;
    sgc_position at;
    int64_t lock;       /* its number on disk */
    atomic_bool wanted; /* somebody waits for the chunk */
    struct sgc_claim *next;
} sgc_claim;

/* Claims a position, unless another has it or `claim` holds it already: claim->taken says whether
 * it is ours now. Until its release the cube, whose repository exists, borrows `claim`. */
SGC_CHECKED sgc_status sgc_claim_take(sgc_cube *cube, size_t level, sgc_position at,
                                      sgc_claim *claim, sgc_error *err);
/* Does nothing if it is not taken. */
void sgc_claim_release(sgc_cube *cube, sgc_claim *claim);

/* Whether a load of this process has claimed a position. */
bool sgc_claims_has(sgc_cube *cube, size_t level, sgc_position at);

/* Puts those of `count` positions that a load of this process has claimed behind the others, whose
 * order stays, and says how many the others are. */
size_t sgc_claims_move_last(sgc_cube *cube, size_t level, sgc_position *positions, size_t count);

/* Waits until one of the positions is not claimed in this process, for a tenth of a second at most,
 * and tells those who have claimed them that they are wanted; `count` is 1 or more. */
void sgc_claims_wait(sgc_cube *cube, size_t level, const sgc_position *positions, size_t count);

SGC_END_C

#endif
