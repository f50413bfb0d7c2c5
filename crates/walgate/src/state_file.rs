//! Small files in the state directory that are whole or not there, apart from the checkpoint.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use walgate_pipeline::durable_file::replace;

/// A file of the state directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StateFile {
    /// Its name there.
    pub(crate) name: &'static str,
    /// What is behind so many bytes is not read.
    pub(crate) max_bytes: u64,
}

impl StateFile {
    /// Where it lies.
    pub(crate) fn path(self, state_dir: &Path) -> PathBuf {
        state_dir.join(self.name)
    }

    /// What it holds; none when there is none. Blocks.
    pub(crate) fn read(self, state_dir: &Path) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let read = File::open(self.path(state_dir))
            .and_then(|file| file.take(self.max_bytes).read_to_end(&mut bytes));
        match read {
            Ok(_) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts `bytes` durably in the place of what it holds. Blocks.
    pub(crate) fn write(self, state_dir: &Path, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(state_dir);
        replace(&path, &path.with_extension("json.new"), bytes)
    }
}
