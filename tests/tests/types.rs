//! Every type of FORMAT.md, with PostgreSQL itself as the oracle: what comes out of the log is
//! compared with what the server says of the same value in a query under the pinned settings.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use postgres::Client;
use serde_json::Value;
use serde_json::value::RawValue;
use walgate_tests::{Program, alarms, database, session, versions};
use walgate_throwaway::PgVersion;

/// The settings that the connection pins, so that the oracle speaks as the log does.
const PINNED: &str = "set datestyle = 'ISO'; set intervalstyle = 'iso_8601'; set timezone = 'UTC';
set extra_float_digits = 3; set bytea_output = 'hex'; set lc_monetary = 'C';
set search_path = ''; set quote_all_identifiers = off";

/// How the oracle is asked for a value `v`: an expression that gives JSON text.
/// `format` asks the type's output function, as the log does; a cast to text is another thing for
/// inet and char.
const TEXT: &str = "case when v is not null then to_json(format('%s', v))::text end";
const NUMBER: &str = "v::text";
const FLOAT: &str = "case when v::text in ('NaN', 'Infinity', '-Infinity') then to_json(v::text)::text else v::text end";
const JSON: &str = r"translate(v::text, E'\n\r', '  ')";
const BYTEA: &str = r"to_json(translate(encode(v, 'base64'), E'\n', ''))::text";
/// ISO 8601 with `T`, except for what has no such form.
const STAMP: &str = "to_json(case when isfinite(v) and extract(year from v) between 1 and 9999
    then regexp_replace(replace(v::text, ' ', 'T'), '\\+00$', 'Z') else v::text end)::text";
const TIMETZ: &str = "to_json(regexp_replace(v::text, '([+-]\\d\\d)$', '\\1:00'))::text";

