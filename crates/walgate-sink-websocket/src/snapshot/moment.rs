//! Which transactions a snapshot contains.

use walgate_core::{Lsn, Xid};

/// When a snapshot was taken: what it contains, and where the log was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// Every transaction below this id had ended, but for those in `running`; the others had not. 64 bits.
    xmax: u64,
    /// Transactions below `xmax` that had not ended, in order.
    running: Vec<u64>,
    /// The next id that was to be given, a moment later: every transaction that had begun has a lower one.
    pub(crate) next: u64,
    /// The end of the log a moment later: what the snapshot contains has committed below it.
    pub(crate) end: Lsn,
    /// Whether commits may wait for a synchronous standby before they become visible.
    pub(crate) has_standbys: bool,
}

impl Moment {
    /// From `pg_current_snapshot()` (`xmin:xmax:xip,…`), with the age of its `xmax` and the end of the log as they were behind it.
    /// None for what is no snapshot.
    pub fn parse(snapshot: &str, age: u64, end: Lsn, has_standbys: bool) -> Option<Self> {
        let mut parts = snapshot.split(':');
        let _xmin: u64 = parts.next()?.parse().ok()?;
        let xmax: u64 = parts.next()?.parse().ok()?;
        let ids = parts.next()?.split(',').filter(|id| !id.is_empty());
        let running: Result<Vec<u64>, _> = ids.map(str::parse).collect();
        let mut running = running.ok()?;
        running.sort_unstable();
        Some(Self {
            xmax,
            running,
            next: xmax.checked_add(age)?,
            end,
            has_standbys,
        })
    }

    /// Whether it contains a transaction that has committed.
    pub(crate) fn contains(&self, xid: Xid) -> bool {
        self.has_ended(self.widen(xid))
    }

    /// Whether it contains every transaction whose id was given before `next`.
    pub(crate) fn contains_all_below(&self, next: u64) -> bool {
        self.xmax >= next && self.running.first().is_none_or(|first| *first >= next)
    }

    fn has_ended(&self, id: u64) -> bool {
        id < self.xmax && self.running.binary_search(&id).is_err()
    }

    /// The 64 bits of `xid` that are nearest to this moment: the server never lets two transactions in use lie 2^31 apart.
    pub(crate) fn widen(&self, xid: Xid) -> u64 {
        let ahead = xid.wrapping_sub(self.xmax as u32).cast_signed();
        self.xmax
            .checked_add_signed(i64::from(ahead))
            .unwrap_or_else(|| u64::from(xid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str, age: u64) -> Moment {
        Moment::parse(text, age, Lsn(0x100), false).expect("a snapshot")
    }

    #[test]
    fn what_had_ended_is_contained_and_nothing_else() {
        let moment = moment("100:110:100,104", 3);
        for (xid, contained) in [
            (3, true),
            (99, true),
            (100, false),
            (101, true),
            (104, false),
            (109, true),
            (110, false),
            (112, false),
        ] {
            assert_eq!(moment.contains(xid), contained, "{xid}");
        }
        assert_eq!(moment.next, 113);
        assert!(moment.contains_all_below(100) && !moment.contains_all_below(101));
        let idle = Moment::parse("110:110:", 0, Lsn(1), false).expect("a snapshot");
        assert!(idle.contains_all_below(110) && !idle.contains_all_below(111));
    }

    #[test]
    fn ids_are_widened_across_an_epoch() {
        const EPOCH: u64 = 1 << 32;
        let xmin = EPOCH - 3;
        let xmax = EPOCH + 10;
        let moment = moment(&format!("{xmin}:{xmax}:{xmin},{}", EPOCH + 4), 2);
        assert_eq!(moment.widen(u32::MAX - 2), EPOCH - 3);
        assert_eq!(moment.widen(9), EPOCH + 9);
        assert!(
            !moment.contains(u32::MAX - 2),
            "it runs, of the epoch before"
        );
        assert!(moment.contains(u32::MAX - 1));
        assert!(moment.contains(3) && !moment.contains(4) && !moment.contains(10));
        // Just before the turn, what has turned already is ahead.
        let before = Moment::parse(&format!("{0}:{0}:", EPOCH - 2), 6, Lsn(1), false);
        let before = before.expect("a snapshot");
        assert!(!before.contains(3) && before.contains(u32::MAX - 2));
        assert_eq!(before.next, EPOCH + 4);
    }

    #[test]
    fn what_is_no_snapshot_is_none() {
        for text in ["", "1", "1:2", "a:2:", "1:2:x", "1:18446744073709551615:"] {
            assert_eq!(Moment::parse(text, 1, Lsn(1), false), None, "{text:?}");
        }
    }
}
