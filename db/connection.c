#include "db/connection.h"

#include "schema.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SCHEMA_VERSION 3
#define APPLICATION_ID "hscp"
#define BUSY_MS 3000      /* how long to wait for another program before giving up */
#define HEADER_SIZE 100   /* of every SQLite file; www.sqlite.org/fileformat.html, 1.3 */

/* page_size: entries are megabytes, and 16 KiB pages read them twice as fast as 4 KiB ones.
 * secure_delete: what the user deletes is overwritten, not just unlinked. */
static const char new_file_sql[] = "PRAGMA page_size = 16384";
static const char writer_sql[] =
    "PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON; PRAGMA journal_size_limit = 16777216;"
    "PRAGMA recursive_triggers = ON;";
static const char common_sql[] =
    "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192;";

enum cache_status cache_fail(enum cache_status status, char *error, size_t error_size, const char *format, ...) {
    if (error_size > 0) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error, error_size, format, arguments);
        va_end(arguments);
    }
    return status;
}

enum cache_status connection_damaged(const char *path, const char *what, char *error, size_t error_size) {
    return cache_fail(CACHE_CORRUPT, error, error_size,
                      "the cache %s is damaged (%s): stop headscope and move the file aside, with its -wal and -shm if they are "
                      "there; the next start makes a new one",
                      path, what);
}

/* Failures that the operating system names better than SQLite does. */
static enum cache_status fail_errno(const char *path, const char *doing, int code, char *error, size_t error_size) {
    switch (code) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return cache_fail(CACHE_FULL, error, error_size,
                          "no room to write the cache %s (%s): free some, lower --cache-max, or keep it elsewhere with --cache", path,
                          strerror(code));
    case EACCES:
    case EPERM:
    case EROFS:
        return cache_fail(CACHE_READ_ONLY, error, error_size,
                          "cannot %s the cache %s (%s): make the file and its folder writable, or keep it elsewhere with --cache",
                          doing, path, strerror(code));
    case ENOMEM:
        return cache_fail(CACHE_NO_MEMORY, error, error_size, "not enough memory to use the cache %s: close other programs", path);
    default:
        return cache_fail(CACHE_FAILED, error, error_size,
                          "cannot %s the cache %s (%s): check its folder and disk, or keep it elsewhere with --cache", doing, path,
                          strerror(code));
    }
}

/* Why a write failed: SQLite keeps the reason with the file, and overwrites its own errno while it cleans up. */
static int write_error(sqlite3 *db) {
    const int files[] = {SQLITE_FCNTL_JOURNAL_POINTER, SQLITE_FCNTL_FILE_POINTER};
    for (size_t i = 0; db && i < sizeof files / sizeof *files; i++) {
        sqlite3_file *file = NULL;
        int code = 0;
        if (sqlite3_file_control(db, "main", files[i], &file) == SQLITE_OK && file && file->pMethods &&
            file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &code) == SQLITE_OK && code)
            return code;
    }
    return 0;
}

