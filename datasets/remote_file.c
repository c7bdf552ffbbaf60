#include "datasets/remote_file.h"

#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "datasets/hash.h"
#include "datasets/part_cache.h"
#include "datasets/source.h"
#include "store/fork.h"

#define PREFIX "/vsisgc/"

enum {
    HEAD_SIZE = 32 << 10,
    AHEAD_SIZE = 32 << 10,  /* smaller reads fetch this much */
    MAX_GAP = 16 << 10,     /* between ranges worth one request */
    MAX_REQUEST = 16 << 20, /* a larger one is cut, so that a failure repeats less */
    CACHED_HEADS = 64,
    CACHED_WHOLE = 4,
    KEPT_REQUEST = 8 * SGC_PART_SIZE, /* at most, where received parts are kept */
};

/* The beginning of a file and what identifies its version. Shared by the cache and open files. */
typedef struct file_head {
    unsigned owners; /* guarded by the mutex of the files */
    char *url;
    sgc_http_response response;
} file_head;

struct sgc_remote_files {
    sgc_http *http;
    uint64_t id;
    sgc_remote_files *next;         /* in the table */
    pthread_mutex_t mutex;          /* guards the heads */
    file_head *heads[CACHED_HEADS]; /* last used first */
    size_t head_count, most_heads;
    bool fetches_whole, has_sidecars;
    pthread_mutex_t whole_mutex; /* one whole file at a time: others may be waiting for the same */
    sgc_part_cache *parts;       /* of calls that keep what they receive */
    sgc_fork_watch forks;
};

typedef struct remote_file {
    sgc_remote_files *files;
    file_head *head;
    sgc_http_response ahead; /* bytes from ahead_offset on */
    uint64_t ahead_offset;
    uint64_t position;
    bool is_at_end;
} remote_file;

/* Names outlive their files inside GDAL, so they hold a number that is looked up. */
static struct {
    pthread_mutex_t mutex;
    sgc_remote_files *first;
    uint64_t last_id;
} table = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- calls ---- */

static _Thread_local sgc_remote_call *current_call;

void sgc_remote_call_begin(sgc_remote_call *call, const sgc_cancel *cancel)
{
    *call = (sgc_remote_call){.cancel = cancel, .outer = current_call};
    current_call = call;
}

sgc_status sgc_remote_call_end(sgc_remote_call *call, sgc_error *err)
{
    current_call = call->outer;
    if (call->status != SGC_OK && err != NULL)
        *err = call->error;
    return call->status;
}

static void record_failure(sgc_status status, const sgc_error *error)
{
    errno = status == SGC_NOT_FOUND ? ENOENT : EIO;
    if (current_call == NULL) {
        CPLDebug("SGC", "%s", error->message);
    } else if (current_call->status == SGC_OK) {
        current_call->status = status;
        current_call->error = *error;
    }
}

/* ---- requests ---- */

/* Once a request of a call has failed the others fail at once: each would wait for all its retries,
 * too. */
static sgc_status check_call(sgc_error *err)
{
    if (current_call == NULL || current_call->status == SGC_OK)
        return SGC_OK;
    return sgc_fail(err, current_call->status, "%s", current_call->error.message);
}

static sgc_status request_range(sgc_remote_files *files, const char *url, uint64_t first,
                                uint64_t last, sgc_http_response *response, sgc_error *err)
{
    const sgc_cancel *cancel = current_call == NULL ? NULL : current_call->cancel;
    const sgc_http_request request = {.method = "GET",
                                      .url = url,
                                      .has_range = true,
                                      .range_first = first,
                                      .range_last = last,
                                      .max_size = MAX_REQUEST};
    SGC_TRY(sgc_http_perform(files->http, &request, cancel, response, err));
    if (current_call != NULL)
        current_call->bytes_received += response->size;
    return SGC_OK;
}

/* ---- versions ---- */

static bool is_strong(const char *etag)
{
    return etag[0] == '"'; /* a weak one begins with W/ */
}

