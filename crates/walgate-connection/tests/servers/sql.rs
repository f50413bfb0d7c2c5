//! Connections for SQL.

use std::time::Duration;

use crate::server::{one, parse, server, text};

#[tokio::test]
async fn queries_and_transactions() {
    for mode in ["disable", "require"] {
        let config = parse(&text("trust_user", &format!("sslmode={mode}")));
        let config = config
            .with_application_name("walgate-test")
            .with_dbname("template1");
        let mut client = config
            .connect_sql(&[("DateStyle", "ISO")])
            .await
            .expect("connected");
        assert_eq!(
            one(&client, "SELECT current_database()::text").await,
            "template1"
        );
        assert_eq!(one(&client, "SHOW application_name").await, "walgate-test");
        assert!(client.parameters().contains_key("server_version"));
        let pid: i32 = client
            .query_one("SELECT pg_backend_pid()", &[])
            .await
            .expect("row")
            .get(0);
        assert_eq!(pid, client.backend_pid());
        let transaction = client.transaction().await.expect("begun");
        let sum: i64 = transaction
            .query_one("SELECT sum(n) FROM generate_series(1, $1::int) n", &[&100])
            .await
            .expect("a row")
            .get(0);
        transaction.rollback().await.expect("rolled back");
        assert_eq!(sum, 5050);
        let error = client
            .query_one("SELECT 1/0", &[])
            .await
            .expect_err("refused");
        let error = walgate_connection::ServerError::from_sql(&error).expect("by the server");
        assert_eq!(
            error.to_string(),
            "ERROR: division by zero (SQLSTATE 22012)"
        );
    }
}

#[tokio::test]
async fn dropping_the_client_ends_the_session() {
    let config = parse(&text("trust_user", ""));
    let client = config.connect_sql(&[]).await.expect("connected");
    let question = format!(
        "SELECT 1 FROM pg_stat_activity WHERE pid = {}",
        client.backend_pid()
    );
    assert_eq!(server().sql(&question).expect("asked").len(), 1);
    drop(client);
    let gone = async {
        while !server().sql(&question).expect("asked").is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("the session ends");
}

#[tokio::test]
async fn a_lost_session_is_an_error_of_the_query() {
    let config = parse(&text("trust_user", ""));
    let client = config.connect_sql(&[]).await.expect("connected");
    server()
        .sql(&format!(
            "SELECT pg_terminate_backend({})",
            client.backend_pid()
        ))
        .expect("terminated");
    client
        .query_one("SELECT 1", &[])
        .await
        .expect_err("the session is gone");
}
