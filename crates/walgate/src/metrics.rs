//! What a scrape gets: every number of a [`Sight`], as Prometheus reads it.
//!
//! [`METRICS`] is the one list of names; `METRICS.md` beside this crate shows it. The text is written
//! by hand: the client libraries keep values where they are counted, and here all of them are in one
//! [`Sight`] already; and the official one writes neither the older format nor infinity as the newer
//! one wants it. Nothing is kept between two scrapes.
//!
//! What is not known is NaN, no limit is +Inf, a counter starts at 0 and a headroom at 1, so that no
//! rule fires because a process has just started.

mod collect;
mod list;
mod of_process;
mod text;

pub(crate) use text::Format;

use crate::watch::Sight;
use collect::Samples;
use list::METRICS;
use of_process::OfProcess;

/// The whole page.
pub(crate) fn page(sight: &Sight, format: Format) -> String {
    let mut samples = Samples::default();
    samples.sight(sight);
    samples.process(&OfProcess::now());
    text::write(METRICS, &samples, format)
}

#[cfg(test)]
mod tests;
