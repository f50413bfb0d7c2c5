//! Bearer tokens that are known by their hash.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::claims::Claims;
use super::grant::Grant;

/// A bearer token that is known by its hash.
#[derive(Debug, Clone)]
pub struct Token {
    /// SHA-256 of the token.
    hash: [u8; 32],
    grant: Grant,
}

impl Token {
    /// A token with this hash, SHA-256 in 64 hexadecimal digits, for these tables (`schema.table`,
    /// `schema.*`), or for all where none are said, that stands for these claims.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn new(
        name: impl Into<String>,
        hash: &str,
        tables: Option<&[String]>,
        claims: Claims,
    ) -> Result<Self, String> {
        let mut bytes = [0; 32];
        let pairs = hash.as_bytes().chunks_exact(2);
        let is_whole = hash.len() == 64;
        for (place, pair) in bytes.iter_mut().zip(pairs) {
            let text = std::str::from_utf8(pair).unwrap_or_default();
            *place = u8::from_str_radix(text, 16)
                .map_err(|_| "a hash is 64 hexadecimal digits, of SHA-256".to_owned())?;
        }
        if !is_whole {
            return Err("a hash is 64 hexadecimal digits, of SHA-256".to_owned());
        }
        Ok(Self {
            hash: bytes,
            grant: Grant::new(name, tables, claims)?,
        })
    }

    /// Which of these a text is the token of. All are compared, so that the time says nothing of which
    /// it was.
    pub(super) fn find<'t>(tokens: &'t [Self], token: &str) -> Option<&'t Self> {
        let given: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let mut found = None;
        for known in tokens {
            if bool::from(known.hash.ct_eq(&given)) {
                found = Some(known);
            }
        }
        found
    }

    pub(super) const fn grant(&self) -> &Grant {
        &self.grant
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_hash_is_refused() {
        for hash in ["", "abc", &"g".repeat(64), &"a".repeat(63), &"a".repeat(66)] {
            assert!(
                Token::new("x", hash, None, Claims::default()).is_err(),
                "{hash}"
            );
        }
    }

    #[test]
    fn an_empty_list_of_tables_is_refused() {
        let hash = "a".repeat(64);
        let error = Token::new("x", &hash, Some(&[]), Claims::default()).expect_err("refused");
        assert!(error.contains("opens nothing"), "{error}");
    }
}
