//! What is confirmed: the least of the required sinks, or what the journal has fsynced, durably in
//! the checkpoint first.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::debug;
use walgate_core::{Checkpoint, Failure, Gap, Lsn, Position, Watermark};
use walgate_journal::{Demand, Journal};

use crate::options::ConfirmOptions;
use crate::release::Releases;
use crate::rewind::Rewinds;
use crate::saving::Saving;
use crate::status::{Moved, SinkStatus, StatusHandle};
use crate::tracker::whole;

/// Declared gaps that a checkpoint keeps, the newest: they are for people to read.
const MAX_GAPS: usize = 100;

/// How often it is looked what may be confirmed when no sink says that it has moved.
const NOBODY_MOVES: Duration = Duration::from_secs(1);

/// When the next checkpoint is due. Pure state.
#[derive(Debug)]
pub(crate) struct Cadence {
    options: ConfirmOptions,
    /// What the last checkpoint says is confirmed.
    written: Lsn,
    /// What was last seen that may be confirmed.
    seen: Lsn,
    /// When something has moved that is not in the last checkpoint.
    moved: Option<Instant>,
}

impl Cadence {
    pub(crate) fn new(options: ConfirmOptions, written: Lsn) -> Self {
        Self {
            options,
            written,
            seen: written,
            moved: None,
        }
    }

    /// What may be confirmed is `target` now, or something else of the checkpoint has changed.
    /// Returns whether a checkpoint is due at once.
    pub(crate) fn observe(&mut self, target: Lsn, changed: bool, now: Instant) -> bool {
        self.seen = self.seen.max(target);
        if target > self.written || changed {
            self.moved.get_or_insert(now);
        }
        self.moved.is_some_and(|moved| {
            target.bytes_since(self.written) >= self.options.every_bytes
                || now.duration_since(moved) >= self.options.every
        })
    }

    /// The highest target that was observed.
    pub(crate) fn seen(&self) -> Lsn {
        self.seen
    }

    /// When a checkpoint is due even if nothing moves any more.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.moved.map(|moved| moved + self.options.every)
    }

    /// A checkpoint was written.
    pub(crate) fn written(&mut self, confirmed: Lsn) {
        self.written = self.written.max(confirmed);
        self.moved = None;
    }
}

/// Writes checkpoints and confirms, off the way of the changes.
pub(crate) struct Confirmer {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) saving: Saving,
    pub(crate) sinks: Vec<StatusHandle>,
    /// Keeps what a sink lacks by the last checkpoint.
    pub(crate) journal: Journal,
    /// What the journal has fsynced, when that is what is confirmed; else the required sinks are.
    pub(crate) durable: Option<Watermark<Lsn>>,
    pub(crate) confirmed: Watermark<Lsn>,
    pub(crate) cadence: Cadence,
    pub(crate) moved: Moved,
    pub(crate) news: News,
    pub(crate) rewinds: Option<Rewinds>,
    pub(crate) releases: Option<Releases>,
    /// What the journal may forget for each sink, by the last durable checkpoint.
    pub(crate) kept: BTreeMap<String, Position>,
    /// The last event that a sink may have received before this run, where that is known.
    pub(crate) received_before: Option<Position>,
}

/// What the source has told since the last checkpoint.
#[derive(Debug, Clone, Default)]
pub(crate) struct News(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    timeline: Option<u32>,
    gaps: Vec<Gap>,
}

impl News {
    pub(crate) fn gap(&self, gap: Gap) {
        self.update(|told| told.gaps.push(gap));
    }

    pub(crate) fn timeline(&self, timeline: u32) {
        self.update(|told| told.timeline = Some(timeline));
    }

