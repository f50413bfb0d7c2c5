//! A database of its own for each test, and a reader that writes down what comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use walgate_connection::{ConnectionConfig, Environment};
use walgate_core::{
    Checkpoint, Failure, Feed, FrameKind, Frames, Gap, Lsn, Position, Relation, Source,
    SourceIdentity, Transaction, Value, Watermark,
};
use walgate_pgoutput::{Dialect, Message, ProtocolVersion, Streaming};
use walgate_replication::{PostgresSource, SlotConfig, SlotMode, SourceConfig, Started};
use walgate_throwaway::{
    AdminSession, PgVersion, Postgres, PostgresOptions, SharedPostgres, shared_postgres,
};

use crate::spool::Spools;

/// Nothing that these tests wait for takes longer on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const DIALECT: Dialect = Dialect {
    version: ProtocolVersion::V1,
    streaming: Streaming::Off,
};

/// A database on a shared server.
pub(crate) struct Bed {
    pub(crate) database: String,
    server: &'static SharedPostgres,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A name that no other test of this run has, nor one of another run on the same server.
pub(crate) fn unique(what: &str) -> String {
    format!(
        "{what}_{}_{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

impl Bed {
    pub(crate) fn new(version: PgVersion) -> Self {
        let server = shared_postgres(version).expect("a server of this version");
        let database = unique("db");
        admin(server, "postgres", &format!("CREATE DATABASE {database}"));
        Self { database, server }
    }

    pub(crate) fn sql(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        admin(self.server, &self.database, sql)
    }

    /// A session of its own, for a transaction that stays open.
    pub(crate) fn session(&self) -> AdminSession {
        match self.server {
            SharedPostgres::Own(server) => server.admin_in(&self.database).expect("a session"),
            SharedPostgres::External(_) => {
                panic!("these tests administer a server of their own: unset WALGATE_TEST_PG_*")
            }
        }
    }

    pub(crate) fn text(&self, sql: &str) -> String {
        one(self.sql(sql))
    }

    pub(crate) fn url(&self) -> String {
        in_database(&self.server.url(), &self.database)
    }
}

impl Drop for Bed {
    /// A shared server has few slots.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.sql(
            "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots \
              WHERE database = current_database() AND active; \
             SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
              WHERE database = current_database() AND NOT temporary",
        );
    }
}

pub(crate) fn one(rows: Vec<Vec<Option<String>>>) -> String {
    rows.into_iter()
        .next()
        .and_then(|row| row.into_iter().next())
        .flatten()
        .unwrap_or_default()
}

fn admin(server: &SharedPostgres, database: &str, sql: &str) -> Vec<Vec<Option<String>>> {
    match server {
        SharedPostgres::Own(server) => server
            .admin_in(database)
            .and_then(|mut session| session.query(sql))
            .expect(sql),
        SharedPostgres::External(_) => {
            panic!("these tests administer a server of their own: unset WALGATE_TEST_PG_*")
        }
    }
}

fn in_database(url: &str, database: &str) -> String {
    let (head, tail) = url.split_once('?').unwrap_or((url, ""));
    let (base, _) = head.rsplit_once('/').expect("a URL with a database");
    let query = if tail.is_empty() {
        String::new()
    } else {
        format!("?{tail}")
    };
    format!("{base}/{database}{query}")
}

/// A server of its own.
pub(crate) fn server(version: PgVersion, settings: &[(&str, &str)]) -> Postgres {
    let mut options = PostgresOptions::version(version);
    for (name, value) in settings {
        options = options.setting(name, value);
    }
    Postgres::start(&options).expect("a server of this version")
}

/// A configuration with publication `p` and a slot that is created.
pub(crate) fn config(url: &str, slot: &str) -> SourceConfig {
    let connection =
        ConnectionConfig::parse(url, &Environment::from_pairs([("HOME", "/nonexistent")]));
    let slot = SlotConfig {
        name: slot.to_owned(),
        mode: SlotMode::CreateIfMissing,
        failover: false,
    };
    SourceConfig::new(connection.expect("a URL"), slot, vec!["p".to_owned()])
}

/// One frame, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: Position,
    pub(crate) what: String,
}

/// A source and what it has handed over.
pub(crate) struct Reader {
    pub(crate) source: PostgresSource,
    pub(crate) identity: SourceIdentity,
    pub(crate) warnings: Vec<String>,
    pub(crate) resume: Lsn,
    pub(crate) confirmed: Watermark<Lsn>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) progress: Lsn,
    pub(crate) ended: bool,
    pub(crate) spools: Spools,
    /// The definition of each row that has come.
    pub(crate) defined: Vec<Arc<Relation>>,
    relations: Vec<Arc<Relation>>,
    open: Option<Transaction>,
}

impl Reader {
    pub(crate) async fn start(
        config: SourceConfig,
        checkpoint: Option<Checkpoint>,
    ) -> Result<Self, Failure> {
        let confirmed = Watermark::new(
            checkpoint
                .as_ref()
                .map_or(Lsn::ZERO, |checkpoint| checkpoint.confirmed),
        );
        let started = PostgresSource::start(config, checkpoint, confirmed.clone()).await?;
        let Started {
            source,
            identity,
            warnings,
            resume,
            ..
        } = started;
        Ok(Self {
            source,
            identity,
            warnings,
            resume,
            confirmed,
            seen: Vec::new(),
            gaps: Vec::new(),
            progress: Lsn::ZERO,
            ended: false,
            spools: Spools::default(),
            defined: Vec::new(),
            relations: Vec::new(),
            open: None,
        })
    }

