//! The side of whoever asks.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::protocol::{Answer, Command};
use super::{MAX_ANSWER_BYTES, socket};
use crate::ending::Ending;

/// How long to wait for an answer: longer than the service takes to give up.
const PATIENCE: Duration = Duration::from_secs(75);

/// Asks the service of a state directory. Gives its answer, and as the line that it was.
///
/// # Errors
///
/// When none runs there, it does not answer, or it refuses.
pub(crate) fn ask(state_dir: &Path, command: &Command) -> Result<(Answer, String), Ending> {
    let path = socket(state_dir);
    let failed = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ending::other_with_hint(
            format!(
                "no walgate runs with the state directory {}",
                state_dir.display()
            ),
            "start it: walgate run -c FILE",
        ),
        io::ErrorKind::PermissionDenied => Ending::other_with_hint(
            format!("{}: {error}", path.display()),
            "ask as the user that walgate runs as",
        ),
        _ => Ending::other_with_hint(
            format!("no answer from {}: {error}", path.display()),
            "the log of the service says what came of it",
        ),
    };
    let line = exchange(&path, &command.to_line()).map_err(|error| failed(&error))?;
    let answer = Answer::parse(line.as_bytes());
    let answer = answer.map_err(|error| failed(&io::Error::other(error)))??;
    Ok((answer, line))
}

fn exchange(path: &Path, request: &[u8]) -> io::Result<String> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_ANSWER_BYTES)).read_line(&mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line)
}
