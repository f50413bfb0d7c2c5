//! The rewinds that are not over, in the state directory.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use walgate_core::{Failure, Position, StopReason};

use crate::durable_file::{replace, sync_directory};
use crate::rewind::Rewind;

const REWINDS: &str = "rewinds";
const TEMPORARY: &str = "rewinds.new";

/// The version of the file's form.
const VERSION: u32 = 1;

/// What is kept of each sink's rewind until it is over, so that a crash in its midst ends nothing.
#[derive(Debug)]
pub(crate) struct RewindFile {
    directory: PathBuf,
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    v: u32,
    rewinds: BTreeMap<String, Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    id: String,
    from: String,
}

impl RewindFile {
    /// Reads what an earlier run has left in a directory that is this process's.
    pub(crate) fn open(directory: &Path) -> Result<(Self, BTreeMap<String, Rewind>), Failure> {
        let file = Self {
            directory: directory.to_owned(),
        };
        let path = file.path();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok((file, BTreeMap::new()));
            }
            Err(error) => return Err(file.unusable("can't be read", &error)),
        };
        let rewinds = decode(&bytes).map_err(|what| {
            let message = format!("{} {what}", path.display());
            Failure::new(StopReason::State, message).hint(format!(
                "give the rewinds up that are in it: rm {}",
                path.display()
            ))
        })?;
        Ok((file, rewinds))
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.join(REWINDS)
    }

    /// Keeps these durably; without any there is no file. Blocks.
    pub(crate) fn save(&self, rewinds: &BTreeMap<String, Rewind>) -> Result<(), Failure> {
        let path = self.path();
        let saved = if rewinds.is_empty() {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                _ => sync_directory(&path),
            }
        } else {
            replace(&path, &self.directory.join(TEMPORARY), &encode(rewinds))
        };
        saved.map_err(|error| self.unusable("can't be written", &error))
    }

    fn unusable(&self, what: &str, error: &std::io::Error) -> Failure {
        let message = format!("{} {what}: {error}", self.path().display());
        Failure::new(StopReason::State, message)
            .hint("give walgate's user the right to write there, and the file system some space")
    }
}

fn encode(rewinds: &BTreeMap<String, Rewind>) -> Vec<u8> {
    let entry = |(sink, rewind): (&String, &Rewind)| {
        let entry = Entry {
            id: rewind.id.clone(),
            from: rewind.from.to_string(),
        };
        (sink.clone(), entry)
    };
    let document = Document {
        v: VERSION,
        rewinds: rewinds.iter().map(entry).collect(),
    };
    // Maps of texts have no reason to fail.
    let mut bytes = serde_json::to_vec(&document).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

fn decode(bytes: &[u8]) -> Result<BTreeMap<String, Rewind>, String> {
    let document: Document =
        serde_json::from_slice(bytes).map_err(|error| format!("is damaged: {error}"))?;
    if document.v != VERSION {
        return Err(format!("has version {}, not {VERSION}", document.v));
    }
    let rewind = |(sink, entry): (String, Entry)| {
        let from = entry.from.parse::<Position>();
        let from = from.map_err(|error| format!("is damaged: {error}"))?;
        Ok((sink, Rewind { id: entry.id, from }))
    };
    document.rewinds.into_iter().map(rewind).collect()
}

#[cfg(test)]
mod tests {
    use walgate_core::Lsn;

    use super::*;

    fn rewinds() -> BTreeMap<String, Rewind> {
        let from = Position::new(1, Lsn(0x14A_2F60), 0);
        let id = "20261121T193000Z-3f2a".to_owned();
        std::iter::once(("kafka".to_owned(), Rewind { id, from })).collect()
    }

    #[test]
    fn what_is_kept_is_read_and_nothing_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let (file, found) = RewindFile::open(folder.path()).unwrap();
        assert!(found.is_empty());
        file.save(&rewinds()).unwrap();
        assert_eq!(RewindFile::open(folder.path()).unwrap().1, rewinds());
        file.save(&BTreeMap::new()).unwrap();
        assert!(!file.path().exists());
        file.save(&BTreeMap::new()).unwrap();
        assert!(RewindFile::open(folder.path()).unwrap().1.is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(REWINDS);
        for text in [
            "",
            "{",
            r#"{"v":2,"rewinds":{}}"#,
            r#"{"v":1,"rewinds":{"a":{"id":"x","from":"soon"}}}"#,
        ] {
            std::fs::write(&path, text).unwrap();
            let failure = RewindFile::open(folder.path()).expect_err(text);
            assert_eq!(failure.reason, StopReason::State);
            let hint = failure.hint.unwrap_or_default();
            assert!(hint.ends_with(&format!("rm {}", path.display())), "{hint}");
        }
    }
}
