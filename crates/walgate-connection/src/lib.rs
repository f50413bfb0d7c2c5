//! Connections to PostgreSQL with libpq's parameters: TCP, sockets of the Unix domain, TLS and
//! authentication, for replication and for SQL.
//!
//! [`ConnectionConfig::parse`] resolves a URL or key/value text with the `PG*` variables and the
//! password file. [`ConnectionConfig::connect_replication`] opens a walsender's raw byte stream,
//! [`ConnectionConfig::connect_sql`] a [`tokio_postgres::Client`]; both try the same servers by the
//! same rules, with the same TLS and the same passwords.
//!
//! What libpq promises is kept: no fall-back to plain text under `sslmode=require` or stronger,
//! certificates checked whenever there is a root certificate, channel binding where offered. What
//! the server sends is bounded before it is stored. No error, log line or `Debug` shows a password.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

mod acceptable;
mod authenticate;
mod authentication_method;
mod certificate;
mod config;
mod config_error;
mod connect;
mod conninfo;
mod encrypted;
mod environment;
mod error;
mod framing;
mod handover;
mod host;
mod negotiate;
mod parameter;
mod passfile;
mod password;
mod pem_file;
mod query;
mod remedy;
mod replication_stream;
mod secret;
mod server_error;
mod service;
mod setting;
mod shuffle;
mod sql_client;
mod startup;
mod tls;
mod tls_error;
mod tls_settings;
mod transport;
mod verifier;

pub use certificate::ServedCertificate;
pub use config::ConnectionConfig;
pub use config_error::ConfigError;
pub use environment::Environment;
pub use error::{ConnectError, ServerRefusal};
pub use query::Row;
pub use replication_stream::{ReplicationReader, ReplicationStream, ReplicationWriter};
pub use secret::Secret;
pub use server_error::{Notice, ServerError};
pub use setting::{SslMode, TargetSessionAttrs};
pub use sql_client::SqlClient;
pub use tls::TlsInfo;
pub use tls_error::TlsError;
