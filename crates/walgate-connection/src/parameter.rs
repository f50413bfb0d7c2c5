//! libpq's connection parameters by name, and the `PG*` variables that stand in for them.
//!
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS>

use std::collections::BTreeMap;

use crate::config_error::ConfigError;
use crate::environment::Environment;

/// A parameter that this crate understands, and the variable that libpq reads in its place.
struct Keyword {
    name: &'static str,
    variable: Option<&'static str>,
}

const fn keyword(name: &'static str, variable: &'static str) -> Keyword {
    Keyword {
        name,
        variable: Some(variable),
    }
}

const fn plain(name: &'static str) -> Keyword {
    Keyword {
        name,
        variable: None,
    }
}

const KEYWORDS: &[Keyword] = &[
    keyword("application_name", "PGAPPNAME"),
    keyword("channel_binding", "PGCHANNELBINDING"),
    keyword("client_encoding", "PGCLIENTENCODING"),
    keyword("connect_timeout", "PGCONNECT_TIMEOUT"),
    keyword("dbname", "PGDATABASE"),
    plain("fallback_application_name"),
    keyword("gssencmode", "PGGSSENCMODE"),
    keyword("host", "PGHOST"),
    keyword("hostaddr", "PGHOSTADDR"),
    plain("keepalives"),
    plain("keepalives_count"),
    plain("keepalives_idle"),
    plain("keepalives_interval"),
    keyword("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    keyword("options", "PGOPTIONS"),
    keyword("passfile", "PGPASSFILE"),
    keyword("password", "PGPASSWORD"),
    keyword("port", "PGPORT"),
    keyword("require_auth", "PGREQUIREAUTH"),
    keyword("service", "PGSERVICE"),
    keyword("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    keyword("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    keyword("sslcert", "PGSSLCERT"),
    plain("sslcompression"),
    keyword("sslkey", "PGSSLKEY"),
    keyword("sslmode", "PGSSLMODE"),
    keyword("sslnegotiation", "PGSSLNEGOTIATION"),
    keyword("sslrootcert", "PGSSLROOTCERT"),
    plain("sslsni"),
    keyword("target_session_attrs", "PGTARGETSESSIONATTRS"),
    plain("tcp_user_timeout"),
    keyword("user", "PGUSER"),
];

/// Parameters of libpq that this crate refuses, and why. Ignoring one that protects the connection
/// would be a silent loss of protection.
const REFUSED: &[(&str, Option<&str>, &str)] = &[
    ("gsslib", Some("PGGSSLIB"), "gssapi is not supported"),
    (
        "gssdelegation",
        Some("PGGSSDELEGATION"),
        "gssapi is not supported",
    ),
    (
        "krbsrvname",
        Some("PGKRBSRVNAME"),
        "gssapi is not supported",
    ),
    ("replication", None, "it is set by the program itself"),
    (
        "requirepeer",
        Some("PGREQUIREPEER"),
        "checking the owner of a socket is not supported",
    ),
    ("requiressl", Some("PGREQUIRESSL"), "use sslmode=require"),
    (
        "sslcertmode",
        Some("PGSSLCERTMODE"),
        "leave out sslcert and sslkey to send no certificate",
    ),
    (
        "sslcrl",
        Some("PGSSLCRL"),
        "certificate revocation lists are not supported",
    ),
    (
        "sslcrldir",
        Some("PGSSLCRLDIR"),
        "certificate revocation lists are not supported",
    ),
    (
        "sslkeylogfile",
        None,
        "writing out session keys is not supported",
    ),
    (
        "sslpassword",
        None,
        "encrypted keys are not supported, decrypt the key with openssl pkey",
    ),
];

/// Spellings that people bring from other drivers.
const FOREIGN: &[(&str, &str)] = &[
    ("applicationname", "application_name"),
    ("connecttimeout", "connect_timeout"),
    ("currentschema", "options"),
    ("database", "dbname"),
    ("db", "dbname"),
    ("hostname", "host"),
    ("logintimeout", "connect_timeout"),
    ("pass", "password"),
    ("pwd", "password"),
    ("server", "host"),
    ("ssl", "sslmode"),
    ("ssl_mode", "sslmode"),
    ("sslca", "sslrootcert"),
    ("targetservertype", "target_session_attrs"),
    ("username", "user"),
];

/// Values by libpq's parameter names.
#[derive(Default)]
pub(crate) struct Parameters(BTreeMap<&'static str, String>);

impl Parameters {
    /// Stores a value; a later one replaces an earlier one, as in libpq.
    pub(crate) fn set(&mut self, name: &str, value: String) -> Result<(), ConfigError> {
        if let Some(keyword) = KEYWORDS.iter().find(|keyword| keyword.name == name) {
            self.0.insert(keyword.name, value);
            return Ok(());
        }
        if let Some((name, _, reason)) = REFUSED.iter().find(|(refused, ..)| *refused == name) {
            return Err(ConfigError::invalid(name, "not supported", *reason));
        }
        Err(unknown(name))
    }

    /// The value of a parameter. An empty value is the same as none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The value of a parameter, moved out.
    pub(crate) fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    /// Takes what the environment says for each parameter that has no value yet.
    pub(crate) fn fill_from(&mut self, environment: &Environment) -> Result<(), ConfigError> {
        for keyword in KEYWORDS {
            let Some(value) = keyword
                .variable
                .and_then(|variable| environment.get(variable))
            else {
                continue;
            };
            if self.get(keyword.name).is_none() {
                self.0.insert(keyword.name, value);
            }
        }
        for (name, variable, reason) in REFUSED {
            if variable.is_some_and(|variable| environment.get(variable).is_some()) {
                let problem = format!("{} is set, but not supported", variable.unwrap_or_default());
                return Err(ConfigError::invalid(name, problem, *reason));
            }
        }
        Ok(())
    }

    /// Takes over those values of `other` that have none here yet.
    pub(crate) fn fill_with(&mut self, other: Self) {
        for (name, value) in other.0 {
            self.0.entry(name).or_insert(value);
        }
    }
}

fn unknown(name: &str) -> ConfigError {
    let lower = name.to_ascii_lowercase();
    let suggestion = FOREIGN
        .iter()
        .find(|(foreign, _)| *foreign == lower)
        .map(|(_, own)| *own)
        .or_else(|| {
            KEYWORDS
                .iter()
                .map(|keyword| {
                    (
                        strsim::damerau_levenshtein(keyword.name, &lower),
                        keyword.name,
                    )
                })
                // Two slips of the pen, but never half of a short name.
                .filter(|(distance, known)| *distance <= 2 && *distance * 2 < known.len())
                .min()
                .map(|(_, known)| known)
        });
    // A word that does not look like a name may be a piece of an unquoted password.
    let plausible = name.len() <= 40
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphabetic() || c == '_');
    let name = if plausible || suggestion.is_some() {
        name
    } else {
        "(not shown)"
    };
    ConfigError::UnknownParameter {
        name: name.to_owned(),
        suggestion,
    }
}

#[cfg(test)]
mod tests {
    use super::Parameters;
    use crate::config_error::ConfigError;
    use crate::environment::Environment;

    fn refusal(name: &str) -> ConfigError {
        Parameters::default()
            .set(name, "x".to_owned())
            .expect_err("refused")
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_nearest_known_one() {
        for (given, meant) in [
            ("sslmod", "sslmode"),
            ("SSLMODE", "sslmode"),
            ("hots", "host"),
            ("database", "dbname"),
            ("aplication_name", "application_name"),
            ("target_session_attr", "target_session_attrs"),
            ("sslrootcrt", "sslrootcert"),
        ] {
            assert_eq!(
                refusal(given).hint(),
                Some(format!("did you mean \"{meant}\"?")),
                "{given}"
            );
        }
        assert_eq!(refusal("frobnicate").hint(), None);
        assert!(refusal("frobnicate").to_string().contains("frobnicate"));
    }

    #[test]
    fn a_word_that_is_no_name_is_not_shown() {
        assert!(!refusal("hunter2!").to_string().contains("hunter2"));
    }

    #[test]
    fn what_protects_is_refused_and_not_ignored() {
        for name in [
            "requirepeer",
            "sslcrl",
            "sslpassword",
            "replication",
            "krbsrvname",
        ] {
            assert!(
                refusal(name).to_string().contains("not supported"),
                "{name}"
            );
        }
        let environment = Environment::from_pairs([("PGSSLCRL", "/crl.pem")]);
        let error = Parameters::default()
            .fill_from(&environment)
            .expect_err("refused");
        assert!(error.to_string().contains("PGSSLCRL"), "{error}");
    }

    #[test]
    fn the_environment_only_fills_gaps() {
        let mut parameters = Parameters::default();
        parameters.set("host", "a".to_owned()).expect("known");
        parameters.set("user", String::new()).expect("known");
        let environment = Environment::from_pairs([("PGHOST", "b"), ("PGUSER", "u")]);
        parameters.fill_from(&environment).expect("valid");
        assert_eq!(parameters.get("host"), Some("a"));
        assert_eq!(parameters.get("user"), Some("u"));
    }
}
