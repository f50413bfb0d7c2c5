//! The cookie that holds a token for pages of the server's own: an event stream of a browser can carry
//! no header.

use std::time::{Duration, SystemTime};

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const NAME: &str = "walgate_session";

/// The token of a request's cookie. Its text is encoded: a token may hold what a cookie may not.
pub(crate) fn token(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(COOKIE).iter();
    let mut pairs = all
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    let value = pairs.find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name.trim() == NAME).then(|| value.trim())
    })?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(value).ok()?).ok()
}

/// The header that has a browser keep a token for `lives`, or until it is closed. Scripts can't read it,
/// and it is sent with no request that another site has caused.
pub(crate) fn kept(token: &str, lives: Option<Duration>, secure: bool) -> Option<HeaderValue> {
    let age = lives.map(|lives| format!("; Max-Age={}", lives.as_secs()));
    let value = URL_SAFE_NO_PAD.encode(token);
    let mut header = HeaderValue::try_from(format!(
        "{NAME}={value}{}{}",
        attributes(secure),
        age.unwrap_or_default()
    ))
    .ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// The header that has a browser forget it.
pub(crate) fn forgotten(secure: bool) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{NAME}={}; Max-Age=0", attributes(secure))).ok()
}

fn attributes(secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("; Path=/v1; HttpOnly; SameSite=Strict{secure}")
}

/// How long something that expires is kept; none when it does not.
pub(crate) fn lives(expires: Option<SystemTime>, now: SystemTime) -> Option<Duration> {
    expires.map(|expires| expires.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back() {
        let hour = Some(Duration::from_secs(3600));
        let header = kept("a; b=\"c\"\n", hour, true).expect("a header");
        let text = header.to_str().expect("text").to_owned();
        for part in [
            "; HttpOnly",
            "; SameSite=Strict",
            "; Secure",
            "; Max-Age=3600",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!format!("{header:?}").contains(NAME), "it is shown nowhere");
        let (pair, _) = text.split_once(';').expect("attributes");
        let mut headers = HeaderMap::new();
        let sent = format!("other=1; {pair}; walgate=2");
        headers.insert(COOKIE, HeaderValue::try_from(sent).expect("a header"));
        assert_eq!(token(&headers).as_deref(), Some("a; b=\"c\"\n"));
        headers.insert(COOKIE, HeaderValue::from_static("walgate_session=%"));
        assert_eq!(token(&headers), None);
        assert_eq!(token(&HeaderMap::new()), None);
    }
}
