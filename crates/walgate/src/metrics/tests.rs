use std::collections::BTreeSet;
use std::time::{Duration, Instant, SystemTime};

use prometheus_parse::{Scrape, Value};
use walgate_journal::{Journal, JournalStats};
use walgate_pipeline::{Demand, SinkState, SinkStatus};
use walgate_replication::{HeartbeatState, SourceMonitor};
use walgate_sink_websocket::PushStats;
use walgate_slot::{Lag, Limits, Observation, Scene, Server, Slot};

use super::list::METRICS;
use super::*;
use crate::config::Config;
use crate::watch::{Firing, Instance, Looks, Shown, SinkSight, View};

/// A service that has just been started.
fn fresh() -> Sight {
    let mut config = Config::default();
    let sink = "type = \"stdout\"\nrequired = true";
    let sink: crate::config::Sink = toml::from_str(sink).expect("a sink");
    config.sinks.insert("out".to_owned(), sink);
    let instance = Instance::new(&config, SourceMonitor::new());
    Sight {
        moment: instance.moment(&walgate_slot::History::new()),
        looks: Looks {
            interval: Duration::from_secs(5),
            ..Looks::default()
        },
        view: None,
    }
}

fn numbers(page: &str) -> Vec<(String, prometheus_parse::Labels, f64)> {
    let lines = page.lines().map(|line| Ok(line.to_owned()));
    let scrape = Scrape::parse(lines).expect("a page that Prometheus reads");
    let samples = scrape.samples.into_iter().map(|sample| {
        let value = match sample.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => value,
            other => panic!("{}: {other:?}", sample.metric),
        };
        (sample.metric, sample.labels, value)
    });
    samples.collect()
}

fn value(page: &str, name: &str, label: Option<(&str, &str)>) -> f64 {
    let of = |(metric, labels, _): &&(String, prometheus_parse::Labels, f64)| {
        metric == name && label.is_none_or(|(label, value)| labels.get(label) == Some(value))
    };
    let numbers = numbers(page);
    let found: Vec<_> = numbers.iter().filter(of).collect();
    assert_eq!(found.len(), 1, "{name} {label:?} in {page}");
    found[0].2
}

#[test]
fn before_the_first_look_nothing_would_page() {
    let page = page(&fresh(), Format::Prometheus);
    for (name, labels, value) in numbers(&page) {
        let ok = match name.as_str() {
            name if name.ends_with("_total") && name.starts_with("walgate") => value == 0.0,
            "walgate_slot_wal_headroom_ratio" | "walgate_build_info" => value == 1.0,
            "walgate_sink_required" | "walgate_start_timestamp_seconds" => value >= 1.0,
            "walgate_source_state" => {
                let connecting = labels.get("state") == Some("connecting");
                value == f64::from(u8::from(connecting))
            }
            "walgate_watch_interval_seconds" => value == 5.0,
            "walgate_ready" | "walgate_publication_missing_tables" => value == 0.0,
            name if name.starts_with("process_") => true,
            _ => value.is_nan(),
        };
        assert!(ok, "{name} {labels:?} = {value}");
    }
    assert!(!page.contains("alert_firing{"), "{page}");
}

fn slot(name: &str, retained: u64) -> Slot {
    let mut slot = Slot::default();
    name.clone_into(&mut slot.name);
    "logical".clone_into(&mut slot.slot_type);
    slot.restart_lsn = Some(walgate_core::Lsn((1 << 40) - retained));
    slot.confirmed_flush_lsn = slot.restart_lsn;
    slot.wal_status = Some("extended".into());
    slot
}

fn server() -> Server {
    Server {
        version_num: 170_010,
        version: "17.10".to_owned(),
        role: "walgate".to_owned(),
        database: "shop".to_owned(),
        sees_everything: true,
        may_replicate: true,
        system_id: Some(1),
        provider: walgate_slot::Provider::SelfManaged,
        endpoint: "db:5432".to_owned(),
        encrypted: false,
    }
}

