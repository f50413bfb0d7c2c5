//! `walgate slots`.

mod manage;
pub(crate) mod report;
pub(crate) mod table;

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use walgate_connection::ConnectionConfig;
use walgate_core::{Failure, StopReason};
use walgate_slot::{
    History, Limits, Observation, OurSlot, Provider, Server, WatchError, WatchErrorKind, Watcher,
};

use crate::args::{ServerArgs, SlotsArgs, SlotsCommand, SlotsLookArgs};
use crate::config::{Overrides, Surroundings, load};
use crate::ending::Ending;
use crate::entry::Console;
use crate::signals::{Request, Signals};
use crate::watch::View;
use crate::wiring::{block_on, connection};

use report::Report;

/// Clears the terminal and goes to its first line.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Looks at the slots of a server, or creates or drops one.
///
/// # Errors
///
/// When the server can't be asked, or what is wanted is refused.
pub fn slots(args: &SlotsArgs, console: &Console) -> Result<(), Ending> {
    match &args.command {
        None if args.look.watch => block_on(Box::pin(watch(&args.look, console))),
        None => block_on(Box::pin(once(&args.look))),
        Some(SlotsCommand::Create(create)) => block_on(Box::pin(manage::create(create))),
        Some(SlotsCommand::Drop(drop)) => block_on(Box::pin(manage::drop_slot(drop))),
    }
}

/// The server that is meant, and which slot of it is ours.
struct Meant {
    connection: ConnectionConfig,
    /// The configured slot, and the file that says so.
    ours: Option<(OurSlot, PathBuf)>,
}

impl Meant {
    fn of(args: &ServerArgs) -> Result<Self, Ending> {
        let Some(file) = &args.config else {
            return Ok(Self {
                connection: connection(args.url.as_ref(), None)?,
                ours: None,
            });
        };
        let loaded = load(
            Some(file),
            &Overrides::default(),
            &Surroundings::of_process(),
        )?;
        let source = loaded.config.source;
        let connection = match &args.url {
            Some(url) => connection(Some(url), None)?,
            None => connection(source.url.as_ref(), source.password_command.as_deref())?,
        };
        let ours = OurSlot {
            name: source.slot.as_str().to_owned(),
            sinks: Vec::new(),
        };
        Ok(Self {
            connection,
            ours: Some((ours, file.clone())),
        })
    }

    fn ours(&self) -> Vec<OurSlot> {
        self.ours.iter().map(|(slot, _)| slot.clone()).collect()
    }
}

/// A watcher with what it has seen. Both outlive a connection.
struct Eyes {
    meant: Meant,
    watcher: Option<Watcher>,
    history: History,
    limits: Limits,
    hide_queries: bool,
}

impl Eyes {
    fn new(args: &SlotsLookArgs) -> Result<Self, Ending> {
        Ok(Self {
            meant: Meant::of(&args.server)?,
            watcher: None,
            history: History::new(),
            limits: Limits {
                budget_bytes: args.budget.map(|budget| budget.0),
                ..Limits::default()
            },
            hide_queries: args.hide_queries,
        })
    }

    /// Looks, over a new connection when there is none. After an error there is none.
    async fn look(&mut self) -> Result<(Server, Observation, Instant), WatchError> {
        let watcher = match self.watcher.take() {
            Some(watcher) => watcher,
            None => Watcher::connect(&self.meant.connection).await?,
        };
        let seen = watcher.look().await?;
        let now = Instant::now();
        let server = watcher.server().clone();
        self.history.record(now, &seen, server.system_id);
        self.watcher = Some(watcher);
        Ok((server, seen, now))
    }

    async fn report(&mut self) -> Result<Report, WatchError> {
        let (server, seen, now) = self.look().await?;
        let ours = self.meant.ours();
        let scene = walgate_slot::Scene {
            seen: &seen,
            history: &self.history,
            now,
            ours: &ours,
            hide_queries: self.hide_queries,
        };
        Ok(View::new(&server, &scene, self.limits, SystemTime::now()).report)
    }
}

async fn once(args: &SlotsLookArgs) -> Result<(), Ending> {
    let mut eyes = Eyes::new(args)?;
    eyes.look().await.map_err(refused)?;
    tokio::time::sleep(args.measure.0).await;
    let report = eyes.report().await.map_err(refused)?;
    print(&rendered(&report, args)?)
}

fn rendered(report: &Report, args: &SlotsLookArgs) -> Result<String, Ending> {
    match args.json {
        true => report.json(),
        false => Ok(table::render(report, args.watch)),
    }
}

async fn watch(args: &SlotsLookArgs, console: &Console) -> Result<(), Ending> {
    let mut signals = Signals::new()
        .map_err(|error| Ending::other(format!("can't take over the signals: {error}")))?;
    let mut eyes = Eyes::new(args)?;
    // What is wrong from the start is an error; what goes wrong later may pass.
    eyes.look().await.map_err(refused)?;
    let mut pause = args.measure.0;
    loop {
        if slept(pause, &mut signals).await {
            return Ok(());
        }
        pause = args.interval.0;
        let looked = tokio::select! {
            looked = eyes.report() => looked,
            () = asked(&mut signals) => return Ok(()),
        };
        match looked {
            Ok(report) => {
                let clear = console.stdout_is_terminal && !args.json;
                let text = rendered(&report, args)?;
                let end = if clear || args.json { "" } else { "\n" };
                print(&format!("{}{text}{end}", if clear { CLEAR } else { "" }))?;
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "can't look at the slots; trying again");
            }
            Err(error) => return Err(refused(error)),
        }
    }
}

/// Sleeps; true when somebody wants us to end.
async fn slept(pause: Duration, signals: &mut Signals) -> bool {
    tokio::select! {
        () = tokio::time::sleep(pause) => false,
        () = asked(signals) => true,
    }
}

async fn asked(signals: &mut Signals) {
    while signals.next().await == Request::Reload {}
}

pub(crate) fn print(text: &str) -> Result<(), Ending> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    let written = written.and_then(|()| stdout.flush());
    written.map_err(|error| Ending::of_output(&error))
}

/// How a command ends that the server, or the way to it, has stopped.
pub(crate) fn refused(error: WatchError) -> Ending {
    let hint = error.hint();
    let reason = match (error.kind(), &error) {
        (WatchErrorKind::Denied, _) => StopReason::Permission,
        (WatchErrorKind::Slot, _) => StopReason::SlotBusy,
        (WatchErrorKind::TooOld, _) | (_, WatchError::Connect(_)) => StopReason::Config,
        _ => {
            return match hint {
                Some(hint) => Ending::other_with_hint(error.to_string(), hint),
                None => Ending::other(error.to_string()),
            };
        }
    };
    let failure = Failure::new(reason, error.to_string());
    match hint {
        Some(hint) => failure.hint(hint).into(),
        None => failure.into(),
    }
}

/// What gives a role the right to create and drop slots there.
fn grant(server: &Server) -> String {
    let role = walgate_slot::words::identifier(&server.role);
    match server.provider {
        Provider::Rds | Provider::Aurora => format!("GRANT rds_replication TO {role}"),
        Provider::CloudSql | Provider::Azure | Provider::SelfManaged => {
            format!("ALTER ROLE {role} REPLICATION")
        }
    }
}
