-- Commands in the journal, the audit, and the way of an operation.

ALTER TABLE one_volume_operation ADD COLUMN way VARCHAR(8) NOT NULL DEFAULT '';

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

INSERT INTO one_volume_control (name, value, detail) VALUES ('audit', 1, '');
