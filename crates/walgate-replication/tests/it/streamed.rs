//! Transactions that come while they run are the same as those that come after their commit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use walgate_core::{Relation, Source, StopReason};
use walgate_replication::{
    BinaryValues, OnTooLarge, SourceConfig, StreamBounds, StreamTransactions,
};
use walgate_throwaway::PgVersion;

use crate::bed::{Bed, PATIENCE, Reader, Seen, config, eventually, unique};

const TABLES: &str = "\
    CREATE TYPE mood AS ENUM ('sad', 'ok'); \
    CREATE TABLE t (id int, v text); ALTER TABLE t REPLICA IDENTITY FULL; \
    CREATE TABLE u (id int PRIMARY KEY, v text, m mood[]); \
    CREATE TABLE w (id int PRIMARY KEY, v text); \
    CREATE TABLE hidden (id int, v text); \
    CREATE PUBLICATION p FOR TABLE t, u, w";

/// Two slots that see the same: one read with streaming, one without.
struct Pair {
    bed: Bed,
    streamed: String,
    plain: String,
    binary: BinaryValues,
}

impl Pair {
    fn new(version: PgVersion, immediate: bool) -> Self {
        let bed = Bed::new(version);
        bed.sql(TABLES);
        if immediate {
            bed.sql(&format!(
                "ALTER DATABASE {} SET debug_logical_replication_streaming = 'immediate'",
                bed.database
            ));
        }
        let (streamed, plain) = (unique("s"), unique("s"));
        for slot in [&streamed, &plain] {
            bed.sql(&format!(
                "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"
            ));
        }
        Self {
            bed,
            streamed,
            plain,
            // A type that comes later would end the connection, and what has begun can't be streamed on
            // the next one.
            binary: if immediate {
                BinaryValues::Auto
            } else {
                BinaryValues::Off
            },
        }
    }

    fn streaming(&self, bounds: StreamBounds) -> SourceConfig {
        let mut streaming = config(&self.bed.url(), &self.streamed);
        streaming.binary = self.binary;
        streaming.streaming = StreamTransactions::On(bounds);
        streaming.logical_decoding_work_mem_kib = Some(64);
        streaming
    }

    async fn read_streamed(&self) -> Reader {
        Reader::start(self.streaming(StreamBounds::default()), None)
            .await
            .expect("starts")
    }

    async fn read_plain(&self) -> Reader {
        let mut plain = config(&self.bed.url(), &self.plain);
        plain.binary = BinaryValues::Auto;
        plain.logical_decoding_work_mem_kib = Some(64);
        Reader::start(plain, None).await.expect("starts")
    }

    /// Writes the last row, reads both to it, and compares.
    async fn same(&self, streamed: &mut Reader, what: &str) {
        self.bed.sql("INSERT INTO w VALUES (0, 'the last')");
        streamed.until_row("0,the last").await.expect("streams");
        let mut plain = self.read_plain().await;
        plain.until_row("0,the last").await.expect("reads");
        assert_same(&streamed.seen, &plain.seen, what);
        let forms = |reader: &Reader| -> Vec<Arc<Relation>> { reader.defined.clone() };
        assert_eq!(forms(streamed), forms(&plain), "{what}");
        assert_eq!(streamed.spools.len(), 0, "{what}: no spool is left");
        plain.source.close().await.expect("closes");
    }

    /// What the server counts for a slot: bytes spilled, bytes streamed.
    fn counted(&self, slot: &str) -> (u64, u64) {
        let row = self.bed.sql(&format!(
            "SELECT spill_bytes, stream_bytes FROM pg_stat_replication_slots WHERE slot_name = '{slot}'"
        ));
        let number = |place: usize| {
            row.first()
                .and_then(|row| row.get(place)?.as_deref()?.parse().ok())
                .unwrap_or(0)
        };
        (number(0), number(1))
    }
}

