/* What the tests of arrays and of their chunks share. */
#ifndef ARRAY_TESTING_H
#define ARRAY_TESTING_H

#include "autotest/unit/store_testing.h"

enum { DEFAULT_CACHE = 64 * 1024 * 1024 };

/* A test's setup: blocks are kept, and there are none yet. */
int empty_block_cache(void **state);

/* Small blocks, so that small chunks have several. */
#define BLOSC_CODEC(name, shuffling)                                                               \
    {                                                                                              \
        .kind = SGC_BLOSC, .level = 5, .compressor = name, .shuffle = shuffling, .block_size = 256 \
    }

/* Pipelines of all kinds. They lack the size of items, and the order of axes. */
enum { CODECS = 20 };
extern const sgc_codecs codecs[CODECS];

#endif