enum cache_status connection_failure(sqlite3 *db, const char *path, int result, char *error, size_t error_size) {
    int code = db ? sqlite3_system_errno(db) : 0;
    switch (result & 0xff) {
    case SQLITE_NOMEM:
        return fail_errno(path, "use", ENOMEM, error, error_size);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return cache_fail(CACHE_LOCKED, error, error_size,
                          "another program holds the cache %s: wait for it, close it, or use another file with --cache", path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return connection_damaged(path, sqlite3_errstr(result), error, error_size);
    case SQLITE_FULL:
        return fail_errno(path, "write", ENOSPC, error, error_size);
    case SQLITE_TOOBIG:
        return cache_fail(CACHE_FULL, error, error_size, "an entry of more than 1 GB cannot be kept in the cache %s: shorten the text",
                          path);
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return fail_errno(path, "write", EACCES, error, error_size);
    case SQLITE_CANTOPEN:
        return fail_errno(path, "open", code ? code : ENOENT, error, error_size);
    case SQLITE_IOERR:
        if (result == SQLITE_IOERR_NOMEM)
            return fail_errno(path, "use", ENOMEM, error, error_size);
        if (result == SQLITE_IOERR_SHORT_READ || result == SQLITE_IOERR_CORRUPTFS)
            return connection_damaged(path, sqlite3_errstr(result), error, error_size);
        if (result == SQLITE_IOERR_WRITE || result == SQLITE_IOERR_FSYNC || result == SQLITE_IOERR_TRUNCATE)
            code = write_error(db);
        return fail_errno(path, "read or write", code ? code : EIO, error, error_size);
    default:
        return cache_fail(CACHE_FAILED, error, error_size,
                          "the cache %s failed (%s): move it aside, or use another file with --cache", path,
                          db ? sqlite3_errmsg(db) : sqlite3_errstr(result));
    }
}

enum cache_status connection_prepare(sqlite3 *db, const char *path, const char *sql, sqlite3_stmt **statement, char *error,
                                     size_t error_size) {
    int result = sqlite3_prepare_v2(db, sql, -1, statement, NULL);
    return result == SQLITE_OK ? CACHE_OK : connection_failure(db, path, result, error, error_size);
}

enum cache_status connection_run(sqlite3 *db, const char *path, const char *sql, char *error, size_t error_size) {
    int result = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return result == SQLITE_OK ? CACHE_OK : connection_failure(db, path, result, error, error_size);
}

enum cache_status connection_finish(sqlite3 *db, const char *path, sqlite3_stmt *statement, char *error, size_t error_size) {
    int result = sqlite3_step(statement);
    enum cache_status status = result == SQLITE_DONE ? CACHE_OK : connection_failure(db, path, result, error, error_size);
    sqlite3_finalize(statement);
    return status;
}

void connection_forget_log(sqlite3 *db) {
    sqlite3_busy_timeout(db, 0);
    sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    sqlite3_busy_timeout(db, BUSY_MS);
}

/* Without allocation: must not fail for want of memory. */
static bool look_beside(const char *path, const char *suffix, struct stat *st) {
    char name[PATH_MAX + 8];
    return (size_t)snprintf(name, sizeof name, "%s%s", path, suffix) < sizeof name && stat(name, st) == 0;
}

void connection_look(const char *path, struct connection_files *files) {
    struct stat st;
    memset(files, 0, sizeof *files);
    if (look_beside(path, "", &st)) {
        files->device = st.st_dev;
        files->inode = st.st_ino;
    }
    if (look_beside(path, "-wal", &st)) {
        files->wal_device = st.st_dev;
        files->wal_inode = st.st_ino;
    }
}

bool connection_same(const struct connection_files *a, const struct connection_files *b) {
    return a->device == b->device && a->inode == b->inode && a->wal_device == b->wal_device && a->wal_inode == b->wal_inode;
}

void connection_abandon(sqlite3 *db, const char *path, const struct connection_files *files) {
    struct connection_files now;
    char name[PATH_MAX + 8];
    connection_look(path, &now);
    bool moved = files->device != now.device || files->inode != now.inode;
    bool ours = files->wal_inode && files->wal_device == now.wal_device && files->wal_inode == now.wal_inode;
    if (moved)
        connection_forget_log(db);
    connection_close(db);
    if (moved && ours && (size_t)snprintf(name, sizeof name, "%s-wal", path) < sizeof name) {
        unlink(name);
        snprintf(name, sizeof name, "%s-shm", path);
        unlink(name);
    }
}

uint64_t connection_file_bytes(const char *path) {
    struct stat st;
    uint64_t bytes = look_beside(path, "", &st) ? (uint64_t)st.st_size : 0;
    return bytes + (look_beside(path, "-wal", &st) ? (uint64_t)st.st_size : 0);
}

/* ---- files and folders -------------------------------------------------------------------------------------- */

/* Makes the folders above `path`, each 0700 whatever the umask. `path` is absolute; it is written to and restored. */
static int make_folders(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int failed = mkdir(path, 0700) == 0 ? chmod(path, 0700) : (errno == EEXIST ? 0 : -1);
        int code = errno;
        /* A folder that is there may answer EROFS or EACCES instead of EEXIST. */
        if (failed && access(path, F_OK) == 0)
            failed = 0;
        *slash = '/';
        if (failed)
            return code;
    }
    return 0;
}

