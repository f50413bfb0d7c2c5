#!/bin/sh
# Captures what a real PostgreSQL sends, as test data of walgate-pgoutput and seeds of the fuzz
# targets.
#
#   tests/fuzz/capture.sh BINDIR [OUTDIR]
#
# BINDIR holds initdb, pg_ctl and postgres (15 or later); psql and perl come from PATH. As root the
# server runs as the user postgres. A capture is one byte for the dialect (high half: version, low
# half: 0 streaming off, 1 on, 2 parallel), then every message behind its 32-bit length.
set -eu

bin=$1
here=$(cd "$(dirname "$0")" && pwd)
captures=$here/../../crates/walgate-pgoutput/tests/captures
out=${2:-$captures}
mkdir -p "$out"
dir=$(mktemp -d)
if [ "$(id -u)" = 0 ]; then
    chown postgres "$dir"
    as() { su postgres -s /bin/sh -c "$1"; }
else
    as() { sh -c "$1"; }
fi
trap 'as "$bin/pg_ctl -D $dir/data -m immediate stop" >/dev/null 2>&1 || true; rm -rf "$dir"' EXIT

as "$bin/initdb -D $dir/data -U postgres -A trust -E UTF8 --no-locale" >/dev/null
cat >>"$dir/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$dir'
wal_level = logical
max_prepared_transactions = 10
logical_decoding_work_mem = 64kB
autovacuum = off
fsync = off
CONF
as "$bin/pg_ctl -D $dir/data -l $dir/log -w start" >/dev/null
export PGHOST="$dir" PGUSER=postgres PGDATABASE=postgres PGCLIENTENCODING=UTF8 PGTZ=UTC
sql() { psql -qXAt -v ON_ERROR_STOP=1 "$@"; }
major=$(($(sql -c 'SHOW server_version_num') / 10000))

# peek NAME SLOT VERSION STREAMING OPTIONS
peek() {
    case $4 in off) mode=0 streaming= ;; on) mode=1 ;; parallel) mode=2 ;; esac
    [ "$4" = off ] || streaming=", 'streaming', '$4'"
    file="$out/pg$major.$1.v$3.$4.bin"
    {
        echo "$3$mode"
        sql -c "SELECT encode(data, 'hex') FROM pg_logical_slot_peek_binary_changes('$2', NULL,
            NULL, 'proto_version', '$3', 'publication_names', 'p', 'messages', 'true'
            $streaming ${5-})"
    } | perl -ne 'chomp; $b = pack("H*", $_); print $. > 1 ? pack("N", length $b) : "", $b' >"$file"
    echo "$file: $(wc -c <"$file") bytes"
}

sql -f "$here/capture/schema.sql"
sql -c "SELECT pg_create_logical_replication_slot('dml', 'pgoutput')" >/dev/null
sql -f "$here/capture/dml.sql" >/dev/null
peek dml dml 1 off
peek dml-binary dml 1 off ", 'binary', 'true'"
sql -c "SELECT pg_drop_replication_slot('dml')"

sql -c "SELECT pg_create_logical_replication_slot('streams', 'pgoutput')" >/dev/null
sql -f "$here/capture/streams.sql" >/dev/null
peek streams streams 2 on
if [ "$major" -ge 16 ]; then
    peek streams streams 4 on
    peek streams streams 4 parallel
fi
sql -c "SELECT pg_drop_replication_slot('streams')"

# A slot that was created for two-phase decoding sends prepares under every version.
sql -c "SELECT pg_create_logical_replication_slot('two', 'pgoutput', false, true)" >/dev/null
sql -f "$here/capture/two_phase.sql" >/dev/null
peek two-phase two 1 off
peek two-phase two 3 on

# The seeds are made of what is committed: of 15 dml, dml-binary and streams.v2, of 18 streams.v4
# and two-phase. More would only repeat them.
perl "$here/capture/seeds.pl" "$here/corpus" "$captures"/*.bin
