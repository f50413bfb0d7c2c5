//! A client, and what it has to have been given.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use walgate_core::Position;

use super::log::Logged;
use super::wants::{Event, Wish};
use crate::close::Close;
use crate::feed::{Feed, Piece};
use crate::frame::Carrier;

/// A client that remembers what it was given since it knows from where.
pub(super) struct Client {
    pub(super) feed: Option<Feed>,
    pub(super) carrier: Carrier,
    pub(super) wish: Wish,
    /// What was wanted, from behind which position on; none before it is known.
    pub(super) wished: Vec<(Position, Wish)>,
    pub(super) given: Vec<Event>,
    /// From where it would resume: never ahead of what it was given.
    pub(super) told: Option<Position>,
    pub(super) ready: bool,
}

/// How a client was left by a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Left {
    Waiting,
    Given,
    Ended(Close),
}

impl Client {
    /// Takes one piece, if there is one, and compares.
    pub(super) fn take(&mut self, log: &[Arc<Logged>]) -> Left {
        let Some(feed) = &mut self.feed else {
            return Left::Waiting;
        };
        let polled = {
            let mut next = std::pin::pin!(feed.next());
            next.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        };
        let (sent, live) = (feed.sent(), feed.is_live());
        let Poll::Ready(piece) = polled else {
            self.claim(log, sent, "position");
            return Left::Waiting;
        };
        match piece {
            Piece::Events(slices) => {
                let bytes: Vec<u8> = slices.into_iter().flatten().collect();
                self.given.extend(events(self.carrier, &bytes));
                self.claim(log, sent, "sent");
                Left::Given
            }
            Piece::Snapshot(..) => panic!("nobody has asked for it"),
            Piece::Ready(position) => {
                assert!(live && !self.ready, "it is ready once");
                self.ready = true;
                if self.wished.is_empty() {
                    self.wished.push((position, self.wish.clone()));
                }
                self.claim(log, position, "ready");
                Left::Given
            }
            Piece::Resync { .. } => self.end(Close::Resync),
            Piece::Closed(closing) => {
                self.claim(log, sent, "closed");
                self.end(closing.why)
            }
        }
    }

    /// It was told that it has everything up to `position`.
    fn claim(&mut self, log: &[Arc<Logged>], position: Position, by: &str) {
        let Some((begun, _)) = self.wished.first() else {
            return;
        };
        let last = self.given.last().map_or(*begun, |(position, _)| *position);
        let upto = position.max(last);
        let mut expected = Vec::new();
        for (place, (from, wish)) in self.wished.iter().enumerate() {
            let until = self.wished.get(place + 1).map_or(upto, |(next, _)| *next);
            wish.filtered(log, *from, until.min(upto), &mut expected);
        }
        if self.given != expected {
            let same = self.given.iter().zip(&expected);
            let same = same.take_while(|(one, other)| one == other).count();
            panic!(
                "{by} {position}: behind {same} events given {:?} and not {:?}\nwished {:?}",
                &self.given[same..],
                &expected[same..],
                self.wished
            );
        }
        self.told = self.told.max(Some(upto));
    }

    fn end(&mut self, why: Close) -> Left {
        self.feed = None;
        if why == Close::Resync {
            self.told = None;
        }
        Left::Ended(why)
    }
}

/// What the frames hold.
fn events(carrier: Carrier, bytes: &[u8]) -> Vec<Event> {
    let event = |text: &str| {
        let position = text.split(' ').nth(1).expect("a position");
        (position.parse().expect("a position"), text.to_owned())
    };
    let mut found = Vec::new();
    match carrier {
        Carrier::EventStream => {
            let text = str::from_utf8(bytes).expect("text");
            for block in text.split_terminator("\n\n") {
                let (id, data) = block.split_once("\ndata: ").expect("an id and data");
                let event = event(data);
                assert_eq!(id, format!("id: {}", event.0));
                found.push(event);
            }
        }
        Carrier::WebSocket => {
            let mut rest = bytes;
            while let [0x81, len, behind @ ..] = rest {
                let (text, behind) = behind.split_at(usize::from(*len));
                found.push(event(str::from_utf8(text).expect("text")));
                rest = behind;
            }
            assert!(rest.is_empty(), "half a frame: {rest:?}");
        }
    }
    found
}
