//! `walgate check`.

use std::time::Instant;

use serde::Serialize;
use walgate_connection::{ConnectError, ConnectionConfig};
use walgate_core::{Failure, StopReason};
use walgate_slot::check::{self, Facts, Finding, Level, Subject, Wanted};
use walgate_slot::{History, Server, WatchError, Watcher};

use crate::args::CheckArgs;
use crate::config::{Overrides, PublicationMode, Surroundings, load};
use crate::ending::Ending;
use crate::entry::Console;
use crate::slots::report::provider;
use crate::slots::table::clean;
use crate::slots::{print, refused};
use crate::wiring::{block_on, connection};

#[derive(Debug, Serialize)]
struct Report {
    endpoint: String,
    version: String,
    provider: &'static str,
    /// In the order in which problems are best solved.
    findings: Vec<Finding>,
    passed: usize,
    warned: usize,
    failed: usize,
}

/// Judges a server.
///
/// # Errors
///
/// When it can't be asked, and when something fails.
pub fn check(args: &CheckArgs, console: &Console) -> Result<(), Ending> {
    let report = block_on(Box::pin(look(args)))?;
    if args.json {
        let text = serde_json::to_string(&report)
            .map_err(|error| Ending::other(format!("what was found is no JSON: {error}")))?;
        print(&(text + "\n"))?;
    } else {
        print(&render(&report, console.stdout_colour))?;
    }
    match report.failed {
        0 => Ok(()),
        failed => {
            let message = format!("{failed} of {} checks failed", report.findings.len());
            let failure = Failure::new(StopReason::Config, message);
            Err(failure.hint("each says what fixes it").into())
        }
    }
}

/// Where to look, and for what.
fn meant(args: &CheckArgs) -> Result<(ConnectionConfig, Wanted), Ending> {
    let mut wanted = Wanted {
        accept_unlimited: args.accept_unlimited_wal,
        ..Wanted::default()
    };
    let connection = match &args.config {
        None => connection(args.url.as_ref(), None)?,
        Some(file) => {
            let loaded = load(
                Some(file),
                &Overrides::default(),
                &Surroundings::of_process(),
            )?;
            let source = loaded.config.source;
            wanted.slot = Some(source.slot.as_str().to_owned());
            // What Walgate makes itself need not be there.
            if source.publication_mode == PublicationMode::Verify {
                let tables = source.tables.iter();
                wanted.tables = tables
                    .filter_map(|pattern| pattern.0.one_table())
                    .map(|(schema, name)| (schema.to_owned(), name.to_owned()))
                    .collect();
                wanted.publications = source.publications;
            }
            match &args.url {
                Some(url) => connection(Some(url), None)?,
                None => connection(source.url.as_ref(), source.password_command.as_deref())?,
            }
        }
    };
    if let Some(slot) = &args.slot {
        wanted.slot = Some(slot.as_str().to_owned());
    }
    if !args.publications.is_empty() {
        wanted.publications.clone_from(&args.publications);
    }
    Ok((connection, wanted))
}

async fn look(args: &CheckArgs) -> Result<Report, Ending> {
    let (connection, wanted) = meant(args)?;
    let judged = judge(args, &connection, &wanted).await;
    let (server, findings) = judged.map_err(refused)?;
    let count = |level| findings.iter().filter(|one| one.level == level).count();
    Ok(Report {
        endpoint: server.endpoint,
        version: server.version,
        provider: provider(server.provider),
        passed: count(Level::Pass),
        warned: count(Level::Warn),
        failed: count(Level::Fail),
        findings,
    })
}

async fn judge(
    args: &CheckArgs,
    connection: &ConnectionConfig,
    wanted: &Wanted,
) -> Result<(Server, Vec<Finding>), WatchError> {
    let watcher = Watcher::connect(connection).await?;
    let server = watcher.server();
    let mut history = History::new();
    let first = watcher.look().await?;
    history.record(Instant::now(), &first, server.system_id);
    let measured = tokio::time::sleep(args.measure.0);
    let facts = Facts::read(&watcher, &wanted.publications).await?;
    let replication = replication(connection).await.err();
    measured.await;
    let seen = watcher.look().await?;
    history.record(Instant::now(), &seen, server.system_id);
    let replication = match &replication {
        None => Ok(()),
        Some((error, hint)) => Err((error.as_str(), hint.as_deref())),
    };
    let findings = check::check(&Subject {
        server,
        seen: &seen,
        history: &history,
        facts: &facts,
        replication,
        wanted,
    });
    Ok((server.clone(), findings))
}

/// Whether a walsender answers: what is wrong, and what to do about it.
async fn replication(connection: &ConnectionConfig) -> Result<(), (String, Option<String>)> {
    let told = |error: ConnectError| (error.to_string(), error.hint());
    let stream = Box::pin(connection.connect_replication(&[])).await;
    let rows = Box::pin(stream.map_err(told)?.simple_query("IDENTIFY_SYSTEM")).await;
    rows.map(drop).map_err(told)
}

fn render(report: &Report, colour: bool) -> String {
    let width = report.findings.iter().map(|one| one.check.len()).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    for finding in &report.findings {
        let (word, paint) = match finding.level {
            Level::Pass => ("pass", "\x1b[32m"),
            Level::Warn => ("WARN", "\x1b[33m"),
            Level::Fail => ("FAIL", "\x1b[31m"),
        };
        let word = match colour {
            true => format!("{paint}{word}\x1b[0m"),
            false => word.to_owned(),
        };
        let seen = clean(&finding.seen);
        text.push_str(&format!("{word}  {:<width$}  {seen}\n", finding.check));
        for (name, said) in [("why", &finding.why), ("fix", &finding.fix)] {
            if let Some(said) = said {
                text.push_str(&format!("      {:<width$}  {name}: {}\n", "", clean(said)));
            }
        }
    }
    let Report {
        passed,
        warned,
        failed,
        ..
    } = report;
    text.push_str(&format!(
        "PostgreSQL {} at {}: {passed} passed, {warned} warned, {failed} failed\n",
        clean(&report.version),
        report.endpoint,
    ));
    text
}
