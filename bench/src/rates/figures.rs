//! What steady rates come to.

use serde::{Deserialize, Serialize};

use crate::statistics::Estimate;

/// The name of the yardstick.
pub(crate) const KAFKA_ALONE: &str = "Kafka alone";

/// All measurements of steady rates.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Rates {
    /// What it was measured on.
    pub(crate) machine: String,
    /// Programs and libraries with their versions.
    pub(crate) versions: Vec<String>,
    /// How long each was measured.
    pub(crate) seconds: u32,
    /// In the order of the runs.
    pub(crate) figures: Vec<Latency>,
}

/// One contender at one rate in one round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Latency {
    /// The name.
    pub(crate) contender: String,
    /// Changes a second.
    pub(crate) rate: u32,
    /// From 1 on.
    pub(crate) round: usize,
    /// Whether all came, and the last of them in time.
    pub(crate) held: bool,
    /// Rows that were to be written.
    pub(crate) rows: u64,
    /// Rows that had come in the end, each once.
    pub(crate) delivered: u64,
    /// Ages of rows when they came, in microseconds; none when the rate was not held.
    pub(crate) p50_us: Option<u64>,
    /// See `p50_us`.
    pub(crate) p99_us: Option<u64>,
    /// See `p50_us`.
    pub(crate) p999_us: Option<u64>,
    /// See `p50_us`.
    pub(crate) max_us: Option<u64>,
    /// User and system time of all of PostgreSQL, in seconds.
    pub(crate) source_cpu_s: Option<f64>,
    /// User and system time of the contender, in seconds.
    pub(crate) client_cpu_s: Option<f64>,
    /// The contender's largest resident memory, in bytes.
    pub(crate) peak_memory_bytes: Option<u64>,
}

impl Latency {
    /// For whoever waits.
    pub(crate) fn line(&self) -> String {
        let ages = match (self.p50_us, self.p99_us) {
            (Some(p50), Some(p99)) => format!("p50 {p50} µs, p99 {p99} µs"),
            _ => format!("not held, {} of {} rows came", self.delivered, self.rows),
        };
        let (round, rate, contender) = (self.round, self.rate, &self.contender);
        format!("round {round}: {rate} a second: {contender:22} {ages}")
    }
}

/// A figure of one measurement.
pub(crate) type Of = fn(&Latency) -> Option<u64>;

impl Rates {
    /// Each rate once, in the order of the runs.
    pub(crate) fn rates(&self) -> Vec<u32> {
        once(self.figures.iter().map(|own| own.rate))
    }

    /// Each contender once, in the order of the runs.
    pub(crate) fn contenders(&self) -> Vec<&str> {
        once(self.figures.iter().map(|own| own.contender.as_str()))
    }

    fn of<'a>(&'a self, contender: &'a str, rate: u32) -> impl Iterator<Item = &'a Latency> {
        let mut all = self.figures.iter().collect::<Vec<_>>();
        all.retain(|own| own.contender == contender && own.rate == rate);
        all.into_iter()
    }

    /// In how many of how many rounds a rate was held.
    pub(crate) fn held(&self, contender: &str, rate: u32) -> (usize, usize) {
        let held = self.of(contender, rate).filter(|own| own.held).count();
        (held, self.of(contender, rate).count())
    }

    /// A percentile in microseconds, of a contender that has held the rate in every round.
    pub(crate) fn age(&self, contender: &str, rate: u32, of: Of) -> Option<Estimate> {
        let ages: Option<Vec<f64>> = self
            .of(contender, rate)
            .map(|own| of(own).map(|us| us as f64))
            .collect();
        Estimate::of(ages?)
    }

    /// How many times the age of another contender, round by round.
    pub(crate) fn age_over(
        &self,
        contender: &str,
        other: &str,
        rate: u32,
        of: Of,
    ) -> Option<Estimate> {
        let pairs: Option<Vec<(f64, f64)>> = self
            .of(contender, rate)
            .zip(self.of(other, rate))
            .map(|(own, other)| Some((of(own)? as f64, of(other)? as f64)))
            .collect();
        Estimate::of_ratios(pairs?)
    }

    /// CPU-seconds for a million changes.
    fn cpu_a_million(
        &self,
        contender: &str,
        rate: u32,
        of: fn(&Latency) -> Option<f64>,
    ) -> Option<Estimate> {
        let each = self.of(contender, rate);
        Estimate::of(each.filter_map(|own| Some(of(own)? / own.delivered as f64 * 1e6)))
    }

