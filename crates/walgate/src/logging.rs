//! The log, on stderr.

use std::io;
use std::sync::Arc;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Registry, reload};

use crate::args::GlobalArgs;
use crate::config::{LogFormat, LogLevel};
use crate::terminal::Terminal;

/// Changes the level while the program runs.
#[derive(Debug, Clone)]
pub struct LogHandle {
    filter: reload::Handle<Targets, Registry>,
    verbose: u8,
    quiet: u8,
}

impl LogHandle {
    /// Takes another level of the configuration; `-v` and `-q` still count from it.
    pub fn set_level(&self, level: LogLevel) {
        let level = shifted(level, self.verbose, self.quiet);
        // It fails only when the subscriber is gone, and then nobody is left to tell.
        drop(self.filter.reload(targets(level)));
    }
}

/// Starts the log. What it writes goes through `terminal`, so that a status line stays whole.
///
/// # Errors
///
/// When the process has a log already.
pub fn start(
    level: LogLevel,
    format: LogFormat,
    args: &GlobalArgs,
    colour: bool,
    terminal: &Arc<Terminal>,
) -> Result<LogHandle, tracing_subscriber::util::TryInitError> {
    let level = shifted(level, args.verbose, args.quiet);
    let (filter, handle) = reload::Layer::new(targets(level));
    let writer = ThroughTerminal(Arc::clone(terminal));
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    match format {
        LogFormat::Human => {
            registry
                .with(layer.compact().with_ansi(colour).with_target(false))
                .try_init()?;
        }
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init()?,
    }
    Ok(LogHandle {
        filter: handle,
        verbose: args.verbose,
        quiet: args.quiet,
    })
}

/// The level, one up for each `-v` and one down for each `-q`.
fn shifted(level: LogLevel, verbose: u8, quiet: u8) -> LogLevel {
    const LEVELS: [LogLevel; 5] = [
        LogLevel::Error,
        LogLevel::Warn,
        LogLevel::Info,
        LogLevel::Debug,
        LogLevel::Trace,
    ];
    let at = LEVELS.iter().position(|one| *one == level).unwrap_or(0);
    let at = (at + usize::from(verbose))
        .saturating_sub(usize::from(quiet))
        .min(LEVELS.len() - 1);
    LEVELS.get(at).copied().unwrap_or(level)
}

/// What is let through: ours at `level`; of the libraries what a user may need to see.
fn targets(level: LogLevel) -> Targets {
    let of_libraries = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn | LogLevel::Info => Level::WARN,
        LogLevel::Debug => Level::INFO,
        LogLevel::Trace => Level::DEBUG,
    };
    let ours = match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    };
    // A target's prefix covers walgate_replication and all the others.
    Targets::new()
        .with_default(of_libraries)
        .with_target("walgate", ours)
}

/// Writes each entry through the terminal, in one piece.
#[derive(Debug, Clone)]
struct ThroughTerminal(Arc<Terminal>);

impl<'a> MakeWriter<'a> for ThroughTerminal {
    type Writer = Entry<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Entry(&self.0)
    }
}

struct Entry<'a>(&'a Terminal);

impl io::Write for Entry<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.log(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_go_up_and_down() {
        for (verbose, quiet, level) in [
            (0, 0, LogLevel::Info),
            (1, 0, LogLevel::Debug),
            (2, 0, LogLevel::Trace),
            (9, 0, LogLevel::Trace),
            (0, 1, LogLevel::Warn),
            (0, 2, LogLevel::Error),
            (0, 255, LogLevel::Error),
        ] {
            assert_eq!(shifted(LogLevel::Info, verbose, quiet), level);
        }
        assert_eq!(shifted(LogLevel::Warn, 1, 0), LogLevel::Info);
    }

    #[test]
    fn libraries_say_less_than_we_do() {
        let info = targets(LogLevel::Info);
        assert!(info.would_enable("walgate_replication::session", &Level::INFO));
        assert!(!info.would_enable("walgate_replication::session", &Level::DEBUG));
        assert!(!info.would_enable("rustls::client", &Level::INFO));
        assert!(info.would_enable("rdkafka::client", &Level::WARN));
        assert!(!targets(LogLevel::Error).would_enable("rdkafka::client", &Level::WARN));
    }
}
