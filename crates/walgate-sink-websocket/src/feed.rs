//! What one connection is sent: first what it missed, then what comes, in one order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::Receiver;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use walgate_core::{Encoder, Failure, PgMicros, Position};

use crate::close::Close;
use crate::counters::Counters;
use crate::encoder::PushEncoder;
use crate::frame::Carrier;
use crate::handed::Handed;
use crate::history::{Backlog, History, Read};
use crate::hub::{Hub, Membership};
use crate::interest::{Interest, before_begin};
use crate::queue::{Closing, Queue, QueueLimits};
use crate::replay::Replay;
use crate::snapshot::{Part, Window};

/// What goes into one write at most, beside a chunk that is larger.
const TAKE_BYTES: usize = 256 << 10;

/// How long a client may be ahead of this server.
const AHEAD_FOR: Duration = Duration::from_secs(30);

/// How often a server that is behind its client looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Why nobody resumes where nothing outlives the process.
const LIVE_ONLY: &str = "nothing is replayed here: delivery is live-only";

/// What comes next on a connection.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Framed events.
    Events(VecDeque<Bytes>),
    /// From here on it is live.
    Ready(Position),
    /// All rows of the snapshot were given, so many; what it lacks comes behind the position.
    Snapshot(u64, Position),
    /// What was asked for is not retained.
    Resync { reason: String, oldest: Position },
    /// Nothing more comes.
    Closed(Closing),
}

/// What a connection is sent. Dropping it takes it off the list.
pub(crate) struct Feed {
    hub: Arc<Hub>,
    history: Arc<dyn History>,
    carrier: Carrier,
    interest: Arc<Interest>,
    queue: Arc<Queue>,
    membership: Option<Membership>,
    stage: Stage,
    /// Everything up to here was handed out.
    sent: Position,
    /// The events that were handed out last, until more is asked for.
    handed: Handed,
    /// Up to here it wanted the bounds of transactions.
    bounded_until: Position,
    encoder: MakeEncoder,
}

/// Makes the encoder of the events for a replay.
pub(crate) type MakeEncoder = Arc<dyn Fn() -> Box<dyn Encoder> + Send + Sync>;

/// Where a feed begins.
pub(crate) enum From {
    /// With what comes.
    Now,
    /// Behind a position.
    After(Position),
    /// With the rows that there are, which come from here.
    Snapshot(Receiver<Part>),
}

enum Stage {
    /// The rows that there are come; when they were read the log is.
    Snapshot(Receiver<Part>, Option<Box<Replay>>),
    /// It is to be live at once.
    Fresh,
    /// It has got everything up to a position.
    Resume(Position),
    /// It wants what was committed at a time or later, and the place is looked for.
    Since(JoinHandle<Result<Option<Position>, Failure>>),
    /// It is ahead of this server.
    Ahead(Position, Instant),
    /// What it missed comes.
    Replay(Box<Replay>),
    /// It is live.
    Live,
    /// It has ended.
    Over,
}

impl Feed {
    /// A feed of `interest`.
    pub(crate) fn new(
        hub: &Arc<Hub>,
        history: &Arc<dyn History>,
        carrier: Carrier,
        interest: Arc<Interest>,
        from: From,
        (limits, encoder): (QueueLimits, MakeEncoder),
    ) -> Self {
        hub.enter();
        let (stage, sent) = match from {
            From::Now => (Stage::Fresh, Position::ZERO),
            From::After(after) => (Stage::Resume(after), after),
            // Before it has the rows there is nothing that it could come back with.
            From::Snapshot(parts) => (Stage::Snapshot(parts, None), Position::ZERO),
        };
        Self {
            hub: Arc::clone(hub),
            history: Arc::clone(history),
            carrier,
            interest,
            queue: Arc::new(Queue::new(limits, sent)),
            membership: None,
            stage,
            sent,
            handed: Handed::default(),
            bounded_until: Position::ZERO,
            encoder,
        }
    }

