//! A producer and the thread that polls it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::producer::{BaseProducer, Producer, PurgeConfig};
use walgate_core::SinkError;

use crate::flight::{DRAIN, Flight, Shared};
use crate::{KafkaConfig, properties};

/// How long one poll lasts: a report is handled at once, the rest (a stop, an outage) within it.
const POLL: Duration = Duration::from_millis(100);

/// A producer that is polled. Dropping it lets its thread end by itself, and with the thread the
/// producer, its queue thrown away.
pub(crate) struct Live {
    producer: Arc<BaseProducer<Flight>>,
    batch_bytes: usize,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Live {
    /// Creates a producer with this `batch.size`.
    pub(crate) fn start(
        config: &KafkaConfig,
        batch_bytes: usize,
        shared: &Arc<Shared>,
    ) -> Result<Self, SinkError> {
        let flight = Flight::new(Arc::clone(shared), batch_bytes);
        let created = properties::producer(config, batch_bytes).create_with_context(flight);
        let producer: Arc<BaseProducer<Flight>> =
            Arc::new(created.map_err(|error| properties::refused(&error))?);
        let stop = Arc::new(AtomicBool::new(false));
        let polled = Arc::clone(&producer);
        let stopped = Arc::clone(&stop);
        let thread = Builder::new().name("kafka-poll".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                polled.poll(POLL);
                polled.context().tick(Instant::now());
            }
        });
        let thread = thread.map_err(|error| {
            SinkError::transient(format!("no thread for the kafka producer: {error}"))
        })?;
        Ok(Self {
            producer,
            batch_bytes,
            stop,
            thread: Some(thread),
        })
    }

    /// The producer.
    pub(crate) const fn producer(&self) -> &Arc<BaseProducer<Flight>> {
        &self.producer
    }

    /// What it has in flight.
    pub(crate) fn flight(&self) -> &Arc<Flight> {
        self.producer.context()
    }

    /// Its `batch.size`.
    pub(crate) const fn batch_bytes(&self) -> usize {
        self.batch_bytes
    }

    /// Waits until no report is due, or the producer has failed. Cancel-safe.
    pub(crate) async fn settled(&self) {
        while !self.flight().failed() && self.flight().ledger(|ledger| ledger.messages()) > 0 {
            self.flight().progress().await;
        }
    }

    /// After a failure: sends nothing more, and waits for the reports of what is on its way, within
    /// [`DRAIN`] of the failure. Cancel-safe.
    pub(crate) async fn drained(&self) {
        self.producer
            .purge(PurgeConfig::default().queue().non_blocking());
        let failed_at = self
            .flight()
            .refusal()
            .map_or_else(Instant::now, |refusal| refusal.at);
        let deadline = tokio::time::Instant::from_std(failed_at + DRAIN);
        while self.flight().ledger(|ledger| ledger.messages()) > 0 {
            if tokio::time::timeout_at(deadline, self.flight().progress())
                .await
                .is_err()
            {
                return;
            }
        }
    }

    /// Ends the producer, throwing away what it holds.
    pub(crate) async fn end(mut self) {
        let thread = self.thread.take();
        // The thread's is then the last reference: destroying a client waits for its threads,
        // which must not happen on a worker of the runtime.
        drop(self);
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::debug!("the thread of a kafka producer has panicked");
            }
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // At once, not when the thread looks next: whoever drops a producer may repeat from here.
        self.producer
            .purge(PurgeConfig::default().queue().inflight().non_blocking());
        self.stop.store(true, Ordering::Release);
    }
}
