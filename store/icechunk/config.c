#include "store/icechunk/config.h"

#include <stdlib.h>
#include <string.h>

#include "store/icechunk/flex_buffers.h"
#include "store/icechunk/pattern.h"
#include "store/icechunk/yaml_text.h"
#include "store/zarr/json_number.h"

enum {
    DEFAULT_INLINE_THRESHOLD = 512,
    DEFAULT_UPDATES_PER_FILE = 1000,
    LARGEST_JSON = 4 * 1024 * 1024,
    MOST_PATTERNS = 200,
    DEEPEST_CONDITION = 20,
};

typedef enum condition_kind {
    MATCHES_NEVER,
    MATCHES_ANY,
    MATCHES_NAME,
    MATCHES_PATH,
    MATCHES_ONE, /* of the parts */
    MATCHES_ALL,
} condition_kind;

/* Of an array. */
typedef struct condition {
    condition_kind kind;
    const sgc_pattern *pattern;
    const struct condition *parts;
    size_t part_count;
} condition;

typedef enum dimension_kind {
    EVERY_DIMENSION,
    DIMENSION_OF_AXIS,
    DIMENSION_OF_NAME,
} dimension_kind;

typedef struct dimension_rule {
    dimension_kind kind;
    uint64_t axis;
    const sgc_pattern *pattern;
    uint32_t chunks;
} dimension_rule;

typedef struct rule {
    condition condition;
    const dimension_rule *dimensions;
    size_t dimension_count;
} rule;

struct sgc_config {
    uint32_t inline_threshold, updates_per_file;
    const rule *rules;
    size_t rule_count;
    sgc_arena arena;
    sgc_pattern **patterns; /* all of them */
    size_t pattern_count, pattern_capacity;
    sgc_error warning;
};

static sgc_span span_of(const sgc_buffer *buffer)
{
    return (sgc_span){(const char *)buffer->data, buffer->size};
}

/* ---- reading ----
 *
 * A value that is not what it should be is ignored, with a warning. Only lack of memory and
 * malformed JSON are failures. */

static void warn(sgc_config *config, const char *what, sgc_span value)
{
    const int size = (int)(value.size < 64 ? value.size : 64);
    if (config->warning.message[0] == '\0')
        sgc_fail(&config->warning, SGC_OK, "%s%s%.*s", what, size > 0 ? ": " : "", size,
                 size > 0 ? value.text : "");
}

static bool is_null(sgc_span value)
{
    return value.size == 0 || sgc_json_kind_of(value) == SGC_JSON_NULL;
}

/* Sets `value` to a member of `object`; to nothing when that is null or has none. */
static sgc_status get(sgc_config *config, sgc_span object, const char *key, sgc_span *value,
                      sgc_error *err)
{
    *value = (sgc_span){0};
    if (is_null(object))
        return SGC_OK;
    if (sgc_json_kind_of(object) != SGC_JSON_OBJECT) {
        warn(config, "not a mapping", object);
        return SGC_OK;
    }
    const sgc_status status = sgc_json_find(object, key, value, err);
    return status == SGC_NOT_FOUND ? SGC_OK : status;
}

/* Sets *number, cut to [least, most], if `value` is one; false otherwise. */
static bool read_number(sgc_span value, uint32_t least, uint32_t most, uint32_t *number)
{
    sgc_number parsed;
    if (sgc_json_number_parse(value, &parsed, NULL) != SGC_OK || parsed.kind != SGC_NUMBER_UNSIGNED)
        return false;
    const uint64_t size = parsed.value.positive;
    *number = size < least ? least : size > most ? most : (uint32_t)size;
    return true;
}

static sgc_status read_member(sgc_config *config, sgc_span object, const char *key, uint32_t least,
                              uint32_t most, uint32_t *number, sgc_error *err)
{
    sgc_span value;
    SGC_TRY(get(config, object, key, &value, err));
    if (!is_null(value) && !read_number(value, least, most, number))
        warn(config, key, value);
    return SGC_OK;
}

