#!/bin/sh
# Counts the instructions that decoding and encoding a row take, with valgrind's callgrind. They are the same on
# every run, which times are not: a change of one per cent can be seen.
#
#   bench/instructions.sh
set -eu

# Rows of one call, and calls of one run: one to warm up, and the one of `--test`.
ROWS=10000
CALLS=2

command -v valgrind >/dev/null 2>&1 || {
    echo "instructions: valgrind is not installed (apt-get install valgrind)" >&2
    exit 1
}

# The program that cargo has built for a benchmark.
built() {
    cargo bench -p "$1" --bench "$2" --no-run 2>&1 >/dev/null |
        sed -n 's/.*Executable .*(\(.*\))/\1/p'
}

count() {
    program=$(built "$1" "$2")
    [ -n "$program" ] || { echo "instructions: $2 of $1 can't be built" >&2; exit 1; }
    bench=$2
    function=$3
    shift 3
    for name in "$@"; do
        collected=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no \
            --toggle-collect="*$function*" "$program" --test --exact "$bench::$name" 2>&1 >/dev/null |
            sed -n 's/.*Collected : \([0-9]*\).*/\1/p')
        [ "${collected:-0}" -gt 0 ] || { echo "instructions: nothing was counted in $function" >&2; exit 1; }
        echo "| $function | $name | $((collected / ROWS / CALLS)) |"
    done
}

echo "| | a row | instructions |"
echo "|---|---|---|"
count walgate-pgoutput decode decode_rows insert update_full delete
count walgate-format encode encode_rows insert update update_full delete
