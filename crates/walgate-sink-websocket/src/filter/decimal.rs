//! Numbers of any length, compared as their digits.

use std::cmp::Ordering;

/// The most digits that a literal in exponent notation may stand for. It holds every number that
/// people write that way; a literal of six characters must not take a megabyte.
const MAX_EXPANDED_DIGITS: usize = 64;

/// A value of `numeric`, in PostgreSQL's order: `-Infinity`, the numbers, `Infinity`, `NaN`, which
/// is equal to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Decimal<'a> {
    NegativeInfinity,
    Finite(Digits<'a>),
    Infinity,
    NaN,
}

/// A number as digits. Equal numbers have equal digits: no zeros in front of the integer, none
/// behind the fraction, and zero is not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digits<'a> {
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
}

impl<'a> Decimal<'a> {
    /// Reads what PostgreSQL prints, and what people write without an exponent.
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        if let Some(digits) = Digits::parse(text) {
            return Some(Self::Finite(digits));
        }
        let (negative, name) = split_sign(text);
        if name.eq_ignore_ascii_case(b"nan") && name.len() == text.len() {
            Some(Self::NaN)
        } else if name.eq_ignore_ascii_case(b"infinity") || name.eq_ignore_ascii_case(b"inf") {
            Some(if negative {
                Self::NegativeInfinity
            } else {
                Self::Infinity
            })
        } else {
            None
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::NegativeInfinity => 0,
            Self::Finite(_) => 1,
            Self::Infinity => 2,
            Self::NaN => 3,
        }
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Finite(a), Self::Finite(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<'a> Digits<'a> {
    pub(super) fn parse(text: &'a [u8]) -> Option<Self> {
        let (negative, unsigned) = split_sign(text);
        let mut parts = unsigned.splitn(2, |b| *b == b'.');
        let integer = parts.next().unwrap_or_default();
        let fraction = parts.next().unwrap_or_default();
        let are_digits = integer.iter().chain(fraction).all(u8::is_ascii_digit);
        if !are_digits || integer.len() + fraction.len() == 0 {
            return None;
        }
        let integer = trim_start(integer);
        let fraction = trim_end(fraction);
        Some(Self {
            negative: negative && !(integer.is_empty() && fraction.is_empty()),
            integer,
            fraction,
        })
    }

    /// The greatest integer that is not above the number, saturating, and whether it is the
    /// number. It is the number only where it fits.
    pub(super) fn floor(&self) -> (i64, bool) {
        let mut magnitude: i128 = 0;
        for digit in self.integer {
            // Saturation at i128 stays far outside of i64.
            magnitude = magnitude
                .saturating_mul(10)
                .saturating_add(i128::from(digit - b'0'));
        }
        let exact = self.fraction.is_empty();
        let floor = match (self.negative, exact) {
            (false, _) => magnitude,
            (true, true) => -magnitude,
            (true, false) => magnitude.saturating_neg().saturating_sub(1),
        };
        match i64::try_from(floor) {
            Ok(floor) => (floor, exact),
            Err(_) if floor < 0 => (i64::MIN, false),
            Err(_) => (i64::MAX, false),
        }
    }
}

impl Ord for Digits<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let magnitude = || {
            let integers = self.integer.len().cmp(&other.integer.len());
            let integers = integers.then_with(|| self.integer.cmp(other.integer));
            integers.then_with(|| self.fraction.cmp(other.fraction))
        };
        match (self.negative, other.negative) {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => magnitude(),
            (true, true) => magnitude().reverse(),
        }
    }
}

