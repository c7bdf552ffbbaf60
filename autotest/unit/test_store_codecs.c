/* Codec pipelines: against bytes that zarr-python wrote, against themselves, and against damage. */
#include "autotest/unit/store_testing.h"

#include <blosc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autotest/unit/counting_malloc.h"
#include "store/zarr/codecs.h"
#include "store/zarr/crc32c.h"

/* ---- vectors ---- */

/* Written by zarr-python 3.1.6 with numcodecs 0.16.6: the only chunk of an array of this document
 * whose items count 1, 38, 75 … in C order (bool: whether that is odd; floats: a quarter of it).
 *
 *     store = MemoryStore()
 *     asyncio.run(store.set("zarr.json", Buffer.from_bytes(json.dumps(document).encode())))
 *     zarr.open_array(store, mode="r+")[...] = values
 *     print([v.to_bytes().hex() for k, v in store._store_dict.items() if k != "zarr.json"])
 */
#define BYTES "{\"name\":\"bytes\"}"
#define LITTLE "{\"name\":\"bytes\",\"configuration\":{\"endian\":\"little\"}}"
#define BIG "{\"name\":\"bytes\",\"configuration\":{\"endian\":\"big\"}}"
#define TRANSPOSE(order) "{\"name\":\"transpose\",\"configuration\":{\"order\":[" order "]}}"
#define CRC32C "{\"name\":\"crc32c\"}"
#define ZSTD(level, checksum) \
    "{\"name\":\"zstd\",\"configuration\":{\"level\":" level ",\"checksum\":" checksum "}}"
#define GZIP(level) "{\"name\":\"gzip\",\"configuration\":{\"level\":" level "}}"
#define BLOSC(cname, level, shuffle)                                           \
    "{\"name\":\"blosc\",\"configuration\":{\"typesize\":4,\"cname\":\"" cname \
    "\",\"clevel\":" level ",\"shuffle\":\"" shuffle "\",\"blocksize\":0}}"

static const struct {
    const char *type, *shape, *codecs, *encoded;
    bool only_way; /* there is but one encoded form */
    bool checked;  /* a checksum protects the whole */
} vectors[] = {
    {"int16", "2,3", LITTLE, "010026004b0070009500ba00", true, false},
    {"int16", "2,3", BIG, "00010026004b0070009500ba", true, false},
    {"float16", "2,3", BIG, "340048c04cb04f0050a851d0", true, false},
    {"float64", "3", BIG "," CRC32C, "3fd000000000000040230000000000004032c00000000000d958abdb",
     true, true},
    {"uint8", "2,3,2", TRANSPOSE("2,0,1") "," BYTES, "014b95df29732670ba044e98", true, false},
    {"uint16", "2,3,2",
     TRANSPOSE("1,2,0") "," TRANSPOSE("2,0,1") "," TRANSPOSE("1,0,2") "," BIG "," CRC32C,
     "0001002600df0104004b00700129014e009500ba01730198af9321a6", true, true},
    {"bool", "5", BYTES "," CRC32C, "0100010001e408492a", true, true},
    {"int32", "2,3", TRANSPOSE("1,0") "," LITTLE "," GZIP("5"),
     "1f8b0800fa33036b00ff6364606028006235209e0ac4de40bc0b8801ef63cc5b18000000", false, false},
    {"int64", "3", BIG "," ZSTD("3", "false"),
     "28b52ffd2018a50000680000010026000000000000004b020060f005b0", false, false},
    {"uint64", "3", LITTLE "," ZSTD("0", "true") "," CRC32C,
     "28b52ffd2418a5000060010026004b00000000000000020060e0016001bf4b4fb864256b53", false, true},
    {"int8", "4", BYTES "," CRC32C "," GZIP("9") "," CRC32C "," ZSTD("1", "false"),
     "28b52ffd20200101001f8b0800fa33036b02ff6354f32e08115ddd040071b76f89080000006e1d6ea3", false,
     false},
    {"uint32", "40", LITTLE "," BLOSC("lz4", "5", "shuffle"),
     "02013104a0000000a000000076000000140000005e000000f34101264b7095badf04294e7398bde2072c51769b"
     "c0e50a2f54799ec3e80d32577ca1c6eb10355a7fa4000000000000000101010101010102020202020202030303"
     "0303030304040404040404050505050528000f020031500000000000",
     false, false},
    {"uint32", "40", BIG "," BLOSC("zstd", "5", "bitshuffle") "," CRC32C,
     "02019404a0000000a00000005c000000140000004400000028b52ffd20a0dd010094020000803fe00ff800c0ff"
     "0ff0ff5566d2649b649b64781c87e3782ab552a9d54c269bcd6670381c0e8706002004c4e10103c33698815c14"
     "b4011afc1fc1",
     false, true},
    {"float32", "40", LITTLE "," BLOSC("zlib", "5", "noshuffle"),
     "02017004a0000000a00000009b0000001400000083000000785e0d89a10e816118468facb22936495609c6f746"
     "59455365e923088af2cf149b09044151b4ff025c83fdb7e00e9cf0ecec3c07f2105a6338baca35130cdcdc6d13"
     "b99077f9961ff995bf44590ba807a34690db41d9d57b7a5f4ffa449fea337da9aff47570d9f8ed826aef7f083a"
     "85ed142ccef6abfd667fd89ff657fc016e2e294d",
     false, false},
    {"float32", "40", LITTLE "," BLOSC("blosclz", "9", "shuffle"),
     "02011104a0000000a000000074000000140000005c0000002300000000e0230309800080008000c0004080e001"
     "031fa040e08020c06000a040e080801896e0153a5f8294a7b9ccdef1010b141d26301839424b555e67707a8186"
     "8a8f94989da2a6abafb43e41414142e000000043e00e00014343",
     false, false},
    {"float32", "40", LITTLE "," BLOSC("lz4hc", "9", "shuffle"),
     "02013104a0000000a00000006e00000014000000560000001f0001001c1180020046c0004080040071a040e080"
     "20c0600800f51e801896e0153a5f8294a7b9ccdef1010b141d263039424b555e67707a81868a8f94989da2a6ab"
     "afb43e4141414201001f43010001504343434343",
     false, false},
};

