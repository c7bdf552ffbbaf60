/* Files that name a cube, for programs that pick files: "cube.sgc" with
 *
 *   {"place": "cube.icechunk", "dataset": "ArcticDEM32m", "options": {"time": "2020"}}
 *
 * "place" is a directory, "dataset" an id or the path of a definition file, both relative to the
 * file that names them; one of both may be absent. "options" are those of a connection string. */
#ifndef SGC_DESCRIPTOR_H
#define SGC_DESCRIPTOR_H

#include <stdbool.h>

#include "store/error.h"
#include "store/memory.h"

SGC_BEGIN_C

#define SGC_DESCRIPTOR_EXTENSION "sgc"

/* Whether a file is called like one; looks at no file. */
bool sgc_descriptor_is_named(const char *path);

/* Appends the connection string that the file at `path` stands for. SGC_INVALID, with file and
 * JSON pointer, for what is wrong in it; SGC_NOT_FOUND, SGC_IO. */
SGC_CHECKED sgc_status sgc_descriptor_read(const char *path, sgc_buffer *name, sgc_error *err);

SGC_END_C

#endif
