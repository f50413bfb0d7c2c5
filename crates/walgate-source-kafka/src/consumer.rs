//! One partition, read by hand: no group, nothing committed.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use walgate_core::{Failure, StopReason};

use crate::KafkaSourceOptions;

/// The one partition of a stream topic.
const PARTITION: i32 = 0;

/// How long brokers may take to answer a question.
const ANSWER: Duration = Duration::from_secs(10);

/// How long it may take until what lies at an offset comes.
const FETCH: Duration = Duration::from_secs(30);

/// The header of what a rewind has brought again.
const REPLAY: &str = "walgate-replay";

/// Why the topic can't be read now.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It is tried again.
    Passing(String),
    /// A human has to do something.
    Lasting(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Lasting(failure)
    }
}

/// What comes next.
pub(crate) enum Next<'a> {
    Record(BorrowedMessage<'a>),
    /// There is nothing more now.
    End,
    /// Nothing has come in time.
    Nothing,
}

/// Reads the topic.
pub(crate) struct TopicReader {
    consumer: BaseConsumer<Ear>,
    pub(crate) topic: String,
    /// Where it starts from, as it is configured.
    pub(crate) brokers: String,
}

impl TopicReader {
    /// Connects to nobody yet.
    pub(crate) fn new(options: &KafkaSourceOptions) -> Result<Self, Failure> {
        let mut client = ClientConfig::new();
        for (name, value) in &options.properties {
            client.set(name, value);
        }
        client
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("enable.partition.eof", "true")
            // What was deleted in front of us is told, never passed over.
            .set("auto.offset.reset", "error")
            .set("allow.auto.create.topics", "false")
            // It is in no group, and librdkafka wants a name all the same.
            .set("group.id", "walgate-gateway")
            // What is fetched ahead; a run of the journal is far smaller.
            .set("queued.max.messages.kbytes", "16384")
            .set_log_level(RDKafkaLogLevel::Info);
        let consumer = client.create_with_context(Ear::default());
        let consumer = consumer.map_err(|error: KafkaError| {
            let message = format!("the gateway's connection to kafka is misconfigured: {error}");
            Failure::new(StopReason::Config, message)
                .hint("see [gateway] properties: each has to be one of librdkafka")
        })?;
        Ok(Self {
            consumer,
            topic: options.topic.clone(),
            brokers: options
                .properties
                .get("bootstrap.servers")
                .cloned()
                .unwrap_or_default(),
        })
    }

    /// How many partitions the topic has; none when there is no such topic.
    pub(crate) fn partitions(&self) -> Result<Option<usize>, Trouble> {
        let metadata = self.consumer.fetch_metadata(Some(&self.topic), ANSWER);
        let metadata = metadata.map_err(|error| self.trouble(&error))?;
        let topic = metadata
            .topics()
            .iter()
            .find(|topic| topic.name() == self.topic);
        let Some(topic) = topic else { return Ok(None) };
        match topic.error().map(Code::from) {
            None => Ok(Some(topic.partitions().len())),
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(None),
            Some(code) => Err(self.judge(code, code.to_string())),
        }
    }

    /// The offset of the first record, and that of the next to come.
    pub(crate) fn bounds(&self, within: Duration) -> Result<(i64, i64), Trouble> {
        let bounds = self
            .consumer
            .fetch_watermarks(&self.topic, PARTITION, within);
        bounds.map_err(|error| self.trouble(&error))
    }

    /// The same, with the usual patience.
    pub(crate) fn bounds_soon(&self) -> Result<(i64, i64), Trouble> {
        self.bounds(ANSWER)
    }

