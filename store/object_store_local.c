/* Objects as files of a directory (format guide 16.2): staged beside the target, fsynced, renamed
 * or linked, the directory fsynced. Conditional puts compare contents, never times, under the lock.
 * Files are only ever replaced, never rewritten: so a hard link is a copy. */
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

enum {
    PUBLISH_LOCK = 0,
    POLL_NANOSECONDS = 2 * 1000 * 1000,
    MOST_POLLS = 30000,
    MOST_DURABLE = 32
};

typedef struct local_store {
    sgc_object_store base;
    char *root;
    bool locking;
    pthread_mutex_t mutex; /* guards lock_fd; held by a thread that publishes */
    int lock_fd;           /* -1 until the first lock */
    pthread_mutex_t durable_mutex;
    char *durable[MOST_DURABLE]; /* directories whose names are on the disk for good; may be NULL */
    unsigned next_durable;
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
    pthread_mutex_init(&store->durable_mutex, NULL);
    memset(store->durable, 0, sizeof store->durable); /* may have been in the middle of a change */
}

static sgc_status fail_errno(sgc_error *err, const char *verb, const char *path)
{
    const int code = errno;
    const char *remedy = "";
    if (code == ENOSPC || code == EDQUOT)
        remedy = "; free some space and try again";
    else if (code == EACCES && (strcmp(verb, "read") == 0 || strcmp(verb, "list") == 0))
        remedy = "; the place must be readable";
    else if (code == EACCES || code == EPERM || code == EROFS)
        remedy = "; the place must be writable to hold what is downloaded";
    return sgc_fail(err, code == ENOMEM ? SGC_NO_MEMORY : SGC_IO, "cannot %s %s: %s%s", verb, path,
                    strerror(code), remedy);
}

/* Gives root/key. */
static sgc_status path_of(const local_store *store, const char *key, char **path, sgc_error *err)
{
    if (asprintf(path, "%s/%s", store->root, key) < 0)
        return sgc_fail_memory(err, strlen(key), "a path");
    return SGC_OK;
}

