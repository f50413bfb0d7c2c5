//! What was found, as a value: the table shows it, and `--json` prints it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use walgate_slot::{
    Danger, HOUR, Lag, Limit, MINUTE, Observation, Provider, QUARTER, Rate, Scene, Server, Slot,
    TimeLeft,
};

use crate::ending::Ending;
use crate::watch::SlotSight;

/// How many points the line of the past has.
const PAST_POINTS: usize = 20;

/// One look.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) server: ServerReport,
    pub(crate) slots: Vec<SlotReport>,
    /// The oldest first.
    pub(crate) transactions: Vec<TransactionReport>,
    pub(crate) prepared_transactions: Vec<PreparedReport>,
    /// What this role can't see, with what would show it.
    pub(crate) unseen: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct ServerReport {
    pub(crate) endpoint: String,
    pub(crate) version: String,
    pub(crate) provider: &'static str,
    pub(crate) system_id: Option<u64>,
    pub(crate) in_recovery: bool,
    pub(crate) wal_lsn: Option<String>,
    /// Over the last 1, 15 and 60 minutes of this command; null before there are two looks.
    pub(crate) wal_bytes_per_second: BTreeMap<&'static str, Option<f64>>,
    /// The highest of 15 minutes in the last 24 hours of this command; while that is less, not less than the average.
    pub(crate) highest_wal_bytes_per_second: Option<f64>,
    /// Since the statistics of the log were reset; null for less than an hour, and on a standby.
    pub(crate) average_wal_bytes_per_second: Option<f64>,
    /// How much time the rates are from, at most.
    pub(crate) measured_seconds: f64,
    pub(crate) settings: BTreeMap<&'static str, Option<String>>,
    /// `max_slot_wal_keep_size`; null: nothing bounds what a slot holds back.
    pub(crate) keep_size_bytes: Option<u64>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct SlotReport {
    pub(crate) slot: String,
    /// It is the slot of the configuration.
    pub(crate) ours: bool,
    pub(crate) slot_type: String,
    pub(crate) plugin: Option<String>,
    pub(crate) database: Option<String>,
    /// `lost`, `unreserved`, `extended`, `creating`, `active` or `unused`.
    pub(crate) state: &'static str,
    pub(crate) active_pid: Option<i32>,
    pub(crate) consumer: Option<String>,
    pub(crate) restart_lsn: Option<String>,
    pub(crate) confirmed_flush_lsn: Option<String>,
    pub(crate) wal_status: Option<String>,
    pub(crate) invalidation_reason: Option<String>,
    pub(crate) inactive_seconds: Option<f64>,
    pub(crate) failover: bool,
    pub(crate) synced: bool,
    pub(crate) two_phase: bool,
    /// Log that it holds back; null when it holds back none.
    pub(crate) retained_bytes: Option<u64>,
    pub(crate) unconfirmed_bytes: Option<u64>,
    /// Not decoded and sent yet.
    pub(crate) unsent_bytes: Option<u64>,
    /// Age of the oldest log that is not confirmed; 0 when only an idle server's own lies behind,
    /// null where nothing is confirmed: physical slots, and those that are being created.
    pub(crate) lag_seconds: Option<f64>,
    /// The age is at least so much: the log is older than our first look.
    pub(crate) lag_is_more: bool,
    /// How fast `retained_bytes` grows, over the last 1, 15 and 60 minutes.
    pub(crate) trend_bytes_per_second: BTreeMap<&'static str, Option<f64>>,
    pub(crate) headroom_bytes: Option<u64>,
    /// `max_slot_wal_keep_size`, `budget` or `disk`.
    pub(crate) headroom_limit: Option<&'static str>,
    /// Until the headroom is used up at the steepest trend; null: never, no limit, or not known.
    pub(crate) seconds_to_limit: Option<f64>,
    /// The same if the consumer stopped now, at the highest rate.
    pub(crate) seconds_to_limit_if_stopped: Option<f64>,
    /// Until the server invalidates it for being unused.
    pub(crate) seconds_to_idle_timeout: Option<f64>,
    /// `none`, `unknown`, `near` (less than an hour) or `reached`.
    pub(crate) danger: &'static str,
    pub(crate) catalog_xmin_age: Option<i64>,
    pub(crate) spill_bytes: Option<i64>,
    pub(crate) stream_bytes: Option<i64>,
    /// In two words; `-` when nothing is held back.
    pub(crate) culprit: &'static str,
    pub(crate) why: Option<String>,
    pub(crate) fix: Option<String>,
    #[serde(skip)]
    pub(crate) at_trend: TimeLeft,
    #[serde(skip)]
    pub(crate) if_stopped: TimeLeft,
    /// What was held back, in the past, oldest first.
    #[serde(skip)]
    pub(crate) past: Vec<u64>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct TransactionReport {
    pub(crate) pid: i32,
    pub(crate) user: Option<String>,
    pub(crate) application: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) seconds: Option<f64>,
    /// Transactions since it wrote first; null when it has written nothing.
    pub(crate) xid_age: Option<i64>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct PreparedReport {
    pub(crate) gid: String,
    pub(crate) owner: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) seconds: Option<f64>,
}

impl Report {
    /// `slots` is what follows for each slot of the scene.
    pub(crate) fn new(server: &Server, scene: &Scene<'_>, slots: &[SlotSight]) -> Self {
        let seen = scene.seen;
        Self {
            server: server_report(server, scene),
            slots: seen
                .slots
                .iter()
                .zip(slots)
                .map(|(slot, sight)| slot_report(scene, slot, sight))
                .collect(),
            transactions: seen
                .transactions
                .iter()
                .map(|open| TransactionReport {
                    pid: open.pid,
                    user: open.usename.clone(),
                    application: open.application_name.clone(),
                    database: open.datname.clone(),
                    seconds: open.seconds,
                    xid_age: open.xid_age,
                })
                .collect(),
            prepared_transactions: seen
                .prepared
                .iter()
                .map(|prepared| PreparedReport {
                    gid: prepared.gid.clone(),
                    owner: prepared.owner.clone(),
                    database: prepared.database.clone(),
                    seconds: prepared.seconds,
                })
                .collect(),
            unseen: unseen(server, seen),
        }
    }

    /// One JSON object on a line.
    pub(crate) fn json(&self) -> Result<String, Ending> {
        let text = serde_json::to_string(self)
            .map_err(|error| Ending::other(format!("what was found is no JSON: {error}")))?;
        Ok(text + "\n")
    }
}

fn unseen(server: &Server, seen: &Observation) -> Vec<String> {
    let mut unseen = server.unseen();
    if seen.statements_left_out {
        unseen.push("the statements of sessions: one of them is no UTF-8".to_owned());
    }
    unseen
}

fn server_report(server: &Server, scene: &Scene<'_>) -> ServerReport {
    let Observation { settings, .. } = scene.seen;
    let rate = |window| scene.history.wal_rate(window);
    let speed = |rate: Option<Rate>| rate.map(|rate| rate.bytes_per_second);
    let settings_shown = [
        ("max_slot_wal_keep_size", &settings.max_slot_wal_keep_size),
        ("wal_keep_size", &settings.wal_keep_size),
        ("max_wal_size", &settings.max_wal_size),
        ("wal_sender_timeout", &settings.wal_sender_timeout),
        (
            "idle_replication_slot_timeout",
            &settings.idle_replication_slot_timeout,
        ),
        ("max_replication_slots", &settings.max_replication_slots),
        ("max_wal_senders", &settings.max_wal_senders),
        ("wal_level", &settings.wal_level),
        (
            "synchronized_standby_slots",
            &settings.synchronized_standby_slots,
        ),
    ];
    ServerReport {
        endpoint: server.endpoint.clone(),
        version: server.version.clone(),
        provider: provider(server.provider),
        system_id: server.system_id,
        in_recovery: scene.seen.in_recovery,
        wal_lsn: scene.seen.wal_lsn.map(|lsn| lsn.to_string()),
        wal_bytes_per_second: windows(|window| speed(rate(window))),
        highest_wal_bytes_per_second: speed(scene.history.highest_rate()),
        average_wal_bytes_per_second: scene
            .seen
            .average
            .and_then(|average| average.bytes_per_second()),
        measured_seconds: scene.history.span().as_secs_f64(),
        settings: settings_shown
            .into_iter()
            .map(|(name, value)| (name, value.clone()))
            .collect(),
        keep_size_bytes: settings.keep_size_bytes(),
    }
}

fn windows(value: impl Fn(Duration) -> Option<f64>) -> BTreeMap<&'static str, Option<f64>> {
    [("1m", MINUTE), ("15m", QUARTER), ("60m", HOUR)]
        .into_iter()
        .map(|(name, window)| (name, value(window)))
        .collect()
}

