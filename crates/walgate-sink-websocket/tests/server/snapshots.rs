//! Snapshots of a source that does what the test says.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::sync::Semaphore;
use walgate_core::{KeyValues, Lsn, RowKey, Table, Value};
use walgate_pgoutput::TupleBuf;
use walgate_sink_websocket::{
    Claims, Guard, Moment, Policy, PushOptions, RowReader, Snapshot, SnapshotError,
    SnapshotErrorKind, SnapshotFuture, SnapshotLimits, Snapshots, Token, WantedTables,
};

use crate::bed::{Server, options, table};
use crate::tokens::{guarded, say_token, token};

/// Gives a row for each permit of `rows`.
struct Scripted {
    rows: Arc<Semaphore>,
    /// How many snapshots were begun, and how many of them have ended.
    begun: AtomicUsize,
    ended: Arc<AtomicUsize>,
    /// What the rows of the last one have to meet.
    keys: Arc<Mutex<Option<Vec<Vec<RowKey>>>>>,
    /// Whether the last one was also to read a table that is not for everybody.
    wants_secret: AtomicBool,
    count: u32,
}

impl Scripted {
    fn new(count: u32) -> Arc<Self> {
        Arc::new(Self {
            rows: Arc::new(Semaphore::new(0)),
            begun: AtomicUsize::new(0),
            ended: Arc::default(),
            keys: Arc::default(),
            wants_secret: AtomicBool::new(false),
            count,
        })
    }

    fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }
}

/// One of them.
struct Script {
    moment: Moment,
    rows: Arc<Semaphore>,
    ended: Arc<AtomicUsize>,
    table: Arc<Table>,
    keys: Arc<Mutex<Option<Vec<Vec<RowKey>>>>>,
    left: u32,
}

impl Drop for Script {
    fn drop(&mut self) {
        self.ended.fetch_add(1, Ordering::SeqCst);
    }
}

impl Snapshots for Scripted {
    fn begin(&self, wanted: WantedTables, _: Duration) -> SnapshotFuture<'_, Box<dyn Snapshot>> {
        Box::pin(async move {
            let wants_secret = wanted("private", "t");
            self.wants_secret.store(wants_secret, Ordering::SeqCst);
            if !wanted("public", "t") {
                let message = "the role may not read it: GRANT SELECT ON t TO us";
                return Err(SnapshotError::new(SnapshotErrorKind::Refused, message));
            }
            self.begun.fetch_add(1, Ordering::SeqCst);
            let script: Box<dyn Snapshot> = Box::new(Script {
                moment: Moment::parse("10:10:", 0, Lsn(0), false).expect("a snapshot"),
                rows: Arc::clone(&self.rows),
                ended: Arc::clone(&self.ended),
                table: table(),
                keys: Arc::clone(&self.keys),
                left: self.count,
            });
            Ok(script)
        })
    }

    fn hurry(&self) {}
}

impl Snapshot for Script {
    fn moment(&self) -> &Moment {
        &self.moment
    }

    fn next<'a>(&'a mut self, reader: &'a mut dyn RowReader) -> SnapshotFuture<'a, bool> {
        Box::pin(async move {
            *self.keys.lock().expect("nobody panics") = reader.keys(&self.table)?;
            let Some(left) = self.left.checked_sub(1) else {
                return Ok(false);
            };
            self.rows.acquire().await.expect("it is open").forget();
            self.left = left;
            let mut row = TupleBuf::new();
            for text in [left.to_string().as_bytes(), b"there"] {
                row.push(Value::Text(text)).expect("a small value");
            }
            reader.take(&self.table, row.as_tuple());
            Ok(true)
        })
    }
}

fn limited(at_once: usize, rows: u64, time: Duration) -> PushOptions {
    PushOptions {
        snapshots: SnapshotLimits {
            rows,
            time,
            at_once,
        },
        ..options()
    }
}

