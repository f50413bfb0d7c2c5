//! The source: a thread that reads the topic, and what it hands over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::message::{BorrowedMessage, Message};
use tokio::sync::mpsc;
use walgate_core::{
    Failure, Feed, Gap, GapReason, Position, Source, StopReason, Xid, streams_nothing,
};

use crate::consumer::{Next, TopicReader, Trouble, is_replay};
use crate::damage::damage;
use crate::decoder::Taken;
use crate::find::{Found, find};
use crate::monitor::GatewayState;
use crate::{DecodeError, EventDecoder, GatewayMonitor, KafkaSourceOptions};

/// Runs that wait for the pipeline: while one is appended the next is decoded.
const RUNS_AHEAD: usize = 2;

/// Between two attempts to find where to begin.
const AGAIN: Duration = Duration::from_secs(1);

/// How long the reader waits for a record before it looks whether it is to end.
const POLL: Duration = Duration::from_millis(100);

/// How often it is asked how far the topic reaches, which is also how an outage is seen: a consumer
/// that has nothing to read says nothing.
const LOOK: Duration = Duration::from_secs(5);

/// The same while the brokers can't be reached, and how long an answer may take.
const LOOK_WHEN_DOWN: Duration = Duration::from_secs(1);

/// Hands over what a stream topic holds as the log that it was made of.
#[derive(Debug)]
pub struct KafkaSource {
    runs: mpsc::Receiver<Result<Feed, Failure>>,
    over: Arc<AtomicBool>,
}

/// A source that has found where to begin.
#[derive(Debug)]
pub struct Started {
    /// The source.
    pub source: KafkaSource,
    /// What it hands over lies behind this. It is [`Begin::behind`](crate::Begin::behind) when the topic
    /// reaches that; what lies in between is lost else.
    pub from: Position,
}

