//! Where a connection begins that names a time.

use std::sync::atomic::Ordering;

use crate::bed::{Server, options};

/// The answer's head, to a request with these parameters and headers.
fn answer(server: &Server, query: &str, headers: &str) -> String {
    let mut wire = server.connect();
    let request = format!("GET /v1/events{query} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n");
    wire.send(request.as_bytes());
    wire.head() + &wire.until("\n")
}

#[test]
fn a_connection_begins_with_the_first_transaction_of_a_time() {
    let server = Server::start(options());
    server.publish(&["a", "b", "c"]);
    for (since, rows) in [
        ("2020-01-01T00:00:00Z", &[1, 2, 3][..]),
        ("2020-01-01T00:00:02Z", &[2, 3]),
        ("2020-01-01T00:00:02.5Z", &[3]),
        ("10m", &[]),
        ("2999-01-01T00:00:00Z", &[]),
    ] {
        let mut socket = server.socket(&format!("?since={since}"));
        assert_eq!(
            socket.rows(rows.len()),
            rows.iter().map(|row| *row as u64).collect::<Vec<_>>()
        );
        let ready = socket.expect("ready");
        assert_eq!(ready["position"], server.log.at(3).to_string(), "{since}");
        // And by the first message.
        let mut asked = server.socket("");
        asked.say(&format!("{{\"type\":\"start\",\"since\":\"{since}\"}}"));
        assert_eq!(asked.rows(rows.len()).len(), rows.len());
        asked.expect("ready");
    }
    let mut stream = server.events("?since=2020-01-01T00:00:03Z");
    let text = stream.until("event: ready");
    assert!(
        text.contains("\"n\":3") && !text.contains("\"n\":2"),
        "{text}"
    );
    // A browser that comes back has a later place than its page's address.
    let last = format!("Last-Event-ID: {}\r\n", server.log.at(2));
    let mut wire = server.connect();
    let target = "/v1/events?since=2020-01-01T00:00:00Z";
    wire.send(format!("GET {target} HTTP/1.0\r\nHost: localhost\r\n{last}\r\n").as_bytes());
    let text = wire.until("event: ready");
    assert!(
        text.contains("\"n\":3") && !text.contains("\"n\":2"),
        "{text}"
    );
}

#[test]
fn a_time_that_is_not_retained_needs_a_new_copy() {
    let server = Server::start(options());
    server.publish(&["a", "b", "c"]);
    server.log.retain_from(3);
    for since in ["2020-01-01T00:00:02Z", "2019-12-31T00:00:00Z"] {
        let mut socket = server.socket(&format!("?since={since}"));
        let answer = socket.expect("resync_required");
        assert_eq!(answer["oldest"], server.log.at(2).to_string(), "{answer}");
        socket.expect("closed");
        assert_eq!(socket.code(), Some(4410));
    }
    server.log.is_durable.store(false, Ordering::SeqCst);
    let mut socket = server.socket("?since=1m");
    let answer = socket.expect("resync_required");
    assert!(answer.to_string().contains("live-only"), "{answer}");
}

#[test]
fn what_is_no_time_and_two_beginnings_are_refused() {
    let server = Server::start(options());
    for query in ["?since=yesterday", "?since=5", "?since=1m&after=0/10"] {
        let refused = answer(&server, query, "");
        assert!(refused.starts_with("HTTP/1.0 400 "), "{query}: {refused}");
        assert!(refused.contains("since"), "{refused}");
        let mut socket = server.socket(query);
        socket.expect("closed");
        assert_eq!(socket.code(), Some(4400), "{query}");
    }
}
