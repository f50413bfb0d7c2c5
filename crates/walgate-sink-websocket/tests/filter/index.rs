//! The index: few filters are asked, none that matters is missed.

use std::collections::BTreeSet;

use walgate_core::{Body, OldTuple, Relation, ReplicaIdentity};
use walgate_sink_websocket::filter::Index;

use crate::bed::{
    BOOL, INT4, INT8, TEXT, UNCHANGED, bound, column, delete, insert, key, relation, row, table,
    update,
};
use crate::binding::{MATCHES, TRUE};
use crate::judging::{a_gap, truncate};

fn moves(identity: ReplicaIdentity) -> Relation {
    let columns = vec![
        key(column("id", INT8)),
        column("experiment_id", INT4),
        column("level", TEXT),
        column("done", BOOL),
    ];
    relation(identity, columns)
}

/// An index of these filters, each under its place, and how many it asks always.
fn index(relation: &Relation, filters: &[&str]) -> Index<usize> {
    let mut index = Index::new();
    for (id, text) in filters.iter().enumerate() {
        index.insert(id, &bound(text, relation));
    }
    index
}

fn found<Id: Copy + Eq + Ord + std::hash::Hash>(index: &Index<Id>, body: &Body<'_>) -> Vec<Id> {
    let mut found = Vec::new();
    index.candidates(body, |id| found.push(id));
    let once: BTreeSet<Id> = found.iter().copied().collect();
    assert_eq!(once.len(), found.len(), "each once");
    once.into_iter().collect()
}

#[test]
fn a_filter_that_needs_a_value_is_found_by_it() {
    let table = table(moves(ReplicaIdentity::Full));
    let filters = [
        "experiment_id = 20",
        "experiment_id in (20, 21, 22)",
        "level = ERROR and experiment_id = 21 and done = false",
        "experiment_id = 20 or experiment_id = 22",
        "(experiment_id = 20 and done = true) or (experiment_id = 23 and level = x)",
        "experiment_id is not distinct from 20",
        "experiment_id = 20.5",
        "level > a",
        "experiment_id <> 20",
        "experiment_id = 20 or level = x",
        "experiment_id is null",
    ];
    let index = index(&table.relation, &filters);
    assert_eq!(index.len(), filters.len());
    assert_eq!(index.unkeyed(), 4, "from `level > a` on");
    let at = |experiment: Option<&str>, level| {
        let row = row(&[Some("1"), experiment, Some(level), Some("f")]);
        let found = found(&index, &insert(&table, row.as_tuple()));
        found.into_iter().filter(|id| *id < 7).collect::<Vec<_>>()
    };
    assert_eq!(at(Some("20"), "x"), [0, 1, 3, 4, 5]);
    assert_eq!(at(Some("21"), "ERROR"), [1, 2]);
    assert_eq!(at(Some("22"), "x"), [1, 3]);
    assert_eq!(at(Some("23"), "ERROR").last(), Some(&4));
    assert_eq!(at(None, "INFO"), [0; 0]);
}

/// What is equal is found, however differently it is written.
#[test]
fn a_value_is_found_by_what_it_means() {
    let mut keyed = 0;
    for (oid, value, text, truth) in MATCHES.iter().copied() {
        let table = table(relation(ReplicaIdentity::Full, vec![column("c", oid)]));
        let index = index(&table.relation, &[text]);
        let row = row(&[Some(value)]);
        let found = found(&index, &insert(&table, row.as_tuple()));
        if index.unkeyed() == 0 {
            keyed += 1;
            assert_eq!(
                found.len(),
                usize::from(truth == TRUE),
                "{value} and {text}"
            );
        }
    }
    assert!(keyed > 20, "only {keyed} are found by a value");
}

