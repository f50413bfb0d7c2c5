//! Lists of servers, and what kind of server is wanted.

use std::sync::LazyLock;

use tokio::net::TcpListener;
use walgate_connection::{ConnectError, ConnectionConfig};
use walgate_throwaway::Postgres;

use crate::scripted::{Script, Scripted, message, ready};
use crate::server::{failure, parse, parse_with, server};

static STANDBY: LazyLock<Postgres> =
    LazyLock::new(|| server().start_standby(&[]).expect("a standby"));

/// A port on which nobody listens.
async fn closed_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn list(ports: &[u16], more: &str) -> ConnectionConfig {
    let hosts = vec!["127.0.0.1"; ports.len()].join(",");
    let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
    let ports = ports.join(",");
    parse(&format!(
        "host={hosts} port={ports} user=trust_user dbname=postgres {more}"
    ))
}

/// The port that a connection for replication reached; the one for SQL must be the same.
async fn reached(config: &ConnectionConfig) -> Result<u16, ConnectError> {
    let stream = config.connect_replication(&[]).await?;
    let client = config.connect_sql(&[]).await?;
    assert_eq!(stream.endpoint(), client.endpoint());
    let port = stream.endpoint().rsplit(':').next().expect("a port");
    Ok(port.parse().expect("a number"))
}

#[tokio::test]
async fn the_first_that_answers_is_taken() {
    let (closed, good) = (closed_port().await, server().port());
    assert_eq!(
        reached(&list(&[closed, good], ""))
            .await
            .expect("connected"),
        good
    );
    let (error, text) = failure(&list(&[closed, closed], "")).await;
    let ConnectError::NoServer(errors) = error else {
        panic!("{text}")
    };
    assert_eq!(errors.len(), 2);
    assert!(
        text.contains("127.0.0.1") && text.contains("listens"),
        "{text}"
    );
}

#[tokio::test]
async fn a_silent_or_unready_server_is_passed_over() {
    let good = server().port();
    let silent = Scripted::start(Script::Silent).await;
    let config = list(&[silent.port(), good], "connect_timeout=1");
    assert_eq!(reached(&config).await.expect("connected"), good);
    let starting = message(b'E', b"SFATAL\0VFATAL\0C57P03\0Mstarting up\0\0");
    let starting = Scripted::answering(&[&starting]).await;
    let config = list(&[starting.port(), good], "sslmode=disable");
    assert_eq!(reached(&config).await.expect("connected"), good);
    assert_eq!(starting.connections(), 2, "one attempt each");
}

#[tokio::test]
async fn a_wrong_password_is_not_tried_on_all_servers() {
    let second = Scripted::answering(&[&ready(&[])]).await;
    let ports = format!("{},{}", server().port(), second.port());
    let text = format!("host=127.0.0.1,127.0.0.1 port={ports} user=scram_user dbname=postgres");
    let (error, text) = failure(&parse_with(&text, &[("PGPASSWORD", "hunter2 wrong")])).await;
    assert_eq!(error.server().expect("refused").sqlstate, "28P01", "{text}");
    assert_eq!(second.connections(), 0);
}

#[tokio::test]
async fn a_name_without_an_address_is_passed_over() {
    let port = server().port();
    let text = format!(
        "host=does-not-exist.invalid,127.0.0.1 port={port} user=trust_user dbname=postgres"
    );
    assert_eq!(reached(&parse(&text)).await.expect("connected"), port);
    let alone = text.replace(",127.0.0.1", "");
    let (error, shown) = failure(&parse(&alone)).await;
    assert!(matches!(error, ConnectError::Resolve { .. }), "{shown}");
}

#[tokio::test]
async fn the_kind_of_server() {
    let (primary, standby) = (server().port(), STANDBY.port());
    for (wanted, expected) in [
        ("any", standby),
        ("read-write", primary),
        ("primary", primary),
        ("read-only", standby),
        ("standby", standby),
        ("prefer-standby", standby),
    ] {
        let more = format!("target_session_attrs={wanted}");
        let config = list(&[standby, primary], &more);
        assert_eq!(reached(&config).await.expect(wanted), expected, "{wanted}");
        let random = list(
            &[primary, standby],
            &format!("{more} load_balance_hosts=random"),
        );
        if wanted != "any" {
            assert_eq!(reached(&random).await.expect(wanted), expected, "{wanted}");
        }
    }
    let config = list(&[primary], "target_session_attrs=prefer-standby");
    assert_eq!(reached(&config).await.expect("any will do"), primary);
    for (port, wanted) in [
        (standby, "read-write"),
        (standby, "primary"),
        (primary, "standby"),
        (primary, "read-only"),
    ] {
        let (error, text) =
            failure(&list(&[port], &format!("target_session_attrs={wanted}"))).await;
        assert!(
            matches!(error, ConnectError::NotAcceptable { .. }),
            "{wanted}: {text}"
        );
        assert!(text.contains(wanted), "{text}");
    }
}

#[tokio::test]
async fn a_primary_whose_sessions_are_read_only() {
    let more = "options='-c default_transaction_read_only=on'";
    let port = server().port();
    let (error, text) = failure(&list(
        &[port],
        &format!("{more} target_session_attrs=read-write"),
    ))
    .await;
    assert!(
        matches!(error, ConnectError::NotAcceptable { .. }),
        "{text}"
    );
    for wanted in ["read-only", "primary"] {
        let config = list(&[port], &format!("{more} target_session_attrs={wanted}"));
        assert_eq!(reached(&config).await.expect(wanted), port);
    }
}

#[tokio::test]
async fn a_pooler_that_reports_nothing_is_asked() {
    let answer = |value: &str| {
        let length = u32::try_from(value.len()).expect("short").to_be_bytes();
        let mut bytes = message(b'T', &[&b"\0\x01x\0"[..], &[0; 18]].concat());
        bytes.extend(message(
            b'D',
            &[&b"\0\x01"[..], &length, value.as_bytes()].concat(),
        ));
        bytes.extend(message(b'C', b"SHOW\0"));
        bytes.extend(message(b'Z', b"I"));
        bytes
    };
    let server = Scripted::answering(&[&ready(&[]), &answer("off"), &answer("off")]).await;
    let config = parse(&server.text("sslmode=disable target_session_attrs=read-write"));
    config.connect_sql(&[]).await.expect("it can write");
    let server = Scripted::answering(&[&ready(&[]), &answer("off"), &answer("on")]).await;
    let config = parse(&server.text("sslmode=disable target_session_attrs=read-write"));
    let error = config.connect_sql(&[]).await.expect_err("it cannot write");
    assert!(
        matches!(error, ConnectError::NotAcceptable { .. }),
        "{error}"
    );
}
