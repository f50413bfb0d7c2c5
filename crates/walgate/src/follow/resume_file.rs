//! The file that a script goes on from.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use walgate_core::{Failure, Position, StopReason};

/// A file with the last position whose events were written, on one line.
#[derive(Debug)]
pub(super) struct ResumeFile {
    path: PathBuf,
    /// Beside it: a rename replaces the old one whole.
    draft: PathBuf,
    kept: Option<Position>,
}

impl ResumeFile {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    ///
    /// When it can't be read, or holds something else: going on without it would leave events out.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let mut draft = path.as_os_str().to_owned();
        draft.push(".new");
        let kept = match std::fs::read_to_string(path) {
            Ok(text) => {
                let kept = text.trim().parse::<Position>().map_err(|error| {
                    let what = format!(
                        "the resume file {} holds no position: {error}",
                        path.display()
                    );
                    Failure::new(StopReason::State, what).hint(format!(
                        "give it the id of the last event that you have, or start anew: rm {}",
                        path.display()
                    ))
                })?;
                Some(kept)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                let what = format!("can't read the resume file {}: {error}", path.display());
                return Err(Failure::new(StopReason::State, what));
            }
        };
        Ok(Self {
            path: path.to_owned(),
            draft: PathBuf::from(draft),
            kept,
        })
    }

    /// The position that it holds.
    pub(super) const fn kept(&self) -> Option<Position> {
        self.kept
    }

    /// Keeps a position: the old one or the new one is there, whenever we are killed.
    ///
    /// # Errors
    ///
    /// When it can't be written.
    pub(super) fn keep(&mut self, position: Position) -> Result<(), Failure> {
        if self.kept == Some(position) {
            return Ok(());
        }
        self.write(position).map_err(|error| {
            let what = format!(
                "can't write the resume file {}: {error}",
                self.path.display()
            );
            Failure::new(StopReason::State, what)
        })?;
        self.kept = Some(position);
        Ok(())
    }

    fn write(&self, position: Position) -> io::Result<()> {
        let mut draft = std::fs::File::create(&self.draft)?;
        draft.write_all(format!("{position}\n").as_bytes())?;
        // Else a power cut could leave an empty file in its place.
        draft.sync_data()?;
        std::fs::rename(&self.draft, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_kept_and_anything_else_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("orders.pos");
        let mut file = ResumeFile::open(&path).expect("none yet");
        assert_eq!(file.kept(), None);
        let position: Position = "00000000014a2f60-00000003".parse().expect("an id");
        file.keep(position).expect("written");
        file.keep(position).expect("nothing to do");
        let text = std::fs::read_to_string(&path).expect("a file");
        assert_eq!(text, "00000000014a2f60-00000003\n");
        assert_eq!(
            ResumeFile::open(&path).expect("read").kept(),
            Some(position)
        );
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("a folder").count(),
            1
        );
        for text in ["", "yesterday\n"] {
            std::fs::write(&path, text).expect("written");
            let failure = ResumeFile::open(&path).expect_err("no position");
            assert_eq!(failure.reason, StopReason::State);
        }
        let nowhere = folder.path().join("no").join("such");
        let mut file = ResumeFile::open(&nowhere).expect("none yet");
        assert!(file.keep(position).is_err());
    }
}
