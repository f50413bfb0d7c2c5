//! Floats, as PostgreSQL prints them with `extra_float_digits` above 0: the shortest digits that
//! read back to the same value (`src/common/d2s.c`, `f2s.c`), in the layout of `to_chars` there.
//!
//! PostgreSQL does not take digits that lie exactly half way to the next value, although they read
//! back where the last bit of the value is 0; the `ryu` crate does. Half-way digits of so few places
//! exist only above 2^52 (float4: 2^22), and there it is looked for.

/// The exponent from which digits are printed as `1e+15`: `DBL_DIG` and `FLT_DIG`.
const SCIENTIFIC_FLOAT8: i32 = 15;
const SCIENTIFIC_FLOAT4: i32 = 6;

/// `float8out`.
pub(crate) fn write_float8(value: f64, out: &mut Vec<u8>) {
    if write_special(value, out) {
        return;
    }
    let mut decimal = Decimal::parse(ryu::Buffer::new().format_finite(value).as_bytes());
    if value.abs() >= f64::from_bits(1075 << 52) {
        let bits = value.to_bits();
        let binary = Binary {
            mantissa: bits & ((1 << 52) - 1) | 1 << 52,
            exponent: i32::try_from(bits >> 52 & 0x7FF).unwrap_or_default() - 1075,
            narrow: bits & ((1 << 52) - 1) == 0,
        };
        let fits = |digits: usize| {
            let text = format!("{value:.*e}", digits - 1);
            (text.parse() == Ok(value)).then(|| Decimal::parse(text.as_bytes()))
        };
        decimal = binary.without_half_way(decimal, fits);
    }
    decimal.write(value.is_sign_negative(), SCIENTIFIC_FLOAT8, out);
}

/// `float4out`.
pub(crate) fn write_float4(value: f32, out: &mut Vec<u8>) {
    if write_special(value.into(), out) {
        return;
    }
    let mut decimal = Decimal::parse(ryu::Buffer::new().format_finite(value).as_bytes());
    if value.abs() >= f32::from_bits(149 << 23) {
        let bits = value.to_bits();
        let binary = Binary {
            mantissa: (bits & ((1 << 23) - 1) | 1 << 23).into(),
            exponent: i32::try_from(bits >> 23 & 0xFF).unwrap_or_default() - 150,
            narrow: bits & ((1 << 23) - 1) == 0,
        };
        let fits = |digits: usize| {
            let text = format!("{value:.*e}", digits - 1);
            (text.parse() == Ok(value)).then(|| Decimal::parse(text.as_bytes()))
        };
        decimal = binary.without_half_way(decimal, fits);
    }
    decimal.write(value.is_sign_negative(), SCIENTIFIC_FLOAT4, out);
}

/// Zero, infinities and what is no number.
fn write_special(value: f64, out: &mut Vec<u8>) -> bool {
    let text: &[u8] = if value.is_nan() {
        b"NaN"
    } else if value == f64::INFINITY {
        b"Infinity"
    } else if value == f64::NEG_INFINITY {
        b"-Infinity"
    } else if value == 0.0 {
        if value.is_sign_negative() {
            b"-0"
        } else {
            b"0"
        }
    } else {
        return false;
    };
    out.extend_from_slice(text);
    true
}

/// No value that is not zero has more digits: 17 of a float8.
const MAX_DIGITS: usize = 17;

/// Digits without zeros at either end, and the power of ten of the first one.
#[derive(Debug, Clone, Copy)]
struct Decimal {
    digits: u64,
    len: usize,
    exponent: i32,
}

impl Decimal {
    /// `-12.5e-7` and the like.
    fn parse(text: &[u8]) -> Self {
        let (mut digits, mut len) = (0_u64, 0_usize);
        // Zeros that are only part of the number when a digit follows.
        let mut zeros = 0_usize;
        let mut point = None;
        let mut places = 0_i32;
        let mut first = 0_i32;
        let mut exponent = 0_i32;
        let mut bytes = text.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'.' => point = Some(places),
                b'e' | b'E' => {
                    let rest = str::from_utf8(bytes.as_slice()).unwrap_or_default();
                    exponent = rest.parse().unwrap_or_default();
                    break;
                }
                b'0' => {
                    places += 1;
                    zeros += usize::from(len > 0);
                }
                b'1'..=b'9' => {
                    if len == 0 {
                        first = places;
                    }
                    places += 1;
                    for _ in 0..zeros {
                        digits = digits.wrapping_mul(10);
                    }
                    len += zeros + 1;
                    zeros = 0;
                    digits = digits.wrapping_mul(10).wrapping_add(u64::from(byte - b'0'));
                }
                _ => {}
            }
        }
        let point = point.unwrap_or(places);
        Self {
            digits,
            len,
            exponent: exponent + point - first - 1,
        }
    }

    /// The power of ten of the last digit.
    fn last(&self) -> i32 {
        self.exponent + 1 - i32::try_from(self.len).unwrap_or_default()
    }

    fn write(&self, is_negative: bool, scientific: i32, out: &mut Vec<u8>) {
        if is_negative {
            out.push(b'-');
        }
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(self.digits).as_bytes();
        let exponent = self.exponent;
        if exponent < -4 || exponent >= scientific {
            let (first, rest) = digits.split_at(1);
            out.extend_from_slice(first);
            if !rest.is_empty() {
                out.push(b'.');
                out.extend_from_slice(rest);
            }
            out.push(b'e');
            out.push(if exponent < 0 { b'-' } else { b'+' });
            crate::number::put_padded(exponent.unsigned_abs(), 2, out);
        } else if let Ok(whole) = usize::try_from(exponent + 1)
            && whole > 0
        {
            let (front, rest) = digits.split_at(whole.min(digits.len()));
            out.extend_from_slice(front);
            out.resize(out.len() + whole - front.len(), b'0');
            if !rest.is_empty() {
                out.push(b'.');
                out.extend_from_slice(rest);
            }
        } else {
            out.extend_from_slice(b"0.");
            let zeros = usize::try_from(-1 - exponent).unwrap_or_default();
            out.resize(out.len() + zeros, b'0');
            out.extend_from_slice(digits);
        }
    }
}

