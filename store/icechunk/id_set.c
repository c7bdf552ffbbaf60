#include "store/icechunk/id_set.h"

#include <stdlib.h>
#include <sys/random.h>

enum { FEWEST_SLOTS = 64 };

void sgc_id_set_free(sgc_id_set *set)
{
    free(set->ids);
    free(set->used);
    *set = (sgc_id_set){0};
}

/* The slot of `id`, or the free one where it belongs. */
static size_t slot_of(const sgc_id_set *set, const sgc_object_id *id)
{
    static const uint64_t factor = UINT64_C(0x9E3779B97F4A7C15);
    uint64_t first;
    uint32_t last;
    memcpy(&first, id->bytes, sizeof first);
    memcpy(&last, id->bytes + sizeof first, sizeof last);
    const uint64_t hash = ((first ^ set->seed) * factor ^ last ^ set->seed >> 32) * factor;
    size_t at = (size_t)(hash >> 32) & (set->slot_count - 1);
    while (set->used[at] && sgc_object_id_compare(&set->ids[at], id) != 0)
        at = (at + 1) & (set->slot_count - 1);
    return at;
}

bool sgc_id_set_has(const sgc_id_set *set, const sgc_object_id *id)
{
    return set->count > 0 && set->used[slot_of(set, id)];
}

static sgc_status grow(sgc_id_set *set, sgc_error *err)
{
    const size_t wanted = set->slot_count > 0 ? set->slot_count * 2 : FEWEST_SLOTS;
    sgc_id_set bigger = {calloc(wanted, sizeof *bigger.ids), calloc(wanted, sizeof *bigger.used),
                         set->count, wanted, set->seed};
    /* Without one the set is slow for ids that somebody has chosen so. */
    if (set->seed == 0 && getrandom(&bigger.seed, sizeof bigger.seed, GRND_NONBLOCK) < 0)
        bigger.seed = 0;
    if (bigger.ids == NULL || bigger.used == NULL) {
        sgc_id_set_free(&bigger);
        return sgc_fail_memory(err, wanted * sizeof *bigger.ids, "a set of ids");
    }
    for (size_t i = 0; i < set->slot_count; i++) {
        if (set->used[i]) {
            const size_t at = slot_of(&bigger, &set->ids[i]);
            bigger.ids[at] = set->ids[i];
            bigger.used[at] = true;
        }
    }
    sgc_id_set_free(set);
    *set = bigger;
    return SGC_OK;
}

sgc_status sgc_id_set_add(sgc_id_set *set, const sgc_object_id *id, bool *added, sgc_error *err)
{
    if ((set->count + 1) * 2 > set->slot_count)
        SGC_TRY(grow(set, err));
    const size_t at = slot_of(set, id);
    if (added != NULL)
        *added = !set->used[at];
    set->count += !set->used[at];
    set->used[at] = true;
    set->ids[at] = *id;
    return SGC_OK;
}
