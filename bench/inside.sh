#!/bin/bash
# inside.sh: the part of bench.sh that runs in the lab's network. Uses work, run and runs of bench.sh.
set -euo pipefail
: "${work:?}" "${run:?}" "${runs:?}"
daemon=
trap '[ -z "$daemon" ] || kill $daemon 2>/dev/null || true' EXIT
ms() { echo $((${EPOCHREALTIME/./} / 1000)); }
median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
onevolume() { bin/onevolume --config "$work/conf" "$@"; }
figure() { echo "bench: $1 $2 $3"; }

# answers: the first call that the daemon answers, by a client that is quick to ask again.
answers() { until (exec 3<>/dev/tcp/127.0.0.1/2475) 2>/dev/null; do :; done; onevolume list >/dev/null; }

# The daemon's start, to its first answer: the time of the client's own call is taken off.
for _ in 1 2 3 4 5; do
    start=$(ms)
    bin/onevolumed --config "$work/conf" >>"$work/onevolumed.log" 2>&1 &
    daemon=$!
    answers
    up=$(ms)
    onevolume list >/dev/null
    echo $((up - start - ($(ms) - up)))
    kill $daemon
    wait $daemon || true
done | median >"$work/start"
bin/onevolumed --config "$work/conf" >>"$work/onevolumed.log" 2>&1 &
daemon=$!
answers

onevolume create --name bench --iqn iqn.2026-11.lab.onevolume:open1 --lun 1 --portal 10.77.0.1:3260 --size 64 >/dev/null
own='s/.*timing: total [0-9]* ms, host [0-9]* ms, own \([0-9]*\) ms.*/\1/p'
for i in $(seq 0 "$runs"); do
    bench/floor.sh host01 iqn.2026-11.lab.onevolume:open2 10.77.0.1:3260 1 one-17 "$run/ssh_config" >"$work/floor"
    read -r floor_attach floor_detach <"$work/floor"
    a=$(ms)
    onevolume -v attach 17 --volume bench >/dev/null 2>"$work/attach"
    b=$(ms)
    onevolume -v detach 17 bench --yes --no-format >/dev/null 2>"$work/detach"
    c=$(ms)
    [ "$i" != 0 ] || continue # the first round warms caches on the hosts
    echo "$floor_attach" >>"$work/floor.attach"
    echo "$floor_detach" >>"$work/floor.detach"
    echo $((b - a)) >>"$work/our.attach"
    echo $((c - b)) >>"$work/our.detach"
    sed -n "$own" "$work/attach" >>"$work/own.attach"
    sed -n "$own" "$work/detach" >>"$work/own.detach"
    echo "round $i: floor $floor_attach + $floor_detach ms, onevolume $((b - a)) + $((c - b)) ms" >&2
done

ratio() { awk -v a="$(median <"$1")" -v b="$(median <"$2")" 'BEGIN { printf "%.2f", a / b }'; }
figure attach.floor "$(median <"$work/floor.attach")" ms
figure attach.time "$(median <"$work/our.attach")" ms
figure attach.ratio "$(ratio "$work/our.attach" "$work/floor.attach")" x
figure attach.own "$(median <"$work/own.attach")" ms
figure detach.floor "$(median <"$work/floor.detach")" ms
figure detach.time "$(median <"$work/our.detach")" ms
figure detach.ratio "$(ratio "$work/our.detach" "$work/floor.detach")" x
figure detach.own "$(median <"$work/own.detach")" ms
sleep 2 # at rest
figure daemon.rss "$(awk '/^VmRSS/ { printf "%.1f", $2 / 1024 }' /proc/$daemon/status)" MB
figure daemon.start "$(cat "$work/start")" ms
