/* Objects as files of a directory (format guide 16.2): staged beside the target, fsynced, renamed
 * or linked, the directory fsynced. Conditional puts compare contents, never times, under the lock.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/fork.h"
#include "store/memory.h"
#include "store/object_store.h"

#define LOCK_FILE ".lock#0"

enum { PUBLISH_LOCK = 0, POLL_NANOSECONDS = 2 * 1000 * 1000 };

typedef struct local_store {
    sgc_object_store base;
    char *root;
    bool locking;
    pthread_mutex_t mutex; /* guards lock_fd; held by a thread that publishes */
    int lock_fd;           /* -1 until the first lock */
    sgc_fork_watch forks;
} local_store;

/* A child that kept its copy of the lock file open would keep a dead parent's locks. */
static void renew_in_child(void *object)
{
    local_store *store = object;
    pthread_mutex_init(&store->mutex, NULL);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    store->lock_fd = -1;
}

static sgc_status fail_errno(sgc_error *err, const char *verb, const char *path)
{
    const int code = errno;
    const char *remedy = "";
    if (code == ENOSPC || code == EDQUOT)
        remedy = "; free some space and try again";
    else if (code == EACCES || code == EPERM || code == EROFS)
        remedy = "; the place must be writable to hold what is downloaded";
    return sgc_fail(err, SGC_IO, "cannot %s %s: %s%s", verb, path, strerror(code), remedy);
}

/* Gives root/key. */
static sgc_status path_of(const local_store *store, const char *key, char **path, sgc_error *err)
{
    if (asprintf(path, "%s/%s", store->root, key) < 0)
        return sgc_fail_memory(err, strlen(key), "a path");
    return SGC_OK;
}

static sgc_status sync_directory(const char *path, sgc_error *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(err, "open", path);
    const int result = fsync(fd);
    close(fd);
    /* Some file systems cannot sync a directory and say EINVAL; their renames are as durable as
     * they get. */
    return result != 0 && errno != EINVAL ? fail_errno(err, "sync", path) : SGC_OK;
}

/* Calls `use` on the directory part of `path`. */
static sgc_status with_parent(char *path, sgc_status (*use)(char *, sgc_error *), sgc_error *err)
{
    char *slash = strrchr(path, '/');
    *slash = '\0';
    const sgc_status status = use(path, err);
    *slash = '/';
    return status;
}

static sgc_status sync_path(char *path, sgc_error *err)
{
    return sync_directory(path, err);
}

/* Makes `path` and its missing parents, each durable before anything is put into it. */
static sgc_status make_directory(char *path, sgc_error *err)
{
    const char *slash = strrchr(path, '/');
    int result = mkdir(path, 0777);
    if (result != 0 && errno == ENOENT && slash != NULL && slash != path) {
        SGC_TRY(with_parent(path, make_directory, err));
        result = mkdir(path, 0777);
    }
    if (result == 0) {
        if (slash == NULL || slash == path)
            return sync_directory(slash == NULL ? "." : "/", err);
        return with_parent(path, sync_path, err);
    }
    if (errno != EEXIST)
        return fail_errno(err, "create", path);
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) {
        errno = ENOTDIR;
        return fail_errno(err, "use", path);
    }
    return SGC_OK;
}

static sgc_status read_all(int fd, const char *path, uint64_t offset, unsigned char *data,
                           size_t size, sgc_error *err)
{
    size_t done = 0;
    while (done < size) {
        const ssize_t n = pread(fd, data + done, size - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, "read", path);
        if (n == 0)
            return sgc_fail(err, SGC_CORRUPT, "%s became shorter while it was read", path);
        done += (size_t)n;
    }
    return SGC_OK;
}

