//! Chains of any sink and any encoder, side by side.

use std::future::Future;
use std::pin::Pin;

use walgate_core::{Encoder, ErrorClass, Failure, Position, Sink, StopReason};
use walgate_journal::Demand;

use crate::chain::{Chain, ChainParts, Ended, Wiring, stopped_by};
use crate::options::SinkOptions;
use crate::status::StatusHandle;

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A chain that does not run yet, without the types of its sink and encoder.
pub(crate) trait AnyChain: Send {
    fn options(&self) -> &SinkOptions;

    fn status(&self) -> &StatusHandle;

    /// Whether the sink can be given events again.
    fn can_rewind(&self) -> bool;

    /// What the sink's destination holds, when it was opened and can tell.
    fn held(&self) -> Option<Position>;

    /// Opens the sink before anything else is touched. A transient error is left to the chain.
    fn open(&mut self) -> BoxFuture<'_, Result<(), Failure>>;

    fn run(self: Box<Self>, wiring: Wiring) -> BoxFuture<'static, Result<Ended, Failure>>;
}

impl<E: Encoder + 'static, S: Sink + 'static> AnyChain for ChainParts<E, S> {
    fn options(&self) -> &SinkOptions {
        &self.options
    }

    fn status(&self) -> &StatusHandle {
        &self.status
    }

    fn can_rewind(&self) -> bool {
        self.remake.is_some()
    }

    fn held(&self) -> Option<Position> {
        self.opened.flatten()
    }

    fn open(&mut self) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let name = self.options.name.as_str();
            match self.sink.open().await {
                Ok(held) => self.opened = Some(held),
                Err(error) => {
                    let reason = match error.class {
                        ErrorClass::Transient => {
                            let hint = error.hint.as_deref();
                            tracing::warn!(sink = name, hint, "sink can't be opened yet: {error}");
                            return Ok(());
                        }
                        ErrorClass::Closed => StopReason::OutputClosed,
                        ErrorClass::Definite | ErrorClass::Fatal => StopReason::Sink,
                    };
                    let failure = stopped_by(name, reason, error);
                    if self.options.demand == Demand::Required {
                        return Err(failure);
                    }
                    // The chain meets it again, and ends alone.
                    let hint = failure.hint.as_deref();
                    tracing::warn!(
                        sink = name,
                        hint,
                        "optional sink can't be opened: {failure}"
                    );
                }
            }
            Ok(())
        })
    }

    fn run(self: Box<Self>, wiring: Wiring) -> BoxFuture<'static, Result<Ended, Failure>> {
        Box::pin(Chain::new(*self, wiring).run())
    }
}
