//! What the journal says in the log.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing_subscriber::fmt::MakeWriter;

/// What everything in this process has said.
#[derive(Debug, Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Said {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn said() -> &'static Said {
    static SAID: OnceLock<Said> = OnceLock::new();
    SAID.get_or_init(|| {
        let said = Said::default();
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(said.clone())
            .init();
        said
    })
}

/// Listens from now on.
pub(crate) fn listen() {
    said();
}

/// The lines of `level` that name this folder.
pub(crate) fn lines(level: &str, folder: &str) -> Vec<String> {
    let all = said().0.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&all)
        .lines()
        .filter(|line| line.contains(level) && line.contains(folder))
        .map(str::to_owned)
        .collect()
}
