//! What one producer has in flight, seen from its callbacks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::{ClientContext, Message, Statistics};
use tokio::sync::Notify;
use tracing::{debug, info, warn};
use walgate_core::{Downtime, ErrorClass, Position, Watermark};

use crate::flush::{Flusher, Traffic, Wait};
use crate::lanes::{Change, Lane, Lanes, queued_bytes};
use crate::ledger::{Ledger, SEQUENCE_BITS, Sequence};
use crate::outage::{Outage, Say, Signs};
use crate::refusal;
use crate::statistics::{KafkaStatistics, StatisticsHandle};

/// Reports after which the delivered position is published and a waiting sink woken, though more
/// are coming: often enough to keep a full buffer flowing, seldom enough to cost nothing.
const SIGNAL_REPORTS: usize = 512;

/// What outlives a producer.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) delivered: Watermark<Position>,
    pub(crate) statistics: StatisticsHandle,
    pub(crate) downtime: Downtime,
    outage: Mutex<Outage>,
    /// Partitions of the topics, as librdkafka's metadata has them.
    partitions: Mutex<HashMap<String, i32>>,
    /// Grows when `partitions` has changed.
    partitions_version: AtomicU64,
    /// Bytes of delivered records after which a waiting sink is woken.
    signal_bytes: usize,
}

impl Shared {
    pub(crate) fn new(buffer_bytes: usize) -> Self {
        Self {
            delivered: Watermark::default(),
            statistics: StatisticsHandle::default(),
            downtime: Downtime::default(),
            outage: Mutex::new(Outage::new(Instant::now())),
            partitions: Mutex::default(),
            partitions_version: AtomicU64::new(0),
            signal_bytes: (buffer_bytes / 8).min(1 << 20),
        }
    }

    /// Partitions of the topics when they have changed since `version`, which is then raised.
    pub(crate) fn partitions_since(&self, version: &mut u64) -> Option<HashMap<String, i32>> {
        let now = self.partitions_version.load(Ordering::Acquire);
        (now > std::mem::replace(version, now)).then(|| lock(&self.partitions).clone())
    }

    fn learn_partitions(&self, statistics: &Statistics) {
        let mut partitions = lock(&self.partitions);
        let mut changed = false;
        for (name, topic) in &statistics.topics {
            let count = topic.partitions.keys().filter(|id| **id >= 0).count() as i32;
            if count > 0 && partitions.get(name) != Some(&count) {
                partitions.insert(name.clone(), count);
                changed = true;
            }
        }
        if changed {
            self.partitions_version.fetch_add(1, Ordering::Release);
        }
    }
}

/// Why a producer can't go on.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    /// What librdkafka says about it; empty for a message's own refusal.
    pub(crate) reason: String,
    /// The message's record, where it was a message.
    pub(crate) message: Option<RefusedMessage>,
    /// When the first refusal came.
    pub(crate) at: Instant,
}

/// The message that was refused.
#[derive(Debug, Clone)]
pub(crate) struct RefusedMessage {
    pub(crate) sequence: Sequence,
    pub(crate) position: Option<Position>,
    pub(crate) topic: String,
}

/// The context of one producer: its callbacks run on the thread that polls it.
#[derive(Debug)]
pub(crate) struct Flight {
    shared: Arc<Shared>,
    state: Mutex<State>,
    refusal: Mutex<Option<Refusal>>,
    failed: AtomicBool,
    /// Wakes the sink, which is the only one that waits.
    progress: Notify,
    flusher: Flusher,
    delivered_any: AtomicBool,
    all_down: AtomicBool,
    any_up: AtomicBool,
    /// librdkafka knows no broker any more.
    forlorn: AtomicBool,
    /// The last trouble with a connection.
    trouble: Mutex<Option<(Code, String)>>,
}

#[derive(Debug, Default)]
struct State {
    ledger: Ledger,
    lanes: Lanes,
    /// Reports of this producer.
    reported: u64,
    /// Reports since the last signal.
    unsignalled: usize,
    /// Bytes that reports have freed since the last signal.
    freed: usize,
}

impl State {
    fn traffic(&self) -> Traffic {
        Traffic {
            outstanding: self.ledger.messages() as u64,
            reported: self.reported,
            idle: self.lanes.any_idle(),
            quiet: self.lanes.is_quiet(),
        }
    }
}