    /// Begins with what was committed at `time` or later, if that is given.
    pub(crate) fn since(mut self, time: Option<PgMicros>) -> Self {
        if let Some(time) = time {
            let history = Arc::clone(&self.history);
            // It reads the disk.
            let looking = tokio::task::spawn_blocking(move || match history.is_durable() {
                true => history.position_at(time),
                false => Ok(None),
            });
            self.stage = Stage::Since(looking);
        }
        self
    }

    /// Everything up to here was handed out, or does not concern it.
    pub(crate) fn sent(&self) -> Position {
        self.sent
    }

    /// From where the client can resume, when that is further than where it began.
    pub(crate) fn told(&self) -> Option<Position> {
        matches!(self.stage, Stage::Live | Stage::Replay(_)).then_some(self.sent)
    }

    /// Where what is live waits.
    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Whether what is handed out is what is committed now.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Live)
    }

    /// Wants something else from here on. None while it is not live.
    pub(crate) fn change(&mut self, interest: Interest) -> Option<Position> {
        let interest = Arc::new(interest);
        let membership = self.membership.filter(|_| self.is_live())?;
        let (membership, head) = self.hub.change(membership, &interest)?;
        self.membership = Some(membership);
        if self.interest.wants_transactions() {
            self.bounded_until = head;
        }
        self.interest = interest;
        Some(head)
    }

    /// Has fewer rights from here on, with `left` bytes of the events that were handed out last not
    /// written yet. What of those bytes is still to be written, to end an event that was begun; what lies
    /// behind is thrown away, and read again as `interest` has it. None when nothing can be read again.
    pub(crate) fn narrow(&mut self, interest: Interest, left: usize) -> Option<usize> {
        let (keep, position) = match self.stage {
            // What was told is told.
            Stage::Over => return Some(left),
            Stage::Fresh | Stage::Since(_) | Stage::Resume(_) | Stage::Ahead(..) => (0, None),
            // The rows of a snapshot can't be read again, and what it contains is known to it alone.
            Stage::Snapshot(..) => return None,
            Stage::Replay(ref replay) if !replay.has_passed_its_window() => return None,
            Stage::Replay(_) | Stage::Live if !self.history.is_durable() => return None,
            Stage::Replay(_) | Stage::Live if left > 0 => {
                let (keep, position) = self.handed.cut(left);
                (keep, Some(position))
            }
            Stage::Replay(_) | Stage::Live => (0, Some(self.sent)),
        };
        self.interest = Arc::new(interest);
        let Some(position) = position else {
            return Some(keep);
        };
        if let Some(membership) = self.membership.take() {
            self.hub.leave(membership);
        }
        let limits = self.queue.limits();
        self.queue = Arc::new(Queue::new(limits, position));
        self.handed.clear();
        self.bounded_until = Position::ZERO;
        self.sent = position;
        self.stage = Stage::Resume(position);
        Some(keep)
    }

    /// What has to be written still of an event that was begun, with `left` bytes of what was handed out
    /// last not written. Of the rows of a snapshot that is all.
    pub(crate) fn begun(&self, left: usize) -> usize {
        match self.stage {
            Stage::Snapshot(..) => left,
            _ => self.handed.cut(left).0,
        }
    }

    /// What comes next. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Piece {
        self.handed.clear();
        if matches!(self.stage, Stage::Live | Stage::Over) {
            return self.go_on().await;
        }
        // Who is not live yet has no queue that would be closed, and may have a long way to go.
        let mut closing = self.hub.closing();
        tokio::select! {
            biased;
            why = closing.closed() => self.over(why, None),
            piece = self.go_on() => piece,
        }
    }

    async fn go_on(&mut self) -> Piece {
        loop {
            match &mut self.stage {
                Stage::Snapshot(..) => return self.snapshot().await,
                Stage::Fresh => {
                    let start = Position::ZERO;
                    let (membership, head) =
                        self.hub
                            .join(&self.interest, &self.queue, self.carrier, start);
                    self.membership = Some(membership);
                    self.stage = Stage::Live;
                    self.sent = head;
                    return Piece::Ready(head);
                }
                Stage::Resume(after) => {
                    let after = *after;
                    if let Some(piece) = self.resume(after) {
                        return piece;
                    }
                }
                Stage::Since(looking) => {
                    let found = looking.await;
                    if let Some(piece) = self.begin_behind(found) {
                        return piece;
                    }
                }
                Stage::Ahead(after, since) => {
                    let (after, since) = (*after, *since);
                    if self.history.head() >= after {
                        self.stage = Stage::Resume(after);
                    } else if since.elapsed() > AHEAD_FOR {
                        return self.over(Close::Ahead, None);
                    } else {
                        tokio::time::sleep(LOOK_AGAIN).await;
                    }
                }
                Stage::Replay(_) => {
                    if let Some(piece) = self.replay().await {
                        return piece;
                    }
                }
                Stage::Live => {
                    if let Some(piece) = self.take() {
                        return piece;
                    }
                    self.queue.woken().await;
                }
                Stage::Over => std::future::pending().await,
            }
        }
    }

    /// What waits, if anything does.
    fn take(&mut self) -> Option<Piece> {
        // Before the look into the queue: what was dispatched by then is in it.
        let dispatched = self.hub.dispatched();
        let taken = self.queue.take(TAKE_BYTES);
        let Some(last) = taken.chunks.last().map(|queued| queued.chunk.last()) else {
            if let Some(closing) = taken.closed {
                // What waited was given up, and what came since was not put in.
                self.stage = Stage::Over;
                return Some(Piece::Closed(closing));
            }
            let reached = match dispatched < self.bounded_until {
                true => before_begin(dispatched),
                false => self.interest.reached(dispatched),
            };
            self.sent = self.sent.max(reached);
            return None;
        };
        let before = self.sent;
        self.sent = before.max(last);
        let slices = taken
            .chunks
            .iter()
            .flat_map(|queued| queued.chunk.slices(queued.skip));
        let piece = Piece::Events(slices.collect());
        self.handed = Handed::chunks(before, taken.chunks);
        Some(piece)
    }

    /// Begins behind the place that was looked for.
    fn begin_behind(
        &mut self,
        found: Result<Result<Option<Position>, Failure>, JoinError>,
    ) -> Option<Piece> {
        match found {
            Ok(Ok(Some(after))) => {
                self.sent = after;
                self.stage = Stage::Resume(after);
                None
            }
            Ok(Ok(None)) if self.history.is_durable() => {
                Some(self.resync("what is retained begins later than the time"))
            }
            Ok(Ok(None)) => Some(self.resync(LIVE_ONLY)),
            Ok(Err(failure)) => Some(self.over(Close::Unavailable, Some(failure.message))),
            Err(_) => Some(self.over(Close::Unavailable, None)),
        }
    }

    /// Finds out how to go on behind `after`.
    fn resume(&mut self, after: Position) -> Option<Piece> {
        let (head, oldest) = (self.history.head(), self.history.oldest());
        if !self.history.is_durable() {
            return Some(self.resync(LIVE_ONLY));
        }
        if after.epoch() != head.epoch() {
            let reason = "the position is of another epoch: the source was replaced";
            return Some(self.resync(reason));
        }
        if !self.history.holds(after) {
            return Some(self.resync("the position is not retained any more"));
        }
        if after > head {
            self.stage = Stage::Ahead(after, Instant::now());
            return None;
        }
        // Its changes are counted, and its end is told only to who was told of its begin.
        let from = match self.interest.wants_transactions() {
            true => Position::new(after.epoch(), after.lsn(), 0).clamp(oldest, after),
            false => after,
        };
        match self.history.read(from) {
            Ok(backlog) => {
                Counters::count(&self.hub.counters.resumed);
                self.stage = Stage::Replay(self.replay_behind(after, backlog, None));
                None
            }
            Err(failure) => Some(self.over(Close::Unavailable, Some(failure.message))),
        }
    }

    fn replay_behind(
        &self,
        after: Position,
        backlog: Box<dyn Backlog>,
        window: Option<Arc<Window>>,
    ) -> Box<Replay> {
        let encoder = PushEncoder::for_one((self.encoder)(), &self.interest);
        Box::new(Replay::new(backlog, encoder, after, window))
    }

    /// Goes on with the rows of a snapshot. Cancel-safe.
    async fn snapshot(&mut self) -> Piece {
        loop {
            let Stage::Snapshot(parts, replay) = &mut self.stage else {
                return self.over(Close::SnapshotUnavailable, None);
            };
            let next = (parts.recv().await, replay.take());
            match next {
                (Some(Part::Begun(window)), _) => {
                    // At once: from here on the log is held for it.
                    let from = window.from;
                    let replay = match self.history.read(from) {
                        Ok(backlog) => self.replay_behind(from, backlog, Some(window)),
                        Err(failure) => {
                            return self.over(Close::Unavailable, Some(failure.message));
                        }
                    };
                    if let Stage::Snapshot(_, place) = &mut self.stage {
                        *place = Some(replay);
                    }
                }
                (Some(Part::Rows(rows)), replay) => {
                    if let Stage::Snapshot(_, place) = &mut self.stage {
                        *place = replay;
                    }
                    return Piece::Events(VecDeque::from([rows]));
                }
                (Some(Part::Done(rows)), Some(replay)) => {
                    self.sent = replay.read;
                    self.stage = Stage::Replay(replay);
                    return Piece::Snapshot(rows, self.sent);
                }
                (Some(Part::Failed(error)), _) => {
                    let why = error.close();
                    return self.over(why, Some(error.message));
                }
                (Some(Part::Done(_)) | None, _) => {
                    return self.over(Close::SnapshotUnavailable, None);
                }
            }
        }
    }

    /// Goes on with what was missed: events, or none when it is to be looked at again. Cancel-safe:
    /// what was encoded is kept.
    async fn replay(&mut self) -> Option<Piece> {
        let carrier = self.carrier;
        let Stage::Replay(replay) = &mut self.stage else {
            return None;
        };
        let end = replay.read_on(carrier, &self.hub).await;
        match end {
            Err(failure) => return Some(self.over(Close::Unavailable, Some(failure.message))),
            Ok(Read::Gone(_)) => {
                return Some(self.resync("what comes next is not retained any more"));
            }
            // The others are given what the snapshot contains.
            Ok(Read::End(_)) if !replay.has_passed_its_window() => {
                replay.hurry();
                if !replay.has_framed() {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
            Ok(Read::End(_)) if replay.handover.is_none() => {
                // From here on what is new comes into the queue, and waits there.
                let (membership, handover) =
                    self.hub
                        .join(&self.interest, &self.queue, self.carrier, replay.read);
                self.membership = Some(membership);
                replay.handover = Some(handover);
            }
            // The chain is ahead of the log, as a power cut took what it had handed out; or the rest of
            // the transaction is on its way.
            Ok(Read::End(_))
                if replay
                    .handover
                    .is_some_and(|handover| replay.read < handover) =>
            {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Ok(Read::End(_) | Read::More(_)) => {}
        }
        let (read, handover) = (replay.read, replay.handover);
        let upto = handover.map_or(read, |handover| read.min(handover));
        let reached = self.interest.reached(upto).max(replay.last);
        let before = self.sent;
        self.sent = before.max(reached);
        if let Some((framed, ends)) = replay.framed(&self.hub) {
            self.handed = Handed::replayed(before, ends);
            return Some(Piece::Events(VecDeque::from([framed])));
        }
        let Some(handover) = handover.filter(|handover| read >= *handover) else {
            // What is in memory is read without ever waiting: let the others have their turn.
            tokio::task::yield_now().await;
            return None;
        };
        self.stage = Stage::Live;
        Some(Piece::Ready(handover))
    }

    fn resync(&mut self, reason: &str) -> Piece {
        self.stage = Stage::Over;
        Piece::Resync {
            reason: reason.to_owned(),
            oldest: self.history.oldest(),
        }
    }

    fn over(&mut self, why: Close, detail: Option<String>) -> Piece {
        self.stage = Stage::Over;
        Piece::Closed(Closing { why, detail })
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Some(membership) = self.membership.take() {
            self.hub.leave(membership);
        }
        self.hub.exit();
    }
}