/* Gives the elements of a list; none of anything else. */
static sgc_status read_list(sgc_config *config, sgc_span list, sgc_span **elements, size_t *count,
                            sgc_error *err)
{
    *elements = NULL;
    *count = 0;
    if (is_null(list))
        return SGC_OK;
    if (sgc_json_kind_of(list) != SGC_JSON_ARRAY) {
        warn(config, "not a list", list);
        return SGC_OK;
    }
    SGC_TRY(sgc_json_count(list, count, err));
    *elements = sgc_arena_alloc(&config->arena, *count, sizeof **elements);
    if (*elements == NULL)
        return sgc_fail_memory(err, *count * sizeof **elements, "a configuration");
    size_t position = 0;
    for (size_t i = 0; i < *count; i++)
        SGC_TRY(sgc_json_next(list, &position, &(*elements)[i], err));
    return SGC_OK;
}

/* Takes a choice apart: "name", or {"name":content}. Both are nothing when it is neither. */
static sgc_status read_choice(sgc_span value, sgc_span *name, sgc_span *content, sgc_error *err)
{
    *name = *content = (sgc_span){0};
    size_t position = 0;
    sgc_status status = SGC_OK;
    if (sgc_json_kind_of(value) == SGC_JSON_STRING)
        *name = value;
    else if (sgc_json_kind_of(value) == SGC_JSON_OBJECT)
        status = sgc_json_next_pair(value, &position, name, content, err);
    return status == SGC_NOT_FOUND ? SGC_OK : status;
}

static bool is_choice(sgc_span name, const char *text)
{
    return name.size >= 2 && sgc_span_is((sgc_span){name.text + 1, name.size - 2}, text);
}

/* Compiles the text that `value` is, and notes it in config->patterns. */
static sgc_status compile(sgc_config *config, sgc_span value, sgc_pattern **pattern, sgc_error *err)
{
    sgc_pattern **patterns = sgc_list_grow(config->patterns, config->pattern_count,
                                           &config->pattern_capacity, sizeof(sgc_pattern *));
    if (patterns == NULL)
        return sgc_fail_memory(err, sizeof *patterns, "a configuration");
    config->patterns = patterns;
    sgc_buffer text = {0};
    /* YAML's plain scalars are what they look like: 2020 is a number. */
    sgc_status status = sgc_json_kind_of(value) == SGC_JSON_STRING
                            ? sgc_json_unquote(value, &text, err)
                            : sgc_buffer_print(&text, err, "%.*s", (int)value.size, value.text);
    if (status == SGC_OK)
        status = sgc_pattern_new(span_of(&text), pattern, err);
    if (status == SGC_OK)
        patterns[config->pattern_count++] = *pattern;
    sgc_buffer_free(&text);
    return status;
}

/* Sets *pattern to NULL when `value` is none that we can use. */
static sgc_status read_pattern(sgc_config *config, sgc_span value, const sgc_pattern **pattern,
                               sgc_error *err)
{
    *pattern = NULL;
    const sgc_json_kind kind = sgc_json_kind_of(value);
    if (is_null(value) || kind == SGC_JSON_OBJECT || kind == SGC_JSON_ARRAY) {
        warn(config, "not a pattern", value);
        return SGC_OK;
    }
    if (config->pattern_count == MOST_PATTERNS) {
        warn(config, "too many patterns", value);
        return SGC_OK;
    }
    sgc_pattern *compiled = NULL;
    sgc_error why;
    const sgc_status status = compile(config, value, &compiled, &why);
    if (status == SGC_NO_MEMORY)
        return sgc_fail(err, status, "%s", why.message);
    if (status != SGC_OK)
        warn(config, why.message, (sgc_span){0});
    *pattern = compiled;
    return SGC_OK;
}

static sgc_status read_condition(sgc_config *config, sgc_span value, int depth, condition *out,
                                 sgc_error *err);

static sgc_status read_parts(sgc_config *config, sgc_span list, int depth, condition *out,
                             sgc_error *err)
{
    sgc_span *elements;
    size_t count;
    SGC_TRY(read_list(config, list, &elements, &count, err));
    condition *parts = sgc_arena_alloc(&config->arena, count, sizeof *parts);
    if (parts == NULL)
        return sgc_fail_memory(err, count * sizeof *parts, "a configuration");
    for (size_t i = 0; i < count; i++)
        SGC_TRY(read_condition(config, elements[i], depth + 1, &parts[i], err));
    out->parts = parts;
    out->part_count = count;
    return SGC_OK;
}

