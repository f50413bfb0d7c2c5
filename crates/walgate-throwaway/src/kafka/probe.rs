//! Asks a broker whether it serves clients.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An ApiVersions request, version 0, correlation 7, no client id; see
/// <https://kafka.apache.org/protocol#The_Messages_ApiVersions>. Length first.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 255, 255];

/// A broker that is up answers in milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the broker answers ApiVersions without an error. Its network threads start when it has
/// registered with the controller, so this is also the end of its start.
pub(crate) fn answers(address: SocketAddr) -> bool {
    ask(address).is_ok_and(|answer| answer == [0, 0, 0, 7, 0, 0])
}

/// Correlation id and error code of the answer.
fn ask(address: SocketAddr) -> std::io::Result<[u8; 6]> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(&API_VERSIONS)?;
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let mut answer = [0; 6];
    socket.read_exact(&mut answer)?;
    Ok(answer)
}
