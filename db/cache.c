#include "db/cache.h"

#include "db/access.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- put ---------------------------------------------------------------------------------------------------- */

/* A word at a time: h = (h ^ word) * odd, each step one-to-one, so that no change within one word goes unseen. */
uint64_t cache_checksum(uint64_t hash, const void *bytes, size_t size) {
    const unsigned char *at = bytes;
    hash ^= size;
    for (; size > 0; at += size < 8 ? size : 8, size -= size < 8 ? size : 8) {
        uint64_t word = 0;
        memcpy(&word, at, size < 8 ? size : 8);
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    return hash;
}

static int64_t checksum(const struct cache_entry *entry) {
    uint64_t hash = cache_checksum(0, entry->id, strlen(entry->id));
    hash = cache_checksum(hash, entry->model, strlen(entry->model));
    hash = cache_checksum(hash, entry->model_digest, strlen(entry->model_digest));
    hash = cache_checksum(hash, &entry->n_tokens, sizeof entry->n_tokens);
    hash = cache_checksum(hash, entry->excerpt, strlen(entry->excerpt));
    hash = cache_checksum(hash, &entry->seconds, sizeof entry->seconds);
    hash = cache_checksum(hash, &entry->created, sizeof entry->created);
    return (int64_t)cache_checksum(hash, entry->lines, entry->lines_size);
}

/* Whether the entries together are larger than allowed. */
static enum cache_status is_over(struct cache *cache, bool *over, char *error, size_t error_size) {
    sqlite3_stmt *statement = NULL;
    enum cache_status status =
        connection_prepare(cache->writer, cache->path, "SELECT sum(size) FROM analyses", &statement, error, error_size);
    if (status != CACHE_OK)
        return status;
    int result = sqlite3_step(statement);
    *over = result == SQLITE_ROW && (uint64_t)sqlite3_column_int64(statement, 0) > cache->max_bytes;
    if (result != SQLITE_ROW)
        status = connection_failure(cache->writer, cache->path, result, error, error_size);
    sqlite3_finalize(statement);
    return status;
}

/* Least recently used first, those that are shared last, until the rest fits. The entry just put is the most recently used, and stays. */
static enum cache_status evict(struct cache *cache, char *error, size_t error_size) {
    sqlite3_stmt *statement = NULL;
    bool over = false;
    if (cache->max_bytes == 0 || cache->max_bytes > INT64_MAX)
        return CACHE_OK;
    enum cache_status status = is_over(cache, &over, error, error_size);
    if (status != CACHE_OK || !over)
        return status;
    status = connection_prepare(cache->writer, cache->path,
                                "DELETE FROM analyses WHERE sequence IN (SELECT sequence FROM (SELECT sequence, sum(size) OVER "
                                "(ORDER BY used = (SELECT max(used) FROM analyses) DESC, sequence IN (SELECT sequence FROM shares) DESC, "
                                "used DESC, sequence DESC) AS kept FROM analyses) WHERE kept > ?1)",
                                &statement, error, error_size);
    if (status != CACHE_OK)
        return status;
    sqlite3_bind_int64(statement, 1, (int64_t)cache->max_bytes);
    return connection_finish(cache->writer, cache->path, statement, error, error_size);
}

static enum cache_status insert_entry(struct cache *cache, const struct cache_entry *entry, bool *inserted, char *error,
                                      size_t error_size) {
    sqlite3_stmt *statement = NULL;
    enum cache_status status = connection_prepare(
        cache->writer, cache->path,
        "INSERT INTO analyses (id, model, model_digest, n_tokens, excerpt, seconds, created, used, size, checksum) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (id) DO UPDATE SET used = max(used, excluded.used)",
        &statement, error, error_size);
    if (status != CACHE_OK)
        return status;
    sqlite3_set_last_insert_rowid(cache->writer, 0); /* stays 0 when the id is there already */
    sqlite3_bind_text(statement, 1, entry->id, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, entry->model, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, entry->model_digest, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 4, entry->n_tokens);
    sqlite3_bind_text(statement, 5, entry->excerpt, -1, SQLITE_STATIC);
    sqlite3_bind_double(statement, 6, entry->seconds);
    sqlite3_bind_int64(statement, 7, entry->created);
    sqlite3_bind_int64(statement, 8, next_use(cache));
    sqlite3_bind_int64(statement, 9, (int64_t)entry->lines_size);
    sqlite3_bind_int64(statement, 10, checksum(entry));
    status = connection_finish(cache->writer, cache->path, statement, error, error_size);
    *inserted = status == CACHE_OK && sqlite3_last_insert_rowid(cache->writer) != 0;
    return status;
}

static enum cache_status insert_lines(struct cache *cache, const struct cache_entry *entry, char *error, size_t error_size) {
    sqlite3_stmt *statement = NULL;
    enum cache_status status = connection_prepare(cache->writer, cache->path,
                                                  "INSERT OR REPLACE INTO lines (sequence, bytes) VALUES (?1, ?2)", &statement,
                                                  error, error_size);
    if (status != CACHE_OK)
        return status;
    sqlite3_bind_int64(statement, 1, sqlite3_last_insert_rowid(cache->writer));
    int result = sqlite3_bind_blob64(statement, 2, entry->lines_size > 0 ? entry->lines : "", entry->lines_size, SQLITE_STATIC);
    if (result != SQLITE_OK) {
        sqlite3_finalize(statement);
        return connection_failure(cache->writer, cache->path, result, error, error_size);
    }
    return connection_finish(cache->writer, cache->path, statement, error, error_size);
}

enum cache_status cache_put(struct cache *cache, const struct cache_entry *entry, char *error, size_t error_size) {
    if (!cache_is_digest(entry->id) || (!entry->lines && entry->lines_size > 0))
        return cache_fail(CACHE_FAILED, error, error_size, "an entry of the cache needs an id of 64 hex digits and its lines");
    if (cache->max_bytes > 0 && entry->lines_size > cache->max_bytes)
        return cache_fail(CACHE_FULL, error, error_size,
                          "a result of %zu bytes is larger than the whole cache (%" PRIu64 " bytes): raise --cache-max",
                          entry->lines_size, cache->max_bytes);
    struct cache_entry whole = *entry;
    whole.model = entry->model ? entry->model : "";
    whole.model_digest = entry->model_digest ? entry->model_digest : "";
    whole.excerpt = entry->excerpt ? entry->excerpt : "";
    whole.created = entry->created ? entry->created : now_us() / 1000;
    enum cache_status status = begin_write(cache, error, error_size);
    if (status != CACHE_OK)
        return status;
    bool inserted = false;
    status = write_uses(cache, error, error_size);
    if (status == CACHE_OK)
        status = insert_entry(cache, &whole, &inserted, error, error_size);
    if (status == CACHE_OK && inserted)
        status = insert_lines(cache, &whole, error, error_size);
    if (status == CACHE_OK && inserted)
        status = evict(cache, error, error_size);
    return end_write(cache, status, error, error_size);
}

/* ---- get ---------------------------------------------------------------------------------------------------- */

void cache_entry_clear(struct cache_entry *entry) {
    free(entry->id);
    free(entry->model);
    free(entry->model_digest);
    free(entry->excerpt);
    free(entry->lines);
    memset(entry, 0, sizeof *entry);
}

/* A copy of a column's text or bytes with a NUL behind it; NULL without memory. */
static char *copy_column(sqlite3_stmt *statement, int column, size_t *size) {
    const void *bytes = sqlite3_column_blob(statement, column);
    size_t length = (size_t)sqlite3_column_bytes(statement, column);
    char *copy = bytes || length == 0 ? malloc(length + 1) : NULL;
    if (!copy)
        return NULL;
    if (length > 0)
        memcpy(copy, bytes, length);
    copy[length] = '\0';
    if (size)
        *size = length;
    return copy;
}

/* The columns that both lists and single reads take, in the order of read_columns. */
#define ENTRY_COLUMNS "sequence, id, model, model_digest, n_tokens, excerpt, seconds, created, size, checksum"
enum { SEQUENCE, ID, MODEL, MODEL_DIGEST, N_TOKENS, EXCERPT, SECONDS, CREATED, SIZE, CHECKSUM, LINES };

static bool read_columns(sqlite3_stmt *statement, struct cache_entry *entry) {
    entry->id = copy_column(statement, ID, NULL);
    entry->model = copy_column(statement, MODEL, NULL);
    entry->model_digest = copy_column(statement, MODEL_DIGEST, NULL);
    entry->n_tokens = (uint32_t)sqlite3_column_int64(statement, N_TOKENS);
    entry->excerpt = copy_column(statement, EXCERPT, NULL);
    entry->seconds = sqlite3_column_double(statement, SECONDS);
    entry->created = sqlite3_column_int64(statement, CREATED);
    entry->lines_size = (size_t)sqlite3_column_int64(statement, SIZE);
    return entry->id && entry->model && entry->model_digest && entry->excerpt;
}

static enum cache_status fail_memory(const struct cache *cache, char *error, size_t error_size) {
    return cache_fail(CACHE_NO_MEMORY, error, error_size, "not enough memory to read the cache %s: close other programs", cache->path);
}

/* Reads the row that the statement stands on (ENTRY_COLUMNS, then the lines) and holds it against its checksum. */
static enum cache_status read_entry(struct cache *cache, sqlite3_stmt *statement, struct cache_entry *entry, char *error,
                                    size_t error_size) {
    struct cache_entry read = {0};
    size_t noted = 0;
    bool complete = read_columns(statement, &read);
    noted = read.lines_size;
    if (complete)
        read.lines = copy_column(statement, LINES, &read.lines_size);
    if (!complete || !read.lines) {
        cache_entry_clear(&read);
        return fail_memory(cache, error, error_size);
    }
    if (noted != read.lines_size || checksum(&read) != sqlite3_column_int64(statement, CHECKSUM)) {
        cache_fail(CACHE_CORRUPT, error, error_size,
                   "the result %.80s in the cache %s is damaged: forget it with \"headscope cache delete %.80s\", and it is computed anew",
                   read.id, cache->path, read.id);
        cache_entry_clear(&read);
        return CACHE_CORRUPT;
    }
    *entry = read;
    return CACHE_OK;
}

enum cache_status cache_get(struct cache *cache, const char *id, struct cache_entry *entry, char *error, size_t error_size) {
    struct reader reader;
    sqlite3_stmt *statement = NULL;
    int64_t sequence = 0;
    enum cache_status status = begin_read(cache, &reader, error, error_size);
    if (status != CACHE_OK)
        return status;
    status = connection_prepare(reader.db, cache->path,
                                "SELECT " ENTRY_COLUMNS ", bytes FROM analyses LEFT JOIN lines USING (sequence) WHERE id = ?1",
                                &statement, error, error_size);
    if (status == CACHE_OK) {
        sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC);
        int result = sqlite3_step(statement);
        if (result == SQLITE_DONE)
            status = cache_fail(CACHE_MISS, error, error_size, "the cache has no analysis %.80s", id);
        else if (result != SQLITE_ROW)
            status = connection_failure(reader.db, cache->path, result, error, error_size);
        else
            status = read_entry(cache, statement, entry, error, error_size);
        if (status == CACHE_OK)
            sequence = sqlite3_column_int64(statement, SEQUENCE);
        sqlite3_finalize(statement);
    }
    end_read(cache, &reader, status);
    if (status == CACHE_OK)
        note_use(cache, sequence);
    return status;
}

