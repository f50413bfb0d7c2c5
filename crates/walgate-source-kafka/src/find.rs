//! Where in a topic to begin.

use std::time::{Duration, SystemTime};

use rdkafka::message::{BorrowedMessage, Message};
use walgate_core::{Failure, Lsn, Position, StopReason};

use crate::consumer::{TopicReader, Trouble, is_replay};
use crate::damage::damage;
use crate::{Begin, EventDecoder, decoder};

/// A definition comes again with the first row after a minute; so long before where it begins a reader
/// looks for definitions, with room for a producer that was held up.
const DEFINITIONS_MS: i64 = 5 * 60 * 1000;

/// Below this many records there is no point in halving any more: one fetch brings them all.
const SCAN: i64 = 256;

/// Where the log of a topic without events begins: before all that any server has written, whose first
/// log lies a whole segment further.
pub const EMPTY: Position = Position::new(0, Lsn(1), 0);

/// Where to begin.
pub(crate) struct Found {
    /// Everything up to here is there from before, or is not to be had.
    pub(crate) from: Position,
    /// The record that comes next.
    pub(crate) offset: i64,
    /// Knows the definitions, and what lies before `from`.
    pub(crate) decoder: EventDecoder,
    /// The end of the topic when it was looked for.
    pub(crate) end: i64,
    /// The topic has no event, so that nobody knows whether it had any behind what is there from before.
    pub(crate) unproven: bool,
}

/// Finds where to begin. Blocks.
pub(crate) fn find(reader: &TopicReader, begin: Begin) -> Result<Found, Trouble> {
    check(reader)?;
    let (low, end) = reader.bounds_soon()?;
    let Some(last) = last(reader, (low, end))? else {
        return without_events(reader, begin, (low, end));
    };
    if let Some(behind) = begin.behind
        && behind.epoch() == last.position.epoch()
        && let Some(at) = at_or_before(reader, behind, (low, end))?
    {
        let decoder = definitions(reader, &at, low)?;
        return Ok(going_on(decoder, behind, at.offset, end));
    }
    let since = now_millis().saturating_sub(millis(begin.window));
    let oldest = reader.offset_at(since)?.unwrap_or(end);
    let oldest = oldest.clamp(low, last.offset);
    let Some(at) = first_from(reader, oldest, end)? else {
        let why = "the last event of the topic is gone since it was looked for";
        return Err(Trouble::Passing(why.to_owned()));
    };
    let decoder = definitions(reader, &at, low)?;
    let is_all = oldest == 0 && at.is_first;
    let boundary = boundary(reader, at.offset, is_all, last.position.epoch())?;
    let (from, offset) = boundary.ok_or_else(|| {
        Trouble::Passing("it waits for the end of a transaction of the topic".to_owned())
    })?;
    Ok(going_on(decoder, from, offset, end))
}

fn going_on(mut decoder: EventDecoder, from: Position, offset: i64, end: i64) -> Found {
    decoder.begin(from);
    Found {
        from,
        offset,
        decoder,
        end,
        unproven: false,
    }
}

/// A topic that was never written to, or has lost all events to its retention: everything that it has was read.
fn without_events(
    reader: &TopicReader,
    begin: Begin,
    (low, end): (i64, i64),
) -> Result<Found, Trouble> {
    let decoder = learn(reader, (low, end))?;
    let from = begin.behind.unwrap_or(EMPTY);
    Ok(Found {
        // Where nothing is there from before, nobody was promised anything.
        unproven: from != EMPTY,
        ..going_on(decoder, from, end, end)
    })
}

/// A topic with several partitions has no order, and one that is missing is not made: nobody would
/// write to it.
fn check(reader: &TopicReader) -> Result<(), Trouble> {
    let topic = &reader.topic;
    let refused = |message: String, hint: String| {
        Err(Failure::new(StopReason::Config, message).hint(hint).into())
    };
    match reader.partitions()? {
        Some(1) => Ok(()),
        // It has no leader yet.
        Some(0) => Err(Trouble::Passing(format!("topic {topic} has no leader yet"))),
        Some(count) => refused(
            format!(
                "topic {topic} has {count} partitions, and only one keeps the order of the log"
            ),
            format!(
                "create another: kafka-topics.sh --create --topic {topic}-1 --partitions 1 --config \
                 cleanup.policy=delete, and name it as stream_topic of the kafka sink"
            ),
        ),
        None => refused(
            format!("there is no topic {topic}"),
            format!(
                "let walgate run write it: stream_topic = \"{topic}\" in its sink of type kafka"
            ),
        ),
    }
}

/// A record with an id.
#[derive(Debug, Clone, Copy)]
struct At {
    offset: i64,
    position: Position,
    millis: Option<i64>,
    /// It is the first that was looked at.
    is_first: bool,
}

