//! `[sinks.NAME]` into chains.

use std::sync::Arc;
use std::time::Duration;

use walgate_core::{Encoder, Failure, Sink, SinkError, StopReason};
use walgate_format::{Int8, MaskKey, NativeJson, NativeJsonOptions, Pretty, PrettyOptions};
use walgate_journal::segment::Keyring;
use walgate_pipeline::{
    BatchOptions, DeadLetterFile, DeadLetters, Demand, Extras, Pipeline, Remake, SinkDeadLetters,
    SinkOptions, StatusHandle,
};
use walgate_sink_kafka::KafkaSink;
use walgate_sink_stdout::{FileOutput, WriterSink};
use walgate_sink_websocket::SourceView;

use super::push::{MakeEncoder, Push};
use super::{Screen, kafka, selection};
use crate::config::{self, Config, Destination, StdoutFormat};
use crate::entry::Console;

/// After this time a definition goes into a stream topic again with the next row that uses it: who
/// begins to read there, or where retention has cut it, needs to look back no further. A few hundred
/// bytes a minute for each table that changes are nothing.
const SCHEMAS_AGAIN: Duration = Duration::from_secs(60);

/// What is known of the source when the sinks are made.
pub(crate) struct Known<'a> {
    /// The database, for topics.
    pub(crate) database: &'a str,
    /// The published tables, as (schema, table).
    pub(crate) tables: &'a [(String, String)],
    /// The terminal.
    pub(crate) console: &'a Console,
    /// The keys of the journal, with which dead letters in files are encrypted too.
    pub(crate) keys: Keyring,
    /// What the events come again by, when they do.
    pub(crate) replay: Option<String>,
    /// How the source does, for pages; none where nobody looks.
    pub(crate) source: Option<SourceView>,
}

/// The chains that were added.
#[derive(Default)]
pub(crate) struct Added {
    /// How they do, in the order of the configuration.
    pub(crate) sinks: Vec<StatusHandle>,
    /// Those that clients connect to.
    pub(crate) pushes: Vec<Push>,
}

/// Adds a chain for each sink of the configuration.
pub(crate) fn add_sinks(
    pipeline: &mut Pipeline,
    config: &Config,
    known: &Known<'_>,
) -> Result<Added, Failure> {
    let mut added = Added::default();
    for (name, sink) in &config.sinks {
        let status = match &sink.destination {
            Destination::Websocket(push) => {
                let (push, status) = add_push(pipeline, name, sink, push, known)?;
                added.pushes.push(push);
                status
            }
            _ => add_sink(pipeline, name, sink, known)?,
        };
        added.sinks.push(status);
    }
    Ok(added)
}

fn add_push(
    pipeline: &mut Pipeline,
    name: &str,
    sink: &config::Sink,
    push: &config::Websocket,
    known: &Known<'_>,
) -> Result<(Push, StatusHandle), Failure> {
    let json = json(sink, mask_key(name, sink)?);
    let encoder: MakeEncoder = Arc::new(move || Box::new(json(false)));
    let source = known.source.clone();
    Push::add(pipeline, options(name, sink)?, push, encoder, source)
}

/// Adds a chain for one sink.
pub(crate) fn add_sink(
    pipeline: &mut Pipeline,
    name: &str,
    sink: &config::Sink,
    known: &Known<'_>,
) -> Result<StatusHandle, Failure> {
    let options = options(name, sink)?;
    let mask_key = mask_key(name, sink)?;
    let json = json(sink, mask_key.clone());
    match &sink.destination {
        Destination::Stdout(stdout) => {
            let letters = file_letters(sink, &known.keys);
            Ok(match stdout.format {
                StdoutFormat::Json => {
                    add_screen(pipeline, options, letters, known.console, move || {
                        json(false)
                    })?
                }
                StdoutFormat::Pretty => {
                    let pretty = PrettyOptions {
                        colour: known.console.stdout_colour,
                        mask_key,
                        ..PrettyOptions::default()
                    };
                    let encoder = move || Pretty::new(pretty.clone());
                    add_screen(pipeline, options, letters, known.console, encoder)?
                }
            })
        }
        Destination::File(file) => {
            let output = started(WriterSink::start(FileOutput::new(&file.path)))?;
            Ok(pipeline.add(
                options,
                json(false),
                output,
                file_letters(sink, &known.keys),
            ))
        }
        Destination::Kafka(settings) => add_kafka(
            pipeline,
            options,
            move || json(true),
            (sink, settings),
            known,
        ),
        Destination::Websocket(push) => {
            // Who replays into one finds nobody there.
            add_push(pipeline, name, sink, push, known).map(|(_, status)| status)
        }
    }
}

/// Who reads sees by their ids that events come again.
fn add_screen<E: Encoder + 'static>(
    pipeline: &mut Pipeline,
    options: SinkOptions,
    letters: Option<Box<dyn DeadLetters>>,
    console: &Console,
    encoder: impl Fn() -> E + Send + Sync + 'static,
) -> Result<StatusHandle, Failure> {
    let console = console.clone();
    let make = move || started(Screen::new(&console).and_then(WriterSink::start));
    let first = (encoder(), make()?);
    let remake = Remake::new(move |_| Ok((encoder(), make()?)));
    Ok(pipeline.add_rewindable(options, first, letters, remake))
}

