//! `walgate follow`.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use walgate_core::{Lsn, Position};

use super::OutputFormat;

const EXAMPLES: &str = "\
Examples:
  walgate follow ws://127.0.0.1:9465
  walgate follow ws://127.0.0.1:9465 --table public.logs --where level=ERROR --since 10m
  walgate follow wss://push.example.org --table public.orders --format json --resume-file orders.pos
  walgate follow wss://push.example.org --token-command 'gettoken --audience walgate'

The URL is that of a Walgate with a sink of type websocket: ws, wss, http or https. No database is needed.
A connection that breaks is made again and goes on behind the last event that was received: what was missed
comes first, and nothing comes twice. How it is going is said on stderr.
The token comes from WALGATE_TOKEN, a file or a command; it is never an argument, which other users can see.
Proxies are taken from HTTPS_PROXY, HTTP_PROXY and NO_PROXY.";

const EXIT_CODES: &str = "\
Exit codes:
  0  told to end (Ctrl-C), --limit is reached, or nobody reads the output any more
  1  the connection was lost, with --no-reconnect; or the output can't be written
  2  the command line, the address or a filter is wrong
  3  a token is missing, wrong or expired
  4  changes are missing: the position is not retained any more (see --accept-gaps)
  7  the server says what makes no sense
  8  the resume file can't be used";

/// Arguments of `walgate follow`.
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct FollowArgs {
    /// Where a Walgate serves its events: ws://, wss://, http:// or https://
    #[arg(value_name = "URL")]
    pub url: String,
    /// Only these tables: schema.table, schema.* or *; may be repeated
    #[arg(long = "table", value_name = "PATTERN", help_heading = "Selection")]
    pub tables: Vec<String>,
    /// Only rows of which this is true, such as level=ERROR or 'level in (ERROR, FATAL) and host <> db-1'; may
    /// be repeated, and then all must hold
    #[arg(long = "where", value_name = "FILTER", help_heading = "Selection")]
    pub filters: Vec<String>,
    /// Only these operations: insert, update, delete, truncate, message; may be repeated
    #[arg(
        long = "op",
        value_name = "OP",
        value_delimiter = ',',
        help_heading = "Selection"
    )]
    pub ops: Vec<String>,
    /// Only these columns, beside those of the key
    #[arg(
        long,
        value_name = "COLUMN",
        value_delimiter = ',',
        help_heading = "Selection"
    )]
    pub columns: Vec<String>,
    /// A begin and a commit event around the changes of each transaction
    #[arg(long, help_heading = "Selection")]
    pub transactions: bool,
    /// Refuse a filter that the log can't judge exactly
    #[arg(long, help_heading = "Selection")]
    pub strict: bool,
    /// Start behind this event id or LSN, or with the first transaction of this time or later: 10m, 2h,
    /// 2026-11-21T09:30:00Z
    #[arg(long, value_name = "POSITION|TIME", help_heading = "Range")]
    pub since: Option<Since>,
    /// First the rows that there are, as read events, then their changes
    #[arg(long, conflicts_with = "since", help_heading = "Range")]
    pub snapshot: bool,
    /// End after so many events
    #[arg(long, value_name = "N", help_heading = "Range")]
    pub limit: Option<NonZeroU64>,
    /// Keep the position in this file once its events are written, and start behind it the next time
    #[arg(long, value_name = "FILE", help_heading = "Range")]
    pub resume_file: Option<PathBuf>,
    /// Go on with what comes when the server does not have any more what was missed, instead of ending
    #[arg(long, help_heading = "Range")]
    pub accept_gaps: bool,
    /// For machines (the events as they come, one a line) or for people [default: pretty on a terminal,
    /// else json]
    #[arg(long, value_enum)]
    pub format: Option<OutputFormat>,
    /// How events come: auto takes Server-Sent Events where something between lets no WebSocket pass
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "HOW",
        help_heading = "Connection"
    )]
    pub transport: Transport,
    /// The first line of this file is the token; it is read again before it expires
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "token_command",
        help_heading = "Connection"
    )]
    pub token_file: Option<PathBuf>,
    /// What this command of the shell prints is the token; it is run again before it expires
    #[arg(long, value_name = "COMMAND", help_heading = "Connection")]
    pub token_command: Option<String>,
    /// Trust certificates of this authority (PEM) and no other
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub ca: Option<PathBuf>,
    /// Ask the server this often whether it is there; silence for three times as long is a lost connection
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "30s",
        value_parser = heartbeat,
        help_heading = "Connection"
    )]
    pub heartbeat: Duration,
    /// Print the tables that can be followed, and end
    #[arg(long)]
    pub list_tables: bool,
    /// End when the connection is lost
    #[arg(long, help_heading = "Connection")]
    pub no_reconnect: bool,
}

