//! Values of settings as `current_setting` shows them: a number with the largest unit that divides
//! it, such as `1GB` or `5min`.
//!
//! <https://www.postgresql.org/docs/current/config-setting.html#CONFIG-SETTING-NAMES-VALUES>

use std::time::Duration;

/// A size: none for `-1`, which means "no limit" wherever it is read here, and for what is no size.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// A time: none for `0` and `-1`, which mean "off" wherever it is read here.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let all = number.checked_mul(millis)?;
    (all > 0).then(|| Duration::from_millis(all))
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text
        .find(|char: char| !char.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times() {
        assert_eq!(bytes("-1"), None);
        assert_eq!(bytes("0"), Some(0));
        assert_eq!(bytes("64MB"), Some(64 << 20));
        assert_eq!(bytes("3TB"), Some(3 << 40));
        assert_eq!(bytes("99999999999TB"), None, "too large");
        assert_eq!(bytes("5 apples"), None);
        assert_eq!(duration("0"), None);
        assert_eq!(duration("-1"), None);
        assert_eq!(duration("1min"), Some(Duration::from_secs(60)));
        assert_eq!(duration("1500ms"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("2d"), Some(Duration::from_secs(172_800)));
    }
}
