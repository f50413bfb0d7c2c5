//! Texts that are encrypted one by one, outside of segments: dead letters.

use super::cipher::{Bound, TAG_BYTES};
use super::error::{EncodeError, Locked};
use super::keyring::{Keyring, NotOpened, WRAPPED_BYTES};

/// A text that is encrypted with a key of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedText {
    /// The name of the master key.
    pub key: String,
    /// Nonce, wrapped key and its tag, as at the end of a segment's header; then the text, encrypted
    /// with that key as record 0 of kind 0, and its tag.
    pub bytes: Vec<u8>,
}

/// Where a text stands: a key is used for one, so the place is always the same.
const fn bound(context: &[u8]) -> Bound<'_> {
    Bound {
        segment: 0,
        ordinal: 0,
        kind: 0,
        flags: 0,
        clear: context,
    }
}

impl Keyring {
    /// Encrypts a text, bound to `context`: it opens with the same only. None when nothing is
    /// encrypted with these keys.
    ///
    /// # Errors
    /// When there are no random bytes for a key, or the text is over 64 GiB.
    pub fn seal_text(
        &self,
        context: &[u8],
        text: &[u8],
    ) -> Result<Option<SealedText>, EncodeError> {
        let Some(new) = self.new_key()? else {
            return Ok(None);
        };
        let (key, cipher) = (new.id().to_owned(), std::sync::Arc::clone(&new.cipher));
        let mut bytes = Vec::with_capacity(WRAPPED_BYTES + text.len() + TAG_BYTES);
        bytes.extend_from_slice(&new.wrap(context));
        bytes.extend_from_slice(text);
        if !cipher.seal(&mut bytes, WRAPPED_BYTES, &bound(context)) {
            return Err(EncodeError::TooLarge { bytes: text.len() });
        }
        Ok(Some(SealedText { key, bytes }))
    }

    /// The text.
    ///
    /// # Errors
    /// When its key is not there, or it was altered.
    pub fn open_text(&self, context: &[u8], sealed: &SealedText) -> Result<Vec<u8>, Locked> {
        let locked = |altered| Locked {
            offset: 0,
            key: sealed.key.clone(),
            given: self.ids().into_iter().map(str::to_owned).collect(),
            altered,
        };
        let split = sealed.bytes.split_first_chunk::<WRAPPED_BYTES>();
        let (wrapped, text) = split.ok_or_else(|| locked(true))?;
        let cipher = self
            .unwrap(&sealed.key, wrapped, context)
            .map_err(|why| locked(why == NotOpened::Altered))?;
        cipher
            .open(text, &bound(context))
            .ok_or_else(|| locked(true))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test that can't go on says so")]
mod tests {
    use super::*;

    fn keys(byte: &str) -> Keyring {
        Keyring::parse(&byte.repeat(32)).unwrap()
    }

    #[test]
    fn a_text_opens_with_its_key_and_its_context_only() {
        let sealed = keys("a1")
            .seal_text(b"letter", b"the row")
            .unwrap()
            .unwrap();
        assert!(!sealed.bytes.windows(7).any(|part| part == b"the row"));
        let opened = keys("a1").open_text(b"letter", &sealed).unwrap();
        assert_eq!(opened, b"the row");
        assert!(keys("a1").open_text(b"other", &sealed).unwrap_err().altered);
        let missing = keys("b2").open_text(b"letter", &sealed).unwrap_err();
        assert!(!missing.altered, "{missing}");
        for place in 0..sealed.bytes.len() {
            let mut bytes = sealed.bytes.clone();
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1;
            }
            let key = sealed.key.clone();
            let altered = SealedText { key, bytes };
            assert!(keys("a1").open_text(b"letter", &altered).is_err());
        }
        let again = keys("a1")
            .seal_text(b"letter", b"the row")
            .unwrap()
            .unwrap();
        assert_ne!(again.bytes, sealed.bytes);
        let none = Keyring::default().seal_text(b"letter", b"the row");
        assert_eq!(none.unwrap(), None);
    }
}
