-- Volumes that are made on arrays, the tasks of these, and snapshots.

ALTER TABLE one_volume ADD COLUMN array_id VARCHAR(36) NOT NULL DEFAULT '';
CREATE INDEX one_volume_by_array ON one_volume (array_name, array_id);
ALTER TABLE one_volume_operation ADD COLUMN task VARCHAR(4096) NOT NULL DEFAULT '';

-- Snapshots of volumes, kept by their arrays under our UUIDs.
CREATE TABLE one_volume_snapshot (
    oid      INTEGER      NOT NULL PRIMARY KEY,
    volume   INTEGER      NOT NULL,
    name     VARCHAR(128) NOT NULL,
    array_id VARCHAR(36)  NOT NULL,
    size     BIGINT       NOT NULL,
    uid      INTEGER      NOT NULL,
    gid      INTEGER      NOT NULL,
    uname    VARCHAR(128) NOT NULL,
    gname    VARCHAR(128) NOT NULL,
    regtime  BIGINT       NOT NULL,
    UNIQUE (volume, name)
);

INSERT INTO one_volume_control (name, value, detail) VALUES ('snapshot', 0, '');
