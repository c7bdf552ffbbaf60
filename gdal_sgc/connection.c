#include "gdal_sgc/connection.h"

#include <cpl_conv.h>
#include <cpl_multiproc.h>
#include <cpl_string.h>
#include <ctype.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datasets/registry.h"
#include "gdal_sgc/descriptor.h"
#include "gdal_sgc/time_text.h"
#include "store/memory.h"

/* The options users know, in the words of their documentation. */
typedef enum key {
    DATASET,
    CREATE,
    DOWNLOAD,
    ON_MISSING,
    MAX_DOWNLOAD,
    TIMEOUT,
    BRANCH,
    TAG,
    SNAPSHOT,
    ASOF,
    TIME,
    CHANNELS,
    NUM_THREADS,
    MAX_REQUESTS,
    CHUNK_SIZE,
    COMPRESSION_LEVEL,
    SPEC_VERSION,
    SOURCE_URL,
    PROJECT,
    LOCKING,
    KEY_COUNT,
} key;

static const struct {
    const char *name, *type, *description, *fallback; /* fallback: shown as the default, or NULL */
} keys[KEY_COUNT] = {
    [DATASET] = {"DATASET", "string", "Id of a dataset or path of its definition file", NULL},
    [CREATE] = {"CREATE", "boolean", "Whether the place may be empty", NULL},
    [DOWNLOAD] = {"DOWNLOAD", "string-select:YES,NO,VIEW",
                  "Whether a read may download what it needs; VIEW: a little, for maps on screen",
                  NULL},
    [ON_MISSING] = {"ON_MISSING", "string-select:FAIL,NODATA",
                    "What a chunk means that is not complete and will not be downloaded", "FAIL"},
    [MAX_DOWNLOAD] = {"MAX_DOWNLOAD", "string", "Most bytes this handle may download, like 500MB",
                      "10GB"},
    [TIMEOUT] = {"TIMEOUT", "float", "Seconds one read may spend downloading; 0: no limit", "0"},
    [BRANCH] = {"BRANCH", "string", "Branch to read", "main"},
    [TAG] = {"TAG", "string", "Tag to read", NULL},
    [SNAPSHOT] = {"SNAPSHOT", "string", "Snapshot to read", NULL},
    [ASOF] = {"ASOF", "string", "Time, like 2026-03-01T12:00:00Z: branch main as it was then",
              NULL},
    [TIME] = {"TIME", "string", "Time steps to show: 2020, 2020-07, 2018/2020 or #3", NULL},
    [CHANNELS] = {"CHANNELS", "string", "Comma-separated channels to show as bands", NULL},
    [NUM_THREADS] = {"NUM_THREADS", "string", "Threads that decode and encode", NULL},
    [MAX_REQUESTS] = {"MAX_REQUESTS", "int", "Concurrent requests to the source", NULL},
    [CHUNK_SIZE] = {"CHUNK_SIZE", "int", "Side of the chunks of a new cube, in pixels", NULL},
    [COMPRESSION_LEVEL] = {"COMPRESSION_LEVEL", "int", "Blosc level of a new cube, 1 to 9", "5"},
    [SPEC_VERSION] = {"SPEC_VERSION", "int", "Version of Icechunk of a new cube, 1 or 2", "1"},
    [SOURCE_URL] = {"SOURCE_URL", "string", "Another endpoint of the same service", NULL},
    [PROJECT] = {"PROJECT", "string", "Project that pays for requests to Earth Engine", NULL},
    [LOCKING] = {"LOCKING", "boolean", "NO where a disk cannot lock and nobody else writes", "YES"},
};

