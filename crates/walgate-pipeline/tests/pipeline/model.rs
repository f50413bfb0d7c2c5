//! No order of acknowledgements, failures, retries, kills and restarts confirms past something
//! that is not delivered, loses, reorders or renames anything; and whatever has no rows for a sink
//! still moves it on.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use walgate_core::{Checkpoint, Feed, FrameKind, Frames, Lsn, Op, Position, Watermark};
use walgate_journal::{DiskJournal, DiskOptions};
use walgate_pipeline::{
    BatchOptions, CheckpointStore, ConfirmBy, Demand, End, Extras, Ops, Pipeline, PipelineOptions,
    Selection, SinkOptions, Stop,
};

use crate::bench::in_memory;
use crate::line_encoder::LineEncoder;
use crate::log::{Happening, Log, Row, TABLES};
use crate::on_disk::{begin, by_fsync};
use crate::scripted_sink::{Destination, ScriptedSink};
use crate::scripted_source::{Act, ScriptedSource};
use crate::stored::Stored;

const START: Lsn = Lsn(0x1000);

/// What a sink of the model takes.
#[derive(Debug, Clone)]
struct Taken {
    name: &'static str,
    demand: Demand,
    tables: Vec<usize>,
    ops: Vec<Op>,
    transactions: bool,
}

fn sinks() -> [Taken; 3] {
    let all = Ops::ALL.to_vec();
    [
        Taken {
            name: "all",
            demand: Demand::Required,
            tables: vec![0, 1, 2],
            ops: all.clone(),
            transactions: true,
        },
        Taken {
            name: "some",
            demand: Demand::Required,
            tables: vec![1],
            ops: vec![Op::Insert, Op::Truncate],
            transactions: false,
        },
        Taken {
            name: "optional",
            demand: Demand::Optional,
            tables: vec![0, 1],
            ops: all,
            transactions: true,
        },
    ]
}

/// What a sink is to be given of a log, written down without the code under test.
fn expected(log: &Log, taken: &Taken) -> Vec<(Position, String)> {
    let mut events = Vec::new();
    let mut transaction = Vec::new();
    for item in &log.items {
        let xid = item
            .transaction
            .map_or(String::new(), |t| t.xid.to_string());
        let mut row = |op: Op| {
            if !taken.ops.contains(&op) {
                return;
            }
            for (n, relation) in (0u32..).zip(&item.relations) {
                let table = TABLES
                    .iter()
                    .position(|table| *table == relation.name)
                    .unwrap();
                if taken.tables.contains(&table) {
                    let position = Position::new(0, item.position.lsn(), item.index + n);
                    let (op, table) = (op.name(), TABLES[table]);
                    transaction.push((position, format!("{position} {op} {table} {xid}")));
                }
            }
        };
        match item.kind {
            FrameKind::Begin => {}
            FrameKind::Insert => row(Op::Insert),
            FrameKind::Update => row(Op::Update),
            FrameKind::Delete => row(Op::Delete),
            FrameKind::Truncate => row(Op::Truncate),
            FrameKind::Message if taken.ops.contains(&Op::Message) => {
                let position = item.position;
                transaction.push((position, format!("{position} message - transactional")));
            }
            FrameKind::Message => {}
            FrameKind::Standalone if taken.ops.contains(&Op::Message) => {
                let position = item.position;
                events.push((position, format!("{position} message - standalone")));
            }
            FrameKind::Standalone => {}
            FrameKind::Commit => {
                let rows = std::mem::take(&mut transaction);
                let count = rows.len();
                let mark = taken.transactions && count > 0;
                let begin = Position::new(0, item.position.lsn(), Position::BEGIN);
                events.extend(mark.then(|| (begin, format!("{begin} begin - {xid}"))));
                events.extend(rows);
                let end = item.position;
                events.extend(mark.then(|| (end, format!("{end} commit - {count}"))));
            }
        }
    }
    events
}

