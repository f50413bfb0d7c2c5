//! A recording as the source of a pipeline.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use walgate_core::{Failure, Feed, Frames, PgMicros, Source, StopReason, Xid, streams_nothing};

use super::cut::before_pause;
use super::walk::{Piece, Walk};
use crate::args::Speed;

type Reading = JoinHandle<(Walk, Result<Option<Vec<Piece>>, Failure>)>;

/// Hands a recording over as PostgreSQL once did, with the same positions and bytes.
#[derive(Debug)]
pub(crate) struct RecordingSource {
    /// Not there while a thread reads.
    walk: Option<Walk>,
    reading: Option<Reading>,
    ready: VecDeque<Piece>,
    pace: Pace,
}

impl RecordingSource {
    /// Needs a tokio runtime.
    pub(crate) fn new(walk: Walk, speed: Speed) -> Self {
        Self {
            walk: Some(walk),
            reading: None,
            ready: VecDeque::new(),
            pace: Pace { speed, begun: None },
        }
    }

    /// Reads on beside the runtime. Cancel-safe. Whether there is more.
    async fn read(&mut self) -> Result<bool, Failure> {
        if let Some(mut walk) = self.walk.take() {
            self.reading = Some(tokio::task::spawn_blocking(move || {
                let read = walk.read();
                (walk, read)
            }));
        }
        let Some(reading) = &mut self.reading else {
            return Ok(false);
        };
        let read = reading.await;
        self.reading = None;
        let (walk, pieces) = read.map_err(|panic| {
            let message = format!("reading the recording has broken off: {panic}");
            Failure::new(StopReason::State, message)
        })?;
        let pieces = pieces?;
        let is_more = pieces.is_some();
        self.ready.extend(pieces.into_iter().flatten());
        self.walk = Some(walk).filter(|_| is_more);
        Ok(is_more)
    }

    /// The frames whose time has come; the rest waits, and its time with it.
    fn due(&mut self, entry: u64, frames: Frames) -> Result<Frames, Instant> {
        let now = Instant::now();
        let pace = &mut self.pace;
        if pace.speed == Speed::Max {
            return Ok(frames);
        }
        pace.begin(&frames, now);
        let pace = *pace;
        let (first, rest) = before_pause(frames, |time| pace.due(time) <= now);
        let wait = rest.map(|(rest, time)| {
            self.ready.push_front(Piece::Frames(entry, rest));
            pace.due(time)
        });
        match (first, wait) {
            (Some(first), _) => Ok(first),
            // Both are none for a run without frames, and there is none.
            (None, wait) => Err(wait.unwrap_or(now)),
        }
    }
}

impl Source for RecordingSource {
    async fn next(&mut self) -> Result<Feed, Failure> {
        loop {
            match self.ready.pop_front() {
                Some(Piece::Frames(entry, frames)) => match self.due(entry, frames) {
                    Ok(frames) => return Ok(Feed::Frames(frames)),
                    Err(time) => sleep_until(time).await,
                },
                Some(Piece::Gap(_, gap)) => return Ok(Feed::Gap(gap)),
                // Nothing is confirmed.
                Some(Piece::Progress(_)) => {}
                None => {
                    if !self.read().await? {
                        return Ok(Feed::End);
                    }
                }
            }
        }
    }

    fn unstream(&mut self, xid: Xid, why: String) -> Result<(), Failure> {
        Err(streams_nothing(xid, &why))
    }

    async fn close(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// What is too long for a clock is never reached anyway.
const AGES: Duration = Duration::from_secs(1 << 32);

/// When what was committed at a time comes again.
#[derive(Debug, Clone, Copy)]
struct Pace {
    speed: Speed,
    /// Now, and the commit time of the first transaction.
    begun: Option<(Instant, PgMicros)>,
}

impl Pace {
    fn begin(&mut self, frames: &Frames, now: Instant) {
        if self.begun.is_none() {
            let first = frames.frames.iter().find_map(|frame| frames.begun(frame));
            self.begun = first.map(|first| (now, first.commit_time));
        }
    }

    /// At once for what is older than the first: commit times don't rise with the log.
    fn due(&self, time: PgMicros) -> Instant {
        let now = Instant::now();
        let (Some((begun, first)), Speed::Times(times)) = (self.begun, self.speed) else {
            return now;
        };
        let micros = u64::try_from(time.0.saturating_sub(first.0)).unwrap_or_default();
        let seconds = Duration::from_micros(micros).as_secs_f64() / times;
        let after = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        begun.checked_add(after).unwrap_or(begun + AGES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_those_between_the_commits() {
        let begun = Instant::now();
        let pace = |speed| Pace {
            speed,
            begun: Some((begun, PgMicros(5_000_000))),
        };
        let after = |speed, micros| pace(speed).due(PgMicros(micros)) - begun;
        let second = Duration::from_secs(1);
        assert_eq!(after(Speed::Times(1.0), 6_000_000), second);
        assert_eq!(after(Speed::Times(4.0), 6_000_000), second / 4);
        assert_eq!(after(Speed::Times(0.5), 6_000_000), second * 2);
        // Commit times fall back when clocks and transactions do.
        assert_eq!(after(Speed::Times(1.0), 1_000_000), Duration::ZERO);
        assert!(after(Speed::Times(1e-6), i64::MAX) >= AGES);
    }
}
