-- Locks, volumes that are kept from being attached, quotas, and VMs that show
-- their volumes.

ALTER TABLE one_volume ADD COLUMN lock_level INTEGER NOT NULL DEFAULT 0;
ALTER TABLE one_volume ADD COLUMN lock_uid INTEGER NOT NULL DEFAULT -1;
ALTER TABLE one_volume ADD COLUMN lock_time BIGINT NOT NULL DEFAULT 0;
ALTER TABLE one_volume ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0;

-- What a user or a group owns is added up from these alone.
CREATE INDEX one_volume_by_owner ON one_volume (uid, size);
CREATE INDEX one_volume_by_group ON one_volume (gid, size);

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
