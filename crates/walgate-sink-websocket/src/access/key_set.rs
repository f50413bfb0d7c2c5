//! Keys of a JSON Web Key Set (RFC 7517), which may be replaced while we run.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::jwt::JwtAlgorithm;

/// The largest set; an issuer has a handful of keys.
pub const MAX_KEY_SET_BYTES: usize = 256 << 10;

/// How soon a set that was read may be read again because of a key that is not in it. Anybody can write
/// a token that names any key: who has the keys is asked 12 times a minute at most.
pub(super) const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Keys of a JSON Web Key Set. Who owns it reads the set when [`due`](Self::due) says so and hands it to
/// [`replace`](Self::replace); until then, and when it can't be read, the keys are those of before.
#[derive(Debug)]
pub struct KeySet {
    algorithm: JwtAlgorithm,
    every: Duration,
    keys: RwLock<VecDeque<(Option<String>, DecodingKey)>>,
    schedule: Mutex<Schedule>,
    asked: Notify,
    replaced: Notify,
}

#[derive(Debug, Default)]
struct Schedule {
    /// When it was read last, or that was tried.
    read: Option<Instant>,
    /// A key was asked for that is not there.
    missed: bool,
}

impl KeySet {
    /// A set without keys, to be read `every` so often.
    pub fn new(algorithm: JwtAlgorithm, every: Duration) -> Self {
        Self {
            algorithm,
            every,
            keys: RwLock::default(),
            schedule: Mutex::default(),
            asked: Notify::new(),
            replaced: Notify::new(),
        }
    }

    /// Takes the keys of a set in JSON in place of those that there were. What is not for signatures of
    /// the algorithm is passed over. Returns how many there are now.
    ///
    /// # Errors
    ///
    /// When it is no set, or has no key of the algorithm; then the keys stay as they are.
    pub fn replace(&self, json: &str) -> Result<usize, String> {
        if json.len() > MAX_KEY_SET_BYTES {
            return Err(format!("more than {MAX_KEY_SET_BYTES} bytes"));
        }
        let set: Value = serde_json::from_str(json).map_err(|_| "this is no JSON".to_owned())?;
        let all = set.get("keys").and_then(Value::as_array);
        let all = all.ok_or("this is no JSON Web Key Set: it has no list of keys")?;
        let keys: VecDeque<_> = all.iter().filter_map(|key| self.key(key)).collect();
        if keys.is_empty() {
            return Err(format!("none of its keys is for {:?}", self.algorithm));
        }
        let count = keys.len();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        self.replaced.notify_waiters();
        Ok(count)
    }

    /// A key of the set, when it is one for us. Secrets never are: who can read the set could sign.
    fn key(&self, json: &Value) -> Option<(Option<String>, DecodingKey)> {
        let jwk: Jwk = serde_json::from_value(json.clone()).ok()?;
        let is_ours = match (&jwk.algorithm, self.algorithm) {
            (AlgorithmParameters::RSA(_), JwtAlgorithm::Rs256) => true,
            (AlgorithmParameters::EllipticCurve(key), JwtAlgorithm::Es256) => {
                key.curve == EllipticCurve::P256
            }
            (AlgorithmParameters::OctetKeyPair(key), JwtAlgorithm::EdDsa) => {
                key.curve == EllipticCurve::Ed25519
            }
            _ => false,
        };
        let wanted = match self.algorithm {
            JwtAlgorithm::Hs256 => KeyAlgorithm::HS256,
            JwtAlgorithm::Rs256 => KeyAlgorithm::RS256,
            JwtAlgorithm::Es256 => KeyAlgorithm::ES256,
            JwtAlgorithm::EdDsa => KeyAlgorithm::EdDSA,
        };
        let common = &jwk.common;
        let fits = is_ours
            && common.key_algorithm.is_none_or(|own| own == wanted)
            && (common.public_key_use.as_ref()).is_none_or(|own| *own == PublicKeyUse::Signature);
        let key = DecodingKey::from_jwk(&jwk).ok().filter(|_| fits)?;
        Some((common.key_id.clone(), key))
    }

    /// The key of this name; without a name the only one. One that is not there is asked for.
    pub(super) fn find(&self, kid: Option<&str>) -> Option<DecodingKey> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let found = match kid {
            Some(kid) => keys.iter().find(|(own, _)| own.as_deref() == Some(kid)),
            None => keys.front().filter(|_| keys.len() == 1),
        };
        let found = found.map(|(_, key)| key.clone());
        drop(keys);
        if found.is_none() {
            self.schedule().missed = true;
            self.asked.notify_one();
        }
        found
    }

    /// When it is to be read next, at `now`. Pure but for what was asked and read.
    fn next(&self, now: Instant) -> Instant {
        let schedule = self.schedule();
        let Some(read) = schedule.read else {
            return now;
        };
        let is_empty = self
            .keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty();
        match schedule.missed || is_empty {
            true => read + self.every.min(AGAIN_AFTER),
            false => read + self.every,
        }
    }

    /// Waits until it is to be read: at once, then at intervals, and soon when a key is missing.
    pub async fn due(&self) {
        loop {
            let now = Instant::now();
            let next = self.next(now);
            if next <= now {
                let mut schedule = self.schedule();
                schedule.read = Some(now);
                schedule.missed = false;
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => {}
                () = self.asked.notified() => {}
            }
        }
    }

    /// Waits until the keys were replaced after this was called.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.replaced.notified()
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
