//! Brokers that are away: back-pressure, not an error.

use std::time::{Duration, Instant};

use walgate_core::{Position, Sink};
use walgate_sink_kafka::{KafkaConfig, KafkaSink};
use walgate_throwaway::{Kafka, KafkaOptions};

use crate::bed::{assert_log, at, close, consume, create, inserts, open, table, wait_for};

const PER_BATCH: u32 = 200;

struct Run {
    kafka: Kafka,
    sink: Option<KafkaSink>,
    topic: String,
    /// Transactions written so far.
    written: u64,
}

impl Run {
    async fn new(buffer_bytes: usize) -> Self {
        let kafka = Kafka::start(&KafkaOptions::default()).expect("a broker starts");
        Self::on(kafka, None, buffer_bytes).await
    }

    async fn on(kafka: Kafka, bootstrap: Option<String>, buffer_bytes: usize) -> Self {
        let topic = "public.orders".to_owned();
        create(&kafka.bootstrap(), &topic, 1, &[]).await;
        let mut config = KafkaConfig::new(bootstrap.unwrap_or_else(|| kafka.bootstrap()));
        config.buffer_bytes = buffer_bytes;
        let sink = open(config, "public", "orders").await;
        Self {
            kafka,
            sink: Some(sink),
            topic,
            written: 0,
        }
    }

    fn sink(&mut self) -> &mut KafkaSink {
        self.sink.as_mut().expect("the sink")
    }

    async fn write(&mut self, transactions: u64) {
        let orders = table(1, "public", "orders");
        for _ in 0..transactions {
            self.written += 1;
            let mut events = inserts(&orders, self.written, 2..2 + PER_BATCH);
            self.sink()
                .write(&mut events)
                .await
                .expect("an outage is no error");
        }
    }

