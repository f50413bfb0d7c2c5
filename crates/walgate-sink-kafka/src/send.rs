//! From a record to the messages that it becomes.

use std::ffi::CStr;

use rdkafka::error::RDKafkaErrorCode as Code;
use walgate_core::{Batch, Op, Record, SinkError, Span};

use crate::flight::opaque;
use crate::ledger::Sequence;
use crate::live::Live;
use crate::murmur2::partition_of;
use crate::produce::{Headers, Message};
use crate::routes::{Route, Routes, Topic, TopicPlace};

/// What a message costs in memory besides its own bytes: librdkafka's message, list of headers and
/// three headers, each an allocation of its own.
pub(crate) const MESSAGE_OVERHEAD_BYTES: usize = 512;

/// What a record needs in a batch at most besides key, value and the table's name: the batch's
/// header of 61 bytes, lengths and deltas as varints, the headers' names and the id.
const WIRE_OVERHEAD_BYTES: usize = 61 + 40 + 90;

/// The header of what comes again, and what it needs besides its value.
const REPLAY: &CStr = c"walgate-replay";
const REPLAY_OVERHEAD_BYTES: usize = REPLAY.count_bytes() + 4;

/// The key of a truncate or a gap in a compacted topic, which takes no record without a key: the
/// key object of no columns.
const NO_KEY: &[u8] = b"{}";

/// A message of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) topic: TopicPlace,
    pub(crate) partition: i32,
    pub(crate) key: Key,
    /// Without a value.
    pub(crate) tombstone: bool,
}

/// What the headers of a record's messages tell beside id and operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    /// The table, `schema.table`.
    pub(crate) label: Option<&'a str>,
    /// What it comes again by.
    pub(crate) replay: Option<&'a str>,
}

/// The key of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    None,
    /// [`NO_KEY`].
    Empty,
    Of(Span),
}

/// Puts the messages that a record becomes into `messages`, in the order in which they are sent.
/// None when it goes nowhere.
///
/// # Errors
///
/// Fatal, for a row without a key in a compacted topic: it would be refused, and with it the rows
/// around it.
pub(crate) fn plan(
    messages: &mut Vec<Outgoing>,
    routes: &Routes,
    route: Option<&Route>,
    batch: &Batch,
    record: &Record,
) -> Result<(), SinkError> {
    messages.clear();
    match record.op {
        // Nothing leaves a topic: it has no filter of rows.
        Op::Leave => return Ok(()),
        Op::Insert | Op::Update | Op::Delete | Op::Read => {
            if let Some(route) = route {
                plan_row(messages, routes, route, batch, record)?;
            }
        }
        Op::Truncate => {
            if let Some(topic) = route.map(|route| route.topic) {
                plan_everywhere(messages, routes, topic);
            }
        }
        Op::Begin | Op::Commit | Op::Message | Op::Schema => {
            let meta = routes.meta(record.op);
            messages.extend(meta.map(|topic| plan_single(topic, record)));
        }
        Op::Gap => {
            for topic in 0..routes.topics().len() {
                plan_everywhere(messages, routes, topic);
            }
            // It is in the stream topic already.
            return Ok(());
        }
    }
    let stream = routes.stream(record.op);
    messages.extend(stream.map(|topic| plan_single(topic, record)));
    Ok(())
}

fn plan_row(
    messages: &mut Vec<Outgoing>,
    routes: &Routes,
    route: &Route,
    batch: &Batch,
    record: &Record,
) -> Result<(), SinkError> {
    let facts = routes.topic(route.topic).and_then(|topic| topic.facts);
    let partitions = facts.map_or(1, |facts| facts.partitions);
    let Some(key) = record.key else {
        if facts.is_some_and(|facts| facts.compacted) {
            return Err(compacted_without_key(routes, route, record));
        }
        let partition = partition_of(route.label.as_bytes(), partitions);
        messages.push(Outgoing {
            topic: route.topic,
            partition,
            key: Key::None,
            tombstone: false,
        });
        return Ok(());
    };
    let mut push = |key: Span, tombstone: bool| {
        let partition = partition_of(batch.slice(key), partitions);
        messages.push(Outgoing {
            topic: route.topic,
            partition,
            key: Key::Of(key),
            tombstone,
        });
    };
    push(key, false);
    if route.tombstones {
        match (record.op, record.old_key) {
            (Op::Delete, _) => push(key, true),
            (_, Some(old_key)) => push(old_key, true),
            (_, None) => {}
        }
    }
    Ok(())
}

