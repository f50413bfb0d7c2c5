//! What is configured of a pipeline and its sinks.

use std::sync::Arc;
use std::time::Duration;

use walgate_core::{BackoffOptions, Position};
use walgate_journal::Demand;

use crate::assembler::Extras;
use crate::selection::Selection;

/// When a batch goes to the sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOptions {
    /// At this many events.
    pub max_records: usize,
    /// At this many bytes; one event that is larger goes alone.
    pub max_bytes: usize,
    /// When nothing more is at hand and its first event has waited this long. Zero: as soon as
    /// nothing more is at hand, so a change at the head of the log goes out at once.
    pub delay: Duration,
}

impl Default for BatchOptions {
    /// 8192 events, 1 MiB, no delay: a backlog goes in large writes, a single change at once.
    fn default() -> Self {
        Self {
            max_records: 8192,
            max_bytes: 1 << 20,
            delay: Duration::ZERO,
        }
    }
}

/// What is configured of one sink.
#[derive(Debug, Clone)]
pub struct SinkOptions {
    /// Its name: in the checkpoint, in logs and metrics.
    pub name: String,
    /// Whether the slot waits for it.
    pub demand: Demand,
    /// What it is given of the log.
    pub selection: Arc<Selection>,
    /// What it is given beyond changes.
    pub extras: Extras,
    /// Whether it is told of a definition again, when a row uses it so long after it was told last:
    /// for what forgets what is old, such as a topic. Only with [`Extras::schemas`].
    pub schemas_again: Option<Duration>,
    /// When a batch goes to it.
    pub batch: BatchOptions,
    /// How long to wait after an error.
    pub backoff: BackoffOptions,
    /// It starts behind this position, whatever the checkpoint says.
    pub after: Option<Position>,
    /// The pipeline ends when it was given this many events.
    pub max_events: Option<u64>,
}

impl SinkOptions {
    /// A required sink that is given every change.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            demand: Demand::Required,
            selection: Arc::default(),
            extras: Extras::default(),
            schemas_again: None,
            batch: BatchOptions::default(),
            backoff: BackoffOptions::default(),
            after: None,
            max_events: None,
        }
    }
}

/// What is configured of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipelineOptions {
    /// How long the sinks may take to deliver what was read when the pipeline stops.
    pub drain_for: Duration,
    /// What is confirmed, and when.
    pub confirm: ConfirmOptions,
}

impl Default for PipelineOptions {
    /// 20 s, which fits into the 30 s that container platforms give a process.
    fn default() -> Self {
        Self {
            drain_for: Duration::from_secs(20),
            confirm: ConfirmOptions::default(),
        }
    }
}

/// Who holds durably what is confirmed to the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConfirmBy {
    /// Every required sink.
    #[default]
    Sinks,
    /// The journal on disk, with its fsync: a sink that is down holds nothing back.
    Fsync,
}

/// What is written to the checkpoint and confirmed to the source, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfirmOptions {
    /// Who has to hold it.
    pub by: ConfirmBy,
    /// When it has moved by this much log, in bytes.
    pub every_bytes: u64,
    /// When it has moved, and this time has passed since.
    pub every: Duration,
}

impl Default for ConfirmOptions {
    /// 4 MiB and 1 s, as the session sends its status: little repeats after a crash, and an fsync
    /// a second costs nothing.
    fn default() -> Self {
        Self {
            by: ConfirmBy::Sinks,
            every_bytes: 4 << 20,
            every: Duration::from_secs(1),
        }
    }
}
