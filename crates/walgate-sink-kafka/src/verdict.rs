//! What the errors of a producer and of a check mean for the chain.

use std::time::{Duration, Instant};

use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::producer::Producer;
use walgate_core::{Batch, ErrorClass, Position, Record, SinkError};

use crate::flight::Refusal;
use crate::ledger::Sequence;
use crate::routes::Topic;
use crate::send::Outgoing;
use crate::sink::{KafkaSink, not_open};
use crate::topics::CheckError;
use crate::{KafkaConfig, refusal};

/// How long a topic may be missing once the sink has worked: metadata needs time to spread, and
/// somebody may be about to create it.
const MISSING: Duration = Duration::from_secs(60);

/// Most bytes of a key that an error shows.
const SHOWN_KEY_BYTES: usize = 200;

/// A record that may be too large, in flight by itself.
#[derive(Debug)]
pub(crate) struct Alone {
    pub(crate) sequence: Sequence,
    pub(crate) position: Position,
    /// Table, key and bytes, for the error.
    pub(crate) what: String,
}

impl KafkaSink {
    /// What a failed check of topics means now.
    pub(crate) fn judge(&mut self, error: CheckError) -> SinkError {
        match error {
            CheckError::Missing(mut error) => {
                let since = *self.missing_since.get_or_insert_with(Instant::now);
                if !self.opened || since.elapsed() >= MISSING {
                    error.class = ErrorClass::Fatal;
                }
                error
            }
            CheckError::Unreachable(mut error) => {
                let distrusts = self
                    .live
                    .as_ref()
                    .is_some_and(|live| live.flight().distrusts());
                // Certificates that never worked won't by waiting.
                if !self.opened && distrusts {
                    error.class = ErrorClass::Fatal;
                }
                error
            }
            CheckError::Other(error) => error,
        }
    }

    /// librdkafka didn't take a message.
    pub(crate) fn refused_at_once(&self, code: Code, message: Outgoing) -> SinkError {
        let topic = self
            .routes
            .topic(message.topic)
            .map_or("", |topic| &topic.name);
        match &self.alone {
            Some(alone) if refusal::meaning(code).0 == ErrorClass::Definite => {
                too_large(&self.config, alone, topic, self.routes.topic_named(topic))
            }
            _ => refusal::sink_error(&self.config, code, &format!("topic {topic:?}"), Some(topic)),
        }
    }

    /// The error of a producer that has failed, once its last reports are in.
    pub(crate) async fn failure(&mut self) -> SinkError {
        let Some(live) = &self.live else {
            return not_open();
        };
        live.drained().await;
        let fatal = live.producer().client().fatal_error();
        let Some(refused) = live.flight().refusal() else {
            return SinkError::transient("the kafka producer has failed");
        };
        let Refusal {
            code,
            reason,
            message,
            ..
        } = refused;
        let Some(message) = message.filter(|_| code != Code::Fatal) else {
            let (code, reason) = fatal
                .filter(|_| code == Code::Fatal)
                .unwrap_or((code, reason));
            let what = "the kafka producer can't go on";
            let mut error = refusal::sink_error(&self.config, code, what, None);
            if !reason.is_empty() {
                error.message = format!("{}: {reason}", error.message);
            }
            return error;
        };
        let topic = message.topic.as_str();
        if refusal::meaning(code).0 == ErrorClass::Definite {
            if let Some(alone) = self
                .alone
                .as_ref()
                .filter(|alone| alone.sequence == message.sequence)
            {
                return too_large(&self.config, alone, topic, self.routes.topic_named(topic));
            }
            self.routes.lower_limit(topic);
            return SinkError::transient(format!(
                "topic {topic:?} refused a batch as too large ({code}): smaller ones follow"
            ));
        }
        let at = message
            .position
            .map(|position| format!(" the event {position}"))
            .unwrap_or_default();
        let what = format!("topic {topic:?} refused{at}");
        refusal::sink_error(&self.config, code, &what, Some(topic))
    }
}

/// Table, key and bytes of a record that may be too large.
pub(crate) fn describe_large(batch: &Batch, record: &Record, label: &str, topic: &Topic) -> String {
    let bytes = record.value.len();
    let of = if label.is_empty() {
        record.op.name().to_owned()
    } else {
        format!("table {label}")
    };
    let key = record.key.map_or_else(String::new, |key| {
        let key = batch.slice(key);
        let shown = String::from_utf8_lossy(key.get(..SHOWN_KEY_BYTES).unwrap_or(key));
        format!(" with key {shown}")
    });
    format!(
        "{of}: the event{key} has {bytes} bytes, topic {:?} takes {}",
        topic.name, topic.limit
    )
}

fn too_large(config: &KafkaConfig, alone: &Alone, name: &str, topic: Option<&Topic>) -> SinkError {
    let known = topic.is_some_and(|topic| {
        topic
            .facts
            .is_some_and(|facts| facts.max_message_bytes.is_some())
    });
    let limit = if known {
        "max.message.bytes"
    } else {
        "an assumed max.message.bytes"
    };
    SinkError::definite(alone.position, format!("{} ({limit})", alone.what))
        .hint(refusal::raise_command(config, name))
}
