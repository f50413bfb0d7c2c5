//! The one table from librdkafka's error codes to what happens next.

use rdkafka::error::RDKafkaErrorCode as Code;
use walgate_core::{ErrorClass, SinkError};

use crate::KafkaConfig;

/// What a person can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nothing: it passes.
    Wait,
    /// Grant the rights on the topic.
    TopicAcl,
    /// Grant the rights on the cluster.
    ClusterAcl,
    /// Create the topic.
    CreateTopic,
    /// Raise the topic's `max.message.bytes`.
    RaiseLimit,
    /// Correct user, password or mechanism.
    Credentials,
    /// Correct certificates.
    Certificates,
    /// Correct the bootstrap servers.
    Bootstrap,
    /// Correct what topics are created with.
    TopicSettings,
    /// Correct what the topic accepts.
    TopicPolicy,
    /// Use a broker of this decade.
    Broker,
    /// Find the other instance.
    OtherInstance,
}

use ErrorClass::{Definite, Fatal, Transient};
use Remedy::{
    Bootstrap, Broker, Certificates, ClusterAcl, CreateTopic, Credentials, OtherInstance,
    RaiseLimit, TopicAcl, TopicPolicy, TopicSettings, Wait,
};

/// What each code means. A code that is not here is transient: librdkafka itself retries what it
/// knows to pass, and a producer that is made anew may get over the rest.
const TABLE: &[(Code, ErrorClass, Remedy)] = &[
    // A record that is too large, told by its own refusal.
    (Code::MessageSizeTooLarge, Definite, RaiseLimit),
    (Code::MessageBatchTooLarge, Definite, RaiseLimit),
    (Code::InvalidMessageSize, Definite, RaiseLimit),
    // A topic that is not there, or not yet everywhere.
    (Code::UnknownTopic, Transient, CreateTopic),
    (Code::UnknownTopicOrPartition, Transient, CreateTopic),
    (Code::UnknownPartition, Transient, CreateTopic),
    (Code::UnknownTopicId, Transient, CreateTopic),
    // Rights and identity: librdkafka would retry these for ever.
    (Code::TopicAuthorizationFailed, Fatal, TopicAcl),
    (Code::ClusterAuthorizationFailed, Fatal, ClusterAcl),
    (Code::Authentication, Fatal, Credentials),
    (Code::SaslAuthenticationFailed, Fatal, Credentials),
    (Code::UnsupportedSASLMechanism, Fatal, Credentials),
    (Code::IllegalSASLState, Fatal, Credentials),
    (Code::SSL, Transient, Certificates),
    // The idempotent producer has lost its footing: a new one goes on.
    (Code::Fatal, Transient, Wait),
    (Code::GaplessGuarantee, Transient, Wait),
    (Code::Inconsistent, Transient, Wait),
    (Code::OutOfOrderSequenceNumber, Transient, Wait),
    (Code::DuplicateSequenceNumber, Transient, Wait),
    (Code::UnknownProducerId, Transient, Wait),
    (Code::InvalidProducerEpoch, Transient, Wait),
    (Code::InvalidProducerIdMapping, Transient, Wait),
    (Code::PurgeQueue, Transient, Wait),
    (Code::PurgeInflight, Transient, Wait),
    (Code::Fenced, Fatal, OtherInstance),
    (Code::ProducerFenced, Fatal, OtherInstance),
    // The cluster is away, or busy.
    (Code::QueueFull, Transient, Wait),
    (Code::MessageTimedOut, Transient, Wait),
    (Code::OperationTimedOut, Transient, Bootstrap),
    (Code::RequestTimedOut, Transient, Wait),
    (Code::BrokerTransportFailure, Transient, Bootstrap),
    (Code::AllBrokersDown, Transient, Bootstrap),
    (Code::Resolve, Transient, Bootstrap),
    (Code::NotEnoughReplicas, Transient, Wait),
    (Code::NotEnoughReplicasAfterAppend, Transient, Wait),
    (Code::LeaderNotAvailable, Transient, Wait),
    (Code::NotLeaderForPartition, Transient, Wait),
    (Code::NotController, Transient, Wait),
    (Code::KafkaStorageError, Transient, Wait),
    (Code::ThrottlingQuotaExceeded, Transient, Wait),
    // What is created or produced can't be.
    (Code::InvalidTopic, Fatal, TopicSettings),
    (Code::InvalidPartitions, Fatal, TopicSettings),
    (Code::InvalidReplicationFactor, Fatal, TopicSettings),
    (Code::InvalidConfig, Fatal, TopicSettings),
    (Code::PolicyViolation, Fatal, TopicSettings),
    (Code::InvalidRecord, Fatal, TopicPolicy),
    (Code::InvalidTimestamp, Fatal, TopicPolicy),
    (Code::UnsupportedCompressionType, Fatal, TopicPolicy),
    (Code::UnsupportedVersion, Fatal, Broker),
    (Code::UnsupportedFeature, Fatal, Broker),
    (Code::UnsupportedForMessageFormat, Fatal, Broker),
];

