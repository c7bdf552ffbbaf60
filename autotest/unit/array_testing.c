#include "autotest/unit/array_testing.h"

int empty_block_cache(void **state)
{
    (void)state;
    sgc_block_cache_set_size(0);
    sgc_block_cache_set_size(DEFAULT_CACHE);
    return 0;
}

#define BLOSC(name, shuffling)                               \
    {                                                        \
        .count = 1, .list = { BLOSC_CODEC(name, shuffling) } \
    }

const sgc_codecs codecs[CODECS] = {
    {.count = 0},
    {.count = 1, .list = {{.kind = SGC_ZSTD, .level = 3}}},
    {.count = 1, .list = {{.kind = SGC_ZSTD, .level = -5, .checksum = true}}},
    BLOSC("zstd", 0),
    BLOSC("zstd", 1),
    BLOSC("zstd", 2),
    BLOSC("lz4", 0),
    BLOSC("lz4", 1),
    BLOSC("lz4", 2),
    BLOSC("blosclz", 0),
    BLOSC("blosclz", 1),
    BLOSC("blosclz", 2),
    {.count = 1, .list = {{.kind = SGC_GZIP, .level = 5}}},
    {.count = 1, .list = {{.kind = SGC_CRC32C}}},
    {.count = 2, .list = {{.kind = SGC_ZSTD}, {.kind = SGC_CRC32C}}},
    {.big_endian = true, .count = 1, .list = {BLOSC_CODEC("lz4", 1)}},
    {.transposed = true, .count = 1, .list = {BLOSC_CODEC("zstd", 2)}},
    {.big_endian = true, .transposed = true},
    {.count = 2, .list = {BLOSC_CODEC("zstd", 1), {.kind = SGC_CRC32C}}},
    {.count = 2, .list = {{.kind = SGC_CRC32C}, BLOSC_CODEC("zstd", 0)}},
};
