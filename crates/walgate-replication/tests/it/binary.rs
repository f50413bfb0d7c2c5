//! Values that came in binary form are the bytes that they are as text, and what can't be read in
//! binary form comes as text, in the same place.

use walgate_core::Source;
use walgate_replication::{BinaryValues, SourceConfig};
use walgate_throwaway::PgVersion;

use crate::bed::{Bed, Reader, Seen, config, unique};

/// Each type whose binary form is known, and an expression for its values: random ones, and those
/// whose text has a form of its own.
const TYPES: &[(&str, &str)] = &[
    ("bool", "random() < 0.5"),
    ("int2", "(floor(random() * 65536) - 32768)::int2"),
    (
        "int4",
        "('x' || left(md5(random()::text), 8))::bit(32)::int4",
    ),
    (
        "int8",
        "('x' || left(md5(random()::text), 16))::bit(64)::int8",
    ),
    (
        "oid",
        "('x' || left(md5(random()::text), 8))::bit(32)::int8::text::oid",
    ),
    ("xid", "floor(random() * 4294967296)::int8::text::xid"),
    ("cid", "floor(random() * 4294967296)::int8::text::cid"),
    ("xid8", "floor(random() * 9e18)::int8::text::xid8"),
    (
        "tid",
        "format('(%s,%s)', floor(random() * 4e9), floor(random() * 65535))::tid",
    ),
    (
        "pg_lsn",
        "format('%s/%s', upper(to_hex(floor(random() * 4e9)::int8)), upper(to_hex(i)))::pg_lsn",
    ),
    (
        "float4",
        "CASE i % 4 WHEN 0 THEN pick('{NaN,Infinity,-Infinity,-0,0,3.4028235e38,1e-45,8388608,16777217,1e6,999999}')::float4 \
                    WHEN 1 THEN (2::float8 ^ (i - 75))::float4 \
                    WHEN 2 THEN ((random() - 0.5) * 2 ^ (20 + random() * 40))::float4 \
                    ELSE ((random() - 0.5) * 10 ^ (random() * 70 - 35))::float4 END",
    ),
    (
        "float8",
        "CASE i % 4 WHEN 0 THEN pick('{NaN,Infinity,-Infinity,-0,0,1e23,5e-324,1.7976931348623157e308,1e15,123456789012345,1e-5}')::float8 \
                    WHEN 1 THEN 2::float8 ^ (i * 3 - 200) \
                    WHEN 2 THEN (random() - 0.5) * 2::float8 ^ (50 + random() * 90) \
                    ELSE (random() - 0.5) * 10::float8 ^ (random() * 600 - 300) END",
    ),
    (
        "numeric",
        "CASE i % 3 WHEN 0 THEN pick('{NaN,Infinity,-Infinity,0,0.00,1e-50,-1e100,10000,10000.0001,-0.0001,1e-1000,12345678.9}')::numeric \
                    ELSE round(((random() - 0.5) * 10 ^ (random() * 40 - 10))::numeric, (random() * 20)::int) END",
    ),
    (
        "money",
        "((random() - 0.5) * 10 ^ (random() * 16))::numeric::money",
    ),
    (
        "text",
        "pick($v${\"\",NULL_,\"NULL\",\"null\",a b,\"x\\\"y\",\"back\\\\slash\",\"{b}\",\"c,d\",\"e;f\",ü€😀,\"new\nline\",\"\ttab\",(p),[q]}$v$)",
    ),
    ("varchar(20)", "pick('{a,\"b c\",\"\"}')::varchar(20)"),
    ("char(5)", "pick('{a,\"b c\",\"\"}')::char(5)"),
    ("name", "pick('{a,\"b c\",\"\"}')::name"),
    (
        "\"char\"",
        "CASE WHEN i % 9 = 0 THEN '' ELSE chr(1 + i % 126) END::\"char\"",
    ),
    ("refcursor", "pick('{a,\"b c\"}')::refcursor"),
    ("bytea", "decode(repeat(md5(random()::text), i % 3), 'hex')"),
    ("uuid", "md5(random()::text)::uuid"),
    (
        "json",
        "pick($v${\"{\\\"a\\\":  [1,\n 2]}\",\"null\",\"\\\"x\\\\\\\\y\\\"\"}$v$)::json",
    ),
    (
        "jsonb",
        "jsonb_build_object('a', random(), 'ü\"', ARRAY[i, NULL], 'n', 1e30::numeric)",
    ),
    ("jsonpath", "pick('{$.a,\"$[*] ? (@ > 1)\"}')::jsonpath"),
    (
        "date",
        "CASE i % 3 WHEN 0 THEN pick('{infinity,-infinity,0044-03-15 BC,5874897-12-31,4714-11-24 BC,10000-01-01,2000-02-29}')::date \
                    ELSE date '2000-01-01' + ((random() - 0.5) * 4000000)::int END",
    ),
    (
        "time",
        "CASE i % 3 WHEN 0 THEN pick('{24:00:00,00:00,10:00:00.5,23:59:59.999999}')::time ELSE time '00:00' + random() * interval '1 day' END",
    ),
    (
        "timetz",
        "(pick('{10:00,24:00,01:02:03.04}') || pick('{+05:30,-12:34:56,+00,-08,+15:59:59,-00:00:01}'))::timetz",
    ),
    (
        "timestamp",
        "CASE i % 3 WHEN 0 THEN pick('{infinity,-infinity,0044-03-15 01:02:03.5 BC,294276-12-31 23:59:59.999999,4714-11-24 00:00:00 BC,10000-01-01}')::timestamp \
                    ELSE timestamp '2000-01-01' + (random() - 0.5) * interval '8000 years' END",
    ),
    (
        "timestamptz",
        "CASE i % 3 WHEN 0 THEN pick('{infinity,-infinity,0044-03-15 01:02:03.5+00 BC,1999-12-31 23:59:59.999999+00}')::timestamptz \
                    ELSE timestamptz '2000-01-01' + (random() - 0.5) * interval '3000 years' END",
    ),
    (
        "interval",
        "CASE i % 3 WHEN 0 THEN pick('{0,-0.5 seconds,1 mon -1 day 02:03:04.5,-1 mon,2147483647 days,-2147483648 days,-178000000 years,1 year -1 day,-0.000001 seconds,100000:00:00}')::interval \
                    ELSE make_interval(months => ((random() - 0.5) * 400)::int, days => ((random() - 0.5) * 100)::int, secs => (random() - 0.5) * 1e6) END",
    ),
    (
        "inet",
        "CASE i % 4 WHEN 0 THEN pick('{::,::1,::2,::ffff:1.2.3.4,::1.2.3.4,1::,1:0:0:2::/64,2001:db8::1,0:0:1::/48,10.0.0.0/8,1.2.3.4,::ffff:0:0/96,0.0.0.0/0}')::inet \
                    ELSE (SELECT string_agg(CASE WHEN random() < 0.6 THEN '0' ELSE to_hex((random() * 65535)::int) END, ':') \
                            FROM generate_series(1, 8 + 0 * i))::inet END",
    ),
    (
        "cidr",
        "set_masklen(pick('{10.1.2.3,255.255.255.255,2001:db8:1:2:3:4:5:6,::}')::inet, (random() * 32)::int)::cidr",
    ),
    ("macaddr", "left(md5(random()::text), 12)::macaddr"),
    ("macaddr8", "left(md5(random()::text), 16)::macaddr8"),
    ("bit(11)", "(random() * 2047)::int::bit(11)"),
    (
        "varbit",
        "left((random() * 1e9)::int::bit(32)::text, i % 33)::varbit",
    ),
    (
        "point",
        "point((random() - 0.5) * 1e10, 10 ^ (i % 40 - 20))",
    ),
    ("lseg", "lseg(point(random(), i), point(-1, 'NaN'))"),
    ("box", "box(point(random(), i), point(1e20, -0.0))"),
    (
        "path",
        "pick('{\"[(0,0),(1.5,2),(3,-4)]\",\"((1,2),(3,4e30))\"}')::path",
    ),
    ("polygon", "polygon(2 + i % 5, circle(point(i, 0), 1))"),
    ("line", "line(point(0, random()), point(1, i))"),
    ("circle", "circle(point(i, 0.1), random())"),
    ("int2vector", "pick('{\"1 2 -3\",7,\"\"}')::int2vector"),
    ("oidvector", "pick('{\"1 2 4000000000\",\"\"}')::oidvector"),
    (
        "int4range",
        "pick('{empty,\"[1,5)\",\"(,3)\",\"[7,)\",\"(,)\"}')::int4range",
    ),
    ("int8range", "int8range(i, i + 10)"),
    (
        "numrange",
        "numrange(random()::numeric, 2.50, pick('{[],(),[),(]}'))",
    ),
    ("daterange", "daterange(date '2000-01-01' + i, NULL)"),
    (
        "tsrange",
        "tsrange(timestamp '2000-01-01 01:02:03.4' + i * interval '1 h', 'infinity', '[]')",
    ),
    (
        "tstzrange",
        "tstzrange('-infinity', timestamptz '2000-01-01 01:02+00' + i * interval '1 h')",
    ),
    (
        "int4multirange",
        "pick('{\"{}\",\"{[1,5),[7,9)}\",\"{(,)}\"}')::int4multirange",
    ),
    (
        "tsmultirange",
        "tsmultirange(tsrange(timestamp '2000-01-01', timestamp '2000-01-02 00:00:01'), tsrange(timestamp '2001-01-01', NULL))",
    ),
    (
        "mood",
        "pick($v${sad,\"a,b\",\"x\\\"y\",ü,\"null\"}$v$)::mood",
    ),
    ("small", "(random() * 100)::int"),
    ("feeling", "pick('{sad,ü}')::feeling"),
    (
        "textrange",
        "textrange(pick($v${\"\",a b,\"a\\\"b\",\"a\\\\b\",\"(a\",a}$v$), 'z')",
    ),
];