static bool agree(const char *a, const char *b)
{
    return *a == '\0' || *b == '\0' || strcmp(a, b) == 0;
}

static bool is_same_version(const sgc_http_response *a, const sgc_http_response *b)
{
    if (a->total_size != b->total_size)
        return false;
    if (is_strong(a->etag) && is_strong(b->etag))
        return strcmp(a->etag, b->etag) == 0;
    return agree(a->etag, b->etag) && agree(a->last_modified, b->last_modified);
}

/* Whether the server says what is_same_version() needs to tell all versions of the file apart. */
static bool can_compare(const sgc_http_response *a, const sgc_http_response *b)
{
    return (is_strong(a->etag) && is_strong(b->etag)) ||
           (a->last_modified[0] != '\0' && b->last_modified[0] != '\0');
}

static sgc_file_version version_of(const sgc_http_response *response)
{
    sgc_file_version version = {.size = response->total_size};
    strcpy(version.etag, response->etag);
    strcpy(version.last_modified, response->last_modified);
    return version;
}

/* ---- parts that are kept ---- */

static bool keeps_parts(void)
{
    return current_call != NULL && current_call->cancel != NULL && current_call->cancel->keeps;
}

/* Keeps bytes whose file has the version of `head`. */
static void keep(sgc_remote_files *files, const char *url, uint64_t offset,
                 const sgc_http_response *part, const sgc_http_response *head)
{
    const sgc_file_version version = version_of(head);
    if (version.size != UINT64_MAX && can_compare(part, head))
        sgc_part_cache_put(files->parts, url, &version, offset, part->data, part->size);
}

/* Gives the head of a file from its first part, if that is kept. */
static bool find_kept_head(sgc_remote_files *files, const char *url, sgc_http_response *head)
{
    unsigned char *data = malloc(SGC_PART_SIZE + 1);
    sgc_file_version version;
    const size_t n = data == NULL ? 0
                                  : sgc_part_cache_read(files->parts, url, NULL, 0, data,
                                                        SGC_PART_SIZE, &version);
    if (n == 0) {
        free(data);
        return false;
    }
    data[n] = '\0';
    *head = (sgc_http_response){.status = 206, .data = data, .size = n, .total_size = version.size};
    strcpy(head->etag, version.etag);
    strcpy(head->last_modified, version.last_modified);
    return true;
}

static sgc_status request_head(sgc_remote_files *files, const char *url, sgc_http_response *head,
                               sgc_error *err)
{
    if (!keeps_parts())
        return request_range(files, url, 0, HEAD_SIZE - 1, head, err);
    if (find_kept_head(files, url, head))
        return SGC_OK;
    SGC_TRY(request_range(files, url, 0, SGC_PART_SIZE - 1, head, err));
    keep(files, url, 0, head, head);
    return SGC_OK;
}

/* ---- heads ---- */

static void head_free(file_head *head)
{
    free(head->url);
    sgc_http_response_clear(&head->response);
    free(head);
}

static void head_drop_locked(file_head *head)
{
    if (--head->owners == 0)
        head_free(head);
}

static void head_drop(sgc_remote_files *files, file_head *head)
{
    pthread_mutex_lock(&files->mutex);
    head_drop_locked(head);
    pthread_mutex_unlock(&files->mutex);
}

static size_t find_locked(const sgc_remote_files *files, const char *url)
{
    size_t i = 0;
    while (i < files->head_count && strcmp(files->heads[i]->url, url) != 0)
        i++;
    return i;
}

static void move_first_locked(sgc_remote_files *files, size_t i)
{
    file_head *head = files->heads[i];
    memmove(files->heads + 1, files->heads, i * sizeof head);
    files->heads[0] = head;
}

static void remove_locked(sgc_remote_files *files, size_t i)
{
    move_first_locked(files, i);
    head_drop_locked(files->heads[0]);
    files->head_count--;
    memmove(files->heads, files->heads + 1, files->head_count * sizeof files->heads[0]);
}

