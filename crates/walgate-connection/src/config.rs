//! Everything that is needed to open a connection, resolved from a text and an environment.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::authentication_method::{self, AuthenticationMethod};
use crate::config_error::ConfigError;
use crate::conninfo;
use crate::environment::Environment;
use crate::host::{self, Host};
use crate::parameter::Parameters;
use crate::password::PasswordSettings;
use crate::secret::Secret;
use crate::service;
use crate::setting::{
    self, ChannelBindingMode, LoadBalanceHosts, SslMode, TargetSessionAttrs, duration, number,
    switch,
};
use crate::tls_settings::TlsSettings;

/// Time for one address: reaching it, TLS and authentication. libpq waits for ever by default; a
/// service must not.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A dead peer is noticed after idle + count × interval = 2 minutes; Linux's own default is two
/// hours, and NAT gateways forget an idle connection after a few minutes.
const DEFAULT_KEEPALIVE: Keepalive = Keepalive {
    idle: Some(Duration::from_secs(60)),
    interval: Some(Duration::from_secs(10)),
    count: Some(6),
};

/// How long sent data may stay without an acknowledgement of the peer's kernel. It also ends a
/// connection on which only we send, where keepalives do not apply.
const DEFAULT_TCP_USER_TIMEOUT: Duration = Duration::from_secs(120);

/// Where and how to connect: libpq's parameters, resolved.
///
/// Neither `Debug` nor `Display` shows a secret.
#[derive(Clone)]
pub struct ConnectionConfig {
    pub(crate) hosts: Vec<Host>,
    pub(crate) user: String,
    pub(crate) dbname: String,
    pub(crate) application_name: Option<String>,
    pub(crate) options: Option<String>,
    pub(crate) password: PasswordSettings,
    pub(crate) tls: TlsSettings,
    pub(crate) channel_binding: ChannelBindingMode,
    pub(crate) require_auth: Option<Vec<AuthenticationMethod>>,
    pub(crate) target_session_attrs: TargetSessionAttrs,
    pub(crate) load_balance_hosts: LoadBalanceHosts,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) keepalive: Option<Keepalive>,
    pub(crate) tcp_user_timeout: Option<Duration>,
}

/// What the kernel does on an idle TCP connection; `None` leaves the system's value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keepalive {
    pub(crate) idle: Option<Duration>,
    pub(crate) interval: Option<Duration>,
    pub(crate) count: Option<u32>,
}

impl ConnectionConfig {
    /// Resolves a URL or key/value text, then the `PG*` variables of `environment`, then libpq's
    /// defaults: user of the operating system, database of the user's name, local socket.
    ///
    /// Other than libpq: `connect_timeout` is 30 s by default, keepalives after 60 s, and
    /// `tcp_user_timeout` 120 s; a named `sslrootcert` must exist whatever the `sslmode`.
    ///
    /// # Errors
    /// Unknown or refused parameters, values that cannot be, and contradictions. No message holds a
    /// value that could be a piece of a password.
    pub fn parse(text: &str, environment: &Environment) -> Result<Self, ConfigError> {
        let mut parameters = conninfo::parse(text)?;
        let from_text = parameters.get("password").is_some();
        service::fill(&mut parameters, environment)?;
        parameters.fill_from(environment)?;
        let user = match parameters.take("user") {
            Some(user) => user,
            None => os_user()?,
        };
        let tls = TlsSettings::resolve(&parameters, environment)?;
        if parameters.get("gssencmode") == Some("require") {
            let hint = "use disable or prefer, and sslmode for encryption";
            return Err(ConfigError::invalid(
                "gssencmode",
                "gssapi is not supported",
                hint,
            ));
        }
        check_encoding(&parameters)?;
        Ok(Self {
            hosts: host::hosts(
                parameters.get("host"),
                parameters.get("hostaddr"),
                parameters.get("port"),
            )?,
            dbname: parameters.take("dbname").unwrap_or_else(|| user.clone()),
            application_name: parameters
                .take("application_name")
                .or_else(|| parameters.take("fallback_application_name")),
            options: parameters.take("options"),
            password: PasswordSettings::new(
                parameters.take("password").map(Secret::new),
                from_text,
                passfile(&mut parameters, environment),
            ),
            tls,
            channel_binding: setting::choice(&parameters)?.unwrap_or(ChannelBindingMode::Prefer),
            require_auth: authentication_method::parse(parameters.get("require_auth"))?,
            target_session_attrs: setting::choice(&parameters)?.unwrap_or(TargetSessionAttrs::Any),
            load_balance_hosts: setting::choice(&parameters)?.unwrap_or(LoadBalanceHosts::Disable),
            connect_timeout: optional_duration(
                &parameters,
                "connect_timeout",
                Duration::from_secs(1),
                DEFAULT_CONNECT_TIMEOUT,
            )?,
            keepalive: keepalive(&parameters)?,
            tcp_user_timeout: optional_duration(
                &parameters,
                "tcp_user_timeout",
                Duration::from_millis(1),
                DEFAULT_TCP_USER_TIMEOUT,
            )?,
            user,
        })
    }

