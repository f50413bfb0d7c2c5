//! One server for each version and test process, or the user's own.

use std::env;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::error::ThrowawayError;
use crate::kafka::Kafka;
use crate::kafka::options::KafkaOptions;
use crate::postgres::Postgres;
use crate::postgres::options::{PgVersion, PostgresOptions};

/// A PostgreSQL that tests share; each makes a database, slots and publications of its own.
#[derive(Debug)]
pub enum SharedPostgres {
    /// Started by us with default options.
    Own(Box<Postgres>),
    /// Named by `WALGATE_TEST_PG_<major>`, a URL of a superuser.
    External(String),
}

impl SharedPostgres {
    /// URL of a superuser.
    pub fn url(&self) -> String {
        match self {
            Self::Own(server) => server.url(),
            Self::External(url) => url.clone(),
        }
    }

    /// The user's own server of this version, if the environment names one.
    pub fn external(version: PgVersion) -> Option<Self> {
        let url = env::var(format!("WALGATE_TEST_PG_{}", version.major()?)).ok()?;
        (!url.is_empty()).then_some(Self::External(url))
    }
}

/// A Kafka that tests share; each makes topics of its own.
#[derive(Debug)]
pub enum SharedKafka {
    /// Started by us with default options.
    Own(Box<Kafka>),
    /// Named by `WALGATE_TEST_KAFKA`, bootstrap servers without authentication.
    External(String),
}

impl SharedKafka {
    /// `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        match self {
            Self::Own(broker) => broker.bootstrap(),
            Self::External(servers) => servers.clone(),
        }
    }

    /// The user's own broker, if the environment names one.
    pub fn external() -> Option<Self> {
        let servers = env::var("WALGATE_TEST_KAFKA").ok()?;
        (!servers.is_empty()).then_some(Self::External(servers))
    }
}

/// The server of a version that all tests of this process share, started by the first who asks.
/// It ends with the process.
///
/// # Errors
///
/// As [`Postgres::start`]; who asks next tries again.
pub fn shared_postgres(version: PgVersion) -> Result<&'static SharedPostgres, ThrowawayError> {
    static SERVERS: [Slot<SharedPostgres>; 7] = [const { Slot::new() }; 7];
    let index = match version {
        PgVersion::V14 => 0,
        PgVersion::V15 => 1,
        PgVersion::V16 => 2,
        PgVersion::V17 => 3,
        PgVersion::V18 => 4,
        PgVersion::System => 5,
        PgVersion::Any => 6,
    };
    SERVERS[index].get_or_start(|| match SharedPostgres::external(version) {
        Some(external) => Ok(external),
        None => Postgres::start(&PostgresOptions::version(version))
            .map(|server| SharedPostgres::Own(Box::new(server))),
    })
}

/// The broker that all tests of this process share, started by the first who asks. It ends with
/// the process.
///
/// # Errors
///
/// As [`Kafka::start`]; who asks next tries again.
pub fn shared_kafka() -> Result<&'static SharedKafka, ThrowawayError> {
    static BROKER: Slot<SharedKafka> = Slot::new();
    BROKER.get_or_start(|| match SharedKafka::external() {
        Some(external) => Ok(external),
        None => {
            Kafka::start(&KafkaOptions::default()).map(|broker| SharedKafka::Own(Box::new(broker)))
        }
    })
}

/// A cell that is filled once; unlike `OnceLock` alone, filling it may fail.
struct Slot<T> {
    value: OnceLock<T>,
    starting: Mutex<()>,
}

impl<T> Slot<T> {
    const fn new() -> Self {
        Self {
            value: OnceLock::new(),
            starting: Mutex::new(()),
        }
    }

    fn get_or_start(
        &self,
        start: impl FnOnce() -> Result<T, ThrowawayError>,
    ) -> Result<&T, ThrowawayError> {
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        let _one_starts = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        match self.value.get() {
            Some(value) => Ok(value),
            None => {
                let value = start()?;
                Ok(self.value.get_or_init(|| value))
            }
        }
    }
}
