//! From the configuration to librdkafka's properties.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use walgate_core::SinkError;

use crate::KafkaConfig;

/// Properties that are ours: setting them would break order or durability, or has a field.
const RESERVED: &[(&str, &str)] = &[
    ("bootstrap.servers", "set the sink's bootstrap servers"),
    ("metadata.broker.list", "set the sink's bootstrap servers"),
    (
        "enable.idempotence",
        "it keeps retries from changing the order and is always on",
    ),
    (
        "enable.gapless.guarantee",
        "it keeps a refused batch from being overtaken and is always on",
    ),
    (
        "acks",
        "it is always all: a change is confirmed to PostgreSQL only once replicas hold it",
    ),
    ("request.required.acks", "it is always all: see acks"),
    (
        "message.timeout.ms",
        "a slow broker is waited for, never given up",
    ),
    (
        "delivery.timeout.ms",
        "a slow broker is waited for, never given up",
    ),
    ("retries", "a slow broker is waited for, never given up"),
    (
        "message.send.max.retries",
        "a slow broker is waited for, never given up",
    ),
    ("partitioner", "it is always Java's murmur2"),
    ("transactional.id", "Kafka's transactions are not used"),
    ("queuing.strategy", "it is always fifo"),
    ("delivery.report.only.error", "every report is needed"),
    ("allow.auto.create.topics", "set the sink's topic creation"),
    ("compression.codec", "set the sink's compression"),
    ("compression.type", "set the sink's compression"),
    ("queue.buffering.max.kbytes", "set the sink's buffer_bytes"),
    ("log_level", "set the log level of the program"),
];

/// Largest record that is handed to librdkafka at all. Brokers drop a connection that sends more
/// than `socket.request.max.bytes`, 104857600 by default, which would look like an outage without
/// an end; so it stays below that.
const MESSAGE_MAX_BYTES: usize = 100_000_000;

/// How long messages wait for company, in ms: librdkafka's most. A batch goes out because it is full
/// or because the sink asks for a [flush](crate::flush); a message that is older than this while the
/// one before it is not answered makes librdkafka spin.
const LINGER_MS: &str = "900000";

/// How often librdkafka reports its statistics, in ms; new partitions are noticed with them.
const STATISTICS_INTERVAL_MS: &str = "5000";

/// Most messages in librdkafka's queue. The bound that counts is the sink's
/// [`buffer_bytes`](KafkaConfig::buffer_bytes); this one is for who lowers it.
const QUEUE_MAX_MESSAGES: &str = "1000000";

/// Refuses what can't be: unknown or reserved properties, values out of range, files that can't
/// be read.
pub(crate) fn check(config: &KafkaConfig) -> Result<(), SinkError> {
    if config.bootstrap_servers.trim().is_empty() {
        return Err(SinkError::fatal(
            "no kafka bootstrap servers are configured",
        ));
    }
    for name in config.properties.keys() {
        if let Some((_, why)) = RESERVED.iter().find(|(reserved, _)| reserved == name) {
            return Err(SinkError::fatal(format!("kafka property {name} can't be set")).hint(*why));
        }
    }
    let files = config
        .tls
        .iter()
        .flat_map(|tls| [&tls.ca, &tls.certificate, &tls.key]);
    for path in files.flatten() {
        // librdkafka's own words for it name neither the file nor the reason.
        std::fs::read(path).map_err(|error| {
            let what = format!("kafka's tls file {} can't be read: {error}", path.display());
            SinkError::fatal(what).hint("ca, certificate and key are the paths of PEM files")
        })?;
    }
    let native = producer(config, DEFAULT_BATCH_BYTES).create_native_config();
    native.map(drop).map_err(|error| refused(&error))
}

/// `batch.size` while no topic's limit asks for less. What is in flight is copied once more, so
/// batches of librdkafka's default, 1 MB, cost 30 MiB more memory for four partitions and find nothing
/// left in the processor's cache; half of this costs the broker more requests than it saves here.
pub(crate) const DEFAULT_BATCH_BYTES: usize = 250_000;

/// `batch.size` when no topic takes more than `limit`.
pub(crate) fn batch_bytes(config: &KafkaConfig, limit: usize) -> usize {
    let chosen = config.properties.get("batch.size");
    let chosen = chosen.and_then(|size| size.parse().ok());
    limit.min(chosen.unwrap_or(DEFAULT_BATCH_BYTES))
}

/// The properties of the producer, for topics that take batches up to `limit`.
pub(crate) fn producer(config: &KafkaConfig, limit: usize) -> ClientConfig {
    let mut client = ClientConfig::new();
    client
        .set("linger.ms", LINGER_MS)
        .set("message.max.bytes", MESSAGE_MAX_BYTES.to_string())
        .set("queue.buffering.max.messages", QUEUE_MAX_MESSAGES)
        .set("statistics.interval.ms", STATISTICS_INTERVAL_MS);
    connection(config, &mut client);
    let batch_bytes = batch_bytes(config, limit);
    client
        .set("batch.size", batch_bytes.to_string())
        .set("enable.idempotence", "true")
        .set("enable.gapless.guarantee", "true")
        .set("acks", "all")
        .set("message.timeout.ms", "0")
        // The largest there is: the sink's own bound counts, and a record above it must still fit.
        .set("queue.buffering.max.kbytes", i32::MAX.to_string());
    client
}

