//! Ages of rows by rate, in one picture.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::figures::{Of, Rates};

const SIZE: (u32, u32) = (960, 480);

const COLOURS: [RGBColor; 6] = [
    RGBColor(0x88, 0x88, 0x88),
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0xd6, 0x27, 0x28),
    RGBColor(0x8c, 0x56, 0x4b),
    RGBColor(0x94, 0x67, 0xbd),
];

/// Draws the median p50 (thick) and p99 (thin) of each contender at the rates that it holds.
pub(crate) fn draw(rates: &Rates, path: &Path) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| anyhow!("the plot can't be drawn: {error}");
    let all = rates.rates();
    let least = f64::from(all.iter().copied().min().unwrap_or(1));
    let most = f64::from(all.iter().copied().max().unwrap_or(1)).max(least * 1.01);
    let points = |contender: &str, of: Of| -> Vec<(f64, f64)> {
        let age = |rate: &u32| {
            Some((
                f64::from(*rate),
                rates.age(contender, *rate, of)?.median / 1e3,
            ))
        };
        all.iter().filter_map(age).collect()
    };
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(|error| failed(&error))?;
    let mut chart = ChartBuilder::on(&area)
        .caption(
            "Age of a change when it arrives: p50 thick, p99 thin (ms, by changes a second)",
            ("sans-serif", 18),
        )
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(64)
        .build_cartesian_2d((least..most).log_scale(), (0.1..10_000.0).log_scale())
        .map_err(|error| failed(&error))?;
    let mut mesh = chart.configure_mesh();
    mesh.draw().map_err(|error| failed(&error))?;
    for (contender, colour) in rates.contenders().into_iter().zip(COLOURS) {
        let p99 = points(contender, |own| own.p99_us);
        let thin = LineSeries::new(p99, colour.mix(0.5).stroke_width(1)).point_size(2);
        chart.draw_series(thin).map_err(|error| failed(&error))?;
        let p50 = points(contender, |own| own.p50_us);
        let thick = LineSeries::new(p50, colour.stroke_width(3)).point_size(3);
        let series = chart.draw_series(thick).map_err(|error| failed(&error))?;
        series
            .label(contender)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(3)));
    }
    let mut labels = chart.configure_series_labels();
    let labels = labels
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(COLOURS[0]);
    labels.draw().map_err(|error| failed(&error))?;
    area.present().map_err(|error| failed(&error))
}
