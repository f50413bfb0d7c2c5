//! `require_auth`: which ways of authentication the client accepts.

use crate::config_error::ConfigError;

/// A way of authentication, as `require_auth` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthenticationMethod {
    /// The server asks for nothing (trust, peer, ident, or a certificate).
    None,
    Password,
    Md5,
    ScramSha256,
}

/// With the names of methods that can never happen here, but that a list may name.
const WORDS: [(&str, Option<AuthenticationMethod>); 7] = [
    ("none", Some(AuthenticationMethod::None)),
    ("password", Some(AuthenticationMethod::Password)),
    ("md5", Some(AuthenticationMethod::Md5)),
    ("scram-sha-256", Some(AuthenticationMethod::ScramSha256)),
    ("gss", None),
    ("sspi", None),
    ("oauth", None),
];

impl AuthenticationMethod {
    pub(crate) fn name(self) -> &'static str {
        WORDS
            .iter()
            .find(|(_, method)| *method == Some(self))
            .map_or("", |(word, _)| word)
    }
}

/// Parses a comma-separated list: either all accepted methods, or, each with `!`, all refused ones.
pub(crate) fn parse(text: Option<&str>) -> Result<Option<Vec<AuthenticationMethod>>, ConfigError> {
    let Some(text) = text else { return Ok(None) };
    let hint = "none, password, md5, scram-sha-256, or each of them with a !";
    let mut named = Vec::new();
    let mut negated = None;
    for word in text.split(',') {
        let (negative, word) = match word.strip_prefix('!') {
            Some(word) => (true, word),
            None => (false, word),
        };
        if *negated.get_or_insert(negative) != negative {
            return Err(ConfigError::invalid(
                "require_auth",
                "accepts and refuses at once",
                hint,
            ));
        }
        let Some((_, method)) = WORDS.iter().find(|(known, _)| *known == word) else {
            return Err(ConfigError::invalid("require_auth", "unknown method", hint));
        };
        named.extend(*method);
    }
    let all = WORDS.iter().filter_map(|(_, method)| *method);
    let accepted = all.filter(|method| named.contains(method) != negated.unwrap_or(false));
    Ok(Some(accepted.collect()))
}

#[cfg(test)]
mod tests {
    use super::AuthenticationMethod::{Md5, None as Nothing, Password, ScramSha256};
    use super::parse;

    #[test]
    fn lists_and_negated_lists() {
        assert_eq!(parse(None), Ok(None));
        assert_eq!(
            parse(Some("scram-sha-256,none")),
            Ok(Some(vec![Nothing, ScramSha256]))
        );
        assert_eq!(
            parse(Some("!password,!md5")),
            Ok(Some(vec![Nothing, ScramSha256]))
        );
        assert_eq!(parse(Some("gss")), Ok(Some(vec![])));
        assert_eq!(
            parse(Some("!gss")),
            Ok(Some(vec![Nothing, Password, Md5, ScramSha256]))
        );
        assert!(parse(Some("md5,!none")).is_err());
        assert!(parse(Some("scram")).is_err());
    }
}
