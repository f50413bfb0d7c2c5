//! The folder on a real file system.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walgate_core::{Failure, StopReason};

use super::{Space, Storage, StoredFile, unusable};

const LOCK: &str = "lock";

/// The journal holds the rows of every published table: nobody else may read them.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// A folder on a file system.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// The folder itself, for its fsync.
    handle: File,
    /// Held as long as this lives; none when it was opened for reading alone.
    lock: Option<File>,
}

impl Folder {
    /// Takes the folder for this process until it is dropped; it is made when it is not there. The
    /// lock ends with the process, whatever ends it.
    ///
    /// # Errors
    ///
    /// When another process has it, or it can't be used.
    pub fn take(path: impl Into<PathBuf>) -> Result<Self, Failure> {
        let path = path.into();
        make(&path).map_err(|error| unusable(&path, "can't be made", &error))?;
        let lock = lock(&path)?;
        let handle =
            File::open(&path).map_err(|error| unusable(&path, "can't be opened", &error))?;
        Ok(Self {
            path,
            handle,
            lock: Some(lock),
        })
    }

    /// Opens the folder for reading, whoever has it.
    ///
    /// # Errors
    ///
    /// When it is not there or can't be read.
    pub fn read_only(path: impl Into<PathBuf>) -> Result<Self, Failure> {
        let path = path.into();
        let handle = File::open(&path)
            .and_then(|handle| match handle.metadata()?.is_dir() {
                true => Ok(handle),
                false => Err(ErrorKind::NotADirectory.into()),
            })
            .map_err(|error| unusable(&path, "can't be opened", &error))?;
        Ok(Self {
            path,
            handle,
            lock: None,
        })
    }

    /// A folder that was removed under us syncs as before; and where one was mounted, another lies
    /// once it is unmounted, which is empty.
    fn still_there(&self) -> io::Result<()> {
        let place = |metadata: Metadata| (metadata.dev(), metadata.ino());
        if place(std::fs::metadata(&self.path)?) == place(self.handle.metadata()?) {
            return Ok(());
        }
        Err(io::Error::new(
            ErrorKind::NotFound,
            "another folder is in its place",
        ))
    }

    fn writable(&self) -> io::Result<()> {
        match self.lock {
            Some(_) => Ok(()),
            None => Err(io::Error::new(
                ErrorKind::PermissionDenied,
                "the folder is open for reading only",
            )),
        }
    }
}

