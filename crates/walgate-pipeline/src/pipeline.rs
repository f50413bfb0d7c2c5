//! The pipeline: one source into many sinks.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use walgate_core::{
    Checkpoint, Encoder, Failure, Lsn, Position, Sink, Source, StopReason, Watermark,
};
use walgate_journal::Demand;

use crate::again::Remake;
use crate::any_chain::AnyChain;
use crate::chain::{ChainParts, Wiring};
use crate::confirm::{Cadence, Confirmer, News};
use crate::options::{ConfirmBy, PipelineOptions, SinkOptions};
use crate::release::Releases;
use crate::rewind::{Rewindable, Rewinds};
use crate::run::{ChainEnd, Run};
use crate::saving::Saving;
use crate::start::{Log, Lost, known};
use crate::status::{Moved, StatusHandle};
use crate::stop::{Request, Stop};
use crate::{CheckpointStore, DeadLetters};

/// One source into many sinks.
///
/// 1. [`add`](Self::add) the sinks, and [`open`](Self::open) them before the slot is touched.
/// 2. [`run`](Self::run) with the source and the journal, from where the checkpoint (or an adopted
///    slot) stands.
#[derive(Default)]
pub struct Pipeline {
    options: PipelineOptions,
    chains: Vec<Box<dyn AnyChain>>,
    rewinds: Option<Rewinds>,
    releases: Option<Releases>,
}

/// How a pipeline has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Why.
    pub end: End,
    /// Everything that commits below this LSN was confirmed.
    pub confirmed: Lsn,
}

/// Why a pipeline has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The source has ended, and everything is delivered.
    Source,
    /// A sink has as many events as it was to get.
    Counted,
    /// It was asked to stop, and everything that was read is delivered.
    Drained,
    /// It was asked to stop, and a required sink has not delivered all that was read; nothing is
    /// lost.
    Stopped,
    /// It was asked to stop, and what a sink has not delivered waits in the journal on disk.
    Kept,
}

impl Pipeline {
    /// A pipeline without sinks.
    pub fn new(options: PipelineOptions) -> Self {
        Self {
            options,
            chains: Vec::new(),
            rewinds: None,
            releases: None,
        }
    }

    /// Lets these release sinks while it runs.
    pub fn release_by(&mut self, releases: Releases) {
        self.releases = Some(releases);
    }

    /// Hears of these rewinds while it runs. Sinks that were added with
    /// [`add_rewindable`](Self::add_rewindable) follow them.
    pub fn follow(&mut self, rewinds: Rewinds) {
        self.rewinds = Some(rewinds);
    }

    /// Adds a sink. `dead_letters` is where records go that it can never take; without it such a
    /// record stops the sink.
    pub fn add<E, S>(
        &mut self,
        options: SinkOptions,
        encoder: E,
        sink: S,
        dead_letters: Option<Box<dyn DeadLetters>>,
    ) -> StatusHandle
    where
        E: Encoder + 'static,
        S: Sink + 'static,
    {
        self.add_chain(options, (encoder, sink), dead_letters, None)
    }

    /// As [`add`](Self::add), for a sink that can be given events again: `remake` makes encoder and
    /// sink anew, for what comes again by the rewind of that id.
    pub fn add_rewindable<E, S>(
        &mut self,
        options: SinkOptions,
        (encoder, sink): (E, S),
        dead_letters: Option<Box<dyn DeadLetters>>,
        remake: Remake<E, S>,
    ) -> StatusHandle
    where
        E: Encoder + 'static,
        S: Sink + 'static,
    {
        self.add_chain(options, (encoder, sink), dead_letters, Some(remake))
    }

    fn add_chain<E, S>(
        &mut self,
        options: SinkOptions,
        (encoder, sink): (E, S),
        dead_letters: Option<Box<dyn DeadLetters>>,
        remake: Option<Remake<E, S>>,
    ) -> StatusHandle
    where
        E: Encoder + 'static,
        S: Sink + 'static,
    {
        let status = StatusHandle::new(&options.name, options.demand).minding(sink.downtime());
        self.chains.push(Box::new(ChainParts {
            options,
            encoder,
            sink,
            dead_letters,
            status: status.clone(),
            opened: None,
            remake,
        }));
        status
    }

    /// Opens every sink. A sink that can't be opened yet is left to its chain, which tries again.
    ///
    /// # Errors
    ///
    /// When there is no required sink, two have one name, or a required one can't be opened.
    pub async fn open(&mut self) -> Result<(), Failure> {
        self.check()?;
        for chain in &mut self.chains {
            chain.open().await?;
        }
        Ok(())
    }

    /// The highest position that an opened sink's destination says it holds. A log that does not
    /// reach it is another log: the sink would be given nothing of it up to there.
    pub fn held(&self) -> Option<Position> {
        self.chains.iter().filter_map(|chain| chain.held()).max()
    }

    fn required(&self) -> usize {
        let demands = self.chains.iter().map(|chain| chain.options().demand);
        demands.filter(|demand| *demand == Demand::Required).count()
    }

    fn check(&self) -> Result<(), Failure> {
        let mut names = BTreeSet::new();
        for chain in &self.chains {
            if !names.insert(chain.options().name.as_str()) {
                let message = format!("two sinks have the name {}", chain.options().name);
                return Err(Failure::new(StopReason::Config, message));
            }
        }
        if self.required() == 0 && self.options.confirm.by == ConfirmBy::Sinks {
            let message = "no sink is required, so nothing would ever be confirmed";
            return Err(Failure::new(StopReason::Config, message)
                .hint("set required = true for at least one sink"));
        }
        Ok(())
    }

