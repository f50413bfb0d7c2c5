//! What a throw-away PostgreSQL is started with.

use std::fmt;

/// Which PostgreSQL to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum PgVersion {
    /// PostgreSQL 14.
    V14,
    /// PostgreSQL 15.
    V15,
    /// PostgreSQL 16.
    V16,
    /// PostgreSQL 17.
    V17,
    /// PostgreSQL 18.
    V18,
    /// What is installed on this machine, never a download.
    System,
    /// The newest that is here already, installed or cached; version 17 is fetched if none is.
    #[default]
    Any,
}

impl PgVersion {
    /// The five versions that Walgate supports, oldest first.
    pub const ALL: [Self; 5] = [Self::V14, Self::V15, Self::V16, Self::V17, Self::V18];

    /// The major version, when one is named.
    pub const fn major(self) -> Option<u32> {
        match self {
            Self::V14 => Some(14),
            Self::V15 => Some(15),
            Self::V16 => Some(16),
            Self::V17 => Some(17),
            Self::V18 => Some(18),
            Self::System | Self::Any => None,
        }
    }
}

impl fmt::Display for PgVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.major()) {
            (_, Some(major)) => write!(f, "{major}"),
            (Self::System, None) => f.write_str("system"),
            (_, None) => f.write_str("any"),
        }
    }
}

/// How TCP connections authenticate. The Unix socket always trusts, so that a test can administer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PgAuth {
    /// No password is asked for.
    #[default]
    Trust,
    /// SCRAM-SHA-256 with [`PostgresOptions::password`].
    ScramSha256,
    /// MD5 with [`PostgresOptions::password`].
    Md5,
    /// A client certificate whose common name is the user; needs [`PostgresOptions::tls`].
    Cert,
}

impl PgAuth {
    /// The method's name in pg_hba.conf.
    pub(crate) const fn method(self) -> &'static str {
        match self {
            Self::Trust => "trust",
            Self::ScramSha256 => "scram-sha-256",
            Self::Md5 => "md5",
            Self::Cert => "cert",
        }
    }
}

/// TLS of the server. The certificate comes from an authority made for this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgTls {
    /// Names and addresses in the server's certificate.
    pub hosts: Vec<String>,
    /// Whether TCP without TLS is refused.
    pub only: bool,
}

impl Default for PgTls {
    fn default() -> Self {
        Self {
            hosts: vec!["localhost".into(), "127.0.0.1".into()],
            only: false,
        }
    }
}

/// Options of [`Postgres::start`](crate::Postgres::start).
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Which version.
    pub version: PgVersion,
    /// Settings for postgresql.conf, after and above our own.
    pub settings: Vec<(String, String)>,
    /// Lines of pg_hba.conf that come before ours.
    pub hba: Vec<String>,
    /// How TCP connections authenticate.
    pub auth: PgAuth,
    /// Password of the user `postgres`; `walgate` when a method needs one and this is `None`.
    pub password: Option<String>,
    /// TLS, off by default.
    pub tls: Option<PgTls>,
    /// Size of the files of the log in MiB, a power of two; 16 when it is `None`. With small ones little
    /// has to be written until a slot is in danger.
    pub wal_segment_mib: Option<u32>,
}

impl PostgresOptions {
    /// Defaults for one version.
    pub fn version(version: PgVersion) -> Self {
        Self {
            version,
            ..Self::default()
        }
    }

    /// Adds a setting of postgresql.conf.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Sets how TCP connections authenticate.
    #[must_use]
    pub const fn auth(mut self, auth: PgAuth) -> Self {
        self.auth = auth;
        self
    }

    /// Sets the size of the files of the log.
    #[must_use]
    pub const fn wal_segment_mib(mut self, mib: u32) -> Self {
        self.wal_segment_mib = Some(mib);
        self
    }

    /// Turns TLS on.
    #[must_use]
    pub fn tls(mut self, tls: PgTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The password that TCP connections need, if any.
    pub(crate) fn needed_password(&self) -> Option<&str> {
        match self.auth {
            PgAuth::Trust | PgAuth::Cert => self.password.as_deref(),
            PgAuth::ScramSha256 | PgAuth::Md5 => {
                Some(self.password.as_deref().unwrap_or("walgate"))
            }
        }
    }
}
