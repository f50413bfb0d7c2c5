//! Records that a topic may refuse.

use walgate_core::{ErrorClass, Op, Sink};
use walgate_sink_kafka::{Compression, KafkaConfig};

use crate::bed::{
    Event, assert_log, at, batch, close, consume, create, deliver, inserts, open, schema, servers,
    table, wait_for,
};

#[tokio::test(flavor = "multi_thread")]
async fn only_the_record_that_is_too_large_is_refused() {
    let (servers, schema) = (servers(), schema("large"));
    let topic = format!("{schema}.orders");
    create(&servers, &topic, 1, &[("max.message.bytes", "20000")]).await;
    let orders = table(1, &schema, "orders");
    let mut sink = open(KafkaConfig::new(&servers), &schema, "orders").await;
    let on = |index| Event::new(at(1, index), Op::Insert, Some(&orders)).key("21");
    let events: Vec<_> = (2..100)
        .map(|index| match index {
            50 => on(index).key(r#"{"id":50}"#).value("x".repeat(30_000)),
            // Together they are far above the limit, each alone is below.
            _ => on(index).value("y".repeat(9_000)),
        })
        .collect();
    let mut all = batch(events.clone());
    let error = sink.write(&mut all).await.expect_err("one is too large");
    assert_eq!(
        (error.class, error.position),
        (ErrorClass::Definite, Some(at(1, 50))),
        "{error}"
    );
    for part in [topic.as_str(), r#"{"id":50}"#, "30000", "20000"] {
        assert!(error.message.contains(part), "{part} is missing: {error}");
    }
    assert!(
        error
            .hint
            .is_some_and(|hint| hint.contains("max.message.bytes"))
    );
    assert_eq!(sink.delivered().get(), at(1, 49));
    // The chain puts the record aside and goes on behind it.
    sink.open().await.expect("the sink opens again");
    let mut rest = batch(
        events
            .into_iter()
            .filter(|event| event.position > at(1, 50)),
    );
    deliver(&mut sink, &mut rest)
        .await
        .expect("the others are delivered");
    let expected: Vec<_> = (2..100)
        .filter(|index| *index != 50)
        .map(|index| at(1, index))
        .collect();
    assert_log(&servers, &topic, &expected);
    assert_eq!(
        consume(&servers, &topic).len(),
        expected.len(),
        "nothing was repeated"
    );
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_compression_makes_fit_is_taken() {
    let (servers, schema) = (servers(), schema("compressed"));
    let topic = format!("{schema}.orders");
    create(&servers, &topic, 1, &[("max.message.bytes", "20000")]).await;
    let orders = table(1, &schema, "orders");
    let mut config = KafkaConfig::new(&servers);
    config.compression = Compression::Zstd;
    let mut sink = open(config, &schema, "orders").await;
    let large = Event::new(at(1, 2), Op::Insert, Some(&orders))
        .key("21")
        .value("x".repeat(200_000));
    deliver(&mut sink, &mut batch([large]))
        .await
        .expect("delivered");
    assert_eq!(consume(&servers, &topic).len(), 1);
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_beyond_what_is_ever_sent_is_refused_here() {
    let (servers, schema) = (servers(), schema("huge"));
    create(&servers, &format!("{schema}.orders"), 1, &[]).await;
    let orders = table(1, &schema, "orders");
    let mut sink = open(KafkaConfig::new(&servers), &schema, "orders").await;
    let huge = Event::new(at(1, 2), Op::Insert, Some(&orders)).value("x".repeat(101_000_000));
    let error = deliver(&mut sink, &mut batch([huge]))
        .await
        .expect_err("above every broker");
    assert_eq!(
        (error.class, error.position),
        (ErrorClass::Definite, Some(at(1, 2))),
        "{error}"
    );
    sink.open().await.expect("the sink opens again");
    deliver(&mut sink, &mut inserts(&orders, 2, 2..4))
        .await
        .expect("the next is delivered");
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_was_lowered_under_way_is_learned() {
    let (servers, schema) = (servers(), schema("lowered"));
    let topic = format!("{schema}.orders");
    create(&servers, &topic, 1, &[]).await;
    let orders = table(1, &schema, "orders");
    let mut sink = open(KafkaConfig::new(&servers), &schema, "orders").await;
    deliver(&mut sink, &mut inserts(&orders, 1, 2..4))
        .await
        .expect("delivered");

    let asked = rdkafka::admin::ResourceSpecifier::Topic(&topic);
    let lower = rdkafka::admin::AlterConfig::new(asked).set("max.message.bytes", "10000");
    let admin = crate::bed::admin(&servers);
    let options = rdkafka::admin::AdminOptions::new();
    let altered = admin
        .alter_configs(&[lower], &options)
        .await
        .expect("an answer");
    assert!(altered.iter().all(Result::is_ok), "{altered:?}");
    // The broker applies it a moment later: until then it takes what is too large.
    let probe = open(KafkaConfig::new(&servers), &schema, "orders").await;
    close(probe).await;
    wait_until_refused(&servers, &topic);

    let events: Vec<_> = (2..40)
        .map(|index| {
            let event = Event::new(at(2, index), Op::Insert, Some(&orders)).key("21");
            event.value("y".repeat(3_000))
        })
        .collect();
    let mut all = batch(events);
    let error = deliver(&mut sink, &mut all)
        .await
        .expect_err("the batch is too large");
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    sink.open().await.expect("the sink opens again");
    deliver(&mut sink, &mut all)
        .await
        .expect("smaller batches are taken");
    let mut expected = vec![at(1, 2), at(1, 3)];
    expected.extend((2..40).map(|index| at(2, index)));
    let ids = crate::bed::deduplicated(&consume(&servers, &topic), 0);
    let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
    assert_eq!(
        ids.iter().filter(|id| !id.is_empty()).collect::<Vec<_>>(),
        expected.iter().collect::<Vec<_>>()
    );
    close(sink).await;
}

/// Waits until a record of 20,000 bytes without an id is refused.
fn wait_until_refused(servers: &str, topic: &str) {
    use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    struct Probe(Arc<AtomicBool>);
    impl rdkafka::ClientContext for Probe {}
    impl ProducerContext for Probe {
        type DeliveryOpaque = ();
        fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
            self.0.store(result.is_err(), Ordering::SeqCst);
        }
    }
    let refused = Arc::new(AtomicBool::new(false));
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", servers);
    let producer: BaseProducer<Probe> = config
        .create_with_context(Probe(Arc::clone(&refused)))
        .expect("a producer");
    let large = "z".repeat(20_000);
    wait_for(
        || {
            let record = BaseRecord::<str, str>::to(topic)
                .payload(&large)
                .partition(0);
            producer
                .send(record)
                .map_err(|(error, _)| error)
                .expect("queued");
            producer.flush(crate::bed::PATIENCE).expect("flushed");
            refused.load(Ordering::SeqCst)
        },
        "the lower limit applies",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_larger_than_the_buffer_passes() {
    let (servers, schema) = (servers(), schema("buffer"));
    let topic = format!("{schema}.orders");
    create(&servers, &topic, 1, &[("max.message.bytes", "5000000")]).await;
    let orders = table(1, &schema, "orders");
    let mut config = KafkaConfig::new(&servers);
    config.buffer_bytes = 100_000;
    let mut sink = open(config, &schema, "orders").await;
    let events = (2..12).map(|index| {
        let event = Event::new(at(1, index), Op::Insert, Some(&orders)).key("21");
        event.value("y".repeat(if index % 3 == 0 { 3_000_000 } else { 30_000 }))
    });
    deliver(&mut sink, &mut batch(events))
        .await
        .expect("delivered");
    assert_log(
        &servers,
        &topic,
        &(2..12).map(|index| at(1, index)).collect::<Vec<_>>(),
    );
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn order_is_kept_while_the_queue_is_full() {
    let (servers, schema) = (servers(), schema("full"));
    let topic = format!("{schema}.orders");
    create(&servers, &topic, 1, &[]).await;
    let orders = table(1, &schema, "orders");
    let mut config = KafkaConfig::new(&servers);
    config
        .properties
        .insert("queue.buffering.max.messages".to_owned(), "10".to_owned());
    let mut sink = open(config, &schema, "orders").await;
    deliver(&mut sink, &mut inserts(&orders, 1, 2..3_000))
        .await
        .expect("delivered");
    let expected: Vec<_> = (2..3_000).map(|index| at(1, index)).collect();
    assert_log(&servers, &topic, &expected);
    assert_eq!(consume(&servers, &topic).len(), expected.len());
    close(sink).await;
}
