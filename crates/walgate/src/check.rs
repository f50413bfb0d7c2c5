//! `walgate check`.

mod disk;
mod fix;
mod instance;
mod machine;
mod memory;
mod rows;
mod sinks;
mod state;

use std::time::Instant;

use serde::Serialize;
use walgate_connection::{ConnectError, ConnectionConfig, SslMode};
use walgate_core::{Failure, StopReason};
use walgate_slot::check::{self, Facts, Finding, Identified, Level, Subject, Wanted};
use walgate_slot::{History, Provider, Server, WatchError, Watcher};

use crate::args::CheckArgs;
use crate::config::{Config, Overrides, PublicationMode, Surroundings, load};
use crate::ending::Ending;
use crate::entry::Console;
use crate::slots::report::provider;
use crate::slots::table::clean;
use crate::slots::{print, refused};
use crate::wiring::{block_on, blocking, connection};

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
    /// What `--fix` has run before this was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed: Option<Vec<fix::Ran>>,
}

/// Judges a server.
///
/// # Errors
///
/// When it can't be asked, and when something fails.
pub fn check(args: &CheckArgs, console: &Console) -> Result<(), Ending> {
    let report = match args.instance {
        true => of_instance(args)?,
        false => block_on(Box::pin(judged(args, console)))?,
    };
    show(&report, args, console)?;
    match report.failed {
        0 => Ok(()),
        failed => {
            let message = format!("{failed} of {} checks failed", report.findings.len());
            let failure = Failure::new(StopReason::Config, message);
            Err(failure.hint("each says what fixes it").into())
        }
    }
}

fn show(report: &Report, args: &CheckArgs, console: &Console) -> Result<(), Ending> {
    if !args.json {
        return print(&render(report, console.stdout_colour));
    }
    let text = serde_json::to_string(report)
        .map_err(|error| Ending::other(format!("what was found is no JSON: {error}")))?;
    print(&(text + "\n"))
}

/// What a service says of itself.
fn of_instance(args: &CheckArgs) -> Result<Report, Ending> {
    let overrides = Overrides::default();
    let loaded = load(
        args.config.as_deref(),
        &overrides,
        &Surroundings::of_process(),
    )?;
    let status = instance::ask_instance(&loaded.config)?;
    let said = |value: &serde_json::Value| value.as_str().unwrap_or("?").to_owned();
    let server = &status["server"];
    Ok(Report::new(
        said(&server["endpoint"]),
        said(&server["version"]),
        provider_named(&server["provider"]),
        instance::explained(&status),
    ))
}

fn provider_named(name: &serde_json::Value) -> &'static str {
    let all = [
        Provider::Rds,
        Provider::Aurora,
        Provider::CloudSql,
        Provider::Azure,
    ];
    let mut all = all.into_iter().map(provider);
    all.find(|known| name == known)
        .unwrap_or_else(|| provider(Provider::SelfManaged))
}

impl Report {
    fn new(
        endpoint: String,
        version: String,
        provider: &'static str,
        findings: Vec<Finding>,
    ) -> Self {
        let count = |level| findings.iter().filter(|one| one.level == level).count();
        Self {
            endpoint,
            version,
            provider,
            passed: count(Level::Pass),
            warned: count(Level::Warn),
            failed: count(Level::Fail),
            findings,
            fixed: None,
        }
    }
}

/// What is found; with `--fix` what is found after the statements were run.
async fn judged(args: &CheckArgs, console: &Console) -> Result<Report, Ending> {
    let meant = Meant::of(args)?;
    let report = look(args, &meant).await?;
    if !args.fix {
        return Ok(report);
    }
    if !args.json {
        show(&report, args, console)?;
    }
    let statements = fix::statements(&report.findings, &args.fix_replica_identity)?;
    if statements.is_empty() {
        if !args.json {
            print("there is no statement to run that is safe\n\n")?;
        }
        return Ok(Report {
            fixed: Some(Vec::new()),
            ..report
        });
    }
    let ran = Box::pin(fix::run(&meant.connection, statements, args)).await?;
    Ok(Report {
        fixed: Some(ran),
        ..look(args, &meant).await?
    })
}

/// Where to look, and for what.
struct Meant {
    connection: ConnectionConfig,
    wanted: Wanted,
    config: Option<Config>,
}

