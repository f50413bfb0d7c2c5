//! Topics are checked before anything is sent, and created where that is allowed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{ClientContext, Statistics};
use tokio::runtime::Handle;
use walgate_core::SinkError;

use crate::flight::{self, Flight};
use crate::routes::{Facts, Role, Topic};
use crate::{KafkaConfig, properties, refusal};

/// How long the cluster may take to answer: as long as a connection with TLS, SASL and a slow name
/// server may take, and short enough that a wrong address is told soon.
const ANSWER: Duration = Duration::from_secs(10);

/// A piece of [`ANSWER`]: more than a round trip around the world.
const PIECE: Duration = Duration::from_secs(2);

/// How long the settings of topics may take. Who answers at all does so soon; a cluster that can't
/// tell them must not hold up the start.
const SETTINGS: Duration = Duration::from_secs(5);

/// How long a created topic may take until every broker knows it and it has leaders.
const PROPAGATION: Duration = Duration::from_secs(30);

/// Between two looks at a topic that is being created.
const LOOK: Duration = Duration::from_millis(50);

/// Why a check failed.
#[derive(Debug)]
pub(crate) enum CheckError {
    /// Topics are missing and may not be created.
    Missing(SinkError),
    /// The cluster can't be reached.
    Unreachable(SinkError),
    /// Everything else.
    Other(SinkError),
}

/// Checks topics, creating those that are missing and may be created.
///
/// It blocks, for as long as the cluster takes to answer: it runs on the runtime's blocking
/// threads.
pub(crate) fn check(
    config: &KafkaConfig,
    producer: &Arc<BaseProducer<Flight>>,
    topics: &[Topic],
) -> Result<Vec<(String, Facts)>, CheckError> {
    let mut missing = Vec::new();
    let mut found = Vec::new();
    for topic in topics {
        match partitions(config, producer, topic, Instant::now() + PROPAGATION)? {
            Some(count) => found.push((topic, count)),
            None => missing.push(topic),
        }
    }
    if !missing.is_empty() {
        create(config, &missing)?;
        let deadline = Instant::now() + PROPAGATION;
        for topic in missing {
            found.push((topic, await_created(config, producer, topic, deadline)?));
        }
    }
    let settings = settings(config, topics);
    let mut facts = Vec::with_capacity(found.len());
    for (topic, partitions) in found {
        let setting = settings.iter().find(|setting| setting.topic == topic.name);
        let facts_of = Facts {
            partitions,
            max_message_bytes: setting.and_then(|setting| setting.max_message_bytes),
            compacted: setting.is_some_and(|setting| setting.compacted),
        };
        check_single(topic, facts_of)?;
        facts.push((topic.name.clone(), facts_of));
    }
    Ok(facts)
}

/// The meta and the stream topic have one partition, and are not compacted.
fn check_single(topic: &Topic, facts: Facts) -> Result<(), CheckError> {
    let (kind, name) = match topic.role {
        Role::Table => return Ok(()),
        Role::Meta => ("meta", &topic.name),
        Role::Stream => ("stream", &topic.name),
    };
    let partitions = facts.partitions;
    if partitions != 1 {
        let error = SinkError::fatal(format!(
            "{kind} topic {name:?} has {partitions} partitions, it must have one"
        ));
        return Err(CheckError::Other(error.hint(
            "events keep the order of the log only within one partition: use another topic",
        )));
    }
    if facts.compacted {
        let error = SinkError::fatal(format!("{kind} topic {name:?} is compacted"));
        return Err(CheckError::Other(error.hint(format!(
            "compaction takes events away: kafka-configs.sh --alter --topic '{name}' --add-config cleanup.policy=delete"
        ))));
    }
    Ok(())
}

/// Asks for a topic, in pieces of time: what the polling thread hears of passwords and certificates
/// ends the wait early.
fn metadata(
    config: &KafkaConfig,
    producer: &BaseProducer<Flight>,
    topic: &str,
) -> Result<Metadata, CheckError> {
    let deadline = Instant::now() + ANSWER;
    loop {
        let error = match producer.client().fetch_metadata(Some(topic), PIECE) {
            Ok(metadata) => return Ok(metadata),
            Err(error) => error,
        };
        let flight = producer.context();
        if flight.failed() || flight.distrusts() || Instant::now() >= deadline {
            return Err(unreachable(config, flight, &error));
        }
        std::thread::sleep(LOOK);
    }
}

/// The partitions of a topic; `None` when there is no such topic.
fn partitions(
    config: &KafkaConfig,
    producer: &BaseProducer<Flight>,
    topic: &Topic,
    deadline: Instant,
) -> Result<Option<i32>, CheckError> {
    loop {
        let metadata = metadata(config, producer, &topic.name)?;
        let described = metadata
            .topics()
            .iter()
            .find(|described| described.name() == topic.name);
        let error = described.map_or(Some(Code::UnknownTopicOrPartition), |described| {
            described.error().map(Code::from)
        });
        match error {
            None => {
                let count = described.map_or(0, |described| described.partitions().len());
                if count > 0 {
                    // Kafka's own bound is far below 2^31.
                    return Ok(Some(count as i32));
                }
            }
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => return Ok(None),
            // The topic is there, its leaders are being elected.
            Some(Code::LeaderNotAvailable) => {}
            Some(code) => return Err(CheckError::Other(about(config, code, &topic.name))),
        }
        if Instant::now() >= deadline {
            return Err(CheckError::Other(about(
                config,
                Code::LeaderNotAvailable,
                &topic.name,
            )));
        }
        std::thread::sleep(LOOK);
    }
}

