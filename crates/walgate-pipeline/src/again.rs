//! A chain goes back: its sink gets again what the journal retains, through a chain of its own.
//!
//! The chain itself stays where it is: what is confirmed, the checkpoint and what the chain goes on
//! with behind the rewind know nothing of it.

use std::fmt;
use std::pin::Pin;

use tracing::{error, info, warn};
use walgate_core::{Encoder, Failure, Position, Sink, StopReason};
use walgate_journal::Demand;

use crate::chain::{Chain, ChainParts, Ended, Halt, Wiring};
use crate::rewind::{Rewind, SinkRewinds};
use crate::status::{Moved, SinkState};
use crate::{DeadLetters, Place};

/// Makes an encoder and a sink anew, for what comes again by the rewind of an id.
pub struct Remake<E, S>(Box<MakeAnew<E, S>>);

type MakeAnew<E, S> = dyn Fn(&str) -> Result<(E, S), Failure> + Send + Sync;

impl<E, S> Remake<E, S> {
    /// What `make` makes when it is given the rewind's id.
    pub fn new(make: impl Fn(&str) -> Result<(E, S), Failure> + Send + Sync + 'static) -> Self {
        Self(Box::new(make))
    }
}

impl<E, S> fmt::Debug for Remake<E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remake").finish_non_exhaustive()
    }
}

/// How what comes again has ended.
enum Over {
    /// Everything was delivered.
    Whole,
    /// It was stopped.
    Stopped,
    /// It can't be read now; or never more, nor be encoded, when the reason is the data.
    Unreadable(Failure),
    /// The sink can't go on.
    Failed(Failure),
}

/// How it has ended, at which position, and the dead letters, which the chain has lent.
type Returned = (Over, Position, Option<Box<dyn DeadLetters>>);

impl<E: Encoder + 'static, S: Sink + 'static> Chain<E, S> {
    /// Gives the sink again what it is asked to, up to where it is. Returns whether the chain goes
    /// on: not when it is stopped meanwhile.
    pub(crate) async fn rewind(&mut self) -> Result<bool, Halt> {
        // What is in flight comes before what comes again.
        self.drain().await?;
        let Some(rewinds) = self.rewinds.clone() else {
            return Ok(true);
        };
        let Some(rewind) = rewinds.take() else {
            return Ok(true);
        };
        let until = self.assembler.place().seen;
        let until = until.max(self.progress.tracker.delivered());
        let (sink, id, from) = (self.options.name.clone(), &rewind.id, rewind.from);
        let Some(remake) = &self.remake else {
            return Ok(true);
        };
        let made = (remake.0)(id).map_err(|failure| with_way_out(failure, id, &rewinds))?;
        let chain = self.chain_of(&rewind, made, until);
        info!(sink, id, %from, %until, "rewinding: what the journal retains comes again");
        let (over, at, letters) = run_boxed(chain).await;
        self.dead_letters = letters;
        // Whatever it was in when it ended.
        self.progress
            .status
            .update(|status| status.enter(SinkState::Running));
        match over {
            Over::Whole => {
                info!(sink, id, %from, %until, "the rewind is over: everything has come again");
                forget(rewinds).await;
                Ok(true)
            }
            // The disk, or the journal's thread: it may be read again with the next start, and the
            // rewind then begins again. The chain itself would end like that.
            Over::Unreadable(failure) if failure.reason != StopReason::Data => {
                Err(Halt::Failure(with_way_out(failure, id, &rewinds)))
            }
            Over::Unreadable(failure) => {
                let hint = failure.hint.as_deref();
                error!(sink, id, %at, %until, hint, "the rewind ends here, what lies behind does not come again: {failure}");
                forget(rewinds).await;
                Ok(true)
            }
            Over::Stopped => {
                info!(sink, id, %at, %until, "the rewind is not over: it begins again with the next start");
                Ok(false)
            }
            Over::Failed(failure) => Err(Halt::Failure(with_way_out(failure, id, &rewinds))),
        }
    }

