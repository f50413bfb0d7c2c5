//! Publications of a run: made for what may be published, dropped at the end, swept after a kill.

use std::time::Duration;

use walgate_connection::{ConnectionConfig, Environment, SqlClient};
use walgate_core::StopReason;
use walgate_replication::own_publication::{application_name, create, drop_own, sweep};
use walgate_throwaway::PgVersion;

use crate::bed::{Bed, unique};

async fn connect(url: &str, name: &str) -> SqlClient {
    let config = ConnectionConfig::parse(url, &Environment::from_pairs([("HOME", "/nonexistent")]))
        .expect("a URL");
    config
        .with_application_name(name)
        .connect_sql(&[("search_path", "")])
        .await
        .expect("connects")
}

const NAMES: &str = "SELECT string_agg(pubname, ',' ORDER BY pubname) FROM pg_publication";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn made_dropped_and_swept() {
    let bed = Bed::new(PgVersion::V18);
    bed.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE bare (id int); CREATE UNLOGGED TABLE gone (id int PRIMARY KEY); \
             CREATE TABLE late (id int PRIMARY KEY DEFERRABLE); CREATE TABLE full_ (id int); ALTER TABLE full_ REPLICA IDENTITY FULL; \
             CREATE TABLE root (id int PRIMARY KEY) PARTITION BY RANGE (id); \
             CREATE TABLE leaf PARTITION OF root FOR VALUES FROM (0) TO (100)");
    let token = unique("k");
    let owner = connect(&bed.url(), &application_name(&token)).await;
    let made = create(&owner, &token, |_| true).await.expect("made");
    let names = |tables: &[walgate_replication::TableName]| {
        tables
            .iter()
            .map(|table| table.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&made.with_identity), ["full_", "root", "t"]);
    assert_eq!(names(&made.inserts_only), ["bare", "late"]);
    assert_eq!(bed.text(NAMES), made.names.join(","));
    assert_eq!(
        bed.text("SELECT bool_or(puballtables) FROM pg_publication"),
        "f"
    );
    // The application's own statements go on working.
    bed.sql("INSERT INTO bare VALUES (1); UPDATE bare SET id = 2; DELETE FROM bare; INSERT INTO late VALUES (1); UPDATE late SET id = 2");

    // Another run's sweep leaves the living alone.
    let other = connect(&bed.url(), "another").await;
    assert_eq!(
        sweep(&other, Duration::ZERO).await.expect("looks"),
        Vec::<String>::new()
    );
    let second = unique("k");
    let killed = connect(&bed.url(), &application_name(&second)).await;
    let left = create(&killed, &second, |table| table.name == "t")
        .await
        .expect("made");
    let pid = killed.backend_pid();
    bed.sql(&format!("SELECT pg_terminate_backend({pid}, 5000)"));
    assert_eq!(
        sweep(&other, Duration::from_millis(50))
            .await
            .expect("looks"),
        left.names
    );
    drop_own(&owner, &made).await;
    assert_eq!(bed.text(NAMES), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_rights_it_says_what_there_is_and_what_to_grant() {
    let bed = Bed::new(PgVersion::V18);
    let role = unique("reader");
    bed.sql(&format!("CREATE ROLE {role} LOGIN REPLICATION; CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION ready FOR TABLE t; \
                      CREATE SCHEMA own AUTHORIZATION {role}"));
    let url = bed.url().replace("postgres@", &format!("{role}@"));
    let sql = connect(&url, "x").await;
    let failure = create(&sql, &unique("k"), |_| true)
        .await
        .expect_err("owns nothing");
    assert_eq!(failure.reason, StopReason::Permission, "{failure}");
    let hint = failure.hint.expect("says how");
    assert!(
        hint.contains("ready")
            && hint.contains(&format!("TO {role}"))
            && hint.contains("GRANT CREATE ON DATABASE"),
        "{hint}"
    );
    bed.sql(&format!(
        "SET ROLE {role}; CREATE TABLE own.mine (id int PRIMARY KEY)"
    ));
    let failure = create(&sql, &unique("k"), |_| true)
        .await
        .expect_err("may not create");
    assert_eq!(failure.reason, StopReason::Permission, "{failure}");
    assert!(
        failure
            .hint
            .expect("says how")
            .contains("GRANT CREATE ON DATABASE")
    );
}