/// Transactions without changes, which 14 sends, are nothing.
fn assert_same(streamed: &[Seen], plain: &[Seen], what: &str) {
    let without_empty = |seen: &[Seen]| {
        let mut kept: Vec<Seen> = Vec::new();
        for one in seen {
            if one.what == "commit" && kept.last().is_some_and(|last| last.what == "begin") {
                kept.pop();
            } else {
                kept.push(one.clone());
            }
        }
        kept
    };
    let (streamed, plain) = (without_empty(streamed), without_empty(plain));
    let differs = streamed.iter().zip(&plain).position(|(a, b)| a != b);
    if let Some(place) = differs {
        let from = place.saturating_sub(2);
        let show = |seen: &[Seen]| format!("{:#?}", &seen[from..(place + 3).min(seen.len())]);
        panic!(
            "{what}: streamed {} differs from {}",
            show(&streamed),
            show(&plain)
        );
    }
    assert_eq!(streamed.len(), plain.len(), "{what}");
}

/// Transactions with savepoints, roll-backs, changes of tables, and others in between.
fn workload(bed: &Bed) {
    let wide = "repeat('x', 300)";
    // Nested, released, rolled back, and rolled back after a release.
    bed.sql(&format!(
        "BEGIN; INSERT INTO t SELECT i, {wide} FROM generate_series(1, 500) i; \
         SAVEPOINT a; INSERT INTO u SELECT i, {wide}, '{{ok}}' FROM generate_series(1, 500) i; \
         SAVEPOINT b; UPDATE t SET v = 'b' WHERE id < 100; RELEASE b; DELETE FROM t WHERE id < 50; ROLLBACK TO a; \
         INSERT INTO u SELECT i, {wide}, NULL FROM generate_series(1, 300) i; RELEASE a; \
         SAVEPOINT c; SAVEPOINT d; INSERT INTO w SELECT i, {wide} FROM generate_series(1, 300) i; ROLLBACK TO c; \
         UPDATE u SET m = '{{sad,ok}}' WHERE id < 10; COMMIT"
    ));
    // A sub-transaction for each row, half of them rolled back.
    bed.sql(
        "DO $$ BEGIN FOR i IN 1001..1400 LOOP BEGIN \
           INSERT INTO u VALUES (i, repeat('y', 400)); \
           IF i % 2 = 0 THEN RAISE EXCEPTION 'no'; END IF; \
           EXCEPTION WHEN raise_exception THEN INSERT INTO t VALUES (i, repeat('z', 400)); END; END LOOP; END $$",
    );
    // Changes of tables, rolled back and not, and a table that did not exist before.
    bed.sql(&format!(
        "BEGIN; INSERT INTO t SELECT i, {wide} FROM generate_series(2000, 2300) i; SAVEPOINT a; \
         INSERT INTO t SELECT i, {wide} FROM generate_series(2300, 2600) i; ROLLBACK TO a; \
         SAVEPOINT b; ALTER TABLE t ADD COLUMN n int DEFAULT 7; INSERT INTO t SELECT i, {wide}, i FROM generate_series(2300, 2600) i; \
         RELEASE b; ALTER TABLE t DROP COLUMN n; INSERT INTO t SELECT i, {wide} FROM generate_series(2600, 2900) i; \
         ALTER TABLE t ADD COLUMN k date; INSERT INTO t SELECT i, {wide}, now() FROM generate_series(2900, 3200) i; \
         CREATE TYPE colour AS ENUM ('red'); CREATE TABLE fresh (c colour, l colour[], id int PRIMARY KEY); \
         ALTER TABLE fresh REPLICA IDENTITY FULL; ALTER PUBLICATION p ADD TABLE fresh; \
         INSERT INTO fresh SELECT 'red', '{{red}}', i FROM generate_series(1, 500) i; \
         ALTER TABLE fresh RENAME COLUMN l TO many; UPDATE fresh SET c = NULL WHERE id < 100; \
         DELETE FROM fresh WHERE id < 5; COMMIT"
    ));
    bed.sql(
        "INSERT INTO t VALUES (4000, 'k', now()); INSERT INTO fresh VALUES ('red', '{red,red}', 1)",
    );
    // Messages whose place is certain, and truncates.
    bed.sql(&format!(
        "BEGIN; SELECT pg_logical_emit_message(true, 'first', 'm'); INSERT INTO t SELECT i, {wide} FROM generate_series(1, 300) i; \
         SELECT pg_logical_emit_message(false, 'alone', 'm'); SELECT pg_logical_emit_message(true, 'top', 'm'); \
         INSERT INTO t VALUES (1, 'one'); SAVEPOINT a; INSERT INTO t SELECT i, {wide} FROM generate_series(1, 300) i; \
         TRUNCATE t, u; SELECT pg_logical_emit_message(true, 'gone', 'm'); ROLLBACK TO a; TRUNCATE w, u; \
         SELECT pg_logical_emit_message(true, 'last', 'm'); COMMIT"
    ));
    // Rolled back as a whole; nothing that is published; prepared.
    bed.sql(&format!(
        "BEGIN; INSERT INTO t SELECT i, {wide} FROM generate_series(1, 900) i; ROLLBACK"
    ));
    bed.sql(&format!(
        "BEGIN; SAVEPOINT a; INSERT INTO hidden SELECT i, {wide} FROM generate_series(1, 900) i; ROLLBACK TO a; \
         INSERT INTO hidden SELECT i, {wide} FROM generate_series(1, 900) i; COMMIT"
    ));
    for (name, end, from) in [("kept", "COMMIT", 50_000), ("undone", "ROLLBACK", 60_000)] {
        bed.sql(&format!(
            "BEGIN; INSERT INTO w SELECT i, '{name}' || {wide} FROM generate_series({from}, {from} + 600) i; \
             SAVEPOINT a; DELETE FROM w WHERE id < {from} + 100; ROLLBACK TO a; PREPARE TRANSACTION '{name}_{0}'",
            bed.database
        ));
        bed.sql("INSERT INTO t VALUES (6000, 'between')");
        bed.sql(&format!("{end} PREPARED '{name}_{}'", bed.database));
    }
    interleaved(bed);
}

