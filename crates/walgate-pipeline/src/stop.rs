//! How a pipeline is asked to stop.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use walgate_core::{Position, Watermark};

/// A sink that acknowledges nothing for this long is not waited for when what it lacks is safe on
/// disk: a broker that works answers within milliseconds, and a person waits for the end.
const SILENCE: Duration = Duration::from_secs(2);

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Request {
    /// Nothing.
    #[default]
    Run,
    /// Read no more, deliver what was read, until the deadline.
    Drain(Option<Instant>),
    /// Read no more; what was handed to a sink is delivered until the deadline, as long as the sink
    /// acknowledges, and the rest waits in the journal on disk.
    Park(Instant),
    /// End at once.
    Now,
}

/// Asks a pipeline to stop. Cheap to clone: all clones ask the same pipeline.
#[derive(Debug, Clone)]
pub struct Stop(Arc<watch::Sender<Request>>);

impl Default for Stop {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Request::Run)))
    }
}

impl Stop {
    /// Nothing is asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Read no more, deliver what was read within the pipeline's time limit, write the last
    /// checkpoint, confirm, and end (the first SIGTERM).
    pub fn drain(&self) {
        self.ask(Request::Drain(None));
    }

    /// End at once; what was not confirmed is delivered again by the next start (the second
    /// SIGTERM).
    pub fn now(&self) {
        self.ask(Request::Now);
    }

    pub(crate) fn ask(&self, request: Request) {
        self.0.send_if_modified(|asked| {
            let more = match (*asked, request) {
                (Request::Run, Request::Drain(_) | Request::Park(_) | Request::Now)
                | (Request::Drain(_), Request::Park(_) | Request::Now)
                | (Request::Park(_), Request::Now)
                | (Request::Drain(None), Request::Drain(Some(_))) => true,
                (Request::Drain(Some(old)), Request::Drain(Some(new)))
                | (Request::Park(old), Request::Park(new)) => new < old,
                _ => false,
            };
            if more {
                *asked = request;
            }
            more
        });
    }

    pub(crate) fn asked(&self) -> Request {
        *self.0.borrow()
    }

    /// Waits until something else than `seen` is asked for.
    pub(crate) async fn other_than(&self, seen: Request) -> Request {
        let mut asked = self.0.subscribe();
        let other = asked
            .wait_for(|asked| *asked != seen)
            .await
            .map(|asked| *asked);
        match other {
            Ok(other) => other,
            // The sender lives as long as self.
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits until the end is now.
    pub(crate) async fn at_once(&self) {
        let mut asked = self.0.subscribe();
        if asked
            .wait_for(|asked| *asked == Request::Now)
            .await
            .is_err()
        {
            // The sender lives as long as self.
            std::future::pending::<()>().await;
        }
    }

    /// Whether what is not handed to a sink yet stays in the journal.
    pub(crate) fn is_parked(&self) -> bool {
        matches!(self.asked(), Request::Park(_))
    }

    /// Waits until nothing new is to be begun with a sink: the time is over, or what it lacks is
    /// kept.
    pub(crate) async fn over(&self) {
        let mut asked = self.0.subscribe();
        loop {
            let request = *asked.borrow_and_update();
            let deadline = match request {
                Request::Now | Request::Park(_) => return,
                Request::Drain(deadline) => deadline,
                Request::Run => None,
            };
            tokio::select! {
                () = sleep_until(deadline) => return,
                changed = asked.changed() => still(changed.is_ok()).await,
            }
        }
    }

    /// Waits until the time of what a sink was handed is over: the deadline has passed, the end is
    /// now, or what it lacks is kept and `delivered` has not moved for a while.
    pub(crate) async fn expired(&self, delivered: &Watermark<Position>) {
        let mut asked = self.0.subscribe();
        loop {
            let request = *asked.borrow_and_update();
            let seen = delivered.get();
            let (deadline, silence) = match request {
                Request::Now => return,
                Request::Park(deadline) => {
                    (Some(deadline), Some(deadline.min(Instant::now() + SILENCE)))
                }
                Request::Drain(deadline) => (deadline, None),
                Request::Run => (None, None),
            };
            tokio::select! {
                () = sleep_until(silence.or(deadline)) => return,
                _ = delivered.above(seen), if silence.is_some() => {
                    if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                        return;
                    }
                }
                changed = asked.changed() => still(changed.is_ok()).await,
            }
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// The sender lives as long as whoever waits for it.
async fn still(it_lives: bool) {
    if !it_lives {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lsn: u64) -> Position {
        Position::new(0, walgate_core::Lsn(lsn), 1)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_is_waited_for_as_long_as_the_sink_acknowledges() {
        let (stop, delivered) = (Stop::new(), Watermark::new(at(1)));
        let start = Instant::now();
        stop.ask(Request::Park(start + Duration::from_secs(10)));
        let moving = delivered.clone();
        let sink = async {
            for lsn in 2..6 {
                tokio::time::sleep(Duration::from_millis(1500)).await;
                moving.advance(at(lsn));
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = sink => {}
            () = stop.expired(&delivered) => {}
        }
        assert_eq!(start.elapsed().as_millis(), 4 * 1500 + 2000);
        let start = Instant::now();
        stop.over().await;
        assert!(start.elapsed().is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_waited_for_beyond_the_deadline() {
        let (stop, delivered) = (Stop::new(), Watermark::new(at(1)));
        let start = Instant::now();
        stop.ask(Request::Park(start + Duration::from_millis(1200)));
        stop.ask(Request::Drain(Some(start)));
        assert!(stop.is_parked(), "a drain never follows");
        stop.expired(&delivered).await;
        assert_eq!(start.elapsed().as_millis(), 1200);
        stop.ask(Request::Now);
        assert!(!stop.is_parked());
    }
}
