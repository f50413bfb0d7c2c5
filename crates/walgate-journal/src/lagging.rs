//! A cursor behind what is in memory: it reads the log on disk, a chunk ahead.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use walgate_core::{Failure, Position, StopReason};

use crate::log::{Chunk, DamagedPlace, LogEntry, LogReader, LogView, Then};
use crate::ring::Place;

/// The way of one cursor through the log on disk.
///
/// It holds at most two chunks: the one that is read, and the one that is fetched meanwhile. All
/// that is under way is kept here, not in a future, so that a cursor that is no longer polled
/// loses nothing.
#[derive(Debug)]
pub(crate) struct Lagging {
    /// The place that the first entry of `chunk` answers, or what comes when it is empty.
    expects: Place,
    chunk: VecDeque<LogEntry>,
    /// What follows `chunk`, until it is dealt with.
    then: Option<Then>,
    /// Reads on behind `chunk`; away while it fetches.
    reader: Option<LogReader>,
    fetch: Option<JoinHandle<Fetched>>,
    /// The last end that it came to although memory begins behind it.
    tail: Option<u64>,
}

/// A reader comes back with what it has read.
type Fetched = (LogReader, Result<Chunk, Failure>);

/// What lies at a place on disk.
#[derive(Debug)]
pub(crate) enum Found {
    Entry(LogEntry),
    /// Nothing more on disk: the entry of this number comes next, from memory.
    Tail(u64),
    /// It is no longer kept. What is kept begins behind `oldest`, with the entry `next`.
    Gone {
        oldest: Position,
        next: u64,
    },
    /// It can't be read. Behind it the entry `next` follows.
    Damaged {
        damage: DamagedPlace,
        next: u64,
    },
}

impl Lagging {
    /// A way that begins at `place`. No I/O.
    pub(crate) fn new(view: &LogView, place: Place) -> Self {
        let reader = match place {
            Place::Entry(number) => view.reader_at(number),
            Place::Behind(position) => view.reader_behind(position),
        };
        Self {
            expects: place,
            chunk: VecDeque::new(),
            then: None,
            reader: Some(reader),
            fetch: None,
            tail: None,
        }
    }

    /// Whether it leads to `place`; it skips what lies before that.
    pub(crate) fn leads_to(&mut self, place: Place) -> bool {
        if self.expects == place {
            return true;
        }
        let Place::Entry(number) = place else {
            return false;
        };
        while self
            .chunk
            .front()
            .is_some_and(|entry| entry.number < number)
        {
            self.chunk.pop_front();
        }
        let leads = self
            .chunk
            .front()
            .is_some_and(|entry| entry.number == number);
        if leads {
            self.expects = place;
        }
        leads
    }

    /// What lies at the place that it leads to. What is in memory begins at `base`.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, base: u64) -> Poll<Result<Found, Failure>> {
        loop {
            if let Some(entry) = self.chunk.pop_front() {
                self.expects = Place::Entry(entry.number + 1);
                return Poll::Ready(Ok(Found::Entry(entry)));
            }
            match self.then.take() {
                None | Some(Then::More) => {}
                Some(Then::Tail) => {
                    let next = self.next_entry(base);
                    if next >= base || matches!(self.expects, Place::Behind(_)) {
                        self.expects = Place::Entry(next);
                        return Poll::Ready(Ok(Found::Tail(next)));
                    }
                    // It was the tail when it was read; the log has grown since.
                    if self.tail.replace(next) == Some(next) {
                        let message =
                            format!("the journal on disk has no entry {next}: this is a bug");
                        return Poll::Ready(Err(Failure::new(StopReason::State, message)));
                    }
                }
                Some(Then::Gone { oldest, .. }) => {
                    let next = self.go_on(base);
                    return Poll::Ready(Ok(Found::Gone { oldest, next }));
                }
                Some(Then::Damaged(damage)) => {
                    let next = self.go_on(base);
                    return Poll::Ready(Ok(Found::Damaged { damage, next }));
                }
            }
            ready!(self.poll_fetch(cx))?;
            self.read_ahead(base)?;
        }
    }

    /// Goes on behind what can't be read.
    fn go_on(&mut self, base: u64) -> u64 {
        if let Some(reader) = &mut self.reader {
            reader.go_on();
        }
        let next = self.next_entry(base);
        self.expects = Place::Entry(next);
        next
    }

    /// The entry behind `chunk`. A reader that has found nothing at all goes on in memory.
    fn next_entry(&self, base: u64) -> u64 {
        let reader = self.reader.as_ref();
        reader.and_then(LogReader::next_entry).unwrap_or(base)
    }

    /// Fetches the chunk behind the one that is read, unless memory goes on there.
    fn read_ahead(&mut self, base: u64) -> Result<(), Failure> {
        if matches!(self.then, Some(Then::More)) && self.next_entry(base) < base {
            self.begin_fetch()?;
        }
        Ok(())
    }

    fn begin_fetch(&mut self) -> Result<(), Failure> {
        let Some(mut reader) = self.reader.take() else {
            return Ok(());
        };
        let runtime = Handle::try_current().map_err(|error| {
            let message = format!("the journal can't be read from disk: {error}");
            Failure::new(StopReason::State, message)
        })?;
        self.fetch = Some(runtime.spawn_blocking(move || {
            let chunk = reader.read();
            (reader, chunk)
        }));
        Ok(())
    }

    /// Waits for the next chunk.
    fn poll_fetch(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        if self.fetch.is_none() {
            self.begin_fetch()?;
        }
        let Some(fetch) = &mut self.fetch else {
            let message = "the journal's reader has broken off";
            return Poll::Ready(Err(Failure::new(StopReason::State, message)));
        };
        let fetched = ready!(Pin::new(fetch).poll(cx));
        self.fetch = None;
        let (reader, chunk) = fetched.map_err(|error| {
            let message = format!("the journal's reader has broken off: {error}");
            Failure::new(StopReason::State, message)
        })?;
        self.reader = Some(reader);
        let chunk = chunk?;
        self.chunk = chunk.entries.into();
        self.then = Some(chunk.then);
        Poll::Ready(Ok(()))
    }
}