    /// Runs this command for every new connection; the first line of its standard output, trimmed,
    /// is the password. It replaces every other source of a password.
    ///
    /// The command gets `PGHOST`, `PGPORT`, `PGUSER` and `PGDATABASE` of the server that is about to
    /// be tried, and has 30 s. It is run without a shell. An empty list removes the command.
    #[must_use]
    pub fn with_password_command(mut self, command: Vec<String>) -> Self {
        self.password.set_command(command);
        self
    }

    /// Replaces `application_name`, under which `pg_stat_activity` shows the connection.
    #[must_use]
    pub fn with_application_name(mut self, name: impl Into<String>) -> Self {
        self.application_name = Some(name.into());
        self
    }

    /// Replaces the database.
    #[must_use]
    pub fn with_dbname(mut self, dbname: impl Into<String>) -> Self {
        self.dbname = dbname.into();
        self
    }

    /// The role that connects.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The database.
    #[must_use]
    pub fn dbname(&self) -> &str {
        &self.dbname
    }

    /// The application name, where one is set.
    #[must_use]
    pub fn application_name(&self) -> Option<&str> {
        self.application_name.as_deref()
    }

    /// The protection that was asked for.
    #[must_use]
    pub const fn sslmode(&self) -> SslMode {
        self.tls.mode
    }

    /// Which servers are acceptable.
    #[must_use]
    pub const fn target_session_attrs(&self) -> TargetSessionAttrs {
        self.target_session_attrs
    }

    /// The servers in the order of the list, each as `host:port` or the path of its socket.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.hosts.iter().map(ToString::to_string).collect()
    }
}

/// `user@host:port,host:port/dbname (sslmode=…)`: for messages, without a secret.
impl fmt::Display for ConnectionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts = self.endpoints().join(",");
        write!(
            f,
            "{}@{hosts}/{} (sslmode={})",
            self.user, self.dbname, self.tls.mode
        )
    }
}

impl fmt::Debug for ConnectionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `options` is left out: it is free text, and people put settings with secrets there.
        f.debug_struct("ConnectionConfig")
            .field("hosts", &self.hosts)
            .field("user", &self.user)
            .field("dbname", &self.dbname)
            .field("password", &self.password)
            .field("tls", &self.tls)
            .field("channel_binding", &self.channel_binding)
            .field("target_session_attrs", &self.target_session_attrs)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

fn optional_duration(
    parameters: &Parameters,
    name: &'static str,
    unit: Duration,
    default: Duration,
) -> Result<Option<Duration>, ConfigError> {
    match parameters.get(name) {
        Some(text) => duration(name, text, unit),
        None => Ok(Some(default)),
    }
}

fn os_user() -> Result<String, ConfigError> {
    whoami::username().map_err(|_| {
        let problem = "not given, and the operating system does not name the current user";
        ConfigError::invalid("user", problem, "write user=… or set PGUSER")
    })
}

fn passfile(parameters: &mut Parameters, environment: &Environment) -> Option<PathBuf> {
    let named = parameters.take("passfile").map(PathBuf::from);
    named.or_else(|| environment.home_file(".pgpass"))
}

fn check_encoding(parameters: &Parameters) -> Result<(), ConfigError> {
    let Some(encoding) = parameters.get("client_encoding") else {
        return Ok(());
    };
    let plain: String = encoding
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    if ["utf8", "unicode", "auto"].contains(&plain.to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    let hint = "leave it out: the server converts from the database's encoding";
    Err(ConfigError::invalid(
        "client_encoding",
        "only UTF8 is supported",
        hint,
    ))
}

fn keepalive(parameters: &Parameters) -> Result<Option<Keepalive>, ConfigError> {
    if let Some(text) = parameters.get("keepalives")
        && !switch("keepalives", text)?
    {
        return Ok(None);
    }
    let mut keepalive = DEFAULT_KEEPALIVE;
    let second = Duration::from_secs(1);
    if let Some(text) = parameters.get("keepalives_idle") {
        keepalive.idle = duration("keepalives_idle", text, second)?;
    }
    if let Some(text) = parameters.get("keepalives_interval") {
        keepalive.interval = duration("keepalives_interval", text, second)?;
    }
    if let Some(text) = parameters.get("keepalives_count") {
        let count = u32::try_from(number("keepalives_count", text)?).unwrap_or(0);
        keepalive.count = (count > 0).then_some(count);
    }
    Ok(Some(keepalive))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
