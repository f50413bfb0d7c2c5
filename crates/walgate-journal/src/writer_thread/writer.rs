//! What the thread does: takes, encodes, writes, syncs.

use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use tracing::warn;
use walgate_core::{Failure, Frames, StopReason};

use super::packer::PackerThread;
use super::space::SpaceKeeper;
use super::{Parked, WRITE_AT_BYTES};
use crate::DiskOptions;
use crate::disk_journal::wall_clock;
use crate::journal::{Shared, State};
use crate::log::{Appender, DiskState, LogFiles};
use crate::ring::{Batch, Item};
use crate::segment::Compression;

/// How often it looks what may be deleted. Space comes back in segments, and a log that is full is
/// looked at when something is released too.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The state of the thread that writes.
#[derive(Debug)]
pub(crate) struct Writer {
    /// Where full segments are compressed; ends before the files are closed.
    packer: Option<PackerThread>,
    shared: Arc<Shared>,
    appender: Appender,
    files: LogFiles,
    space: SpaceKeeper,
    sync_every: Duration,
    /// When what is queued in memory is written and synced at the latest.
    due: Option<Instant>,
    look_at: Instant,
    /// Something was appended: all readers that will ever hold the log from its start are there.
    begun: bool,
}

/// What the thread was woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// The journal is dropped.
    Stop,
    /// The journal has ended: everything is to be made safe.
    Close,
    /// There is much to write.
    Write,
    /// What there is is to be made safe.
    Sync,
    /// Only the clock.
    Look,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        appender: Appender,
        files: LogFiles,
        options: &DiskOptions,
    ) -> Result<Self, Failure> {
        let packer = match options.compression {
            Compression::None => None,
            Compression::Zstd => Some(PackerThread::start(appender.view())?),
        };
        let space = SpaceKeeper::new(Arc::clone(&shared), options);
        space.publish(files.state());
        Ok(Self {
            packer,
            space,
            shared,
            appender,
            files,
            sync_every: options.sync_every,
            due: None,
            look_at: Instant::now(),
            begun: false,
        })
    }

    /// Works until the journal ends, is dropped, or a sync fails.
    pub(super) fn run(&mut self) -> Result<(), Failure> {
        loop {
            let order = self.wait();
            if order == Order::Stop {
                return Ok(());
            }
            let now = Instant::now();
            if now >= self.look_at || self.space.is_full() {
                self.look_at = now + LOOK_EVERY;
                self.look(now)?;
            }
            self.write(order)?;
            if let Some(packer) = &mut self.packer {
                packer.look(&mut self.files);
            }
            self.publish();
            if order == Order::Close {
                return self.close();
            }
        }
    }

    /// Shows how things stand.
    pub(super) fn publish(&self) {
        self.space.publish(self.files.state());
    }

    /// Waits until there is something to do.
    fn wait(&mut self) -> Order {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        loop {
            let now = Instant::now();
            let blocked = self.is_blocked();
            if let Some(order) = self.order(&mut state, now, blocked) {
                state.desk.parked = Parked::No;
                return order;
            }
            let due = self.due.filter(|_| !blocked);
            let work = [due, self.files.due(now)].into_iter().flatten().min();
            state.desk.parked = match (blocked, work) {
                (true, _) => Parked::Space,
                (false, Some(_)) => Parked::Collecting,
                (false, None) => Parked::Idle,
            };
            let until = work.map_or(self.look_at, |due| due.min(self.look_at));
            let timeout = until.saturating_duration_since(now);
            state = self.sleep(&shared, state, timeout);
        }
    }

    fn sleep<'s>(
        &self,
        shared: &'s Shared,
        state: MutexGuard<'s, State>,
        timeout: Duration,
    ) -> MutexGuard<'s, State> {
        let (state, _) = shared
            .work
            .wait_timeout(state, timeout)
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        state
    }

    /// What there is to do now.
    fn order(&mut self, state: &mut State, now: Instant, blocked: bool) -> Option<Order> {
        let desk = &mut state.desk;
        if desk.stop {
            return Some(Order::Stop);
        }
        if state.ring.is_ended() {
            return Some(Order::Close);
        }
        let (bytes, any) = state.ring.unwritten();
        self.begun |= any;
        if any {
            self.due.get_or_insert(now + self.sync_every);
        }
        let look = std::mem::take(&mut desk.look);
        if look || now >= self.look_at {
            return Some(Order::Look);
        }
        let files_due = self.files.due(now).is_some_and(|due| due <= now);
        if blocked {
            return files_due.then_some(Order::Sync);
        }
        if std::mem::take(&mut desk.urgent) || files_due || self.due.is_some_and(|due| due <= now) {
            return Some(Order::Sync);
        }
        (bytes >= WRITE_AT_BYTES).then_some(Order::Write)
    }

    /// Whether nothing more is to be taken: the disk does not take what was taken before, or is
    /// full.
    fn is_blocked(&self) -> bool {
        self.space.is_full() || *self.files.state() != DiskState::Works
    }

    /// Takes what is queued, and writes it; syncs it where that is due.
    fn write(&mut self, order: Order) -> Result<(), Failure> {
        let all = matches!(order, Order::Sync | Order::Close);
        loop {
            let (bytes, any) = self.shared.lock().ring.unwritten();
            let take = if all { any } else { bytes >= WRITE_AT_BYTES };
            let taken = take && !self.is_blocked() && self.take(bytes)?;
            let now = Instant::now();
            let written = self.files.write_out(now);
            if let DiskState::Lost(failure) = self.files.state() {
                return Err(failure.clone());
            }
            let works = *self.files.state() == DiskState::Works;
            // What is not written though the disk works is more than may stay unsynced.
            if self.files.is_sync_due(now) || (works && !written) || (all && !taken) {
                self.sync()?;
            }
            if !works || (written && !taken) {
                break;
            }
        }
        Ok(())
    }

    /// Takes about a megabyte and encodes it. Returns whether there was room for it.
    fn take(&mut self, queued: u64) -> Result<bool, Failure> {
        if self.space.is_near(queued.min(WRITE_AT_BYTES)) {
            self.look(Instant::now())?;
            if self.space.is_full() {
                return Ok(false);
            }
        }
        let batch = self.shared.lock().ring.take(WRITE_AT_BYTES as usize);
        self.encode(batch)?;
        self.files.queue(self.appender.take_pending());
        Ok(true)
    }

    fn encode(&mut self, batch: Batch) -> Result<(), Failure> {
        let now = wall_clock();
        for (number, item) in (batch.first..).zip(batch.items) {
            if let Item::Spooled(_, 1..) = &item {
                // The whole of it was appended with its first entry.
                continue;
            }
            let given = match &item {
                Item::Frames(frames) => self.appender.append(frames, now)?,
                Item::Gap(gap) => Some(self.appender.append_gap(gap, now)?),
                Item::Spooled(spool, _) => {
                    let number = self.appender.adopt(spool, now)?;
                    if let Some(behind) = &self.shared.behind {
                        behind.unadopted.adopted(spool);
                    }
                    Some(number)
                }
            };
            if given != Some(number) {
                let message = format!(
                    "the journal's entry {number} has the number {given:?} on disk: this is a bug"
                );
                return Err(Failure::new(StopReason::State, message));
            }
        }
        if let Some(progress) = batch.progress {
            let frames = Frames::progress(progress.epoch(), progress.lsn());
            self.appender.append(&frames, now)?;
        }
        Ok(())
    }

    /// Makes safe what is written, and tells whoever waits for that.
    fn sync(&mut self) -> Result<(), Failure> {
        let synced = self.files.sync()?;
        if self.files.pending_bytes() == 0 {
            let any = self.shared.lock().ring.unwritten().1;
            self.due = any.then(|| Instant::now() + self.sync_every);
        }
        self.shared.synced(synced.end_entry);
        if let Some(behind) = &self.shared.behind {
            behind.durable.advance(synced.whole.lsn());
        }
        Ok(())
    }

    /// Deletes what nobody needs, and looks whether there is room.
    fn look(&mut self, now: Instant) -> Result<(), Failure> {
        if self.begun {
            self.space.look(&mut self.files, now)?;
        }
        Ok(())
    }

    /// Everything is written as far as the disk takes it: the segment is closed.
    fn close(&mut self) -> Result<(), Failure> {
        let (left, any) = self.shared.lock().ring.unwritten();
        if any || self.files.pending_bytes() > 0 {
            let bytes = left + self.files.pending_bytes() as u64;
            warn!(
                bytes,
                "the journal ends before everything is on disk; the slot still has the rest"
            );
            return Ok(());
        }
        self.appender.seal(wall_clock())?;
        self.files.queue(self.appender.take_pending());
        self.files.write_out(Instant::now());
        self.sync()
    }
}
