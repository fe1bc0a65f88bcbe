#!/bin/bash
# The main job on real parts, timed: a volume is attached to a running guest, the guest writes to it, the bytes are
# found in the target's backing store, the volume is detached and wiped. The last line is "demo: ok"; any failure
# ends with another status than 0 and with what is needed to see why.
set -euo pipefail
cd "$(dirname "$0")/.."
export ONEVOLUME_LAB_NAME=${ONEVOLUME_LAB_NAME:-demo}
lab() { lab/lab "$@"; }
inside() { lab/lab run "$@"; }

work=$(mktemp -d)
pids=()
finish() {
    status=$?
    for pid in ${pids[@]+"${pids[@]}"}; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    if [ $status != 0 ]; then
        echo "demo: FAILED (status $status)" >&2
        for f in "$work"/*.log; do [ ! -s "$f" ] || { echo "--- $(basename "$f")" >&2; tail -n 20 "$f" >&2; }; done
    fi
    [ "${ONEVOLUME_LAB_KEEP:-}" ] || lab stop >/dev/null 2>&1 || true
    rm -rf "$work"
    exit $status
}
trap finish EXIT

# timed WHAT COMMAND...: runs it, shows what it printed, and says how long it took.
timed() {
    local what=$1 start=$EPOCHREALTIME status=0
    shift
    "$@" >"$work/step.out" 2>&1 || status=$?
    printf '%7.2f s  %s\n' "$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')" "$what"
    sed 's/^/             /' "$work/step.out"
    return $status
}

# until_ready LOG PATTERN: waits for a line in a daemon's log.
until_ready() {
    for _ in $(seq 200); do
        grep -q "$2" "$1" 2>/dev/null && return 0
        sleep 0.05
    done
    echo "nothing like '$2' appeared in $1" >&2
    return 1
}

timed "lab: build (cached after the first time)" lab build
timed "lab: two hosts, two guests, targets" lab start
run=$(lab run printenv ONEVOLUME_LAB)

# The stand-in for oned, and our daemon on SQLite, both inside the lab's network.
cat >"$work/conf" <<CONF
listen: 127.0.0.1:2475
one_xmlrpc: http://127.0.0.1:2633/RPC2
database: sqlite:$work/onevolume.db
key_file: $work/key
hosts: {user: oneadmin, ssh_config: $run/ssh_config}
CONF
echo oneadmin:demo >"$work/one_auth"
export ONE_AUTH=$work/one_auth ONE_XMLRPC=http://127.0.0.1:2633/RPC2 ONEVOLUME_XMLRPC=http://127.0.0.1:2475/RPC2
# Not by a function: the pid of a function in the background is that of a shell, which nothing dies with.
lab/lab run bin/onetestd -listen 127.0.0.1:2633 -world demo/world.yaml >"$work/oned.log" 2>&1 &
pids+=($!)
start_daemon() {
    lab/lab run bin/onevolumed --config "$work/conf" >"$work/onevolumed.log" 2>&1 &
    pids+=($!)
    until_ready "$work/onevolumed.log" "onevolumed serves"
}
timed "onevolumed: started" start_daemon
onevolume() { inside bin/onevolume --config "$work/conf" "$@"; }

backing=$run/targets/open1-lun1.img
zeroes() { cmp -n "$(stat -c %s "$backing")" "$backing" /dev/zero && echo "all $(stat -c %s "$backing") bytes are zero"; }
holds() { grep -a -o "$1" "$backing" | head -n 1; }
pattern="written by the guest, $(date -u +%FT%TZ)"

# shellcheck disable=SC2016 # the inner shell expands it
timed "register three volumes" bash -euc '
    for v in open1:64 open3:96 big:320; do
        "$@" create --name "${v%:*}" --iqn "iqn.2026-11.lab.onevolume:${v%:*}" --lun 1 --portal 10.77.0.1:3260 --size "${v#*:}" </dev/null
    done' - lab/lab run bin/onevolume --config "$work/conf"
timed "onevolume list" onevolume list
timed "onevolume attach 17 64" onevolume attach 17 64
# shellcheck disable=SC2016 # the guest expands it
timed "the guest writes a pattern" lab guest 17 "echo '$pattern' | dd of=\$(disk onevolume-0) bs=512 seek=2048 conv=sync,fsync 2>/dev/null"
timed "the backing store has it" holds "$pattern"
timed "onevolume show" onevolume show 0
timed "onevolume detach 17 0 --yes" onevolume detach 17 0 --yes
timed "the backing store is zero" zeroes
timed "onevolume list" onevolume list
echo "demo: ok"