fn slot_report(scene: &Scene<'_>, slot: &Slot, sight: &SlotSight) -> SlotReport {
    let seen = scene.seen;
    let SlotSight {
        forecast: ahead,
        culprit,
        ..
    } = sight;
    let (lag_seconds, lag_is_more) = lag(sight.lag);
    let statistics = seen.statistics(&slot.name);
    let seconds = |left: TimeLeft| left.time().map(|time| time.as_secs_f64());
    SlotReport {
        slot: slot.name.clone(),
        ours: culprit.ours,
        slot_type: slot.slot_type.clone(),
        plugin: slot.plugin.clone(),
        database: slot.database.clone(),
        state: state(slot),
        active_pid: slot.active_pid,
        consumer: slot.holder(),
        restart_lsn: slot.restart_lsn.map(|lsn| lsn.to_string()),
        confirmed_flush_lsn: slot.confirmed_flush_lsn.map(|lsn| lsn.to_string()),
        wal_status: slot.wal_status.clone(),
        invalidation_reason: slot.lost().map(str::to_owned),
        inactive_seconds: slot.inactive_seconds,
        failover: slot.failover,
        synced: slot.synced,
        two_phase: slot.two_phase,
        retained_bytes: seen.retained_bytes(slot),
        unconfirmed_bytes: seen.unconfirmed_bytes(slot),
        unsent_bytes: seen.unsent_bytes(slot),
        lag_seconds,
        lag_is_more,
        trend_bytes_per_second: windows(|window| scene.history.trend(&slot.name, window)),
        headroom_bytes: ahead.headroom.map(|headroom| headroom.bytes),
        headroom_limit: ahead.headroom.map(|headroom| match headroom.limit {
            Limit::KeepSize => "max_slot_wal_keep_size",
            Limit::Budget => "budget",
            Limit::Disk => "disk",
        }),
        seconds_to_limit: seconds(ahead.at_trend),
        seconds_to_limit_if_stopped: seconds(ahead.if_stopped),
        seconds_to_idle_timeout: ahead.idle_left.map(|left| left.as_secs_f64()),
        danger: danger(ahead.danger),
        catalog_xmin_age: slot.catalog_xmin_age,
        spill_bytes: statistics.map(|row| row.spill_bytes),
        stream_bytes: statistics.map(|row| row.stream_bytes),
        culprit: culprit.word(),
        why: culprit.sentence(),
        fix: culprit.fix(),
        at_trend: ahead.at_trend,
        if_stopped: ahead.if_stopped,
        past: past(scene, &slot.name),
    }
}

