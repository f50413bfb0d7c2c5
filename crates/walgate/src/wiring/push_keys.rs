//! The keys that push clients' tokens are signed with, read again while we run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use walgate_alert::Client;
use walgate_core::{Failure, StopReason};
use walgate_sink_websocket::{Jwt, JwtAlgorithm, JwtKeys, KeySet, MAX_KEY_SET_BYTES};

use crate::config::{PushAlgorithm, PushJwt, Secret};

/// How long who has the keys may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Reads a set of keys until it is dropped.
pub(super) struct KeyReader(JoinHandle<()>);

impl Drop for KeyReader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Where a set of keys is.
enum Place {
    File(PathBuf),
    Url(Client, String),
}

impl Place {
    async fn read(&self) -> Result<String, String> {
        match self {
            Self::File(path) => {
                let read = tokio::fs::read_to_string(path).await;
                read.map_err(|error| format!("{}: {error}", path.display()))
            }
            Self::Url(client, url) => client.get(url, MAX_KEY_SET_BYTES).await,
        }
    }
}

/// What is configured of JSON Web Tokens, and what reads their keys where those may be replaced. Must be
/// called within a runtime.
///
/// # Errors
///
/// When the key is none, or can't be read. A set that can't be read is read later.
pub(super) fn jwt(jwt: &PushJwt) -> Result<(Option<Jwt>, Option<KeyReader>), Failure> {
    let Some(algorithm) = jwt.algorithm else {
        return Ok((None, None));
    };
    let algorithm = match algorithm {
        PushAlgorithm::Hs256 => JwtAlgorithm::Hs256,
        PushAlgorithm::Rs256 => JwtAlgorithm::Rs256,
        PushAlgorithm::Es256 => JwtAlgorithm::Es256,
        PushAlgorithm::EdDsa => JwtAlgorithm::EdDsa,
    };
    let (keys, reader) = keys(jwt, algorithm).map_err(|why| {
        let message = format!("the keys of tokens for push: {why}");
        let hint = "sinks.NAME.jwt takes a secret, a key in PEM, or a JSON Web Key Set";
        Failure::new(StopReason::Config, message).hint(hint)
    })?;
    let jwt = Jwt {
        algorithm,
        keys,
        audience: jwt.audience.clone(),
        issuer: jwt.issuer.clone(),
        skew: jwt.skew.0,
        tables_claim: jwt.tables_claim.clone(),
    };
    Ok((Some(jwt), reader))
}

fn keys(jwt: &PushJwt, algorithm: JwtAlgorithm) -> Result<(JwtKeys, Option<KeyReader>), String> {
    if let Some(path) = &jwt.key {
        let pem = std::fs::read_to_string(path);
        let pem = pem.map_err(|error| format!("{}: {error}", path.display()))?;
        let key = JwtKeys::pem(algorithm, &pem);
        let key = key.map_err(|why| format!("{}: {why}", path.display()))?;
        return Ok((key, None));
    }
    let Some(jwks) = &jwt.jwks else {
        let secret = jwt.secret.as_ref().map_or("", Secret::expose);
        return Ok((JwtKeys::secret(secret)?, None));
    };
    let place = match jwks.contains("://") {
        true => Place::Url(Client::new(ANSWER_WITHIN)?, jwks.clone()),
        false => Place::File(PathBuf::from(jwks)),
    };
    let keys = Arc::new(KeySet::new(algorithm, jwt.jwks_refresh.0));
    let reading = tokio::spawn(read_on(place, Arc::clone(&keys)));
    Ok((JwtKeys::set(keys), Some(KeyReader(reading))))
}

async fn read_on(place: Place, keys: Arc<KeySet>) {
    let mut failed = false;
    let mut known = None;
    loop {
        keys.due().await;
        let read = place.read().await;
        match read.and_then(|json| keys.replace(&json)) {
            Ok(count) => {
                if failed || known != Some(count) {
                    tracing::info!(keys = count, "read the keys of tokens for push");
                }
                (failed, known) = (false, Some(count));
            }
            Err(why) if !failed => {
                failed = true;
                tracing::warn!(
                    "can't read the keys of tokens for push, those of before hold: {why}"
                );
            }
            Err(why) => tracing::debug!("still can't read the keys of tokens for push: {why}"),
        }
    }
}
