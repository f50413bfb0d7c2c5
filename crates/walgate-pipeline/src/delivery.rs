//! The loop of a chain: read, encode, write, and hear of what is delivered.

use std::pin::pin;

use bytes::BytesMut;
use tokio::time::Instant;
use tracing::warn;
use walgate_core::{
    Batch, Body, Change, EncodeError, Encoder, Failure, Frames, Gap, GapReason, Lsn, Position,
    Sink, SinkError, StopReason,
};
use walgate_journal::Read;

use crate::assembler::table_name;
use crate::chain::{Chain, Ended, Halt};
use crate::crossing::before;
use crate::options::{BatchOptions, SinkOptions};
use crate::rewind::SinkRewinds;
use crate::{DeadLetter, Place};

/// A batch ends at this many tables: a record finds its table by a search from the end.
const MAX_BATCH_TABLES: usize = 256;

/// A buffer that one large row has grown to this many times the batch's size is given back.
const SHRINK_FACTOR: usize = 4;

/// Why the encoding of a run has stopped.
enum Filled {
    /// At the end of the run.
    RunEnd,
    /// The batch is full.
    Full,
    /// The output has as many events as it was to get.
    Counted,
    /// A record goes to the dead letters.
    Letter(Box<DeadLetter>),
    /// A record can't be encoded, and there are no dead letters.
    Refused(Failure),
}

impl<E: Encoder + 'static, S: Sink + 'static> Chain<E, S> {
    /// Delivers until the journal ends.
    pub(crate) async fn deliver_all(&mut self) -> Result<Ended, Halt> {
        loop {
            if self.stop.is_parked() {
                return self.park().await;
            }
            if self.rewinds.as_ref().is_some_and(SinkRewinds::is_asked) && !self.rewind().await? {
                return Ok(Ended::Stopped);
            }
            let ended = self.fill().await?;
            if !self.batch.is_empty() {
                self.write().await?;
            }
            if let Some(ended) = ended {
                self.drain().await?;
                return Ok(ended);
            }
            // A backlog is read without ever waiting: let the others have their turn.
            tokio::task::yield_now().await;
        }
    }

    /// Waits for what the sink was handed; what it was not stays in the journal.
    async fn park(&mut self) -> Result<Ended, Halt> {
        let is_whole = self.frames.is_none() && self.is_at_the_end().await?;
        self.drain().await?;
        Ok(if is_whole {
            Ended::Drained
        } else {
            Ended::Stopped
        })
    }

    /// Whether nothing but progress is left to read.
    async fn is_at_the_end(&mut self) -> Result<bool, Halt> {
        loop {
            let read = tokio::select! {
                biased;
                read = self.progress.read() => read?,
                () = std::future::ready(()) => return Ok(false),
            };
            match read {
                Read::Progress(position) if position.epoch() == self.assembler.place().epoch() => {
                    self.assembler.progress(position);
                    self.progress.pass(self.assembler.place());
                }
                Read::End => return Ok(true),
                Read::Frames(_) | Read::Gap(_) | Read::Progress(_) => return Ok(false),
            }
        }
    }

    /// Fills a batch: until it is full, or nothing more is at hand and its time has come.
    async fn fill(&mut self) -> Result<Option<Ended>, Halt> {
        let mut due = None;
        loop {
            if self.is_at_its_end() {
                return Ok(Some(Ended::Counted));
            }
            if let Some(frames) = self.frames.take() {
                match self.encode(&frames)? {
                    Filled::RunEnd => self.pass(),
                    Filled::Full => {
                        self.frames = Some(frames);
                        return Ok(None);
                    }
                    Filled::Counted => return Ok(Some(Ended::Counted)),
                    Filled::Letter(letter) => {
                        self.frames = Some(frames);
                        self.bury(&letter).await?;
                    }
                    Filled::Refused(failure) => {
                        self.deliver_before_refusal().await?;
                        return Err(failure.into());
                    }
                }
                continue;
            }
            if !self.batch.is_empty() && due.is_none() {
                due = Some(Instant::now() + self.options.batch.delay);
            }
            let Some(read) = self.next(due).await? else {
                return Ok(None);
            };
            match read {
                Read::Frames(frames) => {
                    if frames.epoch > self.assembler.place().epoch() {
                        self.cross(frames.epoch, before(&frames))?;
                    }
                    if self.options.schemas_again.is_some() {
                        self.assembler.set_now(std::time::Instant::now());
                    }
                    self.assembler.start(&frames)?;
                    self.frames = Some(frames);
                }
                Read::Progress(position) => {
                    if position.epoch() > self.assembler.place().epoch() {
                        self.cross(position.epoch(), position.lsn())?;
                    }
                    self.assembler.progress(position);
                    self.pass();
                }
                // The gap in the journal where a later epoch begins.
                Read::Gap(gap)
                    if self.head.epoch() > self.assembler.place().epoch()
                        && gap.to == self.head.lsn() =>
                {
                    self.cross(self.head.epoch(), gap.to)?;
                }
                Read::Gap(gap) => self.announce(&gap)?,
                Read::End => return Ok(Some(Ended::Drained)),
            }
        }
    }

