//! What a request has to show before it is answered.

use std::future::Future;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::access::expiry::rfc3339;
use crate::access::{Access, Peer, Policy};
use crate::cookie;
use crate::counters::Counters;
use crate::handshake::{self, Refused};
use crate::protocol::Start;
use crate::resources;
use crate::server::{Shared, TEXT, text};
use crate::session::{Desk, Refusal};

/// A request that may become a connection.
pub(crate) struct Admitted {
    pub(crate) desk: Arc<Desk>,
    /// What its token opens; none when it has none, and a message may still bring it.
    pub(crate) access: Option<Access>,
    /// What its address says.
    pub(crate) start: Option<Start>,
}

/// What every connection needs before it is one, or the answer that it gets instead. The body of a
/// request can't wait with it.
pub(crate) fn admit<'d>(
    desk: &'d Shared,
    request: &Request,
) -> impl Future<Output = Result<Admitted, Refused>> + Send + use<'d> {
    let headers = request.headers().clone();
    let query = request.uri().query().map(str::to_owned);
    let peer = request.extensions().get::<Peer>().cloned();
    async move {
        let admitted = admitted(desk, &headers, query.as_deref(), peer).await;
        admitted.inspect_err(|_| refused(desk))
    }
}

fn refused(desk: &Shared) {
    if let Some(desk) = desk.get() {
        Counters::count(&desk.hub.counters.refused);
    }
}

async fn admitted(
    desk: &Shared,
    headers: &HeaderMap,
    query: Option<&str>,
    peer: Option<Peer>,
) -> Result<Admitted, Refused> {
    let desk = welcome(desk, headers)?;
    let start =
        handshake::start_of(query).map_err(|message| text(StatusCode::BAD_REQUEST, message))?;
    let token = handshake::token(headers);
    let kept = cookie::token(headers).filter(|_| token.is_none());
    let policy = desk.policy();
    let access = policy.admit(token.or(kept.as_deref())).await;
    // A token that is wrong is never taken for one that was not sent. A browser sends its cookie
    // whether it is asked for or not.
    if access.is_none() && token.is_some() {
        return Err(unauthorized().into());
    }
    // Who shows a token means it, and has what that opens; a certificate stands behind it.
    let access = access.or_else(|| policy.of_peer(peer.as_ref()?, SystemTime::now()));
    Ok(Admitted {
        desk: Arc::clone(desk),
        access,
        start,
    })
}

/// What a request needs that may come from a browser, whatever it shows.
fn welcome<'d>(desk: &'d Shared, headers: &HeaderMap) -> Result<&'d Arc<Desk>, Refused> {
    let Some(desk) = desk.get() else {
        let soon = [(RETRY_AFTER, "1")];
        let reason = "walgate has not reached its source yet: come back\n";
        let refused = (StatusCode::SERVICE_UNAVAILABLE, soon, reason);
        return Err(refused.into_response().into());
    };
    let options = &desk.options;
    // Who needs no token could be any page whose name was made to mean this machine.
    if matches!(options.policy, Policy::Open)
        && !handshake::is_our_name(headers, &options.listen, &options.origins)
    {
        let reason = "this is not the name of the server: add it to origins";
        return Err(text(StatusCode::FORBIDDEN, reason).into());
    }
    if !handshake::is_welcome(headers, &options.origins) {
        let reason = "pages of this origin may not connect";
        return Err(text(StatusCode::FORBIDDEN, reason).into());
    }
    Ok(desk)
}

/// What an event stream is answered that is refused for what it asks.
pub(crate) fn refusal(refusal: Refusal) -> Response {
    if refusal.is_crowd() {
        let later = [(RETRY_AFTER, "10"), (CONTENT_TYPE, TEXT)];
        let body = refusal.message + "\n";
        return (StatusCode::TOO_MANY_REQUESTS, later, body).into_response();
    }
    text(StatusCode::BAD_REQUEST, refusal.message)
}

pub(crate) fn unauthorized() -> Response {
    let refused = (
        StatusCode::UNAUTHORIZED,
        [(WWW_AUTHENTICATE, "Bearer"), (CONTENT_TYPE, TEXT)],
        "the header Authorization: Bearer TOKEN is needed\n",
    );
    refused.into_response()
}

/// `POST /v1/session`: a browser is to keep the token of the header as a cookie, for as long as it
/// opens something.
pub(crate) async fn keep(
    State(desk): State<Shared>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    keeping(&desk, &headers)
        .await
        .inspect_err(|_| refused(&desk))
}

async fn keeping(desk: &Shared, headers: &HeaderMap) -> Result<Response, Refused> {
    let desk = welcome(desk, headers)?;
    // Not the cookie itself: it would never end.
    let token = handshake::token(headers).ok_or_else(unauthorized)?;
    let access = desk.policy().admit(Some(token)).await;
    let expires = access.ok_or_else(unauthorized)?.expires;
    let lives = cookie::lives(expires, SystemTime::now());
    let header = cookie::kept(token, lives, desk.options.tls.is_some());
    let body = match expires {
        Some(expires) => json!({"expires": rfc3339(expires)}),
        None => json!({}),
    };
    let mut response = resources::json(body.to_string() + "\n", "no-store");
    let header = header.ok_or_else(unauthorized)?;
    response.headers_mut().insert(SET_COOKIE, header);
    Ok(response)
}

/// `DELETE /v1/session`: a browser is to forget the token.
pub(crate) async fn forget(
    State(desk): State<Shared>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let desk = welcome(&desk, &headers)?;
    let mut response = (StatusCode::NO_CONTENT, [(CACHE_CONTROL, "no-store")]).into_response();
    if let Some(header) = cookie::forgotten(desk.options.tls.is_some()) {
        response.headers_mut().insert(SET_COOKIE, header);
    }
    Ok(response)
}