static sgc_status read_range(int fd, const char *path, uint64_t offset, uint64_t length,
                             sgc_object *out, sgc_error *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return fail_errno(err, "read", path);
    const uint64_t size = (uint64_t)info.st_size;
    if (length == SGC_TO_END && offset <= size)
        length = size - offset;
    if (offset > size || length > size - offset)
        return sgc_fail(err, SGC_CORRUPT,
                        "%s has %llu bytes, but bytes up to %llu are wanted: it is damaged", path,
                        (unsigned long long)size, (unsigned long long)offset + length);
    unsigned char *data = malloc(length > 0 ? (size_t)length : 1);
    if (data == NULL)
        return sgc_fail_memory(err, length, path);
    const sgc_status status = read_all(fd, path, offset, data, (size_t)length, err);
    if (status != SGC_OK) {
        free(data);
        return status;
    }
    *out = (sgc_object){data, (size_t)length};
    return SGC_OK;
}

static sgc_status local_get(sgc_object_store *self, const char *key, uint64_t offset,
                            uint64_t length, sgc_object *out, sgc_error *err)
{
    char *path;
    SGC_TRY(path_of((local_store *)self, key, &path, err));
    sgc_status status;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        status = read_range(fd, path, offset, length, out, err);
        close(fd);
    } else if (errno == ENOENT || errno == ENOTDIR) {
        status = sgc_fail(err, SGC_NOT_FOUND, "%s does not exist", path);
    } else {
        status = fail_errno(err, "open", path);
    }
    free(path);
    return status;
}

static sgc_status write_all(int fd, const char *path, const unsigned char *data, size_t size,
                            sgc_error *err)
{
    while (size > 0) {
        const ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(err, "write", path);
        data += n;
        size -= (size_t)n;
    }
    return fsync(fd) != 0 ? fail_errno(err, "sync", path) : SGC_OK;
}

/* Writes a durable file beside `path` and gives its name, which is random: neither threads nor
 * processes, on whatever machine, may ever meet in one. */
static sgc_status stage(char *path, const void *data, size_t size, char **staging, sgc_error *err)
{
    uint64_t number;
    char *name;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        return fail_errno(err, "find a name beside", path);
    SGC_TRY(with_parent(path, make_directory, err));
    if (asprintf(&name, "%s#%llu", path, (unsigned long long)number) < 0)
        return sgc_fail_memory(err, strlen(path), "a path");
    const int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        const sgc_status status = fail_errno(err, "create", name);
        free(name);
        return status;
    }
    sgc_status status = write_all(fd, path, data, size, err);
    if (close(fd) != 0 && status == SGC_OK)
        status = fail_errno(err, "write", path);
    if (status != SGC_OK) {
        unlink(name);
        free(name);
        return status;
    }
    *staging = name;
    return SGC_OK;
}

/* False when the open lock file is not (any more) the one that others see: a removed cube may have
 * been made anew. */
static bool is_current(int fd, const char *path)
{
    struct stat ours, theirs;
    return fd >= 0 && fstat(fd, &ours) == 0 && stat(path, &theirs) == 0 &&
           ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

static sgc_status open_lock_file(local_store *store, sgc_error *err)
{
    char *path;
    SGC_TRY(path_of(store, LOCK_FILE, &path, err));
    if (is_current(store->lock_fd, path)) {
        free(path);
        return SGC_OK;
    }
    sgc_status status = with_parent(path, make_directory, err);
    if (status == SGC_OK) {
        if (store->lock_fd >= 0)
            close(store->lock_fd);
        store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (store->lock_fd < 0)
            status = fail_errno(err, "open", path);
    }
    free(path);
    return status;
}

/* One attempt on one byte of the lock file. The mutex is held. */
static sgc_status try_lock(local_store *store, int64_t offset, bool *taken, sgc_error *err)
{
    SGC_TRY(open_lock_file(store, err));
    struct flock range = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)offset, .l_len = 1};
    if (fcntl(store->lock_fd, F_OFD_SETLK, &range) == 0) {
        *taken = true;
        return SGC_OK;
    }
    if (errno == EAGAIN || errno == EACCES) {
        *taken = false;
        return SGC_OK;
    }
    return sgc_fail(err, SGC_IO,
                    "%s cannot be locked: %s; writing needs a disk with locks, or LOCKING=NO if "
                    "nobody else writes",
                    store->root, strerror(errno));
}

