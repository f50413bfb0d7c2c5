//! librdkafka alone: produces as many messages as Walgate does, with the same guarantees, and nothing else.
//! What a drain into Kafka costs above that and a drain to standard output is Walgate's own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};

use crate::live::broker::PARTITIONS;

/// `batch.size`, as Walgate's sink has it.
const BATCH_BYTES: u64 = 250_000;

/// How long the last messages may take; only bounds a run in which something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long it waits when enough is on its way.
const PAUSE: Duration = Duration::from_micros(200);

/// Produces messages of one size into a topic, as fast as librdkafka can. For `make bench`.
#[derive(Args)]
pub(crate) struct ProduceArgs {
    #[arg(long)]
    pub(crate) brokers: String,
    #[arg(long)]
    pub(crate) topic: String,
    /// How many
    #[arg(long)]
    pub(crate) messages: u64,
    /// Bytes of the value of each
    #[arg(long)]
    pub(crate) bytes: usize,
}

/// How many messages were acknowledged, and refused.
#[derive(Default)]
struct Reports {
    delivered: AtomicU64,
    refused: AtomicU64,
}

#[derive(Default, Clone)]
struct Count(Arc<Reports>);

impl ClientContext for Count {}

impl ProducerContext for Count {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let count = match result {
            Ok(_) => &self.0.delivered,
            Err(_) => &self.0.refused,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Produces, and prints how many messages Kafka has.
#[expect(clippy::print_stdout, reason = "the count is the program's output")]
pub(crate) fn run(args: &ProduceArgs) -> Result<()> {
    let count = Count::default();
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &args.brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("batch.size", BATCH_BYTES.to_string())
        // A batch goes when it is full: who waits for less makes librdkafka spin.
        .set("linger.ms", "50");
    let producer: ThreadedProducer<Count> = config.create_with_context(count.clone())?;
    let value = "x".repeat(args.bytes);
    // A batch on its way and one that waits, for each partition: more would only leave the processor's cache.
    let most = 2 * BATCH_BYTES * PARTITIONS as u64 / value.len().max(1) as u64;
    for sent in 0..args.messages {
        while sent >= count.0.delivered.load(Ordering::Relaxed) + most {
            let refused = count.0.refused.load(Ordering::Relaxed);
            ensure!(refused == 0, "kafka has refused {refused} messages");
            thread::sleep(PAUSE);
        }
        send(&producer, &args.topic, sent, &value)?;
    }
    producer.flush(PATIENCE).context("flush the producer")?;
    let delivered = count.0.delivered.load(Ordering::Relaxed);
    ensure!(
        delivered == args.messages,
        "kafka has acknowledged {delivered} of {} messages",
        args.messages
    );
    println!("done {delivered}");
    Ok(())
}

/// Produces one message, with a key and headers of the size of Walgate's.
fn send(producer: &ThreadedProducer<Count>, topic: &str, seq: u64, value: &str) -> Result<()> {
    let key = format!(r#"{{"id":{seq}}}"#);
    let partition = i32::try_from(seq % PARTITIONS as u64)?;
    loop {
        let mut headers = OwnedHeaders::new_with_capacity(3);
        for (key, value) in [
            ("walgate-id", "0000000000000000000000000"),
            ("walgate-op", "insert"),
            ("walgate-table", "public.work"),
        ] {
            let value = Some(value);
            headers = headers.insert(Header { key, value });
        }
        let record = BaseRecord::to(topic)
            .partition(partition)
            .key(&key)
            .payload(value)
            .headers(headers);
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                thread::sleep(PAUSE);
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}
