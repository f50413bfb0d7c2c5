//! A chain: cursor, assembler, encoder and sink, with retries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::{error, info, warn};
use walgate_core::{
    Batch, Encoder, ErrorClass, Failure, Frames, Position, Sink, SinkError, StopReason, Watermark,
};
use walgate_journal::{Cursor, Demand, Journal};

use crate::again::Remake;
use crate::options::SinkOptions;
use crate::progress::Progress;
use crate::rewind::SinkRewinds;
use crate::status::{Moved, SinkState, StatusHandle};
use crate::stop::{Request, Stop};
use crate::{Assembler, DeadLetters, Place, Tracker};

/// What a chain is before it runs: everything but its place in the log.
pub(crate) struct ChainParts<E, S> {
    pub(crate) options: SinkOptions,
    pub(crate) encoder: E,
    pub(crate) sink: S,
    pub(crate) dead_letters: Option<Box<dyn DeadLetters>>,
    pub(crate) status: StatusHandle,
    /// What `open` has returned before the chain runs, when it was called and went well.
    pub(crate) opened: Option<Option<Position>>,
    /// Makes the sink anew for what it gets again; none when it can't be given anything again.
    pub(crate) remake: Option<Remake<E, S>>,
}

/// Where a chain starts, and with whom it talks.
#[derive(Debug)]
pub(crate) struct Wiring {
    pub(crate) cursor: Cursor,
    /// Where the chain starts.
    pub(crate) place: Place,
    /// What the sink holds as far as the checkpoint knows.
    pub(crate) known: Position,
    /// Where the log goes on in this life: behind everything that the journal has from before.
    pub(crate) head: Position,
    pub(crate) moved: Moved,
    pub(crate) stop: Stop,
    /// For what comes again.
    pub(crate) journal: Journal,
    pub(crate) rewinds: Option<SinkRewinds>,
    /// It ends behind this position.
    pub(crate) until: Option<Position>,
}

/// How a chain has ended without a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It has delivered everything up to the end of the journal.
    Drained,
    /// It has delivered as many events as it was to, or everything up to its end.
    Counted,
    /// It was stopped before it had delivered everything.
    Stopped,
}

/// Why an attempt ends early.
#[derive(Debug)]
pub(crate) enum Halt {
    /// The sink, or the dead letters.
    Sink(SinkError),
    /// Something that needs a human.
    Failure(Failure),
    /// The time is over.
    Stopped,
}

impl From<SinkError> for Halt {
    fn from(error: SinkError) -> Self {
        Self::Sink(error)
    }
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// A chain that runs.
pub(crate) struct Chain<E, S> {
    pub(crate) options: SinkOptions,
    pub(crate) encoder: E,
    pub(crate) sink: S,
    pub(crate) dead_letters: Option<Box<dyn DeadLetters>>,
    opened: Option<Option<Position>>,
    pub(crate) assembler: Assembler,
    pub(crate) progress: Progress,
    pub(crate) delivered: Watermark<Position>,
    pub(crate) head: Position,
    pub(crate) stop: Stop,
    pub(crate) batch: Batch,
    /// The run that is being read.
    pub(crate) frames: Option<Arc<Frames>>,
    /// Records that the sink has refused for good, and why.
    pub(crate) condemned: BTreeMap<Position, SinkError>,
    /// Records that are in the dead letters.
    pub(crate) buried: BTreeSet<Position>,
    /// For what comes again.
    pub(crate) journal: Journal,
    pub(crate) remake: Option<Remake<E, S>>,
    pub(crate) rewinds: Option<SinkRewinds>,
    /// It ends behind this position.
    pub(crate) until: Option<Position>,
}

/// How long a sink may take to let go when there is nothing that it must still deliver.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// How long after its deadline a sink that keeps to it may still take to say what it has left.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

impl<E: Encoder + 'static, S: Sink + 'static> Chain<E, S> {
    pub(crate) fn new(parts: ChainParts<E, S>, wiring: Wiring) -> Self {
        let options = parts.options;
        let skip = options.after.unwrap_or(wiring.known);
        let selection = Arc::clone(&options.selection);
        Self {
            assembler: Assembler::new(selection, options.extras, wiring.place, skip)
                .telling_again(options.schemas_again),
            progress: Progress::new(
                options.name.clone(),
                wiring.cursor,
                wiring.head.epoch(),
                Tracker::new(wiring.place, skip),
                parts.status,
                wiring.moved,
                options.backoff,
            ),
            head: wiring.head,
            delivered: parts.sink.delivered(),
            encoder: parts.encoder,
            sink: parts.sink,
            dead_letters: parts.dead_letters,
            opened: parts.opened,
            stop: wiring.stop,
            batch: Batch::default(),
            frames: None,
            condemned: BTreeMap::new(),
            buried: BTreeSet::new(),
            journal: wiring.journal,
            remake: parts.remake,
            rewinds: wiring.rewinds,
            until: wiring.until,
            options,
        }
    }