static file_head *cached_head(sgc_remote_files *files, const char *url)
{
    file_head *head = NULL;
    pthread_mutex_lock(&files->mutex);
    const size_t i = find_locked(files, url);
    if (i < files->head_count) {
        move_first_locked(files, i);
        head = files->heads[0];
        head->owners++;
    }
    pthread_mutex_unlock(&files->mutex);
    return head;
}

/* A head that another thread has fetched meanwhile gives way to this newer one. */
static void cache_head(sgc_remote_files *files, file_head *head)
{
    pthread_mutex_lock(&files->mutex);
    const size_t i = find_locked(files, head->url);
    if (i < files->head_count)
        remove_locked(files, i);
    else if (files->head_count == files->most_heads)
        remove_locked(files, files->most_heads - 1);
    head->owners++;
    files->heads[files->head_count++] = head;
    move_first_locked(files, files->head_count - 1);
    pthread_mutex_unlock(&files->mutex);
}

static void forget(sgc_remote_files *files, const char *url)
{
    pthread_mutex_lock(&files->mutex);
    const size_t i = find_locked(files, url);
    if (i < files->head_count)
        remove_locked(files, i);
    pthread_mutex_unlock(&files->mutex);
    sgc_part_cache_forget(files->parts, url);
}

static sgc_status head_new(const char *url, file_head **out, sgc_error *err)
{
    file_head *head = calloc(1, sizeof *head);
    char *copy = strdup(url);
    if (head == NULL || copy == NULL) {
        free(head);
        free(copy);
        return sgc_fail_memory(err, sizeof *head + strlen(url), "a remote file");
    }
    *head = (file_head){.owners = 1, .url = copy};
    *out = head;
    return SGC_OK;
}

static sgc_status fetch_whole(sgc_remote_files *files, const char *url, sgc_http_response *response,
                              sgc_error *err)
{
    const sgc_cancel *cancel = current_call == NULL ? NULL : current_call->cancel;
    const sgc_http_request request = {.method = "GET", .url = url};
    SGC_TRY(sgc_http_perform(files->http, &request, cancel, response, err));
    response->total_size = response->size;
    if (current_call != NULL)
        current_call->bytes_received += response->size;
    return SGC_OK;
}

static sgc_status fetch_head(sgc_remote_files *files, const char *url, file_head **out,
                             sgc_error *err)
{
    file_head *head = NULL;
    SGC_TRY(check_call(err));
    SGC_TRY(head_new(url, &head, err));
    sgc_status status = files->fetches_whole ? fetch_whole(files, url, &head->response, err)
                                             : request_head(files, url, &head->response, err);
    if (status == SGC_OK && head->response.total_size == UINT64_MAX) {
        char text[256];
        sgc_http_redact(url, text, sizeof text);
        status = sgc_fail(err, SGC_UNSUPPORTED, "%s: the server does not tell the size", text);
    }
    if (status != SGC_OK) {
        head_free(head);
        return status;
    }
    cache_head(files, head);
    *out = head;
    return SGC_OK;
}

/* ---- names ---- */

static sgc_remote_files *find_files(uint64_t id)
{
    pthread_mutex_lock(&table.mutex);
    sgc_remote_files *files = table.first;
    while (files != NULL && files->id != id)
        files = files->next;
    pthread_mutex_unlock(&table.mutex);
    return files;
}

static sgc_status fail_closed(const char *url, sgc_error *err)
{
    char text[256];
    sgc_http_redact(url, text, sizeof text);
    return sgc_fail(err, SGC_INVALID, "%s: its source is closed", text);
}

/* "<id>-<hash of the url>/<url>". Other names are those of sidecar files that GDAL derives from
 * ours, whatever its configuration; the hash tells them without a request. */
typedef struct file_name {
    sgc_remote_files *files; /* NULL: closed */
    const char *url;
    bool is_derived;
} file_name;

