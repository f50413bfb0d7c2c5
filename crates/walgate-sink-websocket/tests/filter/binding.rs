//! Types: what a literal means for a column, and what it can't mean.

use walgate_core::{Oid, Relation, ReplicaIdentity, Scalar, Shape};
use walgate_sink_websocket::filter::{Bound, Filter, Truth};

use crate::bed::{BOOL, INT4, INT8, TEXT, bind, bound, column, column_of, holds, relation, row};

fn moves() -> Relation {
    let columns = vec![
        column("id", INT8),
        column("level", TEXT),
        column("salary", 1700),
        column("done", BOOL),
        column("at", 1184),
        column("local_at", 1114),
        column("day", 1082),
        column("payload", 3802),
        column("tags", 1009),
        column("waited", 1186),
        column("host", 869),
        column("agent", 2950),
        column("score", 701),
        column_of("mood", "mood", Shape::TEXT),
        column_of("speed", "int4", Shape::Scalar(Scalar::Integer)),
        column_of(
            "moods",
            "_mood",
            Shape::Array {
                element: Scalar::Text,
                delimiter: b',',
            },
        ),
    ];
    relation(ReplicaIdentity::Default, columns)
}

/// Filters that do not fit the table, and the beginning of what is said of each.
const MISFITS: &[(&str, &str)] = &[
    (
        "levle = 'x'",
        "table public.moves has no column levle; its columns are id, level, salary",
    ),
    ("Level = 'x'", "table public.moves has no column Level;"),
    (
        "id = abc",
        "column id of public.moves is int8, so that 'abc' has to be a number, such as 20",
    ),
    (
        "id = true",
        "column id of public.moves is int8, so that true has to be a number",
    ),
    (
        "id = NaN",
        "column id of public.moves is int8, so that 'NaN' has to be a number",
    ),
    (
        "salary = 1e131071",
        "column salary of public.moves is numeric, so that 1e131071 has to be",
    ),
    (
        "level = true",
        "column level of public.moves is text, so that true has to be a text in single quotes",
    ),
    (
        "level < 5",
        "column level of public.moves is text, so that 5 has to be a text in single quotes",
    ),
    (
        "done = 1",
        "column done of public.moves is bool, so that 1 has to be true or false",
    ),
    (
        "at > yesterday",
        "column at of public.moves is timestamptz, so that 'yesterday' has to be a time, such as 2026-11-21T09:30:00Z, or infinity",
    ),
    (
        "at > 2026-02-30",
        "column at of public.moves is timestamptz, so that '2026-02-30' has to be a time",
    ),
    (
        "local_at > 2026-11-21T09:30:00Z",
        "column local_at of public.moves is timestamp, so that '2026-11-21T09:30:00Z' has to be a time without a zone",
    ),
    (
        "day = 2026-11-21T09:30:00",
        "column day of public.moves is date, so that '2026-11-21T09:30:00' has to be a date",
    ),
    (
        "payload = '{}'",
        "column payload of public.moves is jsonb, which filters do not compare; use is null or is not null",
    ),
    (
        "tags in (a)",
        "column tags of public.moves is an array, which filters do not compare",
    ),
    (
        "moods = '{}'",
        "column moods of public.moves is _mood, which filters do not compare",
    ),
    (
        "waited < '1 day'",
        "column waited of public.moves is interval, which filters do not compare",
    ),
    (
        "host = nowhere",
        "column host of public.moves is inet, so that 'nowhere' has to be an address or a network",
    ),
    (
        "host > 10.0.0.1",
        "column host of public.moves is inet, whose order the stream does not tell; use = or in",
    ),
    (
        "agent = 1",
        "column agent of public.moves is uuid, so that 1 has to be a uuid",
    ),
    (
        "mood > sad",
        "column mood of public.moves is mood, whose order the stream does not tell; use = or in",
    ),
    (
        "score = 1e999",
        "column score of public.moves is float8, so that 1e999 has to be a number",
    ),
    (
        "speed = fast",
        "column speed of public.moves is int4, so that 'fast' has to be a number",
    ),
];

