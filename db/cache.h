/*
 * cache.h: results of analyses kept in one SQLite file, by content-addressed id. Keys and bytes: this library knows
 * nothing of models, heads or JSON.
 *
 * Threads   All calls may come from any thread: one writer connection behind a lock, readers beside it (WAL).
 * Errors    CACHE_OK or a reason; `error` then holds one sentence with the cure. A failing database never takes the
 *           program down: callers log the sentence and go on without it.
 * Files     Created 0600, with -wal and -shm beside. application_id "hscp", user_version = the schema's.
 */
#ifndef HEADSCOPE_DB_CACHE_H
#define HEADSCOPE_DB_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cache_status {
    CACHE_OK = 0,
    CACHE_MISS,       /* no such id */
    CACHE_LOCKED,     /* another program holds the database */
    CACHE_NEWER,      /* written by a newer headscope */
    CACHE_FOREIGN,    /* a file of something else: never touched */
    CACHE_CORRUPT,
    CACHE_FULL,       /* disk full, or an entry larger than the cache's limit */
    CACHE_READ_ONLY,
    CACHE_NO_MEMORY,
    CACHE_FAILED,
};

struct cache;

struct cache_options {
    const char *path;       /* folders are made as needed (0700) */
    uint64_t max_bytes;     /* sum of entries; least recently used ones go first. 0: no limit */
};

enum cache_status cache_open(const struct cache_options *options, struct cache **cache, char *error, size_t error_size);
void cache_close(struct cache *cache); /* writes what is pending (last uses); NULL is fine */

struct cache_entry {
    char *id;            /* 64 hex digits */
    char *model;         /* model id, for lists */
    char *model_digest;
    uint32_t n_tokens;
    char *excerpt;       /* start of the text, for lists; valid UTF-8 */
    double seconds;      /* what the computation took */
    int64_t created;     /* Unix time, milliseconds; set by cache_put when 0 */
    char *lines;         /* the result: the very lines that were streamed, each with its '\n'; NULL in lists */
    size_t lines_size;
};

/* The first bytes stored under an id are the bytes ever after: putting an id that is there changes nothing (CACHE_OK).
 * Evicts until the entry fits. All or nothing. */
enum cache_status cache_put(struct cache *cache, const struct cache_entry *entry, char *error, size_t error_size);

/* Fills *entry; the caller frees it with cache_entry_clear. Takes no write lock: the use is noted in memory and written with
 * the next put or close. */
enum cache_status cache_get(struct cache *cache, const char *id, struct cache_entry *entry, char *error, size_t error_size);
void cache_entry_clear(struct cache_entry *entry);

enum cache_status cache_delete(struct cache *cache, const char *id, char *error, size_t error_size);
enum cache_status cache_clear(struct cache *cache, char *error, size_t error_size);

/* Newest first, at most `limit` after `cursor` (NULL or "": from the top). *entries: array of *count, each to be cleared, then
 * free(). next_cursor: "" at the end, else to be handed back; stable while others are added or deleted. An unknown
 * cursor is CACHE_MISS. */
enum cache_status cache_list(struct cache *cache, size_t limit, const char *cursor, struct cache_entry **entries,
                             size_t *count, char next_cursor[96], char *error, size_t error_size);

struct cache_stats {
    uint64_t entries, bytes, max_bytes, file_bytes;
};
enum cache_status cache_get_stats(struct cache *cache, struct cache_stats *stats, char *error, size_t error_size);
/* SQLite's integrity check plus our own (every row readable, sizes as noted). CACHE_CORRUPT with the first finding. */
enum cache_status cache_check(struct cache *cache, char *error, size_t error_size);

/* Digests of model files, remembered by what identifies a file's content without reading it. */
struct file_identity {
    const char *path;
    uint64_t size, inode, device;
    int64_t modified_ns;
};
enum cache_status cache_get_digest(struct cache *cache, const struct file_identity *file, char digest[65]);
enum cache_status cache_put_digest(struct cache *cache, const struct file_identity *file, const char *digest);

/* Shares: random names for analyses that are stored, with a text of the caller's own. They end with their analysis; what is shared is
 * evicted last. */
/* CACHE_MISS: no such analysis. */
enum cache_status cache_put_share(struct cache *cache, const char *share, const char *id, const char *view, char *error,
                                  size_t error_size);
/* *view is the caller's, to be freed. CACHE_MISS: no such share, nor for the next. */
enum cache_status cache_get_share(struct cache *cache, const char *share, char id[65], char **view, char *error,
                                  size_t error_size);
enum cache_status cache_delete_share(struct cache *cache, const char *share, char *error, size_t error_size);

/* What probes of models have found: bytes that the caller makes and reads. */
struct cache_probe {
    const char *model_digest, *name;
    int version;
};
/* Takes the place of what was there. `steps`: how many the bytes hold. */
enum cache_status cache_put_probe(struct cache *cache, const struct cache_probe *probe, size_t steps, const void *bytes, size_t size,
                                  char *error, size_t error_size);
/* *bytes: malloc'ed. CACHE_MISS: there is nothing of this version, or it is damaged. */
enum cache_status cache_get_probe(struct cache *cache, const struct cache_probe *probe, size_t *steps, void **bytes, size_t *size,
                                  char *error, size_t error_size);

#endif
