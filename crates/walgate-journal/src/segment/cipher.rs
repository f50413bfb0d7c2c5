//! The cipher of one file's records: AES-256-GCM under a key of the file's own.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use ring::aead::{Aad, LessSafeKey, Nonce};

use super::block;
use super::error::{Locked, Unreadable};
use super::fields::Fields;
use super::keyring::{KEY_BYTES, NewKey, aes};
use super::record::{Flags, Kind};

/// Bytes of a tag of AES-GCM.
pub(super) const TAG_BYTES: usize = 16;

/// The key of one file. `Debug` shows nothing of it.
pub(super) struct Cipher(LessSafeKey);

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cipher(***)")
    }
}

/// Where a record lies and what it is: bound to its bytes, so that no record can be moved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound<'a> {
    pub(super) segment: u64,
    pub(super) ordinal: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// What of the body is not encrypted.
    pub(super) clear: &'a [u8],
}

impl Bound<'_> {
    fn aad(&self) -> Vec<u8> {
        let mut aad = Vec::with_capacity(14 + self.clear.len());
        aad.extend_from_slice(&self.segment.to_le_bytes());
        aad.extend_from_slice(&self.ordinal.to_le_bytes());
        aad.extend_from_slice(&[self.kind, self.flags]);
        aad.extend_from_slice(self.clear);
        aad
    }

    /// The record's number, which no other record that was ever written under the key has: a
    /// segment that was cut is never appended to, and a spool never uses a number twice.
    fn nonce(&self) -> Nonce {
        let mut nonce = [0; 12];
        let (ordinal, _) = nonce.split_at_mut(4);
        ordinal.copy_from_slice(&self.ordinal.to_le_bytes());
        Nonce::assume_unique_for_key(nonce)
    }
}

impl Cipher {
    pub(super) fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(aes(key))
    }

    /// Encrypts `out` from `plain` on, and appends the tag. False, with `out` cut at `plain`, for what
    /// is longer than AES-GCM takes, which no record is.
    pub(super) fn seal(&self, out: &mut Vec<u8>, plain: usize, bound: &Bound<'_>) -> bool {
        let text = out.get_mut(plain..).unwrap_or_default();
        let aad = Aad::from(bound.aad());
        match self.0.seal_in_place_separate_tag(bound.nonce(), aad, text) {
            Ok(tag) => {
                out.extend_from_slice(tag.as_ref());
                true
            }
            Err(_) => {
                out.truncate(plain);
                false
            }
        }
    }

    /// The plain text of `sealed`, which ends with the tag; none when it was altered.
    pub(super) fn open(&self, sealed: &[u8], bound: &Bound<'_>) -> Option<Vec<u8>> {
        let mut text = sealed.to_vec();
        let len = self
            .0
            .open_in_place(bound.nonce(), Aad::from(bound.aad()), &mut text)
            .ok()?
            .len();
        text.truncate(len);
        Some(text)
    }
}

/// Whether and how the encrypted records of a file can be read. Cheap to clone; `Debug` shows no
/// key.
#[derive(Debug, Clone, Default)]
pub struct SegmentLock(pub(super) State);

#[derive(Debug, Clone, Default)]
pub(super) enum State {
    /// The file has no key: nothing in it is encrypted.
    #[default]
    None,
    Open {
        id: Arc<str>,
        cipher: Arc<Cipher>,
    },
    Shut(Arc<Shut>),
}

/// Why a file's key can't be opened.
#[derive(Debug)]
pub(super) struct Shut {
    pub(super) id: String,
    /// The names of the keys that are there.
    pub(super) given: Vec<String>,
    /// The master key is there, and does not open it.
    pub(super) altered: bool,
}

impl Shut {
    /// A record at `offset` is what can't be read.
    fn at(&self, offset: u64) -> Locked {
        Locked {
            offset,
            key: self.id.clone(),
            given: self.given.clone(),
            altered: self.altered,
        }
    }
}

/// How much of the body of an encrypted record is not: what who has no key has to know to count
/// entries.
pub(super) const fn clear_bytes(kind: Kind) -> usize {
    match kind {
        Kind::Block => block::CLEAR_BYTES,
        // The number of its first entry, and how many there are.
        Kind::Reference => 16,
        _ => 0,
    }
}

/// How many entries an encrypted record holds.
pub(super) fn entries_in_clear(kind: Kind, body: &[u8], offset: u64) -> Result<u64, Unreadable> {
    Ok(match kind {
        Kind::Run | Kind::Gap => 1,
        Kind::Block => block::clear(body, offset)?.0.into(),
        Kind::Reference => {
            let mut fields = Fields::new(body, offset);
            fields.u64("a reference without entry number")?;
            fields.u64("a reference without its count of entries")?
        }
        _ => 0,
    })
}

impl SegmentLock {
    /// That of a file that is not encrypted.
    pub(super) const NONE: Self = Self(State::None);

    /// The plain body of an encrypted record, which lies at `offset`. `place`: segment and ordinal.
    pub(super) fn open(
        &self,
        (segment, ordinal): (u64, u32),
        offset: u64,
        (kind, flags): (Kind, Flags),
        body: &Bytes,
    ) -> Result<Bytes, Unreadable> {
        let (id, cipher) = match &self.0 {
            State::Open { id, cipher } => (id, cipher),
            State::Shut(shut) => return Err(Unreadable::Locked(shut.at(offset))),
            State::None => {
                let what = "an encrypted record in a file whose header has no key";
                return Err(Unreadable::damage(offset, what));
            }
        };
        let Some((clear, sealed)) = body.split_at_checked(clear_bytes(kind)) else {
            return Err(Unreadable::damage(
                offset,
                "an encrypted record that is too short",
            ));
        };
        let bound = Bound {
            segment,
            ordinal,
            kind: kind as u8,
            flags: flags.0,
            clear,
        };
        let Some(mut plain) = cipher.open(sealed, &bound) else {
            return Err(Unreadable::Locked(Locked {
                offset,
                key: id.to_string(),
                given: Vec::new(),
                altered: true,
            }));
        };
        if !clear.is_empty() {
            plain.splice(..0, clear.iter().copied());
        }
        Ok(Bytes::from(plain))
    }

    /// That of a file with a new key.
    pub(super) fn of(key: Option<&NewKey<'_>>) -> Self {
        Self(key.map_or(State::None, |key| State::Open {
            id: key.id().into(),
            cipher: Arc::clone(&key.cipher),
        }))
    }

    /// How records are encrypted under it; none when they are not.
    pub(super) fn cipher(&self) -> Option<&Cipher> {
        match &self.0 {
            State::Open { cipher, .. } => Some(cipher),
            State::None | State::Shut(_) => None,
        }
    }

    /// The name of the master key that wraps the file's; none when the file is not encrypted.
    pub fn key_id(&self) -> Option<&str> {
        match &self.0 {
            State::None => None,
            State::Open { id, .. } => Some(id),
            State::Shut(shut) => Some(&shut.id),
        }
    }

    /// Whether the file is encrypted with a key that is not there.
    pub const fn is_shut(&self) -> bool {
        matches!(self.0, State::Shut(_))
    }

    /// Why nothing in the file that is encrypted can be read; none when it can, or nothing is.
    pub fn why_shut(&self) -> Option<Locked> {
        match &self.0 {
            State::Shut(shut) => Some(shut.at(0)),
            State::None | State::Open { .. } => None,
        }
    }
}