char *sgc_connection_option_list(void)
{
    sgc_buffer xml = {0};
    sgc_status status = sgc_buffer_print(&xml, NULL, "<OpenOptionList>");
    for (int i = 0; status == SGC_OK && i < KEY_COUNT; i++) {
        const char *type = keys[i].type, *choices = strchr(type, ':');
        const int length = choices != NULL ? (int)(choices - type) : (int)strlen(type);
        status = sgc_buffer_print(&xml, NULL,
                                  "<Option name='%s' type='%.*s' description='%s' "
                                  "alt_config_option='SGC_%s'",
                                  keys[i].name, length, type, keys[i].description, keys[i].name);
        if (status == SGC_OK && keys[i].fallback != NULL)
            status = sgc_buffer_print(&xml, NULL, " default='%s'", keys[i].fallback);
        if (status == SGC_OK)
            status = sgc_buffer_print(&xml, NULL, ">");
        char **list = CSLTokenizeString2(choices != NULL ? choices + 1 : "", ",", 0);
        for (int k = 0; status == SGC_OK && k < CSLCount(list); k++)
            status = sgc_buffer_print(&xml, NULL, "<Value>%s</Value>", list[k]);
        CSLDestroy(list);
        if (status == SGC_OK)
            status = sgc_buffer_print(&xml, NULL, "</Option>");
    }
    if (status == SGC_OK)
        status = sgc_buffer_print(&xml, NULL, "</OpenOptionList>");
    if (status != SGC_OK)
        sgc_buffer_free(&xml);
    return (char *)xml.data;
}

/* ---- the string ---- */

static int find_key(const char *name, size_t length)
{
    int i = 0;
    while (i < KEY_COUNT && !(strlen(keys[i].name) == length && EQUALN(keys[i].name, name, length)))
        i++;
    return i;
}

/* The length of the word before '=', or 0 when `text` does not begin with a word and '='. */
static size_t word_length(const char *text)
{
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) || text[n] == '_')
        n++;
    return text[n] == '=' ? n : 0;
}

/* A separator of options: '&', or a ',' that a word and '=' follow. */
static bool separates(const char *at)
{
    return *at == '&' || (*at == ',' && word_length(at + 1) > 0);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* Gives the percent-decoded text. */
static sgc_status decode(const char *text, size_t length, char **out, sgc_error *err)
{
    char *decoded = malloc(length + 1);
    size_t n = 0;
    if (decoded == NULL)
        return sgc_fail_memory(err, length, "a name");
    for (size_t i = 0; i < length; i++) {
        const int high = text[i] == '%' && i + 2 < length ? hex_digit(text[i + 1]) : -1;
        const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
        if (low >= 0)
            i += 2;
        decoded[n++] = low >= 0 ? (char)(high * 16 + low) : text[i];
    }
    decoded[n] = '\0';
    if (strlen(decoded) != n) {
        free(decoded);
        return sgc_fail(err, SGC_INVALID, "%%00 has no place in a name");
    }
    *out = decoded;
    return SGC_OK;
}

/* What the string, the open options and the configuration say. */
typedef struct options {
    char *values[KEY_COUNT];
    bool in_string[KEY_COUNT];  /* whether the value is of the string */
    char **parameters, **given; /* as in sgc_connection */
} options;

static sgc_status add_pair(char ***list, const char *name, const char *value, sgc_error *err)
{
    char **grown = CSLAddNameValue(*list, name, value);
    if (grown == NULL)
        return sgc_fail_memory(err, strlen(value), "an option");
    *list = grown;
    return SGC_OK;
}

/* Sets a value that has no value yet. */
static sgc_status set_value(options *o, const char *name, const char *value, bool in_string,
                            sgc_error *err)
{
    const int i = find_key(name, strlen(name));
    if (i < KEY_COUNT && in_string && o->in_string[i])
        return sgc_fail(err, SGC_INVALID, "%s is given twice", keys[i].name);
    if (i < KEY_COUNT ? o->values[i] != NULL : CSLFetchNameValue(o->parameters, name) != NULL)
        return SGC_OK;
    if (i != TIME && i != CHANNELS)
        SGC_TRY(add_pair(&o->given, name, value, err));
    if (i == KEY_COUNT)
        return add_pair(&o->parameters, name, value, err);
    o->in_string[i] = in_string;
    o->values[i] = strdup(value);
    return o->values[i] != NULL ? SGC_OK : sgc_fail_memory(err, strlen(value), "an option");
}

/* Takes KEY=VALUE; of the string it is percent-encoded. */
static sgc_status take_pair(options *o, const char *pair, size_t length, bool in_string,
                            sgc_error *err)
{
    const size_t word = word_length(pair);
    if (word == 0)
        return sgc_fail(err, SGC_INVALID, "\"%.*s\" is not KEY=VALUE",
                        (int)(length < 64 ? length : 64), pair);
    char *name = strndup(pair, word), *value = NULL;
    sgc_status status = name != NULL ? SGC_OK : sgc_fail_memory(err, word, "an option");
    const char *text = pair + word + 1;
    const size_t size = length - word - 1;
    if (status == SGC_OK && in_string)
        status = decode(text, size, &value, err);
    else if (status == SGC_OK && (value = strndup(text, size)) == NULL)
        status = sgc_fail_memory(err, size, "an option");
    if (status == SGC_OK)
        status = set_value(o, name, value, in_string, err);
    free(name);
    free(value);
    return status;
}

size_t sgc_connection_place_length(const char *text)
{
    const char *end = text;
    while (*end != '\0' && *end != '?' && !(*end == ',' && separates(end)))
        end++;
    return (size_t)(end - text);
}

/* An option with a blank before it, with another separator or without a value is no part of a
 * place: nobody wants a directory of that name. */
static sgc_status check_place(const char *text, size_t length, sgc_error *err)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] != ',' && text[i] != ';')
            continue;
        const size_t begin = i + 1 + strspn(text + i + 1, " ");
        size_t end = begin;
        while (end < length && (isalnum((unsigned char)text[end]) || text[end] == '_'))
            end++;
        const size_t next = end + strspn(text + end, " ");
        if (find_key(text + begin, end - begin) < KEY_COUNT &&
            (next >= length || strchr("=,;", text[next]) != NULL))
            return sgc_fail(err, SGC_INVALID,
                            "\"%.*s\": did you mean the option \",%.*s=…\"? In the name of a place "
                            "write %%2C for a comma and %%3B for a semicolon",
                            (int)(length < 200 ? length : 200), text, (int)(end - begin),
                            text + begin);
    }
    return SGC_OK;
}

