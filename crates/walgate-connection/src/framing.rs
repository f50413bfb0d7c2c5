//! Reading and writing messages while a connection is being set up and for simple queries. The
//! stream of a running replication does not go through here.

use std::io;
use std::sync::Arc;

use pgwire_replication::PgWireError;
use pgwire_replication::protocol::BackendMessage;
use pgwire_replication::protocol::framing::MessageReader;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::ConnectError;

/// Largest message before the server has proved anything. libpq allows 2,000 bytes for
/// authentication and 30,000 for errors; a parameter's value may be longer.
pub(crate) const MAX_STARTUP_MESSAGE: usize = 64 << 10;

/// Largest message of a simple query: a timeline history or a long setting.
pub(crate) const MAX_QUERY_MESSAGE: usize = 4 << 20;

/// Reads exactly one message after the other, and never a byte more: what follows stays in the
/// socket for whoever reads it next.
pub(crate) struct Messages {
    reader: MessageReader,
}

impl Messages {
    /// A longer message than `limit` bytes is refused before anything is allocated for it.
    pub(crate) fn with_limit(limit: usize) -> Self {
        Self {
            reader: MessageReader::with_capacity(512).with_max_message_size(limit),
        }
    }

    pub(crate) async fn next<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        endpoint: &str,
    ) -> Result<BackendMessage, ConnectError> {
        let message = self.reader.read(stream).await;
        message.map_err(|error| convert(error, endpoint, "read from the server"))
    }
}

/// Turns an error of `pgwire-replication` into ours.
pub(crate) fn convert(error: PgWireError, endpoint: &str, action: &'static str) -> ConnectError {
    match error {
        PgWireError::Io(shared) => {
            let error = Arc::try_unwrap(shared)
                .unwrap_or_else(|shared| io::Error::new(shared.kind(), shared.to_string()));
            if error.kind() == io::ErrorKind::UnexpectedEof {
                let text = "the server closed the connection unexpectedly";
                let closed = io::Error::new(io::ErrorKind::UnexpectedEof, text);
                return ConnectError::io(endpoint, action, closed);
            }
            ConnectError::io(endpoint, action, error)
        }
        error => ConnectError::protocol(endpoint, error.to_string()),
    }
}

/// Sends the start-up message of protocol 3.0.
pub(crate) async fn write_startup<S: AsyncWrite + Unpin>(
    stream: &mut S,
    parameters: &[(String, String)],
    endpoint: &str,
) -> Result<(), ConnectError> {
    /// 3.0: what every supported server speaks.
    const PROTOCOL_VERSION: i32 = 3 << 16;
    let pairs: Vec<(&str, &str)> = parameters
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    pgwire_replication::protocol::framing::write_startup_message(stream, PROTOCOL_VERSION, &pairs)
        .await
        .map_err(|error| convert(error, endpoint, "send the start-up message"))
}

/// Sends a password, or a step of SASL.
pub(crate) async fn write_password<S: AsyncWrite + Unpin>(
    stream: &mut S,
    payload: &[u8],
    endpoint: &str,
) -> Result<(), ConnectError> {
    pgwire_replication::protocol::framing::write_password_message(stream, payload)
        .await
        .map_err(|error| convert(error, endpoint, "answer the authentication request"))
}

/// Splits off a text that ends with NUL. `None` when the NUL is missing.
pub(crate) fn split_cstr(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (text, rest) = bytes.split_at(end);
    Some((text, rest.get(1..)?))
}
