//! What one client missed, read from the log a piece at a time.
//!
//! All clients come back at once when a server was made new, so that only so many read at a time, in
//! turn, and none while too much waits already: what a piece takes is memory until it is written.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{AcquireError, OwnedSemaphorePermit};
use walgate_core::{Change, Encoder, Failure, Position};

use crate::counters::Counters;
use crate::encoder::PushEncoder;
use crate::frame::{Carrier, put_event};
use crate::history::{Backlog, Read};
use crate::hub::Hub;
use crate::parcel::parts;
use crate::snapshot::Window;

/// How often it is looked whether there is room again.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

type Waiting = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

/// What one client missed.
pub(crate) struct Replay {
    backlog: Box<dyn Backlog>,
    encoder: PushEncoder<Box<dyn Encoder>>,
    /// The client has everything up to here.
    after: Position,
    /// Everything up to here was read.
    pub(crate) read: Position,
    /// It is on the list already, and gets from there what lies behind this.
    pub(crate) handover: Option<Position>,
    /// The last event that was framed.
    pub(crate) last: Position,
    /// Framed events that were not handed out yet.
    framed: BytesMut,
    /// Their positions, and where their frames end.
    ends: Vec<(Position, usize)>,
    out: BytesMut,
    /// It waits for its turn; kept when nobody waits with it, so that its place is not lost.
    waiting: Option<Waiting>,
    /// It is its turn until what it was given has gone out.
    turn: Option<OwnedSemaphorePermit>,
    /// The client has a snapshot that contains some of it.
    window: Option<Arc<Window>>,
}

impl Replay {
    /// What `backlog` has behind `after`, without what a snapshot contains that the client has.
    pub(crate) fn new(
        backlog: Box<dyn Backlog>,
        encoder: PushEncoder<Box<dyn Encoder>>,
        after: Position,
        window: Option<Arc<Window>>,
    ) -> Self {
        Self {
            backlog,
            encoder,
            after,
            read: after,
            handover: None,
            last: after,
            framed: BytesMut::new(),
            ends: Vec::new(),
            out: BytesMut::new(),
            waiting: None,
            turn: None,
            window,
        }
    }

    /// Whether the client has nothing of what comes next.
    pub(crate) fn has_passed_its_window(&self) -> bool {
        let window = self.window.as_ref();
        window.is_none_or(|window| window.is_past(self.read))
    }

    /// Has the server say how far its log was sent, when nothing comes that would tell, and lets others have their turn.
    pub(crate) fn hurry(&mut self) {
        self.turn = None;
        if let Some(window) = &self.window {
            window.source.hurry();
        }
    }

    /// Waits until it is its turn, and there is room. Cancel-safe.
    async fn take_turn(&mut self, hub: &Hub) {
        // It is called again when what it was given is written.
        self.turn = None;
        let turns = || Box::pin(Arc::clone(hub.replays()).acquire_owned()) as Waiting;
        let turn = self.waiting.get_or_insert_with(turns).await;
        self.waiting = None;
        // Nobody closes the semaphore.
        self.turn = turn.ok();
        // Near the end something may wait in its own queue, which it reads behind this.
        while self.handover.is_none() && !hub.has_room_for_replays() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Reads one piece of the log. Cancel-safe.
    pub(crate) async fn read_on(&mut self, carrier: Carrier, hub: &Hub) -> Result<Read, Failure> {
        self.take_turn(hub).await;
        let Self {
            backlog,
            encoder,
            after,
            read,
            handover,
            last,
            framed,
            ends,
            out,
            window,
            ..
        } = self;
        let until = *handover;
        let mut take = |change: &Change<'_>| {
            if until.is_some_and(|until| change.position > until) {
                return;
            }
            if window.as_ref().is_some_and(|window| !window.takes(change)) {
                return;
            }
            out.clear();
            match encoder.encode(change, out) {
                Ok(_) => {
                    for part in parts(out).filter(|part| part.position > *after) {
                        put_event(carrier, part.position, part.event, framed);
                        ends.push((part.position, framed.len()));
                        *last = part.position;
                    }
                }
                // The chain has passed it too, into the dead letters: it would end each resume.
                Err(error) => {
                    Counters::count(&hub.counters.unencodable);
                    tracing::debug!(position = %change.position, "left out of a replay: {}", error.message);
                }
            }
        };
        let found = backlog.next(&mut take).await?;
        if let Read::More(upto) | Read::End(upto) = found {
            *read = (*read).max(upto);
        }
        Ok(found)
    }

    /// Whether there are events that were framed and not handed out yet.
    pub(crate) fn has_framed(&self) -> bool {
        !self.framed.is_empty()
    }

    /// Events that were framed and not handed out yet, if there are any.
    pub(crate) fn framed(&mut self, hub: &Hub) -> Option<(Bytes, Vec<(Position, usize)>)> {
        let ends = std::mem::take(&mut self.ends);
        (!self.framed.is_empty()).then(|| (hub.weigh(self.framed.split()), ends))
    }
}