/* Splits "place,key=value&…" and gives the place. */
static sgc_status split_name(const char *text, options *o, char **place, sgc_error *err)
{
    const char *end = text + sgc_connection_place_length(text);
    SGC_TRY(check_place(text, (size_t)(end - text), err));
    SGC_TRY(decode(text, (size_t)(end - text), place, err));
    while (*end != '\0') {
        const char *pair = end + 1;
        for (end = pair; *end != '\0' && !separates(end);)
            end++;
        if (end > pair)
            SGC_TRY(take_pair(o, pair, (size_t)(end - pair), true, err));
    }
    return SGC_OK;
}

/* What ogr2ogr and QGIS give to every driver is no wish of the user's. */
static bool is_for_all_drivers(const char *pair)
{
    static const char *const given[] = {"NATIVE_DATA=", "LIST_ALL_TABLES="};
    bool is_given = false;
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        is_given = is_given || EQUALN(pair, given[i], strlen(given[i]));
    return is_given;
}

static sgc_status take_open_options(const char *const *list, options *o, sgc_error *err)
{
    for (; list != NULL && *list != NULL; list++)
        if (!is_for_all_drivers(*list))
            SGC_TRY(take_pair(o, *list, strlen(*list), false, err));
    return SGC_OK;
}

static sgc_status take_configuration(char **values, sgc_error *err)
{
    for (int i = 0; i < KEY_COUNT; i++) {
        char name[32];
        snprintf(name, sizeof name, "SGC_%s", keys[i].name);
        const char *value = values[i] == NULL ? CPLGetConfigOption(name, NULL) : NULL;
        if (value != NULL && (values[i] = strdup(value)) == NULL)
            return sgc_fail_memory(err, strlen(value), "an option");
    }
    return SGC_OK;
}

/* ---- values ---- */