static sgc_status read_condition(sgc_config *config, sgc_span value, int depth, condition *out,
                                 sgc_error *err)
{
    static const struct {
        const char *name;
        condition_kind kind;
    } kinds[] = {{"any_array", MATCHES_ANY},
                 {"name_matches", MATCHES_NAME},
                 {"path_matches", MATCHES_PATH},
                 {"or", MATCHES_ONE},
                 {"and", MATCHES_ALL}};
    sgc_span name, content, regex;
    condition result = {.kind = MATCHES_NEVER};
    SGC_TRY(read_choice(value, &name, &content, err));
    for (size_t i = 0; depth < DEEPEST_CONDITION && i < sizeof kinds / sizeof *kinds; i++)
        if (is_choice(name, kinds[i].name))
            result.kind = kinds[i].kind;
    if (result.kind == MATCHES_NEVER) {
        warn(config, "an unknown condition for arrays", value);
    } else if (result.kind == MATCHES_ONE || result.kind == MATCHES_ALL) {
        SGC_TRY(read_parts(config, content, depth, &result, err));
    } else if (result.kind != MATCHES_ANY) {
        SGC_TRY(get(config, content, "regex", &regex, err));
        SGC_TRY(read_pattern(config, regex, &result.pattern, err));
        if (result.pattern == NULL)
            result.kind = MATCHES_NEVER;
    }
    *out = result;
    return SGC_OK;
}

/* Sets *usable to whether `value` is a rule that can be followed. */
static sgc_status read_dimension_rule(sgc_config *config, sgc_span value, dimension_rule *out,
                                      bool *usable, sgc_error *err)
{
    sgc_span which, name, content, chunks;
    dimension_rule result = {.kind = EVERY_DIMENSION};
    SGC_TRY(get(config, value, "condition", &which, err));
    SGC_TRY(get(config, value, "num_chunks", &chunks, err));
    SGC_TRY(read_choice(which, &name, &content, err));
    *usable = read_number(chunks, 0, UINT32_MAX, &result.chunks) && result.chunks > 0;
    sgc_number axis;
    if (is_choice(name, "DimensionName")) {
        result.kind = DIMENSION_OF_NAME;
        SGC_TRY(read_pattern(config, content, &result.pattern, err));
        *usable = *usable && result.pattern != NULL;
    } else if (is_choice(name, "Axis")) {
        result.kind = DIMENSION_OF_AXIS;
        *usable = *usable && sgc_json_number_parse(content, &axis, NULL) == SGC_OK &&
                  axis.kind == SGC_NUMBER_UNSIGNED;
        if (*usable)
            result.axis = axis.value.positive;
    } else {
        *usable = *usable && is_choice(name, "Any");
    }
    if (!*usable)
        warn(config, "a rule for dimensions that cannot be followed", value);
    *out = result;
    return SGC_OK;
}

static sgc_status read_dimension_rules(sgc_config *config, sgc_span list, rule *out, sgc_error *err)
{
    sgc_span *elements;
    size_t count;
    SGC_TRY(read_list(config, list, &elements, &count, err));
    dimension_rule *rules = sgc_arena_alloc(&config->arena, count, sizeof *rules);
    if (rules == NULL)
        return sgc_fail_memory(err, count * sizeof *rules, "a configuration");
    for (size_t i = 0; i < count; i++) {
        bool usable;
        SGC_TRY(
            read_dimension_rule(config, elements[i], &rules[out->dimension_count], &usable, err));
        out->dimension_count += usable;
    }
    out->dimensions = rules;
    return SGC_OK;
}

/* Each rule is a list of two: which arrays, and the rules for their dimensions. */
static sgc_status read_rule(sgc_config *config, sgc_span value, rule *out, sgc_error *err)
{
    sgc_span *parts;
    size_t count;
    rule result = {.condition.kind = MATCHES_NEVER};
    SGC_TRY(read_list(config, value, &parts, &count, err));
    if (count == 2) {
        SGC_TRY(read_condition(config, parts[0], 0, &result.condition, err));
        SGC_TRY(read_dimension_rules(config, parts[1], &result, err));
    } else {
        warn(config, "a rule for splitting manifests that is no list of two", value);
    }
    *out = result;
    return SGC_OK;
}

