/* The order of a chunk's items and of their bytes. */
#ifndef SGC_TRANSPOSE_H
#define SGC_TRANSPOSE_H

#include "store/zarr/metadata.h"

#include "store/error.h"

SGC_BEGIN_C

/* Copies a whole chunk in C order to the order in which it is stored, and back. */
void sgc_transpose(const sgc_array_metadata *metadata, const void *chunk, void *stored);
void sgc_transpose_back(const sgc_array_metadata *metadata, const void *stored, void *chunk);

/* Turns the bytes of each item around: `item_size` is 2, 4 or 8 and divides `size`. */
void sgc_swap_bytes(void *data, size_t size, size_t item_size);

SGC_END_C

#endif
