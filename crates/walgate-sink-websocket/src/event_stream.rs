//! One stream of Server-Sent Events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::time::{Interval, MissedTickBehavior};
use walgate_core::Position;

use crate::access::expiry;
use crate::close::Close;
use crate::counters::Counters;
use crate::feed::{Feed, Piece};
use crate::protocol::Answer;
use crate::queue::Closing;
use crate::session::Session;
use crate::websocket::EXPIRED;

/// When a browser comes back after a connection has broken, at the earliest and at the latest, in
/// milliseconds: not all of them at once.
const RETRY_MS: std::ops::Range<u64> = 1_000..5_000;

struct Stage {
    expired: Pin<Box<dyn Future<Output = ()> + Send>>,
    session: Session,
    feed: Feed,
    pending: VecDeque<Bytes>,
    ticks: Interval,
    over: bool,
    counters: std::sync::Arc<crate::hub::Hub>,
}

/// The body of the answer.
pub(crate) fn body(
    session: Session,
    feed: Feed,
    every: Duration,
    hub: std::sync::Arc<crate::hub::Hub>,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset();
    let retry = fastrand::u64(RETRY_MS);
    let first = Bytes::from(format!("retry: {retry}\n\n"));
    let stage = Stage {
        expired: Box::pin(expiry::over(session.expires())),
        session,
        feed,
        pending: VecDeque::from([first]),
        ticks,
        over: false,
        counters: hub,
    };
    stream::unfold(stage, |mut stage| async move {
        loop {
            if let Some(bytes) = stage.pending.pop_front() {
                return Some((Ok(bytes), stage));
            }
            if stage.over {
                return None;
            }
            tokio::select! {
                piece = stage.feed.next() => stage.give(piece),
                _ = stage.ticks.tick() => stage.tick(),
                () = &mut stage.expired => stage.close(Closing {
                    why: Close::Unauthorized,
                    detail: Some(EXPIRED.to_owned()),
                }),
            }
        }
    })
}

impl Stage {
    fn give(&mut self, piece: Piece) {
        match piece {
            Piece::Events(slices) => self.pending.extend(slices),
            Piece::Ready(position) => {
                let answer = self.session.ready(position);
                self.say(&answer, Some(position));
            }
            Piece::Snapshot(rows, position) => {
                self.say(&Answer::Snapshot { rows, position }, Some(position));
            }
            Piece::Resync { reason, oldest } => {
                Counters::count(&self.counters.counters.resyncs);
                // Without the empty id a browser would come back with the same one.
                self.say(&Answer::ResyncRequired { reason, oldest }, None);
                self.over = true;
            }
            Piece::Closed(closing) => self.close(closing),
        }
    }

    fn close(&mut self, closing: Closing) {
        if closing.why == Close::Slow {
            Counters::count(&self.counters.counters.slow);
        }
        let position = self.feed.sent();
        let reason = closing.detail;
        let answer = Answer::Closed {
            code: closing.why.code(),
            reason: reason.unwrap_or_else(|| closing.why.reason().to_owned()),
            position: Some(position),
        };
        self.say(&answer, Some(position));
        self.over = true;
    }

    /// A block with nothing but an id moves a browser's `Last-Event-ID` and calls nobody.
    fn tick(&mut self) {
        let text = match self.feed.told() {
            Some(position) => format!("id: {position}\n\n"),
            None => ":\n\n".to_owned(),
        };
        self.pending.push_back(Bytes::from(text));
    }

    fn say(&mut self, answer: &Answer, position: Option<Position>) {
        let mut text = format!("event: {}\nid:", answer.event());
        if let Some(position) = position {
            // A String takes everything.
            let _written = write!(text, " {position}");
        }
        text.push_str("\ndata: ");
        text.push_str(&answer.json());
        text.push_str("\n\n");
        self.pending.push_back(Bytes::from(text));
    }
}
