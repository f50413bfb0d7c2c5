//! Reading a small text file that may be anything.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The largest configuration file: far more than anybody writes, and nothing that hurts to hold.
pub(super) const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// The largest file of `${file:PATH}`: a certificate chain is a few KiB.
pub(super) const MAX_SECRET_BYTES: u64 = 64 << 10;

/// Reads at most `limit` bytes of UTF-8; a byte order mark in front is taken off.
///
/// # Errors
///
/// What is wrong with the file, as a fragment (`is a folder`), without any of its content.
pub(super) fn read_text(path: &Path, limit: u64) -> Result<String, String> {
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "can't be read: permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "is a folder".to_owned(),
        _ => format!("can't be read: {}", lowercase_first(&error.to_string())),
    };
    let file = File::open(path).map_err(told)?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err("is a folder".to_owned());
    }
    let mut bytes = Vec::new();
    // Not by the length that the file claims: a device claims none, and a file may grow.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(told)?;
    if u64::try_from(bytes.len()).is_ok_and(|read| read > limit) {
        return Err(format!("is larger than {} KiB", limit >> 10));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error
            .as_bytes()
            .iter()
            .take(valid)
            .filter(|byte| **byte == b'\n')
            .count();
        format!("is not UTF-8, from line {line} on")
    })?;
    Ok(match text.strip_prefix('\u{feff}') {
        Some(behind) => behind.to_owned(),
        None => text,
    })
}

fn lowercase_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}
