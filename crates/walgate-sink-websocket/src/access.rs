//! Who may connect.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::table_pattern::TablePattern;

/// Who may connect, and to what.
#[derive(Debug, Clone)]
pub enum Policy {
    /// Everybody who reaches the address, to everything that the sink is given.
    Open,
    /// Who has one of these tokens.
    Tokens(Vec<Token>),
}

/// A bearer token that is known by its hash.
#[derive(Debug, Clone)]
pub struct Token {
    /// Whose it is; in the log and in metrics.
    name: String,
    /// SHA-256 of the token.
    hash: [u8; 32],
    /// None: every table that the sink is given.
    tables: Option<Vec<TablePattern>>,
}

impl Token {
    /// A token with this hash, SHA-256 in 64 hexadecimal digits, for these tables (`schema.table`,
    /// `schema.*`), or for all where there are none.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn new(name: impl Into<String>, hash: &str, tables: &[String]) -> Result<Self, String> {
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
        let read: Result<Vec<_>, _> = tables
            .iter()
            .map(|text| TablePattern::parse(text))
            .collect();
        Ok(Self {
            name: name.into(),
            hash: bytes,
            tables: Some(read?).filter(|tables| !tables.is_empty()),
        })
    }
}

/// What who is connected may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    /// Whose token it was.
    pub(crate) subject: Option<String>,
    /// None: everything.
    pub(crate) tables: Option<Vec<TablePattern>>,
}

impl Policy {
    /// What this token opens; none when it opens nothing.
    pub(crate) fn access(&self, token: Option<&str>) -> Option<Access> {
        let tokens = match self {
            Self::Open => {
                return Some(Access {
                    subject: None,
                    tables: None,
                });
            }
            Self::Tokens(tokens) => tokens,
        };
        let given: [u8; 32] = Sha256::digest(token?.trim().as_bytes()).into();
        // All are compared, so that the time says nothing of which it was.
        let mut found = None;
        for known in tokens {
            if bool::from(known.hash.ct_eq(&given)) {
                found = Some(known);
            }
        }
        found.map(|known| Access {
            subject: Some(known.name.clone()),
            tables: known.tables.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_token_opens_and_only_its_tables() {
        // SHA-256 of "hunter2".
        let hash = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";
        let token = Token::new("ann", hash, &["public.*".to_owned()]).expect("a token");
        let policy = Policy::Tokens(vec![token]);
        assert_eq!(policy.access(None), None);
        assert_eq!(policy.access(Some("hunter3")), None);
        assert_eq!(policy.access(Some("")), None);
        assert_eq!(policy.access(Some(hash)), None, "the hash is no token");
        let access = policy.access(Some("hunter2")).expect("opens");
        assert_eq!(access.subject.as_deref(), Some("ann"));
        assert_eq!(access.tables.map(|tables| tables.len()), Some(1));
        assert!(Policy::Open.access(None).is_some());
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        for hash in ["", "abc", &"g".repeat(64), &"a".repeat(63), &"a".repeat(66)] {
            assert!(Token::new("x", hash, &[]).is_err(), "{hash}");
        }
    }
}