/// Types, how to ask for them, and values that have hurt somebody.
const TYPES: &[(&str, &str, &[&str])] = &[
    (
        "bool",
        "case when v then 'true' when not v then 'false' end",
        &["t", "f"],
    ),
    ("int2", NUMBER, &["0", "-32768", "32767"]),
    ("int4", NUMBER, &["0", "-2147483648", "2147483647"]),
    ("oid", NUMBER, &["0", "4294967295"]),
    (
        "int8",
        NUMBER,
        &[
            "0",
            "-9223372036854775808",
            "9223372036854775807",
            "9007199254740993",
        ],
    ),
    (
        "float4",
        FLOAT,
        &[
            "0",
            "-0",
            "1.5",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e-37",
            "3.4e38",
            "0.1",
        ],
    ),
    (
        "float8",
        FLOAT,
        &[
            "0",
            "-0",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e-307",
            "1.7976931348623157e308",
            "0.1",
            "1e20",
            "123456789.125",
            "5e-324",
        ],
    ),
    (
        "numeric",
        TEXT,
        &[
            "0",
            "-0.00",
            "NaN",
            "Infinity",
            "-Infinity",
            "1e-20",
            "123456789012345678901234567890.123456789",
            "1.10",
        ],
    ),
    ("numeric(10,2)", TEXT, &["1.5", "99999999.99"]),
    ("money", TEXT, &["12.34", "-0.01", "92233720368547758.07"]),
    (
        "text",
        TEXT,
        &[
            "",
            "plain",
            "quote \" backslash \\ slash /",
            "tab\tfeed\nreturn\r",
            "\u{1}\u{1f}\u{7f}",
            "ünï 表 🐘",
            "NULL",
            "null",
            "{}",
            "\u{2028}",
        ],
    ),
    ("varchar(20)", TEXT, &["", "x"]),
    ("char(5)", TEXT, &["ab"]),
    ("\"char\"", TEXT, &["a", ""]),
    ("name", TEXT, &["some_name"]),
    ("uuid", TEXT, &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    (
        "json",
        JSON,
        &[
            "{}",
            "null",
            "{\"a\": 1, \"a\": 2}",
            "[1e400, 123456789012345678901234567890]",
            "\"\\u0000\"",
            "\"\\ud800\"",
            "{\n \"a\" :\r\n [ 1,\n2 ]\n}",
            "\"line\\nfeed\"",
        ],
    ),
    (
        "jsonb",
        JSON,
        &[
            "{}",
            "null",
            "{\"b\": [1, 2.50, {\"c\": null}], \"a\": \"x\\\"y\"}",
            "12345678901234567890.5",
            "\"é\"",
        ],
    ),
    (
        "bytea",
        BYTEA,
        &[
            "\\x",
            "\\x00ff10",
            "\\xdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
        ],
    ),
    (
        "date",
        TEXT,
        &[
            "2026-11-21",
            "0001-01-01",
            "9999-12-31",
            "infinity",
            "-infinity",
            "4713-01-01 BC",
            "5874897-12-31",
            "10000-01-01",
        ],
    ),
    (
        "time",
        TEXT,
        &["00:00:00", "24:00:00", "09:30:00.123456", "09:30:00.5"],
    ),
    (
        "timetz",
        TIMETZ,
        &[
            "10:00:00+02",
            "10:00:00.5-05:30",
            "00:00:00+15:59:59",
            "24:00:00-15:59:59",
            "10:00:00+00",
        ],
    ),
    (
        "timestamp",
        STAMP,
        &[
            "2026-11-21 09:30:00",
            "2026-11-21 09:30:00.123456",
            "2026-11-21 09:30:00.5",
            "infinity",
            "-infinity",
            "0044-03-15 12:00:00 BC",
            "294276-12-31 23:59:59.999999",
            "0001-01-01 00:00:00",
            "9999-12-31 23:59:59.999999",
            "10000-01-01 00:00:00",
        ],
    ),
    (
        "timestamptz",
        STAMP,
        &[
            "2026-11-21 09:30:00+00",
            "2026-11-21 09:30:00.123456+02",
            "infinity",
            "-infinity",
            "4713-01-01 00:00:00+00 BC",
            "294276-12-31 23:59:59.999999+00",
            "10000-01-01 00:00:00+00",
            "0001-01-01 00:00:00+00",
        ],
    ),
    (
        "interval",
        TEXT,
        &[
            "0",
            "1 year 2 mons 3 days 04:05:06.789",
            "-1 year +2 days -03:00:00",
            "178000000 years",
            "-00:00:00.000001",
        ],
    ),
    ("inet", TEXT, &["192.168.0.1/24", "::1", "10.0.0.1"]),
    ("cidr", TEXT, &["10.0.0.0/8"]),
    ("macaddr", TEXT, &["08:00:2b:01:02:03"]),
    ("macaddr8", TEXT, &["08:00:2b:01:02:03:04:05"]),
    ("bit(3)", TEXT, &["101"]),
    ("varbit", TEXT, &["", "10101"]),
    ("xml", TEXT, &["<a>b</a>"]),
    ("int4range", TEXT, &["[1,5)", "empty", "(,)", "[1,)"]),
    ("numrange", TEXT, &["[1.5,2.5]"]),
    (
        "tstzrange",
        TEXT,
        &["[\"2026-01-01 00:00:00+00\",infinity)"],
    ),
    ("int4multirange", TEXT, &["{}", "{[1,5),[7,9)}"]),
    ("point", TEXT, &["(1,2)"]),
    ("line", TEXT, &["{1,2,3}"]),
    ("lseg", TEXT, &["[(0,0),(1,1)]"]),
    ("box", TEXT, &["(1,1),(0,0)"]),
    ("path", TEXT, &["((0,0),(1,1))", "[(0,0),(1,1)]"]),
    ("polygon", TEXT, &["((0,0),(1,1),(1,0))"]),
    ("circle", TEXT, &["<(0,0),1>"]),
    ("tsvector", TEXT, &["'a' 'b':1A"]),
    ("tsquery", TEXT, &["'a' & 'b'"]),
    ("pg_lsn", TEXT, &["0/14A2F60"]),
    ("xid", TEXT, &["4294967295"]),
    ("tid", TEXT, &["(1,2)"]),
    ("regclass", TEXT, &["pg_catalog.pg_class"]),
    ("int2vector", TEXT, &["1 2 3"]),
    ("oidvector", TEXT, &["1 2"]),
];

/// Arrays: type, how to ask for an element's array as JSON, values.
const ARRAYS: &[(&str, &str, &[&str])] = &[
    (
        "int4[]",
        "to_json(v)::text",
        &[
            "{}",
            "{1,NULL,3}",
            "{{1,2},{3,4}}",
            "[0:2]={7,8,9}",
            "[-1:0][2:3]={{1,2},{3,4}}",
        ],
    ),
    (
        "text[]",
        "to_json(v)::text",
        &[
            "{}",
            "{a,NULL,\"NULL\",\"null\"}",
            "{\"\",\"a b\",\"a,b\",\"a\\\"b\",\"a\\\\b\",\"{x}\"}",
            "{{a},{NULL}}",
            "{\" lead\",\"trail \"}",
        ],
    ),
    ("bool[]", "to_json(v)::text", &["{t,f,NULL}"]),
    (
        "numeric[]",
        "to_json(v::text[])::text",
        &["{1.50,NaN,NULL}"],
    ),
    ("float8[]", "to_json(v::text[])::text", &["{NaN,Infinity}"]),
    (
        "uuid[]",
        "to_json(v::text[])::text",
        &["{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}"],
    ),
    (
        "jsonb[]",
        "to_json(v)::text",
        &["{\"{\\\"a\\\": [1, null]}\",\"null\",NULL,\"\\\"x\\\"\"}"],
    ),
    (
        "box[]",
        "to_json(v::text[])::text",
        &["{(1,1),(0,0);(2,2),(1,1)}"],
    ),
    (
        "int4range[]",
        "to_json(v::text[])::text",
        &["{\"[1,5)\",empty,NULL}"],
    ),
    (
        "date[]",
        "to_json(v::text[])::text",
        &["{2026-11-21,infinity}"],
    ),
    ("inet[]", "to_json(v)::text", &["{10.0.0.1,NULL}"]),
];

/// `v` of an event's `after`, as it was written.
#[derive(serde::Deserialize)]
struct Row<'a> {
    id: usize,
    #[serde(borrow)]
    v: &'a RawValue,
}

