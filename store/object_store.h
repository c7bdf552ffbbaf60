/* Where a repository's files are: a few verbs over a location.
 *
 * Keys are relative, '/'-separated, non-empty, without "." or ".." segments. All verbs may be
 * called from several threads at once. After a successful put the object is durable and whole: no
 * reader ever sees a part of it, no crash leaves one. */
#ifndef SGC_OBJECT_STORE_H
#define SGC_OBJECT_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/error.h"

SGC_BEGIN_C

typedef struct sgc_object {
    unsigned char *data; /* malloc'ed; free with sgc_object_clear() */
    size_t size;
} sgc_object;

void sgc_object_clear(sgc_object *object);

typedef enum sgc_put_condition {
    SGC_PUT_ALWAYS,
    SGC_PUT_IF_ABSENT,    /* else SGC_EXISTS */
    SGC_PUT_IF_UNCHANGED, /* the object must still be `previous`, else SGC_CONFLICT */
} sgc_put_condition;

typedef struct sgc_object_info {
    uint64_t size;
    uint64_t modified; /* microseconds since 1970: when the object was put */
} sgc_object_info;

/* Called for each listed key; anything but SGC_OK ends the listing with that status. */
typedef sgc_status (*sgc_list_fn)(void *user, const char *key, const sgc_object_info *info,
                                  sgc_error *err);

#define SGC_TO_END UINT64_MAX

typedef struct sgc_object_store sgc_object_store;

struct sgc_object_store {
    /* Gives the bytes [offset, offset + length), or from offset to the end with SGC_TO_END. Missing
     * object: SGC_NOT_FOUND. A range that ends beyond the object: SGC_CORRUPT. */
    sgc_status (*get)(sgc_object_store *self, const char *key, uint64_t offset, uint64_t length,
                      sgc_object *out, sgc_error *err);
    /* `previous` is read only with SGC_PUT_IF_UNCHANGED. Conditional puts of one key exclude each
     * other among all processes that use the location through this library. No permission or no
     * space: SGC_IO, with nothing changed. Whether another SGC_IO or SGC_NETWORK came before or
     * after the change only a new look can tell. */
    sgc_status (*put)(sgc_object_store *self, const char *key, const void *data, size_t size,
                      sgc_put_condition condition, const sgc_object *previous, sgc_error *err);
    /* Makes `to`, which must not exist (SGC_EXISTS), a copy of the object `from` as it is at some
     * moment during the call (missing: SGC_NOT_FOUND); durable. Its time may be that of `from`. */
    sgc_status (*copy)(sgc_object_store *self, const char *from, const char *to, sgc_error *err);
    /* Removes objects; those that are missing do not matter. They are gone for good when it
     * returns, so one call for many costs less. */
    sgc_status (*remove)(sgc_object_store *self, const char *const *keys, size_t count,
                         sgc_error *err);
    /* All keys under `prefix` ("" or ending in '/'), in any order. A missing place has none. `fn`
     * may remove objects. */
    sgc_status (*list)(sgc_object_store *self, const char *prefix, sgc_list_fn fn, void *user,
                       sgc_error *err);
    /* Removes (or only reports) what interrupted puts have left behind and what was last written
     * before `before` (microseconds since 1970). `fn`, which may be NULL, is called for each before
     * it is removed. May be NULL where nothing is left behind. */
    sgc_status (*sweep)(sgc_object_store *self, uint64_t before, bool dry_run, sgc_list_fn fn,
                        void *user, sgc_error *err);
    /* Tries to take, or releases, the exclusive lock number `offset` (1 … INT64_MAX; 0 is the
     * store's own) and says in *taken whether it has it now. Never waits. Locks exclude other
     * handles on the location, not other threads on this one; the death of a process releases its
     * locks. May be NULL where the location cannot lock. */
    sgc_status (*lock)(sgc_object_store *self, int64_t offset, bool *taken, sgc_error *err);
    void (*unlock)(sgc_object_store *self, int64_t offset);
    void (*free)(sgc_object_store *self);
    const char *name; /* of the place, for messages; borrows */
};

typedef struct sgc_local_options {
    bool no_locking; /* the user vouches that nobody else writes */
} sgc_local_options;

/* Gives a store over the directory `path`, which need not exist: it is made by the first put. */
SGC_CHECKED sgc_status sgc_object_store_local_new(const char *path,
                                                  const sgc_local_options *options,
                                                  sgc_object_store **out, sgc_error *err);

/* Gives an empty store in memory. */
SGC_CHECKED sgc_status sgc_object_store_memory_new(sgc_object_store **out, sgc_error *err);

/* Removes one object. */
SGC_CHECKED sgc_status sgc_object_store_remove(sgc_object_store *store, const char *key,
                                               sgc_error *err);

void sgc_object_store_free(sgc_object_store *store);

/* True when `name`, a segment of a key, is that of a staging or lock file, which directories hide
 * from listings: it ends in '#' and digits (format guide 16.1). */
bool sgc_object_store_name_is_hidden(const char *name);

SGC_END_C

#endif