static bool parse_name(const char *text, file_name *name)
{
    char *end;
    const uint64_t id = strtoull(text, &end, 10);
    if (*end != '-')
        return false;
    const uint64_t expected = strtoull(end + 1, &end, 16);
    if (*end != '/')
        return false;
    *name = (file_name){find_files(id), end + 1, sgc_hash_text(end + 1) != expected};
    return true;
}

static bool has_sidecars(const file_name *name)
{
    return name->files != NULL && name->files->has_sidecars;
}

/* Whether a derived name may be that of a file. GDAL asks for dozens of others. */
static bool may_exist(const file_name *name)
{
    static const char *const endings[] = {".aux.xml", ".ovr", ".msk", ".tfw"};
    const size_t length = strlen(name->url);
    bool found = false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t size = strlen(endings[i]);
        found |= length > size && strcmp(name->url + length - size, endings[i]) == 0;
    }
    return found && has_sidecars(name) && strchr(name->url, '?') == NULL;
}

/* While one thread fetches a whole file, others that want it wait, and then have it. */
static sgc_status open_whole(sgc_remote_files *files, const char *url, file_head **out,
                             sgc_error *err)
{
    pthread_mutex_lock(&files->whole_mutex);
    *out = cached_head(files, url);
    const sgc_status status = *out != NULL ? SGC_OK : fetch_head(files, url, out, err);
    pthread_mutex_unlock(&files->whole_mutex);
    return status;
}

static sgc_status open_head(const file_name *name, file_head **out, sgc_error *err)
{
    sgc_remote_files *files = name->files;
    if (files == NULL)
        return fail_closed(name->url, err);
    if (files->fetches_whole)
        return open_whole(files, name->url, out, err);
    *out = cached_head(files, name->url);
    return *out != NULL ? SGC_OK : fetch_head(files, name->url, out, err);
}

static bool open_name(const char *text, sgc_remote_files **files, file_head **out)
{
    file_name name;
    if (!parse_name(text, &name) || (name.is_derived && !may_exist(&name))) {
        errno = ENOENT;
        return false;
    }
    sgc_error error;
    const sgc_status status = open_head(&name, out, &error);
    *files = name.files;
    if (name.is_derived && (status == SGC_NOT_FOUND || status == SGC_AUTH))
        errno = ENOENT;
    else if (status != SGC_OK)
        record_failure(status, &error);
    else if (current_call != NULL && !name.is_derived) {
        strcpy(current_call->etag, (*out)->response.etag);
        strcpy(current_call->content_type, (*out)->response.content_type);
    }
    return status == SGC_OK;
}

/* ---- reading ---- */

/* Copies what `part`, which begins at byte `begin` of the file, holds from `offset` on. */
static size_t copy_from(const sgc_http_response *part, uint64_t begin, uint64_t offset, void *data,
                        size_t size)
{
    if (offset < begin || offset - begin >= part->size)
        return 0;
    const size_t skip = (size_t)(offset - begin);
    const size_t n = MIN(size, part->size - skip);
    memcpy(data, part->data + skip, n);
    return n;
}

static size_t copy_buffered(const remote_file *file, uint64_t offset, void *data, size_t size)
{
    const size_t n = copy_from(&file->head->response, 0, offset, data, size);
    return n > 0 ? n : copy_from(&file->ahead, file->ahead_offset, offset, data, size);
}

static sgc_status fetch_checked(remote_file *file, uint64_t offset, size_t size,
                                sgc_http_response *part, sgc_error *err)
{
    const file_head *head = file->head;
    SGC_TRY(check_call(err));
    const sgc_status status =
        request_range(file->files, head->url, offset, offset + size - 1, part, err);
    if (status == SGC_OK && is_same_version(part, &head->response) && part->size == size)
        return SGC_OK;
    /* SGC_INVALID: the file has become so short that the range lies beyond its end. A part that is
     * not found does not mean that there is no such file: its head was. */
    if (status != SGC_OK && status != SGC_INVALID && status != SGC_NOT_FOUND)
        return status;
    if (status == SGC_OK)
        sgc_http_response_clear(part);
    forget(file->files, head->url);
    char text[256];
    sgc_http_redact(head->url, text, sizeof text);
    return sgc_fail(err, SGC_CORRUPT, "%s: changed while it was read; read it again", text);
}

