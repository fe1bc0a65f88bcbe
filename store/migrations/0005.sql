-- What changed, for those who are told of it.

CREATE TABLE one_volume_event (
    oid         INTEGER      NOT NULL PRIMARY KEY,
    time        BIGINT       NOT NULL,
    volume      INTEGER      NOT NULL,
    name        VARCHAR(128) NOT NULL,
    deleted     INTEGER      NOT NULL,
    status      VARCHAR(16)  NOT NULL,
    reason      TEXT         NOT NULL,
    vm_id       INTEGER      NOT NULL,
    host        VARCHAR(255) NOT NULL,
    uid         INTEGER      NOT NULL,
    gid         INTEGER      NOT NULL,
    permissions INTEGER      NOT NULL,
    operation   INTEGER      NOT NULL,
    kind        VARCHAR(16)  NOT NULL,
    op_status   VARCHAR(16)  NOT NULL,
    by_uid      INTEGER      NOT NULL
);

INSERT INTO one_volume_control (name, value, detail) VALUES ('event', 1, '');

-- Lists of few volumes among many are found in indexes.

ALTER TABLE one_volume ADD COLUMN group_use INTEGER NOT NULL DEFAULT 0;
ALTER TABLE one_volume ADD COLUMN others_use INTEGER NOT NULL DEFAULT 0;
UPDATE one_volume SET group_use = 1 WHERE (permissions & 32) <> 0 AND group_use = 0;
UPDATE one_volume SET others_use = 1 WHERE (permissions & 4) <> 0 AND others_use = 0;
CREATE INDEX one_volume_by_uid ON one_volume (uid, oid, size);
CREATE INDEX one_volume_by_gid ON one_volume (gid, group_use, oid, size);
CREATE INDEX one_volume_by_others ON one_volume (others_use, oid);
DROP INDEX IF EXISTS one_volume_by_owner ON one_volume;
DROP INDEX IF EXISTS one_volume_by_group ON one_volume;