    /// Everything that was read is in the batch, or was not for this sink.
    fn pass(&mut self) {
        if self.batch.is_empty() {
            self.progress.pass(self.assembler.place());
        }
    }

    /// The next read, at once where it is at hand. None when the batch is due before it comes.
    async fn next(&mut self, due: Option<Instant>) -> Result<Option<Read>, Halt> {
        tokio::select! {
            biased;
            read = self.progress.read() => return Ok(Some(read?)),
            () = std::future::ready(()) => {}
        }
        if due.is_some() && self.options.batch.delay.is_zero() {
            return Ok(None);
        }
        if self.batch.is_empty() && self.progress.tracker.is_drained() {
            self.progress.works();
        }
        let stop = self.stop.clone();
        let mut over = pin!(stop.over());
        loop {
            let delivered = self.delivered.clone();
            let seen = self.progress.tracker.delivered();
            let in_flight = !self.progress.tracker.is_drained();
            let linger = due.unwrap_or_else(Instant::now);
            tokio::select! {
                biased;
                read = self.progress.read() => return Ok(Some(read?)),
                position = delivered.above(seen) => self.progress.deliver(position),
                flushed = self.sink.flush(), if in_flight => self.flushed(flushed?)?,
                () = tokio::time::sleep_until(linger), if due.is_some() => return Ok(None),
                () = asked(self.rewinds.as_ref()) => return Ok(None),
                // What is in the batch goes out; the rest is looked at before the next one.
                () = &mut over => return self.ended_waiting(),
            }
        }
    }

    /// The wait for more is over: when what is behind it is kept, the chain parks.
    fn ended_waiting(&self) -> Result<Option<Read>, Halt> {
        if self.stop.is_parked() {
            return Ok(None);
        }
        Err(Halt::Stopped)
    }

    /// Encodes what is left of a run, as far as the batch has room.
    fn encode(&mut self, frames: &Frames) -> Result<Filled, Halt> {
        let mut left = match self.options.max_events {
            Some(max) => max.saturating_sub(self.assembler.place().events),
            None => u64::MAX,
        };
        let mut commit_time = None;
        let filled = loop {
            if left == 0 {
                break Filled::Counted;
            }
            if is_full(&self.batch, &self.options.batch) {
                break Filled::Full;
            }
            let Some((change, frame)) = self.assembler.next(frames)? else {
                break Filled::RunEnd;
            };
            if self.until.is_some_and(|until| change.position > until) {
                break Filled::Counted;
            }
            commit_time = change
                .transaction
                .map(|transaction| transaction.commit_time);
            let start = self.batch.bytes.len();
            let result = self.encoder.encode(&change, &mut self.batch.bytes);
            let condemned = match self.condemned.is_empty() {
                true => None,
                false => self
                    .condemned
                    .get(&change.position)
                    .filter(|_| is_data(&change)),
            };
            let refused = match (result, condemned) {
                (Ok(encoded), None) => {
                    let (op, table) = (change.body.op(), change.body.table());
                    self.batch.push(change.position, op, table, encoded);
                    left -= 1;
                    continue;
                }
                (Ok(_), Some(error)) => error.clone(),
                (Err(error), _) => refusal(&change, error),
            };
            self.batch.bytes.truncate(start);
            let raw = frames.frames.get(frame).map(|frame| frames.message(frame));
            let has_letters = self.dead_letters.is_some();
            let letter = letter(&self.options, has_letters, &change, raw, refused);
            if letter.is_err() && !is_data(&change) {
                letter?;
                continue;
            }
            self.assembler.disregard();
            break match letter {
                Ok(letter) => Filled::Letter(Box::new(letter)),
                Err(failure) => Filled::Refused(failure),
            };
        };
        if let Some(time) = commit_time {
            self.progress
                .status
                .update(|status| status.last_commit = Some(time));
        }
        Ok(filled)
    }