/* ---- delete, clear ------------------------------------------------------------------------------------------ */

/* What was deleted leaves the -wal file too. */
static void forget_log(struct cache *cache) {
    pthread_mutex_lock(&cache->write_lock);
    if (cache->writer)
        connection_forget_log(cache->writer);
    pthread_mutex_unlock(&cache->write_lock);
}

enum cache_status cache_delete(struct cache *cache, const char *id, char *error, size_t error_size) {
    sqlite3_stmt *statement = NULL;
    bool any = false;
    enum cache_status status = begin_write(cache, error, error_size);
    if (status != CACHE_OK)
        return status;
    status = connection_prepare(cache->writer, cache->path, "DELETE FROM analyses WHERE id = ?1", &statement, error, error_size);
    if (status == CACHE_OK) {
        sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC);
        status = connection_finish(cache->writer, cache->path, statement, error, error_size);
        any = sqlite3_changes(cache->writer) > 0;
    }
    status = end_write(cache, status, error, error_size);
    if (status == CACHE_OK && !any)
        return cache_fail(CACHE_MISS, error, error_size, "the cache has no analysis %.80s", id);
    if (status == CACHE_OK)
        forget_log(cache);
    return status;
}

enum cache_status cache_clear(struct cache *cache, char *error, size_t error_size) {
    enum cache_status status = begin_write(cache, error, error_size);
    if (status != CACHE_OK)
        return status;
    status = connection_run(cache->writer, cache->path, "DELETE FROM analyses; DELETE FROM lines", error, error_size);
    status = end_write(cache, status, error, error_size);
    if (status != CACHE_OK)
        return status;
    /* Gives the room back to the disk; where that fails the entries are gone all the same. */
    pthread_mutex_lock(&cache->write_lock);
    if (cache->writer)
        sqlite3_exec(cache->writer, "VACUUM", NULL, NULL, NULL);
    pthread_mutex_unlock(&cache->write_lock);
    forget_log(cache);
    return CACHE_OK;
}

