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
