//! Standbys: looked at, waited for, and promoted.

use std::time::Duration;

use walgate_slot::{Cause, Culprit, History, StandbyFault, Watcher};
use walgate_throwaway::PgVersion;

use crate::bed::{Bed, Consumer, config, options};

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_and_its_promotion() {
    for version in [PgVersion::V14, PgVersion::V17] {
        let mut bed = Bed::start(version).await;
        let standby = bed.server.start_standby(&[]).expect("a standby");
        let watcher = Watcher::connect(&config(&standby.url()))
            .await
            .expect("a watcher");
        assert_eq!(watcher.server().system_id, bed.watcher.server().system_id);
        bed.fill("postgres", 2);
        let primary = bed.look().await;
        let physical = primary.slots.first().expect("the standby's slot");
        assert!(physical.active && !physical.is_logical());
        // It has what the primary had, after a moment.
        let mut seen = watcher.look().await.expect("a look");
        for _ in 0..600 {
            if seen.wal_lsn >= primary.wal_lsn && seen.replayed_lsn >= primary.wal_lsn {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            seen = watcher.look().await.expect("a look");
        }
        assert!(
            seen.in_recovery && seen.wal_lsn >= primary.wal_lsn,
            "{version}: {seen:?}"
        );
        assert!(seen.replayed_lsn >= primary.wal_lsn);
        standby.promote().expect("promoted");
        let seen = watcher.look().await.expect("the connection lives on");
        assert!(!seen.in_recovery && seen.replayed_lsn.is_none());
        // The primary goes on; when the standby is gone, its slot is an absent consumer's.
        drop(standby);
        bed.until_seen("gone", |seen| !seen.slots[0].active).await;
        bed.fill("postgres", 6);
        let name = primary.slots[0].name.clone();
        let found = bed.judge(&name).await;
        assert!(matches!(found.cause, Cause::Absent { .. }), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_slot_before_and_after_the_promotion() {
    for version in [PgVersion::V17, PgVersion::V18] {
        let mut bed = Bed::start(version).await;
        bed.sql("CREATE PUBLICATION p");
        bed.sql("SELECT pg_create_logical_replication_slot('s', 'pgoutput', false, false, true)");
        let consumer = Consumer::Confirms.start(&bed, "s").await;
        let standby = bed
            .server
            .start_standby(&[("sync_replication_slots", "on")])
            .expect("a standby");
        let watcher = Watcher::connect(&config(&standby.url()))
            .await
            .expect("a watcher");
        // From here on the standby is what is watched.
        bed.watcher = watcher;
        bed.history = History::new();
        // A copy is temporary until it has caught up with the primary.
        let copied = |seen: &walgate_slot::Observation| {
            seen.slot("s")
                .is_some_and(|slot| slot.synced && !slot.temporary)
        };
        for _ in 0..600 {
            // What a busy primary does by itself: snapshots of the running transactions.
            bed.sql("CHECKPOINT");
            if copied(&bed.look().await) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        drop(consumer);
        bed.fill("postgres", 6);
        let cause = |wanted: fn(&Cause) -> bool| move |found: &Culprit| wanted(&found.cause);
        let found = bed
            .until("s", "a copy", cause(|cause| *cause == Cause::Copy))
            .await;
        let fix = found.fix().expect("a fix");
        assert!(!fix.contains("drop"), "{fix}");
        standby.promote().expect("promoted");
        let absent = cause(|cause| matches!(cause, Cause::Absent { .. }));
        bed.until("s", "nobody's", absent).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failover_slots_that_wait_for_a_standby() {
    for version in [PgVersion::V17, PgVersion::V18] {
        let options = options(version).setting("synchronized_standby_slots", "ghost,sleepy");
        let mut bed = Bed::with(&options).await;
        bed.sql("CREATE TABLE t (id int); CREATE PUBLICATION p FOR TABLE t");
        bed.sql("SELECT pg_create_physical_replication_slot('sleepy', true)");
        bed.sql("SELECT pg_create_logical_replication_slot('s', 'pgoutput', false, false, true)");
        let consumer = Consumer::Confirms.start(&bed, "s").await;
        bed.sql("INSERT INTO t VALUES (1)");
        bed.fill("postgres", 6);
        let standbys = |found: &Culprit| matches!(found.cause, Cause::Standbys { .. });
        let found = bed.until("s", "blocked", standbys).await;
        let blocking = vec![
            ("ghost".to_owned(), StandbyFault::Missing),
            ("sleepy".to_owned(), StandbyFault::Inactive),
        ];
        assert_eq!(found.cause, Cause::Standbys { blocking });
        drop(consumer);
    }
}

/// 16 shows every invalidated slot as `lost`, and does not say why.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_lost_to_a_conflict_is_no_question_of_size() {
    for version in [PgVersion::V16, PgVersion::V17] {
        let mut bed = Bed::start(version).await;
        let standby = bed
            .server
            .start_standby(&[("hot_standby_feedback", "off")])
            .expect("a standby");
        let mut session = standby.admin().expect("a session");
        let creating = std::thread::spawn(move || {
            let create = "SELECT pg_create_logical_replication_slot('s', 'pgoutput')";
            session
                .query(create)
                .map(drop)
                .map_err(|error| error.to_string())
        });
        // What a busy primary does by itself: it waits for a snapshot of the running transactions.
        while !creating.is_finished() {
            bed.sql("SELECT pg_log_standby_snapshot()");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        creating.join().expect("no panic").expect("created");
        bed.watcher = Watcher::connect(&config(&standby.url()))
            .await
            .expect("a watcher");
        bed.history = History::new();
        let mut lost = None;
        for _ in 0..600 {
            bed.sql("CREATE TABLE gone (id int)");
            bed.sql("DROP TABLE gone");
            bed.sql("VACUUM pg_catalog.pg_class");
            let found = bed.judge("s").await;
            if let Cause::Lost { why } = &found.cause {
                lost = Some((why.clone(), found.fix().expect("a fix")));
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (why, fix) = lost.expect("lost");
        let expected = if version == PgVersion::V16 {
            "conflict"
        } else {
            "rows_removed"
        };
        assert_eq!(why, expected);
        assert!(fix.contains("hot_standby_feedback"), "{fix}");
    }
}
