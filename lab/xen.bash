# Sourced by lab: makes the Xen host. It is a whole machine under QEMU, since Xen wants to be alone below everything, and is
# emulated, for no kernel module of this machine is used. What starts in seconds is a machine that the build has
# booted, guest and all, and kept.

# On this machine, with those of the other hosts.
xen_tools=(qemu-system-x86 qemu-utils e2fsprogs xz-utils)
# In its domain 0.
xen_packages=(
    openssh-server sudo open-iscsi xen-utils-4.17 xen-utils-common xenstore-utils udev kmod iproute2 procps
    xfsprogs e2fsprogs util-linux
)
xen_inputs=(build.bash xen.bash guest-init xen/initrd-init xen/dom0-init xen/one-19.cfg)

build_xen_into() {
    local out=$1 root=$1/rootfs
    mkdir -p "$out/deb" "$root" "$out/keys"
    fetch_xen "$out/deb"
    gunzip -c "$out/deb/x/boot"/xen-4.17-amd64.gz >"$out/xen" # QEMU starts the bare ELF
    bare_kernel "$out/deb/x/boot"/vmlinuz-* "$out/vmlinux"
    say "kernels unpacked"
    node_root "$root" "${xen_packages[@]}"
    say "packages of the Xen host installed"
    make_keys "$out/keys" 3
    xen_files "$out"
    chroot "$root" groupadd -f libvirt # which the users' groups name
    node_users "$root" 19
    xen_config "$root"
    mkfs.ext4 -q -F -d "$root" -L root "$out/dom0.img" 1400M
    qemu-img convert -O qcow2 "$out/dom0.img" "$out/dom0.qcow2"
    rm -rf "$out/deb" "$root" "$out/dom0.img"
    say "disk of the Xen host made"
    keep_booted "$out"
}

fetch_xen() (
    cd "$1"
    apt-cache show xen-hypervisor-4.17-amd64 >/dev/null 2>&1 || apt-get update -q >/dev/null
    image=$(apt-cache depends linux-image-amd64 | awk '/Depends: *linux-image/ { print $2; exit }') # the cloud kernel cannot be domain 0
    apt-get download -qq -o APT::Sandbox::User=root xen-hypervisor-4.17-amd64 "$image" busybox-static
    for package in xen-hypervisor-*.deb linux-image-*.deb; do dpkg-deb -x "$package" x; done
    dpkg-deb -x busybox-static_*.deb busybox
)

# bare_kernel VMLINUZ OUT: as guest_kernel, for an image that is compressed with xz.
bare_kernel() {
    local at
    at=$(LC_ALL=C grep -abom1 -P '\xfd7zXZ\x00' "$1" | head -n1 | cut -d: -f1)
    [ -n "$at" ] || die "$1 is not compressed with xz"
    # xz complains about what follows its stream in the image
    tail -c "+$((at + 1))" "$1" | xz -dc --single-stream >"$2" 2>/dev/null || true
    [ "$(head -c4 "$2" | tail -c3)" = ELF ] || die "no kernel found in $1"
}

