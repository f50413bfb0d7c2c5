//! A folder with the master keys of its files.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Space, Storage, StoredFile};
use crate::segment::Keyring;

/// A folder with the master keys of its files: what is written in it is encrypted, if the keys are
/// there for that, and what is read in it can be opened.
#[derive(Debug)]
pub struct Keyed {
    folder: Arc<dyn Storage>,
    keys: Keyring,
}

impl Keyed {
    /// The folder with these keys.
    pub fn new(folder: Arc<dyn Storage>, keys: Keyring) -> Self {
        Self { folder, keys }
    }
}

impl Storage for Keyed {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.folder.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StoredFile>> {
        self.folder.create(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StoredFile>> {
        self.folder.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.folder.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.folder.sync_folder()
    }

    fn space(&self) -> io::Result<Space> {
        self.folder.space()
    }

    fn keys(&self) -> Keyring {
        self.keys.clone()
    }
}
