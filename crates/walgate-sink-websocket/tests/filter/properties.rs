//! Laws, on any filter and any row.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use walgate_core::{Body, OldTuple, Relation, ReplicaIdentity, Table};
use walgate_sink_websocket::filter::{Bound, Filter, Index, Truth, Verdict};

use crate::bed::{
    BOOL, INT4, TEXT, UNCHANGED, bound, column, delete, insert, key, relation, row, table, update,
};

const COLUMNS: [(&str, u32); 5] = [
    ("id", INT4),
    ("experiment", INT4),
    ("level", TEXT),
    ("size", 1700),
    ("done", BOOL),
];

fn moves(identity: ReplicaIdentity) -> Relation {
    let mut columns: Vec<_> = COLUMNS
        .iter()
        .map(|(name, oid)| column(name, *oid))
        .collect();
    let keys = if identity == ReplicaIdentity::Full {
        5
    } else {
        2
    };
    for column in columns.iter_mut().take(keys) {
        *column = key(column.clone());
    }
    relation(identity, columns)
}

/// The literals that are tried for a column; few, so that rows and filters meet.
fn literals(column: &str) -> &'static [&'static str] {
    match column {
        "level" => &["ERROR", "'INFO'", "''", "'it''s'"],
        "done" => &["true", "false"],
        "size" => &["0", "1.50", "-2e-1", "NaN", "Infinity"],
        _ => &["0", "1", "2", "3", "1.5"],
    }
}

/// Values of rows; what `UNCHANGED` stands for occurs in new rows only.
fn values(column: &str) -> &'static [Option<&'static str>] {
    match column {
        "level" => &[None, Some("ERROR"), Some("INFO"), Some(""), Some("it's")],
        "done" => &[None, Some("t"), Some("f")],
        "size" => &[
            None,
            Some("0"),
            Some("1.5"),
            Some("-0.20"),
            Some("NaN"),
            Some("-Infinity"),
        ],
        _ => &[None, Some("0"), Some("1"), Some("2"), Some("3")],
    }
}

fn test() -> impl Strategy<Value = String> {
    let column = select(COLUMNS.map(|(name, _)| name).to_vec());
    column.prop_flat_map(|column| {
        let literal = || select(literals(column));
        let comparison = select(&["=", "<>", "<", "<=", ">", ">=", "is distinct from"][..]);
        prop_oneof![
            4 => literal().prop_map(move |a| format!("{column} = {a}")),
            3 => (comparison, literal()).prop_map(move |(c, a)| format!("{column} {c} {a}")),
            2 => vec(literal(), 0..4).prop_map(move |a| format!("{column} in ({})", a.join(","))),
            1 => vec(literal(), 1..3).prop_map(move |a| format!("{column} not in ({})", a.join(","))),
            1 => (literal(), literal()).prop_map(move |(a, b)| format!("{column} between {a} and {b}")),
            1 => Just(format!("{column} is null")),
            1 => literal().prop_map(move |a| format!("{column} is not distinct from {a}")),
        ]
    })
}

fn filter() -> impl Strategy<Value = String> {
    test().prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|a| format!("not ({a})")),
            vec(inner.clone(), 1..4).prop_map(|parts| format!("({})", parts.join(" and "))),
            vec(inner, 1..4).prop_map(|parts| format!("({})", parts.join(" or "))),
        ]
    })
}

type Values = Vec<Option<&'static str>>;

fn any_row() -> impl Strategy<Value = Values> {
    COLUMNS.map(|(name, _)| select(values(name))).to_vec()
}

/// A new row of an update: some values may not have been sent.
fn new_row() -> impl Strategy<Value = Values> {
    let value = |(name, _)| prop_oneof![4 => select(values(name)), 1 => Just(UNCHANGED)];
    COLUMNS.map(value).to_vec()
}

#[derive(Debug, Clone)]
enum Change {
    Insert(Values),
    Update(Option<Values>, Values),
    Delete(Values),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        any_row().prop_map(Change::Insert),
        (proptest::option::of(any_row()), new_row())
            .prop_map(|(old, new)| Change::Update(old, new)),
        any_row().prop_map(Change::Delete),
    ]
}

/// Hands the change to `look` as the log would have it.
fn with_body<T>(table: &Arc<Table>, change: &Change, look: impl FnOnce(&Body<'_>) -> T) -> T {
    let is_full = table.relation.identity == ReplicaIdentity::Full;
    match change {
        Change::Insert(new) => look(&insert(table, row(new).as_tuple())),
        Change::Update(old, new) => {
            let old = old.as_deref().map(row);
            let old = old.as_ref().map(|old| old_tuple(is_full, old));
            look(&update(table, old, row(new).as_tuple()))
        }
        Change::Delete(old) => look(&delete(table, old_tuple(is_full, &row(old)))),
    }
}

fn old_tuple(is_full: bool, old: &walgate_pgoutput::TupleBuf) -> OldTuple<'_> {
    if is_full {
        OldTuple::Full(old.as_tuple())
    } else {
        OldTuple::Key(old.as_tuple())
    }
}

