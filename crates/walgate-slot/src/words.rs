//! Sizes and times as people read them.

use std::time::Duration;

/// A size with three digits and a unit: `12.3 GiB`.
#[must_use]
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    #[expect(clippy::cast_precision_loss, reason = "shown with three digits")]
    let mut shown = number as f64;
    let mut units = UNITS.iter();
    let mut name = units.next().copied().unwrap_or_default();
    for unit in units {
        // 999.5 would be printed as 1000.
        if shown < 999.5 {
            break;
        }
        shown /= 1024.0;
        name = unit;
    }
    match shown {
        _ if name == "B" => format!("{shown:.0} {name}"),
        ..9.995 => format!("{shown:.2} {name}"),
        ..99.95 => format!("{shown:.1} {name}"),
        _ => format!("{shown:.0} {name}"),
    }
}

/// A rate, with its sign where it falls: `1.20 MiB/s`, `-3.40 KiB/s`.
#[must_use]
pub fn rate(bytes_per_second: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, and is no longer negative"
    )]
    let size = bytes(bytes_per_second.abs().round() as u64);
    let sign = if bytes_per_second <= -0.5 { "-" } else { "" };
    format!("{sign}{size}/s")
}

/// A time in its two largest units: `45s`, `12m 30s`, `9h 05m`, `3d 04h`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0 => format!("{}ms", time.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h {minutes:02}m"),
        86_400..8_640_000 => format!("{days}d {hours:02}h"),
        _ => format!("{days}d"),
    }
}

/// Words that are no names without quotes.
///
/// <https://www.postgresql.org/docs/current/sql-keywords-appendix.html>
const RESERVED: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "binary",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "natural",
    "not",
    "notnull",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "placing",
    "primary",
    "references",
    "returning",
    "right",
    "select",
    "session_user",
    "similar",
    "some",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
];

/// An identifier as SQL takes it: in quotes where it needs them.
#[must_use]
pub fn identifier(name: &str) -> String {
    let simple = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_';
    let begins = name.starts_with(|char: char| char.is_ascii_lowercase() || char == '_');
    if begins && name.chars().all(simple) && !RESERVED.contains(&name) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_two_units() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1.00 KiB");
        assert_eq!(bytes(12 << 30), "12.0 GiB");
        assert_eq!(bytes(u64::MAX), "16384 PiB");
        assert_eq!(rate(-2048.0), "-2.00 KiB/s");
        assert_eq!(rate(0.2), "0 B/s");
        for (seconds, text) in [
            (0, "0ms"),
            (59, "59s"),
            (750, "12m 30s"),
            (32_700, "9h 05m"),
            (273_600, "3d 04h"),
            (9_000_000, "104d"),
        ] {
            assert_eq!(duration(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn names_as_sql_takes_them() {
        for (name, as_sql) in [
            ("walgate", "walgate"),
            ("app-user", "\"app-user\""),
            ("svc@project.iam", "\"svc@project.iam\""),
            ("App", "\"App\""),
            ("1st", "\"1st\""),
            ("user", "\"user\""),
            ("a\"b", "\"a\"\"b\""),
        ] {
            assert_eq!(identifier(name), as_sql);
        }
    }
}