/* Fetches the parts around the bytes, few enough that a slow line brings them before a deadline,
 * and keeps them; gives the first `n` of the bytes. */
static sgc_status fetch_parts(remote_file *file, uint64_t offset, void *data, size_t size,
                              size_t *n, sgc_error *err)
{
    const sgc_http_response *head = &file->head->response;
    const uint64_t begin = offset - offset % SGC_PART_SIZE;
    const uint64_t parts = (offset - begin + size + SGC_PART_SIZE - 1) / SGC_PART_SIZE;
    const uint64_t wanted = MIN(parts * SGC_PART_SIZE, KEPT_REQUEST);
    sgc_http_response part;
    SGC_TRY(fetch_checked(file, begin, (size_t)MIN(wanted, head->total_size - begin), &part, err));
    keep(file->files, file->head->url, begin, &part, head);
    *n = copy_from(&part, begin, offset, data, size);
    sgc_http_response_clear(&part);
    return SGC_OK;
}

static sgc_status read_kept(remote_file *file, uint64_t offset, unsigned char *data, size_t size,
                            sgc_error *err)
{
    const sgc_file_version version = version_of(&file->head->response);
    for (size_t done = 0; done < size;) {
        size_t n = sgc_part_cache_read(file->files->parts, file->head->url, &version, offset + done,
                                       data + done, size - done, NULL);
        if (n == 0)
            SGC_TRY(fetch_parts(file, offset + done, data + done, size - done, &n, err));
        done += n;
    }
    return SGC_OK;
}

static sgc_status fetch_kept(remote_file *file, uint64_t offset, size_t size,
                             sgc_http_response *part, sgc_error *err)
{
    unsigned char *data = malloc(size);
    if (data == NULL)
        return sgc_fail_memory(err, size, "a file");
    const sgc_status status = read_kept(file, offset, data, size, err);
    if (status == SGC_OK)
        *part = (sgc_http_response){.status = 206, .data = data, .size = size};
    else
        free(data);
    return status;
}

/* Without a version that can be told from others no parts are kept. */
static sgc_status fetch(remote_file *file, uint64_t offset, size_t size, sgc_http_response *part,
                        sgc_error *err)
{
    const sgc_http_response *head = &file->head->response;
    return (keeps_parts() && can_compare(head, head) ? fetch_kept : fetch_checked)(file, offset,
                                                                                   size, part, err);
}

static bool fetch_part(remote_file *file, uint64_t offset, size_t size, sgc_http_response *part)
{
    sgc_error error;
    const sgc_status status = fetch(file, offset, size, part, &error);
    if (status != SGC_OK)
        record_failure(status, &error);
    return status == SGC_OK;
}

static size_t read_through_ahead(remote_file *file, uint64_t offset, void *data, size_t size)
{
    const uint64_t rest = file->head->response.total_size - offset;
    sgc_http_response part;
    if (!fetch_part(file, offset, (size_t)MIN(rest, AHEAD_SIZE), &part))
        return 0;
    sgc_http_response_clear(&file->ahead);
    file->ahead = part;
    file->ahead_offset = offset;
    return copy_buffered(file, offset, data, size);
}

static size_t read_directly(remote_file *file, uint64_t offset, void *data, size_t size)
{
    const size_t n = MIN(size, (size_t)MAX_REQUEST);
    sgc_http_response part;
    if (!fetch_part(file, offset, n, &part))
        return 0;
    memcpy(data, part.data, n);
    sgc_http_response_clear(&part);
    return n;
}

/* Reads bytes that lie inside the file; gives fewer when a request fails. */
static size_t read_at(remote_file *file, uint64_t offset, void *data, size_t size)
{
    size_t done = 0;
    while (done < size) {
        unsigned char *rest = (unsigned char *)data + done;
        const size_t wanted = size - done;
        size_t n = copy_buffered(file, offset + done, rest, wanted);
        if (n == 0)
            n = wanted < AHEAD_SIZE ? read_through_ahead(file, offset + done, rest, wanted)
                                    : read_directly(file, offset + done, rest, wanted);
        if (n == 0)
            break;
        done += n;
    }
    return done;
}