/* ---- list, stats, check ------------------------------------------------------------------------------------- */

static void clear_entries(struct cache_entry *entries, size_t count) {
    for (size_t i = 0; i < count; i++)
        cache_entry_clear(&entries[i]);
    free(entries);
}

/* A cursor is "created-sequence" of the last row handed out: a place in the order, which stays when that row goes. */
static bool read_cursor(const char *cursor, int64_t *created, int64_t *sequence) {
    int end = -1;
    if (!cursor || !cursor[0]) {
        *created = *sequence = INT64_MAX;
        return true;
    }
    return strspn(cursor, "0123456789-") == strlen(cursor) && strlen(cursor) < 40 &&
           sscanf(cursor, "%" SCNd64 "-%" SCNd64 "%n", created, sequence, &end) == 2 && end > 0 && cursor[end] == '\0' &&
           *sequence > 0;
}

/* Room for one more; doubles. */
static struct cache_entry *add_entry(struct cache_entry **entries, size_t count, size_t *room) {
    if (count == *room) {
        size_t wanted = *room ? *room * 2 : 64;
        struct cache_entry *grown = realloc(*entries, wanted * sizeof **entries);
        if (!grown)
            return NULL;
        *entries = grown;
        *room = wanted;
    }
    memset(*entries + count, 0, sizeof **entries);
    return *entries + count;
}

