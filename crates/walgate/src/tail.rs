//! `walgate tail`.

use std::sync::Arc;
use std::time::Duration;

use walgate_connection::{ConnectionConfig, SqlClient};
use walgate_core::{Failure, Op, StopReason};
use walgate_format::{NativeJson, NativeJsonOptions, Pretty, PrettyOptions};
use walgate_pipeline::{
    Extras, Ops, Pipeline, PipelineOptions, RowFilter, Selection, SinkOptions, StatusHandle, Stop,
};
use walgate_replication::own_publication::{self, OwnPublications};
use walgate_replication::{PINNED_SETTINGS, SlotConfig, SlotMode, SourceConfig, TableName};
use walgate_sink_stdout::WriterSink;

use crate::args::{OutputFormat, TailArgs};
use crate::ending::Ending;
use crate::entry::Console;
use crate::signals::Signals;
use crate::wiring::{
    Added, Engine, Finish, Keeping, Screen, block_on, connection, operation, patterns,
};

/// The name of the only sink, in logs.
const SINK: &str = "stdout";

/// How far apart two looks are before a publication counts as abandoned: the time in which a run
/// that lost its connections has new ones. Nobody waits when nothing looks abandoned, so it may
/// span the first, short steps of the back-off.
const SWEEP_GRACE: Duration = Duration::from_secs(5);

/// Writes the changes of a database to stdout.
///
/// # Errors
///
/// When it can't go on without a human.
pub fn tail(args: &TailArgs, console: &Console) -> Result<(), Ending> {
    block_on(Box::pin(async {
        let mut signals = Signals::new()
            .map_err(|error| Ending::other(format!("can't take over the signals: {error}")))?;
        let stdout = |pipeline: &mut Pipeline, options, _: &SourceConfig| {
            let sink = add_stdout(pipeline, options, args, console)?;
            Ok(Added {
                sinks: vec![sink],
                pushes: Vec::new(),
            })
        };
        let journal = Keeping::default();
        follow(args, console, &mut signals, Stop::new(), (journal, stdout))
            .await
            .map(drop)
    }))
}

/// Hands changes by way of this journal to the sinks that `add` adds, until an end of the arguments is reached or it is
/// told to stop. Publications and slot of its own are gone when it returns.
pub(crate) async fn follow(
    args: &TailArgs,
    console: &Console,
    signals: &mut Signals,
    stop: Stop,
    (journal, add): (
        Keeping,
        impl FnOnce(&mut Pipeline, SinkOptions, &SourceConfig) -> Result<Added, Failure>,
    ),
) -> Result<Finish, Ending> {
    let following = async |connection, names, token: String| {
        let source = source(args, connection, names, &token);
        match engine(args, source, journal, add).await {
            Ok(engine) => Box::pin(engine.run(signals, console, stop, || {})).await,
            Err(failure) => Err(failure.into()),
        }
    };
    let result = with_publications(args, following).await;
    result.map_err(|ending| match ending {
        // `walgate tail | head`: whoever read has seen enough.
        Ending::Failure(failure) if failure.reason == StopReason::OutputClosed => {
            Ending::OutputClosed
        }
        other => other,
    })
}

/// Hands `work` a connection, the names of the publications to read, and what names this run.
/// Publications of its own are gone when it returns.
pub(crate) async fn with_publications<T>(
    args: &TailArgs,
    work: impl AsyncFnOnce(ConnectionConfig, Vec<String>, String) -> Result<T, Ending>,
) -> Result<T, Ending> {
    let token = token();
    let connection = connection(args.url.as_ref(), None)?;
    let connection = connection.with_application_name(own_publication::application_name(&token));
    let own = publications(args, &connection, &token).await?;
    let names = own
        .as_ref()
        .map_or_else(|| args.publications.clone(), |own| own.made.names.clone());
    let result = work(connection, names, token).await;
    if let Some(own) = own {
        own_publication::drop_own(&own.sql, &own.made).await;
    }
    result
}

/// The publications of this run, and the connection that shows that it lives.
struct Own {
    sql: SqlClient,
    made: OwnPublications,
}

/// Names this run among all others: in its publications, its temporary slot and its connections.
fn token() -> String {
    format!("{:016x}", fastrand::u64(..))
}