/// Two that run at the same time, with small ones in between, and with the publication changing
/// under them.
fn interleaved(bed: &Bed) {
    let wide = "repeat('x', 300)";
    let (mut one, mut two) = (bed.session(), bed.session());
    one.query("BEGIN").expect("sql");
    two.query("BEGIN").expect("sql");
    for round in 0..6 {
        let from = 10_000 + round * 1000;
        one.query(&format!(
            "SAVEPOINT a; INSERT INTO t SELECT i, {wide} FROM generate_series({from}, {from} + 150) i"
        ))
        .expect("sql");
        two.query(&format!(
            "SAVEPOINT b; INSERT INTO w SELECT i, {wide} FROM generate_series({from}, {from} + 150) i"
        ))
        .expect("sql");
        bed.sql(&format!("INSERT INTO w VALUES (-{from}, 'between')"));
        if round == 3 {
            bed.sql("ALTER PUBLICATION p DROP TABLE w; ALTER PUBLICATION p ADD TABLE w");
        }
        if round % 2 == 0 {
            one.query(&format!(
                "ROLLBACK TO a; INSERT INTO u VALUES ({from}, 'after')"
            ))
            .expect("sql");
            two.query("RELEASE b").expect("sql");
        } else {
            one.query("RELEASE a").expect("sql");
            two.query("ROLLBACK TO b").expect("sql");
        }
    }
    two.query("COMMIT").expect("sql");
    bed.sql("INSERT INTO w VALUES (-1, 'between')");
    one.query("COMMIT").expect("sql");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streamed_and_plain_are_the_same() {
    for version in PgVersion::ALL {
        for immediate in [false, true] {
            if immediate && version.major() < Some(16) {
                continue;
            }
            let what = format!("{version}, immediate: {immediate}");
            let pair = Pair::new(version, immediate);
            let mut streamed = pair.read_streamed().await;
            workload(&pair.bed);
            pair.same(&mut streamed, &what).await;
            let counters = streamed.source.monitor().counters();
            assert_eq!(counters.unstreamed, 0, "{what}");
            assert!(counters.streamed >= 6, "{what}: {counters:?}");
            eventually("the server counts what it streamed", || {
                pair.counted(&pair.streamed).1 > 500_000
            })
            .await;
            // Where everything has to go at once, also what can't be streamed is spilled: what other
            // databases say about their catalogs.
            let spilled = pair.counted(&pair.streamed).0;
            assert!(
                immediate || spilled == 0,
                "{what}: {spilled} bytes are spilled"
            );
            assert!(
                pair.counted(&pair.plain).0 > 500_000,
                "{what}: without streaming it is"
            );
            streamed.source.close().await.expect("closes");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_may_have_been_rolled_back_makes_it_come_after_the_commit() {
    for version in PgVersion::ALL {
        let what = version.to_string();
        let pair = Pair::new(version, false);
        let mut streamed = pair.read_streamed().await;
        let bed = &pair.bed;
        bed.sql("INSERT INTO w VALUES (1, 'before')");
        bed.sql(
            "BEGIN; INSERT INTO t SELECT i, repeat('x', 300) FROM generate_series(1, 500) i; SAVEPOINT a; \
             SELECT pg_logical_emit_message(true, 'whose', 'm'); \
             INSERT INTO t SELECT i, repeat('y', 300) FROM generate_series(1, 500) i; ROLLBACK TO a; \
             INSERT INTO t SELECT i, repeat('z', 300) FROM generate_series(1, 500) i; COMMIT",
        );
        // A message and nothing else.
        bed.sql(
            "BEGIN; INSERT INTO t SELECT i, repeat('x', 300) FROM generate_series(1, 500) i; SAVEPOINT a; \
             SELECT pg_logical_emit_message(true, 'gone', repeat('m', 300)) FROM generate_series(1, 500); ROLLBACK TO a; \
             INSERT INTO t VALUES (1, 'z'); COMMIT",
        );
        bed.sql("INSERT INTO w VALUES (2, 'after')");
        pair.same(&mut streamed, &what).await;
        let counters = streamed.source.monitor().counters();
        assert_eq!((counters.unstreamed, counters.streamed), (1, 0), "{what}");
        streamed.source.close().await.expect("closes");
    }
}

/// PostgreSQL fails while it streams a transaction in which a savepoint with a change of a table was
/// rolled back, and not when it sends it after its commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_fails_to_stream_comes_after_the_commit() {
    for version in PgVersion::ALL {
        let what = version.to_string();
        let pair = Pair::new(version, false);
        let mut streamed = pair.read_streamed().await;
        pair.bed.sql(
            "BEGIN; INSERT INTO t SELECT i, repeat('x', 300) FROM generate_series(1, 500) i; SAVEPOINT a; \
             ALTER TABLE t ADD COLUMN n int; INSERT INTO t SELECT i, repeat('y', 300), i FROM generate_series(1, 500) i; \
             ROLLBACK TO a; INSERT INTO t SELECT i, repeat('z', 300) FROM generate_series(1, 500) i; COMMIT",
        );
        pair.same(&mut streamed, &what).await;
        let counters = streamed.source.monitor().counters();
        // A version that can do it is welcome.
        assert_eq!(
            counters.unstreamed + counters.streamed,
            1,
            "{what}: {counters:?}"
        );
        streamed.source.close().await.expect("closes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_streams_again_once_the_transaction_has_passed() {
    let pair = Pair::new(PgVersion::V17, false);
    let mut streamed = pair.read_streamed().await;
    let bed = &pair.bed;
    // Rolled back as a whole: only the server can tell that it has ended.
    let mut session = bed.session();
    session
        .query(
            "BEGIN; INSERT INTO t SELECT i, repeat('x', 300) FROM generate_series(1, 500) i; SAVEPOINT a; \
             SELECT pg_logical_emit_message(true, 'whose', 'm'); \
             INSERT INTO t SELECT i, repeat('y', 300) FROM generate_series(1, 500) i; ROLLBACK TO a",
        )
        .expect("sql");
    bed.sql("INSERT INTO w VALUES (1, 'unstreamed')");
    streamed.until_row("1,unstreamed").await.expect("streams");
    let monitor = streamed.source.monitor();
    assert_eq!(monitor.counters().unstreamed, 1);
    session.query("ROLLBACK").expect("sql");
    let reconnects = monitor.counters().reconnects;
    let began = Instant::now();
    let mut id = 100;
    while monitor.counters().reconnects == reconnects {
        assert!(began.elapsed() < PATIENCE, "it did not connect again");
        bed.sql(&format!("INSERT INTO w VALUES ({id}, 'more')"));
        streamed
            .until_row(&format!("{id},more"))
            .await
            .expect("goes on");
        id += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bed.sql("INSERT INTO t SELECT i, repeat('x', 300) FROM generate_series(1, 500) i");
    pair.same(&mut streamed, "streaming again").await;
    let counters = monitor.counters();
    assert_eq!((counters.unstreamed, counters.streamed), (1, 1));
    streamed.source.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_large_is_left_to_the_server_or_stops() {
    let pair = Pair::new(PgVersion::V18, false);
    let sql = "INSERT INTO t SELECT i, repeat('x', 300) FROM generate_series(1, 2000) i";
    let bounds = StreamBounds {
        max_transaction: 200_000,
        on_too_large: OnTooLarge::Stop,
        ..StreamBounds::default()
    };
    let mut stops = Reader::start(pair.streaming(bounds), None)
        .await
        .expect("starts");
    pair.bed.sql("INSERT INTO w VALUES (1, 'before')");
    pair.bed.sql(sql);
    let failure = stops.until(|_| false).await.expect_err("stops");
    assert_eq!(failure.reason, StopReason::Data);
    for part in ["transaction ", "public.t", "200000", "max_transaction"] {
        assert!(failure.message.contains(part), "{failure}");
    }
    assert_eq!(stops.rows(), ["insert w 1,before"]);
    stops.source.close().await.expect("closes");
    let unstream = StreamBounds {
        on_too_large: OnTooLarge::Unstream,
        ..bounds
    };
    let mut streamed = Reader::start(pair.streaming(unstream), None)
        .await
        .expect("starts");
    pair.same(&mut streamed, "too large").await;
    let counters = streamed.source.monitor().counters();
    assert_eq!((counters.unstreamed, counters.streamed), (1, 0));
    streamed.source.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_transaction_holds_nothing_back_and_comes_again_after_a_disconnect() {
    let pair = Pair::new(PgVersion::V18, false);
    let mut streamed = pair.read_streamed().await;
    let bed = &pair.bed;
    let mut session = bed.session();
    session
        .query("BEGIN; INSERT INTO t SELECT i, repeat('x', 300) FROM generate_series(1, 2000) i")
        .expect("sql");
    bed.sql("INSERT INTO w VALUES (1, 'between')");
    streamed.until_row("1,between").await.expect("streams");
    assert_eq!(streamed.spools.len(), 1);
    let end = bed.text("SELECT pg_current_wal_lsn()");
    let end = end.parse().expect("an LSN");
    streamed
        .until(|reader| reader.progress >= end)
        .await
        .expect("keepalives are progress");
    streamed.confirm();
    eventually("the confirmation arrives", || {
        let confirmed = bed.text(&format!(
            "SELECT confirmed_flush_lsn >= '{end}' FROM pg_replication_slots WHERE slot_name = '{}'",
            pair.streamed
        ));
        confirmed == "t"
    })
    .await;
    bed.sql(&format!(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{}'",
        pair.streamed
    ));
    bed.sql("INSERT INTO w VALUES (2, 'after')");
    streamed.until_row("2,after").await.expect("goes on");
    session
        .query("INSERT INTO t VALUES (1, 'end'); COMMIT")
        .expect("sql");
    pair.same(&mut streamed, "after a disconnect").await;
    let counters = streamed.source.monitor().counters();
    assert_eq!((counters.streamed, counters.reconnects), (1, 1));
    streamed.source.close().await.expect("closes");
}
