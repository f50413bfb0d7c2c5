//! How much waits for each partition.
//!
//! An idempotent librdkafka has one request for a partition in flight at a time (it counts messages
//! where its limit of five means requests), and while more than that waits for longer than
//! `linger.ms`, its broker thread spins until the response comes: with a long queue that is three
//! quarters of all CPU. So no partition is given much more than what is in flight and the batch
//! behind it; what is held back waits in the sink's caller.

/// Place of a partition among all partitions of all topics of a sink.
pub(crate) type Lane = usize;

/// What a message counts besides key and value: its headers and lengths, about.
const WIRE_BYTES: usize = 100;

/// Bytes that a message occupies in its partition's queue.
pub(crate) const fn wire_bytes(payload_bytes: usize) -> usize {
    payload_bytes + WIRE_BYTES
}

/// Bytes without a report, by partition.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    outstanding: Vec<usize>,
    /// Most bytes of a partition.
    budget: usize,
    /// The partition that the sink waits for.
    awaited: Option<Lane>,
}

impl Lanes {
    /// For batches of `batch_bytes`: one in flight, one that waits.
    pub(crate) fn new(batch_bytes: usize) -> Self {
        Self {
            budget: 2 * batch_bytes,
            ..Self::default()
        }
    }

    /// Whether there is room for these bytes; if not, the partition is awaited. An empty partition
    /// takes anything.
    pub(crate) fn fits(&mut self, lane: Lane, bytes: usize) -> bool {
        let held = self.outstanding.get(lane).copied().unwrap_or(0);
        let fits = held == 0 || held + bytes <= self.budget;
        self.awaited = if fits { None } else { Some(lane) };
        fits
    }

    /// Takes a message.
    pub(crate) fn add(&mut self, lane: Lane, bytes: usize) {
        if self.outstanding.len() <= lane {
            self.outstanding.resize(lane + 1, 0);
        }
        if let Some(held) = self.outstanding.get_mut(lane) {
            *held += bytes;
        }
    }

    /// A message's report. Returns whether the partition was awaited and has room again: not at
    /// the first byte, so that a wake-up is worth its while.
    pub(crate) fn remove(&mut self, lane: Lane, bytes: usize) -> bool {
        let Some(held) = self.outstanding.get_mut(lane) else {
            return false;
        };
        *held = held.saturating_sub(bytes);
        let woken = self.awaited == Some(lane) && *held <= self.budget / 2;
        if woken {
            self.awaited = None;
        }
        woken
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.outstanding.clear();
        self.awaited = None;
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
        assert!(!lanes.remove(3, 50));
        assert!(lanes.remove(3, 50));
        assert!(!lanes.remove(3, 50), "once");
        assert!(lanes.fits(3, 50));
    }

    #[test]
    fn an_empty_partition_takes_anything() {
        let mut lanes = Lanes::new(100);
        assert!(lanes.fits(0, 100_000));
        lanes.add(0, 100_000);
        assert!(!lanes.fits(0, 1));
        assert!(lanes.remove(0, 100_000));
        lanes.add(7, 500);
        lanes.clear();
        assert!(lanes.fits(7, 500));
    }
}
