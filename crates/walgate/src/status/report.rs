//! The document. Its names are those of `walgate slots --json` where both say the same; `STATUS.md`
//! beside this crate describes it.

use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use walgate_core::Position;
use walgate_journal::{DiskState, JournalStats};
use walgate_replication::SourceState;
use walgate_slot::Lag;

use super::gateway_report::{GatewayReport, gateway};
use super::troubles::troubles;
use crate::slots::report::{
    PreparedReport, ServerReport, SlotReport, TransactionReport, lag as seconds_of,
};
use crate::watch::{Moment, Sight, SinkSight, View, readiness};

/// So many slots of others are shown, those that hold back most.
const MOST_SLOTS: usize = 50;

/// How a service does.
#[derive(Debug, Serialize)]
pub(crate) struct StatusReport {
    version: &'static str,
    at: String,
    started_at: String,
    healthy: bool,
    /// Why not, each in one sentence.
    troubles: Vec<String>,
    ready: bool,
    source: SourceReport,
    /// Null where a slot is read.
    gateway: Option<GatewayReport>,
    slot: SlotName,
    sinks: Vec<SinkReport>,
    journal: Option<JournalReport>,
    guard: GuardReport,
    watch: WatchReport,
    server: Option<ServerReport>,
    slots: Vec<SlotReport>,
    slots_not_shown: usize,
    transactions: Vec<TransactionReport>,
    prepared_transactions: Vec<PreparedReport>,
    unseen: Vec<String>,
}

#[derive(Debug, Serialize)]
struct SlotName {
    name: String,
    /// Null while it is not known.
    exists: Option<bool>,
}

#[derive(Debug, Serialize)]
struct SourceReport {
    state: &'static str,
    state_seconds: Option<f64>,
    /// Of the connection, while there is none.
    error: Option<String>,
    /// The process that uses the slot, while we wait for it.
    holder_pid: Option<i32>,
    wal_sender_pid: Option<i32>,
    received_lsn: String,
    confirmed_lsn: String,
    last_message_seconds: Option<f64>,
    last_status_seconds: Option<f64>,
    reconnects: u64,
    received_bytes: u64,
    frames: u64,
    streamed_transactions: u64,
    unstreamed_transactions: u64,
    server_notices: u64,
    publication_missing_tables: u64,
    gaps: u64,
    /// Null where none is to be written.
    heartbeat: Option<HeartbeatReport>,
}

