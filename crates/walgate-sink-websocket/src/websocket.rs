//! One WebSocket: reads what the client says, writes what its feed gives.
//!
//! The library reads the protocol (masks, fragments, control frames, closing) from what came, and
//! writes its own few frames into a buffer. Events are framed already and go to the socket as they
//! are, many in one system call.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, MissedTickBehavior, sleep_until};
use tungstenite::error::CapacityError;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

use crate::access::{Access, Policy, expiry};
use crate::close::Close;
use crate::counters::Counters;
use crate::feed::{Feed, Piece};
use crate::frame::put_message;
use crate::patient::STALLED_AFTER;
use crate::protocol::{Answer, Request, Start};
use crate::session::{Desk, Refusal, Session};

mod beginning;
mod key_wait;
mod renewal;

use key_wait::KeyWait;

/// The largest message of a client: a list of subscriptions with their filters.
const MAX_MESSAGE: usize = 256 << 10;

/// The largest one of a client that has shown no token yet, where one is needed: it holds memory without
/// any right to it.
const MAX_UNKNOWN_MESSAGE: usize = 32 << 10;

/// What is read at once; a client says little.
const READ_BYTES: usize = 4 << 10;

/// How long a client may take to say what it wants.
const START_WITHIN: Duration = Duration::from_secs(10);

/// A client that was not heard of for so many pings is gone.
const SILENT_PINGS: u32 = 3;

/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// As many slices as one vectored write takes.
const SLICES: usize = 64;

/// Bytes of our own frames, which are no events, that may wait before the client is heard again: who
/// asks and reads nothing waits for itself.
const MAX_OWN_BYTES: usize = 64 << 10;

/// What a client is told whose right has ended.
pub(crate) const EXPIRED: &str = "the token, or the certificate, has expired";

/// A write of so much is more than pings and positions: somebody reads.
const EVENTFUL_BYTES: usize = 4 << 10;

/// Runs a connection to its end.
pub(crate) async fn run<S>(
    stream: S,
    desk: Arc<Desk>,
    access: Option<Access>,
    start: Option<Start>,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let max_message = match access {
        None if matches!(desk.policy(), Policy::Guarded(_)) => MAX_UNKNOWN_MESSAGE,
        _ => MAX_MESSAGE,
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BYTES)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message));
    let mut talk = Talk {
        stream,
        context: WebSocketContext::new(Role::Server, Some(config)),
        pipe: Pipe::default(),
        pending: VecDeque::new(),
        own_bytes: 0,
        unheard: false,
        desk,
        access,
        key_wait: None,
        session: None,
        feed: None,
        over: false,
    };
    match start {
        Some(start) => talk.start(start),
        None => talk.wait_for_start().await?,
    }
    talk.go_on().await?;
    talk.farewell().await;
    Ok(())
}

/// What the library reads from and writes to.
#[derive(Debug, Default)]
struct Pipe {
    incoming: BytesMut,
    outgoing: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.incoming.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let len = into.len().min(self.incoming.len());
        self.incoming
            .copy_to_slice(into.get_mut(..len).unwrap_or_default());
        Ok(len)
    }
}