fn add_kafka<E: Encoder + 'static>(
    pipeline: &mut Pipeline,
    options: SinkOptions,
    encoder: impl Fn() -> E + Send + Sync + 'static,
    (sink, settings): (&config::Sink, &config::Kafka),
    known: &Known<'_>,
) -> Result<StatusHandle, Failure> {
    let selection = Arc::clone(&options.selection);
    let mut tables = known.tables.to_vec();
    tables.retain(|(schema, table)| selection.takes(schema, table));
    let refused = |error: SinkError| of_sink(&options.name, error);
    let wanted = kafka::kafka(sink, settings)?;
    let (name, database) = (options.name.clone(), known.database.to_owned());
    let make = move |replay: Option<&str>| {
        let mut wanted = wanted.clone();
        wanted.replay = replay.map(str::to_owned);
        let output = KafkaSink::new(wanted, database.as_str(), &tables);
        output.map_err(|error| of_sink(&name, error))
    };
    let first = (encoder(), make(known.replay.as_deref())?);
    let letters = match (&sink.on_definite, &sink.dead_letter.topic) {
        (config::OnDefinite::DeadLetter, Some(topic)) => {
            let letters = kafka::dead_letters(settings, topic);
            let letters = KafkaSink::new(letters, known.database, &[]).map_err(refused)?;
            Some(boxed(SinkDeadLetters::new(letters)))
        }
        _ => file_letters(sink, &known.keys),
    };
    let remake = Remake::new(move |id| Ok((encoder(), make(Some(id))?)));
    Ok(pipeline.add_rewindable(options, first, letters, remake))
}

/// What turns changes into this sink's bytes, without colours.
pub(crate) fn encoder(name: &str, sink: &config::Sink) -> Result<Box<dyn Encoder>, Failure> {
    let mask_key = mask_key(name, sink)?;
    Ok(match &sink.destination {
        Destination::Stdout(stdout) if stdout.format == StdoutFormat::Pretty => {
            let pretty = PrettyOptions {
                mask_key,
                ..PrettyOptions::default()
            };
            Box::new(Pretty::new(pretty))
        }
        Destination::Stdout(_) | Destination::File(_) => Box::new(json(sink, mask_key)(false)),
        Destination::Websocket(_) => Box::new(json(sink, mask_key)(false)),
        Destination::Kafka(_) => Box::new(json(sink, mask_key)(true)),
    })
}

/// Makes encoders, with or without old keys.
fn json(
    sink: &config::Sink,
    mask_key: Option<MaskKey>,
) -> impl Fn(bool) -> NativeJson + Send + Sync + 'static {
    let int8 = match sink.int8 {
        config::Int8::Number => Int8::Number,
        config::Int8::String => Int8::String,
    };
    move |old_keys| {
        NativeJson::new(NativeJsonOptions {
            int8,
            mask_key: mask_key.clone(),
            old_keys,
        })
    }
}

/// What is configured of a sink's chain.
pub(crate) fn options(name: &str, sink: &config::Sink) -> Result<SinkOptions, Failure> {
    let mut options = SinkOptions::new(name);
    options.demand = if sink.required {
        Demand::Required
    } else {
        Demand::Optional
    };
    options.selection = Arc::new(selection::selection(sink)?);
    let streams =
        matches!(&sink.destination, Destination::Kafka(kafka) if kafka.stream_topic.is_some());
    options.extras = Extras {
        transactions: sink.transactions || streams,
        schemas: sink.schema_events || streams,
    };
    options.schemas_again = streams.then_some(SCHEMAS_AGAIN);
    options.batch = BatchOptions {
        max_records: sink.batch.changes as usize,
        max_bytes: usize::try_from(sink.batch.bytes.0).unwrap_or(usize::MAX),
        delay: sink.batch.delay.0,
    };
    Ok(options)
}

fn mask_key(name: &str, sink: &config::Sink) -> Result<Option<MaskKey>, Failure> {
    let Some(secret) = &sink.mask_key else {
        return Ok(None);
    };
    let key = MaskKey::new(secret.expose().as_bytes());
    let message = format!("the mask_key of sink {name} is no key");
    key.map(Some)
        .ok_or_else(|| Failure::new(StopReason::Config, message))
}

fn file_letters(sink: &config::Sink, keys: &Keyring) -> Option<Box<dyn DeadLetters>> {
    match (&sink.on_definite, &sink.dead_letter.file) {
        (config::OnDefinite::DeadLetter, Some(path)) => {
            Some(boxed(DeadLetterFile::new(path).with_keys(keys.clone())))
        }
        _ => None,
    }
}

fn boxed(letters: impl DeadLetters + 'static) -> Box<dyn DeadLetters> {
    Box::new(letters)
}

fn started<S: Sink>(sink: std::io::Result<S>) -> Result<S, Failure> {
    sink.map_err(|error| Failure::new(StopReason::Sink, format!("can't open the output: {error}")))
}

fn of_sink(name: &str, error: SinkError) -> Failure {
    let failure = Failure::new(StopReason::Config, format!("sink {name}: {error}"));
    match error.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
