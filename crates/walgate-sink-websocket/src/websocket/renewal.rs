//! Another token on a connection that is open.

use std::collections::VecDeque;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Talk;
use super::key_wait::Purpose;
use crate::access::expiry::rfc3339;
use crate::access::{Access, JwtRefusal};
use crate::close::Close;
use crate::counters::Counters;
use crate::protocol::{Answer, Bearer};
use crate::session::{Refusal, Renewed};

/// What a client is told whose token opens more than the one that it has begun with.
const WIDENED: &str = "the token opens what was not sent: take a new copy";

/// What a client is told whose token opens less, where what was sent can't be read again: nothing is
/// retained, or it is a snapshot.
const NOT_AGAIN: &str =
    "the token opens less, and what was sent can't be read again: take a new copy";

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    /// Goes on with another token: with what it opens less at once. What it opens more was never sent.
    pub(super) fn renew(&mut self, token: Bearer) {
        match self.desk.policy().judge(Some(&token.0), SystemTime::now()) {
            Err(JwtRefusal::UnknownKey) => self.wait_for_key(token, Purpose::Renewal),
            judged => self.renew_with(judged.ok()),
        }
    }

    /// The same with what the token opens, if it does.
    pub(super) fn renew_with(&mut self, access: Option<Access>) {
        let Some(access) = access else {
            return self.refuse(Refusal {
                code: "unauthorized",
                message: "the token opens nothing: the connection goes on with the one it has"
                    .to_owned(),
                subscription: None,
            });
        };
        let expires = access.expires.map(rfc3339);
        let renewed = match &mut self.session {
            Some(session) => session.renew(access),
            None => {
                self.access = Some(access);
                Ok(Renewed::Same)
            }
        };
        let renewed = match renewed {
            Ok(renewed) => renewed,
            Err(refusal) => return self.refuse(refusal),
        };
        // Before the answer: what is pending is cut.
        let is_cut = renewed != Renewed::Narrowed || self.narrow();
        self.say(&Answer::Token { expires });
        match renewed {
            Renewed::Same => {}
            Renewed::Narrowed if is_cut => {}
            Renewed::Narrowed => self.resync(NOT_AGAIN),
            Renewed::Widened => self.resync(WIDENED),
            Renewed::Misfit(message) => self.close(Close::Refused, Some(message)),
        }
    }

    /// Takes back what was not begun to be written, to be read again under the rights of now. Whether
    /// that can be.
    fn narrow(&mut self) -> bool {
        let (Some(session), Some(feed)) = (&self.session, &mut self.feed) else {
            return true;
        };
        let waiting: usize = self.pending.iter().map(Bytes::len).sum();
        // Events stand before our own frames: they are taken when nothing is pending.
        let events = waiting.saturating_sub(self.own_bytes);
        let kept = feed.narrow(session.interest(), events);
        // Where nothing can be read again, nothing more of it goes out either, but for what was begun.
        cut(
            &mut self.pending,
            events,
            kept.unwrap_or_else(|| feed.begun(events)),
        );
        kept.is_some()
    }

    fn resync(&mut self, reason: &str) {
        Counters::count(&self.desk.hub.counters.resyncs);
        self.say(&Answer::ResyncRequired {
            reason: reason.to_owned(),
            oldest: self.desk.history.oldest(),
        });
        self.close(Close::Resync, None);
    }
}

/// Keeps `keep` of the first `events` bytes, and all that is behind those.
fn cut(pending: &mut VecDeque<Bytes>, mut events: usize, mut keep: usize) {
    let all = std::mem::take(pending);
    for mut bytes in all {
        let len = bytes.len();
        if events > 0 {
            bytes.truncate(keep);
            keep -= bytes.len();
            events = events.saturating_sub(len);
        }
        if !bytes.is_empty() {
            pending.push_back(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_and_what_is_our_own_is_kept() {
        for (events, keep, expected) in [
            (5, 0, &["own"][..]),
            (5, 2, &["aa", "own"]),
            (5, 3, &["aaa", "own"]),
            (5, 4, &["aaa", "b", "own"]),
            (5, 5, &["aaa", "bb", "own"]),
            (0, 0, &["aaa", "bb", "own"]),
        ] {
            let texts = ["aaa", "bb", "own"].map(|text| Bytes::from_static(text.as_bytes()));
            let mut pending = VecDeque::from(texts);
            cut(&mut pending, events, keep);
            assert_eq!(pending, expected, "{events} {keep}");
        }
    }
}
