//! What a change is to a subscriber: the old and the new row, and what the log does not hold.

use std::sync::Arc;

use walgate_core::{Body, Gap, GapReason, Lsn, OldTuple, Relation, ReplicaIdentity, Table, Value};
use walgate_sink_websocket::filter::{Bound, Truth, Verdict};

use crate::bed::{
    INT4, TEXT, UNCHANGED, bound, column, delete, insert, key, relation, row, table, update,
};

type Values<'a> = &'a [Option<&'a str>];

/// A key, a filter column and a large one.
fn moves(identity: ReplicaIdentity) -> Relation {
    let all = identity == ReplicaIdentity::Full;
    let mut columns = vec![
        key(column("id", INT4)),
        column("level", TEXT),
        column("note", TEXT),
    ];
    for column in &mut columns {
        column.key |= all;
    }
    relation(identity, columns)
}

/// What an update of a table is; the old row is whole under FULL, else a key.
fn verdict(
    identity: ReplicaIdentity,
    text: &str,
    old: Option<Values<'_>>,
    new: Values<'_>,
) -> Verdict {
    let table = table(moves(identity));
    let filter = bound(text, &table.relation);
    let (old, new) = (old.map(row), row(new));
    let old = old.as_ref().map(|old| match identity {
        ReplicaIdentity::Full => OldTuple::Full(old.as_tuple()),
        _ => OldTuple::Key(old.as_tuple()),
    });
    filter.judge(&update(&table, old, new.as_tuple()))
}

#[test]
fn the_old_and_the_new_row_decide_together() {
    let full = |old: &str, new: &str| {
        let old = [Some("1"), (old != "null").then_some(old), None];
        let new = [Some("1"), (new != "null").then_some(new), None];
        verdict(
            ReplicaIdentity::Full,
            "level in (ERROR, FATAL)",
            Some(&old),
            &new,
        )
    };
    assert_eq!(full("INFO", "ERROR"), Verdict::Event, "it comes in");
    assert_eq!(
        full("null", "ERROR"),
        Verdict::Event,
        "it comes in from unknown"
    );
    assert_eq!(full("ERROR", "FATAL"), Verdict::Event, "it stays");
    assert_eq!(full("ERROR", "INFO"), Verdict::Leave, "it goes out");
    assert_eq!(
        full("ERROR", "null"),
        Verdict::Leave,
        "it goes out to unknown"
    );
    assert_eq!(full("INFO", "DEBUG"), Verdict::Nothing, "it stays outside");
    assert_eq!(full("null", "null"), Verdict::Nothing, "it stays unknown");
    assert_eq!(full("null", "INFO"), Verdict::Nothing);
}

#[test]
fn without_the_old_value_a_row_leaves_unnoticed() {
    let default = |old, new| verdict(ReplicaIdentity::Default, "level = ERROR", old, new);
    assert_eq!(
        default(None, &[Some("1"), Some("INFO"), None]),
        Verdict::Nothing
    );
    assert_eq!(
        default(None, &[Some("1"), Some("ERROR"), None]),
        Verdict::Event
    );
    // The key has changed: what is not of it is sent as null and means nothing.
    let old: Values<'_> = &[Some("2"), None, None];
    assert_eq!(
        default(Some(old), &[Some("1"), Some("INFO"), None]),
        Verdict::Nothing
    );
    let by_null = |new| verdict(ReplicaIdentity::Default, "level is null", Some(old), new);
    assert_eq!(by_null(&[Some("1"), Some("INFO"), None]), Verdict::Nothing);
}

#[test]
fn a_changed_key_is_known() {
    let default = |old, new| verdict(ReplicaIdentity::Default, "id < 10", old, new);
    let old: Values<'_> = &[Some("2"), None, None];
    assert_eq!(
        default(Some(old), &[Some("20"), None, None]),
        Verdict::Leave
    );
    assert_eq!(default(Some(old), &[Some("3"), None, None]), Verdict::Event);
    assert_eq!(default(None, &[Some("20"), None, None]), Verdict::Nothing);
}

#[test]
fn what_was_not_sent_is_what_it_was() {
    let new: Values<'_> = &[Some("1"), Some("x"), UNCHANGED];
    let old: Values<'_> = &[Some("1"), Some("x"), Some("long")];
    let full = |text| verdict(ReplicaIdentity::Full, text, Some(old), new);
    assert_eq!(full("note = long"), Verdict::Event);
    assert_eq!(full("note = other"), Verdict::Nothing);
    let default = |text| verdict(ReplicaIdentity::Default, text, None, new);
    assert_eq!(default("note = long"), Verdict::Nothing, "nobody knows");
    assert_eq!(default("note <> long"), Verdict::Nothing, "nobody knows");
    // An old key says null of what is not of it; a value that is only not sent is never null.
    let key: Values<'_> = &[Some("2"), None, None];
    for old in [None, Some(key)] {
        let default = |text| verdict(ReplicaIdentity::Default, text, old, new);
        assert_eq!(default("note is null"), Verdict::Nothing);
        assert_eq!(default("note is not null"), Verdict::Event);
        assert_eq!(default("note = long or level = x"), Verdict::Event);
    }
}

#[test]
fn a_delete_is_told_of_rows_that_matched() {
    let judge = |identity, text: &str, old: Values<'_>| {
        let table = table(moves(identity));
        let old = row(old);
        let old = match identity {
            ReplicaIdentity::Full => OldTuple::Full(old.as_tuple()),
            _ => OldTuple::Key(old.as_tuple()),
        };
        bound(text, &table.relation).judge(&delete(&table, old))
    };
    let whole: Values<'_> = &[Some("1"), Some("ERROR"), None];
    assert_eq!(
        judge(ReplicaIdentity::Full, "level = ERROR", whole),
        Verdict::Event
    );
    assert_eq!(
        judge(ReplicaIdentity::Full, "level = INFO", whole),
        Verdict::Nothing
    );
    assert_eq!(
        judge(ReplicaIdentity::Full, "note is null", whole),
        Verdict::Event
    );
    let key: Values<'_> = &[Some("1"), None, None];
    assert_eq!(
        judge(ReplicaIdentity::Default, "id = 1", key),
        Verdict::Event
    );
    assert_eq!(
        judge(ReplicaIdentity::Default, "level is null", key),
        Verdict::Nothing
    );
    assert_eq!(
        judge(ReplicaIdentity::Default, "id = 1 or level = x", key),
        Verdict::Event
    );
    assert_eq!(
        judge(ReplicaIdentity::Default, "id = 1 and level = x", key),
        Verdict::Nothing
    );
}