/// Seconds, and whether it is more; no seconds where nothing is confirmed: that is not known.
pub(crate) fn lag(lag: Option<Lag>) -> (Option<f64>, bool) {
    match lag {
        None => (None, false),
        Some(Lag::None) => (Some(0.0), false),
        Some(Lag::About(time)) => (Some(time.as_secs_f64()), false),
        Some(Lag::AtLeast(time)) => (Some(time.as_secs_f64()), true),
    }
}

pub(crate) fn state(slot: &Slot) -> &'static str {
    match slot.wal_status.as_deref() {
        _ if slot.lost().is_some() => "lost",
        Some("unreserved") => "unreserved",
        Some("extended") => "extended",
        _ if slot.is_logical() && slot.active && slot.confirmed_flush_lsn.is_none() => "creating",
        _ if slot.active => "active",
        _ => "unused",
    }
}

pub(crate) const fn danger(danger: Danger) -> &'static str {
    match danger {
        Danger::None => "none",
        Danger::Unknown => "unknown",
        Danger::Near => "near",
        Danger::Reached => "reached",
    }
}

pub(crate) const fn provider(provider: Provider) -> &'static str {
    match provider {
        Provider::Rds => "rds",
        Provider::Aurora => "aurora",
        Provider::CloudSql => "cloud_sql",
        Provider::Azure => "azure",
        Provider::SelfManaged => "self_managed",
    }
}

/// The highest of each of [`PAST_POINTS`] equal parts of the time that was watched.
fn past(scene: &Scene<'_>, slot: &str) -> Vec<u64> {
    let points: Vec<_> = scene.history.retained(slot).collect();
    let (Some((first, _)), Some((last, _))) = (points.first(), points.last()) else {
        return Vec::new();
    };
    let span = last.duration_since(*first).as_secs_f64().max(1e-3);
    let mut past = vec![None; PAST_POINTS];
    for (at, retained) in &points {
        let share = at.duration_since(*first).as_secs_f64() / span;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of 0 to 1 of 20"
        )]
        let part = ((share * PAST_POINTS as f64) as usize).min(PAST_POINTS - 1);
        if let Some(highest) = past.get_mut(part) {
            *highest = (*highest).max(Some(*retained));
        }
    }
    // Where there was no look, it was as before.
    let mut before = 0;
    past.into_iter()
        .map(|highest| {
            before = highest.unwrap_or(before);
            before
        })
        .collect()
}
