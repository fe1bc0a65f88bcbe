# Sourced by lab: makes what the nodes and guests boot from, out of Debian packages, into the cache.

# On this machine.
tools=(mmdebstrap patchelf tgt cpio kmod lz4 iproute2 openssh-client procps util-linux)
# In the nodes.
node_packages=(
    openssh-server sudo open-iscsi libvirt-daemon-system libvirt-clients qemu-system-x86 lvm2 udev kmod
    iproute2 procps netcat-openbsd xfsprogs e2fsprogs util-linux
)
suite=bookworm
# Their kernel is newer than they are: since Linux 6.16 the processes of User-Mode Linux ask their kernel by a signal
# and a futex instead of being traced, which is three times as fast.
kernel_suite=forky

# Everything that goes into the cache; the files the lab only reads at run time are not among them.
build_inputs=(build.bash node-init node-boot node-config guest-init)

cache_root=${ONEVOLUME_LAB_CACHE:-/var/cache/onevolume-lab}

# use_cache: sets cache, the directory for what the lab's kind of hosts boots from. A lab that is up keeps its own.
use_cache() {
    cache=$(cat "$run/cache" 2>/dev/null) && return
    local inputs=("${build_inputs[@]}") prefix=
    if [ "$kind" = xen ]; then inputs=("${xen_inputs[@]}") prefix=xen-; fi
    cache=$cache_root/$prefix$(cd "$here" && sha256sum "${inputs[@]}" | sha256sum | cut -c1-16)
}