/// Types that are made of others in ways that arrays of the above are not.
const MADE: &[(&str, &str)] = &[
    ("int4[]", "'[0:1][-1:1]={{1,NULL,3},{4,5,6}}'::int4[]"),
    (
        "text[]",
        "ARRAY[[[pick($v${\"\",\"NULL\",x}$v$), NULL]], [['a b', '\"']]]",
    ),
    ("text[]", "'{}'::text[]"),
    ("ints", "ARRAY[i, NULL]"),
    ("ints[]", "ARRAY[ARRAY[i, 2]::ints, NULL, '{}'::ints]"),
];

const SETUP: &str = "\
    CREATE TYPE mood AS ENUM ('sad', 'a,b', 'x\"y', 'ü', 'null'); \
    CREATE DOMAIN small AS int4 CHECK (VALUE < 1000); CREATE DOMAIN ints AS int4[]; \
    CREATE DOMAIN feeling AS mood; CREATE TYPE textrange AS RANGE (subtype = text); \
    CREATE FUNCTION pick(text[]) RETURNS text LANGUAGE sql VOLATILE AS \
        'SELECT $1[1 + floor(random() * cardinality($1))::int]'";

/// Rows of each run: enough for each of the values that are picked from.
const ROWS: usize = 160;

fn as_text(mut config: SourceConfig) -> SourceConfig {
    config.binary = BinaryValues::Off;
    config
}

