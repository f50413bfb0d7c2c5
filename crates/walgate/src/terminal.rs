//! stderr as the one place that log entries and the status line share.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use crate::status_line::{Snapshot, render};

/// Back to the start of the line, and clear it.
const CLEAR_LINE: &[u8] = b"\r\x1b[2K";

/// Columns of a terminal that does not tell.
const DEFAULT_WIDTH: usize = 80;

/// Writes log entries and, on a terminal, a status line below them.
///
/// An entry clears the line, is written, and the line is drawn again; nothing else may write to
/// stderr while a line is shown, and data on the same terminal goes through
/// [`interrupt`](Self::interrupt).
pub struct Terminal {
    inner: Mutex<Inner>,
}

struct Inner {
    out: Box<dyn Write + Send>,
    /// Columns of the status line; none: there is no status line.
    width: Option<Box<dyn Fn() -> usize + Send>>,
    /// What is shown.
    line: Option<String>,
}

impl Terminal {
    /// The process's stderr. There is a status line when it is a terminal and `status_line` is
    /// asked for (the log is for people).
    pub fn stderr(status_line: bool) -> Self {
        let shown = status_line && io::stderr().is_terminal();
        let width: Option<Box<dyn Fn() -> usize + Send>> = if shown {
            // Asked each time: terminals are resized.
            Some(Box::new(|| {
                let size = terminal_size::terminal_size_of(io::stderr());
                size.map_or(DEFAULT_WIDTH, |(width, _)| usize::from(width.0))
            }))
        } else {
            None
        };
        Self::to(Box::new(io::stderr()), width)
    }

    fn to(out: Box<dyn Write + Send>, width: Option<Box<dyn Fn() -> usize + Send>>) -> Self {
        Self {
            inner: Mutex::new(Inner {
                out,
                width,
                line: None,
            }),
        }
    }

    /// Whether there is a status line at all; when not, drawing does nothing.
    pub fn has_status_line(&self) -> bool {
        self.lock().width.is_some()
    }

    /// Shows what is going on. Errors are of no interest: a lost terminal must not stop the work.
    pub fn draw(&self, snapshot: &Snapshot) {
        let mut inner = self.lock();
        let Some(width) = &inner.width else { return };
        // The last column stays free: some terminals wrap when it is written.
        let line = render(snapshot, width().saturating_sub(1));
        if inner.line.as_ref() != Some(&line) {
            inner.line = Some(line);
            drop(inner.redraw());
        }
    }

    /// Takes the status line away.
    pub fn clear(&self) {
        let mut inner = self.lock();
        if inner.line.take().is_some() {
            drop(inner.clear());
        }
    }

    /// Writes a log entry, which ends with a line feed.
    ///
    /// # Errors
    ///
    /// When stderr can't be written.
    pub fn log(&self, entry: &[u8]) -> io::Result<()> {
        let mut inner = self.lock();
        if inner.line.is_some() {
            inner.out.write_all(CLEAR_LINE)?;
        }
        inner.out.write_all(entry)?;
        inner.redraw()
    }

    /// Runs what writes data to the same terminal, with the status line out of the way.
    pub fn interrupt<T>(&self, write: impl FnOnce() -> T) -> T {
        let mut inner = self.lock();
        if inner.line.is_some() {
            drop(inner.clear());
        }
        let written = write();
        drop(inner.redraw());
        written
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        // A panic while drawing leaves a half-drawn line, nothing worse.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn clear(&mut self) -> io::Result<()> {
        self.out.write_all(CLEAR_LINE)?;
        self.out.flush()
    }

    fn redraw(&mut self) -> io::Result<()> {
        if let Some(line) = &self.line {
            self.out.write_all(CLEAR_LINE)?;
            self.out.write_all(line.as_bytes())?;
        }
        self.out.flush()
    }
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .expect("not poisoned")
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Screen {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut self.0.lock().expect("not poisoned")))
                .expect("text")
        }
    }

    fn snapshot(state: &'static str) -> Snapshot {
        Snapshot {
            state,
            ..Snapshot::default()
        }
    }

    #[test]
    fn an_entry_goes_above_the_line() {
        let screen = Screen::default();
        let terminal = Terminal::to(Box::new(screen.clone()), Some(Box::new(|| 80)));
        terminal.log(b"one\n").expect("written");
        assert_eq!(screen.take(), "one\n");
        terminal.draw(&snapshot("streaming"));
        let line = screen.take();
        assert!(line.starts_with("\r\x1b[2Kstreaming"), "{line:?}");
        terminal.draw(&snapshot("streaming"));
        assert_eq!(screen.take(), "", "the same line is not drawn again");
        terminal.log(b"two\n").expect("written");
        assert_eq!(screen.take(), format!("\r\x1b[2Ktwo\n{line}"));
        assert_eq!(terminal.interrupt(|| screen.take()), "\r\x1b[2K");
        assert_eq!(screen.take(), line);
        terminal.clear();
        assert_eq!(screen.take(), "\r\x1b[2K");
        terminal.log(b"three\n").expect("written");
        assert_eq!(screen.take(), "three\n");
    }

    #[test]
    fn without_a_terminal_there_is_no_line() {
        let screen = Screen::default();
        let terminal = Terminal::to(Box::new(screen.clone()), None);
        terminal.draw(&snapshot("streaming"));
        terminal.clear();
        assert!(!terminal.has_status_line());
        assert_eq!(screen.take(), "");
    }
}
