//! How a pipeline is asked to stop.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Request {
    /// Nothing.
    #[default]
    Run,
    /// Read no more, deliver what was read, until the deadline.
    Drain(Option<Instant>),
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
                (Request::Run, Request::Drain(_) | Request::Now)
                | (Request::Drain(_), Request::Now)
                | (Request::Drain(None), Request::Drain(Some(_))) => true,
                (Request::Drain(Some(old)), Request::Drain(Some(new))) => new < old,
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

    /// Waits until the time to go on is over: the deadline has passed, or the end is now.
    pub(crate) async fn expired(&self) {
        let mut asked = self.0.subscribe();
        loop {
            let request = *asked.borrow_and_update();
            let deadline = match request {
                Request::Now => return,
                Request::Drain(deadline) => deadline,
                Request::Run => None,
            };
            let passed = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = passed => return,
                changed = asked.changed() => {
                    if changed.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
            }
        }
    }
}
