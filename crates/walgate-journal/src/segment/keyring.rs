//! Master keys: what wraps the keys of segments.

use std::fmt;
use std::sync::Arc;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::cipher::{Cipher, TAG_BYTES};
use super::error::EncodeError;

/// Bytes of a master key and of a segment's key: AES-256.
pub(super) const KEY_BYTES: usize = 32;

/// A segment's key as it lies in the header: its nonce, the encrypted key, the tag.
pub(super) const WRAPPED_BYTES: usize = NONCE_LEN + KEY_BYTES + TAG_BYTES;

/// Digits of a key's name: two keys of one ring have the same once in 2^47 rings.
const ID_BYTES: usize = 6;

/// What a key's name is the digest of, before the key: no other digest of the key is ever the same.
const ID_CONTEXT: &[u8] = b"walgate master key\0";

/// The master keys of a journal: the last one wraps the keys of new segments, each of them opens
/// the segments that it has wrapped. `Debug` shows their names alone.
///
/// A key's name is made from the key, so that a wrong key can't have the right name.
#[derive(Clone, Default)]
pub struct Keyring(Option<Arc<Masters>>);

struct Masters {
    keys: Vec<Master>,
    encrypts: bool,
}

struct Master {
    id: String,
    key: LessSafeKey,
}

/// Why a text holds no keys. It never quotes the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// There is nothing in it.
    #[error("no key in it")]
    Empty,
    /// A line is no key.
    #[error("line {line} is no key: 32 bytes are 64 hexadecimal digits or 44 characters of base64")]
    NotAKey {
        /// The number of the line, from 1.
        line: usize,
    },
}

impl Keyring {
    /// Reads keys from a text: one on each line, 32 bytes in hexadecimal or base64; empty lines and
    /// those that begin with `#` are left out. The last key is the newest, which wraps.
    ///
    /// # Errors
    /// When a line is something else, or there is no key.
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        let mut keys = Vec::new();
        for (place, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = decode_key(line).ok_or(KeyringError::NotAKey { line: place + 1 })?;
            keys.push(Master::new(&key));
        }
        if keys.is_empty() {
            return Err(KeyringError::Empty);
        }
        let encrypts = true;
        Ok(Self(Some(Arc::new(Masters { keys, encrypts }))))
    }

    /// The same keys, only to open what was encrypted with them: new segments are not encrypted.
    #[must_use]
    pub fn opens_only(self) -> Self {
        Self(self.0.map(|masters| {
            Arc::new(Masters {
                keys: masters.keys.iter().map(Master::again).collect(),
                encrypts: false,
            })
        }))
    }

    /// The names of the keys, the newest last.
    pub fn ids(&self) -> Vec<&str> {
        let masters = self.0.as_ref();
        masters.map_or_else(Vec::new, |masters| {
            masters.keys.iter().map(|key| key.id.as_str()).collect()
        })
    }

    /// Whether new segments are encrypted.
    pub fn encrypts(&self) -> bool {
        self.0.as_ref().is_some_and(|masters| masters.encrypts)
    }

    /// A key for one file; none when files are not encrypted.
    pub(super) fn new_key(&self) -> Result<Option<NewKey<'_>>, EncodeError> {
        let Some(masters) = self.0.as_ref().filter(|masters| masters.encrypts) else {
            return Ok(None);
        };
        let Some(master) = masters.keys.last() else {
            return Ok(None);
        };
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        let mut nonce = [0; NONCE_LEN];
        let random = SystemRandom::new();
        random
            .fill(key.as_mut())
            .and_then(|()| random.fill(&mut nonce))
            .map_err(|_| EncodeError::NoRandomness)?;
        let cipher = Arc::new(Cipher::new(&key));
        Ok(Some(NewKey {
            master,
            cipher,
            key,
            nonce,
        }))
    }

    /// Opens a wrapped key. `aad`: what it was wrapped with.
    pub(super) fn unwrap(
        &self,
        id: &str,
        wrapped: &[u8; WRAPPED_BYTES],
        aad: &[u8],
    ) -> Result<Cipher, NotOpened> {
        let masters = self.0.as_ref().ok_or(NotOpened::Missing)?;
        let found = masters.keys.iter().find(|master| master.id == id);
        let master = found.ok_or(NotOpened::Missing)?;
        let mut bytes = Zeroizing::new(*wrapped);
        let (nonce, sealed) = bytes
            .split_first_chunk_mut::<NONCE_LEN>()
            .ok_or(NotOpened::Altered)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = master
            .key
            .open_in_place(nonce, Aad::from(aad), sealed)
            .map_err(|_| NotOpened::Altered)?;
        let key = <&[u8; KEY_BYTES]>::try_from(&*opened).map_err(|_| NotOpened::Altered)?;
        Ok(Cipher::new(key))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyring").field(&self.ids()).finish()
    }
}

/// Two rings are the same when they have the same keys and do the same with them.
impl PartialEq for Keyring {
    fn eq(&self, other: &Self) -> bool {
        self.encrypts() == other.encrypts() && self.ids() == other.ids()
    }
}

impl Eq for Keyring {}

impl Master {
    fn new(key: &[u8; KEY_BYTES]) -> Self {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        context.update(ID_CONTEXT);
        context.update(key);
        let digest = context.finish();
        let id = digest.as_ref().iter().take(ID_BYTES);
        Self {
            id: id.map(|byte| format!("{byte:02x}")).collect(),
            key: aes(key),
        }
    }

