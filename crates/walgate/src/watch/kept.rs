//! The history's file in the state directory.

use std::io;
use std::path::Path;
use std::time::{Instant, SystemTime};

use walgate_slot::History;

use crate::state_file::StateFile;

/// A history of 256 slots takes 400 KiB.
const FILE: StateFile = StateFile {
    name: "history.json",
    max_bytes: 4 << 20,
};

/// What another process has kept; none when there is nothing of use. It is only read, also where the
/// directory is another process's.
pub(super) fn load(state_dir: &Path) -> Option<History> {
    let path = FILE.path(state_dir);
    let bytes = match FILE.read(state_dir) {
        Ok(bytes) => bytes?,
        Err(error) => {
            tracing::info!(path = %path.display(), "the history of the log is not read: {error}");
            return None;
        }
    };
    match History::from_kept(&bytes, Instant::now(), SystemTime::now()) {
        Ok(history) => Some(history),
        Err(error) => {
            tracing::info!(path = %path.display(), "the history of the log begins anew: {error}");
            None
        }
    }
}

/// Puts `bytes` in the place of what is there. A crash leaves the old or the new.
pub(super) fn save(state_dir: &Path, bytes: &[u8]) -> io::Result<()> {
    FILE.write(state_dir, bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use walgate_slot::Observation;

    use super::*;

    #[test]
    fn it_is_read_again_and_damage_is_no_harm() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(load(folder.path()).is_none());
        let mut history = History::new();
        let mut seen = Observation::default();
        seen.wal_lsn = "1/0".parse().ok();
        let now = Instant::now();
        history.record(now, &seen, Some(5));
        seen.wal_lsn = "1/FF".parse().ok();
        history.record(now + Duration::from_millis(1), &seen, Some(5));
        let bytes = history.to_kept(Instant::now(), SystemTime::now());
        save(folder.path(), &bytes).expect("written");
        let again = load(folder.path()).expect("a history");
        assert_eq!(again.system_id(), Some(5));
        save(folder.path(), &bytes[..bytes.len() / 2]).expect("written");
        assert!(load(folder.path()).is_none());
        save(folder.path(), b"\xff\x00").expect("written");
        assert!(load(folder.path()).is_none());
    }
}
