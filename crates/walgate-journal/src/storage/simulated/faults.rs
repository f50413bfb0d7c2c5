//! Calls that fail, by script or by chance.

use std::io::{self, ErrorKind};

use fastrand::Rng;

/// A call that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// `Storage::list`.
    List,
    /// `Storage::create`.
    Create,
    /// `Storage::open`.
    Open,
    /// `Storage::rename`.
    Rename,
    /// `Storage::remove`.
    Remove,
    /// `Storage::sync_folder`.
    SyncFolder,
    /// `Storage::space`.
    Space,
    /// `StoredFile::read_at`.
    Read,
    /// `StoredFile::write_at`; any part of the bytes is written when it fails.
    Write,
    /// `StoredFile::sync_data`; what was to be written is dropped when it fails.
    Sync,
    /// `StoredFile::truncate`.
    Truncate,
    /// `StoredFile::len`.
    Len,
}

impl Call {
    /// Whether it needs no name: it works on in a folder that has vanished.
    pub(super) fn is_of_open_file(self) -> bool {
        matches!(
            self,
            Self::Read | Self::Write | Self::Sync | Self::Truncate | Self::Len
        )
    }

    /// Whether a file system that is mounted read-only refuses it.
    pub(super) fn is_change(self) -> bool {
        matches!(
            self,
            Self::Create | Self::Rename | Self::Remove | Self::Write | Self::Truncate
        )
    }
}

/// When a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// The next time.
    Next,
    /// Once, after as many calls that succeed.
    After(u32),
    /// Until it is healed.
    Always,
    /// Until it is healed, once in so many calls, by chance.
    OneIn(u32),
}

/// A call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Which.
    pub call: Call,
    /// With what error.
    pub error: ErrorKind,
    /// When.
    pub when: When,
}

/// What is to fail. When several faults meet one call, the first one strikes.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// The error of this call, if it is to fail.
    pub(super) fn strike(&mut self, call: Call, random: &mut Rng) -> Option<io::Error> {
        let mut struck = None;
        self.0.retain_mut(|fault| {
            if fault.call != call || struck.is_some() {
                return true;
            }
            let (strikes, stays) = match &mut fault.when {
                When::Next | When::After(0) => (true, false),
                When::After(calls) => {
                    *calls -= 1;
                    (false, true)
                }
                When::Always => (true, true),
                When::OneIn(calls) => (random.u32(0..(*calls).max(1)) == 0, true),
            };
            if strikes {
                struck = Some(fault.error);
            }
            stays
        });
        struck.map(|kind| io::Error::new(kind, "simulated"))
    }
}
