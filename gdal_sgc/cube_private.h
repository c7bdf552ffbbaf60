/* What the files of the cube and the loader share. */
#ifndef SGC_CUBE_PRIVATE_H
#define SGC_CUBE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "datasets/condition.h"
#include "gdal_sgc/cube.h"
#include "gdal_sgc/loaded_set.h"
#include "store/fork.h"

#include "store/error.h"

SGC_BEGIN_C

/* What `complete` says about a chunk besides 0, which is nothing (architecture 6.3). */
enum {
    SGC_COMPLETE = 1,
    SGC_COMPLETE_FOR_NOW = 2,   /* a patch or an asset was missing that may come */
    SGC_ASK_AGAIN = 3,          /* was for now; the user wants the source to be asked again */
    SGC_COMPLETE_UNTIL_END = 4, /* of the time step, which ran */
};

static inline bool sgc_flag_is_complete(uint8_t flag)
{
    return flag != 0 && flag != SGC_ASK_AGAIN;
}

struct sgc_cube {
    /* Set at creation of the handle, never changed. */
    char *key;
    char *place;
    sgc_ref_choice ref_choice;
    char *ref;
    uint64_t as_of;
    unsigned max_requests;
    int compression_level;
    int spec_version;
    char *source_url;
    char *project;
    sgc_definition *definition;
    sgc_level levels[SGC_MOST_LEVELS];
    size_t level_count;
    sgc_source *source;         /* of full resolution */
    sgc_source **level_sources; /* one per definition->levels */
    sgc_error no_load;          /* why this cube cannot be loaded further; empty: it can */

    unsigned references; /* guarded by the registry */
    struct sgc_cube *next;

    pthread_mutex_t refreshing; /* held while a thread makes the repository or adopts the tip; taken
                                 * before `mutex` */
    pthread_mutex_t mutex;      /* guards the rest */
    pthread_cond_t released;    /* a claim */
    struct sgc_claim *claims;   /* of chunks in flight (claims.h) */
    sgc_object_store *store;    /* until the repository exists, which takes it */
    sgc_repository *repository;
    sgc_view *view; /* NULL until the cube is made */
    sgc_fork_watch forks;

    pthread_mutex_t patch_log_mutex; /* guards the last; taken before `mutex` */
    struct sgc_patch_log *patch_log; /* NULL until somebody asks for patches */
};

struct sgc_view {
    atomic_uint references;
    sgc_cube *cube; /* not counted: a view does not outlive its cube's handles */
    sgc_snapshot *snapshot;
    /* By level; NULL where the level is not made yet. A cube that is not of our making has channels
     * and nothing that says what is complete. */
    sgc_array **channels[SGC_MOST_LEVELS]; /* band_count each */
    sgc_array *complete[SGC_MOST_LEVELS];
    size_t steps[SGC_MOST_LEVELS];
    _Atomic(sgc_loaded_set *) loaded; /* made when it is asked for the first time */
};

/* The ids in "loaded_patches" of the view; borrows. */
SGC_CHECKED sgc_status sgc_view_loaded(const sgc_view *view, const sgc_loaded_set **out,
                                       sgc_error *err);

/* The source that a level is loaded from; borrows. */
sgc_source *sgc_cube_source(const sgc_cube *cube, size_t level);

/* Whether a time step has not ended, so that more patches of it may come. */
bool sgc_cube_step_runs(const sgc_cube *cube, size_t step);

/* How many bands are loaded together: all or one. */
size_t sgc_cube_unit_bands(const sgc_cube *cube);

/* Reads what is complete of the bands from slice.band on, at slice.step, under `chunks` (columns,
 * rows): band x row x column; 0 where the view has nothing. */
SGC_CHECKED sgc_status sgc_view_read_flags(const sgc_view *view, size_t level, sgc_slice slice,
                                           size_t bands, sgc_rect chunks, uint8_t *flags,
                                           sgc_error *err);

/* Where, in columns and rows of chunks, a manifest of what is complete of a level, which is made,
 * may say something of a time step; `extents` are those of all its dimensions. Empty: nowhere. */
sgc_rect sgc_view_noted_rect(const sgc_view *view, size_t level, const sgc_extent *extents,
                             size_t step);

/* Whether a pixel of any channel is stored, of full resolution or a level: not only that there is
 * none. */
bool sgc_snapshot_holds_data(const sgc_snapshot *snapshot, const sgc_definition *definition);

sgc_view *sgc_view_ref(sgc_view *view);

/* Gives what the cube holds at `snapshot` of `repository`, of which it takes a reference. */
SGC_CHECKED sgc_status sgc_view_new(sgc_cube *cube, sgc_repository *repository,
                                    sgc_snapshot *snapshot, sgc_view **out, sgc_error *err);

/* Looks up the snapshot that a user's choice names. */
SGC_CHECKED sgc_status sgc_ref_choice_resolve(sgc_ref_choice choice, const char *ref,
                                              uint64_t as_of, sgc_repository *repository,
                                              sgc_object_id *id, sgc_error *err);