static void release(local_store *store, int64_t offset)
{
    struct flock range = {
        .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = (off_t)offset, .l_len = 1};
    fcntl(store->lock_fd, F_OFD_SETLK, &range);
}

static sgc_status local_lock(sgc_object_store *self, int64_t offset, bool *taken, sgc_error *err)
{
    local_store *store = (local_store *)self;
    if (!store->locking) {
        *taken = true;
        return SGC_OK;
    }
    pthread_mutex_lock(&store->mutex);
    const sgc_status status = try_lock(store, offset, taken, err);
    pthread_mutex_unlock(&store->mutex);
    return status;
}

static void local_unlock(sgc_object_store *self, int64_t offset)
{
    local_store *store = (local_store *)self;
    pthread_mutex_lock(&store->mutex);
    if (store->locking && store->lock_fd >= 0)
        release(store, offset);
    pthread_mutex_unlock(&store->mutex);
}

/* Polls for the publish lock: whoever holds it renames one small file and lets go. The mutex is
 * held, so that threads on this handle publish one at a time too. */
static sgc_status take_publish_lock(local_store *store, sgc_error *err)
{
    if (!store->locking)
        return SGC_OK;
    for (;;) {
        bool taken = false;
        SGC_TRY(try_lock(store, PUBLISH_LOCK, &taken, err));
        if (taken)
            return SGC_OK;
        nanosleep(&(struct timespec){.tv_nsec = POLL_NANOSECONDS}, NULL);
    }
}

static sgc_status check_unchanged(local_store *store, const char *key, const sgc_object *previous,
                                  sgc_error *err)
{
    sgc_object now = {0};
    const sgc_status status = local_get(&store->base, key, 0, SGC_TO_END, &now, err);
    if (status == SGC_NOT_FOUND)
        return sgc_fail(err, SGC_CONFLICT, "%s/%s was removed by somebody else", store->root, key);
    if (status != SGC_OK)
        return status;
    const bool same = now.size == previous->size && memcmp(now.data, previous->data, now.size) == 0;
    sgc_object_clear(&now);
    return same ? SGC_OK
                : sgc_fail(err, SGC_CONFLICT, "%s/%s was changed by somebody else", store->root,
                           key);
}

static sgc_status replace(const char *staging, const char *path, sgc_error *err)
{
    return rename(staging, path) != 0 ? fail_errno(err, "write", path) : SGC_OK;
}

static sgc_status link_new(const char *staging, const char *path, sgc_error *err)
{
    if (link(staging, path) == 0)
        return SGC_OK;
    if (errno == EEXIST)
        return sgc_fail(err, SGC_EXISTS, "%s exists already", path);
    if (errno != EPERM && errno != EOPNOTSUPP)
        return fail_errno(err, "write", path);
    /* No hard links here. The publish lock is held, so nobody of ours creates it meanwhile. */
    if (access(path, F_OK) == 0)
        return sgc_fail(err, SGC_EXISTS, "%s exists already", path);
    return replace(staging, path, err);
}

static sgc_status publish_conditionally(local_store *store, const char *key, const char *staging,
                                        const char *path, sgc_put_condition condition,
                                        const sgc_object *previous, sgc_error *err)
{
    pthread_mutex_lock(&store->mutex);
    sgc_status status = take_publish_lock(store, err);
    if (status == SGC_OK) {
        if (condition == SGC_PUT_IF_ABSENT) {
            status = link_new(staging, path, err);
        } else {
            status = check_unchanged(store, key, previous, err);
            if (status == SGC_OK)
                status = replace(staging, path, err);
        }
        if (store->locking)
            release(store, PUBLISH_LOCK);
    }
    pthread_mutex_unlock(&store->mutex);
    return status;
}

