//! A sink that runs gets again what the journal on disk retains.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use walgate_core::{Failure, Lsn, Position, SinkError, StopReason};
use walgate_journal::OnDamage;
use walgate_pipeline::{
    End, Outcome, Remake, RewindTo, Rewinds, SinkOptions, SinkState, StatusHandle, Stop,
};

use crate::bench::{Bench, START, end, ids, inserts, runs};
use crate::line_encoder::LineEncoder;
use crate::log::Log;
use crate::on_disk::{first, next, until, with_options};
use crate::scripted_sink::{Destination, Fault, ScriptedSink};
use crate::scripted_source::Act;
use crate::stored::Stored;

/// Transactions of 20 rows before the gate, and behind it.
const BEFORE: usize = 30;
const BEHIND: usize = 10;
const ROWS: usize = 20;

/// What comes again is marked with the rewind's id.
fn encoder(id: &str) -> LineEncoder {
    LineEncoder {
        mark: format!(" {id}"),
        ..LineEncoder::default()
    }
}

/// A sink on `destination`; what comes again goes there through a sink that `faulty` makes.
fn rewindable(
    bench: &mut Bench,
    destination: &Destination,
    faulty: impl Fn(ScriptedSink) -> ScriptedSink + Send + Sync + 'static,
) -> StatusHandle {
    let again = destination.clone();
    let remake = Remake::new(move |id| {
        let sink = faulty(ScriptedSink::new(&again));
        Ok((encoder(id), sink))
    });
    let mut options = SinkOptions::new("out");
    options.batch.max_records = 30;
    bench.pipeline.add_rewindable(
        options,
        (LineEncoder::default(), ScriptedSink::new(destination)),
        None,
        remake,
    )
}

/// A log with a gate in the middle, and the rewinds of its state.
struct Gated {
    log: Log,
    gate: Arc<Notify>,
    acts: Vec<Act>,
}

fn gated() -> Gated {
    let log = Log::new(START, &vec![inserts(ROWS); BEFORE + BEHIND]);
    let behind = log.first_behind(Lsn(log.items[0].position.lsn().0)) + BEFORE * (ROWS + 2);
    let gate = Arc::new(Notify::new());
    let mut acts = runs(&log, 7);
    let cut = behind.div_ceil(7);
    let rest = acts.split_off(cut);
    acts.push(Act::Gate(Arc::clone(&gate)));
    acts.extend(rest);
    Gated { log, gate, acts }
}

/// The commit LSN of a transaction.
fn commit(log: &Log, transaction: usize) -> Lsn {
    log.items[transaction * (ROWS + 2)].position.lsn()
}

fn rewinds(folder: &Path) -> Rewinds {
    Rewinds::open(folder).expect("opens")
}

fn ask(rewinds: &Rewinds, to: RewindTo) -> Result<walgate_pipeline::Accepted, Failure> {
    rewinds.ask("out", to, "again".to_owned())
}

/// The marked lines, without their mark, and whether they stand one behind the other.
fn marked(destination: &Destination) -> Vec<String> {
    let lines = destination.lines();
    let marked = lines.iter().filter_map(|line| line.strip_suffix(" again"));
    marked.map(str::to_owned).collect()
}

fn unmarked(destination: &Destination) -> Vec<String> {
    let mut lines = destination.lines();
    lines.retain(|line| !line.ends_with(" again"));
    lines
}

struct Running {
    run: JoinHandle<Result<Outcome, Failure>>,
    stop: Stop,
    stored: Stored,
    lowest: Arc<AtomicU64>,
}

/// Runs it, with an eye on what is stored: neither what is confirmed nor a sink ever falls.
fn start(mut bench: Bench, rewinds: &Rewinds) -> Running {
    bench.pipeline.follow(rewinds.clone());
    let lowest = Arc::new(AtomicU64::new(0));
    let (confirmed, last) = (Arc::clone(&lowest), std::sync::Mutex::new(Position::ZERO));
    let stored = Stored::new(START, move |checkpoint| {
        let before = confirmed.swap(checkpoint.confirmed.0, Ordering::SeqCst);
        assert!(checkpoint.confirmed.0 >= before, "what is confirmed falls");
        let at = checkpoint.sinks.get("out").copied().unwrap_or_default();
        let mut last = last.lock().expect("not poisoned");
        assert!(at >= *last, "the sink falls from {last} to {at}");
        *last = at;
    });
    bench.stored = stored.clone();
    let stop = bench.stop.clone();
    Running {
        run: tokio::spawn(bench.run()),
        stop,
        stored,
        lowest,
    }
}

