//! The engine: one source, a pipeline, and what the operating system asks of them.

use std::convert::Infallible;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use walgate_core::{Checkpoint, Failure, Feed, Lsn, Source, StopReason, Watermark, Xid};
use walgate_pipeline::{CheckpointStore, End, Outcome, Pipeline, StatusHandle, Stop};
use walgate_replication::{PostgresSource, SourceConfig, Started};

use super::begin::{Begin, Begun, Origin};
use super::progress::Progress;
use super::snapshot::RowSource;
use super::{Keeping, Push};
use crate::ending::Ending;
use crate::entry::Console;
use crate::signals::{Request, Signals};
use crate::terminal::Terminal;
use crate::watch::Instance;

/// Threads that run tasks: one reads and one encodes while the kernel does the rest. Blocking work
/// (files, fsync, librdkafka) has threads of its own.
const WORKERS: usize = 2;

/// How often the status line is drawn: often enough to look alive, seldom enough to cost nothing.
const REDRAW: Duration = Duration::from_millis(250);

/// How often the engine's own loop gives a sign of life.
const BEAT: Duration = Duration::from_secs(1);

/// A loop that is polled with everything that delivers, and was not for so long, is stuck.
const STUCK: Duration = Duration::from_secs(30);

/// Runs a command's future to its end.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Ending>>) -> Result<T, Ending> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder
        .worker_threads(WORKERS)
        .thread_name("walgate")
        .enable_all()
        .build();
    let runtime =
        runtime.map_err(|error| Ending::other(format!("can't start threads: {error}")))?;
    let result = runtime.block_on(future);
    // A thread that is blocked in a write to a full pipe must not keep the process.
    runtime.shutdown_background();
    result
}

/// Runs `delivery` on one of the [`WORKERS`] until it ends or this is dropped, and gives signs of life there.
///
/// [`block_on`]'s own thread is none of them: what waits there for the socket is woken across threads,
/// and wakes the chains across threads again. On a worker, whoever sees that the socket has something
/// reads it and goes on with the chain and its clients, without a sleeping thread in between.
///
/// # Panics
///
/// When `delivery` does.
pub(crate) async fn on_worker<T: Send + 'static>(
    delivery: impl Future<Output = T> + Send + 'static,
    instance: Option<Instance>,
) -> T {
    let mut task = JoinSet::new();
    task.spawn(async move {
        tokio::select! {
            output = delivery => output,
            never = beat(instance) => match never {},
        }
    });
    match task.join_next().await {
        Some(Ok(output)) => output,
        Some(Err(error)) if error.is_panic() => resume_unwind(error.into_panic()),
        // Only a runtime that ends cancels it, and then nobody is here.
        Some(Err(_)) | None => std::future::pending().await,
    }
}

/// How an engine has ended without a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finish {
    /// It was told to stop before it had started.
    BeforeStart,
    /// The pipeline has ended.
    Ended(Outcome),
}

/// Everything that runs.
pub(crate) struct Engine {
    /// The sinks, opened.
    pub(crate) pipeline: Pipeline,
    /// How they are doing.
    pub(crate) sinks: Vec<StatusHandle>,
    /// The servers of those that clients connect to.
    pub(crate) pushes: Vec<Push>,
    /// Where the log comes from.
    pub(crate) source: SourceConfig,
    /// Where changes wait.
    pub(crate) journal: Keeping,
    /// What is known of earlier runs.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Where the checkpoint is kept; nowhere when the slot alone remembers.
    pub(crate) store: Option<Box<dyn CheckpointStore>>,
    /// Where a service shows how it does; none for a command.
    pub(crate) instance: Option<Instance>,
    /// Whether a gap ends it: when the output was promised to be complete.
    pub(crate) gaps_end_it: bool,
}

impl Engine {
    /// Runs until the source ends, a sink has its number of events, it is told to stop, or
    /// something needs a human. `reload` is called for each SIGHUP, `stop` can be asked by others.
    ///
    /// # Errors
    ///
    /// What needs a human.
    pub(crate) async fn run(
        mut self,
        signals: &mut Signals,
        console: &Console,
        stop: Stop,
        mut reload: impl FnMut(),
    ) -> Result<Finish, Ending> {
        let confirmed = Watermark::<Lsn>::default();
        let peek = self.source.peek;
        self.source.held = self.pipeline.held();
        self.source.waiting = self.journal.waiting();
        let on_gap = self.source.on_gap;
        let reached = self.journal.reached(self.checkpoint.as_ref());
        let config = Arc::new(self.source.clone());
        let start = PostgresSource::start(self.source, reached.clone(), confirmed.clone());
        let mut start = pin!(start);
        let instance = self.instance;
        let mut beating = pin!(beat(instance.clone()));
        let started = loop {
            tokio::select! {
                started = &mut start => break started?,
                never = &mut beating => match never {},
                request = signals.next() => match request {
                    Request::Reload => reload(),
                    Request::Drain | Request::End => return Ok(Finish::BeforeStart),
                },
            }
        };
        announce(&started, peek, self.store.is_some());
        let begin = Begin {
            journal: self.journal,
            checkpoint: self.checkpoint,
            reached,
            store: self.store,
            on_gap,
        };
        let begun = begin.begin(&self.pipeline, Origin::from(&started)).await?;
        let monitor = started.source.monitor();
        let rows = RowSource::new(config, &monitor);
        show(&begun, instance.as_ref(), &self.pushes, &rows);
        let progress = Progress::new(self.sinks.clone(), monitor);
        let source = Watched {
            source: started.source,
            instance: instance.clone(),
            gaps_end_it: self.gaps_end_it,
        };
        let is_kept = begun.log.journal.durable().is_some();
        let run = self.pipeline.run(
            source,
            begun.log,
            begun.checkpoint,
            begun.store,
            confirmed,
            stop.clone(),
        );
        let mut run = pin!(on_worker(run, instance.clone()));
        let drawing = draw(progress, Arc::clone(&console.terminal));
        let mut drawing = pin!(drawing);
        let outcome = loop {
            tokio::select! {
                outcome = &mut run => break outcome,
                request = signals.next() => match request {
                    Request::Reload => reload(),
                    Request::Drain | Request::End => {
                        end(request, &stop, is_kept, instance.as_ref());
                    }
                },
                () = &mut drawing => {}
            }
        };
        console.terminal.clear();
        let outcome = outcome?;
        say_stopped(&outcome, &self.sinks);
        Ok(Finish::Ended(outcome))
    }
}

