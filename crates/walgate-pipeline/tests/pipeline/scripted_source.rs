//! A source that hands over what it is told to.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use walgate_core::{Failure, Feed, Source, Xid, streams_nothing};

#[derive(Debug)]
pub(crate) enum Act {
    Feed(Feed),
    Sleep(Duration),
    /// Waits until it is opened.
    Gate(Arc<Notify>),
    Fail(Failure),
}

#[derive(Debug, Default)]
pub(crate) struct ScriptedSource {
    pub(crate) acts: VecDeque<Act>,
    pub(crate) closed: Arc<AtomicBool>,
    pub(crate) timeline: Option<u32>,
    /// Closing never ends.
    pub(crate) close_hangs: bool,
}

impl ScriptedSource {
    pub(crate) fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        Self {
            acts: acts.into_iter().collect(),
            ..Self::default()
        }
    }
}

impl Source for ScriptedSource {
    async fn next(&mut self) -> Result<Feed, Failure> {
        loop {
            match self.acts.front() {
                Some(Act::Sleep(time)) => {
                    tokio::time::sleep(*time).await;
                    self.acts.pop_front();
                }
                Some(Act::Gate(gate)) => {
                    gate.notified().await;
                    self.acts.pop_front();
                }
                Some(_) => match self.acts.pop_front() {
                    Some(Act::Feed(feed)) => return Ok(feed),
                    Some(Act::Fail(failure)) => return Err(failure),
                    _ => {}
                },
                None => std::future::pending().await,
            }
        }
    }

    fn unstream(&mut self, xid: Xid, why: String) -> Result<(), Failure> {
        Err(streams_nothing(xid, &why))
    }

    fn timeline(&self) -> Option<u32> {
        self.timeline
    }

    async fn close(&mut self) -> Result<(), Failure> {
        self.closed.store(true, Ordering::SeqCst);
        if self.close_hangs {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}
