//! Where the journal's files lie: one folder, seen through a trait, so that tests can put a disk
//! underneath that fails in every way in which disks do.
//!
//! Everything here blocks, and nothing is durable unless it says so: bytes after
//! [`StoredFile::sync_data`], names (made, renamed, removed) after [`Storage::sync_folder`].

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::segment::Keyring;

mod folder;
mod keyed;
mod remedy;
#[cfg(feature = "simulated-disk")]
mod simulated;

pub use folder::Folder;
pub use keyed::Keyed;
pub use remedy::unusable;
#[cfg(feature = "simulated-disk")]
pub use simulated::{Call, Fault, SimulatedDisk, When};

/// A folder of files without folders inside. Names are plain file names.
pub trait Storage: Debug + Send + Sync + 'static {
    /// Where it is: for messages.
    fn path(&self) -> &Path;

    /// The names of all files, sorted, without the lock.
    ///
    /// # Errors
    ///
    /// When the folder can't be read; it may have vanished.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes an empty file and opens it for reading and writing. Its name is durable only after
    /// [`sync_folder`](Self::sync_folder).
    ///
    /// # Errors
    ///
    /// When the name exists (`AlreadyExists`) or nothing can be made here.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StoredFile>>;

    /// Opens a file for reading and writing; for reading alone when the folder was opened so.
    ///
    /// # Errors
    ///
    /// When it is not there (`NotFound`) or can't be opened.
    fn open(&self, name: &str) -> io::Result<Arc<dyn StoredFile>>;

    /// Gives a file another name, in place of the file that has it. Files that are open stay what
    /// they are. Durable after [`sync_folder`](Self::sync_folder); before that a crash leaves
    /// either the old name or the new.
    ///
    /// # Errors
    ///
    /// When it is not there or can't be renamed.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. Whoever has it open can read on; its space is free when the last has closed
    /// it. Durable after [`sync_folder`](Self::sync_folder).
    ///
    /// # Errors
    ///
    /// When it is not there or can't be removed.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes every name that was made, changed or removed before durable.
    ///
    /// # Errors
    ///
    /// When any of them may not be durable. As for [`StoredFile::sync_data`], another try that
    /// succeeds does not prove otherwise.
    fn sync_folder(&self) -> io::Result<()>;

    /// The space of the file system that it lies on.
    ///
    /// # Errors
    ///
    /// When the file system does not say.
    fn space(&self) -> io::Result<Space>;

    /// The master keys of its files; none unless they are [given](Keyed).
    fn keys(&self) -> Keyring {
        Keyring::default()
    }
}

/// One open file. Dropping the last handle closes it.
pub trait StoredFile: Debug + Send + Sync {
    /// Reads into `buffer` at `offset`, and returns how many bytes it got: fewer than asked for
    /// only at the end of the file, 0 behind it.
    ///
    /// # Errors
    ///
    /// When the bytes can't be read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all bytes at `offset`, behind the end too (what lies between is zeros).
    ///
    /// # Errors
    ///
    /// When they can't all be written. Any part of them may then be: write them again at the same
    /// place, or truncate.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes all bytes and the length durable.
    ///
    /// # Errors
    ///
    /// When any byte may not be durable, or the file has no name any more. The bytes must then be
    /// taken for lost *for good*: Linux drops what it could not write and reports success the next
    /// time.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file behind `len` bytes, or fills it up to there with zeros.
    ///
    /// # Errors
    ///
    /// When the length stays as it was.
    fn truncate(&self, len: u64) -> io::Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    ///
    /// When the file system does not say.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    ///
    /// # Errors
    ///
    /// As for [`len`](Self::len).
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// The space of a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What a process without privileges may still use.
    pub available: u64,
}
