/* Digests of model files: see cache.h. */
#include "db/access.h"

#include <string.h>

static void bind_identity(sqlite3_stmt *statement, const struct file_identity *file) {
    sqlite3_bind_text(statement, 1, file->path, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, (int64_t)file->size);
    sqlite3_bind_int64(statement, 3, (int64_t)file->inode);
    sqlite3_bind_int64(statement, 4, (int64_t)file->device);
    sqlite3_bind_int64(statement, 5, file->modified_ns);
}

enum cache_status cache_get_digest(struct cache *cache, const struct file_identity *file, char digest[65]) {
    struct reader reader;
    sqlite3_stmt *statement = NULL;
    enum cache_status status = begin_read(cache, &reader, NULL, 0);
    if (status != CACHE_OK)
        return status;
    status = connection_prepare(reader.db, cache->path,
                                "SELECT digest FROM digests WHERE path = ?1 AND size = ?2 AND inode = ?3 AND device = ?4 AND "
                                "modified_ns = ?5",
                                &statement, NULL, 0);
    if (status == CACHE_OK) {
        bind_identity(statement, file);
        int result = sqlite3_step(statement);
        const char *found = result == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
        if (cache_is_digest(found))
            memcpy(digest, found, 65);
        else
            status = result == SQLITE_ROW || result == SQLITE_DONE
                         ? CACHE_MISS
                         : connection_failure(reader.db, cache->path, result, NULL, 0);
        sqlite3_finalize(statement);
    }
    end_read(cache, &reader, status);
    return status;
}

enum cache_status cache_put_digest(struct cache *cache, const struct file_identity *file, const char *digest) {
    sqlite3_stmt *statement = NULL;
    if (!cache_is_digest(digest))
        return CACHE_FAILED;
    enum cache_status status = begin_write(cache, NULL, 0);
    if (status != CACHE_OK)
        return status;
    status = connection_prepare(cache->writer, cache->path, "INSERT OR REPLACE INTO digests VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                                &statement, NULL, 0);
    if (status == CACHE_OK) {
        bind_identity(statement, file);
        sqlite3_bind_text(statement, 6, digest, -1, SQLITE_STATIC);
        status = connection_finish(cache->writer, cache->path, statement, NULL, 0);
    }
    return end_write(cache, status, NULL, 0);
}
