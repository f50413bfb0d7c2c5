//! server.properties of a throw-away broker.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::certificates::{CertificateFiles, Certificates};
use crate::error::ThrowawayError;
use crate::kafka::options::KafkaOptions;
use crate::ports::free_port;

/// What every throw-away broker has: one node that is broker and controller, nothing replicated,
/// no waiting for a group to fill, internal topics of one partition because 50 take seconds.
const PROPERTIES: &[(&str, &str)] = &[
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    ("inter.broker.listener.name", "PLAINTEXT"),
    ("auto.create.topics.enable", "false"),
    ("group.initial.rebalance.delay.ms", "0"),
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "1"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("log.segment.delete.delay.ms", "0"),
    // A broker that comes back after a kill waits until its old session has ended: 9 s by default.
    // Shorter than 3 s and a busy machine loses a session that is alive.
    ("broker.session.timeout.ms", "3000"),
    ("broker.heartbeat.interval.ms", "500"),
    ("num.network.threads", "2"),
    ("num.io.threads", "2"),
    ("log.cleaner.dedupe.buffer.size", "8388608"),
];

/// Ports of a broker's listeners, the same after every restart.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ports {
    pub(crate) plain: u16,
    pub(crate) controller: u16,
    pub(crate) proxied: Option<u16>,
    pub(crate) sasl: Option<u16>,
    pub(crate) tls: Option<u16>,
    pub(crate) sasl_tls: Option<u16>,
}

impl Ports {
    /// Free ports for the listeners that the options ask for.
    pub(crate) fn choose(options: &KafkaOptions) -> Result<Self, ThrowawayError> {
        let when = |wanted: bool| {
            if wanted {
                free_port().map(Some)
            } else {
                Ok(None)
            }
        };
        let sasl = !options.users.is_empty();
        Ok(Self {
            plain: free_port()?,
            controller: free_port()?,
            proxied: when(options.advertised.is_some())?,
            sasl: when(sasl)?,
            tls: when(options.tls)?,
            sasl_tls: when(sasl && options.tls)?,
        })
    }

    /// Name, protocol and port of each listener that clients use.
    fn listeners(&self) -> Vec<(&'static str, &'static str, u16)> {
        [
            ("PLAINTEXT", "PLAINTEXT", Some(self.plain)),
            ("PROXIED", "PLAINTEXT", self.proxied),
            ("SASL", "SASL_PLAINTEXT", self.sasl),
            ("TLS", "SSL", self.tls),
            ("SASLTLS", "SASL_SSL", self.sasl_tls),
        ]
        .into_iter()
        .filter_map(|(name, protocol, port)| Some((name, protocol, port?)))
        .collect()
    }
}

