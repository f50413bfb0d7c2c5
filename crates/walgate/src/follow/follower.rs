//! Makes connections, again and again, and decides what the end of one means.

mod talk;

use std::time::{Duration, Instant, SystemTime};

use reqwest::Client;
use walgate_core::{Failure, StopReason};
use walgate_format::{PrettyEvents, PrettyOptions};

use super::address::Address;
use super::back_off::BackOff;
use super::event_stream::EventStream;
use super::http;
use super::line::Line;
use super::place::Place;
use super::refusal::Refusal;
use super::resume_file::ResumeFile;
use super::token::{self, TokenSource};
use super::websocket::WebSocket;
use super::writer::{Entries, Writer};
use crate::args::{FollowArgs, OutputFormat, Transport};
use crate::config::Secret;
use crate::ending::Ending;
use crate::entry::Console;

/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// A client of a push server.
pub(super) struct Follower {
    args: FollowArgs,
    address: Address,
    client: Client,
    source: TokenSource,
    token: Option<Secret>,
    /// When the server lets go of the token, if it has said so.
    expires: Option<SystemTime>,
    place: Place,
    back_off: BackOff,
    entries: Entries,
    left: Option<u64>,
    /// A WebSocket is not tried any more.
    only_events: bool,
    /// It was said that no WebSocket passes.
    has_fallen_back: bool,
    /// A connection was ready before: the next is not the first.
    was_ready: bool,
    /// So many tokens were refused since then.
    denials: u32,
}

/// How a connection has ended.
enum End {
    /// There is nothing more to be done.
    Done,
    /// It is to be made anew at once: the token is another.
    Anew,
    /// It was lost, or was never good.
    Refused(Refusal),
}

impl Follower {
    /// As the arguments say, with the thread that writes what it receives.
    ///
    /// # Errors
    ///
    /// When the arguments can't be meant.
    pub(super) fn new(args: &FollowArgs, console: &Console) -> Result<(Self, Writer), Ending> {
        let address = Address::parse(&args.url)?;
        let client = http::client(args.ca.as_deref())?;
        let source = TokenSource::new(args, std::env::var(token::VARIABLE).ok());
        let resume = args.resume_file.as_deref().map(ResumeFile::open);
        let resume = resume.transpose()?;
        let kept = resume.as_ref().and_then(ResumeFile::kept);
        let natural = match console.stdout_is_terminal {
            true => OutputFormat::Pretty,
            false => OutputFormat::Json,
        };
        let pretty = args.format.unwrap_or(natural) == OutputFormat::Pretty;
        let pretty = pretty.then(|| {
            PrettyEvents::new(PrettyOptions {
                colour: console.stdout_colour,
                ..PrettyOptions::default()
            })
        });
        let (entries, writer) = Writer::start(std::io::stdout(), pretty, resume)?;
        let follower = Self {
            args: args.clone(),
            address,
            client,
            source,
            token: None,
            expires: None,
            place: Place::new(args, kept, Instant::now()),
            back_off: BackOff::default(),
            entries,
            left: args.limit.map(std::num::NonZeroU64::get),
            only_events: args.transport == Transport::Sse,
            has_fallen_back: false,
            was_ready: false,
            denials: 0,
        };
        Ok((follower, writer))
    }

    /// Follows until the limit is reached, the output is closed, or a human is needed.
    ///
    /// # Errors
    ///
    /// Why it can't go on.
    pub(super) async fn run(&mut self) -> Result<(), Ending> {
        self.token = self.source.fetch().await?;
        loop {
            let end = match Box::pin(self.connect()).await {
                Ok(mut line) => {
                    let end = Box::pin(self.talk(&mut line)).await;
                    // A server that waits for us must not hold us up.
                    let _closed = tokio::time::timeout(GOODBYE, line.close()).await;
                    end
                }
                Err(refusal) => End::Refused(refusal),
            };
            match end {
                End::Done => return Ok(()),
                End::Anew => {}
                End::Refused(Refusal::Final(failure)) => return Err(failure.into()),
                End::Refused(Refusal::Resync(reason, oldest)) => {
                    self.resync(&reason, oldest.as_deref()).await?;
                }
                End::Refused(Refusal::Token(what)) => {
                    self.denials += 1;
                    if self.denials > 1 || !self.refetch().await? {
                        return Err(self.denied(what).into());
                    }
                    tracing::info!("{what}: again with a new token");
                }
                End::Refused(Refusal::Later(what, after)) => self.wait(what, after).await?,
            }
        }
    }

