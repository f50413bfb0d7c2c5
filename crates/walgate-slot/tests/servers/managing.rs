//! Creating and dropping.

use walgate_slot::WatchErrorKind;
use walgate_slot::manage::{Dropped, Manager};
use walgate_throwaway::PgVersion;

use crate::bed::{Bed, Consumer, config};

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_looked_at_is_dropped() {
    for version in [PgVersion::V14, PgVersion::V17] {
        let mut bed = Bed::start(version).await;
        bed.sql("CREATE PUBLICATION p");
        let manager = Manager::connect(&config(&bed.server.url()))
            .await
            .expect("a manager");
        let failover = version >= PgVersion::V17;
        let begin = manager.create("s", failover).await.expect("created");
        let seen = bed.look().await;
        let slot = seen.slot("s").expect("the slot").clone();
        assert_eq!(slot.confirmed_flush_lsn, Some(begin));
        assert_eq!(slot.failover, failover);
        let again = manager.create("s", false).await.expect_err("it is there");
        assert_eq!(again.kind(), WatchErrorKind::Slot, "{again}");
        // In use, moved, and another of this name.
        let consumer = Consumer::Confirms.start(&bed, "s").await;
        assert_eq!(
            manager.drop_slot(&slot).await.expect("asked"),
            Dropped::Changed
        );
        drop(consumer);
        bed.until_seen("unused", |seen| !seen.slot("s").expect("it").active)
            .await;
        bed.drop_slot("s");
        bed.fill("postgres", 1);
        assert_eq!(
            manager.drop_slot(&slot).await.expect("asked"),
            Dropped::Changed,
            "gone"
        );
        bed.create_slot("s");
        assert_eq!(
            manager.drop_slot(&slot).await.expect("asked"),
            Dropped::Changed,
            "another"
        );
        let seen = bed.look().await;
        let slot = seen.slot("s").expect("the slot").clone();
        assert_eq!(manager.drop_slot(&slot).await.expect("asked"), Dropped::Yes);
        assert_eq!(bed.look().await.slot("s"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn creation_behind_an_open_transaction_gives_up_and_leaves_nothing() {
    let mut bed = Bed::start(PgVersion::V17).await;
    bed.sql("CREATE TABLE t (id int)");
    let mut open = bed.server.admin().expect("a session");
    open.query("BEGIN").expect("begun");
    open.query("INSERT INTO t VALUES (1)").expect("written");
    let manager = Manager::connect(&config(&bed.server.url()))
        .await
        .expect("a manager");
    let error = manager.create("s", false).await.expect_err("too slow");
    assert_eq!(error.kind(), WatchErrorKind::TooSlow, "{error}");
    assert_eq!(bed.look().await.slot("s"), None);
    assert!(
        bed.look()
            .await
            .transactions
            .iter()
            .any(|open| open.xid_age.is_some())
    );
}
