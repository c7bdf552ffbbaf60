#include "datasets/memo.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "datasets/condition.h"
#include "datasets/hash.h"
#include "store/fork.h"
#include "store/memory.h"

enum { SLICE_MS = 100 /* how long one who waits may not hear of a wish to stop */ };

struct sgc_memo_entry {
    char *key;
    uint64_t hash;
    void *value;
    uint64_t until_ms;
    unsigned users;
    bool is_made, is_listed;
    sgc_error *failure; /* of who made it, for those who waited; or NULL */
    sgc_status status;  /* likewise */
};

struct sgc_memo {
    size_t most;
    void (*free_value)(void *value);
    pthread_mutex_t mutex; /* guards all below */
    pthread_cond_t made;
    sgc_memo_entry **entries; /* oldest first */
    size_t count, capacity;
    sgc_fork_watch forks;
};

static void free_entry(sgc_memo *memo, sgc_memo_entry *entry)
{
    if (entry->is_made)
        memo->free_value(entry->value);
    free(entry->failure);
    free(entry->key);
    free(entry);
}

/* Takes it off the list; the last user frees it. */
static void drop(sgc_memo *memo, size_t i)
{
    sgc_memo_entry *entry = memo->entries[i];
    memmove(&memo->entries[i], &memo->entries[i + 1],
            (memo->count - i - 1) * sizeof(sgc_memo_entry *));
    memo->count--;
    entry->is_listed = false;
    if (entry->users == 0)
        free_entry(memo, entry);
}

static void drop_entry(sgc_memo *memo, const sgc_memo_entry *entry)
{
    for (size_t i = 0; i < memo->count; i++)
        if (memo->entries[i] == entry) {
            drop(memo, i);
            return;
        }
}

/* The entry of a key, being made or still good. */
static sgc_memo_entry *find(sgc_memo *memo, const char *key)
{
    const uint64_t hash = sgc_hash_text(key);
    for (size_t i = 0; i < memo->count; i++) {
        sgc_memo_entry *entry = memo->entries[i];
        if (entry->hash != hash || strcmp(entry->key, key) != 0)
            continue;
        if (!entry->is_made || sgc_monotonic_ms() < entry->until_ms)
            return entry;
        drop(memo, i);
        return NULL;
    }
    return NULL;
}

/* The oldest that nobody uses makes room. */
static void make_room(sgc_memo *memo)
{
    for (size_t i = 0; memo->count >= memo->most && i < memo->count; i++)
        if (memo->entries[i]->users == 0) {
            drop(memo, i);
            return;
        }
}

/* A new entry, used once, not made yet. */
static sgc_memo_entry *add(sgc_memo *memo, const char *key)
{
    make_room(memo);
    sgc_memo_entry **entries =
        sgc_list_grow(memo->entries, memo->count, &memo->capacity, sizeof(sgc_memo_entry *));
    if (entries == NULL)
        return NULL;
    memo->entries = entries;
    sgc_memo_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL || (entry->key = strdup(key)) == NULL) {
        free(entry);
        return NULL;
    }
    entry->hash = sgc_hash_text(key);
    entry->users = 1;
    entry->is_listed = true;
    memo->entries[memo->count++] = entry;
    return entry;
}

static void set_value(sgc_memo_entry *entry, void *value, double seconds)
{
    entry->value = value;
    entry->until_ms = sgc_monotonic_ms() + (seconds > 0 ? (uint64_t)(seconds * 1000) : 0);
    entry->is_made = true;
}

/* Leaves an entry whose making failed. One who waited for it shares the failure: another attempt
 * would wait for the same retries. */
static sgc_status leave_failed(sgc_memo *memo, sgc_memo_entry *entry, sgc_error *err)
{
    const sgc_status status = entry->failure == NULL
                                  ? SGC_OK
                                  : sgc_fail(err, entry->status, "%s", entry->failure->message);
    if (--entry->users == 0)
        free_entry(memo, entry);
    return status;
}

/* Uses the entry of a key, waiting while it is being made; NULL in *out: make it. */
static sgc_status await(sgc_memo *memo, const char *key, const sgc_cancel *cancel,
                        sgc_memo_entry **out, sgc_error *err)
{
    sgc_memo_entry *entry = find(memo, key);
    if (entry != NULL)
        entry->users++;
    while (entry != NULL && !entry->is_made && entry->is_listed) {
        if (sgc_cancel_requested(cancel)) {
            entry->users--;
            return sgc_fail(err, SGC_CANCELLED, "cancelled");
        }
        sgc_condition_wait(&memo->made, &memo->mutex, SLICE_MS);
    }
    if (entry != NULL && !entry->is_made) {
        SGC_TRY(leave_failed(memo, entry, err));
        return await(memo, key, cancel, out, err); /* who made it gave up: it is our turn */
    }
    *out = entry;
    return SGC_OK;
}

