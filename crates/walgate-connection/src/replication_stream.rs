//! A connection to a walsender: commands first, then the raw stream.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{tcp, unix};

use crate::config::ConnectionConfig;
use crate::connect::{self, Opened};
use crate::encrypted::Encrypted;
use crate::error::ConnectError;
use crate::query::{self, Row};
use crate::remedy::Circumstances;
use crate::server_error::Notice;
use crate::startup::Purpose;
use crate::tls::TlsInfo;
use crate::transport::{Transport, delegate};

/// A session of a walsender (`replication=database`) that is ready for commands.
///
/// Commands go through [`simple_query`](Self::simple_query) and
/// [`start_copy_both`](Self::start_copy_both); after the latter the bytes are the caller's, through
/// [`AsyncRead`] and [`AsyncWrite`]. No byte is read ahead.
#[derive(Debug)]
pub struct ReplicationStream {
    opened: Opened,
    user: String,
    dbname: String,
}

impl ConnectionConfig {
    /// Opens a connection to a walsender of the database, on the first acceptable server.
    ///
    /// `settings` are sent with the start-up message, such as `("DateStyle", "ISO")`; an `options`
    /// among them is appended to the user's own.
    ///
    /// # Errors
    /// See [`ConnectError`]. No state is left on the server after one.
    pub async fn connect_replication(
        &self,
        settings: &[(&str, &str)],
    ) -> Result<ReplicationStream, ConnectError> {
        let opened = Box::pin(connect::open(self, Purpose::Replication, settings)).await?;
        Ok(ReplicationStream {
            opened,
            user: self.user.clone(),
            dbname: self.dbname.clone(),
        })
    }
}

impl ReplicationStream {
    /// What the server reported about itself, such as `server_version`.
    #[must_use]
    pub const fn parameters(&self) -> &BTreeMap<String, String> {
        &self.opened.session.parameters
    }

    /// The process id of the walsender, as in `pg_stat_replication`.
    #[must_use]
    pub const fn backend_pid(&self) -> i32 {
        self.opened.session.backend_pid
    }

    /// The server, for messages: `host:port`, with the address when the host is a name.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.opened.endpoint
    }

    /// What protects the connection; `None` for plain text.
    #[must_use]
    pub const fn tls(&self) -> Option<&TlsInfo> {
        self.opened.tls.as_ref()
    }

    /// Whether the socket below is TCP, with or without TLS.
    #[must_use]
    pub const fn is_tcp(&self) -> bool {
        self.opened.transport.is_tcp()
    }

    /// Bytes that were read from the socket and not yet handed out. Always empty: messages are read
    /// one at a time. A caller that starts with them stays right if that changes.
    #[must_use]
    pub const fn take_buffered(&mut self) -> Bytes {
        Bytes::new()
    }

    /// The notices that came so far, at the start and during commands.
    #[must_use]
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.opened.session.notices)
    }

    /// Runs a command and returns its rows. Dropping the future in the middle leaves the stream
    /// unusable.
    ///
    /// # Errors
    /// [`ConnectError::Server`] leaves the session usable; every other error ends it.
    pub async fn simple_query(&mut self, sql: &str) -> Result<Vec<Row>, ConnectError> {
        let Self {
            opened,
            user,
            dbname,
        } = self;
        let circumstances = circumstances(&opened.endpoint, user, dbname, opened.tls.is_some());
        query::simple_query(
            &mut opened.transport,
            &mut opened.session,
            sql,
            &circumstances,
        )
        .await
    }

    /// Runs `START_REPLICATION`; returns when the server has switched to copy-both mode.
    ///
    /// # Errors
    /// As for [`simple_query`](Self::simple_query).
    pub async fn start_copy_both(&mut self, sql: &str) -> Result<(), ConnectError> {
        let Self {
            opened,
            user,
            dbname,
        } = self;
        let circumstances = circumstances(&opened.endpoint, user, dbname, opened.tls.is_some());
        query::start_copy_both(
            &mut opened.transport,
            &mut opened.session,
            sql,
            &circumstances,
        )
        .await
    }

    /// Splits the stream into halves for two tasks.
    ///
    /// # Errors
    /// Under TLS the read half needs a second handle of the socket for [`AsFd`], and the system may
    /// be out of file descriptors.
    pub fn split(self) -> io::Result<(ReplicationReader, ReplicationWriter)> {
        let (reader, writer) = match self.opened.transport {
            Transport::Tcp(stream) => {
                let (reader, writer) = stream.into_split();
                (Reader::Tcp(reader), Writer::Tcp(writer))
            }
            Transport::Unix(stream) => {
                let (reader, writer) = stream.into_split();
                (Reader::Unix(reader), Writer::Unix(writer))
            }
            Transport::Tls(stream) => {
                let socket = stream.as_fd().try_clone_to_owned()?;
                let (stream, writer) = tokio::io::split(*stream);
                (
                    Reader::Tls(TlsReader { stream, socket }),
                    Writer::Tls(writer),
                )
            }
        };
        Ok((ReplicationReader(reader), ReplicationWriter(writer)))
    }
}

fn circumstances<'a>(
    endpoint: &'a str,
    user: &'a str,
    dbname: &'a str,
    encrypted: bool,
) -> Circumstances<'a> {
    let purpose = Purpose::Replication;
    Circumstances {
        endpoint,
        user,
        dbname,
        purpose,
        encrypted,
        password_origin: "the login",
    }
}

impl AsFd for ReplicationStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.opened.transport.as_fd()
    }
}

impl AsyncRead for ReplicationStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().opened.transport).poll_read(cx, buf)
    }
}

impl AsyncWrite for ReplicationStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().opened.transport).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().opened.transport).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().opened.transport).poll_shutdown(cx)
    }
}

/// The half that reads. [`AsFd`] gives the socket below, for its options.
#[derive(Debug)]
pub struct ReplicationReader(Reader);

/// The half that writes. Dropping it closes this direction of a plain connection.
#[derive(Debug)]
pub struct ReplicationWriter(Writer);

#[derive(Debug)]
enum Reader {
    Tcp(tcp::OwnedReadHalf),
    Unix(unix::OwnedReadHalf),
    Tls(TlsReader),
}

#[derive(Debug)]
enum Writer {
    Tcp(tcp::OwnedWriteHalf),
    Unix(unix::OwnedWriteHalf),
    Tls(tokio::io::WriteHalf<Encrypted>),
}

#[derive(Debug)]
struct TlsReader {
    stream: tokio::io::ReadHalf<Encrypted>,
    /// A second handle of the same socket: the first is behind the lock that both halves share.
    socket: OwnedFd,
}

impl ReplicationReader {
    /// Whether the socket below is TCP, with or without TLS.
    #[must_use]
    pub const fn is_tcp(&self) -> bool {
        match self.0 {
            Reader::Tcp(_) | Reader::Tls(_) => true,
            Reader::Unix(_) => false,
        }
    }
}

impl AsFd for ReplicationReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            Reader::Tcp(half) => half.as_ref().as_fd(),
            Reader::Unix(half) => half.as_ref().as_fd(),
            Reader::Tls(half) => half.socket.as_fd(),
        }
    }
}

impl AsyncRead for TlsReader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        delegate!(self, poll_read, cx, buf)
    }
}

impl AsyncRead for ReplicationReader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        delegate!(self, poll_write, cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_shutdown, cx)
    }
}

impl AsyncWrite for ReplicationWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}
