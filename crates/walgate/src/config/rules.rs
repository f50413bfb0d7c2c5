//! Rules between keys: what is valid by itself and makes no sense together.

mod gateway;
mod guard;
mod http;
mod journal;
mod state;
mod websocket;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::document::Node;
use super::load::Surroundings;
use super::problem::Problem;
use super::{
    Config, Destination, Kafka, OnDefinite, PublicationMode, SaslMechanism, Sink, Size,
    TablePattern, TableRule,
};

/// The longest name of a sink: it becomes part of file names and of log lines.
const MAX_SINK_NAME_BYTES: usize = 63;

/// Adds what is wrong to `problems`.
pub(super) fn rules(
    config: &Config,
    document: &Node,
    surroundings: &Surroundings,
    problems: &mut Vec<Problem>,
) {
    let mut rules = Rules { document, problems };
    rules.source(config);
    rules.memory(config, surroundings.memory);
    rules.journal(config);
    rules.state(config);
    rules.gateway(config);
    rules.guard(config);
    rules.watch(config);
    rules.http(config);
    if config.sinks.is_empty() {
        let hint = "give a [sinks.NAME]; `walgate config example` shows each kind";
        rules.refuse(&["sinks"], "there is no sink", hint);
    } else if !config.sinks.values().any(|sink| sink.required) && !config.journal.confirms() {
        let message = "no sink is required: nothing would say what may be confirmed to PostgreSQL";
        let hint = "set required = true for one, or let a journal on disk confirm: [journal] path";
        rules.refuse(&["sinks"], message, hint);
    }
    rules.shared_outputs(config);
    for (name, sink) in &config.sinks {
        rules.sink(config, name, sink);
    }
}

struct Rules<'a> {
    document: &'a Node,
    problems: &'a mut Vec<Problem>,
}