bool sgc_is_yes_or_no(const char *text)
{
    static const char *const words[] = {"YES", "TRUE", "ON", "1", "NO", "FALSE", "OFF", "0"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (EQUAL(text, words[i]))
            return true;
    return false;
}

static sgc_status parse_bool(char *const *values, key k, bool *out, sgc_error *err)
{
    const char *value = values[k];
    if (value == NULL)
        return SGC_OK;
    if (!sgc_is_yes_or_no(value))
        return sgc_fail(err, SGC_INVALID, "%s=%.64s: must be %s", keys[k].name, value,
                        k == DOWNLOAD ? "YES, NO or VIEW" : "YES or NO");
    *out = CPLTestBool(value);
    return SGC_OK;
}

static sgc_status parse_integer(char *const *values, key k, long smallest, long largest, long *out,
                                sgc_error *err)
{
    if (values[k] == NULL)
        return SGC_OK;
    char *end;
    const long value = strtol(values[k], &end, 10);
    if (end == values[k] || *end != '\0' || value < smallest || value > largest)
        return sgc_fail(err, SGC_INVALID, "%s=%.64s: must be a number from %ld to %ld",
                        keys[k].name, values[k], smallest, largest);
    *out = value;
    return SGC_OK;
}

static sgc_status parse_size(const char *text, uint64_t *out, sgc_error *err)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"", 1},      {"B", 1},      {"KB", 1e3},      {"MB", 1e6},          {"GB", 1e9},
                 {"TB", 1e12}, {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824.0}};
    if (text == NULL)
        return SGC_OK;
    char *end;
    const double value = CPLStrtod(text, &end);
    while (*end == ' ')
        end++;
    for (size_t i = 0; i < sizeof units / sizeof *units && end != text; i++) {
        if (EQUAL(end, units[i].unit) && value >= 0 && value * units[i].factor < 1e18) {
            *out = (uint64_t)(value * units[i].factor);
            return SGC_OK;
        }
    }
    return sgc_fail(err, SGC_INVALID, "MAX_DOWNLOAD=%.64s: must be a size like 500MB or 10GB",
                    text);
}

static sgc_status parse_timeout(const char *text, uint64_t *milliseconds, sgc_error *err)
{
    const double longest = 1e9;
    if (text == NULL)
        return SGC_OK;
    char *end;
    const double seconds = CPLStrtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= 0 && seconds <= longest))
        return sgc_fail(err, SGC_INVALID,
                        "TIMEOUT=%.64s: must be a number of seconds, or 0 for no limit", text);
    *milliseconds = (uint64_t)ceil(seconds * 1000);
    return SGC_OK;
}

/* The processors this process may use. */
static unsigned available_cpus(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set)
                                                       : (unsigned)CPLGetNumCPUs();
}

static bool read_threads(const char *value, unsigned *out)
{
    char *end;
    const long count = strtol(value, &end, 10);
    const bool all = EQUAL(value, "ALL_CPUS");
    *out = all ? available_cpus() : (unsigned)count;
    return all || (*end == '\0' && count >= 1 && count <= 1024);
}

/* GDAL_NUM_THREADS is not ours: what others may mean by it is no mistake. */
static sgc_status parse_threads(const char *value, unsigned *out, sgc_error *err)
{
    if (value == NULL) {
        if (!read_threads(CPLGetConfigOption("GDAL_NUM_THREADS", "ALL_CPUS"), out))
            *out = available_cpus();
        return SGC_OK;
    }
    return read_threads(value, out)
               ? SGC_OK
               : sgc_fail(err, SGC_INVALID, "NUM_THREADS=%.64s: must be ALL_CPUS or a number",
                          value);
}

static sgc_status parse_ref(char **values, sgc_connection *c, sgc_error *err)
{
    static const key choices[] = {BRANCH, TAG, SNAPSHOT, ASOF};
    enum { CHOICES = sizeof choices / sizeof *choices };
    int given = 0;
    c->ref_choice = SGC_CHOOSE_BRANCH;
    for (int i = 0; i < CHOICES; i++) {
        if (values[choices[i]] == NULL)
            continue;
        if (given++ > 0)
            return sgc_fail(err, SGC_INVALID, "give at most one of BRANCH, TAG, SNAPSHOT and ASOF");
        c->ref_choice = (sgc_ref_choice)i;
        c->ref = values[choices[i]];
        values[choices[i]] = NULL;
    }
    if (c->ref == NULL && (c->ref = strdup("main")) == NULL)
        return sgc_fail_memory(err, 5, "a name");
    if (c->ref_choice != SGC_CHOOSE_AS_OF)
        return SGC_OK;
    SGC_TRY(sgc_time_parse(c->ref, &c->as_of, err));
    if (strchr(c->ref, '.') == NULL)
        c->as_of += 999999; /* all of the second, since lists of commits show no fractions */
    return SGC_OK;
}