    fn update<T>(&self, change: impl FnOnce(&mut Told) -> T) -> T {
        // Nothing panics while the lock is held.
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Confirmer {
    /// Writes a first checkpoint: a state directory that can't be written is found before anything
    /// is read, and the positions are those of whole transactions from here on.
    pub(crate) async fn start(&mut self) -> Result<(), Failure> {
        for position in self.checkpoint.sinks.values_mut() {
            *position = whole(*position);
        }
        self.received_before = self.checkpoint.received.take();
        self.saving.save(&self.checkpoint).await?;
        self.release();
        Ok(())
    }

    /// Confirms until something goes wrong, or `stop` is dropped. Returns itself, for the last
    /// checkpoint.
    pub(crate) async fn run(
        mut self: Box<Self>,
        stop: oneshot::Receiver<()>,
    ) -> (Box<Self>, Result<(), Failure>) {
        let mut stop = pin!(stop);
        loop {
            // While the store fails only time brings the next attempt on.
            let again = self.saving.again();
            let due = again.or_else(|| self.cadence.due());
            let listens = again.is_none() && due.is_none_or(|due| due > Instant::now());
            let moved = self.moved.clone();
            let durable = self.durable.clone();
            let seen = self.checkpoint.confirmed.max(self.cadence.seen());
            tokio::select! {
                biased;
                _ = &mut stop => return (self, Ok(())),
                () = sleep_until(due) => {}
                () = moved.wait(), if listens => {}
                () = above(durable.as_ref(), seen), if listens => {}
                () = tokio::time::sleep(NOBODY_MOVES), if listens && self.nobody_moves() => {}
            }
            if let Err(failure) = self.look(Instant::now()).await {
                return (self, Err(failure));
            }
        }
    }

    async fn look(&mut self, now: Instant) -> Result<(), Failure> {
        if let Some(releases) = &self.releases {
            releases.follow().await;
        }
        let statuses: Vec<_> = self.sinks.iter().map(StatusHandle::get).collect();
        let target = self.target(&statuses);
        if self.rewinds.as_ref().is_some_and(Rewinds::has_changed) {
            self.keep();
        }
        let changed = self.take_news() | self.take_positions(&statuses, |status| status.whole);
        if self.cadence.observe(target, changed, now) {
            self.checkpoint.confirmed = self.checkpoint.confirmed.max(target);
            if self.saving.keep(&self.checkpoint).await? {
                self.confirm();
            }
        }
        Ok(())
    }

    /// The last checkpoint: where each sink is exactly, and what any may have received.
    pub(crate) async fn finish(&mut self) -> Result<(), Failure> {
        let statuses: Vec<_> = self.sinks.iter().map(StatusHandle::get).collect();
        let target = self.target(&statuses);
        self.take_news();
        self.take_positions(&statuses, |status| status.exact);
        self.checkpoint.confirmed = self.checkpoint.confirmed.max(target);
        let handed = statuses.iter().map(|status| status.handed).max();
        let received = self.received_before.map(|before| handed.max(Some(before)));
        self.checkpoint.received = received.flatten();
        self.saving.save(&self.checkpoint).await?;
        self.confirm();
        Ok(())
    }

    /// Every required sink was released: what may be confirmed moves with the source alone.
    fn nobody_moves(&self) -> bool {
        let mut sinks = self.sinks.iter().map(StatusHandle::get);
        self.durable.is_none() && !sinks.any(|status| status.demand == Demand::Required)
    }

    /// What may be confirmed.
    fn target(&self, statuses: &[SinkStatus]) -> Lsn {
        if let Some(durable) = &self.durable {
            return durable.get();
        }
        let required = statuses
            .iter()
            .filter(|status| status.demand == Demand::Required)
            .map(|status| status.confirmable)
            .min();
        // All were released: nobody can get any more what is not in memory.
        required.unwrap_or_else(|| {
            let gone = self.journal.stats().oldest;
            match gone.epoch() == self.checkpoint.source.epoch {
                true => gone.lsn().max(self.checkpoint.confirmed),
                false => self.checkpoint.confirmed,
            }
        })
    }

    fn take_positions(
        &mut self,
        statuses: &[SinkStatus],
        position: impl Fn(&SinkStatus) -> Position,
    ) -> bool {
        let mut changed = false;
        for status in statuses {
            let at = position(status);
            // A chain that has not begun to run says nothing yet.
            if at == Position::ZERO || self.checkpoint.sinks.get(&status.name) == Some(&at) {
                continue;
            }
            self.checkpoint.sinks.insert(status.name.clone(), at);
            changed = true;
        }
        changed
    }

    fn take_news(&mut self) -> bool {
        let (timeline, gaps) = self
            .news
            .update(|told| (told.timeline.take(), std::mem::take(&mut told.gaps)));
        let known = self.checkpoint.source.timeline;
        let timeline = timeline.filter(|timeline| *timeline != known);
        let changed = timeline.is_some() || !gaps.is_empty();
        self.checkpoint.source.timeline = timeline.unwrap_or(known);
        self.checkpoint.gaps.extend(gaps);
        let excess = self.checkpoint.gaps.len().saturating_sub(MAX_GAPS);
        self.checkpoint.gaps.drain(..excess);
        changed
    }

    /// The checkpoint is durable: tells the source, and lets the journal go on.
    fn confirm(&mut self) {
        let confirmed = self.checkpoint.confirmed;
        self.cadence.written(confirmed);
        self.release();
        if self.confirmed.advance(confirmed) {
            debug!(%confirmed, "confirmed");
        }
    }

    fn release(&mut self) {
        let fsync_confirms = self.durable.is_some();
        self.kept = kept_behind(&self.checkpoint, fsync_confirms);
        self.keep();
    }

    /// What comes again is kept as long as the sink has not got it: its rewind begins anew after a
    /// crash.
    fn keep(&self) {
        if let Some(rewinds) = &self.rewinds {
            self.journal.gives_again(&rewinds.kept());
        }
        self.journal.checkpointed(&self.kept);
    }
}

/// After a crash each sink begins with the transaction that the checkpoint has it in: the journal
/// must keep that, and no more. A sink at the head may be ahead of what is confirmed; the source
/// begins there again, so that the journal must reach back to it, or it would seem to lack what
/// lies between.
fn kept_behind(checkpoint: &Checkpoint, fsync_confirms: bool) -> BTreeMap<String, Position> {
    let confirmed = Position::new(checkpoint.source.epoch, checkpoint.confirmed, 0);
    let bound = |position: Position| match fsync_confirms {
        true => position.min(confirmed),
        false => position,
    };
    let sinks = checkpoint.sinks.iter();
    let sinks = sinks.map(|(name, position)| (name.clone(), bound(whole(*position))));
    sinks.collect()
}

/// Waits until the journal has fsynced more than `seen`.
async fn above(durable: Option<&Watermark<Lsn>>, seen: Lsn) {
    match durable {
        Some(durable) => {
            durable.above(seen).await;
        }
        None => std::future::pending().await,
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use walgate_core::SourceIdentity;

    use super::*;

    #[test]
    fn a_checkpoint_is_due_by_bytes_or_by_time() {
        let mut cadence = Cadence::new(ConfirmOptions::default(), Lsn(100));
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        assert!(!cadence.observe(Lsn(100), false, at(0)));
        assert_eq!(cadence.due(), None);
        assert!(!cadence.observe(Lsn(101), false, at(10)));
        assert_eq!(cadence.due(), Some(at(1010)));
        assert!(!cadence.observe(Lsn(102), false, at(1009)));
        assert!(cadence.observe(Lsn(102), false, at(1010)));
        cadence.written(Lsn(102));
        assert_eq!(cadence.due(), None);
        assert!(!cadence.observe(Lsn(101 + (4 << 20)), false, at(1011)));
        assert!(cadence.observe(Lsn(102 + (4 << 20)), false, at(1012)));
    }

    #[test]
    fn nothing_is_given_up_before_it_is_confirmed() {
        let checkpoint = Checkpoint {
            source: SourceIdentity {
                system_id: 1,
                timeline: 1,
                epoch: 1,
                slot: "walgate".into(),
                consistent_point: Lsn::ZERO,
                created_by_us: true,
            },
            confirmed: Lsn(100),
            sinks: [(0, 900, 0), (1, 90, 5), (1, 110, 7)]
                .map(|(epoch, lsn, index)| {
                    (format!("{lsn}"), Position::new(epoch, Lsn(lsn), index))
                })
                .into(),
            received: None,
            gaps: Vec::new(),
        };
        let kept = |by| -> Vec<_> { kept_behind(&checkpoint, by).into_values().collect() };
        let at = |epoch, lsn| Position::new(epoch, Lsn(lsn), 0);
        assert_eq!(kept(true), [at(1, 100), at(1, 90), at(0, 900)]);
        assert_eq!(kept(false), [at(1, 110), at(1, 90), at(0, 900)]);
    }

    #[test]
    fn a_sink_that_moves_is_a_reason_too() {
        let mut cadence = Cadence::new(ConfirmOptions::default(), Lsn(100));
        let start = Instant::now();
        assert!(!cadence.observe(Lsn(100), true, start));
        assert!(cadence.observe(Lsn(100), false, start + Duration::from_secs(1)));
    }
}