impl PartialOrd for Digits<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A literal without its exponent. One without an exponent stays as it is; `None` is one that is
/// no number, or stands for too many digits.
pub(super) fn expanded(literal: &str) -> Option<String> {
    let Some((mantissa, exponent)) = literal.split_once(['e', 'E']) else {
        return Some(literal.to_owned());
    };
    let (negative, unsigned) = split_sign(mantissa.as_bytes());
    Digits::parse(unsigned)?;
    let unsigned = std::str::from_utf8(unsigned).ok()?;
    let exponent: i64 = exponent.parse().ok()?;
    let (integer, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let point = i64::try_from(integer.len()).ok()?.checked_add(exponent)?;
    let mut digits = format!("{integer}{fraction}");
    if point.unsigned_abs() > MAX_EXPANDED_DIGITS as u64 || digits.len() > MAX_EXPANDED_DIGITS {
        return None;
    }
    let point = match usize::try_from(point) {
        Ok(point) => point,
        Err(_) => {
            let zeros = usize::try_from(point.unsigned_abs()).ok()?;
            digits.insert_str(0, &"0".repeat(zeros));
            0
        }
    };
    while digits.len() < point {
        digits.push('0');
    }
    let (integer, fraction) = digits.split_at_checked(point)?;
    let sign = if negative { "-" } else { "" };
    Some(format!("{sign}{integer}.{fraction}"))
}

fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

fn trim_start(mut digits: &[u8]) -> &[u8] {
    while let [b'0', rest @ ..] = digits {
        digits = rest;
    }
    digits
}

fn trim_end(mut digits: &[u8]) -> &[u8] {
    while let [rest @ .., b'0'] = digits {
        digits = rest;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_postgresqls() {
        let ascending = [
            "-Infinity",
            "-10",
            "-9.5",
            "-1",
            "-0.10",
            "-0.09",
            "0",
            "0.001",
            "0.01",
            "0.1",
            "1",
            "1.05",
            "1.5",
            "9.99",
            "10",
            "99",
            "100.0001",
            "Infinity",
            "NaN",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                let order = Decimal::parse(a.as_bytes()).cmp(&Decimal::parse(b.as_bytes()));
                assert_eq!(order, i.cmp(&j), "{a} and {b}");
            }
        }
    }

    #[test]
    fn equal_numbers_are_equal_digits() {
        for (a, b) in [("1", "+01.000"), ("0", "-0.0"), (".5", "0.50"), ("5.", "5")] {
            assert_eq!(Decimal::parse(a.as_bytes()), Decimal::parse(b.as_bytes()));
        }
        for no in [
            "", "-", ".", "1.2.3", "1e5", "--1", "-NaN", "٣", "infinit", "1 ",
        ] {
            assert_eq!(Decimal::parse(no.as_bytes()), None, "{no}");
        }
    }

    #[test]
    fn floors_saturate() {
        let floor = |text: &str| Digits::parse(text.as_bytes()).unwrap().floor();
        assert_eq!(floor("20"), (20, true));
        assert_eq!(floor("20.5"), (20, false));
        assert_eq!(floor("-20.5"), (-21, false));
        assert_eq!(floor("-20.0"), (-20, true));
        assert_eq!(floor("9223372036854775807"), (i64::MAX, true));
        assert_eq!(floor("9223372036854775808"), (i64::MAX, false));
        assert_eq!(floor("-9223372036854775808"), (i64::MIN, true));
        assert_eq!(floor("-9223372036854775809"), (i64::MIN, false));
        assert_eq!(floor(&"9".repeat(4000)), (i64::MAX, false));
        assert_eq!(
            floor(&format!("-{}.5", "9".repeat(4000))),
            (i64::MIN, false)
        );
    }

    #[test]
    fn exponents_are_written_out_within_reason() {
        let value = |text: &str| {
            let expanded = expanded(text).unwrap();
            Digits::parse(expanded.as_bytes()).map(|digits| digits.floor())
        };
        assert_eq!(value("1e3"), Some((1000, true)));
        assert_eq!(value("-1.5E+1"), Some((-15, true)));
        assert_eq!(value("12e-1"), Some((1, false)));
        assert_eq!(value("1e-60"), Some((0, false)));
        assert_eq!(value(".5e1"), Some((5, true)));
        for no in [
            "1e131071",
            "1e-70",
            "e5",
            "1e",
            "1e99999999999999999999",
            "1ee1",
        ] {
            assert_eq!(expanded(no), None, "{no}");
        }
    }
}