    async fn connect(&mut self) -> Result<Line, Refusal> {
        let from = self.place.connect(Instant::now());
        if !self.only_events {
            let url = self.address.stream("stream", &self.args, &from);
            let opened = WebSocket::open(&self.client, url, self.token.as_ref()).await;
            let refused = match opened {
                Ok(line) => return Ok(Line::WebSocket(Box::new(line))),
                Err(refused) => refused,
            };
            // It need not be the server who has answered: Server-Sent Events are ordinary HTTP. But nobody
            // else knows about tokens.
            let may_pass = refused.is_connected && !matches!(refused.refusal, Refusal::Token(_));
            if self.args.transport != Transport::Auto || !may_pass {
                return Err(refused.refusal);
            }
        }
        let url = self.address.stream("events", &self.args, &from);
        let line = EventStream::open(&self.client, url, self.token.as_ref()).await?;
        if !self.only_events && !std::mem::replace(&mut self.has_fallen_back, true) {
            tracing::info!("no WebSocket passes: Server-Sent Events instead");
        }
        Ok(Line::Events(Box::new(line)))
    }

    /// Waits until a connection is made anew.
    async fn wait(&mut self, what: String, after: Option<Duration>) -> Result<(), Ending> {
        if self.args.no_reconnect {
            return Err(Ending::other_with_hint(
                what,
                "without --no-reconnect it goes on where it was",
            ));
        }
        let wait = self.back_off.next(after, fastrand::f64());
        let shown = Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let behind = match self.place.after() {
            Some(position) => format!(", behind {position}"),
            None => String::new(),
        };
        tracing::info!(
            "{what}; again in {}{behind}",
            humantime::format_duration(shown)
        );
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.entries.closed() => {}
        }
        Ok(())
    }

    /// What was missed is not there any more.
    async fn resync(&mut self, reason: &str, oldest: Option<&str>) -> Result<(), Ending> {
        let what = format!("changes are missing: {reason}");
        if !self.args.accept_gaps || self.args.no_reconnect {
            let from = match oldest {
                Some(oldest) => format!("; what is retained begins with --since {oldest}"),
                None => String::new(),
            };
            let hint = format!(
                "take a new copy of the data and follow from now on, or go on without what is missing: --accept-gaps{from}"
            );
            return Err(Failure::new(StopReason::Gap, what).hint(hint).into());
        }
        tracing::warn!("{what}; it goes on with what comes");
        self.place.give_up();
        // A server that says so each time is not asked without a pause.
        let wait = self.back_off.next(None, fastrand::f64());
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Gets another token; false when there is none.
    async fn refetch(&mut self) -> Result<bool, Ending> {
        if !self.source.has_more() {
            return Ok(false);
        }
        let token = self.source.fetch().await?;
        let is_other = token != self.token;
        (self.token, self.expires) = (token, None);
        Ok(is_other)
    }

    fn denied(&self, what: String) -> Failure {
        let hint = match self.source {
            TokenSource::Nowhere => {
                "give a token: in WALGATE_TOKEN, with --token-file or with --token-command"
            }
            TokenSource::Fixed(_) => "the token of WALGATE_TOKEN is wrong or has expired",
            TokenSource::File(_) => "the token of --token-file is wrong or has expired",
            TokenSource::Command(_) => "the token of --token-command is wrong or has expired",
        };
        Failure::new(StopReason::Permission, what).hint(hint)
    }
}
