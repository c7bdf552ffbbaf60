#include "autotest/fuzz/chunk_kinds.h"

#include "autotest/fuzz/fuzz.h"

#define BLOSC(cname, shuffle)                                                      \
    "{\"name\":\"blosc\",\"configuration\":{\"cname\":\"" cname "\",\"clevel\":5," \
    "\"shuffle\":\"" shuffle "\",\"typesize\":4,\"blocksize\":0}}"
#define BYTES(endian) "{\"name\":\"bytes\",\"configuration\":{\"endian\":\"" endian "\"}}"
#define LITTLE BYTES("little")
#define ZSTD "{\"name\":\"zstd\",\"configuration\":{\"level\":0,\"checksum\":false}}"
#define GZIP "{\"name\":\"gzip\",\"configuration\":{\"level\":5}}"
#define CRC32C "{\"name\":\"crc32c\"}"
#define SHARDED(inside, index)                                                                    \
    "{\"name\":\"sharding_indexed\",\"configuration\":{\"chunk_shape\":[4,8],\"codecs\":[" inside \
    "],\"index_codecs\":[" index "],\"index_location\":\"end\"}}"

static const struct {
    const char *type, *fill_value, *chunk_shape, *codecs;
} kinds[] = {
    {"float32", "0", "[1,4]", LITTLE "," ZSTD},
    {"float32", "0", "[5,5]", LITTLE "," ZSTD},
    {"float32", "0", "[3,3]", LITTLE "," ZSTD},
    {"int8", "0", "[1,1]", "{\"name\":\"bytes\"}," ZSTD},
    {"uint8", "0", "[16,16]", "{\"name\":\"bytes\"}"},
    {"float32", "0", "[16,32]", LITTLE "," BLOSC("zstd", "bitshuffle")},
    {"float32", "0", "[16,32]", LITTLE "," BLOSC("lz4", "shuffle")},
    {"uint8", "0", "[64,256]", "{\"name\":\"bytes\"}," BLOSC("blosclz", "noshuffle")},
    {"int16", "0", "[128,512]", LITTLE "," BLOSC("lz4", "shuffle")},
    {"float64", "0", "[64,64]", LITTLE "," BLOSC("zlib", "shuffle")},
    {"float64", "0", "[8,8]", LITTLE},
    {"int32", "0", "[8,8]", BYTES("big") "," ZSTD},
    {"uint16", "0", "[16,16]", LITTLE "," GZIP},
    {"uint16", "0", "[16,16]", LITTLE "," CRC32C},
    {"int64", "0", "[8,8]", LITTLE "," ZSTD "," CRC32C},
    {"float32", "0", "[8,6]",
     "{\"name\":\"transpose\",\"configuration\":{\"order\":[1,0]}}," LITTLE "," GZIP},
    {"uint16", "0", "[16,16]", SHARDED(LITTLE "," ZSTD, LITTLE "," CRC32C)},
    {"bool", "false", "[9,9]", "{\"name\":\"bytes\"}," ZSTD},
    {"float16", "0", "[8,8]", LITTLE "," ZSTD},
    {"complex64", "[0,0]", "[8,8]", LITTLE "," BLOSC("zstd", "shuffle")},
};
enum { COUNT = sizeof kinds / sizeof *kinds };

static sgc_status parse(size_t index, sgc_array_metadata *metadata)
{
    sgc_buffer json = {0};
    demand(sgc_buffer_print(&json, NULL,
                            "{\"zarr_format\":3,\"node_type\":\"array\",\"shape\":[1000,1000],"
                            "\"data_type\":\"%s\",\"fill_value\":%s,"
                            "\"chunk_grid\":{\"name\":\"regular\",\"configuration\":"
                            "{\"chunk_shape\":%s}},\"chunk_key_encoding\":{\"name\":\"default\"},"
                            "\"codecs\":[%s],\"attributes\":{}}",
                            kinds[index].type, kinds[index].fill_value, kinds[index].chunk_shape,
                            kinds[index].codecs) == SGC_OK);
    const sgc_status status =
        sgc_array_metadata_parse((char *)json.data, json.size, metadata, NULL);
    demand(status == SGC_OK || status == SGC_UNSUPPORTED);
    sgc_buffer_free(&json);
    return status;
}

const sgc_array_metadata *chunk_kind(size_t index)
{
    static sgc_array_metadata all[COUNT];
    static bool is_known[COUNT], is_tried[COUNT];
    if (index >= COUNT)
        return NULL;
    if (!is_tried[index])
        is_known[index] = parse(index, &all[index]) == SGC_OK;
    is_tried[index] = true;
    return is_known[index] ? &all[index] : NULL;
}

size_t chunk_kind_count(void)
{
    return COUNT;
}
