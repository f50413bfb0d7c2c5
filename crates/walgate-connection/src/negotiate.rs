//! Which ways of protecting a connection are tried, and asking the server for TLS.

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::encrypted::Encrypted;
use crate::error::ConnectError;
use crate::framing;
use crate::setting::SslMode;
use crate::tls::{TlsInfo, TlsPlan};
use crate::tls_error::TlsError;
use crate::transport::Transport;

/// One way of trying a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encryption {
    None,
    /// Plain text if the server says that it has no TLS.
    IfOffered,
    Must,
}

/// The ways to try, in order, by libpq's rules. Under `require` and stronger, plain text is not
/// among them.
pub(crate) const fn ways(mode: SslMode, tcp: bool) -> &'static [Encryption] {
    match mode {
        _ if !tcp => &[Encryption::None],
        SslMode::Disable => &[Encryption::None],
        SslMode::Allow => &[Encryption::None, Encryption::Must],
        SslMode::Prefer => &[Encryption::IfOffered, Encryption::None],
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[Encryption::Must],
    }
}

/// Asks for TLS and does the handshake, as far as this way of connecting wants it.
pub(crate) async fn encrypt(
    mut stream: TcpStream,
    way: Encryption,
    plan: Option<&TlsPlan>,
    endpoint: &str,
) -> Result<(Transport, Option<TlsInfo>), ConnectError> {
    let Some(plan) = plan.filter(|_| way != Encryption::None) else {
        return Ok((Transport::Tcp(stream), None));
    };
    if !plan.is_direct() {
        pgwire_replication::protocol::framing::write_ssl_request(&mut stream)
            .await
            .map_err(|error| framing::convert(error, endpoint, "ask for tls"))?;
        // Exactly one byte: anything that was sent along in plain text reaches the TLS layer, which
        // refuses it (CVE-2021-23222).
        let answer = stream.read_u8().await;
        let refused = |problem, hint| {
            Err(ConnectError::Tls(Box::new(TlsError::new(
                endpoint,
                problem,
                Some(hint),
            ))))
        };
        match answer.map_err(|error| ConnectError::io(endpoint, "ask for tls", error))? {
            b'S' => {}
            b'N' if way == Encryption::IfOffered => return Ok((Transport::Tcp(stream), None)),
            b'N' => {
                let hint =
                    "switch ssl on in the server's configuration, or choose a weaker sslmode";
                return refused(
                    "the server does not offer tls, but sslmode requires it",
                    hint,
                );
            }
            b'E' => {
                // Its text is not shown: nobody vouches for it yet (CVE-2024-10977).
                let hint = "look into the server's log: it could not start a process for us";
                return refused(
                    "the server answered the request for tls with an error",
                    hint,
                );
            }
            _ => {
                let hint = "check host and port: this does not look like PostgreSQL";
                return refused(
                    "the answer to the request for tls is none of PostgreSQL's",
                    hint,
                );
            }
        }
    }
    let (stream, info) = Box::pin(plan.handshake(stream, endpoint)).await?;
    Ok((Transport::Tls(Box::new(Encrypted::new(stream))), Some(info)))
}

#[cfg(test)]
mod tests {
    use super::{Encryption, ways};
    use crate::setting::SslMode;

    #[test]
    fn plain_text_is_no_way_under_require_and_stronger() {
        for mode in [SslMode::Require, SslMode::VerifyCa, SslMode::VerifyFull] {
            assert_eq!(ways(mode, true), [Encryption::Must], "{mode}");
        }
        assert_eq!(ways(SslMode::Disable, true), [Encryption::None]);
        assert_eq!(
            ways(SslMode::Allow, true),
            [Encryption::None, Encryption::Must]
        );
        assert_eq!(
            ways(SslMode::Prefer, true),
            [Encryption::IfOffered, Encryption::None]
        );
        assert_eq!(ways(SslMode::VerifyFull, false), [Encryption::None]);
    }
}
