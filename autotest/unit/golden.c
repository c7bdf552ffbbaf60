#include "autotest/unit/golden.h"

#include "autotest/unit/shared_data.h"
#include "autotest/unit/store_testing.h"

#include <stdio.h>
#include <stdlib.h>

const char *const golden_names[GOLDEN_COUNT] = {
    "test-repo-v1",
    "test-repo-v2",
    "test-repo-v2-migrated",
    "split-repo-v1",
    "split-repo-v2",
    "expire-repo-v1-by-1.1.21",
    "expire-repo-v1-by-2.0.5",
    "expire-repo-v1-by-working-copy",
    "expire-repo-v2-by-2.0.5",
};

static char directory[1024];
static cJSON *expected;

int golden_set_up(void **state)
{
    (void)state;
    char path[1100];
    snprintf(directory, sizeof directory, "%s", shared_path("icechunk-repos"));
    snprintf(path, sizeof path, "%s/EXPECTED.json", directory);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        print_message("%s is missing: tests of golden repositories are skipped\n", path);
        return 0;
    }
    static char text[1024 * 1024];
    const size_t size = fread(text, 1, sizeof text, file);
    fclose(file);
    expected = cJSON_ParseWithLength(text, size);
    assert_non_null(expected);
    return 0;
}

int golden_tear_down(void **state)
{
    (void)state;
    cJSON_Delete(expected);
    return 0;
}

const cJSON *golden_expected(void)
{
    if (expected == NULL)
        skip();
    return expected;
}

const char *golden_directory(void)
{
    return directory;
}

const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

void assert_id(const sgc_object_id *id, const char *id_text)
{
    char text[SGC_OBJECT_ID_TEXT + 1];
    sgc_object_id_format(id, text);
    assert_string_equal(text, id_text);
}

/* Nodes are written as objects are (format guide 1); 64 bits take 13 characters. */
static void format_node_id(const sgc_node_id *id, char text[14])
{
    static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | id->bytes[i];
    for (int i = 0; i < 12; i++)
        text[i] = alphabet[bits >> (59 - 5 * i) & 31];
    text[12] = alphabet[bits << 1 & 31];
    text[13] = '\0';
}

void assert_node_id(const sgc_node_id *id, const char *id_text)
{
    char text[14];
    format_node_id(id, text);
    assert_string_equal(text, id_text);
}