/// A value that is not zero and not below the ordinary ones: `mantissa * 2^exponent`.
struct Binary {
    mantissa: u64,
    exponent: i32,
    /// The next value below is half as far away as the next above.
    narrow: bool,
}

impl Binary {
    /// `decimal`, or where that lies half way to a neighbour the nearest digits that don't: more of
    /// them until `fits`.
    fn without_half_way(
        &self,
        decimal: Decimal,
        fits: impl Fn(usize) -> Option<Decimal>,
    ) -> Decimal {
        if !self.is_half_way(&decimal) {
            return decimal;
        }
        let other = (decimal.len..=MAX_DIGITS)
            .filter_map(fits)
            .find(|other| !self.is_half_way(other));
        other.unwrap_or(decimal)
    }

    fn is_half_way(&self, decimal: &Decimal) -> bool {
        let (below, exponent) = if self.narrow {
            (4 * self.mantissa - 1, self.exponent - 2)
        } else {
            (2 * self.mantissa - 1, self.exponent - 1)
        };
        is_equal(decimal, 2 * self.mantissa + 1, self.exponent - 1)
            || is_equal(decimal, below, exponent)
    }
}

/// Whether the digits are exactly `odd * 2^twos`.
fn is_equal(decimal: &Decimal, odd: u64, twos: i32) -> bool {
    let own = decimal.digits.trailing_zeros();
    let digits = u128::from(decimal.digits >> own.min(63));
    let tens = decimal.last();
    // 5^28 is above 2^64, and both sides are below.
    let Some(fives) = 5_u128
        .checked_pow(tens.unsigned_abs())
        .filter(|fives| *fives < 1 << 64)
    else {
        return false;
    };
    let own = i32::try_from(own).unwrap_or_default();
    if tens >= 0 {
        digits * fives == u128::from(odd) && own + tens == twos
    } else {
        digits == u128::from(odd) * fives && own + tens == twos
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn float8(value: f64) -> String {
        let mut out = Vec::new();
        write_float8(value, &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    fn float4(value: f32) -> String {
        let mut out = Vec::new();
        write_float4(value, &mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn the_layout_is_that_of_postgresql() {
        for (value, text) in [
            (1.0, "1"),
            (-0.0, "-0"),
            (0.1, "0.1"),
            (100.0, "100"),
            (1234.5, "1234.5"),
            (1e14, "100000000000000"),
            (1e15, "1e+15"),
            (123_456_789_012_345.6, "123456789012345.6"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (-1.5e-10, "-1.5e-10"),
            (20.05, "20.05"),
        ] {
            assert_eq!(float8(value), text);
        }
        for (value, text) in [
            (1e5, "100000"),
            (1e6, "1e+06"),
            (16_777_216.0, "1.6777216e+07"),
        ] {
            assert_eq!(float4(value), text);
        }
    }

    /// From the comments in PostgreSQL's own tests (`float4.sql`, `float8.sql`): half-way digits.
    #[test]
    fn digits_half_way_are_not_taken() {
        assert_eq!(float8(9_007_199_254_740_992.0), "9.007199254740992e+15");
        assert_eq!(float8(1e23), "9.999999999999999e+22");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(bits in any::<u64>(), small in any::<u32>()) {
            let value = f64::from_bits(bits);
            let text = float8(value);
            if value.is_finite() {
                prop_assert_eq!(text.parse::<f64>().map(f64::to_bits), Ok(bits), "{}", text);
            }
            let value = f32::from_bits(small);
            let text = float4(value);
            if value.is_finite() {
                prop_assert_eq!(text.parse::<f32>().map(f32::to_bits), Ok(small), "{}", text);
            }
        }
    }
}
