//! What PostgreSQL really sends: whoever goes by the verdicts has the rows that match.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use fastrand::Rng;
use walgate_core::{Body, Relation, ReplicaIdentity, Table, Tuple, Value};
use walgate_pgoutput::{Dialect, Message, decode};
use walgate_sink_websocket::filter::{Bound, Index, Verdict};
use walgate_throwaway::{AdminSession, PgVersion, Postgres, PostgresOptions};

use crate::bed::{INT4, TEXT, bound, column, key, relation, table};

const STATEMENTS: usize = 600;

/// Conditions for filters and for SQL alike. The last ones are on the large value, which an update
/// does not send when it has not touched it.
const FILTERS: [&str; 10] = [
    "id < 30",
    "id in (1, 2, 3, 1001)",
    "experiment = 3",
    "experiment in (1, 2) and level = 'ERROR'",
    "experiment <> 3",
    "level is null or experiment is null",
    "not (level = 'ERROR' or experiment = 1)",
    "note is null",
    "note is not null and experiment = 2",
    "note < 'b' and level = 'INFO'",
];

/// How many of them are not on the large value.
const SMALL: usize = 7;

/// A subscriber: what it asks for, and the keys of the rows that it believes to match.
struct Subscriber {
    text: &'static str,
    filter: Bound,
    rows: BTreeSet<i32>,
}

impl Subscriber {
    fn apply(&mut self, body: &Body<'_>) {
        let verdict = self.filter.judge(body);
        match (verdict, body) {
            (Verdict::Nothing, _) => {}
            (Verdict::Event, Body::Insert { new, .. }) => {
                self.rows.insert(id(new));
            }
            (Verdict::Event, Body::Update { old, new, .. }) => {
                // Without an old row the key is the new one's.
                self.rows.remove(&id(&old.map_or(*new, |old| old.tuple())));
                self.rows.insert(id(new));
            }
            (Verdict::Leave, Body::Update { old: Some(old), .. })
            | (Verdict::Event, Body::Delete { old, .. }) => {
                self.rows.remove(&id(&old.tuple()));
            }
            (Verdict::Event, Body::Truncate { .. }) => self.rows.clear(),
            (verdict, body) => panic!("{verdict:?} of {body:?}"),
        }
    }
}

fn id(row: &Tuple<'_>) -> i32 {
    match row.iter().next() {
        Some(Value::Text(text)) => std::str::from_utf8(text).unwrap().parse().unwrap(),
        other => panic!("{other:?} is no key"),
    }
}

/// The statement of a random change.
fn statement(rng: &mut Rng, fresh: &mut i32) -> String {
    let literal = |rng: &mut Rng, values: &[&str]| (*rng.choice(values).unwrap()).to_owned();
    let experiment = literal(rng, &["1", "2", "3", "NULL"]);
    let level = literal(rng, &["'ERROR'", "'INFO'", "NULL"]);
    // Large enough to be kept outside of the row, see `STORAGE EXTERNAL` below.
    let note = literal(
        rng,
        &["repeat('a', 4000)", "repeat('c', 4000)", "'short'", "NULL"],
    );
    let id = rng.i32(1..60);
    match rng.u8(..10) {
        0..3 => format!(
            "INSERT INTO watched VALUES ({id}, {experiment}, {level}, {note}) ON CONFLICT DO NOTHING"
        ),
        3 | 4 => format!("UPDATE watched SET experiment = {experiment} WHERE id = {id}"),
        5 | 6 => format!("UPDATE watched SET level = {level} WHERE id = {id}"),
        7 => format!("UPDATE watched SET note = {note}, level = {level} WHERE id = {id}"),
        8 => {
            *fresh += 1;
            format!("UPDATE watched SET id = {fresh}, experiment = {experiment} WHERE id = {id}")
        }
        _ => format!("DELETE FROM watched WHERE id = {id} OR id = {fresh}"),
    }
}

/// Random changes of a table with this replica identity.
fn change(session: &mut AdminSession, rng: &mut Rng, identity: &str) {
    run(
        session,
        &format!(
            "CREATE TABLE watched (id int PRIMARY KEY, experiment int, level text, note text); \
             ALTER TABLE watched ALTER note SET STORAGE EXTERNAL, REPLICA IDENTITY {identity}; \
             CREATE PUBLICATION watching FOR TABLE watched"
        ),
    );
    run(
        session,
        "SELECT pg_create_logical_replication_slot('watching', 'pgoutput')",
    );
    let mut fresh = 1000;
    let mut script = String::new();
    for place in 0..STATEMENTS {
        let statement = statement(rng, &mut fresh);
        write!(script, "{statement};").unwrap();
        if place == STATEMENTS / 8 {
            script.push_str("TRUNCATE watched;");
        }
    }
    run(session, &script);
}

