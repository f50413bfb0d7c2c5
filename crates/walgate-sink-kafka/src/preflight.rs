//! A look at the topics before anything is sent: nothing is created and nothing changed.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};
use tokio::runtime::Handle;
use walgate_core::SinkError;

use crate::routes::{Role, Routes, Topic};
use crate::{KafkaConfig, flight, properties, refusal, rights};

/// How long the cluster may take to answer one question.
const ANSWER: Duration = Duration::from_secs(10);

/// A piece of [`ANSWER`]: what the client hears of passwords and certificates ends the wait early.
const PIECE: Duration = Duration::from_secs(1);

/// A topic, as a look has found it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicLook {
    /// Its name.
    pub topic: String,
    /// The tables that go there, as `schema.table`; none for the meta and the stream topic.
    pub tables: Vec<String>,
    /// It must have one partition, and not be compacted.
    pub single: bool,
    /// What there is.
    pub state: TopicState,
    /// The command that creates it, or that raises its limit.
    pub command: String,
}

/// What there is of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicState {
    /// It is there.
    There(TopicFacts),
    /// It is missing, and a start would create it: the brokers have checked that it can.
    Creatable,
    /// It is missing, and a start would not or could not create it; what the brokers say.
    Missing(Option<SinkError>),
    /// The brokers don't let us look at it.
    Refused(SinkError),
}

/// What the brokers say of a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicFacts {
    /// Partitions.
    pub partitions: usize,
    /// The fewest replicas of a partition.
    pub replicas: usize,
    /// The fewest replicas in sync of a partition.
    pub in_sync: usize,
    /// `max.message.bytes`, where it may be read.
    pub max_message_bytes: Option<u64>,
    /// `min.insync.replicas`, where it may be read.
    pub min_in_sync: Option<usize>,
    /// `cleanup.policy` has `compact`.
    pub compacted: bool,
    /// We may write to it; none when the brokers don't say.
    pub writable: Option<bool>,
}

/// Looks at the topics of a sink. It blocks, on a thread of a runtime that may be blocked.
///
/// # Errors
///
/// When the configuration can't be used, or the cluster can't be reached or refuses us.
pub fn look(
    config: &KafkaConfig,
    database: &str,
    tables: &[(String, String)],
) -> Result<Vec<TopicLook>, SinkError> {
    properties::check(config)?;
    let routes = Routes::new(config, database, tables)?;
    let client = properties::admin(config);
    let refused = |error: KafkaError| properties::refused(&error);
    let ear = client.create_with_context(Heard::default());
    let ear: BaseProducer<Heard> = ear.map_err(refused)?;
    let admin = client.create_with_context(Heard::default());
    let admin: AdminClient<Heard> = admin.map_err(refused)?;
    let topics = routes.topics();
    let mut looks = Vec::with_capacity(topics.len());
    for topic in topics {
        let of = tables.iter().filter(|(schema, table)| {
            let route = routes.route(schema, table);
            route.is_some_and(|route| {
                routes
                    .topic(route.topic)
                    .is_some_and(|at| at.name == topic.name)
            })
        });
        let state = state(config, &ear, &admin, topic)?;
        let command = match state {
            TopicState::There(_) => refusal::raise_command(config, &topic.name),
            _ => refusal::create_command(config, &topic.name),
        };
        looks.push(TopicLook {
            topic: topic.name.clone(),
            tables: of
                .map(|(schema, table)| format!("{schema}.{table}"))
                .collect(),
            single: topic.role != Role::Table,
            state,
            command,
        });
    }
    describe(&admin, &mut looks);
    Ok(looks)
}

fn state(
    config: &KafkaConfig,
    ear: &BaseProducer<Heard>,
    admin: &AdminClient<Heard>,
    topic: &Topic,
) -> Result<TopicState, SinkError> {
    let deadline = Instant::now() + ANSWER;
    let metadata = loop {
        match ear.client().fetch_metadata(Some(&topic.name), PIECE) {
            Ok(metadata) => break metadata,
            Err(error) => {
                // An admin client hears nothing of why brokers refuse it.
                ear.poll(Duration::ZERO);
                let heard = ear.context().heard();
                if heard.is_some() || Instant::now() >= deadline {
                    return Err(unreachable(config, heard, &error));
                }
            }
        }
    };
    let described = metadata
        .topics()
        .iter()
        .find(|one| one.name() == topic.name);
    let error = described.map_or(Some(Code::UnknownTopicOrPartition), |described| {
        described.error().map(Code::from)
    });
    let what = format!("topic {:?}", topic.name);
    Ok(match (error, described) {
        (None, Some(described)) => {
            let partitions = described.partitions();
            let least = |count: &dyn Fn(usize) -> usize| (0..partitions.len()).map(count).min();
            let at = |place: usize| partitions.get(place);
            TopicState::There(TopicFacts {
                partitions: partitions.len(),
                replicas: least(&|place| at(place).map_or(0, |one| one.replicas().len()))
                    .unwrap_or(0),
                in_sync: least(&|place| at(place).map_or(0, |one| one.isr().len())).unwrap_or(0),
                ..TopicFacts::default()
            })
        }
        (Some(Code::UnknownTopicOrPartition | Code::UnknownTopic), _) | (None, None) => {
            creatable(config, admin, topic)
        }
        (Some(code), _) => {
            let error = refusal::sink_error(config, code, &what, Some(&topic.name));
            TopicState::Refused(error)
        }
    })
}

