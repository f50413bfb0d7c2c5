//! TLS on TCP, for a server that sends each row in a record of its own.

use std::io::{self, BufRead as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// What is taken from the socket at once, in bytes. rustls asks for 4 KiB at a time, which would be a
/// system call for twenty rows; this is twice the low-water mark of a session that is behind.
const READ_AHEAD: usize = 128 * 1024;

/// The socket below TLS.
pub(crate) type Socket = BufReader<TcpStream>;

/// A socket that the handshake can be made on. Nothing may have been read ahead of it.
pub(crate) fn socket(stream: TcpStream) -> Socket {
    BufReader::with_capacity(READ_AHEAD, stream)
}

/// A TLS connection. A read brings all records that there are, as far as there is room: a walsender
/// makes one of each row, and one row a read would cost more than to decrypt it.
#[derive(Debug)]
pub(crate) struct Encrypted {
    stream: TlsStream<Socket>,
    /// What went wrong behind bytes that were handed out first.
    failed: Option<io::Error>,
}

impl Encrypted {
    pub(crate) const fn new(stream: TlsStream<Socket>) -> Self {
        Self {
            stream,
            failed: None,
        }
    }

    /// Hands out what has been decrypted already.
    fn drain(&mut self, buf: &mut ReadBuf<'_>) {
        let (_, session) = self.stream.get_mut();
        while buf.remaining() > 0 {
            // An error says that nothing is left, or will be said by the next read.
            let Ok(chunk) = session.reader().into_first_chunk() else {
                return;
            };
            let len = chunk.len().min(buf.remaining());
            let Some(head) = chunk.get(..len).filter(|head| !head.is_empty()) else {
                return;
            };
            buf.put_slice(head);
            session.reader().consume(len);
        }
    }
}

impl AsFd for Encrypted {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.get_ref().0.get_ref().as_fd()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let own = self.get_mut();
        if let Some(error) = own.failed.take() {
            return Poll::Ready(Err(error));
        }
        let start = buf.filled().len();
        while buf.remaining() > 0 {
            let before = buf.filled().len();
            match Pin::new(&mut own.stream).poll_read(cx, buf) {
                // The socket is empty, and wakes whoever asks again.
                Poll::Pending if before == start => return Poll::Pending,
                Poll::Pending => break,
                Poll::Ready(Err(error)) if before == start => return Poll::Ready(Err(error)),
                Poll::Ready(Err(error)) => {
                    own.failed = Some(error);
                    break;
                }
                Poll::Ready(Ok(())) if buf.filled().len() == before => break,
                Poll::Ready(Ok(())) => own.drain(buf),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