/// The position of a record that counts: a definition has none, and what a rewind has brought does not.
fn position(
    reader: &TopicReader,
    record: &BorrowedMessage<'_>,
) -> Result<Option<Position>, Trouble> {
    let Some(value) = record.payload().filter(|_| !is_replay(record)) else {
        return Ok(None);
    };
    let position = EventDecoder::position(value);
    Ok(position.map_err(|error| damage(reader, record.offset(), &error))?)
}

/// The first record with a position at `offset` or behind it, before `end`.
fn first_from(reader: &TopicReader, offset: i64, end: i64) -> Result<Option<At>, Trouble> {
    reader.go_to(offset)?;
    let mut is_first = true;
    while let Some(record) = reader.record()? {
        if record.offset() >= end {
            return Ok(None);
        }
        if let Some(position) = position(reader, &record)? {
            return Ok(Some(At {
                offset: record.offset(),
                position,
                millis: record.timestamp().to_millis(),
                is_first,
            }));
        }
        // A definition in front of it is no event that is missing.
        is_first &= !is_replay(&record);
    }
    Ok(None)
}

/// The last record with a position.
fn last(reader: &TopicReader, (low, end): (i64, i64)) -> Result<Option<At>, Trouble> {
    let mut span = SCAN;
    loop {
        let from = end.saturating_sub(span).max(low);
        let mut last = first_from(reader, from, end)?;
        while let Some(found) = last {
            // The reader stands behind it already.
            let Some(record) = reader.record()? else {
                return Ok(last);
            };
            if record.offset() >= end {
                return Ok(last);
            }
            if let Some(position) = position(reader, &record)? {
                last = Some(At {
                    offset: record.offset(),
                    position,
                    millis: record.timestamp().to_millis(),
                    is_first: false,
                });
            } else {
                last = Some(found);
            }
        }
        if from == low {
            return Ok(None);
        }
        span = span.saturating_mul(16);
    }
}

/// A record that is not behind `position`; none when the topic's first is. From any record on, everything
/// that is behind it in the log comes behind it in the topic, so that any will do, the later the better.
fn at_or_before(
    reader: &TopicReader,
    wanted: Position,
    (low, end): (i64, i64),
) -> Result<Option<At>, Trouble> {
    let Some(mut found) = first_from(reader, low, end)?.filter(|at| at.position <= wanted) else {
        return Ok(None);
    };
    let mut above = end;
    while above - found.offset > SCAN {
        let middle = found.offset + (above - found.offset) / 2;
        match first_from(reader, middle, above)? {
            Some(at) if at.position <= wanted => found = at,
            _ => above = middle,
        }
    }
    Ok(Some(found))
}

/// A decoder that knows the definitions of the time before a record.
fn definitions(reader: &TopicReader, at: &At, low: i64) -> Result<EventDecoder, Trouble> {
    let from = match at.millis {
        Some(millis) => reader.offset_at(millis.saturating_sub(DEFINITIONS_MS))?,
        None => Some(low),
    };
    let from = from.unwrap_or(low).clamp(low, at.offset);
    learn(reader, (from, at.offset))
}

/// A decoder that knows the definitions between two offsets.
fn learn(reader: &TopicReader, (from, end): (i64, i64)) -> Result<EventDecoder, Trouble> {
    let mut decoder = EventDecoder::new(Position::ZERO);
    if from >= end {
        return Ok(decoder);
    }
    reader.go_to(from)?;
    while let Some(record) = reader.record()? {
        if record.offset() >= end {
            break;
        }
        if let Some(value) = record.payload() {
            let learnt = decoder.learn(value);
            learnt.map_err(|error| damage(reader, record.offset(), &error))?;
        }
    }
    Ok(decoder)
}

/// The first place at or behind `offset` where a transaction of that epoch begins, and the record behind
/// it. `is_all`: nothing was ever written before `offset`.
fn boundary(
    reader: &TopicReader,
    offset: i64,
    is_all: bool,
    epoch: u8,
) -> Result<Option<(Position, i64)>, Trouble> {
    reader.go_to(offset)?;
    let mut before: Option<Position> = None;
    while let Some(record) = reader.record()? {
        let Some(position) = position(reader, &record)? else {
            continue;
        };
        if position.epoch() != epoch {
            continue;
        }
        let at = |index| Position::new(epoch, position.lsn(), index);
        let (this, next) = (record.offset(), record.offset() + 1);
        match position.index() {
            // Behind a message or a gap. A transaction may commit at its LSN.
            0 => return Ok(Some((position, next))),
            Position::COMMIT => return Ok(Some((behind(position), next))),
            Position::BEGIN => return Ok(Some((at(0), this))),
            _ if before.is_none() && is_all => return Ok(Some((at(0), this))),
            // What is repeated may begin anywhere.
            _ if before.is_some_and(|before| before.lsn() < position.lsn()) => {
                return Ok(Some((at(0), this)));
            }
            _ => before = Some(position),
        }
    }
    Ok(None)
}

/// Behind a transaction, as the decoder counts its end.
fn behind(commit: Position) -> Position {
    let end = decoder::behind(commit.lsn());
    Position::new(commit.epoch(), end, 0)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    millis(since.unwrap_or_default())
}
