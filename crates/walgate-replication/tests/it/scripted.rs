//! A server that says what a test wants: everything passes to a real server, until replication is
//! started; from there on the script speaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use walgate_core::{Failure, Lsn, PgMicros, StopReason};
use walgate_pgoutput::{CopyFrame, StandbyStatus};
use walgate_replication::{SourceConfig, SourceState};
use walgate_throwaway::PgVersion;

use crate::bed::{Bed, Reader, config, eventually, unique};

/// What the script says, and how often it was asked to.
struct Script {
    port: u16,
    starts: Arc<AtomicU32>,
    statuses: Arc<std::sync::Mutex<Vec<StandbyStatus>>>,
}

impl Script {
    /// `says` is sent in pieces of `piece` bytes after each start; then the connection stays
    /// open, and what the client says is written down.
    async fn start(real: u16, says: Bytes, piece: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let script = Self {
            port,
            starts: Arc::default(),
            statuses: Arc::default(),
        };
        let (starts, statuses) = (Arc::clone(&script.starts), Arc::clone(&script.statuses));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(speak(
                    client,
                    real,
                    says.clone(),
                    piece,
                    Arc::clone(&starts),
                    Arc::clone(&statuses),
                ));
            }
        });
        script
    }

    fn config(&self, bed: &Bed) -> SourceConfig {
        let real = format!(":{}/", bed.text("SHOW port"));
        config(
            &bed.url().replace(&real, &format!(":{}/", self.port)),
            &unique("s"),
        )
    }
}

async fn speak(
    mut client: TcpStream,
    real: u16,
    says: Bytes,
    piece: usize,
    starts: Arc<AtomicU32>,
    statuses: Arc<std::sync::Mutex<Vec<StandbyStatus>>>,
) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", real)).await else {
        return;
    };
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(len @ 1..) = read else { return };
                if up[..len].windows(17).any(|window| window == b"START_REPLICATION") {
                    break;
                }
                if server.write_all(&up[..len]).await.is_err() { return }
            }
            read = server.read(&mut down) => {
                let Ok(len @ 1..) = read else { return };
                if client.write_all(&down[..len]).await.is_err() { return }
            }
        }
    }
    starts.fetch_add(1, Ordering::SeqCst);
    // CopyBothResponse: text, no columns.
    if client
        .write_all(&[b'W', 0, 0, 0, 7, 0, 0, 0])
        .await
        .is_err()
    {
        return;
    }
    client.set_nodelay(true).ok();
    for part in says.chunks(piece) {
        if client.write_all(part).await.is_err() {
            return;
        }
    }
    let mut heard = BytesMut::new();
    while let Ok(1..) = client.read_buf(&mut heard).await {
        while heard.len() >= 5 {
            let len = u32::from_be_bytes([heard[1], heard[2], heard[3], heard[4]]) as usize + 1;
            if heard.len() < len {
                break;
            }
            let message = heard.split_to(len);
            if message[0] == b'd' {
                statuses
                    .lock()
                    .expect("lock")
                    .push(StandbyStatus::decode(&message[5..]).expect("a status"));
            }
        }
    }
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.put_u32(body.len() as u32 + 4);
    bytes.extend_from_slice(body);
    bytes
}

fn xlog(payload: &[u8]) -> Vec<u8> {
    let mut body = BytesMut::new();
    let lsn = Lsn(1 << 40);
    CopyFrame::XLogData {
        wal_start: lsn,
        wal_end: lsn,
        server_time: PgMicros(0),
        payload,
    }
    .encode(&mut body);
    message(b'd', &body)
}

fn keepalive(wal_end: Lsn, reply_requested: bool) -> Vec<u8> {
    let mut body = BytesMut::new();
    CopyFrame::Keepalive {
        wal_end,
        server_time: PgMicros(0),
        reply_requested,
    }
    .encode(&mut body);
    message(b'd', &body)
}

fn begin(lsn: u64) -> Vec<u8> {
    let mut payload = vec![b'B'];
    payload.put_u64(lsn);
    payload.put_i64(0);
    payload.put_u32(771);
    xlog(&payload)
}

fn commit(lsn: u64) -> Vec<u8> {
    let mut payload = vec![b'C', 0];
    payload.put_u64(lsn);
    payload.put_u64(lsn + 8);
    payload.put_i64(0);
    xlog(&payload)
}