#[derive(serde::Deserialize)]
struct Insert<'a> {
    table: String,
    #[serde(borrow)]
    after: Row<'a>,
}

/// What the oracle says of each row, by the number of its type and its id.
type Expected = BTreeMap<(usize, i32), String>;

fn all_types() -> Vec<&'static (&'static str, &'static str, &'static [&'static str])> {
    TYPES.iter().chain(ARRAYS).collect()
}

fn check(version: PgVersion) -> Result<()> {
    if !versions().contains(&version) {
        return Ok(());
    }
    let url = database(version, "types")?;
    let mut client = session(&url)?;
    let expected = prepare(&mut client, version)?;
    let slot = ["--slot", "types", "--publication", "walgate"];
    let end = ["--until", "now", "--format", "json"];
    let ended = Program::start(["tail", &url].into_iter().chain(slot).chain(end))?.wait()?;
    client.batch_execute("select pg_drop_replication_slot('types')")?;
    let (status, stderr) = (ended.status, &ended.stderr);
    ensure!(status.success(), "walgate ended with {status}: {stderr}");
    ensure!(
        alarms(stderr, &[]).is_empty(),
        "unexpected in the log: {stderr}"
    );
    let (got, wanted) = (ended.lines.len(), expected.len());
    ensure!(got == wanted, "{got} events of {wanted}");
    let differences = compare(&ended.lines, &expected)?;
    ensure!(
        differences.is_empty(),
        "on {version}:\n{}",
        differences.join("\n")
    );
    Ok(())
}

/// Makes a table of each type, a slot, and then the rows; returns what the oracle says of them.
fn prepare(client: &mut Client, version: PgVersion) -> Result<Expected> {
    client.batch_execute(PINNED)?;
    let tables: Vec<String> = (0..all_types().len())
        .map(|n| format!("public.t{n}"))
        .collect();
    for (table, (name, _, _)) in tables.iter().zip(all_types()) {
        client.batch_execute(&format!(
            "create table {table} (id int primary key, v {name})"
        ))?;
    }
    let publication = format!("create publication walgate for table {}", tables.join(", "));
    client.batch_execute(&publication)?;
    client.batch_execute("select pg_create_logical_replication_slot('types', 'pgoutput')")?;
    let mut expected = Expected::new();
    for (number, (table, (name, oracle, values))) in tables.iter().zip(all_types()).enumerate() {
        let supported = fill(client, version, table, name, values)?;
        ensure!(supported > 0, "{name} has a value on {version}");
        for row in client.query(&format!("select id, {oracle} from {table}"), &[])? {
            let json: Option<String> = row.get(1);
            expected.insert((number, row.get(0)), json.unwrap_or_else(|| "null".into()));
        }
    }
    Ok(expected)
}

/// Where the events and the oracle differ.
fn compare(lines: &[String], expected: &Expected) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    for line in lines {
        let event: Insert<'_> = serde_json::from_str(line).with_context(|| line.clone())?;
        let number: usize = event.table.trim_start_matches('t').parse()?;
        let id = i32::try_from(event.after.id)?;
        let oracle = expected
            .get(&(number, id))
            .context("a row that was inserted")?;
        if let Err(error) = same(event.after.v.get(), oracle) {
            differences.push(format!("{}: {error:#}", all_types()[number].0));
        }
    }
    Ok(differences)
}

/// Inserts the values and a NULL; what a version does not know (infinite numerics and intervals)
/// is left out.
fn fill(
    client: &mut Client,
    version: PgVersion,
    table: &str,
    name: &str,
    values: &[&str],
) -> Result<usize> {
    let mut supported = 0;
    for (id, value) in (1..).zip(values) {
        let value = value.replace('\'', "''");
        let insert = format!("insert into {table} values ({id}, '{value}'::{name})");
        match client.batch_execute(&insert) {
            Ok(()) => supported += 1,
            Err(error) => ensure!(
                version < PgVersion::V17,
                "{name} {value} on {version}: {error}"
            ),
        }
    }
    client.batch_execute(&format!("insert into {table} values (0, null)"))?;
    Ok(supported)
}

/// The same JSON: numbers and verbatim JSON to the byte, strings by their content.
fn same(got: &str, oracle: &str) -> Result<()> {
    if got == oracle {
        return Ok(());
    }
    let (got_value, oracle_value): (Value, Value) = (
        serde_json::from_str(got).with_context(|| format!("got {got}"))?,
        serde_json::from_str(oracle).with_context(|| format!("oracle {oracle}"))?,
    );
    let strings = |value: &Value| value.is_string() || value.is_array();
    ensure!(
        strings(&got_value) && got_value == oracle_value,
        "got {got}, the oracle says {oracle}"
    );
    Ok(())
}

#[test]
fn types_on_14() {
    check(PgVersion::V14).unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn types_on_15() {
    check(PgVersion::V15).unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn types_on_16() {
    check(PgVersion::V16).unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn types_on_17() {
    check(PgVersion::V17).unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn types_on_18() {
    check(PgVersion::V18).unwrap_or_else(|error| panic!("{error:#}"));
}