/// Writes server.properties to `file`.
pub(crate) fn write(
    file: &Path,
    data: &Path,
    ports: &Ports,
    options: &KafkaOptions,
    certificates: Option<&Certificates>,
) -> Result<(), ThrowawayError> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |name: &str, value: String| all.insert(name.to_owned(), value);
    for (name, value) in PROPERTIES {
        set(name, (*value).to_owned());
    }
    set("log.dirs", data.to_string_lossy().into_owned());
    let controller = format!("127.0.0.1:{}", ports.controller);
    set("controller.quorum.bootstrap.servers", controller.clone());
    let listeners = ports.listeners();
    let mut bound: Vec<String> = vec![format!("CONTROLLER://{controller}")];
    let mut advertised = Vec::new();
    let mut protocols = vec!["CONTROLLER:PLAINTEXT".to_owned()];
    for (name, protocol, port) in &listeners {
        bound.push(format!("{name}://127.0.0.1:{port}"));
        protocols.push(format!("{name}:{protocol}"));
        match options.advertised {
            Some(address) if *name == "PROXIED" => advertised.push(format!("{name}://{address}")),
            _ => advertised.push(format!("{name}://127.0.0.1:{port}")),
        }
    }
    set("listeners", bound.join(","));
    set("advertised.listeners", advertised.join(","));
    set("listener.security.protocol.map", protocols.join(","));
    if !options.users.is_empty() {
        set(
            "sasl.enabled.mechanisms",
            "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512".into(),
        );
        for listener in ["sasl", "sasltls"] {
            let at = format!("listener.name.{listener}");
            set(
                &format!("{at}.plain.sasl.jaas.config"),
                plain_jaas(&options.users),
            );
            for mechanism in ["scram-sha-256", "scram-sha-512"] {
                set(
                    &format!("{at}.{mechanism}.sasl.jaas.config"),
                    SCRAM_JAAS.into(),
                );
            }
        }
    }
    if let Some(certificates) = certificates {
        let server = certificates.issue_server("broker", &["localhost", "127.0.0.1"])?;
        let keystore = write_keystore(&server)?;
        set("ssl.keystore.type", "PEM".into());
        set("ssl.keystore.location", keystore);
        set("ssl.truststore.type", "PEM".into());
        set(
            "ssl.truststore.location",
            certificates.ca().to_string_lossy().into_owned(),
        );
    }
    if options.authorizer {
        let class = "org.apache.kafka.metadata.authorizer.StandardAuthorizer";
        set("authorizer.class.name", class.into());
        set("super.users", "User:ANONYMOUS".into());
    }
    for (name, value) in &options.properties {
        set(name, value.clone());
    }
    let mut text = String::new();
    for (name, value) in &all {
        writeln!(text, "{name}={}", value.replace('\\', "\\\\"))
            .map_err(|error| ThrowawayError::Setup(error.to_string()))?;
    }
    fs::write(file, text).map_err(ThrowawayError::io("write", file))
}

const SCRAM_JAAS: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required;";

/// Refuses what would need another quoting in each of JAAS, SCRAM and properties syntax.
pub(crate) fn check_users(users: &[(String, String)]) -> Result<(), ThrowawayError> {
    let plain = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_alphanumeric() || " -_.!".contains(c))
    };
    match users
        .iter()
        .find(|(name, password)| !plain(name) || !plain(password))
    {
        None => Ok(()),
        Some((name, _)) => Err(ThrowawayError::Setup(format!(
            "kafka user {name}: name and password may have letters, digits, spaces and -_.! only"
        ))),
    }
}

fn plain_jaas(users: &[(String, String)]) -> String {
    let mut text = "org.apache.kafka.common.security.plain.PlainLoginModule required".to_owned();
    for (name, password) in users {
        text.push_str(&format!(" user_{name}=\"{password}\""));
    }
    text.push(';');
    text
}

/// A PEM key store is the key and then the certificate in one file.
fn write_keystore(files: &CertificateFiles) -> Result<String, ThrowawayError> {
    let read = |path: &Path| fs::read_to_string(path).map_err(ThrowawayError::io("read", path));
    let text = format!("{}{}", read(&files.key)?, read(&files.certificate)?);
    let store = files.key.with_extension("pem");
    fs::write(&store, text).map_err(ThrowawayError::io("write", &store))?;
    Ok(store.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_needs_quoting_is_refused() {
        assert!(check_users(&[("alice".into(), "wonder land!".into())]).is_ok());
        assert!(check_users(&[("alice".into(), "a\"b".into())]).is_err());
        assert!(check_users(&[(String::new(), "a".into())]).is_err());
    }

    #[test]
    fn the_callers_properties_win_and_the_proxied_listener_advertises_the_proxy() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("server.properties");
        let mut options = KafkaOptions::default().property("num.io.threads", "7");
        options.advertised = Some("127.0.0.1:1234".parse().unwrap());
        let ports = Ports {
            plain: 1,
            controller: 2,
            proxied: Some(3),
            ..Ports::default()
        };
        write(&file, dir.path(), &ports, &options, None).unwrap();
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains("num.io.threads=7\n"), "{text}");
        assert!(
            text.contains(
                "advertised.listeners=PLAINTEXT://127.0.0.1:1,PROXIED://127.0.0.1:1234\n"
            )
        );
    }
}