fn compacted_without_key(routes: &Routes, route: &Route, record: &Record) -> SinkError {
    let Route { label, topic, .. } = route;
    let topic = routes.topic(*topic).map_or("", |topic| &topic.name);
    let mut error = SinkError::fatal(format!(
        "table {label} has no key, and topic {topic:?} is compacted: it takes no record without a key"
    ));
    error.position = Some(record.position);
    error.hint(format!(
        "give the table a primary key or a replica identity, or set the topic to cleanup.policy=delete: \
         kafka-configs.sh --alter --topic '{topic}' --add-config cleanup.policy=delete"
    ))
}

fn plan_everywhere(messages: &mut Vec<Outgoing>, routes: &Routes, topic: TopicPlace) {
    let facts = routes.topic(topic).and_then(|topic| topic.facts);
    let key = if facts.is_some_and(|facts| facts.compacted) {
        Key::Empty
    } else {
        Key::None
    };
    let partitions = 0..facts.map_or(1, |facts| facts.partitions);
    messages.extend(partitions.map(|partition| Outgoing {
        topic,
        partition,
        key,
        tombstone: false,
    }));
}

fn plan_single(topic: TopicPlace, record: &Record) -> Outgoing {
    Outgoing {
        topic,
        partition: 0,
        key: record.key.map_or(Key::None, Key::Of),
        tombstone: false,
    }
}

/// Bytes that the messages occupy until they are delivered.
pub(crate) fn bytes(messages: &[Outgoing], record: &Record) -> usize {
    messages
        .iter()
        .map(|message| payload_bytes(message, record) + MESSAGE_OVERHEAD_BYTES)
        .sum()
}

/// Bytes of key and value of a message.
pub(crate) fn payload_bytes(message: &Outgoing, record: &Record) -> usize {
    let key = match message.key {
        Key::None => 0,
        Key::Empty => NO_KEY.len(),
        Key::Of(span) => span.len(),
    };
    key + if message.tombstone {
        0
    } else {
        record.value.len()
    }
}

/// The topic that may refuse the record even in a batch of its own, by its limit.
pub(crate) fn too_large_for<'a>(
    routes: &'a Routes,
    messages: &[Outgoing],
    record: &Record,
    about: About<'_>,
) -> Option<&'a Topic> {
    let replay = about
        .replay
        .map_or(0, |replay| replay.len() + REPLAY_OVERHEAD_BYTES);
    let headers = about.label.map_or(0, str::len) + replay;
    messages.iter().find_map(|message| {
        let topic = routes.topic(message.topic)?;
        let bytes = payload_bytes(message, record) + headers + WIRE_OVERHEAD_BYTES;
        (bytes > topic.limit).then_some(topic)
    })
}

/// Hands a message over to librdkafka, which copies it.
pub(crate) fn send(
    live: &mut Live,
    routes: &Routes,
    message: Outgoing,
    (batch, record): (&Batch, &Record),
    about: About<'_>,
    sequence: Sequence,
) -> Result<(), Code> {
    let Some(topic) = routes.topic(message.topic) else {
        return Err(Code::UnknownTopic);
    };
    live.topic(message.topic, &topic.name)?.produce(Message {
        partition: message.partition,
        key: match message.key {
            Key::None => None,
            Key::Empty => Some(NO_KEY),
            Key::Of(span) => Some(batch.slice(span)),
        },
        value: (!message.tombstone).then(|| batch.slice(record.value)),
        headers: headers(record, about, message.tombstone),
        opaque: opaque(topic.lane(message.partition), sequence),
    })
}

fn headers(record: &Record, about: About<'_>, tombstone: bool) -> Headers {
    let mut headers = Headers::new(3 + usize::from(about.replay.is_some()));
    // A definition has no id of its own: its position is that of the event before it.
    if record.op != Op::Schema {
        let mut id = [0; 27];
        let (position, mark) = id.split_at_mut(25);
        position.copy_from_slice(&record.position.to_ascii());
        mark.copy_from_slice(b"-t");
        let len = if tombstone { id.len() } else { 25 };
        headers.add(c"walgate-id", id.get(..len).unwrap_or_default());
    }
    headers.add(c"walgate-op", record.op.name().as_bytes());
    if let Some(label) = about.label {
        headers.add(c"walgate-table", label.as_bytes());
    }
    if let Some(replay) = about.replay {
        headers.add(REPLAY, replay.as_bytes());
    }
    headers
}
