//! The alerts' file in the state directory.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use walgate_slot::guard::Book;

/// 256 alerts take a tenth of it.
const MAX_BYTES: u64 = 1 << 20;

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("alerts.json")
}

/// What an earlier process has kept; an empty book when there is nothing of use.
pub(super) fn load(state_dir: &Path) -> Book {
    let path = path(state_dir);
    let mut bytes = Vec::new();
    let read = File::open(&path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
    let book = match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Book::default(),
        Err(error) => Err(format!("can't be read: {error}")),
        Ok(_) => Book::from_json(&bytes),
    };
    book.unwrap_or_else(|problem| {
        let path = path.display().to_string();
        tracing::warn!(
            path,
            "what was told of alerts is not known, and is told again: the file {problem}"
        );
        Book::default()
    })
}

/// Keeps a book durably in the place of the last one. Blocks.
pub(super) fn save(state_dir: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = path(state_dir);
    let new = path.with_extension("json.new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&new, &path)?;
    File::open(state_dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_again_and_damage_is_no_harm() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(load(folder.path()), Book::default());
        let mut book = Book::default();
        book.done("drop-slot");
        save(folder.path(), &book.to_json()).expect("written");
        assert!(load(folder.path()).is_done("drop-slot"));
        save(folder.path(), b"\xff{").expect("written");
        assert_eq!(load(folder.path()), Book::default());
    }
}