static int open_file(const char *path, int flags)
{
    int fd;
    do {
        fd = open(path, flags | O_CLOEXEC, 0666);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static int sync_file(int fd)
{
    int result;
    do {
        result = fsync(fd);
    } while (result != 0 && errno == EINTR);
    return result;
}

static sgc_status sync_directory(int fd, const char *path, sgc_error *err)
{
    /* Some file systems cannot sync a directory and say EINVAL; their renames are as durable as
     * they get. */
    return sync_file(fd) != 0 && errno != EINVAL ? fail_errno(err, "sync", path) : SGC_OK;
}

/* Gives (free with free()) the directory that holds `path`, or NULL without memory. */
static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return strdup(".");
    while (slash > path && slash[-1] == '/')
        slash--;
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static bool is_durable(local_store *store, const char *path)
{
    bool found = false;
    pthread_mutex_lock(&store->durable_mutex);
    for (unsigned i = 0; i < MOST_DURABLE && !found; i++)
        found = store->durable[i] != NULL && strcmp(store->durable[i], path) == 0;
    pthread_mutex_unlock(&store->durable_mutex);
    return found;
}

/* Keeps `path` if that can be done, in the place of what has been there longest. */
static void remember_durable(local_store *store, const char *path)
{
    char *copy = strdup(path);
    pthread_mutex_lock(&store->durable_mutex);
    char **slot = &store->durable[store->next_durable++ % MOST_DURABLE];
    free(*slot);
    *slot = copy;
    pthread_mutex_unlock(&store->durable_mutex);
}

static void forget_durable(local_store *store)
{
    pthread_mutex_lock(&store->durable_mutex);
    for (unsigned i = 0; i < MOST_DURABLE; i++) {
        free(store->durable[i]);
        store->durable[i] = NULL;
    }
    pthread_mutex_unlock(&store->durable_mutex);
}

/* Makes the directory `path` unless it exists, and its name in `parent` durable. */
static sgc_status make_in(const char *parent, const char *path, sgc_error *err)
{
    struct stat info;
    const bool exists = stat(path, &info) == 0;
    if (exists && !S_ISDIR(info.st_mode))
        errno = ENOTDIR;
    if (exists ? !S_ISDIR(info.st_mode) : errno != ENOENT)
        return fail_errno(err, "use", path);
    if (!exists && mkdir(path, 0777) != 0 && errno != EEXIST)
        return fail_errno(err, "create", path);
    const int fd = open_file(parent, O_RDONLY | O_DIRECTORY);
    if (fd < 0) /* what may not be read was not made by our like */
        return exists && errno == EACCES ? SGC_OK : fail_errno(err, "open", parent);
    const sgc_status status = sync_directory(fd, parent, err);
    close(fd);
    return status;
}

/* Makes `path` and its missing parents. Whoever made a directory that exists may not have synced
 * its name yet: so each handle does that once for each directory it uses, from the top down. */
static sgc_status make_directory(local_store *store, const char *path, sgc_error *err)
{
    if (strcmp(path, "/") == 0 || strcmp(path, ".") == 0 || is_durable(store, path))
        return SGC_OK;
    char *parent = parent_of(path);
    if (parent == NULL)
        return sgc_fail_memory(err, strlen(path), "a path");
    sgc_status status = make_directory(store, parent, err);
    if (status == SGC_OK)
        status = make_in(parent, path, err);
    if (status == SGC_OK)
        remember_durable(store, path);
    free(parent);
    return status;
}

/* Makes and opens a directory where something is about to be published. */
static sgc_status open_directory(local_store *store, const char *path, int *fd, sgc_error *err)
{
    SGC_TRY(make_directory(store, path, err));
    *fd = open_file(path, O_RDONLY | O_DIRECTORY);
    if (*fd < 0 && errno == ENOENT) {
        /* The place was removed since this handle first used it. */
        forget_durable(store);
        SGC_TRY(make_directory(store, path, err));
        *fd = open_file(path, O_RDONLY | O_DIRECTORY);
    }
    return *fd >= 0 ? SGC_OK : fail_errno(err, "open", path);
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
    const int fd = open_file(path, O_RDONLY);
    if (fd >= 0) {
        status = read_range(fd, path, offset, length, out, err);
        close(fd);
    } else if (errno == ENOENT || errno == ENOTDIR) {
        status = sgc_fail(err, SGC_NOT_FOUND, "%s does not exist", path);
    } else {
        status = fail_errno(err, "read", path);
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
        if (n == 0)
            errno = ENOSPC;
        if (n <= 0)
            return fail_errno(err, "write", path);
        data += n;
        size -= (size_t)n;
    }
    return sync_file(fd) != 0 ? fail_errno(err, "sync", path) : SGC_OK;
}

/* Writes a durable file beside `path` and gives its name, which is random: neither threads nor
 * processes, on whatever machine, may ever meet in one. */
static sgc_status stage(const char *path, const void *data, size_t size, char **staging,
                        sgc_error *err)
{
    uint64_t number;
    char *name;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        return fail_errno(err, "find a name beside", path);
    if (asprintf(&name, "%s#%llu", path, (unsigned long long)number) < 0)
        return sgc_fail_memory(err, strlen(path), "a path");
    const int fd = open_file(name, O_WRONLY | O_CREAT | O_EXCL);
    if (fd < 0) {
        const sgc_status status = fail_errno(err, "create", name);
        free(name);
        return status;
    }
    const sgc_status status = write_all(fd, path, data, size, err);
    close(fd); /* synced: nothing is left that could fail */
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
    sgc_status status = make_directory(store, store->root, err);
    if (status == SGC_OK) {
        if (store->lock_fd >= 0)
            close(store->lock_fd);
        store->lock_fd = open_file(path, O_RDWR | O_CREAT);
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
    for (unsigned i = 0; i < MOST_POLLS; i++) {
        bool taken = false;
        SGC_TRY(try_lock(store, PUBLISH_LOCK, &taken, err));
        if (taken)
            return SGC_OK;
        nanosleep(&(struct timespec){.tv_nsec = POLL_NANOSECONDS}, NULL);
    }
    return sgc_fail(err, SGC_IO,
                    "%s/%s has been locked by another process for a minute: look for one that was "
                    "stopped, and end it",
                    store->root, LOCK_FILE);
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

/* The file system, or this file, knows no (more) hard links. */
static bool is_no_links(int code)
{
    return code == EPERM || code == EOPNOTSUPP || code == EMLINK || code == ENOSYS || code == EXDEV;
}

static sgc_status link_new(const char *staging, const char *path, sgc_error *err)
{
    if (link(staging, path) == 0)
        return SGC_OK;
    if (is_no_links(errno)) {
        /* The publish lock is held, so nobody of ours creates it meanwhile. */
        if (access(path, F_OK) != 0)
            return errno == ENOENT ? replace(staging, path, err) : fail_errno(err, "write", path);
        errno = EEXIST;
    }
    return errno == EEXIST ? sgc_fail(err, SGC_EXISTS, "%s exists already", path)
                           : fail_errno(err, "write", path);
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

/* Puts the file `path` into the open directory that holds it. */
static sgc_status put_file(local_store *store, const char *key, const char *path, const void *data,
                           size_t size, sgc_put_condition condition, const sgc_object *previous,
                           sgc_error *err)
{
    char *staging = NULL;
    SGC_TRY(stage(path, data, size, &staging, err));
    const sgc_status status =
        condition == SGC_PUT_ALWAYS
            ? replace(staging, path, err)
            : publish_conditionally(store, key, staging, path, condition, previous, err);
    if (status != SGC_OK || condition == SGC_PUT_IF_ABSENT)
        unlink(staging);
    free(staging);
    return status;
}

/* Where a name is about to appear. The directory is opened before the change, so that what can be
 * refused is refused before it. */
typedef struct target {
    char *path, *parent;
    int directory; /* parent, which exists */
} target;

static sgc_status begin_change(local_store *store, const char *key, target *t, sgc_error *err)
{
    SGC_TRY(path_of(store, key, &t->path, err));
    t->parent = parent_of(t->path);
    const sgc_status status = t->parent != NULL
                                  ? open_directory(store, t->parent, &t->directory, err)
                                  : sgc_fail_memory(err, strlen(key), "a path");
    if (status != SGC_OK) {
        free(t->path);
        free(t->parent);
    }
    return status;
}

/* Makes the change durable if it succeeded, and gives what became of it. */
static sgc_status end_change(target *t, sgc_status status, sgc_error *err)
{
    if (status == SGC_OK)
        status = sync_directory(t->directory, t->parent, err);
    close(t->directory);
    free(t->path);
    free(t->parent);
    return status;
}

static sgc_status local_put(sgc_object_store *self, const char *key, const void *data, size_t size,
                            sgc_put_condition condition, const sgc_object *previous, sgc_error *err)
{
    local_store *store = (local_store *)self;
    target t;
    SGC_TRY(begin_change(store, key, &t, err));
    return end_change(&t, put_file(store, key, t.path, data, size, condition, previous, err), err);
}

static sgc_status copy_content(sgc_object_store *self, const char *from, const char *to,
                               sgc_error *err)
{
    sgc_object object = {0};
    SGC_TRY(local_get(self, from, 0, SGC_TO_END, &object, err));
    const sgc_status status =
        local_put(self, to, object.data, object.size, SGC_PUT_IF_ABSENT, NULL, err);
    sgc_object_clear(&object);
    return status;
}

static sgc_status fail_link(sgc_error *err, const char *from, const char *to)
{
    if (errno == EEXIST)
        return sgc_fail(err, SGC_EXISTS, "%s exists already", to);
    if (errno == ENOENT || errno == ENOTDIR)
        return sgc_fail(err, SGC_NOT_FOUND, "%s does not exist", from);
    return fail_errno(err, "write", to);
}

static sgc_status local_copy(sgc_object_store *self, const char *from, const char *to,
                             sgc_error *err)
{
    local_store *store = (local_store *)self;
    char *source;
    target t;
    bool linked = true;
    SGC_TRY(path_of(store, from, &source, err));
    sgc_status status = begin_change(store, to, &t, err);
    if (status == SGC_OK) {
        if (link(source, t.path) != 0) {
            linked = !is_no_links(errno);
            status = fail_link(err, source, t.path);
        }
        status = end_change(&t, status, err);
    }
    free(source);
    return linked ? status : copy_content(self, from, to, err);
}

static sgc_status sync_path(const char *path, sgc_error *err)
{
    const int fd = open_file(path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR ? SGC_OK : fail_errno(err, "open", path);
    const sgc_status status = sync_directory(fd, path, err);
    close(fd);
    return status;
}

/* Removes one file of `parent` and syncs that, unless the next file is in the same one. */
static sgc_status remove_from(const char *parent, const char *path, const char *next_parent,
                              sgc_error *err)
{
    if (unlink(path) != 0 && errno != ENOENT && errno != ENOTDIR)
        return fail_errno(err, "remove", path);
    return next_parent == NULL || strcmp(parent, next_parent) != 0 ? sync_path(parent, err)
                                                                   : SGC_OK;
}

static sgc_status remove_file(const char *path, const char *next, sgc_error *err)
{
    char *parent = parent_of(path), *next_parent = next != NULL ? parent_of(next) : NULL;
    const sgc_status status = parent != NULL && (next == NULL || next_parent != NULL)
                                  ? remove_from(parent, path, next_parent, err)
                                  : sgc_fail_memory(err, strlen(path), "a path");
    free(parent);
    free(next_parent);
    return status;
}

static sgc_status local_remove(sgc_object_store *self, const char *const *keys, size_t count,
                               sgc_error *err)
{
    sgc_status status = SGC_OK;
    char *path = NULL;
    if (count > 0)
        SGC_TRY(path_of((local_store *)self, keys[0], &path, err));
    for (size_t i = 0; status == SGC_OK && i < count; i++) {
        char *next = NULL;
        if (i + 1 < count)
            status = path_of((local_store *)self, keys[i + 1], &next, err);
        if (status == SGC_OK)
            status = remove_file(path, next, err);
        free(path);
        path = next;
    }
    free(path);
    return status;
}

/* What to do with the files below a directory. */
typedef struct walk {
    local_store *store;
    bool hidden; /* visit what listings hide, instead of the objects */
    sgc_list_fn fn;
    void *user;
} walk;

static sgc_status walk_directory(const walk *w, const char *key, sgc_error *err);

static uint64_t microseconds(struct timespec time)
{
    return time.tv_sec < 0 ? 0 : (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

/* Visits `name` in the directory root/`key`, of which `path` is the path. */
static sgc_status visit(const walk *w, int directory, const char *path, const char *key,
                        const char *name, sgc_error *err)
{
    const bool hidden = sgc_object_store_name_is_hidden(name);
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || (hidden && !w->hidden))
        return SGC_OK;
    struct stat info;
    if (fstatat(directory, name, &info, 0) != 0) /* removed meanwhile? */
        return errno == ENOENT ? SGC_OK : fail_errno(err, "list", path);
    const bool is_directory = S_ISDIR(info.st_mode);
    if (is_directory ? hidden : hidden != w->hidden)
        return SGC_OK;
    char *child;
    if (asprintf(&child, "%s%s%s", key, name, is_directory ? "/" : "") < 0)
        return sgc_fail_memory(err, strlen(key), "a key");
    const sgc_object_info about = {(uint64_t)info.st_size, microseconds(info.st_mtim)};
    const sgc_status status =
        is_directory ? walk_directory(w, child, err) : w->fn(w->user, child, &about, err);
    free(child);
    return status;
}

static sgc_status fail_open(const walk *w, const char *path, sgc_error *err)
{
    if (errno == ENOENT)
        return SGC_OK;
    if (errno == ENOTDIR)
        return sgc_fail(err, SGC_IO, "%s is a file, not a directory", w->store->root);
    return fail_errno(err, "list", path);
}

/* Visits what is below the directory root/`key` ("" or ending in '/'): all of it, or fails. */
static sgc_status walk_directory(const walk *w, const char *key, sgc_error *err)
{
    char *path;
    SGC_TRY(path_of(w->store, key, &path, err));
    DIR *directory = opendir(path);
    sgc_status status = directory != NULL ? SGC_OK : fail_open(w, path, err);
    while (directory != NULL && status == SGC_OK) {
        errno = 0;
        const struct dirent *item = readdir(directory);
        if (item == NULL) {
            status = errno != 0 ? fail_errno(err, "list", path) : SGC_OK;
            break;
        }
        status = visit(w, dirfd(directory), path, key, item->d_name, err);
    }
    if (directory != NULL)
        closedir(directory);
    free(path);
    return status;
}

static sgc_status local_list(sgc_object_store *self, const char *prefix, sgc_list_fn fn, void *user,
                             sgc_error *err)
{
    const walk w = {(local_store *)self, false, fn, user};
    return walk_directory(&w, prefix, err);
}

typedef struct sweeping {
    sgc_object_store *store;
    uint64_t before;
    bool dry_run;
    sgc_list_fn fn;
    void *user;
} sweeping;

static sgc_status sweep_one(void *user, const char *key, const sgc_object_info *info,
                            sgc_error *err)
{
    const sweeping *s = user;
    if (info->modified >= s->before || strcmp(key, LOCK_FILE) == 0)
        return SGC_OK;
    if (s->fn != NULL)
        SGC_TRY(s->fn(s->user, key, info, err));
    return s->dry_run ? SGC_OK : sgc_object_store_remove(s->store, key, err);
}

static sgc_status local_sweep(sgc_object_store *self, uint64_t before, bool dry_run, sgc_list_fn fn,
                              void *user, sgc_error *err)
{
    sweeping s = {self, before, dry_run, fn, user};
    const walk w = {(local_store *)self, true, sweep_one, &s};
    return walk_directory(&w, "", err);
}

static void local_free(sgc_object_store *self)
{
    local_store *store = (local_store *)self;
    sgc_fork_watch_end(&store->forks);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    forget_durable(store);
    pthread_mutex_destroy(&store->mutex);
    pthread_mutex_destroy(&store->durable_mutex);
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
    pthread_mutex_init(&store->durable_mutex, NULL);
    store->root = root;
    store->locking = options == NULL || !options->no_locking;
    store->lock_fd = -1;
    store->base = (sgc_object_store){
        .get = local_get,
        .put = local_put,
        .copy = local_copy,
        .remove = local_remove,
        .list = local_list,
        .sweep = local_sweep,
        .lock = local_lock,
        .unlock = local_unlock,
        .free = local_free,
        .name = root,
    };
    sgc_fork_watch_begin(&store->forks, renew_in_child, store);
    *out = &store->base;
    return SGC_OK;
}
