/* The patches of a cube: which there are and what is in the cube of them, as far as that is known
 * without a request. */
#ifndef SGC_PATCHES_H
#define SGC_PATCHES_H

#include "gdal_sgc/cube.h"

#include "store/error.h"

SGC_BEGIN_C

typedef enum sgc_patch_state {
    SGC_PATCH_ABSENT,  /* nothing of it is in the cube */
    SGC_PATCH_PARTIAL, /* some of the chunks that it meets are complete */
    SGC_PATCH_LOADED,  /* all are, in every channel */
    SGC_PATCH_EMPTY,   /* it was looked for, and the source has no such patch */
} sgc_patch_state;

/* "absent", "partial", "loaded" or "empty". */
const char *sgc_patch_state_name(sgc_patch_state state);

/* Texts borrow from the list. */
typedef struct sgc_known_patch {
    const char *id;
    size_t level;  /* whose chunks the state is about */
    bool has_step; /* false: of which step it is is not known */
    size_t step;   /* of the time axis; 0 when the cube is static */
    sgc_rect rect; /* full-resolution pixels, may reach outside the cube; empty: not known */
    sgc_patch_state state;
    const char *href; /* of a file of it, without secrets; NULL: not known */
    /* What the commits say that name it, the newest first; not known unless has_commit. */
    bool has_commit;
    sgc_object_id snapshot;
    uint64_t time;    /* microseconds since 1970 */
    uint64_t bytes;   /* received, by all of them */
    const char *etag; /* NULL: not known */
} sgc_known_patch;

/* Zero-initialise; release with sgc_known_patches_clear(). */
typedef struct sgc_known_patches {
    sgc_known_patch *items; /* by id, level and step, each once */
    size_t count, capacity;
    bool lacks_absent; /* there are more absent ones than were asked for: none is listed */
    sgc_arena arena;   /* of the texts */
} sgc_known_patches;

void sgc_known_patches_clear(sgc_known_patches *list);

/* Gives the patches that meet `rect`, pixels inside the level, at a time step (0 when the cube is
 * static): all of them where the source finds patches alone, else those that the commits of the
 * cube or an index that is kept on this computer tell of. Asks nobody; thread-safe. Reads commits
 * that are newer than at the last question. */
SGC_CHECKED sgc_status sgc_cube_find_patches(sgc_cube *cube, size_t level, size_t step,
                                             sgc_rect rect, sgc_known_patches *out, sgc_error *err);

/* Gives all patches of `count` time steps from `first` on (0 and 1 when the cube is static),
 * likewise: of full resolution, and of other levels those that are not absent. Without rectangle
 * come those of which only the id is known. Absent ones are left out when there are more than
 * `most`. */
SGC_CHECKED sgc_status sgc_cube_list_patches(sgc_cube *cube, size_t first, size_t count,
                                             size_t most, sgc_known_patches *out, sgc_error *err);

SGC_END_C

#endif