/// Whether a start would create it, as the brokers see it.
fn creatable(config: &KafkaConfig, admin: &AdminClient<Heard>, topic: &Topic) -> TopicState {
    let Some(create) = &topic.create else {
        return TopicState::Missing(None);
    };
    let replicas = TopicReplication::Fixed(create.replication_factor);
    let new = NewTopic::new(&topic.name, create.partitions, replicas);
    let settings = create.config.iter();
    let new = settings.fold(new, |new, (name, value)| new.set(name, value));
    let options = AdminOptions::new()
        .request_timeout(Some(ANSWER))
        .operation_timeout(Some(ANSWER))
        .validate_only(true);
    let created = Handle::current().block_on(admin.create_topics([&new], &options));
    let code = match created {
        Ok(results) => results
            .into_iter()
            .find_map(|result| result.err().map(|(_, code)| code)),
        Err(error) => Some(error.rdkafka_error_code().unwrap_or(Code::Fail)),
    };
    match code {
        None | Some(Code::TopicAlreadyExists) => TopicState::Creatable,
        Some(code) => {
            let what = format!("topic {:?} can't be created", topic.name);
            let error = refusal::sink_error(config, code, &what, Some(&topic.name));
            TopicState::Missing(Some(error))
        }
    }
}

/// Adds the settings of the topics that are there, and whether we may write.
fn describe(admin: &AdminClient<Heard>, looks: &mut [TopicLook]) {
    let there = |look: &&TopicLook| matches!(look.state, TopicState::There(_));
    let names: Vec<String> = looks
        .iter()
        .filter(there)
        .map(|look| look.topic.clone())
        .collect();
    if names.is_empty() {
        return;
    }
    let borrowed: Vec<&str> = names.iter().map(String::as_str).collect();
    let asked: Vec<_> = borrowed
        .iter()
        .map(|name| ResourceSpecifier::Topic(name))
        .collect();
    let options = AdminOptions::new().request_timeout(Some(ANSWER));
    let described = Handle::current().block_on(admin.describe_configs(&asked, &options));
    let described = described.unwrap_or_else(|error| {
        tracing::debug!(%error, "the settings of the topics can't be read");
        Vec::new()
    });
    let writable = rights::writable(admin, &borrowed, ANSWER);
    for (place, name) in names.iter().enumerate() {
        let look = looks.iter_mut().find(|look| look.topic == *name);
        let Some(TopicState::There(facts)) = look.map(|look| &mut look.state) else {
            continue;
        };
        if let Some(Ok(resource)) = described.get(place) {
            let value = |name: &str| resource.get(name).and_then(|entry| entry.value.clone());
            let number = |name: &str| value(name).and_then(|value| value.parse().ok());
            facts.max_message_bytes = number("max.message.bytes");
            facts.min_in_sync =
                number("min.insync.replicas").and_then(|count| usize::try_from(count).ok());
            facts.compacted =
                value("cleanup.policy").is_some_and(|value| value.contains("compact"));
        }
        let allowed = writable.iter().find(|(topic, _)| topic == name);
        facts.writable = allowed.map(|(_, may)| *may);
    }
}

fn unreachable(
    config: &KafkaConfig,
    heard: Option<(Code, String)>,
    error: &KafkaError,
) -> SinkError {
    let what = format!("kafka at {} can't be used", config.bootstrap_servers);
    let code = error
        .rdkafka_error_code()
        .unwrap_or(Code::BrokerTransportFailure);
    let (code, reason) = heard.unwrap_or((code, String::new()));
    let mut error = refusal::sink_error(config, code, &what, None);
    if !reason.is_empty() {
        error.message = format!("{what}: {reason}");
    }
    error
}

/// Hears why brokers refuse us.
#[derive(Default)]
struct Heard(Mutex<Option<(Code, String)>>);

impl Heard {
    /// What no wait will change: who we are, or who they are, is not accepted.
    fn heard(&self) -> Option<(Code, String)> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.clone()
    }
}

impl ProducerContext for Heard {
    type DeliveryOpaque = ();

    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}

impl ClientContext for Heard {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        flight::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka admin client");
        let code = error.rdkafka_error_code();
        if let Some(
            code @ (Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::SSL),
        ) = code
        {
            let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            heard.get_or_insert((code, reason.to_owned()));
        }
    }
}