impl Flight {
    pub(crate) fn new(shared: Arc<Shared>, batch_bytes: usize) -> Self {
        let state = State {
            lanes: Lanes::new(batch_bytes),
            ..State::default()
        };
        Self {
            shared,
            state: Mutex::new(state),
            refusal: Mutex::default(),
            failed: AtomicBool::new(false),
            progress: Notify::new(),
            flusher: Flusher::new(),
            delivered_any: AtomicBool::new(false),
            all_down: AtomicBool::new(false),
            any_up: AtomicBool::new(false),
            forlorn: AtomicBool::new(false),
            trouble: Mutex::default(),
        }
    }

    /// Does something with the ledger.
    pub(crate) fn ledger<T>(&self, act: impl FnOnce(&mut Ledger) -> T) -> T {
        act(&mut lock(&self.state).ledger)
    }

    /// What was handed over, and what came back.
    pub(crate) fn traffic(&self) -> Traffic {
        lock(&self.state).traffic()
    }

    /// The sink waits for company for what it has handed over, or for room.
    pub(crate) fn await_company(&self) {
        self.flusher.wait(Wait::Company, self.traffic());
    }

    /// The sink waits for the delivery of everything, until what this returns is dropped.
    pub(crate) fn await_delivery(&self) -> AwaitDelivery<'_> {
        self.flusher.wait(Wait::Delivery, self.traffic());
        AwaitDelivery(self)
    }

    /// What was handed over so far is sent now, or once what is before it is answered.
    pub(crate) fn flushed(&self) {
        lock(&self.state).lanes.flush();
    }

    /// Tells when to flush.
    pub(crate) const fn flusher(&self) -> &Flusher {
        &self.flusher
    }

    /// Enters a record and its messages, (partition, payload bytes) each, when there is room: less
    /// than `most` bytes in all, and room in each partition.
    pub(crate) fn accept(
        &self,
        position: Position,
        messages: impl ExactSizeIterator<Item = (Lane, usize)> + Clone,
        bytes: usize,
        most: usize,
    ) -> Option<Sequence> {
        let mut state = lock(&self.state);
        if state.ledger.bytes() > 0 && state.ledger.bytes() + bytes > most {
            return None;
        }
        if !messages
            .clone()
            .all(|(lane, bytes)| state.lanes.fits(lane, queued_bytes(bytes)))
        {
            return None;
        }
        let count = messages.len() as u32;
        messages.for_each(|(lane, bytes)| state.lanes.add(lane, queued_bytes(bytes)));
        Some(state.ledger.accept(position, count, bytes))
    }

    /// Forgets what is not delivered; no report is due.
    pub(crate) fn restart(&self) {
        let mut state = lock(&self.state);
        state.ledger.restart();
        state.lanes.clear();
    }

    /// Takes a record that has no message.
    pub(crate) fn accept_silent(&self, position: Position) {
        let delivered = self.ledger(|ledger| {
            ledger.accept_silent(position);
            ledger.delivered()
        });
        self.publish(delivered);
    }

    /// Whether the producer has failed; [`refusal`](Self::refusal) says how.
    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Whether librdkafka knew no broker when it last told of itself; told once.
    ///
    /// Who is told names the first brokers again: a cluster that has just come to may list no
    /// broker as alive, librdkafka forgets those that are not listed, and a reply that comes while it is
    /// about to ask the first ones again stops that for good (seen with 2.12.1).
    pub(crate) fn take_forlorn(&self) -> bool {
        self.forlorn.swap(false, Ordering::Relaxed)
    }

    /// Why it has failed: of several refusals the one that tells the cause.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        lock(&self.refusal).clone()
    }

    /// The last trouble with a connection.
    pub(crate) fn trouble(&self) -> Option<(Code, String)> {
        lock(&self.trouble).clone()
    }

    /// Whether TLS is the last trouble.
    pub(crate) fn distrusts(&self) -> bool {
        self.trouble().is_some_and(|(code, _)| code == Code::SSL)
    }

    /// Waits until reports have come, or an error. It may return early. Cancel-safe.
    pub(crate) async fn progress(&self) {
        self.progress.notified().await;
    }

    /// What the polling thread does after each poll: publishes what the reports have left
    /// unpublished, and says what is to be said about an outage.
    pub(crate) fn tick(&self, now: Instant) {
        let (delivered, waiting) = {
            let mut state = lock(&self.state);
            let unsignalled = std::mem::take(&mut state.unsignalled) > 0;
            (
                unsignalled.then(|| state.ledger.delivered()),
                state.ledger.messages() > 0,
            )
        };
        if let Some(delivered) = delivered {
            self.publish(delivered);
        }
        let signs = Signs {
            waiting,
            delivered: self.delivered_any.swap(false, Ordering::Relaxed),
            all_down: self.all_down.swap(false, Ordering::Relaxed),
            any_up: self.any_up.swap(false, Ordering::Relaxed),
        };
        let say = {
            let mut outage = lock(&self.shared.outage);
            let say = outage.look(now, signs);
            self.shared.downtime.set(outage.since());
            say
        };
        match say {
            None => {}
            Some(Say::Unreachable(outage)) => {
                let reason = self.trouble().map(|(_, reason)| reason).unwrap_or_default();
                warn!(
                    seconds = outage.as_secs(),
                    reason, "kafka is unreachable, changes wait"
                );
            }
            Some(Say::Reachable(outage)) => {
                info!(after_seconds = outage.as_secs(), "kafka is reachable again");
            }
        }
    }

    fn publish(&self, delivered: Option<Position>) {
        if let Some(delivered) = delivered {
            self.shared.delivered.advance(delivered);
        }
        self.progress.notify_one();
        self.flusher.reported(self.traffic());
    }

    /// Takes a refusal; the one that tells most, and of equals the earliest record's, is kept.
    pub(crate) fn refuse(&self, code: Code, reason: &str, message: Option<RefusedMessage>) {
        {
            let mut kept = lock(&self.refusal);
            let at = kept.as_ref().map_or_else(Instant::now, |kept| kept.at);
            let tells = |code: Code, message: &Option<RefusedMessage>| {
                let earliest = message
                    .as_ref()
                    .map(|message| std::cmp::Reverse(message.sequence));
                (refusal::rank(code), earliest)
            };
            let better = kept
                .as_ref()
                .is_none_or(|kept| tells(code, &message) > tells(kept.code, &kept.message));
            if better {
                *kept = Some(Refusal {
                    code,
                    reason: reason.to_owned(),
                    message,
                    at,
                });
            }
        }
        self.failed.store(true, Ordering::Release);
        self.progress.notify_one();
    }
}

