//! The opening handshake of RFC 6455 section 4.2, right and wrong, and requests that are none.

use std::time::{Duration, Instant};

use walgate_sink_websocket::{Claims, Guard, Policy, PushOptions, Token};

use crate::bed::{PATIENCE, Server, options};
use crate::wire::handshake;

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// The head that this request is answered with.
fn answer(server: &Server, request: &str) -> String {
    let mut wire = server.connect();
    wire.send(request.as_bytes());
    wire.head()
}

fn without(line: &str) -> String {
    let request = handshake("/v1/stream?table=*");
    assert!(request.contains(line), "{line:?}");
    request.replace(line, "")
}

fn with(from: &str, to: &str) -> String {
    let request = handshake("/v1/stream?table=*");
    assert!(request.contains(from), "{from:?}");
    request.replace(from, to)
}

/// Each of these requests is answered with its code.
fn check(server: &Server, cases: &[(&str, String, &str)]) {
    for (name, request, code) in cases {
        let head = answer(server, request);
        let found = head.split(' ').nth(1);
        assert_eq!(found, Some(*code), "{name}: {head}");
        if *code == "426" {
            let head = head.to_ascii_lowercase();
            assert!(
                head.contains("sec-websocket-version: 13\r\n"),
                "{name}: {head}"
            );
        }
    }
}

#[test]
fn a_handshake_is_answered_as_the_standard_says() {
    let server = Server::start(options());
    let cases = [
        ("as it is", with("", ""), "101"),
        ("no upgrade", without("Upgrade: websocket\r\n"), "426"),
        ("no connection", without("Connection: Upgrade\r\n"), "426"),
        (
            "another upgrade",
            with("Upgrade: websocket", "Upgrade: h2c"),
            "426",
        ),
        ("another version", with("Version: 13", "Version: 8"), "426"),
        (
            "no version",
            without("Sec-WebSocket-Version: 13\r\n"),
            "426",
        ),
        ("no key", without(KEY), "400"),
        (
            "a short key",
            with("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="),
            "400",
        ),
        (
            "a key that is none",
            with("dGhlIHNhbXBsZSBub25jZQ==", "********"),
            "400",
        ),
        (
            "more than one of connection",
            with("Connection: Upgrade", "Connection: keep-alive, Upgrade"),
            "101",
        ),
        (
            "in another case",
            with(
                "Upgrade: websocket\r\nConnection: Upgrade",
                "upgrade: WebSocket\r\nCONNECTION: upGRADE",
            ),
            "101",
        ),
    ];
    check(&server, &cases);
    let head = answer(&server, &with("", ""));
    // The example of section 1.3.
    let accept = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    assert!(
        head.to_ascii_lowercase()
            .contains(&accept.to_ascii_lowercase()),
        "{head}"
    );
}

#[test]
fn what_is_no_handshake_for_us_is_refused() {
    let server = Server::start(options());
    let cases = [
        ("POST", with("GET ", "POST "), "400"),
        ("HTTP/1.0", with("HTTP/1.1", "HTTP/1.0"), "400"),
        ("no host", without("Host: localhost\r\n"), "101"),
        (
            "a page of its own",
            with(
                "Host: localhost\r\n",
                "Host: localhost\r\nOrigin: http://localhost\r\n",
            ),
            "101",
        ),
        (
            "a page of somebody else",
            with(
                "Host: localhost\r\n",
                "Host: localhost\r\nOrigin: http://evil.example\r\n",
            ),
            "403",
        ),
        (
            "an address that is none",
            with("/v1/stream", "/v1/none"),
            "404",
        ),
        ("no HTTP", "hello\r\n\r\n".to_owned(), "400"),
    ];
    check(&server, &cases);
}

#[test]
fn compression_that_is_offered_is_not_taken() {
    let server = Server::start(options());
    let offer =
        format!("{KEY}Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n");
    let head = answer(&server, &with(KEY, &offer)).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(!head.contains("extensions"), "{head}");
}

#[test]
fn a_head_without_end_is_not_read_to_its_end() {
    let server = Server::start(options());
    let mut wire = server.connect();
    wire.send(b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\n");
    let line = format!("X-Filler: {}\r\n", "x".repeat(1000));
    // It may be closed in the middle.
    (0..1024).any(|_| std::io::Write::write_all(&mut wire.stream, line.as_bytes()).is_err());
    let head = wire.head();
    assert!(
        head.is_empty() || head.starts_with("HTTP/1.1 431 "),
        "{head}"
    );
    server.until("it serves others", |_| true);
    server.socket("?table=*").expect("ready");
}

#[test]
fn a_tls_hello_on_a_plain_port_is_no_request() {
    let server = Server::start(options());
    let mut wire = server.connect();
    let hello = [
        &[
            0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xFC, 0x03, 0x03,
        ][..],
        &[7; 200],
    ];
    wire.send(&hello.concat());
    let head = wire.head();
    assert!(
        head.is_empty() || head.starts_with("HTTP/1.1 400 "),
        "{head}"
    );
}

#[test]
fn who_says_it_byte_by_byte_is_not_waited_for() {
    let server = Server::start(options());
    let since = Instant::now();
    let mut slow = server.connect();
    let mut silent = server.connect();
    for byte in handshake("/v1/stream").bytes().cycle() {
        // It is closed, at the latest when a byte comes behind the end.
        if std::io::Write::write_all(&mut slow.stream, &[byte]).is_err() {
            break;
        }
        assert!(since.elapsed() < PATIENCE, "it still listens");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(silent.rest(), "", "who says nothing is closed too");
    server.socket("?table=*").expect("ready");
}

#[test]
fn who_shows_no_token_may_say_little_and_not_late() {
    // SHA-256 of "secret".
    let hash = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    let token = Token::new("a", hash, None, Claims::default()).expect("a token");
    let server = Server::start(PushOptions {
        policy: Policy::Guarded(Guard {
            tokens: vec![token],
            ..Guard::default()
        }),
        ..options()
    });
    let start = |token: &str, len: usize| {
        format!(
            "{{\"type\":\"start\",\"token\":\"{token}\",\"after\":\"{}\"}}",
            "x".repeat(len)
        )
    };
    let mut silent = server.socket("");
    let mut long = server.socket("");
    long.say(&start("secret", 40 << 10));
    assert_eq!(long.code(), Some(1009));
    let mut wrong = server.socket("");
    wrong.say(&start("guess", 10));
    assert_eq!(wrong.expect("closed")["code"], 4401);
    assert_eq!(wrong.code(), Some(4401));
    let mut right = server.socket("");
    right.say("{\"type\":\"start\",\"token\":\"secret\"}");
    right.expect("ready");
    // Now it is known, and may say more.
    right.say(&start("secret", 100 << 10));
    assert_eq!(right.expect("error")["code"], "started");
    assert_eq!(silent.expect("closed")["code"], 4408);
    assert_eq!(silent.code(), Some(4408));
}
