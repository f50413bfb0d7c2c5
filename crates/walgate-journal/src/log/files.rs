//! The side that does the I/O: one thread owns it.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use walgate_core::{Failure, Position, StopReason};

use super::catalogue::Catalogue;
use super::marker;
use super::options::LogOptions;
use super::pending::{Pending, Reached, Step};
use crate::storage::{Storage, StoredFile, unusable};

/// A write that failed is tried again after this time: space comes back in human time, and one try
/// a second costs nothing.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// How the disk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskState {
    /// It takes what is written.
    Works,
    /// It has no space; what waits is tried again.
    Full,
    /// It takes nothing, for this reason; what waits is tried again.
    Failing(String),
    /// A sync has failed, which is final: what was written since the last that worked may be lost.
    Lost(Failure),
}

/// What survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Synced {
    /// The end of the last whole transaction, or a keepalive's position; its index is 0.
    pub whole: Position,
    /// All entries with lower numbers are durable.
    pub end_entry: u64,
}

/// Does what was appended to the files: writes, syncs, deletes. All its methods block.
///
/// It says in the log when the disk stops taking what is written, once, and when that is over.
#[derive(Debug)]
pub struct LogFiles {
    storage: Arc<dyn Storage>,
    catalogue: Catalogue,
    options: LogOptions,
    pending: Pending,
    /// Files with something unsynced, and the one that is written, which is the last.
    open: Vec<OpenSegment>,
    /// Where the log stands behind what is written.
    written: Reached,
    synced: Reached,
    /// A file was made since the last sync of the folder.
    folder_unsynced: bool,
    /// Nothing more is written before a sync: enough is unsynced, or a file would be made while the
    /// one before it may still be lost. Thus no crash leaves a hole, and only the last segment is
    /// ever in doubt.
    sync_first: bool,
    unsynced_bytes: u64,
    /// When the first unsynced byte was written.
    unsynced_since: Option<Instant>,
    state: DiskState,
    retry_at: Option<Instant>,
    /// Segments that readers no longer see and whose files are still there, oldest first.
    to_delete: Vec<Deleted>,
}

/// Why a spool was not adopted.
enum NotAdopted {
    /// It is tried again.
    Later(io::Error),
    /// A sync has failed.
    Never(Failure),
}

/// A segment whose files go.
#[derive(Debug, Clone, Copy)]
struct Deleted {
    number: u64,
    has_spool: bool,
}

#[derive(Debug)]
struct OpenSegment {
    number: u64,
    file: Arc<dyn StoredFile>,
    written: u64,
    sealed: bool,
}

impl LogFiles {
    pub(super) fn new(
        storage: Arc<dyn Storage>,
        catalogue: Catalogue,
        options: LogOptions,
        durable: Reached,
    ) -> Self {
        Self {
            storage,
            catalogue,
            options,
            pending: Pending::default(),
            open: Vec::new(),
            written: durable,
            synced: durable,
            folder_unsynced: false,
            sync_first: false,
            unsynced_bytes: 0,
            unsynced_since: None,
            state: DiskState::Works,
            retry_at: None,
            to_delete: Vec::new(),
        }
    }

    /// Takes over what was appended. No I/O.
    pub fn queue(&mut self, mut pending: Pending) {
        self.pending.append(&mut pending);
    }

    /// Bytes that wait to be written: memory.
    pub fn pending_bytes(&self) -> usize {
        self.pending.bytes()
    }

    /// How the disk is.
    pub fn state(&self) -> &DiskState {
        &self.state
    }

    /// What survives a power cut.
    pub fn synced(&self) -> Synced {
        Synced {
            whole: self.synced.whole,
            end_entry: self.synced.end_entry,
        }
    }

