//! Masked columns: a keyed hash in place of the value.

use std::fmt;

use bytes::{BufMut, BytesMut};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The key of masks. Who has it can tell which masked values are equal to a value that he knows;
/// who hasn't can only tell which are equal.
#[derive(Clone)]
pub struct MaskKey(Hmac<Sha256>);

impl MaskKey {
    /// A key of any length, 32 random bytes are right; none for an empty one, with which everybody
    /// could find out what is masked.
    pub fn new(key: &[u8]) -> Option<Self> {
        (!key.is_empty()).then(|| Hmac::new_from_slice(key).ok().map(Self))?
    }

    /// `hmac:` and the HMAC-SHA256 of the value's text in lower-case hexadecimal.
    pub(crate) fn write(&self, text: &[u8], out: &mut BytesMut) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        let mut hash = self.0.clone();
        hash.update(text);
        out.put_slice(b"hmac:");
        for byte in hash.finalize().into_bytes() {
            out.put_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

impl fmt::Debug for MaskKey {
    /// Never shows the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn is_hmac_sha256() {
        let mut out = BytesMut::new();
        let key = MaskKey::new(b"Jefe").expect("any key is good");
        key.write(b"what do ya want for nothing?", &mut out);
        let expected = "hmac:5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(str::from_utf8(&out), Ok(expected));
        assert_eq!(format!("{key:?}"), "MaskKey(…)");
        assert!(MaskKey::new(b"").is_none());
    }
}