static void take_value(char **values, key k, char **out)
{
    *out = values[k];
    values[k] = NULL;
}

/* The program that runs in this process, not the one that started it. */
static bool is_qgis(void)
{
    char path[4096];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    if (length < 0)
        return false;
    path[length] = '\0';
    const char *name = CPLGetFilename(path);
    return strcmp(name, "qgis") == 0 || strcmp(name, "qgis.bin") == 0;
}

static sgc_status parse_download(char **values, sgc_connection *c, sgc_error *err)
{
    const bool may = c->ref_choice == SGC_CHOOSE_BRANCH;
    const char *text = values[DOWNLOAD];
    c->download = may;
    c->for_view = text != NULL ? EQUAL(text, "VIEW") : may && is_qgis();
    if (c->for_view)
        c->download = true;
    else
        SGC_TRY(parse_bool(values, DOWNLOAD, &c->download, err));
    if (c->download && !may)
        return sgc_fail(
            err, SGC_INVALID,
            "DOWNLOAD=%.64s: what a tag, a snapshot or a time names never changes; open a branch "
            "to download",
            text);
    c->max_download = c->for_view ? UINT64_C(200000000) : UINT64_C(10000000000);
    c->timeout_ms = c->for_view ? 10000 : 0;
    SGC_TRY(parse_size(values[MAX_DOWNLOAD], &c->max_download, err));
    return parse_timeout(values[TIMEOUT], &c->timeout_ms, err);
}

static sgc_status parse_missing(const char *text, sgc_connection *c, sgc_error *err)
{
    if (text != NULL && !EQUAL(text, "FAIL") && !EQUAL(text, "NODATA"))
        return sgc_fail(err, SGC_INVALID, "ON_MISSING=%.64s: must be FAIL or NODATA", text);
    c->missing_is_nodata = text != NULL && EQUAL(text, "NODATA");
    c->view_misses_nodata = c->missing_is_nodata || text == NULL;
    return SGC_OK;
}

static sgc_status parse_values(char **values, sgc_connection *c, sgc_error *err)
{
    long requests = 0, chunk_size = 0, level = 5, spec_version = 1;
    SGC_TRY(parse_ref(values, c, err));
    c->locking = true;
    SGC_TRY(parse_bool(values, CREATE, &c->create, err));
    SGC_TRY(parse_bool(values, LOCKING, &c->locking, err));
    SGC_TRY(parse_download(values, c, err));
    SGC_TRY(parse_missing(values[ON_MISSING], c, err));
    SGC_TRY(parse_threads(values[NUM_THREADS], &c->num_threads, err));
    SGC_TRY(parse_integer(values, MAX_REQUESTS, 1, 256, &requests, err));
    SGC_TRY(parse_integer(values, CHUNK_SIZE, 16, 16000, &chunk_size, err));
    SGC_TRY(parse_integer(values, COMPRESSION_LEVEL, 1, 9, &level, err));
    SGC_TRY(parse_integer(values, SPEC_VERSION, 1, 2, &spec_version, err));
    c->spec_version = (int)spec_version;
    c->max_requests = (unsigned)requests;
    c->chunk_size = chunk_size;
    c->compression_level = (int)level;
    if (values[CHANNELS] != NULL)
        c->channels =
            CSLTokenizeString2(values[CHANNELS], ",", CSLT_STRIPLEADSPACES | CSLT_STRIPENDSPACES);
    take_value(values, SOURCE_URL, &c->source_url);
    take_value(values, PROJECT, &c->project);
    take_value(values, TIME, &c->time);
    return SGC_OK;
}

