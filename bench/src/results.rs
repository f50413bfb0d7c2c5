//! What was measured, as it is stored, and what follows from it.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cost::figures::Costs;
use crate::fan_out::figures::FanOut;
use crate::instructions::Instructions;
use crate::measure::Figure;
use crate::outage::report::Outage;
use crate::rates::figures::Rates;
use crate::soak::figures::Soak;
use crate::statistics::Estimate;

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// Drains, by what they vary.
    pub(crate) drains: Vec<Drains>,
    /// Steady rates.
    pub(crate) rates: Option<Rates>,
    /// The cost on the source.
    pub(crate) costs: Option<Costs>,
    /// One stream to many clients.
    pub(crate) fan_out: Option<FanOut>,
    /// Decoding and encoding alone.
    pub(crate) instructions: Option<Instructions>,
    /// Kafka away.
    pub(crate) outage: Option<Outage>,
    /// An hour under load.
    pub(crate) soak: Option<Soak>,
}

/// The files of drains in a folder of results.
pub(crate) const DRAINS: [&str; 3] = ["drain.json", "ways.json", "works.json"];

impl Measured {
    /// Reads what a folder of results holds.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let mut drains = Vec::new();
        for name in DRAINS {
            drains.extend(read(&folder.join(name))?);
        }
        Ok(Self {
            drains,
            rates: read(&folder.join("rates.json"))?,
            costs: read(&folder.join("cost.json"))?,
            fan_out: read(&folder.join("fan-out.json"))?,
            instructions: read(&folder.join("instructions.json"))?,
            outage: read(&folder.join("outage.json"))?,
            soak: read(&folder.join("soak.json"))?,
        })
    }
}

/// Drains of backlogs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Drains {
    /// What it was measured on.
    pub(crate) machine: String,
    /// Programs and libraries with their versions.
    pub(crate) versions: Vec<String>,
    /// Each kind of work, in the order of the runs.
    pub(crate) works: Vec<Drained>,
}

/// One backlog, drained by several contenders.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Drained {
    /// Which work, and how the server was reached where that is not TCP.
    pub(crate) work: String,
    /// Changes in it.
    pub(crate) changes: u64,
    /// Bytes of WAL.
    pub(crate) wal_bytes: i64,
    /// Names.
    pub(crate) contenders: Vec<String>,
    /// For each round the figures of all contenders, in their order.
    pub(crate) rounds: Vec<Vec<Figure>>,
}

impl Drained {
    fn place(&self, contender: &str) -> Option<usize> {
        self.contenders.iter().position(|name| name == contender)
    }

    /// The figures of one contender in all rounds.
    fn figures(&self, contender: &str) -> impl Iterator<Item = &Figure> {
        let place = self.place(contender);
        self.rounds
            .iter()
            .filter_map(move |round| round.get(place?))
    }

    /// How many times the rate of `other` a contender has, round by round.
    pub(crate) fn rate_over(&self, contender: &str, other: &str) -> Option<Estimate> {
        let pairs = self.figures(other).zip(self.figures(contender));
        Estimate::of_ratios(pairs.map(|(other, own)| (other.wall_s, own.wall_s)))
    }

    /// How many times the CPU time of `other` a contender takes, round by round.
    pub(crate) fn cpu_over(&self, contender: &str, other: &str) -> Option<Estimate> {
        let pairs = self.figures(contender).zip(self.figures(other));
        Estimate::of_ratios(pairs.map(|(own, other)| (own.client_cpu_s, other.client_cpu_s)))
    }

    /// CPU-seconds of a contender for a million changes.
    pub(crate) fn cpu_a_million(&self, contender: &str) -> Option<Estimate> {
        let millions = self.changes as f64 / 1e6;
        Estimate::of(
            self.figures(contender)
                .map(|own| own.client_cpu_s / millions),
        )
    }

    /// CPU-seconds of a contender's walsender for a million changes.
    pub(crate) fn walsender_cpu_a_million(&self, contender: &str) -> Option<Estimate> {
        let millions = self.changes as f64 / 1e6;
        Estimate::of(
            self.figures(contender)
                .map(|own| own.walsender_cpu_s / millions),
        )
    }

    /// Changes a second.
    pub(crate) fn rate(&self, contender: &str) -> Option<Estimate> {
        Estimate::of(
            self.figures(contender)
                .map(|own| self.changes as f64 / own.wall_s),
        )
    }

    /// The largest memory of all rounds, in MiB.
    pub(crate) fn peak_mebibytes(&self, contender: &str) -> Option<f64> {
        let peak = self
            .figures(contender)
            .map(|own| own.peak_memory_bytes)
            .max()?;
        Some(peak as f64 / f64::from(1 << 20))
    }
}

/// Stores figures.
pub(crate) fn write(path: &Path, figures: &impl Serialize) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let text = serde_json::to_string_pretty(figures)?;
    std::fs::write(path, text + "\n").with_context(|| path.display().to_string())
}

/// Reads what was stored; none when it was not measured.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| path.display().to_string())?,
    };
    let figures = serde_json::from_str(&text);
    figures
        .with_context(|| path.display().to_string())
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_one_round_and_the_median_is_of_ratios() {
        let figure = |wall_s: f64| Figure {
            wall_s,
            client_cpu_s: 2.0,
            walsender_cpu_s: 4.0,
            peak_memory_bytes: 3 << 20,
            counted: None,
        };
        // The second round was disturbed from its start to its end.
        let drained = Drained {
            work: "orders".to_owned(),
            changes: 2_000_000,
            wal_bytes: 0,
            contenders: vec!["a".to_owned(), "b".to_owned()],
            rounds: [(2.0, 1.0), (20.0, 10.0), (2.0, 1.0)]
                .map(|(a, b)| vec![figure(a), figure(b)])
                .to_vec(),
        };
        let over = drained.rate_over("b", "a").expect("both ran");
        assert!((over.low - 2.0).abs() < 1e-9 && (over.high - 2.0).abs() < 1e-9);
        assert!(
            drained
                .cpu_a_million("a")
                .is_some_and(|cpu| (cpu.median - 1.0).abs() < 1e-9)
        );
        assert!(
            drained
                .rate("b")
                .is_some_and(|rate| (rate.median - 2e6).abs() < 1e-3)
        );
        assert!(
            drained
                .peak_mebibytes("b")
                .is_some_and(|peak| (peak - 3.0).abs() < 1e-9)
        );
        assert_eq!(drained.rate_over("b", "nobody"), None);
    }
}
