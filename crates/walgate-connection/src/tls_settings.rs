//! The parameters about TLS.

use std::path::PathBuf;

use crate::config_error::ConfigError;
use crate::environment::Environment;
use crate::parameter::Parameters;
use crate::setting::{self, Choice as _, SslMode, SslNegotiation, TlsVersion, switch};

/// What was asked for about TLS. Files are read at each connection, so that a renewed certificate
/// takes effect without a restart.
#[derive(Debug, Clone)]
pub(crate) struct TlsSettings {
    pub(crate) mode: SslMode,
    pub(crate) negotiation: SslNegotiation,
    pub(crate) roots: Roots,
    pub(crate) certificate: Option<ClientCertificate>,
    pub(crate) server_name_indication: bool,
    pub(crate) min_version: TlsVersion,
    pub(crate) max_version: TlsVersion,
}

/// Which certification authorities are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Roots {
    /// `sslrootcert`: the file must exist.
    File(PathBuf),
    /// `~/.postgresql/root.crt`: counts when it exists.
    DefaultFile(Option<PathBuf>),
    /// `sslrootcert=system`: those that the operating system trusts.
    System,
}

/// The files that prove who we are; `explicit` when they were named, not found by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) explicit: bool,
}

impl TlsSettings {
    /// Resolves what the parameters say, with libpq's defaults.
    pub(crate) fn resolve(
        parameters: &Parameters,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let roots = match parameters.get("sslrootcert") {
            Some("system") => Roots::System,
            Some(path) => Roots::File(PathBuf::from(path)),
            None => Roots::DefaultFile(environment.home_file(".postgresql/root.crt")),
        };
        let system = roots == Roots::System;
        let mode = setting::choice(parameters)?.unwrap_or(if system {
            SslMode::VerifyFull
        } else {
            SslMode::Prefer
        });
        // Everybody can get a certificate from a public authority: without the name it proves nothing.
        if system && mode != SslMode::VerifyFull {
            return Err(ConfigError::Contradiction {
                first: "sslmode",
                second: "sslrootcert",
                problem: format!(
                    "sslmode={mode} is too weak for sslrootcert=system, use verify-full"
                ),
            });
        }
        let negotiation = setting::choice(parameters)?.unwrap_or(SslNegotiation::Postgres);
        if negotiation == SslNegotiation::Direct && mode < SslMode::Require {
            return Err(ConfigError::Contradiction {
                first: "sslmode",
                second: "sslnegotiation",
                problem: format!(
                    "sslmode={mode} is too weak for sslnegotiation=direct, use require"
                ),
            });
        }
        let min_version = match parameters.get("ssl_min_protocol_version") {
            // Allowed by libpq, but older than anything that can be negotiated here.
            None | Some("TLSv1" | "TLSv1.1") => TlsVersion::V12,
            Some(text) => TlsVersion::parse(text)?,
        };
        let max_version = match parameters.get("ssl_max_protocol_version") {
            None => TlsVersion::V13,
            Some(text) => TlsVersion::parse(text)?,
        };
        if min_version > max_version {
            return Err(ConfigError::Contradiction {
                first: "ssl_min_protocol_version",
                second: "ssl_max_protocol_version",
                problem: "the minimum is above the maximum".to_owned(),
            });
        }
        if let Some(text) = parameters.get("sslcompression")
            && switch("sslcompression", text)?
        {
            let hint = "leave it out: compression under TLS is unsafe";
            return Err(ConfigError::invalid(
                "sslcompression",
                "not supported",
                hint,
            ));
        }
        Ok(Self {
            mode,
            negotiation,
            roots,
            certificate: client_certificate(parameters, environment)?,
            server_name_indication: match parameters.get("sslsni") {
                Some(text) => switch("sslsni", text)?,
                None => true,
            },
            min_version,
            max_version,
        })
    }
}

fn client_certificate(
    parameters: &Parameters,
    environment: &Environment,
) -> Result<Option<ClientCertificate>, ConfigError> {
    let named = parameters.get("sslcert").map(PathBuf::from);
    let key = parameters.get("sslkey").map(PathBuf::from);
    if named.is_none() && key.is_some() {
        return Err(ConfigError::Contradiction {
            first: "sslkey",
            second: "sslcert",
            problem: "a key without its certificate".to_owned(),
        });
    }
    let explicit = named.is_some();
    let certificate = named.or_else(|| environment.home_file(".postgresql/postgresql.crt"));
    let key = key.or_else(|| environment.home_file(".postgresql/postgresql.key"));
    Ok(certificate
        .zip(key)
        .map(|(certificate, key)| ClientCertificate {
            certificate,
            key,
            explicit,
        }))
}
