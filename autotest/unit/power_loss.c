#include "autotest/unit/power_loss.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int __real_open(const char *path, int flags, ...);
ssize_t __real_write(int fd, const void *data, size_t size);
int __real_fsync(int fd);
int __real_close(int fd);
int __real_rename(const char *from, const char *to);
int __real_link(const char *from, const char *to);
int __real_unlink(const char *path);
int __real_mkdir(const char *path, mode_t mode);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
ssize_t __wrap_write(int fd, const void *data, size_t size);
int __wrap_fsync(int fd);
int __wrap_close(int fd);
int __wrap_rename(const char *from, const char *to);
int __wrap_link(const char *from, const char *to);
int __wrap_unlink(const char *path);
int __wrap_mkdir(const char *path, mode_t mode);

enum { MOST_NAMES = 256, MOST_CONTENTS = 64, MOST_FILES = 1024, LONGEST_PATH = 512 };

typedef enum name_change { CREATED, RENAMED, REMOVED, MADE } name_change;

/* A change of a directory that is not synced. */
typedef struct pending_name {
    name_change change;
    struct stat directory;
    char path[LONGEST_PATH];
    char from[LONGEST_PATH]; /* of what was renamed */
    char kept[LONGEST_PATH]; /* another name of what `path` was before; empty: it was not */
} pending_name;

/* A file that was written since it was synced. */
typedef struct pending_content {
    struct stat file;
    int fd;
} pending_content;

static struct {
    bool counting;
    disk_plan plan;
    const char *spare;
    unsigned calls, kept;
    const char *victim;
    bool for_writing[MOST_FILES]; /* by descriptor */
    pending_name names[MOST_NAMES];
    size_t name_count;
    pending_content contents[MOST_CONTENTS];
    size_t content_count;
} disk;

/* The harness itself cannot go on. */
static void check(bool good, const char *what)
{
    if (!good) {
        fprintf(stderr, "power_loss.c: %s: %s\n", what, strerror(errno));
        abort();
    }
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/* ---- what is not synced ---- */

/* Keeps what is at `path` under another name. */
static void keep(const char *path, char kept[LONGEST_PATH])
{
    kept[0] = '\0';
    if (access(path, F_OK) != 0)
        return;
    snprintf(kept, LONGEST_PATH, "%s/%u", disk.spare, disk.kept++);
    check(__real_link(path, kept) == 0, "link");
}

static pending_name *add_name(name_change change, const char *path)
{
    check(disk.name_count < MOST_NAMES && strlen(path) < LONGEST_PATH, "too many names");
    pending_name *name = &disk.names[disk.name_count++];
    *name = (pending_name){.change = change};
    snprintf(name->path, sizeof name->path, "%s", path);
    char *slash = strrchr(name->path, '/');
    check(slash != NULL, "a relative path");
    *slash = '\0';
    check(stat(name->path, &name->directory) == 0, "stat");
    *slash = '/';
    return name;
}

static void sync_names(const struct stat *directory)
{
    size_t n = 0;
    for (size_t i = 0; i < disk.name_count; i++)
        if (!same_file(&disk.names[i].directory, directory))
            disk.names[n++] = disk.names[i];
    disk.name_count = n;
}

static size_t find_content(const struct stat *file)
{
    size_t i = 0;
    while (i < disk.content_count && !same_file(&disk.contents[i].file, file))
        i++;
    return i;
}

static void add_content(int fd)
{
    struct stat file;
    check(fstat(fd, &file) == 0, "fstat");
    const size_t at = find_content(&file);
    if (at < disk.content_count)
        return;
    check(at < MOST_CONTENTS, "too many files");
    disk.contents[disk.content_count++] = (pending_content){file, dup(fd)};
}

static void sync_content(const struct stat *file)
{
    const size_t at = find_content(file);
    if (at == disk.content_count)
        return;
    __real_close(disk.contents[at].fd);
    disk.contents[at] = disk.contents[--disk.content_count];
}

/* ---- the loss ---- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void undo(const pending_name *name)
{
    switch (name->change) {
    case CREATED:
        check(__real_unlink(name->path) == 0, "undo of a creation");
        break;
    case RENAMED:
        check(__real_rename(name->path, name->from) == 0, "undo of a renaming");
        break;
    case REMOVED:
        break;
    case MADE:
        check(nftw(name->path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0, "undo of mkdir");
        break;
    }
    if (name->kept[0] != '\0')
        check(__real_link(name->kept, name->path) == 0, "undo");
}

static void damage(int fd, bool leave_garbage)
{
    struct stat info;
    check(fstat(fd, &info) == 0, "fstat");
    const off_t size = leave_garbage ? info.st_size / 2 : 0;
    check(ftruncate(fd, size) == 0, "ftruncate");
    for (off_t i = 0; i < size; i++)
        check(pwrite(fd, "\xa5", 1, i) == 1, "pwrite");
}

static void lose_power(void)
{
    if (disk.plan.loss == LOSE_NOTHING)
        return;
    for (size_t i = 0; i < disk.content_count; i++)
        damage(disk.contents[i].fd, disk.plan.loss != LOSE_NAMES_AND_CONTENTS);
    if (disk.plan.loss != LOSE_CONTENTS)
        for (size_t i = disk.name_count; i-- > 0;)
            undo(&disk.names[i]);
}

/* ---- the calls ---- */

static bool needs_space(const char *call)
{
    return strcmp(call, "unlink") != 0 && strcmp(call, "close") != 0 &&
           strcmp(call, "open directory") != 0;
}

/* Counts a call; true, with errno, when it must fail. */
static bool fails(const char *call)
{
    if (!disk.counting || disk.plan.event == DISK_SHORT_WRITE)
        return false;
    const unsigned number = ++disk.calls;
    if (number == disk.plan.at)
        disk.victim = call;
    switch (disk.plan.event) {
    case DISK_ERROR:
        errno = disk.plan.code;
        return number == disk.plan.at;
    case DISK_FULL:
        errno = ENOSPC;
        return number >= disk.plan.at && needs_space(call);
    case DISK_CRASH:
        if (number == disk.plan.at) {
            lose_power();
            _exit(DISK_CRASHED);
        }
        return false;
    default:
        return false;
    }
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    check((flags & O_TRUNC) == 0, "O_TRUNC is not simulated");
    if (flags & O_CREAT ? fails("open") : flags & O_DIRECTORY && fails("open directory"))
        return -1;
    const bool is_new = flags & O_CREAT && access(path, F_OK) != 0;
    const int fd = __real_open(path, flags, mode);
    if (!disk.counting || fd < 0)
        return fd;
    if (is_new)
        add_name(CREATED, path);
    if (fd < MOST_FILES)
        disk.for_writing[fd] = (flags & O_ACCMODE) != O_RDONLY;
    return fd;
}

int __wrap_open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    const mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return __wrap_open(path, flags, mode);
}

