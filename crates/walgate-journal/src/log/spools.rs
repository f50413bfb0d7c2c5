//! The spools of transactions that run: one for each, in memory first, then in a file.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use walgate_core::{
    Failure, Frames, Lsn, Relation, StopReason, Streamed, StreamedFrames, Transaction, Xid,
};

use super::spool::Spool;
use crate::segment::Adoption;
use crate::storage::{Storage, unusable};

/// Behind the number of a spool whose transaction has not committed.
pub(super) const OPEN_SUFFIX: &str = ".spooling";

/// What spools may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolOptions {
    /// Memory of all spools together, in bytes, before the largest goes to disk.
    pub memory_bytes: usize,
    /// What all spools together may take of the disk, in bytes.
    pub disk_bytes: u64,
    /// The part of the file system that stays free, in percent.
    pub keep_free_percent: u8,
}

/// Disk that spools take and no segment has yet. It counts as free for the log: whoever reads the
/// commit or the abort that ends them must not wait for it.
#[derive(Debug, Default)]
pub(crate) struct Unadopted {
    /// Of transactions that run or commit, in bytes.
    open: AtomicU64,
    /// Of those that were handed out and not adopted, in bytes.
    finished: AtomicU64,
}

impl Unadopted {
    /// In bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.open.load(Ordering::Relaxed) + self.finished.load(Ordering::Relaxed)
    }

    /// The log has a segment for it now.
    pub(crate) fn adopted(&self, spool: &FinishedSpool) {
        let bytes = spool.adoption.spool_bytes;
        self.finished.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A finished spool whose bytes are durable; its name is not yet that of a segment's spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedSpool {
    /// The name of its file.
    pub name: String,
    /// The transaction, and where its parts lie.
    pub adoption: Adoption,
}

/// A transaction that has committed.
#[derive(Debug)]
pub enum Committed {
    /// It was small: ordinary runs, from Begin to Commit.
    Runs(Vec<Frames>),
    /// Its changes lie in a spool.
    Spool(Arc<FinishedSpool>),
}

/// What became of news of a transaction.
#[derive(Debug)]
pub enum Taken {
    /// It is kept, or dropped, as was asked.
    Kept,
    /// It has committed: it is to be appended to the log at once.
    Committed(Committed),
    /// There is no room for it: nothing of it is kept. The source has to send it again without
    /// streaming, and void all spools first.
    GivenUp {
        /// The top-level transaction.
        xid: Xid,
        /// Why.
        why: String,
    },
    /// It has committed, and the disk does not take the rest of it: [`Spools::go_on`] tries again.
    Waits(String),
}

/// The spools of all transactions that run. Its methods block.
///
/// Nothing in it survives a restart: what has not committed comes from the slot again.
#[derive(Debug)]
pub struct Spools {
    storage: Arc<dyn Storage>,
    options: SpoolOptions,
    next_number: u64,
    open: HashMap<Xid, Spool>,
    /// A transaction that has committed and is not on disk as a whole yet.
    committing: Option<(Spool, Commit)>,
    unadopted: Arc<Unadopted>,
}

/// A commit as the source announces it.
#[derive(Debug)]
struct Commit {
    transaction: Transaction,
    end_lsn: Lsn,
    epoch: u8,
    frames: u64,
    relations: Vec<Arc<Relation>>,
}

impl Spools {
    /// None yet. `segment`: the number of the segment that the log began with in this run, which
    /// no run before has begun with, so that no number of a spool is ever used twice.
    pub fn new(storage: Arc<dyn Storage>, segment: u64, options: SpoolOptions) -> Self {
        Self::counted(storage, segment, options, Arc::default())
    }

    /// As [`new`](Self::new), and tells what no segment has yet.
    pub(crate) fn counted(
        storage: Arc<dyn Storage>,
        segment: u64,
        options: SpoolOptions,
        unadopted: Arc<Unadopted>,
    ) -> Self {
        Self {
            unadopted,
            storage,
            options,
            next_number: segment << 32 | 1,
            open: HashMap::new(),
            committing: None,
        }
    }

