/* chunk_seeds DIRECTORY: writes an encoded chunk of each kind, as inputs of the target `chunk`. */
#include "autotest/fuzz/chunk_kinds.h"
#include "autotest/fuzz/fuzz.h"

#include "store/zarr/codecs.h"

static void write_seed(const char *directory, size_t kind, const sgc_buffer *encoded)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/kind-%zu", directory, kind);
    FILE *file = fopen(path, "wb");
    demand(file != NULL);
    demand(fputc((int)kind, file) != EOF);
    demand(fwrite(encoded->data, 1, encoded->size, file) == encoded->size);
    demand(fclose(file) == 0);
}

int main(int argc, char **argv)
{
    demand(argc == 2);
    for (size_t kind = 0; kind < chunk_kind_count(); kind++) {
        const sgc_array_metadata *metadata = chunk_kind(kind);
        if (metadata == NULL)
            continue;
        sgc_buffer encoded = {0};
        unsigned char *chunk = calloc(1, metadata->chunk_bytes);
        demand(chunk != NULL);
        /* Something that shrinks, not to nothing. */
        for (size_t i = 0; i < metadata->chunk_bytes; i += 3)
            chunk[i] = (unsigned char)(i / 3 % 2);
        demand(sgc_chunk_encode(metadata, chunk, 1, &encoded, NULL) == SGC_OK);
        write_seed(argv[1], kind, &encoded);
        sgc_buffer_free(&encoded);
        free(chunk);
    }
    return 0;
}
