//! How much waits for each partition.
//!
//! An idempotent librdkafka has one request for a partition in flight at a time. More than that
//! request and the batch behind it would only wait in here, in memory: so a partition is given no
//! more, and the rest waits in the sink's caller, where it is not copied yet.

/// Place of a partition among all partitions of all topics of a sink.
pub(crate) type Lane = usize;

/// Bytes that a message occupies in its partition's queue, as librdkafka counts them for `batch.size`:
/// without headers. A tombstone of nothing counts, too.
pub(crate) const fn queued_bytes(payload_bytes: usize) -> usize {
    if payload_bytes == 0 { 1 } else { payload_bytes }
}

/// What has no report, by partition.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    lanes: Vec<Outstanding>,
    /// Bytes that librdkafka sends without being told, once nothing is in flight.
    batch: usize,
    /// Most bytes of a partition.
    budget: usize,
    /// The partition that the sink waits for.
    awaited: Option<Lane>,
    /// Partitions that hold messages which nothing sends but a flush.
    idle: usize,
    /// Partitions that have messages on their way.
    busy: usize,
}

#[derive(Debug, Default, Clone)]
struct Outstanding {
    bytes: usize,
    messages: usize,
    /// Of the messages, how many are taken to be on their way, or to go when what is before them
    /// is answered.
    sent: usize,
    /// Bytes of the others.
    unsent_bytes: usize,
}

impl Outstanding {
    const fn is_idle(&self) -> bool {
        self.messages > 0 && self.sent == 0
    }

    const fn is_busy(&self) -> bool {
        self.sent > 0
    }
}

/// What a report has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    /// The partition was awaited and has room again.
    pub(crate) room: bool,
    /// More wait for a flush than before, or the same wait for nothing else any more.
    pub(crate) flush: bool,
}

impl Lanes {
    /// For batches of `batch_bytes`: one in flight, one that waits.
    pub(crate) fn new(batch_bytes: usize) -> Self {
        Self {
            batch: batch_bytes,
            budget: 2 * batch_bytes,
            ..Self::default()
        }
    }

    /// Whether there is room for these bytes; if not, the partition is awaited. An empty partition
    /// takes anything.
    pub(crate) fn fits(&mut self, lane: Lane, bytes: usize) -> bool {
        let held = self.lanes.get(lane).map_or(0, |lane| lane.bytes);
        let fits = held == 0 || held + bytes <= self.budget;
        self.awaited = if fits { None } else { Some(lane) };
        fits
    }

    /// Takes a message.
    pub(crate) fn add(&mut self, lane: Lane, bytes: usize) {
        if self.lanes.len() <= lane {
            self.lanes.resize(lane + 1, Outstanding::default());
        }
        let Some(held) = self.lanes.get_mut(lane) else {
            return;
        };
        let (idle, busy) = (held.is_idle(), held.is_busy());
        held.bytes += bytes;
        held.messages += 1;
        held.unsent_bytes += bytes;
        if held.unsent_bytes >= self.batch {
            held.sent = held.messages;
            held.unsent_bytes = 0;
        }
        self.idle = self.idle + usize::from(held.is_idle()) - usize::from(idle);
        self.busy += usize::from(held.is_busy() && !busy);
    }

    /// A message's report. Room is told of not at the first byte, so that a wake-up is worth its
    /// while.
    pub(crate) fn remove(&mut self, lane: Lane, bytes: usize) -> Change {
        let Some(held) = self.lanes.get_mut(lane) else {
            return Change {
                room: false,
                flush: false,
            };
        };
        let (was_idle, was_busy) = (held.is_idle(), held.is_busy());
        held.bytes = held.bytes.saturating_sub(bytes);
        held.messages = held.messages.saturating_sub(1);
        held.sent = held.sent.saturating_sub(1);
        if held.messages == 0 {
            held.unsent_bytes = 0;
        }
        let (idle, busy) = (held.is_idle(), held.is_busy());
        let room = self.awaited == Some(lane) && held.bytes <= self.budget / 2;
        self.idle = self.idle + usize::from(idle) - usize::from(was_idle);
        self.busy -= usize::from(was_busy && !busy);
        let quiet = was_busy && self.busy == 0 && self.idle > 0;
        if room {
            self.awaited = None;
        }
        Change {
            room,
            flush: quiet || (idle && !was_idle),
        }
    }

