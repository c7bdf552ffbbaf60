/* A cube: a repository, the definition of the dataset in it, and its levels.
 *
 * One sgc_cube is shared by all handles of a process that open the same place and reference in the
 * same way. A read first ensures that the chunks under its window are complete, which may download,
 * and then reads from the view that this returned, which never changes. All functions are
 * thread-safe; threads that load different chunks do so at the same time. */
#ifndef SGC_CUBE_H
#define SGC_CUBE_H

#include "datasets/source.h"
#include "gdal_sgc/connection.h"
#include "gdal_sgc/layout.h"

#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_cube sgc_cube;

/* What the cube holds at one snapshot. */
typedef struct sgc_view sgc_view;

/* Gives the cube that `connection` names; release with sgc_cube_unref(). Looks the reference up,
 * connects to nothing, writes nothing. */
SGC_CHECKED sgc_status sgc_cube_open(const sgc_connection *connection, sgc_cube **out,
                                     sgc_error *err);
void sgc_cube_unref(sgc_cube *cube);

/* All borrow from the cube. */
const sgc_definition *sgc_cube_definition(const sgc_cube *cube);
const char *sgc_cube_place(const sgc_cube *cube);
/* False where the cube cannot be loaded further, whatever the user allows. */
bool sgc_cube_can_load(const sgc_cube *cube);
/* Why, and what to do; "" where it can. */
const char *sgc_cube_why_no_load(const sgc_cube *cube);
size_t sgc_cube_level_count(const sgc_cube *cube);
const sgc_level *sgc_cube_level(const sgc_cube *cube, size_t level);

/* A channel at a time step (0 when the cube is static). */
typedef struct sgc_slice {
    size_t band, step;
} sgc_slice;

/* What a read is about: a rectangle of pixels of a level, and the slices wanted of it; borrows. */
typedef struct sgc_window {
    size_t level;
    sgc_rect rect;
    const sgc_slice *slices;
    size_t slice_count;
} sgc_window;

/* Called by the thread that reads, at least 5 times a second while it waits; false ends the read.
 * No lock is held meanwhile, but a load is under way: a read in it cannot load from
 * the same cube, nor wait for others' loads. */
typedef struct sgc_progress {
    bool (*report)(void *user, double fraction);
    void *user;
} sgc_progress;

/* What a read may do to get its chunks. */
typedef struct sgc_policy {
    bool download;
    bool missing_is_nodata; /* serve what is there when no more may be downloaded */
    uint64_t max_bytes;     /* estimated, for this read */
    bool in_part;           /* loads what max_bytes allow, nearest the middle first, rather than
                             * nothing, and nothing ahead */
    uint64_t deadline_ms;   /* when loading ends, by sgc_monotonic_ms(); 0: never */
    unsigned num_threads;
    const sgc_progress *progress; /* may be NULL */
    sgc_rect ahead; /* of the window's level: what is read next, row by row; empty: nobody knows.
                     * Where it contains the window, loading goes on in it, as far as max_bytes
                     * allow and until there is enough to do for all workers. It never makes a read
                     * fail: where that fails, only the window is loaded */
    uint64_t *downloaded; /* what was, as estimated, is added to it, also where the read fails; may
                           * be NULL */
} sgc_policy;

/* Patches that were supposed, looked for and not there, where no other was and the cube holds no
 * data. */
typedef struct sgc_absences {
    size_t count;
    char first[256]; /* its file, without secrets, or its id */
} sgc_absences;

typedef struct sgc_ensured {
    sgc_view *view;          /* release with sgc_view_unref(); NULL: the cube is not made yet */
    uint64_t missing_chunks; /* served as nodata; one that is loaded for several channels is one */
    uint64_t unverified_chunks; /* served as somebody else has stored them */
    sgc_absences absences;
} sgc_ensured;

/* Makes the chunks under the window complete as far as the policy allows, or fails: SGC_BUDGET when
 * they must not be downloaded, when the deadline passes, and when others load them while this
 * thread is in the middle of another load; SGC_CANCELLED, and whatever a fetch failed with.
 * Finished chunks are committed in any case. */
SGC_CHECKED sgc_status sgc_cube_ensure(sgc_cube *cube, const sgc_window *window,
                                       const sgc_policy *policy, sgc_ensured *out, sgc_error *err);

