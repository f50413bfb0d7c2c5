//! What the fan-out comes to.

use serde::{Deserialize, Serialize};

use super::client::Seen;
use crate::statistics::Estimate;

/// One load.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    #[serde(flatten)]
    seen: Seen,
    deliveries_a_second: f64,
    /// User and system time for a million deliveries.
    server_cpu_s_a_million: f64,
    client_cpu_s_a_million: f64,
}

impl From<(Seen, f64)> for Figure {
    fn from((seen, server_cpu_s): (Seen, f64)) -> Self {
        let deliveries = seen.deliveries as f64;
        let millions = deliveries / 1e6;
        Self {
            deliveries_a_second: deliveries / seen.seconds.max(1e-6),
            server_cpu_s_a_million: server_cpu_s / millions,
            client_cpu_s_a_million: seen.cpu_s / millions,
            seen,
        }
    }
}

/// One contender in one round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) contender: String,
    pub(crate) round: usize,
    pub(crate) clients: usize,
    pub(crate) filtered: bool,
    pub(crate) idle_bytes_a_client: Option<u64>,
    pub(crate) backlog: Figure,
    pub(crate) one_at_a_time: Figure,
    pub(crate) calm: Figure,
}

impl Figures {
    /// For whoever waits.
    pub(crate) fn line(&self) -> String {
        let rate = |figure: &Figure| figure.deliveries_a_second;
        format!(
            "round {}: {} clients{}, {}: {:.0} a second with a backlog, {:.0} one at a time, p50 {} µs",
            self.round,
            self.clients,
            if self.filtered { " with filters" } else { "" },
            self.contender,
            rate(&self.backlog),
            rate(&self.one_at_a_time),
            self.calm.seen.p50_us
        )
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// All measurements.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FanOut {
    /// What it was measured on.
    pub(crate) machine: String,
    /// Programs and libraries with their versions.
    #[serde(default)]
    pub(crate) versions: Vec<String>,
    /// In the order of the runs.
    pub(crate) figures: Vec<Figures>,
}

/// A number of clients, whether they have filters, and who served them.
type Kind<'a> = (usize, bool, &'a str);

impl FanOut {
    fn of(&self, kind: Kind<'_>) -> impl Iterator<Item = &Figures> {
        self.figures
            .iter()
            .filter(move |own| (own.clients, own.filtered, own.contender.as_str()) == kind)
    }

    /// A table of the medians over rounds, and of the rounds' own ratios.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(
            "| clients | | backlog: million/s | of NOTIFY's | CPU-s a million (server + clients) | one at a time: thousand/s | \
             CPU-s a million | p50 µs | p99 | p99.9 | KiB an idle client |\n\
             |---|---|---|---|---|---|---|---|---|---|---|\n",
        );
        let mut kinds: Vec<Kind<'_>> = Vec::new();
        for own in &self.figures {
            let kind = (own.clients, own.filtered, own.contender.as_str());
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        for kind in kinds {
            text += &self.row(kind);
        }
        text
    }

    fn row(&self, kind: Kind<'_>) -> String {
        let of = |value: fn(&Figures) -> f64| median(self.of(kind).map(value).collect());
        let idle = self.of(kind).filter_map(|own| own.idle_bytes_a_client);
        let idle: Vec<f64> = idle.map(|bytes| bytes as f64 / 1024.0).collect();
        let (clients, filtered, contender) = kind;
        let beside = self.of((clients, filtered, "NOTIFY"));
        let rates = self.of(kind).zip(beside).map(|(own, other)| {
            (
                own.backlog.deliveries_a_second,
                other.backlog.deliveries_a_second,
            )
        });
        format!(
            "| {clients}{} | {contender} | {:.2} | {} | {:.2} + {:.2} | {:.0} | {:.1} + {:.1} | {:.0} | {:.0} | {:.0} | {} |\n",
            if filtered { ", filtered" } else { "" },
            of(|own| own.backlog.deliveries_a_second) / 1e6,
            crate::markdown::estimate(Estimate::of_ratios(rates), 1),
            of(|own| own.backlog.server_cpu_s_a_million),
            of(|own| own.backlog.client_cpu_s_a_million),
            of(|own| own.one_at_a_time.deliveries_a_second) / 1e3,
            of(|own| own.one_at_a_time.server_cpu_s_a_million),
            of(|own| own.one_at_a_time.client_cpu_s_a_million),
            of(|own| own.calm.seen.p50_us as f64),
            of(|own| own.calm.seen.p99_us as f64),
            of(|own| own.calm.seen.p999_us as f64),
            match idle.is_empty() {
                true => String::new(),
                false => format!("{:.1}", median(idle)),
            },
        )
    }
}
