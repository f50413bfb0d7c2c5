//! Every metric: its name, what it is, and what it says.

/// What a number does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows, but for a new start.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It is always 1, and its labels say something.
    Info,
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Info => "info",
        }
    }
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
}

const fn metric(
    kind: Kind,
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric {
        name,
        kind,
        labels,
        help,
    }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    metric(Kind::Gauge, name, &[], help)
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    metric(Kind::Counter, name, &[], help)
}

const fn of_slot(name: &'static str, help: &'static str) -> Metric {
    metric(Kind::Gauge, name, &["slot", "ours"], help)
}

const fn of_sink(name: &'static str, help: &'static str) -> Metric {
    metric(Kind::Gauge, name, &["sink"], help)
}

const fn sink_counter(name: &'static str, help: &'static str) -> Metric {
    metric(Kind::Counter, name, &["sink"], help)
}

/// All of them, in the order of the page.
#[rustfmt::skip]
pub(super) const METRICS: &[Metric] = &[
    metric(Kind::Info, "walgate_build_info", &["version"], "The version that runs."),
    gauge("walgate_start_timestamp_seconds", "When this process was started."),
    gauge("walgate_ready", "1 when /readyz says yes: it streams, and has room."),

    of_slot("walgate_slot_retained_wal_bytes", "Write-ahead log that the slot holds back on the server."),
    of_slot("walgate_slot_unconfirmed_bytes", "Log from what the slot has confirmed to the end."),
    of_slot("walgate_slot_lag_seconds", "Age of the oldest log that is not confirmed; 0 when only an idle server's own lies behind."),
    of_slot("walgate_slot_safe_wal_bytes", "safe_wal_size: log that can still be written before the slot is in danger of being lost."),
    of_slot("walgate_slot_headroom_bytes", "The least of safe_wal_size, budget - retained, and free disk - reserve."),
    of_slot("walgate_slot_wal_headroom_ratio", "The share of the nearest limit that is left: 1 is all, 0 is none, or lost."),
    of_slot("walgate_slot_wal_growth_bytes_per_second", "How fast what it holds back grows: the steepest of the trends of 1, 15 and 60 minutes."),
    of_slot("walgate_slot_seconds_to_limit", "Until the headroom is used up at that trend."),
    of_slot("walgate_slot_seconds_to_limit_if_stopped", "Until it is used up if the consumer stopped now, at the highest rate of 15 minutes in 24 hours."),
    metric(Kind::Gauge, "walgate_slot_wal_status", &["slot", "ours", "status"], "1 for the present wal_status: reserved, extended, unreserved or lost."),
    of_slot("walgate_slot_active", "1 when somebody uses the slot."),
    of_slot("walgate_slot_inactive_since_timestamp_seconds", "Since when nobody does."),
    of_slot("walgate_slot_catalog_xmin_age", "Transactions since the oldest whose catalog rows it keeps from VACUUM."),
    metric(Kind::Counter, "walgate_slot_spill_bytes_total", &["slot", "ours"], "Decoded changes that the server wrote to its own disk."),
    metric(Kind::Counter, "walgate_slot_stream_bytes_total", &["slot", "ours"], "Decoded changes that were sent before their commit."),
    gauge("walgate_orphan_slots", "Slots of others that nobody has used for 15 minutes and that hold back log."),
    gauge("walgate_slots_not_shown", "Slots of others beyond the 50 that hold back most, which have no series here."),

    gauge("walgate_wal_bytes_per_second", "Log that the server writes, over the last minute."),
    gauge("walgate_synchronous_standby", "1 when commits of the application wait for us: we are in synchronous_standby_names."),

    metric(Kind::Gauge, "walgate_source_state", &["state"], "1 for the present state: connecting, waiting_for_slot, streaming, down, ended or slot_lost."),
    gauge("walgate_source_last_message_timestamp_seconds", "When anything came from the server last; NaN while nothing is read because the journal has no room."),
    gauge("walgate_source_last_status_timestamp_seconds", "When the server was told our position last."),
    counter("walgate_heartbeat_sent_total", "Heartbeats that were committed on the server."),
    gauge("walgate_heartbeat_last_received_timestamp_seconds", "When one came back last."),
    gauge("walgate_heartbeat_latency_seconds", "How long that one took, from its commit to us."),
    gauge("walgate_heartbeat_due_timestamp_seconds", "Since when one should have come back and has not, or could not be written; NaN when none should, and while nothing is read because the journal has no room."),
    counter("walgate_source_reconnects_total", "Connections made after the first."),
    counter("walgate_source_received_bytes_total", "Bytes received while replicating."),
    counter("walgate_source_frames_total", "Messages of changes and transactions received."),
    counter("walgate_source_streamed_transactions_total", "Transactions that came while they ran and have committed."),
    counter("walgate_source_unstreamed_transactions_total", "Times that streaming was turned off for a transaction."),
    counter("walgate_server_notices_total", "Notices and warnings of the server while replicating."),
    gauge("walgate_publication_missing_tables", "Configured tables that no publication has."),
    counter("walgate_gaps_total", "Gaps of the source that were announced: changes that are lost for all sinks. What one sink alone has lost is in walgate_sink_gaps_total."),

    of_sink("walgate_sink_up", "1 when the sink delivers or could, 0 when it fails."),
    of_sink("walgate_sink_required", "1 when the slot waits for it."),
    sink_counter("walgate_sink_events_total", "Events that it has accepted; repeats count again."),
    sink_counter("walgate_sink_bytes_total", "Bytes of those."),
    sink_counter("walgate_sink_failures_total", "Attempts that have failed."),
    sink_counter("walgate_sink_dead_letters_total", "Events that went to the dead letters."),
    sink_counter("walgate_sink_gaps_total", "Gaps that the sink was told of and that are its own: it was released, it fell behind, or the journal was damaged."),
    of_sink("walgate_sink_backlog_bytes", "Log that was received and it has not delivered."),
    of_sink("walgate_sink_last_commit_timestamp_seconds", "Commit time of the last transaction that it was handed, by the server's clock."),
    of_sink("walgate_sink_oldest_undelivered_timestamp_seconds", "When the oldest log that it has not delivered was written; NaN when there is none."),

    of_sink("walgate_push_clients", "Clients of a sink of type websocket that follow now."),
    of_sink("walgate_push_waiting_bytes", "Memory of events that wait for its clients, which share it."),
    sink_counter("walgate_push_connections_total", "Connections that it has taken."),
    sink_counter("walgate_push_refused_total", "Connections that it has refused: too many, no right, or a request that makes no sense."),
    sink_counter("walgate_push_slow_total", "Clients that were sent away because they read too slowly."),
    sink_counter("walgate_push_resumed_total", "Clients that came back and were given what they had missed."),
    sink_counter("walgate_push_resyncs_total", "Clients whose position was not retained any more."),
    sink_counter("walgate_push_unencodable_total", "Events that were left out of a replay because they have no form as JSON."),
    sink_counter("walgate_push_undecided_total", "Changes that were kept from a client because the log does not hold what an access rule asks for."),
    sink_counter("walgate_push_snapshots_total", "Snapshots that were taken for its clients, each once for all who shared it."),
    sink_counter("walgate_push_snapshot_rows_total", "Rows of those snapshots."),
    sink_counter("walgate_push_snapshots_failed_total", "Snapshots that were refused or broke."),
    sink_counter("walgate_push_deliveries_total", "Events that were given to clients, counted for each of them, replays aside."),

    gauge("walgate_gateway_up", "1 when a gateway reaches the brokers, 0 when it does not; NaN where there is no gateway."),
    gauge("walgate_gateway_behind_records", "Records of the topic that a gateway has not read, at its last look; NaN before it."),
    gauge("walgate_gateway_last_commit_timestamp_seconds", "Commit time of the last transaction that a gateway has read, by the database's clock."),
    counter("walgate_gateway_records_total", "Records of the topic that a gateway has read."),
    counter("walgate_gateway_passed_total", "Those that it has passed over: definitions, and what the topic has twice."),
    counter("walgate_gateway_reconnects_total", "Times that a gateway has reached the brokers again."),

    gauge("walgate_journal_bytes", "What the journal holds: on disk where there is one, in memory otherwise."),
    gauge("walgate_journal_budget_bytes", "What it may hold."),
    gauge("walgate_journal_held_bytes", "What the required sink that is furthest behind keeps in the journal on disk; what is kept for replay gives way. NaN without a disk."),
    gauge("walgate_journal_spool_bytes", "Disk that transactions take that have not committed."),
    gauge("walgate_journal_full", "1 when it takes no more: the source is held back."),

    gauge("walgate_watch_interval_seconds", "[watch] interval: how often the server is looked at."),
    counter("walgate_watch_looks_total", "Looks at the server that were tried."),
    counter("walgate_watch_failures_total", "Looks that failed."),
    gauge("walgate_watch_last_look_timestamp_seconds", "The last look that went well."),
    gauge("walgate_watch_look_seconds", "How long it took, from the question to the answer."),

    gauge("walgate_guard_level", "The worst level of the guard: 0 ok, 1 warning, 2 critical, 3 emergency."),
    metric(Kind::Gauge, "walgate_alert_firing", &["rule", "severity"], "How many alerts of that rule fire; no series when none does."),
    metric(Kind::Counter, "walgate_alert_notifications_total", &["channel", "result"], "Notifications, by what became of them."),

    gauge("process_resident_memory_bytes", "Memory of this process that is in RAM."),
    counter("process_cpu_seconds_total", "Processor time of this process, user and system."),
    gauge("process_open_fds", "Files and sockets that it has open."),
];