/* Takes rows until there are no more or `limit` are there; then *next says where the rest begins. */
static enum cache_status collect(struct cache *cache, sqlite3 *db, sqlite3_stmt *statement, size_t limit,
                                 struct cache_entry **entries, size_t *count, char next[96], char *error, size_t error_size) {
    size_t room = 0;
    int64_t sequence = 0;
    int result;
    while ((result = sqlite3_step(statement)) == SQLITE_ROW) {
        if (*count == limit) {
            if (limit > 0)
                snprintf(next, 96, "%" PRId64 "-%" PRId64, (*entries)[*count - 1].created, sequence);
            return CACHE_OK;
        }
        struct cache_entry *entry = add_entry(entries, *count, &room);
        if (!entry)
            return fail_memory(cache, error, error_size);
        ++*count;
        if (!read_columns(statement, entry))
            return fail_memory(cache, error, error_size);
        sequence = sqlite3_column_int64(statement, SEQUENCE);
    }
    return result == SQLITE_DONE ? CACHE_OK : connection_failure(db, cache->path, result, error, error_size);
}

enum cache_status cache_list(struct cache *cache, size_t limit, const char *cursor, struct cache_entry **entries, size_t *count,
                             char next_cursor[96], char *error, size_t error_size) {
    struct reader reader;
    sqlite3_stmt *statement = NULL;
    struct cache_entry *found = NULL;
    size_t n = 0;
    char next[96] = "";
    int64_t created, sequence;
    if (!read_cursor(cursor, &created, &sequence))
        return cache_fail(CACHE_MISS, error, error_size, "unknown cursor: start from the top, without one");
    enum cache_status status = begin_read(cache, &reader, error, error_size);
    if (status != CACHE_OK)
        return status;
    status = connection_prepare(reader.db, cache->path,
                                "SELECT " ENTRY_COLUMNS " FROM analyses WHERE (created, sequence) < (?1, ?2) "
                                "ORDER BY created DESC, sequence DESC",
                                &statement, error, error_size);
    if (status == CACHE_OK) {
        sqlite3_bind_int64(statement, 1, created);
        sqlite3_bind_int64(statement, 2, sequence);
        status = collect(cache, reader.db, statement, limit, &found, &n, next, error, error_size);
        sqlite3_finalize(statement);
    }
    end_read(cache, &reader, status);
    if (status != CACHE_OK) {
        clear_entries(found, n);
        return status;
    }
    *entries = found;
    *count = n;
    memcpy(next_cursor, next, sizeof next);
    return CACHE_OK;
}

