#!/bin/sh
# Fuzzes the decoders on stable Rust.
#
#   tests/fuzz/run.sh [SECONDS [TARGET...]]
#
# Every target (message, order, copy_frame, segment) runs for SECONDS (10 by default), starting
# from the committed corpus. What it finds interesting stays under target/corpus; an input that
# fails is written to target/artifacts, and `target/.../release/TARGET FILE` runs it again.
#
# cargo-fuzz works on stable too (`cargo fuzz run --sanitizer none TARGET`), but is a tool to be
# installed first: all that it adds to a plain build without a sanitizer are the flags below. An
# address sanitizer would need nightly, and watches for what a crate without unsafe cannot do.
set -eu

cd "$(dirname "$0")"
seconds=${1:-10}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- message order copy_frame segment

# With --target the flags do not apply to build scripts, which could not link with them.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module \
 -Cllvm-args=-sanitizer-coverage-level=4 \
 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
 -Cllvm-args=-sanitizer-coverage-pc-table \
 -Cllvm-args=-sanitizer-coverage-trace-compares"
export RUSTFLAGS CARGO_TARGET_DIR="$PWD/target"
cargo build --locked --release --target "$host"

mkdir -p target/artifacts
for target in "$@"; do
    mkdir -p "target/corpus/$target"
    echo "fuzzing $target for $seconds s"
    "target/$host/release/$target" "target/corpus/$target" "corpus/$target" \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -max_len=4096 \
        -artifact_prefix="target/artifacts/$target-" -print_final_stats=1 -verbosity=0
done
