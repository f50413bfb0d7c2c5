//! PostgreSQL: every version, and what tests do to a server.

use std::path::Path;

use walgate_throwaway::{PgAuth, PgTls, PgVersion, Postgres, PostgresOptions, StopMode};

fn one(server: &Postgres, sql: &str) -> String {
    let rows = server.sql(sql).unwrap();
    rows.into_iter().flatten().next().flatten().unwrap()
}

/// A slot, rows, an orderly restart and a kill -9: the same server, port and data after each.
fn lives_through_restarts(version: PgVersion) {
    let mut server = Postgres::start(&PostgresOptions::version(version)).unwrap();
    assert_eq!(Some(server.major()), version.major());
    let number: u32 = one(&server, "SHOW server_version_num").parse().unwrap();
    assert_eq!(number / 10_000, server.major());
    assert_eq!(one(&server, "SHOW wal_level"), "logical");
    server.sql("CREATE TABLE t (id int PRIMARY KEY)").unwrap();
    server
        .sql("SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
        .unwrap();
    let port = server.port();

    server.restart(StopMode::Fast).unwrap();
    server.sql("INSERT INTO t VALUES (1)").unwrap();
    server.kill_9().unwrap();
    assert!(server.sql("SELECT 1").is_err());
    assert_eq!(server.pid(), None);
    server.start_again().unwrap();
    server.restart(StopMode::Immediate).unwrap();

    assert_eq!(server.port(), port);
    assert_eq!(one(&server, "SELECT count(*) FROM t"), "1");
    assert_eq!(
        one(&server, "SELECT slot_name FROM pg_replication_slots"),
        "s"
    );
    let dir = server.dir().to_owned();
    drop(server);
    assert!(!dir.exists());
}

#[test]
fn version_14_lives_through_restarts() {
    lives_through_restarts(PgVersion::V14);
}

#[test]
fn version_15_lives_through_restarts() {
    lives_through_restarts(PgVersion::V15);
}

#[test]
fn version_16_lives_through_restarts() {
    lives_through_restarts(PgVersion::V16);
}

#[test]
fn version_17_lives_through_restarts() {
    lives_through_restarts(PgVersion::V17);
}

#[test]
fn version_18_lives_through_restarts() {
    lives_through_restarts(PgVersion::V18);
}

#[test]
fn a_standby_follows_and_becomes_primary() {
    for version in [PgVersion::V14, PgVersion::V17] {
        let mut primary = Postgres::start(&PostgresOptions::version(version)).unwrap();
        primary.sql("CREATE TABLE t (id int PRIMARY KEY)").unwrap();
        let standby = primary.start_standby(&[]).unwrap();
        assert_ne!(standby.port(), primary.port());
        assert_eq!(one(&standby, "SELECT pg_is_in_recovery()"), "t");
        primary.sql("INSERT INTO t VALUES (1)").unwrap();
        // A fast stop waits until the standby has everything.
        primary.stop(StopMode::Fast).unwrap();
        standby.promote().unwrap();
        assert_eq!(one(&standby, "SELECT pg_is_in_recovery()"), "f");
        standby.sql("INSERT INTO t VALUES (2)").unwrap();
        assert_eq!(one(&standby, "SELECT count(*) FROM t"), "2");
        let timeline = one(&standby, "SELECT timeline_id FROM pg_control_checkpoint()");
        assert!(timeline == "1" || timeline == "2", "{timeline}");
    }
}

#[test]
fn options_reach_the_server() {
    let options = PostgresOptions::version(PgVersion::Any)
        .setting("wal_sender_timeout", "7s")
        .auth(PgAuth::ScramSha256)
        .tls(PgTls {
            only: true,
            ..PgTls::default()
        });
    let server = Postgres::start(&options).unwrap();
    assert_eq!(one(&server, "SHOW wal_sender_timeout"), "7s");
    assert_eq!(one(&server, "SHOW ssl"), "on");
    let stored = one(
        &server,
        "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'",
    );
    assert!(stored.starts_with("SCRAM-SHA-256$"), "{stored}");
    assert!(
        server
            .url()
            .starts_with("postgres://postgres:walgate@127.0.0.1:")
    );
    let rules = one(
        &server,
        "SELECT string_agg(DISTINCT type || ' ' || auth_method, ',') FROM pg_hba_file_rules \
         WHERE type <> 'local'",
    );
    assert_eq!(rules, "hostssl scram-sha-256");
    let certificates = server.certificates().unwrap();
    assert!(certificates.ca().exists());
    let client = certificates.issue_client("postgres").unwrap();
    assert!(Path::new(&client.key).exists());

    server.configure(&[("wal_sender_timeout", "9s")]).unwrap();
    server.reload().unwrap();
    let mut session = server.admin().unwrap();
    while session.query("SHOW wal_sender_timeout").unwrap()[0][0].as_deref() != Some("9s") {
        std::thread::yield_now();
    }
}

#[test]
fn md5_passwords_are_stored_as_such() {
    let server = Postgres::start(&PostgresOptions::default().auth(PgAuth::Md5)).unwrap();
    let stored = one(
        &server,
        "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'",
    );
    assert!(stored.starts_with("md5"), "{stored}");
}

#[test]
fn a_server_that_can_t_start_says_why() {
    let options = PostgresOptions::default().setting("wal_level", "nonsense");
    let error = Postgres::start(&options).unwrap_err().to_string();
    assert!(error.contains("wal_level"), "{error}");
}
