//! RFC 6455 sections 5 and 7 as a client may break them: FIN, opcodes, masks, lengths, fragments, UTF-8,
//! and the closing handshake. Each case goes over a socket of its own, as bytes.

use crate::bed::{Server, options};
use crate::wire::{Frame, Wire, masked};

/// FIN and the opcodes.
const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// A request that is refused as unknown, which the connection survives.
const REQUEST: &[u8] = b"{\"type\":\"unsubscribe\",\"id\":\"none\"}";

fn ready(server: &Server) -> Wire {
    let mut wire = server.socket("?table=*");
    wire.expect("ready");
    wire
}

/// What the server closes with when it is sent this.
fn close_of(server: &Server, frames: &[Vec<u8>]) -> Option<u16> {
    let mut wire = ready(server);
    wire.send(&frames.concat());
    wire.code()
}

/// It goes on: a request is answered.
fn goes_on(wire: &mut Wire) {
    wire.send(&masked(FIN | TEXT, REQUEST));
    assert_eq!(wire.expect("error")["code"], "unknown");
}

fn closing(code: u16, reason: &[u8]) -> Vec<u8> {
    let payload = [&code.to_be_bytes(), reason].concat();
    masked(FIN | CLOSE, &payload)
}

#[test]
fn a_ping_is_answered_with_what_it_says() {
    let server = Server::start(options());
    let mut wire = ready(&server);
    for payload in [&b""[..], b"hello", &[0xFF; 125]] {
        wire.send(&masked(FIN | PING, payload));
        let pong = Frame {
            opcode: PONG,
            payload: payload.to_vec(),
        };
        assert_eq!(wire.frame(), pong);
    }
    wire.send(&masked(FIN | PONG, b"nobody has asked"));
    goes_on(&mut wire);
}

#[test]
fn what_is_not_the_protocol_ends_with_1002() {
    let server = Server::start(options());
    let mut cases: Vec<(String, Vec<Vec<u8>>)> = vec![
        (
            "a ping of 126 bytes",
            vec![masked(FIN | PING, &[b'x'; 126])],
        ),
        ("a close of 126 bytes", vec![masked(FIN | CLOSE, &[3; 126])]),
        ("a ping in fragments", vec![masked(PING, b"x")]),
        ("a close in fragments", vec![masked(CLOSE, &[])]),
        (
            "a continuation of nothing",
            vec![masked(FIN | CONTINUATION, b"x")],
        ),
        (
            "a message in a message",
            vec![masked(TEXT, b"{"), masked(FIN | TEXT, REQUEST)],
        ),
        ("no mask", vec![vec![FIN | TEXT, 2, b'{', b'}']]),
        ("a close of 1 byte", vec![masked(FIN | CLOSE, &[3])]),
        (
            "a length with its top bit",
            vec![[&[FIN | TEXT, 0x80 | 127, 0x80][..], &[0; 7], &[1; 4]].concat()],
        ),
    ]
    .into_iter()
    .map(|(name, frames)| (name.to_owned(), frames))
    .collect();
    for bit in [0x40, 0x20, 0x10] {
        cases.push((
            format!("reserved bit {bit:#x}"),
            vec![masked(FIN | bit | TEXT, REQUEST)],
        ));
        cases.push((
            format!("reserved bit {bit:#x} of a ping"),
            vec![masked(FIN | bit | PING, b"")],
        ));
    }
    for opcode in (3..8).chain(11..16) {
        cases.push((format!("opcode {opcode}"), vec![masked(FIN | opcode, b"")]));
    }
    for (name, frames) in cases {
        let code = close_of(&server, &frames);
        // What is longer than a message may be is refused before anything else of it is looked at.
        let allowed = match name.as_str() {
            "a length with its top bit" => code == Some(1002) || code == Some(1009),
            _ => code == Some(1002),
        };
        assert!(allowed, "{name}: {code:?}");
    }
}

