//! A throw-away PostgreSQL server.

pub(crate) mod admin;
pub(crate) mod binaries;
mod cluster;
pub(crate) mod options;
mod standby;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::certificates::Certificates;
use crate::error::ThrowawayError;
use crate::guard::Guard;
use crate::ports::free_port;
use crate::postgres::admin::{AdminSession, Rows};
use crate::postgres::binaries::Binaries;
use crate::postgres::options::PostgresOptions;
use crate::process::{ServerProcess, log_excerpt};
use crate::run_as::User;

/// A start or a stop that takes longer has failed; crash recovery of a large test included.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tenths of a second between QUIT and KILL once we are gone.
const GUARD_PATIENCE_TENTHS: u32 = 50;

/// Another process may take a free port before the server does.
const START_TRIES: u32 = 5;

/// What a postmaster says when another one's children still run.
const STILL_IN_USE: &str = "pre-existing shared memory block";

/// How a server is stopped, as in `pg_ctl stop -m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// Waits for clients to leave; walsenders end once they have sent everything.
    Smart,
    /// Ends clients, writes a checkpoint.
    Fast,
    /// Ends at once; the next start recovers.
    Immediate,
}

impl StopMode {
    const fn signal(self) -> Signal {
        match self {
            Self::Smart => Signal::TERM,
            Self::Fast => Signal::INT,
            Self::Immediate => Signal::QUIT,
        }
    }
}

/// A PostgreSQL server in a temporary folder. It ends, and its folder goes, when this is dropped
/// and when the owning process ends in any way.
#[derive(Debug)]
pub struct Postgres {
    binaries: Binaries,
    options: PostgresOptions,
    user: Option<User>,
    port: u16,
    certificates: Option<Certificates>,
    process: Option<ServerProcess>,
    guard: Guard,
}

impl Postgres {
    /// Starts a new, empty server and waits until it takes connections.
    ///
    /// # Errors
    ///
    /// When binaries can't be had or the server doesn't start; the error ends in the server's log.
    pub fn start(options: &PostgresOptions) -> Result<Self, ThrowawayError> {
        let mut server = Self::prepare(options)?;
        cluster::init(&server.binaries, &server.data_dir(), options, server.user)?;
        server.settle()?;
        if let Some(password) = options.needed_password() {
            server.set_password(password)?;
        }
        Ok(server)
    }

    /// A folder and binaries, nothing in it yet.
    fn prepare(options: &PostgresOptions) -> Result<Self, ThrowawayError> {
        let binaries = Binaries::find(options.version)?;
        let user = User::for_servers()?;
        let guard = Guard::new("walgate-pg-", GUARD_PATIENCE_TENTHS)?;
        let server = Self {
            binaries,
            options: options.clone(),
            user,
            port: 0,
            certificates: None,
            process: None,
            guard,
        };
        let socket = server.socket_dir();
        fs::create_dir(&socket).map_err(ThrowawayError::io("create", &socket))?;
        if let Some(user) = user {
            user.own(server.guard.dir())?;
            user.own(&socket)?;
        }
        Ok(server)
    }

    /// Writes the configuration of a data folder that is there, and starts on a free port.
    fn settle(&mut self) -> Result<(), ThrowawayError> {
        let (data, socket) = (self.data_dir(), self.socket_dir());
        let tls = self.guard.dir().join("tls");
        self.certificates = cluster::enable_tls(&data, &tls, &self.options, self.user)?;
        for tried in 1.. {
            self.port = free_port()?;
            cluster::write_settings(&data, &socket, self.port, &self.options)?;
            match self.start_again() {
                Err(ThrowawayError::NotReady { log, .. })
                    if tried < START_TRIES && log.contains("could not bind") => {}
                result => return result,
            }
        }
        Ok(())
    }

    fn set_password(&self, password: &str) -> Result<(), ThrowawayError> {
        let encryption = match self.options.auth {
            options::PgAuth::Md5 => "md5",
            _ => "scram-sha-256",
        };
        let quoted = password.replace('\'', "''");
        let mut session = self.admin()?;
        session.query(&format!("SET password_encryption = '{encryption}'"))?;
        session.query(&format!("ALTER USER postgres PASSWORD '{quoted}'"))?;
        Ok(())
    }

    /// Starts the server again on its data and port, and waits until it takes connections.
    ///
    /// # Errors
    ///
    /// When it doesn't; the error ends in the server's log. No error when it runs already.
    pub fn start_again(&mut self) -> Result<(), ThrowawayError> {
        if self.process.is_some() {
            return Ok(());
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.start_once() {
                // Children of a postmaster that was killed are still on their way out.
                Err(ThrowawayError::NotReady { log, .. })
                    if log.contains(STILL_IN_USE) && Instant::now() < deadline => {}
                result => return result,
            }
        }
    }

