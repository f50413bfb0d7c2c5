//! One connection, from its first word to its last.

use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};
use walgate_core::{Failure, Position, StopReason};

use super::{End, Follower};
use crate::args::Transport;
use crate::follow::line::Line;
use crate::follow::refusal::Refusal;
use crate::follow::said::Said;
use crate::follow::writer::Entry;

/// How long a WebSocket may be silent at first where something between may hold it up: a server of ours
/// says something at once, or pings.
const FIRST_WORD_WITHIN: Duration = Duration::from_secs(20);

/// The server is gone when nothing was heard for so many heartbeats.
const SILENT_HEARTBEATS: u32 = 3;

/// What something that was said comes to.
enum Heard {
    Nothing,
    Entry(Entry),
    End(End),
}

impl Follower {
    /// Goes on until the connection ends.
    pub(super) async fn talk(&mut self, line: &mut Line) -> End {
        let mut ticks = interval(self.args.heartbeat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        let mut heard = Instant::now();
        let mut has_spoken = false;
        let mut pending: Option<Entry> = None;
        let entries = self.entries.clone();
        let renewal = |own: &Self| own.source.clone().renewed(own.token.clone(), own.expires);
        let mut renewed = pin!(renewal(self));
        loop {
            let first_word = self.first_word(line, has_spoken, heard);
            tokio::select! {
                said = line.next(), if pending.is_none() => {
                    heard = Instant::now();
                    let said = match said {
                        Ok(Some(said)) => said,
                        Ok(None) => return self.lost(line, has_spoken, "the connection broke"),
                        Err(refusal) => return End::Refused(refusal),
                    };
                    has_spoken = true;
                    let known = self.expires;
                    match self.hear(said, line) {
                        Heard::Nothing => {}
                        Heard::Entry(entry) => pending = Some(entry),
                        Heard::End(end) => return end,
                    }
                    if self.expires != known {
                        renewed.set(renewal(self));
                    }
                }
                room = entries.reserve(), if pending.is_some() => {
                    let (Ok(room), Some(entry)) = (room, pending.take()) else {
                        return End::Done;
                    };
                    let is_event = entry.event.is_some();
                    room.send(entry);
                    // Who has not listened has heard nothing.
                    heard = Instant::now();
                    if is_event && self.is_enough() {
                        return End::Done;
                    }
                }
                () = entries.closed() => return End::Done,
                () = tokio::time::sleep(first_word), if first_word < Duration::MAX => {
                    return self.lost(line, has_spoken, "the server says nothing");
                }
                _ = ticks.tick() => {
                    let silent = self.args.heartbeat * SILENT_HEARTBEATS;
                    if pending.is_none() && heard.elapsed() > silent {
                        let what = format!("nothing was heard for {}", humantime::format_duration(silent));
                        return self.lost(line, has_spoken, &what);
                    }
                    if let Err(refusal) = line.ping().await {
                        return End::Refused(refusal);
                    }
                }
                token = &mut renewed => {
                    let is_taken = line.renew(&token).await;
                    self.token = Some(token);
                    self.expires = None;
                    match is_taken {
                        Ok(true) => renewed.set(renewal(self)),
                        Ok(false) => return End::Anew,
                        Err(refusal) => return End::Refused(refusal),
                    }
                }
            }
        }
    }

    /// How long the first word of a connection may still take; for ever where it does not matter.
    fn first_word(&self, line: &Line, has_spoken: bool, since: Instant) -> Duration {
        let matters = !has_spoken
            && self.args.transport == Transport::Auto
            && matches!(line, Line::WebSocket(_));
        match matters {
            true => FIRST_WORD_WITHIN.saturating_sub(since.elapsed()),
            false => Duration::MAX,
        }
    }

    /// A connection that is no more. A WebSocket that never said a word may not have passed at all.
    fn lost(&mut self, line: &Line, has_spoken: bool, what: &str) -> End {
        let is_silent = !has_spoken && matches!(line, Line::WebSocket(_));
        if is_silent && self.args.transport == Transport::Auto {
            tracing::info!("the WebSocket has said nothing: Server-Sent Events from here on");
            self.only_events = true;
        }
        End::Refused(Refusal::Later(what.to_owned(), None))
    }

    fn hear(&mut self, said: Said, line: &Line) -> Heard {
        match said {
            Said::Event { id, is_read, text } => {
                if !self.place.take(id, is_read) {
                    return Heard::Nothing;
                }
                self.back_off.reset();
                Heard::Entry(Entry {
                    event: Some(text),
                    position: self.place.after(),
                })
            }
            Said::Ready {
                position,
                is_resumable,
                expires,
                fixes,
            } => {
                self.expires = expires;
                self.ready(line, position, is_resumable, &fixes);
                self.reached(position)
            }
            Said::Position(position) => self.reached(position),
            Said::Snapshot { rows, position } => {
                tracing::info!("{rows} rows were there; what changes comes from here on");
                self.place.has_rows(position);
                Heard::Entry(Entry {
                    event: None,
                    position: self.place.after(),
                })
            }
            Said::Token { expires } => {
                self.expires = expires;
                tracing::info!("the server has taken the new token");
                Heard::Nothing
            }
            Said::Resync { reason, oldest } => {
                Heard::End(End::Refused(Refusal::Resync(reason, oldest)))
            }
            Said::Closed { code, reason } => {
                Heard::End(End::Refused(Refusal::of_close(code, &reason)))
            }
            Said::Refused { code, message } if self.was_ready => {
                tracing::warn!("the server refuses a request: {message} ({code})");
                Heard::Nothing
            }
            Said::Refused { code, message } if code == "unauthorized" => {
                Heard::End(End::Refused(Refusal::Token(message)))
            }
            Said::Refused { message, .. } => {
                let failure = Failure::new(StopReason::Config, message);
                Heard::End(End::Refused(Refusal::Final(failure.hint(
                    "mend --table, --where and --columns; the language of --where is in FILTERS.md",
                ))))
            }
            Said::Alive => Heard::Nothing,
        }
    }

    fn reached(&mut self, position: Position) -> Heard {
        self.place.reached(position);
        Heard::Entry(Entry {
            event: None,
            position: Some(position),
        })
    }

    fn ready(&mut self, line: &Line, position: Position, is_resumable: bool, fixes: &[String]) {
        self.back_off.reset();
        self.denials = 0;
        match self.was_ready {
            true => tracing::info!(
                "connected again over {}, live from {position} on",
                line.name()
            ),
            false => tracing::info!(
                "following {} over {} from {position} on",
                self.address.host(),
                line.name()
            ),
        }
        if !self.was_ready {
            if !is_resumable {
                tracing::warn!(
                    "the server replays nothing (delivery is live-only): what a lost connection misses is gone"
                );
            }
            for fix in fixes {
                tracing::warn!(
                    "the filter can't be judged exactly by what the log holds of old rows: {fix}"
                );
            }
        }
        self.was_ready = true;
    }

    /// Counts an event; true after the last that is wanted.
    fn is_enough(&mut self) -> bool {
        let Some(left) = &mut self.left else {
            return false;
        };
        *left = left.saturating_sub(1);
        *left == 0
    }
}
