//! A file of JSON lines.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use walgate_core::Position;

use crate::last_line::{self, Tail};
use crate::{Output, WriterSink};

/// Changes to a file of native JSON lines, fsynced: delivered is what a power cut leaves there.
pub type FileSink = WriterSink<FileOutput>;

/// A file that is only appended to.
///
/// What it holds is told by its last whole line with an id. After an error, what was written since
/// the last successful sync is cut off and written again; a failed fsync says nothing about what is
/// on the disk. While it is open it is locked, so that two processes never write to one file.
#[derive(Debug)]
pub struct FileOutput {
    path: PathBuf,
    file: Option<File>,
    /// Length up to which everything was written by whole lines and fsynced, once opened.
    durable: Option<u64>,
    written: u64,
}

impl FileOutput {
    /// A file at `path`; it is created when it is not there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            file: None,
            durable: None,
            written: 0,
        }
    }

    fn open_at(path: &Path) -> io::Result<(File, bool)> {
        let created = !path.exists();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok((file, created))
    }
}

impl Output for FileOutput {
    fn open(&mut self) -> io::Result<Option<Position>> {
        // The lock goes with the descriptor; a former one of ours must not stand in the way.
        self.file = None;
        let (mut file, created) = Self::open_at(&self.path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another process writes to it; stop it, or name another file",
            ),
            TryLockError::Error(error) => error,
        })?;
        let Tail { len, last } = last_line::find(&mut file)?;
        // Not behind what was synced: lines behind it are unknown after a failed fsync.
        let (len, last) = match self.durable {
            Some(durable) if durable < len => {
                file.set_len(durable)?;
                let tail = last_line::find(&mut file)?;
                (tail.len, tail.last)
            }
            Some(durable) if durable > len => return Err(resized(durable, len)),
            _ => (len, last),
        };
        file.set_len(len)?;
        file.seek(SeekFrom::Start(len))?;
        file.sync_all()?;
        if created {
            let folder = self
                .path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
        }
        self.file = Some(file);
        self.durable = Some(len);
        self.written = len;
        Ok(last)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.file.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        // Behind the end of a file that somebody has cut, a write would leave a hole of zeros.
        let len = file.metadata()?.len();
        if len != self.written {
            return Err(resized(self.written, len));
        }
        file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let file = self.file.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        file.sync_data()?;
        self.durable = Some(self.written);
        Ok(())
    }

    fn name(&self) -> String {
        format!("file {}", self.path.display())
    }
}

/// Somebody else has changed the length of the file.
fn resized(from: u64, to: u64) -> io::Error {
    let how = if to < from { "shrunk" } else { "grown" };
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("somebody else writes to it: it has {how} from {from} to {to} bytes"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(index: u32) -> String {
        let id = Position::new(0, walgate_core::Lsn(0x100), index);
        format!("{{\"id\":\"{id}\",\"op\":\"insert\"}}\n")
    }

    fn position(index: u32) -> Position {
        Position::new(0, walgate_core::Lsn(0x100), index)
    }

    #[test]
    fn finds_what_it_holds_and_cuts_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.ndjson");
        let whole = line(2) + &line(3);
        for cut in 0..line(4).len() {
            std::fs::write(&path, format!("{whole}{}", &line(4)[..cut])).unwrap();
            let mut output = FileOutput::new(&path);
            assert_eq!(output.open().unwrap(), Some(position(3)), "cut at {cut}");
            output.write(line(4).as_bytes()).unwrap();
            output.sync().unwrap();
            assert_eq!(
                std::fs::read_to_string(&path).unwrap(),
                format!("{whole}{}", line(4))
            );
        }
    }

    #[test]
    fn cuts_a_schema_line_that_lost_its_row() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.ndjson");
        std::fs::write(
            &path,
            format!("{}{{\"op\":\"schema\",\"table\":\"t\"}}\n", line(2)),
        )
        .unwrap();
        assert_eq!(FileOutput::new(&path).open().unwrap(), Some(position(2)));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), line(2));
    }

    #[test]
    fn takes_back_what_was_not_synced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.ndjson");
        let mut output = FileOutput::new(&path);
        assert_eq!(output.open().unwrap(), None);
        output.write(line(2).as_bytes()).unwrap();
        output.sync().unwrap();
        output.write(line(3).as_bytes()).unwrap();
        assert_eq!(output.open().unwrap(), Some(position(2)));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), line(2));
    }

    #[test]
    fn never_writes_behind_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.ndjson");
        let mut output = FileOutput::new(&path);
        output.open().unwrap();
        output.write(line(2).as_bytes()).unwrap();
        output.sync().unwrap();
        let other = OpenOptions::new().write(true).open(&path).unwrap();
        other.set_len(10).unwrap();
        let error = output.write(line(3).as_bytes()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 10);
    }

    #[test]
    fn two_never_write_to_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.ndjson");
        let mut first = FileOutput::new(&path);
        first.open().unwrap();
        first.open().unwrap();
        let error = FileOutput::new(&path).open().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        drop(first);
        FileOutput::new(&path).open().unwrap();
    }

    #[test]
    fn refuses_a_file_that_is_not_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notes.txt");
        std::fs::write(&path, "dear diary\n").unwrap();
        let error = FileOutput::new(&path).open().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "dear diary\n");
        let error = FileOutput::new(dir.path()).open().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
    }
}