#[test]
fn what_does_not_fit_is_named_with_what_would() {
    for (text, expected) in MISFITS.iter().copied() {
        let error = bind(text, &moves()).expect_err(text).to_string();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn a_hidden_column_is_none() {
    let moves = moves();
    let filter = Filter::parse("salary > 100000").unwrap();
    let hidden = filter.bind(&moves, |place| place != 2).unwrap_err();
    let text = hidden.to_string();
    assert!(
        text.starts_with("table public.moves has no column salary; "),
        "{text}"
    );
    assert!(!text.contains("level, salary"), "{text}");
    let unknown = Filter::parse("nothing > 100000").unwrap();
    let unknown = unknown.bind(&moves, |place| place != 2).unwrap_err();
    assert_eq!(text, unknown.to_string().replace("nothing", "salary"));
    let none = filter.bind(&moves, |_| false).unwrap_err().to_string();
    assert!(none.ends_with("; it has none that can be seen"), "{none}");
}

#[test]
fn the_columns_of_a_wide_table_are_not_all_named() {
    let columns = (0..1600)
        .map(|place| column(&format!("c{place}"), INT4))
        .collect();
    let error = bind("x = 1", &relation(ReplicaIdentity::Default, columns)).unwrap_err();
    let text = error.to_string();
    assert!(text.ends_with(", c19 and 1580 more"), "{text}");
}

pub(crate) const TRUE: Truth = Truth::True;
const FALSE: Truth = Truth::False;

/// A value of a column `c`, a filter, and whether the value matches.
pub(crate) const MATCHES: &[(Oid, &str, &str, Truth)] = &[
    (INT8, "20", "c = 20", TRUE),
    (INT8, "20", "c = '20'", TRUE),
    (INT8, "20", "c = 20.0", TRUE),
    (INT8, "20", "c = 2e1", TRUE),
    (INT8, "20", "c = 20.5", FALSE),
    (INT8, "20", "c <> 20.5", TRUE),
    (INT8, "20", "c < 20.5", TRUE),
    (INT8, "21", "c < 20.5", FALSE),
    (INT8, "21", "c >= 20.5", TRUE),
    (INT8, "-21", "c <= -20.5", TRUE),
    (INT8, "-20", "c <= -20.5", FALSE),
    (INT8, "9223372036854775807", "c < 9223372036854775808", TRUE),
    (
        INT8,
        "9223372036854775807",
        "c > 9223372036854775808",
        FALSE,
    ),
    (
        INT8,
        "-9223372036854775808",
        "c > -9223372036854775809",
        TRUE,
    ),
    (
        INT8,
        "-9223372036854775808",
        "c <= -9223372036854775809",
        FALSE,
    ),
    (26, "4294967295", "c > 4294967294", TRUE),
    (BOOL, "t", "c = true", TRUE),
    (BOOL, "f", "c = no", TRUE),
    (BOOL, "f", "c < true", TRUE),
    (1700, "1.50", "c = 1.5", TRUE),
    (1700, "NaN", "c = NaN", TRUE),
    (1700, "NaN", "c > Infinity", TRUE),
    (
        1700,
        "12345678901234567890123456789.1",
        "c > 12345678901234567890123456789",
        TRUE,
    ),
    (701, "0.1", "c = 0.1", TRUE),
    (701, "-0", "c = 0", TRUE),
    (701, "NaN", "c > Infinity", TRUE),
    (701, "NaN", "c in (1, NaN)", TRUE),
    (700, "0.1", "c = 0.1", TRUE),
    (TEXT, "5", "c = 5", TRUE),
    (TEXT, "1.10", "c = 1.10", TRUE),
    (TEXT, "1.1", "c = 1.10", FALSE),
    (TEXT, "Z", "c < a", TRUE),
    (TEXT, "a ", "c = a", FALSE),
    (1042, "a  ", "c = a", TRUE),
    (1042, "a  ", "c = 'a '", TRUE),
    (
        2950,
        "018f4f6e-0000-7000-8000-00000000000a",
        "c = '{018F4F6E000070008000-00000000000A}'",
        TRUE,
    ),
    (869, "10.0.0.1", "c = 10.0.0.1/32", TRUE),
    (869, "10.0.0.1/24", "c = 10.0.0.1", FALSE),
    (869, "2001:db8::1", "c = 2001:DB8:0:0::1", TRUE),
    (1082, "0044-03-15 BC", "c < 0001-01-01", TRUE),
    (1082, "infinity", "c > 2026-11-21", TRUE),
    (1083, "09:30:00", "c = 09:30", TRUE),
    (
        1114,
        "2026-11-21 09:30:00.5",
        "c = 2026-11-21T09:30:00.500",
        TRUE,
    ),
    (1114, "2026-11-21 00:00:00", "c = 2026-11-21", TRUE),
    (
        1184,
        "2026-11-21 09:30:00+00",
        "c = 2026-11-21T11:30:00+02:00",
        TRUE,
    ),
    (
        1184,
        "2026-11-21 09:30:00+00",
        "c = '2026-11-21 09:30'",
        TRUE,
    ),
    (1184, "-infinity", "c < '4713-01-01 BC'", TRUE),
    (1266, "10:00:00+02", "c = 08:00Z", FALSE),
    (1266, "10:00:00+02", "c = 10:00+02:00", TRUE),
];

#[test]
fn a_literal_is_of_the_columns_type() {
    for (oid, value, text, expected) in MATCHES.iter().copied() {
        assert_eq!(
            holds(oid, Some(value), text),
            expected,
            "{value} and {text}"
        );
    }
}

#[test]
fn what_the_server_would_not_print_is_unknown() {
    for (oid, value) in [
        (INT4, "x"),
        (BOOL, "true"),
        (1700, "1e5"),
        (1184, "soon"),
        (869, "x"),
    ] {
        let literal = match oid {
            BOOL => "true",
            1184 => "2026-11-21",
            869 => "10.0.0.1",
            _ => "1",
        };
        let text = format!("c = {literal}");
        assert_eq!(holds(oid, Some(value), &text), Truth::Unknown, "{value}");
        assert_eq!(
            holds(oid, Some(value), "c is null"),
            Truth::False,
            "{value}"
        );
    }
}

#[test]
fn text_that_is_no_utf_8_is_compared_like_any() {
    use walgate_core::Value;
    let relation = relation(ReplicaIdentity::Default, vec![column("c", TEXT)]);
    let mut tuple = walgate_pgoutput::TupleBuf::new();
    tuple.push(Value::Text(b"\xff\xfe")).unwrap();
    assert_eq!(
        bound("c = 'a'", &relation).truth(&tuple.as_tuple()),
        Truth::False
    );
    assert_eq!(
        bound("c > 'a'", &relation).truth(&tuple.as_tuple()),
        Truth::True
    );
}

#[test]
fn a_domain_is_as_its_base_and_an_unknown_type_is_its_text() {
    let moves = moves();
    let mut values = vec![None; moves.columns.len()];
    values[13] = Some("happy");
    values[14] = Some("7");
    let row = row(&values);
    for text in [
        "speed > 6.5",
        "mood = happy",
        "mood in (happy, sad)",
        "mood is not null",
    ] {
        assert_eq!(
            bound(text, &moves).truth(&row.as_tuple()),
            Truth::True,
            "{text}"
        );
    }
}

#[test]
fn rules_may_name_what_a_filter_may_not() {
    let moves = moves();
    let own = Filter::parse("level = ERROR").unwrap();
    let own = own.bind(&moves, |place| place == 1).unwrap();
    let rule = Filter::any_of("id", ["20", "21"])
        .bind(&moves, |_| true)
        .unwrap();
    let both = Bound::all([own, rule]);
    let truth = |id: &str, level: &str| {
        let mut values = vec![None; moves.columns.len()];
        values[0] = Some(id);
        values[1] = Some(level);
        both.truth(&row(&values).as_tuple())
    };
    assert_eq!(truth("20", "ERROR"), Truth::True);
    assert_eq!(truth("22", "ERROR"), Truth::False);
    assert_eq!(truth("20", "INFO"), Truth::False);
    let nobody = Filter::any_of("id", [""; 0])
        .bind(&moves, |_| true)
        .unwrap();
    let empty = vec![Some("1"); moves.columns.len()];
    assert_eq!(nobody.truth(&row(&empty).as_tuple()), Truth::False);
    assert_eq!(Bound::all([]).truth(&row(&empty).as_tuple()), Truth::True);
}