/// The properties of the client that creates and describes topics.
pub(crate) fn admin(config: &KafkaConfig) -> ClientConfig {
    let mut client = ClientConfig::new();
    connection(config, &mut client);
    client
}

fn connection(config: &KafkaConfig, client: &mut ClientConfig) {
    client
        .set("client.id", "walgate")
        .set("bootstrap.servers", &config.bootstrap_servers)
        // Missing topics are an error or created as configured, never as the broker pleases.
        .set("allow.auto.create.topics", "false")
        .set("compression.type", config.compression.name())
        .set("socket.keepalive.enable", "true")
        // An outage's end is noticed within this time.
        .set("reconnect.backoff.max.ms", "2000")
        // What matters of its log is said by the sink itself.
        .set_log_level(RDKafkaLogLevel::Info);
    let protocol = match (config.tls.is_some(), config.sasl.is_some()) {
        (false, false) => "plaintext",
        (true, false) => "ssl",
        (false, true) => "sasl_plaintext",
        (true, true) => "sasl_ssl",
    };
    client.set("security.protocol", protocol);
    if let Some(sasl) = &config.sasl {
        client
            .set("sasl.mechanism", sasl.mechanism.name())
            .set("sasl.username", &sasl.username)
            .set("sasl.password", sasl.password.expose());
    }
    if let Some(tls) = &config.tls {
        let files = [
            ("ssl.ca.location", &tls.ca),
            ("ssl.certificate.location", &tls.certificate),
            ("ssl.key.location", &tls.key),
        ];
        for (name, path) in files {
            if let Some(path) = path {
                client.set(name, path.to_string_lossy());
            }
        }
        if let Some(password) = &tls.key_password {
            client.set("ssl.key.password", password.expose());
        }
    }
    for (name, value) in &config.properties {
        client.set(name, value);
    }
}

/// librdkafka refused a property, or the files that properties name.
pub(crate) fn refused(error: &KafkaError) -> SinkError {
    // Neither its own text nor librdkafka's: both may repeat the value, which may be a secret.
    match error {
        KafkaError::ClientConfig(_, _, name, _) => SinkError::fatal(format!(
            "kafka property {name} is unknown or has a wrong value"
        ))
        .hint("librdkafka's CONFIGURATION.md lists the properties and their ranges"),
        KafkaError::ClientCreation(text) => {
            SinkError::fatal(format!("the kafka client can't be created: {text}"))
                .hint("check the files and the combination of properties of this sink")
        }
        other => SinkError::fatal(format!("the kafka client can't be created: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use walgate_core::ErrorClass;

    use super::*;
    use crate::{Sasl, SaslMechanism, Secret, Tls};

    fn with(name: &str, value: &str) -> KafkaConfig {
        let mut config = KafkaConfig::new("localhost:9092");
        config.properties.insert(name.to_owned(), value.to_owned());
        config
    }

    #[test]
    fn passes_properties_through() {
        let config = with("linger.ms", "50");
        assert_eq!(check(&config), Ok(()));
        assert_eq!(producer(&config, 1000).get("linger.ms"), Some("50"));
    }

    #[test]
    fn the_limit_of_a_topic_bounds_the_batch_size() {
        let size = |chosen: &str, limit| {
            producer(&with("batch.size", chosen), limit)
                .get("batch.size")
                .map(str::to_owned)
        };
        assert_eq!(size("5000", 1000).as_deref(), Some("1000"));
        assert_eq!(size("500", 1000).as_deref(), Some("500"));
        assert_eq!(size("500000", 1_000_000).as_deref(), Some("500000"));
        let config = KafkaConfig::new("localhost:9092");
        assert_eq!(batch_bytes(&config, 1_000_000), DEFAULT_BATCH_BYTES);
    }

    #[test]
    fn refuses_unknown_and_reserved_properties() {
        for (name, value) in [
            ("linger.msec", "5"),
            ("linger.ms", "much"),
            ("acks", "1"),
            ("retries", "3"),
        ] {
            let error = check(&with(name, value)).expect_err(name);
            assert_eq!(error.class, ErrorClass::Fatal);
            assert!(error.message.contains(name), "{error}");
        }
        assert!(check(&KafkaConfig::new(" ")).is_err());
    }

    #[test]
    fn what_is_reserved_can_always_be_set_by_ourselves() {
        let set = producer(&KafkaConfig::new("localhost:9092"), 1000);
        let native = set
            .create_native_config()
            .expect("the producer's own properties");
        assert_eq!(
            native.get("enable.gapless.guarantee").as_deref(),
            Ok("true")
        );
        assert_eq!(native.get("acks").as_deref(), Ok("-1"));
        assert_eq!(
            native.get("allow.auto.create.topics").as_deref(),
            Ok("false")
        );
    }

    #[test]
    fn secrets_are_never_printed() {
        let mut config = with("sasl.oauthbearer.client.secret", "hunter-property");
        config.sasl = Some(Sasl {
            mechanism: SaslMechanism::Plain,
            username: "gate".to_owned(),
            password: Secret::new("hunter-sasl"),
        });
        config.tls = Some(Tls {
            key_password: Some("hunter-key".into()),
            ..Tls::default()
        });
        let printed = format!("{config:?}");
        assert!(!printed.contains("hunter"), "{printed}");
        assert!(printed.contains("gate"), "{printed}");
        let wrong =
            check(&with("enable.ssl.certificate.verification", "hunter")).expect_err("not a bool");
        assert!(!format!("{wrong:?}").contains("hunter"), "{wrong:?}");
    }
}
