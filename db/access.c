#include "db/access.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define USES_MAX 4096 /* noted in memory; beyond that the oldest note is lost, which only makes eviction a little unfair */

bool cache_is_digest(const char *text) {
    return text && strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

/* ---- times of use ------------------------------------------------------------------------------------------- */

int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t next_use(struct cache *cache) {
    int64_t now = now_us();
    pthread_mutex_lock(&cache->lock);
    cache->last_use = now > cache->last_use ? now : cache->last_use + 1;
    now = cache->last_use;
    pthread_mutex_unlock(&cache->lock);
    return now;
}

void note_use(struct cache *cache, int64_t sequence) {
    struct use use = {sequence, next_use(cache)};
    pthread_mutex_lock(&cache->lock);
    size_t slot = 0, oldest = 0;
    while (slot < cache->use_count && cache->uses[slot].sequence != sequence) {
        if (cache->uses[slot].time < cache->uses[oldest].time)
            oldest = slot;
        slot++;
    }
    if (slot == USES_MAX)
        slot = oldest;
    else if (slot == cache->use_count)
        cache->use_count++;
    cache->uses[slot] = use;
    pthread_mutex_unlock(&cache->lock);
}

/* ---- opening, and opening again ----------------------------------------------------------------------------- */

static void drop_readers(struct cache *cache) {
    pthread_mutex_lock(&cache->lock);
    cache->open = false;
    cache->generation++;
    while (cache->idle_count > 0)
        connection_close(cache->idle[--cache->idle_count]);
    pthread_mutex_unlock(&cache->lock);
}

/* With write_lock held. */
static void close_writer(struct cache *cache) {
    drop_readers(cache);
    if (cache->writer)
        connection_abandon(cache->writer, cache->path, &cache->files);
    cache->writer = NULL;
}

/* With write_lock held. */
static enum cache_status open_writer(struct cache *cache, char *error, size_t error_size) {
    close_writer(cache);
    enum cache_status status = connection_open(cache->path, CONNECTION_WRITER, &cache->writer, error, error_size);
    if (status != CACHE_OK)
        return status;
    pthread_mutex_lock(&cache->lock);
    connection_look(cache->path, &cache->files);
    cache->open = true;
    pthread_mutex_unlock(&cache->lock);
    return CACHE_OK;
}

enum readiness { READY, SPOILT, REPLACED };

static enum readiness look(struct cache *cache) {
    struct connection_files files;
    connection_look(cache->path, &files);
    pthread_mutex_lock(&cache->lock);
    enum readiness readiness = !cache->open ? SPOILT : connection_same(&cache->files, &files) ? READY : REPLACED;
    pthread_mutex_unlock(&cache->lock);
    return readiness;
}

/* First in every call, with write_lock held or (the usual case, which only looks) not. A file that went away is begun again,
 * but the call that notices says so: its caller may have counted on what is lost. */
static enum cache_status make_ready(struct cache *cache, bool locked, char *error, size_t error_size) {
    enum readiness readiness = look(cache);
    if (readiness == READY)
        return CACHE_OK;
    if (!locked)
        pthread_mutex_lock(&cache->write_lock);
    enum cache_status status = CACHE_OK;
    readiness = look(cache); /* another thread may have been quicker */
    if (readiness != READY)
        status = open_writer(cache, error, error_size);
    if (!locked)
        pthread_mutex_unlock(&cache->write_lock);
    if (status == CACHE_OK && readiness == REPLACED)
        return cache_fail(CACHE_FAILED, error, error_size,
                          "the cache %s was deleted or replaced while in use: what is there now is used from the next call on; stop "
                          "headscope before you move it",
                          cache->path);
    return status;
}

static char *absolute_path(const char *path) {
    char folder[PATH_MAX];
    char *absolute = NULL;
    if (path[0] == '/')
        return strdup(path);
    if (!getcwd(folder, sizeof folder) || asprintf(&absolute, "%s/%s", folder, path) < 0)
        return NULL;
    return absolute;
}

enum cache_status cache_open(const struct cache_options *options, struct cache **cache, char *error, size_t error_size) {
    if (!options->path || !options->path[0])
        return cache_fail(CACHE_FAILED, error, error_size, "the cache has no path: name a file with --cache");
    struct cache *opened = calloc(1, sizeof *opened);
    if (!opened)
        return cache_fail(CACHE_NO_MEMORY, error, error_size, "not enough memory to open the cache %s", options->path);
    pthread_mutex_init(&opened->write_lock, NULL);
    pthread_mutex_init(&opened->lock, NULL);
    opened->max_bytes = options->max_bytes;
    opened->path = absolute_path(options->path);
    opened->uses = calloc(USES_MAX, sizeof *opened->uses);
    enum cache_status status = CACHE_OK;
    if (!opened->path || !opened->uses)
        status = cache_fail(CACHE_NO_MEMORY, error, error_size, "not enough memory to open the cache %s", options->path);
    else
        status = open_writer(opened, error, error_size);
    if (status == CACHE_OK)
        *cache = opened;
    else
        cache_close(opened);
    return status;
}

/* ---- transactions ------------------------------------------------------------------------------------------- */

/* Takes write_lock and begins; on failure holds nothing. */
enum cache_status begin_write(struct cache *cache, char *error, size_t error_size) {
    pthread_mutex_lock(&cache->write_lock);
    enum cache_status status = make_ready(cache, true, error, error_size);
    if (status == CACHE_OK && sqlite3_db_readonly(cache->writer, "main") == 1)
        status = connection_failure(cache->writer, cache->path, SQLITE_READONLY, error, error_size);
    else if (status == CACHE_OK)
        status = connection_run(cache->writer, cache->path, "BEGIN IMMEDIATE", error, error_size);
    if (status != CACHE_OK)
        pthread_mutex_unlock(&cache->write_lock);
    return status;
}

/* Commits when all went well so far, else takes everything back; releases write_lock. */
enum cache_status end_write(struct cache *cache, enum cache_status status, char *error, size_t error_size) {
    if (status == CACHE_OK)
        status = connection_run(cache->writer, cache->path, "COMMIT", error, error_size);
    if (!sqlite3_get_autocommit(cache->writer))
        sqlite3_exec(cache->writer, "ROLLBACK", NULL, NULL, NULL);
    if (status == CACHE_CORRUPT || status == CACHE_FAILED || status == CACHE_NO_MEMORY)
        close_writer(cache);
    pthread_mutex_unlock(&cache->write_lock);
    return status;
}

enum cache_status begin_read(struct cache *cache, struct reader *reader, char *error, size_t error_size) {
    enum cache_status status = make_ready(cache, false, error, error_size);
    if (status != CACHE_OK)
        return status;
    pthread_mutex_lock(&cache->lock);
    reader->generation = cache->generation;
    reader->db = cache->idle_count > 0 ? cache->idle[--cache->idle_count] : NULL;
    pthread_mutex_unlock(&cache->lock);
    return reader->db ? CACHE_OK : connection_open(cache->path, CONNECTION_READER, &reader->db, error, error_size);
}

void end_read(struct cache *cache, struct reader *reader, enum cache_status status) {
    pthread_mutex_lock(&cache->lock);
    bool keep = (status == CACHE_OK || status == CACHE_MISS || status == CACHE_LOCKED) &&
                reader->generation == cache->generation && cache->idle_count < IDLE_READERS;
    if (keep)
        cache->idle[cache->idle_count++] = reader->db;
    pthread_mutex_unlock(&cache->lock);
    if (!keep)
        connection_close(reader->db);
}

/* Writes the noted uses, within a transaction. They are taken out first: lost if it fails, which is as it should be. */
enum cache_status write_uses(struct cache *cache, char *error, size_t error_size) {
    sqlite3_stmt *statement = NULL;
    enum cache_status status = connection_prepare(cache->writer, cache->path,
                                                  "UPDATE analyses SET used = ?2 WHERE sequence = ?1 AND used < ?2", &statement,
                                                  error, error_size);
    while (status == CACHE_OK) {
        pthread_mutex_lock(&cache->lock);
        bool any = cache->use_count > 0;
        struct use use = any ? cache->uses[--cache->use_count] : (struct use){0};
        pthread_mutex_unlock(&cache->lock);
        if (!any)
            break;
        sqlite3_bind_int64(statement, 1, use.sequence);
        sqlite3_bind_int64(statement, 2, use.time);
        int result = sqlite3_step(statement);
        if (result != SQLITE_DONE)
            status = connection_failure(cache->writer, cache->path, result, error, error_size);
        sqlite3_reset(statement);
    }
    sqlite3_finalize(statement);
    return status;
}

void cache_close(struct cache *cache) {
    if (!cache)
        return;
    if (cache->use_count > 0 && look(cache) == READY && begin_write(cache, NULL, 0) == CACHE_OK)
        end_write(cache, write_uses(cache, NULL, 0), NULL, 0);
    close_writer(cache);
    pthread_mutex_destroy(&cache->write_lock);
    pthread_mutex_destroy(&cache->lock);
    free(cache->uses);
    free(cache->path);
    free(cache);
}