impl Storage for Folder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.still_there()?;
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                // What is no text is not ours.
                && let Ok(name) = entry.file_name().into_string()
                && name != LOCK
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StoredFile>> {
        self.writable()?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(self.path.join(name))?;
        Ok(Arc::new(FileOnDisk(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StoredFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(self.lock.is_some())
            .open(self.path.join(name))?;
        Ok(Arc::new(FileOnDisk(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.writable()?;
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.writable()?;
        std::fs::remove_file(self.path.join(name))
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.writable()?;
        self.handle.sync_all()?;
        self.still_there()
    }

    fn space(&self) -> io::Result<Space> {
        let stat = rustix::fs::fstatvfs(&self.handle)?;
        Ok(Space {
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
            available: stat.f_bavail.saturating_mul(stat.f_frsize),
        })
    }
}

#[derive(Debug)]
struct FileOnDisk(File);

impl StoredFile for FileOnDisk {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..)
            && !rest.is_empty()
        {
            match self.0.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()?;
        still_named(&self.0)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

/// A file that was removed under us takes writes and syncs as before, but nothing of them is ever
/// found again.
fn still_named(file: &File) -> io::Result<()> {
    if file.metadata()?.nlink() > 0 {
        return Ok(());
    }
    Err(io::Error::new(
        ErrorKind::NotFound,
        "it was removed while it was in use",
    ))
}

/// Makes the folder and those above it, each durable in the one above.
fn make(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.exists())
        .collect();
    for folder in missing.into_iter().rev() {
        match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let above = match folder.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        };
        File::open(above)?.sync_all()?;
    }
    match path.is_dir() {
        true => Ok(()),
        false => Err(ErrorKind::NotADirectory.into()),
    }
}

fn lock(folder: &Path) -> Result<File, Failure> {
    let path = folder.join(LOCK);
    let unusable = |what: &str, error: &io::Error| {
        let mut failure = unusable(folder, what, error);
        failure.message = format!("{} {what}: {error}", path.display());
        failure
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(|error| unusable("can't be opened", &error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(in_use(folder, file)),
        Err(TryLockError::Error(error)) => return Err(unusable("can't be locked", &error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .or_else(|error| match error.kind() {
            // The owner's name is for messages; a full disk must not keep us from what it holds.
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Ok(()),
            _ => Err(unusable("can't be written", &error)),
        })?;
    Ok(file)
}

fn in_use(folder: &Path, mut lock: File) -> Failure {
    let mut owner = String::new();
    // Only for the message; the lock is what counts.
    let owner = match lock.read_to_string(&mut owner) {
        Ok(_) if !owner.trim().is_empty() => format!("process {}", owner.trim()),
        _ => "another process".to_owned(),
    };
    let message = format!(
        "the journal's folder {} is in use by {owner}",
        folder.display()
    );
    Failure::new(StopReason::State, message)
        .hint("stop the other process, or give this one a folder of its own")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path)
            .expect("metadata")
            .permissions()
            .mode()
            & 0o777
    }

    #[test]
    fn a_new_folder_is_made_for_this_user_alone() {
        let above = tempfile::tempdir().expect("a directory");
        let path = above.path().join("a").join("b");
        let folder = Folder::take(&path).expect("taken");
        assert_eq!(folder.list().expect("listed"), Vec::<String>::new());
        folder.create("x").expect("created");
        folder.sync_folder().expect("synced");
        assert_eq!(mode(&above.path().join("a")), 0o700);
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("x")), 0o600);
        assert_eq!(mode(&path.join(LOCK)), 0o600);
    }

    #[test]
    fn a_second_process_is_kept_out_until_the_first_has_ended() {
        let above = tempfile::tempdir().expect("a directory");
        let path = above.path().join("journal");
        let first = Folder::take(&path).expect("taken");
        let failure = Folder::take(&path).expect_err("refused");
        let owner = format!("journal is in use by process {}", std::process::id());
        assert!(failure.message.ends_with(&owner), "{failure}");
        assert_eq!(failure.reason, StopReason::State);
        assert!(failure.hint.is_some());
        drop(first);
        Folder::take(&path).expect("taken");
    }

    #[test]
    fn who_only_reads_needs_no_lock_and_changes_nothing() {
        let above = tempfile::tempdir().expect("a directory");
        let path = above.path().join("journal");
        assert!(Folder::read_only(&path).is_err(), "it is not made");
        let folder = Folder::take(&path).expect("taken");
        folder
            .create("x")
            .expect("created")
            .write_at(b"abc", 0)
            .expect("written");
        let reader = Folder::read_only(&path).expect("opened");
        let mut buffer = [0; 8];
        let file = reader.open("x").expect("opened");
        assert_eq!(file.read_at(&mut buffer, 1).expect("read"), 2);
        assert_eq!(buffer.get(..2), Some(&b"bc"[..]));
        assert!(file.write_at(b"z", 0).is_err());
        for refused in [
            reader.create("y").err(),
            reader.remove("x").err(),
            reader.rename("x", "y").err(),
            reader.sync_folder().err(),
        ] {
            assert_eq!(
                refused.expect("refused").kind(),
                ErrorKind::PermissionDenied
            );
        }
        assert_eq!(reader.list().expect("listed"), ["x"]);
    }

    #[test]
    fn files_are_made_once_renamed_removed_and_listed() {
        let above = tempfile::tempdir().expect("a directory");
        let folder = Folder::take(above.path()).expect("taken");
        std::fs::create_dir(above.path().join("folder")).expect("made");
        for name in ["b", "a"] {
            folder.create(name).expect("created");
        }
        assert_eq!(
            folder.create("a").expect_err("there").kind(),
            ErrorKind::AlreadyExists
        );
        assert_eq!(folder.list().expect("listed"), ["a", "b"]);
        folder.rename("b", "c").expect("renamed");
        folder.remove("a").expect("removed");
        assert_eq!(folder.list().expect("listed"), ["c"]);
        assert_eq!(
            folder.open("a").expect_err("gone").kind(),
            ErrorKind::NotFound
        );
    }

    #[test]
    fn a_file_is_written_behind_its_end_cut_and_read() {
        let above = tempfile::tempdir().expect("a directory");
        let folder = Folder::take(above.path()).expect("taken");
        let file = folder.create("x").expect("created");
        file.write_at(b"abc", 2).expect("written");
        file.sync_data().expect("synced");
        let mut buffer = [9; 8];
        assert_eq!(file.read_at(&mut buffer, 0).expect("read"), 5);
        assert_eq!(&buffer, b"\0\0abc\x09\x09\x09");
        assert_eq!(file.read_at(&mut buffer, 5).expect("read"), 0);
        file.truncate(3).expect("cut");
        assert_eq!(file.len().expect("a length"), 3);
        assert!(!file.is_empty().expect("a length"));
    }

    #[test]
    fn what_is_removed_under_us_is_never_taken_for_durable() {
        let above = tempfile::tempdir().expect("a directory");
        let path = above.path().join("journal");
        let folder = Folder::take(&path).expect("taken");
        let file = folder.create("x").expect("created");
        std::fs::remove_dir_all(&path).expect("removed");
        file.write_at(b"abc", 0).expect("written");
        assert_eq!(
            file.sync_data().expect_err("lost").kind(),
            ErrorKind::NotFound
        );
        assert!(folder.sync_folder().is_err());
        assert!(folder.list().is_err());
        assert!(folder.create("y").is_err());
    }

    #[test]
    fn another_folder_in_its_place_is_not_taken_for_it() {
        let above = tempfile::tempdir().expect("a directory");
        let path = above.path().join("journal");
        let folder = Folder::take(&path).expect("taken");
        folder.create("x").expect("created");
        std::fs::rename(&path, above.path().join("away")).expect("moved");
        std::fs::create_dir(&path).expect("made");
        assert_eq!(folder.list().expect_err("gone").kind(), ErrorKind::NotFound);
        assert!(folder.sync_folder().is_err());
    }

    #[test]
    fn the_file_system_says_how_much_room_it_has() {
        let above = tempfile::tempdir().expect("a directory");
        let space = Folder::take(above.path())
            .expect("taken")
            .space()
            .expect("said");
        assert!(
            space.total > 0 && space.available <= space.total,
            "{space:?}"
        );
    }

    #[test]
    fn what_is_no_folder_is_refused_with_a_remedy() {
        let above = tempfile::tempdir().expect("a directory");
        let path = above.path().join("file");
        std::fs::write(&path, b"").expect("written");
        for failure in [
            Folder::take(&path).expect_err("refused"),
            Folder::read_only(&path).expect_err("refused"),
        ] {
            assert_eq!(failure.reason, StopReason::State);
            assert!(failure.hint.is_some(), "{failure}");
        }
    }
}