/* ---- reading many ranges ---- */

typedef struct span {
    uint64_t begin, end;
    unsigned char *data;
} span;

static int compare_spans(const void *a, const void *b)
{
    const uint64_t left = ((const span *)a)->begin, right = ((const span *)b)->begin;
    return (left > right) - (left < right);
}

/* How many of the sorted spans one request shall fetch, and where it ends. */
static size_t plan_request(const span *spans, size_t count, uint64_t *end)
{
    size_t n = 1;
    *end = spans[0].end;
    while (n < count && spans[n].begin <= *end + MAX_GAP &&
           MAX(spans[n].end, *end) - spans[0].begin <= MAX_REQUEST) {
        *end = MAX(spans[n].end, *end);
        n++;
    }
    return n;
}

static bool read_merged(remote_file *file, const span *spans, size_t count, uint64_t end)
{
    const uint64_t begin = spans[0].begin;
    if (count == 1)
        return read_at(file, begin, spans[0].data, (size_t)(end - begin)) == end - begin;
    sgc_http_response part;
    if (!fetch_part(file, begin, (size_t)(end - begin), &part))
        return false;
    for (size_t i = 0; i < count; i++)
        memcpy(spans[i].data, part.data + (spans[i].begin - begin),
               (size_t)(spans[i].end - spans[i].begin));
    sgc_http_response_clear(&part);
    return true;
}

static bool read_spans(remote_file *file, span *spans, size_t count)
{
    bool good = true;
    qsort(spans, count, sizeof *spans, compare_spans);
    while (good && count > 0) {
        uint64_t end;
        const size_t n = plan_request(spans, count, &end);
        good = read_merged(file, spans, n, end);
        spans += n;
        count -= n;
    }
    return good;
}

/* ---- what GDAL calls ---- */

static int on_stat(void *user, const char *name, VSIStatBufL *stat, int flags)
{
    (void)user;
    (void)flags;
    sgc_remote_files *files;
    file_head *head;
    if (!open_name(name, &files, &head))
        return -1;
    stat->st_mode = S_IFREG | 0444;
    stat->st_size = (off_t)head->response.total_size;
    head_drop(files, head);
    return 0;
}

static void *on_open(void *user, const char *name, const char *access)
{
    (void)user;
    if (strcmp(access, "r") != 0 && strcmp(access, "rb") != 0) {
        errno = EROFS;
        return NULL;
    }
    remote_file *file = calloc(1, sizeof *file);
    if (file == NULL) {
        sgc_error error;
        record_failure(sgc_fail_memory(&error, sizeof *file, "a remote file"), &error);
        return NULL;
    }
    if (!open_name(name, &file->files, &file->head)) {
        free(file);
        return NULL;
    }
    return file;
}

static int on_close(void *handle)
{
    remote_file *file = handle;
    if (file == NULL)
        return 0; /* GDAL 3.13 closes some files twice */
    sgc_http_response_clear(&file->ahead);
    head_drop(file->files, file->head);
    free(file);
    return 0;
}

static vsi_l_offset on_tell(void *handle)
{
    const remote_file *file = handle;
    return file->position;
}

static int on_seek(void *handle, vsi_l_offset offset, int whence)
{
    remote_file *file = handle;
    if (whence == SEEK_CUR)
        offset += file->position;
    else if (whence == SEEK_END)
        offset += file->head->response.total_size;
    file->position = offset;
    file->is_at_end = false;
    return 0;
}

static int on_eof(void *handle)
{
    const remote_file *file = handle;
    return file->is_at_end;
}