    /// How many transactions are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Memory that they take, in bytes.
    pub fn memory(&self) -> usize {
        self.open.values().map(Spool::memory).sum()
    }

    /// What they take of the disk, in bytes.
    pub fn disk_bytes(&self) -> u64 {
        self.open.values().map(Spool::disk_bytes).sum()
    }

    /// Takes news of a transaction.
    ///
    /// # Errors
    ///
    /// When it contradicts what came before, or a sync fails, which is final.
    pub fn take(&mut self, streamed: Streamed) -> Result<Taken, Failure> {
        let taken = self.heed(streamed);
        self.count();
        taken
    }

    fn heed(&mut self, streamed: Streamed) -> Result<Taken, Failure> {
        match streamed {
            Streamed::Chunk { xid, frames } => Ok(self.chunk(xid, &frames)),
            Streamed::AbortSub { xid, keep, .. } => self.cut(xid, keep),
            Streamed::Abort { xid } => {
                self.discard(xid);
                Ok(Taken::Kept)
            }
            Streamed::Commit {
                transaction,
                end_lsn,
                epoch,
                frames,
                relations,
            } => self.commit(Commit {
                transaction,
                end_lsn,
                epoch,
                frames,
                relations,
            }),
            Streamed::DiscardAll => {
                self.discard_all();
                Ok(Taken::Kept)
            }
        }
    }

    fn count(&self) {
        let committing = self.committing.iter().map(|(spool, _)| spool.disk_bytes());
        let bytes = self.disk_bytes() + committing.sum::<u64>();
        self.unadopted.open.store(bytes, Ordering::Relaxed);
    }

    /// Drops all, committed ones that were handed out aside.
    pub fn discard_all(&mut self) {
        let open = std::mem::take(&mut self.open);
        let committing = self.committing.take().map(|(spool, _)| spool);
        for spool in open.into_values().chain(committing) {
            spool.remove(self.storage.as_ref());
        }
    }

    fn discard(&mut self, xid: Xid) {
        if let Some(spool) = self.open.remove(&xid) {
            spool.remove(self.storage.as_ref());
        }
    }

    fn chunk(&mut self, xid: Xid, frames: &StreamedFrames) -> Taken {
        let number = self.next_number;
        let spool = self.open.entry(xid).or_insert_with(|| {
            self.next_number += 1;
            Spool::new(xid, number)
        });
        if let Err(what) = spool.push(frames) {
            return self.give_up(xid, what.to_owned());
        }
        while self.memory() > self.options.memory_bytes {
            let largest = self.open.values_mut().max_by_key(|spool| spool.memory());
            let Some(largest) = largest.filter(|spool| spool.memory() > 0) else {
                break;
            };
            let xid = largest.xid();
            if let Err(why) = self.spill(xid) {
                return self.give_up(xid, why);
            }
        }
        Taken::Kept
    }

    /// Writes what a spool has in memory.
    fn spill(&mut self, xid: Xid) -> Result<(), String> {
        let more = self.open.get(&xid).map_or(0, Spool::memory) as u64;
        let limit = self.options.disk_bytes;
        if self.disk_bytes() + more > limit {
            return Err(format!(
                "spools of transactions that run may take {limit} bytes of the disk, and would take more"
            ));
        }
        let percent = self.options.keep_free_percent;
        if let Ok(space) = self.storage.space() {
            let keep = space.total / 100 * u64::from(percent.min(100));
            if space.available < keep.saturating_add(more) {
                return Err(format!(
                    "{percent} % of the file system stay free, and its spool would take them"
                ));
            }
        }
        let storage = Arc::clone(&self.storage);
        let Some(spool) = self.open.get_mut(&xid) else {
            return Ok(());
        };
        spool
            .write(storage.as_ref())
            .map_err(|error| format!("its spool can't be written: {error}"))
    }

