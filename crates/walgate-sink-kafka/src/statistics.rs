//! What librdkafka tells about itself, for metrics.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::Statistics;

/// The last statistics of the producer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KafkaStatistics {
    /// Messages in the producer's queues and in flight.
    pub queued_messages: u64,
    /// Their bytes, without overhead.
    pub queued_bytes: u64,
    /// Messages that this producer has transmitted; starts again with each producer.
    pub transmitted_messages: u64,
    /// Bytes that this producer has transmitted; starts again with each producer.
    pub transmitted_bytes: u64,
    /// Requests that were repeated.
    pub retries: u64,
    /// The brokers, by name.
    pub brokers: Vec<BrokerStatistics>,
}

/// The last statistics of one broker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BrokerStatistics {
    /// Host, port and id.
    pub name: String,
    /// librdkafka's state of the connection: `UP` is good.
    pub state: String,
    /// Mean round trip of the last interval in microseconds; 0 without one.
    pub round_trip_micros: i64,
    /// Requests that wait for a response.
    pub in_flight_requests: i64,
}

/// A handle on the statistics of a sink, which stays valid while producers come and go.
#[derive(Debug, Clone, Default)]
pub struct StatisticsHandle(Arc<Mutex<KafkaStatistics>>);

impl StatisticsHandle {
    /// The last statistics; all zero before the first.
    pub fn snapshot(&self) -> KafkaStatistics {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn store(&self, statistics: KafkaStatistics) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = statistics;
    }
}

impl KafkaStatistics {
    /// The few figures that are kept of librdkafka's.
    pub(crate) fn of(all: &Statistics) -> Self {
        let mut brokers: Vec<_> = all
            .brokers
            .values()
            .filter(|broker| broker.nodeid >= 0)
            .map(|broker| BrokerStatistics {
                name: broker.name.clone(),
                state: broker.state.clone(),
                round_trip_micros: broker.rtt.as_ref().map_or(0, |rtt| rtt.avg),
                in_flight_requests: broker.waitresp_cnt,
            })
            .collect();
        brokers.sort_by(|one, other| one.name.cmp(&other.name));
        Self {
            queued_messages: all.msg_cnt,
            queued_bytes: all.msg_size,
            transmitted_messages: u64::try_from(all.txmsgs).unwrap_or(0),
            transmitted_bytes: u64::try_from(all.txmsg_bytes).unwrap_or(0),
            retries: all.brokers.values().map(|broker| broker.txretries).sum(),
            brokers,
        }
    }

    /// Whether a broker can be talked to.
    pub(crate) fn any_up(&self) -> bool {
        self.brokers.iter().any(|broker| broker.state == "UP")
    }
}
