//! JSON Web Tokens (RFC 7519), signed by a key that is configured.
//!
//! The algorithm is that of the configuration, whatever a token says of itself: neither `none` nor a
//! public key that is taken for a shared secret gets past it (RFC 8725, section 3.1).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::claims::Claims;
use super::grant::{Grant, patterns};
use super::key_set::KeySet;
use super::signature;
use crate::table_pattern::TablePattern;

/// The longest token: a header of a request has no more room.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// How tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256, of a secret that is shared.
    Hs256,
    /// RSA (PKCS #1 v1.5) with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl JwtAlgorithm {
    pub(super) const fn library(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::HS256,
            Self::Rs256 => Algorithm::RS256,
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

/// By what a signature is verified.
#[derive(Debug, Clone)]
pub struct JwtKeys(Keys);

#[derive(Debug, Clone)]
enum Keys {
    One(DecodingKey),
    Set(Arc<KeySet>),
}

impl JwtKeys {
    /// A secret that is shared, for [`JwtAlgorithm::Hs256`].
    ///
    /// # Errors
    ///
    /// When it is so short that it can be guessed (RFC 7518, section 3.2).
    pub fn secret(secret: &str) -> Result<Self, String> {
        if secret.len() < 32 {
            return Err("a secret has at least 32 bytes".to_owned());
        }
        Ok(Self(Keys::One(DecodingKey::from_secret(secret.as_bytes()))))
    }

    /// A public key in PEM.
    ///
    /// # Errors
    ///
    /// When it is none of the algorithm.
    pub fn pem(algorithm: JwtAlgorithm, pem: &str) -> Result<Self, String> {
        let refused = || format!("this is no public key in PEM for {algorithm:?}");
        // The library takes private ones too, and no signature would ever be right.
        if !pem.contains("PUBLIC KEY-----") {
            return Err(refused());
        }
        let read = match algorithm {
            JwtAlgorithm::Hs256 => return Err("HS256 takes a secret, and no file".to_owned()),
            JwtAlgorithm::Rs256 => DecodingKey::from_rsa_pem(pem.as_bytes()),
            JwtAlgorithm::Es256 => DecodingKey::from_ec_pem(pem.as_bytes()),
            JwtAlgorithm::EdDsa => DecodingKey::from_ed_pem(pem.as_bytes()),
        };
        Ok(Self(Keys::One(read.map_err(|_| refused())?)))
    }

    /// Keys that are read again when they change.
    pub const fn set(keys: Arc<KeySet>) -> Self {
        Self(Keys::Set(keys))
    }

    fn key_set(&self) -> Option<&KeySet> {
        match &self.0 {
            Keys::One(_) => None,
            Keys::Set(set) => Some(set),
        }
    }

    /// The key for a token of this `kid`.
    fn find(&self, kid: Option<&str>) -> Result<DecodingKey, JwtRefusal> {
        match &self.0 {
            Keys::One(key) => Ok(key.clone()),
            Keys::Set(set) => set.find(kid).ok_or(JwtRefusal::UnknownKey),
        }
    }
}

/// What is configured of JSON Web Tokens.
#[derive(Debug, Clone)]
pub struct Jwt {
    /// How they are signed.
    pub algorithm: JwtAlgorithm,
    /// By what that is verified.
    pub keys: JwtKeys,
    /// Of whom they have to be for one (`aud`); without any they must not be for anybody.
    pub audience: Vec<String>,
    /// Who may have made them (`iss`); without any, everybody who has the key.
    pub issuer: Vec<String>,
    /// How far the clocks of who makes and who reads them may be apart.
    pub skew: Duration,
    /// The claim that lists the tables that they open; without it they open all.
    pub tables_claim: Option<String>,
}

/// Why a token opens nothing. It says nothing of the token's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwtRefusal {
    /// It is no token, or its signature or what it says is wrong.
    #[error("the token is not right")]
    Wrong,
    /// Nobody knows the key that it names.
    #[error("the token's key is not known")]
    UnknownKey,
    /// It is over.
    #[error("the token has expired")]
    Expired,
    /// It is not valid yet.
    #[error("the token is not valid yet")]
    Early,
}

/// What a token that is right says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verified {
    pub(super) grant: Grant,
    /// When it ends, the difference of clocks included.
    pub(super) expires: SystemTime,
}

impl Jwt {
    /// The keys, where they may be replaced.
    pub(super) fn key_set(&self) -> Option<&KeySet> {
        self.keys.key_set()
    }

    /// What a token says, if it is right at `now`.
    pub(super) fn verify(&self, token: &str, now: SystemTime) -> Result<Verified, JwtRefusal> {
        signature::use_ring();
        if token.len() > MAX_TOKEN_BYTES {
            return Err(JwtRefusal::Wrong);
        }
        let header = decode_header(token).map_err(|_| JwtRefusal::Wrong)?;
        // What must be understood (RFC 7515, section 4.1.11): nothing is.
        if header.alg != self.algorithm.library() || header.crit.is_some() {
            return Err(JwtRefusal::Wrong);
        }
        let key = self.keys.find(header.kid.as_deref())?;
        let decoded = decode::<Map<String, Value>>(token, &key, &self.validation());
        let claims = decoded.map_err(|_| JwtRefusal::Wrong)?.claims;
        let expires = moment(claims.get("exp").ok_or(JwtRefusal::Wrong)?)?
            .checked_add(self.skew)
            .ok_or(JwtRefusal::Wrong)?;
        if now >= expires {
            return Err(JwtRefusal::Expired);
        }
        if let Some(begins) = claims.get("nbf")
            && now + self.skew < moment(begins)?
        {
            return Err(JwtRefusal::Early);
        }
        let subject = claims.get("sub").and_then(Value::as_str);
        let subject = subject.unwrap_or("jwt").to_owned();
        let claims = Claims::from(claims);
        Ok(Verified {
            grant: Grant {
                subject,
                tables: self.tables(&claims),
                claims,
            },
            expires,
        })
    }

    /// Times are compared with the `now` that is given, and not by the library.
    fn validation(&self) -> Validation {
        let mut validation = Validation::new(self.algorithm.library());
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let mut required = vec!["exp"];
        if !self.audience.is_empty() {
            validation.set_audience(&self.audience);
            required.push("aud");
        }
        if !self.issuer.is_empty() {
            validation.set_issuer(&self.issuer);
            required.push("iss");
        }
        validation.required_spec_claims = required
            .into_iter()
            .map(str::to_owned)
            .collect::<HashSet<_>>();
        validation
    }

    /// The tables that a token opens: none when it should list some and does not.
    fn tables(&self, claims: &Claims) -> Option<Vec<TablePattern>> {
        let listed = claims.get(self.tables_claim.as_ref()?);
        let listed = listed.and_then(Value::as_array).and_then(|all| {
            let texts = all.iter().map(|text| text.as_str().map(str::to_owned));
            let texts: Vec<String> = texts.collect::<Option<_>>()?;
            patterns(&texts).ok()
        });
        Some(listed.unwrap_or_default())
    }
}

/// A time as RFC 7519 writes it: seconds since 1970, perhaps with a fraction.
fn moment(value: &Value) -> Result<SystemTime, JwtRefusal> {
    let seconds = value.as_f64().ok_or(JwtRefusal::Wrong)?;
    let since = Duration::try_from_secs_f64(seconds).map_err(|_| JwtRefusal::Wrong)?;
    let moment = SystemTime::UNIX_EPOCH.checked_add(since);
    moment.ok_or(JwtRefusal::Wrong)
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