enum cache_status cache_get_stats(struct cache *cache, struct cache_stats *stats, char *error, size_t error_size) {
    struct reader reader;
    sqlite3_stmt *statement = NULL;
    enum cache_status status = begin_read(cache, &reader, error, error_size);
    if (status != CACHE_OK)
        return status;
    status = connection_prepare(reader.db, cache->path, "SELECT count(*), coalesce(sum(size), 0) FROM analyses", &statement, error,
                                error_size);
    if (status == CACHE_OK) {
        int result = sqlite3_step(statement);
        if (result == SQLITE_ROW)
            *stats = (struct cache_stats){
                .entries = (uint64_t)sqlite3_column_int64(statement, 0),
                .bytes = (uint64_t)sqlite3_column_int64(statement, 1),
                .max_bytes = cache->max_bytes,
                .file_bytes = connection_file_bytes(cache->path),
            };
        else
            status = connection_failure(reader.db, cache->path, result, error, error_size);
        sqlite3_finalize(statement);
    }
    end_read(cache, &reader, status);
    return status;
}

/* SQLite's own check: "ok", or the first finding. */
static enum cache_status check_integrity(struct cache *cache, sqlite3 *db, char *error, size_t error_size) {
    sqlite3_stmt *statement = NULL;
    enum cache_status status = connection_prepare(db, cache->path, "PRAGMA integrity_check(1)", &statement, error, error_size);
    if (status != CACHE_OK)
        return status;
    int result = sqlite3_step(statement);
    const char *finding = result == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    if (result != SQLITE_ROW)
        status = connection_failure(db, cache->path, result, error, error_size);
    else if (!finding)
        status = fail_memory(cache, error, error_size);
    else if (strcmp(finding, "ok") != 0)
        status = connection_damaged(cache->path, finding, error, error_size);
    sqlite3_finalize(statement);
    return status;
}

/* Every result whole and as it was stored, and no lines without their row. */
static enum cache_status check_entries(struct cache *cache, sqlite3 *db, char *error, size_t error_size) {
    sqlite3_stmt *statement = NULL;
    int result = SQLITE_DONE;
    enum cache_status status = connection_prepare(db, cache->path,
                                                  "SELECT " ENTRY_COLUMNS ", bytes FROM analyses LEFT JOIN lines USING (sequence)",
                                                  &statement, error, error_size);
    while (status == CACHE_OK && (result = sqlite3_step(statement)) == SQLITE_ROW) {
        struct cache_entry entry;
        status = read_entry(cache, statement, &entry, error, error_size);
        if (status == CACHE_OK)
            cache_entry_clear(&entry);
    }
    if (status == CACHE_OK && result != SQLITE_DONE)
        status = connection_failure(db, cache->path, result, error, error_size);
    sqlite3_finalize(statement);
    statement = NULL;
    if (status == CACHE_OK)
        status = connection_prepare(db, cache->path,
                                    "SELECT 1 FROM lines WHERE sequence NOT IN (SELECT sequence FROM analyses) LIMIT 1", &statement,
                                    error, error_size);
    if (status == CACHE_OK && (result = sqlite3_step(statement)) != SQLITE_DONE)
        status = result == SQLITE_ROW ? connection_damaged(cache->path, "lines that belong to no analysis", error, error_size)
                                      : connection_failure(db, cache->path, result, error, error_size);
    sqlite3_finalize(statement);
    return status;
}

enum cache_status cache_check(struct cache *cache, char *error, size_t error_size) {
    struct reader reader;
    enum cache_status status = begin_read(cache, &reader, error, error_size);
    if (status != CACHE_OK)
        return status;
    status = check_integrity(cache, reader.db, error, error_size);
    if (status == CACHE_OK)
        status = check_entries(cache, reader.db, error, error_size);
    end_read(cache, &reader, status);
    return status;
}