static sgc_status read_rules(sgc_config *config, sgc_span root, sgc_error *err)
{
    sgc_span manifest, splitting, sizes, *elements;
    size_t count;
    SGC_TRY(get(config, root, "manifest", &manifest, err));
    SGC_TRY(get(config, manifest, "splitting", &splitting, err));
    SGC_TRY(get(config, splitting, "split_sizes", &sizes, err));
    SGC_TRY(read_list(config, sizes, &elements, &count, err));
    rule *rules = sgc_arena_alloc(&config->arena, count, sizeof *rules);
    if (rules == NULL)
        return sgc_fail_memory(err, count * sizeof *rules, "a configuration");
    for (size_t i = 0; i < count; i++) {
        rule *next = &rules[config->rule_count];
        SGC_TRY(read_rule(config, elements[i], next, err));
        config->rule_count += next->condition.kind != MATCHES_NEVER && next->dimension_count > 0;
    }
    config->rules = rules;
    return SGC_OK;
}

static sgc_status read_root(sgc_config *config, sgc_span json, sgc_error *err)
{
    sgc_span root;
    SGC_TRY(sgc_json_whole(json, &root, err));
    if (!is_null(root) && sgc_json_kind_of(root) != SGC_JSON_OBJECT)
        return sgc_fail(err, SGC_CORRUPT, "not a mapping");
    SGC_TRY(read_member(config, root, "inline_chunk_threshold_bytes", 0, UINT16_MAX,
                        &config->inline_threshold, err));
    SGC_TRY(read_member(config, root, "num_updates_per_repo_info_file", 1, UINT16_MAX,
                        &config->updates_per_file, err));
    return read_rules(config, root, err);
}

static sgc_status parse_json(sgc_span json, sgc_config **out, sgc_error *err)
{
    if (json.size > LARGEST_JSON)
        return sgc_fail(err, SGC_CORRUPT, "more than %d bytes", LARGEST_JSON);
    sgc_config *config = calloc(1, sizeof *config);
    if (config == NULL)
        return sgc_fail_memory(err, sizeof *config, "a configuration");
    config->inline_threshold = DEFAULT_INLINE_THRESHOLD;
    config->updates_per_file = DEFAULT_UPDATES_PER_FILE;
    const sgc_status status = read_root(config, json, err);
    if (status != SGC_OK) {
        sgc_config_free(config);
        return status;
    }
    *out = config;
    return SGC_OK;
}

sgc_status sgc_config_parse_yaml(const void *text, size_t size, sgc_config **out, sgc_error *err)
{
    sgc_buffer json = {0};
    sgc_status status = sgc_yaml_print_json((sgc_span){text, size}, &json, err);
    if (status == SGC_OK)
        status = parse_json(span_of(&json), out, err);
    sgc_buffer_free(&json);
    return status == SGC_OK ? SGC_OK : sgc_fail_in(err, status, "config.yaml");
}

sgc_status sgc_config_parse_flex(const void *bytes, size_t size, sgc_config **out, sgc_error *err)
{
    sgc_buffer json = {0};
    sgc_status status = sgc_flex_buffers_print(bytes, size, &json, err);
    if (status == SGC_OK)
        status = parse_json(span_of(&json), out, err);
    sgc_buffer_free(&json);
    return status == SGC_OK ? SGC_OK : sgc_fail_in(err, status, "the repository's configuration");
}

void sgc_config_free(sgc_config *config)
{
    if (config == NULL)
        return;
    for (size_t i = 0; i < config->pattern_count; i++)
        sgc_pattern_free(config->patterns[i]);
    free(config->patterns);
    sgc_arena_free(&config->arena);
    free(config);
}

/* ---- asking ---- */

const char *sgc_config_warning(const sgc_config *config)
{
    return config != NULL && config->warning.message[0] != '\0' ? config->warning.message : NULL;
}

uint32_t sgc_config_inline_threshold(const sgc_config *config)
{
    return config != NULL ? config->inline_threshold : DEFAULT_INLINE_THRESHOLD;
}

uint32_t sgc_config_updates_per_file(const sgc_config *config)
{
    return config != NULL ? config->updates_per_file : DEFAULT_UPDATES_PER_FILE;
}

bool sgc_config_has_split_rules(const sgc_config *config)
{
    return config != NULL && config->rule_count > 0;
}

