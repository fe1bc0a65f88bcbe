#!/bin/bash
# bench.sh [RUNS]: what onevolume costs, measured in the lab in one run: attach and detach against the shortest script
# by hand, one after the other in turn, medians of RUNS (20); the client's own work; the daemon's start and memory.
# Every figure is printed alone on a line "bench: NAME NUMBER UNIT".
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-20}
export ONEVOLUME_LAB_NAME=${ONEVOLUME_LAB_NAME:-bench}
work=$(mktemp -d)
pids=()
finish() {
    status=$?
    for pid in ${pids[@]+"${pids[@]}"}; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    [ "${ONEVOLUME_LAB_KEEP:-}" ] || lab/lab stop >/dev/null 2>&1 || true
    rm -rf "$work"
    exit $status
}
trap finish EXIT

lab/lab start
run=$(lab/lab run printenv ONEVOLUME_LAB)
cat >"$work/conf" <<CONF
listen: 127.0.0.1:2475
one_xmlrpc: http://127.0.0.1:2633/RPC2
database: sqlite:$work/onevolume.db
key_file: $work/key
hosts: {user: oneadmin, ssh_config: $run/ssh_config}
CONF
echo oneadmin:demo >"$work/one_auth"
export ONE_AUTH=$work/one_auth ONE_XMLRPC=http://127.0.0.1:2633/RPC2 ONEVOLUME_XMLRPC=http://127.0.0.1:2475/RPC2

# bench runs inside the lab's network from here on: entering it anew for each command would be measured too.
export work run runs
lab/lab run bin/onetestd -world demo/world.yaml >"$work/oned.log" 2>&1 &
pids+=($!)
lab/lab run bench/inside.sh

# The initiator alone, likewise beside the bare commands.
lab/lab run go test -tags lab -count 1 -run - -bench BenchmarkLab -benchtime "${runs}x" ./iscsi |
    awk '/^BenchmarkLab/ { for (i = 5; i < NF; i += 2) print "bench: iscsi." $(i + 1), $i }'
