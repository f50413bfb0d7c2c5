//! A day on which nothing happens, on a clock that is turned.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Buf, BytesMut};
use futures_util::StreamExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;
use walgate_core::{Failure, Lsn, Position};

use crate::access::Policy;
use crate::event_stream;
use crate::feed::MakeEncoder;
use crate::frame::Carrier;
use crate::history::{Backlog, History};
use crate::hub::Hub;
use crate::model_tests::TextEncoder;
use crate::options::PushOptions;
use crate::protocol::Start;
use crate::queue::QueueLimits;
use crate::session::{Desk, Session};
use crate::snapshot::{SnapshotDesk, SnapshotLimits};
use crate::subjects::Subjects;
use crate::websocket;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What a client is asked each time, and told.
const EVERY: Duration = Duration::from_secs(15);

/// There is nothing before.
struct Nothing;

impl History for Nothing {
    fn is_durable(&self) -> bool {
        false
    }

    fn oldest(&self) -> Position {
        Position::ZERO
    }

    fn head(&self) -> Position {
        Position::ZERO
    }

    fn read(&self, _: Position) -> Result<Box<dyn Backlog>, Failure> {
        unreachable!("nobody resumes")
    }
}

fn desk() -> Arc<Desk> {
    let hub = Arc::new(Hub::new(1 << 20));
    hub.begin(Position::committed(0, Lsn(16)));
    let history: Arc<dyn History> = Arc::new(Nothing);
    let encoder: MakeEncoder = Arc::new(|| Box::new(TextEncoder));
    let limits = SnapshotLimits::default();
    Arc::new(Desk {
        subjects: Subjects::new(1),
        snapshots: SnapshotDesk::new(None, limits, &hub, &history, &encoder),
        hub,
        history,
        encoder,
        options: PushOptions {
            listen: String::new(),
            policy: Policy::Open,
            origins: Vec::new(),
            max_connections: 1,
            max_connections_of_one: 1,
            max_connections_of_subject: 1,
            max_new_a_second: 1,
            queue: QueueLimits::default(),
            memory: 1 << 20,
            snapshots: limits,
            ping_every: EVERY,
            tls: None,
            page: false,
            source: None,
        },
    })
}

/// What a client was told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    pings: u128,
    positions: u128,
}

/// Reads for a day, and answers what it is asked.
async fn follow(mut stream: tokio::io::DuplexStream) -> Told {
    let (mut told, mut came) = (Told::default(), BytesMut::new());
    let until = Instant::now() + DAY + EVERY / 2;
    while let Ok(read) = tokio::time::timeout_at(until, stream.read_buf(&mut came)).await {
        assert!(read.expect("it goes on") > 0, "it is not ended");
        while came.len() >= 4 || came.starts_with(&[0x89, 0]) && came.len() >= 2 {
            let (opcode, head, len) = match came[1] {
                126 => (
                    came[0],
                    4,
                    usize::from(u16::from_be_bytes([came[2], came[3]])),
                ),
                len => (came[0], 2, usize::from(len)),
            };
            if came.len() < head + len {
                break;
            }
            came.advance(head);
            let payload = came.split_to(len);
            match opcode {
                0x89 => {
                    told.pings += 1;
                    // A pong, with a mask of zeros.
                    let pong = [0x8A, 0x80, 0, 0, 0, 0];
                    stream.write_all(&pong).await.expect("it is taken");
                }
                0x81 if payload.starts_with(b"{\"type\":\"position\"") => told.positions += 1,
                0x81 if payload.starts_with(b"{\"type\":\"ready\"") => {}
                other => panic!("{other:#x} {payload:?}"),
            }
        }
    }
    told
}

#[tokio::test(start_paused = true)]
async fn a_socket_is_asked_and_told_all_day_and_nothing_grows() {
    let desk = desk();
    // A small pipe: what nobody takes would stop it.
    let (ours, theirs) = tokio::io::duplex(256);
    let start = Some(Start::default());
    let server = tokio::spawn(websocket::run(ours, Arc::clone(&desk), None, start));
    let told = follow(theirs).await;
    let times = DAY.as_millis() / EVERY.as_millis();
    let expected = Told {
        pings: times,
        positions: times,
    };
    assert_eq!(told, expected);
    assert_eq!(desk.hub.stats().waiting_bytes, 0);
    // The other end has gone.
    let _ended = server.await.expect("no panic");
    assert_eq!(desk.hub.stats().clients, 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_stream_is_told_all_day() {
    let desk = desk();
    let access = desk.policy().judge(None, SystemTime::now()).ok();
    let access = access.expect("everybody is welcome");
    let session = Session::new(&desk, access, None).expect("a session");
    let feed = session.feed(Carrier::EventStream, None, false);
    let body = event_stream::body(session, feed, EVERY, Arc::clone(&desk.hub));
    let mut body: Pin<Box<_>> = Box::pin(body);
    let until = Instant::now() + DAY + EVERY / 2;
    let (mut blocks, mut all) = (0, String::new());
    while let Ok(block) = tokio::time::timeout_at(until, body.next()).await {
        let block = block.expect("it goes on").expect("it never fails");
        match block.starts_with(b"id: ") {
            true => blocks += 1,
            false => all.push_str(std::str::from_utf8(&block).expect("text")),
        }
    }
    assert_eq!(blocks, DAY.as_millis() / EVERY.as_millis());
    assert!(
        all.starts_with("retry: ") && all.contains("event: ready\n"),
        "{all}"
    );
}

#[tokio::test(start_paused = true)]
async fn who_answers_nothing_is_gone_after_three_pings() {
    let desk = desk();
    let (ours, mut theirs) = tokio::io::duplex(1 << 20);
    let since = Instant::now();
    let start = Some(Start::default());
    let run: Pin<Box<dyn Future<Output = _> + Send>> =
        Box::pin(websocket::run(ours, Arc::clone(&desk), None, start));
    let server = tokio::spawn(run);
    let mut all = Vec::new();
    theirs.read_to_end(&mut all).await.expect("the end");
    assert!(
        (EVERY * 3..=EVERY * 5).contains(&since.elapsed()),
        "{:?}",
        since.elapsed()
    );
    let text = String::from_utf8_lossy(&all);
    assert!(text.contains("\"code\":4508"), "{text}");
    drop(theirs);
    server.await.expect("no panic").expect("it was told");
}
