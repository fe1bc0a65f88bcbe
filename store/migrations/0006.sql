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