    /// Runs until the journal ends, the chain is stopped, or it can't go on.
    pub(crate) async fn run(mut self) -> Result<Ended, Failure> {
        self.progress.publish();
        let result = loop {
            let halt = match self.attempt().await {
                Ok(ended) => break Ok(ended),
                Err(Halt::Sink(error)) => match self.after_error(error).await {
                    Ok(()) => continue,
                    Err(halt) => halt,
                },
                Err(halt) => halt,
            };
            break match halt {
                Halt::Failure(failure) => Err(failure),
                Halt::Sink(_) | Halt::Stopped => Ok(Ended::Stopped),
            };
        };
        self.finish(&result).await;
        result
    }

    /// Opens the sink, begins where it stands, and delivers until something is wrong.
    pub(crate) async fn attempt(&mut self) -> Result<Ended, Halt> {
        let held = match self.opened.take() {
            Some(held) => held,
            None => tokio::select! {
                biased;
                held = self.sink.open() => held?,
                () = self.stop.over() => return Err(Halt::Stopped),
            },
        };
        // What became durable while the sink was down counts too.
        self.progress
            .deliver(held.unwrap_or_default().max(self.delivered.get()));
        let (place, skip) = self.progress.rewind();
        self.assembler.rewind(place, skip);
        self.frames = None;
        self.batch.clear();
        self.deliver_all().await
    }

    /// Decides by the class of an error what happens next, and waits where that helps.
    pub(crate) async fn after_error(&mut self, error: SinkError) -> Result<(), Halt> {
        self.progress.status.show(|status| {
            status.failures += 1;
            status.last_error = Some(error.message.clone());
        });
        match error.class {
            ErrorClass::Transient => {
                let wait = self.progress.failed(&error);
                tokio::select! {
                    () = tokio::time::sleep(wait) => Ok(()),
                    () = self.stop.over() => Err(Halt::Stopped),
                }
            }
            ErrorClass::Definite => self.condemn(error),
            ErrorClass::Fatal => Err(self.failure(StopReason::Sink, error).into()),
            ErrorClass::Closed => Err(self.failure(StopReason::OutputClosed, error).into()),
        }
    }

    /// A record that the sink will never take: it goes to the dead letters when it comes by again.
    fn condemn(&mut self, error: SinkError) -> Result<(), Halt> {
        let delivered = self.progress.tracker.delivered();
        self.condemned.retain(|position, _| *position > delivered);
        let fresh = error
            .position
            .filter(|position| *position > delivered && !self.condemned.contains_key(position));
        match fresh {
            Some(position) if self.dead_letters.is_some() => {
                self.condemned.insert(position, error);
                Ok(())
            }
            // Refused again although it is not sent any more: the sink is not to be trusted.
            _ => Err(self.failure(StopReason::Data, error).into()),
        }
    }

    pub(crate) fn failure(&self, reason: StopReason, error: SinkError) -> Failure {
        stopped_by(&self.options.name, reason, error)
    }

    pub(crate) async fn finish(&mut self, result: &Result<Ended, Failure>) {
        let soon = Instant::now() + CLOSE_WITHIN;
        let deadline = match self.stop.asked() {
            Request::Now => None,
            Request::Drain(Some(deadline)) => Some(deadline.max(soon)),
            // What it has not acknowledged by now waits in the journal.
            Request::Drain(None) | Request::Park(_) | Request::Run => Some(soon),
        };
        if let Some(deadline) = deadline {
            let sink = self.options.name.as_str();
            let close = self.sink.close(deadline.into_std());
            match timeout_at(deadline + CLOSE_GRACE, close).await {
                Ok(Ok(())) => {}
                // Whoever read has gone, and that is what ended it.
                Ok(Err(error)) if error.class == ErrorClass::Closed => {}
                Ok(Err(error)) if self.stop.is_parked() => {
                    info!(sink, "what is in flight is not waited for: {error}");
                }
                Ok(Err(error)) => warn!(sink, "sink did not close cleanly: {error}"),
                Err(_) => warn!(sink, "sink did not close in time"),
            }
            self.progress.deliver(self.delivered.get());
        }
        self.progress.status.update(|status| match result {
            Ok(_) => status.enter(SinkState::Ended),
            Err(failure) => {
                status.enter(SinkState::Failed);
                status.last_error = Some(failure.message.clone());
            }
        });
        self.progress.publish();
        if let Err(failure) = result
            && self.options.demand == Demand::Optional
            && failure.reason != StopReason::OutputClosed
        {
            let (sink, hint) = (self.options.name.as_str(), failure.hint.as_deref());
            error!(
                sink,
                hint, "optional sink has failed, the others go on: {failure}"
            );
        }
    }
}

/// A sink's error as the failure that ends the chain.
pub(crate) fn stopped_by(sink: &str, reason: StopReason, error: SinkError) -> Failure {
    let at = error
        .position
        .map(|position| format!(" at {position}"))
        .unwrap_or_default();
    let failure = Failure::new(reason, format!("sink {sink}{at}: {}", error.message));
    match error.hint {
        Some(hint) => failure.hint(hint),
        None if reason == StopReason::Data => failure.hint(
            "correct the record at its source, or let this sink put such records into dead letters",
        ),
        None => failure,
    }
}
