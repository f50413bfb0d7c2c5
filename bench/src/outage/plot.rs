//! Both runs in one picture.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::Story;
use super::sample::Sample;
use crate::measure::mebibytes;

const SIZE: (u32, u32) = (960, 480);

const COLOURS: [RGBColor; 2] = [RGBColor(0x1f, 0x77, 0xb4), RGBColor(0xd6, 0x27, 0x28)];

const GREY: RGBColor = RGBColor(0x88, 0x88, 0x88);

/// Draws what each run's slot holds back, and what the slot of pg_recvlogical does.
pub(crate) fn draw(stories: &[Story], path: &Path) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| anyhow!("the plot can't be drawn: {error}");
    let all = || stories.iter().flat_map(|story| &story.samples);
    let most_seconds = all().map(|sample| sample.seconds).fold(1.0, f64::max);
    let most = all()
        .map(|sample| mebibytes(sample.retained))
        .fold(1.0, f64::max)
        * 1.05;
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(|error| failed(&error))?;
    let mut chart = ChartBuilder::on(&area)
        .caption(
            "WAL that the slot holds back while Kafka is away (MiB, by seconds)",
            ("sans-serif", 18),
        )
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..most_seconds, 0.0..most)
        .map_err(|error| failed(&error))?;
    let mut mesh = chart.configure_mesh();
    mesh.draw().map_err(|error| failed(&error))?;
    if let Some(story) = stories.first() {
        let away = Rectangle::new(
            [(story.down_at, 0.0), (story.up_at, most)],
            GREY.mix(0.15).filled(),
        );
        chart.draw_series([away]).map_err(|error| failed(&error))?;
    }
    let mut line = |name: String, colour: RGBColor, samples: &[Sample], of: fn(&Sample) -> i64| {
        let points = samples
            .iter()
            .map(|sample| (sample.seconds, mebibytes(of(sample))));
        let series = chart.draw_series(LineSeries::new(points, colour.stroke_width(2)));
        let series = series.map_err(|error| failed(&error))?;
        series
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        anyhow::Ok(())
    };
    for (story, colour) in stories.iter().zip(COLOURS) {
        line(story.name.clone(), colour, &story.samples, |sample| {
            sample.retained
        })?;
    }
    if let Some(story) = stories.first() {
        let name = "pg_recvlogical beside".to_owned();
        line(name, GREY, &story.samples, |sample| sample.retained_beside)?;
    }
    let mut labels = chart.configure_series_labels();
    let labels = labels
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(GREY);
    labels.draw().map_err(|error| failed(&error))?;
    area.present().map_err(|error| failed(&error))
}