/// Longer than any test.
const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn equal_ones_that_wait_share_one_and_others_wait_for_their_turn() {
    let source = Scripted::new(2);
    let server = Server::with_snapshots(limited(1, 100, HOUR), Arc::clone(&source) as _);
    let mut first = server.socket("?snapshot=true&table=public.*");
    server.until("it has begun", |_| source.begun() == 1);
    let mut equal = [0; 3].map(|_| server.socket("?snapshot=true"));
    let mut stream = server.events("?snapshot=true&table=*");
    stream.until("retry:");
    let mut other = server.socket("?snapshot=true&where=n=1&table=public.*");
    other.say("{\"type\":\"unsubscribe\",\"id\":\"\"}");
    other.expect("error");
    for wire in &mut equal {
        // It is there, and waits.
        wire.say("{\"type\":\"unsubscribe\",\"id\":\"\"}");
        wire.expect("error");
    }
    assert_eq!((source.begun(), source.ended()), (1, 0));
    source.rows.add_permits(100);
    for wire in equal.iter_mut().chain([&mut first]) {
        assert_eq!(wire.rows(2), [1, 0]);
        assert_eq!(wire.expect("snapshot")["rows"], 2);
        wire.expect("ready");
    }
    let text = stream.until("event: ready");
    assert!(text.contains("\ndata: {\"op\":\"read\""), "{text}");
    assert!(
        !text.contains("id: 0000000000000000-00000000\ndata: {\"op\":\"read\""),
        "{text}"
    );
    // A filter on what the table does not have.
    assert_eq!(other.expect("snapshot")["rows"], 0);
    // The first, those over WebSocket, the event stream, and the other.
    assert_eq!(source.begun(), 4);
    server.until("all are counted", |stats| stats.snapshots == 4);
    server.publish(&["new"]);
    for wire in &mut equal {
        assert_eq!(wire.rows(1), [1]);
    }
}

#[test]
fn bounds_and_refusals_end_the_connection_with_their_code() {
    let source = Scripted::new(20);
    source.rows.add_permits(1000);
    let server = Server::with_snapshots(limited(1, 10, HOUR), Arc::clone(&source) as _);
    let end = |query: &str| {
        let mut wire = server.socket(query);
        let closed = loop {
            let json = wire.json();
            if json["type"] == "closed" {
                break json["reason"].to_string();
            }
        };
        (wire.code(), closed)
    };
    let (code, reason) = end("?snapshot=true");
    assert!(
        code == Some(4412) && reason.contains("more than 10 rows"),
        "{reason}"
    );
    let (code, reason) = end("?snapshot=true&table=public.t&where=nope=1");
    assert!(code == Some(4411) && reason.contains("nope"), "{reason}");
    let (code, reason) = end("?snapshot=true&table=public.u");
    assert!(
        code == Some(4411) && reason.contains("GRANT SELECT"),
        "{reason}"
    );
    let (code, reason) = end("?snapshot=true&after=0/1");
    assert!(code == Some(4400) && reason.contains("exclude"), "{reason}");
    server.until("they are counted", |stats| stats.snapshots_failed == 3);
    let rest = server.events("?snapshot=true").until("event: closed");
    assert!(!rest.contains("id: 0000000000000001"), "{rest}");

    let none = Server::start(options());
    let mut wire = none.socket("?snapshot=true");
    wire.expect("closed");
    assert_eq!(wire.code(), Some(4411));

    let slow = Scripted::new(1);
    let limits = limited(1, 10, Duration::from_millis(100));
    let server = Server::with_snapshots(limits, Arc::clone(&slow) as _);
    let mut wire = server.socket("?snapshot=true");
    wire.expect("closed");
    assert_eq!(wire.code(), Some(4412));
    assert_eq!((slow.begun(), slow.ended()), (1, 1));
}

#[test]
fn a_snapshot_ends_when_the_last_who_waits_for_it_has_gone() {
    let source = Scripted::new(2);
    let server = Server::with_snapshots(limited(1, 100, HOUR), Arc::clone(&source) as _);
    let gone = server.socket("?snapshot=true");
    server.until("it has begun", |_| source.begun() == 1);
    let never = server.events("?snapshot=true");
    drop(gone);
    server.until("it has ended", |_| source.ended() == 1);
    // Its turn is free, and nobody who has gone takes it.
    drop(never);
    source.rows.add_permits(100);
    let mut next = server.socket("?snapshot=true&table=public.*");
    assert_eq!(next.rows(2), [1, 0]);
    next.expect("snapshot");
}

/// SHA-256 of "hunter2".
const HASH: &str = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";

