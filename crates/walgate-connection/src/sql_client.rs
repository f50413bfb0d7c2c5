//! A connection for ordinary SQL: `tokio-postgres` on a session that this crate has opened.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls};

use crate::config::ConnectionConfig;
use crate::connect::{self, Opened};
use crate::error::ConnectError;
use crate::handover::Handover;
use crate::startup::Purpose;
use crate::tls::TlsInfo;

/// How long the farewell to the server may take after the client was dropped.
const FAREWELL: Duration = Duration::from_secs(1);

/// A client for queries. It dereferences to [`tokio_postgres::Client`]; its connection lives in a
/// task that ends when this value is dropped. Notices of the server are logged at debug level.
///
/// `cancel_token` of the client cannot be used: it would open a connection by rules of its own.
#[derive(Debug)]
pub struct SqlClient {
    client: Client,
    parameters: BTreeMap<String, String>,
    backend_pid: i32,
    endpoint: String,
    tls: Option<TlsInfo>,
    /// Dropped after the client, which ends the task at the latest a second later.
    _alive: oneshot::Sender<()>,
}

impl ConnectionConfig {
    /// Opens a connection for SQL on the first acceptable server, by exactly the rules of
    /// [`connect_replication`](Self::connect_replication). Must be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect_sql(&self, settings: &[(&str, &str)]) -> Result<SqlClient, ConnectError> {
        let opened = Box::pin(connect::open(self, Purpose::Sql, settings)).await?;
        let Opened {
            transport,
            session,
            endpoint,
            tls,
        } = opened;
        let stream = Handover::new(transport, &session);
        let mut config = Config::new();
        // The session is open, encrypted and authenticated: the rest is a formality.
        config
            .user(&self.user)
            .dbname(&self.dbname)
            .ssl_mode(SslMode::Disable);
        let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(|error| {
            ConnectError::protocol(&endpoint, format!("hand-over of the session: {error}"))
        })?;
        let (alive, dropped) = oneshot::channel();
        tokio::spawn(drive(connection, dropped, endpoint.clone()));
        Ok(SqlClient {
            client,
            parameters: session.parameters,
            backend_pid: session.backend_pid,
            endpoint,
            tls,
            _alive: alive,
        })
    }
}

async fn drive(
    mut connection: Connection<Handover, tokio_postgres::tls::NoTlsStream>,
    dropped: oneshot::Receiver<()>,
    endpoint: String,
) {
    let messages = async {
        while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
            match message {
                Ok(AsyncMessage::Notice(notice)) => {
                    tracing::debug!(endpoint, %notice, "notice of the server");
                }
                Ok(_) => {}
                // Whoever waits for an answer gets the error; nobody else needs it.
                Err(error) => {
                    tracing::debug!(endpoint, %error, "connection for sql lost");
                    break;
                }
            }
        }
    };
    let deadline = async {
        // An error is the signal: the sender is never used, only dropped.
        drop(dropped.await);
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        () = messages => {}
        () = deadline => {}
    }
}

impl SqlClient {
    /// What the server reported about itself at the start, such as `server_version`.
    #[must_use]
    pub const fn parameters(&self) -> &BTreeMap<String, String> {
        &self.parameters
    }

    /// The process id of the backend, as in `pg_stat_activity`.
    #[must_use]
    pub const fn backend_pid(&self) -> i32 {
        self.backend_pid
    }

    /// The server, for messages: `host:port`, with the address when the host is a name.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What protects the connection; `None` for plain text.
    #[must_use]
    pub const fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_ref()
    }
}

impl Deref for SqlClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for SqlClient {
    /// `tokio-postgres` wants `&mut` for transactions.
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}
