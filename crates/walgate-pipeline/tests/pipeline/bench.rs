//! A pipeline with a scripted source, ready to run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use walgate_core::{Checkpoint, Failure, Feed, Lsn, Position, Watermark};
use walgate_journal::DEFAULT_BUDGET_BYTES;
use walgate_pipeline::{
    DeadLetters, Demand, Log, Outcome, Pipeline, PipelineOptions, SinkOptions, StatusHandle, Stop,
};

use crate::line_encoder::LineEncoder;
use crate::log::{self, Happening, Row};
use crate::scripted_sink::{Destination, ScriptedSink};
use crate::scripted_source::{Act, ScriptedSource};
use crate::stored::{Stored, checkpoint};

pub(crate) const START: Lsn = Lsn(0x100);

pub(crate) struct Bench {
    pub(crate) pipeline: Pipeline,
    pub(crate) source: ScriptedSource,
    /// Of the journal in memory.
    pub(crate) journal_bytes: usize,
    /// Instead of one in memory.
    pub(crate) log: Option<Log>,
    pub(crate) start: Checkpoint,
    pub(crate) stored: Stored,
    pub(crate) confirmed: Watermark<Lsn>,
    pub(crate) stop: Stop,
    pub(crate) closed: Arc<AtomicBool>,
}

impl Bench {
    pub(crate) fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        Self::with(PipelineOptions::default(), acts)
    }

    pub(crate) fn with(options: PipelineOptions, acts: impl IntoIterator<Item = Act>) -> Self {
        let source = ScriptedSource::new(acts);
        Self {
            pipeline: Pipeline::new(options),
            closed: Arc::clone(&source.closed),
            source,
            journal_bytes: DEFAULT_BUDGET_BYTES,
            log: None,
            start: checkpoint(START),
            stored: Stored::new(START, |_| {}),
            confirmed: Watermark::new(START),
            stop: Stop::new(),
        }
    }

    pub(crate) fn sink(&mut self, sink: ScriptedSink, options: SinkOptions) -> StatusHandle {
        self.pipeline
            .add(options, LineEncoder::default(), sink, None)
    }

    pub(crate) fn sink_with_letters(
        &mut self,
        sink: ScriptedSink,
        encoder: LineEncoder,
        letters: Box<dyn DeadLetters>,
    ) -> StatusHandle {
        self.pipeline
            .add(SinkOptions::new("out"), encoder, sink, Some(letters))
    }

    pub(crate) async fn run(self) -> Result<Outcome, Failure> {
        let store = Some(Box::new(self.stored) as Box<_>);
        let (bytes, start) = (self.journal_bytes, self.start);
        let log = self.log.unwrap_or_else(|| in_memory(bytes, &start));
        self.pipeline
            .run(self.source, log, start, store, self.confirmed, self.stop)
            .await
    }

    pub(crate) fn is_closed(closed: &AtomicBool) -> bool {
        closed.load(Ordering::SeqCst)
    }
}

/// A journal in memory that begins where the checkpoint stands.
pub(crate) fn in_memory(bytes: usize, start: &Checkpoint) -> Log {
    let start = Position::new(start.source.epoch, start.confirmed, 0);
    Log::in_memory(bytes, start)
}

pub(crate) fn optional(name: &str) -> SinkOptions {
    let mut options = SinkOptions::new(name);
    options.demand = Demand::Optional;
    options
}

pub(crate) fn inserts(count: usize) -> Happening {
    Happening::Transaction(vec![Row::Insert(0); count])
}

pub(crate) fn feed(log: &log::Log, from: usize, to: usize) -> Act {
    Act::Feed(Feed::Frames(log.run(from, to)))
}

/// The whole log, in runs of `size` frames.
pub(crate) fn runs(log: &log::Log, size: usize) -> Vec<Act> {
    let len = log.items.len();
    (0..len)
        .step_by(size)
        .map(|from| feed(log, from, (from + size).min(len)))
        .collect()
}

pub(crate) fn end() -> Act {
    Act::Feed(Feed::End)
}

/// The ids of lines.
pub(crate) fn ids(destination: &Destination) -> Vec<String> {
    let lines = destination.lines();
    lines
        .iter()
        .map(|line| line.split(' ').next().unwrap_or_default().to_owned())
        .collect()
}