impl KafkaSource {
    /// Finds where to begin, as long as that takes: also when the brokers can't be reached. Needs a tokio
    /// runtime.
    ///
    /// # Errors
    ///
    /// What needs a human: the topic is missing, has several partitions or may not be read, or holds what
    /// is no event.
    pub async fn start(
        options: KafkaSourceOptions,
        monitor: GatewayMonitor,
    ) -> Result<Started, Failure> {
        let mut said = None;
        loop {
            let (asked, begin) = (options.clone(), options.begin);
            let looked = tokio::task::spawn_blocking(move || {
                let reader = TopicReader::new(&asked)?;
                let found = find(&reader, begin)?;
                reader.go_to(found.offset)?;
                Ok((reader, found))
            });
            let looked = looked.await.map_err(|panic| {
                let message = format!("looking for the begin has broken off: {panic}");
                Failure::new(StopReason::State, message)
            })?;
            match looked {
                Ok((reader, found)) => {
                    monitor.is_up();
                    return Self::read(reader, found, monitor);
                }
                Err(Trouble::Lasting(failure)) => return Err(failure),
                Err(Trouble::Passing(why)) => {
                    monitor.waits(&why);
                    if said.as_ref() != Some(&why) {
                        tracing::info!(topic = options.topic, "the gateway waits: {why}");
                        said = Some(why);
                    }
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn read(
        reader: TopicReader,
        found: Found,
        monitor: GatewayMonitor,
    ) -> Result<Started, Failure> {
        let (hand, runs) = mpsc::channel(RUNS_AHEAD);
        let over = Arc::new(AtomicBool::new(false));
        let from = found.from;
        monitor.change(|stats| {
            stats.state = GatewayState::Filling;
            (stats.position, stats.next_offset) = (Some(from), Some(found.offset));
        });
        let reading = Reading {
            reader,
            decoder: found.decoder,
            end: found.end,
            next: found.offset,
            unproven: found.unproven,
            topic_end: found.end,
            looked: None,
            undefined: BTreeSet::new(),
            hand,
            over: Arc::clone(&over),
            monitor,
        };
        let thread = std::thread::Builder::new().name("walgate-topic".to_owned());
        thread.spawn(move || reading.run()).map_err(|error| {
            let message = format!("can't start a thread: {error}");
            Failure::new(StopReason::State, message)
        })?;
        Ok(Started {
            source: Self { runs, over },
            from,
        })
    }
}

impl Source for KafkaSource {
    async fn next(&mut self) -> Result<Feed, Failure> {
        match self.runs.recv().await {
            Some(next) => next,
            None => Err(Failure::new(
                StopReason::State,
                "the thread that reads the topic has ended: this is a bug",
            )),
        }
    }

    fn unstream(&mut self, xid: Xid, why: String) -> Result<(), Failure> {
        Err(streams_nothing(xid, &why))
    }

    async fn close(&mut self) -> Result<(), Failure> {
        self.over.store(true, Ordering::Relaxed);
        self.runs.close();
        Ok(())
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The thread.
struct Reading {
    reader: TopicReader,
    decoder: EventDecoder,
    /// The end of the topic when it began.
    end: i64,
    /// The offset of the record that comes next.
    next: i64,
    /// Whether something may be missing before the first event that comes.
    unproven: bool,
    /// The end of the topic at the last look.
    topic_end: i64,
    /// When it was asked last how far the topic reaches.
    looked: Option<Instant>,
    /// Tables whose definition the topic no longer has, as far as they were met and told.
    undefined: BTreeSet<String>,
    hand: mpsc::Sender<Result<Feed, Failure>>,
    over: Arc<AtomicBool>,
    monitor: GatewayMonitor,
}

/// Nobody takes anything any more.
struct Gone;

impl Reading {
    fn run(mut self) {
        // Where there is nothing to read, no record tells that it is read.
        self.reached(false);
        while !self.over.load(Ordering::Relaxed) {
            self.look();
            let Err(failure) = self.fill() else {
                if self.hand_on().is_err() {
                    return;
                }
                continue;
            };
            // What is whole before it goes first.
            if self.hand_on().is_ok() {
                drop(self.hand.blocking_send(Err(failure)));
            }
            return;
        }
    }

    /// Reads until a run is full, or nothing more is at hand.
    fn fill(&mut self) -> Result<(), Failure> {
        let mut patience = POLL;
        while !self.decoder.is_full() {
            let next = match self.reader.next(patience) {
                Ok(Next::Record(record)) => {
                    let taking = Taking {
                        decoder: &mut self.decoder,
                        reader: &self.reader,
                        undefined: &mut self.undefined,
                        unproven: &mut self.unproven,
                    };
                    Ok(Some(taking.take(&record)?))
                }
                Ok(Next::End) => Ok(None),
                Ok(Next::Nothing) => return Ok(()),
                Err(trouble) => Err(trouble),
            };
            match next {
                Ok(Some(mut took)) => {
                    // Nothing is in the run but what comes behind it.
                    if let Some(gap) = took.missing.take() {
                        drop(self.hand.blocking_send(Ok(Feed::Gap(gap))));
                    }
                    self.took(&took);
                    if let Taken::Gap(gap) = took.taken
                        && self.hand_on().is_ok()
                    {
                        drop(self.hand.blocking_send(Ok(Feed::Gap(gap))));
                    }
                }
                Ok(None) => {
                    self.is_up();
                    self.reached(true);
                    return Ok(());
                }
                Err(Trouble::Passing(why)) => {
                    self.is_down(&why);
                    return Ok(());
                }
                Err(Trouble::Lasting(failure)) => return Err(failure),
            }
            // What is at hand belongs to the same run.
            patience = Duration::ZERO;
        }
        Ok(())
    }

    fn took(&mut self, took: &Took) {
        self.next = took.offset + 1;
        let commit = self.decoder.open().map(|open| open.commit_time);
        let (position, behind) = (self.decoder.highest(), self.behind());
        self.monitor.change(|stats| {
            stats.records += 1;
            stats.repeated += u64::from(took.taken == Taken::Passed);
            stats.last_commit = commit.or(stats.last_commit);
            (stats.position, stats.next_offset) = (Some(position), Some(took.offset + 1));
            stats.behind = stats.behind.and(Some(behind));
        });
        self.reached(false);
    }

    /// What was there when it began has been read.
    fn reached(&mut self, is_end: bool) {
        if is_end || self.next >= self.end {
            // Once: it is asked for each record.
            self.end = i64::MIN;
        }
    }

    fn hand_on(&mut self) -> Result<(), Gone> {
        if let Some(frames) = self.decoder.frames() {
            let handed = self.hand.blocking_send(Ok(Feed::Frames(frames)));
            handed.map_err(|_| Gone)?;
        }
        if self.end == i64::MIN {
            self.end = i64::MAX;
            let topic = &self.reader.topic;
            tracing::info!(topic, position = %self.decoder.highest(), "the window is full to the end of the topic");
            self.monitor
                .change(|stats| stats.state = GatewayState::Live);
        }
        Ok(())
    }

    /// Asks how far the topic reaches, when it is time.
    fn look(&mut self) {
        let is_down = self.monitor.stats().down.is_some();
        let every = if is_down { LOOK_WHEN_DOWN } else { LOOK };
        if self.looked.is_some_and(|looked| looked.elapsed() < every) {
            return;
        }
        match self.reader.bounds(LOOK_WHEN_DOWN) {
            Ok((_, end)) => {
                self.topic_end = end;
                let behind = self.behind();
                self.monitor.change(|stats| stats.behind = Some(behind));
                self.is_up();
            }
            Err(Trouble::Passing(why)) => self.is_down(&why),
            Err(Trouble::Lasting(failure)) => self.is_down(&failure.message),
        }
        self.looked = Some(Instant::now());
    }

    /// Records that were not read of those that there were at the last look.
    fn behind(&self) -> u64 {
        u64::try_from(self.topic_end.saturating_sub(self.next)).unwrap_or(0)
    }

    fn is_down(&self, why: &str) {
        if self.monitor.is_down(why) {
            let topic = &self.reader.topic;
            tracing::warn!(topic, "kafka can't be reached; clients stay: {why}");
        }
    }

    fn is_up(&self) {
        if let Some(since) = self.monitor.is_up() {
            let topic = &self.reader.topic;
            let secs = since.elapsed().as_secs();
            tracing::info!(topic, secs, "kafka is reached again");
        }
    }
}

/// A record that is being taken.
struct Taking<'a> {
    decoder: &'a mut EventDecoder,
    reader: &'a TopicReader,
    undefined: &'a mut BTreeSet<String>,
    unproven: &'a mut bool,
}

/// What became of a record.
struct Took {
    offset: i64,
    /// What may be missing before it.
    missing: Option<Gap>,
    taken: Taken,
}

impl Taking<'_> {
    fn take(mut self, record: &BorrowedMessage<'_>) -> Result<Took, Failure> {
        let offset = record.offset();
        let took = |missing, taken| Took {
            offset,
            missing,
            taken,
        };
        let value = record.payload().filter(|_| !is_replay(record));
        let Some(value) = value else {
            return Ok(took(None, Taken::Passed));
        };
        let missing = self.missing(value);
        let missing = missing.map_err(|error| damage(self.reader, offset, &error))?;
        let taken = match self.decoder.take(value) {
            Err(error @ DecodeError::Undefined { .. }) => {
                if self.undefined.insert(error.to_string()) {
                    let topic = &self.reader.topic;
                    tracing::warn!(
                        topic,
                        offset,
                        hint = error.hint(),
                        "{error}: clients are told of a gap"
                    );
                }
                self.decoder.give_up(value).map(Taken::Gap)
            }
            taken => taken,
        };
        let taken = taken.map_err(|error| damage(self.reader, offset, &error))?;
        Ok(took(missing, taken))
    }

    /// What may lie between what is there from before and the first event that comes, where the topic had no
    /// event that would tell.
    fn missing(&mut self, value: &[u8]) -> Result<Option<Gap>, DecodeError> {
        if !*self.unproven {
            return Ok(None);
        }
        let highest = self.decoder.highest();
        let first = EventDecoder::position(value)?;
        // What is of another epoch ends it, with more to say.
        let Some(first) = first.filter(|it| *it > highest && it.epoch() == highest.epoch()) else {
            return Ok(None);
        };
        *self.unproven = false;
        let topic = &self.reader.topic;
        tracing::warn!(
            topic,
            "the topic had no event when the gateway began: whether any was lost before this one is not known"
        );
        self.decoder
            .begin(Position::new(first.epoch(), first.lsn(), 0));
        Ok(Some(Gap {
            from: highest.lsn(),
            to: first.lsn(),
            reason: GapReason::SinkFellBehind,
        }))
    }
}
