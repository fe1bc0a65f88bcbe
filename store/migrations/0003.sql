-- Locks, and volumes that are kept from being attached.

ALTER TABLE one_volume ADD COLUMN lock_level INTEGER NOT NULL DEFAULT 0;
ALTER TABLE one_volume ADD COLUMN lock_uid INTEGER NOT NULL DEFAULT -1;
ALTER TABLE one_volume ADD COLUMN lock_time BIGINT NOT NULL DEFAULT 0;
ALTER TABLE one_volume ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0;