/// What a code means, and what helps.
pub(crate) fn meaning(code: Code) -> (ErrorClass, Remedy) {
    let row = TABLE.iter().find(|(known, _, _)| *known == code);
    row.map_or((Transient, Wait), |(_, class, remedy)| (*class, *remedy))
}

/// How much a code tells about the cause, when one failure shows as several.
pub(crate) fn rank(code: Code) -> u8 {
    match code {
        // The producer gave up, because of something else.
        Code::PurgeQueue | Code::PurgeInflight | Code::Fatal | Code::GaplessGuarantee => 0,
        // What follows a refused batch.
        Code::OutOfOrderSequenceNumber | Code::UnknownProducerId | Code::InvalidProducerEpoch => 1,
        _ => 2,
    }
}

/// An error about `what` (for example `topic "public.orders"`), with its class and the command that
/// helps.
pub(crate) fn sink_error(
    config: &KafkaConfig,
    code: Code,
    what: &str,
    topic: Option<&str>,
) -> SinkError {
    let (class, remedy) = meaning(code);
    let mut error = SinkError::transient(format!("{what}: {code}"));
    // Definite needs the record: the sink says it itself where a record was alone.
    error.class = if class == Definite { Transient } else { class };
    match hint(config, remedy, topic) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn hint(config: &KafkaConfig, remedy: Remedy, topic: Option<&str>) -> Option<String> {
    let servers = &config.bootstrap_servers;
    let topic = topic.unwrap_or("TOPIC");
    let user = config.sasl.as_ref().map_or("NAME", |sasl| &sasl.username);
    let acl =
        format!("kafka-acls.sh --bootstrap-server {servers} --add --allow-principal User:{user}");
    Some(match remedy {
        Wait => return None,
        TopicAcl => {
            let create = if config.create_topics.is_some() { " --operation Create" } else { "" };
            format!("grant it: {acl} --operation Write --operation Describe --operation DescribeConfigs{create} --topic '{topic}'")
        }
        ClusterAcl => format!("grant it: {acl} --operation IdempotentWrite --cluster"),
        CreateTopic => create_command(config, topic),
        RaiseLimit => raise_command(config, topic),
        Credentials => "check user, password and mechanism of this sink's sasl section".to_owned(),
        Certificates => "check the ca, certificate and key of this sink's tls section, and that the brokers' listener speaks TLS".to_owned(),
        Bootstrap => format!("check that {servers} is right and can be reached, also by the names that the brokers advertise"),
        TopicSettings => "check partitions, replication factor and config that topics are created with".to_owned(),
        TopicPolicy => format!("the topic refuses such records: kafka-configs.sh --bootstrap-server {servers} --describe --topic '{topic}' shows its settings (compression, timestamps, compaction)"),
        Broker => "the brokers are too old for an idempotent producer: Kafka 2.4 or later is needed".to_owned(),
        OtherInstance => "another instance has taken over: stop one of them".to_owned(),
    })
}

/// The command that creates a topic.
pub(crate) fn create_command(config: &KafkaConfig, topic: &str) -> String {
    let servers = &config.bootstrap_servers;
    let single = [&config.meta_topic, &config.stream_topic]
        .into_iter()
        .flatten()
        .any(|name| name == topic);
    let partitions = if single { 1 } else { 3 };
    format!(
        "create it: kafka-topics.sh --bootstrap-server {servers} --create --topic '{topic}' \
         --partitions {partitions} --replication-factor 3, or let the sink create its topics"
    )
}

/// The command that raises a topic's limit.
pub(crate) fn raise_command(config: &KafkaConfig, topic: &str) -> String {
    let servers = &config.bootstrap_servers;
    format!(
        "raise it: kafka-configs.sh --bootstrap-server {servers} --alter --topic '{topic}' \
         --add-config max.message.bytes=BYTES"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Sasl, SaslMechanism, Secret};

    /// Section C6 of the list of known failures: each code with its reaction.
    #[test]
    fn classifies_what_is_known_to_happen() {
        let expected = [
            (Code::QueueFull, Transient),
            (Code::MessageTimedOut, Transient),
            (Code::MessageSizeTooLarge, Definite),
            (Code::MessageBatchTooLarge, Definite),
            (Code::UnknownTopicOrPartition, Transient),
            (Code::UnknownTopic, Transient),
            (Code::TopicAuthorizationFailed, Fatal),
            (Code::ClusterAuthorizationFailed, Fatal),
            (Code::Authentication, Fatal),
            (Code::SaslAuthenticationFailed, Fatal),
            (Code::NotEnoughReplicas, Transient),
            (Code::NotEnoughReplicasAfterAppend, Transient),
            (Code::AllBrokersDown, Transient),
            (Code::BrokerTransportFailure, Transient),
            (Code::Fatal, Transient),
            (Code::OutOfOrderSequenceNumber, Transient),
            (Code::UnknownProducerId, Transient),
            (Code::InvalidProducerEpoch, Transient),
            (Code::ProducerFenced, Fatal),
            (Code::Fenced, Fatal),
            // Not in the table.
            (Code::Noop, Transient),
        ];
        for (code, class) in expected {
            assert_eq!(meaning(code).0, class, "{code:?}");
        }
    }

    #[test]
    fn each_code_stands_once() {
        for (place, (code, _, _)) in TABLE.iter().enumerate() {
            assert!(
                !TABLE[..place].iter().any(|(other, _, _)| other == code),
                "{code:?}"
            );
        }
    }

    #[test]
    fn every_error_that_needs_a_human_has_a_remedy() {
        for (code, class, remedy) in TABLE {
            assert!(*class == Transient || *remedy != Wait, "{code:?}");
        }
    }

    #[test]
    fn names_the_acl_to_grant() {
        let mut config = KafkaConfig::new("k1:9092");
        config.sasl = Some(Sasl {
            mechanism: SaslMechanism::ScramSha512,
            username: "gate".to_owned(),
            password: Secret::new("x"),
        });
        let error = sink_error(
            &config,
            Code::TopicAuthorizationFailed,
            "topic \"a.b\"",
            Some("a.b"),
        );
        assert_eq!(error.class, Fatal);
        let hint = error.hint.expect("hint");
        for part in [
            "kafka-acls.sh",
            "k1:9092",
            "User:gate",
            "--operation Write",
            "--topic 'a.b'",
        ] {
            assert!(hint.contains(part), "{hint}");
        }
    }

    #[test]
    fn the_cause_outranks_what_follows_it() {
        assert!(rank(Code::TopicAuthorizationFailed) > rank(Code::OutOfOrderSequenceNumber));
        assert!(rank(Code::OutOfOrderSequenceNumber) > rank(Code::GaplessGuarantee));
    }
}
