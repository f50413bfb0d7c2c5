//! Durations with units.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::text::{Refused, TextKind, text_value};

/// A duration as the configuration writes it: `"500ms"`, `"10s"`, `"1h 30m"`. Never a bare number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(pub Duration);

impl Period {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// So many milliseconds.
    pub const fn milliseconds(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }
}

impl FromStr for Period {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ALLOWED: &str = "write a number and a unit (ms, s, m, h, d), such as \"10s\"";
        // humantime takes a bare 0, and units up to years that make no sense here.
        let bare = text.trim().bytes().all(|byte| byte.is_ascii_digit());
        if text.trim().is_empty() {
            return Err(Refused::new("is empty, expected a duration", ALLOWED));
        }
        if bare {
            return Err(Refused::new("has no unit", ALLOWED));
        }
        if text.trim_start().starts_with('-') {
            return Err(Refused::new("is negative", ALLOWED));
        }
        humantime::parse_duration(text.trim())
            .map(Self)
            .map_err(|_| Refused::new("is not a duration", ALLOWED))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&humantime::format_duration(self.0), f)
    }
}

text_value!(
    Period,
    TextKind::Period,
    Some(r"^\s*([0-9]+(\.[0-9]+)?\s*[a-zA-Zµ]+\s*)+$")
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_with_units() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1.5s", 1_500),
            ("1h 30m", 5_400_000),
            (" 2s ", 2_000),
        ] {
            assert_eq!(
                text.parse(),
                Ok(Period::milliseconds(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            " ",
            "10",
            "0",
            "-5s",
            "10 parsecs",
            "1e9s",
            "0x10s",
            "s",
            "99999999999999999999s",
        ] {
            let refused = text.parse::<Period>().expect_err(text);
            assert!(
                refused.hint.is_some_and(|hint| hint.contains("\"10s\"")),
                "{text}"
            );
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for text in ["500ms", "10s", "5m", "1h 30m"] {
            assert_eq!(
                text.parse::<Period>().map(|period| period.to_string()),
                Ok(text.to_owned())
            );
        }
    }
}
