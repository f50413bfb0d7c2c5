//! A pipeline while it runs: the pump, and the way to its end.

use std::pin::pin;

use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout};
use tracing::warn;
use walgate_core::{Failure, Feed, Frames, Lsn, Source, StopReason, Streamed, Watermark};
use walgate_journal::{Demand, Journal};

use crate::chain::Ended;
use crate::confirm::{Confirmer, News};
use crate::options::PipelineOptions;
use crate::pipeline::{End, Outcome};
use crate::stop::{Request, Stop};
use crate::streams::{GivenUp, Streams};

/// What a chain's task returns.
pub(crate) type ChainEnd = (Demand, Result<Ended, Failure>);

/// What the task that confirms returns: itself, for the last checkpoint.
pub(crate) type Confirmed = (Box<Confirmer>, Result<(), Failure>);

pub(crate) struct Run {
    pub(crate) options: PipelineOptions,
    pub(crate) journal: Journal,
    pub(crate) chains: JoinSet<ChainEnd>,
    /// Required chains that have not ended.
    pub(crate) required: usize,
    pub(crate) news: News,
    /// The caller's request.
    pub(crate) stop: Stop,
    /// What of it was heard.
    pub(crate) heard: Request,
    /// The request to the chains.
    pub(crate) inner: Stop,
    /// The task that confirms; a set, because a set ends its tasks when it is dropped.
    pub(crate) confirming: JoinSet<Confirmed>,
    /// Ends the task that confirms.
    pub(crate) finish: oneshot::Sender<()>,
    /// The first thing that has failed.
    pub(crate) failure: Option<Failure>,
    /// A sink was stopped before it had delivered everything: a required one, or any where what it
    /// lacks is kept.
    pub(crate) stopped: bool,
    /// The journal is on disk: what a sink lacks is there after a stop.
    pub(crate) is_kept: bool,
    pub(crate) confirmed: Watermark<Lsn>,
}

/// Why the pump ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Halt {
    Source,
    Counted,
    Asked,
    Failed,
}

/// What happens beside the pump.
enum Event {
    Asked(Request),
    Chain(Result<ChainEnd, JoinError>),
    /// All chains have ended.
    NoChain,
    /// The task that confirms has ended by itself.
    Confirming(Result<Confirmed, JoinError>),
}

impl Run {
    pub(crate) async fn until_the_end<S: Source>(
        mut self,
        source: &mut S,
    ) -> Result<Outcome, Failure> {
        let halt = self.pump(source).await;
        self.journal.end();
        match halt {
            Halt::Source | Halt::Asked => {}
            Halt::Counted => self.limit_drain(),
            Halt::Failed => self.end_after_failure(),
        }
        self.drain().await;
        let is_kept = self.is_kept && self.heard != Request::Now;
        let stopped = self.stopped;
        let confirmed = self.confirmed.clone();
        self.finish(source).await?;
        let end = match halt {
            _ if stopped && is_kept => End::Kept,
            _ if stopped => End::Stopped,
            Halt::Source => End::Source,
            Halt::Counted => End::Counted,
            Halt::Asked | Halt::Failed => End::Drained,
        };
        let confirmed = confirmed.get();
        Ok(Outcome { end, confirmed })
    }

    /// Moves what the source hands over into the journal.
    async fn pump<S: Source>(&mut self, source: &mut S) -> Halt {
        let mut timeline = None;
        let mut streams = Streams::new(self.journal.clone());
        loop {
            let feed = tokio::select! {
                biased;
                event = self.event() => match self.note(event) {
                    Some(halt) => return halt,
                    None => continue,
                },
                feed = source.next() => feed,
            };
            let now = source.timeline();
            if now != timeline {
                timeline = now;
                now.into_iter().for_each(|now| self.news.timeline(now));
            }
            match feed {
                Ok(Feed::Frames(frames)) => {
                    if let Some(halt) = self.append(frames).await {
                        return halt;
                    }
                }
                Ok(Feed::Streamed(streamed)) => match self.stream(&mut streams, streamed).await {
                    Ok(None) => {}
                    Ok(Some((xid, why))) => {
                        if let Err(failure) = source.unstream(xid, why) {
                            return self.fail(failure);
                        }
                    }
                    Err(halt) => return halt,
                },
                Ok(Feed::Gap(gap)) => {
                    self.news.gap(gap.clone());
                    self.journal.append_gap(gap);
                }
                Ok(Feed::End) => return Halt::Source,
                Err(failure) => return self.fail(failure),
            }
        }
    }

    /// Waits for room while required sinks are behind, and hears of what happens meanwhile.
    async fn append(&mut self, frames: Frames) -> Option<Halt> {
        let journal = self.journal.clone();
        let mut append = pin!(journal.append(frames));
        loop {
            tokio::select! {
                biased;
                appended = &mut append => {
                    return appended.err().map(|failure| self.fail(failure));
                }
                event = self.event() => {
                    if let Some(halt) = self.note(event) {
                        return Some(halt);
                    }
                }
            }
        }
    }

    /// Takes news of a transaction that runs, and hears of what happens meanwhile. Returns what
    /// can't be kept.
    async fn stream(
        &mut self,
        streams: &mut Streams,
        streamed: Streamed,
    ) -> Result<Option<GivenUp>, Halt> {
        let mut take = pin!(streams.take(streamed));
        loop {
            tokio::select! {
                biased;
                taken = &mut take => return taken.map_err(|failure| self.fail(failure)),
                event = self.event() => {
                    if let Some(halt) = self.note(event) {
                        return Err(halt);
                    }
                }
            }
        }
    }