#[test]
fn a_truncate_a_gap_and_a_definition_concern_everybody() {
    let table = table(moves(ReplicaIdentity::Default));
    let filter = bound("level = ERROR", &table.relation);
    let gap = a_gap();
    for (body, expected) in [
        (truncate(&table), Verdict::Event),
        (Body::Schema { table: &table }, Verdict::Event),
        (Body::Gap(&gap), Verdict::Event),
        (Body::Begin, Verdict::Nothing),
        (Body::Commit { changes: 1 }, Verdict::Nothing),
    ] {
        assert_eq!(filter.judge(&body), expected, "{body:?}");
    }
}

pub(crate) fn truncate(table: &Arc<Table>) -> Body<'_> {
    Body::Truncate {
        table,
        cascade: false,
        restart_identity: false,
    }
}

pub(crate) fn a_gap() -> Gap {
    Gap {
        from: Lsn(1),
        to: Lsn(2),
        reason: GapReason::SlotLost,
    }
}

#[test]
fn a_row_that_does_not_fit_its_definition_is_unknown() {
    let table = table(moves(ReplicaIdentity::Default));
    let short = row(&[Some("1")]);
    for text in ["level = ERROR", "level is null", "level is not null"] {
        let filter = bound(text, &table.relation);
        assert_eq!(filter.truth(&short.as_tuple()), Truth::Unknown, "{text}");
        assert_eq!(
            filter.judge(&insert(&table, short.as_tuple())),
            Verdict::Nothing
        );
    }
}

