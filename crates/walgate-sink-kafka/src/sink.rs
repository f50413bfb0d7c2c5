//! The sink: from batches to a producer, and from errors to a new one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;
use walgate_core::{Batch, Downtime, Position, Record, Sink, SinkError, Watermark};

use crate::flight::{Flight, Shared};
use crate::ledger::Sequence;
use crate::live::Live;
use crate::routes::{Route, Routes, Topic};
use crate::send::{self, About, Outgoing};
use crate::statistics::StatisticsHandle;
use crate::topics::{self, CheckError};
use crate::verdict::{Alone, describe_large};
use crate::{KafkaConfig, properties};

/// How long to wait before a record is offered again to a queue that librdkafka calls full: its
/// bound was set below the sink's own.
const FULL: Duration = Duration::from_millis(5);

/// Records after which the runtime gets its thread back: about a millisecond's work.
const YIELD_RECORDS: usize = 512;

/// Delivers to Apache Kafka.
pub struct KafkaSink {
    pub(crate) config: Arc<KafkaConfig>,
    database: String,
    pub(crate) shared: Arc<Shared>,
    pub(crate) routes: Routes,
    /// Routes by the id of the table's definition.
    lanes: HashMap<u32, Arc<Route>>,
    pub(crate) live: Option<Live>,
    /// The record that is being handed over, for when the future of a write is dropped.
    handing: Option<Handing>,
    /// The record that was sent by itself.
    pub(crate) alone: Option<Alone>,
    /// Whether an attempt has ever succeeded.
    pub(crate) opened: bool,
    pub(crate) missing_since: Option<Instant>,
    partitions_version: u64,
    /// Reused.
    messages: Vec<Outgoing>,
}

/// A record whose messages are being handed over.
#[derive(Debug, Clone, Copy)]
struct Handing {
    /// Messages that librdkafka has.
    sent: u32,
}

impl KafkaSink {
    /// A sink for the tables of `database` that are known now, as (schema, table). Tables that come
    /// later are checked when they come.
    ///
    /// # Errors
    ///
    /// Fatal, with a hint: a property that is unknown, reserved or out of range, a name that no
    /// topic can have, two tables that would share a topic by accident.
    pub fn new(
        config: KafkaConfig,
        database: impl Into<String>,
        tables: &[(String, String)],
    ) -> Result<Self, SinkError> {
        properties::check(&config)?;
        let database = database.into();
        let routes = Routes::new(&config, &database, tables)?;
        Ok(Self {
            shared: Arc::new(Shared::new(config.buffer_bytes)),
            config: Arc::new(config),
            database,
            routes,
            lanes: HashMap::new(),
            live: None,
            handing: None,
            alone: None,
            opened: false,
            missing_since: None,
            partitions_version: 0,
            messages: Vec::new(),
        })
    }

    /// Where the producer's statistics are found, every 5 s anew.
    pub fn statistics(&self) -> StatisticsHandle {
        self.shared.statistics.clone()
    }

    /// Waits out or ends what the last attempt has left.
    async fn settle(&mut self) {
        let Some(live) = &self.live else { return };
        if let Some(handing) = self.handing.take() {
            live.flight()
                .ledger(|ledger| ledger.abandon_last(handing.sent));
        }
        live.settled().await;
        if live.flight().failed() {
            live.drained().await;
            self.end().await;
        } else {
            live.flight().restart();
        }
    }

    /// What was handed over may wait for more, for a little.
    fn await_company(&self) {
        if let Some(live) = &self.live {
            live.flight().await_company();
        }
    }

    async fn end(&mut self) {
        if let Some(live) = self.live.take() {
            live.end().await;
        }
        self.alone = None;
        self.handing = None;
    }

    fn start(&mut self) -> Result<(), SinkError> {
        self.live = Some(Live::start(
            &self.config,
            self.routes.batch_bytes(),
            &self.shared,
        )?);
        Ok(())
    }

    /// Checks these topics with the producer that lives.
    async fn check(&mut self, topics: Vec<Topic>) -> Result<(), CheckError> {
        let Some(live) = &self.live else {
            return Ok(());
        };
        let config = Arc::clone(&self.config);
        let producer = Arc::clone(live.producer());
        let checked =
            tokio::task::spawn_blocking(move || topics::check(&config, &producer, &topics)).await;
        let checked = checked.unwrap_or_else(|error| {
            Err(CheckError::Other(SinkError::transient(format!(
                "the check of the topics broke off: {error}"
            ))))
        });
        for (name, facts) in checked? {
            self.routes.learn(&name, facts);
        }
        Ok(())
    }

    /// Makes a smaller `batch.size` effective, once nothing is in flight.
    async fn fit_batches(&mut self) -> Result<(), SinkError> {
        let wanted = self.routes.batch_bytes();
        let Some(live) = &self.live else {
            return Ok(());
        };
        if live.batch_bytes() <= wanted {
            return Ok(());
        }
        live.settled().await;
        if live.flight().failed() {
            return Err(self.failure().await);
        }
        self.end().await;
        self.start()
    }

