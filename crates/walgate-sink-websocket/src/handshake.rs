//! The opening handshake of RFC 6455 section 4.2, and what requests say besides.

use std::net::IpAddr;

use axum::http::header::{
    AUTHORIZATION, CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use tungstenite::handshake::derive_accept_key;

use crate::protocol::{Start, Wanted};

/// The subprotocol; a browser that has no header for its token sends `bearer.TOKEN` beside it.
const SUBPROTOCOL: &str = "walgate.v1";
const BEARER_SUBPROTOCOL: &str = "bearer.";

/// The answer to a request that does not become a connection.
pub(crate) struct Refused(Box<Response>);

impl From<Response> for Refused {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// Answers a request for a WebSocket, if it is one.
///
/// # Errors
///
/// The answer to send instead.
pub(crate) fn accept(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
) -> Result<Response, Refused> {
    let refuse = |code: StatusCode, text: &str| {
        let headers = [(SEC_WEBSOCKET_VERSION, "13")];
        Refused::from((code, headers, format!("{text}\n")).into_response())
    };
    if method != Method::GET || version != Version::HTTP_11 {
        return Err(refuse(
            StatusCode::BAD_REQUEST,
            "a WebSocket begins with GET and HTTP/1.1",
        ));
    }
    if !has_token(headers, &UPGRADE, "websocket") || !has_token(headers, &CONNECTION, "upgrade") {
        return Err(refuse(
            StatusCode::UPGRADE_REQUIRED,
            "this is a WebSocket: send Connection: Upgrade and Upgrade: websocket",
        ));
    }
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .map(HeaderValue::as_bytes)
        != Some(b"13")
    {
        return Err(refuse(
            StatusCode::UPGRADE_REQUIRED,
            "only version 13 of WebSocket is spoken",
        ));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let key = key.filter(|key| {
        let decoded = base64::engine::general_purpose::STANDARD.decode(key);
        decoded.is_ok_and(|key| key.len() == 16)
    });
    let Some(key) = key else {
        return Err(refuse(
            StatusCode::BAD_REQUEST,
            "Sec-WebSocket-Key is not 16 bytes in base64",
        ));
    };
    let accept = HeaderValue::from_str(&derive_accept_key(key))
        .map_err(|_| refuse(StatusCode::BAD_REQUEST, "no key"))?;
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let answer = response.headers_mut();
    answer.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if subprotocols(headers).any(|name| name == SUBPROTOCOL) {
        answer.insert(
            SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
    }
    Ok(response)
}

/// Whether a header's list has this token, in any case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter();
    let mut tokens = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    tokens.any(|own| own.trim().eq_ignore_ascii_case(token))
}

fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
}

/// The token of a request, from its header or its subprotocols.
pub(crate) fn token(headers: &HeaderMap) -> Option<&str> {
    let header = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let bearer = header.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    bearer.or_else(|| {
        let mut all = subprotocols(headers);
        all.find_map(|name| name.strip_prefix(BEARER_SUBPROTOCOL))
    })
}

/// Whether a page of this origin may connect. What is no browser sends no origin; a page of the
/// server's own host is never foreign.
pub(crate) fn is_welcome(headers: &HeaderMap, origins: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let of_origin = origin.split_once("://").map(|(_, host)| host);
    let is_own = of_origin.is_some() && of_origin == host;
    is_own || origins.iter().any(|own| own == "*" || own == origin)
}

/// Whether a request was sent to a name that can only mean this server: an address, `localhost`, the name
/// that it listens on, or that of an origin that may connect. What is no browser may send none.
pub(crate) fn is_our_name(headers: &HeaderMap, listen: &str, origins: &[String]) -> bool {
    let name = |address: &str| -> String {
        let end = match address.rfind(']') {
            Some(bracket) => bracket + 1,
            None => address.rfind(':').unwrap_or(address.len()),
        };
        let name = address.get(..end).unwrap_or(address);
        name.trim_matches(['[', ']']).to_ascii_lowercase()
    };
    let of_origin = |origin: &String, own: &str| match origin.split_once("://") {
        Some((_, host)) => name(host) == own,
        None => origin == "*",
    };
    headers.get_all(HOST).iter().all(|host| {
        host.to_str().is_ok_and(|host| {
            let own = name(host);
            own == "localhost"
                || own.parse::<IpAddr>().is_ok()
                || own == name(listen)
                || origins.iter().any(|origin| of_origin(origin, &own))
        })
    })
}

/// What the address of a request says: none when it says nothing, and the client has to.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn start_of(query: Option<&str>) -> Result<Option<Start>, String> {
    let Some(query) = query.filter(|query| !query.is_empty()) else {
        return Ok(None);
    };
    let mut start = Start::default();
    let mut wanted = Wanted::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let flag = || match value.as_ref() {
            "" | "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(format!("{name} is true or false")),
        };
        match name.as_ref() {
            "table" => wanted.tables.push(value.into_owned()),
            "op" => wanted
                .ops
                .extend(value.split(',').map(|op| op.trim().to_owned())),
            "where" => wanted.filter = Some(value.into_owned()),
            "column" => wanted
                .columns
                .get_or_insert_default()
                .push(value.into_owned()),
            "transactions" => wanted.transactions = flag()?,
            "strict" => wanted.strict = flag()?,
            "snapshot" => start.snapshot = flag()?,
            "after" => start.after = Some(value.into_owned()).filter(|after| !after.is_empty()),
            "since" => start.since = Some(value.into_owned()).filter(|since| !since.is_empty()),
            // A value of it may be in a log by now; say no more than its name.
            _ => {
                return Err(format!(
                    "there is no parameter {:?}: table, op, where, column, transactions, strict, after, since, snapshot",
                    name.chars().take(32).collect::<String>()
                ));
            }
        }
    }
    start.subscriptions = Some(vec![wanted]);
    Ok(Some(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_mean_this_server_are_its_own() {
        let origins = ["https://app.example.com".to_owned()];
        let is_own = |host: &str| {
            let mut headers = HeaderMap::new();
            let host = HeaderValue::from_str(host).expect("a header");
            headers.insert(HOST, host);
            is_our_name(&headers, "push.internal:9465", &origins)
        };
        for host in [
            "127.0.0.1:9465",
            "127.0.0.1",
            "[::1]:9465",
            "[::1]",
            "LocalHost:9465",
            "push.internal:9465",
            "app.example.com",
        ] {
            assert!(is_own(host), "{host}");
        }
        for host in [
            "evil.example:9465",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
        ] {
            assert!(!is_own(host), "{host}");
        }
        assert!(is_our_name(&HeaderMap::new(), "127.0.0.1:0", &[]));
        assert!(is_our_name(
            &HeaderMap::from_iter([(HOST, HeaderValue::from_static("any"))]),
            "127.0.0.1:0",
            &["*".to_owned()]
        ));
    }
}
