//! Clients that read nothing, say too much, are not there any more, or are very many.

use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use walgate_sink_websocket::{PushOptions, QueueLimits};

use crate::bed::{PATIENCE, Server, options};
use crate::wire::{Wire, masked};

/// Pieces of a MiB: more than the kernel's buffers and a queue of a few MiB take.
const PIECES: u64 = 80;

#[test]
fn who_reads_nothing_is_sent_away_and_nobody_waits_for_it() {
    let server = Server::start(PushOptions {
        queue: QueueLimits {
            events: 1 << 20,
            bytes: 4 << 20,
        },
        ..options()
    });
    let mut stuck = server.socket("?table=*");
    stuck.expect("ready");
    let mut follows = server.socket("?table=*");
    follows.expect("ready");
    let note = "x".repeat(1 << 20);
    for n in 1..=PIECES {
        server.publish(&[&note]);
        assert_eq!(follows.rows(1), [n]);
    }
    // It gets what the kernel has, and then why it ends and from where it resumes.
    let mut last = 0;
    let closed = loop {
        let said = stuck.json();
        match said["n"].as_u64() {
            Some(n) => last = n,
            None => break said,
        }
    };
    assert_eq!(closed["code"], 4429, "{closed}");
    assert_eq!(closed["position"], server.log.at(last as u32).to_string());
    assert_eq!(stuck.code(), Some(4429));
    server.until("it is counted", |stats| stats.slow == 1);
    server.publish(&["on"]);
    assert_eq!(follows.rows(1), [PIECES + 1]);
    let mut again = server.socket(&format!("?after={}", server.log.at(last as u32)));
    assert_eq!(again.rows(1), [last + 1]);
}

#[test]
fn who_reads_no_answer_loses_its_place() {
    let server = Server::start(PushOptions {
        max_connections: 2,
        ping_every: Duration::from_millis(200),
        ..options()
    });
    let stream = server.events("?table=*");
    let mut answers = server.connect();
    let note = "x".repeat(1 << 20);
    for _ in 0..PIECES {
        server.publish(&[&note]);
    }
    // It asks until nothing is taken any more.
    answers.stream.set_nonblocking(true).expect("it is set");
    let asks = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1000);
    while answers.stream.write(&asks).is_ok() {}
    server.until("the stream has left", |stats| stats.clients == 0);
    server.until("its memory is free", |stats| stats.waiting_bytes == 0);
    // Both places can be had again, at a time.
    let since = Instant::now();
    let mut come: Vec<Wire> = Vec::new();
    while come.len() < 2 {
        assert!(
            since.elapsed() < PATIENCE,
            "only {} places are free",
            come.len()
        );
        let mut wire = server.connect();
        // It may be closed at once.
        let _sent = wire
            .stream
            .write_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        match wire.head().is_empty() {
            false => come.push(wire),
            true => thread::sleep(Duration::from_millis(50)),
        }
    }
    drop((stream, answers));
}

#[test]
fn who_answers_no_ping_is_gone() {
    let server = Server::start(PushOptions {
        ping_every: Duration::from_millis(100),
        ..options()
    });
    let mut half_open = server.socket("?table=*");
    half_open.expect("ready");
    assert_eq!(half_open.code(), Some(4508));
    server.until("it has left", |stats| stats.clients == 0);
}

#[test]
fn what_is_too_much_or_too_deep_is_refused_and_the_rest_goes_on() {
    let server = Server::start(options());
    let mut wire = server.socket("");
    let deep = |open: &str, close: &str| open.repeat(10_000) + &close.repeat(10_000);
    for text in [
        deep("[", "]"),
        deep("{\"a\":", "}").replace(":}", ":1}"),
        format!(
            "{{\"type\":\"start\",\"subscriptions\":{}}}",
            deep("[", "]")
        ),
        "{\"type\":\"start\",\"more\":1}".to_owned(),
        "{\"type\":\"stop\"}".to_owned(),
        "{\"type\":\"start\"".to_owned(),
        "null".to_owned(),
        String::new(),
    ] {
        wire.say(&text);
        assert_eq!(wire.expect("error")["code"], "malformed");
    }
    wire.say("{\"type\":\"start\",\"subscriptions\":[{\"id\":\"a\"}]}");
    wire.expect("ready");
    for condition in [
        deep("(", ")"),
        deep("not ", ""),
        "n = ".to_owned(),
        "n".repeat(5000),
    ] {
        let request = serde_json::json!({"type": "subscribe", "id": "b", "where": condition});
        wire.say(&request.to_string());
        assert_eq!(wire.expect("error")["code"], "invalid");
    }
    wire.say("{\"type\":\"unsubscribe\",\"id\":\"a\"}");
    wire.expect("subscriptions");
    // 10 MB, whether it is sent or not.
    let message = masked(0x81, &vec![b' '; 10 << 20]);
    let _cut = wire.stream.write_all(&message);
    assert_eq!(wire.code(), Some(1009));
}

/// Clients that come at once.
const MANY: usize = 5_000;

/// Descriptors that this process needs beside those of clients.
const BESIDE: u64 = 500;

/// As many clients as the process may have descriptors for, both ends of each.
fn many() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = MANY as u64 * 2 + BESIDE;
    let have = match (limit.current, limit.maximum) {
        (None, _) => wanted,
        (Some(current), _) if current >= wanted => current,
        (Some(_), maximum) => {
            let raised = maximum.map_or(wanted, |maximum| maximum.min(wanted));
            let new = Rlimit {
                current: Some(raised),
                maximum,
            };
            setrlimit(Resource::Nofile, new).expect("up to the hard limit it may be raised");
            raised
        }
    };
    assert!(
        have >= 4096,
        "this test needs 4,096 open files and may have {have}: raise the hard limit (ulimit -Hn)"
    );
    MANY.min(usize::try_from((have - BESIDE) / 2).unwrap_or(MANY))
}

#[test]
fn thousands_that_come_at_once_are_all_served() {
    let server = Server::start(options());
    let (many, threads) = (many(), 8);
    let mut clients: Vec<Wire> = thread::scope(|scope| {
        let come = (0..threads).map(|place| {
            let server = &server;
            scope.spawn(move || {
                let own = (place..many).step_by(threads);
                let mut own: Vec<Wire> = own.map(|_| server.connect()).collect();
                for wire in &mut own {
                    wire.send(crate::wire::handshake("/v1/stream?table=*").as_bytes());
                }
                for wire in &mut own {
                    assert!(wire.head().starts_with("HTTP/1.1 101 "));
                    wire.expect("ready");
                }
                own
            })
        });
        let come: Vec<_> = come.collect();
        come.into_iter()
            .flat_map(|thread| thread.join().expect("all of them are served"))
            .collect()
    });
    server.publish(&["for", "all"]);
    for client in &mut clients {
        assert_eq!(client.rows(2), [1, 2]);
    }
    assert_eq!(server.stats().clients, many);
    drop(clients);
    server.until("all have left", |stats| stats.clients == 0);
    server.socket("?table=*").expect("ready");
}
