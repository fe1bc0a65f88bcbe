-- The whole schema of onevolume's inventory. One file for SQLite and MariaDB:
-- only types and words that both know, statements end with a semicolon at the
-- end of a line, and what one of them alone wants (MariaDB's character set and
-- engine) is added by package store. Times are milliseconds since 1970, UTC.
--
-- Whoever changes this file raises SchemaVersion in schema.go and adds a
-- migration for older databases (store/migrations/README.md).

CREATE TABLE one_volume_control (
    name   VARCHAR(32) NOT NULL PRIMARY KEY,
    value  BIGINT      NOT NULL,
    detail TEXT        NOT NULL
);

CREATE TABLE one_volume (
    oid          INTEGER      NOT NULL PRIMARY KEY,
    name         VARCHAR(128) NOT NULL,
    -- What the name was before a volume of the same name stood in its new
    -- owner's way; empty when nothing did.
    home_name    VARCHAR(128) NOT NULL,

    iqn            VARCHAR(223) NOT NULL,
    lun            INTEGER      NOT NULL,
    portals        TEXT         NOT NULL,
    chap_user      VARCHAR(255) NOT NULL,
    chap_secret    TEXT         NOT NULL,
    chap_user_in   VARCHAR(255) NOT NULL,
    chap_secret_in TEXT         NOT NULL,

    size        BIGINT       NOT NULL,
    unit_serial VARCHAR(255) NOT NULL,
    wwid        VARCHAR(255) NOT NULL,
    array_name  VARCHAR(128) NOT NULL,

    status VARCHAR(16) NOT NULL,
    reason TEXT        NOT NULL,

    uid         INTEGER      NOT NULL,
    gid         INTEGER      NOT NULL,
    uname       VARCHAR(128) NOT NULL,
    gname       VARCHAR(128) NOT NULL,
    home_uid    INTEGER      NOT NULL,
    home_gid    INTEGER      NOT NULL,
    home_uname  VARCHAR(128) NOT NULL,
    home_gname  VARCHAR(128) NOT NULL,
    permissions INTEGER      NOT NULL,

    vm_id  INTEGER      NOT NULL,
    host   VARCHAR(255) NOT NULL,
    device VARCHAR(64)  NOT NULL,
    source TEXT         NOT NULL,
    serial VARCHAR(64)  NOT NULL,

    attributes MEDIUMTEXT NOT NULL,
    operation  INTEGER    NOT NULL,
    regtime    BIGINT     NOT NULL,
    modtime    BIGINT     NOT NULL,
    version    INTEGER    NOT NULL,

    -- A lock of oned's kind: 1 USE, 2 MANAGE, 3 ADMIN, 0 none.
    lock_level INTEGER NOT NULL DEFAULT 0,
    lock_uid   INTEGER NOT NULL DEFAULT -1,
    lock_time  BIGINT  NOT NULL DEFAULT 0,
    -- 1: an administrator keeps it from being attached.
    disabled   INTEGER NOT NULL DEFAULT 0,
    -- Our UUID of a volume that we made on its array; empty for others.
    array_id   VARCHAR(36) NOT NULL DEFAULT '',
    -- 1: the permissions let the group, or others, USE it. Indexes know no bits.
    group_use  INTEGER NOT NULL DEFAULT 0,
    others_use INTEGER NOT NULL DEFAULT 0,

    UNIQUE (iqn, lun),
    UNIQUE (uid, name)
);

-- Picking by size walks this index; pages of the list walk the primary key.
CREATE INDEX one_volume_by_size ON one_volume (status, size, oid);
CREATE INDEX one_volume_by_vm ON one_volume (vm_id);
CREATE INDEX one_volume_by_name ON one_volume (name);
-- A list walks these for what its reader owns, what a group may USE, and what
-- all may. What a user or a group owns is added up from them alone.
CREATE INDEX one_volume_by_uid ON one_volume (uid, oid, size);
CREATE INDEX one_volume_by_gid ON one_volume (gid, group_use, oid, size);
CREATE INDEX one_volume_by_others ON one_volume (others_use, oid);
CREATE INDEX one_volume_by_array ON one_volume (array_name, array_id);

CREATE TABLE one_volume_operation (
    oid    INTEGER     NOT NULL PRIMARY KEY,
    kind   VARCHAR(16) NOT NULL,
    volume INTEGER     NOT NULL,
    -- The volume while the operation is RUNNING, else NULL. Any number of
    -- NULLs may stand in a unique column, so this lets a volume have many
    -- operations and one that runs.
    running_volume INTEGER UNIQUE,

    vm_id         INTEGER      NOT NULL,
    vm_name       VARCHAR(255) NOT NULL,
    vm_host       VARCHAR(255) NOT NULL,
    vm_hypervisor VARCHAR(64)  NOT NULL,
    vm_deploy_id  VARCHAR(255) NOT NULL,
    vm_uid        INTEGER      NOT NULL,
    vm_gid        INTEGER      NOT NULL,
    vm_uname      VARCHAR(128) NOT NULL,
    vm_gname      VARCHAR(128) NOT NULL,
    vm_running    INTEGER      NOT NULL,

    leaving VARCHAR(16) NOT NULL,
    status  VARCHAR(16) NOT NULL,
    prior   VARCHAR(16) NOT NULL,

    by_uid   INTEGER      NOT NULL,
    by_gid   INTEGER      NOT NULL,
    by_uname VARCHAR(128) NOT NULL,
    by_gname VARCHAR(128) NOT NULL,

    owner      VARCHAR(255) NOT NULL,
    generation INTEGER      NOT NULL,
    lease      BIGINT       NOT NULL,
    -- How long the lease is from each word of the owner, in milliseconds.
    term       BIGINT       NOT NULL,
    started    BIGINT       NOT NULL,
    ended      BIGINT       NOT NULL,
    error      MEDIUMTEXT   NOT NULL,
    -- How many entries the journal has; what gives each its number.
    journal    INTEGER      NOT NULL,
    -- Which way an administrator had it carried on: forward, back or neither.
    way        VARCHAR(8)   NOT NULL DEFAULT '',
    -- What an array is to do, or where a migration goes, as JSON; else empty.
    task       VARCHAR(4096) NOT NULL DEFAULT ''
);

