//! A value of a row, read as its column's type says.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use super::address::Address;
use super::decimal::Decimal;
use super::moment::ZonedTime;

/// A value that can be compared; text borrows from the row. All values of one column have the same
/// variant, and equal values have equal hashes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar<'a> {
    Bool(bool),
    /// int2, int4, int8, oid, and a date as days, a time as microseconds.
    Integer(i64),
    /// float4 and float8.
    Float(f64),
    Decimal(Decimal<'a>),
    Text(&'a [u8]),
    Address(Address),
    ZonedTime(ZonedTime),
}

impl Scalar<'_> {
    const fn rank(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Integer(_) => 1,
            Self::Float(_) => 2,
            Self::Decimal(_) => 3,
            Self::Text(_) => 4,
            Self::Address(_) => 5,
            Self::ZonedTime(_) => 6,
        }
    }
}

impl Ord for Scalar<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => compare_floats(*a, *b),
            (Self::Decimal(a), Self::Decimal(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Address(a), Self::Address(b)) => a.cmp(b),
            (Self::ZonedTime(a), Self::ZonedTime(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Scalar<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scalar<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scalar<'_> {}

impl Hash for Scalar<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Bool(value) => value.hash(state),
            Self::Integer(value) => value.hash(state),
            Self::Float(value) => float_identity(*value).hash(state),
            Self::Decimal(value) => value.hash(state),
            Self::Text(value) => value.hash(state),
            Self::Address(value) => value.hash(state),
            Self::ZonedTime(value) => value.hash(state),
        }
    }
}

/// PostgreSQL's order: NaN is equal to itself and above everything, zero has no sign.
fn compare_floats(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
}

/// The same bits for what is equal.
fn float_identity(value: f64) -> u64 {
    if value.is_nan() {
        f64::NAN.to_bits()
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    }
}
