//! One connection, however it is made.

use super::event_stream::EventStream;
use super::refusal::Refusal;
use super::said::Said;
use super::websocket::WebSocket;
use crate::config::Secret;

/// One connection.
pub(super) enum Line {
    /// Over WebSocket.
    WebSocket(Box<WebSocket>),
    /// As Server-Sent Events.
    Events(Box<EventStream>),
}

impl Line {
    /// What comes next; none at the end. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Option<Said>, Refusal> {
        match self {
            Self::WebSocket(line) => line.next().await,
            Self::Events(line) => line.next().await,
        }
    }

    /// Asks whether the server is there, where that can be asked.
    pub(super) async fn ping(&mut self) -> Result<(), Refusal> {
        match self {
            Self::WebSocket(line) => line.ping().await,
            Self::Events(_) => Ok(()),
        }
    }

    /// Hands over a new token. False: only a new connection can have it.
    pub(super) async fn renew(&mut self, token: &Secret) -> Result<bool, Refusal> {
        match self {
            Self::WebSocket(line) => line.renew(token).await.map(|()| true),
            Self::Events(_) => Ok(false),
        }
    }

    /// Says goodbye.
    pub(super) async fn close(&mut self) {
        if let Self::WebSocket(line) = self {
            line.close().await;
        }
    }

    /// What a person calls it.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::WebSocket(_) => "WebSocket",
            Self::Events(_) => "Server-Sent Events",
        }
    }
}
