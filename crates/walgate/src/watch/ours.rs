//! Which of our sinks hold our slot back. Pure.

use std::time::Duration;

use walgate_journal::JournalStats;
use walgate_pipeline::SinkState;
use walgate_slot::{Lag, Observation, OurSink, OurSlot};

use super::{Moment, SinkSight};

/// A sink that is behind for less than this only catches up.
const WHILE: Duration = Duration::from_secs(5);

/// Our slot, with the required sinks without which it would be further.
pub(super) fn our_slot(moment: &Moment, seen: &Observation) -> OurSlot {
    OurSlot {
        name: moment.slot.clone(),
        sinks: sinks(moment, seen).unwrap_or_default(),
    }
}

fn sinks(moment: &Moment, seen: &Observation) -> Option<Vec<OurSink>> {
    let slot = seen.slot(&moment.slot)?;
    let retained = seen.retained_bytes(slot)?;
    let unconfirmed = seen.unconfirmed_bytes(slot)?;
    let confirmed = unconfirmed < retained.div_ceil(2);
    let journal = moment.journal.as_ref()?;
    let held = moment.sinks.iter().filter(|sink| {
        sink.is_required()
            && match (moment.confirms, confirmed) {
                (true, false) => holds_disk(journal, &sink.status.name),
                (false, false) => holds_slot(sink, journal, unconfirmed),
                // Most of it is confirmed: something else keeps the server from letting go of it,
                // unless it can't go on because nothing is read.
                (_, true) => fills_memory(sink, journal) && outlasts_transactions(sink, seen),
            }
    });
    Some(held.map(|sink| of(sink, moment)).collect())
}

/// What is fsynced is confirmed: only a sink for which the journal is full holds anything back.
fn holds_disk(journal: &JournalStats, name: &str) -> bool {
    let full = journal.disk.as_ref().filter(|disk| disk.full);
    full.is_some_and(|disk| disk.held_by.iter().any(|held| held == name))
}

/// Either most of what is not confirmed waits for it, or nothing more is read because of it.
fn holds_slot(sink: &SinkSight, journal: &JournalStats, unconfirmed: u64) -> bool {
    if sink.undelivered != Some(true) {
        return false;
    }
    let backlog = sink.backlog_bytes.unwrap_or(0);
    if backlog >= unconfirmed.div_ceil(2) || holds_disk(journal, &sink.status.name) {
        return true;
    }
    fills_memory(sink, journal)
}

/// Without a disk, nothing more is read when a required reader holds all of the memory.
fn fills_memory(sink: &SinkSight, journal: &JournalStats) -> bool {
    let budget = u64::try_from(journal.budget_bytes).unwrap_or(u64::MAX);
    let mut readers = journal.readers.iter();
    let name = &sink.status.name;
    let fills = readers.any(|reader| reader.name == *name && reader.behind_bytes >= budget / 2);
    journal.disk.is_none() && fills
}

/// It has been behind for a while, and for longer than any transaction is open that has written: such
/// a one holds log back too.
fn outlasts_transactions(sink: &SinkSight, seen: &Observation) -> bool {
    let Some(Lag::About(behind) | Lag::AtLeast(behind)) = sink.oldest else {
        return false;
    };
    let wrote = seen.transactions.iter();
    let wrote = wrote.filter(|open| open.xid_age.is_some());
    let open = wrote.filter_map(|open| open.seconds);
    let prepared = seen.prepared.iter().filter_map(|prepared| prepared.seconds);
    let oldest = open.chain(prepared).fold(0.0, f64::max);
    behind >= WHILE && behind.as_secs_f64() > oldest
}