/// A source that begins where a server would for whoever has confirmed `confirmed`, cut into runs
/// by chance, with reconnects and keepalives by chance.
fn source(log: &Log, confirmed: Lsn, random: &mut fastrand::Rng) -> ScriptedSource {
    let mut acts = Vec::new();
    let first = log.first_behind(confirmed);
    let mut at = first;
    loop {
        let largest = if random.u32(0..4) == 0 { 40 } else { 6 };
        let to = (at + random.usize(1..=largest)).min(log.items.len());
        let quiet = log.quiet_before(to).filter(|_| random.bool());
        let inside = random.bool();
        if to > at {
            let mut run = log.run(at, to);
            run.progress = quiet.filter(|_| inside);
            acts.push(Act::Feed(Feed::Frames(run)));
        }
        if let Some(quiet) = quiet.filter(|_| !inside) {
            acts.push(Act::Feed(Feed::Frames(Frames::progress(0, quiet))));
        }
        if random.u32(0..3) == 0 {
            acts.push(Act::Sleep(Duration::from_millis(random.u64(1..500))));
        }
        at = to;
        if at == log.items.len() {
            break;
        }
        if random.u32(0..10) == 0 {
            let from = if random.bool() {
                at
            } else {
                random.usize(first..=at)
            };
            at = log.begin_before(from).max(first);
        }
    }
    acts.push(Act::Feed(Feed::Frames(Frames::progress(0, log.end))));
    acts.push(Act::Feed(Feed::End));
    ScriptedSource::new(acts)
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kill(Duration),
    Stop(Duration),
    Live,
}

/// Ready when the process is killed.
async fn meet(fate: Fate, stop: &Stop) {
    match fate {
        Fate::Kill(after) => tokio::time::sleep(after).await,
        Fate::Stop(after) => {
            tokio::time::sleep(after).await;
            stop.drain();
            std::future::pending::<()>().await;
        }
        Fate::Live => std::future::pending::<()>().await,
    }
}

struct World {
    log: Log,
    sinks: [Taken; 3],
    expected: Arc<Vec<Vec<(Position, String)>>>,
    destinations: Arc<Vec<Destination>>,
    stored: Stored,
}

impl World {
    fn new(happenings: &[Happening], confirm: ConfirmBy) -> Self {
        let log = Log::new(START, happenings);
        let sinks = sinks();
        let expected: Arc<Vec<_>> =
            Arc::new(sinks.iter().map(|taken| expected(&log, taken)).collect());
        let destinations: Arc<Vec<_>> =
            Arc::new(sinks.iter().map(|_| Destination::default()).collect());
        let (want, have, names) = (
            Arc::clone(&expected),
            Arc::clone(&destinations),
            sinks.clone(),
        );
        let stored = Stored::new(START, move |checkpoint| {
            let confirmed = match confirm {
                ConfirmBy::Sinks => checkpoint.confirmed,
                ConfirmBy::Fsync => Lsn::ZERO,
            };
            check(checkpoint, confirmed, &names, &want, &have);
        });
        Self {
            log,
            sinks,
            expected,
            destinations,
            stored,
        }
    }

