#include "store/icechunk/chunk_map.h"

#include <stdlib.h>

enum { FEWEST_SLOTS = 64 };

void sgc_chunk_map_free(sgc_chunk_map *map)
{
    free(map->items);
    free(map->slots);
    *map = (sgc_chunk_map){0};
}

static size_t hash(const uint32_t *coordinates)
{
    uint64_t h = 0;
    for (size_t d = 0; d < SGC_MAX_DIMENSIONS; d++)
        h = (h ^ coordinates[d]) * UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(h ^ h >> 32);
}

/* The slot of the chunk, or the free one where it belongs. */
static size_t *slot_of(const sgc_chunk_map *map, const uint32_t *coordinates)
{
    size_t at = hash(coordinates) & (map->slot_count - 1);
    while (map->slots[at] != 0 && memcmp(map->items[map->slots[at] - 1].coordinates, coordinates,
                                         sizeof map->items->coordinates) != 0)
        at = (at + 1) & (map->slot_count - 1);
    return &map->slots[at];
}

static void fill_slots(sgc_chunk_map *map)
{
    memset(map->slots, 0, map->slot_count * sizeof *map->slots);
    for (size_t i = 0; i < map->count; i++)
        *slot_of(map, map->items[i].coordinates) = i + 1;
}

/* At most half of the slots are used. */
static bool make_room(sgc_chunk_map *map)
{
    sgc_chunk_change *items = sgc_list_grow(map->items, map->count, &map->capacity, sizeof *items);
    if (items == NULL)
        return false;
    map->items = items;
    if ((map->count + 1) * 2 <= map->slot_count)
        return true;
    const size_t wanted = map->slot_count > 0 ? map->slot_count * 2 : FEWEST_SLOTS;
    size_t *slots = realloc(map->slots, wanted * sizeof *slots);
    if (slots == NULL)
        return false;
    map->slots = slots;
    map->slot_count = wanted;
    fill_slots(map);
    return true;
}

static void pad(uint32_t padded[SGC_MAX_DIMENSIONS], const uint32_t *coordinates,
                size_t dimension_count)
{
    memset(padded, 0, SGC_MAX_DIMENSIONS * sizeof *padded);
    if (dimension_count > 0)
        memcpy(padded, coordinates, dimension_count * sizeof *padded);
}

sgc_chunk_change *sgc_chunk_map_find(const sgc_chunk_map *map, const uint32_t *coordinates,
                                     size_t dimension_count)
{
    uint32_t padded[SGC_MAX_DIMENSIONS];
    if (map->count == 0)
        return NULL;
    pad(padded, coordinates, dimension_count);
    const size_t found = *slot_of(map, padded);
    return found > 0 ? &map->items[found - 1] : NULL;
}

sgc_status sgc_chunk_map_put(sgc_chunk_map *map, const uint32_t *coordinates,
                             size_t dimension_count, const sgc_chunk_ref *ref, sgc_error *err)
{
    sgc_chunk_change *found = sgc_chunk_map_find(map, coordinates, dimension_count);
    if (found != NULL) {
        found->ref = *ref;
        return SGC_OK;
    }
    if (!make_room(map))
        return sgc_fail_memory(err, sizeof *map->items, "a transaction");
    sgc_chunk_change made = {.ref = *ref};
    pad(made.coordinates, coordinates, dimension_count);
    map->items[map->count++] = made;
    *slot_of(map, made.coordinates) = map->count;
    return SGC_OK;
}

void sgc_chunk_map_filter(sgc_chunk_map *map,
                          bool (*keep)(const void *user, const sgc_chunk_change *change),
                          const void *user)
{
    size_t n = 0;
    for (size_t i = 0; i < map->count; i++)
        if (keep(user, &map->items[i]))
            map->items[n++] = map->items[i];
    map->count = n;
    if (map->slot_count > 0)
        fill_slots(map);
}
