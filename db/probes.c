/* What probes of models have found: see cache.h. */
#include "db/access.h"

#include <stdlib.h>
#include <string.h>

static int64_t checksum(const struct cache_probe *probe, size_t steps, const void *bytes, size_t size) {
    uint64_t numbers[2] = {(uint64_t)probe->version, steps};
    uint64_t hash = cache_checksum(0, probe->model_digest, strlen(probe->model_digest));
    hash = cache_checksum(hash, probe->name, strlen(probe->name));
    hash = cache_checksum(hash, numbers, sizeof numbers);
    return (int64_t)cache_checksum(hash, bytes, size);
}

static void bind_key(sqlite3_stmt *statement, const struct cache_probe *probe) {
    sqlite3_bind_text(statement, 1, probe->model_digest, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, probe->name, -1, SQLITE_STATIC);
    sqlite3_bind_int(statement, 3, probe->version);
}

enum cache_status cache_put_probe(struct cache *cache, const struct cache_probe *probe, size_t steps, const void *bytes, size_t size,
                                  char *error, size_t error_size) {
    sqlite3_stmt *statement = NULL;
    if (!cache_is_digest(probe->model_digest) || !bytes || size == 0)
        return cache_fail(CACHE_FAILED, error, error_size, "a probe in the cache needs the model's digest of 64 hex digits and its bytes");
    enum cache_status status = begin_write(cache, error, error_size);
    if (status != CACHE_OK)
        return status;
    status = connection_prepare(cache->writer, cache->path,
                                "INSERT OR REPLACE INTO probes (model_digest, probe, version, steps, checksum, bytes) "
                                "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                                &statement, error, error_size);
    if (status == CACHE_OK) {
        bind_key(statement, probe);
        sqlite3_bind_int64(statement, 4, (int64_t)steps);
        sqlite3_bind_int64(statement, 5, checksum(probe, steps, bytes, size));
        int result = sqlite3_bind_blob64(statement, 6, bytes, size, SQLITE_STATIC);
        if (result == SQLITE_OK) {
            status = connection_finish(cache->writer, cache->path, statement, error, error_size);
        } else {
            sqlite3_finalize(statement);
            status = connection_failure(cache->writer, cache->path, result, error, error_size);
        }
    }
    return end_write(cache, status, error, error_size);
}

/* The row that the statement stands on. */
static enum cache_status read_row(sqlite3_stmt *statement, const struct cache_probe *probe, size_t *steps, void **bytes, size_t *size) {
    const void *found = sqlite3_column_blob(statement, 2);
    size_t length = (size_t)sqlite3_column_bytes(statement, 2), run = (size_t)sqlite3_column_int64(statement, 0);
    if (!found || sqlite3_column_int64(statement, 1) != checksum(probe, run, found, length))
        return CACHE_MISS;
    *bytes = malloc(length);
    if (!*bytes)
        return CACHE_NO_MEMORY;
    memcpy(*bytes, found, length);
    *steps = run;
    *size = length;
    return CACHE_OK;
}

enum cache_status cache_get_probe(struct cache *cache, const struct cache_probe *probe, size_t *steps, void **bytes, size_t *size,
                                  char *error, size_t error_size) {
    struct reader reader;
    sqlite3_stmt *statement = NULL;
    enum cache_status status = begin_read(cache, &reader, error, error_size);
    if (status != CACHE_OK)
        return status;
    if (sqlite3_prepare_v2(reader.db, "SELECT steps, checksum, bytes FROM probes WHERE model_digest = ?1 AND probe = ?2 AND version = ?3",
                           -1, &statement, NULL) != SQLITE_OK) {
        end_read(cache, &reader, CACHE_OK); /* a file of an earlier version that cannot be written to has no such table */
        return CACHE_MISS;
    }
    bind_key(statement, probe);
    int result = sqlite3_step(statement);
    status = result == SQLITE_ROW    ? read_row(statement, probe, steps, bytes, size)
             : result == SQLITE_DONE ? CACHE_MISS
                                     : connection_failure(reader.db, cache->path, result, error, error_size);
    sqlite3_finalize(statement);
    end_read(cache, &reader, status == CACHE_MISS ? CACHE_OK : status);
    return status;
}
