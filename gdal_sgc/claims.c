#include "gdal_sgc/claims.h"

enum { POLL_MILLISECONDS = 100 };

/* The bits that numbers below `count` need. */
static int bits_for(int64_t count)
{
    int bits = 0;
    while ((count - 1) >> bits > 0)
        bits++;
    return bits;
}

/* The lock of a position: its level, channel, time step, row and column as bit fields, as wide as
 * the cube needs them, above the store's own locks. In a cube beyond all measure the fields of the
 * finest levels would not fit: there two positions may share a lock, and one waits for the other.
 */
static int64_t lock_number(const sgc_cube *cube, size_t level, sgc_position at)
{
    enum { USABLE_BITS = 62, FACTORS = 32, STEPS = 1 << 20 };
    int64_t rows = 1, columns = 1;
    for (size_t i = 0; i < cube->level_count; i++) {
        const int64_t r = sgc_level_rows(&cube->levels[i]);
        const int64_t c = sgc_level_columns(&cube->levels[i]);
        rows = r > rows ? r : rows;
        columns = c > columns ? c : columns;
    }
    const struct {
        int64_t value, count;
    } fields[] = {{bits_for(cube->levels[level].factor), FACTORS},
                  {at.band, (int64_t)cube->definition->band_count},
                  {at.step, STEPS},
                  {at.row, rows},
                  {at.column, columns}};
    uint64_t number = 0;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        number = number << bits_for(fields[i].count) | (uint64_t)fields[i].value;
    return INT64_C(1) << USABLE_BITS | (int64_t)(number & ((UINT64_C(1) << USABLE_BITS) - 1));
}

/* ---- the table ---- */

/* Enters the claim; false when another with its lock is there. */
static bool enter(sgc_cube *cube, sgc_claim *claim)
{
    pthread_mutex_lock(&cube->mutex);
    const sgc_claim *other = cube->claims;
    while (other != NULL && other->lock != claim->lock)
        other = other->next;
    if (other == NULL) {
        claim->next = cube->claims;
        cube->claims = claim;
    }
    pthread_mutex_unlock(&cube->mutex);
    return other == NULL;
}

/* In a forked child its parent's claims are in the table no more. */
static void leave(sgc_cube *cube, const sgc_claim *claim)
{
    pthread_mutex_lock(&cube->mutex);
    sgc_claim **link = &cube->claims;
    while (*link != NULL && *link != claim)
        link = &(*link)->next;
    if (*link != NULL)
        *link = claim->next;
    pthread_cond_broadcast(&cube->released);
    pthread_mutex_unlock(&cube->mutex);
}

/* The claim of a position, or NULL. The cube's mutex is held. */
static sgc_claim *find_claim(const sgc_cube *cube, size_t level, sgc_position at)
{
    sgc_claim *c = cube->claims;
    while (c != NULL && !(c->at.row == at.row && c->at.column == at.column &&
                          c->at.step == at.step && c->at.band == at.band && c->level == level))
        c = c->next;
    return c;
}

/* ---- claims ---- */

sgc_status sgc_claim_take(sgc_cube *cube, size_t level, sgc_position at, sgc_claim *claim,
                          sgc_error *err)
{
    sgc_object_store *store = sgc_repository_store(cube->repository);
    if (claim->taken)
        return SGC_OK;
    claim->level = level;
    claim->at = at;
    claim->lock = lock_number(cube, level, at);
    claim->wanted = false;
    if (!enter(cube, claim))
        return SGC_OK;
    claim->taken = store->lock == NULL;
    const sgc_status status =
        claim->taken ? SGC_OK : store->lock(store, claim->lock, &claim->taken, err);
    if (!claim->taken)
        leave(cube, claim);
    return status;
}

void sgc_claim_release(sgc_cube *cube, sgc_claim *claim)
{
    sgc_object_store *store = sgc_repository_store(cube->repository);
    if (!claim->taken)
        return;
    if (store->unlock != NULL)
        store->unlock(store, claim->lock);
    claim->taken = false;
    leave(cube, claim);
}

/* ---- for those who want a chunk ---- */

bool sgc_claims_has(sgc_cube *cube, size_t level, sgc_position at)
{
    pthread_mutex_lock(&cube->mutex);
    const bool found = find_claim(cube, level, at) != NULL;
    pthread_mutex_unlock(&cube->mutex);
    return found;
}

size_t sgc_claims_move_last(sgc_cube *cube, size_t level, sgc_position *positions, size_t count)
{
    size_t n = 0;
    pthread_mutex_lock(&cube->mutex);
    for (size_t i = 0; i < count; i++)
        if (find_claim(cube, level, positions[i]) == NULL) {
            const sgc_position at = positions[i];
            positions[i] = positions[n];
            positions[n++] = at;
        }
    pthread_mutex_unlock(&cube->mutex);
    return n;
}

void sgc_claims_wait(sgc_cube *cube, size_t level, const sgc_position *positions, size_t count)
{
    bool all_claimed = true;
    pthread_mutex_lock(&cube->mutex);
    for (size_t i = 0; all_claimed && i < count; i++) {
        sgc_claim *claim = find_claim(cube, level, positions[i]);
        all_claimed = claim != NULL;
        if (all_claimed)
            claim->wanted = true;
    }
    if (all_claimed)
        sgc_condition_wait(&cube->released, &cube->mutex, POLL_MILLISECONDS);
    pthread_mutex_unlock(&cube->mutex);
}
