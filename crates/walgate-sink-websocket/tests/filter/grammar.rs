//! What is a filter, and what is said of what is none.

use walgate_sink_websocket::filter::{
    Filter, MAX_DEPTH, MAX_FILTER_BYTES, MAX_TESTS, MAX_VALUES, ParseErrorKind,
};

fn printed(text: &str) -> String {
    let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let printed = filter.to_string();
    assert_eq!(
        Filter::parse(&printed).as_ref(),
        Ok(&filter),
        "{text} is printed as {printed}"
    );
    printed
}

fn error(text: &str) -> String {
    match Filter::parse(text) {
        Ok(filter) => panic!("{text} is taken for {filter}"),
        Err(error) => error.to_string(),
    }
}

/// Filters, and the text that is the same.
const FORMS: &[(&str, &str)] = &[
    ("experiment_id = 20", "experiment_id = 20"),
    ("level=ERROR", "level = 'ERROR'"),
    ("level in (ERROR, 'FATAL')", "level in ('ERROR', 'FATAL')"),
    ("a!=1", "a <> 1"),
    ("a<=1 AND b>=-2.5e3", "a <= 1 and b >= -2.5e3"),
    ("a between 1 and 2 and b = 3", "a >= 1 and a <= 2 and b = 3"),
    ("a not between 1 and 2", "not (a >= 1 and a <= 2)"),
    ("a NOT IN (1)", "not a in (1)"),
    ("a is NULL or a Is Not Null", "a is null or not a is null"),
    ("a is distinct from 1", "not a is not distinct from 1"),
    ("a is not distinct from null", "a is null"),
    ("a is distinct from null", "not a is null"),
    ("((a = 1))", "a = 1"),
    ("a = 1 or b = 2 and c = 3", "a = 1 or b = 2 and c = 3"),
    ("(a = 1 or b = 2) and c = 3", "(a = 1 or b = 2) and c = 3"),
    ("a = 1 and (b = 2 and c = 3)", "a = 1 and b = 2 and c = 3"),
    ("not(a=1)", "not a = 1"),
    ("not not a = 1", "not not a = 1"),
    ("a = true and b = FALSE", "a = true and b = false"),
    ("a = 'it''s'", "a = 'it''s'"),
    ("\"Strange \"\" name\" = 1", "\"Strange \"\" name\" = 1"),
    (
        "\"plain\" = 1 and \"from\" = 2",
        "plain = 1 and \"from\" = 2",
    ),
    ("größe = 1", "größe = 1"),
    ("a in ()", "a in ()"),
    ("t >= 2026-11-21T09:30:00Z", "t >= '2026-11-21T09:30:00Z'"),
    ("t < -infinity", "t < '-infinity'"),
    (
        "ip = 10.0.0.0/8 or ip = ::1",
        "ip = '10.0.0.0/8' or ip = '::1'",
    ),
    ("mail = a.b@example.org", "mail = 'a.b@example.org'"),
    (
        "a = .5 and b = 5. and c = +1",
        "a = .5 and b = 5. and c = +1",
    ),
    ("a = ''", "a = ''"),
];

#[test]
fn what_means_the_same_is_one_filter() {
    for (text, expected) in FORMS.iter().copied() {
        assert_eq!(printed(text), expected, "{text}");
    }
}

#[test]
fn a_name_is_taken_as_it_is_written() {
    let filter = Filter::parse("Level = 1 and level = 2 and Level = 3").unwrap();
    assert_eq!(filter.columns(), ["Level", "level"]);
}

