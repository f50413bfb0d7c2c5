//! What of a relation and of its rows an output is given.

use std::sync::Arc;
use std::time::{Duration, Instant};

use walgate_core::{ColumnUse, Op, Position, Relation, ReplicaIdentity, StopReason, Table};
use walgate_pipeline::{
    Assembler, Extras, Ops, Place, RowFilter, Selection, TablePattern, TableRule,
};

use crate::bench::START;
use crate::line_encoder::line_of;
use crate::log::{Happening, Log, Row, relation};

fn pattern(text: &str) -> TablePattern {
    text.parse().expect(text)
}

fn rule(tables: &str) -> TableRule {
    TableRule {
        tables: pattern(tables),
        drop: Vec::new(),
        mask: Vec::new(),
        key: None,
        allow_key_columns: false,
    }
}

fn with(rule: TableRule) -> Selection {
    Selection {
        rules: vec![rule],
        ..Selection::default()
    }
}

fn table(selection: &Selection) -> Result<Table, String> {
    let table = selection.table(&relation(0), 7).map_err(|failure| {
        assert_eq!(failure.reason, StopReason::Config);
        assert!(failure.hint.is_some());
        failure.message
    })?;
    Ok(table.expect("taken"))
}

#[test]
fn without_a_rule_a_table_is_what_it_is() {
    let table = table(&Selection::default()).expect("fits");
    assert_eq!((table.id, table.key.as_slice()), (7, &[0][..]));
    assert_eq!(table.columns, [ColumnUse::Keep; 2]);
}

#[test]
fn exclude_wins_over_include() {
    let selection = Selection {
        include: vec![pattern("public.*")],
        exclude: vec![pattern("*.b")],
        ..Selection::default()
    };
    assert!(selection.takes("public", "a"));
    assert!(!selection.takes("public", "b"));
    assert!(!selection.takes("other", "a"));
    assert!(Selection::default().takes("other", "b"));
}

#[test]
fn a_key_is_what_is_configured_in_the_order_given() {
    let columns = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let keyed = with(TableRule {
        key: columns(&["note", "id"]),
        ..rule("public.*")
    });
    let whole = Arc::new(Relation {
        identity: ReplicaIdentity::Full,
        ..Relation::clone(&relation(0))
    });
    let full = keyed.table(&whole, 7).expect("fits").expect("taken");
    assert_eq!(full.key, [1, 0]);
    let refused = table(&keyed).expect_err("a delete has no note");
    assert!(
        refused.contains("\"note\", which is not part of the replica identity"),
        "{refused}"
    );
    let inserts_only = Arc::new(Relation {
        identity: ReplicaIdentity::Nothing,
        ..Relation::clone(&relation(0))
    });
    let keyed_inserts = keyed.table(&inserts_only, 7).expect("fits").expect("taken");
    assert_eq!(keyed_inserts.key, [1, 0]);
    let none = with(TableRule {
        key: columns(&[]),
        ..rule("public.*")
    });
    assert_eq!(table(&none).expect("fits").key, [] as [u16; 0]);
    let missing = with(TableRule {
        key: columns(&["nope"]),
        ..rule("public.a")
    });
    let message = table(&missing).expect_err("refused");
    assert!(
        message.contains("\"nope\"") && message.contains("public.a"),
        "{message}"
    );
    let twice = with(TableRule {
        key: columns(&["id", "id"]),
        ..rule("public.a")
    });
    assert!(
        twice
            .table(&relation(0), 0)
            .expect_err("refused")
            .message
            .contains("twice")
    );
}

#[test]
fn columns_are_masked_and_dropped() {
    let masked = with(TableRule {
        mask: vec!["note".into()],
        ..rule("public.a")
    });
    assert_eq!(
        table(&masked).expect("fits").columns,
        [ColumnUse::Keep, ColumnUse::Mask]
    );
    let mut both = masked;
    both.rules.push(TableRule {
        drop: vec!["note".into()],
        ..rule("*.*")
    });
    both.rules.reverse();
    assert_eq!(
        table(&both).expect("fits").columns,
        [ColumnUse::Keep, ColumnUse::Drop]
    );
}

#[test]
fn a_misspelt_column_never_lets_a_value_out() {
    let exact = with(TableRule {
        mask: vec!["nite".into()],
        ..rule("public.a")
    });
    let message = table(&exact).expect_err("refused");
    assert!(
        message.contains("mask") && message.contains("\"nite\""),
        "{message}"
    );
    let broad = with(TableRule {
        mask: vec!["email".into()],
        ..rule("public.*")
    });
    assert_eq!(table(&broad).expect("fits").columns, [ColumnUse::Keep; 2]);
}