/// The sink waits for the delivery of everything.
pub(crate) struct AwaitDelivery<'a>(&'a Flight);

impl Drop for AwaitDelivery<'_> {
    fn drop(&mut self) {
        self.0.await_company();
    }
}

/// The word that travels with a message through librdkafka.
pub(crate) const fn opaque(lane: Lane, sequence: Sequence) -> usize {
    (lane << SEQUENCE_BITS) | sequence
}

impl ProducerContext for Flight {
    /// See [`opaque`].
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let (lane, sequence) = (opaque >> SEQUENCE_BITS, opaque & ((1 << SEQUENCE_BITS) - 1));
        let (Ok(message) | Err((_, message))) = result;
        let bytes = queued_bytes(message.payload_len() + message.key_len());
        let (signal, position) = {
            let mut state = lock(&self.state);
            let before = state.ledger.bytes();
            state.ledger.report(sequence, result.is_ok());
            state.freed += before - state.ledger.bytes();
            state.unsignalled += 1;
            state.reported += 1;
            let Change { room, flush } = state.lanes.remove(lane, bytes);
            let due = room
                || flush
                || state.unsignalled >= SIGNAL_REPORTS
                || state.freed >= self.shared.signal_bytes
                || state.ledger.messages() == 0;
            if due {
                state.unsignalled = 0;
                state.freed = 0;
            }
            (
                due.then(|| state.ledger.delivered()),
                state.ledger.position(sequence),
            )
        };
        match result {
            Ok(_) => self.delivered_any.store(true, Ordering::Relaxed),
            Err((error, message)) => {
                let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
                let topic = message.topic().to_owned();
                self.refuse(
                    code,
                    "",
                    Some(RefusedMessage {
                        sequence,
                        position,
                        topic,
                    }),
                );
            }
        }
        if let Some(delivered) = signal {
            self.publish(delivered);
        }
    }
}

