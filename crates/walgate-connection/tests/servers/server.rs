//! One PostgreSQL with a role for each way of logging in.

use std::path::PathBuf;
use std::sync::LazyLock;

use walgate_connection::{ConnectError, ConnectionConfig, Environment, SqlClient};
use walgate_throwaway::{CertificateFiles, Certificates, PgTls, Postgres, PostgresOptions};

/// The password of every role that has one.
pub(crate) const PASSWORD: &str = "hunter2 with 'quotes' @:/%";

const HBA: &[&str] = &[
    "host all trust_user all trust",
    "host all md5_user all md5",
    "host all scram_user,rotated_user,nologin_user all scram-sha-256",
    "host all clear_user all password",
    "hostssl all cert_user all cert",
    "hostssl all tls_only_user all scram-sha-256",
    "hostnossl all plain_only_user all trust",
    "host all plain_only_user,cert_user,tls_only_user all reject",
];

const ROLES: &str = "
    CREATE ROLE trust_user LOGIN REPLICATION;
    CREATE ROLE plain_only_user LOGIN REPLICATION;
    CREATE ROLE cert_user LOGIN REPLICATION;
    CREATE ROLE scram_user LOGIN REPLICATION PASSWORD :password;
    CREATE ROLE rotated_user LOGIN REPLICATION PASSWORD :password;
    CREATE ROLE clear_user LOGIN REPLICATION PASSWORD :password;
    CREATE ROLE tls_only_user LOGIN REPLICATION PASSWORD :password;
    CREATE ROLE nologin_user NOLOGIN PASSWORD :password;
    CREATE ROLE plain_user LOGIN;
    SET password_encryption = 'md5';
    CREATE ROLE md5_user LOGIN REPLICATION PASSWORD :password;
";

static SERVER: LazyLock<Postgres> = LazyLock::new(|| {
    let options = PostgresOptions {
        hba: HBA.iter().map(|line| (*line).to_owned()).collect(),
        tls: Some(PgTls::default()),
        ..PostgresOptions::default()
    };
    let server = Postgres::start(&options).expect("a throw-away PostgreSQL");
    server
        .sql(&ROLES.replace(":password", &literal(PASSWORD)))
        .expect("roles");
    server
});

/// The server; it ends with the test process.
pub(crate) fn server() -> &'static Postgres {
    &SERVER
}

pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Key/value text of a TCP connection as this role, with more parameters.
pub(crate) fn text(user: &str, more: &str) -> String {
    let port = server().port();
    format!("host=localhost hostaddr=127.0.0.1 port={port} dbname=postgres user={user} {more}")
}

pub(crate) fn parse(text: &str) -> ConnectionConfig {
    parse_with(text, &[])
}

/// Parses in an environment of only these variables.
pub(crate) fn parse_with(text: &str, variables: &[(&str, &str)]) -> ConnectionConfig {
    let environment = Environment::from_pairs(variables.iter().copied());
    ConnectionConfig::parse(text, &environment).expect("a valid configuration")
}

/// A configuration with the password of the roles.
pub(crate) fn with_password(user: &str, more: &str) -> ConnectionConfig {
    parse_with(&text(user, more), &[("PGPASSWORD", PASSWORD)])
}

pub(crate) fn ca() -> PathBuf {
    certificates().ca()
}

pub(crate) fn certificates() -> &'static Certificates {
    server().certificates().expect("the server has TLS")
}

pub(crate) fn client_certificate(user: &str) -> CertificateFiles {
    certificates()
        .issue_client(user)
        .expect("a client certificate")
}

/// Connects for replication and for SQL, and returns who we are by both; both must agree.
pub(crate) async fn who(config: &ConnectionConfig) -> Result<String, ConnectError> {
    let mut stream = config.connect_replication(&[]).await?;
    let rows = stream
        .simple_query("SELECT current_user::text AS me")
        .await?;
    let by_replication = rows
        .first()
        .and_then(|row| row.get("me"))
        .map(str::to_owned);
    let client = config.connect_sql(&[]).await?;
    assert_eq!(stream.tls(), client.tls(), "the same protection");
    let by_sql = one(&client, "SELECT current_user::text").await;
    assert_eq!(by_replication.as_deref(), Some(by_sql.as_str()));
    Ok(by_sql)
}

pub(crate) async fn one(client: &SqlClient, sql: &str) -> String {
    client.query_one(sql, &[]).await.expect("one row").get(0)
}

/// The error of a connection that must fail in the same way for replication and for SQL, as
/// everything that a user may get to see of it.
pub(crate) async fn failure(config: &ConnectionConfig) -> (ConnectError, String) {
    let sql = config.connect_sql(&[]).await.expect_err("refused for sql");
    let replication = config.connect_replication(&[]).await.expect_err("refused");
    assert_eq!(
        std::mem::discriminant(&sql),
        std::mem::discriminant(&replication)
    );
    let text = format!(
        "{replication} {replication:?} {sql} {}",
        replication.hint().unwrap_or_default()
    );
    assert!(!text.contains("hunter2"), "a secret in: {text}");
    (replication, text)
}
