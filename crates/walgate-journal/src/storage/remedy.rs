//! What to do about a folder that can't be used.

use std::io::{self, ErrorKind};
use std::path::Path;

use walgate_core::{Failure, StopReason};

/// The failure of something in the journal's folder: `path` (a file in it, or the folder itself)
/// `what` ("can't be read"), with the remedy that fits the error.
pub fn unusable(path: &Path, what: &str, error: &io::Error) -> Failure {
    let folder = match path.extension() {
        Some(_) => path.parent().unwrap_or(path),
        None => path,
    }
    .display();
    let hint = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => format!("make room: df {folder}"),
        ErrorKind::ReadOnlyFilesystem => {
            format!("remount the file system writable: findmnt --target {folder}")
        }
        ErrorKind::PermissionDenied => {
            format!("give this process's user the folder: ls -ld {folder}")
        }
        ErrorKind::NotFound => format!("mount or restore the folder: ls -ld {folder}"),
        _ => format!("check the folder and its disk: ls -ld {folder}; dmesg | tail"),
    };
    let message = format!("{} {what}: {error}", path.display());
    Failure::new(StopReason::State, message).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_fits_the_error() {
        let hint = |kind| {
            unusable(Path::new("/j/1.segment"), "can't", &io::Error::from(kind))
                .hint
                .unwrap_or_default()
        };
        assert_eq!(hint(ErrorKind::StorageFull), "make room: df /j");
        assert!(hint(ErrorKind::ReadOnlyFilesystem).contains("remount"));
        assert!(hint(ErrorKind::PermissionDenied).contains("user"));
        assert!(hint(ErrorKind::NotFound).contains("mount"));
        let of_folder = unusable(Path::new("/j"), "can't be read", &io::Error::other("x"));
        assert_eq!(of_folder.message, "/j can't be read: x");
        assert!(of_folder.hint.is_some_and(|hint| hint.contains("-ld /j;")));
    }
}
