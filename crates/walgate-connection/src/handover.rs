//! Hands an authenticated session over to `tokio-postgres`.
//!
//! `tokio-postgres` can only start a session itself. To have one set of rules for TLS, passwords
//! and channel binding, this stream plays the server's part of the start-up to it: its start-up
//! message is swallowed, and it reads what the server has already told us.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::startup::Session;
use crate::transport::Transport;

/// The stream that `tokio-postgres` gets.
#[derive(Debug)]
pub(crate) struct Handover {
    transport: Transport,
    /// What it reads first.
    replay: Bytes,
    swallow: Swallow,
}

/// How far its start-up message has been swallowed.
#[derive(Debug)]
enum Swallow {
    Length { bytes: [u8; 4], filled: usize },
    Rest(usize),
    Done,
}

impl Handover {
    pub(crate) fn new(transport: Transport, session: &Session) -> Self {
        let swallow = Swallow::Length {
            bytes: [0; 4],
            filled: 0,
        };
        Self {
            transport,
            replay: replay(session),
            swallow,
        }
    }
}

/// AuthenticationOk, the parameters, the key, ReadyForQuery.
fn replay(session: &Session) -> Bytes {
    let mut bytes = BytesMut::new();
    message(&mut bytes, b'R', &[0; 4]);
    for (name, value) in &session.parameters {
        let body = [name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat();
        message(&mut bytes, b'S', &body);
    }
    // Protocol 3.0 has keys of four bytes, the only ones that tokio-postgres knows.
    if session.secret_key.len() == 4 {
        let pid = session.backend_pid.to_be_bytes();
        message(&mut bytes, b'K', &[&pid[..], &session.secret_key].concat());
    }
    message(&mut bytes, b'Z', b"I");
    bytes.freeze()
}

fn message(bytes: &mut BytesMut, tag: u8, body: &[u8]) {
    // The bodies come from a start-up that was limited to 1 MiB.
    let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    bytes.put_u8(tag);
    bytes.put_u32(length);
    bytes.put_slice(body);
}

impl Swallow {
    /// How many of the bytes belong to the start-up message.
    fn take(&mut self, mut buf: &[u8]) -> usize {
        let offered = buf.len();
        if let Self::Length { bytes, filled } = self {
            while let (Some(slot), Some((first, rest))) =
                (bytes.get_mut(*filled), buf.split_first())
            {
                *slot = *first;
                *filled += 1;
                buf = rest;
            }
            if *filled == bytes.len() {
                let length = usize::try_from(u32::from_be_bytes(*bytes)).unwrap_or(usize::MAX);
                *self = Self::Rest(length.saturating_sub(4));
            }
        }
        if let Self::Rest(left) = self {
            let taken = buf.len().min(*left);
            *left -= taken;
            buf = &buf[taken..];
            if *left == 0 {
                *self = Self::Done;
            }
        }
        offered - buf.len()
    }
}

impl AsyncRead for Handover {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.replay.is_empty() {
            return Pin::new(&mut this.transport).poll_read(cx, buf);
        }
        let count = this.replay.len().min(buf.remaining());
        buf.put_slice(&this.replay[..count]);
        this.replay.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Handover {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match this.swallow.take(buf) {
            0 => Pin::new(&mut this.transport).poll_write(cx, buf),
            taken => Poll::Ready(Ok(taken)),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::Swallow;

    #[test]
    fn exactly_the_startup_message_is_swallowed_however_it_is_cut() {
        let message = b"\0\0\0\x09\0\x03\0\0\0Q";
        for cut in 0..=message.len() {
            let mut swallow = Swallow::Length {
                bytes: [0; 4],
                filled: 0,
            };
            let first = swallow.take(&message[..cut]);
            let second = swallow.take(&message[cut..]);
            assert_eq!(first + second, 9, "cut at {cut}");
            assert!(matches!(swallow, Swallow::Done));
            assert_eq!(swallow.take(b"more"), 0);
        }
    }
}