/* Makes an empty file, readable by its owner alone from the start. Leaves one that is there as it is. */
static enum cache_status make_file(const char *path, char *error, size_t error_size) {
    struct stat st;
    if (stat(path, &st) == 0) {
        if (S_ISREG(st.st_mode))
            return CACHE_OK;
        return cache_fail(CACHE_FOREIGN, error, error_size, "%s is not a file: name another for the cache with --cache", path);
    }
    char *copy = strdup(path);
    if (!copy)
        return fail_errno(path, "use", ENOMEM, error, error_size);
    int code = make_folders(copy);
    free(copy);
    if (code)
        return fail_errno(path, "make the folder of", code, error, error_size);
    int file = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return errno == EEXIST ? CACHE_OK : fail_errno(path, "create", errno, error, error_size);
    code = fchmod(file, 0600) == 0 ? 0 : errno; /* an odd umask may have taken even the owner's bits */
    close(file);
    return code ? fail_errno(path, "create", code, error, error_size) : CACHE_OK;
}

/* Looks at the file's first bytes through the handle that SQLite has just opened but not used (a handle of our own would
 * drop this process' locks when closed). */
static enum cache_status examine(sqlite3 *db, const char *path, bool *fresh, char *error, size_t error_size) {
    sqlite3_file *file = NULL;
    sqlite3_int64 size = 0;
    unsigned char header[HEADER_SIZE] = {0};
    int result = sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);
    if (result == SQLITE_OK && (!file || !file->pMethods))
        result = SQLITE_CANTOPEN;
    if (result == SQLITE_OK)
        result = file->pMethods->xFileSize(file, &size);
    if (result == SQLITE_OK && size >= HEADER_SIZE)
        result = file->pMethods->xRead(file, header, sizeof header, 0);
    if (result != SQLITE_OK)
        return connection_failure(db, path, result, error, error_size);
    *fresh = size == 0;
    if (*fresh)
        return CACHE_OK;
    if (memcmp(header, "SQLite format 3", 16) != 0 || memcmp(header + 68, APPLICATION_ID, 4) != 0)
        return cache_fail(CACHE_FOREIGN, error, error_size,
                          "%s is not a headscope cache, and is left as it is: name another file with --cache", path);
    int32_t version = (int32_t)((uint32_t)header[60] << 24 | (uint32_t)header[61] << 16 | (uint32_t)header[62] << 8 | header[63]);
    if (version > SCHEMA_VERSION)
        return cache_fail(CACHE_NEWER, error, error_size,
                          "the cache %s was written by a newer headscope (schema %d, this one knows %d): update headscope, or use "
                          "another file with --cache",
                          path, (int)version, SCHEMA_VERSION);
    return CACHE_OK;
}

/* ---- schema ------------------------------------------------------------------------------------------------- */

/* The one value of a statement: an integer, or whether a text equals `text`. */
static enum cache_status ask(sqlite3 *db, const char *path, const char *sql, const char *text, int *value, char *error,
                             size_t error_size) {
    sqlite3_stmt *statement = NULL;
    int result = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    if (result == SQLITE_ROW) {
        const char *found = text ? (const char *)sqlite3_column_text(statement, 0) : NULL;
        *value = text ? found && strcmp(found, text) == 0 : sqlite3_column_int(statement, 0);
    }
    enum cache_status status = result == SQLITE_ROW ? CACHE_OK : connection_failure(db, path, result, error, error_size);
    sqlite3_finalize(statement);
    return status;
}

