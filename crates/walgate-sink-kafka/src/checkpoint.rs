//! The last checkpoint of a slot in a compacted topic, which instances on several machines reach.
//!
//! A record's key is the slot, its value the checkpoint's bytes. Each save is a transaction of Kafka
//! ([KIP-98]) with a transactional id for the slot: who takes the slot's place ([`CheckpointTopic::take`])
//! raises the producer's epoch, and from then on the brokers refuse whatever an older instance sends,
//! also one that was only stopped for a while and knows of nothing. For the same reason a producer that
//! has failed is never made anew: that would fence whoever has taken over meanwhile.
//!
//! [KIP-98]: https://cwiki.apache.org/confluence/display/KAFKA/KIP-98+-+Exactly+Once+Delivery+and+Transactional+Messaging

use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use rdkafka::{Message, Offset, TopicPartitionList};
use walgate_core::{ErrorClass, SinkError};

use crate::cluster::{Cluster, Heard, unreachable};
use crate::preflight::{TopicFacts, TopicLook, TopicState};
use crate::template::check_topic_name;
use crate::{KafkaConfig, TopicCreation, properties, refusal};

/// All records of a slot are in this partition: their order is that of the saves.
const PARTITION: i32 = 0;

/// How long a step of a transaction may take before it is tried again.
const STEP: Duration = Duration::from_secs(10);

/// How long taking a place may take: the broker first ends what an older instance had begun.
const TAKE: Duration = Duration::from_secs(60);

/// The transaction of an instance that has stopped in the middle of a save is ended by the broker after
/// this time. Kafka's own default is as long; a save takes some milliseconds.
const TRANSACTION_TIMEOUT_MS: &str = "60000";

/// How long all records of the topic may take to be read.
const READ: Duration = Duration::from_secs(120);

/// What a topic is created with: a checkpoint has some hundred bytes and comes once a second at most,
/// and what is read at a start is what is not compacted yet.
const SETTINGS: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "16777216"),
    ("segment.ms", "3600000"),
    ("min.cleanable.dirty.ratio", "0.1"),
];

/// Why a checkpoint is not in the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicError {
    /// It can be tried again.
    Failed(SinkError),
    /// Another instance has taken the slot's place, or the brokers have ended a save that took too
    /// long. Nothing can be saved any more.
    Fenced(SinkError),
    /// Nothing can be saved any more, for another reason.
    Broken(SinkError),
}

/// What is open of the last save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    /// The last commit had no answer: it is asked for again.
    Commit,
    /// What was begun is to be undone.
    Abort,
}

/// A slot's place in the topic.
pub struct CheckpointTopic {
    producer: ThreadedProducer<Heard>,
    config: KafkaConfig,
    topic: String,
    slot: String,
    open: Open,
    /// The last checkpoint that is there, or was given.
    last: Option<Vec<u8>>,
}

impl fmt::Debug for CheckpointTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointTopic")
            .field("topic", &self.topic)
            .field("slot", &self.slot)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

impl CheckpointTopic {
    /// Takes the slot's place: fences every older instance, and reads its last checkpoint. It blocks, on
    /// a thread of a runtime that may be blocked.
    ///
    /// The topic is created where the configuration allows it.
    ///
    /// # Errors
    ///
    /// When the topic is missing or not compacted, and when the cluster can't be reached or refuses.
    pub fn take(
        config: &KafkaConfig,
        topic: &str,
        slot: &str,
    ) -> Result<(Self, Option<Vec<u8>>), SinkError> {
        prepare(config, topic)?;
        let mut client = properties::admin(config);
        client
            .set("transactional.id", transactional_id(topic, slot))
            .set("transaction.timeout.ms", TRANSACTION_TIMEOUT_MS)
            .set("linger.ms", "0");
        let producer = client.create_with_context(Heard::default());
        let producer: ThreadedProducer<Heard> =
            producer.map_err(|error| properties::refused(&error))?;
        if let Err(error) = producer.init_transactions(TAKE) {
            return Err(match producer.context().heard() {
                Some(heard) => unreachable(config, Some(heard), &error),
                None => about(config, topic, slot, &error),
            });
        }
        // Behind the fence nothing of an older instance can follow.
        let last = read(config, topic, slot)?;
        let place = Self {
            producer,
            config: config.clone(),
            topic: topic.to_owned(),
            slot: slot.to_owned(),
            open: Open::Nothing,
            last: last.clone(),
        };
        Ok((place, last))
    }

