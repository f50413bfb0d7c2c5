//! `walgate run`.

use std::pin::pin;
use std::sync::Arc;

use walgate_connection::ConnectionConfig;
use walgate_core::{Failure, StopReason};
use walgate_pipeline::{
    ConfirmBy, ConfirmOptions, Pipeline, PipelineOptions, Releases, Rewinds, Stop,
};
use walgate_replication::{
    PINNED_SETTINGS, PublicationMode, SourceConfig, StopAtLsn, TableIdentity, heartbeat,
    publishable_tables,
};

use crate::args::Until;
use crate::config::{Config, Loaded, Overrides, Surroundings, diff, load};
use crate::control::{ControlSocket, Desk};
use crate::ending::Ending;
use crate::entry::Console;
use crate::guard::{Actions, Dropping, End, GuardTask, Releasing, Settings, drop_our_slot};
use crate::http::HttpServer;
use crate::signals::{Request, Signals};
use crate::status::{StatusReport, source_view};
use crate::watch::{Instance, Watch, WatchOptions};
use crate::wiring::{
    Added, Engine, JournalKeys, Keeping, Known, Memory, add_sinks, block_on, patterns,
    source_config, streaming, unless_replaced,
};

/// Forwards changes to the configured sinks until it is told to end, or everything up to `until`
/// is delivered.
///
/// `overrides` is what the configuration was loaded with, for loading it again on SIGHUP.
///
/// # Errors
///
/// When it can't go on without a human.
pub fn run(
    loaded: Loaded,
    overrides: &Overrides,
    until: Option<Until>,
    console: &Console,
) -> Result<(), Ending> {
    block_on(Box::pin(forward(loaded, overrides, until, console)))
}

async fn forward(
    loaded: Loaded,
    overrides: &Overrides,
    until: Option<Until>,
    console: &Console,
) -> Result<(), Ending> {
    let mut signals = Signals::new()
        .map_err(|error| Ending::other(format!("can't take over the signals: {error}")))?;
    let mut current = loaded;
    let config = current.config.clone();
    let mut source = source_config(&config.source)?;
    source.streaming = streaming(&config.journal);
    source.stop_at = until.map(Until::into);
    let connection = source.connection.clone();
    let settings = Settings::new(&config, &connection)?;
    // From here to the end, whatever happens: what is wrong with a start is seen too.
    let instance = Instance::new(&config, source.monitor.clone());
    let options = WatchOptions::new(&config, connection.clone());
    let watch = Watch::start(instance.clone(), options);
    let pulse = instance.pulse().clone();
    let http = HttpServer::start(&config.http, Arc::new(watch.view()), pulse.clone()).await?;
    let (stop, dropping) = (Stop::new(), Dropping::default());
    let releasing = Releasing::default();
    let actions = Actions {
        stop: stop.clone(),
        dropping: dropping.clone(),
        releasing: releasing.clone(),
    };
    let guard = GuardTask::start(settings, instance.clone(), watch.sights(), actions);
    let service = Service {
        instance,
        watch: &watch,
        console,
        stop,
        releasing,
    };
    let reload = || {
        if reload(&mut current, overrides, console) {
            judge_anew(&guard, &current.config, &connection);
        }
        if let Some(http) = &http {
            http.reload();
        }
    };
    let mut ended = Box::pin(service.deliver(&config, source, &mut signals, reload)).await;
    // What follows may take its time.
    pulse.end("engine");
    // Whether a drop was decided and did not come about, so that the next process may decide it again.
    let (mut undo, mut to_verify) = (dropping.cause().is_some(), None);
    if let (Ok(()), Some(cause)) = (&ended, dropping.cause()) {
        let dropped = drop_our_slot(&config, &connection, cause, &mut signals);
        match Box::pin(dropped).await {
            End::Dropped(failure, freed) => {
                (ended, undo, to_verify) = (Err(failure.into()), false, freed);
            }
            End::Not(failure) => ended = Err(failure.into()),
            End::Asked => {}
        }
    }
    guard.stop(failure(&ended), undo).await;
    watch.stop();
    if let Some(freed) = to_verify {
        freed.verify(&mut signals).await;
    }
    ended
}

/// What people are told of an end. A reader that has gone is no failure.
fn failure(ended: &Result<(), Ending>) -> Option<&Failure> {
    match ended {
        Err(Ending::Failure(failure)) if failure.reason != StopReason::OutputClosed => {
            Some(failure)
        }
        _ => None,
    }
}

/// What is beside the delivery.
struct Service<'a> {
    instance: Instance,
    watch: &'a Watch,
    console: &'a Console,
    stop: Stop,
    releasing: Releasing,
}