    /// The first record that was written at or after that time, in milliseconds since 1970; none when
    /// all are older.
    pub(crate) fn offset_at(&self, millis: i64) -> Result<Option<i64>, Trouble> {
        let mut asked = TopicPartitionList::new();
        let at = Offset::Offset(millis.max(0));
        let added = asked.add_partition_offset(&self.topic, PARTITION, at);
        added.map_err(|error| self.trouble(&error))?;
        let found = self.consumer.offsets_for_times(asked, ANSWER);
        let found = found.map_err(|error| self.trouble(&error))?;
        let elements = found.elements();
        Ok(match elements.first().map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => Some(offset),
            _ => None,
        })
    }

    /// Goes on reading at an offset.
    pub(crate) fn go_to(&self, offset: i64) -> Result<(), Trouble> {
        let mut all = TopicPartitionList::new();
        let added = all.add_partition_offset(&self.topic, PARTITION, Offset::Offset(offset));
        added
            .and_then(|()| self.consumer.assign(&all))
            .map_err(|error| self.trouble(&error))
    }

    /// What comes next.
    pub(crate) fn next(&self, within: Duration) -> Result<Next<'_>, Trouble> {
        match self.consumer.poll(within) {
            None => Ok(Next::Nothing),
            Some(Ok(record)) => Ok(Next::Record(record)),
            Some(Err(KafkaError::PartitionEOF(_))) => Ok(Next::End),
            Some(Err(error)) => Err(self.trouble(&error)),
        }
    }

    /// The next record, of an offset that was gone to; none at the end.
    pub(crate) fn record(&self) -> Result<Option<BorrowedMessage<'_>>, Trouble> {
        let begun = Instant::now();
        loop {
            match self.next(Duration::from_millis(100))? {
                Next::Record(record) => return Ok(Some(record)),
                Next::End => return Ok(None),
                Next::Nothing if begun.elapsed() >= FETCH => {
                    let seconds = FETCH.as_secs();
                    let why = format!("nothing of topic {} has come for {seconds} s", self.topic);
                    return Err(Trouble::Passing(why));
                }
                Next::Nothing => {}
            }
        }
    }

    fn trouble(&self, error: &KafkaError) -> Trouble {
        let heard = self.consumer.context().take();
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        match heard {
            // Its own word says less: that no answer has come in time.
            Some((heard, reason)) if is_transport(code) => self.judge(heard, reason),
            _ => self.judge(code, error.to_string()),
        }
    }

    fn judge(&self, code: Code, reason: String) -> Trouble {
        let topic = &self.topic;
        match code {
            Code::TopicAuthorizationFailed => {
                let message = format!("topic {topic} may not be read: {reason}");
                Trouble::Lasting(Failure::new(StopReason::Permission, message).hint(format!(
                    "grant it: kafka-acls.sh --add --allow-principal User:NAME --operation Read \
                     --operation Describe --topic '{topic}'"
                )))
            }
            Code::Authentication | Code::SaslAuthenticationFailed => {
                let message = format!("kafka does not take who the gateway says it is: {reason}");
                Trouble::Lasting(
                    Failure::new(StopReason::Permission, message)
                        .hint("see [gateway] sasl_username and sasl_password"),
                )
            }
            Code::OffsetOutOfRange | Code::AutoOffsetReset => {
                let message = format!(
                    "topic {topic} no longer has what comes next: it was deleted before it was read ({reason})"
                );
                Trouble::Lasting(Failure::new(StopReason::Gap, message).hint(
                    "start the gateway again: it begins behind what is gone, and clients that need that take \
                     a new copy; give the topic a longer retention.ms",
                ))
            }
            _ => Trouble::Passing(reason),
        }
    }
}

fn is_transport(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::Resolve
    )
}

/// Whether a rewind has brought the record again.
pub(crate) fn is_replay(record: &BorrowedMessage<'_>) -> bool {
    let headers = record.headers();
    headers.is_some_and(|headers| headers.iter().any(|header| header.key == REPLAY))
}

/// Hears what the client says beside its answers.
#[derive(Default)]
pub(crate) struct Ear(Mutex<Option<(Code, String)>>);

impl Ear {
    fn take(&self) -> Option<(Code, String)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ConsumerContext for Ear {}

impl ClientContext for Ear {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters of it the gateway says itself.
        tracing::debug!(?level, facility, "{message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka consumer");
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *heard = Some((code, reason.to_owned()));
    }
}
