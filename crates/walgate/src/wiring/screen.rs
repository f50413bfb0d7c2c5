//! Standard output beside the status line.

use std::io;
use std::sync::Arc;

use walgate_core::Position;
use walgate_sink_stdout::{Output, Stdout};

use crate::entry::Console;
use crate::terminal::Terminal;

/// Standard output; when it is a terminal that also shows a status line, data goes above that line.
#[derive(Debug)]
pub(crate) struct Screen {
    stdout: Stdout,
    /// The terminal that is shared; none when standard output goes elsewhere, which may block for
    /// as long as it likes without holding the log up.
    shared: Option<Arc<Terminal>>,
}

impl Screen {
    /// Takes standard output.
    ///
    /// # Errors
    ///
    /// When it is closed.
    pub(crate) fn new(console: &Console) -> io::Result<Self> {
        let shared = console.stdout_is_terminal && console.terminal.has_status_line();
        Ok(Self {
            stdout: Stdout::new()?,
            shared: shared.then(|| Arc::clone(&console.terminal)),
        })
    }
}

impl Output for Screen {
    fn open(&mut self) -> io::Result<Option<Position>> {
        self.stdout.open()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &self.shared {
            Some(terminal) => terminal.interrupt(|| self.stdout.write(bytes)),
            None => self.stdout.write(bytes),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.stdout.sync()
    }

    fn name(&self) -> String {
        self.stdout.name()
    }
}
