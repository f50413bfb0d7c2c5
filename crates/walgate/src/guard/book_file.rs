//! The alerts' file in the state directory.

use std::io;
use std::path::Path;

use walgate_slot::guard::Book;

use crate::state_file::StateFile;

/// 256 alerts take a tenth of it.
const FILE: StateFile = StateFile {
    name: "alerts.json",
    max_bytes: 1 << 20,
};

/// What an earlier process has kept; an empty book when there is nothing of use.
pub(super) fn load(state_dir: &Path) -> Book {
    let book = match FILE.read(state_dir) {
        Ok(None) => return Book::default(),
        Err(error) => Err(format!("can't be read: {error}")),
        Ok(Some(bytes)) => Book::from_json(&bytes),
    };
    book.unwrap_or_else(|problem| {
        let path = FILE.path(state_dir).display().to_string();
        tracing::warn!(
            path,
            "what was told of alerts is not known, and is told again: the file {problem}"
        );
        Book::default()
    })
}

/// Keeps a book durably in the place of the last one. Blocks.
pub(super) fn save(state_dir: &Path, bytes: &[u8]) -> io::Result<()> {
    FILE.write(state_dir, bytes)
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
