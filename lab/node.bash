# Sourced by lab: the hosts, their guests, and commands on them.

node_memory=768M

guest_of() { echo "one-1$((6 + $1))"; } # one-17 on host01, one-18 on host02, one-19 on host03

has_guest() { [ "$1" -le 3 ]; }

# boot_node N: starts it; node_ready waits.
boot_node() {
    local n=$1 host=host0$1
    if [ "$n" = 3 ]; then
        boot_xen
        return
    fi
    drop_connections "$host"
    kill_group "$host"
    ip -n "$netns" link show "tap$n" >/dev/null 2>&1 || ip -n "$netns" tuntap add "tap$n" mode tap
    ip -n "$netns" link set "tap$n" master br0 up
    : >"$run/$host.log"
    mkdir -p "$run/uml"
    rm -rf "$run/uml/$host"
    local disks=()
    if [ "$n" = 4 ]; then
        disks=("ubd0=$run/$host.thin" "ubd1=$run/$host.thick" "ubd2=$run/$host.keep")
        truncate -s 512M "$run/$host.thin"
        truncate -s 256M "$run/$host.thick"
        truncate -s 16M "$run/$host.keep"
    fi
    # One core a node: its kernel and its processes hand over to each other at each system call, which takes five
    # times as long across cores.
    # The card keeps its address: else the others would send to the old one for a while after a new boot.
    spawn "$host" taskset -c $((($(cat "$run/core") + n - 1) % $(nproc))) "$cache/linux.uml" \
        seccomp=auto "mem=$node_memory" "umid=$host" "uml_dir=$run/uml/" \
        rootfstype=hostfs "rootflags=$cache/rootfs" ro init=/lab/node-init con=null con0=null,fd:1 quiet \
        "vec0:transport=tap,ifname=tap$n,depth=128,gro=1,mac=52:54:00:0a:4d:1$n" "lab.host=$host" "lab.ip=10.77.0.1$n" \
        "${disks[@]}"
}

node_ready() {
    local host=host0$1
    if [ "$1" = 3 ]; then
        xen_ready
        return
    fi
    await 180 node_said_or_died "$host" ready || die "$host is not ready after 180 s: see $run/$host.log"
    alive "$host" || die "$host died: see $run/$host.log"
    has_guest "$1" || return 0
    on "$host" 'cat >/run/lab/guest-console' <"$here/guest-console" || die "$host does not take ssh: see $run/$host.log"
}

node_said_or_died() { grep -q "^NODE $1 $2" "$run/$1.log" || ! alive "$1"; }

# on [-u USER] HOST COMMAND...: by ssh over one kept connection a user and host. As with ssh, the host's shell reads
# the words once more.
on() {
    local user=root
    [ "$1" != -u ] || { user=$2 && shift 2; }
    inside ssh -F "$run/ssh_config" "$user@$1" "${@:2}"
}

ssh_config() {
    mkdir -p -m 700 "$run/ssh"
    local key
    for key in id_ed25519 id_ed25519.pub known_hosts; do cp -p "$cache/keys/$key" "$run/$key"; done
    local n
    for n in "${nodes[@]}"; do printf 'Host host0%s\n  HostName 10.77.0.1%s\n' "$n" "$n"; done >"$run/ssh_config"
    cat >>"$run/ssh_config" <<CONFIG
Host *
  IdentityFile $run/id_ed25519
  IdentitiesOnly yes
  UserKnownHostsFile $run/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
  ConnectTimeout 15
  ServerAliveInterval 5
  ServerAliveCountMax 3
  LogLevel ERROR
  ControlMaster auto
  ControlPath $run/ssh/%r@%h
  ControlPersist 600
CONFIG
}

# drop_connections [HOST]: ends the kept connections, to one host or to all.
drop_connections() {
    local socket address='*'
    [ $# = 0 ] || address=10.77.0.1$(known_host "$1")
    # shellcheck disable=SC2231 # the address may be a pattern
    for socket in "$run"/ssh/*@$address; do
        [ -S "$socket" ] || continue
        timeout 5 ssh -S "$socket" -O exit lab >/dev/null 2>&1 || true
        rm -f "$socket"
    done
}

lab_exec() {
    local user=root
    if [ "${1:-}" = -u ]; then user=$2 && shift 2; fi
    [ $# -ge 2 ] || die "exec [-u USER] HOST COMMAND..."
    local host
    host=host0$(known_host "$1") || exit 1
    shift
    alive "$host" || die "$host of lab '$name' is not running"
    # one word is a line for the shell; more are the words of a command
    [ $# = 1 ] || set -- "${*@Q}"
    on -u "$user" "$host" "$1"
}

lab_run() {
    [ $# != 0 ] || die "run COMMAND..."
    [ -d "$run" ] || die "lab '$name' is not started"
    exec ip netns exec "$netns" env ONEVOLUME_LAB="$run" ONEVOLUME_LAB_NAME="$name" ONEVOLUME_LAB_RUN="$run" "$@"
}

lab_node() {
    [ $# = 2 ] || die "node kill|start|freeze|thaw HOST"
    local n
    n=$(known_host "$2") || exit 1
    [ -d "$run" ] || die "lab '$name' is not started"
    case $1 in
        kill)
            kill_group "host0$n"
            drop_connections "host0$n"
            ;;
        start)
            if alive "host0$n"; then say "host0$n is up already" && return; fi
            boot_node "$n"
            node_ready "$n"
            boot_guest "$n"
            ;;
        # Its kernel alone: that stands between its processes and everything else, so they stop at the next thing
        # they ask of it.
        freeze) kill -STOP "$(cat "$run/host0$n.pid")" ;;
        thaw) kill -CONT "$(cat "$run/host0$n.pid")" ;;
        *) die "no command 'node $1'" ;;
    esac
}

# boot_guest N: starts the guest of a host and waits until it is up.
boot_guest() {
    local host=host0$1 guest
    has_guest "$1" && [ "$1" != 3 ] || return 0 # that of Xen is kept with its host
    guest=$(guest_of "$1")
    sed "s/@NAME@/$guest/g" "$here/vm.xml" | on "$host" "cat >/run/lab/$guest.xml && rm -f /var/log/$guest.console &&
        virsh -q -c qemu:///system create /run/lab/$guest.xml >/run/lab/$guest.log 2>&1 &&
        for i in \$(seq 600); do grep -qs 'GUEST UP' /var/log/$guest.console && exit 0; sleep 0.1; done; exit 1" ||
        die "$guest did not come up: see /run/lab/$guest.log and /var/log/$guest.console on $host"
}

# lab_guest VM COMMAND: the guest may have moved, so all hosts are asked.
lab_guest() {
    [ $# -ge 2 ] || die "guest VM COMMAND"
    local vm=one-${1#one-} host status
    shift
    [[ "$*" != *$'\n'* ]] || die "a guest's console takes one line"
    for host in "${hosts[@]}"; do
        alive "$host" || continue
        status=0
        on "$host" "bash /run/lab/guest-console $vm ${ONEVOLUME_LAB_GUEST_TIMEOUT:-60} ${*@Q}" </dev/null || status=$?
        [ $status = 125 ] || return $status
    done
    die "no guest $vm is running on any host"
}
