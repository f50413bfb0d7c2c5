//! Requests to a push server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::time::timeout;
use walgate_core::{Failure, StopReason};

use super::refusal::{Refusal, Refused, of_request};
use crate::config::Secret;

/// How long a connection and the head of an answer may take: more than a deploy's proxy holds a request.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What is read of an answer that is an error.
const MAX_ERROR: usize = 1 << 10;

/// A client that makes a connection for each request and takes the environment's proxies.
///
/// # Errors
///
/// When the file of the authority can't be used.
pub(super) fn client(ca: Option<&Path>) -> Result<Client, Failure> {
    let mut roots = rustls::RootCertStore::empty();
    match ca {
        Some(file) => {
            let unusable = |error: String| {
                let what = format!("--ca {}: {error}", file.display());
                Failure::new(StopReason::Config, what)
                    .hint("give it certificates in PEM: -----BEGIN CERTIFICATE-----")
            };
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file)
                .map_err(|error| unusable(error.to_string()))?
                .collect();
            let certificates = certificates.map_err(|error| unusable(error.to_string()))?;
            if let (0, _) = roots.add_parsable_certificates(certificates) {
                return Err(unusable("there is no certificate in it".to_owned()));
            }
        }
        // Without any, a server with TLS is refused and the reason is said.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let impossible =
        |error: String| Failure::new(StopReason::Config, format!("TLS can't be set up: {error}"));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| impossible(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .use_preconfigured_tls(tls)
        // What is upgraded is HTTP/1.1.
        .http1_only()
        .connect_timeout(ANSWER_WITHIN)
        .pool_max_idle_per_host(0)
        // A token is for the server that was named.
        .redirect(reqwest::redirect::Policy::none())
        .tcp_nodelay(true)
        .user_agent(concat!("walgate/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| impossible(error.without_url().to_string()))
}

/// A GET, with the token.
///
/// # Errors
///
/// When the token can't be sent.
pub(super) fn get(
    client: &Client,
    url: Url,
    token: Option<&Secret>,
) -> Result<RequestBuilder, Refusal> {
    let request = client.get(url);
    let Some(token) = token else {
        return Ok(request);
    };
    let value = HeaderValue::try_from(format!("Bearer {}", token.expose()));
    let mut value = value.map_err(|_| {
        let what = "the token has a character that HTTP forbids";
        Refusal::Final(Failure::new(StopReason::Permission, what))
    })?;
    value.set_sensitive(true);
    Ok(request.header(AUTHORIZATION, value))
}

/// Sends a request that is answered with `expected`.
///
/// # Errors
///
/// Why it is not.
pub(super) async fn send(request: RequestBuilder, expected: u16) -> Result<Response, Refused> {
    let Ok(answer) = timeout(ANSWER_WITHIN, request.send()).await else {
        return Err(Refused {
            refusal: Refusal::Later("no answer in time".to_owned(), None),
            is_connected: true,
        });
    };
    let answer = answer.map_err(|error| Refused {
        is_connected: !error.is_connect(),
        refusal: of_request(error),
    })?;
    let status = answer.status();
    if status.as_u16() == expected {
        return Ok(answer);
    }
    let after = answer.headers().get(RETRY_AFTER);
    let after = after.and_then(|after| after.to_str().ok()?.parse().ok());
    let after = after.map(Duration::from_secs);
    let is_text = answer
        .headers()
        .get(reqwest::header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("text/plain"));
    // The page of a proxy says nothing that the status does not.
    let said = match is_text {
        true => beginning(answer).await,
        false => String::new(),
    };
    Err(Refused {
        refusal: Refusal::of_status(status, &said, after),
        is_connected: true,
    })
}

/// The beginning of a text.
async fn beginning(mut answer: Response) -> String {
    let mut text = Vec::new();
    let read = async {
        while let Ok(Some(more)) = answer.chunk().await {
            text.extend_from_slice(&more);
            if text.len() > MAX_ERROR {
                break;
            }
        }
    };
    // What has come by then is said.
    let _in_time = timeout(ANSWER_WITHIN, read).await;
    text.truncate(MAX_ERROR);
    String::from_utf8_lossy(&text).into_owned()
}
