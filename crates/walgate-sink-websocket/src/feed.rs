//! What one connection is sent: first what it missed, then what comes, in one order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;
use walgate_core::{Change, Encoder, Failure, Position};

use crate::close::Close;
use crate::counters::Counters;
use crate::encoder::PushEncoder;
use crate::frame::{Carrier, put_event};
use crate::history::{Backlog, History, Read};
use crate::hub::{Hub, Membership};
use crate::interest::{Interest, before_begin};
use crate::parcel::parts;
use crate::queue::{Closing, Queue, QueueLimits};

/// What goes into one write at most, beside a chunk that is larger.
const TAKE_BYTES: usize = 256 << 10;

/// How long a client may be ahead of this server.
const AHEAD_FOR: Duration = Duration::from_secs(30);

/// How often a server that is behind its client looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What comes next on a connection.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Framed events.
    Events(VecDeque<Bytes>),
    /// From here on it is live.
    Ready(Position),
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
    /// Up to here it wanted the bounds of transactions.
    bounded_until: Position,
    encoder: MakeEncoder,
}

/// Makes the encoder of the events for a replay.
pub(crate) type MakeEncoder = Arc<dyn Fn() -> Box<dyn Encoder> + Send + Sync>;

enum Stage {
    /// It is to be live at once.
    Fresh,
    /// It has got everything up to a position.
    Resume(Position),
    /// It is ahead of this server.
    Ahead(Position, Instant),
    /// What it missed comes.
    Replay(Box<Replay>),
    /// It is live.
    Live,
    /// It has ended.
    Over,
}

struct Replay {
    backlog: Box<dyn Backlog>,
    encoder: PushEncoder<Box<dyn Encoder>>,
    /// The client has everything up to here.
    after: Position,
    /// Everything up to here was read.
    read: Position,
    /// It is on the list already, and gets from there what lies behind this.
    handover: Option<Position>,
    /// The last event that was framed.
    last: Position,
    /// Framed events that were not handed out yet.
    framed: BytesMut,
    refused: Option<(Close, String)>,
    out: BytesMut,
}

impl Replay {
    /// Reads one piece of the log. Cancel-safe.
    async fn read_on(&mut self, carrier: Carrier) -> Result<Read, Failure> {
        let Self {
            backlog,
            encoder,
            after,
            read,
            handover,
            last,
            framed,
            refused,
            out,
        } = self;
        let until = *handover;
        let mut take = |change: &Change<'_>| {
            if refused.is_some() || until.is_some_and(|until| change.position > until) {
                return;
            }
            out.clear();
            match encoder.encode(change, out) {
                Ok(_) => {
                    for part in parts(out).filter(|part| part.position > *after) {
                        put_event(carrier, part.position, part.event, framed);
                        *last = part.position;
                    }
                }
                Err(error) => *refused = Some((Close::Unavailable, error.message)),
            }
        };
        let found = backlog.next(&mut take).await?;
        if let Read::More(upto) | Read::End(upto) = found {
            *read = (*read).max(upto);
        }
        Ok(found)
    }
}

impl Feed {
    /// A feed of `interest`, behind `after` if that is given.
    pub(crate) fn new(
        hub: &Arc<Hub>,
        history: &Arc<dyn History>,
        carrier: Carrier,
        interest: Interest,
        after: Option<Position>,
        (limits, encoder): (QueueLimits, MakeEncoder),
    ) -> Self {
        Self {
            hub: Arc::clone(hub),
            history: Arc::clone(history),
            carrier,
            interest: Arc::new(interest),
            queue: Arc::new(Queue::new(limits, after.unwrap_or_default())),
            membership: None,
            stage: after.map_or(Stage::Fresh, Stage::Resume),
            sent: after.unwrap_or_default(),
            bounded_until: Position::ZERO,
            encoder,
        }
    }

    /// Everything up to here was handed out, or does not concern it.
    pub(crate) fn sent(&self) -> Position {
        self.sent
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

    /// What comes next. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Piece {
        loop {
            match &mut self.stage {
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
        self.sent = self.sent.max(last);
        let slices = taken
            .chunks
            .iter()
            .flat_map(|queued| queued.chunk.slices(queued.skip));
        Some(Piece::Events(slices.collect()))
    }

    /// Finds out how to go on behind `after`.
    fn resume(&mut self, after: Position) -> Option<Piece> {
        let (head, oldest) = (self.history.head(), self.history.oldest());
        if !self.history.is_durable() {
            return Some(self.resync("nothing is replayed here: delivery is live-only"));
        }
        if after.epoch() != head.epoch() {
            let reason = "the position is of another epoch: the source was replaced";
            return Some(self.resync(reason));
        }
        if after < oldest {
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
                let encoder = PushEncoder::for_one((self.encoder)(), &self.interest);
                self.stage = Stage::Replay(Box::new(Replay {
                    backlog,
                    encoder,
                    after,
                    read: after,
                    handover: None,
                    last: after,
                    framed: BytesMut::new(),
                    refused: None,
                    out: BytesMut::new(),
                }));
                None
            }
            Err(failure) => Some(self.over(Close::Unavailable, Some(failure.message))),
        }
    }

    /// Goes on with what was missed: events, or none when it is to be looked at again. Cancel-safe:
    /// what was encoded is kept.
    async fn replay(&mut self) -> Option<Piece> {
        let carrier = self.carrier;
        let Stage::Replay(replay) = &mut self.stage else {
            return None;
        };
        let end = replay.read_on(carrier).await;
        if let Some((why, message)) = replay.refused.take() {
            return Some(self.over(why, Some(message)));
        }
        match end {
            Err(failure) => return Some(self.over(Close::Unavailable, Some(failure.message))),
            Ok(Read::Gone(_)) => {
                return Some(self.resync("what comes next is not retained any more"));
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
        self.sent = self.sent.max(reached);
        if !replay.framed.is_empty() {
            let framed = replay.framed.split().freeze();
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
    }
}
