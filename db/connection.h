/*
 * connection.h: one SQLite connection to a cache file: whose file it is, making it, opening it, and what went wrong in
 * words. Private to db/.
 *
 * Threads   A connection is used by one thread at a time; opening and closing may happen on any.
 * Errors    As cache.h: a status, and one sentence that names the file, the problem and the cure.
 */
#ifndef HEADSCOPE_DB_CONNECTION_H
#define HEADSCOPE_DB_CONNECTION_H

#include "db/cache.h"

#include <sqlite3.h>
#include <sys/stat.h>

enum connection_kind {
    CONNECTION_WRITER, /* makes the file, its folders and its schema as needed, and switches it to WAL */
    CONNECTION_READER, /* never writes; the file must be there */
};

/* Opens the file at `path` (absolute). A file that is not ours is looked at, never written, locked or recovered. */
enum cache_status connection_open(const char *path, enum connection_kind kind, sqlite3 **db, char *error,
                                  size_t error_size);
void connection_close(sqlite3 *db); /* NULL is fine */

/* One statement of constant text, ready to bind; sqlite3_finalize takes it. */
enum cache_status connection_prepare(sqlite3 *db, const char *path, const char *sql, sqlite3_stmt **statement,
                                     char *error, size_t error_size);
/* Runs statements that return nothing. */
enum cache_status connection_run(sqlite3 *db, const char *path, const char *sql, char *error, size_t error_size);

/* Steps a statement that returns no rows, and finalizes it. */
enum cache_status connection_finish(sqlite3 *db, const char *path, sqlite3_stmt *statement, char *error, size_t error_size);

/* Empties the -wal file into the database. Does nothing while somebody reads from it; a later checkpoint does it then. */
void connection_forget_log(sqlite3 *db);

/* The status and the sentence for a result code of SQLite's (not OK, ROW or DONE) on this connection. */
enum cache_status connection_failure(sqlite3 *db, const char *path, int result, char *error, size_t error_size);

/* CACHE_CORRUPT, with what was found. */
enum cache_status connection_damaged(const char *path, const char *what, char *error, size_t error_size);

/* Size on disk, -wal included. */
uint64_t connection_file_bytes(const char *path);

/* What tells whether a path still leads to the same files: device and inode of the database and of its -wal (0: none). */
struct connection_files {
    dev_t device, wal_device;
    ino_t inode, wal_inode;
};
void connection_look(const char *path, struct connection_files *files);
/* Closes the connection to a database that is no longer at its path. What its -wal holds goes into the file, wherever that is
 * now, and the -wal does not stay behind for the next file of that name, into which SQLite would write it. */
void connection_abandon(sqlite3 *db, const char *path, const struct connection_files *files);
bool connection_same(const struct connection_files *a, const struct connection_files *b);

/* Formats the sentence (cut at error_size) and returns `status`. */
enum cache_status cache_fail(enum cache_status status, char *error, size_t error_size, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