/* Takes an entry off that could not be made. A wish to stop is its maker's own. */
static void fail_entry(sgc_memo *memo, sgc_memo_entry *entry, sgc_status status,
                       const sgc_error *error)
{
    const bool is_awaited = --entry->users > 0;
    if (is_awaited && status != SGC_CANCELLED &&
        (entry->failure = malloc(sizeof *entry->failure)) != NULL) {
        *entry->failure = *error;
        entry->status = status;
    }
    drop_entry(memo, entry);
}

static sgc_status make_entry(sgc_memo *memo, sgc_memo_entry *entry, sgc_memo_make *make, void *user,
                             const sgc_cancel *cancel, sgc_error *err)
{
    void *value = NULL;
    double seconds = 0;
    sgc_error error = {""};
    const sgc_status status = make(user, entry->key, cancel, &value, &seconds, &error);
    pthread_mutex_lock(&memo->mutex);
    if (status == SGC_OK)
        set_value(entry, value, seconds);
    else
        fail_entry(memo, entry, status, &error);
    pthread_cond_broadcast(&memo->made);
    pthread_mutex_unlock(&memo->mutex);
    return status == SGC_OK ? SGC_OK : sgc_fail(err, status, "%s", error.message);
}

sgc_status sgc_memo_get(sgc_memo *memo, const char *key, sgc_memo_make *make, void *user,
                        const sgc_cancel *cancel, sgc_memo_entry **out, bool *is_new,
                        sgc_error *err)
{
    sgc_memo_entry *entry = NULL;
    bool must_make = false;
    pthread_mutex_lock(&memo->mutex);
    sgc_status status = await(memo, key, cancel, &entry, err);
    if (status == SGC_OK && entry == NULL) {
        must_make = true;
        entry = add(memo, key);
        if (entry == NULL)
            status = sgc_fail_memory(err, sizeof *entry, "an answer");
    }
    pthread_mutex_unlock(&memo->mutex);
    if (status == SGC_OK && must_make)
        status = make_entry(memo, entry, make, user, cancel, err);
    SGC_TRY(status);
    if (is_new != NULL)
        *is_new = must_make;
    *out = entry;
    return SGC_OK;
}

const void *sgc_memo_value(const sgc_memo_entry *entry)
{
    return entry->value;
}

void sgc_memo_release(sgc_memo *memo, sgc_memo_entry *entry)
{
    if (entry == NULL)
        return;
    pthread_mutex_lock(&memo->mutex);
    if (--entry->users == 0 && !entry->is_listed)
        free_entry(memo, entry);
    pthread_mutex_unlock(&memo->mutex);
}

bool sgc_memo_has(sgc_memo *memo, const char *key)
{
    pthread_mutex_lock(&memo->mutex);
    const sgc_memo_entry *entry = find(memo, key);
    const bool has = entry != NULL && entry->is_made;
    pthread_mutex_unlock(&memo->mutex);
    return has;
}

void sgc_memo_put(sgc_memo *memo, const char *key, void *value, double seconds)
{
    pthread_mutex_lock(&memo->mutex);
    sgc_memo_entry *entry = find(memo, key) == NULL ? add(memo, key) : NULL;
    if (entry != NULL) {
        set_value(entry, value, seconds);
        entry->users--;
    }
    pthread_mutex_unlock(&memo->mutex);
    if (entry == NULL)
        memo->free_value(value);
}

void sgc_memo_forget(sgc_memo *memo, sgc_memo_entry *entry)
{
    pthread_mutex_lock(&memo->mutex);
    entry->until_ms = 0;
    pthread_mutex_unlock(&memo->mutex);
}

/* Those who were making or using values are the parent's threads. */
static void renew_in_child(void *object)
{
    sgc_memo *memo = object;
    pthread_mutex_init(&memo->mutex, NULL);
    sgc_condition_init(&memo->made);
    memo->count = 0;
}

sgc_status sgc_memo_new(size_t capacity, void (*free_value)(void *value), sgc_memo **out,
                        sgc_error *err)
{
    sgc_memo *memo = calloc(1, sizeof *memo);
    if (memo == NULL)
        return sgc_fail_memory(err, sizeof *memo, "a memo");
    memo->most = capacity;
    memo->free_value = free_value;
    pthread_mutex_init(&memo->mutex, NULL);
    sgc_condition_init(&memo->made);
    sgc_fork_watch_begin(&memo->forks, renew_in_child, memo);
    *out = memo;
    return SGC_OK;
}

void sgc_memo_free(sgc_memo *memo)
{
    if (memo == NULL)
        return;
    sgc_fork_watch_end(&memo->forks);
    while (memo->count > 0)
        drop(memo, memo->count - 1);
    free(memo->entries);
    pthread_cond_destroy(&memo->made);
    pthread_mutex_destroy(&memo->mutex);
    free(memo);
}
