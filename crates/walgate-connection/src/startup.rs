//! From an open byte stream to a session that is ready for queries.

use std::collections::BTreeMap;

use pgwire_replication::protocol::BackendMessage;

use crate::authenticate::Authenticator;
use crate::config::ConnectionConfig;
use crate::config_error::ConfigError;
use crate::error::{ConnectError, ServerRefusal};
use crate::framing::{MAX_STARTUP_MESSAGE, Messages, split_cstr, write_startup};
use crate::remedy::{self, Circumstances};
use crate::server_error::{Notice, ServerError};
use crate::transport::Transport;

/// All messages of a start-up together; PostgreSQL needs less than 2 KB.
const MAX_STARTUP_BYTES: usize = 1 << 20;

/// What the server said while it started the session.
#[derive(Default)]
pub(crate) struct Session {
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) backend_pid: i32,
    pub(crate) secret_key: Vec<u8>,
    pub(crate) notices: Vec<Notice>,
}

/// A start-up that failed; `authenticated` decides whether libpq would try again without, or with,
/// encryption.
pub(crate) struct StartupFailure {
    pub(crate) error: ConnectError,
    pub(crate) authenticated: bool,
}

/// What the session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Replication,
    Sql,
}

/// The parameters of the start-up message: who, where, and our settings. Settings win over the
/// user's parameters of that name, except `options`, where both count and ours come last.
pub(crate) fn parameters(
    config: &ConnectionConfig,
    purpose: Purpose,
    settings: &[(&str, &str)],
) -> Result<Vec<(String, String)>, ConfigError> {
    let mut parameters: Vec<(String, String)> = Vec::new();
    let mut set = |name: &str, value: &str| match parameters.iter_mut().find(|(n, _)| n == name) {
        Some((_, old)) if name == "options" => {
            old.push(' ');
            old.push_str(value);
        }
        Some((_, old)) => value.clone_into(old),
        None => parameters.push((name.to_owned(), value.to_owned())),
    };
    set("user", &config.user);
    set("database", &config.dbname);
    set("client_encoding", "UTF8");
    if let Some(name) = &config.application_name {
        set("application_name", name);
    }
    if let Some(options) = &config.options {
        set("options", options);
    }
    for (name, value) in settings {
        set(name, value);
    }
    if purpose == Purpose::Replication {
        set("replication", "database");
    }
    if parameters
        .iter()
        .any(|(name, value)| name.contains('\0') || value.contains('\0'))
    {
        let hint = "remove it";
        return Err(ConfigError::invalid(
            "options",
            "a setting holds a NUL character",
            hint,
        ));
    }
    Ok(parameters)
}

/// Sends the start-up message, authenticates, and reads up to the first `ReadyForQuery`.
pub(crate) async fn start(
    stream: &mut Transport,
    parameters: &[(String, String)],
    authenticator: &Authenticator<'_>,
    circumstances: &Circumstances<'_>,
) -> Result<Session, StartupFailure> {
    let mut startup = Startup {
        messages: Messages::with_limit(MAX_STARTUP_MESSAGE),
        budget: MAX_STARTUP_BYTES,
        session: Session::default(),
        circumstances,
    };
    let endpoint = circumstances.endpoint;
    let before = |error| StartupFailure {
        error,
        authenticated: false,
    };
    write_startup(stream, parameters, endpoint)
        .await
        .map_err(before)?;
    authenticator
        .authenticate(stream, &mut startup)
        .await
        .map_err(before)?;
    let ready = startup.until_ready(stream).await;
    ready.map_err(|error| StartupFailure {
        error,
        authenticated: true,
    })?;
    Ok(startup.session)
}

/// A start-up in progress.
pub(crate) struct Startup<'a> {
    messages: Messages,
    budget: usize,
    session: Session,
    circumstances: &'a Circumstances<'a>,
}

impl Startup<'_> {
    pub(crate) fn endpoint(&self) -> &str {
        self.circumstances.endpoint
    }

    /// The next message that is neither a notice nor an error.
    pub(crate) async fn next(
        &mut self,
        stream: &mut Transport,
    ) -> Result<BackendMessage, ConnectError> {
        loop {
            let message = self
                .messages
                .next(stream, self.circumstances.endpoint)
                .await?;
            let Some(budget) = self.budget.checked_sub(message.payload.len() + 5) else {
                let problem = "more than 1 MiB of messages before the session is ready";
                return Err(ConnectError::protocol(self.endpoint(), problem));
            };
            self.budget = budget;
            match message.tag {
                b'E' => return Err(refusal(self.circumstances, &message.payload)),
                b'N' => {
                    let notice = Notice::parse(&message.payload);
                    tracing::debug!(%notice, "notice of the server");
                    self.session.notices.push(notice);
                }
                // NegotiateProtocolVersion: we ask for 3.0 without extensions, which is what is left.
                b'v' => {}
                _ => return Ok(message),
            }
        }
    }

    async fn until_ready(&mut self, stream: &mut Transport) -> Result<(), ConnectError> {
        loop {
            let message = self.next(stream).await?;
            match message.tag {
                b'S' => self.parameter(&message.payload)?,
                b'K' => {
                    let Some((pid, key)) = message.payload.split_first_chunk::<4>() else {
                        let problem = "BackendKeyData is too short";
                        return Err(ConnectError::protocol(self.endpoint(), problem));
                    };
                    self.session.backend_pid = i32::from_be_bytes(*pid);
                    self.session.secret_key = key.to_vec();
                }
                b'Z' => return Ok(()),
                tag => return Err(unexpected(self.endpoint(), tag, "the start of the session")),
            }
        }
    }

    fn parameter(&mut self, payload: &[u8]) -> Result<(), ConnectError> {
        let pair = split_cstr(payload)
            .and_then(|(name, rest)| split_cstr(rest).map(|(value, _)| (name, value)));
        let Some((name, value)) = pair else {
            return Err(ConnectError::protocol(
                self.endpoint(),
                "ParameterStatus is cut off",
            ));
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.session.parameters.insert(text(name), text(value));
        Ok(())
    }
}

/// A server's error, with what we know about it.
pub(crate) fn refusal(circumstances: &Circumstances<'_>, payload: &[u8]) -> ConnectError {
    let error = ServerError::parse(payload);
    let remedy = remedy::remedy(&error, circumstances);
    let endpoint = circumstances.endpoint.to_owned();
    ConnectError::Server(Box::new(ServerRefusal {
        endpoint,
        error,
        remedy,
    }))
}

pub(crate) fn unexpected(endpoint: &str, tag: u8, during: &str) -> ConnectError {
    let shown = char::from(tag).escape_default();
    ConnectError::protocol(
        endpoint,
        format!("unexpected message '{shown}' during {during}"),
    )
}
