//! Dead letters in a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use walgate_core::SinkError;
use walgate_journal::segment::Keyring;

use crate::dead_letter::{DeadLetter, DeadLetters, Writing};
use crate::durable_file::sync_directory;
use crate::sealed_letter::to_line;

/// Dead letters in a file, one JSON object on a line, each on disk before the position moves.
#[derive(Debug)]
pub struct DeadLetterFile {
    path: PathBuf,
    keys: Keyring,
    file: Option<File>,
}

impl DeadLetterFile {
    /// Dead letters in `path`. The file is made with the first letter, and appended to.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            keys: Keyring::default(),
            file: None,
        }
    }

    /// The same, each letter encrypted with these keys, if they are there for that;
    /// [`open_letter`](crate::open_letter) reads them.
    #[must_use]
    pub fn with_keys(mut self, keys: Keyring) -> Self {
        self.keys = keys;
        self
    }
}

impl DeadLetters for DeadLetterFile {
    fn write<'a>(&'a mut self, letter: &'a DeadLetter) -> Writing<'a> {
        Box::pin(async move {
            let path = self.path.clone();
            let file = self.file.take();
            let keys = self.keys.clone();
            let letter_to_write = letter.clone();
            let appended = tokio::task::spawn_blocking(move || {
                let line = to_line(&letter_to_write, &keys).map_err(io::Error::other)?;
                append(file, &path, &line)
            })
            .await;
            let result = appended.unwrap_or_else(|panic| Err(io::Error::other(panic)));
            match result {
                Ok(file) => {
                    self.file = Some(file);
                    Ok(())
                }
                Err(error) => Err(SinkError::transient(format!(
                    "the dead letter {} can't be written to {}: {error}",
                    letter.id,
                    self.path.display()
                ))
                .hint("make room, or make the file writable; nothing moves on until then")),
            }
        })
    }
}

fn append(file: Option<File>, path: &Path, line: &[u8]) -> io::Result<File> {
    let mut file = match file {
        Some(file) => file,
        None => open(path)?,
    };
    file.write_all(line)?;
    file.sync_data()?;
    Ok(file)
}

fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)?;
    sync_directory(path)?;
    // A line that a crash has cut must not swallow the next one.
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use walgate_core::{Lsn, Position};

    use super::*;

    fn letter(index: u32) -> DeadLetter {
        DeadLetter {
            id: Position::new(0, Lsn(0x100), index),
            sink: "kafka".into(),
            op: "insert",
            table: Some("public.orders".into()),
            key: None,
            error: "too large".into(),
            row: None,
            payload_base64: Some("SQ==".into()),
        }
    }

    #[tokio::test]
    async fn letters_are_lines_also_behind_one_that_was_cut() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("dead.ndjson");
        let mut letters = DeadLetterFile::new(&path);
        letters.write(&letter(2)).await.expect("written");
        letters.write(&letter(3)).await.expect("written");
        let bytes = std::fs::read(&path).expect("read");
        std::fs::write(&path, &bytes[..bytes.len() - 20]).expect("cut");
        let mut letters = DeadLetterFile::new(&path);
        letters.write(&letter(4)).await.expect("written");
        let text = std::fs::read_to_string(&path).expect("text");
        let ids: Vec<_> = text
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .map(|line| line["id"].as_str().expect("an id").to_owned())
            .collect();
        assert_eq!(
            ids,
            ["0000000000000100-00000002", "0000000000000100-00000004"]
        );
        assert_eq!(text.lines().count(), 3);
    }

    #[tokio::test]
    async fn letters_are_encrypted_and_read_with_their_key() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("dead.ndjson");
        let keys = Keyring::parse(&"c3".repeat(32)).expect("a key");
        let mut plain = DeadLetterFile::new(&path);
        plain.write(&letter(2)).await.expect("written");
        let mut sealed = DeadLetterFile::new(&path).with_keys(keys.clone());
        sealed.write(&letter(3)).await.expect("written");
        let text = std::fs::read_to_string(&path).expect("text");
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].contains("public.orders"));
        assert!(!lines[1].contains("orders") && !lines[1].contains("SQ=="));
        assert!(lines[1].contains(&letter(3).id.to_string()), "{}", lines[1]);
        for (line, index) in lines.iter().zip([2, 3]) {
            let opened = crate::open_letter(line, &keys).expect("opened");
            assert_eq!(
                opened.into_bytes(),
                letter(index).to_line().trim_ascii_end()
            );
        }
        let locked = crate::open_letter(lines[1], &Keyring::default()).expect_err("locked");
        assert!(locked.to_string().contains(keys.ids()[0]), "{locked}");
        let altered = lines[1].replace("\"sealed\":\"", "\"sealed\":\"AAAA");
        assert!(
            crate::open_letter(&altered, &keys)
                .expect_err("altered")
                .altered
        );
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_written_is_tried_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("missing").join("dead.ndjson");
        let mut letters = DeadLetterFile::new(&path);
        let error = letters.write(&letter(2)).await.expect_err("no directory");
        assert_eq!(error.class, walgate_core::ErrorClass::Transient);
        std::fs::create_dir(directory.path().join("missing")).expect("made");
        letters.write(&letter(2)).await.expect("written");
    }
}