/// Who looks at the log from beside the delivery.
fn show(begun: &Begun, instance: Option<&Instance>, pushes: &[Push], rows: &RowSource) {
    if let Some(instance) = instance {
        instance.has_journal(&begun.log.journal);
        instance.has_pushes(pushes.iter().map(Push::monitor).collect());
    }
    for push in pushes {
        push.open(&begun.log, &begun.checkpoint, rows);
    }
}

/// Gives signs of life; never ends by itself.
pub(crate) async fn beat(instance: Option<Instance>) -> Infallible {
    let Some(instance) = instance else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval(BEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let now = ticks.tick().await;
        instance.pulse().beat("engine", now.into_std(), STUCK);
    }
}

fn end(request: Request, stop: &Stop, is_kept: bool, instance: Option<&Instance>) {
    if let Some(instance) = instance {
        instance.stops();
    }
    match request {
        Request::Drain => {
            say_stopping(is_kept);
            stop.drain();
        }
        Request::End => stop.now(),
        Request::Reload => {}
    }
}

/// What a human should know of the start. Without a store the slot alone is meant to remember, and
/// whoever types a command has asked for what it does: nothing of it is a warning then.
fn announce(started: &Started, peek: bool, has_store: bool) {
    for warning in &started.warnings {
        if has_store {
            tracing::warn!("{warning}");
        } else {
            tracing::info!("{warning}");
        }
    }
    let identity = &started.identity;
    tracing::info!(
        slot = identity.slot,
        resume = %started.resume,
        system_id = identity.system_id,
        timeline = identity.timeline,
        server = started.server_version,
        peek,
        "streaming"
    );
}

fn say_stopping(is_kept: bool) {
    if is_kept {
        tracing::info!(
            "stopping: what a sink has not got waits in the journal; a second signal ends at once"
        );
    } else {
        tracing::info!("stopping: delivering what was read; a second signal ends at once");
    }
}

fn say_stopped(outcome: &Outcome, sinks: &[StatusHandle]) {
    let confirmed = outcome.confirmed;
    match outcome.end {
        End::Stopped => {
            tracing::warn!(%confirmed, "stopped before everything that was read was delivered; it comes again with the next start");
        }
        End::Kept => {
            let behind = sinks.iter().map(StatusHandle::get);
            for sink in behind.filter(|sink| sink.confirmable < confirmed) {
                let wal_bytes = confirmed.bytes_since(sink.confirmable);
                tracing::info!(sink = sink.name, delivered = %sink.delivered, wal_bytes, "what this sink has not got waits in the journal");
            }
            tracing::info!(%confirmed, "stopped");
        }
        End::Source | End::Counted | End::Drained => tracing::info!(%confirmed, "stopped"),
    }
}

/// Draws the status line until the end; never ends by itself.
async fn draw(mut progress: Progress, terminal: Arc<Terminal>) {
    if !terminal.has_status_line() {
        return std::future::pending().await;
    }
    let mut ticks = tokio::time::interval(REDRAW);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let now = ticks.tick().await;
        terminal.draw(&progress.snapshot(now.into_std()));
    }
}

/// The source, with an eye on gaps.
struct Watched {
    source: PostgresSource,
    instance: Option<Instance>,
    gaps_end_it: bool,
}

impl Source for Watched {
    async fn next(&mut self) -> Result<Feed, Failure> {
        let feed = self.source.next().await?;
        if let Feed::Gap(gap) = &feed {
            if let Some(instance) = &self.instance {
                instance.has_gap();
            }
            let message = format!(
                "changes between {} and {} are lost: {}",
                gap.from, gap.to, gap.reason
            );
            if self.gaps_end_it {
                return Err(Failure::new(StopReason::Gap, message)
                    .hint("use a named slot (--slot), which outlives its connection"));
            }
            tracing::error!(slot_gap_from = %gap.from, slot_gap_to = %gap.to, "{message}");
        }
        Ok(feed)
    }

    fn unstream(&mut self, xid: Xid, why: String) -> Result<(), Failure> {
        self.source.unstream(xid, why)
    }

    fn timeline(&self) -> Option<u32> {
        self.source.timeline()
    }

    async fn close(&mut self) -> Result<(), Failure> {
        self.source.close().await
    }
}