    /// Reads one feed.
    pub(crate) async fn step(&mut self) -> Result<(), Failure> {
        let feed = tokio::time::timeout(PATIENCE, self.source.next()).await;
        match feed.unwrap_or_else(|_| panic!("nothing came; so far: {:?}", self.texts()))? {
            Feed::Frames(frames) => self.take(frames),
            Feed::Streamed(streamed) => {
                if let Some(frames) = self.spools.take(streamed) {
                    self.take(frames);
                }
            }
            Feed::Gap(gap) => self.gaps.push(gap),
            Feed::End => self.ended = true,
        }
        Ok(())
    }

    /// Reads until `done`.
    pub(crate) async fn until(&mut self, done: impl Fn(&Self) -> bool) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) && !self.ended {
            assert!(
                Instant::now() < deadline,
                "it did not come; so far: {:?}",
                self.texts()
            );
            self.step().await?;
        }
        Ok(())
    }

    /// Reads until a row with this text has come, and the commit behind it.
    pub(crate) async fn until_row(&mut self, text: &str) -> Result<(), Failure> {
        self.until(|reader| {
            let row = reader
                .seen
                .iter()
                .rposition(|seen| seen.what.contains(text));
            row.is_some_and(|row| {
                reader
                    .seen
                    .iter()
                    .skip(row)
                    .any(|seen| seen.what == "commit")
            })
        })
        .await
    }

    pub(crate) fn texts(&self) -> Vec<&str> {
        self.seen.iter().map(|seen| seen.what.as_str()).collect()
    }

    /// The latest definition of a table.
    pub(crate) fn relation(&self, name: &str) -> &Relation {
        let relation = self
            .relations
            .iter()
            .rfind(|relation| relation.name == name);
        relation.unwrap_or_else(|| panic!("no definition of {name} has come"))
    }

    pub(crate) fn rows(&self) -> Vec<&str> {
        let rows = |text: &&str| !["begin", "commit"].contains(text);
        self.texts().into_iter().filter(rows).collect()
    }

    /// Everything handed over so far is durable.
    pub(crate) fn confirm(&self) {
        self.confirmed.advance(self.progress);
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            source: self.identity.clone(),
            confirmed: self.confirmed.get(),
            sinks: std::collections::BTreeMap::new(),
            received: None,
            gaps: Vec::new(),
        }
    }

    fn take(&mut self, frames: Frames) {
        let mut open = frames.open;
        for frame in &frames.frames {
            let message = walgate_pgoutput::decode(frames.message(frame), DIALECT, false)
                .expect("frames decode");
            let what = self.describe(&frames, frame, &message);
            let lsn = match message {
                Message::Begin {
                    final_lsn,
                    commit_time,
                    xid,
                } => {
                    open = Some(Transaction {
                        xid,
                        commit_lsn: final_lsn,
                        commit_time,
                    });
                    final_lsn
                }
                Message::Message {
                    lsn,
                    transactional: false,
                    ..
                } => lsn,
                _ => open.expect("a frame inside a transaction").commit_lsn,
            };
            if let Message::Commit { end_lsn, .. } = message {
                open = None;
                self.progress = self.progress.max(end_lsn);
            }
            if frame.kind == FrameKind::Standalone {
                self.progress = self.progress.max(lsn);
            }
            if matches!(
                frame.kind,
                FrameKind::Insert | FrameKind::Update | FrameKind::Delete
            ) {
                self.defined.extend(frames.relation(frame).cloned());
            }
            self.seen.push(Seen {
                id: Position::new(frames.epoch, lsn, frame.index),
                what,
            });
        }
        self.open = open;
        self.progress = self.progress.max(frames.progress.unwrap_or_default());
        assert!(
            frames.pinned >= frames.bytes.len(),
            "pinned memory is at least what is used"
        );
        self.relations.extend(frames.relations);
    }

    fn describe(
        &self,
        frames: &Frames,
        frame: &walgate_core::Frame,
        message: &Message<'_>,
    ) -> String {
        let table = || {
            frames
                .relation(frame)
                .map_or_else(String::new, |relation| relation.name.clone())
        };
        let values = |tuple: walgate_core::Tuple<'_>| {
            let text = |value: Value<'_>| match value {
                Value::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Value::Null => "null".to_owned(),
                _ => "-".to_owned(),
            };
            tuple.iter().map(text).collect::<Vec<_>>().join(",")
        };
        match *message {
            Message::Begin { .. } => "begin".to_owned(),
            Message::Commit { .. } => "commit".to_owned(),
            Message::Insert { new, .. } => format!("insert {} {}", table(), values(new)),
            Message::Update { new, .. } => format!("update {} {}", table(), values(new)),
            Message::Delete { old, .. } => format!("delete {} {}", table(), values(old.tuple())),
            Message::Truncate { relations, .. } => {
                let first = usize::from(frame.relation);
                let places = &frames.truncated[first..first + relations.len()];
                let names: Vec<&str> = places
                    .iter()
                    .map(|place| frames.relations[usize::from(*place)].name.as_str())
                    .collect();
                format!("truncate {}", names.join(","))
            }
            Message::Message {
                prefix, content, ..
            } => {
                format!("message {prefix} {}", String::from_utf8_lossy(content))
            }
            ref other => format!("{:?}", other.tag()),
        }
    }
}

/// Waits until `done`, looking again all the time.
pub(crate) async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