/* ---- the place ---- */

static bool is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool is_definition_file(const char *name)
{
    struct stat info;
    return EQUAL(CPLGetExtension(name), "json") && stat(name, &info) == 0 && S_ISREG(info.st_mode);
}

static bool is_place(const char *name, bool has_dataset)
{
    if (!has_dataset && is_definition_file(name))
        return false;
    return has_dataset || strchr(name, '/') != NULL || strchr(name, '\\') != NULL ||
           (isalpha((unsigned char)name[0]) && name[1] == ':') || STARTS_WITH(name, "mem:") ||
           is_directory(name);
}

static sgc_status copy_name(const char *name, char **out, sgc_error *err)
{
    *out = strdup(name);
    return *out != NULL ? SGC_OK : sgc_fail_memory(err, strlen(name), "a name");
}

/* Whether a name without a directory is that of a dataset. */
static bool is_known_dataset(const char *name)
{
    sgc_definition *definition = NULL;
    const bool known = strpbrk(name, "/\\:") == NULL &&
                       sgc_registry_find(name, NULL, &definition, NULL) != SGC_NOT_FOUND;
    sgc_definition_free(definition);
    return known;
}

/* Gives the absolute form, so that a change of directory between two opens means two cubes. */
static sgc_status make_absolute(const char *place, char **out, sgc_error *err)
{
    const bool is_absolute =
        place[0] == '/' || STARTS_WITH(place, "mem:") || strstr(place, "://") != NULL;
    char *directory = is_absolute ? NULL : CPLGetCurrentDir();
    sgc_buffer path = {0};
    const char *relative = STARTS_WITH(place, "./") ? place + 2 : place;
    const sgc_status status = directory != NULL
                                  ? sgc_buffer_print(&path, err, "%s/%s", directory, relative)
                                  : sgc_buffer_print(&path, err, "%s", place);
    CPLFree(directory);
    if (status != SGC_OK)
        return status;
    char *text = (char *)path.data;
    for (size_t n = strlen(text); n > 1 && text[n - 1] == '/'; n--)
        text[n - 1] = '\0';
    *out = text;
    return SGC_OK;
}

static sgc_status default_directory(sgc_buffer *path, sgc_error *err)
{
    const char *chosen = CPLGetConfigOption("SGC_CUBE_DIR", NULL);
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    if (chosen != NULL)
        return sgc_buffer_print(path, err, "%s", chosen);
    if (data != NULL && data[0] == '/')
        return sgc_buffer_print(path, err, "%s/sgc", data);
    if (home != NULL && home[0] == '/')
        return sgc_buffer_print(path, err, "%s/.local/share/sgc", home);
    return sgc_fail(
        err, SGC_INVALID,
        "there is no home directory to keep cubes in: set SGC_CUBE_DIR, or name a place");
}

/* A dataset id: the cube has its default place and may be made there. */
static sgc_status use_default_place(const char *id, sgc_connection *c, sgc_error *err)
{
    sgc_definition *definition;
    SGC_TRY(sgc_connection_find_definition(c, id, &definition, err));
    sgc_buffer path = {0};
    sgc_status status = default_directory(&path, err);
    if (status == SGC_OK)
        status = sgc_buffer_print(&path, err, "/%s.icechunk", definition->id);
    if (status == SGC_OK)
        status = make_absolute((const char *)path.data, &c->place, err);
    if (status == SGC_OK)
        status = copy_name(id, &c->dataset, err);
    c->create = true;
    sgc_buffer_free(&path);
    sgc_definition_free(definition);
    return status;
}

/* The names of the cube's parts find the definition file from any directory. */
static sgc_status resolve_dataset(char **values, sgc_connection *c, sgc_error *err)
{
    static const char option[] = "dataset";
    if (values[DATASET] == NULL || !sgc_registry_is_path(values[DATASET])) {
        take_value(values, DATASET, &c->dataset);
        return SGC_OK;
    }
    SGC_TRY(make_absolute(values[DATASET], &c->dataset, err));
    if (CSLFetchNameValue(c->given, option) != NULL)
        c->given = CSLSetNameValue(c->given, option, c->dataset);
    return SGC_OK;
}