    /// Puts a record into the dead letters; the position moves past it only when that is durable.
    async fn bury(&mut self, letter: &DeadLetter) -> Result<(), Halt> {
        if self.buried.contains(&letter.id) {
            return Ok(());
        }
        if let Some(letters) = &mut self.dead_letters {
            let writing = letters.write(letter);
            tokio::select! {
                biased;
                written = writing => written?,
                () = self.stop.expired(&self.delivered) => return Err(Halt::Stopped),
            }
        }
        let released = self.progress.tracker.released();
        self.buried.retain(|buried| *buried > released);
        self.buried.insert(letter.id);
        self.progress.status.show(|status| status.dead_letters += 1);
        let (sink, id, table) = (&self.options.name, &letter.id, letter.table.as_deref());
        warn!(sink, %id, table, "record went to the dead letters: {}", letter.error);
        Ok(())
    }

    /// The source was replaced: what its old log had behind what was read is not known here.
    fn cross(&mut self, epoch: u8, to: Lsn) -> Result<(), Halt> {
        let here = self.head.epoch() == epoch && self.head.lsn() <= to;
        let to = if here { self.head.lsn() } else { to };
        let gap = self.assembler.cross(epoch, to);
        self.announce(&gap)
    }

    fn announce(&mut self, gap: &Gap) -> Result<(), Halt> {
        let (sink, from, to) = (&self.options.name, gap.from, gap.to);
        let Some(position) = self.assembler.gap(gap) else {
            self.pass();
            return Ok(());
        };
        if self.had(gap, position) {
            warn!(sink, %from, %to, reason = %gap.reason, "the journal has not got all of this any more: it does not come again");
            self.pass();
            return Ok(());
        }
        warn!(sink, %from, %to, reason = %gap.reason, "changes are lost for this sink");
        if of_the_reader(gap.reason) {
            self.progress.status.show(|status| status.gaps += 1);
        }
        let change = Change {
            position,
            transaction: None,
            body: Body::Gap(gap),
        };
        let encoded = self.encoder.encode(&change, &mut self.batch.bytes);
        let encoded =
            encoded.map_err(|error| self.failure(StopReason::Data, refusal(&change, error)))?;
        self.batch.push(position, change.body.op(), None, encoded);
        Ok(())
    }

    /// Whether the sink has had what a gap says, and it only does not come again: nobody has lost
    /// anything. Gaps of the log come again as they are.
    fn had(&self, gap: &Gap, position: Position) -> bool {
        of_the_reader(gap.reason) && self.until.is_some_and(|until| position <= until)
    }

    /// Hands the batch over, and hears meanwhile of what is delivered.
    async fn write(&mut self) -> Result<(), Halt> {
        self.write_up_to(self.assembler.place()).await
    }

    /// As [`write`](Self::write), with nothing behind `place` accounted for.
    async fn write_up_to(&mut self, place: Place) -> Result<(), Halt> {
        let Some(event) = self.batch.last() else {
            return Ok(());
        };
        let (events, bytes) = (
            self.batch.records.len() as u64,
            self.batch.bytes.len() as u64,
        );
        self.progress.hand(event, place);
        {
            let delivered = self.delivered.clone();
            let stop = self.stop.clone();
            let mut expired = pin!(stop.expired(&delivered));
            let mut write = pin!(self.sink.write(&mut self.batch));
            loop {
                let seen = self.progress.tracker.delivered();
                tokio::select! {
                    biased;
                    written = &mut write => break written?,
                    position = delivered.above(seen) => self.progress.deliver(position),
                    () = &mut expired => return Err(Halt::Stopped),
                }
            }
        }
        self.batch.clear();
        if self.batch.bytes.capacity() > self.options.batch.max_bytes.saturating_mul(SHRINK_FACTOR)
        {
            self.batch.bytes = BytesMut::new();
        }
        self.progress.status.show(|status| {
            status.events += events;
            status.bytes += bytes;
        });
        self.progress.deliver(self.delivered.get());
        Ok(())
    }

