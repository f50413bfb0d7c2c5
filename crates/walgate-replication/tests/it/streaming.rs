//! What a server sends becomes frames with positions, and a clean stop repeats nothing.

use std::time::Duration;

use walgate_core::{Lsn, Position, Source, StopReason};
use walgate_replication::{SlotMode, SourceState, StopAtLsn};
use walgate_throwaway::{PgTls, PgVersion, Postgres, PostgresOptions};

use crate::bed::{Bed, Reader, config, eventually, unique};

const TABLES: &str = "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY); \
                      CREATE PUBLICATION p FOR TABLE t, u";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_have_the_positions_of_the_format() {
    for version in [PgVersion::V14, PgVersion::V18] {
        let bed = Bed::new(version);
        bed.sql(TABLES);
        let mut reader = Reader::start(config(&bed.url(), &unique("s")), None)
            .await
            .expect("starts");
        bed.sql("BEGIN; INSERT INTO t VALUES (1, 'a'), (2, 'b'); SAVEPOINT s; INSERT INTO t VALUES (9); \
                 ROLLBACK TO s; UPDATE t SET v = 'c' WHERE id = 1; TRUNCATE t, u; \
                 SELECT pg_logical_emit_message(true, 'in', 'x'); DELETE FROM t; INSERT INTO u VALUES (3); COMMIT");
        bed.sql("SELECT pg_logical_emit_message(false, 'alone', 'y'); INSERT INTO u VALUES (4)");
        reader.until_row("insert u 4").await.expect("streams");
        let kinds: Vec<(&str, u32)> = reader
            .seen
            .iter()
            .map(|seen| (seen.what.as_str(), seen.id.index()))
            .collect();
        let last = Position::COMMIT;
        assert_eq!(
            kinds,
            [
                ("begin", 1),
                ("insert t 1,a", 2),
                ("insert t 2,b", 3),
                ("update t 1,c", 4),
                ("truncate t,u", 5),
                ("message in x", 7),
                ("insert u 3", 8),
                ("commit", last),
                ("message alone y", 0),
                ("begin", 1),
                ("insert u 4", 2),
                ("commit", last),
            ],
            "{version}"
        );
        assert!(
            reader
                .seen
                .is_sorted_by(|a, b| a.id < b.id || a.id.index() == Position::COMMIT),
            "{:?}",
            reader.seen
        );
        reader.source.close().await.expect("closes");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_stop_repeats_nothing_and_frees_the_slot_at_once() {
    let bed = Bed::new(PgVersion::V18);
    bed.sql(TABLES);
    let slot = unique("s");
    let mut reader = Reader::start(config(&bed.url(), &slot), None)
        .await
        .expect("starts");
    assert!(reader.identity.created_by_us && reader.identity.consistent_point > Lsn::ZERO);
    assert!(
        reader
            .warnings
            .iter()
            .any(|warning| warning.contains("keeps WAL")),
        "{:?}",
        reader.warnings
    );
    bed.sql("INSERT INTO t VALUES (1, 'one')");
    reader.until_row("1,one").await.expect("streams");
    reader.confirm();
    reader.source.close().await.expect("closes");
    let row = bed.sql(&format!(
        "SELECT active, confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{slot}'"
    ));
    assert_eq!(
        row[0][1].as_deref(),
        Some(reader.progress.to_string().as_str()),
        "the last status arrived"
    );
    bed.sql("INSERT INTO t VALUES (2, 'two')");
    let checkpoint = reader.checkpoint();
    let mut again = Reader::start(config(&bed.url(), &slot), Some(checkpoint))
        .await
        .expect("starts again");
    assert_eq!(again.resume, reader.progress);
    again.until_row("2,two").await.expect("streams");
    assert_eq!(again.rows(), ["insert t 2,two"]);
    assert!(
        again.identity.created_by_us,
        "who created the slot is not forgotten"
    );
    assert!(matches!(
        again.source.monitor().state(),
        SourceState::Streaming { .. }
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn until_now_hands_over_what_is_committed_and_ends() {
    let bed = Bed::new(PgVersion::V18);
    bed.sql(TABLES);
    let slot = unique("s");
    bed.sql(&format!(
        "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"
    ));
    bed.sql("INSERT INTO t SELECT i, 'x' FROM generate_series(1, 100) i");
    let mut until = config(&bed.url(), &slot);
    until.stop_at = Some(StopAtLsn::Now);
    let mut reader = Reader::start(until, None).await.expect("starts");
    assert!(
        reader
            .warnings
            .iter()
            .any(|warning| warning.contains("nothing is known")),
        "{:?}",
        reader.warnings
    );
    bed.sql("INSERT INTO t VALUES (1000, 'behind')");
    reader.until(|_| false).await.expect("ends");
    assert_eq!(reader.rows().len(), 100);
    reader.confirm();
    let progress = reader.progress;
    reader.source.close().await.expect("closes");
    let confirmed = bed.text(&format!(
        "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{slot}'"
    ));
    assert_eq!(confirmed, progress.to_string());

    // The commit LSN of an event, given back: everything up to and including it.
    let first_commit = reader.seen[0].id.lsn();
    bed.sql("INSERT INTO t VALUES (1001, 'later')");
    let mut second = config(&bed.url(), &slot);
    second.peek = true;
    let mut all = Reader::start(second.clone(), None).await.expect("starts");
    all.until_row("1001,later").await.expect("streams");
    assert!(all.seen[0].id.lsn() > first_commit);
    let behind = all
        .seen
        .iter()
        .find(|seen| seen.what.contains("behind"))
        .expect("is there")
        .id
        .lsn();
    all.source.close().await.expect("closes");
    second.stop_at = Some(StopAtLsn::Lsn(behind));
    let mut upto = Reader::start(second, None).await.expect("starts");
    upto.until(|_| false).await.expect("ends");
    assert_eq!(upto.rows(), ["insert t 1000,behind"]);
    upto.confirm();
    upto.source.close().await.expect("closes");
    let peeked = bed.text(&format!(
        "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = '{slot}'"
    ));
    assert_eq!(peeked, progress.to_string(), "peek confirms nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_is_checked_against_the_slot() {
    let bed = Bed::new(PgVersion::V18);
    bed.sql(TABLES);
    let slot = unique("s");
    bed.sql(&format!(
        "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"
    ));
    bed.sql("INSERT INTO t VALUES (1, 'one')");
    let middle: Lsn = bed
        .text("SELECT pg_current_wal_lsn()")
        .parse()
        .expect("an LSN");
    bed.sql("INSERT INTO t VALUES (2, 'two')");
    let mut from = config(&bed.url(), &slot);
    from.slot.mode = SlotMode::Existing;
    from.start_at = Some(Lsn(1));
    let below = Reader::start(from.clone(), None)
        .await
        .err()
        .expect("is refused");
    assert_eq!(below.reason, StopReason::Gap, "{below}");
    from.start_at = Some(middle);
    let above = Reader::start(from.clone(), None)
        .await
        .err()
        .expect("needs peek");
    assert_eq!(above.reason, StopReason::Config, "{above}");
    from.peek = true;
    let mut reader = Reader::start(from, None).await.expect("starts");
    reader.until_row("2,two").await.expect("streams");
    assert_eq!(reader.rows(), ["insert t 2,two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_database_with_a_busy_neighbour_advances() {
    let bed = Bed::new(PgVersion::V18);
    bed.sql(TABLES);
    bed.sql("CREATE TABLE unpublished (id int)");
    let slot = unique("s");
    let mut quick = config(&bed.url(), &slot);
    quick.status_interval = Duration::from_millis(200);
    let mut reader = Reader::start(quick, None).await.expect("starts");
    bed.sql("INSERT INTO unpublished SELECT generate_series(1, 10000)");
    let end: Lsn = bed
        .text("SELECT pg_current_wal_lsn()")
        .parse()
        .expect("an LSN");
    reader
        .until(|reader| reader.progress >= end)
        .await
        .expect("advances by keepalives");
    assert!(reader.seen.is_empty(), "{:?}", reader.seen);
    reader.confirm();
    let progress = reader.progress.to_string();
    let query = format!(
        "SELECT confirmed_flush_lsn >= '{progress}' FROM pg_replication_slots WHERE slot_name = '{slot}'"
    );
    eventually("the slot advances", || bed.text(&query) == "t").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_does_not_read_is_not_thrown_out() {
    let bed = Bed::new(PgVersion::V18);
    bed.sql(TABLES);
    let slot = unique("s");
    let mut slow = config(&bed.url(), &slot);
    slow.wal_sender_timeout = Some(Duration::from_secs(1));
    let mut reader = Reader::start(slow, None).await.expect("starts");
    // More than the socket's buffers hold, so that the server waits for us.
    bed.sql("INSERT INTO t SELECT i, repeat('x', 2000) FROM generate_series(1, 20000) i");
    reader
        .until(|reader| !reader.seen.is_empty())
        .await
        .expect("begins");
    let replies = format!(
        "SELECT r.pid, r.reply_time FROM pg_stat_replication r JOIN pg_replication_slots s ON s.active_pid = r.pid \
         WHERE s.slot_name = '{slot}'"
    );
    let first = bed.sql(&replies);
    // The server has taken statuses from us for three of its time-outs, while nobody read.
    eventually("three time-outs pass", || {
        let later = bed.text(&format!(
            "SELECT r.reply_time > timestamptz '{}' + interval '3 s' FROM pg_stat_replication r \
             JOIN pg_replication_slots s ON s.active_pid = r.pid WHERE s.slot_name = '{slot}'",
            first[0][1].as_deref().unwrap_or_default()
        ));
        assert!(later == "t" || later == "f", "the walsender is gone");
        later == "t"
    })
    .await;
    reader.until_row("20000,").await.expect("the rest comes");
    assert_eq!(
        bed.sql(&replies)[0][0],
        first[0][0],
        "it is still the same walsender"
    );
    assert_eq!(reader.rows().len(), 20_000);
    assert_eq!(reader.source.monitor().counters().reconnects, 0);
}

/// A walsender that decodes rows which are not published sends nothing for as long as that takes.
/// It looks at what we say when half of `wal_sender_timeout` has passed, and answers only then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_decodes_in_silence_is_not_taken_for_dead() {
    let bed = Bed::new(PgVersion::V15);
    bed.sql(TABLES);
    bed.sql("CREATE TABLE unpublished (id int)");
    let slot = unique("s");
    bed.sql(&format!(
        "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"
    ));
    bed.sql("INSERT INTO unpublished SELECT generate_series(1, 2000000)");
    bed.sql("INSERT INTO t VALUES (1, 'behind')");
    let mut quick = config(&bed.url(), &slot);
    quick.status_interval = Duration::from_millis(100);
    let mut reader = Reader::start(quick, None).await.expect("starts");
    reader.until_row("1,behind").await.expect("streams");
    assert_eq!(reader.source.monitor().counters().reconnects, 0);
}

/// Under TLS the low-water mark counts the bytes of records: neither the end of a backlog nor what comes
/// alone behind it may wait for more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_a_backlog_comes_with_its_tail() {
    let options = PostgresOptions::version(PgVersion::V17).tls(PgTls::default());
    let server = Postgres::start(&options).expect("a server with TLS");
    let sql = |text: &str| {
        let session = server.admin_in("postgres");
        session
            .and_then(|mut session| session.query(text))
            .expect(text)
    };
    sql(TABLES);
    sql("SELECT pg_create_logical_replication_slot('s', 'pgoutput')");
    sql("INSERT INTO t SELECT i, 'backlog' FROM generate_series(1, 20000) i");
    let url = format!("{}?sslmode=require", server.url());
    let mut reader = Reader::start(config(&url, "s"), None)
        .await
        .expect("starts");
    reader.until_row("20000,backlog").await.expect("streams");
    for id in 20_001..20_004 {
        sql(&format!("INSERT INTO t VALUES ({id}, 'alone')"));
        let last = format!("{id},alone");
        reader.until_row(&last).await.expect("streams");
    }
    assert_eq!(reader.rows().len(), 20_003);
    assert_eq!(reader.source.monitor().counters().reconnects, 0);
    reader.source.close().await.expect("closes");
}