    fn cut(&mut self, xid: Xid, keep: u64) -> Result<Taken, Failure> {
        let Some(spool) = self.open.get_mut(&xid) else {
            return Err(contradiction(
                xid,
                "is rolled back in part, and is not there",
            ));
        };
        match spool.cut(keep) {
            Ok(true) => Ok(Taken::Kept),
            Ok(false) => Err(contradiction(
                xid,
                "is rolled back to a place that it has not reached",
            )),
            Err(error) => Ok(self.give_up(xid, format!("its spool can't be cut: {error}"))),
        }
    }

    fn give_up(&mut self, xid: Xid, why: String) -> Taken {
        self.discard(xid);
        Taken::GivenUp { xid, why }
    }

    fn commit(&mut self, commit: Commit) -> Result<Taken, Failure> {
        let xid = commit.transaction.xid;
        let Some(spool) = self.open.remove(&xid) else {
            return Err(contradiction(xid, "commits, and is not there"));
        };
        if spool.frames() != commit.frames || commit.frames == 0 {
            let (has, says) = (spool.frames(), commit.frames);
            spool.remove(self.storage.as_ref());
            return Err(contradiction(
                xid,
                &format!("commits with {says} changes, of which {has} came"),
            ));
        }
        self.committing = Some((spool, commit));
        self.write_rest()
    }

    /// Tries again to write the rest of a transaction that has committed.
    ///
    /// # Errors
    ///
    /// When a sync fails, which is final.
    pub fn go_on(&mut self) -> Result<Taken, Failure> {
        let taken = self.write_rest();
        self.count();
        taken
    }

    fn write_rest(&mut self) -> Result<Taken, Failure> {
        let Some((mut spool, commit)) = self.committing.take() else {
            return Ok(Taken::Kept);
        };
        let xid = commit.transaction.xid;
        let mut adoption = Adoption {
            epoch: commit.epoch,
            transaction: commit.transaction,
            end_lsn: commit.end_lsn,
            spool: spool.number(),
            spool_bytes: 0,
            frames: commit.frames,
            last_index: spool.next_index().saturating_sub(1),
            relations: commit.relations.clone(),
            parts: Vec::new(),
        };
        if spool.is_in_memory() {
            let runs = spool.runs(&adoption);
            return match runs {
                Some(runs) => Ok(Taken::Committed(Committed::Runs(runs))),
                None => Err(contradiction(xid, "has changes of unknown relations")),
            };
        }
        if let Err(error) = spool.write(self.storage.as_ref()) {
            let failure = unusable(self.storage.path(), "can't be written", &error);
            self.committing = Some((spool, commit));
            return Ok(Taken::Waits(failure.to_string()));
        }
        if let Err(error) = spool.sync() {
            return Err(self.lost(&spool.name(), &error));
        }
        adoption.spool_bytes = spool.disk_bytes();
        adoption.parts = spool.places();
        let finished = &self.unadopted.finished;
        finished.fetch_add(adoption.spool_bytes, Ordering::Relaxed);
        let finished = FinishedSpool {
            name: spool.name(),
            adoption,
        };
        Ok(Taken::Committed(Committed::Spool(Arc::new(finished))))
    }

    fn lost(&self, name: &str, error: &io::Error) -> Failure {
        let path = self.storage.path().join(name);
        unusable(&path, "can't be made durable", error)
    }
}

impl Drop for Spools {
    fn drop(&mut self) {
        // Best effort: the next start removes what is left.
        self.discard_all();
    }
}

/// Removes a file that may not be there; what can't be removed is removed by the next start.
pub(super) fn remove(storage: &dyn Storage, name: &str) {
    match storage.remove(name) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            tracing::debug!(name, %error, "a spool can't be deleted");
        }
        _ => {}
    }
}

fn contradiction(xid: Xid, what: &str) -> Failure {
    let message = format!("the streamed transaction {xid} {what}: this is a bug");
    Failure::new(StopReason::Data, message)
}