#[test]
fn control_frames_may_come_between_fragments() {
    let server = Server::start(options());
    let mut wire = ready(&server);
    let (one, two) = REQUEST.split_at(7);
    wire.send(&masked(TEXT, one));
    wire.send(&masked(FIN | PING, b"between"));
    assert_eq!(wire.frame().payload, b"between");
    wire.send(&masked(CONTINUATION, b""));
    wire.send(&masked(FIN | CONTINUATION, two));
    assert_eq!(wire.expect("error")["code"], "unknown");
    // And byte by byte.
    for byte in masked(FIN | TEXT, REQUEST) {
        wire.send(&[byte]);
    }
    assert_eq!(wire.expect("error")["code"], "unknown");
}

#[test]
fn what_is_not_utf_8_ends_with_1007() {
    let server = Server::start(options());
    let euro = "€".as_bytes();
    let cases: [(&str, Vec<Vec<u8>>); 5] = [
        ("a byte that is none", vec![masked(FIN | TEXT, b"\xFF")]),
        ("a cut character", vec![masked(FIN | TEXT, &euro[..2])]),
        ("a surrogate", vec![masked(FIN | TEXT, b"\xED\xA0\x80")]),
        (
            "a cut character in fragments",
            vec![
                masked(TEXT, &euro[..1]),
                masked(FIN | CONTINUATION, &euro[1..2]),
            ],
        ),
        // As early as possible: the message has not ended.
        ("in the first fragment", vec![masked(TEXT, b"\"\xC3\x28")]),
    ];
    for (name, frames) in cases {
        assert_eq!(close_of(&server, &frames), Some(1007), "{name}");
    }
    // A character in two fragments is one.
    let mut wire = ready(&server);
    wire.send(&masked(TEXT, &euro[..1]));
    wire.send(&masked(FIN | CONTINUATION, &euro[1..]));
    assert_eq!(wire.expect("error")["code"], "malformed");
}

#[test]
fn what_is_no_text_ends_with_1003_and_what_is_too_long_with_1009() {
    let server = Server::start(options());
    assert_eq!(
        close_of(&server, &[masked(FIN | BINARY, b"{}")]),
        Some(1003)
    );
    let announced = |len: u64| {
        let head = [FIN | TEXT, 0x80 | 127];
        [&head[..], &len.to_be_bytes(), &[0; 4]].concat()
    };
    // Nothing of it comes, and no memory is taken for it.
    for len in [(256 << 10) + 1, 10 << 20, 1 << 40] {
        assert_eq!(close_of(&server, &[announced(len)]), Some(1009), "{len}");
    }
    // In fragments of which none is too long.
    let mut frames = vec![masked(TEXT, b"[")];
    frames.extend((0..5).map(|_| masked(CONTINUATION, &vec![b' '; 60_000])));
    assert_eq!(close_of(&server, &frames), Some(1009));
}

#[test]
fn a_close_is_answered_with_its_code() {
    let server = Server::start(options());
    for code in [1000, 1001, 1003, 1007, 1011, 3000, 3999, 4000, 4999] {
        assert_eq!(close_of(&server, &[closing(code, b"bye")]), Some(code));
    }
    let mut wire = ready(&server);
    wire.send(&masked(FIN | CLOSE, &[]));
    let answer = Frame {
        opcode: CLOSE,
        payload: Vec::new(),
    };
    assert_eq!(wire.frame(), answer);
    assert_eq!(wire.rest(), "", "it ends, and says no more");
}

#[test]
fn codes_that_nobody_may_send_are_answered_with_1002() {
    let server = Server::start(options());
    for code in [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ] {
        assert_eq!(
            close_of(&server, &[closing(code, b"")]),
            Some(1002),
            "{code}"
        );
    }
    assert_eq!(close_of(&server, &[closing(1000, b"\xFF")]), Some(1007));
}

#[test]
fn behind_a_close_nothing_is_heard() {
    let server = Server::start(options());
    let mut wire = ready(&server);
    let frames = [
        closing(1000, b""),
        masked(FIN | PING, b"late"),
        masked(FIN | TEXT, REQUEST),
    ];
    wire.send(&frames.concat());
    let close = wire.frame();
    assert_eq!((close.opcode, &close.payload[..2]), (CLOSE, &[3, 0xE8][..]));
    assert_eq!(wire.rest(), "");
    server.until("it has left", |stats| stats.clients == 0);
}
