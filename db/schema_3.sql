-- What version 3 adds to version 2: run on new files and on those of version 2.

PRAGMA user_version = 3;

-- What the probes of a model have found, as far as they have come.
CREATE TABLE probes (
    model_digest TEXT    NOT NULL,
    probe        TEXT    NOT NULL,                      -- its name
    version      INTEGER NOT NULL,                      -- of its protocol; a newer one takes the place of the older
    steps        INTEGER NOT NULL,                      -- how many have been run
    checksum     INTEGER NOT NULL,                      -- of the bytes and of all columns above
    bytes        BLOB    NOT NULL,
    PRIMARY KEY (model_digest, probe)
);
