//! The servers of the demo, from nothing to nothing.

use std::path::PathBuf;

use tokio::task::spawn_blocking;
use walgate_throwaway::{
    Kafka, KafkaOptions, PgVersion, Postgres, PostgresOptions, ThrowawayError,
};

use super::say;
use crate::config::Secret;
use crate::ending::Ending;
use crate::entry::Console;
use crate::signals::{Request, Signals};

/// The tables of the maze, and the function that moves it.
const MAZE: &str = include_str!("../../../../sql/maze.sql");

/// What runs for the demo; it also ends when this process does.
pub(super) struct Servers {
    postgres: Postgres,
    kafka: Option<Kafka>,
}

/// Starts them; none when it was told to end meanwhile.
pub(super) async fn start(
    with_kafka: bool,
    console: &Console,
    signals: &mut Signals,
) -> Result<Option<Servers>, Ending> {
    let what = if with_kafka {
        "PostgreSQL and Apache Kafka"
    } else {
        "PostgreSQL"
    };
    say(
        console,
        &format!("starting {what} in temporary folders (the first time they may be fetched)\n"),
    );
    // Both at once: a broker takes some seconds.
    let kafka = spawn_blocking(move || {
        with_kafka
            .then(|| Kafka::start(&KafkaOptions::default()))
            .transpose()
    });
    let postgres = spawn_blocking(|| {
        let server = Postgres::start(&PostgresOptions::version(PgVersion::Any))?;
        server.sql(MAZE)?;
        Ok(server)
    });
    let mut both = Box::pin(async { (postgres.await, kafka.await) });
    let mut told_to_end = false;
    let (postgres, kafka) = loop {
        tokio::select! {
            both = &mut both => break both,
            request = signals.next() => match request {
                Request::Reload => {}
                // What is being started is ended in order; who can't wait for that asks again, and
                // leaves it to the servers' guards.
                Request::Drain => told_to_end = true,
                Request::End => return Ok(None),
            },
        }
    };
    let lost = |error: tokio::task::JoinError| Ending::other(format!("a start failed: {error}"));
    let (postgres, kafka) = (postgres.map_err(lost)?, kafka.map_err(lost)?);
    if told_to_end {
        spawn_blocking(move || drop((postgres, kafka)))
            .await
            .map_err(lost)?;
        return Ok(None);
    }
    Ok(Some(Servers {
        postgres: postgres.map_err(|error| refused(&error))?,
        kafka: kafka.map_err(|error| refused(&error))?,
    }))
}

impl Servers {
    /// For people: any client on this machine may connect.
    pub(super) fn url(&self) -> String {
        self.postgres.url()
    }

    /// For us: whatever the environment asks of TLS, this server has none.
    pub(super) fn private_url(&self) -> Secret {
        Secret::new(format!("{}?sslmode=disable", self.postgres.url()))
    }

    /// A folder that goes with them, however this process ends.
    pub(super) fn scratch(&self, name: &str) -> PathBuf {
        self.postgres.dir().join(name)
    }

    pub(super) const fn postgres_major(&self) -> u32 {
        self.postgres.major()
    }

    /// Where Kafka is, when it was asked for.
    pub(super) fn bootstrap(&self) -> Option<String> {
        self.kafka.as_ref().map(Kafka::bootstrap)
    }

    /// Ends them and waits until their folders are gone.
    pub(super) async fn end(self) {
        // It fails only when the runtime ends, and then the guards do it.
        drop(spawn_blocking(move || drop(self)).await);
    }
}

/// The messages end in what to do, where that is known.
fn refused(error: &ThrowawayError) -> Ending {
    let text = error.to_string();
    match text.split_once("\nhint: ") {
        Some((message, hint)) => Ending::other_with_hint(message, hint),
        None => Ending::other(text),
    }
}
