# Sourced by lab: starts the Xen host.

# boot_xen: puts the kept machine into the lab's network; node_ready waits.
boot_xen() {
    local host=host03 machine
    drop_connections "$host"
    kill_group "$host"
    ip -n "$netns" link show tap3 >/dev/null 2>&1 || ip -n "$netns" tuntap add tap3 mode tap
    ip -n "$netns" link set tap3 master br0 up
    rm -f "$run/$host.qcow2"
    qemu-img create -q -f qcow2 -b "$cache/booted.qcow2" -F qcow2 "$run/$host.qcow2"
    xen_machine "$run/$host.qcow2" tap,id=n0,ifname=tap3,script=no,downscript=no,vnet_hdr=off \
        -serial "file:$run/$host.console" -monitor "unix:$run/$host.monitor,server=on,wait=off" \
        -incoming "exec:cat $cache/booted.state"
    spawn "$host" nice -n -15 "${machine[@]}"
    # Xen gives its scripts 40 s and guests 10 s by the clock: a host that must wait for its turn would fail. Where the
    # kernel shares the processor out by sessions, it is the session that has to be nice.
    echo -15 2>/dev/null >"/proc/$(cat "$run/$host.pid")/autogroup" || true
}

# xen_ready: waits until it takes commands, and sets its clock, which is that of the build.
xen_ready() {
    await 120 xen_answers_or_died || die "host03 is not ready after 120 s: see $run/host03.log"
    alive host03 || die "host03 died: see $run/host03.log"
    on host03 "date -s @$(date +%s) >/dev/null; cat >/run/lab/guest-console" <"$here/xen/guest-console"
}

xen_answers_or_died() {
    timeout 30 ip netns exec "$netns" ssh -F "$run/ssh_config" -o ConnectTimeout=5 root@host03 true </dev/null 2>/dev/null ||
        ! alive host03
}