ssize_t __wrap_write(int fd, const void *data, size_t size)
{
    if (fails("write"))
        return -1;
    if (disk.counting) {
        add_content(fd);
        if (disk.plan.event == DISK_SHORT_WRITE && ++disk.calls == disk.plan.at) {
            disk.victim = "write";
            size = (size + 1) / 2;
        }
    }
    return __real_write(fd, data, size);
}

int __wrap_fsync(int fd)
{
    struct stat info;
    if (fails("fsync"))
        return -1;
    if (disk.counting) {
        check(fstat(fd, &info) == 0, "fstat");
        if (S_ISDIR(info.st_mode))
            sync_names(&info);
        else
            sync_content(&info);
    }
    return 0;
}

/* A close that fails has closed. */
int __wrap_close(int fd)
{
    const bool failing =
        disk.counting && fd >= 0 && fd < MOST_FILES && disk.for_writing[fd] && fails("close");
    const int code = errno, result = __real_close(fd);
    if (!failing)
        return result;
    errno = code;
    return -1;
}

int __wrap_rename(const char *from, const char *to)
{
    if (fails("rename"))
        return -1;
    char kept[LONGEST_PATH] = "";
    if (disk.counting)
        keep(to, kept);
    const int result = __real_rename(from, to);
    if (disk.counting && result == 0) {
        const size_t parent = (size_t)(strrchr(to, '/') - to);
        check(strncmp(from, to, parent + 1) == 0 && strchr(from + parent + 1, '/') == NULL,
              "renaming into another directory is not simulated");
        pending_name *name = add_name(RENAMED, to);
        snprintf(name->from, sizeof name->from, "%s", from);
        memcpy(name->kept, kept, sizeof kept);
    }
    return result;
}

int __wrap_link(const char *from, const char *to)
{
    if (fails("link"))
        return -1;
    const int result = __real_link(from, to);
    if (disk.counting && result == 0)
        add_name(CREATED, to);
    return result;
}

int __wrap_unlink(const char *path)
{
    if (fails("unlink"))
        return -1;
    char kept[LONGEST_PATH] = "";
    if (disk.counting)
        keep(path, kept);
    const int result = __real_unlink(path);
    if (disk.counting && result == 0)
        memcpy(add_name(REMOVED, path)->kept, kept, sizeof kept);
    return result;
}

int __wrap_mkdir(const char *path, mode_t mode)
{
    if (fails("mkdir"))
        return -1;
    const int result = __real_mkdir(path, mode);
    if (disk.counting && result == 0)
        add_name(MADE, path);
    return result;
}

void disk_begin(const disk_plan *plan, const char *spare)
{
    memset(&disk, 0, sizeof disk);
    disk.plan = *plan;
    disk.spare = spare;
    disk.counting = true;
}

const char *disk_end(void)
{
    disk.counting = false;
    lose_power();
    for (size_t i = 0; i < disk.content_count; i++)
        __real_close(disk.contents[i].fd);
    return disk.victim;
}
