//! A TCP proxy that breaks the line on command.

mod pump;
mod state;

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::error::ThrowawayError;
use crate::ports::free_port;
use crate::proxy::pump::Connection;
use crate::proxy::state::{Limit, State};

/// Between two looks for a new connection. Accepting must not block: `refuse` closes the listener.
const ACCEPT_POLL: Duration = Duration::from_millis(2);

/// A server that is there answers a connect on the loopback at once.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Another process may take a free port before the proxy does.
const BIND_TRIES: u32 = 5;

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// Listens on a free port of 127.0.0.1 and forwards to a target. Commands act at once on every
/// connection that is open and on those to come. Dropping it resets every connection.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    state: Arc<State>,
    acceptor: Option<thread::JoinHandle<()>>,
}

impl FaultProxy {
    /// Starts a proxy to `target`.
    ///
    /// # Errors
    ///
    /// When no port can be bound.
    pub fn start(target: SocketAddr) -> Result<Self, ThrowawayError> {
        let proxy = Self::without_target()?;
        proxy.set_target(target);
        Ok(proxy)
    }

    /// Starts a proxy whose target comes later; until then it resets who connects.
    ///
    /// # Errors
    ///
    /// When no port can be bound.
    pub fn without_target() -> Result<Self, ThrowawayError> {
        let listener = bind_free()?;
        let address = listener
            .local_addr()
            .map_err(ThrowawayError::io("bind", "127.0.0.1"))?;
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let acceptor = thread::Builder::new()
            .name("fault-proxy".into())
            .spawn(move || accept_all(listener, address, &shared))
            .map_err(ThrowawayError::io("start a thread of", "fault-proxy"))?;
        Ok(Self {
            address,
            state,
            acceptor: Some(acceptor),
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The port it listens on.
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Forwards connections to come to another server.
    pub fn set_target(&self, target: SocketAddr) {
        self.state.change(|orders| orders.target = Some(target));
    }

    /// Resets (RST) every open connection; new ones are forwarded. What was in flight is lost.
    pub fn cut(&self) {
        self.state.change(|orders| orders.generation += 1);
        self.state.until_closed();
    }

    /// Stops forwarding both ways and keeps the sockets; new connections are accepted and get
    /// nothing.
    pub fn stall(&self) {
        self.state.change(|orders| orders.stalled = [true, true]);
    }

    /// Stops forwarding one way.
    pub fn stall_only(&self, direction: Direction) {
        self.state
            .change(|orders| orders.stalled[direction as usize] = true);
    }

    /// Forwards at full speed again, both ways: ends [`Self::stall`] and [`Self::slice`].
    pub fn resume(&self) {
        self.state.change(|orders| {
            orders.stalled = [false, false];
            orders.slice = None;
        });
    }

    /// Forwards both ways in pieces of at most `bytes`, with a pause after each.
    pub fn slice(&self, bytes: usize, pause: Duration) {
        self.state
            .change(|orders| orders.slice = Some((bytes.max(1), pause)));
    }

    /// Forwards exactly `bytes` more from server to client, over all connections together, and
    /// then closes them all in order, so that those bytes arrive. Later connections are forwarded
    /// without a limit.
    pub fn limit_after(&self, bytes: u64) {
        self.state.change(|orders| {
            orders.limit = (bytes > 0).then_some(Limit {
                left: bytes,
                taken: 0,
            });
            orders.closed_epoch += u64::from(bytes == 0);
        });
    }

    /// Closes the listener: who connects is refused. Open connections stay.
    pub fn refuse(&self) {
        self.state.change(|orders| orders.refusing = true);
        self.state.until_listening(false);
    }

    /// Listens again on the same port after [`Self::refuse`].
    pub fn accept(&self) {
        self.state.change(|orders| orders.refusing = false);
        self.state.until_listening(true);
    }

    /// Connections accepted since the start.
    pub fn connections(&self) -> u64 {
        self.state.read(|orders| orders.accepted)
    }

    /// Connections that are open now.
    pub fn open_connections(&self) -> u64 {
        self.state.read(|orders| orders.open.values().sum())
    }

    /// Bytes forwarded one way since the start.
    pub fn bytes(&self, direction: Direction) -> u64 {
        self.state
            .read(|orders| orders.forwarded[direction as usize])
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.state.change(|orders| {
            orders.ending = true;
            orders.generation += 1;
        });
        if let Some(acceptor) = self.acceptor.take()
            && acceptor.join().is_err()
        {
            tracing::debug!("the proxy's thread panicked");
        }
    }
}

fn bind_free() -> Result<TcpListener, ThrowawayError> {
    let mut tried = 0;
    loop {
        tried += 1;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) if tried == BIND_TRIES => {
                return Err(ThrowawayError::io("listen on", address.to_string())(error));
            }
            Err(_) => {}
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The accepting thread: holds the listener while connections are not refused.
fn accept_all(listener: TcpListener, address: SocketAddr, state: &Arc<State>) {
    let mut listener = Some(listener);
    state.change(|orders| orders.listening = true);
    while !state.read(|orders| orders.ending) {
        let refusing = state.read(|orders| orders.refusing);
        match &listener {
            Some(_) if refusing => {
                listener = None;
                state.change(|orders| orders.listening = false);
            }
            Some(open) => accept_waiting(open, state),
            None if !refusing => match listen(address) {
                Ok(open) => {
                    listener = Some(open);
                    state.change(|orders| orders.listening = true);
                }
                Err(error) => tracing::warn!(%address, %error, "proxy can't listen again"),
            },
            None => {}
        }
        thread::sleep(ACCEPT_POLL);
    }
}

/// Takes every connection that waits.
fn accept_waiting(listener: &TcpListener, state: &Arc<State>) {
    loop {
        match listener.accept() {
            Ok((client, _)) => {
                let connection = Connection::new(Arc::clone(state));
                // Connecting may take its time; others must not wait for it.
                let spawned = thread::Builder::new()
                    .name("fault-proxy-connection".into())
                    .spawn(move || forward(client, connection));
                if let Err(error) = spawned {
                    tracing::warn!(%error, "proxy can't start a thread");
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => {
                tracing::warn!(%error, "proxy can't accept");
                return;
            }
        }
    }
}

fn forward(client: TcpStream, connection: Connection) {
    let target = connection.target();
    let server = match target {
        Some(target) => TcpStream::connect_timeout(&target, CONNECT_PATIENCE),
        None => Err(io::Error::from(ErrorKind::NotConnected)),
    };
    let outcome = match server {
        Ok(server) => connection.run(client, server),
        Err(error) => pump::reset_on_close(&client).and(Err(error)),
    };
    if let Err(error) = outcome {
        tracing::debug!(?target, %error, "proxy can't reach its target");
    }
}