fn of(sink: &SinkSight, moment: &Moment) -> OurSink {
    let status = &sink.status;
    let down = matches!(status.state, SinkState::Retrying | SinkState::Failed);
    let since: Option<Duration> = match (down, sink.oldest) {
        (true, _) => Some(moment.at.saturating_duration_since(status.since)),
        (false, Some(Lag::About(age) | Lag::AtLeast(age))) => Some(age),
        (false, Some(Lag::None) | None) => None,
    };
    OurSink {
        name: status.name.clone(),
        down,
        since,
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use walgate_core::{Lsn, Position};
    use walgate_journal::{Demand, DiskState, DiskStats, ReaderStats};
    use walgate_pipeline::SinkStatus;
    use walgate_replication::SourceMonitor;
    use walgate_slot::Slot;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn seen(restart: u64, confirmed: u64, end: u64) -> Observation {
        let mut slot = Slot::default();
        "s".clone_into(&mut slot.name);
        slot.restart_lsn = Some(Lsn(restart * MIB));
        slot.confirmed_flush_lsn = Some(Lsn(confirmed * MIB));
        let mut seen = Observation::default();
        seen.wal_lsn = Some(Lsn(end * MIB));
        seen.slots = vec![slot];
        seen
    }

    fn moment(sinks: &[(&str, Demand, SinkState, u64)], behind: u64) -> Moment {
        let readers = sinks.iter().map(|(name, demand, ..)| ReaderStats {
            name: (*name).to_owned(),
            demand: *demand,
            released: Position::ZERO,
            behind_bytes: behind,
            behind_entries: 1,
            behind_disk_bytes: 0,
            in_memory: true,
        });
        let monitor = SourceMonitor::new();
        Moment {
            at: Instant::now() + Duration::from_secs(90),
            time: SystemTime::now(),
            started: SystemTime::now(),
            slot: "s".to_owned(),
            confirms: false,
            source: monitor.state(),
            counters: monitor.counters(),
            heartbeat: None,
            gateway: None,
            pushes: Vec::new(),
            journal: Some(JournalStats {
                bytes: 0,
                budget_bytes: 16 << 20,
                entries: 1,
                oldest: Position::ZERO,
                newest: Position::ZERO,
                held_back: false,
                readers: readers.collect(),
                disk: None,
            }),
            sinks: sinks
                .iter()
                .map(|(name, demand, state, backlog)| {
                    let mut status = SinkStatus::starting(name, *demand);
                    status.state = *state;
                    SinkSight {
                        status,
                        undelivered: Some(true),
                        backlog_bytes: Some(backlog * MIB),
                        oldest: Some(Lag::About(Duration::from_secs(7))),
                    }
                })
                .collect(),
            stopping: false,
            gaps: 0,
            shown: super::super::Shown::default(),
        }
    }

    fn names(moment: &Moment, seen: &Observation) -> Vec<String> {
        let ours = our_slot(moment, seen);
        ours.sinks.into_iter().map(|sink| sink.name).collect()
    }

    #[test]
    fn the_required_sink_that_most_of_it_waits_for_is_named() {
        use SinkState::{Retrying, Running};
        let two = [
            ("kafka", Demand::Required, Retrying, 90),
            ("file", Demand::Required, Running, 1),
            ("tap", Demand::Optional, Retrying, 90),
        ];
        let all = moment(&two, MIB);
        let ours = our_slot(&all, &seen(0, 10, 100));
        assert_eq!(ours.sinks.len(), 1, "{ours:?}");
        assert_eq!(ours.sinks[0].name, "kafka");
        assert!(ours.sinks[0].down);
        assert!(ours.sinks[0].since >= Some(Duration::from_secs(80)));
        // The server keeps it for another reason.
        assert!(names(&all, &seen(0, 99, 100)).is_empty());
        let slow = moment(&[("kafka", Demand::Required, Running, 90)], MIB);
        let ours = our_slot(&slow, &seen(0, 10, 100));
        assert_eq!(ours.sinks[0].since, Some(Duration::from_secs(7)));
        assert!(!ours.sinks[0].down);
    }

    #[test]
    fn a_sink_that_fills_memory_holds_back_what_was_never_read() {
        let one = [("kafka", Demand::Required, SinkState::Running, 16)];
        let full = moment(&one, 15 * MIB);
        assert_eq!(names(&full, &seen(0, 10, 1000)), ["kafka"]);
        assert!(names(&moment(&one, MIB), &seen(0, 10, 1000)).is_empty());
        // Inside of a large transaction what is confirmed lies behind where decoding begins.
        let mut inside = seen(0, 990, 1000);
        assert_eq!(names(&full, &inside), ["kafka"]);
        let mut open = walgate_slot::Transaction::default();
        (open.xid_age, open.seconds) = (Some(1), Some(60.0));
        inside.transactions.push(open);
        assert!(names(&full, &inside).is_empty(), "it is older");
    }

    #[test]
    fn with_a_journal_that_confirms_only_a_full_one_is_a_sinks_fault() {
        let one = [("kafka", Demand::Required, SinkState::Retrying, 90)];
        let mut kept = moment(&one, MIB);
        kept.confirms = true;
        assert!(names(&kept, &seen(0, 10, 100)).is_empty());
        let disk = DiskStats {
            bytes: 1,
            budget_bytes: 1,
            spool_bytes: 0,
            segments: 1,
            oldest: Position::ZERO,
            oldest_time: None,
            synced: Lsn::ZERO,
            state: DiskState::Full,
            held_by: vec!["kafka".to_owned()],
            full: true,
        };
        kept.journal.as_mut().unwrap().disk = Some(disk);
        assert_eq!(names(&kept, &seen(0, 10, 100)), ["kafka"]);
    }
}