fn relation() -> Vec<u8> {
    let mut payload = vec![b'R'];
    payload.put_u32(16_400);
    payload.extend_from_slice(b"public\0t\0d\0\x01\x01id\0");
    payload.put_u32(23);
    payload.put_i32(-1);
    xlog(&payload)
}

fn insert(text: &[u8]) -> Vec<u8> {
    let mut payload = vec![b'I'];
    payload.put_u32(16_400);
    payload.extend_from_slice(b"N\0\x01t");
    payload.put_u32(text.len() as u32);
    payload.extend_from_slice(text);
    xlog(&payload)
}

fn notice(severity: &str, sqlstate: &str, routine: &str) -> Vec<u8> {
    message(
        b'N',
        format!("S{severity}\0V{severity}\0C{sqlstate}\0Mtext\0R{routine}\0\0").as_bytes(),
    )
}

fn bed() -> (Bed, u16) {
    let bed = Bed::new(PgVersion::V17);
    bed.sql("CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION p FOR TABLE t");
    let port = bed.text("SHOW port").parse().expect("a port");
    (bed, port)
}

/// A log that lies far above the real server's.
const LOG: u64 = 1 << 40;

async fn fails(says: Vec<u8>) -> (Failure, u32, Reader) {
    let (bed, port) = bed();
    let script = Script::start(port, says.into(), 1 << 16).await;
    let mut reader = Reader::start(script.config(&bed), None)
        .await
        .expect("starts");
    let failure = reader.until(|_| false).await.expect_err("must not go on");
    (failure, script.starts.load(Ordering::SeqCst), reader)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_of_any_size_give_the_same_frames() {
    let (bed, port) = bed();
    let says = [
        begin(LOG),
        relation(),
        insert(b"1"),
        insert(b"2"),
        commit(LOG),
        keepalive(Lsn(LOG + 100), true),
    ]
    .concat();
    for piece in [1, 3, 7, 64, 1 << 16] {
        let script = Script::start(port, says.clone().into(), piece).await;
        let mut reader = Reader::start(script.config(&bed), None)
            .await
            .expect("starts");
        reader
            .until(|reader| reader.progress >= Lsn(LOG + 100))
            .await
            .expect("streams");
        assert_eq!(
            reader.texts(),
            ["begin", "insert t 1", "insert t 2", "commit"],
            "piece {piece}"
        );
        reader.confirm();
        eventually("confirmed is reported", || {
            script
                .statuses
                .lock()
                .expect("lock")
                .iter()
                .any(|status| status.flushed == Lsn(LOG + 100) && status.applied == status.flushed)
        })
        .await;
        // Never zero, never beyond what was received.
        for status in script.statuses.lock().expect("lock").iter() {
            assert!(
                status.flushed > Lsn::ZERO && status.flushed <= status.written,
                "{status:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_bytes_stop_after_three_attempts_at_the_same_place() {
    let truncated = {
        let mut payload = vec![b'I'];
        payload.put_u32(16_400);
        xlog(&payload)
    };
    for (what, bad) in [
        ("unknown tag", xlog(b"\x80")),
        ("truncated", [relation(), truncated].concat()),
        ("unknown relation", insert(b"1")),
        ("empty copy data", message(b'd', b"")),
        ("begin in begin", begin(LOG + 1)),
        ("length 3", vec![b'd', 0, 0, 0, 3]),
        ("negative length", vec![b'd', 0xff, 0xff, 0xff, 0xff]),
        ("unknown message", message(b'?', b"")),
    ] {
        let (failure, starts, reader) = fails([begin(LOG), bad].concat()).await;
        assert_eq!(
            (failure.reason, starts),
            (StopReason::Data, 3),
            "{what}: {failure}"
        );
        assert!(reader.rows().is_empty(), "{what}: {:?}", reader.rows());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_skipped_publication_is_fatal_in_the_order_of_the_stream() {
    let says = [
        begin(LOG),
        commit(LOG),
        notice("WARNING", "01000", "SomethingElse"),
        notice("WARNING", "55000", "LoadPublications"),
        keepalive(Lsn(LOG + 5000), true),
    ];
    let (failure, starts, reader) = fails(says.concat()).await;
    assert_eq!(
        (failure.reason, starts),
        (StopReason::Config, 1),
        "{failure}"
    );
    assert_eq!(
        reader.progress,
        Lsn(LOG + 8),
        "the keepalive behind it is not progress"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_over_the_bound_names_table_transaction_and_bytes() {
    let (bed, port) = bed();
    let huge = insert(&vec![b'7'; 200_000]);
    let says = [begin(LOG), relation(), insert(b"1"), huge].concat();
    let script = Script::start(port, says.into(), 1 << 16).await;
    let mut bounded = script.config(&bed);
    bounded.max_row = 100_000;
    let mut reader = Reader::start(bounded, None).await.expect("starts");
    let failure = reader.until(|_| false).await.expect_err("must not go on");
    assert_eq!(failure.reason, StopReason::Data);
    for part in ["public.t", "transaction 771", "2000", "max_row"] {
        assert!(failure.message.contains(part), "{failure}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_stream_is_classified() {
    let error = message(
        b'E',
        b"SERROR\0VERROR\0C22021\0Minvalid byte sequence\0Rreport_invalid_encoding\0\0",
    );
    let (failure, starts, _) = fails(error).await;
    assert_eq!((failure.reason, starts), (StopReason::Data, 3), "{failure}");
    let error = message(
        b'E',
        b"SERROR\0VERROR\0C42704\0Mfehlt\0Rget_publication_oid\0\0",
    );
    let (failure, starts, _) = fails(error).await;
    assert_eq!(
        (failure.reason, starts),
        (StopReason::Config, 1),
        "{failure}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_asked_about_and_then_taken_for_death() {
    let (bed, port) = bed();
    let script = Script::start(port, notice("NOTICE", "00000", "hello").into(), 1 << 16).await;
    let mut quick = script.config(&bed);
    quick.status_interval = Duration::from_millis(200);
    quick.wal_sender_timeout = Some(Duration::from_millis(600));
    let mut reader = Reader::start(quick, None).await.expect("starts");
    let monitor = reader.source.monitor();
    let began = Instant::now();
    let reading = tokio::spawn(async move {
        reader.until(|_| false).await.ok();
    });
    eventually("the connection is given up", || {
        matches!(monitor.state(), SourceState::Down { .. })
    })
    .await;
    assert!(
        began.elapsed() >= Duration::from_millis(600),
        "three intervals"
    );
    assert!(
        script
            .statuses
            .lock()
            .expect("lock")
            .iter()
            .any(|status| status.reply_requested),
        "it was asked"
    );
    eventually("it comes back", || {
        script.starts.load(Ordering::SeqCst) >= 2
    })
    .await;
    reading.abort();
}

/// A caller that gives `next` up and calls it again reads all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_counts_over_calls_that_were_given_up() {
    let (bed, port) = bed();
    let script = Script::start(port, notice("NOTICE", "00000", "hello").into(), 1 << 16).await;
    let mut quick = script.config(&bed);
    quick.status_interval = Duration::from_millis(200);
    quick.wal_sender_timeout = Some(Duration::from_millis(600));
    let mut reader = Reader::start(quick, None).await.expect("starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    while script.starts.load(Ordering::SeqCst) < 2 {
        assert!(Instant::now() < deadline, "silence was not noticed");
        let call = tokio::time::timeout(Duration::from_millis(50), reader.step());
        call.await.ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_received_is_never_confirmed() {
    let (bed, port) = bed();
    let script = Script::start(port, keepalive(Lsn(LOG), false).into(), 1 << 16).await;
    let mut reader = Reader::start(script.config(&bed), None)
        .await
        .expect("starts");
    reader
        .until(|reader| reader.progress == Lsn(LOG))
        .await
        .expect("streams");
    reader.confirmed.advance(Lsn(LOG + 1));
    let failure = reader.until(|_| false).await.expect_err("must not go on");
    assert_eq!(failure.reason, StopReason::State, "{failure}");
    assert!(
        script
            .statuses
            .lock()
            .expect("lock")
            .iter()
            .all(|status| status.flushed <= Lsn(LOG))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_gone_is_not_asked_for_without_end() {
    let error = message(
        b'E',
        b"SERROR\0VERROR\0C58P01\0Mrequested WAL segment has already been removed\0RXLogFileOpen\0\0",
    );
    let (failure, starts, _) = fails(error).await;
    assert_eq!((failure.reason, starts), (StopReason::Gap, 2), "{failure}");
}