static sgc_status resolve_place(const char *name, char **values, sgc_connection *c, sgc_error *err)
{
    if (*name == '\0')
        return sgc_fail(err, SGC_INVALID,
                        "\"SGC:\" needs a dataset or a place, like SGC:Demo or "
                        "SGC:./cube,dataset=Demo,create=yes");
    if (strstr(name, "://") != NULL)
        return sgc_fail(err, SGC_UNSUPPORTED,
                        "%.200s: this build keeps cubes in local directories only", name);
    SGC_TRY(resolve_dataset(values, c, err));
    const bool place = is_place(name, c->dataset != NULL);
    c->hides_dataset = place && c->dataset == NULL && is_known_dataset(name);
    SGC_TRY(place || sgc_registry_is_path(name) ? make_absolute(name, &c->name, err)
                                                : copy_name(name, &c->name, err));
    return place ? copy_name(c->name, &c->place, err) : use_default_place(c->name, c, err);
}

/* The definition is looked up only where there is something to look for in it. */
static sgc_status check_parameters(const sgc_connection *c, sgc_error *err)
{
    sgc_definition *definition;
    if (c->parameters == NULL || c->dataset == NULL)
        return SGC_OK;
    SGC_TRY(sgc_connection_find_definition(c, c->dataset, &definition, err));
    const sgc_status status = sgc_connection_check_parameters(c, definition, err);
    sgc_definition_free(definition);
    return status;
}

static sgc_status parse(const char *text, const char *const *open_options, options *o, char **name,
                        sgc_connection *c, sgc_error *err)
{
    SGC_TRY(take_open_options(open_options, o, err));
    SGC_TRY(split_name(text, o, name, err));
    SGC_TRY(take_configuration(o->values, err));
    c->parameters = o->parameters;
    c->given = o->given;
    o->parameters = o->given = NULL;
    SGC_TRY(resolve_place(*name, o->values, c, err));
    SGC_TRY(check_parameters(c, err));
    return parse_values(o->values, c, err);
}

/* `name` begins with "SGC:". */
static sgc_status parse_name(const char *name, const char *const *open_options,
                             sgc_connection **out, sgc_error *err)
{
    options o = {.values = {NULL}};
    char *place = NULL;
    sgc_connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        return sgc_fail_memory(err, sizeof *connection, "a connection");
    const sgc_status status =
        parse(name + strlen(SGC_PREFIX), open_options, &o, &place, connection, err);
    for (int i = 0; i < KEY_COUNT; i++)
        free(o.values[i]);
    CSLDestroy(o.parameters);
    CSLDestroy(o.given);
    free(place);
    if (status != SGC_OK) {
        sgc_connection_free(connection);
        return status;
    }
    *out = connection;
    return SGC_OK;
}

sgc_status sgc_connection_parse(const char *name, const char *const *open_options,
                                sgc_connection **out, sgc_error *err)
{
    if (STARTS_WITH_CI(name, SGC_PREFIX))
        return parse_name(name, open_options, out, err);
    sgc_buffer text = {0};
    sgc_status status = sgc_descriptor_read(name, &text, err);
    if (status == SGC_OK) {
        status = parse_name((const char *)text.data, open_options, out, err);
        if (status == SGC_OK && ((*out)->file = strdup(name)) == NULL) {
            status = sgc_fail_memory(err, strlen(name), "a connection");
            sgc_connection_free(*out);
            *out = NULL;
        }
        if (status != SGC_OK)
            sgc_fail_in(err, status, "%.300s", name);
    }
    sgc_buffer_free(&text);
    return status;
}

/* ---- parameters ---- */

sgc_status sgc_connection_find_definition(const sgc_connection *connection, const char *name,
                                          sgc_definition **out, sgc_error *err)
{
    char **parameters = connection->parameters;
    const sgc_status status = sgc_registry_find(name, parameters, out, err);
    sgc_definition *plain;
    if (status == SGC_OK || parameters == NULL ||
        sgc_registry_find(name, NULL, &plain, NULL) != SGC_OK)
        return status;
    /* What is no parameter may be an option with a misprint, which is said better. */
    const sgc_status checked = sgc_connection_check_parameters(connection, plain, err);
    sgc_definition_free(plain);
    return checked != SGC_OK ? checked : status;
}