#[test]
fn what_may_not_be_seen_is_not_read() {
    let some = ["public.*".to_owned()];
    for (tables, reads_all) in [(Some(&some[..]), false), (None, true)] {
        let source = Scripted::new(1);
        source.rows.add_permits(1);
        let token = Token::new("ann", HASH, tables, Claims::default()).expect("a token");
        let server = Server::with_snapshots(
            PushOptions {
                policy: Policy::Guarded(Guard {
                    tokens: vec![token],
                    ..Guard::default()
                }),
                ..limited(1, 10, HOUR)
            },
            Arc::clone(&source) as _,
        );
        let mut wire = server.socket("");
        let start = json!({"type": "start", "token": "hunter2", "snapshot": true});
        wire.say(&start.to_string());
        assert_eq!(wire.rows(1), [0]);
        wire.expect("snapshot");
        assert_eq!(source.wants_secret.load(Ordering::SeqCst), reads_all);
    }
}

#[test]
fn a_snapshot_of_who_may_see_less_meanwhile_is_given_up() {
    let source = Scripted::new(6);
    let options = PushOptions {
        snapshots: limited(2, 100, HOUR).snapshots,
        ..guarded()
    };
    let server = Server::with_snapshots(options, Arc::clone(&source) as _);
    let start = |ids: &[u32]| {
        let mut wire = server.socket("");
        let start = json!({"type": "start", "token": token(ids, 3600), "snapshot": true});
        wire.say(&start.to_string());
        wire
    };
    let mut narrowed = start(&[4, 2, 0]);
    server.until("it has begun", |_| source.begun() == 1);
    // A row that it may see was read before, and one that it may not.
    source.rows.add_permits(2);
    server.until("they are read", |_| source.rows.available_permits() == 0);
    say_token(&mut narrowed, &token(&[2], 3600));
    narrowed.expect("token");
    narrowed.expect("resync_required");
    assert_eq!(narrowed.expect("closed")["code"], 4410);
    server.until("it has ended", |_| source.ended() == 1);

    // One that says the same changes nothing.
    let mut renewed = start(&[4, 2, 0]);
    server.until("it has begun", |_| source.begun() == 2);
    source.rows.add_permits(3);
    say_token(&mut renewed, &token(&[4, 2, 0], 7200));
    let said = renewed.expect("token");
    assert!(said["expires"].is_string(), "{said}");
    source.rows.add_permits(3);
    assert_eq!(renewed.rows(3), [4, 2, 0]);
    assert_eq!(renewed.expect("snapshot")["rows"], 3);
    renewed.expect("ready");
    // And from the next copy on it is what the token shows then.
    source.rows.add_permits(6);
    let mut again = start(&[2]);
    assert_eq!(again.rows(1), [2]);
    again.expect("snapshot");
}

#[test]
fn the_source_is_told_what_rows_have_to_meet_and_is_asked_for_none_of_a_filter_that_fits_nothing() {
    let source = Scripted::new(1);
    let server = Server::with_snapshots(limited(1, 100, HOUR), Arc::clone(&source) as _);
    let keys = |query: &str| {
        source.rows.add_permits(1);
        let mut wire = server.socket(query);
        while wire.json()["type"] != "snapshot" {}
        source.keys.lock().expect("nobody panics").clone()
    };
    let number = |values: &[i64]| RowKey {
        column: "id".to_owned(),
        values: KeyValues::Integers(values.to_vec()),
    };
    assert_eq!(keys("?snapshot=true"), None);
    let one = keys("?snapshot=true&where=id%20in%20(7,8)");
    assert_eq!(one, Some(vec![vec![number(&[7, 8])]]));
    assert_eq!(keys("?snapshot=true&where=id%20%3E%207"), None);
    // Who takes whatever there is takes nothing of a table without the column.
    assert_eq!(keys("?snapshot=true&where=salary=1"), Some(Vec::new()));
    // Of a column that there is not, or that may not be seen, no row is looked up.
    let begun = source.begun();
    let mut wire = server.socket("?snapshot=true&table=public.t&where=salary=1");
    wire.expect("closed");
    assert_eq!(source.begun(), begun + 1);
    assert_eq!(source.rows.available_permits(), 0, "no row was read");
}
