//! The dashboard of Grafana.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{content, metrics_in, read, tool};

/// Metrics that Walgate has.
pub(super) fn known_metrics() -> Result<BTreeSet<String>> {
    metrics_in(METRICS)
}

fn panels() -> Result<Vec<Value>> {
    let dashboard: Value = serde_json::from_str(&read("grafana/walgate.json")?)?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    ensure!(panels.len() > 40, "the panels were not found");
    Ok(panels.clone())
}

/// Every expression, with the title of its panel.
fn expressions() -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for panel in panels()? {
        let title = panel["title"].as_str().context("a title")?;
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().context("an expression")?;
            found.push((title.to_owned(), expression.to_owned()));
        }
    }
    Ok(found)
}

#[test]
fn every_metric_in_it_exists() -> Result<()> {
    let known = known_metrics()?;
    for (title, expression) in expressions()? {
        for metric in metrics_in(&expression)? {
            ensure!(known.contains(&metric), "{title}: no metric {metric}");
        }
    }
    Ok(())
}

#[test]
fn every_metric_is_in_it() -> Result<()> {
    let dashboard = read("grafana/walgate.json")?;
    let shown = metrics_in(&dashboard)?;
    let missing: Vec<_> = known_metrics()?.difference(&shown).cloned().collect();
    ensure!(missing.is_empty(), "no panel shows {missing:?}");
    Ok(())
}

#[test]
fn every_expression_is_promql() -> Result<()> {
    let mut rules = "groups:\n  - name: panels\n    rules:\n".to_owned();
    for (number, (title, expression)) in expressions()?.into_iter().enumerate() {
        let expression = expression.replace("$__rate_interval", "5m");
        rules.push_str(&format!(
            "      # {title}\n      - record: panel_{number}\n        expr: {}\n",
            serde_json::to_string(&expression)?
        ));
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("panels.yml");
    std::fs::write(&file, rules)?;
    content(tool("promtool")?.args(["check", "rules"]).arg(file))?;
    Ok(())
}

#[test]
fn no_panel_hides_another() -> Result<()> {
    let mut seen = BTreeSet::new();
    let mut used = BTreeSet::new();
    for panel in panels()? {
        let title = &panel["title"];
        ensure!(
            seen.insert(panel["id"].as_u64()),
            "{title}: its id is used twice"
        );
        let place = |name: &str| panel["gridPos"][name].as_u64().context("a place");
        let (left, top) = (place("x")?, place("y")?);
        ensure!(left + place("w")? <= 24, "{title}: wider than the page");
        for x in left..left + place("w")? {
            for y in top..top + place("h")? {
                ensure!(used.insert((x, y)), "{title}: over another one at {x}, {y}");
            }
        }
    }
    Ok(())
}

const METRICS: &str = "
walgate_build_info walgate_start_timestamp_seconds walgate_ready
walgate_slot_retained_wal_bytes walgate_slot_unconfirmed_bytes walgate_slot_lag_seconds
walgate_slot_safe_wal_bytes walgate_slot_headroom_bytes walgate_slot_wal_headroom_ratio
walgate_slot_wal_growth_bytes_per_second walgate_slot_seconds_to_limit
walgate_slot_seconds_to_limit_if_stopped walgate_slot_wal_status walgate_slot_active
walgate_slot_inactive_since_timestamp_seconds walgate_slot_catalog_xmin_age
walgate_slot_spill_bytes_total walgate_slot_stream_bytes_total walgate_orphan_slots
walgate_slots_not_shown walgate_wal_bytes_per_second walgate_synchronous_standby
walgate_source_state walgate_source_last_message_timestamp_seconds
walgate_source_last_status_timestamp_seconds walgate_source_reconnects_total
walgate_source_received_bytes_total walgate_source_frames_total
walgate_source_streamed_transactions_total walgate_source_unstreamed_transactions_total
walgate_server_notices_total walgate_publication_missing_tables walgate_gaps_total
walgate_sink_up walgate_sink_required walgate_sink_events_total walgate_sink_bytes_total
walgate_sink_failures_total walgate_sink_dead_letters_total walgate_sink_backlog_bytes
walgate_sink_last_commit_timestamp_seconds walgate_sink_oldest_undelivered_timestamp_seconds
walgate_journal_bytes walgate_journal_budget_bytes walgate_journal_spool_bytes
walgate_journal_full walgate_watch_looks_total walgate_watch_failures_total
walgate_watch_last_look_timestamp_seconds walgate_watch_look_seconds walgate_guard_level
walgate_alert_firing walgate_alert_notifications_total process_resident_memory_bytes
process_cpu_seconds_total process_open_fds";
