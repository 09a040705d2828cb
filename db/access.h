/*
 * access.h: the inside of a cache: its connections and who may use them when. Private to db/.
 *
 *   begin_write ... end_write     one transaction on the one writer connection, all or nothing
 *   begin_read ... end_read       a reader connection of the caller's own for a while
 *
 * Each begin first looks whether the file is still the one that was opened, and opens it again after a failure.
 */
#ifndef HEADSCOPE_DB_ACCESS_H
#define HEADSCOPE_DB_ACCESS_H

#include "db/cache.h"
#include "db/connection.h"

#include <pthread.h>

#define IDLE_READERS 4

struct use {
    int64_t sequence; /* of the analysis */
    int64_t time;     /* microseconds */
};

/* Two locks. write_lock: the writer connection and whatever it does. lock: everything else here, held for moments.
 * write_lock is taken first where both are. */
struct cache {
    char *path; /* absolute */
    uint64_t max_bytes;

    pthread_mutex_t write_lock;
    sqlite3 *writer; /* NULL after a failure that spoiled it: the next call opens it again */

    pthread_mutex_t lock;
    bool open;                     /* the writer was opened, and has not been spoilt */
    struct connection_files files; /* as they were then */
    unsigned generation;           /* raised with each opening: readers of an older one are closed, not kept */
    sqlite3 *idle[IDLE_READERS];
    size_t idle_count;
    struct use *uses;
    size_t use_count;
    int64_t last_use; /* times of use strictly rise */
};

struct reader {
    sqlite3 *db;
    unsigned generation;
};

/* On failure nothing is held, and end_* must not be called. */
enum cache_status begin_write(struct cache *cache, char *error, size_t error_size);
/* Commits when `status`, all that was done since, is CACHE_OK, else takes everything back. Returns how it all ended. */
enum cache_status end_write(struct cache *cache, enum cache_status status, char *error, size_t error_size);

enum cache_status begin_read(struct cache *cache, struct reader *reader, char *error, size_t error_size);
void end_read(struct cache *cache, struct reader *reader, enum cache_status status);

/* The time of a use that happens now, in microseconds, later than every one before. */
int64_t next_use(struct cache *cache);
/* Notes a use in memory; write_uses, within a write, puts all notes into the database. */
void note_use(struct cache *cache, int64_t sequence);
enum cache_status write_uses(struct cache *cache, char *error, size_t error_size);

int64_t now_us(void);

/* Goes on from `hash`, 0 at first. Not against forgery: against disks. */
uint64_t cache_checksum(uint64_t hash, const void *bytes, size_t size);

/* 64 lower-case hex digits. */
bool cache_is_digest(const char *text);

#endif