impl Rules<'_> {
    fn refuse(&mut self, path: &[&str], message: impl Into<String>, hint: impl Into<String>) {
        self.problems
            .push(Problem::new(self.document.place(path), message).hint(hint));
    }

    fn source(&mut self, config: &Config) {
        let source = &config.source;
        if let Some(timeout) = source.wal_sender_timeout
            && source.status_interval.0 * 3 > timeout.0
        {
            self.refuse(
                &["source", "status_interval"],
                "`source.status_interval` is more than a third of `source.wal_sender_timeout`: \
                 one lost status and the server hangs up",
                format!("with wal_sender_timeout = \"{timeout}\", at most a third of it"),
            );
        }
        for pattern in source
            .tables
            .iter()
            .filter(|pattern| pattern.0.one_table().is_none())
        {
            let message =
                format!("`source.tables` takes tables by name, not the pattern {pattern}");
            self.refuse(
                &["source", "tables"],
                message,
                "patterns belong to [sinks.NAME] tables",
            );
        }
        for (place, name) in source.publications.iter().enumerate() {
            self.publication(
                name,
                source
                    .publications
                    .iter()
                    .take(place)
                    .any(|other| other == name),
            );
        }
        if source.publication_mode == PublicationMode::Manage {
            if source.tables.is_empty() {
                let message = "`source.publication_mode = \"manage\"` needs `source.tables`";
                self.refuse(
                    &["source", "publication_mode"],
                    message,
                    "for example tables = [\"public.orders\"]",
                );
            }
            if source.publications.len() > 1 {
                let message = "`source.publication_mode = \"manage\"` takes one publication";
                self.refuse(
                    &["source", "publications"],
                    message,
                    "name one, or use \"verify\"",
                );
            }
        }
        let password_command = source
            .password_command
            .as_ref()
            .and_then(|words| words.first());
        if password_command.is_some_and(|program| program.trim().is_empty()) {
            let message = "`source.password_command` has an empty program";
            self.refuse(
                &["source", "password_command"],
                message,
                "write [\"program\", \"argument\", …]",
            );
        }
    }

    fn publication(&mut self, name: &str, again: bool) {
        let path = ["source", "publications"];
        let hint = "a publication's name has 1 to 63 bytes; blanks, commas and quotes are fine";
        if name.is_empty() {
            self.refuse(&path, "`source.publications` has an empty name", hint);
        } else if name.len() > 63 {
            // PostgreSQL cuts it silently, and then finds another one or none.
            self.refuse(
                &path,
                "`source.publications` has a name longer than 63 bytes",
                hint,
            );
        } else if again {
            self.refuse(
                &path,
                "`source.publications` has a name twice",
                "leave one out",
            );
        }
    }

    fn memory(&mut self, config: &Config, machine: Option<u64>) {
        let memory = config.journal.memory;
        if let Some(machine) = machine.filter(|machine| memory.0 >= *machine) {
            let machine = Size(machine >> 20 << 20);
            let message = format!("`journal.memory` is {memory}, and the machine has {machine}");
            self.refuse(
                &["journal", "memory"],
                message,
                "the default of 16MiB is enough for most",
            );
        }
        for (name, sink) in &config.sinks {
            if sink.batch.bytes > memory {
                let message = format!("`sinks.{name}.batch.bytes` is larger than `journal.memory`");
                let hint =
                    format!("at most {memory}: a batch never holds more than waits in memory");
                self.refuse(&["sinks", name, "batch", "bytes"], message, hint);
            }
        }
    }

    /// Two writers in one place would mix their lines.
    fn shared_outputs(&mut self, config: &Config) {
        let mut files = BTreeMap::<PathBuf, String>::new();
        let mut stdout = None::<&str>;
        for (name, sink) in &config.sinks {
            let path = match &sink.destination {
                Destination::File(file) => Some((&file.path, vec!["sinks", name, "path"])),
                Destination::Stdout(_) | Destination::Kafka(_) | Destination::Websocket(_) => None,
            };
            let dead = sink.dead_letter.file.as_ref();
            let dead = dead.map(|path| (path, vec!["sinks", name, "dead_letter", "file"]));
            for (path, key) in path.into_iter().chain(dead) {
                // A device takes what everybody writes.
                if path.starts_with("/dev") {
                    continue;
                }
                let dotted = key.join(".");
                if let Some(other) = files.insert(plain(path), dotted.clone()) {
                    let message = format!("`{dotted}` is the same file as `{other}`");
                    self.refuse(&key, message, "give each its own file");
                }
            }
            if matches!(sink.destination, Destination::Stdout(_)) {
                if let Some(other) = stdout {
                    let message =
                        format!("`sinks.{name}` and `sinks.{other}` both write to standard output");
                    self.refuse(
                        &["sinks", name, "type"],
                        message,
                        "leave one out, or let it write to a file",
                    );
                }
                stdout = Some(name);
            }
        }
    }

    fn sink(&mut self, config: &Config, name: &str, sink: &Sink) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > MAX_SINK_NAME_BYTES || !name.chars().all(allowed) {
            let message = format!("`sinks.{name:?}` is not a name for a sink");
            self.refuse(
                &["sinks", name],
                message,
                "use 1 to 63 of the characters a-z, A-Z, 0-9, _ and -",
            );
        }
        self.dead_letter(name, sink);
        self.masking(name, sink);
        for (pattern, rule) in &sink.rules {
            self.rule(name, sink, pattern, rule);
        }
        match &sink.destination {
            Destination::Kafka(kafka) => self.kafka(name, kafka),
            Destination::Websocket(push) => self.websocket(config, name, sink, push),
            Destination::Stdout(_) | Destination::File(_) => {}
        }
    }

    fn dead_letter(&mut self, name: &str, sink: &Sink) {
        let path = ["sinks", name, "dead_letter"];
        let dead = &sink.dead_letter;
        let given = usize::from(dead.file.is_some()) + usize::from(dead.topic.is_some());
        let hint = "give dead_letter = { file = \"…\" } or { topic = \"…\" } with on_definite = \"dead-letter\"";
        match (sink.on_definite, given) {
            (OnDefinite::DeadLetter, 0) => {
                let message = format!(
                    "`sinks.{name}.on_definite = \"dead-letter\"` needs a place for dead letters"
                );
                self.refuse(&["sinks", name, "on_definite"], message, hint);
            }
            (OnDefinite::Stop, 1..) => {
                let message =
                    format!("`sinks.{name}.dead_letter` is never used with on_definite = \"stop\"");
                self.refuse(&path, message, hint);
            }
            (OnDefinite::DeadLetter, 2..) => {
                let message = format!("`sinks.{name}.dead_letter` has both a file and a topic");
                self.refuse(&path, message, "choose one");
            }
            (OnDefinite::DeadLetter | OnDefinite::Stop, _) => {}
        }
        if dead.topic.is_some() && !matches!(sink.destination, Destination::Kafka(_)) {
            let kind = sink.destination.name();
            let message = format!(
                "`sinks.{name}.dead_letter.topic` needs a sink of type kafka, this is {kind}"
            );
            self.refuse(&path, message, "write dead letters to a file");
        }
    }

    fn masking(&mut self, name: &str, sink: &Sink) {
        let masks = sink.rules.values().any(|rule| !rule.mask.is_empty());
        match (&sink.mask_key, masks) {
            (None, true) => {
                let message = format!("`sinks.{name}` masks columns and has no `mask_key`");
                let hint = "for example mask_key = \"${file:/etc/walgate/mask.key}\"";
                self.refuse(&["sinks", name, "rules"], message, hint);
            }
            (Some(_), false) => {
                let message =
                    format!("`sinks.{name}.mask_key` is never used: no rule masks a column");
                self.refuse(
                    &["sinks", name, "mask_key"],
                    message,
                    "leave it out, or give a rule with mask",
                );
            }
            (None, false) | (Some(_), true) => {}
        }
    }

    fn rule(&mut self, name: &str, sink: &Sink, pattern: &str, rule: &TableRule) {
        let path = ["sinks", name, "rules", pattern];
        let tables = match pattern.parse::<TablePattern>() {
            Ok(tables) => tables,
            Err(refused) => {
                let message = format!(
                    "a table of `sinks.{name}.rules` {}: {pattern:?}",
                    refused.problem
                );
                return self.refuse(&path, message, refused.hint.unwrap_or_default());
            }
        };
        let key = rule.key.as_deref().unwrap_or_default();
        for columns in [&rule.drop[..], &rule.mask[..], key] {
            let twice = |place: usize, column: &String| {
                columns.iter().take(place).any(|other| other == column)
            };
            if columns
                .iter()
                .enumerate()
                .any(|(place, column)| column.is_empty() || twice(place, column))
            {
                let message =
                    format!("`sinks.{name}.rules` has an empty column or one twice for {tables}");
                self.refuse(&path, message, "name each column once");
            }
        }
        for column in rule.drop.iter().filter(|column| rule.mask.contains(column)) {
            let message =
                format!("`sinks.{name}.rules` both drops and masks {column:?} of {tables}");
            self.refuse(&path, message, "choose one");
        }
        let lost = |column: &&String| rule.drop.contains(column) || rule.mask.contains(column);
        if let Some(column) = key.iter().find(lost).filter(|_| !rule.allow_key_columns) {
            let message = format!(
                "`sinks.{name}.rules` drops or masks {column:?}, which is in the key of {tables}"
            );
            let hint = "rows without their key can't be told apart; if that is meant, set allow_key_columns = true";
            self.refuse(&path, message, hint);
        }
        let for_kafka = rule.topic.is_some() || rule.tombstones.is_some();
        if for_kafka && !matches!(sink.destination, Destination::Kafka(_)) {
            let message = format!(
                "`sinks.{name}.rules` has a topic or tombstones, and the sink is not of type kafka"
            );
            self.refuse(&path, message, "leave them out");
        } else if for_kafka && tables.0.one_table().is_none() {
            let message =
                format!("`sinks.{name}.rules` has a topic or tombstones for the pattern {tables}");
            self.refuse(&path, message, "name one table, such as \"public.orders\"");
        }
    }

    fn kafka(&mut self, name: &str, kafka: &Kafka) {
        for broker in &kafka.brokers {
            if let Err(problem) = check_broker(broker) {
                let message = format!("`sinks.{name}.brokers` {problem}");
                self.refuse(
                    &["sinks", name, "brokers"],
                    message,
                    "write host:port, such as \"kafka.example.com:9092\"",
                );
            }
        }
        if kafka.meta_topic.is_some() && kafka.meta_topic == kafka.stream_topic {
            let message =
                format!("`sinks.{name}.meta_topic` and `stream_topic` are the same topic");
            self.refuse(
                &["sinks", name, "stream_topic"],
                message,
                "the stream has those events too; leave one out",
            );
        }
        let sasl = [kafka.sasl_username.is_some(), kafka.sasl_password.is_some()];
        if kafka.sasl_mechanism.is_some() != sasl[0] || sasl[0] != sasl[1] {
            let message = format!(
                "`sinks.{name}` needs all of `sasl_mechanism`, `sasl_username` and `sasl_password`, or none"
            );
            self.refuse(
                &["sinks", name],
                message,
                "other mechanisms go through `properties`",
            );
        }
        if kafka.sasl_mechanism == Some(SaslMechanism::Plain) && !kafka.tls {
            let message = format!(
                "`sinks.{name}.sasl_mechanism = \"PLAIN\"` sends the password in plain text"
            );
            self.refuse(
                &["sinks", name, "sasl_mechanism"],
                message,
                "set tls = true, or use SCRAM-SHA-512",
            );
        }
        let files = [
            &kafka.tls_ca_file,
            &kafka.tls_certificate_file,
            &kafka.tls_key_file,
        ];
        if !kafka.tls && files.iter().any(|file| file.is_some()) {
            let message = format!("`sinks.{name}` names files for TLS, and TLS is off");
            self.refuse(&["sinks", name], message, "set tls = true");
        }
        if kafka.tls_certificate_file.is_some() != kafka.tls_key_file.is_some() {
            let message = format!(
                "`sinks.{name}` needs both `tls_certificate_file` and `tls_key_file`, or none"
            );
            self.refuse(
                &["sinks", name],
                message,
                "a certificate is of no use without its key",
            );
        }
    }
}

/// `host:port`, with an IPv6 address in brackets.
fn check_broker(broker: &str) -> Result<(), &'static str> {
    if broker.is_empty() {
        return Err("has an empty address");
    }
    if broker
        .chars()
        .any(|c| c.is_whitespace() || c == ',' || c == '/')
    {
        return Err("has an address with a blank, a comma or a slash");
    }
    let (host, port) = broker
        .rsplit_once(':')
        .ok_or("has an address without a port")?;
    if host.is_empty() || (host.contains(':') && !(host.starts_with('[') && host.ends_with(']'))) {
        return Err("has an address without a host, or an IPv6 address without brackets");
    }
    match port.parse::<u16>() {
        Ok(1..) => Ok(()),
        Ok(0) | Err(_) => Err("has a port that is not between 1 and 65535"),
    }
}

/// A path without `.` and `..`, as text: two spellings of one file are one file.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                if !plain.pop() {
                    plain.push(part);
                }
            }
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => plain.push(part),
        }
    }
    plain
}
