//! A minimal SQL session over the server's Unix socket, which always trusts: enough to administer.
//!
//! Simple-query protocol, text results, see
//! <https://www.postgresql.org/docs/current/protocol-flow.html>.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::error::ThrowawayError;

/// Rows of a statement: each column as text, `None` for NULL.
pub type Rows = Vec<Vec<Option<String>>>;

/// No administrative statement of a test takes longer; a hung server must fail the test.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// The largest message that is read, as a bound on what a length field can make us allocate.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// One connection as user `postgres`.
#[derive(Debug)]
pub struct AdminSession {
    socket: UnixStream,
}

impl AdminSession {
    pub(crate) fn connect(socket: &Path, database: &str) -> Result<Self, ThrowawayError> {
        let stream = UnixStream::connect(socket).map_err(ThrowawayError::io("connect", socket))?;
        stream
            .set_read_timeout(Some(ANSWER_WITHIN))
            .map_err(ThrowawayError::io("connect", socket))?;
        let mut session = Self { socket: stream };
        let mut body = 196_608_u32.to_be_bytes().to_vec(); // protocol 3.0
        for part in [
            "user",
            "postgres",
            "database",
            database,
            "application_name",
            "walgate-test",
        ] {
            body.extend_from_slice(part.as_bytes());
            body.push(0);
        }
        body.push(0);
        session.send(None, &body)?;
        session.until_ready()?;
        Ok(session)
    }

    /// Runs statements and gives the rows of all of them.
    ///
    /// # Errors
    ///
    /// What the server refuses, with its SQLSTATE.
    pub fn query(&mut self, sql: &str) -> Result<Rows, ThrowawayError> {
        let mut body = sql.as_bytes().to_vec();
        body.push(0);
        self.send(Some(b'Q'), &body)?;
        self.until_ready()
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) -> Result<(), ThrowawayError> {
        let length = u32::try_from(body.len() + 4)
            .map_err(|_| ThrowawayError::Sql("statement too long".into()))?;
        let mut message = Vec::with_capacity(body.len() + 5);
        message.extend(kind);
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(body);
        self.socket.write_all(&message).map_err(lost)
    }

    /// Reads to ReadyForQuery; the first error is what is returned.
    fn until_ready(&mut self) -> Result<Rows, ThrowawayError> {
        let mut rows = Rows::new();
        let mut refused = None;
        loop {
            let (kind, body) = self.receive()?;
            match kind {
                b'Z' => return refused.map_or(Ok(rows), |text| Err(ThrowawayError::Sql(text))),
                b'D' => rows.push(parse_row(&body).ok_or_else(|| odd("row"))?),
                b'E' if refused.is_none() => refused = Some(error_text(&body)),
                b'R' if body != 0_u32.to_be_bytes() => return Err(odd("authentication request")),
                _ => {}
            }
            // A FATAL error ends the connection without ReadyForQuery; the next read says so.
            if kind == b'E' && error_text(&body).starts_with("FATAL") {
                return Err(ThrowawayError::Sql(error_text(&body)));
            }
        }
    }

    fn receive(&mut self) -> Result<(u8, Vec<u8>), ThrowawayError> {
        let mut kind = [0_u8; 1];
        let mut length = [0_u8; 4];
        self.socket.read_exact(&mut kind).map_err(lost)?;
        self.socket.read_exact(&mut length).map_err(lost)?;
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| odd("length"))?;
        let length = length.checked_sub(4).filter(|n| *n <= MAX_MESSAGE_BYTES);
        let mut body = vec![0; length.ok_or_else(|| odd("length"))?];
        self.socket.read_exact(&mut body).map_err(lost)?;
        let [kind] = kind;
        Ok((kind, body))
    }
}

fn lost(error: std::io::Error) -> ThrowawayError {
    ThrowawayError::Sql(format!("connection lost: {error}"))
}

fn odd(what: &str) -> ThrowawayError {
    ThrowawayError::Sql(format!("unexpected {what} from the server"))
}

/// A DataRow: column count, then length and bytes of each column, -1 for NULL.
fn parse_row(body: &[u8]) -> Option<Vec<Option<String>>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut row = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = i32::from_be_bytes(*length);
        let Ok(length) = usize::try_from(length) else {
            row.push(None);
            rest = after;
            continue;
        };
        let (value, after) = after.split_at_checked(length)?;
        row.push(Some(String::from_utf8_lossy(value).into_owned()));
        rest = after;
    }
    Some(row)
}

/// `SEVERITY: message (SQLSTATE)` of an ErrorResponse.
fn error_text(body: &[u8]) -> String {
    let field = |code: u8| {
        body.split(|byte| *byte == 0)
            .find(|part| part.first() == Some(&code))
            .map(|part| String::from_utf8_lossy(part.get(1..).unwrap_or_default()).into_owned())
            .unwrap_or_default()
    };
    format!("{}: {} ({})", field(b'V'), field(b'M'), field(b'C'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_text_and_nulls_and_short_ones_are_refused() {
        let body = [0, 2, 0, 0, 0, 1, b'x', 255, 255, 255, 255];
        assert_eq!(parse_row(&body), Some(vec![Some("x".into()), None]));
        assert_eq!(parse_row(&body[..6]), None);
    }

    #[test]
    fn an_error_names_its_sqlstate() {
        let text = error_text(b"SFEHLER\0VERROR\0C42P01\0Mno such table\0\0");
        assert_eq!(text, "ERROR: no such table (42P01)");
    }
}