#[test]
fn a_binary_value_is_only_known_not_to_be_null() {
    let relation = relation(ReplicaIdentity::Default, vec![column("c", INT4)]);
    let mut tuple = walgate_pgoutput::TupleBuf::new();
    tuple.push(Value::Binary(&[0, 0, 0, 1])).unwrap();
    let truth = |text: &str| bound(text, &relation).truth(&tuple.as_tuple());
    assert_eq!(truth("c = 1"), Truth::Unknown);
    assert_eq!(truth("c is not null"), Truth::True);
}

#[test]
fn null_is_unknown_except_to_those_who_ask_for_it() {
    let relation = relation(
        ReplicaIdentity::Default,
        vec![column("c", INT4), column("d", INT4)],
    );
    let null = row(&[None, Some("1")]);
    let truth = |text: &str| bound(text, &relation).truth(&null.as_tuple());
    for (text, expected) in [
        ("c = 1", Truth::Unknown),
        ("c <> 1", Truth::Unknown),
        ("not c = 1", Truth::Unknown),
        ("c in (1, 2)", Truth::Unknown),
        ("c not in (1, 2)", Truth::Unknown),
        ("c in ()", Truth::Unknown),
        ("c between 1 and 2", Truth::Unknown),
        ("c is null", Truth::True),
        ("c is not null", Truth::False),
        ("c is not distinct from 1", Truth::False),
        ("c is distinct from 1", Truth::True),
        ("c is distinct from null", Truth::False),
        ("c = 1 or d = 1", Truth::True),
        ("c = 1 or d = 2", Truth::Unknown),
        ("c = 1 and d = 1", Truth::Unknown),
        ("c = 1 and d = 2", Truth::False),
        ("c = 20.5", Truth::Unknown),
        ("d in ()", Truth::False),
        ("d <> 20.5", Truth::True),
    ] {
        assert_eq!(truth(text), expected, "{text}");
    }
}

#[test]
fn what_is_null_is_decided_and_what_the_log_lacks_is_not() {
    let table = table(moves(ReplicaIdentity::Default));
    let is_undecided =
        |text: &str, body: &Body<'_>| bound(text, &table.relation).is_undecided(body);
    let null = row(&[Some("1"), None, None]);
    let unsent = row(&[Some("1"), None, UNCHANGED]);
    let new = insert(&table, null.as_tuple());
    assert!(!is_undecided("level = ERROR", &new), "it is null");
    let new = update(&table, None, unsent.as_tuple());
    assert!(is_undecided("note = long", &new));
    assert!(is_undecided("note = long and level = ERROR", &new));
    assert!(
        !is_undecided("note = long and id = 2", &new),
        "it is false in any case"
    );
    assert!(
        !is_undecided("note = long or id = 1", &new),
        "it is true in any case"
    );
    assert!(!is_undecided("note is null", &new));
    let whole = row(&[Some("1"), None, Some("long")]);
    let whole = OldTuple::Full(whole.as_tuple());
    let new = update(&table, Some(whole), unsent.as_tuple());
    assert!(!is_undecided("note = long", &new));
    let old = delete(&table, OldTuple::Key(null.as_tuple()));
    assert!(is_undecided("level = ERROR", &old));
    assert!(!is_undecided("id = 1", &old));
    let odd = row(&[Some("one"), None, None]);
    assert!(is_undecided("id = 1", &insert(&table, odd.as_tuple())));
    assert!(!is_undecided("id = 1", &truncate(&table)));
}

#[test]
fn what_the_log_lacks_of_an_old_row_is_named() {
    let inexact = |identity, text: &str| {
        let relation = moves(identity);
        let filter = bound(text, &relation);
        filter.inexact(&relation).join(" ")
    };
    let text = "note = a and id = 1 or level = b and not note = c";
    assert_eq!(inexact(ReplicaIdentity::Default, text), "level note");
    assert_eq!(inexact(ReplicaIdentity::Index, text), "level note");
    assert_eq!(inexact(ReplicaIdentity::Full, text), "");
    assert_eq!(inexact(ReplicaIdentity::Nothing, text), "id level note");
    assert_eq!(inexact(ReplicaIdentity::Default, "id = 1"), "");
    let relation = moves(ReplicaIdentity::Default);
    assert!(Bound::all([]).inexact(&relation).is_empty());
}