build() {
    need_root
    if [ "$kind" = xen ]; then install_tools "${tools[@]}" "${xen_tools[@]}"; else install_tools "${tools[@]}"; fi
    [ ! -d "$cache" ] || { say "built: $cache"; return; }
    mkdir -p "$cache_root"
    exec 8>"$cache_root/$kind.lock"
    flock -w 900 8 || die "another build has held $cache_root/$kind.lock for 15 minutes"
    [ ! -d "$cache" ] || { say "built meanwhile: $cache"; return; }
    # We hold the lock, so any temporary directory is of a build that was killed.
    rm -rf "$cache_root/$kind".tmp.*
    work=$(mktemp -d "$cache_root/$kind.tmp.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    umask 022
    chmod 755 "$work"
    if [ "$kind" = xen ]; then build_xen_into "$work"; else build_into "$work"; fi
    mv -T "$work" "$cache"
    trap - EXIT
    exec 8>&-
    say "built: $cache ($(du -sh "$cache" | cut -f1))"
}

build_into() {
    local out=$1
    mkdir "$out/deb" "$out/guest" "$out/rootfs" "$out/keys"
    fetch_guest "$out/deb"
    fetch_node_kernel "$out/deb/uml" "$out"
    say "kernels unpacked"
    guest_kernel "$out/deb/guest/boot"/vmlinuz-* "$out/guest/vmlinux"
    guest_initrd "$out/deb" "$out/guest/initrd.gz"
    say "guest made"
    node_root "$out/rootfs" "${node_packages[@]}"
    say "node packages installed"
    make_keys "$out/keys" 1 2
    node_files "$out"
    node_users "$out/rootfs" 17 18
    node_config "$out/rootfs"
    rm -rf "$out/deb"
}

# install_tools PACKAGE...: those that are missing; one build at a time.
install_tools() {
    local tool missing=()
    for tool in "$@"; do
        dpkg-query -W -f '${Status}' "$tool" 2>/dev/null | grep -q ' installed$' || missing+=("$tool")
    done
    [ ${#missing[@]} != 0 ] || return 0
    say "installing ${missing[*]}"
    local log=/var/log/onevolume-lab-install.log
    mkdir -p "$cache_root"
    exec 6>"$cache_root/install.lock"
    flock -w 900 6 || die "another build has been installing for 15 minutes"
    { apt-get update -q && without_services env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 ||
        die "cannot install ${missing[*]}: see $log"
    exec 6>&-
}

# without_services COMMAND...: runs it while packages may not start daemons (the tgt package would, on port 3260 of
# the machine). A policy that already says so is left alone; any other is put back afterwards.
without_services() {
    local policy=/usr/sbin/policy-rc.d status=0
    if [ -x $policy ] && { $policy tgt start >/dev/null 2>&1 || status=$?; [ $status = 101 ]; }; then
        "$@"
        return
    fi
    [ ! -e $policy ] || mv $policy $policy.onevolume-lab
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    status=0
    "$@" || status=$?
    rm -f $policy
    [ ! -e $policy.onevolume-lab ] || mv $policy.onevolume-lab $policy
    return $status
}

# The guests' kernel is Debian's for clouds; it is not installed here.
fetch_guest() (
    cd "$1"
    image=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '/Depends: *linux-image/ { print $2; exit }')
    if [ -z "$image" ]; then
        apt-get update -q >/dev/null
        image=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: *linux-image/ { print $2; exit }')
    fi
    # apt's own user may not write here, of which apt warns at length
    apt-get download -qq -o APT::Sandbox::User=root "$image" busybox-static
    dpkg-deb -x linux-image-*.deb guest
    dpkg-deb -x busybox-static_*.deb busybox
)

# fetch_node_kernel DIR OUT: unpacks User-Mode Linux, with the C library it was linked with beside it: that of this
# machine is older. A suite that is not released yet signs its lists for a week only, and a mirror may stand still.
fetch_node_kernel() {
    from_debian $kernel_suite --variant=extract --include=user-mode-linux \
        --aptopt='Acquire::Check-Valid-Until "false"' | unpack "$1"
    mkdir "$2/lib"
    cp -L "$1/usr/lib/x86_64-linux-gnu"/{ld-linux-x86-64.so.2,libc.so.6} "$2/lib/"
    mv "$1/usr/bin/linux.uml" "$2/"
    patchelf --set-interpreter "$cache/lib/ld-linux-x86-64.so.2" --set-rpath "$cache/lib" "$2/linux.uml"
}

# from_debian SUITE OPTION...: a tree of packages on standard output.
from_debian() {
    mmdebstrap -q "${@:2}" --aptopt='Acquire::Languages "none"' "$1" - ${ONEVOLUME_LAB_MIRROR:+"$ONEVOLUME_LAB_MIRROR"}
}

# unpack DIR
unpack() {
    mkdir -p "$1"
    tar -C "$1" --exclude='./dev/*' -xf -
}

# guest_kernel VMLINUZ OUT: takes the bare kernel out of the compressed image: QEMU starts it directly, and an
# emulated guest would need seconds to decompress it.
guest_kernel() {
    local at
    at=$(LC_ALL=C grep -abom1 -P '\x02\x21\x4c\x18' "$1" | head -n1 | cut -d: -f1)
    [ -n "$at" ] || die "$1 is not compressed with lz4"
    # lz4 complains about what follows its stream in the image
    tail -c "+$((at + 1))" "$1" | lz4 -dc >"$2" 2>/dev/null || true
    [ "$(head -c4 "$2" | tail -c3)" = ELF ] || die "no kernel found in $1"
}

guest_initrd() (
    deb=$1 out=$2
    root=$deb/initrd
    mkdir -p "$root"/{bin,dev,proc,sys,modules}
    cp "$deb/busybox/bin/busybox" "$root/bin/"
    install -m 755 "$here/guest-init" "$root/init"
    version=$(ls "$deb/guest/lib/modules")
    depmod -b "$deb/guest" "$version"
    number=10
    for module in virtio_pci virtio_blk virtio_scsi sd_mod; do
        modprobe -d "$deb/guest" -S "$version" --show-depends $module
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
        cp "$file" "$root/modules/$number-${file##*/}" # the name carries the order of loading
        number=$((number + 1))
    done
    cd "$root"
    find . | cpio --quiet -o -H newc | gzip -9 >"$out"
)

# node_root DIR PACKAGE...
node_root() {
    local root=$1 include
    shift
    include=$(IFS=, && echo "$*")
    from_debian $suite --variant=minbase --include="$include" --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' | unpack "$root"
}

# make_keys DIR N...: host keys of their own for the nodes, one key pair for whoever uses them.
make_keys() {
    local keys=$1 n
    shift
    ssh-keygen -q -t ed25519 -N '' -C onevolume-lab -f "$keys/id_ed25519"
    for n in "$@"; do
        mkdir "$keys/host0$n"
        ssh-keygen -q -t ed25519 -N '' -C "host0$n" -f "$keys/host0$n/ssh_host_ed25519_key"
        echo "host0$n,10.77.0.1$n $(cut -d' ' -f1,2 "$keys/host0$n/ssh_host_ed25519_key.pub")"
    done >"$keys/known_hosts"
}

node_files() {
    local out=$1 root=$1/rootfs
    mkdir -p "$root/lab/guest" "$root/lab/hostkeys" "$root/lib/modules"
    mv "$out/deb/uml/usr/lib/uml/modules"/* "$root/lib/modules/"
    chroot "$root" depmod "$(ls "$root/lib/modules")"
    mv "$out/guest"/* "$root/lab/guest/"
    rmdir "$out/guest"
    install -m 755 "$here/node-init" "$here/node-boot" "$here/node-config" "$root/lab/"
    rm -f "$root"/etc/ssh/ssh_host_*
    cp -r "$out/keys/host01" "$out/keys/host02" "$root/lab/hostkeys/"
    cp "$out/keys/known_hosts" "$root/etc/ssh/ssh_known_hosts"
    printf '127.0.0.1 localhost\n10.77.0.1 san\n10.77.0.11 host01\n10.77.0.12 host02\n' >"$root/etc/hosts"
}

# oneadmin as OpenNebula's packages make it, and plain, who is the same without sudo. The password "*" is none at
# all; with the default "!" sshd takes an account for locked when it runs without PAM.
# node_users ROOT VM...
node_users() {
    local root=$1 home vm
    shift
    chroot "$root" groupadd -g 9869 oneadmin
    chroot "$root" useradd -m -u 9869 -g oneadmin -d /var/lib/one -s /bin/bash -G libvirt,disk -p '*' oneadmin
    chroot "$root" useradd -m -s /bin/bash -G libvirt,disk -p '*' plain
    for home in root var/lib/one home/plain; do
        mkdir -p -m 700 "$root/$home/.ssh"
        cp "$root/../keys/id_ed25519" "$root/$home/.ssh/"
        cp "$root/../keys/id_ed25519.pub" "$root/$home/.ssh/authorized_keys"
        chmod 600 "$root/$home/.ssh"/*
    done
    for vm in "$@"; do mkdir -p "$root/var/lib/one/datastores/0/$vm"; done
    chroot "$root" chown -R oneadmin: /var/lib/one
    chroot "$root" chown -R plain: /home/plain
}

node_config() {
    local root=$1
    sudoers >"$root/etc/sudoers.d/opennebula"
    chmod 440 "$root/etc/sudoers.d/opennebula"
    chroot "$root" visudo -cq || die "the sudoers file of the nodes is wrong"
    printf 'UseDNS no\nGSSAPIAuthentication no\nUsePAM no\n' >"$root/etc/ssh/sshd_config.d/lab.conf"
    # QEMU runs as oneadmin on an OpenNebula host; there is no virtlogd here
    printf '%s\n' 'user="oneadmin"' 'group="oneadmin"' 'security_driver="none"' 'stdio_handler="file"' \
        >>"$root/etc/libvirt/qemu.conf"
    # and no polkit
    printf '%s\n' 'auth_unix_rw="none"' 'unix_sock_group="libvirt"' 'unix_sock_rw_perms="0770"' \
        >>"$root/etc/libvirt/libvirtd.conf"
}

# What OpenNebula lets oneadmin do on a node for SCSI (its ONE_SCSI list), and nothing else.
sudoers() {
    local dir command list=()
    for dir in /usr/sbin /sbin /usr/bin /bin; do
        for command in blockdev multipath multipathd iscsiadm tee find 'cat /etc/iscsi/initiatorname.iscsi'; do
            list+=("$dir/$command")
        done
    done
    echo 'Defaults:oneadmin !requiretty'
    echo 'Defaults:oneadmin secure_path = /sbin:/bin:/usr/sbin:/usr/bin'
    echo "Cmnd_Alias ONE_SCSI = $(printf '%s, ' "${list[@]}" | sed 's/, $//')"
    echo 'oneadmin ALL=(ALL) NOPASSWD: ONE_SCSI'
}
