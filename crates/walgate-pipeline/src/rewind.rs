//! Rewinds: a sink that runs gets again what the journal on disk retains.
//!
//! A rewind is kept in the state directory from when it is accepted until it is over: once a part of
//! it was delivered, the last event of a row that a destination got may be an old one, and only the
//! rest of the rewind puts that right. After a crash or a stop in its midst it begins anew, before
//! the sink gets anything else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use walgate_core::{Failure, Lsn, PgMicros, Position, StopReason};
use walgate_journal::Journal;
use walgate_journal::log::LogView;

use crate::rewind_file::RewindFile;
use crate::status::{Moved, SinkState, SinkStatus, StatusHandle};

/// How long whoever asks waits at least for the answer, which takes as long as segments are read to
/// find a time in them. The control socket gives up after 60 seconds.
const PATIENCE: Duration = Duration::from_secs(50);

/// What a sink gets again: everything from a transaction on, up to where the sink is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewind {
    /// What tells it from others, for people and for the records that come again.
    pub id: String,
    /// Before its first transaction.
    pub from: Position,
}

/// Where a rewind begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RewindTo {
    /// With the first transaction that commits at this LSN of the log that is read now, or later.
    Lsn(Lsn),
    /// With the transaction of this event, or the first behind it.
    Position(Position),
    /// With the first transaction in the log that was committed at this time or later.
    Time(PgMicros),
}

/// A rewind that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its id.
    pub id: String,
    /// Before its first transaction.
    pub from: Position,
    /// The last event that the sink has; it comes again too.
    pub delivered: Position,
}

/// The rewinds of a pipeline. Cheap to clone: all clones are the same.
#[derive(Debug, Clone)]
pub struct Rewinds(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Held while it is written, and by whoever changes what is kept. Nobody who delivers waits for
    /// it.
    file: Mutex<RewindFile>,
    state: Mutex<State>,
    /// Something was accepted or is over since somebody looked.
    changed: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// Everything that is not over, as in the file.
    kept: BTreeMap<String, Rewind>,
    /// The pipeline that runs.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    /// None in memory.
    log: Option<LogView>,
    epoch: u8,
    sinks: BTreeMap<String, Known>,
    moved: Moved,
}

#[derive(Debug)]
struct Known {
    status: StatusHandle,
    /// None when it can't be given anything again.
    slot: Option<Arc<Slot>>,
}

/// Between whoever asks and a chain.
#[derive(Debug, Default)]
struct Slot {
    asked: AtomicBool,
    notify: Notify,
}

impl Slot {
    fn ask(&self) {
        self.asked.store(true, Ordering::Release);
        self.notify.notify_one();
    }
}

/// What is known of a sink when a pipeline begins.
pub(crate) struct Rewindable<'a> {
    pub(crate) name: &'a str,
    pub(crate) status: &'a StatusHandle,
    /// Whether it can be given anything again.
    pub(crate) can: bool,
}

impl Rewinds {
    /// Reads from the state directory, which must be this process's, what an earlier run has left.
    ///
    /// # Errors
    ///
    /// When that can't be read.
    pub fn open(directory: &Path) -> Result<Self, Failure> {
        let (file, kept) = RewindFile::open(directory)?;
        Ok(Self(Arc::new(Shared {
            file: Mutex::new(file),
            state: Mutex::new(State {
                kept,
                running: None,
            }),
            changed: AtomicBool::new(false),
        })))
    }

    /// Has a sink get everything again from `to` on. It is kept durably when this returns. Blocks: a
    /// time has to be looked for, and the disk takes its time.
    ///
    /// # Errors
    ///
    /// With reason and remedy, when that makes no sense: an unknown sink, one that can't be given
    /// anything again, a place that the journal does not retain or that the sink has not reached, or
    /// a rewind that is under way.
    pub fn ask(&self, sink: &str, to: RewindTo, id: String) -> Result<Accepted, Failure> {
        self.ask_by(sink, to, id, Instant::now() + PATIENCE)
    }

