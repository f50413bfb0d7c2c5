//! A connection over WebSocket.

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use reqwest::{Client, Upgraded, Url};
use tokio_tungstenite::WebSocketStream;
use tungstenite::Message;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketConfig};
use walgate_core::{Failure, StopReason};

use super::http;
use super::refusal::{Refusal, Refused};
use super::said::Said;
use crate::config::Secret;

/// The largest event: more than a row of PostgreSQL, of a gigabyte, has as JSON in all but odd cases.
const MAX_EVENT: usize = 2 << 30;

/// A connection over WebSocket.
pub(super) struct WebSocket {
    stream: WebSocketStream<Upgraded>,
}

impl WebSocket {
    /// Connects: the address says everything.
    ///
    /// # Errors
    ///
    /// Why there is no connection.
    pub(super) async fn open(
        client: &Client,
        url: Url,
        token: Option<&Secret>,
    ) -> Result<Self, Refused> {
        let key = generate_key();
        let request = http::get(client, url, token)?
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_PROTOCOL, "walgate.v1")
            .header(SEC_WEBSOCKET_KEY, &key);
        let answer = http::send(request, 101).await?;
        let accept = answer.headers().get(SEC_WEBSOCKET_ACCEPT);
        if accept.map(|accept| accept.as_bytes())
            != Some(derive_accept_key(key.as_bytes()).as_bytes())
        {
            let what = "the server has answered the handshake of somebody else";
            return Err(Refused {
                refusal: Refusal::Final(Failure::new(StopReason::Data, what)),
                is_connected: true,
            });
        }
        let upgraded = answer.upgrade().await.map_err(|error| Refused {
            refusal: Refusal::Later(format!("no WebSocket: {}", error.without_url()), None),
            is_connected: true,
        })?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(MAX_EVENT))
            .max_frame_size(Some(MAX_EVENT));
        let stream = WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await;
        Ok(Self { stream })
    }

    /// What comes next; none at the end. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Option<Said>, Refusal> {
        let Some(message) = self.stream.next().await else {
            return Ok(None);
        };
        let senseless = |what: String| Refusal::Final(Failure::new(StopReason::Data, what));
        match message {
            Ok(Message::Text(text)) => Said::parse(text.into()).map(Some).map_err(senseless),
            Ok(Message::Close(frame)) => Ok(frame.map(|frame| Said::Closed {
                code: frame.code.into(),
                reason: frame.reason.to_string(),
            })),
            Ok(Message::Binary(_)) => Err(senseless("the server says what is no text".to_owned())),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Ok(Some(Said::Alive)),
            Err(tungstenite::Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => Ok(None),
            Err(error @ (tungstenite::Error::Io(_) | tungstenite::Error::ConnectionClosed)) => Err(
                Refusal::Later(format!("the connection broke: {error}"), None),
            ),
            Err(error) => Err(senseless(format!(
                "the server breaks the protocol: {error}"
            ))),
        }
    }

    /// Asks whether the server is there.
    pub(super) async fn ping(&mut self) -> Result<(), Refusal> {
        self.say(Message::Ping(bytes::Bytes::new())).await
    }

    /// Hands over a new token.
    pub(super) async fn renew(&mut self, token: &Secret) -> Result<(), Refusal> {
        let message = serde_json::json!({"type": "token", "token": token.expose()});
        self.say(Message::text(message.to_string())).await
    }

    async fn say(&mut self, message: Message) -> Result<(), Refusal> {
        let broke = |error| Refusal::Later(format!("the connection broke: {error}"), None);
        self.stream.send(message).await.map_err(broke)
    }

    /// Says goodbye, as far as that goes without waiting for an answer.
    pub(super) async fn close(&mut self) {
        // The connection goes either way.
        let _closed = self.stream.send(Message::Close(None)).await;
    }
}
