//! A transaction whose changes lie in a spool, read part by part.

use std::io::ErrorKind;
use std::sync::Arc;

use bytes::Bytes;
use walgate_core::Failure;

use super::chunk::{Item, LogEntry, Target};
use super::files::spool_name;
use super::records;
use crate::segment::{
    Damage, Reference, SPOOL_HEADER_BYTES, SegmentLock, SpoolPart, Unreadable, read_lock,
};
use crate::storage::{Storage, StoredFile, unusable};

const MISSING: &str = "a reference to a spool that is missing";
const SHORTER: &str = "a reference to a spool that is shorter than it was";

/// The way through one spool.
#[derive(Debug)]
pub(super) struct Spooled {
    reference: Box<Reference>,
    file: Arc<dyn StoredFile>,
    lock: SegmentLock,
    segment: u64,
    /// The entry to read next, counted from the transaction's Begin.
    next: u64,
}

/// What comes next in a spool.
#[derive(Debug)]
pub(super) enum Spool {
    /// An entry, and the bytes that were read for it.
    Entry(LogEntry, usize),
    /// The transaction is whole.
    End,
    /// It can't be read.
    Damaged(Damage),
}

/// What became of opening a spool.
pub(super) enum OpenedSpool {
    Open(Box<Spooled>),
    Missing,
}

impl Spooled {
    /// Opens the spool of a segment, at the first entry that is not left out.
    pub(super) fn open(
        storage: &dyn Storage,
        segment: u64,
        reference: Box<Reference>,
        leave_out: Option<Target>,
    ) -> Result<OpenedSpool, Failure> {
        let name = spool_name(segment);
        let file = match storage.open(&name) {
            Ok(file) => file,
            // The whole folder may be gone for a while, which is no damage.
            Err(error) if error.kind() == ErrorKind::NotFound && storage.list().is_ok() => {
                return Ok(OpenedSpool::Missing);
            }
            Err(error) => {
                let path = storage.path().join(&name);
                return Err(unusable(&path, "can't be read", &error));
            }
        };
        let first = records::read(file.as_ref(), 0, SPOOL_HEADER_BYTES).map_err(|error| {
            let path = storage.path().join(&name);
            unusable(&path, "can't be read", &error)
        })?;
        let lock = read_lock(reference.adoption.spool, &first, &storage.keys())
            .map_err(|error| refused(storage, segment, &error))?;
        let mut spooled = Self {
            reference,
            file,
            lock,
            segment,
            next: 0,
        };
        while let Some(target) = leave_out
            && spooled.next < spooled.reference.adoption.entries()
            && spooled.is_behind(target)
        {
            spooled.next += 1;
        }
        Ok(OpenedSpool::Open(Box::new(spooled)))
    }

    fn is_behind(&self, target: Target) -> bool {
        let last = self.reference.adoption.last_of(self.next);
        target.is_behind(self.number(), last)
    }

    pub(super) const fn segment(&self) -> u64 {
        self.segment
    }

    /// The number of the entry that it reads next.
    pub(super) const fn number(&self) -> u64 {
        self.reference.entry + self.next
    }

    /// Reads the next entry.
    pub(super) fn next(&mut self, storage: &dyn Storage) -> Result<Spool, Failure> {
        let adoption = &self.reference.adoption;
        let end = adoption.entries();
        if self.next >= end {
            return Ok(Spool::End);
        }
        let part = self.next.checked_sub(1).and_then(|place| {
            let place = usize::try_from(place).ok()?;
            adoption.parts.get(place)
        });
        let (frames, bytes) = match (self.next, part) {
            (0, _) => (adoption.begin(), 0),
            (_, None) => (adoption.commit(), 0),
            (_, Some(part)) => {
                let bytes = read(storage, self.segment, self.file.as_ref(), part)?;
                match adoption.read(&self.lock, part, &bytes) {
                    Ok(frames) => (frames, bytes.len()),
                    Err(Unreadable::Damage(damage)) => return Ok(Spool::Damaged(damage)),
                    Err(error) => return Err(refused(storage, self.segment, &error)),
                }
            }
        };
        let entry = LogEntry {
            number: self.number(),
            last: adoption.last_of(self.next),
            item: Item::Frames(frames),
        };
        self.next += 1;
        Ok(Spool::Entry(entry, bytes))
    }
}

fn read(
    storage: &dyn Storage,
    segment: u64,
    file: &dyn StoredFile,
    part: &SpoolPart,
) -> Result<Bytes, Failure> {
    records::read(file, part.offset, part.len as usize).map_err(|error| {
        let path = storage.path().join(spool_name(segment));
        unusable(&path, "can't be read", &error)
    })
}

fn refused(storage: &dyn Storage, segment: u64, error: &Unreadable) -> Failure {
    let path = storage.path().join(spool_name(segment));
    let message = format!("{} can't be read: {error}", path.display());
    Failure::new(walgate_core::StopReason::State, message)
        .hint("run the version that wrote it, or a later one, with its keys; nothing was changed")
}

/// What a look at the spool of a segment has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Looked {
    /// It is there, and what was read of it is sound.
    Sound,
    /// Something is wrong with it.
    Damaged(Damage),
    /// It is there, and the key is missing that it is encrypted with.
    Locked,
}

/// How much of a spool is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// That it is there, and is long enough.
    File,
    /// Each part; without its key that fails.
    Whole,
    /// Each part, where the key is there.
    Known,
}

/// Looks at the spool of a segment. Of a folder that is another's, both may be deleted meanwhile,
/// the segment first; that is no damage.
pub(super) fn check(
    storage: &dyn Storage,
    segment: u64,
    reference: &Reference,
    depth: Depth,
) -> Result<Looked, Failure> {
    let damage = |what| Ok(Looked::Damaged(Damage { offset: 0, what }));
    let opened = Spooled::open(storage, segment, Box::new(reference.clone()), None)?;
    let OpenedSpool::Open(mut spooled) = opened else {
        return Ok(is_missing(storage, segment));
    };
    let len = spooled.file.len().map_err(|error| {
        let path = storage.path().join(spool_name(segment));
        unusable(&path, "can't be read", &error)
    })?;
    if len < reference.adoption.spool_bytes {
        return damage(SHORTER);
    }
    match depth {
        Depth::File => return Ok(Looked::Sound),
        Depth::Known if spooled.lock.is_shut() => return Ok(Looked::Locked),
        Depth::Known | Depth::Whole => {}
    }
    loop {
        match spooled.next(storage)? {
            Spool::Entry(..) => {}
            Spool::End => return Ok(Looked::Sound),
            Spool::Damaged(found) => return Ok(Looked::Damaged(found)),
        }
    }
}

/// The same where not even the reference can be read without its key.
pub(super) fn check_locked(storage: &dyn Storage, segment: u64) -> Result<Looked, Failure> {
    let name = spool_name(segment);
    match storage.open(&name) {
        Ok(_) => Ok(Looked::Locked),
        Err(error) if error.kind() == ErrorKind::NotFound && storage.list().is_ok() => {
            Ok(is_missing(storage, segment))
        }
        Err(error) => {
            let path = storage.path().join(&name);
            Err(unusable(&path, "can't be read", &error))
        }
    }
}

/// The spool of a segment is not there.
fn is_missing(storage: &dyn Storage, segment: u64) -> Looked {
    match records::is_deleted(storage, segment) {
        true => Looked::Sound,
        false => Looked::Damaged(missing()),
    }
}

/// A spool that is not there, as damage of its segment.
pub(super) const fn missing() -> Damage {
    Damage {
        offset: 0,
        what: MISSING,
    }
}