/* Of a new file, or of one of an earlier version: all or nothing, and once, however many programs start at the same time. */
static enum cache_status make_schema(sqlite3 *db, const char *path, bool fresh, char *error, size_t error_size) {
    static const char *const steps[SCHEMA_VERSION] = {schema_sql, schema_2_sql, schema_3_sql}; /* from the version to the next */
    int version = 0;
    enum cache_status status = fresh ? connection_run(db, path, new_file_sql, error, error_size) : CACHE_OK;
    if (status == CACHE_OK)
        status = connection_run(db, path, "BEGIN EXCLUSIVE", error, error_size);
    if (status == CACHE_OK)
        status = ask(db, path, "PRAGMA user_version", NULL, &version, error, error_size);
    for (; status == CACHE_OK && version >= 0 && version < SCHEMA_VERSION && (fresh || version > 0); version++)
        status = connection_run(db, path, steps[version], error, error_size);
    if (status == CACHE_OK)
        status = connection_run(db, path, "COMMIT", error, error_size);
    if (status != CACHE_OK && !sqlite3_get_autocommit(db))
        sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

/* WAL lets readers go on while one writes. Changing to it needs the file alone for a moment, and SQLite does not wait for
 * that by itself. Where it cannot be had (no shared memory on that file system) the file works without, readers waiting. */
static enum cache_status use_wal(sqlite3 *db, const char *path, char *error, size_t error_size) {
    const struct timespec pause = {.tv_nsec = 10 * 1000000};
    int is_wal = 0;
    for (int waited_ms = 0;; waited_ms += 10) {
        enum cache_status status = ask(db, path, "PRAGMA journal_mode = WAL", "wal", &is_wal, error, error_size);
        if (status != CACHE_LOCKED || waited_ms >= BUSY_MS)
            return status;
        nanosleep(&pause, NULL);
    }
}

static enum cache_status set_up(sqlite3 *db, const char *path, enum connection_kind kind, char *error, size_t error_size) {
    bool fresh = false;
    int version = 0;
    enum cache_status status = examine(db, path, &fresh, error, error_size);
    if (status != CACHE_OK)
        return status;
    sqlite3_busy_timeout(db, BUSY_MS);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    status = connection_run(db, path, common_sql, error, error_size);
    if (status == CACHE_OK && kind == CONNECTION_WRITER) {
        bool writable = sqlite3_db_readonly(db, "main") == 0;
        if (fresh && !writable)
            return connection_failure(db, path, SQLITE_READONLY, error, error_size);
        if (!fresh && writable)
            status = ask(db, path, "PRAGMA user_version", NULL, &version, error, error_size);
        if (status == CACHE_OK && (fresh || (writable && version > 0 && version < SCHEMA_VERSION)))
            status = make_schema(db, path, fresh, error, error_size);
        if (status == CACHE_OK && writable)
            status = use_wal(db, path, error, error_size);
        if (status == CACHE_OK)
            status = connection_run(db, path, writer_sql, error, error_size);
    }
    if (status == CACHE_OK)
        status = ask(db, path, "PRAGMA user_version", NULL, &version, error, error_size);
    if (status != CACHE_OK)
        return status;
    if (version > SCHEMA_VERSION)
        return cache_fail(CACHE_NEWER, error, error_size,
                          "the cache %s was written by a newer headscope (schema %d, this one knows %d): update headscope, or use "
                          "another file with --cache",
                          path, version, SCHEMA_VERSION);
    if (version < 1)
        return connection_damaged(path, "it has no schema", error, error_size);
    return ask(db, path, "SELECT count(*) FROM sqlite_schema", NULL, &version, error, error_size);
}

enum cache_status connection_open(const char *path, enum connection_kind kind, sqlite3 **db, char *error, size_t error_size) {
    enum cache_status status = kind == CONNECTION_WRITER ? make_file(path, error, error_size) : CACHE_OK;
    if (status != CACHE_OK)
        return status;
    sqlite3 *opened = NULL;
    int flags = (kind == CONNECTION_WRITER ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY) | SQLITE_OPEN_NOMUTEX |
                SQLITE_OPEN_EXRESCODE;
    int result = sqlite3_open_v2(path, &opened, flags, NULL);
    if (result != SQLITE_OK)
        status = connection_failure(opened, path, result, error, error_size);
    else
        status = set_up(opened, path, kind, error, error_size);
    if (status == CACHE_OK)
        *db = opened;
    else
        connection_close(opened);
    return status;
}

void connection_close(sqlite3 *db) {
    sqlite3_close_v2(db);
}