enum { VECTORS = sizeof vectors / sizeof *vectors };

static sgc_array_metadata metadata_of(const char *type, const char *shape, const char *codecs)
{
    sgc_array_metadata metadata;
    char *text;
    assert_true(asprintf(&text,
                         "{\"zarr_format\":3,\"node_type\":\"array\",\"shape\":[%s],"
                         "\"data_type\":\"%s\",\"chunk_grid\":{\"name\":\"regular\","
                         "\"configuration\":{\"chunk_shape\":[%s]}},\"chunk_key_encoding\":{"
                         "\"name\":\"default\"},\"fill_value\":%s,\"codecs\":[%s]}",
                         shape, type, shape, strcmp(type, "bool") == 0 ? "false" : "0",
                         codecs) > 0);
    assert_ok(sgc_array_metadata_parse(text, strlen(text), &metadata, &err));
    free(text);
    return metadata;
}

/* The half that is exactly `value`, a normal number. */
static uint16_t half_of(double value)
{
    int exponent;
    const double fraction = frexp(value, &exponent);
    return (uint16_t)((exponent + 14) * 1024 + (int)((2 * fraction - 1) * 1024));
}

static void put_item(sgc_data_type type, int64_t count, unsigned char *out)
{
    const double quarter = (double)count / 4;
    const float single = (float)quarter;
    const uint16_t half = half_of(quarter);
    const bool odd = count % 2 != 0;
    if (type == SGC_FLOAT64)
        memcpy(out, &quarter, sizeof quarter);
    else if (type == SGC_FLOAT32)
        memcpy(out, &single, sizeof single);
    else if (type == SGC_FLOAT16)
        memcpy(out, &half, sizeof half);
    else if (type == SGC_BOOL)
        memcpy(out, &odd, sizeof odd);
    else
        memcpy(out, &count, sgc_data_type_size(type));
}

/* Gives the values that a vector stands for. */
static unsigned char *expected_values(const sgc_array_metadata *m)
{
    const size_t size = sgc_data_type_size(m->type);
    unsigned char *values = malloc(m->chunk_bytes);
    for (size_t i = 0; i < m->chunk_bytes / size; i++)
        put_item(m->type, (int64_t)i * 37 + 1, values + i * size);
    return values;
}

