//! Why a connection could not be opened, or broke while it was being used for a command.

use std::fmt;
use std::io;
use std::ops::Deref;
use std::time::Duration;

use crate::config_error::ConfigError;
use crate::server_error::ServerError;
use crate::setting::TargetSessionAttrs;
use crate::tls_error::TlsError;

/// A connection that failed. `Display` gives the whole story in one text, with every cause;
/// [`hint`](Self::hint) says what to do about it. Neither ever holds a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A parameter, or a file that one names, is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A host name has no address.
    #[error("resolve host name \"{host}\": {source}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The network, or a peer that went away.
    #[error("{endpoint}: {action}: {source}")]
    Io {
        /// The server, with the address that was tried.
        endpoint: String,
        /// What was being done.
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// TLS: the server does not offer it, its certificate is not accepted, or it refuses ours.
    #[error(transparent)]
    Tls(Box<TlsError>),
    /// The server refused, in its own words.
    #[error(transparent)]
    Server(Box<ServerRefusal>),
    /// We refused the way in which the server wanted to authenticate us, or could not follow it.
    #[error("{endpoint}: authentication: {problem}")]
    Auth {
        /// The server.
        endpoint: String,
        /// What went wrong.
        problem: String,
        /// The way out.
        hint: Option<String>,
    },
    /// The password command failed.
    #[error("password command {program}: {problem}")]
    PasswordCommand {
        /// The program, without its arguments.
        program: String,
        /// How it failed, with what it wrote to standard error; never what it wrote to standard
        /// output.
        problem: String,
    },
    /// `connect_timeout` is over.
    #[error("{endpoint}: no connection within {} s", limit.as_secs())]
    Timeout {
        /// The server, with the address that was tried.
        endpoint: String,
        /// The limit.
        limit: Duration,
    },
    /// The server works, but is not of the wanted kind.
    #[error("{endpoint}: the server is not acceptable: target_session_attrs={wanted}, but {found}")]
    NotAcceptable {
        /// The server.
        endpoint: String,
        /// What is wanted.
        wanted: TargetSessionAttrs,
        /// What the server is.
        found: &'static str,
    },
    /// The peer does not speak PostgreSQL's protocol, or breaks it.
    #[error("{endpoint}: protocol violation: {problem}")]
    Protocol {
        /// The server.
        endpoint: String,
        /// What it sent.
        problem: String,
    },
    /// None of several servers or addresses could be used; the causes in the order of the attempts.
    #[error("no server could be used: {}", join(.0))]
    NoServer(Vec<Self>),
}

fn join(errors: &[ConnectError]) -> String {
    let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

impl ConnectError {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.hint(),
            Self::Tls(error) => error.hint().map(str::to_owned),
            Self::Server(refusal) => refusal.remedy.clone(),
            Self::Auth { hint, .. } => hint.clone(),
            Self::NoServer(errors) => errors.iter().find_map(Self::hint),
            Self::Io { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused => {
                Some("check host and port, and that the server listens there".to_owned())
            }
            Self::NotAcceptable { .. } => {
                Some("name the wanted server in host, or change target_session_attrs".to_owned())
            }
            Self::Resolve { .. }
            | Self::Io { .. }
            | Self::PasswordCommand { .. }
            | Self::Timeout { .. }
            | Self::Protocol { .. } => None,
        }
    }

    /// What the server said, when it was a server that refused. Of several servers, the first.
    #[must_use]
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            Self::Server(refusal) => Some(&refusal.error),
            Self::NoServer(errors) => errors.iter().find_map(Self::server),
            Self::Config(_)
            | Self::Resolve { .. }
            | Self::Io { .. }
            | Self::Tls(_)
            | Self::Auth { .. }
            | Self::PasswordCommand { .. }
            | Self::Timeout { .. }
            | Self::NotAcceptable { .. }
            | Self::Protocol { .. } => None,
        }
    }

    pub(crate) fn protocol(endpoint: &str, problem: impl Into<String>) -> Self {
        Self::Protocol {
            endpoint: endpoint.to_owned(),
            problem: problem.into(),
        }
    }

    /// An input or output error; one that TLS raised inside the stream is shown as what it is.
    pub(crate) fn io(endpoint: &str, action: &'static str, source: io::Error) -> Self {
        if TlsError::is_inside(&source) {
            return Self::Tls(Box::new(TlsError::from_io(endpoint, source, None)));
        }
        Self::Io {
            endpoint: endpoint.to_owned(),
            action,
            source,
        }
    }
}

/// An error that the server sent, with where and what to do. It dereferences to [`ServerError`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRefusal {
    /// The server.
    pub endpoint: String,
    /// What it said.
    pub error: ServerError,
    /// The remedy that this program knows, which often is more than the server's own hint.
    pub remedy: Option<String>,
}

impl Deref for ServerRefusal {
    type Target = ServerError;

    fn deref(&self) -> &ServerError {
        &self.error
    }
}

impl fmt::Display for ServerRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.endpoint, self.error)
    }
}

impl std::error::Error for ServerRefusal {}