/// Mistakes, and the beginning of what is said of each.
const MISTAKES: &[(&str, &str)] = &[
    (
        "",
        "the filter is empty; to hear of every row, give none, at byte 0 of the filter",
    ),
    (
        " \n",
        "the filter is empty; to hear of every row, give none, at byte 2 of the filter",
    ),
    (
        "= 1",
        "expected the name of a column, at byte 0 of the filter",
    ),
    (
        "20 = a",
        "expected the name of a column, at byte 0 of the filter",
    ),
    (
        "a",
        "expected =, <>, <, <=, >, >=, in, between or is behind the column, at byte 1",
    ),
    (
        "a ~ 1",
        "expected =, <>, <, <=, >, >=, in, between or is behind the column, at byte 2",
    ),
    ("a = ", "expected a literal, at byte 4 of the filter"),
    (
        "a = 1 b",
        "expected and, or, or the end, at byte 6 of the filter",
    ),
    (
        "a = 1 -- b",
        "expected and, or, or the end, at byte 6 of the filter",
    ),
    ("a = --", "expected a literal, at byte 4 of the filter"),
    (
        "a = 1; drop table t",
        "expected and, or, or the end, at byte 5 of the filter",
    ),
    ("(a = 1", "expected and, or, or ), at byte 6 of the filter"),
    (
        "a = 1)",
        "expected and, or, or the end, at byte 5 of the filter",
    ),
    (
        "a = 'b",
        "a quote is opened here and not closed; a quote within is written twice, at byte 4",
    ),
    (
        "\"a = 1",
        "a quote is opened here and not closed; a quote within is written twice, at byte 0",
    ),
    ("\"\" = 1", "\"\" is no name, at byte 0 of the filter"),
    (
        "a = 'b\0'",
        "a NUL byte is part of no text and no name, at byte 6 of the filter",
    ),
    (
        "a\0 = 1",
        "expected =, <>, <, <=, >, >=, in, between or is behind the column, at byte 1",
    ),
    (
        "a = \"b\"",
        "a column is compared with a literal and never with another column; a text has single quotes, at byte 4",
    ),
    (
        "a = null",
        "nothing is equal to null or ordered by it; use is null or is not null, at byte 4",
    ),
    (
        "a in (1, NULL)",
        "nothing is equal to null or ordered by it; use is null or is not null, at byte 9",
    ),
    (
        "from = 1",
        "the keyword from stands where the name of a column belongs; quote it as \"from\", at byte 0",
    ),
    (
        "a = not",
        "the keyword not stands where a literal belongs; quote it as 'not', at byte 4",
    ),
    (
        "a == 1",
        "there is no ==; equality is one =, at byte 2 of the filter",
    ),
    (
        "a like '%'",
        "filters have no patterns; use =, in, or a range with >= and <, at byte 2",
    ),
    (
        "a not ilike b",
        "filters have no patterns; use =, in, or a range with >= and <, at byte 6",
    ),
    (
        "a not = 1",
        "expected in or between behind not, at byte 6 of the filter",
    ),
    (
        "a is 1",
        "expected null or distinct from, at byte 5 of the filter",
    ),
    ("a is distinct 1", "expected from, at byte 14 of the filter"),
    ("a in 1", "expected ( behind in, at byte 5 of the filter"),
    (
        "a in (1 2)",
        "expected , or ) in the list, at byte 8 of the filter",
    ),
    ("a in (1,)", "expected a literal, at byte 8 of the filter"),
    (
        "a between 1",
        "expected and, with the upper bound of between, at byte 11 of the filter",
    ),
    (
        "a\u{a0}= 1",
        "expected =, <>, <, <=, >, >=, in, between or is behind the column, at byte 1",
    ),
];

#[test]
fn each_mistake_is_named_with_its_place() {
    for (text, expected) in MISTAKES.iter().copied() {
        let error = error(text);
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }
}

#[test]
fn what_is_too_large_is_refused() {
    let kind = |text: &str| Filter::parse(text).unwrap_err().kind;

    let long = format!("a = '{}'", "x".repeat(10 << 20));
    assert_eq!(kind(&long), ParseErrorKind::TooLong(long.len()));
    let longest = format!("a = '{}'", "x".repeat(MAX_FILTER_BYTES - 6));
    Filter::parse(&longest).unwrap();
    assert_eq!(
        kind(&format!("{longest} ")),
        ParseErrorKind::TooLong(MAX_FILTER_BYTES + 1)
    );

    let nested = |depth: usize| format!("{}a = 1{}", "(".repeat(depth), ")".repeat(depth));
    Filter::parse(&nested(MAX_DEPTH)).unwrap();
    assert_eq!(kind(&nested(MAX_DEPTH + 1)), ParseErrorKind::TooDeep);
    assert_eq!(kind(&"(".repeat(MAX_FILTER_BYTES)), ParseErrorKind::TooDeep);
    assert_eq!(
        kind(&"not ".repeat(MAX_FILTER_BYTES / 4)),
        ParseErrorKind::TooDeep
    );
    let not_in = |depth: usize| format!("{}a not in (1)", "not ".repeat(depth));
    printed(&not_in(MAX_DEPTH - 1));
    assert_eq!(kind(&not_in(MAX_DEPTH)), ParseErrorKind::TooDeep);

    let tests = |count: usize| vec!["a=1"; count].join(" or ");
    Filter::parse(&tests(MAX_TESTS)).unwrap();
    assert_eq!(kind(&tests(MAX_TESTS + 1)), ParseErrorKind::TooManyTests);

    let values = |count: usize| format!("a in ({})", vec!["1"; count].join(","));
    Filter::parse(&values(MAX_VALUES)).unwrap();
    assert_eq!(kind(&values(MAX_VALUES + 1)), ParseErrorKind::TooManyValues);
}

#[test]
fn a_claim_is_a_filter_that_no_value_can_break_out_of() {
    let filter = Filter::any_of("who", ["a", "' or 1 = 1 --", "\" or"]);
    let text = filter.to_string();
    assert_eq!(text, "who in ('a', ''' or 1 = 1 --', '\" or')");
    assert_eq!(Filter::parse(&text), Ok(filter));
    assert_eq!(Filter::any_of("who", [""; 0]).to_string(), "who in ()");
}