static sgc_buffer from_hex(const char *hex)
{
    sgc_buffer bytes = {0};
    for (; *hex != '\0'; hex += 2) {
        unsigned value;
        assert_int_equal(sscanf(hex, "%2x", &value), 1);
        assert_ok(sgc_buffer_append(&bytes, &(unsigned char){(unsigned char)value}, 1, &err));
    }
    return bytes;
}

/* Decodes from memory that ends where the bytes end, so that sanitizers see a read too far. */
static sgc_status decode(const sgc_array_metadata *m, const void *encoded, size_t size, void *chunk)
{
    unsigned char *copy = malloc(size > 0 ? size : 1);
    if (size > 0)
        memcpy(copy, encoded, size);
    const sgc_status status = sgc_chunk_decode(m, copy, size, chunk, &err);
    free(copy);
    return status;
}

static void test_vectors_are_decoded(void **state)
{
    (void)state;
    for (int i = 0; i < VECTORS; i++) {
        sgc_array_metadata m = metadata_of(vectors[i].type, vectors[i].shape, vectors[i].codecs);
        sgc_buffer encoded = from_hex(vectors[i].encoded);
        unsigned char *values = expected_values(&m), *chunk = malloc(m.chunk_bytes);
        assert_ok(decode(&m, encoded.data, encoded.size, chunk));
        assert_memory_equal(chunk, values, m.chunk_bytes);
        free(values);
        free(chunk);
        sgc_buffer_free(&encoded);
        sgc_array_metadata_clear(&m);
    }
}

static void test_values_are_encoded_as_vectors(void **state)
{
    (void)state;
    for (int i = 0; i < VECTORS; i++) {
        if (!vectors[i].only_way)
            continue;
        sgc_array_metadata m = metadata_of(vectors[i].type, vectors[i].shape, vectors[i].codecs);
        sgc_buffer expected = from_hex(vectors[i].encoded), encoded = {0};
        unsigned char *values = expected_values(&m);
        assert_ok(sgc_chunk_encode(&m, values, 1, &encoded, &err));
        assert_int_equal(encoded.size, expected.size);
        assert_memory_equal(encoded.data, expected.data, expected.size);
        free(values);
        sgc_buffer_free(&encoded);
        sgc_buffer_free(&expected);
        sgc_array_metadata_clear(&m);
    }
}

/* ---- damage ---- */

typedef struct victim {
    sgc_array_metadata metadata;
    sgc_buffer encoded;
    unsigned char *values, *chunk;
    bool checked;
} victim;

static victim new_victim(int i)
{
    victim v = {.metadata = metadata_of(vectors[i].type, vectors[i].shape, vectors[i].codecs),
                .encoded = from_hex(vectors[i].encoded),
                .checked = vectors[i].checked};
    v.values = expected_values(&v.metadata);
    v.chunk = malloc(v.metadata.chunk_bytes);
    return v;
}

static void free_victim(victim *v)
{
    free(v->values);
    free(v->chunk);
    sgc_buffer_free(&v->encoded);
    sgc_array_metadata_clear(&v->metadata);
}

static void test_every_truncation_is_corrupt(void **state)
{
    (void)state;
    for (int i = 0; i < VECTORS; i++) {
        victim v = new_victim(i);
        for (size_t size = 0; size < v.encoded.size; size++)
            assert_status(SGC_CORRUPT, decode(&v.metadata, v.encoded.data, size, v.chunk));
        free_victim(&v);
    }
}

static void test_more_bytes_are_corrupt(void **state)
{
    (void)state;
    for (int i = 0; i < VECTORS; i++) {
        victim v = new_victim(i);
        for (int n = 0; n < 20; n++) {
            assert_ok(sgc_buffer_append(&v.encoded, n % 2 == 0 ? "" : "x", 1, &err));
            assert_status(SGC_CORRUPT,
                          decode(&v.metadata, v.encoded.data, v.encoded.size, v.chunk));
        }
        free_victim(&v);
    }
}

/* Where no checksum protects the whole, damage may go unnoticed, but nothing worse. */
static void check_damage(victim *v)
{
    const sgc_status status = decode(&v->metadata, v->encoded.data, v->encoded.size, v->chunk);
    if (v->checked || status != SGC_OK)
        assert_status(SGC_CORRUPT, status);
}

