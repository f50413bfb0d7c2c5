//! Producers that fail, on librdkafka's mock brokers: they refuse on command.

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use walgate_core::{ErrorClass, Position, Sink, SinkError};
use walgate_sink_kafka::{KafkaConfig, KafkaSink};

use crate::bed::{assert_log, at, close, consume, inserts, sink, table};

type Mock = MockCluster<'static, DefaultProducerContext>;

const TOPIC: &str = "public.orders";

fn mock() -> (Mock, String) {
    let mock = MockCluster::new(1).expect("a mock cluster");
    mock.create_topic(TOPIC, 1, 1).expect("a topic");
    let servers = mock.bootstrap_servers();
    (mock, servers)
}

fn sink_on(servers: &str) -> KafkaSink {
    let mut config = KafkaConfig::new(servers);
    // Many small batches, several of them in flight.
    config
        .properties
        .insert("batch.num.messages".to_owned(), "10".to_owned());
    sink(config, "public", "orders")
}

const LAST: u32 = 500;

/// What a chain does: open, write everything behind the delivered position, flush; again after a
/// transient error. Returns the errors there were.
async fn deliver_all(
    sink: &mut KafkaSink,
    disturb: impl Fn(),
) -> Result<Vec<SinkError>, SinkError> {
    let orders = table(1, "public", "orders");
    let mut errors: Vec<SinkError> = Vec::new();
    loop {
        let attempt = async {
            sink.open().await?;
            if errors.is_empty() {
                disturb();
            }
            let delivered = sink.delivered().get();
            let from = if delivered == Position::ZERO {
                2
            } else {
                delivered.index() + 1
            };
            for first in (from..LAST).step_by(50) {
                let mut events = inserts(&orders, 1, first..LAST.min(first + 50));
                sink.write(&mut events).await?;
            }
            sink.flush().await
        };
        match attempt.await {
            Ok(_) => return Ok(errors),
            Err(error) if error.class == ErrorClass::Transient && errors.len() < 20 => {
                errors.push(error);
            }
            Err(error) => return Err(error),
        }
    }
}

fn assert_whole_log(servers: &str) {
    let all: Vec<_> = (2..LAST).map(|index| at(1, index)).collect();
    assert_log(servers, TOPIC, &all);
}

/// A refusal that ends a producer, or that it gets over by itself: both end in the whole log.
fn survives(code: RDKafkaRespErr) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let (mock, servers) = mock();
        let mut sink = sink_on(&servers);
        let disturb = || mock.request_errors(RDKafkaApiKey::Produce, &[code]);
        let errors = deliver_all(&mut sink, disturb).await;
        let errors = errors.unwrap_or_else(|error| panic!("{code:?}: {error}"));
        assert!(errors.len() <= 1, "{code:?}: {errors:?}");
        assert_whole_log(&servers);
        close(sink).await;
    });
}

#[test]
fn errors_that_end_a_producer_cost_a_new_one() {
    use RDKafkaRespErr::{
        RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
        RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
    };
    let codes = [
        RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
        RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
        RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        RD_KAFKA_RESP_ERR__TRANSPORT,
    ];
    // Together, because the mock lets each wait for settings that it never tells.
    std::thread::scope(|scope| {
        for code in codes {
            scope.spawn(move || survives(code));
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fatal_producer_goes_on_from_the_delivered_position() {
    let (mock, servers) = mock();
    let mut sink = sink_on(&servers);
    // Not an idempotence error, and not one to be retried: the gap-less guarantee ends the producer.
    let code = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN;
    let ok = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
    let disturb = || mock.request_errors(RDKafkaApiKey::Produce, &[ok, ok, code]);
    let errors = deliver_all(&mut sink, disturb).await.expect("delivered");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].message.contains(TOPIC), "{errors:?}");
    assert_whole_log(&servers);
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_refused_takes_no_innocent_with_it() {
    let (mock, servers) = mock();
    let mut sink = sink_on(&servers);
    // The mock has no DescribeConfigs: the limit is not known, and learned by refusals.
    let code = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    let disturb = || mock.request_errors(RDKafkaApiKey::Produce, &[code]);
    let errors = deliver_all(&mut sink, disturb).await.expect("delivered");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].message.contains("too large"), "{errors:?}");
    assert_whole_log(&servers);
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_human_can_change_is_fatal() {
    let (mock, servers) = mock();
    let mut sink = sink_on(&servers);
    let code = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    let disturb = || mock.request_errors(RDKafkaApiKey::Produce, &[code]);
    let error = deliver_all(&mut sink, disturb).await.expect_err("no right");
    assert_eq!(error.class, ErrorClass::Fatal);
    assert!(
        error
            .hint
            .is_some_and(|hint| hint.contains("--operation Write"))
    );
    // Later batches were in flight behind the refused one: none of them overtook it.
    assert_eq!(sink.delivered().get(), Position::ZERO);
    let held = consume(&servers, TOPIC);
    assert!(held.is_empty(), "{held:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_may_not_begin_names_the_right() {
    let (mock, servers) = mock();
    let code = RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED;
    mock.request_errors(RDKafkaApiKey::InitProducerId, &[code; 3]);
    let mut sink = sink_on(&servers);
    let error = deliver_all(&mut sink, || {}).await.expect_err("no right");
    assert_eq!(error.class, ErrorClass::Fatal, "{error}");
    assert!(
        error
            .hint
            .is_some_and(|hint| hint.contains("IdempotentWrite"))
    );
}
