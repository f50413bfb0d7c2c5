//! Throw-away PostgreSQL and Kafka servers for the demo and the tests.
//!
//! [`Postgres`] and [`Kafka`] are real servers on free ports of 127.0.0.1, each in a temporary
//! folder of its own. They end, and the folder goes, when the value is dropped and when the owning
//! process ends in any way, kill -9 included. What has to be fetched is pinned in `versions.toml`
//! and kept in [`cache_dir`]. [`FaultProxy`] stands between a client and a server and breaks the
//! line on command.
//!
//! Everything here blocks; from asynchronous code call it on a thread that may.
//!
//! ```no_run
//! use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};
//! # fn main() -> Result<(), walgate_throwaway::ThrowawayError> {
//! let server = Postgres::start(&PostgresOptions::version(PgVersion::V17))?;
//! server.sql("CREATE TABLE t (id int PRIMARY KEY)")?;
//! assert_eq!(server.major(), 17);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod cache;
mod certificates;
mod download;
mod error;
mod guard;
mod kafka;
mod ports;
mod postgres;
mod process;
mod proxy;
mod run_as;
mod shared;
mod versions;

pub use cache::cache_dir;
pub use certificates::{CertificateFiles, Certificates};
pub use error::ThrowawayError;
pub use kafka::Kafka;
pub use kafka::options::KafkaOptions;
pub use postgres::admin::{AdminSession, Rows};
pub use postgres::binaries::client_program;
pub use postgres::options::{PgAuth, PgTls, PgVersion, PostgresOptions};
pub use postgres::{Postgres, StopMode};
pub use proxy::{Direction, FaultProxy};
pub use shared::{SharedKafka, SharedPostgres, shared_kafka, shared_postgres};