/* Looks up the snapshot that the cube's reference names. */
SGC_CHECKED sgc_status sgc_cube_resolve(const sgc_cube *cube, sgc_repository *repository,
                                        sgc_object_id *id, sgc_error *err);

/* Looks the reference up and adopts its snapshot. */
SGC_CHECKED sgc_status sgc_cube_refresh(sgc_cube *cube, sgc_error *err);

/* Whether a load may go on, which the thread that reads asks at least 5 times a second:
 * SGC_CANCELLED when its user wants to stop, SGC_BUDGET after the deadline. */
SGC_CHECKED sgc_status sgc_policy_check(const sgc_policy *policy, double fraction, sgc_error *err);

/* Whether the calling thread, which loads, may wait for what others load: SGC_BUDGET in the middle
 * of another load of its own, for which it or they would wait. */
SGC_CHECKED sgc_status sgc_check_may_wait(sgc_error *err);

/* What is loaded at once: a chunk position of a level, at a time step, of the bands from `band` on
 * that are loaded together. */
typedef struct sgc_position {
    int32_t row, column, step, band;
} sgc_position;

/* Says whether all patches that meet a position of full resolution are listed as loaded: what
 * Python has filled is noted nowhere else (architecture 6.3). For sources that find patches alone.
 */
SGC_CHECKED sgc_status sgc_view_is_listed(const sgc_view *view, sgc_position at, bool *listed,
                                          sgc_error *err);

/* Gives (free with free()) the positions under the window that are not complete in every channel;
 * `view` may be NULL. */
SGC_CHECKED sgc_status sgc_view_incomplete(const sgc_cube *cube, const sgc_view *view,
                                           const sgc_window *window, sgc_position **positions,
                                           size_t *count, sgc_error *err);

/* Whether a position is not complete in every channel. */
SGC_CHECKED sgc_status sgc_view_lacks(const sgc_cube *cube, const sgc_view *view, size_t level,
                                      sgc_position at, bool *missing, sgc_error *err);

/* The coordinates of a position's chunk in the array of a channel. */
typedef struct sgc_coordinates {
    uint32_t values[4];
    size_t count;
} sgc_coordinates;
sgc_coordinates sgc_cube_coordinates(const sgc_cube *cube, sgc_position at);

/* Finds the stored chunk of a band at a position; see sgc_repository_find_chunk(). */
SGC_CHECKED sgc_status sgc_view_find_chunk(const sgc_view *view, size_t level, size_t band,
                                           sgc_position at, sgc_chunk_ref *ref, sgc_manifest **keep,
                                           sgc_error *err);

/* Where, in columns and rows, a manifest may have chunks of a time step; `extents` are those of the
 * dimensions [time,] y and x. Empty: nowhere. */
sgc_rect sgc_cube_manifest_rect(const sgc_cube *cube, const sgc_extent *extents, size_t step);

/* Says whether anything is stored of a position, in any of its bands. */
SGC_CHECKED sgc_status sgc_view_has_chunk(const sgc_view *view, size_t level, sgc_position at,
                                          bool *stored, sgc_error *err);

/* Checks that the definition which a made cube carries at `snapshot` allows ours to load a level:
 * others may have begun it, from another source, since the cube was opened. SGC_INVALID names the
 * difference. */
SGC_CHECKED sgc_status sgc_cube_check_definition(sgc_cube *cube, const sgc_snapshot *snapshot,
                                                 size_t level, sgc_error *err);

/* Sees to it that the repository and the nodes of a level exist, with so many time steps, made with
 * our definition; else SGC_INVALID. */
SGC_CHECKED sgc_status sgc_cube_prepare(sgc_cube *cube, size_t level, size_t steps, sgc_error *err);
/* The same for those who are in the queue of committers; the repository exists. */
SGC_CHECKED sgc_status sgc_cube_make_structure(sgc_cube *cube, size_t level, size_t steps,
                                               sgc_error *err);

/* Checks that a cube that we have not made lies on the definition's grid: arrays, coordinates, CRS
 * and time axis (adopt.c). SGC_INVALID names the difference. */
SGC_CHECKED sgc_status sgc_adopt_check(sgc_repository *repository, sgc_snapshot *snapshot,
                                       const sgc_definition *definition, sgc_error *err);

/* Writes a size as users read it: 1.5 GB. */
void sgc_format_bytes(uint64_t bytes, char text[32]);

/* Sorts positions of a level in the order in which they are loaded for a read of `wanted`. */
void sgc_sort_positions(const sgc_level *level, sgc_rect wanted, sgc_position *positions,
                        size_t count);

/* Completes the positions, the first ones first, and commits them, in batches; says if nothing was
 * there, and, also where it fails, how many bytes were received. *began is false, and nothing was
 * done, when other loads of the process were faster and have all of them. The caller is a thread
 * that loads (loader.c). */
SGC_CHECKED sgc_status sgc_load(sgc_cube *cube, size_t level, const sgc_position *positions,
                                size_t count, const sgc_policy *policy, sgc_absences *absences,
                                uint64_t *received, bool *began, sgc_error *err);

SGC_END_C

#endif