#[test]
fn a_column_of_the_key_is_hidden_only_when_that_is_declared() {
    let hidden = |hide: fn(&mut TableRule), declared| {
        let mut rule = TableRule {
            allow_key_columns: declared,
            ..rule("public.a")
        };
        hide(&mut rule);
        table(&with(rule))
    };
    let mask: fn(&mut TableRule) = |rule| rule.mask = vec!["id".into()];
    let drop: fn(&mut TableRule) = |rule| rule.drop = vec!["id".into()];
    for hide in [mask, drop] {
        let message = hidden(hide, false).expect_err("refused");
        assert!(message.contains("\"id\" of public.a"), "{message}");
    }
    assert_eq!(hidden(mask, true).expect("declared").key, [0]);
    assert_eq!(hidden(drop, true).expect("declared").key, [] as [u16; 0]);
}

/// What an assembler gives of a whole log.
fn given(selection: Selection, extras: Extras, log: &Log) -> Vec<String> {
    let place = Place::start(0, START);
    let mut assembler = Assembler::new(Arc::new(selection), extras, place, Position::ZERO);
    let frames = log.run(0, log.items.len());
    assembler.start(&frames).expect("fits");
    let mut lines = Vec::new();
    while let Some((change, frame)) = assembler.next(&frames).expect("legal") {
        let message = frames.message(&frames.frames[frame]);
        let tag = match change.body.op() {
            Op::Insert => Some(b'I'),
            Op::Truncate => Some(b'T'),
            Op::Commit => Some(b'C'),
            _ => None,
        };
        assert!(
            tag.is_none_or(|tag| message[0] == tag),
            "the frame is that of the change"
        );
        lines.push(
            line_of(&change)
                .split_once(' ')
                .expect("an id")
                .1
                .to_owned(),
        );
    }
    assert_eq!(
        assembler.place().whole,
        log.end,
        "what is left out counts as read"
    );
    lines
}

#[test]
fn operations_are_chosen_and_the_index_counts_them_all() {
    let rows = vec![
        Row::Insert(0),
        Row::Update(0),
        Row::Message,
        Row::Truncate,
        Row::Delete(2),
    ];
    let log = Log::new(
        START,
        &[Happening::Transaction(rows), Happening::Standalone],
    );
    let only = |ops: &[Op]| {
        let ops = Ops::from_iter(ops.iter().copied());
        given(
            Selection {
                ops,
                ..Selection::default()
            },
            Extras::default(),
            &log,
        )
    };
    assert_eq!(only(&[Op::Insert]), ["insert a 700"]);
    assert_eq!(
        only(&[Op::Message]),
        ["message - transactional", "message - standalone"]
    );
    assert_eq!(
        only(&[Op::Truncate]),
        ["truncate a 700", "truncate b 700", "truncate c 700"]
    );
    assert_eq!(only(&[]), [""; 0]);
    let last = log.items.iter().rev().nth(2).expect("the delete");
    assert_eq!(
        last.index, 8,
        "begin, insert, update, message, three tables, delete"
    );
}

#[test]
fn begin_and_commit_come_only_with_a_change() {
    let transactions = Extras {
        transactions: true,
        schemas: false,
    };
    let log = Log::new(
        START,
        &[
            Happening::Transaction(vec![Row::Insert(1)]),
            Happening::Transaction(vec![]),
            Happening::Transaction(vec![Row::Insert(1), Row::Insert(0), Row::Delete(0)]),
        ],
    );
    let only_a = Selection {
        include: vec![pattern("public.a")],
        ..Selection::default()
    };
    let lines = given(only_a, transactions, &log);
    assert_eq!(
        lines,
        ["begin - 702", "insert a 702", "delete a 702", "commit - 2"]
    );
}

#[test]
fn a_schema_comes_before_the_first_row_of_each_definition() {
    let schemas = Extras {
        transactions: false,
        schemas: true,
    };
    let rows = vec![
        Row::Insert(0),
        Row::Insert(0),
        Row::Truncate,
        Row::Insert(1),
    ];
    let log = Log::new(
        START,
        &[
            Happening::Transaction(rows.clone()),
            Happening::Transaction(rows),
        ],
    );
    let lines = given(Selection::default(), schemas, &log);
    let schemas: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("schema"))
        .collect();
    assert_eq!(schemas, ["schema a 700", "schema b 700", "schema c 700"]);
    assert_eq!(lines[..3], ["schema a 700", "insert a 700", "insert a 700"]);
}

