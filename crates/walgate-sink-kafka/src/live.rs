//! A producer and its threads: one polls it, one flushes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::producer::{BaseProducer, Producer, PurgeConfig};
use walgate_core::SinkError;

use crate::flight::{DRAIN, Flight, Shared};
use crate::flush;
use crate::native;
use crate::produce::TopicHandle;
use crate::routes::TopicPlace;
use crate::{KafkaConfig, properties};

/// How long one poll lasts: a report is handled at once, the rest (a stop, an outage) within it.
const POLL: Duration = Duration::from_millis(100);

/// A producer that is polled. Dropping it lets its threads end by themselves, and with the last of
/// them the producer, its queue thrown away.
pub(crate) struct Live {
    producer: Arc<BaseProducer<Flight>>,
    /// Of those that were produced to, by their places.
    topics: Vec<Option<TopicHandle<Flight>>>,
    batch_bytes: usize,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Live {
    /// Creates a producer whose batches have at most these bytes.
    pub(crate) fn start(
        config: &KafkaConfig,
        batch_bytes: usize,
        shared: &Arc<Shared>,
    ) -> Result<Self, SinkError> {
        let effective = properties::batch_bytes(config, batch_bytes);
        let flight = Flight::new(Arc::clone(shared), effective);
        let created = properties::producer(config, batch_bytes).create_with_context(flight);
        let producer: Arc<BaseProducer<Flight>> =
            Arc::new(created.map_err(|error| properties::refused(&error))?);
        let stop = Arc::new(AtomicBool::new(false));
        let mut live = Self {
            producer,
            topics: Vec::new(),
            batch_bytes,
            stop,
            threads: Vec::with_capacity(2),
        };
        let polled = Arc::clone(&live.producer);
        let stopped = Arc::clone(&live.stop);
        let first = config.bootstrap_servers.clone();
        live.spawn("kafka-poll", move || {
            while !stopped.load(Ordering::Acquire) {
                polled.poll(POLL);
                polled.context().tick(Instant::now());
                if polled.context().take_forlorn() {
                    let added = native::add_brokers(&polled, &first);
                    tracing::debug!(added, "librdkafka knew no broker");
                }
            }
        })?;
        let flushed = Arc::clone(&live.producer);
        live.spawn("kafka-flush", move || flush::run(&flushed))?;
        Ok(live)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), SinkError> {
        let thread = Builder::new().name(name.to_owned()).spawn(run);
        let thread = thread.map_err(|error| {
            SinkError::transient(format!("no thread for the kafka producer: {error}"))
        })?;
        self.threads.push(thread);
        Ok(())
    }

    /// The producer.
    pub(crate) const fn producer(&self) -> &Arc<BaseProducer<Flight>> {
        &self.producer
    }

    /// The handle of a topic.
    ///
    /// # Errors
    ///
    /// For a name that no topic can have.
    pub(crate) fn topic(
        &mut self,
        place: TopicPlace,
        name: &str,
    ) -> Result<&TopicHandle<Flight>, Code> {
        if self.topics.len() <= place {
            self.topics.resize_with(place + 1, || None);
        }
        let Some(topic) = self.topics.get_mut(place) else {
            return Err(Code::UnknownTopic);
        };
        match topic {
            Some(topic) => Ok(topic),
            none => Ok(none.insert(TopicHandle::new(&self.producer, name)?)),
        }
    }

    /// What it has in flight.
    pub(crate) fn flight(&self) -> &Arc<Flight> {
        self.producer.context()
    }

    /// The most bytes of its batches, as it was created with.
    pub(crate) const fn batch_bytes(&self) -> usize {
        self.batch_bytes
    }

    /// Has everything sent at once, and waits until no report is due, or the producer has failed.
    /// Cancel-safe.
    pub(crate) async fn settled(&self) {
        let _waiting = self.flight().await_delivery();
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
        let threads = std::mem::take(&mut self.threads);
        // The last reference is then a thread's: destroying a client waits for its threads, which
        // must not happen on a worker of the runtime.
        drop(self);
        let joined = tokio::task::spawn_blocking(move || {
            threads
                .into_iter()
                .map(JoinHandle::join)
                .filter(Result::is_err)
                .count()
        });
        if !matches!(joined.await, Ok(0)) {
            tracing::debug!("a thread of a kafka producer has panicked");
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // While the threads still hold the producer: the last one to drop it waits for all of librdkafka.
        self.topics.clear();
        // At once, not when the thread looks next: whoever drops a producer may repeat from here.
        self.producer
            .purge(PurgeConfig::default().queue().inflight().non_blocking());
        self.stop.store(true, Ordering::Release);
        self.flight().flusher().stop();
    }
}
