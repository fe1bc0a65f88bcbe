# Sourced by lab on top of build.bash: makes the storage host and its initiator, which boot from one root.

# In both of them.
array_packages=(
    openssh-server sudo open-iscsi lvm2 thin-provisioning-tools python3-rtslib-fb targetcli-fb tgt dbus udev kmod
    iproute2 procps e2fsprogs util-linux
)
build_inputs=(build.bash array.bash node-init array/node-boot)

build_into() {
    local out=$1 root=$1/rootfs
    mkdir "$out/deb" "$root" "$out/keys"
    fetch_node_kernel "$out/deb/uml" "$out"
    say "kernel unpacked"
    node_root "$root" "${array_packages[@]}"
    say "packages of the storage host installed"
    make_keys "$out/keys" 4 5
    mkdir -p "$root/lab/hostkeys" "$root/lib/modules"
    mv "$out/deb/uml/usr/lib/uml/modules"/* "$root/lib/modules/"
    chroot "$root" depmod "$(ls "$root/lib/modules")"
    install -m 755 "$here/node-init" "$here/array/node-boot" "$root/lab/"
    rm -f "$root"/etc/ssh/ssh_host_*
    cp -r "$out/keys/host04" "$out/keys/host05" "$root/lab/hostkeys/"
    cp "$out/keys/known_hosts" "$root/etc/ssh/ssh_known_hosts"
    printf '127.0.0.1 localhost\n10.77.0.14 host04\n10.77.0.15 host05\n' >"$root/etc/hosts"
    chroot "$root" groupadd -f libvirt # which the users' groups name
    node_users "$root"
    array_config "$root"
    rm -rf "$out/deb"
}

# array_config ROOT: oneadmin may do all there, as a driver of an array has to.
array_config() {
    local root=$1 n
    echo 'oneadmin ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/array"
    chmod 440 "$root/etc/sudoers.d/array"
    printf 'UseDNS no\nGSSAPIAuthentication no\nUsePAM no\n' >"$root/etc/ssh/sshd_config.d/lab.conf"
    # LVM does not know the disks of User-Mode Linux
    mkdir -p "$root/etc/lvm" "$root/etc/rtslib-fb-target" "$root/etc/tgt/conf.d" "$root/etc/iscsi/ifaces" "$root/keep"
    sed -i '/^devices {/a\	types = [ "ubd", 16 ]' "$root/etc/lvm/lvm.conf"
    # Each volume that comes or goes would start a dozen processes: those remain by which udev and LVM tell each other
    # that a device is there.
    sed -i '/^activation {/a\	monitoring = 0' "$root/etc/lvm/lvm.conf"
    find "$root/lib/udev/rules.d" -type f ! -name '*-dm.rules' ! -name '*-lvm.rules' ! -name '*-dm-notify.rules' \
        ! -name 50-udev-default.rules -delete
    rm "$root/lib/udev/rules.d/60-persistent-storage-dm.rules" "$root/lib/udev/rules.d/69-lvm.rules"
    # the initiator logs in by either of two names
    for n in 1 2; do
        printf 'iface.iscsi_ifacename = name%s\niface.transport_name = tcp\niface.initiatorname = iqn.2026-11.lab.onevolume:initiator%s\n' \
            $n $n >"$root/etc/iscsi/ifaces/name$n"
    done
}