    /// Waits until the chains have delivered what was read, or their time is over.
    async fn drain(&mut self) {
        loop {
            if self.required == 0 {
                // An optional sink has no more than the time of a stop.
                self.limit_drain();
            }
            let event = self.event().await;
            if matches!(event, Event::NoChain) {
                return;
            }
            let failed_before = self.failure.is_some();
            self.note(event);
            if self.failure.is_some() && !failed_before {
                self.end_after_failure();
            }
        }
    }

    /// Writes the last checkpoint, confirms, and closes the source, unless the end is now: also a
    /// disk or a server that does not answer must not keep the process.
    async fn finish<S: Source>(mut self, source: &mut S) -> Result<(), Failure> {
        let mut failure = self.failure.take();
        let stop = self.stop.clone();
        tokio::select! {
            biased;
            () = stop.at_once() => {}
            last = self.close(source) => failure = failure.or(last),
        }
        failure.map_or(Ok(()), Err)
    }

    /// Returns what went wrong with the last checkpoint.
    async fn close<S: Source>(mut self, source: &mut S) -> Option<Failure> {
        let mut failure = self.close_journal().await;
        drop(self.finish);
        if let Some(confirming) = self.confirming.join_next().await {
            let last = match confirming {
                Ok((mut confirmer, Ok(()))) => confirmer.finish().await,
                Ok((_, failed)) => failed,
                Err(panic) => Err(Failure::new(
                    StopReason::State,
                    format!("the task that confirms has broken off: {panic}"),
                )),
            };
            failure = failure.or_else(|| last.err());
        }
        // The session bounds its own end; this is only against one that does not.
        match timeout(self.options.drain_for, source.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => {
                warn!("the source did not close cleanly: {failure}");
            }
            Err(_) => warn!("the source did not close in time"),
        }
        failure
    }

    /// Makes durable what was appended, so that the last checkpoint can say so.
    async fn close_journal(&self) -> Option<Failure> {
        match timeout(self.options.drain_for, self.journal.close()).await {
            Ok(closed) => closed.err(),
            Err(_) => {
                warn!("the end of the journal did not become durable in time; it comes again");
                None
            }
        }
    }

    /// Waits for what happens beside the pump. Cancel-safe.
    async fn event(&mut self) -> Event {
        tokio::select! {
            biased;
            request = self.stop.other_than(self.heard) => Event::Asked(request),
            chain = self.chains.join_next() => chain.map_or(Event::NoChain, Event::Chain),
            Some(ended) = self.confirming.join_next() => Event::Confirming(ended),
        }
    }

    /// Whether an event ends the pump.
    fn note(&mut self, event: Event) -> Option<Halt> {
        match event {
            Event::Asked(request) => {
                self.heard = request;
                match request {
                    Request::Now => self.inner.ask(Request::Now),
                    Request::Drain(_) | Request::Park(_) | Request::Run if self.is_kept => {
                        self.inner.ask(Request::Park(self.deadline()));
                    }
                    Request::Drain(_) | Request::Park(_) | Request::Run => self.limit_drain(),
                }
                Some(Halt::Asked)
            }
            Event::NoChain => {
                let message = "every sink has failed, and none is required";
                let failure = Failure::new(StopReason::Sink, message);
                Some(self.fail(failure.hint("the log above says why, sink by sink")))
            }
            Event::Confirming(ended) => {
                let failure = match ended {
                    Ok((_, Err(failure))) => failure,
                    Ok((_, Ok(()))) => return None,
                    Err(panic) => Failure::new(
                        StopReason::State,
                        format!("the task that confirms has broken off: {panic}"),
                    ),
                };
                Some(self.fail(failure))
            }
            Event::Chain(ended) => self.chain_ended(ended),
        }
    }

    fn chain_ended(&mut self, ended: Result<ChainEnd, JoinError>) -> Option<Halt> {
        let (demand, result) = match ended {
            Ok(ended) => ended,
            Err(panic) => {
                let message = format!("a sink's chain has broken off: {panic}");
                return Some(self.fail(Failure::new(StopReason::Sink, message)));
            }
        };
        self.required -= usize::from(demand == Demand::Required);
        match (demand, result) {
            (_, Ok(Ended::Drained)) | (Demand::Optional, Err(_)) => None,
            (_, Ok(Ended::Counted)) => Some(Halt::Counted),
            // An optional sink is given its time; nobody waits for what it has not delivered.
            (Demand::Optional, Ok(Ended::Stopped)) if !self.is_kept => None,
            (_, Ok(Ended::Stopped)) => {
                self.stopped = true;
                None
            }
            (Demand::Required, Err(failure)) => Some(self.fail(failure)),
        }
    }

    /// What is kept waits for the next start, which may know better: a server with another history
    /// has never had what nobody has received yet.
    fn end_after_failure(&self) {
        match self.is_kept {
            true => self.inner.ask(Request::Park(self.deadline())),
            false => self.limit_drain(),
        }
    }

    /// From now on the chains have a limited time.
    fn limit_drain(&self) {
        self.inner.ask(Request::Drain(Some(self.deadline())));
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.options.drain_for
    }

    fn fail(&mut self, failure: Failure) -> Halt {
        self.failure.get_or_insert(failure);
        Halt::Failed
    }
}
