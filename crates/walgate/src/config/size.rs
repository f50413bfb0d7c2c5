//! Sizes with units.

use std::fmt;
use std::str::FromStr;

use super::text::{Refused, TextKind, text_value};

/// A number of bytes as the configuration writes it: `"64MiB"`, `"1MB"`. Never a bare number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(
    /// Bytes.
    pub u64,
);

/// Units, largest first of those with the same family: printing takes the first that divides.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl Size {
    /// So many times 1,024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// So many times 1,048,576 bytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }
}

impl FromStr for Size {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const ALLOWED: &str = "write a whole number and a unit (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB), such as \"64MiB\"";
        let text = text.trim();
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim_start();
        if text.starts_with('-') {
            return Err(Refused::new("is negative", ALLOWED));
        }
        if number.is_empty() {
            return Err(Refused::new("is not a size", ALLOWED));
        }
        if unit.is_empty() {
            return Err(Refused::new("has no unit", ALLOWED));
        }
        // KB is a common spelling of kB; single letters are not taken: M is 10^6 to some, 2^20 to others.
        let unit = if unit == "KB" { "kB" } else { unit };
        let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            let problem = if unit.starts_with(['.', ',']) {
                "is not a whole number"
            } else {
                "has an unknown unit"
            };
            return Err(Refused::new(problem, ALLOWED));
        };
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*factor))
            .map(Self)
            .ok_or_else(|| Refused::new("is too large", ALLOWED))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |factor: u64| self.0 >= factor && self.0.is_multiple_of(factor);
        match UNITS.iter().find(|(_, factor)| whole(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

text_value!(
    Size,
    TextKind::Size,
    Some(r"^\s*[0-9]+\s*([kKMGT]?B|[KMGT]iB)\s*$")
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_with_units() {
        for (text, bytes) in [
            ("64MiB", 67_108_864),
            ("20GiB", 21_474_836_480),
            ("1MB", 1_000_000),
            ("1kB", 1_000),
            ("1KB", 1_000),
            ("1KiB", 1_024),
            ("7 B", 7),
            ("0B", 0),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in [
            "",
            "64",
            "0",
            "64M",
            "64m",
            "64mb",
            "64 mebibytes",
            "-1MiB",
            "1.5MiB",
            "1,5MiB",
            "0x10B",
            "1e9B",
            "MiB",
            "18446744073709551616B",
            "18446744073709551615KiB",
        ] {
            let refused = text.parse::<Size>().expect_err(text);
            assert!(
                refused.hint.is_some_and(|hint| hint.contains("\"64MiB\"")),
                "{text}"
            );
        }
    }

    #[test]
    fn prints_what_it_reads() {
        for text in ["64MiB", "20GiB", "1MB", "1kB", "1025B", "0B"] {
            assert_eq!(
                text.parse::<Size>().map(|size| size.to_string()),
                Ok(text.to_owned())
            );
        }
    }
}