#[derive(Debug, Serialize)]
struct HeartbeatReport {
    sent: u64,
    last_received_seconds: Option<f64>,
    latency_seconds: Option<f64>,
    /// For how long one should have come back, or should have been written.
    due_seconds: Option<f64>,
    /// What keeps it from being written.
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct SinkReport {
    sink: String,
    required: bool,
    state: &'static str,
    state_seconds: f64,
    events: u64,
    bytes: u64,
    failures: u64,
    dead_letters: u64,
    last_error: Option<String>,
    delivered: String,
    /// Null before the journal has begun.
    backlog_bytes: Option<u64>,
    /// Age of the oldest log that is not delivered; null when there is none.
    oldest_undelivered_seconds: Option<f64>,
    oldest_undelivered_is_more: bool,
    last_commit_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct JournalReport {
    kind: &'static str,
    bytes: u64,
    budget_bytes: u64,
    spool_bytes: u64,
    segments: usize,
    full: bool,
    /// Sinks for which it is full.
    held_by: Vec<String>,
    /// Why the disk takes nothing, while it does not.
    error: Option<String>,
    memory_bytes: usize,
    memory_budget_bytes: usize,
}

#[derive(Debug, Serialize)]
struct GuardReport {
    level: Option<&'static str>,
    alerts: Vec<AlertReport>,
}

#[derive(Debug, Serialize)]
struct AlertReport {
    rule: String,
    severity: &'static str,
    about: Option<String>,
    since: String,
    summary: String,
}

#[derive(Debug, Serialize)]
struct WatchReport {
    looks: u64,
    failures: u64,
    last_look_seconds: Option<f64>,
    error: Option<String>,
    hint: Option<String>,
    budget_bytes: Option<u64>,
    free_disk_bytes: Option<u64>,
}

impl StatusReport {
    /// What is known at one moment. What the last look has found is in it only while that is news.
    pub(crate) fn new(sight: &Sight) -> Self {
        let moment = &sight.moment;
        let view = sight.current();
        let (slots, slots_not_shown) = slots(view);
        let troubles = troubles(sight);
        let report = view.map(|view| view.report.clone());
        let (server, transactions, prepared_transactions, unseen) = match report {
            Some(report) => (
                Some(report.server),
                report.transactions,
                report.prepared_transactions,
                report.unseen,
            ),
            None => (None, Vec::new(), Vec::new(), Vec::new()),
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            at: date(moment.time),
            started_at: date(moment.started),
            healthy: troubles.is_empty(),
            troubles,
            ready: readiness(sight).is_ok(),
            source: source(sight),
            gateway: moment.gateway.as_ref().map(|it| gateway(moment, it)),
            slot: SlotName {
                name: moment.slot.clone(),
                exists: view.map(|view| view.ours().is_some()),
            },
            sinks: moment.sinks.iter().map(|one| sink(moment, one)).collect(),
            journal: moment.journal.as_ref().map(journal),
            guard: guard(moment),
            watch: watch(sight),
            server,
            slots,
            slots_not_shown,
            transactions,
            prepared_transactions,
            unseen,
        }
    }

    /// One line.
    pub(crate) fn json(&self) -> String {
        // Names and numbers: nothing that JSON could refuse.
        serde_json::to_string(self).unwrap_or_default()
    }

    pub(crate) fn value(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

/// Ours first, then those that hold back most; and how many are left out.
fn slots(view: Option<&View>) -> (Vec<SlotReport>, usize) {
    let all = view.map_or(&[][..], |view| &view.report.slots);
    let mut slots: Vec<_> = all.iter().collect();
    slots.sort_by_key(|slot| {
        let retained = slot.retained_bytes.unwrap_or(0);
        (!slot.ours, std::cmp::Reverse(retained))
    });
    let left_out = slots.len().saturating_sub(MOST_SLOTS);
    slots.truncate(MOST_SLOTS);
    (slots.into_iter().cloned().collect(), left_out)
}

fn source(sight: &Sight) -> SourceReport {
    let moment = &sight.moment;
    let counters = &moment.counters;
    let ago = |then: Instant| moment.at.saturating_duration_since(then).as_secs_f64();
    let topic = moment.gateway.as_ref();
    let down = topic.and_then(|topic| topic.down.clone());
    let taken = topic.and_then(|topic| topic.position);
    let received_lsn = taken.map_or(counters.received_lsn, Position::lsn);
    let (since, error, holder_pid) = match &moment.source {
        _ if topic.is_some() => {
            let (since, last) = down.unzip();
            (since, last, None)
        }
        SourceState::Connecting | SourceState::Ended => (None, None, None),
        SourceState::WaitingForSlot { since, holder } => (Some(*since), None, *holder),
        SourceState::Streaming { since } => (Some(*since), None, None),
        SourceState::Down { since, last, .. } => (Some(*since), Some(last.clone()), None),
    };
    SourceReport {
        state: sight.source_state(),
        state_seconds: since.map(ago),
        error,
        holder_pid,
        wal_sender_pid: counters.wal_sender_pid,
        received_lsn: received_lsn.to_string(),
        confirmed_lsn: counters.confirmed_lsn.to_string(),
        last_message_seconds: counters.last_message.map(ago),
        last_status_seconds: counters.last_status.map(ago),
        reconnects: topic.map_or(counters.reconnects, |topic| topic.reconnects),
        received_bytes: counters.bytes,
        frames: counters.frames,
        streamed_transactions: counters.streamed,
        unstreamed_transactions: counters.unstreamed,
        server_notices: counters.notices,
        publication_missing_tables: counters.missing_tables,
        gaps: moment.gaps,
        heartbeat: moment.heartbeat.as_ref().map(|heartbeat| HeartbeatReport {
            sent: heartbeat.written,
            last_received_seconds: heartbeat.last_back.map(ago),
            latency_seconds: heartbeat.latency.map(|latency| latency.as_secs_f64()),
            due_seconds: moment.heartbeat_due().map(ago),
            error: heartbeat.kept_by.clone(),
        }),
    }
}

fn sink(moment: &Moment, sink: &SinkSight) -> SinkReport {
    let status = &sink.status;
    let (oldest, is_more) = seconds_of(sink.oldest.filter(|lag| *lag != Lag::None));
    let commit = status.last_commit.map(|commit| commit.unix_micros());
    let commit = commit.and_then(|micros| u64::try_from(micros).ok());
    let commit = commit.map(|micros| SystemTime::UNIX_EPOCH + Duration::from_micros(micros));
    // The server's clock may be ahead of ours.
    let ago = |then| moment.time.duration_since(then).unwrap_or_default();
    SinkReport {
        sink: status.name.clone(),
        required: sink.is_required(),
        state: status.state.name(),
        state_seconds: moment
            .at
            .saturating_duration_since(status.since)
            .as_secs_f64(),
        events: status.events,
        bytes: status.bytes,
        failures: status.failures,
        dead_letters: status.dead_letters,
        last_error: status.last_error.clone(),
        delivered: status.delivered.to_string(),
        backlog_bytes: sink.backlog_bytes,
        oldest_undelivered_seconds: oldest,
        oldest_undelivered_is_more: is_more,
        last_commit_seconds: commit.map(|then| ago(then).as_secs_f64()),
    }
}

fn journal(stats: &JournalStats) -> JournalReport {
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let (memory_bytes, memory_budget_bytes) = (stats.bytes, stats.budget_bytes);
    let Some(disk) = &stats.disk else {
        return JournalReport {
            kind: "memory",
            bytes: number(memory_bytes),
            budget_bytes: number(memory_budget_bytes),
            spool_bytes: 0,
            segments: 0,
            full: stats.held_back,
            held_by: Vec::new(),
            error: None,
            memory_bytes,
            memory_budget_bytes,
        };
    };
    JournalReport {
        kind: "disk",
        bytes: disk.bytes,
        budget_bytes: disk.budget_bytes,
        spool_bytes: disk.spool_bytes,
        segments: disk.segments,
        full: disk.full,
        held_by: disk.held_by.clone(),
        error: match &disk.state {
            DiskState::Works | DiskState::Full => None,
            other => Some(format!("{other:?}")),
        },
        memory_bytes,
        memory_budget_bytes,
    }
}

fn guard(moment: &Moment) -> GuardReport {
    let shown = &moment.shown;
    let names = ["ok", "warning", "critical", "emergency"];
    let level = shown.level.and_then(|level| names.get(usize::from(level)));
    GuardReport {
        level: level.copied(),
        alerts: shown
            .firing
            .iter()
            .map(|alert| AlertReport {
                rule: alert.rule.clone(),
                severity: alert.severity,
                about: alert.about.clone(),
                since: date(alert.since),
                summary: alert.summary.clone(),
            })
            .collect(),
    }
}

fn watch(sight: &Sight) -> WatchReport {
    let (looks, now) = (&sight.looks, sight.moment.time);
    let ago = |then| now.duration_since(then).unwrap_or_default().as_secs_f64();
    let limits = sight.current().map(|view| view.limits);
    WatchReport {
        looks: looks.total,
        failures: looks.failures,
        last_look_seconds: looks.last.map(ago),
        error: looks.blind.as_ref().map(|blind| blind.why.clone()),
        hint: looks.blind.as_ref().and_then(|blind| blind.hint.clone()),
        budget_bytes: limits.and_then(|limits| limits.budget_bytes),
        free_disk_bytes: limits.and_then(|limits| limits.free_disk_bytes),
    }
}

pub(super) fn date(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}