/// One of everything, with names that want to break out of their quotes.
fn busy(slots: usize) -> Sight {
    let mut sight = fresh();
    let mut seen = Observation::default();
    seen.wal_lsn = Some(walgate_core::Lsn(1 << 40));
    let mut ours = slot("walgate", 300 << 20);
    ours.safe_wal_size = Some(100 << 20);
    ours.active = true;
    ours.active_pid = Some(7);
    seen.slots.push(ours);
    for place in 0..slots {
        seen.slots.push(slot(&format!("other\"{place}\\"), 1 << 20));
    }
    let mut spilled = walgate_slot::SlotStatistics::default();
    "walgate".clone_into(&mut spilled.name);
    spilled.spill_bytes = 4096;
    seen.statistics.push(spilled);
    let now = sight.moment.at;
    let mut history = walgate_slot::History::new();
    history.record(now, &seen, None);
    let ours = [walgate_slot::OurSlot {
        name: "walgate".to_owned(),
        sinks: Vec::new(),
    }];
    let scene = Scene {
        seen: &seen,
        history: &history,
        now,
        ours: &ours,
        hide_queries: false,
    };
    let view = View::new(&server(), &scene, Limits::default(), SystemTime::now());
    sight.view = Some(std::sync::Arc::new(view));
    let mut status = SinkStatus::starting("k", Demand::Optional);
    status.state = SinkState::Retrying;
    status.events = 12;
    sight.moment.sinks.push(SinkSight {
        status,
        undelivered: Some(true),
        backlog_bytes: Some(4096),
        oldest: Some(Lag::About(Duration::from_secs(90))),
    });
    let push = PushStats {
        clients: 3,
        ..PushStats::default()
    };
    sight.moment.pushes.push(("p".to_owned(), push));
    let journal = Journal::in_memory(1 << 20, walgate_core::Position::ZERO);
    let stats: JournalStats = journal.stats();
    let begin = Instant::now();
    let mut beats = HeartbeatState::default();
    beats.written = 3;
    beats.due = begin.checked_sub(Duration::from_secs(60));
    beats.latency = Some(Duration::from_millis(250));
    sight.moment.heartbeat = Some(beats);
    sight.moment.journal = Some(stats);
    sight.moment.shown = Shown {
        level: Some(2),
        firing: ["a", "b"]
            .map(|about| Firing {
                rule: "lag".to_owned(),
                severity: "critical",
                about: Some(about.to_owned()),
                since: SystemTime::now(),
                summary: "late".to_owned(),
            })
            .to_vec(),
        notifications: [(("hook".to_owned(), "sent"), 3)].into(),
    };
    sight
}

#[test]
fn what_can_not_be_seen_any_more_is_not_well() {
    let mut sight = busy(1);
    let ours = Some(("ours", "true"));
    let seen = page(&sight, Format::Prometheus);
    sight.moment.at += Duration::from_secs(3600);
    let blind = page(&sight, Format::Prometheus);
    let ratio = "walgate_slot_wal_headroom_ratio";
    assert_eq!(value(&seen, ratio, ours), 0.25);
    assert!(value(&blind, ratio, ours).is_nan());
    let spilled = "walgate_slot_spill_bytes_total";
    assert_eq!(value(&seen, spilled, ours), 4096.0);
    assert_eq!(value(&blind, spilled, ours), 4096.0, "a counter");
}

