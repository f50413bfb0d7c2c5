//! What a change costs when many filters wait for it: `cargo bench -p walgate-sink-websocket`.

use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use walgate_core::{
    Body, Column, ColumnUse, OldTuple, Relation, ReplicaIdentity, Shape, Table, Value,
};
use walgate_pgoutput::TupleBuf;
use walgate_sink_websocket::filter::{Bound, Filter, Index, Verdict};

/// Shows that a change allocates nothing.
#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

/// Changes of one pass: more than there are filters in the small case, so that a pass over them is
/// the same work in each.
const CHANGES: u32 = 10_000;

/// The moves of a maze.
const COLUMNS: [(&str, u32); 6] = [
    ("id", 20),
    ("experiment_id", 23),
    ("agent", 23),
    ("x", 23),
    ("y", 23),
    ("moved_at", 1184),
];

fn main() {
    divan::main();
}

fn table() -> Arc<Table> {
    let column = |(name, oid): &(&str, u32)| Column {
        name: (*name).to_owned(),
        type_oid: *oid,
        type_name: String::new(),
        typmod: -1,
        key: true,
        shape: Shape::of_builtin(*oid).unwrap_or(Shape::TEXT),
    };
    let relation = Relation {
        oid: 16_384,
        schema: "public".to_owned(),
        name: "moves".to_owned(),
        identity: ReplicaIdentity::Full,
        columns: COLUMNS.iter().map(column).collect(),
        primary_key: vec![0],
    };
    Arc::new(Table {
        id: 1,
        key: relation.key(),
        columns: vec![ColumnUse::Keep; COLUMNS.len()],
        relation: Arc::new(relation),
    })
}

fn moved(experiment: u32, x: u32) -> TupleBuf {
    let mut row = TupleBuf::new();
    let (experiment, x) = (experiment.to_string(), x.to_string());
    let moved_at = "2026-11-21 09:30:00.123456+00";
    for text in ["1234567", &experiment, "3", &x, "17", moved_at] {
        row.push(Value::Text(text.as_bytes())).expect("it fits");
    }
    row
}

fn bound(table: &Table, text: &str) -> Bound {
    let filter = Filter::parse(text).expect("a filter");
    filter.bind(&table.relation, |_| true).expect("it fits")
}

/// So many filters, each on an experiment of its own, and changes of all these experiments.
fn run(bencher: Bencher<'_, '_>, filters: u32, with: impl Fn(u32) -> String) {
    let table = table();
    let mut index = Index::new();
    let bounds: Vec<Bound> = (0..filters).map(|id| bound(&table, &with(id))).collect();
    for (id, bound) in bounds.iter().enumerate() {
        index.insert(id, bound);
    }
    let rows: Vec<_> = (0..CHANGES)
        .map(|change| {
            // In no order: the next change is of another experiment.
            let experiment = change.wrapping_mul(2_654_435_761) % filters;
            (moved(experiment, 1), moved(experiment, 2))
        })
        .collect();
    bencher.counter(ItemsCount::new(CHANGES)).bench_local(|| {
        let mut events = 0_u64;
        for (old, new) in &rows {
            let body = Body::Update {
                table: &table,
                old: Some(OldTuple::Full(old.as_tuple())),
                new: new.as_tuple(),
            };
            index.candidates(&body, |id| {
                let verdict = bounds.get(id).map(|bound| bound.judge(&body));
                events += u64::from(verdict == Some(Verdict::Event));
            });
        }
        events
    });
}

#[divan::bench(args = [10, 100, 1_000, 10_000])]
fn one_experiment_each(bencher: Bencher<'_, '_>, filters: u32) {
    run(bencher, filters, |id| format!("experiment_id = {id}"));
}

#[divan::bench(args = [10, 100, 1_000, 10_000])]
fn one_experiment_and_more(bencher: Bencher<'_, '_>, filters: u32) {
    run(bencher, filters, |id| {
        format!("experiment_id = {id} and x between 0 and 100 and moved_at > 2026-11-01")
    });
}

/// What it would be without an index: every filter is asked.
#[divan::bench(args = [10, 100, 1_000])]
fn without_a_key(bencher: Bencher<'_, '_>, filters: u32) {
    run(bencher, filters, |id| {
        format!("experiment_id >= {id} and experiment_id <= {id}")
    });
}
