//! What is said of a record that can't be read.

use walgate_core::{Failure, StopReason};

use crate::DecodeError;
use crate::consumer::TopicReader;

/// The failure that a record is: with its place, and what to do.
pub(crate) fn damage(reader: &TopicReader, offset: i64, error: &DecodeError) -> Failure {
    let topic = &reader.topic;
    let message = format!("topic {topic}, partition 0, offset {offset}: {error}");
    let (reason, hint) = match error {
        DecodeError::Epoch { .. } => (StopReason::Gap, error.hint().to_owned()),
        DecodeError::Undefined { .. } => (StopReason::Data, error.hint().to_owned()),
        _ => (StopReason::Data, pass(reader, offset, error)),
    };
    Failure::new(reason, message).hint(hint)
}

/// How to go on behind a record: nothing of ours passes over it, so that no gateway serves a hole as if it
/// were none.
fn pass(reader: &TopicReader, offset: i64, error: &DecodeError) -> String {
    let (topic, brokers) = (&reader.topic, &reader.brokers);
    let (cause, behind) = (error.hint(), offset.saturating_add(1));
    format!(
        "{cause}; to go on behind it, delete it and all before it from the topic: \
         echo '{{\"version\":1,\"partitions\":[{{\"topic\":\"{topic}\",\"partition\":0,\"offset\":{behind}}}]}}' \
         > passed.json && kafka-delete-records.sh --bootstrap-server {brokers} --offset-json-file passed.json; \
         then start the gateway again: clients that need what is gone are told so"
    )
}
