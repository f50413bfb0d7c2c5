//! The contract of a sink.

use std::future::Future;
use std::time::Instant;

use crate::{Batch, Downtime, ErrorClass, Position, Watermark};

/// Delivers batches, in order, and says what it holds durably.
///
/// - Ok from [`write`](Self::write) means accepted. What is durable is told by
///   [`delivered`](Self::delivered), which grows also while nobody calls the sink.
/// - After any error the chain calls [`open`](Self::open) again and repeats everything behind the
///   delivered position, in the same order and with the same positions. Nothing that was accepted
///   before the error may become durable behind something that is repeated: a sink forgets or
///   waits out what is in flight before it takes the first repeated record.
/// - No retry loop lives in a sink; the chain backs off by [`ErrorClass`].
pub trait Sink: Send {
    /// The last position that is durable, published as it grows. It may lie inside a transaction.
    /// Everything that was accepted up to it is durable.
    fn delivered(&self) -> Watermark<Position>;

    /// Since when the destination takes nothing, of a sink that waits outages out instead of failing:
    /// asked for once, and looked at from then on.
    fn downtime(&self) -> Downtime {
        Downtime::default()
    }

    /// Checks the destination, and readies the sink for the first or the next attempt. Returns
    /// the last position that the destination already holds durably, where it can tell.
    fn open(&mut self) -> impl Future<Output = Result<Option<Position>, SinkError>> + Send;

    /// Takes the batch, in order; waits while the destination is saturated. The sink may take the
    /// batch's memory; the chain clears what is left. Dropping the future may leave a part of the
    /// batch accepted: the chain then opens the sink again.
    fn write(&mut self, batch: &mut Batch) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Waits until everything accepted is durable, and returns its last position. Cancel-safe: the
    /// chain calls it while it waits for more, to hear of errors at once.
    fn flush(&mut self) -> impl Future<Output = Result<Position, SinkError>> + Send;

    /// Delivers what it can until the deadline, and lets go of everything.
    fn close(&mut self, deadline: Instant) -> impl Future<Output = Result<(), SinkError>> + Send;
}

/// An error of a sink, with the class that decides what happens next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SinkError {
    /// What is tried next.
    pub class: ErrorClass,
    /// What happened: lowercase, no period.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// [`ErrorClass::Definite`]: the record that can never be taken.
    pub position: Option<Position>,
}

impl SinkError {
    /// Try again later.
    pub fn transient(message: impl Into<String>) -> Self {
        Self {
            class: ErrorClass::Transient,
            message: message.into(),
            hint: None,
            position: None,
        }
    }

    /// The record at `position` can never be taken.
    pub fn definite(position: Position, message: impl Into<String>) -> Self {
        Self {
            class: ErrorClass::Definite,
            message: message.into(),
            hint: None,
            position: Some(position),
        }
    }

    /// Only a change of the configuration helps.
    pub fn fatal(message: impl Into<String>) -> Self {
        Self {
            class: ErrorClass::Fatal,
            message: message.into(),
            hint: None,
            position: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
