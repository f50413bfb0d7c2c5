//! A throw-away Apache Kafka: one node in KRaft mode.

pub(crate) mod options;
mod probe;
mod properties;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::certificates::Certificates;
use crate::download::kafka_jars;
use crate::error::ThrowawayError;
use crate::guard::Guard;
use crate::kafka::options::KafkaOptions;
use crate::kafka::probe::answers;
use crate::kafka::properties::Ports;
use crate::process::{ServerProcess, log_excerpt, log_says};
use crate::proxy::FaultProxy;
use crate::run_as::{require, run_to_end};
use crate::versions::Versions;

/// A broker is ready in three seconds; a busy machine with two cores may need ten times that.
const PATIENCE: Duration = Duration::from_secs(120);

/// A broker that is stopped writes its logs and leaves; more than this is a hang.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// A Java process has nothing to gain from QUIT: the guard kills it at once.
const GUARD_PATIENCE_TENTHS: u32 = 0;

/// Another process may take a free port before the broker does.
const START_TRIES: u32 = 5;

/// The last line of a start.
const STARTED: &str = "Kafka Server started";

/// Any identifier will do; a fixed one makes the metadata comparable.
const CLUSTER_ID: &str = "V2FsZ2F0ZVRocm93YXdheQ";

/// An Apache Kafka broker in a temporary folder. It ends, and its folder goes, when this is dropped
/// and when the owning process ends in any way.
#[derive(Debug)]
pub struct Kafka {
    jars: PathBuf,
    options: KafkaOptions,
    ports: Ports,
    certificates: Option<Certificates>,
    process: Option<ServerProcess>,
    guard: Guard,
}

impl Kafka {
    /// The version that is started, such as `4.1.0`; none when the file that pins it can't be read.
    #[must_use]
    pub fn version() -> Option<String> {
        Versions::pinned()
            .ok()
            .map(|versions| versions.kafka.release)
    }

    /// Starts a new, empty broker and waits until it answers.
    ///
    /// # Errors
    ///
    /// When Java or the jars can't be had, or the broker doesn't start; the error ends in its log.
    pub fn start(options: &KafkaOptions) -> Result<Self, ThrowawayError> {
        require("java", "running Apache Kafka")?;
        properties::check_users(&options.users)?;
        let jars = kafka_jars()?;
        let guard = Guard::new("walgate-kafka-", GUARD_PATIENCE_TENTHS)?;
        let certificates = match options.tls {
            true => Some(Certificates::new(&guard.dir().join("tls"))?),
            false => None,
        };
        let mut broker = Self {
            jars,
            options: options.clone(),
            ports: Ports::default(),
            certificates,
            process: None,
            guard,
        };
        for tried in 1.. {
            broker.format()?;
            match broker.start_again() {
                Err(ThrowawayError::NotReady { log, .. })
                    if tried < START_TRIES && log.contains("Address already in use") => {}
                result => return result.map(|()| broker),
            }
        }
        Ok(broker)
    }