/// Makes publications when none is named.
async fn publications(
    args: &TailArgs,
    connection: &ConnectionConfig,
    token: &str,
) -> Result<Option<Own>, Failure> {
    if !args.publications.is_empty() {
        return Ok(None);
    }
    if args.slot.is_some() {
        return Err(Failure::new(StopReason::Config, "--slot needs --publication")
            .hint("a slot never sees a publication that is younger than itself, so none can be made for it; name one: SELECT pubname FROM pg_publication"));
    }
    let sql = connection
        .connect_sql(PINNED_SETTINGS)
        .await
        .map_err(|error| refused(&error))?;
    for name in own_publication::sweep(&sql, SWEEP_GRACE).await? {
        tracing::info!(publication = name, "dropped what a killed tail had left");
    }
    let selection = selection(args);
    let wanted = |table: &TableName| selection.takes(&table.schema, &table.name);
    let made = own_publication::create(&sql, token, wanted).await?;
    for table in &made.inserts_only {
        tracing::warn!(%table, "no replica identity: only inserts and truncates are shown");
    }
    for table in &made.not_owned {
        tracing::warn!(%table, "belongs to another role: not shown");
    }
    Ok(Some(Own { sql, made }))
}

fn refused(error: &walgate_connection::ConnectError) -> Failure {
    let failure = Failure::new(StopReason::Config, error.to_string());
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

async fn engine(
    args: &TailArgs,
    source: SourceConfig,
    journal: Keeping,
    add: impl FnOnce(&mut Pipeline, SinkOptions, &SourceConfig) -> Result<Added, Failure>,
) -> Result<Engine, Failure> {
    let mut pipeline = Pipeline::new(PipelineOptions::default());
    let Added { sinks, pushes } = add(&mut pipeline, options(args), &source)?;
    pipeline.open().await?;
    let gaps_end_it = args.until.is_some() || args.count.is_some();
    Ok(Engine {
        pipeline,
        sinks,
        pushes,
        source,
        journal,
        checkpoint: None,
        store: None,
        instance: None,
        gaps_end_it,
    })
}

/// What the arguments say of the source.
pub(crate) fn source(
    args: &TailArgs,
    connection: ConnectionConfig,
    publications: Vec<String>,
    token: &str,
) -> SourceConfig {
    let slot = match &args.slot {
        Some(name) => SlotConfig {
            name: name.as_str().to_owned(),
            mode: SlotMode::Existing,
            failover: false,
        },
        None => SlotConfig {
            name: format!("walgate_tail_{token}"),
            mode: SlotMode::Temporary,
            failover: false,
        },
    };
    let mut source = SourceConfig::new(connection, slot, publications);
    source.stop_at = args.until.map(Into::into);
    source.start_at = args.from.map(|position| position.lsn());
    source.peek = args.peek;
    source.wait_at_start = false;
    source
}

/// What the arguments say of the one sink.
pub(crate) fn options(args: &TailArgs) -> SinkOptions {
    let mut options = SinkOptions::new(SINK);
    options.selection = Arc::new(selection(args));
    options.extras = Extras {
        transactions: args.transactions,
        schemas: args.schema_events,
    };
    options.after = args.from;
    options.max_events = args.count.map(Into::into);
    options
}

pub(crate) fn add_stdout(
    pipeline: &mut Pipeline,
    options: SinkOptions,
    args: &TailArgs,
    console: &Console,
) -> Result<StatusHandle, Failure> {
    let failed = |error| {
        Failure::new(
            StopReason::Sink,
            format!("can't write to standard output: {error}"),
        )
    };
    let sink = Screen::new(console)
        .and_then(WriterSink::start)
        .map_err(failed)?;
    Ok(match args.output_format(console.stdout_is_terminal) {
        OutputFormat::Json => pipeline.add(
            options,
            NativeJson::new(NativeJsonOptions::default()),
            sink,
            None,
        ),
        OutputFormat::Pretty => {
            let pretty = PrettyOptions {
                colour: console.stdout_colour,
                ..PrettyOptions::default()
            };
            pipeline.add(options, Pretty::new(pretty), sink, None)
        }
    })
}

fn selection(args: &TailArgs) -> Selection {
    let ops: Vec<Op> = args.ops.iter().copied().map(operation).collect();
    let filters = args.filters.iter();
    Selection {
        include: patterns(&args.tables),
        ops: if ops.is_empty() {
            Ops::default()
        } else {
            ops.into_iter().collect()
        },
        filters: filters
            .map(|filter| RowFilter {
                column: filter.column.clone(),
                value: filter.value.clone(),
            })
            .collect(),
        ..Selection::default()
    }
}