static size_t on_read(void *handle, void *data, size_t unit, size_t count)
{
    remote_file *file = handle;
    const uint64_t total = file->head->response.total_size;
    const uint64_t available = file->position < total ? total - file->position : 0;
    if (unit == 0 || count > SIZE_MAX / unit)
        return 0;
    const size_t size = (size_t)MIN(available, unit * count);
    const size_t done = read_at(file, file->position, data, size);
    file->position += done;
    file->is_at_end = size < unit * count;
    return done / unit;
}

static int on_read_multi_range(void *handle, int count, void **data, const vsi_l_offset *offsets,
                               const size_t *sizes)
{
    remote_file *file = handle;
    const uint64_t total = file->head->response.total_size;
    span *spans = calloc((size_t)count + 1, sizeof *spans);
    bool good = spans != NULL;
    size_t n = 0;
    for (int i = 0; good && i < count; i++) {
        good = offsets[i] <= total && sizes[i] <= total - offsets[i];
        if (good && copy_buffered(file, offsets[i], data[i], sizes[i]) < sizes[i])
            spans[n++] = (span){offsets[i], offsets[i] + sizes[i], data[i]};
    }
    good = good && read_spans(file, spans, n);
    free(spans);
    return good ? 0 : -1;
}

/* An empty list, unlike none, tells GDAL not to look for sidecar files. */
static char **on_sibling_files(void *user, const char *text)
{
    file_name name;
    (void)user;
    return parse_name(text, &name) && has_sidecars(&name) ? NULL : VSICalloc(1, sizeof(char *));
}

static char **on_read_dir(void *user, const char *name, int max_files)
{
    (void)max_files;
    return on_sibling_files(user, name);
}

static sgc_status install_handler(sgc_error *err)
{
    VSIFilesystemPluginCallbacksStruct *callbacks = VSIAllocFilesystemPluginCallbacksStruct();
    if (callbacks == NULL)
        return sgc_fail_memory(err, sizeof *callbacks, "a file system");
    callbacks->stat = on_stat;
    callbacks->open = on_open;
    callbacks->close = on_close;
    callbacks->tell = on_tell;
    callbacks->seek = on_seek;
    callbacks->eof = on_eof;
    callbacks->read = on_read;
    callbacks->read_multi_range = on_read_multi_range;
    callbacks->sibling_files = on_sibling_files;
    callbacks->read_dir = on_read_dir;
    const int failed = VSIInstallPluginHandler(PREFIX, callbacks);
    VSIFreeFilesystemPluginCallbacksStruct(callbacks);
    return failed ? sgc_fail(err, SGC_UNSUPPORTED, "GDAL refuses the file system " PREFIX) : SGC_OK;
}

/* ---- families of files ---- */

sgc_status sgc_remote_files_install(sgc_error *err)
{
    sgc_status status = SGC_OK;
    pthread_mutex_lock(&table.mutex);
    /* GDAL forgets its file systems when a program shuts it down, and may be started again. */
    char **prefixes = VSIGetFileSystemsPrefixes();
    if (CSLFindString(prefixes, PREFIX) < 0)
        status = install_handler(err);
    CSLDestroy(prefixes);
    pthread_mutex_unlock(&table.mutex);
    return status;
}

/* The list of heads may have been in the middle of a change: the child begins with an empty one. */
static void renew_in_child(void *object)
{
    sgc_remote_files *files = object;
    pthread_mutex_init(&table.mutex, NULL);
    pthread_mutex_init(&files->mutex, NULL);
    pthread_mutex_init(&files->whole_mutex, NULL);
    files->head_count = 0;
}

sgc_status sgc_remote_files_new(sgc_http *http, sgc_remote_files **out, sgc_error *err)
{
    SGC_TRY(sgc_remote_files_install(err));
    sgc_remote_files *files = calloc(1, sizeof *files);
    if (files == NULL)
        return sgc_fail_memory(err, sizeof *files, "remote files");
    files->http = http;
    files->most_heads = CACHED_HEADS;
    const sgc_status status = sgc_part_cache_new(sgc_load_memory(), &files->parts, err);
    if (status != SGC_OK) {
        free(files);
        return status;
    }
    pthread_mutex_init(&files->mutex, NULL);
    pthread_mutex_init(&files->whole_mutex, NULL);
    pthread_mutex_lock(&table.mutex);
    files->id = ++table.last_id;
    files->next = table.first;
    table.first = files;
    pthread_mutex_unlock(&table.mutex);
    sgc_fork_watch_begin(&files->forks, renew_in_child, files);
    *out = files;
    return SGC_OK;
}

