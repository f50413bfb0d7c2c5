//! Dead letters that are encrypted, one by one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use walgate_journal::segment::{EncodeError, Keyring, Locked, SealedText};

use crate::dead_letter::DeadLetter;

/// What a letter is bound to, so that nothing else that is encrypted with the same keys passes for
/// one.
const CONTEXT: &[u8] = b"walgate dead letter";

/// A line of a file of dead letters that is encrypted.
#[derive(Debug, Serialize, Deserialize)]
struct SealedLetter {
    id: String,
    sink: String,
    /// The name of the key.
    key: String,
    /// The whole letter.
    sealed: String,
}

/// The letter on one line, with its line feed, encrypted where the keys are there to encrypt. Its id
/// and the sink's name stay readable.
pub(crate) fn to_line(letter: &DeadLetter, keys: &Keyring) -> Result<Vec<u8>, EncodeError> {
    let plain = letter.to_line();
    let Some(sealed) = keys.seal_text(CONTEXT, &plain)? else {
        return Ok(plain);
    };
    let sealed = SealedLetter {
        id: letter.id.to_string(),
        sink: letter.sink.clone(),
        key: sealed.key,
        sealed: STANDARD.encode(sealed.bytes),
    };
    // Strings: this can't fail.
    let mut line = serde_json::to_vec(&sealed).unwrap_or_default();
    line.push(b'\n');
    Ok(line)
}

/// A line of a file of dead letters as it was before it was encrypted, without its line feed. A line
/// that is not encrypted is given back as it is.
///
/// # Errors
///
/// When its key is not there, or it was altered.
pub fn open_letter(line: &str, keys: &Keyring) -> Result<String, Locked> {
    let Ok(letter) = serde_json::from_str::<SealedLetter>(line) else {
        return Ok(line.to_owned());
    };
    let altered = |key: &str| Locked {
        offset: 0,
        key: key.to_owned(),
        given: Vec::new(),
        altered: true,
    };
    let bytes = STANDARD
        .decode(&letter.sealed)
        .map_err(|_| altered(&letter.key))?;
    let key = letter.key;
    let sealed = SealedText { key, bytes };
    let text = keys.open_text(CONTEXT, &sealed)?;
    let text = String::from_utf8(text).map_err(|_| altered(&sealed.key))?;
    Ok(text.trim_end_matches('\n').to_owned())
}
