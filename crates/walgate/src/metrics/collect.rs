//! From what is known to samples.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use walgate_journal::JournalStats;
use walgate_pipeline::SinkState;
use walgate_sink_websocket::PushStats;
use walgate_slot::{Lag, Slot, TimeLeft};
use walgate_source_kafka::GatewayStats;

use super::of_process::OfProcess;
use crate::watch::{Moment, Sight, SinkSight, SlotSight, View, readiness};

/// So many slots have series: a server has ten by default, and whoever makes a thousand must not fill
/// a time series database by it.
pub(super) const MOST_SLOTS: usize = 50;

/// Seconds between 1970-01-01 and 2000-01-01, where PostgreSQL's time stamps begin.
const SECONDS_1970_TO_2000: f64 = 946_684_800.0;

const STATES: [&str; 6] = [
    "connecting",
    "waiting_for_slot",
    "streaming",
    "down",
    "ended",
    "slot_lost",
];

const STATUSES: [&str; 4] = ["reserved", "extended", "unreserved", "lost"];

/// A number with its labels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) value: f64,
}

/// Numbers by name.
#[derive(Debug, Default)]
pub(super) struct Samples(BTreeMap<&'static str, Vec<Sample>>);

type Labels<'a> = [(&'static str, &'a str)];

impl Samples {
    pub(super) fn of(&self, name: &str) -> &[Sample] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    #[cfg(test)]
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.0.keys().copied().collect()
    }

    fn put(&mut self, name: &'static str, labels: &Labels<'_>, value: impl Into<f64>) {
        let labels = labels.iter();
        let labels = labels.map(|(label, value)| (*label, (*value).to_owned()));
        self.0.entry(name).or_default().push(Sample {
            labels: labels.collect(),
            value: value.into(),
        });
    }

    pub(super) fn sight(&mut self, sight: &Sight) {
        let moment = &sight.moment;
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        self.put("walgate_build_info", &version, 1.0);
        let started = unix(moment.started);
        self.put("walgate_start_timestamp_seconds", &[], started);
        let ready = readiness(sight).is_ok();
        self.put("walgate_ready", &[], flag(ready));
        self.slots(sight);
        self.source(sight);
        for sink in &moment.sinks {
            self.sink(moment, sink);
        }
        for (name, push) in &moment.pushes {
            self.push(name, push);
        }
        self.gateway(moment.gateway.as_ref());
        self.journal(moment.journal.as_ref());
        let held = moment.journal_held_bytes();
        self.put(
            "walgate_journal_held_bytes",
            &[],
            held.map_or(f64::NAN, bytes),
        );
        self.looks(sight);
        self.guard(moment);
    }

    fn slots(&mut self, sight: &Sight) {
        let view = sight.current();
        let ours = view.and_then(View::ours);
        let ours_shown = ours.map(|(slot, sight)| (slot, sight, view));
        match ours_shown {
            Some((slot, sight, Some(view))) => self.slot(view, slot, sight),
            // The series are there from the beginning, and say that nothing is known.
            _ => self.unknown_slot(&sight.moment.slot, sight.view.as_deref()),
        }
        let mut others: Vec<_> = view.into_iter().flat_map(View::slots).collect();
        others.retain(|(_, sight)| !sight.ours);
        others.sort_by_key(|(_, sight)| std::cmp::Reverse(sight.culprit.retained));
        for (slot, sight) in others.iter().take(MOST_SLOTS) {
            if let Some(view) = view {
                self.slot(view, slot, sight);
            }
        }
        let counted = |count: usize| view.map_or(f64::NAN, |_| bytes(count as u64));
        let orphans = others.iter().filter(|(_, sight)| sight.orphan).count();
        self.put("walgate_orphan_slots", &[], counted(orphans));
        let not_shown = others.len().saturating_sub(MOST_SLOTS);
        self.put("walgate_slots_not_shown", &[], counted(not_shown));
        let rate = view.and_then(|view| view.wal_rate);
        let rate = rate.map_or(f64::NAN, |rate| rate.bytes_per_second);
        self.put("walgate_wal_bytes_per_second", &[], rate);
        let sender = ours.and_then(|(slot, _)| view?.seen.walsender(slot));
        let sync = sender.and_then(|sender| sender.sync_state.as_deref());
        // Of one that is `potential` no commit waits.
        let sync = sync.map_or(f64::NAN, |state| flag(matches!(state, "sync" | "quorum")));
        self.put("walgate_synchronous_standby", &[], sync);
    }

    fn slot(&mut self, view: &View, slot: &Slot, sight: &SlotSight) {
        let ours = if sight.ours { "true" } else { "false" };
        let labels = [("slot", slot.name.as_str()), ("ours", ours)];
        let ahead = &sight.forecast;
        let lost = slot.lost().is_some();
        let known = |number: Option<u64>| number.map_or(f64::NAN, bytes);
        let retained = view.seen.retained_bytes(slot);
        let headroom = ahead.headroom.map(|headroom| bytes(headroom.bytes));
        let safe = match slot.safe_wal_size {
            _ if lost => 0.0,
            Some(safe) => signed(safe),
            None => f64::INFINITY,
        };
        let trends = ahead.trends.iter().filter_map(|(_, trend)| *trend);
        let growth = trends.max_by(f64::total_cmp).unwrap_or(f64::NAN);
        let lag = match sight.lag {
            None => f64::NAN,
            Some(Lag::None) => 0.0,
            Some(Lag::About(age) | Lag::AtLeast(age)) => age.as_secs_f64(),
        };
        let since = sight
            .unused
            .and_then(|unused| view.time.checked_sub(unused));
        let gauges = [
            ("walgate_slot_retained_wal_bytes", known(retained)),
            (
                "walgate_slot_unconfirmed_bytes",
                known(view.seen.unconfirmed_bytes(slot)),
            ),
            ("walgate_slot_lag_seconds", lag),
            ("walgate_slot_safe_wal_bytes", safe),
            (
                "walgate_slot_headroom_bytes",
                headroom.unwrap_or(f64::INFINITY),
            ),
            (
                "walgate_slot_wal_headroom_ratio",
                share(lost, headroom, retained),
            ),
            ("walgate_slot_wal_growth_bytes_per_second", growth),
            ("walgate_slot_seconds_to_limit", left(ahead.at_trend)),
            (
                "walgate_slot_seconds_to_limit_if_stopped",
                left(ahead.if_stopped),
            ),
            ("walgate_slot_active", flag(slot.active)),
            (
                "walgate_slot_inactive_since_timestamp_seconds",
                since.map_or(f64::NAN, unix),
            ),
            (
                "walgate_slot_catalog_xmin_age",
                slot.catalog_xmin_age.map_or(f64::NAN, signed),
            ),
        ];
        for (name, value) in gauges {
            self.put(name, &labels, value);
        }
        let present = match lost {
            true => Some("lost"),
            false => slot.wal_status.as_deref(),
        };
        self.statuses(labels, |status| flag(present == Some(status)));
        self.spilled(labels, Some(view));
    }

    /// Counters, which stay what they were when nothing is seen.
    fn spilled(&mut self, labels: [(&'static str, &str); 2], view: Option<&View>) {
        let [(_, slot), _] = labels;
        let statistics = view.and_then(|view| view.seen.statistics(slot));
        let spilled = statistics.map_or(0.0, |row| signed(row.spill_bytes));
        self.put("walgate_slot_spill_bytes_total", &labels, spilled);
        let streamed = statistics.map_or(0.0, |row| signed(row.stream_bytes));
        self.put("walgate_slot_stream_bytes_total", &labels, streamed);
    }

    /// `last` is what was seen before nothing was known any more.
    fn unknown_slot(&mut self, slot: &str, last: Option<&View>) {
        let labels = [("slot", slot), ("ours", "true")];
        for name in [
            "walgate_slot_retained_wal_bytes",
            "walgate_slot_unconfirmed_bytes",
            "walgate_slot_lag_seconds",
            "walgate_slot_safe_wal_bytes",
            "walgate_slot_headroom_bytes",
            "walgate_slot_wal_growth_bytes_per_second",
            "walgate_slot_seconds_to_limit",
            "walgate_slot_seconds_to_limit_if_stopped",
            "walgate_slot_active",
            "walgate_slot_inactive_since_timestamp_seconds",
            "walgate_slot_catalog_xmin_age",
        ] {
            self.put(name, &labels, f64::NAN);
        }
        // All is well before the first look, and never because nothing can be seen any more.
        let ratio = last.map_or(1.0, |_| f64::NAN);
        self.put("walgate_slot_wal_headroom_ratio", &labels, ratio);
        self.statuses(labels, |_| f64::NAN);
        self.spilled(labels, last);
    }

    fn statuses(&mut self, [slot, ours]: [(&'static str, &str); 2], value: impl Fn(&str) -> f64) {
        for status in STATUSES {
            let labels = [slot, ours, ("status", status)];
            self.put("walgate_slot_wal_status", &labels, value(status));
        }
    }

    fn source(&mut self, sight: &Sight) {
        let moment = &sight.moment;
        let present = sight.source_state();
        for state in STATES {
            let value = flag(state == present);
            self.put("walgate_source_state", &[("state", state)], value);
        }
        let counters = &moment.counters;
        let when = |then: Option<Instant>| then.map_or(f64::NAN, |then| at(moment, then));
        let heard = counters.last_message.filter(|_| !moment.is_held_back());
        let numbers = [
            ("walgate_source_last_message_timestamp_seconds", when(heard)),
            (
                "walgate_source_last_status_timestamp_seconds",
                when(counters.last_status),
            ),
            (
                "walgate_source_reconnects_total",
                bytes(counters.reconnects),
            ),
            ("walgate_source_received_bytes_total", bytes(counters.bytes)),
            ("walgate_source_frames_total", bytes(counters.frames)),
            (
                "walgate_source_streamed_transactions_total",
                bytes(counters.streamed),
            ),
            (
                "walgate_source_unstreamed_transactions_total",
                bytes(counters.unstreamed),
            ),
            ("walgate_server_notices_total", bytes(counters.notices)),
            (
                "walgate_publication_missing_tables",
                bytes(counters.missing_tables),
            ),
            ("walgate_gaps_total", bytes(moment.gaps)),
        ];
        for (name, value) in numbers {
            self.put(name, &[], value);
        }
        self.heartbeat(moment);
    }

    fn heartbeat(&mut self, moment: &Moment) {
        let heartbeat = moment.heartbeat.as_ref();
        let when = |then: Option<Instant>| then.map_or(f64::NAN, |then| at(moment, then));
        let written = heartbeat.map_or(0, |heartbeat| heartbeat.written);
        let back = heartbeat.and_then(|heartbeat| heartbeat.last_back);
        let latency = heartbeat.and_then(|heartbeat| heartbeat.latency);
        let numbers = [
            ("walgate_heartbeat_sent_total", bytes(written)),
            (
                "walgate_heartbeat_last_received_timestamp_seconds",
                when(back),
            ),
            (
                "walgate_heartbeat_latency_seconds",
                latency.map_or(f64::NAN, |latency| latency.as_secs_f64()),
            ),
            (
                "walgate_heartbeat_due_timestamp_seconds",
                when(moment.heartbeat_due()),
            ),
        ];
        for (name, value) in numbers {
            self.put(name, &[], value);
        }
    }

    fn sink(&mut self, moment: &Moment, sink: &SinkSight) {
        let status = &sink.status;
        let labels = [("sink", status.name.as_str())];
        let up = match status.state {
            SinkState::Starting => f64::NAN,
            SinkState::Running | SinkState::Ended => 1.0,
            SinkState::Retrying | SinkState::Failed => 0.0,
        };
        let commit = status.last_commit.map(|commit| commit.unix_micros());
        let oldest = match sink.oldest {
            Some(Lag::About(age) | Lag::AtLeast(age)) => moment.time.checked_sub(age),
            Some(Lag::None) | None => None,
        };
        let numbers = [
            ("walgate_sink_up", up),
            ("walgate_sink_required", flag(sink.is_required())),
            ("walgate_sink_events_total", bytes(status.events)),
            ("walgate_sink_bytes_total", bytes(status.bytes)),
            ("walgate_sink_failures_total", bytes(status.failures)),
            (
                "walgate_sink_dead_letters_total",
                bytes(status.dead_letters),
            ),
            ("walgate_sink_gaps_total", bytes(status.gaps)),
            (
                "walgate_sink_backlog_bytes",
                sink.backlog_bytes.map_or(f64::NAN, bytes),
            ),
            (
                "walgate_sink_last_commit_timestamp_seconds",
                commit.map_or(f64::NAN, |micros| signed(micros) / 1e6),
            ),
            (
                "walgate_sink_oldest_undelivered_timestamp_seconds",
                oldest.map_or(f64::NAN, unix),
            ),
        ];
        for (name, value) in numbers {
            self.put(name, &labels, value);
        }
    }

    fn push(&mut self, name: &str, push: &PushStats) {
        let numbers = [
            ("walgate_push_clients", push.clients as u64),
            ("walgate_push_waiting_bytes", push.waiting_bytes as u64),
            ("walgate_push_connections_total", push.connections),
            ("walgate_push_refused_total", push.refused),
            ("walgate_push_slow_total", push.slow),
            ("walgate_push_resumed_total", push.resumed),
            ("walgate_push_resyncs_total", push.resyncs),
            ("walgate_push_unencodable_total", push.unencodable),
            ("walgate_push_undecided_total", push.undecided),
            ("walgate_push_snapshots_total", push.snapshots),
            ("walgate_push_snapshot_rows_total", push.snapshot_rows),
            ("walgate_push_snapshots_failed_total", push.snapshots_failed),
            ("walgate_push_deliveries_total", push.deliveries),
        ];
        for (metric, value) in numbers {
            self.put(metric, &[("sink", name)], bytes(value));
        }
    }

    fn gateway(&mut self, gateway: Option<&GatewayStats>) {
        let gauge = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let up = gateway.map(|gateway| flag(gateway.down.is_none()));
        self.put("walgate_gateway_up", &[], gauge(up));
        let behind = gateway.and_then(|gateway| gateway.behind).map(bytes);
        self.put("walgate_gateway_behind_records", &[], gauge(behind));
        let commit = gateway.and_then(|gateway| gateway.last_commit);
        // PostgreSQL counts from 2000-01-01.
        let commit = commit.map(|commit| signed(commit.0) / 1e6 + SECONDS_1970_TO_2000);
        let name = "walgate_gateway_last_commit_timestamp_seconds";
        self.put(name, &[], gauge(commit));
        let count = |of: fn(&GatewayStats) -> u64| bytes(gateway.map_or(0, of));
        let counters = [
            ("walgate_gateway_records_total", count(|it| it.records)),
            ("walgate_gateway_passed_total", count(|it| it.repeated)),
            (
                "walgate_gateway_reconnects_total",
                count(|it| it.reconnects),
            ),
        ];
        for (name, value) in counters {
            self.put(name, &[], value);
        }
    }

    fn journal(&mut self, journal: Option<&JournalStats>) {
        let disk = journal.and_then(|journal| journal.disk.as_ref());
        let number = |on_disk: Option<u64>, in_memory: Option<usize>| {
            let in_memory = in_memory.map(|number| number as u64);
            on_disk.or(in_memory).map_or(f64::NAN, bytes)
        };
        let held = number(
            disk.map(|disk| disk.bytes),
            journal.map(|journal| journal.bytes),
        );
        self.put("walgate_journal_bytes", &[], held);
        let budget = number(
            disk.map(|disk| disk.budget_bytes),
            journal.map(|journal| journal.budget_bytes),
        );
        self.put("walgate_journal_budget_bytes", &[], budget);
        let spools = number(disk.map(|disk| disk.spool_bytes), journal.map(|_| 0));
        self.put("walgate_journal_spool_bytes", &[], spools);
        let full = journal.map_or(f64::NAN, |journal| {
            let full = disk.map_or(journal.held_back, |disk| disk.full);
            flag(full)
        });
        self.put("walgate_journal_full", &[], full);
    }

    fn looks(&mut self, sight: &Sight) {
        let looks = &sight.looks;
        let numbers = [
            (
                "walgate_watch_interval_seconds",
                looks.interval.as_secs_f64(),
            ),
            ("walgate_watch_looks_total", bytes(looks.total)),
            ("walgate_watch_failures_total", bytes(looks.failures)),
            (
                "walgate_watch_last_look_timestamp_seconds",
                looks.last.map_or(f64::NAN, unix),
            ),
            (
                "walgate_watch_look_seconds",
                looks.seconds.unwrap_or(f64::NAN),
            ),
        ];
        for (name, value) in numbers {
            self.put(name, &[], value);
        }
    }

    fn guard(&mut self, moment: &Moment) {
        let shown = &moment.shown;
        let level = shown.level.map_or(f64::NAN, f64::from);
        self.put("walgate_guard_level", &[], level);
        let mut firing = BTreeMap::<_, f64>::new();
        for alert in &shown.firing {
            let key = (alert.rule.as_str(), alert.severity);
            *firing.entry(key).or_default() += 1.0;
        }
        for ((rule, severity), count) in firing {
            let labels = [("rule", rule), ("severity", severity)];
            self.put("walgate_alert_firing", &labels, count);
        }
        for ((channel, result), count) in &shown.notifications {
            let labels = [("channel", channel.as_str()), ("result", *result)];
            self.put("walgate_alert_notifications_total", &labels, bytes(*count));
        }
    }

    pub(super) fn process(&mut self, process: &OfProcess) {
        let resident = process.resident_bytes;
        self.put("process_resident_memory_bytes", &[], resident);
        self.put("process_cpu_seconds_total", &[], process.cpu_seconds);
        self.put("process_open_fds", &[], process.open_files);
    }
}

const fn flag(yes: bool) -> f64 {
    if yes { 1.0 } else { 0.0 }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a number of Prometheus is one of these"
)]
const fn bytes(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a number of Prometheus is one of these"
)]
const fn signed(number: i64) -> f64 {
    number as f64
}

/// The part of the nearest limit that is left.
fn share(lost: bool, headroom: Option<f64>, retained: Option<u64>) -> f64 {
    match headroom {
        _ if lost => 0.0,
        None => 1.0,
        Some(left) => {
            let all = left + retained.map_or(0.0, bytes);
            if all > 0.0 { left / all } else { 0.0 }
        }
    }
}

/// Never is no limit to wait for; what can't be said is not known.
fn left(left: TimeLeft) -> f64 {
    match left {
        TimeLeft::In(time) => time.as_secs_f64(),
        TimeLeft::Never | TimeLeft::NoLimit => f64::INFINITY,
        TimeLeft::Unknown => f64::NAN,
    }
}

fn unix(time: SystemTime) -> f64 {
    let since: Duration = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs_f64()
}

/// The wall clock at an instant of this process.
fn at(moment: &Moment, then: Instant) -> f64 {
    let ago = moment.at.saturating_duration_since(then);
    moment.time.checked_sub(ago).map_or(f64::NAN, unix)
}