    /// As [`ask`](Self::ask), by whoever does not wait longer than until `deadline`: what is refused
    /// must not begin all the same.
    ///
    /// # Errors
    ///
    /// As for [`ask`](Self::ask), and when it has taken longer to find the place.
    pub fn ask_by(
        &self,
        sink: &str,
        to: RewindTo,
        id: String,
        deadline: Instant,
    ) -> Result<Accepted, Failure> {
        let (log, epoch) = {
            let state = self.lock();
            let running = state.running.as_ref().ok_or_else(starting)?;
            running.ready(sink)?;
            state.is_free(sink)?;
            (running.log.clone().ok_or_else(no_disk)?, running.epoch)
        };
        // Outside of the lock: it reads from disk.
        let from = place(&log, to, epoch)?;
        let file = lock(&self.0.file);
        let (delivered, mut kept) = {
            let state = self.lock();
            let running = state.running.as_ref().ok_or_else(starting)?;
            let (_, status) = running.ready(sink)?;
            if from >= status.whole {
                let message = format!("sink {sink} is at {}, not yet behind {from}", status.whole);
                return Err(refused(message).hint("it gets everything from there on anyway"));
            }
            state.is_free(sink)?;
            (status.delivered, state.kept.clone())
        };
        let rewind = Rewind {
            id: id.clone(),
            from,
        };
        if Instant::now() >= deadline {
            let message = "the journal was read for too long to find where that is";
            return Err(refused(message).hint("name an LSN of it: walgate journal ls"));
        }
        let before = kept.clone();
        kept.insert(sink.to_owned(), rewind);
        if let Err(failure) = file.save(&kept) {
            // The new file may lie there all the same, not durable.
            return Err(match file.save(&before) {
                Ok(()) => failure,
                Err(_) => unsettled(failure, &id),
            });
        }
        self.put(kept);
        let state = self.lock();
        if let Some(running) = &state.running {
            if let Ok((slot, _)) = running.ready(sink) {
                slot.ask();
            }
            running.moved.tell();
        }
        Ok(Accepted {
            id,
            from,
            delivered,
        })
    }

    /// What is kept from now on.
    fn put(&self, kept: BTreeMap<String, Rewind>) {
        self.lock().kept = kept;
        self.0.changed.store(true, Ordering::Release);
    }

    /// A pipeline begins: each chain that can hears of its rewind, also of one that an earlier run
    /// has left.
    pub(crate) fn begin<'a>(
        &self,
        journal: &Journal,
        epoch: u8,
        moved: &Moved,
        sinks: impl Iterator<Item = Rewindable<'a>>,
    ) {
        let file = lock(&self.0.file).path();
        let mut state = self.lock();
        let log = journal.view().cloned();
        let mut known = BTreeMap::new();
        for sink in sinks {
            let slot = (sink.can && log.is_some()).then(Arc::<Slot>::default);
            let status = sink.status.clone();
            known.insert(sink.name.to_owned(), Known { status, slot });
        }
        for (sink, rewind) in &state.kept {
            let slot = known.get(sink).and_then(|known| known.slot.as_ref());
            match slot {
                Some(slot) => slot.ask(),
                None => {
                    let id = &rewind.id;
                    tracing::warn!(sink, id, file = %file.display(), "a rewind of this sink is not over and can't go on as the configuration is now");
                }
            }
        }
        state.running = Some(Running {
            log,
            epoch,
            sinks: known,
            moved: moved.clone(),
        });
    }

    /// The side of a chain; none when its sink can't be given anything again.
    pub(crate) fn of(&self, sink: &str) -> Option<SinkRewinds> {
        let state = self.lock();
        let known = state.running.as_ref()?.sinks.get(sink)?;
        Some(SinkRewinds {
            all: self.clone(),
            sink: sink.to_owned(),
            slot: Arc::clone(known.slot.as_ref()?),
        })
    }

    /// Behind which position each sink gets everything again.
    pub(crate) fn kept(&self) -> BTreeMap<String, Position> {
        let state = self.lock();
        let kept = state.kept.iter();
        kept.map(|(sink, rewind)| (sink.clone(), rewind.from))
            .collect()
    }

    /// Whether something was accepted or is over since this was asked last.
    pub(crate) fn has_changed(&self) -> bool {
        self.0.changed.swap(false, Ordering::AcqRel)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while a lock is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn is_free(&self, sink: &str) -> Result<(), Failure> {
        let Some(rewind) = self.kept.get(sink) else {
            return Ok(());
        };
        let message = format!("the rewind {} of sink {sink} is not over yet", rewind.id);
        Err(refused(message).hint("ask again when the log says that it is over"))
    }
}