    /// Whether a partition holds messages that nothing sends but a flush.
    pub(crate) const fn any_idle(&self) -> bool {
        self.idle > 0
    }

    /// Whether no partition has messages on their way.
    pub(crate) const fn is_quiet(&self) -> bool {
        self.busy == 0
    }

    /// Everything is sent now, or once what is before it is answered.
    pub(crate) fn flush(&mut self) {
        for held in &mut self.lanes {
            held.sent = held.messages;
            held.unsent_bytes = 0;
        }
        self.idle = 0;
        self.busy = self.lanes.iter().filter(|held| held.is_busy()).count();
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.lanes.clear();
        self.awaited = None;
        self.idle = 0;
        self.busy = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakes_who_waits_when_half_is_free() {
        let mut lanes = Lanes::new(100);
        for _ in 0..4 {
            assert!(lanes.fits(3, 50));
            lanes.add(3, 50);
        }
        assert!(lanes.fits(0, 50), "another partition has room");
        assert!(!lanes.fits(3, 50));
        assert!(!lanes.remove(3, 50).room);
        assert!(lanes.remove(3, 50).room);
        assert!(!lanes.remove(3, 50).room, "once");
        assert!(lanes.fits(3, 50));
    }

    #[test]
    fn an_empty_partition_takes_anything() {
        let mut lanes = Lanes::new(100);
        assert!(lanes.fits(0, 100_000));
        lanes.add(0, 100_000);
        assert!(!lanes.fits(0, 1));
        assert!(lanes.remove(0, 100_000).room);
        lanes.add(7, 500);
        lanes.clear();
        assert!(lanes.fits(7, 500));
    }

    #[test]
    fn knows_what_only_a_flush_sends() {
        let mut lanes = Lanes::new(100);
        assert!(!lanes.any_idle());
        lanes.add(1, 60);
        assert!(lanes.any_idle());
        lanes.add(1, 60);
        assert!(!lanes.any_idle(), "a batch is full");
        lanes.add(1, 60);
        assert!(!lanes.remove(1, 60).flush);
        assert!(!lanes.any_idle(), "the second is in flight");
        assert!(lanes.remove(1, 60).flush);
        assert!(lanes.any_idle());
        lanes.add(1, 10);
        lanes.flush();
        assert!(!lanes.any_idle());
        assert!(!lanes.remove(1, 60).flush);
        assert!(!lanes.remove(1, 10).flush, "nothing is left");
        lanes.add(2, 10);
        lanes.add(3, 10);
        lanes.remove(2, 10);
        assert!(lanes.any_idle(), "the other one");
        lanes.remove(3, 10);
        assert!(!lanes.any_idle());
    }

    #[test]
    fn knows_when_nothing_is_on_its_way() {
        let mut lanes = Lanes::new(100);
        assert!(lanes.is_quiet());
        lanes.add(1, 10);
        lanes.add(2, 10);
        assert!(lanes.is_quiet(), "they wait for a flush");
        lanes.flush();
        assert!(!lanes.is_quiet());
        lanes.add(3, 10);
        assert!(!lanes.remove(1, 10).flush, "the second is on its way");
        assert!(!lanes.is_quiet());
        assert!(lanes.remove(2, 10).flush, "the third may go");
        assert!(lanes.is_quiet());
        lanes.add(3, 100);
        assert!(!lanes.is_quiet(), "a batch is full");
        lanes.clear();
        assert!(lanes.is_quiet());
    }
}