static void test_every_damaged_byte(void **state)
{
    (void)state;
    for (int i = 0; i < VECTORS; i++) {
        victim v = new_victim(i);
        for (size_t at = 0; at < v.encoded.size; at++) {
            const unsigned char right = v.encoded.data[at];
            for (unsigned flip = 1; flip < 256; flip += flip < 16 ? 1 : 15) {
                v.encoded.data[at] = (unsigned char)(right ^ flip);
                check_damage(&v);
            }
            v.encoded.data[at] = right;
        }
        free_victim(&v);
    }
}

/* gzip checks its content itself: what is decoded in spite of damage is right. */
static void test_gzip_never_gives_wrong_values(void **state)
{
    (void)state;
    victim v = new_victim(7);
    for (size_t bit = 0; bit < 8 * v.encoded.size; bit++) {
        v.encoded.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        memset(v.chunk, 0, v.metadata.chunk_bytes);
        if (decode(&v.metadata, v.encoded.data, v.encoded.size, v.chunk) == SGC_OK)
            assert_memory_equal(v.chunk, v.values, v.metadata.chunk_bytes);
        v.encoded.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    free_victim(&v);
}

static void test_wrong_checksum_is_named(void **state)
{
    (void)state;
    victim v = new_victim(3);
    v.encoded.data[0] ^= 1;
    assert_status(SGC_CORRUPT, decode(&v.metadata, v.encoded.data, v.encoded.size, v.chunk));
    assert_message("crc32c");
    free_victim(&v);
}

/* ---- round trips ---- */

static void make_random(uint64_t *seed, unsigned char *chunk, size_t size)
{
    const uint32_t range = random_below(seed, 3) == 0 ? 256 : 3; /* noise, or what compresses */
    for (size_t i = 0; i < size; i++)
        chunk[i] = (unsigned char)random_below(seed, range);
}

static void set_shape(sgc_array_metadata *m, size_t count, const uint64_t *shape)
{
    m->dimension_count = count;
    m->chunk_bytes = sgc_data_type_size(m->type);
    for (size_t d = 0; d < count; d++) {
        m->chunk_shape[d] = shape[d];
        m->chunk_bytes *= (size_t)shape[d];
    }
}

static void check_round_trip(const sgc_array_metadata *m, uint64_t *seed)
{
    unsigned char *chunk = malloc(m->chunk_bytes), *again = malloc(m->chunk_bytes);
    sgc_buffer encoded = {0};
    make_random(seed, chunk, m->chunk_bytes);
    assert_ok(sgc_chunk_encode(m, chunk, 1 + random_below(seed, 2), &encoded, &err));
    assert_true(encoded.size <= sgc_chunk_most_encoded(m));
    assert_ok(decode(m, encoded.data, encoded.size, again));
    assert_memory_equal(chunk, again, m->chunk_bytes);
    sgc_buffer_free(&encoded);
    free(chunk);
    free(again);
}

#define BLOSC_CODEC(name, shuffling)                                                            \
    {                                                                                           \
        .kind = SGC_BLOSC, .level = 5, .compressor = name, .shuffle = shuffling, .type_size = 4 \
    }

static const sgc_codecs pipelines[] = {
    {.count = 0},
    {.count = 1, .list = {{.kind = SGC_CRC32C}}},
    {.count = 1, .list = {{.kind = SGC_GZIP, .level = 6}}},
    {.count = 1, .list = {{.kind = SGC_GZIP}}},
    {.count = 1, .list = {{.kind = SGC_ZSTD, .level = 1, .checksum = true}}},
    {.count = 1, .list = {BLOSC_CODEC("zstd", 2)}},
    {.count = 2, .list = {BLOSC_CODEC("lz4", 1), {.kind = SGC_CRC32C}}},
    {.count = 2, .list = {{.kind = SGC_CRC32C}, BLOSC_CODEC("blosclz", 0)}},
    {.count = 2, .list = {{.kind = SGC_GZIP, .level = 1}, {.kind = SGC_ZSTD, .level = 3}}},
    {.count = 8,
     .list = {BLOSC_CODEC("zlib", 1),
              {.kind = SGC_CRC32C},
              {.kind = SGC_GZIP, .level = 9},
              {.kind = SGC_ZSTD, .level = -7},
              {.kind = SGC_CRC32C},
              {.kind = SGC_CRC32C},
              BLOSC_CODEC("lz4hc", 2),
              {.kind = SGC_GZIP}}},
};

enum { PIPELINES = sizeof pipelines / sizeof *pipelines };

static void test_each_type_pipeline_order_and_endianness(void **state)
{
    (void)state;
    static const uint8_t orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                        {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const uint64_t shape[] = {5, 7, 67};
    uint64_t seed = 1;
    for (int type = SGC_BOOL; type <= SGC_FLOAT64; type++) {
        for (int i = 0; i < PIPELINES * 6 * 2; i++) {
            sgc_array_metadata m = {.type = (sgc_data_type)type, .codecs = pipelines[i / 12]};
            m.codecs.big_endian = i % 2 != 0;
            m.codecs.transposed = i / 2 % 6 != 0;
            memcpy(m.codecs.order, orders[i / 2 % 6], 3);
            set_shape(&m, 3, shape);
            check_round_trip(&m, &seed);
        }
    }
}

static void random_codec(uint64_t *seed, sgc_codec *codec)
{
    static const char *const compressors[] = {"blosclz", "lz4", "lz4hc", "zlib", "zstd"};
    static const size_t blocks[] = {0, 1, 128, 1000};
    *codec = (sgc_codec){.kind = (sgc_codec_kind)random_below(seed, 4),
                         .level = (int)random_below(seed, 10),
                         .shuffle = (int)random_below(seed, 3),
                         .type_size = 1 + random_below(seed, 300),
                         .block_size = blocks[random_below(seed, 4)],
                         .checksum = random_below(seed, 2) == 0};
    strcpy(codec->compressor, compressors[random_below(seed, 5)]);
}

static void random_order(uint64_t *seed, size_t count, sgc_codecs *codecs)
{
    for (size_t i = 0; i < count; i++) {
        const size_t other = random_below(seed, (uint32_t)i + 1);
        codecs->order[i] = codecs->order[other];
        codecs->order[other] = (uint8_t)i;
    }
    codecs->transposed = count > 1;
}

static void test_random_pipelines(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 2000; i++) {
        uint64_t seed = i, shape[SGC_ZARR_MAX_DIMENSIONS];
        const size_t dimensions = random_below(&seed, SGC_ZARR_MAX_DIMENSIONS + 1);
        const uint32_t longest[] = {1, 500, 40, 15, 8};
        sgc_array_metadata m = {.type = (sgc_data_type)random_below(&seed, SGC_FLOAT64 + 1)};
        for (size_t d = 0; d < dimensions; d++)
            shape[d] = 1 + random_below(&seed, dimensions < 5 ? longest[dimensions] : 2);
        m.codecs.big_endian = random_below(&seed, 2) == 0;
        random_order(&seed, dimensions, &m.codecs);
        m.codecs.count = random_below(&seed, 4);
        for (size_t k = 0; k < m.codecs.count; k++)
            random_codec(&seed, &m.codecs.list[k]);
        set_shape(&m, dimensions, shape);
        check_round_trip(&m, &seed);
    }
}

static void test_each_compressor_of_the_library(void **state)
{
    (void)state;
    static const uint64_t shape[] = {3000};
    uint64_t seed = 1;
    char *names = strdup(blosc_list_compressors()), *rest = names;
    int count = 0;
    for (char *name = strtok_r(rest, ",", &rest); name != NULL; name = strtok_r(NULL, ",", &rest)) {
        for (int i = 0; i < 3 * 10; i++) {
            sgc_array_metadata m = {
                .type = SGC_INT32,
                .codecs = {.count = 1,
                           .list = {{.kind = SGC_BLOSC, .level = i / 3, .shuffle = i % 3}}}};
            strcpy(m.codecs.list[0].compressor, name);
            m.codecs.list[0].type_size = 4;
            set_shape(&m, 1, shape);
            check_round_trip(&m, &seed);
        }
        count++;
    }
    assert_true(count >= 5);
    free(names);
}

/* What is stored at [i0, i1 …] is the item whose coordinate along axis order[k] is ik. */
static void test_meaning_of_the_order(void **state)
{
    (void)state;
    static const uint64_t shape[] = {40, 3, 70}; /* more than a tile */
    static const uint8_t order[] = {2, 0, 1};
    sgc_array_metadata m = {.type = SGC_UINT16,
                            .codecs = {.big_endian = true, .transposed = true, .order = {2, 0, 1}}};
    set_shape(&m, 3, shape);
    unsigned char *chunk = malloc(m.chunk_bytes);
    sgc_buffer encoded = {0};
    uint64_t seed = 1;
    make_random(&seed, chunk, m.chunk_bytes);
    assert_ok(sgc_chunk_encode(&m, chunk, 1, &encoded, &err));
    const unsigned char *stored = encoded.data;
    for (uint64_t i = 0; i < shape[order[0]]; i++) {
        for (uint64_t j = 0; j < shape[order[1]]; j++) {
            for (uint64_t k = 0; k < shape[order[2]]; k++, stored += 2) {
                uint64_t at[3];
                at[order[0]] = i;
                at[order[1]] = j;
                at[order[2]] = k;
                const unsigned char *item =
                    chunk + 2 * ((at[0] * shape[1] + at[1]) * shape[2] + at[2]);
                assert_true(stored[0] == item[1] && stored[1] == item[0]);
            }
        }
    }
    free(chunk);
    sgc_buffer_free(&encoded);
}

/* ---- crc32c ---- */

/* RFC 3720, B.4, and the check value of the catalogues. */
static void test_crc32c(void **state)
{
    (void)state;
    unsigned char bytes[32] = {0};
    assert_int_equal(sgc_crc32c("", 0), 0);
    assert_int_equal(sgc_crc32c("123456789", 9), 0xe3069283);
    assert_int_equal(sgc_crc32c(bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(sgc_crc32c(bytes, 32), 0x62a8ab43);
    for (unsigned char i = 0; i < 32; i++)
        bytes[i] = i;
    assert_int_equal(sgc_crc32c(bytes, 32), 0x46dd794e);
    for (unsigned char i = 0; i < 32; i++)
        bytes[i] = 31 - i;
    assert_int_equal(sgc_crc32c(bytes, 32), 0x113fdb5c);
}

/* ---- gzip ---- */

static const sgc_codec gzip = {.kind = SGC_GZIP, .level = 5}, zstd = {.kind = SGC_ZSTD, .level = 3},
                       blosc = BLOSC_CODEC("zstd", 0);

static sgc_array_metadata plain_bytes(uint64_t size, size_t codec_count, const sgc_codec *codecs)
{
    sgc_array_metadata m = {.type = SGC_UINT8};
    set_shape(&m, 1, &size);
    m.codecs.count = codec_count;
    if (codec_count > 0)
        memcpy(m.codecs.list, codecs, codec_count * sizeof *codecs);
    return m;
}

/* Gives `size` bytes of `value`, encoded. */
static sgc_buffer encode_constant(uint64_t size, size_t codec_count, const sgc_codec *codecs,
                                  int value)
{
    const sgc_array_metadata m = plain_bytes(size, codec_count, codecs);
    unsigned char *chunk = malloc((size_t)size);
    sgc_buffer encoded = {0};
    memset(chunk, value, (size_t)size);
    assert_ok(sgc_chunk_encode(&m, chunk, 1, &encoded, &err));
    free(chunk);
    return encoded;
}

static void test_gzip_members_follow_each_other(void **state)
{
    (void)state;
    unsigned char chunk[200];
    const sgc_array_metadata m = plain_bytes(200, 1, &gzip);
    sgc_buffer first = encode_constant(150, 1, &gzip, 'a');
    sgc_buffer second = encode_constant(50, 1, &gzip, 'b');
    assert_ok(sgc_buffer_append(&first, second.data, second.size, &err));
    assert_ok(decode(&m, first.data, first.size, chunk));
    assert_int_equal(chunk[149], 'a');
    assert_int_equal(chunk[150], 'b');
    assert_status(SGC_CORRUPT, decode(&m, second.data, second.size, chunk)); /* too short */
    assert_ok(sgc_buffer_append(&first, second.data, second.size, &err));
    assert_status(SGC_CORRUPT, decode(&m, first.data, first.size, chunk)); /* too long */
    sgc_buffer_free(&first);
    sgc_buffer_free(&second);
}

static void test_gzip_of_too_many_members(void **state)
{
    (void)state;
    unsigned char chunk[100];
    const sgc_array_metadata m = plain_bytes(100, 1, &gzip);
    sgc_buffer encoded = encode_constant(100, 1, &gzip, 'a');
    sgc_buffer empty = from_hex("1f8b080000000000000003000000000000000000");
    assert_ok(sgc_buffer_append(&encoded, empty.data, empty.size, &err));
    assert_ok(decode(&m, encoded.data, encoded.size, chunk));
    while (encoded.size <= sgc_chunk_most_encoded(&m))
        assert_ok(sgc_buffer_append(&encoded, empty.data, empty.size, &err));
    assert_status(SGC_CORRUPT, decode(&m, encoded.data, encoded.size, chunk));
    assert_message("too long");
    sgc_buffer_free(&encoded);
    sgc_buffer_free(&empty);
}

static void test_gzip_header_with_all_fields(void **state)
{
    (void)state;
    enum { HEADER = 10, FLAGS_AT = 3 };
    static const char fields[] = "\x03\x00xyzname\0comment"; /* extra field, name, comment, NUL */
    unsigned char chunk[100];
    const sgc_array_metadata m = plain_bytes(100, 1, &gzip);
    sgc_buffer plain = encode_constant(100, 1, &gzip, 'a'), full = {0};
    assert_ok(sgc_buffer_append(&full, plain.data, HEADER, &err));
    full.data[FLAGS_AT] = 1 << 2 | 1 << 3 | 1 << 4;
    assert_ok(sgc_buffer_append(&full, fields, sizeof fields, &err));
    assert_ok(sgc_buffer_append(&full, plain.data + HEADER, plain.size - HEADER, &err));
    assert_ok(decode(&m, full.data, full.size, chunk));
    assert_int_equal(chunk[99], 'a');
    sgc_buffer_free(&plain);
    sgc_buffer_free(&full);
}

static void test_gzip_has_no_time(void **state)
{
    (void)state;
    static const unsigned char start[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0};
    sgc_buffer encoded = encode_constant(100, 1, &gzip, 'a');
    assert_memory_equal(encoded.data, start, sizeof start);
    sgc_buffer_free(&encoded);
}

/* ---- bombs ---- */

enum { BOMB = 16 * 1024 * 1024, TARGET = 1000, LITTLE_MEMORY = 512 * 1024 };

/* Decodes what claims, or has, far more bytes than a chunk of TARGET. */
static void check_bomb(size_t codec_count, const sgc_codec *codecs, const sgc_buffer *encoded)
{
    unsigned char chunk[TARGET];
    const sgc_array_metadata m = plain_bytes(TARGET, codec_count, codecs);
    counting_malloc_reset();
    assert_status(SGC_CORRUPT, sgc_chunk_decode(&m, encoded->data, encoded->size, chunk, &err));
    assert_true(counting_malloc_total() < LITTLE_MEMORY);
}

static void test_bombs(void **state)
{
    (void)state;
    const sgc_codec kinds[] = {gzip, zstd, blosc};
    for (size_t i = 0; i < 3; i++) {
        sgc_buffer encoded = encode_constant(BOMB, 1, &kinds[i], 0);
        assert_true(encoded.size < BOMB / 100);
        check_bomb(1, &kinds[i], &encoded);
        sgc_buffer_free(&encoded);
    }
}

/* The bytes between two codecs would be the trouble. */
static void test_bombs_behind_a_codec(void **state)
{
    (void)state;
    const sgc_codec kinds[] = {gzip, zstd, blosc};
    for (size_t i = 0; i < 9; i++) {
        const sgc_codec two[] = {kinds[i / 3], kinds[i % 3]};
        sgc_buffer encoded = encode_constant(BOMB, 1, &two[1], 0);
        check_bomb(2, two, &encoded);
        sgc_buffer_free(&encoded);
    }
}

static void test_too_many_bytes_are_refused_at_once(void **state)
{
    (void)state;
    sgc_buffer encoded = encode_constant(BOMB, 0, NULL, 0);
    check_bomb(0, NULL, &encoded);
    check_bomb(1, &gzip, &encoded);
    check_bomb(1, &(sgc_codec){.kind = SGC_CRC32C}, &encoded);
    sgc_buffer_free(&encoded);
}

/* Eight times in a row the encoded form grows as far as it may. */
static void test_bound_of_a_long_pipeline(void **state)
{
    (void)state;
    sgc_array_metadata m = plain_bytes(1000, 0, NULL);
    assert_int_equal(sgc_chunk_most_encoded(&m), 1000);
    m = plain_bytes(1000, 1, &(sgc_codec){.kind = SGC_CRC32C});
    assert_int_equal(sgc_chunk_most_encoded(&m), 1004);
    m = plain_bytes(1000, 1, &gzip);
    assert_int_equal(sgc_chunk_most_encoded(&m), 1000 + 125 + 65536);
    const sgc_codec eight[] = {gzip, gzip, gzip, gzip, gzip, gzip, gzip, gzip};
    m = plain_bytes(INT32_MAX, 8, eight);
    assert_int_equal(sgc_chunk_most_encoded(&m), UINT32_MAX);
}

/* ---- limits of Blosc ---- */

static void test_blosc_cannot_take_2_gib(void **state)
{
    (void)state;
    const sgc_array_metadata m = plain_bytes(INT32_MAX, 1, &blosc);
    sgc_buffer out = {0};
    assert_status(SGC_UNSUPPORTED, sgc_chunk_encode(&m, "not looked at", 1, &out, &err));
    assert_message("2147483631");
    sgc_buffer_free(&out);
}

static void test_threads_beyond_those_of_blosc(void **state)
{
    (void)state;
    sgc_buffer out = {0};
    const sgc_array_metadata m = plain_bytes(4, 1, &blosc);
    assert_ok(sgc_chunk_encode(&m, "abcd", 1000, &out, &err));
    out.size = 0;
    assert_ok(sgc_chunk_encode(&m, "abcd", 0, &out, &err));
    sgc_buffer_free(&out);
}

/* Threads finish in any order. */
static void test_threads_do_not_change_the_bytes(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    static unsigned char values[SIZE];
    uint64_t seed = 1;
    for (size_t i = 0; i < SIZE; i++)
        values[i] = (unsigned char)(i >> 9 ^ random_below(&seed, (uint32_t)(1 + (i >> 16))));
    sgc_codec codec = blosc;
    codec.block_size = 8192;
    const sgc_array_metadata m = plain_bytes(SIZE, 1, &codec);
    sgc_buffer one = {0}, many = {0};
    assert_ok(sgc_chunk_encode(&m, values, 1, &one, &err));
    for (int i = 0; i < TIMES(100, 10); i++) {
        many.size = 0;
        assert_ok(sgc_chunk_encode(&m, values, 8, &many, &err));
        assert_int_equal(many.size, one.size);
        assert_memory_equal(many.data, one.data, one.size);
    }
    sgc_buffer_free(&one);
    sgc_buffer_free(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors_are_decoded),
        cmocka_unit_test(test_values_are_encoded_as_vectors),
        cmocka_unit_test(test_every_truncation_is_corrupt),
        cmocka_unit_test(test_more_bytes_are_corrupt),
        cmocka_unit_test(test_every_damaged_byte),
        cmocka_unit_test(test_gzip_never_gives_wrong_values),
        cmocka_unit_test(test_wrong_checksum_is_named),
        cmocka_unit_test(test_each_type_pipeline_order_and_endianness),
        cmocka_unit_test(test_random_pipelines),
        cmocka_unit_test(test_each_compressor_of_the_library),
        cmocka_unit_test(test_meaning_of_the_order),
        cmocka_unit_test(test_crc32c),
        cmocka_unit_test(test_gzip_members_follow_each_other),
        cmocka_unit_test(test_gzip_of_too_many_members),
        cmocka_unit_test(test_gzip_header_with_all_fields),
        cmocka_unit_test(test_gzip_has_no_time),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_bombs_behind_a_codec),
        cmocka_unit_test(test_too_many_bytes_are_refused_at_once),
        cmocka_unit_test(test_bound_of_a_long_pipeline),
        cmocka_unit_test(test_blosc_cannot_take_2_gib),
        cmocka_unit_test(test_threads_beyond_those_of_blosc),
        cmocka_unit_test(test_threads_do_not_change_the_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