#[test]
fn what_is_known_is_there_in_both_formats() {
    let sight = busy(1);
    let page = page(&sight, Format::Prometheus);
    let ours = Some(("ours", "true"));
    let of = |name: &str, label| value(&page, name, label);
    assert_eq!(of("walgate_slot_retained_wal_bytes", ours), 314_572_800.0);
    assert_eq!(of("walgate_slot_wal_headroom_ratio", ours), 0.25);
    assert_eq!(of("walgate_slot_headroom_bytes", ours), 104_857_600.0);
    let other = Some(("ours", "false"));
    assert_eq!(of("walgate_slot_headroom_bytes", other), f64::INFINITY);
    assert_eq!(of("walgate_slot_seconds_to_limit", other), f64::INFINITY);
    assert_eq!(of("walgate_slot_wal_headroom_ratio", other), 1.0);
    let kafka = Some(("sink", "k"));
    assert_eq!(of("walgate_sink_up", kafka), 0.0);
    assert_eq!(of("walgate_sink_events_total", kafka), 12.0);
    let oldest = of("walgate_sink_oldest_undelivered_timestamp_seconds", kafka);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.expect("a time").as_secs_f64();
    let age = now - oldest;
    assert!((89.0..600.0).contains(&age), "{age}");
    assert_eq!(of("walgate_alert_firing", Some(("rule", "lag"))), 2.0);
    assert_eq!(of("walgate_alert_notifications_total", None), 3.0);
    assert_eq!(of("walgate_journal_budget_bytes", None), 1_048_576.0);

    let beat = "walgate_heartbeat_due_timestamp_seconds";
    let due = now - of(beat, None);
    assert!((59.0..600.0).contains(&due), "{due}");
    assert_eq!(of("walgate_heartbeat_sent_total", None), 3.0);
    assert_eq!(of("walgate_heartbeat_latency_seconds", None), 0.25);

    let text = super::page(&sight, Format::OpenMetrics);
    assert!(text.ends_with("# EOF\n"));
    for part in [
        "# TYPE walgate_sink_events counter\n",
        "walgate_sink_events_total{sink=\"k\"} 12\n",
        "# TYPE walgate_build info\n",
        "walgate_slot_headroom_bytes{slot=\"other\\\"0\\\\\",ours=\"false\"} +Inf\n",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    assert!(!text.contains("# TYPE walgate_sink_events_total"), "{text}");
    // The same samples.
    let samples = |page: &str| {
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let kept = lines.filter(|line| !line.starts_with("process_"));
        kept.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(samples(&text), samples(&page));
}

#[test]
fn every_metric_is_in_the_list_with_its_labels_and_none_is_in_vain() {
    let page = page(&busy(1), Format::Prometheus);
    let mut samples = Samples::default();
    samples.sight(&busy(1));
    samples.process(&OfProcess::now());
    let collected: BTreeSet<_> = samples.names().into_iter().collect();
    let listed: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(collected, listed);
    for metric in METRICS {
        for sample in samples.of(metric.name) {
            let labels: Vec<_> = sample.labels.iter().map(|(label, _)| *label).collect();
            assert_eq!(labels, metric.labels, "{}", metric.name);
        }
        assert!(page.contains(&format!("# HELP {} ", metric.name)));
    }
}

#[test]
fn the_number_of_series_is_bounded() {
    let page = page(&busy(1000), Format::Prometheus);
    assert_eq!(value(&page, "walgate_slots_not_shown", None), 950.0);
    assert!(numbers(&page).len() < 1200, "{}", numbers(&page).len());
}

#[test]
fn a_look_that_is_long_ago_says_nothing_any_more() {
    let mut sight = busy(1);
    sight.moment.at = Instant::now() + Duration::from_secs(60);
    let page = page(&sight, Format::Prometheus);
    let ours = Some(("ours", "true"));
    assert!(value(&page, "walgate_slot_retained_wal_bytes", ours).is_nan());
    assert!(!page.contains("slot=\"other"), "{page}");
}

/// The table of METRICS.md.
fn table() -> String {
    let mut table = String::from("| metric | kind | labels | meaning |\n|---|---|---|---|\n");
    for metric in METRICS {
        let labels: Vec<_> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        table.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            metric.name,
            metric.kind.name(),
            labels.join(" "),
            metric.help
        ));
    }
    table
}

#[test]
fn the_document_has_the_same_list() {
    let document = include_str!("../../METRICS.md");
    let table = table();
    assert!(document.contains(&table), "METRICS.md should have\n{table}");
}