impl ClientContext for Flight {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn stats(&self, all: Statistics) {
        let kept = KafkaStatistics::of(&all);
        if kept.any_up() {
            self.any_up.store(true, Ordering::Relaxed);
        }
        if all
            .brokers
            .values()
            .all(|broker| broker.source == "internal")
        {
            self.forlorn.store(true, Ordering::Relaxed);
        }
        self.shared.learn_partitions(&all);
        self.shared.statistics.store(kept);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        match code {
            Code::AllBrokersDown => self.all_down.store(true, Ordering::Relaxed),
            Code::Fatal => self.refuse(code, reason, None),
            _ if refusal::meaning(code).0 == ErrorClass::Fatal => self.refuse(code, reason, None),
            _ => {
                // librdkafka calls this one a broken connection, or a TLS error, as it comes.
                let distrust = reason.contains("certificate verify failed");
                let code = if distrust { Code::SSL } else { code };
                *lock(&self.trouble) = Some((code, reason.to_owned()));
            }
        }
    }
}

/// Passes librdkafka's log on. It speaks of each connection that fails, each time, at the level of
/// an error: what a person must know of that is said by the sink, so it goes to debug.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Warning if facility == "CONFWARN" => {
            info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning
        | RDKafkaLogLevel::Notice
        | RDKafkaLogLevel::Info => debug!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Debug => tracing::trace!(target: "librdkafka", facility, "{message}"),
    }
}

/// Nothing panics while these locks are held; a poisoned value is still a value.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a failed producer's requests are waited for before a new one repeats them: what is
/// still in flight then could land behind a repeat. Brokers answer within `request.timeout.ms`,
/// 30 s.
pub(crate) const DRAIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use walgate_core::Lsn;

    use super::*;

    fn flight() -> Flight {
        Flight::new(Arc::new(Shared::new(1 << 20)), 1000)
    }

    fn message(sequence: Sequence) -> Option<RefusedMessage> {
        Some(RefusedMessage {
            sequence,
            position: None,
            topic: "t".to_owned(),
        })
    }

    #[test]
    fn of_several_refusals_the_cause_is_kept() {
        let flight = flight();
        assert!(!flight.failed());
        flight.error(KafkaError::Global(Code::Fatal), "gap");
        flight.refuse(Code::OutOfOrderSequenceNumber, "", message(4));
        flight.refuse(Code::TopicAuthorizationFailed, "", message(3));
        flight.refuse(Code::TopicAuthorizationFailed, "", message(2));
        flight.refuse(Code::PurgeQueue, "", message(1));
        let kept = flight.refusal().expect("refusal");
        assert!(flight.failed());
        assert_eq!(kept.code, Code::TopicAuthorizationFailed);
        assert_eq!(kept.message.map(|message| message.sequence), Some(2));
    }

    #[test]
    fn trouble_with_a_connection_is_not_a_failure() {
        let flight = flight();
        flight.error(KafkaError::Global(Code::BrokerTransportFailure), "refused");
        flight.error(
            KafkaError::Global(Code::AllBrokersDown),
            "1/1 brokers are down",
        );
        assert!(!flight.failed());
        flight.error(KafkaError::Global(Code::SaslAuthenticationFailed), "no");
        assert!(flight.failed());
    }

    #[test]
    fn tells_once_that_no_broker_is_known() {
        let statistics = |source: &str| {
            let mut statistics = Statistics::default();
            let broker = rdkafka::statistics::Broker {
                source: source.to_owned(),
                ..rdkafka::statistics::Broker::default()
            };
            statistics.brokers.insert("a".to_owned(), broker);
            statistics
        };
        let flight = flight();
        assert!(!flight.take_forlorn());
        flight.stats(statistics("learned"));
        flight.stats(statistics("configured"));
        assert!(!flight.take_forlorn());
        flight.stats(statistics("internal"));
        assert!(flight.take_forlorn());
        assert!(!flight.take_forlorn());
        flight.stats(Statistics::default());
        assert!(flight.take_forlorn());
    }

    #[test]
    fn what_has_no_message_is_delivered_at_once() {
        let flight = flight();
        let position = Position::new(0, Lsn(7), 1);
        flight.accept_silent(position);
        assert_eq!(flight.shared.delivered.get(), position);
    }
}
