//! Standard output.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Duration;

use walgate_core::Position;

use crate::{Output, WriterSink};

/// Changes to standard output. Delivered is what the system has taken.
pub type StdoutSink = WriterSink<Stdout>;

/// Standard output without the line buffering of [`std::io::stdout`].
#[derive(Debug)]
pub struct Stdout {
    file: File,
}

/// How long to wait before trying again when somebody has made the descriptor non-blocking (it is
/// shared with whoever started us). Rare, so a short sleep will do.
const NONBLOCKING_RETRY: Duration = Duration::from_millis(5);

impl Stdout {
    /// Takes a descriptor of its own for standard output.
    ///
    /// # Errors
    ///
    /// When standard output is closed.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            file: File::from(io::stdout().as_fd().try_clone_to_owned()?),
        })
    }
}

impl From<OwnedFd> for Stdout {
    /// Any descriptor that is written to as standard output is.
    fn from(descriptor: OwnedFd) -> Self {
        Self {
            file: File::from(descriptor),
        }
    }
}

impl Output for Stdout {
    fn open(&mut self) -> io::Result<Option<Position>> {
        Ok(None)
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    thread::sleep(NONBLOCKING_RETRY);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn name(&self) -> String {
        "standard output".into()
    }
}
