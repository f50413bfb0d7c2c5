//! Brokers, batches, and what was consumed back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::BufMut;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use walgate_core::{
    Batch, ColumnUse, Encoded, Lsn, Op, Position, Relation, ReplicaIdentity, Sink, SinkError, Span,
    Table,
};
use walgate_sink_kafka::{KafkaConfig, KafkaSink};
use walgate_throwaway::shared_kafka;

/// Only bounds a test that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The broker that all tests share.
pub(crate) fn servers() -> String {
    shared_kafka().expect("a broker starts").bootstrap()
}

/// A schema of this test's own, so that its topics are, too.
pub(crate) fn schema(test: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "{test}-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// The position of change `index` of the transaction that commits at `lsn`.
pub(crate) fn at(lsn: u64, index: u32) -> Position {
    Position::new(0, Lsn(lsn), index)
}

/// A definition of a table without columns: the sink looks at names only.
pub(crate) fn table(id: u32, schema: &str, name: &str) -> Arc<Table> {
    let relation = Relation {
        oid: 16_384 + id,
        schema: schema.to_owned(),
        name: name.to_owned(),
        identity: ReplicaIdentity::Default,
        columns: Vec::new(),
        primary_key: Vec::new(),
    };
    Arc::new(Table {
        id,
        relation: Arc::new(relation),
        columns: Vec::<ColumnUse>::new(),
        key: vec![0],
    })
}

/// An event of a batch.
#[derive(Clone)]
pub(crate) struct Event<'a> {
    pub(crate) position: Position,
    pub(crate) op: Op,
    pub(crate) table: Option<&'a Arc<Table>>,
    pub(crate) key: Option<&'a str>,
    pub(crate) old_key: Option<&'a str>,
    pub(crate) value: String,
}

impl<'a> Event<'a> {
    /// An event whose value is its position.
    pub(crate) fn new(position: Position, op: Op, table: Option<&'a Arc<Table>>) -> Self {
        let value = format!("{} {position}", op.name());
        Self {
            position,
            op,
            table,
            key: None,
            old_key: None,
            value,
        }
    }

    pub(crate) fn key(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }

    pub(crate) fn old_key(mut self, key: &'a str) -> Self {
        self.old_key = Some(key);
        self
    }

    pub(crate) fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }
}

/// A batch of these events.
pub(crate) fn batch<'a>(events: impl IntoIterator<Item = Event<'a>>) -> Batch {
    let mut batch = Batch::default();
    for event in events {
        let mut put = |text: &str| {
            let start = batch.bytes.len() as u32;
            batch.bytes.put_slice(text.as_bytes());
            Span {
                start,
                end: batch.bytes.len() as u32,
            }
        };
        let encoded = Encoded {
            value: put(&event.value),
            key: event.key.map(&mut put),
            old_key: event.old_key.map(&mut put),
        };
        batch.push(event.position, event.op, event.table, encoded);
    }
    batch
}

/// Inserts into `table` at `lsn`, indexes `from..to`, each with a key of its own.
pub(crate) fn inserts(table: &Arc<Table>, lsn: u64, indexes: std::ops::Range<u32>) -> Batch {
    let keys: Vec<_> = indexes
        .clone()
        .map(|index| format!("{{\"id\":{index}}}"))
        .collect();
    let events = indexes
        .zip(&keys)
        .map(|(index, key)| Event::new(at(lsn, index), Op::Insert, Some(table)).key(key));
    batch(events.collect::<Vec<_>>())
}

/// A sink on this configuration for one table, open.
pub(crate) async fn open(config: KafkaConfig, schema: &str, table: &str) -> KafkaSink {
    let mut sink = sink(config, schema, table);
    sink.open().await.expect("the sink opens");
    sink
}

/// A sink on this configuration for one table, not open.
pub(crate) fn sink(config: KafkaConfig, schema: &str, table: &str) -> KafkaSink {
    KafkaSink::new(config, "shop", &[(schema.to_owned(), table.to_owned())])
        .expect("a configuration")
}

/// Writes, and waits until it is delivered.
pub(crate) async fn deliver(
    sink: &mut KafkaSink,
    batch: &mut Batch,
) -> Result<Position, SinkError> {
    sink.write(batch).await?;
    sink.flush().await
}

pub(crate) async fn close(mut sink: KafkaSink) {
    sink.close(Instant::now() + PATIENCE)
        .await
        .expect("the sink closes");
}

/// A client for topics.
pub(crate) fn admin(servers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", servers)
        .create()
        .expect("an admin client")
}

/// Creates a topic.
pub(crate) async fn create(servers: &str, name: &str, partitions: i32, config: &[(&str, &str)]) {
    let new = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let new = config
        .iter()
        .fold(new, |new, (name, value)| new.set(name, value));
    let created = admin(servers)
        .create_topics(&[new], &AdminOptions::new())
        .await;
    match created.expect("an answer").remove(0) {
        Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
        Err((name, code)) => panic!("topic {name} can't be created: {code}"),
    }
    wait_for(
        || partitions_of(servers, name) == partitions as usize,
        "the topic is known",
    );
}