/// Those of the filters that a change concerns, by asking all of them.
fn concerned(filters: &[(usize, Bound)], body: &Body<'_>) -> BTreeSet<usize> {
    let concerned = filters
        .iter()
        .filter(|(_, filter)| filter.judge(body) != Verdict::Nothing);
    concerned.map(|(id, _)| *id).collect()
}

proptest! {
    #[test]
    fn the_text_of_a_filter_is_the_filter(text in filter()) {
        let filter = Filter::parse(&text).unwrap();
        let printed = filter.to_string();
        prop_assert_eq!(Filter::parse(&printed).unwrap(), filter, "{}", printed);
    }

    #[test]
    fn any_text_is_a_filter_or_an_error(text in ".{0,200}") {
        if let Err(error) = Filter::parse(&text) {
            prop_assert!(error.at <= text.len() && text.is_char_boundary(error.at));
        }
    }

    #[test]
    fn any_words_are_a_filter_or_an_error(
        words in vec(select(&[
            "a", "\"b\"", "=", "<", ">", "<>", "!", "(", ")", ",", "'x'", "'", "\"", "1", "-", ".",
            "and", "or", "not", "in", "is", "null", "between", "distinct", "from", "true", "é", "\0",
        ][..]), 0..40),
        between in select(&["", " "][..]),
    ) {
        let text = words.join(between);
        match Filter::parse(&text) {
            Ok(filter) => {
                let printed = filter.to_string();
                prop_assert_eq!(Filter::parse(&printed).unwrap(), filter, "{}", printed);
            }
            Err(error) => prop_assert!(error.at <= text.len() && text.is_char_boundary(error.at)),
        }
    }

    #[test]
    fn three_values_have_their_laws(a in filter(), b in filter(), values in any_row()) {
        let relation = moves(ReplicaIdentity::Default);
        let row = row(&values);
        let truth = |text: &str| bound(text, &relation).truth(&row.as_tuple());
        let (left, right) = (truth(&a), truth(&b));
        prop_assert_eq!(truth(&format!("not ({a})")), !left);
        prop_assert_eq!(truth(&format!("({a}) and ({b})")), left.and(right));
        prop_assert_eq!(truth(&format!("({b}) and ({a})")), left.and(right));
        prop_assert_eq!(truth(&format!("({a}) or ({b})")), left.or(right));
        prop_assert_eq!(
            truth(&format!("not (({a}) or ({b}))")),
            truth(&format!("not ({a}) and not ({b})"))
        );
        let both = Bound::all([bound(&a, &relation), bound(&b, &relation)]);
        prop_assert_eq!(both.truth(&row.as_tuple()), left.and(right));
    }

    /// What is said of an old row with less of it is never the opposite of what is true.
    #[test]
    fn what_the_log_lacks_makes_nothing_wrong(text in filter(), values in any_row()) {
        let relation = moves(ReplicaIdentity::Default);
        let filter = bound(&text, &relation);
        let row = row(&values);
        let whole = filter.truth_of_old(&OldTuple::Full(row.as_tuple()));
        let key = filter.truth_of_old(&OldTuple::Key(row.as_tuple()));
        if filter.inexact(&relation).is_empty() {
            prop_assert_eq!(key, whole);
        }
        prop_assert!(key == Truth::Unknown || key == whole);
    }

    #[test]
    fn what_the_index_finds_is_what_all_would_say(
        texts in vec(filter(), 0..30),
        removed in vec(any::<bool>(), 30),
        changes in vec(change(), 1..8),
        is_full in any::<bool>(),
    ) {
        let identity = if is_full { ReplicaIdentity::Full } else { ReplicaIdentity::Default };
        let table = table(moves(identity));
        let bind = |(id, text): (usize, &String)| (id, bound(text, &table.relation));
        let mut filters: Vec<(usize, Bound)> = texts.iter().enumerate().map(bind).collect();
        let mut index = Index::new();
        for (id, filter) in &filters {
            index.insert(*id, filter);
        }
        for round in 0..2 {
            for change in &changes {
                with_body(&table, change, |body| {
                    let mut found = Vec::new();
                    index.candidates(body, |id| found.push(id));
                    let candidates: BTreeSet<usize> = found.iter().copied().collect();
                    prop_assert_eq!(candidates.len(), found.len(), "each once");
                    filters.iter().try_for_each(|(id, filter)| {
                        let is_concerned = filter.judge(body) != Verdict::Nothing;
                        prop_assert!(!is_concerned || candidates.contains(id), "{}", texts[*id]);
                        Ok(())
                    })?;
                    let of_candidates: Vec<_> =
                        filters.iter().filter(|(id, _)| candidates.contains(id)).cloned().collect();
                    prop_assert_eq!(concerned(&of_candidates, body), concerned(&filters, body));
                    Ok(())
                })?;
            }
            if round == 0 {
                filters.retain(|(id, _)| !removed[*id] || { index.remove(id); false });
                prop_assert_eq!(index.len(), filters.len());
            }
        }
    }
}