static bool matches_array(const condition *c, const char *path)
{
    const char *slash = strrchr(path, '/');
    switch (c->kind) {
    case MATCHES_NEVER:
        return false;
    case MATCHES_ANY:
        return true;
    case MATCHES_NAME:
        return sgc_pattern_matches(c->pattern, slash != NULL ? slash + 1 : path);
    case MATCHES_PATH:
        return sgc_pattern_matches(c->pattern, path);
    case MATCHES_ONE:
    case MATCHES_ALL:
        break;
    }
    const bool decisive = c->kind == MATCHES_ONE;
    for (size_t i = 0; i < c->part_count; i++)
        if (matches_array(&c->parts[i], path) == decisive)
            return decisive;
    return !decisive;
}

/* What `r` says about dimension `d`, or NULL. */
static const dimension_rule *find_dimension(const rule *r, size_t d, const char *name)
{
    for (size_t i = 0; i < r->dimension_count; i++) {
        const dimension_rule *dimension = &r->dimensions[i];
        const bool matches = dimension->kind == EVERY_DIMENSION ||
                             (dimension->kind == DIMENSION_OF_AXIS && dimension->axis == d) ||
                             (dimension->kind == DIMENSION_OF_NAME && name != NULL &&
                              sgc_pattern_matches(dimension->pattern, name));
        if (matches)
            return dimension;
    }
    return NULL;
}

void sgc_config_split(const sgc_config *config, const char *path, size_t dimension_count,
                      const char *const *dimension_names, uint32_t *lengths)
{
    for (size_t d = 0; d < dimension_count; d++) {
        const char *name = dimension_names != NULL ? dimension_names[d] : NULL;
        const dimension_rule *found = NULL;
        for (size_t i = 0; config != NULL && found == NULL && i < config->rule_count; i++)
            if (matches_array(&config->rules[i].condition, path))
                found = find_dimension(&config->rules[i], d, name);
        lengths[d] = found != NULL ? found->chunks : UINT32_MAX;
    }
}

/* ---- writing ---- */

sgc_status sgc_config_print_yaml(const sgc_split_rule *rules, size_t count, sgc_buffer *out,
                                 sgc_error *err)
{
    if (count == 0)
        return sgc_buffer_print(out, err, "{}\n");
    SGC_TRY(sgc_buffer_print(
        out, err,
        "manifest:\n  preload: null\n  splitting:\n    split_sizes:\n    - - any_array\n"));
    for (size_t i = 0; i < count; i++)
        SGC_TRY(sgc_buffer_print(out, err,
                                 "      %s - condition: !DimensionName ^%s$\n"
                                 "          num_chunks: %u\n",
                                 i == 0 ? "-" : " ", rules[i].dimension, rules[i].chunks));
    return SGC_OK;
}

static sgc_status print_json(const sgc_split_rule *rules, size_t count, sgc_buffer *out,
                             sgc_error *err)
{
    if (count == 0)
        return sgc_buffer_print(out, err, "{}");
    SGC_TRY(sgc_buffer_print(out, err,
                             "{\"manifest\":{\"preload\":null,\"splitting\":{\"split_sizes\":"
                             "[[\"any_array\",["));
    for (size_t i = 0; i < count; i++)
        SGC_TRY(sgc_buffer_print(out, err,
                                 "%s{\"condition\":{\"DimensionName\":\"^%s$\"},\"num_chunks\":%u}",
                                 i == 0 ? "" : ",", rules[i].dimension, rules[i].chunks));
    return sgc_buffer_print(out, err, "]]]}}}");
}

sgc_status sgc_config_print_flex(const sgc_split_rule *rules, size_t count, sgc_buffer *out,
                                 sgc_error *err)
{
    sgc_buffer json = {0};
    sgc_status status = print_json(rules, count, &json, err);
    if (status == SGC_OK)
        status = sgc_flex_buffers_encode(span_of(&json), out, err);
    sgc_buffer_free(&json);
    return status;
}

sgc_status sgc_config_new(const sgc_split_rule *rules, size_t count, sgc_config **out,
                          sgc_error *err)
{
    sgc_buffer json = {0};
    sgc_status status = print_json(rules, count, &json, err);
    if (status == SGC_OK)
        status = parse_json(span_of(&json), out, err);
    sgc_buffer_free(&json);
    return status;
}