static sgc_status fail_unknown_key(const char *pair, const cJSON *parameters, sgc_error *err)
{
    enum { MOST = KEY_COUNT + 32 };
    char word[64], list[1024] = "";
    const char *names[MOST + 1] = {NULL};
    size_t count = 0;
    const cJSON *item;
    snprintf(word, sizeof word, "%.*s", (int)word_length(pair), pair);
    for (int i = 0; i < KEY_COUNT; i++)
        names[count++] = keys[i].name;
    cJSON_ArrayForEach(item, parameters)
    {
        if (count < MOST)
            names[count++] = item->string;
    }
    for (size_t i = 0; i < count; i++) {
        const size_t length = strlen(list);
        snprintf(list + length, sizeof list - length, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    const char *nearest = sgc_nearest_word(word, names);
    if (nearest != NULL)
        return sgc_fail(err, SGC_INVALID, "unknown option \"%s\" (did you mean %s? Known are %s)",
                        word, nearest, list);
    return sgc_fail(err, SGC_INVALID, "unknown option \"%s\" (known are %s)", word, list);
}

sgc_status sgc_connection_check_parameters(const sgc_connection *connection,
                                           const sgc_definition *definition, sgc_error *err)
{
    if (connection->parameters == NULL)
        return SGC_OK;
    cJSON *json = definition != NULL ? cJSON_Parse(definition->text) : NULL;
    const cJSON *parameters = cJSON_GetObjectItemCaseSensitive(json, "parameters");
    sgc_status status = SGC_OK;
    for (char **pair = connection->parameters; status == SGC_OK && *pair != NULL; pair++) {
        char word[64];
        snprintf(word, sizeof word, "%.*s", (int)word_length(*pair), *pair);
        if (cJSON_GetObjectItem(parameters, word) == NULL)
            status = fail_unknown_key(*pair, parameters, err);
    }
    cJSON_Delete(json);
    return status;
}

/* ---- the string of a part of the cube ---- */

sgc_status sgc_connection_encode(const char *text, sgc_buffer *out, sgc_error *err)
{
    for (; *text != '\0'; text++) {
        const bool special = strchr("%?&,;", *text) != NULL;
        SGC_TRY(special ? sgc_buffer_print(out, err, "%%%02X", (unsigned char)*text)
                        : sgc_buffer_append(out, text, 1, err));
    }
    return sgc_buffer_print(out, err, "%s", "");
}

static sgc_status print_pair(const char *name, size_t length, const char *value, sgc_buffer *out,
                             sgc_error *err)
{
    SGC_TRY(sgc_buffer_print(out, err, ",%.*s=", (int)length, name));
    return sgc_connection_encode(value, out, err);
}

sgc_status sgc_connection_print(const sgc_connection *connection, const char *time,
                                const char *channels, sgc_buffer *out, sgc_error *err)
{
    SGC_TRY(sgc_buffer_print(out, err, SGC_PREFIX));
    SGC_TRY(sgc_connection_encode(connection->name, out, err));
    for (char **pair = connection->given; pair != NULL && *pair != NULL; pair++) {
        const size_t length = word_length(*pair);
        SGC_TRY(print_pair(*pair, length, *pair + length + 1, out, err));
    }
    if (channels != NULL)
        SGC_TRY(print_pair("channels", strlen("channels"), channels, out, err));
    return time != NULL ? print_pair("time", strlen("time"), time, out, err) : SGC_OK;
}

void sgc_connection_free(sgc_connection *connection)
{
    if (connection == NULL)
        return;
    free(connection->place);
    free(connection->dataset);
    free(connection->ref);
    free(connection->source_url);
    free(connection->project);
    free(connection->time);
    free(connection->name);
    free(connection->file);
    CSLDestroy(connection->parameters);
    CSLDestroy(connection->given);
    CSLDestroy(connection->channels);
    free(connection);
}
