//! Forwards the bytes of one connection, each way on a thread of its own.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use crate::proxy::Direction;
use crate::proxy::state::{Orders, State};

/// How long a read or a write may block before it looks at the orders again.
const POLL: Duration = Duration::from_millis(5);

/// Room for one read; larger than the largest slice of interest, smaller than a socket's buffer.
const CHUNK_BYTES: usize = 64 << 10;

/// After an orderly close, how long the client's bytes are still taken, and thrown away, so that
/// our closing does not turn into a reset that overtakes ours.
const DRAIN_PATIENCE: Duration = Duration::from_secs(2);

/// Makes closing the socket send RST instead of FIN.
pub(crate) fn reset_on_close(socket: &TcpStream) -> io::Result<()> {
    Ok(set_socket_linger(socket, Some(Duration::ZERO))?)
}

/// What a pump does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Forward,
    /// Reset both sockets.
    Reset,
    /// The limit is used up: close both in order.
    Close,
}

/// One accepted connection; counted as open until it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    state: Arc<State>,
    generation: u64,
    epoch: u64,
    /// One side failed; the other one is to be reset.
    broken: AtomicBool,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.state.closed(self.generation);
    }
}

impl Connection {
    pub(crate) fn new(state: Arc<State>) -> Self {
        let (generation, epoch) = state.opened();
        Self {
            state,
            generation,
            epoch,
            broken: AtomicBool::new(false),
        }
    }

    pub(crate) fn target(&self) -> Option<SocketAddr> {
        self.state.read(|orders| orders.target)
    }

    /// Forwards until both sides are done. The sockets are closed when this returns.
    pub(crate) fn run(self, client: TcpStream, server: TcpStream) -> io::Result<()> {
        for socket in [&client, &server] {
            socket.set_nodelay(true)?;
            socket.set_nonblocking(false)?;
            socket.set_read_timeout(Some(POLL))?;
            socket.set_write_timeout(Some(POLL))?;
        }
        thread::scope(|scope| {
            scope.spawn(|| self.pump(Direction::ToServer, &client, &server));
            self.pump(Direction::ToClient, &server, &client);
        });
        if self.next() == Next::Reset {
            reset_on_close(&client)?;
            reset_on_close(&server)?;
        }
        // Closed before the connection stops counting as open: a cut waits for that.
        drop((client, server));
        Ok(())
    }

    fn next(&self) -> Next {
        if self.broken.load(Ordering::Relaxed) {
            return Next::Reset;
        }
        self.state.read(|orders| self.next_by(orders))
    }

    const fn next_by(&self, orders: &Orders) -> Next {
        if orders.generation != self.generation {
            Next::Reset
        } else if orders.closed_epoch != self.epoch {
            Next::Close
        } else {
            Next::Forward
        }
    }

    /// One direction, to its end.
    fn pump(&self, direction: Direction, from: &TcpStream, to: &TcpStream) {
        let ended = self.forward_all(direction, from, to);
        match ended {
            Ok(Next::Forward) => self.shut_down(to, Shutdown::Write),
            Ok(Next::Close) if direction == Direction::ToClient => {
                self.shut_down(to, Shutdown::Write);
            }
            Ok(Next::Close) => drain(from),
            Ok(Next::Reset) => {}
            Err(error) => {
                tracing::debug!(?direction, %error, "a proxied connection broke");
                self.broken.store(true, Ordering::Relaxed);
            }
        }
    }

    /// The peer may have closed already, and then there is nothing to shut down.
    fn shut_down(&self, socket: &TcpStream, how: Shutdown) {
        if let Err(error) = socket.shutdown(how) {
            tracing::debug!(%error, generation = self.generation, "nothing to shut down");
        }
    }

    /// Forwards until end-of-file (`Next::Forward`) or an order to end.
    fn forward_all(
        &self,
        direction: Direction,
        mut from: &TcpStream,
        to: &TcpStream,
    ) -> io::Result<Next> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let next = self.until_flowing(direction);
            if next != Next::Forward {
                return Ok(next);
            }
            let slice = self.state.read(|orders| orders.slice);
            let room = slice.map_or(CHUNK_BYTES, |(bytes, _)| bytes.min(CHUNK_BYTES));
            let read = match from.read(chunk.get_mut(..room).unwrap_or_default()) {
                Ok(0) => return Ok(Next::Forward),
                Ok(read) => read,
                Err(error) if is_poll(&error) => continue,
                Err(error) => return Err(error),
            };
            let data = chunk.get(..read).unwrap_or_default();
            let next = self.write_all(direction, to, data)?;
            if next != Next::Forward {
                return Ok(next);
            }
            if let Some((_, pause)) = slice {
                self.state
                    .wait(pause, |orders| self.next_by(orders) == Next::Forward);
            }
        }
    }

    /// Waits while this direction is stalled.
    fn until_flowing(&self, direction: Direction) -> Next {
        loop {
            let (next, stalled) = self
                .state
                .read(|orders| (self.next_by(orders), orders.stalled[direction as usize]));
            if self.broken.load(Ordering::Relaxed) {
                return Next::Reset;
            }
            if next != Next::Forward || !stalled {
                return next;
            }
            self.state
                .wait(POLL, |orders| orders.stalled[direction as usize]);
        }
    }

    fn write_all(&self, direction: Direction, mut to: &TcpStream, data: &[u8]) -> io::Result<Next> {
        let mut rest = data;
        while !rest.is_empty() {
            let next = self.until_flowing(direction);
            if next != Next::Forward {
                return Ok(next);
            }
            let grant = self.state.take(direction, rest.len());
            if grant.bytes == 0 {
                // Another connection is writing the last bytes of the limit.
                self.state
                    .wait(POLL, |orders| self.next_by(orders) == Next::Forward);
                continue;
            }
            let outcome = to.write(rest.get(..grant.bytes).unwrap_or_default());
            let written = *outcome.as_ref().unwrap_or(&0);
            self.state.settle(direction, grant, written);
            match outcome {
                Ok(_) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if is_poll(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.next())
    }
}

/// A read or write that only came back to look at the orders.
fn is_poll(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

/// Throws away what still comes.
fn drain(mut from: &TcpStream) {
    let deadline = Instant::now() + DRAIN_PATIENCE;
    let mut chunk = vec![0; CHUNK_BYTES];
    while Instant::now() < deadline {
        match from.read(&mut chunk) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if is_poll(&error) => {}
            Err(_) => return,
        }
    }
}
