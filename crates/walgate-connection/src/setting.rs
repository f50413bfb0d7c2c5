//! The parameters that take one of a few words, or a number.

use std::time::Duration;

use crate::config_error::ConfigError;
use crate::parameter::Parameters;

/// A parameter whose values are a fixed list of words.
pub(crate) trait Choice: Copy + 'static {
    /// libpq's name of the parameter.
    const PARAMETER: &'static str;
    /// Each word and what it means.
    const WORDS: &'static [(&'static str, Self)];

    fn parse(text: &str) -> Result<Self, ConfigError> {
        let known = Self::WORDS.iter().find(|(word, _)| *word == text);
        known.map(|(_, value)| *value).ok_or_else(|| {
            let words: Vec<&str> = Self::WORDS.iter().map(|(word, _)| *word).collect();
            let problem = format!(
                "unknown value {:?}",
                text.chars().take(32).collect::<String>()
            );
            ConfigError::invalid(
                Self::PARAMETER,
                problem,
                format!("one of {}", words.join(", ")),
            )
        })
    }
}

/// The value of the parameter that `C` is for, where there is one.
pub(crate) fn choice<C: Choice>(parameters: &Parameters) -> Result<Option<C>, ConfigError> {
    parameters.get(C::PARAMETER).map(C::parse).transpose()
}

/// `sslmode`, with libpq's exact meanings. Sockets of the Unix domain are never encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Plain text only.
    Disable,
    /// Plain text first; TLS when the server refuses that.
    Allow,
    /// TLS when the server offers it, else plain text. libpq's default.
    Prefer,
    /// TLS or nothing. The certificate's chain is checked when there is a root certificate
    /// (`sslrootcert`, or `~/.postgresql/root.crt`); without one, anybody can pose as the server.
    Require,
    /// TLS, and the chain must lead to the root certificate.
    VerifyCa,
    /// TLS, the chain, and the certificate must name the host.
    VerifyFull,
}

impl Choice for SslMode {
    const PARAMETER: &'static str = "sslmode";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("disable", Self::Disable),
        ("allow", Self::Allow),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
        ("verify-ca", Self::VerifyCa),
        ("verify-full", Self::VerifyFull),
    ];
}

impl std::fmt::Display for SslMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = Self::WORDS
            .iter()
            .find(|(_, mode)| mode == self)
            .map(|(word, _)| *word);
        f.write_str(word.unwrap_or_default())
    }
}

/// `sslnegotiation`: how TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SslNegotiation {
    /// Ask the server first (SSLRequest).
    Postgres,
    /// Start with the handshake at once; PostgreSQL 17 and up.
    Direct,
}

impl Choice for SslNegotiation {
    const PARAMETER: &'static str = "sslnegotiation";
    const WORDS: &'static [(&'static str, Self)] =
        &[("postgres", Self::Postgres), ("direct", Self::Direct)];
}

/// `channel_binding`: whether SCRAM must be tied to the TLS connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChannelBindingMode {
    Disable,
    Prefer,
    Require,
}

impl Choice for ChannelBindingMode {
    const PARAMETER: &'static str = "channel_binding";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("disable", Self::Disable),
        ("prefer", Self::Prefer),
        ("require", Self::Require),
    ];
}

/// `target_session_attrs`: which servers are acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetSessionAttrs {
    /// Every server.
    Any,
    /// One whose sessions can write by default.
    ReadWrite,
    /// One whose sessions cannot write by default.
    ReadOnly,
    /// One that is not in hot standby.
    Primary,
    /// One in hot standby.
    Standby,
    /// One in hot standby; if there is none in the list, any.
    PreferStandby,
}

impl Choice for TargetSessionAttrs {
    const PARAMETER: &'static str = "target_session_attrs";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("any", Self::Any),
        ("read-write", Self::ReadWrite),
        ("read-only", Self::ReadOnly),
        ("primary", Self::Primary),
        ("standby", Self::Standby),
        ("prefer-standby", Self::PreferStandby),
    ];
}

impl std::fmt::Display for TargetSessionAttrs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = Self::WORDS
            .iter()
            .find(|(_, attrs)| attrs == self)
            .map(|(word, _)| *word);
        f.write_str(word.unwrap_or_default())
    }
}

/// `load_balance_hosts`: the order of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoadBalanceHosts {
    Disable,
    Random,
}

impl Choice for LoadBalanceHosts {
    const PARAMETER: &'static str = "load_balance_hosts";
    const WORDS: &'static [(&'static str, Self)] =
        &[("disable", Self::Disable), ("random", Self::Random)];
}

/// `ssl_min_protocol_version` and `ssl_max_protocol_version`. Versions before 1.2 do not exist here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TlsVersion {
    V12,
    V13,
}

impl Choice for TlsVersion {
    const PARAMETER: &'static str = "ssl_min_protocol_version or ssl_max_protocol_version";
    const WORDS: &'static [(&'static str, Self)] =
        &[("TLSv1.2", Self::V12), ("TLSv1.3", Self::V13)];
}

/// A whole number of libpq's: white space around it is allowed, a sign only where it makes sense.
pub(crate) fn number(parameter: &'static str, text: &str) -> Result<i32, ConfigError> {
    text.trim_ascii().parse().map_err(|_| {
        let problem = format!(
            "not a whole number: {:?}",
            text.chars().take(32).collect::<String>()
        );
        ConfigError::invalid(parameter, problem, "write a number without unit")
    })
}

/// A duration in `unit`s; zero and negative mean "none", as in libpq.
pub(crate) fn duration(
    parameter: &'static str,
    text: &str,
    unit: Duration,
) -> Result<Option<Duration>, ConfigError> {
    let value = u32::try_from(number(parameter, text)?).unwrap_or(0);
    Ok((value > 0).then(|| unit.saturating_mul(value)))
}

/// A switch: 0 or 1.
pub(crate) fn switch(parameter: &'static str, text: &str) -> Result<bool, ConfigError> {
    match number(parameter, text)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(ConfigError::invalid(
            parameter,
            "neither 0 nor 1",
            "one of 0, 1",
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Choice as _, SslMode, TargetSessionAttrs, duration, switch};

    #[test]
    fn words_are_exact_and_an_unknown_one_lists_the_known() {
        assert_eq!(SslMode::parse("verify-full"), Ok(SslMode::VerifyFull));
        for wrong in ["Require", "verify_full", "on", "true", ""] {
            let error = SslMode::parse(wrong).expect_err("unknown");
            assert!(
                error.hint().expect("hint").contains("verify-full"),
                "{wrong}"
            );
        }
        assert_eq!(SslMode::VerifyCa.to_string(), "verify-ca");
        assert_eq!(TargetSessionAttrs::ReadWrite.to_string(), "read-write");
    }

    #[test]
    fn numbers_by_libpqs_rules() {
        let second = Duration::from_secs(1);
        assert_eq!(
            duration("t", " 5 ", second),
            Ok(Some(Duration::from_secs(5)))
        );
        assert_eq!(duration("t", "0", second), Ok(None));
        assert_eq!(duration("t", "-1", second), Ok(None));
        for wrong in ["5s", "5.5", "1e9", "0x10", "99999999999", ""] {
            assert!(duration("t", wrong, second).is_err(), "{wrong}");
        }
        assert_eq!(switch("k", "1"), Ok(true));
        assert!(switch("k", "2").is_err());
    }
}
