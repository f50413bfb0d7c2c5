//! How far a chain is, how its sink does, and who is told.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};
use walgate_core::{Backoff, BackoffOptions, Lsn, Position, SinkError};
use walgate_journal::{Cursor, Read};

use crate::outage::{Notice, Outage};
use crate::status::{Moved, SinkState, StatusHandle};
use crate::{Place, Tracker};

/// The side of a chain that hears of deliveries, apart from the sink, so that it can hear of them
/// while the sink is being written to.
#[derive(Debug)]
pub(crate) struct Progress {
    sink: String,
    pub(crate) cursor: Cursor,
    /// The epoch that is confirmed: LSNs of another one say nothing.
    epoch: u8,
    pub(crate) tracker: Tracker,
    pub(crate) status: StatusHandle,
    moved: Moved,
    backoff: Backoff,
    outage: Outage,
}

impl Progress {
    pub(crate) fn new(
        sink: String,
        cursor: Cursor,
        epoch: u8,
        tracker: Tracker,
        status: StatusHandle,
        moved: Moved,
        backoff: BackoffOptions,
    ) -> Self {
        Self {
            sink,
            cursor,
            epoch,
            tracker,
            status,
            moved,
            backoff: Backoff::new(backoff),
            outage: Outage::default(),
        }
    }

    /// The sink holds everything up to `position`.
    pub(crate) fn deliver(&mut self, position: Position) {
        let before = self.tracker.delivered();
        let reached = self.tracker.deliver(position);
        if reached {
            self.cursor.release(self.tracker.released());
        }
        if self.tracker.delivered() > before {
            self.works();
        }
        if reached || self.tracker.delivered() > before {
            self.publish();
        }
    }

    /// Everything up to `place` was read, and nothing of it is still to be handed over.
    pub(crate) fn pass(&mut self, place: Place) {
        if self.tracker.pass(place) {
            self.cursor.release(self.tracker.released());
            self.publish();
        }
    }

    /// Begins again behind what is delivered. Returns the place and what the sink holds.
    pub(crate) fn rewind(&mut self) -> (Place, Position) {
        let place = self.tracker.rewind();
        self.cursor.rewind(place.seen);
        if !self.outage.is_down() {
            self.status.show(|status| status.enter(SinkState::Running));
        }
        (place, self.tracker.delivered())
    }

    pub(crate) async fn read(&mut self) -> Result<Read, walgate_core::Failure> {
        self.cursor.next().await
    }

    /// An attempt has failed. Returns how long to wait.
    pub(crate) fn failed(&mut self, error: &SinkError) -> Duration {
        let now = Instant::now();
        let notice = self.outage.failed(now);
        self.say(notice, Some(error));
        self.status.show(|status| status.enter(SinkState::Retrying));
        self.backoff.failed(now.into_std(), fastrand::f64())
    }

    /// The sink works: it has delivered something, or there is nothing to deliver.
    pub(crate) fn works(&mut self) {
        let now = Instant::now();
        self.backoff.succeeded(now.into_std());
        if self.outage.is_down() {
            let notice = self.outage.recovered(now);
            self.say(notice, None);
            self.status.show(|status| status.enter(SinkState::Running));
        }
    }

    /// The sink is about to be handed events, the last of them at `event`: from here on it may have
    /// them, whatever it says.
    pub(crate) fn hand(&mut self, event: Position, place: Place) {
        self.tracker.hand(event, place);
        self.status
            .update(|status| status.handed = status.handed.max(event));
    }

    /// Tells everybody who looks.
    pub(crate) fn publish(&self) {
        let tracker = &self.tracker;
        let confirmable = match tracker.epoch() == self.epoch {
            true => tracker.confirmable(),
            false => Lsn::ZERO,
        };
        self.status.update(|status| {
            status.delivered = tracker.delivered();
            status.confirmable = confirmable;
            status.whole = tracker.whole();
            status.exact = tracker.exact();
        });
        self.moved.tell();
    }

    fn say(&self, notice: Option<Notice>, error: Option<&SinkError>) {
        let sink = self.sink.as_str();
        let cause = error.map_or("", |error| error.message.as_str());
        let hint = error.and_then(|error| error.hint.as_deref());
        let position = self.tracker.delivered();
        match notice {
            Some(Notice::Down) => warn!(sink, hint, %position, "sink fails, trying again: {cause}"),
            Some(Notice::StillDown { attempts, lasted }) => {
                let secs = lasted.as_secs();
                warn!(sink, hint, %position, attempts, secs, "sink still fails: {cause}");
            }
            Some(Notice::Back { attempts, lasted }) => {
                let secs = lasted.as_secs();
                info!(sink, %position, attempts, secs, "sink works again");
            }
            None => {}
        }
    }
}
