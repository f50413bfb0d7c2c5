//! Questions to a cluster, outside of any delivery. They block, on a thread of a runtime that may be
//! blocked.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication, TopicResult,
};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};
use tokio::runtime::Handle;
use walgate_core::SinkError;

use crate::preflight::{TopicFacts, TopicLook, TopicState};
use crate::{KafkaConfig, TopicCreation, flight, properties, refusal, rights};

/// How long the cluster may take to answer one question.
const ANSWER: Duration = Duration::from_secs(10);

/// A piece of [`ANSWER`]: what the client hears of passwords and certificates ends the wait early.
const PIECE: Duration = Duration::from_secs(1);

/// A cluster that is asked.
pub(crate) struct Cluster<'a> {
    config: &'a KafkaConfig,
    /// Hears why brokers refuse us, which an admin client does not.
    ear: BaseProducer<Heard>,
    admin: AdminClient<Heard>,
}

impl<'a> Cluster<'a> {
    /// Asks nothing yet.
    ///
    /// # Errors
    ///
    /// When the configuration can't be used.
    pub(crate) fn new(config: &'a KafkaConfig) -> Result<Self, SinkError> {
        properties::check(config)?;
        let client = properties::admin(config);
        let refused = |error: KafkaError| properties::refused(&error);
        let ear = client.create_with_context(Heard::default());
        let admin = client.create_with_context(Heard::default());
        Ok(Self {
            config,
            ear: ear.map_err(refused)?,
            admin: admin.map_err(refused)?,
        })
    }

    /// What there is of a topic.
    ///
    /// # Errors
    ///
    /// When the cluster can't be reached, or refuses us.
    pub(crate) fn state(
        &self,
        topic: &str,
        create: Option<&TopicCreation>,
    ) -> Result<TopicState, SinkError> {
        let deadline = Instant::now() + ANSWER;
        let metadata = loop {
            match self.ear.client().fetch_metadata(Some(topic), PIECE) {
                Ok(metadata) => break metadata,
                Err(error) => {
                    self.ear.poll(Duration::ZERO);
                    let heard = self.ear.context().heard();
                    if heard.is_some() || Instant::now() >= deadline {
                        return Err(unreachable(self.config, heard, &error));
                    }
                }
            }
        };
        let described = metadata.topics().iter().find(|one| one.name() == topic);
        let error = described.map_or(Some(Code::UnknownTopicOrPartition), |described| {
            described.error().map(Code::from)
        });
        Ok(match (error, described) {
            (None, Some(described)) => {
                let all = described.partitions().iter();
                let replicas = all.clone().map(|one| one.replicas().len()).min();
                let in_sync = all.map(|one| one.isr().len()).min();
                TopicState::There(TopicFacts {
                    partitions: described.partitions().len(),
                    replicas: replicas.unwrap_or(0),
                    in_sync: in_sync.unwrap_or(0),
                    ..TopicFacts::default()
                })
            }
            (Some(Code::UnknownTopicOrPartition | Code::UnknownTopic), _) | (None, None) => {
                self.creatable(topic, create)
            }
            (Some(code), _) => {
                let what = format!("topic {topic:?}");
                let error = refusal::sink_error(self.config, code, &what, Some(topic));
                TopicState::Refused(error)
            }
        })
    }

    /// Whether a start would create it, as the brokers see it.
    fn creatable(&self, topic: &str, create: Option<&TopicCreation>) -> TopicState {
        let Some(create) = create else {
            return TopicState::Missing(None);
        };
        match self.ask_to_create(topic, create, true) {
            Ok(()) => TopicState::Creatable,
            Err(error) => TopicState::Missing(Some(error)),
        }
    }

    /// Creates a topic. One that is there meanwhile is as good.
    ///
    /// # Errors
    ///
    /// When the brokers refuse.
    pub(crate) fn create(&self, topic: &str, create: &TopicCreation) -> Result<(), SinkError> {
        self.ask_to_create(topic, create, false)?;
        tracing::info!(topic, "created topic");
        Ok(())
    }

    fn ask_to_create(
        &self,
        topic: &str,
        create: &TopicCreation,
        validate_only: bool,
    ) -> Result<(), SinkError> {
        let replicas = TopicReplication::Fixed(create.replication_factor);
        let new = NewTopic::new(topic, create.partitions, replicas);
        let settings = create.config.iter();
        let new = settings.fold(new, |new, (name, value)| new.set(name, value));
        let options = AdminOptions::new()
            .request_timeout(Some(ANSWER))
            .operation_timeout(Some(ANSWER))
            .validate_only(validate_only);
        let created = Handle::current().block_on(self.admin.create_topics([&new], &options));
        let failed = |result: TopicResult| result.err().map(|(_, code)| code);
        let code = match created {
            Ok(results) => results.into_iter().find_map(failed),
            Err(error) => Some(error.rdkafka_error_code().unwrap_or(Code::Fail)),
        };
        match code {
            None | Some(Code::TopicAlreadyExists) => Ok(()),
            Some(code) => {
                let what = format!("topic {topic:?} can't be created");
                Err(refusal::sink_error(self.config, code, &what, Some(topic)))
            }
        }
    }

    /// Adds the settings of the topics that are there, and whether we may write.
    pub(crate) fn describe(&self, looks: &mut [TopicLook]) {
        let there = |look: &&TopicLook| matches!(look.state, TopicState::There(_));
        let names = looks.iter().filter(there).map(|look| look.topic.clone());
        let names: Vec<String> = names.collect();
        if names.is_empty() {
            return;
        }
        let borrowed: Vec<&str> = names.iter().map(String::as_str).collect();
        let asked = borrowed.iter().map(|name| ResourceSpecifier::Topic(name));
        let asked: Vec<_> = asked.collect();
        let options = AdminOptions::new().request_timeout(Some(ANSWER));
        let described = Handle::current().block_on(self.admin.describe_configs(&asked, &options));
        let described = described.unwrap_or_else(|error| {
            tracing::debug!(%error, "the settings of the topics can't be read");
            Vec::new()
        });
        let writable = rights::writable(&self.admin, &borrowed, ANSWER);
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
                facts.cleanup_policy = value("cleanup.policy");
            }
            let allowed = writable.iter().find(|(topic, _)| topic == name);
            facts.writable = allowed.map(|(_, may)| *may);
        }
    }
}

pub(crate) fn unreachable(
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
pub(crate) struct Heard(Mutex<Option<(Code, String)>>);

impl Heard {
    /// What no wait will change: who we are, or who they are, is not accepted.
    pub(crate) fn heard(&self) -> Option<(Code, String)> {
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
