//! `walgate replay`.

use std::pin::pin;
use std::time::SystemTime;

use walgate_core::{Checkpoint, Failure, Lsn, Position, SourceIdentity, StopReason, Watermark};
use walgate_journal::DEFAULT_BUDGET_BYTES;
use walgate_pipeline::{End, Log, Outcome, Pipeline, PipelineOptions, StatusHandle, Stop};

use crate::args::{ReplayArgs, TailArgs};
use crate::config::{self, Config, Destination, Overrides, Surroundings, load};
use crate::control::replay_id;
use crate::ending::Ending;
use crate::entry::Console;
use crate::signals::{Request, Signals};
use crate::tail;
use crate::wiring::{
    JournalKeys, Known, Range, Recording, RecordingSource, add_sink, block_on, source_config,
};

/// Hands a recording to stdout or a sink of a configuration, as the first time.
///
/// # Errors
///
/// When it can't be read or delivered.
pub fn replay(args: &ReplayArgs, console: &Console) -> Result<(), Ending> {
    let recording = Recording::open(&args.path, args.keys.load()?)?;
    let identity = recording.identity()?;
    let range = recording.range(&args.range)?;
    if range.to == recording.whole() {
        recording.warn_of_its_end();
    }
    let replay = Replay {
        args,
        console,
        recording,
        identity,
        range,
    };
    let result = block_on(Box::pin(replay.run()));
    result.map_err(|ending| match ending {
        // `walgate replay | head`: whoever read has seen enough.
        Ending::Failure(failure) if failure.reason == StopReason::OutputClosed => {
            Ending::OutputClosed
        }
        other => other,
    })
}

struct Replay<'a> {
    args: &'a ReplayArgs,
    console: &'a Console,
    recording: Recording,
    identity: SourceIdentity,
    range: Range,
}

impl Replay<'_> {
    async fn run(self) -> Result<(), Ending> {
        let mut signals = Signals::new()
            .map_err(|error| Ending::other(format!("can't take over the signals: {error}")))?;
        let (mut pipeline, sink) = self.pipeline().await?;
        pipeline.open().await?;
        self.check_held(pipeline.held())?;
        let walk = self.recording.walk(self.range, self.args.on_damage);
        let source = RecordingSource::new(walk, self.args.speed);
        let from = self.range.from;
        let start = Position::new(from.epoch(), from.lsn(), 0);
        let checkpoint = Checkpoint {
            source: SourceIdentity {
                epoch: start.epoch(),
                ..self.identity.clone()
            },
            confirmed: start.lsn(),
            sinks: std::iter::once((sink.get().name, from)).collect(),
            received: None,
            gaps: Vec::new(),
        };
        let stop = Stop::new();
        let log = Log::in_memory(DEFAULT_BUDGET_BYTES, start);
        let confirmed = Watermark::<Lsn>::default();
        let run = pipeline.run(source, log, checkpoint, None, confirmed, stop.clone());
        let mut run = pin!(run);
        let outcome = loop {
            tokio::select! {
                outcome = &mut run => break outcome?,
                request = signals.next() => match request {
                    Request::Reload => {}
                    Request::Drain => stop.drain(),
                    Request::End => stop.now(),
                },
            }
        };
        self.summarize(&outcome, &sink);
        Ok(())
    }

    async fn pipeline(&self) -> Result<(Pipeline, StatusHandle), Ending> {
        let Some(name) = &self.args.sink else {
            let tail: TailArgs = self.args.as_tail();
            let mut pipeline = Pipeline::new(PipelineOptions::default());
            let options = tail::options(&tail);
            let sink = tail::add_stdout(&mut pipeline, options, &tail, self.console)?;
            return Ok((pipeline, sink));
        };
        let file = self.args.file();
        let file = file.path();
        let loaded = load(
            Some(file),
            &Overrides::default(),
            &Surroundings::of_process(),
        )?;
        let mut pipeline = Pipeline::new(PipelineOptions {
            drain_for: loaded.config.shutdown_timeout.0,
            ..PipelineOptions::default()
        });
        let sink = self.sink(name, &loaded.config)?;
        let source = source_config(&loaded.config.source)?;
        let known = Known {
            database: source.connection.dbname(),
            tables: &[],
            console: self.console,
            keys: JournalKeys::of(&loaded.config)
                .of_letters(std::iter::once(&sink))
                .await?,
            replay: Some(replay_id(SystemTime::now())),
            source: None,
        };
        let sink = add_sink(&mut pipeline, name, &sink, &known)?;
        Ok((pipeline, sink))
    }

    /// The sink as it is to be replayed into: somebody waits for it.
    fn sink(&self, name: &str, config: &Config) -> Result<config::Sink, Failure> {
        let Some(sink) = config.sinks.get(name) else {
            let names: Vec<_> = config.sinks.keys().map(String::as_str).collect();
            let message = format!("the configuration has no sink {name}");
            return Err(Failure::new(StopReason::Config, message)
                .hint(format!("it has: {}", names.join(", "))));
        };
        if matches!(sink.destination, Destination::Websocket(_)) {
            let message = format!("sink {name} is for clients that follow a running walgate");
            return Err(Failure::new(StopReason::Config, message)
                .hint("let the client connect with after=POSITION, as it resumes"));
        }
        if matches!(sink.destination, Destination::Kafka(_)) && !self.args.accept_reorder {
            let message = format!(
                "sink {name} is a Kafka: events that come again would stand behind newer ones"
            );
            return Err(Failure::new(StopReason::Config, message).hint(
                "say --accept-reorder when its consumers bear that; what comes again has the header walgate-replay",
            ));
        }
        Ok(config::Sink {
            required: true,
            ..sink.clone()
        })
    }

    /// A file knows what it holds, and is given only what comes behind.
    fn check_held(&self, held: Option<Position>) -> Result<(), Failure> {
        let (Some(held), Some(sink)) = (held, &self.args.sink) else {
            return Ok(());
        };
        if held >= self.range.to {
            let message = format!(
                "sink {sink} holds events up to {held} already: nothing of the recording lies behind it"
            );
            return Err(Failure::new(StopReason::Config, message).hint(
                "give it another file: a copy of the configuration with another path, and -c",
            ));
        }
        if held > self.range.from {
            tracing::warn!(sink, %held, "the sink holds events already: it is given what comes behind them");
        }
        Ok(())
    }

    fn summarize(&self, outcome: &Outcome, sink: &StatusHandle) {
        let sink = sink.get();
        if outcome.end == End::Stopped {
            tracing::warn!(sink = sink.name, delivered = %sink.delivered, "stopped before everything that was read was delivered");
        }
        if self.args.sink.is_some() && !self.console.quiet {
            let said = format!("{} events into {}\n", sink.events, sink.name);
            // A closed stderr is no reason to end.
            drop(self.console.terminal.log(said.as_bytes()));
        }
    }
}