    /// The last checkpoint of a slot, without taking its place. It blocks.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take); nothing is created.
    pub fn peek(
        config: &KafkaConfig,
        topic: &str,
        slot: &str,
    ) -> Result<Option<Vec<u8>>, SinkError> {
        let config = KafkaConfig {
            create_topics: None,
            ..config.clone()
        };
        prepare(&config, topic)?;
        read(&config, topic, slot)
    }

    /// Puts a checkpoint in the place of the last one; when this returns, all replicas in sync hold it.
    /// It blocks.
    ///
    /// # Errors
    ///
    /// See [`TopicError`].
    pub fn save(&mut self, bytes: &[u8]) -> Result<(), TopicError> {
        self.last = Some(bytes.to_vec());
        self.try_save(bytes).map_err(|error| self.judged(&error))
    }

    /// Whether the place is still ours: the brokers are asked by saving the last checkpoint again. It
    /// blocks.
    ///
    /// # Errors
    ///
    /// See [`TopicError`]; [`TopicError::Failed`] says that nobody knows.
    pub fn still_ours(&mut self) -> Result<(), TopicError> {
        match self.last.clone() {
            Some(last) => self.try_save(&last).map_err(|error| self.judged(&error)),
            None => Ok(()),
        }
    }

    fn try_save(&mut self, bytes: &[u8]) -> Result<(), KafkaError> {
        match self.open {
            Open::Nothing => {}
            Open::Commit => self.producer.commit_transaction(STEP)?,
            Open::Abort => self.producer.abort_transaction(STEP)?,
        }
        self.open = Open::Nothing;
        self.producer.begin_transaction()?;
        self.open = Open::Abort;
        let record = BaseRecord::to(&self.topic)
            .partition(PARTITION)
            .key(self.slot.as_str())
            .payload(bytes);
        self.producer.send(record).map_err(|(error, _)| error)?;
        let committed = self.producer.commit_transaction(STEP);
        self.open = match &committed {
            Ok(()) => Open::Nothing,
            Err(KafkaError::Transaction(error)) if error.is_retriable() => Open::Commit,
            Err(_) => Open::Abort,
        };
        committed
    }

    fn judged(&self, error: &KafkaError) -> TopicError {
        let told = about(&self.config, &self.topic, &self.slot, error);
        let fatal = self.producer.client().fatal_error();
        let code = fatal.as_ref().map(|(code, _)| *code);
        let code = code.or_else(|| code_of(error));
        let is_fatal =
            fatal.is_some() || matches!(error, KafkaError::Transaction(error) if error.is_fatal());
        match code {
            Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => {
                TopicError::Fenced(fenced(&self.topic, &self.slot))
            }
            _ if is_fatal => TopicError::Broken(told),
            _ => TopicError::Failed(told),
        }
    }
}

fn transactional_id(topic: &str, slot: &str) -> String {
    format!("walgate.{topic}.{slot}")
}

fn fenced(topic: &str, slot: &str) -> SinkError {
    SinkError::fatal(format!(
        "another instance has taken the place of slot {slot} in topic {topic}, or this one was stopped \
         for longer than a save may take"
    ))
    .hint("nothing is to be done when another one runs; else start this one again")
}

fn code_of(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::Transaction(error) => Some(error.code()),
        other => other.rdkafka_error_code(),
    }
}

fn about(config: &KafkaConfig, topic: &str, slot: &str, error: &KafkaError) -> SinkError {
    let what = format!("the checkpoint of slot {slot} in topic {topic}");
    let code = code_of(error).unwrap_or(Code::Fail);
    if code == Code::TransactionalIdAuthorizationFailed {
        let servers = &config.bootstrap_servers;
        let user = config.sasl.as_ref().map_or("NAME", |sasl| &sasl.username);
        let id = transactional_id(topic, slot);
        return SinkError::fatal(format!("{what}: {code}")).hint(format!(
            "grant it: kafka-acls.sh --bootstrap-server {servers} --add --allow-principal User:{user} \
             --operation Write --operation Describe --transactional-id '{id}'"
        ));
    }
    refusal::sink_error(config, code, &what, Some(topic))
}