    /// A table for each rate.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        for rate in self.rates() {
            text += &format!(
                "### {rate} changes a second\n\n\
                 | | p50 ms | p99 ms | p99.9 ms | CPU-s a million | PostgreSQL's | peak MiB |\n|---|---|---|---|---|---|---|\n"
            );
            for contender in self.contenders() {
                text += &self.row(contender, rate);
            }
            text += "\n";
        }
        text
    }

    fn row(&self, contender: &str, rate: u32) -> String {
        let (held, rounds) = self.held(contender, rate);
        let cpu = |of: fn(&Latency) -> Option<f64>| {
            let cpu = self.cpu_a_million(contender, rate, of);
            cpu.map_or_else(String::new, |cpu| format!("{:.1}", cpu.median))
        };
        let peak = self
            .of(contender, rate)
            .filter_map(|own| own.peak_memory_bytes)
            .max();
        let peak = peak.map_or_else(String::new, |peak| {
            format!("{:.0}", peak as f64 / f64::from(1 << 20))
        });
        let ages = match held == rounds {
            true => {
                let age = |of: Of| milliseconds(self.age(contender, rate, of));
                format!(
                    "{} | {} | {}",
                    age(|own| own.p50_us),
                    age(|own| own.p99_us),
                    age(|own| own.p999_us)
                )
            }
            false if held == 0 => "not held | | ".to_owned(),
            false => format!("not held in {} of {rounds} rounds | | ", rounds - held),
        };
        // What was not held is no work that can be compared.
        let costs = match held == rounds {
            true => format!(
                "{} | {}",
                cpu(|own| own.client_cpu_s),
                cpu(|own| own.source_cpu_s)
            ),
            false => " | ".to_owned(),
        };
        format!("| {contender} | {ages} | {costs} | {peak} |\n")
    }
}

fn milliseconds(estimate: Option<Estimate>) -> String {
    let Some(Estimate { median, low, high }) = estimate else {
        return String::new();
    };
    let ms = |us: f64| us / 1e3;
    match low.total_cmp(&high).is_eq() {
        true => format!("{:.2}", ms(median)),
        false => format!("{:.2} ({:.2} to {:.2})", ms(median), ms(low), ms(high)),
    }
}

fn once<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for value in values {
        if !seen.contains(&value) {
            seen.push(value);
        }
    }
    seen
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What was measured, on no machine.
    pub(crate) fn rates(figures: Vec<Latency>) -> Rates {
        Rates {
            machine: String::new(),
            versions: Vec::new(),
            seconds: 1,
            figures,
        }
    }

    /// A measurement that was held, or not.
    pub(crate) fn latency(
        contender: &str,
        rate: u32,
        round: usize,
        p50_us: Option<u64>,
    ) -> Latency {
        Latency {
            contender: contender.to_owned(),
            rate,
            round,
            held: p50_us.is_some(),
            rows: 1_000,
            delivered: 1_000,
            p50_us,
            p99_us: p50_us.map(|us| us * 2),
            p999_us: p50_us.map(|us| us * 3),
            max_us: p50_us.map(|us| us * 4),
            source_cpu_s: Some(0.01),
            client_cpu_s: Some(0.002),
            peak_memory_bytes: Some(3 << 20),
        }
    }

    #[test]
    fn a_rate_that_is_not_held_in_every_round_has_no_percentiles() {
        let rates = rates(vec![
            latency("a", 10, 1, Some(1_000)),
            latency("b", 10, 1, Some(500)),
            latency("a", 10, 2, Some(3_000)),
            latency("b", 10, 2, None),
        ]);
        let page = rates.markdown();
        let all = "| a | 2.00 (1.00 to 3.00) | 4.00 (2.00 to 6.00) | 6.00 (3.00 to 9.00) | 2.0 | 10.0 | 3 |";
        assert!(page.contains(all), "{page}");
        assert!(
            page.contains("| b | not held in 1 of 2 rounds | |  |  |  | 3 |"),
            "{page}"
        );
        assert_eq!(rates.age_over("a", "b", 10, |own| own.p50_us), None);
        let itself = rates.age_over("a", "a", 10, |own| own.p50_us);
        assert!(itself.is_some_and(|one| (one.median - 1.0).abs() < 1e-9));
    }
}
