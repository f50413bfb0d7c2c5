//! What an hour under load comes to.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use serde::{Deserialize, Serialize};

use crate::markdown::estimate;
use crate::measure::mebibytes;
use crate::statistics::Estimate;

const SIZE: (u32, u32) = (960, 320);

const BLUE: RGBColor = RGBColor(0x1f, 0x77, 0xb4);

/// All of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Soak {
    /// What it was measured on.
    pub(crate) machine: String,
    /// Programs and libraries with their versions.
    pub(crate) versions: Vec<String>,
    /// Changes a second.
    pub(crate) rate: u32,
    /// While it was left alone.
    pub(crate) samples: Vec<Sample>,
    /// From each kill -9 until it had caught up, in seconds.
    pub(crate) kills_s: Vec<f64>,
    /// Rows, each of which has come at least once.
    pub(crate) rows: u64,
    /// How often one has come again.
    pub(crate) repeated: u64,
}

/// One look.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Since the start.
    pub(crate) seconds: f64,
    /// Resident memory.
    pub(crate) memory_bytes: u64,
    /// Rows that had come.
    pub(crate) rows: u64,
}

impl Soak {
    /// Median memory of a part of the time, in MiB: from and to are tenths.
    fn memory(&self, from: usize, to: usize) -> Option<f64> {
        let place = |tenth: usize| self.samples.len() * tenth / 10;
        let part = self
            .samples
            .get(place(from)..place(to).max(place(from) + 1))?;
        Some(Estimate::of(part.iter().map(|own| mebibytes(own.memory_bytes as i64)))?.median)
    }

    /// What counts, in words.
    pub(crate) fn markdown(&self) -> String {
        let most = self.samples.iter().map(|own| own.memory_bytes).max();
        let seconds = self.samples.last().map_or(0.0, |own| own.seconds);
        let memory = |from, to| self.memory(from, to).unwrap_or(f64::NAN);
        format!(
            "- {} changes a second for {seconds:.0} s into Kafka, journal on disk: {:.1} MiB of memory in the second tenth of \
             the time, {:.1} MiB in the last one, at most {:.1} MiB\n\
             - from kill -9 to caught up: {} s, {} times\n\
             - {} rows, each delivered at least once; {} came again after a kill\n",
            self.rate,
            memory(1, 2),
            memory(9, 10),
            mebibytes(most.unwrap_or_default() as i64),
            estimate(Estimate::of(self.kills_s.iter().copied()), 2),
            self.kills_s.len(),
            self.rows,
            self.repeated,
        )
    }
}

/// Draws memory over time.
pub(crate) fn draw(soak: &Soak, path: &Path) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| anyhow!("the plot can't be drawn: {error}");
    let points: Vec<(f64, f64)> = soak
        .samples
        .iter()
        .map(|own| (own.seconds / 60.0, mebibytes(own.memory_bytes as i64)))
        .collect();
    let most = points.iter().fold((0.1, 1.0), |(x, y): (f64, f64), own| {
        (x.max(own.0), y.max(own.1))
    });
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(|error| failed(&error))?;
    let mut chart = ChartBuilder::on(&area)
        .caption(
            "Resident memory under load (MiB, by minutes)",
            ("sans-serif", 18),
        )
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..most.0, 0.0..most.1 * 1.2)
        .map_err(|error| failed(&error))?;
    let mut mesh = chart.configure_mesh();
    mesh.draw().map_err(|error| failed(&error))?;
    let line = LineSeries::new(points, BLUE.stroke_width(2));
    chart.draw_series(line).map_err(|error| failed(&error))?;
    area.present().map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_that_of_the_beginning_and_of_the_end() {
        let sample = |place: u32| Sample {
            seconds: f64::from(place),
            memory_bytes: u64::from(place) << 20,
            rows: 0,
        };
        let soak = Soak {
            machine: String::new(),
            versions: Vec::new(),
            rate: 5,
            samples: (1..=100).map(sample).collect(),
            kills_s: vec![1.0, 2.0, 3.0],
            rows: 10,
            repeated: 1,
        };
        let text = soak.markdown();
        assert!(
            text.contains("15.5 MiB of memory in the second tenth"),
            "{text}"
        );
        assert!(
            text.contains("95.5 MiB in the last one, at most 100.0 MiB"),
            "{text}"
        );
        assert!(text.contains("2.00 (1.00 to 3.00) s, 3 times"), "{text}");
    }
}