async fn delivered(destination: &Destination, events: usize) {
    until("the events are delivered", || {
        ids(destination).len() >= events
    })
    .await;
}

/// Waits until the chain knows what its sink has.
async fn is_at(status: &StatusHandle, destination: &Destination) {
    let position = destination.events().last().expect("some").0;
    until("the sink is there", || status.get().delivered >= position).await;
}

/// Runs it until the sink has everything before the gate, and the chain knows.
async fn start_to_the_gate(
    bench: Bench,
    rewinds: &Rewinds,
    status: &StatusHandle,
    destination: &Destination,
) -> Running {
    let running = start(bench, rewinds);
    delivered(destination, BEFORE * ROWS).await;
    is_at(status, destination).await;
    running
}

/// Waits until everything before the gate is on disk; returns the file.
async fn on_disk(running: &Running, log: &Log, journal: &Path) -> PathBuf {
    let last = commit(log, BEFORE - 1);
    until("it is on disk", || running.stored.get().confirmed > last).await;
    journal.join("0000000000000001.segment")
}

async fn until_over(state: &Path) {
    until("it is over", || !state.join("rewinds").exists()).await;
}

fn state() -> (TempDir, TempDir) {
    let folder = || tempfile::tempdir().expect("a folder");
    (folder(), folder())
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_from_there_on_comes_again_with_the_same_ids_and_then_the_rest() {
    comes_again(12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_retained_comes_again_without_a_gap() {
    comes_again(0).await;
}

/// Rewinds to a transaction.
async fn comes_again(transaction: usize) {
    let (journal, state) = state();
    let Gated { log, gate, acts } = gated();
    let destination = Destination::default();
    let mut bench = first(&journal, acts.into_iter().chain([end()]));
    let status = rewindable(&mut bench, &destination, |sink| sink);
    let rewinds = rewinds(state.path());
    let running = start(bench, &rewinds);
    delivered(&destination, BEFORE * ROWS).await;
    let held = unmarked(&destination).len();
    is_at(&status, &destination).await;

    let from = commit(&log, transaction);
    let accepted = ask(&rewinds, RewindTo::Lsn(from)).expect("accepted");
    assert_eq!(accepted.from, Position::new(0, from, 0));
    until_over(state.path()).await;
    gate.notify_one();
    let outcome = running.run.await.expect("no panic").expect("ends");
    assert_eq!((outcome.end, outcome.confirmed), (End::Source, log.end));
    assert_eq!(running.lowest.load(Ordering::SeqCst), log.end.0);

    let (first, again) = (unmarked(&destination), marked(&destination));
    assert_eq!(first.len(), (BEFORE + BEHIND) * ROWS);
    assert_eq!(again, first[transaction * ROWS..held], "the same, in order");
    let place = destination
        .lines()
        .iter()
        .position(|line| line.ends_with(" again"));
    assert_eq!(place, Some(held), "behind what the sink had");
    assert_eq!(
        running.stored.get().sinks["out"],
        Position::new(0, log.end, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_its_midst_begins_it_anew_before_anything_else() {
    let (journal, state) = state();
    let Gated { log, gate, acts } = gated();
    let destination = Destination::default();
    let mut bench = first(&journal, acts);
    // What comes again gets stuck behind its second batch, of which a part arrives.
    let status = rewindable(&mut bench, &destination, |mut sink| {
        let stuck = Fault::FailAfter(40, SinkError::transient("stuck"));
        sink.writes = [Fault::None, stuck].into();
        sink.opens = [Fault::None, Fault::Hang].into();
        sink
    });
    let asked = rewinds(state.path());
    let running = start(bench, &asked);
    delivered(&destination, BEFORE * ROWS).await;
    is_at(&status, &destination).await;
    let held = unmarked(&destination).len();
    ask(
        &asked,
        RewindTo::Position(log.items[12 * (ROWS + 2) + 4].position),
    )
    .expect("accepted");
    until("a part has come again", || marked(&destination).len() == 40).await;
    // What comes in meanwhile is confirmed, and waits.
    gate.notify_one();
    let stored = running.stored.clone();
    until("the rest is confirmed", || {
        stored.get().confirmed == log.end
    })
    .await;
    assert_eq!(unmarked(&destination).len(), held);
    running.run.abort();
    let ended = running.run.await.expect_err("it has crashed");
    assert!(ended.is_cancelled());
    assert!(
        stored.get().sinks["out"].lsn() >= commit(&log, BEFORE - 1),
        "it never falls"
    );

    // It looks at the journal, whose folder is another process's from here on.
    drop(asked);
    until("its thread has let go of the folder", || {
        walgate_journal::storage::Folder::take(journal.path()).is_ok()
    })
    .await;
    let before = destination.lines().len();
    let mut bench = next(&journal, stored.get(), [end()]);
    rewindable(&mut bench, &destination, |sink| sink);
    let stop = bench.stop.clone();
    let mut running = start(bench, &rewinds(state.path()));
    running.stop = stop;
    let outcome = running.run.await.expect("no panic").expect("ends");
    assert_eq!(outcome.end, End::Source);
    let lines = destination.lines();
    let first = &unmarked(&destination)[..held];
    let again: Vec<_> = lines[before..]
        .iter()
        .map_while(|line| line.strip_suffix(" again"))
        .collect();
    let at = again.len();
    assert!(at >= (BEFORE - 12 - 1) * ROWS, "{at} events come again");
    assert_eq!(again, first[12 * ROWS..][..at], "from its beginning on");
    let mut rest = lines[before + at..].to_vec();
    assert!(
        rest.iter().all(|line| !line.ends_with(" again")),
        "it comes first"
    );
    rest.retain(|line| !first.contains(line));
    assert_eq!(
        rest.len(),
        (BEFORE + BEHIND) * ROWS - held,
        "nothing is lost"
    );
    assert!(!state.path().join("rewinds").exists(), "it is over");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_fails_meanwhile_is_tried_again() {
    let (journal, state) = state();
    let Gated { log, gate, acts } = gated();
    let destination = Destination::default();
    let mut bench = first(&journal, acts.into_iter().chain([end()]));
    let status = rewindable(&mut bench, &destination, |mut sink| {
        let by_chance = |taken| Fault::FailAfter(taken, SinkError::transient("by chance"));
        sink.opens = [Fault::Reject(SinkError::transient("down"))].into();
        sink.writes = [Fault::None, by_chance(35), by_chance(7), Fault::None].into();
        sink.flushes = [Fault::None, by_chance(3)].into();
        sink
    });
    let rewinds = rewinds(state.path());
    let running = start_to_the_gate(bench, &rewinds, &status, &destination).await;
    let held = unmarked(&destination).len();
    ask(&rewinds, RewindTo::Lsn(commit(&log, 10))).expect("accepted");
    until_over(state.path()).await;
    // Whoever looks at the sink sees how it did meanwhile.
    let seen = status.get();
    assert!(seen.failures >= 3, "{seen:?}");
    assert!(seen.last_error.is_some() && seen.events > held as u64);
    until("it runs again", || status.get().state == SinkState::Running).await;
    gate.notify_one();
    running.run.await.expect("no panic").expect("ends");
    let first = unmarked(&destination);
    assert_eq!(first.len(), (BEFORE + BEHIND) * ROWS);
    // What was in flight when it failed is repeated.
    let mut again = marked(&destination);
    assert!(again.len() > held - 10 * ROWS, "{} events", again.len());
    assert_eq!(again.last(), first[..held].last());
    again.sort();
    again.dedup();
    assert_eq!(again, first[10 * ROWS..held]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_fails_for_good_meanwhile_stops_it_with_the_way_out() {
    let (journal, state) = state();
    let Gated { log, acts, .. } = gated();
    let destination = Destination::default();
    let mut bench = first(&journal, acts);
    let status = rewindable(&mut bench, &destination, |mut sink| {
        sink.writes = [Fault::Reject(SinkError::fatal("no right"))].into();
        sink
    });
    let rewinds = rewinds(state.path());
    let running = start_to_the_gate(bench, &rewinds, &status, &destination).await;
    ask(&rewinds, RewindTo::Lsn(commit(&log, 10))).expect("accepted");
    let failure = running.run.await.expect("no panic").expect_err("stops");
    assert_eq!(failure.reason, StopReason::Sink);
    let hint = failure.hint.clone().unwrap_or_default();
    assert!(
        failure.message.contains("no right, while the rewind again"),
        "{failure}"
    );
    let file = state.path().join("rewinds");
    assert!(hint.ends_with(&format!("rm {}", file.display())), "{hint}");
    assert!(file.exists(), "it begins again with the next start");
}

/// Nothing is retained but what is needed: what comes again is needed until it has.
#[tokio::test(flavor = "multi_thread")]
async fn the_journal_keeps_what_has_to_come_again() {
    let (journal, state) = state();
    let log = Log::new(START, &vec![inserts(ROWS); 1500]);
    let gate = Arc::new(Notify::new());
    let mut acts = runs(&log, 60);
    let rest = acts.split_off(20);
    acts.push(Act::Gate(Arc::clone(&gate)));
    acts.extend(rest);
    let destination = Destination::default();
    let mut bench = with_options(&journal, acts, |options| {
        options.segment_bytes = 64 << 10;
        options.replay_bytes = 0;
    });
    let stuck = Arc::new(Notify::new());
    let held_up = Arc::clone(&stuck);
    let status = rewindable(&mut bench, &destination, move |mut sink| {
        sink.opens = [Fault::Gate(Arc::clone(&held_up))].into();
        sink
    });
    let view = bench
        .log
        .as_ref()
        .and_then(|log| log.journal.view().cloned());
    let view = view.expect("a journal on disk");
    let rewinds = rewinds(state.path());
    let running = start(bench, &rewinds);
    delivered(&destination, 1000).await;
    is_at(&status, &destination).await;
    let from = Position::new(0, commit(&log, 40), 0);
    let accepted = ask(&rewinds, RewindTo::Position(from)).expect("accepted");
    assert_eq!(accepted.from, from);
    gate.notify_one();
    let stored = running.stored.clone();
    until("everything is confirmed", || {
        stored.get().confirmed == log.end
    })
    .await;
    assert!(
        view.catalogue().len() > 4,
        "{} segments",
        view.catalogue().len()
    );
    assert!(view.catalogue().oldest() <= from, "it is kept");
    stuck.notify_one();
    until_over(state.path()).await;
    let again = marked(&destination);
    assert_eq!(again, unmarked(&destination)[40 * ROWS..][..again.len()]);
    until("it is not needed any more", || {
        view.catalogue().oldest() > from
    })
    .await;
    running.stop.drain();
    running.run.await.expect("no panic").expect("ends");
}

/// Only what is damaged for good ends it before its end: else the last event of a row stays wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_to_read_stops_it_and_the_next_start_begins_it_again() {
    let (journal, state) = state();
    let Gated { log, acts, .. } = gated();
    let destination = Destination::default();
    let mut bench = first(&journal, acts);
    let status = rewindable(&mut bench, &destination, |sink| sink);
    let rewinds = rewinds(state.path());
    let running = start_to_the_gate(bench, &rewinds, &status, &destination).await;
    let segment = on_disk(&running, &log, journal.path()).await;
    std::fs::remove_file(&segment).expect("it is there");
    std::fs::create_dir(&segment).expect("made");
    ask(&rewinds, RewindTo::Lsn(commit(&log, 12))).expect("accepted");
    let failure = running.run.await.expect("no panic").expect_err("it stops");
    assert_eq!(failure.reason, StopReason::State, "{failure}");
    assert!(failure.message.contains("can't be read"), "{failure}");
    assert!(state.path().join("rewinds").exists(), "it is kept");
    assert_eq!(marked(&destination), Vec::<String>::new());
}

/// Whoever has had it has lost nothing: there is no gap to tell of.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_journal_has_lost_does_not_come_again_and_is_no_gap() {
    let (journal, state) = state();
    let Gated { log, acts, .. } = gated();
    let destination = Destination::default();
    let mut bench = with_options(&journal, acts, |options| options.on_damage = OnDamage::Gap);
    let status = rewindable(&mut bench, &destination, |sink| sink);
    let rewinds = rewinds(state.path());
    let running = start_to_the_gate(bench, &rewinds, &status, &destination).await;
    let segment = on_disk(&running, &log, journal.path()).await;
    let mut bytes = std::fs::read(&segment).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, bytes).expect("written");
    ask(&rewinds, RewindTo::Lsn(commit(&log, 0))).expect("accepted");
    until_over(state.path()).await;
    let (had, again) = (unmarked(&destination), marked(&destination));
    assert!(
        !again.is_empty() && again.len() < had.len(),
        "{}",
        again.len()
    );
    assert!(again.iter().all(|line| had.contains(line)), "{again:#?}");
    running.stop.now();
    running.run.await.expect("no panic").expect("ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_with_the_reason() {
    let (journal, state) = state();
    let Gated { log, acts, .. } = gated();
    let destination = Destination::default();
    let rewinds = rewinds(state.path());
    let failure = ask(&rewinds, RewindTo::Lsn(START)).expect_err("nothing runs");
    assert!(failure.message.contains("starting"), "{failure}");

    let mut bench = first(&journal, acts);
    // It can't be opened before the test is at its end, so that a rewind stays under way.
    let status = rewindable(&mut bench, &destination, |mut sink| {
        sink.opens = [Fault::Hang].into();
        sink
    });
    bench.sink(
        ScriptedSink::new(&Destination::default()),
        SinkOptions::new("plain"),
    );
    let running = start_to_the_gate(bench, &rewinds, &status, &destination).await;
    let refused = |sink: &str, to, parts: &[&str]| {
        let failure = rewinds.ask(sink, to, "x".to_owned()).expect_err(sink);
        assert_eq!(failure.reason, StopReason::Config);
        let said = format!("{failure} {}", failure.hint.clone().unwrap_or_default());
        for part in parts {
            assert!(said.contains(part), "{part} is not in {said}");
        }
    };
    refused(
        "other",
        RewindTo::Lsn(START),
        &["no sink other", "out, plain"],
    );
    refused(
        "plain",
        RewindTo::Lsn(START),
        &["can't be given", "walgate replay"],
    );
    let oldest = Position::new(0, START, 0).to_string();
    refused(
        "out",
        RewindTo::Lsn(Lsn(1)),
        &["does not retain", &oldest, "0/100"],
    );
    refused("out", RewindTo::Lsn(log.end), &["not yet behind"]);
    let late = walgate_core::PgMicros(i64::MAX);
    refused("out", RewindTo::Time(late), &["no transaction"]);
    ask(&rewinds, RewindTo::Lsn(commit(&log, 3))).expect("accepted");
    refused("out", RewindTo::Lsn(START), &["again", "not over"]);

    running.stop.drain();
    running.run.await.expect("no panic").expect("ends");
    assert!(state.path().join("rewinds").exists(), "it is not over");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_disk_nothing_comes_again() {
    let state = tempfile::tempdir().expect("a folder");
    let Gated { acts, .. } = gated();
    let destination = Destination::default();
    let mut bench = Bench::new(acts);
    rewindable(&mut bench, &destination, |sink| sink);
    let rewinds = rewinds(state.path());
    let running = start(bench, &rewinds);
    delivered(&destination, BEFORE * ROWS).await;
    let failure = ask(&rewinds, RewindTo::Lsn(START)).expect_err("in memory");
    assert!(failure.message.contains("no journal on disk"), "{failure}");
    running.stop.now();
    running.run.await.expect("no panic").expect("ends");
}

/// Who asks has gone: what was not accepted in time does not begin.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_to_find_is_refused_and_not_kept() {
    let (journal, state) = state();
    let Gated { log, acts, .. } = gated();
    let destination = Destination::default();
    let mut bench = first(&journal, acts);
    let status = rewindable(&mut bench, &destination, |sink| sink);
    let rewinds = rewinds(state.path());
    let running = start_to_the_gate(bench, &rewinds, &status, &destination).await;
    let to = RewindTo::Lsn(commit(&log, 10));
    let late = rewinds.ask_by("out", to, "again".to_owned(), std::time::Instant::now());
    let failure = late.expect_err("it is too late");
    assert_eq!(failure.reason, StopReason::Config);
    assert!(!state.path().join("rewinds").exists());
    ask(&rewinds, to).expect("nothing is under way");
    until_over(state.path()).await;
    running.stop.now();
    running.run.await.expect("no panic").expect("ends");
}