impl Running {
    /// The sink as it is, when it can be rewound.
    fn ready(&self, sink: &str) -> Result<(&Slot, SinkStatus), Failure> {
        let known = self.sinks.get(sink).ok_or_else(|| {
            let names: Vec<_> = self.sinks.keys().map(String::as_str).collect();
            refused(format!("there is no sink {sink}"))
                .hint(format!("the sinks are: {}", names.join(", ")))
        })?;
        if self.log.is_none() {
            return Err(no_disk());
        }
        let slot = known.slot.as_deref().ok_or_else(|| {
            refused(format!("sink {sink} can't be given anything again"))
                .hint("replay the journal into another one: walgate replay --help")
        })?;
        let status = known.status.get();
        if status.whole == Position::ZERO {
            return Err(starting());
        }
        if matches!(status.state, SinkState::Ended | SinkState::Failed) {
            let message = format!("sink {sink} has ended");
            return Err(refused(message).hint("the log says why; start walgate again"));
        }
        Ok((slot, status))
    }
}

/// Before the first transaction of a rewind.
fn place(log: &LogView, to: RewindTo, epoch: u8) -> Result<Position, Failure> {
    let from = match to {
        RewindTo::Lsn(lsn) => Position::new(epoch, lsn, 0),
        RewindTo::Position(position) => Position::new(position.epoch(), position.lsn(), 0),
        RewindTo::Time(time) => log.position_at(time)?.ok_or_else(|| {
            refused("the journal holds no transaction that was committed then or later")
                .hint("see what it holds: walgate journal ls")
        })?,
    };
    let oldest = log.catalogue().oldest();
    if from < oldest {
        let message =
            format!("the journal does not retain {from} any more: its oldest is {oldest}");
        return Err(refused(message).hint(format!(
            "rewind to {} or later; [journal] replay_bytes and replay_age say how much is retained",
            first_whole(oldest)
        )));
    }
    Ok(from)
}

/// The first LSN that is retained when everything up to `oldest` is not.
fn first_whole(oldest: Position) -> Lsn {
    let lsn = oldest.lsn();
    match oldest.index() {
        0 => lsn,
        _ => lsn.checked_add(1).unwrap_or(lsn),
    }
}

/// What was refused may have been kept.
fn unsettled(failure: Failure, id: &str) -> Failure {
    let message = format!(
        "{}; the next start may begin the rewind {id} all the same",
        failure.message
    );
    let refused = Failure::new(failure.reason, message);
    match failure.hint {
        Some(hint) => refused.hint(hint),
        None => refused,
    }
}

fn refused(message: impl Into<String>) -> Failure {
    Failure::new(StopReason::Config, message)
}

fn starting() -> Failure {
    refused("walgate is still starting").hint("ask again when its log says streaming")
}

fn no_disk() -> Failure {
    refused("there is no journal on disk, so nothing is retained that could come again")
        .hint("set [journal] path; what comes from then on is retained")
}

/// The rewinds of one sink, for its chain.
#[derive(Debug, Clone)]
pub(crate) struct SinkRewinds {
    all: Rewinds,
    sink: String,
    slot: Arc<Slot>,
}

impl SinkRewinds {
    /// Whether one is asked for.
    #[inline]
    pub(crate) fn is_asked(&self) -> bool {
        self.slot.asked.load(Ordering::Acquire)
    }

    /// Waits until one may be asked for.
    pub(crate) async fn asked(&self) {
        self.slot.notify.notified().await;
    }

    /// What is asked for; until it is [over](Self::over) it is so again after a restart.
    pub(crate) fn take(&self) -> Option<Rewind> {
        self.slot.asked.store(false, Ordering::Release);
        self.all.lock().kept.get(&self.sink).cloned()
    }

    /// Where it is kept.
    pub(crate) fn file(&self) -> PathBuf {
        lock(&self.all.0.file).path()
    }

    /// It is over. Blocks.
    pub(crate) fn over(&self) -> Result<(), Failure> {
        let file = lock(&self.all.0.file);
        let mut kept = self.all.lock().kept.clone();
        kept.remove(&self.sink);
        let saved = file.save(&kept);
        self.all.put(kept);
        saved
    }
}