    /// The same with a journal on disk that confirms: time is real, since a disk has a clock of its
    /// own, and so everything is short.
    fn live_on_disk(&self, folder: &Path, random: &mut fastrand::Rng, fate: Fate) -> Option<End> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime");
        let mut pipeline = Pipeline::new(by_fsync());
        for (taken, destination) in self.sinks.iter().zip(self.destinations.iter()) {
            let mut sink = ScriptedSink::new(destination);
            sink.can_tell = random.bool();
            sink.random = Some(random.fork());
            sink.slowest = Duration::from_millis(3);
            let mut options = options(taken, random);
            options.batch.delay = Duration::ZERO;
            options.backoff.first = Duration::from_millis(1);
            options.backoff.longest = Duration::from_millis(5);
            pipeline.add(options, LineEncoder::default(), sink, None);
        }
        let start = self.stored.get();
        let mut options = DiskOptions::new(folder);
        options.sync_every = Duration::from_millis(random.u64(1..10));
        options.segment_bytes = random.u64(1000..20_000);
        options.replay_bytes = random.u64(0..2) * 10_000;
        options.memory_bytes = random.usize(100..20_000);
        let disk = DiskJournal::open(options, self.stored.is_written().then_some(&start));
        // As the program does: a journal without its checkpoint would be refused.
        self.stored.clone().save(&start).expect("saved");
        let log = begin(disk.expect("opens"), &start);
        let mut source = source(&self.log, log.head.lsn(), random);
        for act in &mut source.acts {
            if let Act::Sleep(time) = act {
                *time /= 200;
            }
        }
        let lost = pipeline.lost(&start, &log);
        assert_eq!(lost, [], "what a required sink needs is there");
        self.run(runtime, pipeline, source, log, fate)
    }

    /// One process, from its start to its end.
    fn live(&self, random: &mut fastrand::Rng, fate: Fate) -> Option<End> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        let journal_bytes = random.usize(100..20_000);
        let mut pipeline = Pipeline::new(PipelineOptions::default());
        for (taken, destination) in self.sinks.iter().zip(self.destinations.iter()) {
            let mut sink = ScriptedSink::new(destination);
            sink.can_tell = random.bool();
            sink.random = Some(random.fork());
            pipeline.add(options(taken, random), LineEncoder::default(), sink, None);
        }
        let start = self.stored.get();
        let source = source(&self.log, start.confirmed, random);
        let log = in_memory(journal_bytes, &start);
        self.run(runtime, pipeline, source, log, fate)
    }

    /// Runs until the source ends, or fate comes.
    fn run(
        &self,
        runtime: tokio::runtime::Runtime,
        pipeline: Pipeline,
        source: ScriptedSource,
        log: walgate_pipeline::Log,
        fate: Fate,
    ) -> Option<End> {
        let start = self.stored.get();
        let confirmed = Watermark::new(start.confirmed);
        let stop = Stop::new();
        let end = runtime.block_on(async {
            let store = Box::new(self.stored.clone());
            let running = pipeline.run(
                source,
                log,
                start,
                Some(store),
                confirmed.clone(),
                stop.clone(),
            );
            tokio::select! {
                outcome = running => Some(outcome.expect("nothing needs a human").end),
                () = meet(fate, &stop) => None,
            }
        });
        // Ends every task where it is, as kill -9 does.
        drop(runtime);
        assert!(
            confirmed.get() <= self.stored.get().confirmed,
            "confirmed before it was kept"
        );
        end
    }

    fn check_order(&self) {
        for (at, taken) in self.sinks.iter().enumerate() {
            let events = self.destinations[at].events();
            let mut rest = self.expected[at].iter().peekable();
            let mut last = Position::ZERO;
            for (position, line) in events.iter() {
                if line.contains(" gap ") {
                    assert_eq!(taken.demand, Demand::Optional, "{}: {line}", taken.name);
                    while rest.next_if(|(expected, _)| expected <= position).is_some() {}
                    last = last.max(*position);
                    continue;
                }
                assert!(
                    self.expected[at]
                        .iter()
                        .any(|expected| expected == &(*position, line.clone())),
                    "{}: {line} is not what the log says",
                    taken.name
                );
                if *position > last {
                    let next = rest.next().expect("not more than the log holds");
                    assert_eq!(&(*position, line.clone()), next, "{}: skipped", taken.name);
                    last = *position;
                }
            }
            if taken.demand == Demand::Required {
                assert_eq!(rest.next(), None, "{}: something is missing", taken.name);
            }
        }
    }
}

