//! States that hold log back, each made on a real server of every version.

use std::time::Duration;

use walgate_slot::{Cause, History};
use walgate_throwaway::PgVersion;

use crate::bed::{Bed, Consumer, config};

/// More than two files: what is worth a word.
const FILES: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_nobody_ends() {
    for version in PgVersion::ALL {
        let mut bed = Bed::start(version).await;
        bed.sql("CREATE TABLE t (id int); CREATE PUBLICATION p FOR TABLE t");
        bed.create_slot("s");
        let consumer = Consumer::Confirms.start(&bed, "s").await;
        open_transaction(&mut bed).await;
        prepared_transaction(&mut bed).await;
        drop(consumer);
    }
}

async fn open_transaction(bed: &mut Bed) {
    let mut open = bed.server.admin().expect("a session");
    open.query("BEGIN").expect("begun");
    open.query("INSERT INTO t VALUES (1)").expect("written");
    let pid = open.query("SELECT pg_backend_pid()").expect("a pid");
    let pid = pid[0][0].clone().expect("a pid");
    bed.fill("postgres", FILES);
    let found = bed
        .until("s", "held by a transaction", |found| {
            matches!(found.cause, Cause::OpenTransaction(_))
        })
        .await;
    let Cause::OpenTransaction(transaction) = &found.cause else {
        panic!("{found:?}");
    };
    assert_eq!(transaction.pid.to_string(), pid);
    assert_eq!(transaction.user.as_deref(), Some("postgres"));
    assert_eq!(transaction.application.as_deref(), Some("walgate-test"));
    assert_eq!(
        transaction.query.as_deref(),
        Some("SELECT pg_backend_pid()")
    );
    assert!(transaction.idle && transaction.age.is_some());
    let fix = found.fix().expect("a fix");
    assert!(
        fix.contains(&format!("pg_terminate_backend({pid})")),
        "{fix}"
    );
    open.query("COMMIT").expect("committed");
    bed.until("s", "free", |found| found.cause == Cause::Nothing)
        .await;
}

async fn prepared_transaction(bed: &mut Bed) {
    let mut session = bed.server.admin().expect("a session");
    session.query("BEGIN").expect("begun");
    session.query("INSERT INTO t VALUES (2)").expect("written");
    session
        .query("PREPARE TRANSACTION 'order-7'")
        .expect("prepared");
    bed.fill("postgres", FILES);
    let found = bed
        .until("s", "held by a prepared transaction", |found| {
            matches!(found.cause, Cause::Prepared { .. })
        })
        .await;
    let said = found.sentence().expect("a sentence");
    assert!(
        said.contains("'order-7', prepared by postgres in database postgres"),
        "{said}"
    );
    session
        .query("ROLLBACK PREPARED 'order-7'")
        .expect("rolled back");
    bed.until("s", "free", |found| found.cause == Cause::Nothing)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_that_do_not_do_their_part() {
    for version in PgVersion::ALL {
        let mut bed = Bed::start(version).await;
        bed.sql("CREATE TABLE t (id int, x text); CREATE PUBLICATION p FOR TABLE t");
        absent(&mut bed, version).await;
        another_slot(&mut bed).await;
        not_read(&mut bed).await;
        idle_tables(&mut bed).await;
    }
}

async fn absent(bed: &mut Bed, version: PgVersion) {
    bed.create_slot("absent");
    bed.fill("postgres", FILES);
    let absent = |found: &walgate_slot::Culprit| matches!(found.cause, Cause::Absent { .. });
    let found = bed.until("absent", "without consumer", absent).await;
    if version >= PgVersion::V17 {
        assert!(
            matches!(found.cause, Cause::Absent { since: Some(_) }),
            "{found:?}"
        );
    }
    let fix = found.fix().expect("a fix");
    assert!(fix.contains("walgate slots drop absent"), "{fix}");
}

/// The slot of `absent` is still there.
async fn another_slot(bed: &mut Bed) {
    bed.create_slot("young");
    bed.fill("postgres", FILES);
    let found = bed.judge("young").await;
    let (name, whose, retained) = found.held_anyway.clone().expect("another slot");
    assert_eq!(name, "absent");
    assert!(
        whose.contains("an unused logical slot of database postgres"),
        "{whose}"
    );
    assert!(retained > found.retained);
    bed.drop_slot("young");
    bed.drop_slot("absent");
}

async fn not_read(bed: &mut Bed) {
    bed.create_slot("stuck");
    let consumer = Consumer::Stuck.start(bed, "stuck").await;
    bed.sql("INSERT INTO t SELECT g, repeat('0123456789', 180) FROM generate_series(1, 30000) g");
    let found = bed
        .until("stuck", "not sent", |found| {
            matches!(found.cause, Cause::NotSent { .. })
        })
        .await;
    let said = found.sentence().expect("a sentence");
    assert!(
        said.contains("application \"a consumer\" of user postgres"),
        "{said}"
    );
    drop(consumer);
    bed.until_seen("unused", |seen| !seen.slot("stuck").expect("it").active)
        .await;
    bed.drop_slot("stuck");
}

async fn idle_tables(bed: &mut Bed) {
    bed.create_slot("idle");
    let consumer = Consumer::Silent.start(bed, "idle").await;
    bed.sql("CREATE DATABASE busy");
    let mut busy = bed.server.admin_in("busy").expect("a session");
    busy.query("CREATE TABLE b AS SELECT 1 AS id")
        .expect("a table");
    // What was written before is another story.
    bed.history = History::new();
    bed.look().await;
    bed.fill("busy", FILES);
    let named = Cause::IdleTables {
        busy: Some("busy".to_owned()),
    };
    for _ in 0..600 {
        busy.query("INSERT INTO b SELECT generate_series(1, 1000)")
            .expect("written");
        let found = bed.judge("idle").await;
        // The statistics of what other sessions wrote before may come late.
        if found.cause == named {
            drop(consumer);
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never idle, but {:?}", bed.judge("idle").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_being_created() {
    for version in [PgVersion::V14, PgVersion::V18] {
        let mut bed = Bed::start(version).await;
        bed.sql("CREATE TABLE t (id int)");
        let mut open = bed.server.admin().expect("a session");
        open.query("BEGIN").expect("begun");
        open.query("INSERT INTO t VALUES (1)").expect("written");
        let config = config(&bed.server.url());
        let creating = tokio::spawn(async move {
            let mut stream = config.connect_replication(&[]).await.expect("connected");
            let create = "CREATE_REPLICATION_SLOT young LOGICAL pgoutput";
            stream.simple_query(create).await.expect("created");
        });
        bed.until_seen("there", |seen| seen.slot("young").is_some())
            .await;
        let found = bed
            .until("young", "being created", |found| {
                matches!(
                    found.cause,
                    Cause::BeingCreated {
                        waits_for: Some(_),
                        ..
                    }
                )
            })
            .await;
        let said = found.sentence().expect("a sentence");
        assert!(said.contains("application \"walgate-test\""), "{said}");
        open.query("COMMIT").expect("committed");
        creating.await.expect("created");
    }
}
