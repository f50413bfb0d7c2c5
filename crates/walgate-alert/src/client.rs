//! HTTP, with the machine's trusted certificates.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::Secret;
use crate::error::SendError;

/// Nobody is told to wait longer than this by somebody else: what is worse may come meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A client for all channels. Proxies of the environment (`HTTPS_PROXY`) are used; a redirection is
/// an error, because what is sent would go to somebody who was not named.
#[derive(Debug, Clone)]
pub struct Client(reqwest::Client);

impl Client {
    /// A client whose requests may take this long.
    ///
    /// # Errors
    ///
    /// When TLS can't be set up: a fragment that says why.
    pub fn new(timeout: Duration) -> Result<Self, String> {
        let mut roots = rustls::RootCertStore::empty();
        // Without any, an address that begins with https fails and says so; the others work.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS can't be set up: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .use_preconfigured_tls(tls)
            .timeout(timeout)
            .connect_timeout(timeout)
            // An idle connection that the other side has closed costs the next message an attempt.
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("walgate/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = client.map_err(|error| format!("HTTP can't be set up: {}", told(error)))?;
        Ok(Self(client))
    }

    pub(crate) async fn post(
        &self,
        url: &Secret,
        token: Option<&Secret>,
        body: &Value,
    ) -> Result<(), SendError> {
        let mut request = self.0.post(url.expose()).json(body);
        if let Some(token) = token {
            let value = HeaderValue::try_from(format!("Bearer {}", token.expose()));
            let mut value = value
                .map_err(|_| SendError::refused("the token has a character that HTTP forbids"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        answered(request.send().await)
    }

    /// What is at an address, of at most `most` bytes.
    ///
    /// # Errors
    ///
    /// When it can't be had: a fragment that says why, without the address.
    pub async fn get(&self, url: &str, most: usize) -> Result<String, String> {
        let mut answer = self.0.get(url).send().await.map_err(told)?;
        if !answer.status().is_success() {
            return Err(format!("the answer is {}", answer.status()));
        }
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(told)? {
            if body.len() + part.len() > most {
                return Err(format!("the answer has more than {most} bytes"));
            }
            body.extend_from_slice(&part);
        }
        String::from_utf8(body).map_err(|_| "the answer is no text".to_owned())
    }

    pub(crate) async fn ping(&self, url: &Secret) -> Result<(), SendError> {
        answered(self.0.get(url.expose()).send().await)
    }
}

fn answered(answer: Result<Response, reqwest::Error>) -> Result<(), SendError> {
    let answer = answer.map_err(|error| {
        if error.is_builder() {
            return SendError::refused("the address is not one: it needs http:// or https://");
        }
        SendError::transient(told(error))
    })?;
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let what = format!("the answer is {status}");
    let later = status.is_server_error()
        || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
    if !later {
        return Err(SendError::refused(what));
    }
    let after = answer.headers().get(RETRY_AFTER);
    let after = after.and_then(|after| after.to_str().ok()?.parse().ok());
    let after = after.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
    Err(SendError::Transient { what, after })
}

/// An error with its causes, without the address.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    // The last cause is the one that says something: connection refused, unknown issuer.
    let mut cause: &dyn std::error::Error = &error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