static sgc_status local_put(sgc_object_store *self, const char *key, const void *data, size_t size,
                            sgc_put_condition condition, const sgc_object *previous, sgc_error *err)
{
    local_store *store = (local_store *)self;
    char *path, *staging = NULL;
    SGC_TRY(path_of(store, key, &path, err));
    sgc_status status = stage(path, data, size, &staging, err);
    if (status == SGC_OK) {
        status = condition == SGC_PUT_ALWAYS
                     ? replace(staging, path, err)
                     : publish_conditionally(store, key, staging, path, condition, previous, err);
        unlink(staging); /* gone already if it was renamed */
        free(staging);
    }
    if (status == SGC_OK)
        status = with_parent(path, sync_path, err);
    free(path);
    return status;
}

static sgc_status local_remove(sgc_object_store *self, const char *key, sgc_error *err)
{
    char *path;
    SGC_TRY(path_of((local_store *)self, key, &path, err));
    sgc_status status = SGC_OK;
    if (unlink(path) != 0 && errno != ENOENT && errno != ENOTDIR)
        status = fail_errno(err, "remove", path);
    free(path);
    return status;
}

/* Lists the directory root/`key` ("" or ending in '/'). */
static sgc_status list_directory(local_store *store, const char *key, sgc_list_fn fn, void *user,
                                 sgc_error *err)
{
    char *path;
    SGC_TRY(path_of(store, key, &path, err));
    DIR *directory = opendir(path);
    if (directory == NULL) {
        const sgc_status status =
            errno == ENOENT    ? SGC_OK
            : errno == ENOTDIR ? sgc_fail(err, SGC_IO, "%s is a file, not a directory", store->root)
                               : fail_errno(err, "list", path);
        free(path);
        return status;
    }
    sgc_status status = SGC_OK;
    const struct dirent *item;
    while (status == SGC_OK && (item = readdir(directory)) != NULL) {
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0 ||
            sgc_object_store_name_is_hidden(item->d_name))
            continue;
        struct stat info;
        if (fstatat(dirfd(directory), item->d_name, &info, 0) != 0)
            continue; /* removed meanwhile */
        char *child;
        if (asprintf(&child, "%s%s%s", key, item->d_name, S_ISDIR(info.st_mode) ? "/" : "") < 0) {
            status = sgc_fail_memory(err, strlen(key), "a key");
            break;
        }
        status = S_ISDIR(info.st_mode) ? list_directory(store, child, fn, user, err)
                                       : fn(user, child, err);
        free(child);
    }
    closedir(directory);
    free(path);
    return status;
}

static sgc_status local_list(sgc_object_store *self, const char *prefix, sgc_list_fn fn, void *user,
                             sgc_error *err)
{
    return list_directory((local_store *)self, prefix, fn, user, err);
}

static void local_free(sgc_object_store *self)
{
    local_store *store = (local_store *)self;
    sgc_fork_watch_end(&store->forks);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    pthread_mutex_destroy(&store->mutex);
    free(store->root);
    free(store);
}

sgc_status sgc_object_store_local_new(const char *path, const sgc_local_options *options,
                                      sgc_object_store **out, sgc_error *err)
{
    local_store *store = calloc(1, sizeof *store);
    char *root = strdup(path);
    if (store == NULL || root == NULL) {
        free(store);
        free(root);
        return sgc_fail_memory(err, sizeof *store, "an object store");
    }
    for (size_t n = strlen(root); n > 1 && root[n - 1] == '/'; n--)
        root[n - 1] = '\0';
    pthread_mutex_init(&store->mutex, NULL);
    store->root = root;
    store->locking = options == NULL || !options->no_locking;
    store->lock_fd = -1;
    store->base = (sgc_object_store){
        .get = local_get,
        .put = local_put,
        .remove = local_remove,
        .list = local_list,
        .lock = local_lock,
        .unlock = local_unlock,
        .free = local_free,
        .name = root,
    };
    sgc_fork_watch_begin(&store->forks, renew_in_child, store);
    *out = &store->base;
    return SGC_OK;
}