fn in_binary(mut config: SourceConfig) -> SourceConfig {
    config.binary = BinaryValues::Auto;
    config
}

/// Whether the walsender of a slot was asked for values in binary form.
fn is_binary(bed: &Bed, slot: &str) -> bool {
    let asked = bed.text(&format!(
        "SELECT a.query FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid \
          WHERE s.slot_name = '{slot}'"
    ));
    assert!(asked.starts_with("START_REPLICATION"), "{asked}");
    asked.contains("binary 'true'")
}

/// A table with all types and arrays of them, as a table of random rows.
fn table() -> (String, String) {
    let (mut columns, mut values) = (Vec::new(), Vec::new());
    for (place, (of, value)) in TYPES.iter().enumerate() {
        columns.push(format!("c{place} {of}, a{place} {of}[]"));
        values.push(format!(
            "CASE WHEN i % 13 > 0 THEN {value} END, ARRAY[{value}, NULL, {value}]::{of}[]"
        ));
    }
    for (place, (of, value)) in MADE.iter().enumerate() {
        columns.push(format!("m{place} {of}"));
        values.push(format!("({value})::{of}"));
    }
    let create = format!("CREATE TABLE v (id int, {})", columns.join(", "));
    let insert = format!(
        "INSERT INTO v SELECT i, {} FROM generate_series(1, {ROWS}) i",
        values.join(", ")
    );
    (create, insert)
}