CREATE INDEX one_volume_operation_by_lease ON one_volume_operation (status, lease);
CREATE INDEX one_volume_operation_by_volume ON one_volume_operation (volume);

CREATE TABLE one_volume_journal (
    op         INTEGER      NOT NULL,
    seq        INTEGER      NOT NULL,
    step       VARCHAR(128) NOT NULL,
    event      VARCHAR(16)  NOT NULL,
    time       BIGINT       NOT NULL,
    generation INTEGER      NOT NULL,
    owner      VARCHAR(255) NOT NULL,
    detail     MEDIUMTEXT   NOT NULL,
    PRIMARY KEY (op, seq),
    FOREIGN KEY (op) REFERENCES one_volume_operation (oid)
);

-- What was run on hosts before the entry of the journal was written, and how
-- long it took, in microseconds.
CREATE TABLE one_volume_command (
    op      INTEGER      NOT NULL,
    seq     INTEGER      NOT NULL,
    n       INTEGER      NOT NULL,
    host    VARCHAR(255) NOT NULL,
    command MEDIUMTEXT   NOT NULL,
    started BIGINT       NOT NULL,
    took    BIGINT       NOT NULL,
    code    INTEGER      NOT NULL,
    stderr  TEXT         NOT NULL,
    error   TEXT         NOT NULL,
    PRIMARY KEY (op, seq, n)
);

-- Who asked for what, and what came of it. Rows are only ever added.
CREATE TABLE one_volume_audit (
    oid       INTEGER      NOT NULL PRIMARY KEY,
    time      BIGINT       NOT NULL,
    uid       INTEGER      NOT NULL,
    gid       INTEGER      NOT NULL,
    uname     VARCHAR(128) NOT NULL,
    gname     VARCHAR(128) NOT NULL,
    origin    VARCHAR(255) NOT NULL,
    action    VARCHAR(32)  NOT NULL,
    request   TEXT         NOT NULL,
    volume    INTEGER      NOT NULL,
    vm_id     INTEGER      NOT NULL,
    operation INTEGER      NOT NULL,
    result    TEXT         NOT NULL
);

CREATE INDEX one_volume_audit_by_volume ON one_volume_audit (volume, oid);
CREATE INDEX one_volume_audit_by_vm ON one_volume_audit (vm_id, oid);
CREATE INDEX one_volume_audit_by_user ON one_volume_audit (uid, oid);

-- How many volumes of which size in MB together a USER or a GROUP may own; oid
-- is theirs, or -1 for those who have no limits of their own. Limits are
-- oned's: -1 the default, -2 none. Rows are never deleted: whoever gives a
-- volume to an owner with limits writes the version first, and others who do
-- so wait.
CREATE TABLE one_volume_quota (
    kind    VARCHAR(8) NOT NULL,
    oid     INTEGER    NOT NULL,
    volumes BIGINT     NOT NULL,
    size    BIGINT     NOT NULL,
    version INTEGER    NOT NULL,
    PRIMARY KEY (kind, oid)
);

-- VMs whose USER_TEMPLATE in OpenNebula shows their volumes, or may.
CREATE TABLE one_volume_label (
    vm_id INTEGER NOT NULL PRIMARY KEY
);

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

-- What changed, for those who are told of it: the newest some thousand. A row is
-- written in the transaction that makes the change; ids have no gap, and come in
-- the order of the commits.
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

-- Hosts that were cut off from volumes, until they are clean of them.
CREATE TABLE one_volume_fence (
    host          VARCHAR(255) NOT NULL,
    volume        INTEGER      NOT NULL,
    time          BIGINT       NOT NULL,
    operation     INTEGER      NOT NULL,
    vm_id         INTEGER      NOT NULL,
    vm_hypervisor VARCHAR(64)  NOT NULL,
    vm_deploy_id  VARCHAR(255) NOT NULL,
    iqn           VARCHAR(223) NOT NULL,
    lun           INTEGER      NOT NULL,
    portals       TEXT         NOT NULL,
    source        TEXT         NOT NULL,
    PRIMARY KEY (host, volume)
);

-- The next id of each table. An id is never used again. The schema's version
-- comes last: a database without it is not finished.
INSERT INTO one_volume_control (name, value, detail) VALUES ('volume', 0, '');
INSERT INTO one_volume_control (name, value, detail) VALUES ('operation', 1, '');
INSERT INTO one_volume_control (name, value, detail) VALUES ('audit', 1, '');
INSERT INTO one_volume_control (name, value, detail) VALUES ('snapshot', 0, '');
INSERT INTO one_volume_control (name, value, detail) VALUES ('event', 1, '');
INSERT INTO one_volume_control (name, value, detail) VALUES ('schema', 6, '');
