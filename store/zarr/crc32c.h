/* CRC-32C (Castagnoli; RFC 3720, appendix B.4). */
#ifndef SGC_CRC32C_H
#define SGC_CRC32C_H

#include <stddef.h>
#include <stdint.h>

#include "store/error.h"

SGC_BEGIN_C

uint32_t sgc_crc32c(const void *data, size_t size);

SGC_END_C

#endif
