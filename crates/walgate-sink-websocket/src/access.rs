//! Who may connect, and what they may see.

mod certificate;
mod claims;
pub(crate) mod expiry;
mod grant;
mod jwt;
mod key_set;
mod rights;
mod rule;
mod signature;
mod token;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use certificate::CertificateSubject;
pub(crate) use certificate::Peer;
pub use claims::Claims;
use grant::Grant;
pub use jwt::{Jwt, JwtAlgorithm, JwtKeys, JwtRefusal};
use key_set::AGAIN_AFTER;
pub use key_set::{KeySet, MAX_KEY_SET_BYTES};
pub(crate) use rights::Rights;
pub use rule::{Rule, RuleText};
pub use token::Token;

/// How long who shows a token of a key that is not known waits for the keys to be read again: until they
/// may be, and an answer.
const KEY_WITHIN: Duration = AGAIN_AFTER.saturating_add(Duration::from_secs(3));

/// Who may connect, and to what.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "a server has one, which is not moved about"
)]
pub enum Policy {
    /// Everybody who reaches the address, to everything that the sink is given.
    Open,
    /// Who shows that it may.
    Guarded(Guard),
}

/// Who may connect by what, and the rules for all of them.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Tokens that are known by their hash.
    pub tokens: Vec<Token>,
    /// Who is known by a certificate that TLS has verified.
    pub subjects: Vec<CertificateSubject>,
    /// JSON Web Tokens, where they are taken.
    pub jwt: Option<Jwt>,
    /// What of the rows and columns of a table is shown to whom.
    pub rules: Vec<Rule>,
}

/// What who is connected may see, and until when.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Access {
    /// Who it is.
    pub(crate) subject: Option<String>,
    pub(crate) rights: Arc<Rights>,
    /// When it ends.
    pub(crate) expires: Option<SystemTime>,
}

impl Access {
    /// Whether it is not over.
    pub(crate) fn holds(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl Policy {
    /// What this token opens; none when it opens nothing. A key that is not known may have come since the
    /// keys were read: they are read again then, as soon as they may be, and it waits for that.
    pub(crate) async fn admit(&self, token: Option<&str>) -> Option<Access> {
        let keys = match self {
            Self::Guarded(guard) => guard.jwt.as_ref().and_then(Jwt::key_set),
            Self::Open => None,
        };
        // Before the first look: what is read in between is not missed.
        let changed = keys.map(|keys| keys.changed());
        match (self.judge(token, SystemTime::now()), changed) {
            (Err(JwtRefusal::UnknownKey), Some(changed)) => {
                let _in_time = tokio::time::timeout(KEY_WITHIN, changed).await;
                self.judge(token, SystemTime::now()).ok()
            }
            (judged, _) => judged.ok(),
        }
    }

    /// What the certificate opens that TLS has verified; none when it opens nothing.
    pub(crate) fn of_peer(&self, peer: &Peer, now: SystemTime) -> Option<Access> {
        let Self::Guarded(guard) = self else {
            return None;
        };
        let found = peer.find(&guard.subjects, now)?;
        Some(guard.access(found.grant(), peer.expires()))
    }

    /// What this token opens at `now`.
    ///
    /// # Errors
    ///
    /// Why it opens nothing, as far as that is known without waiting.
    pub(crate) fn judge(&self, token: Option<&str>, now: SystemTime) -> Result<Access, JwtRefusal> {
        match self {
            Self::Open => Ok(Access {
                subject: None,
                rights: Arc::default(),
                expires: None,
            }),
            Self::Guarded(guard) => {
                let token = token.ok_or(JwtRefusal::Wrong)?;
                guard.judge(token.trim(), now)
            }
        }
    }
}

impl Guard {
    fn judge(&self, token: &str, now: SystemTime) -> Result<Access, JwtRefusal> {
        if let Some(known) = Token::find(&self.tokens, token) {
            return Ok(self.access(known.grant(), None));
        }
        let jwt = self.jwt.as_ref().ok_or(JwtRefusal::Wrong)?;
        let verified = jwt.verify(token, now)?;
        Ok(self.access(&verified.grant, Some(verified.expires)))
    }

    /// What somebody has who was recognised, until then.
    fn access(&self, grant: &Grant, expires: Option<SystemTime>) -> Access {
        let rights = Rights::new(grant.tables.as_deref(), &self.rules, &grant.claims);
        Access {
            subject: Some(grant.subject.clone()),
            rights: Arc::new(rights),
            expires,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of "hunter2".
    const HASH: &str = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";

    #[test]
    fn only_a_known_token_opens_and_only_its_tables() {
        let now = SystemTime::UNIX_EPOCH;
        let tables = ["public.*".to_owned()];
        let token = Token::new("ann", HASH, Some(&tables), Claims::default()).expect("a token");
        let policy = Policy::Guarded(Guard {
            tokens: vec![token],
            ..Guard::default()
        });
        let access = |token| policy.judge(token, now).ok();
        assert_eq!(access(None), None);
        assert_eq!(access(Some("hunter3")), None);
        assert_eq!(access(Some("")), None);
        assert_eq!(access(Some(HASH)), None, "the hash is no token");
        let access = access(Some("hunter2")).expect("opens");
        assert_eq!(access.subject.as_deref(), Some("ann"));
        assert!(access.rights.of("public", "t").is_some());
        assert!(access.rights.of("private", "t").is_none());
        assert!(Policy::Open.judge(None, now).is_ok());
    }
}