/// Sees that the topic is there and keeps the last record of each key.
fn prepare(config: &KafkaConfig, topic: &str) -> Result<(), SinkError> {
    check_topic_name(topic)
        .map_err(|error| SinkError::fatal(error.to_string()).hint(error.hint()))?;
    let cluster = Cluster::new(config)?;
    let create = config.create_topics.as_ref().map(|create| TopicCreation {
        partitions: 1,
        replication_factor: create.replication_factor,
        config: SETTINGS
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    });
    let start = Instant::now();
    let mut created = false;
    let facts = loop {
        match (cluster.state(topic, create.as_ref())?, &create) {
            (TopicState::There(facts), _) if facts.partitions > 0 => break facts,
            (TopicState::Creatable, Some(create)) if !created => {
                cluster.create(topic, create)?;
                created = true;
            }
            (TopicState::Missing(Some(error)) | TopicState::Refused(error), _)
                if error.class != ErrorClass::Transient || start.elapsed() > STEP =>
            {
                return Err(error);
            }
            (TopicState::Missing(None), _) => {
                let servers = &config.bootstrap_servers;
                return Err(SinkError::fatal(format!(
                    "there is no kafka topic {topic:?} for checkpoints"
                ))
                .hint(format!(
                    "create it: kafka-topics.sh --bootstrap-server {servers} --create --topic '{topic}' \
                     --partitions 1 --replication-factor 3 --config cleanup.policy=compact"
                )));
            }
            _ if start.elapsed() > STEP => {
                let what = format!("topic {topic:?} has no leader yet");
                return Err(SinkError::transient(what));
            }
            _ => std::thread::sleep(Duration::from_millis(100)),
        }
    };
    compacted(config, &cluster, topic, facts)
}

/// A topic that forgets by age forgets the slot's only checkpoint.
fn compacted(
    config: &KafkaConfig,
    cluster: &Cluster<'_>,
    topic: &str,
    facts: TopicFacts,
) -> Result<(), SinkError> {
    let mut looks = [TopicLook {
        topic: topic.to_owned(),
        tables: Vec::new(),
        single: false,
        state: TopicState::There(facts),
        command: String::new(),
    }];
    cluster.describe(&mut looks);
    let policy = match &looks[0].state {
        TopicState::There(facts) => facts.cleanup_policy.as_deref(),
        _ => None,
    };
    match policy {
        Some("compact") => Ok(()),
        None => {
            tracing::warn!(
                topic,
                "the settings of the topic of checkpoints can't be read: see that its cleanup.policy is \
                 compact"
            );
            Ok(())
        }
        Some(policy) => {
            let servers = &config.bootstrap_servers;
            Err(SinkError::fatal(format!(
                "topic {topic:?} is to keep checkpoints, and with cleanup.policy={policy} it forgets them"
            ))
            .hint(format!(
                "kafka-configs.sh --bootstrap-server {servers} --alter --topic '{topic}' --add-config \
                 cleanup.policy=compact"
            )))
        }
    }
}

impl ConsumerContext for Heard {}

/// Reads all that is committed, to the end: the last record of the slot.
fn read(config: &KafkaConfig, topic: &str, slot: &str) -> Result<Option<Vec<u8>>, SinkError> {
    let failed = |error: &KafkaError| about(config, topic, slot, error);
    let mut client = properties::admin(config);
    client
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        // It is in no group, and librdkafka wants a name all the same.
        .set("group.id", transactional_id(topic, slot));
    let consumer = client.create_with_context(Heard::default());
    let consumer: BaseConsumer<Heard> = consumer.map_err(|error| properties::refused(&error))?;
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(topic, PARTITION, Offset::Beginning)
        .map_err(|error| failed(&error))?;
    consumer.assign(&all).map_err(|error| failed(&error))?;
    let deadline = Instant::now() + READ;
    let mut last = None;
    while Instant::now() < deadline {
        match consumer.poll(Duration::from_secs(1)) {
            Some(Ok(record)) if record.key() == Some(slot.as_bytes()) => {
                last = record.payload().map(<[u8]>::to_vec);
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(last),
            Some(Err(error)) => {
                let code = code_of(&error).unwrap_or(Code::Fail);
                if refusal::meaning(code).0 != ErrorClass::Transient {
                    return Err(failed(&error));
                }
            }
            Some(Ok(_)) | None => {}
        }
    }
    let seconds = READ.as_secs();
    Err(SinkError::transient(format!(
        "the checkpoint of slot {slot} in topic {topic} can't be read within {seconds} s"
    )))
}