static void leave_table(const sgc_remote_files *files)
{
    pthread_mutex_lock(&table.mutex);
    sgc_remote_files **link = &table.first;
    while (*link != files)
        link = &(*link)->next;
    *link = files->next;
    pthread_mutex_unlock(&table.mutex);
}

void sgc_remote_files_free(sgc_remote_files *files)
{
    if (files == NULL)
        return;
    sgc_fork_watch_end(&files->forks);
    leave_table(files);
    for (size_t i = 0; i < files->head_count; i++)
        head_drop_locked(files->heads[i]);
    pthread_mutex_destroy(&files->whole_mutex);
    pthread_mutex_destroy(&files->mutex);
    sgc_part_cache_free(files->parts);
    free(files);
}

void sgc_remote_files_have_sidecars(sgc_remote_files *files)
{
    files->has_sidecars = true;
}

void sgc_remote_files_fetch_whole(sgc_remote_files *files)
{
    files->fetches_whole = true;
    files->most_heads = CACHED_WHOLE;
}

sgc_status sgc_remote_files_path(const sgc_remote_files *files, const char *url, char **path,
                                 sgc_error *err)
{
    const size_t size = sizeof PREFIX + 40 /* two numbers */ + strlen(url);
    char *text = malloc(size);
    if (text == NULL)
        return sgc_fail_memory(err, size, "a path");
    snprintf(text, size, PREFIX "%" PRIu64 "-%016" PRIx64 "/%s", files->id, sgc_hash_text(url),
             url);
    *path = text;
    return SGC_OK;
}

void sgc_remote_forget(const char *path)
{
    file_name name;
    if (strncmp(path, PREFIX, sizeof PREFIX - 1) == 0 &&
        parse_name(path + sizeof PREFIX - 1, &name) && name.files != NULL)
        forget(name.files, name.url);
}

/* The length of what stands at the begin of `text` before a message goes on. */
static size_t word_length(const char *text)
{
    size_t n = 0;
    while (text[n] != '\0' && strchr(" \t\r\n\"'`<>", text[n]) == NULL &&
           !(strchr(":,", text[n]) != NULL && (text[n + 1] == ' ' || text[n + 1] == '\0')))
        n++;
    return n;
}

/* The length of the user info at the begin of what follows "://" in a URL. */
static size_t user_length(const char *authority)
{
    size_t length = 0;
    const size_t size = strcspn(authority, "/?# \t\r\n\"'`<>");
    for (size_t i = 0; i < size; i++)
        if (authority[i] == '@')
            length = i + 1;
    return length;
}

void sgc_remote_last_message(char *text, size_t size)
{
    const char *const said = CPLGetLastErrorMsg(), *from = said;
    size_t n = 0;
    while (*from != '\0' && n + 1 < size) {
        const size_t prefix = sizeof PREFIX - 1;
        const char *url = strncmp(from, PREFIX, prefix) == 0 ? strchr(from + prefix, '/') : NULL;
        if (url != NULL) {
            char *copy = strndup(url + 1, word_length(url + 1));
            if (copy != NULL)
                sgc_http_redact(copy, text + n, size - n);
            n += copy != NULL ? strlen(text + n) : 0;
            free(copy);
            from = url + 1 + word_length(url + 1);
        } else if (*from == '?') {
            from += word_length(from);
        } else if (*from == '/' && from - said >= 2 && strncmp(from - 2, "://", 3) == 0) {
            text[n++] = '/';
            from += 1 + user_length(from + 1);
        } else {
            text[n++] = *from++;
        }
    }
    text[n] = '\0';
}
