//! The walsender's stream: commands, notices, and the raw bytes afterwards.

use std::os::fd::AsFd as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use walgate_connection::{ConnectError, ConnectionConfig, ReplicationStream};

use crate::server::{parse, server, text};

fn ways() -> Vec<(&'static str, ConnectionConfig)> {
    let server = server();
    let socket = format!(
        "host={} port={} user=trust_user dbname=postgres",
        server.socket_dir().display(),
        server.port()
    );
    vec![
        ("tcp", parse(&text("trust_user", "sslmode=disable"))),
        ("tls", parse(&text("trust_user", "sslmode=require"))),
        ("unix", parse(&socket)),
    ]
}

async fn connect(config: &ConnectionConfig) -> ReplicationStream {
    config.connect_replication(&[]).await.expect("connected")
}

#[tokio::test]
async fn commands_and_their_rows() {
    for (name, config) in ways() {
        let mut stream = connect(&config).await;
        let rows = stream
            .simple_query("IDENTIFY_SYSTEM")
            .await
            .expect("identified");
        let row = rows.first().expect("a row");
        assert_eq!(
            row.columns(),
            ["systemid", "timeline", "xlogpos", "dbname"],
            "{name}"
        );
        assert!(
            row.get("systemid")
                .expect("an identifier")
                .parse::<u64>()
                .is_ok()
        );
        assert_eq!(row.get("dbname"), Some("postgres"));
        assert_eq!(row.at(1), Some("1"));
        assert_eq!(row.get("no such column"), None);
        let rows = stream.simple_query("SHOW wal_level").await.expect("shown");
        assert_eq!(
            rows.first().and_then(|row| row.get("wal_level")),
            Some("logical")
        );
        let rows = stream
            .simple_query("SELECT NULL AS n, '\\x00ff'::bytea AS b, 1 AS i")
            .await;
        let rows = rows.expect("selected");
        let row = rows.first().expect("a row");
        assert_eq!(
            (row.bytes("n"), row.bytes("b")),
            (None, Some(&b"\\x00ff"[..]))
        );
        assert_eq!(
            row.texts(),
            [None, Some("\\x00ff".to_owned()), Some("1".to_owned())]
        );
        assert!(
            stream
                .simple_query("")
                .await
                .expect("an empty query")
                .is_empty()
        );
        assert!(stream.take_buffered().is_empty());
    }
}

#[tokio::test]
async fn an_error_leaves_the_session_usable() {
    for (name, config) in ways() {
        let mut stream = connect(&config).await;
        let error = stream
            .simple_query("SELECT 1/0")
            .await
            .expect_err("refused");
        let server = error.server().expect("by the server");
        assert_eq!(
            (server.sqlstate.as_str(), server.severity.as_str()),
            ("22012", "ERROR"),
            "{name}"
        );
        assert_eq!(server.routine.as_deref(), Some("int4div"));
        let command = "START_REPLICATION SLOT missing LOGICAL 0/0";
        let error = stream.start_copy_both(command).await.expect_err("refused");
        assert_eq!(error.server().expect("by the server").sqlstate, "42704");
        assert!(error.to_string().starts_with(stream.endpoint()), "{error}");
        let error = stream
            .simple_query("SELECT 'a\0b'")
            .await
            .expect_err("not sent");
        assert!(matches!(error, ConnectError::Protocol { .. }), "{error}");
        stream.simple_query("SELECT 1").await.expect("still usable");
    }
}

#[tokio::test]
async fn settings_and_notices() {
    let config = parse(&text("trust_user", "options='-c work_mem=3MB'"));
    let settings = [
        ("DateStyle", "SQL"),
        ("options", "-c work_mem=5MB"),
        ("extra_float_digits", "3"),
    ];
    let mut stream = config
        .connect_replication(&settings)
        .await
        .expect("connected");
    assert!(
        stream
            .parameters()
            .get("DateStyle")
            .expect("reported")
            .starts_with("SQL")
    );
    assert!(stream.parameters().contains_key("server_version"));
    let rows = stream.simple_query("SHOW work_mem").await.expect("shown");
    assert_eq!(
        rows.first().and_then(|row| row.at(0)),
        Some("5MB"),
        "ours comes last"
    );
    drop(stream.take_notices());
    stream
        .simple_query("DO $$ BEGIN RAISE WARNING 'careful'; END $$")
        .await
        .expect("done");
    let notices = stream.take_notices();
    let notice = notices.first().expect("a notice");
    assert_eq!(
        (notice.severity.as_str(), notice.message.as_str()),
        ("WARNING", "careful")
    );
    let pid = stream.backend_pid().to_string();
    let rows = stream
        .simple_query("SELECT pg_backend_pid()")
        .await
        .expect("selected");
    assert_eq!(rows.first().and_then(|row| row.at(0)), Some(pid.as_str()));
}

/// A standby status update that asks for an answer.
fn status_update() -> Vec<u8> {
    let mut body = vec![b'r'];
    body.extend([0; 32]);
    body.push(1);
    let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    [&b"d"[..], &length, &body].concat()
}

#[tokio::test]
async fn the_raw_stream_in_two_tasks() {
    for (name, config) in ways() {
        let mut stream = connect(&config).await;
        let slot = format!("raw_{name}");
        let create = format!("CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL pgoutput");
        let rows = stream.simple_query(&create).await.expect("created");
        assert_eq!(
            rows.first().and_then(|row| row.get("slot_name")),
            Some(slot.as_str())
        );
        let start = format!(
            "START_REPLICATION SLOT {slot} LOGICAL 0/0 (proto_version '1', publication_names 'none')"
        );
        stream.start_copy_both(&start).await.expect("started");
        assert_eq!(stream.is_tcp(), name != "unix");
        socket2::SockRef::from(&stream.as_fd())
            .send_buffer_size()
            .expect("the socket is there");
        let (mut reader, mut writer) = stream.split().expect("split");
        assert_eq!(reader.is_tcp(), name != "unix");
        socket2::SockRef::from(&reader.as_fd())
            .send_buffer_size()
            .expect("the socket is there");
        // The answer to the status shows that both directions work; other frames may come before.
        let reading = tokio::spawn(async move {
            loop {
                assert_eq!(reader.read_u8().await.expect("a message"), b'd');
                let length = reader.read_u32().await.expect("a length") - 4;
                let mut frame = vec![0; usize::try_from(length).expect("short")];
                reader.read_exact(&mut frame).await.expect("a frame");
                if frame.first() == Some(&b'k') {
                    break frame.len();
                }
            }
        });
        writer.write_all(&status_update()).await.expect("written");
        writer.flush().await.expect("flushed");
        assert_eq!(reading.await.expect("read"), 18, "{name}: a keepalive");
    }
}