/// How events come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Transport {
    /// Over WebSocket, or as Server-Sent Events where that does not pass
    #[default]
    Auto,
    /// Over WebSocket
    Websocket,
    /// As Server-Sent Events
    Sse,
}

/// Where to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// Behind this position.
    Position(Position),
    /// Behind this LSN, in the server's epoch.
    Lsn(Lsn),
    /// So long ago.
    Ago(Duration),
    /// At this time, which is sent as it was written.
    Time(String),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(lsn) = text.contains('/').then(|| text.parse().ok()).flatten() {
            return Ok(Self::Lsn(lsn));
        }
        if let Ok(position) = text.parse() {
            return Ok(Self::Position(position));
        }
        if let Ok(ago) = humantime::parse_duration(text) {
            return Ok(Self::Ago(ago));
        }
        // A day is the midnight that it begins with.
        let whole = match text.len() {
            10 => format!("{text}T00:00:00Z"),
            _ => text.to_owned(),
        };
        let time = humantime::parse_rfc3339_weak(&whole);
        match time.is_ok_and(|time| time >= SystemTime::UNIX_EPOCH) {
            true => Ok(Self::Time(whole)),
            false => Err(
                "expected an event id, an LSN such as 0/14A2F60, a time such as 2026-11-21T09:30:00Z, \
                 or how long ago, such as 10m"
                    .to_owned(),
            ),
        }
    }
}

/// From 100 ms on: less is only noise on the line.
fn heartbeat(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match duration >= Duration::from_millis(100) && duration <= Duration::from_secs(3600) {
        true => Ok(duration),
        false => Err("from 100ms to 1h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    fn parse(words: &[&str]) -> Result<FollowArgs, clap::Error> {
        let words = ["walgate", "follow"].iter().chain(words);
        Args::try_parse_from(words).map(|args| match args.command {
            Command::Follow(follow) => *follow,
            other => panic!("not follow: {other:?}"),
        })
    }

    #[test]
    fn reads_everything_at_once() {
        let args = parse(&[
            "ws://h:1",
            "--table",
            "public.orders",
            "--where",
            "level=ERROR",
            "--where",
            "n > 1",
            "--op",
            "insert,update",
            "--columns",
            "a,b",
            "--since",
            "10m",
            "--format",
            "json",
            "--transport",
            "sse",
            "--limit",
            "3",
        ])
        .expect("valid");
        assert_eq!(args.filters, ["level=ERROR", "n > 1"]);
        assert_eq!(args.ops, ["insert", "update"]);
        assert_eq!(args.columns, ["a", "b"]);
        assert_eq!(args.since, Some(Since::Ago(Duration::from_secs(600))));
        assert_eq!(args.transport, Transport::Sse);
        assert_eq!(args.heartbeat, Duration::from_secs(30));
    }

    #[test]
    fn a_beginning_is_a_position_or_a_time() {
        let id = "00000000014a2f60-00000003";
        assert_eq!(id.parse(), Ok(Since::Position(id.parse().expect("an id"))));
        let lsn = Since::Lsn(Lsn(0x14A_2F60));
        assert_eq!("0/14A2F60".parse(), Ok(lsn));
        let day = Since::Time("2026-11-21T00:00:00Z".to_owned());
        assert_eq!("2026-11-21".parse(), Ok(day));
        for text in ["", "yesterday", "10", "0/", "0/x", "2026-13-01", "-5m"] {
            assert!(text.parse::<Since>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_can_not_be_together_is_refused() {
        for words in [
            &["ws://h", "--snapshot", "--since", "1m"][..],
            &["ws://h", "--token-file", "a", "--token-command", "b"],
            &["ws://h", "--heartbeat", "1ms"],
            &["ws://h", "--limit", "0"],
            &[],
        ] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
