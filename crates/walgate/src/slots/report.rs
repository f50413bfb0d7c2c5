//! What was found, as a value: the table shows it, and `--json` prints it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use walgate_slot::{
    Culprit, Danger, Forecast, HOUR, Lag, Limit, Limits, MINUTE, Observation, Provider, QUARTER,
    Rate, Scene, Server, Slot, TimeLeft, culprit, forecast,
};

use crate::ending::Ending;

/// How many points the line of the past has.
const PAST_POINTS: usize = 20;

/// One look.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) server: ServerReport,
    pub(super) slots: Vec<SlotReport>,
    /// The oldest first.
    pub(super) transactions: Vec<TransactionReport>,
    pub(super) prepared_transactions: Vec<PreparedReport>,
    /// What this role can't see, with what would show it.
    pub(super) unseen: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct ServerReport {
    pub(super) endpoint: String,
    pub(super) version: String,
    pub(super) provider: &'static str,
    pub(super) system_id: Option<u64>,
    pub(super) in_recovery: bool,
    pub(super) wal_lsn: Option<String>,
    /// Over the last 1, 15 and 60 minutes of this command; null before there are two looks.
    pub(super) wal_bytes_per_second: BTreeMap<&'static str, Option<f64>>,
    /// The highest of 15 minutes in the last 24 hours of this command; while that is less, not less than the average.
    pub(super) highest_wal_bytes_per_second: Option<f64>,
    /// Since the statistics of the log were reset; null for less than an hour, and on a standby.
    pub(super) average_wal_bytes_per_second: Option<f64>,
    /// How much time the rates are from, at most.
    pub(super) measured_seconds: f64,
    pub(super) settings: BTreeMap<&'static str, Option<String>>,
    /// `max_slot_wal_keep_size`; null: nothing bounds what a slot holds back.
    pub(super) keep_size_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct SlotReport {
    pub(super) slot: String,
    /// It is the slot of the configuration.
    pub(super) ours: bool,
    pub(super) slot_type: String,
    pub(super) plugin: Option<String>,
    pub(super) database: Option<String>,
    /// `lost`, `unreserved`, `extended`, `creating`, `active` or `unused`.
    pub(super) state: &'static str,
    pub(super) active_pid: Option<i32>,
    pub(super) consumer: Option<String>,
    pub(super) restart_lsn: Option<String>,
    pub(super) confirmed_flush_lsn: Option<String>,
    pub(super) wal_status: Option<String>,
    pub(super) invalidation_reason: Option<String>,
    pub(super) inactive_seconds: Option<f64>,
    pub(super) failover: bool,
    pub(super) synced: bool,
    pub(super) two_phase: bool,
    /// Log that it holds back; null when it holds back none.
    pub(super) retained_bytes: Option<u64>,
    pub(super) unconfirmed_bytes: Option<u64>,
    /// Not decoded and sent yet.
    pub(super) unsent_bytes: Option<u64>,
    /// Age of the oldest log that is not confirmed; 0 when only an idle server's own lies behind,
    /// null where nothing is confirmed: physical slots, and those that are being created.
    pub(super) lag_seconds: Option<f64>,
    /// The age is at least so much: the log is older than our first look.
    pub(super) lag_is_more: bool,
    /// How fast `retained_bytes` grows, over the last 1, 15 and 60 minutes.
    pub(super) trend_bytes_per_second: BTreeMap<&'static str, Option<f64>>,
    pub(super) headroom_bytes: Option<u64>,
    /// `max_slot_wal_keep_size`, `budget` or `disk`.
    pub(super) headroom_limit: Option<&'static str>,
    /// Until the headroom is used up at the steepest trend; null: never, no limit, or not known.
    pub(super) seconds_to_limit: Option<f64>,
    /// The same if the consumer stopped now, at the highest rate.
    pub(super) seconds_to_limit_if_stopped: Option<f64>,
    /// Until the server invalidates it for being unused.
    pub(super) seconds_to_idle_timeout: Option<f64>,
    /// `none`, `unknown`, `near` (less than an hour) or `reached`.
    pub(super) danger: &'static str,
    pub(super) catalog_xmin_age: Option<i64>,
    pub(super) spill_bytes: Option<i64>,
    pub(super) stream_bytes: Option<i64>,
    /// In two words; `-` when nothing is held back.
    pub(super) culprit: &'static str,
    pub(super) why: Option<String>,
    pub(super) fix: Option<String>,
    #[serde(skip)]
    pub(super) at_trend: TimeLeft,
    #[serde(skip)]
    pub(super) if_stopped: TimeLeft,
    /// What was held back, in the past, oldest first.
    #[serde(skip)]
    pub(super) past: Vec<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct TransactionReport {
    pub(super) pid: i32,
    pub(super) user: Option<String>,
    pub(super) application: Option<String>,
    pub(super) database: Option<String>,
    pub(super) seconds: Option<f64>,
    /// Transactions since it wrote first; null when it has written nothing.
    pub(super) xid_age: Option<i64>,
}

#[derive(Debug, Serialize)]
pub(super) struct PreparedReport {
    pub(super) gid: String,
    pub(super) owner: Option<String>,
    pub(super) database: Option<String>,
    pub(super) seconds: Option<f64>,
}

impl Report {
    pub(super) fn new(server: &Server, scene: &Scene<'_>, limits: Limits) -> Self {
        let seen = scene.seen;
        Self {
            server: server_report(server, scene),
            slots: seen
                .slots
                .iter()
                .map(|slot| slot_report(scene, slot, limits))
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
    pub(super) fn json(&self) -> Result<String, Ending> {
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

fn slot_report(scene: &Scene<'_>, slot: &Slot, limits: Limits) -> SlotReport {
    let seen = scene.seen;
    let ahead: Forecast = forecast(seen, slot, scene.history, limits);
    let culprit: Culprit = culprit(scene, slot);
    let (lag_seconds, lag_is_more) = lag(scene, slot);
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
fn lag(scene: &Scene<'_>, slot: &Slot) -> (Option<f64>, bool) {
    let (Some(confirmed), Some(_)) = (slot.confirmed_flush_lsn, scene.seen.wal_lsn) else {
        return (None, false);
    };
    match scene.history.lag(confirmed, scene.now) {
        Lag::None => (Some(0.0), false),
        Lag::About(time) => (Some(time.as_secs_f64()), false),
        Lag::AtLeast(time) => (Some(time.as_secs_f64()), true),
    }
}

fn state(slot: &Slot) -> &'static str {
    match slot.wal_status.as_deref() {
        _ if slot.lost().is_some() => "lost",
        Some("unreserved") => "unreserved",
        Some("extended") => "extended",
        _ if slot.is_logical() && slot.active && slot.confirmed_flush_lsn.is_none() => "creating",
        _ if slot.active => "active",
        _ => "unused",
    }
}

const fn danger(danger: Danger) -> &'static str {
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use walgate_slot::History;

    use super::*;

    #[test]
    fn a_slot_without_confirmations_has_no_lag_and_not_none() {
        let mut seen = Observation::default();
        seen.wal_lsn = "1/0".parse().ok();
        let mut slot = Slot::default();
        let mut history = History::new();
        let now = Instant::now();
        history.record(now, &seen, None);
        let found = |slot: &Slot| {
            let scene = Scene {
                seen: &seen,
                history: &history,
                now,
                ours: &[],
                hide_queries: false,
            };
            lag(&scene, slot)
        };
        assert_eq!(found(&slot), (None, false));
        slot.confirmed_flush_lsn = seen.wal_lsn;
        assert_eq!(found(&slot), (Some(0.0), false));
    }
}