#[test]
fn a_schema_comes_again_when_it_was_told_long_ago() {
    let schemas = Extras {
        transactions: false,
        schemas: true,
    };
    let rows = vec![Row::Insert(0), Row::Insert(0)];
    let transactions = [(); 3].map(|()| Happening::Transaction(rows.clone()));
    let log = Log::new(START, &transactions);
    let (minute, begun) = (Duration::from_secs(60), Instant::now());
    let place = Place::start(0, START);
    let assembler = Assembler::new(Arc::default(), schemas, place, Position::ZERO);
    let mut assembler = assembler.telling_again(Some(minute));
    let each = log.items.len() / transactions.len();
    let mut told = Vec::new();
    for (run, after) in [Duration::ZERO, minute - Duration::from_millis(1), minute]
        .into_iter()
        .enumerate()
    {
        let frames = log.run(run * each, (run + 1) * each);
        assembler.set_now(begun + after);
        assembler.start(&frames).expect("fits");
        while let Some((change, _)) = assembler.next(&frames).expect("legal") {
            told.push((run, change.body.op()));
        }
    }
    let (schema, insert) = (Op::Schema, Op::Insert);
    let expected = [
        (0, schema),
        (0, insert),
        (0, insert),
        (1, insert),
        (1, insert),
        (2, schema),
        (2, insert),
        (2, insert),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_row_filter_looks_at_both_rows() {
    let filter = |column: &str, value: &str| Selection {
        filters: vec![RowFilter {
            column: column.into(),
            value: value.into(),
        }],
        ..Selection::default()
    };
    let rows = vec![
        Row::Insert(0),
        Row::Update(1),
        Row::Delete(0),
        Row::Truncate,
    ];
    let log = Log::new(START, &[Happening::Transaction(rows)]);
    let lines = given(filter("id", "3"), Extras::default(), &log);
    assert_eq!(lines[0], "update b 700");
    assert_eq!(lines.len(), 4, "a truncate concerns every row: {lines:?}");
    let lines = given(filter("note", "new"), Extras::default(), &log);
    assert_eq!(lines[..2], ["insert a 700", "update b 700"]);
    assert_eq!(given(filter("nope", "1"), Extras::default(), &log), [""; 0]);
}

#[test]
fn a_rule_that_does_not_fit_is_found_when_the_relation_arrives() {
    let log = Log::new(START, &[Happening::Transaction(vec![Row::Insert(0)])]);
    let selection = with(TableRule {
        drop: vec!["gone".into()],
        ..rule("public.a")
    });
    let place = Place::start(0, START);
    let selection = Arc::new(selection);
    let mut assembler = Assembler::new(selection, Extras::default(), place, Position::ZERO);
    let failure = assembler.start(&log.run(0, 3)).expect_err("refused");
    assert!(failure.message.contains("\"gone\"") && failure.message.contains("public.a"));
}

#[test]
fn frames_that_break_their_invariant_are_an_error() {
    let log = Log::new(START, &[Happening::Transaction(vec![Row::Insert(0)])]);
    let place = Place::start(0, START);
    let new = || Assembler::new(Arc::default(), Extras::default(), place, Position::ZERO);
    let mut frames = log.run(0, 3);
    frames.relations.clear();
    let mut assembler = new();
    assembler.start(&frames).expect("fits");
    assert!(
        assembler.next(&frames).is_err(),
        "a relation that is not there"
    );
    let mut frames = log.run(1, 3);
    frames.open = None;
    let mut assembler = new();
    assembler.start(&frames).expect("fits");
    assert!(
        assembler.next(&frames).is_err(),
        "a row outside of a transaction"
    );
    let mut frames = log.run(0, 3);
    frames.frames[1].len = 3;
    let mut assembler = new();
    assembler.start(&frames).expect("fits");
    assert!(assembler.next(&frames).is_err(), "a cut message");
}

#[test]
fn definitions_keep_their_id() {
    let relation: Arc<Relation> = relation(0);
    let selection = Selection::default();
    let one = selection.table(&relation, 3).expect("fits").expect("taken");
    assert!(Arc::ptr_eq(&one.relation, &relation));
}