    /// What comes before a record that can't be encoded goes out before that stops the chain.
    async fn deliver_before_refusal(&mut self) -> Result<(), Halt> {
        let Some(last) = self.batch.last() else {
            return Ok(());
        };
        self.write_up_to(self.assembler.place().seen_up_to(last))
            .await?;
        self.settle().await
    }

    /// Waits until everything that was handed over is delivered; nothing else was read.
    pub(crate) async fn drain(&mut self) -> Result<(), Halt> {
        self.settle().await?;
        self.progress.pass(self.assembler.place());
        Ok(())
    }

    /// Waits until everything that was handed over is delivered.
    pub(crate) async fn settle(&mut self) -> Result<(), Halt> {
        let (stop, delivered) = (self.stop.clone(), self.delivered.clone());
        let mut expired = pin!(stop.expired(&delivered));
        while !self.progress.tracker.is_drained() {
            let seen = self.progress.tracker.delivered();
            tokio::select! {
                biased;
                position = delivered.above(seen) => self.progress.deliver(position),
                flushed = self.sink.flush() => self.flushed(flushed?)?,
                () = &mut expired => return Err(Halt::Stopped),
            }
        }
        Ok(())
    }

    fn flushed(&mut self, position: Position) -> Result<(), Halt> {
        self.progress.deliver(position);
        let handed = self.progress.tracker.handed();
        if self.progress.tracker.is_drained() {
            return Ok(());
        }
        let message = format!("flushed up to {position} only, and was given events up to {handed}");
        Err(SinkError::transient(message).into())
    }
}

/// Waits until a rewind may be asked for.
async fn asked(rewinds: Option<&SinkRewinds>) {
    match rewinds {
        Some(rewinds) => rewinds.asked().await,
        None => std::future::pending().await,
    }
}

#[inline]
fn is_full(batch: &Batch, limits: &BatchOptions) -> bool {
    batch.records.len() >= limits.max_records
        || batch.bytes.len() >= limits.max_bytes
        || batch.tables.len() >= MAX_BATCH_TABLES
}

/// Whether it is something that dead letters can hold. A `schema` may have the position of the
/// change before it.
fn is_data(change: &Change<'_>) -> bool {
    !matches!(
        change.body,
        Body::Schema { .. } | Body::Begin | Body::Commit { .. } | Body::Gap(_)
    )
}

/// An encoder's error as a sink's.
fn refusal(change: &Change<'_>, error: EncodeError) -> SinkError {
    let table = change.body.table().map(|table| table_name(&table.relation));
    let message = match table {
        Some(table) => format!(
            "{} of {table} can't be encoded: {error}",
            change.body.op().name()
        ),
        None => format!("{} can't be encoded: {error}", change.body.op().name()),
    };
    let refusal = SinkError::definite(change.position, message);
    match error.hint {
        Some(hint) => refusal.hint(hint),
        None => refusal,
    }
}

/// A refused record as a dead letter, or the failure to stop with where there is no place for it.
fn letter(
    options: &SinkOptions,
    has_letters: bool,
    change: &Change<'_>,
    raw: Option<&[u8]>,
    refused: SinkError,
) -> Result<DeadLetter, Failure> {
    let message = refused.message.clone();
    let letter = has_letters
        .then(|| DeadLetter::new(&options.name, change, raw.unwrap_or_default(), message))
        .flatten();
    letter.ok_or_else(|| crate::chain::stopped_by(&options.name, StopReason::Data, refused))
}

/// Whether a gap is of one sink alone.
const fn of_the_reader(reason: GapReason) -> bool {
    matches!(
        reason,
        GapReason::SinkFellBehind | GapReason::JournalDamaged
    )
}