/// The messages of pgoutput about the changes.
fn messages(session: &mut AdminSession) -> Vec<Vec<u8>> {
    let rows = run(
        session,
        "SELECT data FROM pg_logical_slot_get_binary_changes('watching', NULL, NULL, \
         'proto_version', '1', 'publication_names', 'watching')",
    );
    let bytes = |row: Vec<Option<String>>| {
        let text = row.into_iter().next().flatten().expect("a message");
        let digits = text.strip_prefix("\\x").expect("bytea in hex").as_bytes();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16);
        digits.chunks(2).map(|pair| byte(pair).unwrap()).collect()
    };
    rows.into_iter().map(bytes).collect()
}

fn run(session: &mut AdminSession, sql: &str) -> walgate_throwaway::Rows {
    session
        .query(sql)
        .unwrap_or_else(|error| panic!("{sql:.2000}: {error}"))
}

fn watched(identity: ReplicaIdentity) -> Relation {
    let columns = vec![
        key(column("id", INT4)),
        column("experiment", INT4),
        column("level", TEXT),
        column("note", TEXT),
    ];
    relation(identity, columns)
}

/// The body of a message, if it is a change.
fn body<'a>(table: &'a Arc<Table>, message: &Message<'a>) -> Option<Body<'a>> {
    match *message {
        Message::Insert { new, .. } => Some(Body::Insert { table, new }),
        Message::Update { old, new, .. } => Some(Body::Update { table, old, new }),
        Message::Delete { old, .. } => Some(Body::Delete { table, old }),
        Message::Truncate { .. } => Some(Body::Truncate {
            table,
            cascade: false,
            restart_identity: false,
        }),
        _ => None,
    }
}

/// Changes a table at random and hands all that is sent to the subscribers, as the index finds
/// them. Gives them with the rows that match in the end.
fn follow(identity: ReplicaIdentity, sql: &str) -> Vec<(Subscriber, BTreeSet<i32>)> {
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V17))
        .expect("a throw-away PostgreSQL");
    let mut session = server.admin().expect("a session");
    change(&mut session, &mut Rng::with_seed(20_261_122), sql);
    let table = table(watched(identity));
    let mut index = Index::new();
    let mut subscribers = Vec::new();
    for (place, text) in FILTERS.into_iter().enumerate() {
        let filter = bound(text, &table.relation);
        index.insert(place, &filter);
        let rows = BTreeSet::new();
        subscribers.push(Subscriber { text, filter, rows });
    }
    let (mut changes, mut unsent) = (0, 0);
    for bytes in &messages(&mut session) {
        let message = decode(bytes, Dialect::default(), false).expect("a message");
        if let Some(body) = body(&table, &message) {
            changes += 1;
            if let Body::Update { new, .. } = body {
                unsent += usize::from(new.iter().any(|value| value == Value::Unchanged));
            }
            index.candidates(&body, |place| subscribers[place].apply(&body));
        }
    }
    assert!(changes > STATEMENTS / 4, "{changes} changes");
    assert!(unsent > 5, "{unsent} updates did not send the large value");
    let matching = |subscriber: &Subscriber| {
        let sql = format!("SELECT id FROM watched WHERE {}", subscriber.text);
        let rows = run(&mut session, &sql).into_iter().flatten().flatten();
        rows.map(|id| id.parse().expect("a key")).collect()
    };
    let matching: Vec<BTreeSet<i32>> = subscribers.iter().map(matching).collect();
    subscribers.into_iter().zip(matching).collect()
}

#[test]
fn with_the_whole_old_row_a_subscriber_has_exactly_the_rows_that_match() {
    let mut found = 0;
    for (subscriber, matching) in follow(ReplicaIdentity::Full, "FULL") {
        assert_eq!(subscriber.rows, matching, "{}", subscriber.text);
        found += matching.len();
    }
    assert!(found > FILTERS.len(), "only {found} rows match anything");
}

#[test]
fn with_the_old_key_only_a_subscriber_misses_none_and_may_keep_some() {
    let relation = watched(ReplicaIdentity::Default);
    let mut kept = 0;
    let followed = follow(ReplicaIdentity::Default, "DEFAULT");
    for (subscriber, matching) in followed.into_iter().take(SMALL) {
        if subscriber.filter.inexact(&relation).is_empty() {
            assert_eq!(subscriber.rows, matching, "{}", subscriber.text);
        } else {
            let missed: Vec<_> = matching.difference(&subscriber.rows).collect();
            assert!(missed.is_empty(), "{} misses {missed:?}", subscriber.text);
            kept += subscriber.rows.len() - matching.len();
        }
    }
    assert!(kept > 0, "what the log lacks has made no difference");
}
