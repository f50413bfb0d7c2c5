//! Figures side by side, as bars.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::statistics::Estimate;

const WIDTH: u32 = 960;

/// Of a bar with the space around it.
const HEIGHT: u32 = 22;

/// Above each group.
const HEAD: u32 = 30;

/// Where the bars begin, and where the longest ends: names stand before, figures behind.
const BARS: std::ops::Range<i32> = 240..800;

const OURS: RGBColor = RGBColor(0x1f, 0x77, 0xb4);
const OTHERS: RGBColor = RGBColor(0xaa, 0xaa, 0xaa);
const INTERVAL: RGBColor = RGBColor(0x33, 0x33, 0x33);

/// A group: its name, and its bars with theirs.
pub(crate) type Group = (String, Vec<(String, Estimate)>);

/// Draws groups below each other, each with a scale of its own; the line over a bar's end is the interval.
pub(crate) fn draw(caption: &str, groups: &[Group], path: &Path) -> Result<()> {
    let heights = groups
        .iter()
        .map(|(_, bars)| HEAD + HEIGHT * u32::try_from(bars.len()).unwrap_or(0));
    let height = HEAD + heights.sum::<u32>();
    let area = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    draw_on(&area, caption, groups).map_err(|error| anyhow!("the plot can't be drawn: {error}"))
}

fn draw_on<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    caption: &str,
    groups: &[Group],
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let text = |words: &str, at: (i32, i32), size: i32| {
        area.draw(&Text::new(words.to_owned(), at, ("sans-serif", size)))
    };
    area.fill(&WHITE)?;
    text(caption, (12, 10), 18)?;
    let mut y = HEAD.cast_signed();
    for (name, bars) in groups {
        text(name, (12, y + 10), 15)?;
        y += HEAD.cast_signed();
        let longest = bars.iter().map(|(_, bar)| bar.high).fold(0.0, f64::max);
        let x =
            |value: f64| BARS.start + (f64::from(BARS.end - BARS.start) * value / longest) as i32;
        for (name, bar) in bars {
            let colour = if name.starts_with("walgate") {
                OURS
            } else {
                OTHERS
            };
            let (top, bottom) = (y + 3, y + HEIGHT.cast_signed() - 3);
            text(name, (24, top), 13)?;
            let body = [(BARS.start, top), (x(bar.median), bottom)];
            area.draw(&Rectangle::new(body, colour.filled()))?;
            let middle = y + HEIGHT.cast_signed() / 2;
            let interval = [(x(bar.low), middle), (x(bar.high), middle)];
            area.draw(&PathElement::new(interval, INTERVAL.stroke_width(1)))?;
            let figure = format!("{:.2}", bar.median);
            text(&figure, (x(bar.high).max(x(bar.median)) + 8, top), 13)?;
            y += HEIGHT.cast_signed();
        }
    }
    area.present()
}
