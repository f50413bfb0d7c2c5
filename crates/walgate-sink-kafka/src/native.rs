//! What librdkafka can do and rdkafka's safe interface can't.

use std::ffi::CString;
use std::time::Duration;

use rdkafka::bindings;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

/// Has the broker threads send what is queued without regard to `linger.ms`, and returns when every
/// delivery report has been handled, or after `most`. Another thread has to poll meanwhile.
///
/// [`Producer::flush`] is no substitute: it calls librdkafka's with a time-out of zero, again and
/// again, and librdkafka disregards the linger only while that call lasts: a broker thread that is
/// woken by it finds everything as before.
pub(crate) fn flush<C: ProducerContext>(producer: &BaseProducer<C>, most: Duration) {
    let millis = i32::try_from(most.as_millis()).unwrap_or(i32::MAX);
    let client = producer.client().native_ptr();
    #[expect(
        unsafe_code,
        reason = "rdkafka's own flush can't be told to wait inside librdkafka"
    )]
    // SAFETY: the pointer is that of a client that lives as long as `producer`, which is borrowed;
    // rd_kafka_flush takes any time-out and may be called from any thread.
    unsafe {
        // Whether all was delivered in time is told by the delivery reports.
        bindings::rd_kafka_flush(client, millis);
    }
}

/// Names brokers that may be asked about the cluster, as `bootstrap.servers` does. Returns how many of
/// them librdkafka knows now.
pub(crate) fn add_brokers<C: ProducerContext>(producer: &BaseProducer<C>, servers: &str) -> i32 {
    let Ok(servers) = CString::new(servers) else {
        return 0;
    };
    let client = producer.client().native_ptr();
    #[expect(unsafe_code, reason = "rdkafka has no safe function for it")]
    // SAFETY: the client lives as long as `producer`, which is borrowed; librdkafka copies the
    // string, which ends with a zero and lives as long as the call, and allows any thread.
    unsafe {
        bindings::rd_kafka_brokers_add(client, servers.as_ptr())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rdkafka::ClientConfig;
    use rdkafka::producer::DefaultProducerContext;

    use super::*;

    fn producer() -> BaseProducer<DefaultProducerContext> {
        ClientConfig::new()
            .set("bootstrap.servers", "localhost:1")
            .create()
            .expect("a producer that reaches nothing")
    }

    #[test]
    fn returns_at_once_when_nothing_waits() {
        let start = Instant::now();
        flush(&producer(), Duration::from_secs(3600));
        assert!(start.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn adds_brokers_once() {
        let producer = producer();
        assert_eq!(add_brokers(&producer, "localhost:1"), 1);
        assert_eq!(add_brokers(&producer, "localhost:1,localhost:2"), 2);
        assert_eq!(add_brokers(&producer, "no\0name"), 0);
    }

    #[test]
    fn returns_in_time_when_nothing_is_delivered() {
        let producer = producer();
        let record = rdkafka::producer::BaseRecord::<(), [u8]>::to("nowhere").payload(b"1");
        producer.send(record).expect("room in the queue");
        flush(&producer, Duration::from_millis(1));
        // The message, and events of the connection that fails.
        assert!(producer.in_flight_count() >= 1);
    }
}
