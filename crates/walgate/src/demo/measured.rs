//! Measures how long a change is on its way to standard output.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::BytesMut;
use walgate_core::{
    Change, EncodeError, Encoded, Encoder, Failure, PgMicros, Position, Sink, StopReason, Watermark,
};
use walgate_pipeline::{Pipeline, SinkOptions, StatusHandle};
use walgate_sink_stdout::WriterSink;

use super::tally::{SharedTally, locked};
use crate::entry::Console;
use crate::wiring::Screen;

/// An event that is encoded and not yet known to be printed.
struct Waiting {
    position: Position,
    table: String,
    op: &'static str,
    committed: SystemTime,
}

type Queue = Arc<Mutex<VecDeque<Waiting>>>;

/// Standard output with a stop-watch: started by the server's commit, stopped by the system's having
/// taken the line.
pub(super) struct Measure {
    tally: SharedTally,
    waiting: Queue,
    delivered: Arc<Mutex<Option<Watermark<Position>>>>,
}

impl Measure {
    pub(super) fn new(tally: SharedTally) -> Self {
        Self {
            tally,
            waiting: Queue::default(),
            delivered: Arc::default(),
        }
    }

    /// Adds standard output as a sink that `encoder` writes for.
    pub(super) fn add(
        &self,
        pipeline: &mut Pipeline,
        options: SinkOptions,
        encoder: Box<dyn Encoder>,
        console: &Console,
    ) -> Result<StatusHandle, Failure> {
        let sink = Screen::new(console).and_then(WriterSink::start);
        let sink = sink.map_err(|error| {
            let message = format!("can't write to standard output: {error}");
            Failure::new(StopReason::Sink, message)
        })?;
        let delivered = sink.delivered();
        *self
            .delivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(delivered.clone());
        let (tally, waiting) = (Arc::clone(&self.tally), Arc::clone(&self.waiting));
        tokio::spawn(async move {
            let mut seen = delivered.get();
            loop {
                seen = delivered.above(seen).await;
                count(&waiting, seen, &tally);
            }
        });
        let encoder = Noting {
            encoder,
            waiting: Arc::clone(&self.waiting),
        };
        Ok(pipeline.add(options, encoder, sink, None))
    }

    /// Counts what was printed last.
    pub(super) fn settle(&self) {
        let delivered = self.delivered.lock();
        let delivered = delivered.unwrap_or_else(PoisonError::into_inner);
        if let Some(delivered) = delivered.as_ref() {
            count(&self.waiting, delivered.get(), &self.tally);
        }
    }
}

/// Counts everything up to `delivered` as printed now.
fn count(waiting: &Queue, delivered: Position, tally: &SharedTally) {
    let (printed, now) = (SystemTime::now(), Instant::now());
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    let mut tally = locked(tally);
    while waiting
        .front()
        .is_some_and(|event| event.position <= delivered)
    {
        if let Some(event) = waiting.pop_front() {
            tally.note((&event.table, event.op), event.committed, printed, now);
        }
    }
}

/// An encoder that notes what it was given.
struct Noting {
    encoder: Box<dyn Encoder>,
    waiting: Queue,
}

impl Encoder for Noting {
    fn encode(&mut self, change: &Change<'_>, out: &mut BytesMut) -> Result<Encoded, EncodeError> {
        let encoded = self.encoder.encode(change, out)?;
        if let (Some(table), Some(transaction)) = (change.body.table(), change.transaction) {
            let relation = &table.relation;
            let event = Waiting {
                position: change.position,
                table: format!("{}.{}", relation.schema, relation.name),
                op: change.body.op().name(),
                committed: system_time(transaction.commit_time),
            };
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push_back(event);
        }
        Ok(encoded)
    }
}

fn system_time(time: PgMicros) -> SystemTime {
    let since = u64::try_from(time.unix_micros()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_micros(since)
}