    fn again(&self) -> Self {
        Self {
            id: self.id.clone(),
            key: self.key.clone(),
        }
    }
}

/// Why a key can't be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotOpened {
    /// The master key is not there.
    Missing,
    /// It is there, and does not open it.
    Altered,
}

/// A new key of a file, before it is wrapped.
pub(super) struct NewKey<'a> {
    master: &'a Master,
    pub(super) cipher: Arc<Cipher>,
    key: Zeroizing<[u8; KEY_BYTES]>,
    nonce: [u8; NONCE_LEN],
}

impl NewKey<'_> {
    /// The name of the master key that wraps it.
    pub(super) fn id(&self) -> &str {
        &self.master.id
    }

    /// The wrapped key, bound to `aad`. It is wrapped once: the nonce is used up.
    pub(super) fn wrap(self, aad: &[u8]) -> [u8; WRAPPED_BYTES] {
        let mut out = [0; WRAPPED_BYTES];
        let (nonce, rest) = out.split_at_mut(NONCE_LEN);
        nonce.copy_from_slice(&self.nonce);
        let (key, tag) = rest.split_at_mut(KEY_BYTES);
        key.copy_from_slice(self.key.as_ref());
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let sealed = self
            .master
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(aad), key);
        match sealed {
            Ok(made) => tag.copy_from_slice(made.as_ref()),
            // Only what is longer than 64 GiB is refused; a key in the clear must not be left.
            Err(_) => key.fill(0),
        }
        out
    }
}

/// An AES-256 key for use.
pub(super) fn aes(key: &[u8; KEY_BYTES]) -> LessSafeKey {
    #[expect(
        clippy::expect_used,
        reason = "the length is the algorithm's, which is all that is checked"
    )]
    let key = UnboundKey::new(&AES_256_GCM, key).expect("32 bytes");
    LessSafeKey::new(key)
}

/// A key from its text.
fn decode_key(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    if text.len() == 2 * KEY_BYTES {
        let (pairs, _) = text.as_bytes().as_chunks::<2>();
        for (place, [high, low]) in key.iter_mut().zip(pairs) {
            *place = digit(*high)? << 4 | digit(*low)?;
        }
        return Some(key);
    }
    decode_base64(text.as_bytes(), &mut key)?;
    Some(key)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// 32 bytes are 43 characters of base64 and a `=`, which may be left out.
fn decode_base64(text: &[u8], key: &mut [u8; KEY_BYTES]) -> Option<()> {
    let text = text.strip_suffix(b"=").unwrap_or(text);
    if text.len() != (KEY_BYTES * 8).div_ceil(6) {
        return None;
    }
    let (mut bits, mut held) = (0u32, 0u32);
    let mut places = key.iter_mut();
    for byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            *places.next()? = (bits >> held) as u8;
            bits &= (1 << held) - 1;
        }
    }
    (bits == 0 && places.next().is_none()).then_some(())
}

#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that can't go on says so"
)]
mod tests {
    use super::*;

    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OTHER: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn a_key_is_the_same_in_hexadecimal_and_in_base64() {
        let hex = Keyring::parse(HEX).unwrap();
        assert_eq!(hex, Keyring::parse(BASE64).unwrap());
        assert_eq!(hex, Keyring::parse(&HEX.to_uppercase()).unwrap());
        assert_eq!(hex, Keyring::parse(BASE64.trim_end_matches('=')).unwrap());
        assert_ne!(hex, Keyring::parse(OTHER).unwrap());
        assert_eq!(hex.ids().len(), 1);
    }

    #[test]
    fn what_is_no_key_is_refused_by_its_line_and_not_quoted() {
        for text in ["", "# only a comment\n\n"] {
            assert_eq!(Keyring::parse(text), Err(KeyringError::Empty));
        }
        let wrong = [&HEX[1..], &format!("{HEX}00"), "hunter2", &BASE64[1..]];
        for line in wrong {
            let error = Keyring::parse(&format!("# mine\n{HEX}\n{line}\n")).unwrap_err();
            assert_eq!(error, KeyringError::NotAKey { line: 3 });
            assert!(!error.to_string().contains(line), "{error}");
        }
    }

    #[test]
    fn only_the_names_are_shown() {
        let keys = Keyring::parse(&format!("{HEX}\n{OTHER}")).unwrap();
        let shown = format!("{keys:?}");
        assert_eq!(shown, format!("Keyring({:?})", keys.ids()));
        assert!(!shown.contains("0405"), "{shown}");
    }

    #[test]
    fn the_newest_wraps_and_every_one_opens() {
        let old = Keyring::parse(HEX).unwrap();
        let both = Keyring::parse(&format!("{HEX}\n{OTHER}")).unwrap();
        let new = old.new_key().unwrap().unwrap();
        let id = new.id().to_owned();
        let wrapped = new.wrap(b"header");
        assert!(both.unwrap(&id, &wrapped, b"header").is_ok());
        assert_eq!(
            both.unwrap(&id, &wrapped, b"another").err(),
            Some(NotOpened::Altered)
        );
        let newest = both.new_key().unwrap().unwrap();
        assert_eq!(newest.id(), both.ids()[1]);
        let wrapped = newest.wrap(b"header");
        let missing = old.unwrap(both.ids()[1], &wrapped, b"header");
        assert_eq!(missing.err(), Some(NotOpened::Missing));
        assert!(both.clone().opens_only().new_key().unwrap().is_none());
        let opens = both.clone().opens_only();
        assert!(opens.unwrap(both.ids()[1], &wrapped, b"header").is_ok());
    }
}