/// Partitions that a topic has; 0 without it.
pub(crate) fn partitions_of(servers: &str, name: &str) -> usize {
    let metadata = consumer(servers)
        .fetch_metadata(Some(name), PATIENCE)
        .expect("metadata");
    metadata
        .topics()
        .first()
        .map_or(0, |topic| topic.partitions().len())
}

/// Waits for a condition.
pub(crate) fn wait_for(mut condition: impl FnMut() -> bool, what: &str) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < PATIENCE,
            "in {PATIENCE:?} it never came that {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A message that was consumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) partition: i32,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

fn consumer(servers: &str) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        .set("group.id", "test");
    config
        .set("enable.auto.commit", "false")
        .set("fetch.message.max.bytes", "20000000");
    config.create().expect("a consumer")
}

/// Everything that a topic holds now, by partition and offset.
pub(crate) fn consume(servers: &str, topic: &str) -> Vec<Got> {
    let consumer = consumer(servers);
    let partitions = partitions_of(servers, topic);
    let mut all = Vec::new();
    for partition in 0..partitions as i32 {
        let (low, high) = consumer
            .fetch_watermarks(topic, partition, PATIENCE)
            .expect("the ends of a partition");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(low))
            .expect("an offset");
        consumer.assign(&list).expect("an assignment");
        let mut next = low;
        while next < high {
            let message = consumer
                .poll(PATIENCE)
                .expect("a message")
                .expect("no error");
            if message.partition() != partition {
                continue;
            }
            next = message.offset() + 1;
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
            let headers = message.headers().map(|headers| {
                let pair = |header: rdkafka::message::Header<'_, &[u8]>| {
                    (
                        header.key.to_owned(),
                        header.value.map(text).unwrap_or_default(),
                    )
                };
                headers.iter().map(pair).collect()
            });
            all.push(Got {
                partition,
                key: message.key().map(text),
                value: message.payload().map(text),
                headers: headers.unwrap_or_default(),
            });
        }
    }
    all
}

/// The ids of a partition's events after `if id <= last_id then skip`.
pub(crate) fn deduplicated(got: &[Got], partition: i32) -> Vec<String> {
    let mut last = String::new();
    let mut kept = Vec::new();
    for message in got.iter().filter(|message| message.partition == partition) {
        let id = message.header("walgate-id");
        if id > last.as_str() {
            last = id.to_owned();
            kept.push(last.clone());
        }
    }
    kept
}

/// That the topic holds these inserts of one partition, complete and in order, repeats skipped.
pub(crate) fn assert_log(servers: &str, topic: &str, expected: &[Position]) {
    let ids = deduplicated(&consume(servers, topic), 0);
    let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
    let first_wrong = ids
        .iter()
        .zip(&expected)
        .position(|(one, other)| one != other);
    assert!(
        ids == expected,
        "{} events instead of {}, first difference at {first_wrong:?}",
        ids.len(),
        expected.len()
    );
}

/// Resource types, operations and permissions of ACLs, as the protocol numbers them.
pub(crate) mod acl {
    pub(crate) const TOPIC: i8 = 2;
    pub(crate) const WRITE: i8 = 4;
    pub(crate) const CREATE: i8 = 5;
    pub(crate) const DESCRIBE: i8 = 8;
}

/// Lets `user` do `operation` on a topic. rdkafka has no call for it, so it is one request by hand:
/// CreateAcls version 1 (<https://kafka.apache.org/protocol#The_Messages_CreateAcls>).
pub(crate) fn allow(servers: &str, user: &str, operation: i8, topic: &str) {
    use std::io::{Read, Write};
    const CREATE_ACLS: i16 = 30;
    const LITERAL: i8 = 3;
    const ALLOW: i8 = 3;
    let mut body: Vec<u8> = Vec::new();
    let string = |body: &mut Vec<u8>, text: &str| {
        body.put_i16(text.len() as i16);
        body.put_slice(text.as_bytes());
    };
    body.put_i16(CREATE_ACLS);
    body.put_i16(1);
    body.put_i32(7);
    string(&mut body, "test");
    body.put_i32(1);
    body.put_i8(acl::TOPIC);
    string(&mut body, topic);
    body.put_i8(LITERAL);
    string(&mut body, &format!("User:{user}"));
    string(&mut body, "*");
    body.put_i8(operation);
    body.put_i8(ALLOW);
    let mut request = (body.len() as i32).to_be_bytes().to_vec();
    request.append(&mut body);
    let mut broker = std::net::TcpStream::connect(servers).expect("a connection");
    broker.write_all(&request).expect("the request is sent");
    let mut answer = [0; 18];
    broker.read_exact(&mut answer).expect("an answer");
    // Length, correlation id, throttle time, count, error code.
    assert_eq!(&answer[4..8], 7i32.to_be_bytes());
    assert_eq!(&answer[12..18], [0, 0, 0, 1, 0, 0], "the ACL is refused");
}
