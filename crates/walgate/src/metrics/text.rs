//! The two text formats.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>,
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/>

use std::fmt::Write as _;

use super::collect::{Sample, Samples};
use super::list::{Kind, Metric};

/// How a page is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' own text format, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// What the header `Accept` asks for. OpenMetrics only for who names it.
    pub(crate) fn accepted(accept: &str) -> Self {
        let refused = |range: &str| {
            let mut parameters = range.split(';').skip(1).map(str::trim);
            let quality = parameters.find_map(|one| one.strip_prefix("q="));
            quality.is_some_and(|quality| quality.trim().parse() == Ok(0.0))
        };
        let named = accept.split(',').any(|range| {
            let name = range.split(';').next().unwrap_or_default().trim();
            name.eq_ignore_ascii_case("application/openmetrics-text") && !refused(range)
        });
        match named {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    /// The header `Content-Type`.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A page with every metric of the list, also those without samples.
pub(super) fn write(metrics: &[Metric], samples: &Samples, format: Format) -> String {
    let mut page = String::with_capacity(16 << 10);
    for metric in metrics {
        head(&mut page, metric, format);
        for sample in samples.of(metric.name) {
            line(&mut page, metric.name, sample);
        }
    }
    if format == Format::OpenMetrics {
        page.push_str("# EOF\n");
    }
    page
}

fn head(page: &mut String, metric: &Metric, format: Format) {
    let Metric { name, kind, .. } = metric;
    let (family, kind) = match (format, kind) {
        (Format::OpenMetrics, Kind::Counter) => {
            (name.strip_suffix("_total").unwrap_or(name), kind.name())
        }
        (Format::OpenMetrics, Kind::Info) => {
            (name.strip_suffix("_info").unwrap_or(name), kind.name())
        }
        (Format::Prometheus, Kind::Info) => (*name, Kind::Gauge.name()),
        (Format::Prometheus | Format::OpenMetrics, Kind::Counter | Kind::Gauge) => {
            (*name, kind.name())
        }
    };
    let help = escape(metric.help);
    // A page that can't be written is one without memory, and that ends otherwise.
    let _full = write!(page, "# HELP {family} {help}\n# TYPE {family} {kind}\n");
}

fn line(page: &mut String, name: &str, sample: &Sample) {
    page.push_str(name);
    for (place, (label, value)) in sample.labels.iter().enumerate() {
        let before = if place == 0 { '{' } else { ',' };
        let _full = write!(page, "{before}{label}=\"{}\"", escape(value));
    }
    if !sample.labels.is_empty() {
        page.push('}');
    }
    page.push(' ');
    page.push_str(&number(sample.value));
    page.push('\n');
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\\' => escaped.push_str("\\\\"),
            '"' => escaped.push_str("\\\""),
            '\n' => escaped.push_str("\\n"),
            char => escaped.push(char),
        }
    }
    escaped
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned()
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_who_names_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.6,\
                          application/openmetrics-text;version=0.0.1;q=0.5,text/plain;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            (prometheus, Format::OpenMetrics),
            ("Application/OpenMetrics-Text", Format::OpenMetrics),
            ("application/openmetrics-text; q=0, */*", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("", Format::Prometheus),
            ("text/html,application/xhtml+xml", Format::Prometheus),
            (";;,,q=;", Format::Prometheus),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn numbers_and_names_as_the_formats_want_them() {
        for (value, text) in [
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (0.0, "0"),
            (1.5, "1.5"),
            (9_007_199_254_740_992.0, "9007199254740992"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(escape("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
