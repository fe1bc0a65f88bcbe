#!/bin/bash
# api.sh [OPTIONS OF bench/load]: how fast onevolumed answers, with ten thousand and with a million volumes, beside the
# ceiling, in about five minutes (a minute and a half more the first time, when the database of a million is made; it
# is kept in ~/.cache/onevolume-bench). Needs no lab.
set -euo pipefail
cd "$(dirname "$0")/.."
make --no-print-directory build
go build -o bin/load ./bench/load
exec bin/load "$@"