#[test]
fn an_update_finds_those_of_the_old_and_of_the_new_value() {
    let table = table(moves(ReplicaIdentity::Full));
    let filters = [
        "experiment_id = 20",
        "experiment_id = 21",
        "experiment_id in (20, 21)",
    ];
    let index = index(&table.relation, &filters);
    let old = row(&[Some("1"), Some("20"), None, None]);
    let changed = |experiment| {
        let new = row(&[Some("1"), experiment, None, None]);
        let old = Some(OldTuple::Full(old.as_tuple()));
        found(&index, &update(&table, old, new.as_tuple()))
    };
    assert_eq!(changed(Some("21")), [0, 1, 2]);
    assert_eq!(changed(Some("20")), [0, 2]);
    assert_eq!(changed(Some("22")), [0, 2]);
    assert_eq!(changed(None), [0, 2]);
    assert_eq!(changed(UNCHANGED), [0, 2]);
    assert_eq!(
        found(&index, &delete(&table, OldTuple::Full(old.as_tuple()))),
        [0, 2]
    );
}

#[test]
fn an_old_key_says_nothing_of_other_columns() {
    let table = table(moves(ReplicaIdentity::Default));
    let index = index(&table.relation, &["id = 1", "experiment_id = 20"]);
    let old = row(&[Some("1"), Some("20"), None, None]);
    assert_eq!(
        found(&index, &delete(&table, OldTuple::Key(old.as_tuple()))),
        [0]
    );
}

#[test]
fn what_concerns_everybody_finds_everybody() {
    let table = table(moves(ReplicaIdentity::Default));
    let index = index(
        &table.relation,
        &["experiment_id = 1", "level > a", "experiment_id in ()"],
    );
    let gap = a_gap();
    for body in [
        truncate(&table),
        Body::Schema { table: &table },
        Body::Gap(&gap),
    ] {
        assert_eq!(found(&index, &body), [0, 1, 2]);
    }
    assert_eq!(found(&index, &Body::Begin), [0; 0]);
}

#[test]
fn filters_come_and_go() {
    let table = table(moves(ReplicaIdentity::Default));
    let mut index = index(
        &table.relation,
        &["experiment_id = 1", "experiment_id = 1", "level > a"],
    );
    let new = row(&[Some("1"), Some("1"), Some("b"), None]);
    let body = insert(&table, new.as_tuple());
    assert_eq!(found(&index, &body), [0, 1, 2]);
    assert!(index.remove(&0));
    assert!(!index.remove(&0));
    assert_eq!(found(&index, &body), [1, 2]);
    index.insert(1, &bound("experiment_id = 2", &table.relation));
    assert_eq!(
        found(&index, &body),
        [2],
        "the same id has another filter now"
    );
    assert!(index.remove(&2) && index.remove(&1));
    assert!(index.is_empty());
    assert_eq!(found(&index, &body), [0; 0]);
}

/// Ten thousand viewers of an experiment each: a change asks those of its own, however many others
/// there are, and whatever else they have in common.
#[test]
fn a_change_costs_what_it_concerns_and_not_what_there_is() {
    let table = table(moves(ReplicaIdentity::Full));
    for extra in [
        "",
        " and done = true",
        " and level in (ERROR, FATAL)",
        " and id > 0",
    ] {
        for (count, most_common_first) in [(10, false), (10_000, false), (10_000, true)] {
            let mut index = Index::new();
            for id in 0..count {
                let text = if most_common_first && extra.contains("done") {
                    format!("done = true and experiment_id = {id}")
                } else {
                    format!("experiment_id = {id}{extra}")
                };
                index.insert(id, &bound(&text, &table.relation));
            }
            assert_eq!(index.unkeyed(), 0);
            let mut asked = 0;
            for id in 0..count {
                let (value, next) = (id.to_string(), ((id + 1) % count).to_string());
                let old = row(&[Some("1"), Some(&value), Some("ERROR"), Some("t")]);
                let new = row(&[Some("1"), Some(&next), Some("ERROR"), Some("t")]);
                index.candidates(&insert(&table, old.as_tuple()), |_| asked += 1);
                let old = OldTuple::Full(old.as_tuple());
                index.candidates(&update(&table, Some(old), new.as_tuple()), |_| asked += 1);
            }
            // One for an insert, two for an update; the first of all may have been put under what
            // all have in common, when nobody could know.
            let most = 3 * count + 2 * count;
            assert!(
                asked <= most && asked >= 3 * count,
                "{asked} for {count}{extra}"
            );
        }
    }
}