fn about(config: &KafkaConfig, code: Code, topic: &str) -> SinkError {
    refusal::sink_error(config, code, &format!("topic {topic:?}"), Some(topic))
}

/// The cluster did not answer: the polling thread has heard why.
fn unreachable(config: &KafkaConfig, flight: &Flight, error: &KafkaError) -> CheckError {
    let servers = &config.bootstrap_servers;
    let what = format!("kafka at {servers} can't be used");
    if let Some(refused) = flight.refusal() {
        let mut error = refusal::sink_error(config, refused.code, &what, None);
        error.message = format!("{}: {}", error.message, refused.reason);
        return CheckError::Other(error);
    }
    let code = error
        .rdkafka_error_code()
        .unwrap_or(Code::BrokerTransportFailure);
    let (code, reason) = flight.trouble().unwrap_or((code, String::new()));
    let mut error = refusal::sink_error(config, code, &what, None);
    if !reason.is_empty() {
        error.message = format!("{what}: {reason}");
    }
    CheckError::Unreachable(error)
}

fn create(config: &KafkaConfig, missing: &[&Topic]) -> Result<(), CheckError> {
    if let Some(topic) = missing.iter().find(|topic| topic.create.is_none()) {
        let names: Vec<_> = missing
            .iter()
            .map(|topic| format!("{:?}", topic.name))
            .collect();
        let error = SinkError::transient(format!("there is no kafka topic {}", names.join(", ")));
        let hint = refusal::create_command(config, &topic.name);
        return Err(CheckError::Missing(error.hint(hint)));
    }
    let wanted: Vec<_> = missing
        .iter()
        .filter_map(|topic| topic.create.as_ref().map(|create| (topic, create)))
        .map(|(topic, create)| {
            let replicas = TopicReplication::Fixed(create.replication_factor);
            let new = NewTopic::new(&topic.name, create.partitions, replicas);
            create
                .config
                .iter()
                .fold(new, |new, (name, value)| new.set(name, value))
        })
        .collect();
    let created = with_admin(config, ANSWER, |admin, options| {
        Handle::current().block_on(admin.create_topics(&wanted, options))
    });
    let created = created.map_err(|error| {
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        CheckError::Other(refusal::sink_error(
            config,
            code,
            "topics can't be created",
            None,
        ))
    })?;
    for result in created {
        match result {
            Ok(name) => tracing::info!(topic = name, "created topic"),
            // Somebody was faster.
            Err((_, Code::TopicAlreadyExists)) => {}
            Err((name, code)) => {
                let what = format!("topic {name:?} can't be created");
                return Err(CheckError::Other(refusal::sink_error(
                    config,
                    code,
                    &what,
                    Some(&name),
                )));
            }
        }
    }
    Ok(())
}

fn await_created(
    config: &KafkaConfig,
    producer: &BaseProducer<Flight>,
    topic: &Topic,
    deadline: Instant,
) -> Result<i32, CheckError> {
    loop {
        if let Some(count) = partitions(config, producer, topic, deadline)? {
            return Ok(count);
        }
        if Instant::now() >= deadline {
            return Err(CheckError::Other(about(
                config,
                Code::UnknownTopicOrPartition,
                &topic.name,
            )));
        }
        std::thread::sleep(LOOK);
    }
}

/// What a topic is set to.
struct Setting {
    topic: String,
    max_message_bytes: Option<usize>,
    compacted: bool,
}

/// The settings of the topics that may be read. Reading needs the right DescribeConfigs; without
/// it the broker's defaults are assumed, and corrected by what is refused.
fn settings(config: &KafkaConfig, topics: &[Topic]) -> Vec<Setting> {
    let asked: Vec<_> = topics
        .iter()
        .map(|topic| ResourceSpecifier::Topic(&topic.name))
        .collect();
    if asked.is_empty() {
        return Vec::new();
    }
    let described = with_admin(config, SETTINGS, |admin, options| {
        Handle::current().block_on(admin.describe_configs(&asked, options))
    });
    let described = described.unwrap_or_else(|error| {
        tracing::info!(%error, "the settings of the topics can't be read, the broker's defaults are assumed");
        Vec::new()
    });
    let mut settings = Vec::with_capacity(topics.len());
    for (topic, result) in topics.iter().zip(described) {
        match result {
            Ok(resource) => {
                let value = |name: &str| resource.get(name).and_then(|entry| entry.value.clone());
                settings.push(Setting {
                    topic: topic.name.clone(),
                    max_message_bytes: value("max.message.bytes")
                        .and_then(|value| value.parse().ok()),
                    compacted: value("cleanup.policy")
                        .is_some_and(|value| value.contains("compact")),
                });
            }
            Err(code) => tracing::info!(
                topic = topic.name, %code,
                "the settings of the topic can't be read, the broker's defaults are assumed"
            ),
        }
    }
    settings
}

/// Runs an admin request with a client of its own: rdkafka's doesn't share the producer's, and an
/// idle connection for something that is needed once would only be another thing to break.
fn with_admin<T>(
    config: &KafkaConfig,
    answer: Duration,
    request: impl FnOnce(&AdminClient<Quiet>, &AdminOptions) -> Result<T, KafkaError>,
) -> Result<T, KafkaError> {
    let admin: AdminClient<Quiet> = properties::admin(config).create_with_context(Quiet)?;
    let options = AdminOptions::new()
        .request_timeout(Some(answer))
        .operation_timeout(Some(answer));
    request(&admin, &options)
}

/// A context whose troubles the request itself tells.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        flight::log(level, facility, message);
    }

    fn stats(&self, _: Statistics) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka admin client");
    }
}
