//! Slots on their way to be lost, and lost.

use walgate_slot::{Cause, Danger, Limit, Limits, TimeLeft, forecast};
use walgate_throwaway::PgVersion;

use crate::bed::{Bed, options};

#[tokio::test(flavor = "multi_thread")]
async fn extended_unreserved_and_lost() {
    let mut unreserved = 0;
    for version in PgVersion::ALL {
        let options = options(version)
            .setting("max_wal_size", "32MB")
            .setting("min_wal_size", "32MB")
            .setting("max_slot_wal_keep_size", "128MB");
        let mut bed = Bed::with(&options).await;
        bed.create_slot("s");
        let mut statuses = Vec::new();
        let mut headroom = u64::MAX;
        for _ in 0..60 {
            let seen = bed.look().await;
            let slot = seen.slot("s").expect("the slot");
            let status = slot.wal_status.clone().expect("a status");
            let found = forecast(&seen, slot, &bed.history, Limits::default());
            let room = found.headroom.expect("a limit");
            assert_eq!(room.limit, Limit::KeepSize);
            assert!(room.bytes <= headroom, "it only shrinks");
            headroom = room.bytes;
            match status.as_str() {
                "reserved" | "extended" => assert!(room.bytes > 0, "{found:?}"),
                _ => assert_eq!((room.bytes, found.danger), (0, Danger::Reached)),
            }
            if statuses.last() != Some(&status) {
                statuses.push(status.clone());
            }
            match status.as_str() {
                "lost" => break,
                "unreserved" => bed.sql("CHECKPOINT"),
                _ => bed.fill("postgres", 1),
            }
        }
        // A checkpoint of the server's own may come before we look at what is unreserved.
        unreserved += statuses
            .iter()
            .filter(|status| *status == "unreserved")
            .count();
        statuses.retain(|status| status != "unreserved");
        assert_eq!(statuses, ["reserved", "extended", "lost"], "{version}");
        let found = bed.judge("s").await;
        let why = "wal_removed".to_owned();
        assert_eq!(found.cause, Cause::Lost { why });
        let fix = found.fix().expect("a fix");
        assert!(fix.contains("max_slot_wal_keep_size"), "{fix}");
    }
    assert!(unreserved > 0, "never seen unreserved");
}

#[tokio::test(flavor = "multi_thread")]
async fn unused_for_longer_than_the_server_allows() {
    let options = options(PgVersion::V18).setting("idle_replication_slot_timeout", "2s");
    let mut bed = Bed::with(&options).await;
    bed.create_slot("s");
    let seen = bed.look().await;
    let slot = seen.slot("s").expect("the slot");
    let found = forecast(&seen, slot, &bed.history, Limits::default());
    assert!(
        found.idle_left.is_some_and(|left| left.as_secs() <= 2),
        "{found:?}"
    );
    assert_eq!(found.at_trend, TimeLeft::NoLimit);
    assert!(found.danger >= Danger::Near, "{found:?}");
    bed.fill("postgres", 1);
    let lost = |found: &walgate_slot::Culprit| {
        found.cause
            == Cause::Lost {
                why: "idle_timeout".into(),
            }
    };
    let found = bed.until("s", "lost", lost).await;
    let fix = found.fix().expect("a fix");
    assert!(fix.contains("idle_replication_slot_timeout"), "{fix}");
}
