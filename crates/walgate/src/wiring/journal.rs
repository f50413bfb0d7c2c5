//! `[journal]`: in memory, or on disk.

use std::path::Path;
use std::sync::Arc;

use walgate_core::{Checkpoint, Failure, Lsn, Position, StopReason};
use walgate_journal::segment::{Compression, SegmentFacts};
use walgate_journal::{DEFAULT_BUDGET_BYTES, DiskJournal, DiskOptions, OnDamage, OnFull};
use walgate_pipeline::{CheckpointStore, Log};
use walgate_replication::{PINNED_SETTINGS, Started, Waiting};

use super::keys::JournalKeys;
use crate::config;

/// A journal before the source runs.
#[derive(Debug)]
pub(crate) enum Keeping {
    /// Nothing of it outlives the process; so many bytes of memory.
    Memory(usize),
    /// Recovered from disk.
    Disk(Box<DiskJournal>),
}

impl Default for Keeping {
    fn default() -> Self {
        Self::Memory(DEFAULT_BUDGET_BYTES)
    }
}

impl Keeping {
    /// Takes the folder of the journal, where there is to be one, and recovers what is in it.
    ///
    /// # Errors
    ///
    /// When the folder can't be used, or is of another slot, system or release.
    pub(crate) async fn open(
        journal: &config::Journal,
        keys: &JournalKeys,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Self, Failure> {
        let Some(folder) = &journal.path else {
            return Ok(Self::Memory(bytes(journal.memory)));
        };
        let (mut options, checkpoint) = (options(journal, folder), checkpoint.cloned());
        options.keys = keys.get().await?;
        let disk = blocking(move || DiskJournal::open(options, checkpoint.as_ref())).await?;
        if let (Some(oldest), Some(tail)) = (disk.oldest(), disk.tail()) {
            tracing::info!(folder = %folder.display(), from = %oldest, to = %tail, "the journal on disk");
        }
        Ok(Self::Disk(Box::new(disk)))
    }

    /// On disk in an empty folder that somebody else takes away, without a thought for what else is on
    /// that disk.
    ///
    /// # Errors
    ///
    /// When the folder can't be used.
    pub(crate) async fn scratch(folder: &Path, bytes: config::Size) -> Result<Self, Failure> {
        let journal = config::Journal {
            replay_bytes: bytes,
            keep_free: 0,
            ..config::Journal::default()
        };
        let options = options(&journal, folder);
        let disk = blocking(move || DiskJournal::open(options, None)).await?;
        Ok(Self::Disk(Box::new(disk)))
    }

    /// What the source is to go on from: the later of what was confirmed and what is safe here.
    pub(crate) fn reached(&self, checkpoint: Option<&Checkpoint>) -> Option<Checkpoint> {
        let mut reached = checkpoint?.clone();
        if let Self::Disk(disk) = self
            && let (Some(tail), Some(newest)) = (disk.tail(), disk.newest())
            // LSNs of another epoch say nothing about this log.
            && newest.epoch() == reached.source.epoch
        {
            reached.confirmed = reached.confirmed.max(tail);
        }
        Some(reached)
    }

    /// What it has of the source's log, also what is not whole: a server whose history has parted
    /// from ours before its end has another log.
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        let Self::Disk(disk) = self else {
            return None;
        };
        let view = disk.view().clone();
        Some(Waiting {
            newest: disk.newest()?,
            whole_before: Arc::new(move |fork| view.whole_before(fork)),
        })
    }

    /// Cuts off what lies behind `at`, and has the checkpoint say so: it never happened on the
    /// source's timeline, and no sink has it.
    ///
    /// # Errors
    ///
    /// When the disk does not take it.
    pub(crate) async fn cut(
        self,
        checkpoint: &mut Checkpoint,
        store: &mut Option<Box<dyn CheckpointStore>>,
        at: Lsn,
    ) -> Result<Self, Failure> {
        let Self::Disk(disk) = self else {
            return Ok(self);
        };
        checkpoint.confirmed = at;
        let (saved, keeps) = (checkpoint.clone(), store.take());
        let (disk, keeps) = blocking(move || {
            let mut keeps = keeps;
            let disk = disk.cut(&saved, |checkpoint| match &mut keeps {
                Some(store) => store.save(checkpoint),
                None => Ok(()),
            })?;
            Ok((disk, keeps))
        })
        .await?;
        *store = keeps;
        Ok(Self::Disk(Box::new(disk)))
    }

    pub(crate) fn is_on_disk(&self) -> bool {
        matches!(self, Self::Disk(_))
    }

    /// Up to where it has the log, on disk; none when it has nothing of it.
    pub(crate) fn tail(&self) -> Option<Position> {
        let Self::Disk(disk) = self else {
            return None;
        };
        let (tail, newest) = disk.tail().zip(disk.newest())?;
        Some(Position::new(newest.epoch(), tail, 0))
    }

    /// Begins, at `start`, with what the source that has started says of itself.
    ///
    /// # Errors
    ///
    /// When the disk does not take it, or has the log of somebody else.
    pub(crate) async fn start(self, facts: SegmentFacts, start: Position) -> Result<Log, Failure> {
        let disk = match self {
            Self::Memory(bytes) => return Ok(Log::in_memory(bytes, start)),
            Self::Disk(disk) => disk,
        };
        let tail = disk.tail().zip(disk.newest());
        let tail = tail.map(|(tail, newest)| Position::new(newest.epoch(), tail, 0));
        let oldest = disk.oldest();
        let journal = blocking(move || disk.start(facts, start)).await?;
        Ok(Log {
            journal,
            oldest: oldest.unwrap_or(start),
            tail: tail.unwrap_or(start),
            head: start,
        })
    }
}

fn options(journal: &config::Journal, folder: &Path) -> DiskOptions {
    DiskOptions {
        segment_bytes: journal.segment.0,
        sync_every: journal.sync_every.0,
        sync_bytes: journal.sync_bytes.0,
        replay_bytes: journal.replay_bytes.0,
        replay_age: journal.replay_age.0,
        budget_bytes: journal.budget.map(|budget| budget.0),
        spool_memory_bytes: bytes(journal.spool_memory),
        spool_bytes: journal.spool_budget.map(|budget| budget.0),
        keep_free_percent: journal.keep_free,
        on_full: match journal.on_full {
            config::OnFull::Hold => OnFull::Hold,
            config::OnFull::ReleaseSink => OnFull::Release(journal.release.clone()),
        },
        on_damage: match journal.on_damage {
            config::OnDamage::Stop => OnDamage::Stop,
            config::OnDamage::Gap => OnDamage::Gap,
        },
        memory_bytes: bytes(journal.memory),
        compression: match journal.compression {
            config::JournalCompression::None => Compression::None,
            config::JournalCompression::Zstd => Compression::Zstd,
        },
        ..DiskOptions::new(folder)
    }
}

fn bytes(size: config::Size) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

pub(crate) fn facts(started: &Started) -> SegmentFacts {
    let identity = &started.identity;
    let settings = PINNED_SETTINGS.iter();
    SegmentFacts {
        system_id: identity.system_id,
        timeline: identity.timeline,
        epoch: identity.epoch,
        slot: identity.slot.clone(),
        dialect: started.dialect,
        server_version: started.server_version.clone(),
        settings: settings
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    }
}

/// Runs what blocks on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| {
        let message = format!("the work on disk has broken off: {panic}");
        Err(Failure::new(StopReason::State, message))
    })
}
