//! Lost history is never papered over.

use std::time::Duration;

use walgate_core::{GapReason, Lsn, Position, Source, StopReason};
use walgate_replication::{OnGap, SlotMode, SnapshotTroubleKind, SourceConfig, TableSnapshot};
use walgate_throwaway::PgVersion;

use crate::bed::{Bed, Reader, config, eventually, server, unique};

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE PUBLICATION p FOR TABLE t";

async fn started(bed: &Bed, slot: &str) -> Reader {
    bed.sql(TABLE);
    let mut reader = Reader::start(config(&bed.url(), slot), None)
        .await
        .expect("starts");
    bed.sql("INSERT INTO t VALUES (1, 'one')");
    reader.until_row("1,one").await.expect("streams");
    reader.confirm();
    reader.source.close().await.expect("closes");
    reader
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_somebody_moved() {
    let bed = Bed::new(PgVersion::V17);
    let slot = unique("s");
    let reader = started(&bed, &slot).await;
    bed.sql("INSERT INTO t VALUES (2, 'lost')");
    bed.sql(&format!(
        "SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())"
    ));
    let failure = Reader::start(config(&bed.url(), &slot), Some(reader.checkpoint()))
        .await
        .err()
        .expect("refuses");
    assert_eq!(failure.reason, StopReason::Gap, "{failure}");
    assert!(
        failure.message.contains(&slot) && failure.message.contains(&reader.progress.to_string()),
        "{failure}"
    );
    let mut go_on = config(&bed.url(), &slot);
    go_on.on_gap = OnGap::Continue;
    let mut again = Reader::start(go_on, Some(reader.checkpoint()))
        .await
        .expect("goes on by policy");
    bed.sql("INSERT INTO t VALUES (3, 'three')");
    again.until_row("3,three").await.expect("streams");
    assert_eq!(again.rows(), ["insert t 3,three"]);
    let gap = again.gaps.first().expect("the gap is announced");
    assert_eq!(
        (gap.reason, gap.from),
        (GapReason::SlotAhead, reader.progress)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_is_gone_or_was_made_anew() {
    let bed = Bed::new(PgVersion::V17);
    let slot = unique("s");
    let reader = started(&bed, &slot).await;
    bed.sql(&format!("SELECT pg_drop_replication_slot('{slot}')"));
    let failure = Reader::start(config(&bed.url(), &slot), Some(reader.checkpoint()))
        .await
        .err()
        .expect("refuses");
    assert_eq!(failure.reason, StopReason::Gap, "{failure}");
    bed.sql("INSERT INTO t VALUES (2, 'lost')");
    bed.sql(&format!(
        "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"
    ));
    let failure = Reader::start(config(&bed.url(), &slot), Some(reader.checkpoint()))
        .await
        .err()
        .expect("refuses");
    assert_eq!(failure.reason, StopReason::Gap, "{failure}");
    // Without a checkpoint it is a mistake in the configuration, unless it may be created.
    let mut existing = config(&bed.url(), &unique("nope"));
    existing.slot.mode = SlotMode::Existing;
    let failure = Reader::start(existing, None).await.err().expect("refuses");
    assert_eq!(failure.reason, StopReason::Config, "{failure}");
    assert!(
        failure
            .hint
            .expect("says how")
            .contains("pg_create_logical_replication_slot")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_goes_while_it_is_in_use() {
    let bed = Bed::new(PgVersion::V17);
    let slot = unique("s");
    bed.sql(TABLE);
    let mut reader = Reader::start(config(&bed.url(), &slot), None)
        .await
        .expect("starts");
    bed.sql("INSERT INTO t VALUES (1, 'one')");
    reader.until_row("1,one").await.expect("streams");
    // What the client sees is the same as a restart.
    bed.sql(&format!(
        "DO $$ BEGIN PERFORM pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = '{slot}'; \
         PERFORM pg_drop_replication_slot('{slot}'); END $$"
    ));
    let failure = reader.until(|_| false).await.expect_err("must not go on");
    assert_eq!(failure.reason, StopReason::Gap, "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalidated_slot() {
    let server = server(
        PgVersion::V17,
        &[
            ("max_slot_wal_keep_size", "1MB"),
            ("max_wal_size", "32MB"),
            ("min_wal_size", "32MB"),
        ],
    );
    server.sql(TABLE).expect("sql");
    let mut reader = Reader::start(config(&server.url(), "s"), None)
        .await
        .expect("starts");
    server.sql("INSERT INTO t VALUES (1, 'one')").expect("sql");
    reader.until_row("1,one").await.expect("streams");
    reader.confirm();
    reader.source.close().await.expect("closes");
    for _ in 0..4 {
        server.sql("SELECT pg_switch_wal(); INSERT INTO t SELECT (random() * 1e9)::int, repeat('x', 1000) FROM generate_series(1, 5000) ON CONFLICT DO NOTHING").expect("sql");
    }
    server.sql("CHECKPOINT").expect("sql");
    let failure = Reader::start(config(&server.url(), "s"), Some(reader.checkpoint()))
        .await
        .err()
        .expect("refuses");
    assert_eq!(failure.reason, StopReason::Gap, "{failure}");
    assert!(
        failure
            .hint
            .expect("says how")
            .contains("max_slot_wal_keep_size")
    );
    let mut go_on = config(&server.url(), "s");
    go_on.on_gap = OnGap::Continue;
    let mut again = Reader::start(go_on, Some(reader.checkpoint()))
        .await
        .expect("a new slot in its place");
    again
        .until(|reader| !reader.gaps.is_empty())
        .await
        .expect("announces");
    assert_eq!(again.gaps[0].reason, GapReason::SlotLost);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_and_a_log_that_ends_before_us() {
    let bed = Bed::new(PgVersion::V17);
    let slot = unique("s");
    let reader = started(&bed, &slot).await;
    let mut other = reader.checkpoint();
    other.source.system_id += 1;
    let failure = Reader::start(config(&bed.url(), &slot), Some(other.clone()))
        .await
        .err()
        .expect("refuses");
    assert_eq!(failure.reason, StopReason::Gap);
    assert!(failure.message.contains("system identifier"), "{failure}");
    let mut raised = config(&bed.url(), &slot);
    raised.epoch = 1;
    let again = Reader::start(raised.clone(), Some(other.clone()))
        .await
        .expect("a raised epoch takes it");
    assert_eq!(again.identity.epoch, 1);
    drop(again);
    other.source.epoch = 2;
    let failure = Reader::start(raised, Some(other))
        .await
        .err()
        .expect("an epoch never falls");
    assert_eq!(failure.reason, StopReason::Config, "{failure}");

    // A file that was kept while the server and our state were made anew.
    let mut held = config(&bed.url(), &slot);
    held.held = Some(Position::new(0, Lsn(reader.progress.0 + (1 << 40)), 3));
    for slot in [slot.clone(), unique("new")] {
        held.slot.name = slot;
        let failure = Reader::start(held.clone(), None).await.err();
        let failure = failure.expect("what it sends would be taken for what the file holds");
        assert_eq!(failure.reason, StopReason::Gap);
        assert!(failure.message.contains("log ends at"), "{failure}");
    }
    held.held = Some(Position::new(1, Lsn(1), 3));
    let failure = Reader::start(held, None).await.err().expect("refuses");
    assert_eq!(failure.reason, StopReason::Config, "{failure}");

    let mut beyond = reader.checkpoint();
    beyond.confirmed = Lsn(beyond.confirmed.0 + (1 << 40));
    let failure = Reader::start(config(&bed.url(), &slot), Some(beyond))
        .await
        .err()
        .expect("refuses");
    assert_eq!(failure.reason, StopReason::Gap);
    assert!(failure.message.contains("log ends at"), "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_of_another_kind() {
    let bed = Bed::new(PgVersion::V17);
    bed.sql(TABLE);
    let (physical, decoding, two_phase) = (unique("s"), unique("s"), unique("s"));
    bed.sql(&format!(
        "SELECT pg_create_physical_replication_slot('{physical}', true)"
    ));
    bed.sql(&format!(
        "SELECT pg_create_logical_replication_slot('{decoding}', 'test_decoding')"
    ));
    bed.sql(&format!(
        "SELECT pg_create_logical_replication_slot('{two_phase}', 'pgoutput', false, true)"
    ));
    for (slot, says) in [
        (&physical, "physical"),
        (&decoding, "test_decoding"),
        (&two_phase, "two_phase"),
    ] {
        let failure = Reader::start(config(&bed.url(), slot), None)
            .await
            .err()
            .expect("refuses");
        assert_eq!(failure.reason, StopReason::Config, "{failure}");
        assert!(failure.message.contains(says), "{failure}");
        bed.sql(&format!("SELECT pg_drop_replication_slot('{slot}')"));
    }
    let elsewhere = Bed::new(PgVersion::V17);
    elsewhere.sql(TABLE);
    let slot = unique("s");
    bed.sql(&format!(
        "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"
    ));
    let failure = Reader::start(config(&elsewhere.url(), &slot), None)
        .await
        .err()
        .expect("refuses");
    assert!(failure.message.contains(&bed.database), "{failure}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wal_level_is_named_with_its_remedy() {
    let server = server(PgVersion::V17, &[("wal_level", "replica")]);
    server.sql(TABLE).expect("sql");
    let failure = Reader::start(config(&server.url(), "s"), None)
        .await
        .err()
        .expect("refuses");
    assert_eq!(failure.reason, StopReason::Config, "{failure}");
    assert!(failure.hint.expect("says how").contains("wal_level"));
}

/// A standby is promoted: the log goes on under a new timeline, or not as we know it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_timeline_goes_on_only_when_it_left_ours_behind_what_was_delivered() {
    let primary = server(PgVersion::V17, &[]);
    primary.sql(TABLE).expect("sql");
    let standby = primary
        .start_standby(&[("hot_standby_feedback", "on")])
        .expect("a standby");
    let url = standby.url();
    let creating = std::thread::spawn({
        let mut session = standby.admin().expect("a session");
        move || session.query("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
    });
    // A slot on a standby waits for the primary to log who is running.
    eventually("the slot is made", || {
        primary
            .sql("SELECT pg_log_standby_snapshot()")
            .expect("sql");
        creating.is_finished()
    })
    .await;
    creating.join().expect("runs").expect("makes a slot");
    primary.sql("INSERT INTO t VALUES (1, 'one')").expect("sql");
    let mut reader = Reader::start(config(&url, "s"), None)
        .await
        .expect("starts");
    reader.until_row("1,one").await.expect("streams");
    reader.confirm();
    assert_eq!(reader.identity.timeline, 1);
    reader.source.close().await.expect("closes");
    rows_are_refused(&config(&url, "s")).await;
    standby.promote().expect("promotes");
    standby.sql("INSERT INTO t VALUES (2, 'two')").expect("sql");

    let mut beyond = reader.checkpoint();
    let sink = Position::new(0, Lsn(beyond.confirmed.0 + (1 << 30)), 3);
    beyond.sinks.insert("kafka".to_owned(), sink);
    let failure = Reader::start(config(&url, "s"), Some(beyond)).await.err();
    let failure = failure.expect("a sink has seen what this server never had");
    assert_eq!(failure.reason, StopReason::Gap, "{failure}");
    assert!(failure.message.contains("timeline 2"), "{failure}");
    assert!(failure.hint.expect("says how").contains("epoch"));

    let checkpoint = reader.checkpoint();
    let mut again = Reader::start(config(&url, "s"), Some(checkpoint))
        .await
        .expect("goes on");
    assert_eq!(again.identity.timeline, 2);
    assert_eq!(
        again.source.timeline(),
        Some(2),
        "the checkpoint follows it"
    );
    assert!(
        again
            .warnings
            .iter()
            .any(|warning| warning.contains("timeline 2")),
        "{:?}",
        again.warnings
    );
    again.until_row("2,two").await.expect("streams");
    assert_eq!(again.rows(), ["insert t 2,two"]);
}

/// What a snapshot of a standby shows says nothing of the log.
async fn rows_are_refused(source: &SourceConfig) {
    let wants = |_: &str, _: &str| true;
    let taken = TableSnapshot::take(source, &wants, Duration::from_secs(60)).await;
    let trouble = taken.expect_err("refused");
    assert_eq!(trouble.kind, SnapshotTroubleKind::Refused, "{trouble:?}");
    assert!(trouble.message.contains("is a standby"), "{trouble:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_somebody_moved_under_a_peek() {
    for policy in [OnGap::Stop, OnGap::Continue] {
        let bed = Bed::new(PgVersion::V17);
        bed.sql(TABLE);
        let slot = unique("s");
        bed.sql(&format!(
            "SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')"
        ));
        let mut peek = config(&bed.url(), &slot);
        (peek.peek, peek.on_gap) = (true, policy);
        let mut reader = Reader::start(peek, None).await.expect("starts");
        bed.sql("INSERT INTO t VALUES (1, 'one')");
        reader.until_row("1,one").await.expect("streams");
        bed.sql(&format!(
            "DO $$ BEGIN PERFORM pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = '{slot}'; \
             INSERT INTO t VALUES (2, 'lost'); END $$"
        ));
        bed.sql(&format!(
            "SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())"
        ));
        bed.sql("INSERT INTO t VALUES (3, 'three')");
        match reader.until_row("3,three").await {
            Err(failure) => {
                assert_eq!(policy, OnGap::Stop, "{failure}");
                assert_eq!(failure.reason, StopReason::Gap, "{failure}");
            }
            Ok(()) => {
                assert_eq!(policy, OnGap::Continue);
                let gap = reader.gaps.first().expect("the gap is announced");
                assert_eq!(gap.reason, GapReason::SlotAhead);
                assert_eq!(reader.rows(), ["insert t 1,one", "insert t 3,three"]);
            }
        }
    }
}
