//! What is answered.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use subtle::ConstantTimeEq as _;

use super::snapshot::{Look, Snapshots};
use crate::config::Secret;
use crate::metrics::Format;
use crate::watch::Pulse;

struct Desk {
    snapshots: Snapshots,
    pulse: Pulse,
    token: Option<Secret>,
}

/// Everything that there is.
pub(super) fn router(look: Look, pulse: Pulse, token: Option<Secret>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(page))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/status", get(status))
        .with_state(Arc::new(Desk {
            snapshots: Snapshots::new(look),
            pulse,
            token,
        }))
}

const TEXT: &str = "text/plain; charset=utf-8";

fn answer(code: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response {
    let headers: [(HeaderName, &str); 2] = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")];
    (code, headers, body.into()).into_response()
}

async fn index() -> Response {
    let text = concat!(
        "walgate ",
        env!("CARGO_PKG_VERSION"),
        "\n/metrics  Prometheus, and OpenMetrics for who accepts it\n/livez    our own loops go round\n\
         /readyz   changes flow, or would\n/status   everything, as JSON\n"
    );
    answer(StatusCode::OK, TEXT, text.to_owned())
}

/// Our own loops only: a database that is down is no reason to kill us.
async fn livez(State(desk): State<Arc<Desk>>) -> Response {
    let stuck = desk.pulse.stuck(Instant::now());
    match stuck.is_empty() {
        true => answer(StatusCode::OK, TEXT, "ok\n".to_owned()),
        false => {
            let text = format!("stuck: {}\n", stuck.join(", "));
            answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
        }
    }
}

async fn readyz(State(desk): State<Arc<Desk>>) -> Response {
    match desk.snapshots.present().ready() {
        Ok(()) => answer(StatusCode::OK, TEXT, "ok\n".to_owned()),
        // Errors of others may be in the reasons: who has no token gets none.
        Err(_) if desk.token.is_some() => answer(
            StatusCode::SERVICE_UNAVAILABLE,
            TEXT,
            "not ready\n".to_owned(),
        ),
        Err(reasons) => {
            let text = reasons.join("\n") + "\n";
            answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
        }
    }
}

async fn page(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response {
    if let Some(refused) = desk.refuse(&headers) {
        return refused;
    }
    let accept = headers.get_all(ACCEPT).iter();
    let accept: Vec<_> = accept.filter_map(|value| value.to_str().ok()).collect();
    let format = Format::accepted(&accept.join(","));
    let body = desk.snapshots.present().metrics(format);
    answer(StatusCode::OK, format.content_type(), body)
}

async fn status(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response {
    if let Some(refused) = desk.refuse(&headers) {
        return refused;
    }
    let body = desk.snapshots.present().status();
    answer(StatusCode::OK, "application/json", body)
}

impl Desk {
    /// What who has no right gets.
    fn refuse(&self, headers: &HeaderMap) -> Option<Response> {
        let wanted = self.token.as_ref()?.expose().trim().as_bytes();
        let given = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
        let token = given.and_then(|given| {
            let (scheme, token) = given.split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
        });
        let token = token.map(<[u8]>::trim_ascii).unwrap_or_default();
        // Takes as long whatever is wrong with it, but for its length.
        if bool::from(token.ct_eq(wanted)) {
            return None;
        }
        let refused = (
            StatusCode::UNAUTHORIZED,
            [(WWW_AUTHENTICATE, "Bearer"), (CONTENT_TYPE, TEXT)],
            "the header Authorization: Bearer TOKEN is needed\n",
        );
        Some(refused.into_response())
    }
}
