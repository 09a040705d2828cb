-- What version 2 adds to version 1: run on new files and on those of version 1.

PRAGMA user_version = 2;

-- Links that can be given away and taken back. They end with their analysis, however that goes.
CREATE TABLE shares (
    share    TEXT    PRIMARY KEY,   -- 128 random bits, 32 hex digits
    sequence INTEGER NOT NULL,      -- of the analysis
    view     TEXT    NOT NULL,      -- JSON: how it was looked at
    created  INTEGER NOT NULL       -- Unix time, milliseconds
) WITHOUT ROWID;

CREATE INDEX shares_sequence ON shares (sequence);

CREATE TRIGGER shares_gone AFTER DELETE ON analyses BEGIN
    DELETE FROM shares WHERE sequence = old.sequence;
END;