    /// When there is something to do next: at once for what was queued (then it is in the past),
    /// later for a sync or another try. None: when something is queued.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let sync = self.sync_due();
        let write = match (&self.state, self.pending.is_empty()) {
            (DiskState::Lost(_), _) => return None,
            (_, true) => None,
            (_, false) => Some(self.retry_at.unwrap_or(now)),
        };
        [sync, write].into_iter().flatten().min()
    }

    fn sync_due(&self) -> Option<Instant> {
        let since = self.unsynced_since?;
        if self.sync_first || self.unsynced_bytes >= self.options.sync_bytes {
            return Some(since);
        }
        Some(since + self.options.sync_every)
    }

    /// Writes what was queued until it is time to sync, at the latest before a new segment. What fails stays queued, and is tried again
    /// when it is [due](Self::due): see [`state`](Self::state). Whether everything is written.
    pub fn write_out(&mut self, now: Instant) -> bool {
        if matches!(self.state, DiskState::Lost(_)) {
            return false;
        }
        if self.retry_at.is_some_and(|at| now < at) {
            return self.pending.is_empty();
        }
        while let Some(step) = self.pending.steps.front() {
            let is_begin = matches!(step, Step::Begin { .. });
            if self.unsynced_bytes >= self.options.sync_bytes || is_begin && self.is_unsynced() {
                self.sync_first = true;
                return false;
            }
            let done = match step {
                Step::Begin { segment } => self.begin(*segment),
                Step::Seal { segment } => {
                    let segment = *segment;
                    self.sealed(segment);
                    Ok(())
                }
                Step::Adopt { segment, spool } => match self.adopt(*segment, spool) {
                    Ok(()) => Ok(()),
                    Err(NotAdopted::Later(error)) => Err(error),
                    Err(NotAdopted::Never(failure)) => {
                        self.state = DiskState::Lost(failure);
                        return false;
                    }
                },
                Step::Write { .. } => self.write(now),
            };
            match done {
                Ok(()) => self.pending.done(),
                Err(error) => {
                    self.fails(&error, now);
                    return false;
                }
            }
        }
        self.works();
        true
    }

    fn begin(&mut self, number: u64) -> io::Result<()> {
        let file = self.storage.create(&segment_name(number))?;
        self.folder_unsynced = true;
        self.open.push(OpenSegment {
            number,
            file,
            written: 0,
            sealed: false,
        });
        Ok(())
    }

    /// The spool is durable before a record names it: its bytes are, and here its name is made so.
    fn adopt(&self, number: u64, spool: &str) -> Result<(), NotAdopted> {
        let name = spool_name(number);
        match self.storage.rename(spool, &name) {
            Ok(()) => {}
            // It has the name already: the last try came so far.
            Err(error)
                if error.kind() == ErrorKind::NotFound && self.storage.open(&name).is_ok() => {}
            Err(error) => return Err(NotAdopted::Later(error)),
        }
        self.storage
            .sync_folder()
            .map_err(|error| NotAdopted::Never(self.unsynced("", &error)))
    }

    /// Another file has taken the place of a segment's, all of which is durable; that it has is so
    /// with the next sync, and until then either will do.
    pub(super) fn note_renamed(&mut self, number: u64) {
        self.folder_unsynced = true;
        self.open.retain(|open| open.number != number);
    }

    fn sealed(&mut self, number: u64) {
        if let Some(segment) = self.open.iter_mut().find(|one| one.number == number) {
            segment.sealed = true;
        }
    }

    fn write(&mut self, now: Instant) -> io::Result<()> {
        let Some(Step::Write {
            segment,
            offset,
            bytes,
            reached,
        }) = self.pending.steps.front()
        else {
            return Ok(());
        };
        let Some(open) = self.open.iter_mut().find(|one| one.number == *segment) else {
            return Err(io::Error::other("a write to a segment that is not open"));
        };
        // Before the write: some of it may get there even when it fails.
        self.unsynced_since.get_or_insert(now);
        open.file.write_at(bytes, *offset)?;
        open.written = offset + bytes.len() as u64;
        self.unsynced_bytes += bytes.len() as u64;
        self.written = *reached;
        if let Some(known) = self.catalogue.lock().get_mut(*segment) {
            known.written = open.written;
        }
        Ok(())
    }

    const fn is_unsynced(&self) -> bool {
        self.unsynced_since.is_some() || self.folder_unsynced
    }

    /// Whether it is time to [`sync`](Self::sync).
    pub fn is_sync_due(&self, now: Instant) -> bool {
        self.sync_due().is_some_and(|due| due <= now)
    }

    /// Makes durable whatever is written.
    ///
    /// # Errors
    ///
    /// When it may not be durable. That is final: nothing is written or synced any more, and the
    /// same failure comes back. The next start discards what was not confirmed.
    pub fn sync(&mut self) -> Result<Synced, Failure> {
        if let DiskState::Lost(failure) = &self.state {
            return Err(failure.clone());
        }
        if !self.is_unsynced() {
            self.note_synced();
            return Ok(self.synced());
        }
        // Oldest first: what a segment says counts only when those before it are durable too.
        for place in 0..self.open.len() {
            let Some(segment) = self.open.get(place) else {
                break;
            };
            if let Err(error) = segment.file.sync_data() {
                let name = segment_name(segment.number);
                return Err(self.lost(&name, &error));
            }
        }
        if self.folder_unsynced
            && let Err(error) = self.storage.sync_folder()
        {
            return Err(self.lost("", &error));
        }
        self.folder_unsynced = false;
        self.sync_first = false;
        self.unsynced_bytes = 0;
        self.unsynced_since = None;
        self.synced = self.written;
        self.note_synced();
        Ok(self.synced())
    }

    fn note_synced(&mut self) {
        let mut segments = self.catalogue.lock();
        for open in &self.open {
            if let Some(known) = segments.get_mut(open.number) {
                known.synced = open.written;
            }
        }
        self.open.retain(|open| !open.sealed);
    }

    fn lost(&mut self, name: &str, error: &io::Error) -> Failure {
        let failure = self.unsynced(name, error);
        self.state = DiskState::Lost(failure.clone());
        failure
    }

    fn unsynced(&self, name: &str, error: &io::Error) -> Failure {
        // Best effort: the disk that refused the sync may refuse this too. Without the marker the
        // checksums decide at the next start.
        if let Err(error) = marker::set(self.storage.as_ref()) {
            tracing::debug!(%error, "the marker of a failed fsync can't be written");
        }
        let path = self.storage.path().join(name);
        let message = format!(
            "{} can't be made durable: {error}; what was written since {} may be lost, and was not confirmed",
            path.display(),
            self.synced.whole.lsn(),
        );
        Failure::new(StopReason::State, message).hint(
            "check the disk (dmesg | tail), then start again: the slot still has what is not confirmed",
        )
    }

    /// Deletes segments, in this order; each removal is durable before the next, so that what is
    /// left after a crash has no hole. What can't be deleted is tried again with the next call,
    /// which may name none.
    ///
    /// # Errors
    ///
    /// When a file can't be removed, which is no more than a nuisance: the log goes on. When the
    /// folder can't be synced, as for [`sync`](Self::sync); see [`state`](Self::state).
    pub fn delete(&mut self, segments: &[u64]) -> Result<(), Failure> {
        {
            // Readers have to know first: who opens it now would find nothing.
            let mut known = self.catalogue.lock();
            for number in segments.iter().copied() {
                let has_spool = known.get(number).is_some_and(|one| one.spool_bytes > 0);
                self.to_delete.push(Deleted { number, has_spool });
                known.remove(number);
            }
        }
        // All of it is durable, but that it is sealed may not have been noted yet.
        self.open.retain(|open| !segments.contains(&open.number));
        while let Some(Deleted { number, has_spool }) = self.to_delete.first().copied() {
            self.remove(&segment_name(number))?;
            if let Err(error) = self.storage.sync_folder() {
                return Err(self.lost("", &error));
            }
            self.folder_unsynced = false;
            // Behind the sync: a segment without its spool would be damaged, a spool without its
            // segment is removed by the next start.
            if has_spool {
                self.remove(&spool_name(number))?;
            }
            self.to_delete.remove(0);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), Failure> {
        match self.storage.remove(name) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let path = self.storage.path().join(name);
                Err(unusable(&path, "can't be deleted", &error))
            }
            _ => Ok(()),
        }
    }

    fn fails(&mut self, error: &io::Error, now: Instant) {
        self.retry_at = Some(now + RETRY_EVERY);
        let state = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DiskState::Full,
            _ => DiskState::Failing(error.to_string()),
        };
        if self.state == DiskState::Works {
            let failure = unusable(self.storage.path(), "can't be written", error);
            tracing::warn!(
                hint = failure.hint,
                "{failure}; the slot holds what is not safe here until the journal can be written"
            );
        }
        self.state = state;
    }

    fn works(&mut self) {
        self.retry_at = None;
        if self.state != DiskState::Works {
            self.state = DiskState::Works;
            let folder = self.storage.path().display();
            tracing::info!(%folder, "the journal can be written again");
        }
    }
}

/// The name of a segment's file.
pub(super) fn segment_name(number: u64) -> String {
    format!("{number:016x}.segment")
}

/// The number in the name of a segment's file; none for any other file.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".segment")?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (segment_name(number) == name).then_some(number)
}

/// The name of the spool that belongs to a segment.
pub(super) fn spool_name(number: u64) -> String {
    format!("{number:016x}.spool")
}

/// The number of the segment in the name of its spool; none for any other file.
pub(super) fn spool_number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".spool")?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (spool_name(number) == name).then_some(number)
}
