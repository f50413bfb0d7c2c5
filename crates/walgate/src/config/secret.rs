//! Values that are never printed.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

/// What stands in the place of a secret.
pub(super) const HIDDEN: &str = "***";

/// The key of the schema that marks a secret.
pub(super) const SECRET: &str = "x-secret";

/// A text that is never printed, and not serialized either.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one who needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string", "x-secret": true })
    }
}

/// A connection URL or a `key=value` string without its secrets, for people.
///
/// What can't be told apart is hidden whole: better too little than a password.
pub fn redact_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return redact_pairs(url);
    };
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (rest, None),
    };
    // The last @ ends the user information: a password with an @ that nobody escaped stays hidden.
    let place = match place.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:{HIDDEN}@{host}"),
            None => format!("{user}@{host}"),
        },
        None => place.to_owned(),
    };
    match query {
        None => format!("{scheme}://{place}"),
        // A ? in a password that nobody escaped ends up here.
        Some(query) if query.contains('@') => format!("{scheme}://{HIDDEN}"),
        Some(query) => {
            let pairs: Vec<_> = query.split('&').map(redact_pair).collect();
            format!("{scheme}://{place}?{}", pairs.join("&"))
        }
    }
}

fn redact_pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some((key, _)) if is_secret_key(key) => format!("{key}={HIDDEN}"),
        _ => pair.to_owned(),
    }
}

/// Values of `key=value` strings may be quoted and hold blanks, so everything behind a secret's
/// key is hidden.
fn redact_pairs(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let first = ["password", "passwd", "pwd", "secret"]
        .iter()
        .filter_map(|key| lower.find(key))
        .min();
    match first.and_then(|at| text.get(..at)) {
        Some(before) => format!("{before}password={HIDDEN}"),
        None if text.contains('=') || !text.contains(['@', ':']) => text.to_owned(),
        None => HIDDEN.to_owned(),
    }
}

/// Whether a key of a connection string or of Kafka's properties holds a secret.
pub(super) fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["password", "passwd", "secret", "jaas", "key.pem", "token"]
        .iter()
        .any(|part| key.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_their_password() {
        for (url, shown) in [
            (
                "postgres://app:geheim@db:5432/shop",
                "postgres://app:***@db:5432/shop",
            ),
            (
                "postgres://app:ge@heim@db/shop",
                "postgres://app:***@db/shop",
            ),
            (
                "postgres://app:ge:h/e%im#@db/shop",
                "postgres://app:***@db/shop",
            ),
            ("postgres://app:ge?heim@db/shop", "postgres://***"),
            (
                "postgres://app@db/shop?sslmode=require",
                "postgres://app@db/shop?sslmode=require",
            ),
            (
                "postgres:///shop?password=geheim&user=app",
                "postgres:///shop?password=***&user=app",
            ),
            ("postgres://[::1]:5432/shop", "postgres://[::1]:5432/shop"),
            ("host=db user=app", "host=db user=app"),
            (
                "host=db password='ge heim' user=app",
                "host=db password=***",
            ),
            ("host=db PASSWORD = geheim", "host=db password=***"),
            ("app:geheim@db", "***"),
        ] {
            assert_eq!(redact_url(url), shown);
            assert!(!redact_url(url).contains("heim"), "{url}");
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let secret = Secret::new("geheim");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.expose(), "geheim");
    }
}