impl Meant {
    fn of(args: &CheckArgs) -> Result<Self, Ending> {
        let mut meant = match &args.config {
            None => Self {
                connection: connection(args.url.as_ref(), None)?,
                wanted: Wanted::default(),
                config: None,
            },
            Some(file) => {
                let loaded = load(
                    Some(file),
                    &Overrides::default(),
                    &Surroundings::of_process(),
                )?;
                Self::configured(args, loaded.config)?
            }
        };
        let wanted = &mut meant.wanted;
        wanted.accept_unlimited = args.accept_unlimited_wal;
        if let Some(slot) = &args.slot {
            wanted.slot = Some(slot.as_str().to_owned());
        }
        if !args.publications.is_empty() {
            wanted.publications.clone_from(&args.publications);
        }
        let name = meant.connection.application_name();
        wanted.application_name = name.map(str::to_owned);
        wanted.unverified = !matches!(
            meant.connection.sslmode(),
            SslMode::VerifyCa | SslMode::VerifyFull
        );
        Ok(meant)
    }

    fn configured(args: &CheckArgs, config: Config) -> Result<Self, Ending> {
        let source = &config.source;
        let mut wanted = Wanted {
            slot: Some(source.slot.as_str().to_owned()),
            failover: source.failover,
            heartbeat: source.heartbeat.is_some(),
            ..Wanted::default()
        };
        // What Walgate makes itself need not be there.
        if source.publication_mode == PublicationMode::Verify {
            let tables = source.tables.iter();
            wanted.tables = tables
                .filter_map(|pattern| pattern.0.one_table())
                .map(|(schema, table)| (schema.to_owned(), table.to_owned()))
                .collect();
            wanted.publications.clone_from(&source.publications);
        }
        let connection = match &args.url {
            Some(url) => connection(Some(url), None)?,
            None => connection(source.url.as_ref(), source.password_command.as_deref())?,
        };
        Ok(Self {
            connection,
            wanted,
            config: Some(config),
        })
    }
}

async fn look(args: &CheckArgs, meant: &Meant) -> Result<Report, Ending> {
    let judged = Box::pin(judge(args, meant)).await;
    let (server, findings) = judged.map_err(refused)?;
    let provider = provider(server.provider);
    Ok(Report::new(
        server.endpoint,
        server.version,
        provider,
        findings,
    ))
}

async fn judge(args: &CheckArgs, meant: &Meant) -> Result<(Server, Vec<Finding>), WatchError> {
    let Meant {
        connection,
        wanted,
        config,
    } = meant;
    let watcher = Watcher::connect(connection).await?;
    let server = watcher.server();
    let mut history = History::new();
    let first = watcher.look().await?;
    history.record(Instant::now(), &first, server.system_id);
    let measured = tokio::time::sleep(args.measure.0);
    let facts = Facts::read(&watcher, wanted).await?;
    let replication = replication(connection).await;
    measured.await;
    let seen = watcher.look().await?;
    history.record(Instant::now(), &seen, server.system_id);
    // After the look: a slot that moves meanwhile is never ahead of what is read then.
    let remembered = match config {
        Some(config) => Some(state::remembered(config).await),
        None => None,
    };
    let mut findings = check::check(&Subject {
        server,
        seen: &seen,
        history: &history,
        facts: &facts,
        replication: match &replication {
            Ok(identified) => Ok(*identified),
            Err((error, hint)) => Err((error.as_str(), hint.as_deref())),
        },
        remembered: remembered.as_ref(),
        wanted,
    });
    if let Some(config) = config {
        findings.extend(local(config).await);
        let rows = rows::largest(connection, &facts.tables).await;
        findings.extend(Box::pin(sinks::check(config, connection.dbname(), rows)).await);
    }
    Ok((server.clone(), findings))
}

/// What a start needs of the machine that it is on: this one, as far as is known.
async fn local(config: &Config) -> Vec<Finding> {
    let config = config.clone();
    // A disk may be slow, or hang.
    let found = blocking(move || {
        let mut findings = machine::check(&config);
        findings.extend(disk::check(&config.journal));
        findings.push(memory::check(&config));
        Ok(findings)
    });
    found.await.unwrap_or_else(|failure| {
        let why = "what a start needs of this machine is not known";
        vec![Finding::fail("machine", failure.message, why, "look again")]
    })
}

/// Whether a walsender answers, and whose log it sends; else what is wrong, and what to do about it.
async fn replication(
    connection: &ConnectionConfig,
) -> Result<Option<Identified>, (String, Option<String>)> {
    let told = |error: ConnectError| (error.to_string(), error.hint());
    let stream = Box::pin(connection.connect_replication(&[])).await;
    let rows = Box::pin(stream.map_err(told)?.simple_query("IDENTIFY_SYSTEM")).await;
    Ok(rows.map_err(told)?.first().and_then(state::identified))
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
