# Sourced by lab: start, stop, status and reset of a whole lab.

lab_start() {
    [ $# -le 1 ] || die "start takes no '$2'"
    [ -d "$run" ] || of_kind "${1:-kvm}"
    build
    lock
    if [ -d "$run" ] || [ -e "/run/netns/$netns" ]; then
        if all_alive; then
            [ "$kind" = "${1:-$kind}" ] || die "'$name' is up already, with $kind: stop it, or give this one another name (-n)"
            say "'$name' is up already: $run"
            return
        fi
        say "clearing what is left of '$name'"
        clear_away
        of_kind "${1:-kvm}"
        build
    fi
    local began n
    began=$(now_ms)
    mkdir -p "$run"
    run=$(cd "$run" && pwd)
    echo "$name" >"$run/name"
    echo "$kind" >"$run/kind"
    echo "$cache" >"$run/cache"
    echo "${ONEVOLUME_LAB_CORE:-0}" >"$run/core"
    ln -sfn "$here/lab" "$run/lab"
    ssh_config
    network
    for n in "${nodes[@]}"; do boot_node "$n"; done
    renew_targets
    each_node bring_up
    say "'$name' is up in $((($(now_ms) - began) / 1000)) s: $run"
}

all_alive() {
    local what
    for what in tgtd "${hosts[@]}"; do alive "$what" || return 1; done
}

bring_up() {
    node_ready "$1"
    boot_guest "$1" # a Xen host comes with it
}

# each_node FUNCTION: runs it for both nodes at once; fails when one of them does.
each_node() {
    local n pids=() status=0
    for n in "${nodes[@]}"; do
        "$1" "$n" &
        pids+=($!)
    done
    for n in "${pids[@]}"; do wait "$n" || status=1; done
    [ $status = 0 ] || die "'$name' is not as it should be; its logs are in $run"
}

# The addresses are the same in every lab, so each has a network of its own. In there /etc/hosts knows the nodes.
network() {
    ip netns add "$netns"
    ip -n "$netns" link set lo up
    ip -n "$netns" link add br0 type bridge
    ip -n "$netns" addr add "$portal_ip/24" dev br0
    ip -n "$netns" link set br0 up
    mkdir -p "/etc/netns/$netns"
    local n
    {
        printf '127.0.0.1 localhost\n%s san\n' "$portal_ip"
        for n in "${nodes[@]}"; do printf '10.77.0.1%s host0%s\n' "$n" "$n"; done
    } >"/etc/netns/$netns/hosts"
}

lab_stop() {
    lock
    clear_away
    rm -f "/run/onevolume-lab/.$name.lock"
    rmdir /run/onevolume-lab 2>/dev/null || true
    say "'$name' is stopped"
}

clear_away() {
    local what left
    drop_connections
    for what in host01 host02 host03 host04 host05 tgtd; do kill_group "$what"; done
    if [ -e "/run/netns/$netns" ]; then
        left=$(ip netns pids "$netns" 2>/dev/null | tr '\n' ' ') || true
        [ -z "$left" ] || say "still running in the network of '$name', not started by the lab: $left"
        ip netns del "$netns"
    fi
    rm -rf "/etc/netns/$netns" "$run"
    rmdir /etc/netns 2>/dev/null || true
}

lab_status() {
    local failed=0 host n
    if [ ! -d "$run" ]; then
        echo "lab $name: not started"
        return 1
    fi
    echo "lab $name: $run"
    tell "network $netns" test -e "/run/netns/$netns" || failed=1
    tell tgtd tgtd_serves || failed=1
    for n in "${nodes[@]}"; do
        host=host0$n
        tell "$host" node_answers "$n" || failed=1
        ! has_guest "$n" || tell "$(guest_of $n)" guest_answers "$n" || failed=1
    done
    return $failed
}

# tell WHAT COMMAND...: prints "WHAT: up" with what the command says, or "WHAT: down".
tell() {
    local what=$1 words
    shift
    if words=$("$@" 2>&1); then
        echo "$what: up${words:+ ($words)}"
    else
        echo "$what: down${words:+ ($words)}"
        return 1
    fi
}

tgtd_serves() {
    alive tgtd || return 1
    local state
    state=$(awk '{ print $3 }' "/proc/$(cat "$run/tgtd.pid")/stat")
    [ "$state" != T ] || { echo frozen && return 1; }
    local closed
    closed=$(closed_ports | tr '\n' ' ')
    [ -z "$closed" ] || { echo "closed: $closed" && return 1; }
    echo "$(list_targets | wc -l) units"
}

node_answers() {
    local daemons='iscsid libvirtd'
    case $1 in
        3) daemons='iscsid xenconsoled' ;;
        4) daemons=tgtd ;;
        5) daemons=iscsid ;;
    esac
    alive "host0$1" || return 1
    # shellcheck disable=SC2016 # the node's shell counts
    timeout 20 ip netns exec "$netns" ssh -F "$run/ssh_config" "root@host0$1" \
        'for daemon in '"$daemons"'; do pgrep -x $daemon >/dev/null || exit; done
         echo $(ls -d /sys/class/iscsi_session/session* 2>/dev/null | wc -l) sessions' </dev/null
}

guest_answers() {
    local host
    alive "host0$1" || return 1
    for host in "${hosts[@]}"; do
        if on "$host" "bash /run/lab/guest-console $(guest_of "$1") 10 true" </dev/null 2>/dev/null; then
            echo "on $host"
            return
        fi
    done
    return 1
}

# lab_reset: as new, in seconds. What a test may have closed or stopped is opened first, because hosts cannot log
# out of a target that does not answer.
lab_reset() {
    lock
    local began n
    began=$(now_ms)
    [ -d "$run" ] || die "lab '$name' is not started"
    [ -e "/run/netns/$netns" ] || die "the network of '$name' is gone: lab start"
    for n in "${nodes[@]}"; do
        ! alive "host0$n" || kill -CONT "$(cat "$run/host0$n.pid")"
    done
    if alive tgtd; then
        kill -CONT "$(cat "$run/tgtd.pid")"
        move_ports up
    else
        renew_targets
    fi
    each_node reset_node
    renew_targets
    say "'$name' is as new after $(($(now_ms) - began)) ms"
}

# reset_node N: cleans the node; boots it anew when it is dead or does not come clean.
reset_node() {
    local host=host0$1 guest status=0
    if [ "$1" -ge 3 ]; then # a boot is sooner done than what is there is put right
        rm -f "$run/$host".{thin,thick,keep}
        boot_node "$1"
        bring_up "$1"
        return
    fi
    guest=$(guest_of "$1")
    if alive "$host"; then
        drop_connections "$host"
        timeout 60 ip netns exec "$netns" ssh -F "$run/ssh_config" -o ControlPath=none "root@$host" \
            "cat >/run/lab/reset && bash /run/lab/reset $guest" \
            <"$here/node-reset" >"$run/$host-reset.log" 2>&1 || status=$?
    else
        status=255
        echo "$host is dead" >"$run/$host-reset.log"
    fi
    case $status in
        0) ;;
        3) boot_guest "$1" ;;
        *)
            say "$host is booted again: $(tail -n1 "$run/$host-reset.log")"
            boot_node "$1"
            bring_up "$1"
            ;;
    esac
}
