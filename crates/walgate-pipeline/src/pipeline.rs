//! The pipeline: one source into many sinks.

use std::collections::BTreeSet;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use walgate_core::{
    Checkpoint, Encoder, Failure, Lsn, Position, Sink, Source, StopReason, Watermark,
};
use walgate_journal::{Demand, Journal};

use crate::any_chain::AnyChain;
use crate::chain::{ChainParts, Wiring};
use crate::confirm::{Cadence, Confirmer, News};
use crate::options::{PipelineOptions, SinkOptions};
use crate::run::{ChainEnd, Run};
use crate::status::{Moved, StatusHandle};
use crate::stop::{Request, Stop};
use crate::{CheckpointStore, DeadLetters, Place};

/// One source into many sinks.
///
/// 1. [`add`](Self::add) the sinks, and [`open`](Self::open) them before the slot is touched.
/// 2. [`run`](Self::run) with the source, from where the checkpoint (or an adopted slot) stands.
#[derive(Default)]
pub struct Pipeline {
    options: PipelineOptions,
    chains: Vec<Box<dyn AnyChain>>,
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
}

impl Pipeline {
    /// A pipeline without sinks.
    pub fn new(options: PipelineOptions) -> Self {
        Self {
            options,
            chains: Vec::new(),
        }
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
        let status = StatusHandle::new(&options.name, options.demand);
        self.chains.push(Box::new(ChainParts {
            options,
            encoder,
            sink,
            dead_letters,
            status: status.clone(),
            opened: None,
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
        if self.required() == 0 {
            let message = "no sink is required, so nothing would ever be confirmed";
            return Err(Failure::new(StopReason::Config, message)
                .hint("set required = true for at least one sink"));
        }
        Ok(())
    }

    /// Runs until the source ends, a sink has its number of events, `stop` is asked for, or
    /// something needs a human. `start` says where: its `confirmed` is where the source begins.
    /// What may be confirmed is published in `confirmed`, each time after `store` has it.
    ///
    /// Whatever ends it, what was read is delivered as far as that goes in time, the last
    /// checkpoint is written, and the source is closed.
    ///
    /// # Errors
    ///
    /// What the source, a required sink or the store fails with.
    pub async fn run<S: Source>(
        self,
        mut source: S,
        start: Checkpoint,
        store: Option<Box<dyn CheckpointStore>>,
        confirmed: Watermark<Lsn>,
        stop: Stop,
    ) -> Result<Outcome, Failure> {
        self.check()?;
        let moved = Moved::default();
        let news = News::default();
        let mut confirmer = Confirmer {
            sinks: self
                .chains
                .iter()
                .map(|chain| chain.status().clone())
                .collect(),
            store,
            confirmed: confirmed.clone(),
            cadence: Cadence::new(self.options.confirm, start.confirmed),
            moved: moved.clone(),
            news: news.clone(),
            checkpoint: start.clone(),
        };
        let position = Position::new(start.source.epoch, start.confirmed, 0);
        confirmer.start().await?;
        // The request to the chains: the caller's, or the pipeline's own.
        let inner = Stop::new();
        let journal = Journal::in_memory(self.options.journal_bytes, position);
        let required = self.required();
        let chains = spawn(self.chains, &start, &journal, &moved, &inner);
        let (finish, finished) = oneshot::channel();
        let mut confirming = JoinSet::new();
        confirming.spawn(Box::new(confirmer).run(finished));
        let run = Run {
            options: self.options,
            journal,
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
            confirmed,
        };
        Box::pin(run.until_the_end(&mut source)).await
    }
}

fn spawn(
    chains: Vec<Box<dyn AnyChain>>,
    start: &Checkpoint,
    journal: &Journal,
    moved: &Moved,
    stop: &Stop,
) -> JoinSet<ChainEnd> {
    let place = Place::start(start.source.epoch, start.confirmed);
    let mut set = JoinSet::new();
    // All readers are there before the first run: a chain that starts later would miss it.
    for chain in chains {
        let options = chain.options();
        let (name, demand) = (options.name.clone(), options.demand);
        let known = Wiring::known(start.sinks.get(&name), place.seen);
        // A sink that was behind what is confirmed is told of the gap by its first read.
        let from = options.after.unwrap_or(known).min(place.seen);
        let wiring = Wiring {
            cursor: journal.reader(name, demand, from),
            place: if from < place.seen {
                place.behind(from)
            } else {
                place
            },
            known,
            moved: moved.clone(),
            stop: stop.clone(),
        };
        let run = chain.run(wiring);
        set.spawn(async move { (demand, run.await) });
    }
    set
}
