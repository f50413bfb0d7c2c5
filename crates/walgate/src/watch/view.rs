//! What one look at the server has found, and what follows from it.

use std::time::{Duration, Instant, SystemTime};

use walgate_slot::{
    Culprit, Forecast, Lag, Limits, Observation, QUARTER, Rate, Scene, Server, Slot, culprit,
    forecast,
};

use crate::slots::report::Report;

/// One look.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) at: Instant,
    pub(crate) time: SystemTime,
    pub(crate) server: Server,
    pub(crate) seen: Observation,
    /// Of each slot of `seen`, in the same order.
    pub(crate) slots: Vec<SlotSight>,
    /// The same in the words of `walgate slots --json`.
    pub(crate) report: Report,
    /// How fast log is written, over the last minute.
    pub(crate) wal_rate: Option<Rate>,
    /// What the limits were that the forecasts are from.
    pub(crate) limits: Limits,
}

/// What follows for one slot.
#[derive(Debug, Clone)]
pub(crate) struct SlotSight {
    /// It is the configured slot.
    pub(crate) ours: bool,
    pub(crate) forecast: Forecast,
    pub(crate) culprit: Culprit,
    /// Age of the oldest log that is not confirmed; none where nothing is confirmed: physical slots,
    /// and those that are being created.
    pub(crate) lag: Option<Lag>,
    /// For how long nobody has used it, as far as is known; none while somebody does.
    pub(crate) unused: Option<Duration>,
    /// Nobody has used it for 15 minutes, and it is not ours: it holds back log for nobody.
    pub(crate) orphan: bool,
}

impl View {
    pub(crate) fn new(
        server: &Server,
        scene: &Scene<'_>,
        limits: Limits,
        time: SystemTime,
    ) -> Self {
        let slots = scene.seen.slots.iter();
        let slots: Vec<_> = slots
            .map(|slot| SlotSight::new(scene, slot, limits))
            .collect();
        Self {
            report: Report::new(server, scene, &slots),
            at: scene.now,
            time,
            server: server.clone(),
            seen: scene.seen.clone(),
            slots,
            wal_rate: scene.history.wal_rate(walgate_slot::MINUTE),
            limits,
        }
    }

    /// Each slot with what follows for it.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (&Slot, &SlotSight)> {
        self.seen.slots.iter().zip(&self.slots)
    }

    /// The configured slot; none when the server does not have it.
    pub(crate) fn ours(&self) -> Option<(&Slot, &SlotSight)> {
        self.slots().find(|(_, sight)| sight.ours)
    }
}

impl SlotSight {
    pub(crate) fn new(scene: &Scene<'_>, slot: &Slot, limits: Limits) -> Self {
        let culprit = culprit(scene, slot);
        let watched = scene.history.unused_for(&slot.name, scene.now);
        let unused = slot.inactive_for().or(watched);
        let unused = unused.filter(|_| !slot.active);
        Self {
            ours: culprit.ours,
            forecast: forecast(scene.seen, slot, scene.history, limits),
            lag: lag(scene, slot),
            orphan: !culprit.ours && is_orphan(scene, slot, unused),
            unused,
            culprit,
        }
    }
}

/// None where nothing is confirmed: that is not known.
fn lag(scene: &Scene<'_>, slot: &Slot) -> Option<Lag> {
    let confirmed = slot.confirmed_flush_lsn?;
    scene.seen.wal_lsn?;
    Some(scene.history.lag(confirmed, scene.now))
}

fn is_orphan(scene: &Scene<'_>, slot: &Slot, unused: Option<Duration>) -> bool {
    // A copy on a standby is used by nobody until there is a promotion.
    let spared = slot.active || slot.synced || slot.temporary || slot.restart_lsn.is_none();
    if spared || slot.lost().is_some() || scene.history.is_polled(&slot.name, scene.now) {
        return false;
    }
    unused.is_some_and(|unused| unused >= QUARTER)
}

#[cfg(test)]
mod tests {
    use walgate_slot::History;

    use super::*;

    fn scene<'a>(seen: &'a Observation, history: &'a History, now: Instant) -> Scene<'a> {
        Scene {
            seen,
            history,
            now,
            ours: &[],
            hide_queries: false,
        }
    }

    #[test]
    fn a_slot_without_confirmations_has_no_lag_and_not_none() {
        let mut seen = Observation::default();
        seen.wal_lsn = "1/0".parse().ok();
        let mut slot = Slot::default();
        let mut history = History::new();
        let now = Instant::now();
        history.record(now, &seen, None);
        assert_eq!(lag(&scene(&seen, &history, now), &slot), None);
        slot.confirmed_flush_lsn = seen.wal_lsn;
        assert_eq!(lag(&scene(&seen, &history, now), &slot), Some(Lag::None));
    }

    #[test]
    fn a_slot_is_an_orphan_when_nobody_has_used_it_for_long() {
        let mut seen = Observation::default();
        seen.wal_lsn = "1/0".parse().ok();
        let mut slot = Slot::default();
        "left".clone_into(&mut slot.name);
        slot.restart_lsn = seen.wal_lsn;
        seen.slots = vec![slot.clone()];
        let (mut history, begin) = (History::new(), Instant::now());
        history.record(begin, &seen, None);
        let mut orphan = |slot: &Slot, after| {
            seen.slots = vec![slot.clone()];
            let scene = scene(&seen, &history, begin + after);
            SlotSight::new(&scene, slot, Limits::default()).orphan
        };
        assert!(!orphan(&slot, QUARTER / 2));
        assert!(orphan(&slot, QUARTER));
        let mut copy = slot.clone();
        copy.synced = true;
        assert!(!orphan(&copy, QUARTER));
        slot.active = true;
        assert!(!orphan(&slot, QUARTER));
    }
}
