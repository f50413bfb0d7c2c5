//! What is seen, on every version and with few rights.

use std::time::{Duration, Instant};

use walgate_slot::{Provider, WatchErrorKind, Watcher};
use walgate_throwaway::{FaultProxy, PgVersion};

use crate::bed::{Bed, Consumer, config};

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_seen_on_every_version() {
    for version in PgVersion::ALL {
        let mut bed = Bed::start(version).await;
        bed.sql("CREATE PUBLICATION p");
        bed.create_slot("logical");
        bed.sql("SELECT pg_create_physical_replication_slot('physical', true)");
        let consumer = Consumer::Confirms.start(&bed, "logical").await;
        let major = i32::try_from(version.major().expect("a version")).expect("small");
        let server = bed.watcher.server();
        assert_eq!(server.version_num / 10_000, major);
        assert_eq!(server.provider, Provider::SelfManaged);
        assert!(server.system_id.is_some() && server.sees_everything && server.may_replicate);
        assert_eq!(server.unseen(), Vec::<String>::new());
        let seen = bed
            .until_seen("streaming", |seen| {
                let slot = seen.slot("logical").expect("the slot");
                seen.walsender(slot)
                    .is_some_and(|sender| sender.state.as_deref() == Some("streaming"))
            })
            .await;
        assert!(!seen.in_recovery && seen.replayed_lsn.is_none());
        let slot = seen.slot("logical").expect("the slot");
        assert_eq!(slot.plugin.as_deref(), Some("pgoutput"));
        assert_eq!(slot.wal_status.as_deref(), Some("reserved"));
        assert_eq!(slot.holder_application.as_deref(), Some("a consumer"));
        assert!(slot.catalog_xmin_age.is_some() && slot.lost().is_none());
        assert!(
            seen.retained_bytes(slot)
                .is_some_and(|bytes| bytes < 16 << 20)
        );
        assert!(seen.unsent_bytes(slot).is_some());
        assert!(seen.statistics("logical").is_some());
        let physical = seen.slot("physical").expect("the slot");
        assert!(!physical.is_logical() && !physical.active);
        assert_eq!(physical.inactive_for().is_some(), major >= 17, "{version}");
        assert_eq!(seen.settings.keep_size_bytes(), None, "-1 is none");
        assert_eq!(seen.settings.wal_level.as_deref(), Some("logical"));
        let timeout = &seen.settings.idle_replication_slot_timeout;
        assert_eq!(timeout.is_some(), major >= 18, "{version}");
        assert!(seen.databases.iter().any(|one| one.name == "postgres"));
        drop(consumer);
    }
}

/// Who names several servers takes the one that can be written to. A look writes nothing all the same.
#[tokio::test(flavor = "multi_thread")]
async fn the_server_that_takes_writes_is_looked_at() {
    let bed = Bed::start(PgVersion::V18).await;
    for wanted in ["read-write", "primary", "any"] {
        let url = format!("{}?target_session_attrs={wanted}", bed.server.url());
        let watcher = Watcher::connect(&config(&url)).await.expect(wanted);
        watcher.look().await.expect("a look");
    }
}

/// `SQL_ASCII` cuts a statement in the middle of a letter, and the server refuses to send it as UTF-8.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_no_text_hides_nothing_else() {
    let mut bed = Bed::start(PgVersion::V17).await;
    bed.sql("CREATE DATABASE bytes ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'");
    let mut open = bed.server.admin_in("bytes").expect("a session");
    open.query("BEGIN").expect("begun");
    open.query("CREATE TABLE t (id int)").expect("written");
    let odd = format!("SELECT  '{}'", "ä".repeat(150));
    open.query(&odd).expect("a statement");
    bed.watcher = Watcher::connect(&config(&bed.server.url_of("postgres", "bytes")))
        .await
        .expect("a watcher");
    assert_eq!(bed.watcher.server().database, "bytes");
    let seen = bed.look().await;
    assert!(seen.statements_left_out);
    let first = seen.transactions.first().expect("the transaction");
    assert_eq!(
        (first.datname.as_deref(), &first.query),
        (Some("bytes"), &None)
    );
    open.query("SELECT 1").expect("a statement");
    assert!(!bed.look().await.statements_left_out);
}