    /// The chain that gives the sink everything again, up to `until`.
    fn chain_of(&mut self, rewind: &Rewind, (encoder, sink): (E, S), until: Position) -> Self {
        let name = self.options.name.as_str();
        let mut options = self.options.clone();
        (options.after, options.max_events) = (None, None);
        // What it fails with is told by the chain that has begun it.
        options.demand = Demand::Required;
        let oldest = self.journal.view().map(|log| log.catalogue().oldest());
        let place = in_front_of(rewind.from, oldest.unwrap_or_default());
        let reader = format!("{name} ({})", rewind.id);
        let wiring = Wiring {
            cursor: self.journal.reader(reader, Demand::Optional, place.seen),
            known: place.seen,
            place,
            head: self.head,
            moved: Moved::default(),
            stop: self.stop.clone(),
            journal: self.journal.clone(),
            rewinds: None,
            until: Some(until),
        };
        let parts = ChainParts {
            status: self.progress.status.again(),
            options,
            encoder,
            sink,
            dead_letters: self.dead_letters.take(),
            opened: None,
            remake: None,
        };
        Self::new(parts, wiring)
    }

    /// Whether everything up to its end is read.
    pub(crate) fn is_at_its_end(&self) -> bool {
        self.until
            .is_some_and(|until| self.assembler.place().seen >= until)
    }

    /// Runs the chain of a rewind.
    async fn run_again(mut self) -> Returned {
        let over = loop {
            let error = match self.attempt().await {
                Ok(Ended::Counted) => break Over::Whole,
                Ok(Ended::Drained | Ended::Stopped) | Err(Halt::Stopped) => break Over::Stopped,
                // What is in flight must not land behind what the chain goes on with.
                Err(Halt::Failure(failure)) => match self.settle().await {
                    Err(Halt::Sink(error)) => error,
                    Ok(()) | Err(Halt::Failure(_) | Halt::Stopped) => {
                        break Over::Unreadable(failure);
                    }
                },
                Err(Halt::Sink(error)) => error,
            };
            match self.after_error(error).await {
                Ok(()) => {}
                Err(Halt::Failure(failure)) => break Over::Failed(failure),
                Err(Halt::Sink(_) | Halt::Stopped) => break Over::Stopped,
            }
        };
        self.finish(&Ok(Ended::Stopped)).await;
        (over, self.progress.tracker.released(), self.dead_letters)
    }
}

/// Begins in front of a transaction, also of what has its position and no transaction, in a journal
/// that has everything behind `oldest`.
pub(crate) fn in_front_of(from: Position, oldest: Position) -> Place {
    let (epoch, lsn) = (from.epoch(), from.lsn());
    let place = Place::start(epoch, lsn);
    let before = lsn.checked_sub(1);
    let before = before.map(|before| Position::committed(epoch, before));
    match before.filter(|before| *before >= oldest) {
        Some(before) => place.seen_up_to(before),
        // What has this very position is not retained, and no gap is to be told of.
        None => place,
    }
}

/// A chain runs a chain: only a box ends that.
fn run_boxed<E: Encoder + 'static, S: Sink + 'static>(
    chain: Chain<E, S>,
) -> Pin<Box<dyn Future<Output = Returned> + Send>> {
    Box::pin(chain.run_again())
}

/// What the sink fails with comes again with each start, like the rewind.
fn with_way_out(failure: Failure, id: &str, rewinds: &SinkRewinds) -> Failure {
    let message = format!("{}, while the rewind {id} comes again", failure.message);
    let give_up = format!("give the rewind up: rm {}", rewinds.file().display());
    let hint = match failure.hint {
        Some(hint) => format!("{hint}; or {give_up}"),
        None => give_up,
    };
    Failure::new(failure.reason, message).hint(hint)
}

/// It does not begin again with the next start.
async fn forget(rewinds: SinkRewinds) {
    let forgotten = tokio::task::spawn_blocking(move || rewinds.over()).await;
    if let Ok(Err(failure)) = forgotten {
        let hint = failure.hint.as_deref();
        warn!(
            hint,
            "the rewind comes once more with the next start: {failure}"
        );
    }
}