    /// The required sinks that lack changes which the journal does not have, by a checkpoint. What
    /// was confirmed is gone from the source too.
    pub fn lost(&self, start: &Checkpoint, log: &Log) -> Vec<Lost> {
        let chains = self.chains.iter().map(|chain| chain.options());
        let required =
            chains.filter(|options| options.demand == Demand::Required && options.after.is_none());
        let lost = required.filter_map(|options| {
            let sink = options.name.clone();
            let gap = log.lost(known(start, &sink))?;
            let released = self.releases.as_ref();
            let released = released.is_some_and(|releases| releases.has(&sink));
            Some(Lost {
                sink,
                gap,
                released,
            })
        });
        lost.collect()
    }

    /// Runs until the source ends, a sink has its number of events, `stop` is asked for, or
    /// something needs a human. `start` says where: each sink goes on at its own position, read from
    /// the `log`, to which the source's frames are appended from its head on. A sink without a
    /// position is new, and starts at `confirmed`. What may be confirmed is published in `confirmed`,
    /// each time after `store` has it.
    ///
    /// Whatever ends it, what was read is delivered as far as that goes in time, or kept by a
    /// journal on disk, the last checkpoint is written, and the source is closed.
    ///
    /// A store that fails while it runs is said once and tried again; nothing is confirmed meanwhile.
    ///
    /// # Errors
    ///
    /// What the source, the journal or a required sink fails with, and the store at the start and the
    /// end.
    pub async fn run<S: Source>(
        self,
        mut source: S,
        log: Log,
        mut start: Checkpoint,
        store: Option<Box<dyn CheckpointStore>>,
        confirmed: Watermark<Lsn>,
        stop: Stop,
    ) -> Result<Outcome, Failure> {
        self.check()?;
        let (moved, news) = (Moved::default(), News::default());
        // The request to the chains: the caller's, or the pipeline's own.
        let inner = Stop::new();
        let durable = log.journal.durable();
        let is_kept = durable.is_some();
        let required = self.required();
        let sinks = self.chains.iter().map(|chain| chain.status().clone());
        let sinks: Vec<_> = sinks.collect();
        if let Some(rewinds) = &self.rewinds {
            let chains = self.chains.iter().map(|chain| Rewindable {
                name: &chain.options().name,
                status: chain.status(),
                can: chain.can_rewind(),
            });
            rewinds.begin(&log.journal, log.head.epoch(), &moved, chains);
        }
        let lacking = self.lost(&start, &log).into_iter();
        let lacking: BTreeSet<_> = lacking.map(|lost| lost.sink).collect();
        // Before anything else: what its readers need the journal keeps from here on.
        let wired = wire(
            self.chains,
            &mut start,
            &log,
            &moved,
            (&inner, self.rewinds.as_ref()),
        );
        if let Some(releases) = &self.releases {
            releases.begin(&log.journal, &moved, sinks.clone(), &lacking)?;
        }
        let mut confirmer = Confirmer {
            sinks,
            journal: log.journal.clone(),
            saving: Saving::new(store),
            confirmed: confirmed.clone(),
            cadence: Cadence::new(self.options.confirm, start.confirmed),
            durable: durable.filter(|_| self.options.confirm.by == ConfirmBy::Fsync),
            moved,
            news: news.clone(),
            rewinds: self.rewinds,
            releases: self.releases,
            kept: BTreeMap::new(),
            received_before: None,
            checkpoint: start,
        };
        confirmer.start().await?;
        let chains = spawn(wired);
        let (finish, finished) = oneshot::channel();
        let mut confirming = JoinSet::new();
        confirming.spawn(Box::new(confirmer).run(finished));
        let run = Run {
            options: self.options,
            journal: log.journal,
            chains,
            required,
            news,
            stop,
            heard: Request::Run,
            inner,
            confirming,
            finish,
            failure: None,
            stopped: false,
            is_kept,
            confirmed,
        };
        Box::pin(run.until_the_end(&mut source)).await
    }
}

type Wired = Vec<(Box<dyn AnyChain>, Wiring)>;

/// Gives each chain its reader and its place. All readers are there before the first run: a chain
/// that starts later would miss it.
fn wire(
    chains: Vec<Box<dyn AnyChain>>,
    checkpoint: &mut Checkpoint,
    log: &Log,
    moved: &Moved,
    (stop, rewinds): (&Stop, Option<&Rewinds>),
) -> Wired {
    let is_kept = log.journal.durable().is_some();
    let wired: Wired = chains
        .into_iter()
        .map(|chain| {
            let options = chain.options();
            let known = known(checkpoint, &options.name);
            let from = log.from(options.after.unwrap_or(known));
            let wiring = Wiring {
                cursor: log
                    .journal
                    .reader(options.name.clone(), options.demand, from),
                place: log.place(from),
                known,
                head: log.head,
                moved: moved.clone(),
                stop: stop.clone(),
                journal: log.journal.clone(),
                rewinds: rewinds.and_then(|rewinds| rewinds.of(&options.name)),
                until: None,
            };
            (chain, wiring)
        })
        .collect();
    for (chain, wiring) in wired.iter().filter(|_| is_kept) {
        // What is confirmed goes on without a new sink: its place must not get lost with a crash.
        let name = chain.options().name.clone();
        checkpoint.sinks.entry(name).or_insert(wiring.known);
    }
    wired
}

fn spawn(wired: Wired) -> JoinSet<ChainEnd> {
    let mut set = JoinSet::new();
    for (chain, wiring) in wired {
        let status = chain.status().clone();
        let run = chain.run(wiring);
        set.spawn(async move {
            let ended = run.await;
            // A sink that was released on the way is one that nobody needs.
            (status.get().demand, ended)
        });
    }
    set
}
