//! Connections end in every way there is; nothing is lost, and what repeats are whole transactions
//! with the same positions.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use walgate_core::{GapReason, Position, Source, StopReason};
use walgate_replication::{SlotMode, SourceState};
use walgate_throwaway::{Direction, FaultProxy, PgVersion, StopMode};

use crate::bed::{Bed, PATIENCE, Reader, Seen, config, eventually, one, server, unique};

/// The same position always has the same content, and no transaction is cut in the end.
fn whole(seen: &[Seen]) -> BTreeMap<Position, String> {
    let mut log = BTreeMap::new();
    for Seen { id, what } in seen {
        let before = log.insert(*id, what.clone());
        assert!(
            before.is_none_or(|before| before == *what),
            "{id} came again as something else"
        );
    }
    log
}

fn rows(log: &BTreeMap<Position, String>) -> Vec<&String> {
    log.values()
        .filter(|what| what.starts_with("insert"))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_walsender_in_the_middle_of_a_transaction() {
    let bed = Bed::new(PgVersion::V15);
    bed.sql("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE PUBLICATION p FOR TABLE t");
    let slot = unique("s");
    let mut reader = Reader::start(config(&bed.url(), &slot), None)
        .await
        .expect("starts");
    bed.sql("INSERT INTO t VALUES (0, 'first')");
    bed.sql("INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 50000) i");
    reader
        .until(|reader| reader.rows().len() > 1000)
        .await
        .expect("begins");
    bed.sql(&format!("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{slot}'"));
    reader.until_row("insert t 50000,").await.expect("goes on");
    let log = whole(&reader.seen);
    assert_eq!(rows(&log).len(), 50_001);
    assert_eq!(
        reader
            .texts()
            .iter()
            .filter(|text| **text == "insert t 0,first")
            .count(),
        1,
        "a whole transaction is not repeated"
    );
    assert_eq!(reader.source.monitor().counters().reconnects, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_and_crashes_of_the_server() {
    let mut server = server(PgVersion::V17, &[]);
    server
        .sql("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE PUBLICATION p FOR TABLE t")
        .expect("sql");
    let mut reader = Reader::start(config(&server.url(), "s"), None)
        .await
        .expect("starts");
    for (round, how) in [Some(StopMode::Fast), Some(StopMode::Immediate), None]
        .into_iter()
        .enumerate()
    {
        server
            .sql(&format!(
                "INSERT INTO t SELECT i, 'before' FROM generate_series({0}, {0} + 99) i",
                round * 1000
            ))
            .expect("sql");
        match how {
            Some(mode) => server.restart(mode).expect("restarts"),
            None => {
                server.kill_9().expect("dies");
                server.start_again().expect("starts again");
            }
        }
        server
            .sql(&format!(
                "INSERT INTO t VALUES ({}, 'after')",
                round * 1000 + 500
            ))
            .expect("sql");
        reader
            .until_row(&format!("insert t {},after", round * 1000 + 500))
            .await
            .expect("goes on");
        if round == 0 {
            reader.confirm();
        }
    }
    assert_eq!(rows(&whole(&reader.seen)).len(), 303);
    reader.source.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fast_shutdown_is_not_held_up_by_a_blocked_consumer() {
    let mut server = server(PgVersion::V17, &[]);
    server
        .sql("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE PUBLICATION p FOR TABLE t")
        .expect("sql");
    let mut reader = Reader::start(config(&server.url(), "s"), None)
        .await
        .expect("starts");
    server
        .sql("INSERT INTO t SELECT i, repeat('x', 2000) FROM generate_series(1, 20000) i")
        .expect("sql");
    reader
        .until(|reader| !reader.seen.is_empty())
        .await
        .expect("begins");
    // Nobody reads from here on, and nothing is confirmed.
    server.begin_stop(StopMode::Fast).expect("is told to stop");
    let stopped = std::time::Instant::now();
    while server.pid().is_some() {
        if server.sql("SELECT 1").is_err()
            && std::net::TcpStream::connect(("127.0.0.1", server.port())).is_err()
        {
            break;
        }
        assert!(stopped.elapsed() < PATIENCE, "the server waits for us");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.stop(StopMode::Fast).expect("has stopped");
    server.start_again().expect("starts again");
    reader.until_row("insert t 20000,").await.expect("goes on");
    assert_eq!(rows(&whole(&reader.seen)).len(), 20_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_is_cut_sliced_limited_and_dead() {
    let server = server(PgVersion::V17, &[]);
    server
        .sql("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE PUBLICATION p FOR TABLE t")
        .expect("sql");
    let proxy = FaultProxy::start(([127, 0, 0, 1], server.port()).into()).expect("a proxy");
    let url = server.url().replace(
        &format!(":{}", server.port()),
        &format!(":{}", proxy.port()),
    );
    let mut through = config(&url, "s");
    through.status_interval = Duration::from_millis(500);
    through.wal_sender_timeout = Some(Duration::from_secs(3));
    let mut reader = Reader::start(through, None).await.expect("starts");
    server
        .sql("INSERT INTO t SELECT i, 'cut' FROM generate_series(1, 1000) i")
        .expect("sql");
    reader
        .until(|reader| !reader.seen.is_empty())
        .await
        .expect("begins");
    proxy.cut();
    reader.until_row("insert t 1000,").await.expect("goes on");
    // A message is cut wherever the limit falls.
    proxy.limit_after(20_000);
    server
        .sql("INSERT INTO t SELECT i, 'limited' FROM generate_series(1001, 2000) i")
        .expect("sql");
    reader.until_row("insert t 2000,").await.expect("goes on");
    // Slices of a few bytes.
    proxy.slice(7, Duration::ZERO);
    server
        .sql("INSERT INTO t SELECT i, 'sliced' FROM generate_series(2001, 2500) i")
        .expect("sql");
    reader.until_row("insert t 2500,").await.expect("goes on");
    proxy.resume();
    // No FIN, no answer: only silence tells.
    let before = reader.source.monitor().counters().reconnects;
    proxy.stall();
    server
        .sql("INSERT INTO t VALUES (3000, 'stalled')")
        .expect("sql");
    let monitor = reader.source.monitor();
    let watch = async {
        eventually("the dead connection is noticed", || {
            matches!(monitor.state(), SourceState::Down { .. })
        })
        .await;
        proxy.cut();
        proxy.resume();
    };
    let (_, read) = tokio::join!(watch, reader.until_row("insert t 3000,"));
    read.expect("goes on");
    assert!(reader.source.monitor().counters().reconnects > before);
    assert_eq!(rows(&whole(&reader.seen)).len(), 2501);
    assert!(proxy.bytes(Direction::ToClient) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_temporary_slot_ends_with_its_connection_and_leaves_a_gap() {
    let bed = Bed::new(PgVersion::V17);
    bed.sql("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE PUBLICATION p FOR TABLE t");
    let slot = unique("s");
    let mut temporary = config(&bed.url(), &slot);
    temporary.slot.mode = SlotMode::Temporary;
    let mut reader = Reader::start(temporary, None).await.expect("starts");
    assert!(!reader.identity.created_by_us, "it goes by itself");
    bed.sql("INSERT INTO t VALUES (1, 'one')");
    reader.until_row("1,one").await.expect("streams");
    let at = reader.progress;
    bed.sql(&format!("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '{slot}'"));
    reader
        .until(|reader| !reader.gaps.is_empty())
        .await
        .expect("says so");
    let gap = reader.gaps[0].clone();
    assert_eq!(gap.reason, GapReason::TemporarySlot);
    assert!(gap.from >= at && gap.to >= gap.from, "{gap:?} behind {at}");
    bed.sql("INSERT INTO t VALUES (2, 'two')");
    reader.until_row("2,two").await.expect("streams again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_of_two_waits_and_takes_over() {
    let bed = Bed::new(PgVersion::V17);
    bed.sql("CREATE TABLE t (id int PRIMARY KEY, v text); CREATE PUBLICATION p FOR TABLE t");
    let slot = unique("s");
    let mut first = Reader::start(config(&bed.url(), &slot), None)
        .await
        .expect("starts");
    bed.sql("INSERT INTO t VALUES (1, 'one')");
    first.until_row("1,one").await.expect("streams");
    let port = bed.text("SHOW port");
    let address = format!("127.0.0.1:{port}").parse().expect("an address");
    let proxy = FaultProxy::start(address).expect("a proxy");
    let url = bed
        .url()
        .replace(&format!(":{port}/"), &format!(":{}/", proxy.port()));
    let second = tokio::spawn(Reader::start(config(&url, &slot), None));
    // For SQL and for replication, and at least once again.
    eventually("the second tries", || proxy.connections() >= 3).await;
    assert!(!second.is_finished());
    // It never steals.
    bed.sql("INSERT INTO t VALUES (2, 'two')");
    first.until_row("2,two").await.expect("still streams");
    drop(first);
    let mut second = tokio::time::timeout(PATIENCE, second)
        .await
        .expect("takes over")
        .expect("runs")
        .expect("starts");
    second
        .until_row("2,two")
        .await
        .expect("streams what the first did not confirm");
    assert_eq!(second.rows(), ["insert t 1,one", "insert t 2,two"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_impatient_start_says_what_is_wrong() {
    let nobody = FaultProxy::without_target().expect("a proxy");
    let mut away = config(
        &format!(
            "postgresql://postgres@127.0.0.1:{}/postgres?sslmode=disable&connect_timeout=2",
            nobody.port()
        ),
        "s",
    );
    away.wait_at_start = false;
    nobody.refuse();
    let failure = Reader::start(away, None)
        .await
        .err()
        .expect("is not waited for");
    assert_eq!(failure.reason, StopReason::Config, "{failure}");
}

/// What was logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn has(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.0.lock().expect("no panic")).contains(text)
    }
}

// On one thread, so that its log is all there is.
#[tokio::test]
async fn a_commit_that_waits_for_us_as_a_standby_that_may_not_see_itself() {
    // Without pg_read_all_stats the role reads NULL for its own sync_state.
    let log = Log::default();
    let writer = log.clone();
    let _logging = tracing::subscriber::set_default(
        tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .finish(),
    );
    let server = server(PgVersion::V17, &[]);
    server
        .sql(
            "CREATE ROLE reader LOGIN REPLICATION; CREATE TYPE mood AS ENUM ('sad', 'ok'); \
              CREATE TABLE t (id int PRIMARY KEY, m mood); CREATE PUBLICATION p FOR TABLE t",
        )
        .expect("sql");
    let url = server.url_of("reader", "postgres");
    let mut reader = Reader::start(config(&url, "s"), None)
        .await
        .expect("starts");
    server
        .configure(&[("synchronous_standby_names", "*")])
        .expect("writes");
    server.reload().expect("reloads");
    eventually("the reload", || {
        let rows = server.sql("SELECT sync_state FROM pg_stat_replication");
        one(rows.expect("sql")) == "sync"
    })
    .await;
    let mut session = server.admin().expect("connects");
    let commit = std::thread::spawn(move || session.query("INSERT INTO t VALUES (1, 'ok')"));
    reader.until_row("insert t 1,ok").await.expect("streams");
    assert!(!commit.is_finished(), "the commit waits for us");
    reader.confirm();
    eventually("the commit", || commit.is_finished()).await;
    commit.join().expect("no panic").expect("commits");
    reader.source.close().await.expect("closes");
    let mut again = Reader::start(config(&url, "s"), Some(reader.checkpoint()))
        .await
        .expect("starts");
    // It looks at each start; the first look may have come before the reload.
    let warning = "the server treats us as a synchronous standby";
    eventually("the warning", || log.has(warning)).await;
    again.source.close().await.expect("closes");
}