async fn compare(version: PgVersion) {
    let bed = Bed::new(version);
    bed.sql(SETUP);
    let (create, insert) = table();
    bed.sql(&create);
    bed.sql("ALTER TABLE v REPLICA IDENTITY FULL; CREATE PUBLICATION p FOR TABLE v");
    let slots = [unique("binary"), unique("text")];
    let start = |config| Reader::start(config, None);
    let mut binary = start(in_binary(config(&bed.url(), &slots[0])))
        .await
        .expect("starts");
    let mut text = start(as_text(config(&bed.url(), &slots[1])))
        .await
        .expect("starts");
    assert!(is_binary(&bed, &slots[0]), "{version}: a type has no form");
    assert!(!is_binary(&bed, &slots[1]));
    bed.sql(&insert);
    bed.sql(
        "UPDATE v SET id = -id WHERE id % 7 = 0; DELETE FROM v WHERE id % 5 = 0; \
             INSERT INTO v (id) VALUES (1000)",
    );
    for reader in [&mut binary, &mut text] {
        reader.until_row("insert v 1000,").await.expect("streams");
    }
    assert!(binary.seen.len() > ROWS);
    for (ours, theirs) in binary.seen.iter().zip(&text.seen) {
        assert_eq!(ours, theirs, "{version}");
    }
    assert_eq!(binary.seen.len(), text.seen.len());
    assert!(is_binary(&bed, &slots[0]), "{version}: it has fallen back");
    for mut reader in [binary, text] {
        reader.source.close().await.expect("closes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_is_the_same_in_both_forms() {
    for version in PgVersion::ALL {
        compare(version).await;
    }
}

/// In the middle of a transaction, and of the stream, a type comes that has no form, and a value that
/// has no certain text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_form_comes_as_text_in_the_same_place() {
    let bed = Bed::new(PgVersion::V18);
    bed.sql("CREATE TABLE t (id int PRIMARY KEY, v interval); CREATE PUBLICATION p FOR ALL TABLES");
    let slots = [unique("binary"), unique("text")];
    let ours = in_binary(config(&bed.url(), &slots[0]));
    let mut binary = Reader::start(ours.clone(), None).await.expect("starts");
    let theirs = as_text(config(&bed.url(), &slots[1]));
    let mut text = Reader::start(theirs, None).await.expect("starts");
    bed.sql("INSERT INTO t VALUES (1, '1 day')");
    binary.until_row("insert t 1,P1D").await.expect("streams");
    assert!(is_binary(&bed, &slots[0]));
    // A type of which the catalog knew nothing costs a connection, and no more.
    bed.sql(
        "CREATE TYPE late AS ENUM ('x'); CREATE TABLE l (id int PRIMARY KEY, m late[]); \
         BEGIN; INSERT INTO t VALUES (10, NULL); INSERT INTO l VALUES (1, '{x,NULL}'); COMMIT",
    );
    for reader in [&mut binary, &mut text] {
        reader
            .until_row("insert l 1,{x,NULL}")
            .await
            .expect("streams");
    }
    assert!(is_binary(&bed, &slots[0]), "its labels are text");
    same_without_repetition(&mut binary, &text);

    bed.sql(
        "CREATE TYPE pair AS (a int, b text); \
         BEGIN; INSERT INTO t VALUES (2, '2 days'); CREATE TABLE w (id int PRIMARY KEY, p pair, v tsvector); \
         INSERT INTO w VALUES (1, (1, 'x y'), 'a b'); INSERT INTO t VALUES (3, '3 days'); COMMIT; \
         INSERT INTO t VALUES (4, 'infinity')",
    );
    for reader in [&mut binary, &mut text] {
        reader
            .until_row("insert t 4,infinity")
            .await
            .expect("streams");
    }
    assert!(!is_binary(&bed, &slots[0]), "w has types without a form");
    same_without_repetition(&mut binary, &text);

    // Whoever begins behind it looks at the catalog again, and a value may have no certain text.
    bed.sql("DROP TABLE w; DELETE FROM t");
    for reader in [&mut binary, &mut text] {
        reader.until_row("delete t 4,").await.expect("streams");
        reader.confirm();
    }
    let checkpoint = binary.checkpoint();
    binary.source.close().await.expect("closes");
    let mut again = Reader::start(ours, Some(checkpoint)).await.expect("starts");
    assert!(is_binary(&bed, &slots[0]), "w is gone");
    bed.sql("BEGIN; INSERT INTO t VALUES (5, '5 days'), (6, '-infinity'), (7, '7 days'); COMMIT");
    for reader in [&mut again, &mut text] {
        reader.until_row("insert t 7,P7D").await.expect("streams");
    }
    assert!(!is_binary(&bed, &slots[0]));
    let from = binary.seen.last().expect("rows").id;
    text.seen.retain(|seen| seen.id > from);
    same_without_repetition(&mut again, &text);
    for mut reader in [again, text] {
        reader.source.close().await.expect("closes");
    }
}

/// A transaction that was cut comes again from its begin, with the same positions.
fn same_without_repetition(binary: &mut Reader, text: &Reader) {
    let (mut seen, mut repeated): (Vec<Seen>, usize) = (Vec::new(), 0);
    for own in &binary.seen {
        match seen.last() {
            Some(last) if own.id <= last.id => {
                assert!(seen.contains(own), "{own:?}");
                repeated += 1;
            }
            _ => seen.push(own.clone()),
        }
    }
    assert!(
        repeated > 0,
        "the connection was not cut inside of a transaction"
    );
    assert_eq!(seen, text.seen);
}