impl Service<'_> {
    /// Opens everything that was configured, and delivers until the end.
    async fn deliver(
        self,
        config: &Config,
        mut source: SourceConfig,
        signals: &mut Signals,
        mut reload: impl FnMut(),
    ) -> Result<(), Ending> {
        let remembering = remember(config, &source, signals, &mut reload);
        let Some(memory) = remembering.await? else {
            return Ok(());
        };
        let Memory {
            store,
            checkpoint,
            place,
            ..
        } = memory;
        self.instance.owns(&config.state.dir);
        let rewinds = Rewinds::open(&config.state.dir)?;
        let look = self.watch.view();
        let desk = Desk::new(rewinds.clone(), config);
        let desk = desk.with_status(move || StatusReport::new(&look()).value());
        let _control = ControlSocket::start(&config.state.dir, desk);
        let keys = JournalKeys::of(config);
        let journal = Keeping::open(&config.journal, &keys, checkpoint.as_ref()).await?;
        let keys = keys.of_letters(config.sinks.values()).await?;
        let published = published(&mut source, config).await;
        let known = Known {
            database: source.connection.dbname(),
            tables: &published,
            console: self.console,
            keys,
            replay: None,
            source: Some(source_view(self.watch.view())),
        };
        let confirm = ConfirmOptions {
            by: if config.journal.confirms() {
                ConfirmBy::Fsync
            } else {
                ConfirmBy::Sinks
            },
            ..ConfirmOptions::default()
        };
        let mut pipeline = Pipeline::new(PipelineOptions {
            drain_for: config.shutdown_timeout.0,
            confirm,
        });
        let Added { sinks, pushes } = add_sinks(&mut pipeline, config, &known)?;
        self.instance.has_sinks(&sinks);
        pipeline.open().await?;
        pipeline.follow(rewinds);
        let releases = Releases::open(&config.state.dir)?;
        self.releasing.can(releases.clone());
        pipeline.release_by(releases);
        let (connection, monitor) = (source.connection.clone(), source.monitor.clone());
        let engine = Engine {
            pipeline,
            sinks,
            pushes,
            source,
            journal,
            checkpoint,
            store: Some(store),
            instance: Some(self.instance),
            gaps_end_it: false,
        };
        let run = engine.run(signals, self.console, self.stop, reload);
        let run = unless_replaced(place, run);
        match config.source.heartbeat {
            None => run.await,
            Some(every) => tokio::select! {
                ended = run => ended,
                () = heartbeat(connection, every.0, monitor) => Ok(()),
            },
        }
    }
}

/// Opens what is remembered, which may mean to wait for another instance; none when it is to end.
async fn remember(
    config: &Config,
    source: &SourceConfig,
    signals: &mut Signals,
    reload: &mut impl FnMut(),
) -> Result<Option<Memory>, Failure> {
    let mut opening = pin!(Memory::open(config, &source.connection, &source.monitor));
    loop {
        tokio::select! {
            memory = &mut opening => return memory.map(Some),
            request = signals.next() => match request {
                Request::Reload => reload(),
                Request::Drain | Request::End => return Ok(None),
            },
        }
    }
}

/// The tables that the publications hold now, for sinks that check their destinations before the
/// slot is touched. In manage mode the patterns of `source.tables` become the tables they match.
/// When the server can't be reached yet nothing is known, and a sink meets its tables as they come.
async fn published(source: &mut SourceConfig, config: &Config) -> Vec<(String, String)> {
    match look(&source.connection, config).await {
        Ok((published, matching)) => {
            if source.publication_mode == PublicationMode::Manage {
                let tables = matching.into_iter().map(|identity| identity.table);
                source.tables.extend(tables);
                source.tables.sort();
                source.tables.dedup();
            }
            let managed = source
                .tables
                .iter()
                .map(|table| (table.schema.clone(), table.name.clone()));
            let mut all: Vec<_> = published.into_iter().chain(managed).collect();
            all.sort();
            all.dedup();
            all
        }
        Err(failure) => {
            tracing::debug!("the published tables are not known yet: {failure}");
            Vec::new()
        }
    }
}

type Tables = (Vec<(String, String)>, Vec<TableIdentity>);

async fn look(connection: &ConnectionConfig, config: &Config) -> Result<Tables, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(StopReason::Config, error.to_string());
    let sql = connection
        .connect_sql(PINNED_SETTINGS)
        .await
        .map_err(|error| failed(&error))?;
    let query = "SELECT schemaname::text, tablename::text FROM pg_catalog.pg_publication_tables \
                 WHERE pubname = ANY ($1)";
    let rows = sql.query(query, &[&config.source.publications]).await;
    let rows = rows.map_err(|error| failed(&error))?;
    let published = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let wanted = patterns(&config.source.tables);
    let mut matching = publishable_tables(&sql)
        .await
        .map_err(|error| failed(&error))?;
    matching.retain(|known| {
        wanted
            .iter()
            .any(|pattern| pattern.matches(&known.table.schema, &known.table.name))
    });
    Ok((published, matching))
}

/// Gives the guard what has changed of its sections.
fn judge_anew(guard: &GuardTask, config: &Config, connection: &ConnectionConfig) {
    match Settings::new(config, connection) {
        Ok(settings) => guard.reload(settings),
        Err(ending) => tracing::error!("the guard goes on as it was: {ending}"),
    }
}

/// SIGHUP: what can change now does; a broken file changes nothing. Returns whether it was taken.
fn reload(current: &mut Loaded, overrides: &Overrides, console: &Console) -> bool {
    let read = load(
        current.path.as_deref(),
        overrides,
        &Surroundings::of_process(),
    );
    let new = match read {
        Ok(new) => new,
        Err(problems) => {
            for problem in problems.failures() {
                tracing::error!(
                    hint = problem.hint.as_deref(),
                    "the configuration is not read again: {problem}"
                );
            }
            return false;
        }
    };
    let plan = diff(current, &new);
    if plan.is_empty() {
        tracing::info!("read the configuration again: nothing has changed");
        return false;
    }
    console.log.set_level(new.config.log.level);
    if !plan.now.is_empty() {
        tracing::info!(keys = plan.now.join(", "), "read the configuration again");
    }
    if !plan.restart.is_empty() {
        let keys = plan.restart.join(", ");
        tracing::warn!(
            keys,
            "these keys of the configuration take effect with the next start"
        );
    }
    *current = new;
    true
}

impl From<Until> for StopAtLsn {
    fn from(until: Until) -> Self {
        match until {
            Until::Now => Self::Now,
            Until::Lsn(lsn) => Self::Lsn(lsn),
        }
    }
}