    /// That all that was written is there, in order, and repeats are only those of retries.
    async fn finish(mut self) {
        let last = at(self.written, 1 + PER_BATCH);
        assert_eq!(self.sink().flush().await, Ok(last));
        assert_eq!(self.sink().delivered().get(), last);
        let written: Vec<Position> = (1..=self.written)
            .flat_map(|lsn| (2..2 + PER_BATCH).map(move |index| at(lsn, index)))
            .collect();
        assert_log(&self.kafka.bootstrap(), &self.topic, &written);
        let held = consume(&self.kafka.bootstrap(), &self.topic).len();
        assert_eq!(
            held,
            written.len(),
            "the idempotent producer repeats nothing"
        );
        close(self.sink.take().expect("the sink")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_stopped_and_started_again() {
    let mut run = Run::new(1 << 20).await;
    run.write(5).await;
    run.kafka.stop().expect("the broker stops");
    // Into the buffer, as far as it goes: then the sink waits and says nothing.
    let orders = table(1, "public", "orders");
    let mut blocked = false;
    for _ in 0..50 {
        let mut events = inserts(&orders, run.written + 1, 2..2 + PER_BATCH);
        let write = run.sink().write(&mut events);
        match tokio::time::timeout(Duration::from_secs(2), write).await {
            Ok(written) => written.expect("an outage is no error"),
            Err(_) => {
                blocked = true;
                break;
            }
        }
        run.written += 1;
    }
    assert!(blocked, "the buffer has a bound");
    let delivered = run.sink().delivered().get();
    assert!(delivered < at(run.written, 1 + PER_BATCH));
    run.kafka.start_again().expect("the broker starts again");
    // The write was dropped half way: the sink opens again, and what it cut is repeated.
    run.sink().open().await.expect("the sink opens again");
    let delivered = run.sink().delivered().get();
    assert!(
        delivered >= at(run.written, 1 + PER_BATCH),
        "open waits out what was accepted"
    );
    run.written += 1;
    let from = if delivered.lsn() == at(run.written, 0).lsn() {
        delivered.index() + 1
    } else {
        2
    };
    let mut rest = inserts(&orders, run.written, from..2 + PER_BATCH);
    run.sink().write(&mut rest).await.expect("written");
    run.write(5).await;
    run.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_under_load() {
    let run = Run::new(1 << 20).await;
    let servers = run.kafka.bootstrap();
    let delivered = run.sink.as_ref().expect("the sink").delivered();
    // The broker stays here: what kills it must not wait for who writes.
    let Run {
        mut kafka,
        sink,
        topic,
        written,
    } = run;
    let writer = Writer {
        sink: sink.expect("the sink"),
        written,
    }
    .write_on(300);
    for round in 1..=3 {
        wait_for(
            || delivered.get() >= at(round * 40, 2),
            "the writer gets on",
        );
        kafka.kill_9().expect("the broker dies");
        kafka.start_again().expect("the broker starts again");
    }
    let Writer { sink, written } = writer.await.expect("the writer");
    assert_eq!(servers, kafka.bootstrap());
    Run {
        kafka,
        sink: Some(sink),
        topic,
        written,
    }
    .finish()
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_frozen() {
    let Run {
        kafka,
        sink,
        topic,
        written,
    } = Run::new(1 << 20).await;
    let sink = sink.expect("the sink");
    let delivered = sink.delivered();
    let writer = Writer { sink, written }.write_on(100);
    wait_for(|| delivered.get() >= at(10, 2), "the writer gets on");
    kafka.pause().expect("the broker freezes");
    let frozen_at = Instant::now();
    // While it is frozen nothing more is delivered, beyond what was on its way.
    let mut before = delivered.get();
    wait_for(
        || {
            let now = delivered.get();
            let still = now == before;
            before = now;
            still && frozen_at.elapsed() > Duration::from_secs(3)
        },
        "nothing is delivered by a frozen broker",
    );
    assert!(!writer.is_finished());
    kafka.resume().expect("the broker goes on");
    let Writer { sink, written } = writer.await.expect("the writer");
    Run {
        kafka,
        sink: Some(sink),
        topic,
        written,
    }
    .finish()
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_lost() {
    let options = KafkaOptions::default();
    let (kafka, proxy) = Kafka::start_behind_proxy(&options).expect("a broker starts");
    let run = Run::on(kafka, Some(proxy.address().to_string()), 1 << 20).await;
    let delivered = run.sink.as_ref().expect("the sink").delivered();
    let Run {
        kafka,
        sink,
        topic,
        written,
    } = run;
    let writer = Writer {
        sink: sink.expect("the sink"),
        written,
    }
    .write_on(200);
    for round in 1..=5 {
        wait_for(
            || delivered.get() >= at(round * 30, 2),
            "the writer gets on",
        );
        // The broker gets the request, we don't get the answer.
        proxy.stall_only(walgate_throwaway::Direction::ToClient);
        let sent = proxy.bytes(walgate_throwaway::Direction::ToServer);
        let stalled_at = Instant::now();
        wait_for(
            || {
                proxy.bytes(walgate_throwaway::Direction::ToServer) > sent + 1000
                    || stalled_at.elapsed() > Duration::from_secs(2)
            },
            "a request is on its way",
        );
        proxy.cut();
        proxy.resume();
    }
    let Writer { sink, written } = writer.await.expect("the writer");
    Run {
        kafka,
        sink: Some(sink),
        topic,
        written,
    }
    .finish()
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_at_the_start_is_told_and_passes() {
    let mut kafka = Kafka::start(&KafkaOptions::default()).expect("a broker starts");
    create(&kafka.bootstrap(), "public.orders", 1, &[]).await;
    kafka.stop().expect("the broker stops");
    let mut sink = crate::bed::sink(KafkaConfig::new(kafka.bootstrap()), "public", "orders");
    let error = sink.open().await.expect_err("nobody is there");
    assert_eq!(error.class, walgate_core::ErrorClass::Transient, "{error}");
    assert!(error.message.contains(&kafka.bootstrap()), "{error}");
    kafka.start_again().expect("the broker starts again");
    sink.open().await.expect("the sink opens");
    close(sink).await;
}

/// A sink that writes in a task of its own.
struct Writer {
    sink: KafkaSink,
    written: u64,
}

impl Writer {
    fn write_on(mut self, transactions: u64) -> tokio::task::JoinHandle<Self> {
        tokio::spawn(async move {
            let orders = table(1, "public", "orders");
            for _ in 0..transactions {
                self.written += 1;
                let mut events = inserts(&orders, self.written, 2..2 + PER_BATCH);
                self.sink
                    .write(&mut events)
                    .await
                    .expect("an outage is no error");
            }
            self.sink.flush().await.expect("an outage is no error");
            self
        })
    }
}
