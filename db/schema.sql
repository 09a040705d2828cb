-- The cache of results, version 1. Embedded into the program and run once, in one transaction, on an empty file; then the files of
-- the later versions. A change of the schema adds such a file, which raises user_version, and a line in connection.c.

PRAGMA application_id = 0x68736370;  -- "hscp": the mark of our files; a file without it is never touched
PRAGMA user_version = 1;

-- One row an analysis: what lists, eviction and sums need, in rows so small that thousands are read in milliseconds.
CREATE TABLE analyses (
    sequence     INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice, so that list cursors stay valid
    id           TEXT    NOT NULL UNIQUE,            -- SHA-256 of the request, 64 hex digits
    model        TEXT    NOT NULL,                   -- model id as users write it
    model_digest TEXT    NOT NULL,                   -- SHA-256 of the model's files
    n_tokens     INTEGER NOT NULL,
    excerpt      TEXT    NOT NULL,                   -- start of the text
    seconds      REAL    NOT NULL,                   -- what the computation took
    created      INTEGER NOT NULL,                   -- Unix time, milliseconds
    used         INTEGER NOT NULL,                   -- last use, Unix time, microseconds
    size         INTEGER NOT NULL,                   -- bytes of its lines
    checksum     INTEGER NOT NULL                    -- of its lines and of all columns above but sequence and used
);

CREATE INDEX analyses_created ON analyses (created);    -- lists, newest first (ties by sequence)
CREATE INDEX analyses_used ON analyses (used, size);    -- eviction and the sum of sizes, without touching the rows

-- The results themselves, megabytes each, apart from the rows above.
CREATE TABLE lines (
    sequence INTEGER PRIMARY KEY,
    bytes    BLOB NOT NULL                              -- the streamed lines, byte for byte
);

-- However an analysis goes (eviction, delete, clear), its lines go with it.
CREATE TRIGGER analyses_gone AFTER DELETE ON analyses BEGIN
    DELETE FROM lines WHERE sequence = old.sequence;
END;

-- SHA-256 of model files, believed as long as nothing that identifies the file's content has changed.
CREATE TABLE digests (
    path        TEXT    PRIMARY KEY,
    size        INTEGER NOT NULL,
    inode       INTEGER NOT NULL,
    device      INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    digest      TEXT    NOT NULL
) WITHOUT ROWID;
