/* How a cube lies in its repository: the Zarr documents that the Python package writes (datasets
 * guide 1.4–1.6), and our group /sgc with what is complete (architecture 6.1, 6.3). */
#ifndef SGC_LAYOUT_H
#define SGC_LAYOUT_H

#include "datasets/definition.h"
#include "gdal_sgc/time_axis.h"
#include "store/store.h"

#include "store/error.h"

SGC_BEGIN_C

enum { SGC_MOST_LEVELS = 32 };

/* A level of a cube: its grid and how it is cut into chunks. */
typedef struct sgc_level {
    int64_t factor;
    sgc_grid grid;
    int64_t chunk_width, chunk_height;
} sgc_level;

/* The number of chunk columns and rows. */
int64_t sgc_level_columns(const sgc_level *level);
int64_t sgc_level_rows(const sgc_level *level);
/* The pixels of the chunk at (row, column), cut at the level's edge. */
sgc_rect sgc_level_chunk_rect(const sgc_level *level, int64_t row, int64_t column);
/* The chunks that meet `rect`, which lies inside the level: columns, rows. */
sgc_rect sgc_level_chunks(const sgc_level *level, sgc_rect rect);

/* The number of time steps; 1 when the cube is static. */
size_t sgc_layout_steps(const sgc_definition *definition);

/* Lists the levels of a cube whose full resolution has such chunks: that one, and those of the
 * factor `from` and coarser; 0: no others. Returns their number, at most SGC_MOST_LEVELS. */
size_t sgc_layout_levels(const sgc_definition *definition, int64_t chunk_width,
                         int64_t chunk_height, int64_t from, sgc_level levels[SGC_MOST_LEVELS]);

/* The windows that manifests are split into (architecture 6.8). */
enum { SGC_SPLIT_RULES = 3 };
void sgc_layout_split_rules(const sgc_definition *definition, const sgc_level *full,
                            sgc_split_rule rules[SGC_SPLIT_RULES]);

/* The paths of a channel's array, and of the array of what is complete, at a level. */
enum { SGC_PATH_SIZE = 320 };
void sgc_layout_channel_path(const sgc_definition *definition, const sgc_level *level, size_t band,
                             char path[SGC_PATH_SIZE]);
void sgc_layout_complete_path(const sgc_level *level, char path[SGC_PATH_SIZE]);

/* The rows and columns of the latter's chunks, as we make them. */
enum { SGC_COMPLETE_CHUNK = 64 };

/* Gives the attributes of a channel's array; free with cJSON_Delete(). Numbers may be raw, so that
 * each has every digit. */
cJSON *sgc_layout_channel_attributes(const sgc_band *band);

/* Puts all nodes of an empty cube into the session: groups, channels, coordinates, CRS, and the
 * bookkeeping of full resolution. */
SGC_CHECKED sgc_status sgc_layout_put_cube(sgc_session *session, const sgc_definition *definition,
                                           const sgc_level *full, int compression_level,
                                           sgc_error *err);

/* Puts the nodes of a further level, of so many time steps, into the session, and into the
 * definition in the root group the sources of levels. */
SGC_CHECKED sgc_status sgc_layout_put_level(sgc_session *session, const sgc_definition *definition,
                                            const sgc_level *level, size_t steps,
                                            int compression_level, sgc_error *err);

/* Puts our bookkeeping, and in the root group what the cube is, into a cube of so many steps that
 * somebody else has made; everything else stays as it is, to the byte. */
SGC_CHECKED sgc_status sgc_layout_adopt(sgc_session *session, const sgc_definition *definition,
                                        const sgc_level *full, size_t steps, sgc_error *err);

/* The number of time steps that a cube has; 1 when it is static, 0 when it lacks its time axis. */
size_t sgc_layout_stored_steps(const sgc_snapshot *snapshot, const sgc_definition *definition);

/* Reads how the numbers of the array `time` mean times. */
SGC_CHECKED sgc_status sgc_layout_time_units(const sgc_node *time, sgc_time_units *units,
                                             sgc_error *err);

/* Appends the definition's time steps `from` to `steps` - 1 to the axis of a cube and to all levels
 * that are made. */
SGC_CHECKED sgc_status sgc_layout_append_steps(sgc_session *session,
                                               const sgc_definition *definition,
                                               const sgc_level *levels, size_t level_count,
                                               size_t from, size_t steps, sgc_error *err);

SGC_END_C

#endif
