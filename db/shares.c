/* Shares: see cache.h. */
#include "db/access.h"

#include <stdlib.h>
#include <string.h>

static enum cache_status no_share(char *error, size_t error_size) {
    return cache_fail(CACHE_MISS, error, error_size, "there is no such share; it may have been taken back");
}

enum cache_status cache_put_share(struct cache *cache, const char *share, const char *id, const char *view, char *error,
                                  size_t error_size) {
    sqlite3_stmt *statement = NULL;
    bool any = false;
    enum cache_status status = begin_write(cache, error, error_size);
    if (status != CACHE_OK)
        return status;
    status = connection_prepare(cache->writer, cache->path,
                                "INSERT INTO shares (share, sequence, view, created) SELECT ?1, sequence, ?3, ?4 FROM analyses WHERE "
                                "id = ?2",
                                &statement, error, error_size);
    if (status == CACHE_OK) {
        sqlite3_bind_text(statement, 1, share, -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, 2, id, -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, 3, view, -1, SQLITE_STATIC);
        sqlite3_bind_int64(statement, 4, now_us() / 1000);
        status = connection_finish(cache->writer, cache->path, statement, error, error_size);
        any = status == CACHE_OK && sqlite3_changes(cache->writer) > 0;
    }
    status = end_write(cache, status, error, error_size);
    if (status == CACHE_OK && !any)
        return cache_fail(CACHE_MISS, error, error_size, "the cache has no analysis %.80s", id);
    return status;
}

/* From the row that the statement stands on. */
static enum cache_status read_share(struct cache *cache, sqlite3_stmt *statement, char id[65], char **view, char *error, size_t error_size) {
    const char *found = (const char *)sqlite3_column_text(statement, 0), *text = (const char *)sqlite3_column_text(statement, 1);
    char *copy = text ? strdup(text) : NULL;
    if (!found || !copy) {
        free(copy);
        return cache_fail(CACHE_NO_MEMORY, error, error_size, "not enough memory to read the cache %s: close other programs", cache->path);
    }
    if (!cache_is_digest(found)) {
        free(copy);
        return connection_damaged(cache->path, "a share leads to no analysis", error, error_size);
    }
    memcpy(id, found, 65);
    *view = copy;
    return CACHE_OK;
}

enum cache_status cache_get_share(struct cache *cache, const char *share, char id[65], char **view, char *error, size_t error_size) {
    struct reader reader;
    sqlite3_stmt *statement = NULL;
    enum cache_status status = begin_read(cache, &reader, error, error_size);
    if (status != CACHE_OK)
        return status;
    status = connection_prepare(reader.db, cache->path, "SELECT id, view FROM shares JOIN analyses USING (sequence) WHERE share = ?1",
                                &statement, error, error_size);
    if (status == CACHE_OK) {
        sqlite3_bind_text(statement, 1, share, -1, SQLITE_STATIC);
        int result = sqlite3_step(statement);
        if (result == SQLITE_ROW)
            status = read_share(cache, statement, id, view, error, error_size);
        else if (result == SQLITE_DONE)
            status = no_share(error, error_size);
        else
            status = connection_failure(reader.db, cache->path, result, error, error_size);
        sqlite3_finalize(statement);
    }
    end_read(cache, &reader, status);
    return status;
}

enum cache_status cache_delete_share(struct cache *cache, const char *share, char *error, size_t error_size) {
    sqlite3_stmt *statement = NULL;
    bool any = false;
    enum cache_status status = begin_write(cache, error, error_size);
    if (status != CACHE_OK)
        return status;
    status = connection_prepare(cache->writer, cache->path, "DELETE FROM shares WHERE share = ?1", &statement, error, error_size);
    if (status == CACHE_OK) {
        sqlite3_bind_text(statement, 1, share, -1, SQLITE_STATIC);
        status = connection_finish(cache->writer, cache->path, statement, error, error_size);
        any = status == CACHE_OK && sqlite3_changes(cache->writer) > 0;
    }
    status = end_write(cache, status, error, error_size);
    return status == CACHE_OK && !any ? no_share(error, error_size) : status;
}