    fn start_once(&mut self) -> Result<(), ThrowawayError> {
        let mut command = Command::new(self.binaries.bin.join("postgres"));
        command.arg("-D").arg(self.data_dir()).current_dir("/");
        if let Some(user) = self.user {
            user.run(&mut command);
        }
        let log = self.log_path();
        let mut process = ServerProcess::spawn(command, &log, &mut self.guard)?;
        let pid = process.pid();
        let pid_file = self.data_dir().join("postmaster.pid");
        let name = format!("postgresql {}", self.binaries.major);
        process.until_ready(&name, &log, PATIENCE, &mut self.guard, || {
            is_ready(&pid_file, pid)
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops the server and waits for its end. No error when it does not run.
    ///
    /// # Errors
    ///
    /// When it has not ended after 60 s: a smart stop waits for its clients.
    pub fn stop(&mut self, mode: StopMode) -> Result<(), ThrowawayError> {
        self.end(mode.signal())
    }

    /// Begins to stop the server and returns at once; [`Self::stop`] then waits for the end.
    ///
    /// # Errors
    ///
    /// When the signal can't be sent.
    pub fn begin_stop(&self, mode: StopMode) -> Result<(), ThrowawayError> {
        self.process
            .as_ref()
            .map_or(Ok(()), |process| process.signal(mode.signal()))
    }

    /// Stops in the given mode and starts again.
    ///
    /// # Errors
    ///
    /// As [`Self::stop`] and [`Self::start_again`].
    pub fn restart(&mut self, mode: StopMode) -> Result<(), ThrowawayError> {
        self.stop(mode)?;
        self.start_again()
    }

    /// Kills the postmaster and its children with SIGKILL. The next start recovers.
    ///
    /// # Errors
    ///
    /// When the signal can't be sent.
    pub fn kill_9(&mut self) -> Result<(), ThrowawayError> {
        if let Some(process) = &self.process {
            process.kill_tree()?;
        }
        self.end(Signal::KILL)
    }

    fn end(&mut self, signal: Signal) -> Result<(), ThrowawayError> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        process.signal(signal)?;
        if process.wait(PATIENCE, &mut self.guard)?.is_some() {
            self.process = None;
            return Ok(());
        }
        Err(ThrowawayError::NotReady {
            server: format!("postgresql {}", self.binaries.major),
            problem: format!("has not ended {PATIENCE:?} after {signal:?}"),
            log: log_excerpt(&self.log_path(), 0),
        })
    }

    /// Has the server read its configuration files again.
    ///
    /// # Errors
    ///
    /// When the signal can't be sent.
    pub fn reload(&self) -> Result<(), ThrowawayError> {
        self.process
            .as_ref()
            .map_or(Ok(()), |process| process.signal(Signal::HUP))
    }

    /// Appends settings to postgresql.conf. They count from the next [`Self::reload`] or restart.
    ///
    /// # Errors
    ///
    /// When the file can't be written.
    pub fn configure(&self, settings: &[(&str, &str)]) -> Result<(), ThrowawayError> {
        cluster::append_settings(&self.data_dir(), settings.iter().copied())
    }

    /// A session as superuser in `database`, over the Unix socket.
    ///
    /// # Errors
    ///
    /// When the server doesn't run or refuses.
    pub fn admin_in(&self, database: &str) -> Result<AdminSession, ThrowawayError> {
        let socket = self.socket_dir().join(format!(".s.PGSQL.{}", self.port));
        AdminSession::connect(&socket, database)
    }

    /// A session as superuser in the database `postgres`.
    ///
    /// # Errors
    ///
    /// When the server doesn't run or refuses.
    pub fn admin(&self) -> Result<AdminSession, ThrowawayError> {
        self.admin_in("postgres")
    }

    /// Runs statements in a session of their own and gives their rows.
    ///
    /// # Errors
    ///
    /// What the server refuses.
    pub fn sql(&self, statements: &str) -> Result<Rows, ThrowawayError> {
        self.admin()?.query(statements)
    }

    /// The major version that runs.
    pub const fn major(&self) -> u32 {
        self.binaries.major
    }

    /// TCP port on 127.0.0.1, the same after every restart.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The postmaster's process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(ServerProcess::pid)
    }

    /// The folder that holds everything of this server.
    pub fn dir(&self) -> &Path {
        self.guard.dir()
    }

    /// The data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.guard.dir().join("data")
    }

    /// The folder of the Unix socket, as `host` of a connection string.
    pub fn socket_dir(&self) -> PathBuf {
        self.guard.dir().join("socket")
    }

    /// The server's log.
    pub fn log_path(&self) -> PathBuf {
        self.guard.dir().join("log")
    }

    /// The authority and what it issued, with TLS.
    pub const fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// `postgres://postgres[:PASSWORD]@127.0.0.1:PORT/postgres`.
    pub fn url(&self) -> String {
        self.url_of("postgres", "postgres")
    }

    /// A URL for another user or database of this server. The password is that of `postgres`.
    pub fn url_of(&self, user: &str, database: &str) -> String {
        let password = self
            .options
            .needed_password()
            .map(|text| format!(":{text}"))
            .unwrap_or_default();
        format!(
            "postgres://{user}{password}@127.0.0.1:{}/{database}",
            self.port
        )
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // An immediate stop takes the children and the shared memory with it. What fails here, the
        // guard finishes: it still watches the process.
        if let Err(error) = self.end(Signal::QUIT) {
            tracing::debug!(%error, "a throw-away server did not stop by itself");
        }
    }
}

/// What `pg_ctl start -w` looks at: line 1 is the pid, line 8 the state.
fn is_ready(pid_file: &Path, pid: u32) -> bool {
    let Ok(text) = fs::read_to_string(pid_file) else {
        return false;
    };
    let mut lines = text.lines();
    let ours = lines
        .next()
        .is_some_and(|line| line.trim() == pid.to_string());
    ours && lines.nth(6).is_some_and(|state| state.starts_with("ready"))
}