/// Ten long reports are older than the transaction that has written: it is the one that matters.
#[tokio::test(flavor = "multi_thread")]
async fn reports_do_not_hide_who_has_written() {
    let mut bed = Bed::start(PgVersion::V17).await;
    bed.sql("CREATE TABLE t (id int)");
    let session = || bed.server.admin().expect("a session");
    let mut reports: Vec<_> = (0..11).map(|_| session()).collect();
    for report in &mut reports {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ";
        report.query(begin).expect("begun");
        report.query("SELECT count(*) FROM t").expect("read");
    }
    bed.sql("INSERT INTO t VALUES (1)");
    let mut writer = bed.server.admin().expect("a session");
    writer.query("BEGIN").expect("begun");
    writer.query("INSERT INTO t VALUES (2)").expect("written");
    let seen = bed.look().await;
    assert_eq!(seen.transactions.len(), 10);
    let first = seen.transactions.first().expect("a transaction");
    assert!(first.xid_age.is_some(), "{:?}", seen.transactions);
    drop(reports);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_only_connect() {
    for version in [PgVersion::V14, PgVersion::V18] {
        let bed = Bed::start(version).await;
        bed.create_slot("s");
        bed.sql("CREATE TABLE t (id int); CREATE ROLE nobody LOGIN");
        let mut open = bed.server.admin().expect("a session");
        open.query("BEGIN").expect("begun");
        open.query("INSERT INTO t VALUES (1)").expect("written");
        let watcher = Watcher::connect(&config(&bed.server.url_of("nobody", "postgres")))
            .await
            .expect("a watcher");
        let server = watcher.server();
        assert!(!server.sees_everything && !server.may_replicate);
        let unseen = server.unseen().join("\n");
        assert!(unseen.contains("GRANT pg_monitor TO nobody"), "{unseen}");
        let seen = watcher.look().await.expect("a look");
        let slot = seen.slot("s").expect("the slot");
        assert!(seen.retained_bytes(slot).is_some());
        let open: Vec<_> = seen
            .transactions
            .iter()
            .filter(|open| open.xid_age.is_some())
            .collect();
        assert_eq!(
            open.len(),
            1,
            "{version}: that there is one is seen: {open:?}"
        );
        assert_eq!(open[0].seconds, None, "and not since when");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_on_a_catalog_is_not_waited_for() {
    let mut bed = Bed::start(PgVersion::V17).await;
    let mut locker = bed.server.admin().expect("a session");
    locker.query("BEGIN").expect("begun");
    locker
        .query("LOCK TABLE pg_catalog.pg_database IN ACCESS EXCLUSIVE MODE")
        .expect("locked");
    let begin = Instant::now();
    let error = bed.watcher.look().await.expect_err("locked");
    assert_eq!(error.kind(), WatchErrorKind::Locked, "{error}");
    assert!(error.is_transient());
    assert!(
        begin.elapsed() < Duration::from_secs(4),
        "{:?}",
        begin.elapsed()
    );
    locker.query("COMMIT").expect("released");
    bed.look().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_and_one_that_goes() {
    let mut server = Bed::start(PgVersion::V17).await;
    let address = ([127, 0, 0, 1], server.server.port()).into();
    let proxy = FaultProxy::start(address).expect("a proxy");
    let url = format!(
        "postgres://postgres@{}/postgres?sslmode=disable",
        proxy.address()
    );
    let watcher = Watcher::connect(&config(&url)).await.expect("a watcher");
    watcher.look().await.expect("a look");
    proxy.stall();
    let error = watcher.look().await.expect_err("silent");
    assert_eq!(error.kind(), WatchErrorKind::TooSlow, "{error}");
    server
        .server
        .restart(walgate_throwaway::StopMode::Immediate)
        .expect("restarted");
    let error = server.watcher.look().await.expect_err("gone");
    assert_eq!(error.kind(), WatchErrorKind::Disconnected, "{error}");
}