fn options(taken: &Taken, random: &mut fastrand::Rng) -> SinkOptions {
    let include = taken
        .tables
        .iter()
        .map(|table| {
            format!("public.{}", TABLES[*table])
                .parse()
                .expect("a pattern")
        })
        .collect();
    let ops = Ops::from_iter(taken.ops.iter().copied());
    let mut options = SinkOptions::new(taken.name);
    options.demand = taken.demand;
    options.selection = Arc::new(Selection {
        include,
        ops,
        ..Selection::default()
    });
    options.extras = Extras {
        transactions: taken.transactions,
        schemas: false,
    };
    options.batch = BatchOptions {
        max_records: random.usize(1..20),
        max_bytes: random.usize(1..2000),
        delay: Duration::from_millis(random.u64(0..3) * 50),
    };
    options
}

/// What a checkpoint says is so.
fn check(
    checkpoint: &Checkpoint,
    confirmed: Lsn,
    sinks: &[Taken],
    expected: &[Vec<(Position, String)>],
    destinations: &[Destination],
) {
    let confirmed = Position::new(0, confirmed, 0);
    for (at, taken) in sinks.iter().enumerate() {
        let durable: BTreeSet<_> = destinations[at]
            .events()
            .iter()
            .map(|(position, _)| *position)
            .collect();
        if taken.demand == Demand::Optional {
            continue;
        }
        let claimed = checkpoint
            .sinks
            .get(taken.name)
            .copied()
            .unwrap_or_default();
        for (position, line) in &expected[at] {
            assert!(
                *position > confirmed.max(claimed) || durable.contains(position),
                "{}: {line} is confirmed by {confirmed} or {claimed} and not durable",
                taken.name
            );
        }
    }
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = prop_oneof![
        4 => (0..TABLES.len()).prop_map(Row::Insert),
        2 => (0..TABLES.len()).prop_map(Row::Update),
        1 => (0..TABLES.len()).prop_map(Row::Delete),
        1 => Just(Row::Truncate),
        1 => Just(Row::Message),
    ];
    prop_oneof![
        6 => prop::collection::vec(row.clone(), 0..8),
        1 => prop::collection::vec(row, 30..120),
    ]
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let happening = prop_oneof![
        6 => rows().prop_map(Happening::Transaction),
        1 => Just(Happening::Standalone),
        1 => Just(Happening::Idle),
    ];
    prop::collection::vec(happening, 0..20)
}

fn run_world(happenings: &[Happening], seed: u64) -> Result<(), TestCaseError> {
    let world = World::new(happenings, ConfirmBy::Sinks);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..random.u32(0..6) {
        let after = Duration::from_millis(random.u64(0..6000));
        let fate = if random.bool() {
            Fate::Kill(after)
        } else {
            Fate::Stop(after)
        };
        world.live(&mut random, fate);
    }
    let end = world.live(&mut random, Fate::Live);
    prop_assert_eq!(end, Some(End::Source));
    world.check_order();
    let confirmed = world.stored.get().confirmed;
    prop_assert_eq!(confirmed, world.log.end, "what is delivered is confirmed");
    Ok(())
}

fn run_world_on_disk(happenings: &[Happening], seed: u64) -> Result<(), TestCaseError> {
    let folder = tempfile::tempdir().expect("a folder");
    let world = World::new(happenings, ConfirmBy::Fsync);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..random.u32(0..6) {
        let after = Duration::from_millis(random.u64(0..40));
        let fate = if random.bool() {
            Fate::Kill(after)
        } else {
            Fate::Stop(after)
        };
        world.live_on_disk(folder.path(), &mut random, fate);
    }
    let end = world.live_on_disk(folder.path(), &mut random, Fate::Live);
    prop_assert_eq!(end, Some(End::Source));
    world.check_order();
    let confirmed = world.stored.get().confirmed;
    prop_assert_eq!(confirmed, world.log.end, "what is fsynced is confirmed");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_with_a_journal_on_disk(happenings in happenings(), seed: u64) {
        run_world_on_disk(&happenings, seed)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_is_confirmed_early(happenings in happenings(), seed: u64) {
        run_world(&happenings, seed)?;
    }
}
