//! A sink in memory that fails by script.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use walgate_core::{Batch, Op, Position, Sink, SinkError, Watermark};

/// What happens at a call of [`Sink::write`].
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing bad: the batch becomes durable at once.
    None,
    /// Nothing of the batch is taken.
    Reject(SinkError),
    /// The batch becomes durable, but the answer is an error: a lost response.
    FailAfterWrite(SinkError),
    /// The first records become durable, then the answer is an error.
    FailAfter(usize, SinkError),
    /// The batch is accepted, and durable only after [`Script::release`].
    Hold,
    /// The batch is accepted after a while.
    Slow(Duration),
}

/// The script of a [`ScriptedSink`], and what the sink was given. Clones share it, also across the
/// sinks that are made from it: it is the destination.
#[derive(Debug, Clone, Default)]
pub struct Script(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    released: Notify,
}

#[derive(Debug, Default)]
struct State {
    faults: VecDeque<Fault>,
    opens: VecDeque<SinkError>,
    durable: Vec<(Position, Op, String)>,
    held: Vec<(Position, Op, String)>,
    opened: usize,
    writes: usize,
}

impl Script {
    /// What happens at the next calls of `write`; afterwards nothing bad does.
    pub fn then(&self, fault: Fault) -> &Self {
        self.state().faults.push_back(fault);
        self
    }

    /// The next call of `open` fails.
    pub fn refuse_open(&self, error: SinkError) -> &Self {
        self.state().opens.push_back(error);
        self
    }

    /// Makes everything durable that is held.
    pub fn release(&self) {
        let mut state = self.state();
        let held = std::mem::take(&mut state.held);
        state.durable.extend(held);
        drop(state);
        self.0.released.notify_waiters();
    }

    /// What is durable: position, operation and value, in order.
    pub fn durable(&self) -> Vec<(Position, Op, String)> {
        self.state().durable.clone()
    }

    /// How often the sink was opened.
    pub fn opened(&self) -> usize {
        self.state().opened
    }

    /// How often `write` was called.
    pub fn writes(&self) -> usize {
        self.state().writes
    }

    /// A sink on this destination.
    pub fn sink(&self) -> ScriptedSink {
        ScriptedSink {
            script: self.clone(),
            delivered: Watermark::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sink in memory that does what its [`Script`] says.
#[derive(Debug)]
pub struct ScriptedSink {
    script: Script,
    delivered: Watermark<Position>,
}

impl ScriptedSink {
    fn publish(&self) {
        if let Some((last, _, _)) = self.script.state().durable.last() {
            self.delivered.advance(*last);
        }
    }
}

fn records(batch: &Batch) -> Vec<(Position, Op, String)> {
    let text = |span| String::from_utf8_lossy(batch.slice(span)).into_owned();
    batch
        .records
        .iter()
        .map(|record| (record.position, record.op, text(record.value)))
        .collect()
}

impl Sink for ScriptedSink {
    fn delivered(&self) -> Watermark<Position> {
        self.delivered.clone()
    }

    async fn open(&mut self) -> Result<Option<Position>, SinkError> {
        let mut state = self.script.state();
        state.opened += 1;
        state.held.clear();
        state.opens.pop_front().map_or(Ok(None), Err)
    }

    async fn write(&mut self, batch: &mut Batch) -> Result<(), SinkError> {
        let fault = {
            let mut state = self.script.state();
            state.writes += 1;
            state.faults.pop_front().unwrap_or(Fault::None)
        };
        let records = records(batch);
        match fault {
            Fault::None => self.script.state().durable.extend(records),
            Fault::Reject(error) => return Err(error),
            Fault::FailAfterWrite(error) => {
                // Durable, but the sink does not know.
                self.script.state().durable.extend(records);
                return Err(error);
            }
            Fault::FailAfter(count, error) => {
                self.script
                    .state()
                    .durable
                    .extend(records.into_iter().take(count));
                self.publish();
                return Err(error);
            }
            Fault::Hold => self.script.state().held.extend(records),
            Fault::Slow(pause) => {
                tokio::time::sleep(pause).await;
                self.script.state().durable.extend(records);
            }
        }
        self.publish();
        Ok(())
    }

    async fn flush(&mut self) -> Result<Position, SinkError> {
        loop {
            let released = self.script.0.released.notified();
            self.publish();
            if self.script.state().held.is_empty() {
                return Ok(self.delivered.get());
            }
            released.await;
        }
    }

    async fn close(&mut self, deadline: Instant) -> Result<(), SinkError> {
        match tokio::time::timeout_at(deadline.into(), self.flush()).await {
            Ok(flushed) => flushed.map(drop),
            Err(_) => Err(SinkError::transient(
                "the destination still holds records back",
            )),
        }
    }
}
