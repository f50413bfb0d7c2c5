//! Finding a server: every host and address in order, with or without TLS, until one is acceptable.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UnixStream;

use crate::acceptable;
use crate::authenticate::Authenticator;
use crate::config::ConnectionConfig;
use crate::error::ConnectError;
use crate::host::{Host, Target};
use crate::negotiate::{Encryption, encrypt, ways};
use crate::password::Password;
use crate::remedy::Circumstances;
use crate::setting::{LoadBalanceHosts, TargetSessionAttrs};
use crate::shuffle::shuffle;
use crate::startup::{self, Purpose, Session, StartupFailure};
use crate::tls::{TlsInfo, TlsPlan};
use crate::transport::{Transport, connect_tcp};

/// A session that is ready for queries.
pub(crate) struct Opened {
    pub(crate) transport: Transport,
    pub(crate) session: Session,
    pub(crate) endpoint: String,
    pub(crate) tls: Option<TlsInfo>,
}

impl fmt::Debug for Opened {
    /// Without the key that cancels queries of the session.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("endpoint", &self.endpoint)
            .field("backend_pid", &self.session.backend_pid)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// Opens a session on the first acceptable server.
pub(crate) async fn open(
    config: &ConnectionConfig,
    purpose: Purpose,
    settings: &[(&str, &str)],
) -> Result<Opened, ConnectError> {
    let parameters = startup::parameters(config, purpose, settings)?;
    let passes: &[TargetSessionAttrs] = match config.target_session_attrs {
        TargetSessionAttrs::PreferStandby => {
            &[TargetSessionAttrs::Standby, TargetSessionAttrs::Any]
        }
        TargetSessionAttrs::Any => &[TargetSessionAttrs::Any],
        TargetSessionAttrs::ReadWrite => &[TargetSessionAttrs::ReadWrite],
        TargetSessionAttrs::ReadOnly => &[TargetSessionAttrs::ReadOnly],
        TargetSessionAttrs::Primary => &[TargetSessionAttrs::Primary],
        TargetSessionAttrs::Standby => &[TargetSessionAttrs::Standby],
    };
    let mut hosts: Vec<&Host> = config.hosts.iter().collect();
    if config.load_balance_hosts == LoadBalanceHosts::Random {
        shuffle(&mut hosts);
    }
    let mut errors = Vec::new();
    for wanted in passes {
        errors.clear();
        for host in &hosts {
            let attempt = HostAttempt {
                config,
                purpose,
                parameters: &parameters,
                host,
                wanted: *wanted,
            };
            match Box::pin(attempt.run(&mut errors)).await {
                Ok(Some(opened)) => return Ok(opened),
                Ok(None) => {}
                // A refusal that another server would not heal, such as a wrong password.
                Err(error) => return Err(error),
            }
        }
    }
    match errors.pop() {
        Some(only) if errors.is_empty() => Err(only),
        Some(last) => {
            errors.push(last);
            Err(ConnectError::NoServer(errors))
        }
        None => Err(ConnectError::protocol(
            "(no host)",
            "the list of hosts is empty",
        )),
    }
}

struct HostAttempt<'a> {
    config: &'a ConnectionConfig,
    purpose: Purpose,
    parameters: &'a [(String, String)],
    host: &'a Host,
    wanted: TargetSessionAttrs,
}

/// An attempt that failed, and whether libpq would try the same server in its other way.
struct Failure {
    error: ConnectError,
    other_way: bool,
}

impl Failure {
    const fn last(error: ConnectError) -> Self {
        Self {
            error,
            other_way: false,
        }
    }
}

enum Address {
    Tcp(SocketAddr),
    Unix(std::path::PathBuf),
}