    /// Finds the routes of a batch's tables; checks the topics of new ones.
    async fn find_lanes(&mut self, batch: &Batch) -> Result<Vec<Arc<Route>>, SinkError> {
        if let Some(counts) = self.shared.partitions_since(&mut self.partitions_version) {
            self.routes.learn_partitions(&counts);
        }
        let mut lanes = Vec::with_capacity(batch.tables.len());
        for table in &batch.tables {
            if let Some(lane) = self.lanes.get(&table.id) {
                lanes.push(Arc::clone(lane));
                continue;
            }
            let (schema, name) = (&table.relation.schema, &table.relation.name);
            self.routes
                .add(&self.config, &self.database, schema, name)?;
            let Some(route) = self.routes.route(schema, name).map(Arc::clone) else {
                continue;
            };
            self.check_arrived(&route).await?;
            self.lanes.insert(table.id, Arc::clone(&route));
            lanes.push(route);
        }
        Ok(lanes)
    }

    async fn check_arrived(&mut self, route: &Route) -> Result<(), SinkError> {
        loop {
            let unchecked = self
                .routes
                .topic(route.topic)
                .filter(|topic| topic.facts.is_none());
            let Some(topic) = unchecked.cloned() else {
                return Ok(());
            };
            match self.check(vec![topic]).await {
                Ok(()) => {
                    self.missing_since = None;
                    self.fit_batches().await?;
                }
                // An outage is waited out, not an error; each look takes its time by itself.
                Err(CheckError::Unreachable(error)) => {
                    tracing::debug!(%error, "the topic of a new table can't be checked yet");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(error) => return Err(self.judge(error)),
            }
        }
    }

    /// Takes a batch.
    async fn take_all(&mut self, batch: &Batch) -> Result<(), SinkError> {
        if self.live.is_none() {
            return Err(not_open());
        }
        let lanes = self.find_lanes(batch).await?;
        for (count, record) in batch.records.iter().enumerate() {
            let route = record.table.and_then(|table| lanes.get(usize::from(table)));
            self.take(batch, record, route).await?;
            if count % YIELD_RECORDS == YIELD_RECORDS - 1 {
                self.await_company();
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Takes one record: accepts it once there is room, and hands its messages over.
    async fn take(
        &mut self,
        batch: &Batch,
        record: &Record,
        route: Option<&Arc<Route>>,
    ) -> Result<(), SinkError> {
        let route = route.map(Arc::as_ref);
        send::plan(&mut self.messages, &self.routes, route, batch, record)?;
        let Some(live) = &self.live else {
            return Err(not_open());
        };
        let flight = Arc::clone(live.flight());
        if self.messages.is_empty() {
            flight.accept_silent(record.position);
            return Ok(());
        }
        let label = route.map_or("", |route| &route.label);
        let about = About {
            label: Some(label),
            replay: self.config.replay.as_deref(),
        };
        let tight = send::too_large_for(&self.routes, &self.messages, record, about);
        let alone = tight.map(|topic| describe_large(batch, record, label, topic));
        if alone.is_some() {
            self.drain().await?;
        }
        let sequence = self.accept(&flight, record).await?;
        let is_alone = alone.is_some();
        self.alone = alone.map(|what| Alone {
            sequence,
            position: record.position,
            what,
        });
        self.hand_over(batch, record, route, sequence).await?;
        if is_alone {
            self.drain().await?;
            self.alone = None;
        }
        Ok(())
    }

    /// Waits until nothing is in flight.
    async fn drain(&mut self) -> Result<(), SinkError> {
        let Some(live) = &self.live else {
            return Err(not_open());
        };
        live.settled().await;
        if live.flight().failed() {
            return Err(self.failure().await);
        }
        Ok(())
    }

    /// Waits until there is room for a record, and enters it.
    async fn accept(&mut self, flight: &Flight, record: &Record) -> Result<Sequence, SinkError> {
        let bytes = send::bytes(&self.messages, record);
        let most = self.config.buffer_bytes;
        loop {
            if flight.failed() {
                return Err(self.failure().await);
            }
            let messages = self.messages.iter().map(|message| {
                let topic = self.routes.topic(message.topic);
                let lane = topic.map_or(0, |topic| topic.lane(message.partition));
                (lane, send::payload_bytes(message, record))
            });
            let accepted = flight.accept(record.position, messages, bytes, most);
            if let Some(sequence) = accepted {
                self.handing = Some(Handing { sent: 0 });
                return Ok(sequence);
            }
            flight.await_company();
            flight.progress().await;
        }
    }

    /// Hands the planned messages over, in order; the same one again while the queue is full.
    async fn hand_over(
        &mut self,
        batch: &Batch,
        record: &Record,
        route: Option<&Route>,
        sequence: Sequence,
    ) -> Result<(), SinkError> {
        let label = route.map(|route| route.label.as_str());
        let mut next = 0;
        while let Some(message) = self.messages.get(next).copied() {
            let Some(live) = &mut self.live else {
                return Err(not_open());
            };
            let about = About {
                label,
                replay: self.config.replay.as_deref(),
            };
            match send::send(
                live,
                &self.routes,
                message,
                (batch, record),
                about,
                sequence,
            ) {
                Ok(()) => {
                    next += 1;
                    self.handing = Some(Handing { sent: next as u32 });
                }
                Err(Code::QueueFull) => {
                    if live.flight().failed() {
                        return Err(self.failure().await);
                    }
                    live.flight().await_company();
                    let wait = tokio::time::timeout(FULL, live.flight().progress());
                    // Early or late: the record is offered again either way.
                    drop(wait.await);
                }
                Err(Code::Fatal) => {
                    live.flight().refuse(Code::Fatal, "", None);
                    return Err(self.failure().await);
                }
                Err(code) => return Err(self.refused_at_once(code, message)),
            }
        }
        self.handing = None;
        Ok(())
    }
}

impl Sink for KafkaSink {
    fn delivered(&self) -> Watermark<Position> {
        self.shared.delivered.clone()
    }

    fn downtime(&self) -> Downtime {
        self.shared.downtime.clone()
    }

    async fn open(&mut self) -> Result<Option<Position>, SinkError> {
        self.settle().await;
        self.lanes.clear();
        if self.live.is_none() {
            self.start()?;
        }
        let topics = self.routes.topics().to_vec();
        if let Err(error) = self.check(topics).await {
            let error = self.judge(error);
            // What it has heard is of this attempt: the next one asks anew.
            self.end().await;
            return Err(error);
        }
        self.fit_batches().await?;
        self.missing_since = None;
        self.opened = true;
        Ok(None)
    }

    async fn write(&mut self, batch: &mut Batch) -> Result<(), SinkError> {
        let written = self.take_all(batch).await;
        // After an error, too: what was accepted before it is delivered.
        self.await_company();
        written
    }

    async fn flush(&mut self) -> Result<Position, SinkError> {
        if self.live.is_some() {
            self.drain().await?;
        }
        let accepted = self
            .live
            .as_ref()
            .and_then(|live| live.flight().ledger(|ledger| ledger.accepted()));
        if let Some(accepted) = accepted {
            self.shared.delivered.advance(accepted);
        }
        Ok(self.shared.delivered.get())
    }

    async fn close(&mut self, deadline: Instant) -> Result<(), SinkError> {
        let Some(live) = &self.live else {
            return Ok(());
        };
        if let Some(handing) = self.handing.take() {
            live.flight()
                .ledger(|ledger| ledger.abandon_last(handing.sent));
        }
        let settled = tokio::time::timeout_at(deadline.into(), live.settled()).await;
        if settled.is_ok() && live.flight().failed() {
            // What is on its way may still arrive.
            let drained = tokio::time::timeout_at(deadline.into(), live.drained()).await;
            tracing::debug!(
                in_time = drained.is_ok(),
                "closed a producer that has failed"
            );
        }
        // A producer may fail, by a right that is missing elsewhere, with nothing left to deliver.
        let (is_delivered, left) = live
            .flight()
            .ledger(|ledger| (ledger.is_empty(), ledger.messages()));
        self.end().await;
        if is_delivered {
            return Ok(());
        }
        let what = match left {
            0 => "has refused some of the last messages".to_owned(),
            left => format!("has not acknowledged {left} messages"),
        };
        Err(SinkError::transient(format!(
            "kafka {what}: they are repeated after the next start"
        )))
    }
}

pub(crate) fn not_open() -> SinkError {
    SinkError::transient("the kafka sink is not open")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It names nobody who listens: nothing is ever sent.
    fn sink() -> KafkaSink {
        let config = KafkaConfig::new("127.0.0.1:1");
        KafkaSink::new(config, "shop", &[]).expect("a sink")
    }

    async fn close(sink: &mut KafkaSink) -> Result<(), SinkError> {
        sink.close(Instant::now() + Duration::from_millis(200))
            .await
    }

    #[tokio::test]
    async fn a_producer_that_has_failed_with_nothing_to_deliver_closes_well() {
        let mut sink = sink();
        sink.start().expect("a producer");
        let flight = Arc::clone(sink.live.as_ref().expect("it lives").flight());
        flight.refuse(Code::ClusterAuthorizationFailed, "no right", None);
        assert_eq!(close(&mut sink).await, Ok(()));
    }

    #[tokio::test]
    async fn what_is_not_delivered_is_told() {
        for fails in [false, true] {
            let mut sink = sink();
            sink.start().expect("a producer");
            let flight = Arc::clone(sink.live.as_ref().expect("it lives").flight());
            let position = Position::new(0, walgate_core::Lsn(16), 2);
            flight.ledger(|ledger| ledger.accept(position, 1, 10));
            if fails {
                flight.refuse(Code::ClusterAuthorizationFailed, "no right", None);
            }
            let error = close(&mut sink).await.expect_err("not acknowledged");
            assert!(error.message.contains("acknowledged 1 messages"), "{error}");
        }
    }
}
