/* The kinds of chunks that the fuzz target `chunk` knows: the first byte of an input is an index.
 */
#ifndef CHUNK_KINDS_H
#define CHUNK_KINDS_H

#include "store/zarr/metadata.h"

/* Gives the metadata of kind `index`: NULL when this library cannot do it, or there is no such
 * kind. Borrows; never freed. */
const sgc_array_metadata *chunk_kind(size_t index);
size_t chunk_kind_count(void);

#endif
