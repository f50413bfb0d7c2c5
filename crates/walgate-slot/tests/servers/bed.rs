//! A server of one's own, watched, with consumers that behave as a test wants.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;
use walgate_connection::{ConnectionConfig, Environment, ReplicationReader, ReplicationWriter};
use walgate_slot::{Culprit, History, Observation, OurSlot, Scene, Watcher, culprit};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

/// Only bounds a test that hangs.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn options(version: PgVersion) -> PostgresOptions {
    PostgresOptions::version(version)
        .setting("max_prepared_transactions", "10")
        .setting("max_replication_slots", "20")
        // A consumer that confirms nothing is not to be cut off.
        .setting("wal_sender_timeout", "0")
}

pub(crate) fn config(url: &str) -> ConnectionConfig {
    let environment = Environment::from_pairs(std::iter::empty::<(&str, &str)>());
    ConnectionConfig::parse(url, &environment).expect("a valid configuration")
}

/// A server and what was seen of it.
pub(crate) struct Bed {
    pub(crate) server: Postgres,
    pub(crate) watcher: Watcher,
    pub(crate) history: History,
}

impl Bed {
    pub(crate) async fn start(version: PgVersion) -> Self {
        Self::with(&options(version)).await
    }

    pub(crate) async fn with(options: &PostgresOptions) -> Self {
        let server = Postgres::start(options).expect("a throw-away PostgreSQL");
        let watcher = Watcher::connect(&config(&server.url()))
            .await
            .expect("a watcher");
        Self {
            server,
            watcher,
            history: History::new(),
        }
    }

    pub(crate) fn sql(&self, sql: &str) {
        self.server.sql(sql).expect(sql);
    }

    /// Writes so many files of log, in a database.
    pub(crate) fn fill(&self, database: &str, files: usize) {
        let mut session = self.server.admin_in(database).expect("a session");
        for _ in 0..files {
            // Two statements: a switch that has nothing before it in its file does nothing.
            session
                .query("SELECT pg_logical_emit_message(false, 'fill', 'x')")
                .expect("a message");
            session.query("SELECT pg_switch_wal()").expect("a switch");
        }
    }

    pub(crate) fn create_slot(&self, name: &str) {
        self.sql(&format!(
            "SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')"
        ));
    }

    pub(crate) fn drop_slot(&self, name: &str) {
        self.sql(&format!("SELECT pg_drop_replication_slot('{name}')"));
    }

    /// Looks. Transactions are shown as a minute older than they are: young ones are blamed for
    /// nothing, and no test waits for so long.
    pub(crate) async fn look(&mut self) -> Observation {
        let mut seen = self.watcher.look().await.expect("a look");
        for open in &mut seen.transactions {
            open.seconds = open.seconds.map(|seconds| seconds + 60.0);
        }
        for prepared in &mut seen.prepared {
            prepared.seconds = prepared.seconds.map(|seconds| seconds + 60.0);
        }
        let system_id = self.watcher.server().system_id;
        self.history.record(Instant::now(), &seen, system_id);
        seen
    }

    pub(crate) async fn judge(&mut self, slot: &str) -> Culprit {
        let seen = self.look().await;
        let scene = Scene {
            seen: &seen,
            history: &self.history,
            now: Instant::now(),
            ours: &[] as &[OurSlot],
            hide_queries: false,
        };
        culprit(&scene, seen.slot(slot).expect(slot))
    }

    /// Looks until the culprit of `slot` is as wanted; each time, the server logs a snapshot of the
    /// running transactions, after which slots can move.
    pub(crate) async fn until(
        &mut self,
        slot: &str,
        what: &str,
        wanted: impl Fn(&Culprit) -> bool,
    ) -> Culprit {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.judge(slot).await;
            if wanted(&found) {
                return found;
            }
            let version = self.watcher.server().version_num;
            assert!(
                Instant::now() < deadline,
                "{version}: {slot} is never {what}, but {found:?}"
            );
            self.sql("CHECKPOINT");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until a condition on a look holds.
    pub(crate) async fn until_seen(
        &mut self,
        what: &str,
        wanted: impl Fn(&Observation) -> bool,
    ) -> Observation {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = self.look().await;
            if wanted(&seen) {
                return seen;
            }
            assert!(Instant::now() < deadline, "never {what}: {seen:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// How a consumer behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consumer {
    /// Confirms everything that it gets, keepalives too.
    Confirms,
    /// Reads and says nothing.
    Silent,
    /// Does not even read.
    Stuck,
}

/// A consumer; it goes when this is dropped.
pub(crate) struct Consuming(JoinHandle<()>);

impl Drop for Consuming {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Consumer {
    /// Streams from a slot with the publication `p`.
    pub(crate) async fn start(self, bed: &Bed, slot: &str) -> Consuming {
        let config = config(&bed.server.url()).with_application_name("a consumer");
        let mut stream = config.connect_replication(&[]).await.expect("connected");
        let start = format!(
            "START_REPLICATION SLOT {slot} LOGICAL 0/0 (proto_version '1', publication_names 'p')"
        );
        stream.start_copy_both(&start).await.expect("started");
        let (reader, writer) = stream.split().expect("split");
        Consuming(tokio::spawn(async move {
            if self == Self::Stuck {
                let _held = (reader, writer);
                std::future::pending::<()>().await;
            } else {
                self.consume(reader, writer).await;
            }
        }))
    }

    async fn consume(self, mut reader: ReplicationReader, mut writer: ReplicationWriter) {
        loop {
            let tag = reader.read_u8().await.expect("a message");
            let length = reader.read_u32().await.expect("a length") - 4;
            let mut frame = vec![0; usize::try_from(length).expect("short")];
            reader.read_exact(&mut frame).await.expect("a frame");
            // Warnings come in between.
            if tag == b'N' {
                continue;
            }
            assert_eq!(tag, b'd');
            // The end of the log is the first number of a keepalive and the second of a row.
            let at = if frame.first() == Some(&b'k') { 1 } else { 9 };
            if self == Self::Confirms {
                let end: [u8; 8] = frame[at..at + 8].try_into().expect("a position");
                writer.write_all(&status(end)).await.expect("written");
                writer.flush().await.expect("flushed");
            }
        }
    }
}

/// A standby status update that confirms up to `end`.
fn status(end: [u8; 8]) -> Vec<u8> {
    let mut body = vec![b'r'];
    for _ in 0..3 {
        body.extend(end);
    }
    body.extend([0; 9]);
    let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    [&b"d"[..], &length, &body].concat()
}