# xen_modules TREE VERSION MODULE...: the files of the modules and of what they need, in the order of loading.
xen_modules() {
    local tree=$1 version=$2 module
    shift 2
    for module in "$@"; do
        modprobe -d "$tree" -S "$version" --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

# xen_initrd INIT OUT DEB MODULE...
xen_initrd() (
    init=$1 out=$2 deb=$3
    shift 3
    root=$(mktemp -d "$deb/initrd.XXXXXX")
    mkdir -p "$root"/{bin,dev,proc,sys,root,modules}
    cp "$deb/busybox/bin/busybox" "$root/bin/"
    install -m 755 "$init" "$root/init"
    number=10
    xen_modules "$deb/x" "$(ls "$deb/x/lib/modules")" "$@" | while read -r file; do
        cp "$file" "$root/modules/$number-${file##*/}" # the name carries the order of loading
        number=$((number + 1))
    done
    cd "$root"
    find . | cpio --quiet -o -H newc | gzip >"$out"
)

xen_files() {
    local out=$1 root=$1/rootfs deb=$1/deb version file dir
    version=$(ls "$deb/x/lib/modules")
    depmod -b "$deb/x" "$version"
    dir=$root/lib/modules/$version
    mkdir -p "$root/lab/guest" "$dir"
    xen_modules "$deb/x" "$version" virtio_pci virtio_blk virtio_net ext4 iscsi_tcp sd_mod dm-mod \
        xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xenfs xen-blkback | while read -r file; do
        install -D -m 644 "$file" "$dir/${file#*"/lib/modules/$version/"}"
    done
    cp "$deb/x/lib/modules/$version"/modules.{builtin,order} "$dir/"
    chroot "$root" depmod "$version"
    xen_initrd "$here/xen/initrd-init" "$out/initrd.gz" "$deb" virtio_pci virtio_blk ext4
    xen_initrd "$here/guest-init" "$root/lab/guest/initrd.gz" "$deb" xen-blkfront
    cp "$out/vmlinux" "$here/xen/one-19.cfg" "$root/lab/guest/"
    install -m 755 "$here/xen/dom0-init" "$root/lab/"
    rm -f "$root"/etc/ssh/ssh_host_*
    cp "$out/keys/host03"/* "$root/etc/ssh/"
    cp "$out/keys/known_hosts" "$root/etc/ssh/ssh_known_hosts"
    echo host03 >"$root/etc/hostname"
    echo "InitiatorName=iqn.2026-11.lab.onevolume:host03" >"$root/etc/iscsi/initiatorname.iscsi"
    printf '127.0.0.1 localhost\n10.77.0.1 san\n10.77.0.13 host03\n' >"$root/etc/hosts"
}

xen_config() {
    local root=$1
    { sudoers && xen_sudoers; } >"$root/etc/sudoers.d/opennebula"
    chmod 440 "$root/etc/sudoers.d/opennebula"
    chroot "$root" visudo -cq || die "the sudoers file of the Xen host is wrong"
    printf 'UseDNS no\nGSSAPIAuthentication no\nUsePAM no\n' >"$root/etc/ssh/sshd_config.d/lab.conf"
}

# What OpenNebula lets oneadmin do on a Xen node (its ONE_XEN list), and the tool that shows what is so there.
xen_sudoers() {
    local dir command list=()
    for dir in /usr/sbin /sbin /usr/bin /bin; do
        for command in xentop xl xm xenstore-ls; do list+=("$dir/$command"); done
    done
    echo "Cmnd_Alias ONE_XEN = $(printf '%s, ' "${list[@]}" | sed 's/, $//')"
    echo 'oneadmin ALL=(ALL) NOPASSWD: ONE_XEN'
}

# xen_machine DISK NETWORK ARGS...: the words of QEMU's command line, into machine. -cpu qemu64: with max the kernel of
# domain 0 takes a trap early, and Xen starts again for ever.
xen_machine() {
    local disk=$1 network=$2
    shift 2
    machine=(
        qemu-system-x86_64 -M pc -accel tcg,thread=multi,tb-size=512 -cpu qemu64 -smp 1 -m 1200
        -nodefaults -vga none -display none -kernel "$cache/xen"
        -append "console=com1 com1=115200,8n1 dom0_mem=768M,max:768M dom0_max_vcpus=1 spec-ctrl=no xpti=no"
        -initrd "$cache/vmlinux console=hvc0 quiet mitigations=off,$cache/initrd.gz"
        -drive "file=$disk,if=virtio,cache=unsafe" -netdev "$network"
        -device virtio-net-pci,netdev=n0,mac=52:54:00:0a:4d:13,romfile= "$@"
    )
}

# keep_booted OUT: boots the machine and keeps its memory, in booted.state, with the disk as it is then, booted.qcow2.
keep_booted() {
    local out=$1 cache=$1 machine pid status=0
    qemu-img create -q -f qcow2 -b dom0.qcow2 -F qcow2 "$out/booted.qcow2"
    mkfifo "$out/monitor"
    xen_machine "$out/booted.qcow2" hubport,id=n0,hubid=0 -serial "file:$out/boot.log" -monitor stdio
    "${machine[@]}" <"$out/monitor" >"$out/qemu.log" 2>&1 &
    pid=$!
    exec 7>"$out/monitor"
    await 600 xen_said_or_died "$out" "$pid" || status=1
    if [ $status = 0 ] && kill -0 "$pid" 2>/dev/null; then
        sleep 2 # for what the guest does after its first word
        printf 'migrate_set_parameter max-bandwidth 10G\nmigrate "exec:cat >%s"\nquit\n' "$out/booted.state" >&7
    else
        kill -9 "$pid" 2>/dev/null || true
    fi
    exec 7>&-
    wait "$pid" || status=1
    [ $status = 0 ] && [ -s "$out/booted.state" ] ||
        die "the Xen host did not come up: $(tail -n3 "$out/boot.log" "$out/qemu.log" | tr '\r\n' ' ')"
    rm "$out/monitor"
    say "the Xen host is booted and kept"
}

xen_said_or_died() { grep -qs '^NODE host03 ready' "$1/boot.log" || ! kill -0 "$2" 2>/dev/null; }