impl HostAttempt<'_> {
    /// Tries all addresses of the host. `Ok(None)` and a note in `errors`: go on with the next one.
    async fn run(&self, errors: &mut Vec<ConnectError>) -> Result<Option<Opened>, ConnectError> {
        let socket = self.host.socket_path();
        let ways = ways(self.config.tls.mode, socket.is_none());
        let plan = if ways.iter().any(|way| *way != Encryption::None) {
            Some(TlsPlan::prepare(&self.config.tls, self.host)?)
        } else {
            None
        };
        let config = self.config;
        let password = config
            .password
            .resolve(self.host, &config.user, &config.dbname)
            .await?;
        let addresses = match socket {
            Some(path) => vec![Address::Unix(path)],
            None => match self.resolve().await {
                Ok(addresses) => addresses.into_iter().map(Address::Tcp).collect(),
                Err(error) => {
                    errors.push(error);
                    return Ok(None);
                }
            },
        };
        for address in addresses {
            match self
                .try_ways(&address, ways, plan.as_ref(), &password)
                .await
            {
                Ok(opened) => return Ok(Some(opened)),
                Err(error) if tries_next(&error) => {
                    tracing::debug!(%error, "server cannot be used, next one");
                    let same_on_each_address = matches!(error, ConnectError::NotAcceptable { .. });
                    errors.push(error);
                    if same_on_each_address {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Looks the name up anew: a failover is often a change in DNS.
    async fn resolve(&self) -> Result<Vec<SocketAddr>, ConnectError> {
        let name = match &self.host.target {
            Target::Address(address) => return Ok(vec![(*address, self.host.port).into()]),
            Target::Name(name) => name,
            Target::Socket(_) => return Ok(Vec::new()),
        };
        let failed = |source| ConnectError::Resolve {
            host: name.clone(),
            source,
        };
        let looked_up = limited(
            self.config.connect_timeout,
            tokio::net::lookup_host((name.as_str(), self.host.port)),
        );
        let Some(result) = looked_up.await else {
            return Err(failed(io::Error::new(
                io::ErrorKind::TimedOut,
                "the resolver is silent",
            )));
        };
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in result.map_err(failed)? {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() {
            return Err(failed(io::Error::new(
                io::ErrorKind::NotFound,
                "the name has no address",
            )));
        }
        if self.config.load_balance_hosts == LoadBalanceHosts::Random {
            shuffle(&mut addresses);
        }
        Ok(addresses)
    }

    /// With and without TLS on one address, each within the time limit.
    async fn try_ways(
        &self,
        address: &Address,
        ways: &[Encryption],
        plan: Option<&TlsPlan>,
        password: &Password,
    ) -> Result<Opened, ConnectError> {
        let endpoint = match address {
            Address::Tcp(address) if self.host.to_string() != address.to_string() => {
                format!("{} ({})", self.host, address.ip())
            }
            Address::Tcp(_) | Address::Unix(_) => self.host.to_string(),
        };
        let mut first = None;
        for way in ways {
            let attempt = self.attempt(address, *way, plan, password, &endpoint);
            let limit = self.config.connect_timeout;
            let Some(result) = limited(limit, Box::pin(attempt)).await else {
                let limit = limit.unwrap_or_default();
                return Err(ConnectError::Timeout { endpoint, limit });
            };
            match result {
                Ok(opened) => return Ok(opened),
                Err(Failure {
                    error,
                    other_way: true,
                }) if first.is_none() && ways.len() > 1 => {
                    tracing::debug!(%error, sslmode = %self.config.tls.mode, "trying the other way");
                    first = Some(error);
                }
                Err(Failure { error, .. }) => {
                    return Err(match first {
                        Some(first) => more_telling(first, error),
                        None => error,
                    });
                }
            }
        }
        Err(ConnectError::protocol(
            &endpoint,
            "no way of connecting is left",
        ))
    }

    async fn attempt(
        &self,
        address: &Address,
        way: Encryption,
        plan: Option<&TlsPlan>,
        password: &Password,
        endpoint: &str,
    ) -> Result<Opened, Failure> {
        let failed = |error| Failure::last(ConnectError::io(endpoint, "connect", error));
        let (mut transport, tls) = match address {
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(failed)?;
                (Transport::Unix(stream), None)
            }
            Address::Tcp(address) => {
                let stream = connect_tcp(*address, self.config).await.map_err(failed)?;
                encrypt(stream, way, plan, endpoint)
                    .await
                    .map_err(|error| Failure {
                        error,
                        other_way: way == Encryption::IfOffered,
                    })?
            }
        };
        let circumstances = Circumstances {
            endpoint,
            user: &self.config.user,
            dbname: &self.config.dbname,
            purpose: self.purpose,
            encrypted: tls.is_some(),
            password_origin: &password.origin,
        };
        let authenticator = Authenticator {
            config: self.config,
            password,
            tls: tls.as_ref(),
        };
        let started = startup::start(
            &mut transport,
            self.parameters,
            &authenticator,
            &circumstances,
        )
        .await;
        let session = started.map_err(
            |StartupFailure {
                 error,
                 authenticated,
             }| {
                let refused = matches!(error, ConnectError::Server(_)) && !authenticated;
                let other = match way {
                    Encryption::None => true,
                    Encryption::IfOffered => tls.is_some(),
                    Encryption::Must => false,
                };
                Failure {
                    error,
                    other_way: refused && other,
                }
            },
        )?;
        let mut opened = Opened {
            transport,
            session,
            endpoint: endpoint.to_owned(),
            tls,
        };
        acceptable::check(&mut opened, self.wanted, &circumstances)
            .await
            .map_err(Failure::last)?;
        Ok(opened)
    }
}

/// Whether the next address or host may help, by libpq's rules: when this one cannot be reached,
/// is not ready, or is not of the wanted kind. Anything else would be the same everywhere, and a
/// wrong password must not be tried on all servers.
fn tries_next(error: &ConnectError) -> bool {
    match error {
        ConnectError::Io { .. }
        | ConnectError::Resolve { .. }
        | ConnectError::Timeout { .. }
        | ConnectError::NotAcceptable { .. } => true,
        ConnectError::Server(refusal) => refusal.sqlstate == "57P03",
        ConnectError::Tls(error) => error.is_network(),
        ConnectError::Config(_)
        | ConnectError::Auth { .. }
        | ConnectError::PasswordCommand { .. }
        | ConnectError::Protocol { .. }
        | ConnectError::NoServer(_) => false,
    }
}

/// Of the failures with and without TLS, the one that tells what is wrong: not the one that only
/// says that this way is closed (`28000` of pg_hba.conf, or no TLS).
fn more_telling(first: ConnectError, second: ConnectError) -> ConnectError {
    let closed = |error: &ConnectError| match error {
        ConnectError::Server(refusal) => refusal.sqlstate == "28000",
        ConnectError::Tls(error) => error.served().is_none(),
        _ => true,
    };
    if closed(&first) && !closed(&second) {
        second
    } else {
        first
    }
}

/// `None` when the time is over.
async fn limited<F: Future>(limit: Option<Duration>, work: F) -> Option<F::Output> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, work).await.ok(),
        None => Some(work.await),
    }
}
