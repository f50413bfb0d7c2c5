//! Batches that never fill are sent nevertheless: the linger is longer than any of these tests.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use walgate_core::Sink;
use walgate_sink_kafka::{KafkaConfig, KafkaSink};

use crate::bed::{
    PATIENCE, at, batch, close, consume, create, inserts, open, schema, servers, table,
};

const TABLE: &str = "orders";

async fn sink(schema: &str, partitions: i32, buffer_bytes: Option<usize>) -> KafkaSink {
    let servers = servers();
    create(&servers, &format!("{schema}.{TABLE}"), partitions, &[]).await;
    let mut config = KafkaConfig::new(servers);
    config.buffer_bytes = buffer_bytes.unwrap_or(config.buffer_bytes);
    open(config, schema, TABLE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_is_sent() {
    let schema = schema("unasked");
    let mut sink = sink(&schema, 4, None).await;
    let delivered = sink.delivered();
    let table = table(1, &schema, TABLE);
    for transaction in 1..=3 {
        let events = &mut inserts(&table, transaction, 0..10);
        sink.write(events).await.expect("written");
        let last = at(transaction, 8);
        let position = tokio::time::timeout(PATIENCE, delivered.above(last)).await;
        assert_eq!(position, Ok(at(transaction, 9)));
    }
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_that_is_given_up_is_no_harm() {
    let schema = schema("given-up");
    let mut sink = sink(&schema, 4, None).await;
    let delivered = sink.delivered();
    let table = table(1, &schema, TABLE);
    let events = &mut inserts(&table, 1, 0..10);
    sink.write(events).await.expect("written");
    {
        let mut flush = pin!(sink.flush());
        let polled = flush.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Pending | Poll::Ready(Ok(_))));
    }
    let position = tokio::time::timeout(PATIENCE, delivered.above(at(1, 8))).await;
    assert_eq!(position, Ok(at(1, 9)));
    sink.write(&mut batch([])).await.expect("an empty batch");
    assert_eq!(sink.flush().await, Ok(at(1, 9)));
    close(sink).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buffer_full_of_small_batches_is_no_standstill() {
    // Of 50 partitions none ever has a batch's worth of 64 KiB.
    let schema = schema("narrow");
    let mut sink = sink(&schema, 50, Some(64 << 10)).await;
    let table = table(1, &schema, TABLE);
    for transaction in 1..=20 {
        let events = &mut inserts(&table, transaction, 0..100);
        let written = tokio::time::timeout(PATIENCE, sink.write(events)).await;
        assert_eq!(written, Ok(Ok(())));
    }
    // And nobody flushes: `close` delivers what is left.
    close(sink).await;
    assert_eq!(
        consume(&servers(), &format!("{schema}.{TABLE}")).len(),
        2000
    );
}
