//! What following has cost the source.

use serde::{Deserialize, Serialize};

use crate::statistics::Estimate;

/// The name of the measurement in which nobody follows.
pub(crate) const NOBODY: &str = "nobody";

/// The name of the baseline.
pub(crate) const BASELINE: &str = "bare receiver";

/// All measurements.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Costs {
    /// What it was measured on.
    pub(crate) machine: String,
    /// Programs and libraries with their versions.
    pub(crate) versions: Vec<String>,
    /// Transactions a second.
    pub(crate) rate: u32,
    /// pgbench's.
    pub(crate) scale: u32,
    /// In the order of the runs.
    pub(crate) figures: Vec<Cost>,
}

/// One contender in one round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// The name.
    pub(crate) contender: String,
    /// From 1 on.
    pub(crate) round: usize,
    /// Transactions that pgbench has done.
    pub(crate) transactions: u32,
    /// What the contender has handed over: changes, or rows that were inserted.
    pub(crate) delivered: u64,
    /// User and system time of all of PostgreSQL, in seconds.
    pub(crate) source_cpu_s: f64,
    /// User and system time of the contender, in seconds.
    pub(crate) client_cpu_s: Option<f64>,
    /// The contender's largest resident memory, in bytes.
    pub(crate) peak_memory_bytes: Option<u64>,
}

impl Cost {
    /// CPU of all of PostgreSQL for a transaction, in microseconds.
    fn source_us(&self) -> f64 {
        self.source_cpu_s * 1e6 / f64::from(self.transactions)
    }

    /// For whoever waits.
    pub(crate) fn line(&self) -> String {
        format!(
            "round {}: {:20} {:6.0} µs of PostgreSQL's CPU for a transaction",
            self.round,
            self.contender,
            self.source_us()
        )
    }
}

impl Costs {
    fn of<'a>(&'a self, contender: &'a str) -> impl Iterator<Item = &'a Cost> {
        self.figures
            .iter()
            .filter(move |own| own.contender == contender)
    }

    /// Each contender once, in the order of the runs.
    pub(crate) fn contenders(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for cost in &self.figures {
            if !names.contains(&cost.contender.as_str()) {
                names.push(cost.contender.as_str());
            }
        }
        names
    }

    /// How many times the CPU of the source with another contender, round by round.
    pub(crate) fn source_over(&self, contender: &str, other: &str) -> Option<Estimate> {
        let pairs = self.of(contender).zip(self.of(other));
        Estimate::of_ratios(pairs.map(|(own, other)| (own.source_us(), other.source_us())))
    }

    /// A table.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!(
            "pgbench at {} transactions a second, scale {}.\n\n\
             | | of the bare receiver's | of nobody's | PostgreSQL's CPU for a transaction, µs | client's, µs | peak MiB |\n|---|---|---|---|---|---|\n",
            self.rate, self.scale
        );
        for contender in self.contenders() {
            let source = Estimate::of(self.of(contender).map(Cost::source_us));
            let client = self
                .of(contender)
                .filter_map(|own| Some(own.client_cpu_s? * 1e6 / f64::from(own.transactions)));
            let peak = self
                .of(contender)
                .filter_map(|own| own.peak_memory_bytes)
                .max();
            let text_of =
                |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.0}"));
            text += &format!(
                "| {contender} | {} | {} | {} | {} | {} |\n",
                crate::markdown::estimate(self.source_over(contender, BASELINE), 3),
                crate::markdown::estimate(self.source_over(contender, NOBODY), 3),
                text_of(source.map(|own| own.median)),
                text_of(Estimate::of(client).map(|own| own.median)),
                text_of(peak.map(|peak| peak as f64 / f64::from(1 << 20))),
            );
        }
        text
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A measurement of a thousand transactions.
    pub(crate) fn cost(contender: &str, round: usize, source_cpu_s: f64) -> Cost {
        Cost {
            contender: contender.to_owned(),
            round,
            transactions: 1_000,
            delivered: 4_000,
            source_cpu_s,
            client_cpu_s: None,
            peak_memory_bytes: None,
        }
    }

    #[test]
    fn costs_are_compared_within_a_round() {
        let costs = Costs {
            machine: String::new(),
            versions: Vec::new(),
            rate: 100,
            scale: 1,
            // The second round was on a slower machine.
            figures: vec![
                cost(NOBODY, 1, 0.5),
                cost(BASELINE, 1, 1.0),
                cost("walgate to stdout", 1, 1.01),
                cost(NOBODY, 2, 1.0),
                cost(BASELINE, 2, 2.0),
                cost("walgate to stdout", 2, 2.02),
            ],
        };
        let over = costs
            .source_over("walgate to stdout", BASELINE)
            .expect("both ran");
        assert!((over.low - 1.01).abs() < 1e-9 && (over.high - 1.01).abs() < 1e-9);
        let page = costs.markdown();
        assert!(
            page.contains("| nobody | 0.500 | 1.000 | 750 |  |  |"),
            "{page}"
        );
    }
}