impl Write for Pipe {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(from);
        Ok(from.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Talk<S> {
    stream: S,
    context: WebSocketContext,
    pipe: Pipe,
    /// Whole frames, of which the first may be written in part.
    pending: VecDeque<Bytes>,
    /// Bytes of frames in it that are no events, until it is empty.
    own_bytes: usize,
    /// Something that has come was not heard yet, because too much of that waits.
    unheard: bool,
    desk: Arc<Desk>,
    /// What the request's token has opened; none when it had none.
    access: Option<Access>,
    /// A token waits for its key. The client is not heard meanwhile.
    key_wait: Option<KeyWait>,
    session: Option<Session>,
    feed: Option<Feed>,
    /// Nothing more is said: only what is pending goes out.
    over: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    async fn wait_for_start(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + START_WITHIN;
        while self.session.is_none() && !self.over {
            self.pipe.incoming.reserve(READ_BYTES);
            let says = self.key_wait.is_none();
            tokio::select! {
                read = self.stream.read_buf(&mut self.pipe.incoming), if says => {
                    if read? == 0 {
                        self.over = true;
                    }
                    self.hear();
                }
                access = key_wait::over(&mut self.key_wait) => self.after_key_wait(access),
                () = sleep_until(deadline), if says => self.close(Close::Silent, None),
            }
            self.write_all().await?;
        }
        Ok(())
    }

    async fn write_all(&mut self) -> io::Result<()> {
        self.pull_own();
        while let Some(mut bytes) = self.pending.pop_front() {
            let written = self.stream.write_all_buf(&mut bytes);
            tokio::time::timeout(STALLED_AFTER, written).await??;
        }
        self.own_bytes = 0;
        self.stream.flush().await
    }

    /// Talks until one of both ends it.
    async fn go_on(&mut self) -> io::Result<()> {
        let mut ticks = tokio::time::interval(self.desk.options.ping_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.reset();
        let (mut heard, mut moved) = (Instant::now(), Instant::now());
        let mut unflushed = false;
        let mut ending = expiry::Ending::default();
        while !self.over {
            let expired = ending.at(self.session.as_ref().and_then(Session::expires));
            self.pull_own();
            let reads = self.own_bytes < MAX_OWN_BYTES && self.key_wait.is_none();
            if reads && std::mem::take(&mut self.unheard) {
                self.hear();
                continue;
            }
            self.pipe.incoming.reserve(READ_BYTES);
            let writes = !self.pending.is_empty();
            let slices: Vec<IoSlice<'_>> = slices(&self.pending);
            let (mut reading, mut writing) = tokio::io::split(&mut self.stream);
            let (feed, key_wait) = (&mut self.feed, &mut self.key_wait);
            tokio::select! {
                // What ends it and what the client says come before what it is sent: a token that shows
                // less must not wait for luck behind a backlog. Who says too much waits for itself.
                biased;
                () = expired => {
                    drop(slices);
                    self.close(Close::Unauthorized, Some(EXPIRED.to_owned()));
                }
                read = reading.read_buf(&mut self.pipe.incoming), if reads => {
                    if read? == 0 {
                        return Ok(());
                    }
                    heard = Instant::now();
                    drop(slices);
                    self.hear();
                }
                access = key_wait::over(key_wait) => {
                    // It was not listened to.
                    heard = Instant::now();
                    drop(slices);
                    self.after_key_wait(access);
                }
                _ = ticks.tick() => {
                    drop(slices);
                    if writes && moved.elapsed() > STALLED_AFTER {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    self.tick(heard);
                }
                written = write(&mut writing, &slices), if writes || unflushed => {
                    let written = written?;
                    unflushed = writes;
                    drop(slices);
                    if writes {
                        moved = Instant::now();
                        // Its answer to a ping stands behind all of this.
                        if written >= EVENTFUL_BYTES {
                            heard = moved;
                        }
                        self.wrote(written);
                    }
                }
                piece = next(feed, writes) => {
                    drop(slices);
                    let Some(piece) = piece else {
                        return Err(io::ErrorKind::OutOfMemory.into());
                    };
                    moved = Instant::now();
                    self.give(piece);
                }
            }
        }
        Ok(())
    }

    fn wrote(&mut self, written: usize) {
        advance(&mut self.pending, written);
        if self.pending.is_empty() {
            self.own_bytes = 0;
        }
    }

    /// What the feed has given.
    fn give(&mut self, piece: Piece) {
        match piece {
            Piece::Events(slices) => self.pending.extend(slices),
            Piece::Ready(position) => {
                if let Some(session) = &self.session {
                    let answer = session.ready(position);
                    self.say(&answer);
                }
            }
            Piece::Snapshot(rows, position) => self.say(&Answer::Snapshot { rows, position }),
            Piece::Resync { reason, oldest } => {
                Counters::count(&self.desk.hub.counters.resyncs);
                self.say(&Answer::ResyncRequired { reason, oldest });
                self.close(Close::Resync, None);
            }
            Piece::Closed(closing) => {
                if closing.why == Close::Slow {
                    Counters::count(&self.desk.hub.counters.slow);
                }
                self.close(closing.why, closing.detail);
            }
        }
    }

    /// Asks whether the client is there that was heard of last at `heard`, and tells it how far it has got.
    fn tick(&mut self, heard: Instant) {
        let silent = heard.elapsed() > self.desk.options.ping_every * SILENT_PINGS;
        // Who waits for a key is not listened to.
        if silent && self.key_wait.is_none() {
            return self.close(Close::Dead, None);
        }
        // While something waits it is not sent.
        let told = self.feed.as_ref().and_then(Feed::told);
        if let Some(position) = told.filter(|_| self.pending.is_empty()) {
            self.say(&Answer::Position { position });
        }
        // The library keeps what is written to itself until it is told to hand it over.
        let ping = Message::Ping(Bytes::new());
        let _asked = self.context.write(&mut self.pipe, ping);
        let _flushed = self.context.flush(&mut self.pipe);
    }

    /// Reads what has come.
    fn hear(&mut self) {
        loop {
            if self.own_bytes >= MAX_OWN_BYTES || self.key_wait.is_some() {
                self.unheard = true;
                break;
            }
            match self.context.read(&mut self.pipe) {
                Ok(Message::Text(text)) => match serde_json::from_str(&text) {
                    Ok(request) => self.request(request),
                    Err(error) => self.refuse(Refusal {
                        code: "malformed",
                        message: format!("not a message of the protocol: {error}"),
                        subscription: None,
                    }),
                },
                Ok(Message::Binary(_)) => self.end(CloseCode::Unsupported, "text only"),
                Ok(Message::Close(_)) => self.over = true,
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => {
                    self.end(CloseCode::Size, "the message is too long");
                }
                Err(Error::Utf8(_)) => self.end(CloseCode::Invalid, "not UTF-8"),
                Err(Error::Protocol(_)) => self.end(CloseCode::Protocol, "not the protocol"),
                Err(_) => self.over = true,
            }
            if self.over {
                break;
            }
        }
        // Pongs, and the answer to a close.
        let _flushed = self.context.flush(&mut self.pipe);
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Start(start) if self.session.is_none() => self.start(start),
            Request::Start(_) => self.refuse(Refusal {
                code: "started",
                message: "it has started already: use subscribe and unsubscribe".to_owned(),
                subscription: None,
            }),
            Request::Subscribe(wanted) => {
                self.change(|session| session.add(&wanted));
            }
            Request::Unsubscribe { id } => self.change(|session| session.remove(&id)),
            Request::Token { token } => self.renew(token),
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Session) -> Result<(), Refusal>) {
        let not_yet = || Refusal {
            code: "not_ready",
            message: "wait for ready before you change subscriptions".to_owned(),
            subscription: None,
        };
        let (Some(session), Some(feed)) = (&mut self.session, &mut self.feed) else {
            return self.refuse(not_yet());
        };
        if !feed.is_live() {
            return self.refuse(not_yet());
        }
        if let Err(refusal) = change(session) {
            return self.refuse(refusal);
        }
        if let Some(position) = feed.change(session.interest()) {
            let subscriptions = session.exactness();
            self.say(&Answer::Subscriptions {
                position,
                subscriptions,
            });
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.say(&refusal.answer());
    }

    fn say(&mut self, answer: &Answer) {
        self.pull_own();
        let mut frame = BytesMut::new();
        put_message(answer.json().as_bytes(), &mut frame);
        self.own_bytes += frame.len();
        self.pending.push_back(frame.freeze());
    }

    /// Ends it from our side, with what the client needs to come back.
    fn close(&mut self, why: Close, detail: Option<String>) {
        let sent = self.feed.as_ref().map(Feed::sent);
        // From what is not retained nobody resumes.
        let position = sent.filter(|_| why != Close::Resync);
        let reason = detail.unwrap_or_else(|| why.reason().to_owned());
        self.say(&Answer::Closed {
            code: why.code(),
            reason,
            position,
        });
        self.end(CloseCode::from(why.code()), why.reason());
    }

    fn end(&mut self, code: CloseCode, reason: &'static str) {
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        // It may have closed already.
        let _closed = self.context.close(&mut self.pipe, Some(frame));
        self.pull_own();
        self.over = true;
    }

    /// What the library has written comes behind what is pending: between two frames.
    fn pull_own(&mut self) {
        if !self.pipe.outgoing.is_empty() {
            let own = std::mem::take(&mut self.pipe.outgoing);
            self.own_bytes += own.len();
            self.pending.push_back(Bytes::from(own));
        }
    }

    /// Sends what is pending, and waits a little for the client to close too.
    async fn farewell(&mut self) {
        let farewell = async {
            self.write_all().await?;
            // It was told everything.
            self.feed = None;
            self.stream.shutdown().await?;
            let mut rest = [0; 1024];
            while self.stream.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        let _late = tokio::time::timeout(FAREWELL, farewell).await;
    }
}

/// Writes some of `slices`; or, where there are none, sees to it that what was written goes out: TLS
/// keeps what the socket did not take.
async fn write(
    writing: &mut (impl AsyncWrite + Unpin),
    slices: &[IoSlice<'_>],
) -> io::Result<usize> {
    if slices.is_empty() {
        writing.flush().await?;
        return Ok(0);
    }
    match writing.write_vectored(slices).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        written => Ok(written),
    }
}

/// What the feed gives next; nothing before there is one. While something is written, none when that has
/// to be given up.
async fn next(feed: &mut Option<Feed>, writes: bool) -> Option<Piece> {
    match feed {
        Some(feed) if writes => {
            feed.queue().cut().await;
            None
        }
        Some(feed) => Some(feed.next().await),
        None => std::future::pending().await,
    }
}

fn slices(pending: &VecDeque<Bytes>) -> Vec<IoSlice<'_>> {
    pending
        .iter()
        .take(SLICES)
        .map(|bytes| IoSlice::new(bytes))
        .collect()
}

fn advance(pending: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(first) = pending.front_mut() {
        if written < first.len() {
            first.advance(written);
            return;
        }
        written -= first.len();
        pending.pop_front();
    }
}