/* How much of the window is not complete: chunks (those that are loaded together count once), and
 * estimated bytes to download for them. */
typedef struct sgc_missing {
    uint64_t chunks, bytes;
} sgc_missing;
SGC_CHECKED sgc_status sgc_cube_missing(sgc_cube *cube, const sgc_window *window, sgc_missing *out,
                                        sgc_error *err);
/* The same without the bytes, whose estimate may have to look for patches. */
SGC_CHECKED sgc_status sgc_cube_count_missing(sgc_cube *cube, const sgc_window *window,
                                              uint64_t *chunks, sgc_error *err);

/* SGC_BUDGET, which tells the price, when more than `max_bytes` would have to be downloaded for the
 * window. */
SGC_CHECKED sgc_status sgc_cube_check_budget(sgc_cube *cube, const sgc_window *window,
                                             uint64_t max_bytes, sgc_error *err);

/* How many steps of the definition's time axis the cube has: later ones are appended when one of
 * them is loaded for the first time. */
size_t sgc_cube_steps(sgc_cube *cube);

/* Says for each step of the definition's time axis whether something is stored of it. */
void sgc_cube_find_steps_with_data(sgc_cube *cube, bool *has_data);

/* Reads `rect` of a slice into rect.width x rect.height items of the channel's type. `view` is
 * what sgc_cube_ensure() gave, NULL included; what is not stored reads as nodata. */
SGC_CHECKED sgc_status sgc_cube_read(const sgc_cube *cube, const sgc_view *view, size_t level,
                                     sgc_slice slice, sgc_rect rect, void *buffer,
                                     unsigned num_threads, sgc_error *err);
/* Puts the pixels of the finest coarser level that is complete where chunks are missing in what
 * sgc_cube_read() has read; where no level is, they stay nodata. */
SGC_CHECKED sgc_status sgc_cube_fill_gaps(const sgc_cube *cube, const sgc_view *view, size_t level,
                                          sgc_slice slice, sgc_rect rect, void *buffer,
                                          unsigned num_threads, sgc_error *err);
/* Whether something is missing in the window, of one slice, that can all be computed: the next
 * finer pixels under each missing chunk are complete, or can be computed in turn. */
SGC_CHECKED sgc_status sgc_cube_can_compute(sgc_cube *cube, const sgc_window *window, bool *can,
                                            sgc_error *err);
/* Gives the level that such a window, or one that is complete, is read from: its own, else the
 * nearest finer one that is complete under it, else the next finer one, which is to be computed. */
SGC_CHECKED sgc_status sgc_cube_find_finer(sgc_cube *cube, const sgc_window *window, size_t *level,
                                           sgc_error *err);
/* The pixels of the level `finer` that those of the window are computed of. */
sgc_rect sgc_cube_rect_at_finer(const sgc_cube *cube, const sgc_window *window, size_t finer);
void sgc_view_unref(sgc_view *view);

/* Gives what the cube shows now, as the last look-up of its reference has found it; NULL while the
 * cube is not made. Release with sgc_view_unref(). */
void sgc_cube_view(sgc_cube *cube, sgc_view **out);

/* The id of the snapshot the cube shows now, or "" while the cube is not made yet. */
void sgc_cube_snapshot(sgc_cube *cube, char text[SGC_OBJECT_ID_TEXT + 1]);

/* ---- what the cube is kept in ---- */

/* Gives (free with sgc_repository_free()) the repository at the place that `connection` names,
 * which may be any; SGC_NOT_FOUND if there is none. */
SGC_CHECKED sgc_status sgc_connection_open_repository(const sgc_connection *connection,
                                                      sgc_repository **out, sgc_error *err);

/* The snapshot that `connection` chooses in it. */
SGC_CHECKED sgc_status sgc_connection_resolve(const sgc_connection *connection,
                                              sgc_repository *repository, sgc_object_id *id,
                                              sgc_error *err);

/* Makes the chunks of `branch` missing that are complete only for now, so that the next read asks
 * for them again, and says how many they were, each channel counted. */
SGC_CHECKED sgc_status sgc_repository_recheck(sgc_repository *repository, const char *branch,
                                              size_t *count, sgc_error *err);

SGC_END_C

#endif