    /// Starts a broker and a proxy before its proxied listener: clients that bootstrap at
    /// [`FaultProxy::address`] stay behind the proxy, those of [`Self::bootstrap`] pass it by.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub fn start_behind_proxy(
        options: &KafkaOptions,
    ) -> Result<(Self, FaultProxy), ThrowawayError> {
        let proxy = FaultProxy::without_target()?;
        let mut options = options.clone();
        options.advertised = Some(proxy.address());
        let broker = Self::start(&options)?;
        if let Some(port) = broker.ports.proxied {
            proxy.set_target(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
        Ok((broker, proxy))
    }

    /// Chooses ports, writes server.properties and formats an empty data folder.
    fn format(&mut self) -> Result<(), ThrowawayError> {
        self.ports = Ports::choose(&self.options)?;
        let (data, file) = (self.data_dir(), self.properties_path());
        if data.exists() {
            fs::remove_dir_all(&data).map_err(ThrowawayError::io("remove", &data))?;
        }
        properties::write(
            &file,
            &data,
            &self.ports,
            &self.options,
            self.certificates.as_ref(),
        )?;
        let mut command = self.java("kafka.tools.StorageTool");
        command
            .args(["format", "--standalone", "-t", CLUSTER_ID, "-c"])
            .arg(&file);
        for (name, password) in &self.options.users {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                command.arg("--add-scram");
                command.arg(format!("{mechanism}=[name={name},password={password}]"));
            }
        }
        run_to_end(&mut command).map(|_| ())
    }

    fn java(&self, class: &str) -> Command {
        let mut command = Command::new("java");
        if !self.options.optimised {
            command.arg("-XX:TieredStopAtLevel=1");
        }
        command
            .args(["-XX:+UseSerialGC", "-Xshare:auto"])
            .arg(format!("-Xmx{}m", self.options.heap_mib))
            .arg("-Dorg.slf4j.simpleLogger.showDateTime=true")
            .arg("-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS")
            .arg("-cp")
            .arg(self.jars.join("*"))
            .arg(class)
            .current_dir("/");
        command
    }

    /// Starts the broker again on its data and ports, and waits until it answers.
    ///
    /// # Errors
    ///
    /// When it doesn't; the error ends in its log. No error when it runs already.
    pub fn start_again(&mut self) -> Result<(), ThrowawayError> {
        if self.process.is_some() {
            return Ok(());
        }
        let mut command = self.java("kafka.Kafka");
        command.arg(self.properties_path());
        let log = self.log_path();
        let mut process = ServerProcess::spawn(command, &log, &mut self.guard)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.plain));
        // The plain listener answers a little before the others; the log says when all are up.
        let start = process.log_start();
        let ready = || answers(address) && log_says(&log, start, STARTED);
        process.until_ready("kafka", &log, PATIENCE, &mut self.guard, ready)?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops the broker in order (SIGTERM) and waits for its end.
    ///
    /// # Errors
    ///
    /// When it has not ended after a minute.
    pub fn stop(&mut self) -> Result<(), ThrowawayError> {
        self.end(Signal::TERM)
    }

    /// Kills the broker with SIGKILL.
    ///
    /// # Errors
    ///
    /// When the signal can't be sent.
    pub fn kill_9(&mut self) -> Result<(), ThrowawayError> {
        self.end(Signal::KILL)
    }

    /// Freezes the broker (SIGSTOP): connections stay, nothing answers.
    ///
    /// # Errors
    ///
    /// When the signal can't be sent.
    pub fn pause(&self) -> Result<(), ThrowawayError> {
        self.process
            .as_ref()
            .map_or(Ok(()), |process| process.signal(Signal::STOP))
    }

    /// Lets a frozen broker go on.
    ///
    /// # Errors
    ///
    /// When the signal can't be sent.
    pub fn resume(&self) -> Result<(), ThrowawayError> {
        self.process
            .as_ref()
            .map_or(Ok(()), |process| process.signal(Signal::CONT))
    }

    fn end(&mut self, signal: Signal) -> Result<(), ThrowawayError> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        process.signal(signal)?;
        process.signal(Signal::CONT)?;
        if process.wait(STOP_PATIENCE, &mut self.guard)?.is_some() {
            self.process = None;
            return Ok(());
        }
        Err(ThrowawayError::NotReady {
            server: "kafka".into(),
            problem: format!("has not ended {STOP_PATIENCE:?} after {signal:?}"),
            log: log_excerpt(&self.log_path(), 0),
        })
    }

    /// `bootstrap.servers` of the plain listener, past any proxy.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.ports.plain)
    }

    /// `bootstrap.servers` of the SASL listener without TLS, when there are users.
    pub fn sasl_bootstrap(&self) -> Option<String> {
        self.ports.sasl.map(|port| format!("127.0.0.1:{port}"))
    }

    /// `bootstrap.servers` of the TLS listener.
    pub fn tls_bootstrap(&self) -> Option<String> {
        self.ports.tls.map(|port| format!("127.0.0.1:{port}"))
    }

    /// `bootstrap.servers` of the listener with SASL over TLS.
    pub fn sasl_tls_bootstrap(&self) -> Option<String> {
        self.ports.sasl_tls.map(|port| format!("127.0.0.1:{port}"))
    }

    /// The authority and what it issued, with TLS.
    pub const fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// The broker's process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(ServerProcess::pid)
    }

    /// The folder that holds everything of this broker.
    pub fn dir(&self) -> &Path {
        self.guard.dir()
    }

    /// The broker's log.
    pub fn log_path(&self) -> PathBuf {
        self.guard.dir().join("log")
    }

    fn data_dir(&self) -> PathBuf {
        self.guard.dir().join("kafka-data")
    }

    fn properties_path(&self) -> PathBuf {
        self.guard.dir().join("server.properties")
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // What fails here, the guard finishes: it still watches the process.
        if let Err(error) = self.end(Signal::KILL) {
            tracing::debug!(%error, "a throw-away broker did not stop by itself");
        }
    }
}
