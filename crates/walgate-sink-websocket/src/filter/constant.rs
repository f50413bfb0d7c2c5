//! A literal as a value of a column's type.

use super::address::Address;
use super::column_kind::{ColumnKind, without_padding};
use super::decimal::{Decimal, expanded};
use super::expression::{Comparison, Literal};
use super::moment::ZonedTime;
use super::scalar::Scalar;

/// A value that a column is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Constant {
    Bool(bool),
    Integer(i64),
    Float(f64),
    /// Text that [`Decimal::parse`] has read before.
    Decimal(Box<[u8]>),
    Text(Box<[u8]>),
    Address(Address),
    ZonedTime(ZonedTime),
}

impl Constant {
    /// The value, to be compared with one of a row.
    #[inline]
    pub(super) fn scalar(&self) -> Scalar<'_> {
        match self {
            Self::Bool(value) => Scalar::Bool(*value),
            Self::Integer(value) => Scalar::Integer(*value),
            Self::Float(value) => Scalar::Float(*value),
            Self::Decimal(text) => Scalar::Decimal(Decimal::parse(text).unwrap_or(Decimal::NaN)),
            Self::Text(text) => Scalar::Text(text),
            Self::Address(value) => Scalar::Address(*value),
            Self::ZonedTime(value) => Scalar::ZonedTime(*value),
        }
    }
}

/// The value that a column equals when it equals the literal. `Ok(None)` when no value of the
/// type does: an integer is never 20.5.
///
/// `Err` when the literal is not of the column's type at all.
pub(super) fn equal_to(
    kind: ColumnKind,
    literal: &Literal,
) -> Result<Option<Constant>, NotOfTheType> {
    if kind == ColumnKind::Integer {
        let (value, exact) = floor(literal)?;
        return Ok(exact.then_some(Constant::Integer(value)));
    }
    constant(kind, literal).map(Some)
}

/// The comparison of a column with a literal as one with a value of its type: of an integer,
/// `< 20.5` is `<= 20`.
pub(super) fn ordered_by(
    kind: ColumnKind,
    comparison: Comparison,
    literal: &Literal,
) -> Result<(Comparison, Constant), NotOfTheType> {
    if kind == ColumnKind::Integer {
        let (value, exact) = floor(literal)?;
        let comparison = match comparison {
            _ if exact => comparison,
            // Below every value of the type, all are above its least.
            Comparison::Less | Comparison::LessOrEqual if value == i64::MIN => Comparison::Less,
            Comparison::Greater | Comparison::GreaterOrEqual if value == i64::MIN => {
                Comparison::GreaterOrEqual
            }
            Comparison::Less | Comparison::LessOrEqual => Comparison::LessOrEqual,
            _ => Comparison::Greater,
        };
        return Ok((comparison, Constant::Integer(value)));
    }
    if let (ColumnKind::Text | ColumnKind::PaddedText, Literal::Number(_)) = (kind, literal) {
        // '9' is above '10' as text; who writes a number does not mean that.
        return Err(NotOfTheType);
    }
    Ok((comparison, constant(kind, literal)?))
}

/// The literal has no meaning for the column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotOfTheType;

/// The value of a literal for a column that is no integer.
fn constant(kind: ColumnKind, literal: &Literal) -> Result<Constant, NotOfTheType> {
    let text = match literal {
        Literal::Bool(value) if kind == ColumnKind::Bool => return Ok(Constant::Bool(*value)),
        Literal::Bool(_) | Literal::Claim(_) => return Err(NotOfTheType),
        Literal::Number(_) if kind == ColumnKind::Bool => return Err(NotOfTheType),
        Literal::Number(text) | Literal::Text(text) => text,
    };
    match kind {
        ColumnKind::Bool => bool_of(text).map(Constant::Bool).ok_or(NotOfTheType),
        ColumnKind::Float4 | ColumnKind::Float8 => float(kind, text).map(Constant::Float),
        ColumnKind::Numeric => {
            let text = expanded(text).ok_or(NotOfTheType)?;
            Decimal::parse(text.as_bytes()).ok_or(NotOfTheType)?;
            Ok(Constant::Decimal(text.into_bytes().into_boxed_slice()))
        }
        ColumnKind::Uuid => uuid(text).map(Constant::Text),
        ColumnKind::PaddedText => Ok(Constant::Text(without_padding(text.as_bytes()).into())),
        ColumnKind::Integer
        | ColumnKind::Text
        | ColumnKind::Address
        | ColumnKind::Date
        | ColumnKind::Time
        | ColumnKind::TimeTz
        | ColumnKind::Timestamp
        | ColumnKind::TimestampTz
        | ColumnKind::Opaque
        | ColumnKind::NullOnly => match kind.read(text.as_bytes()) {
            Some(Scalar::Text(text)) => Ok(Constant::Text(text.into())),
            Some(Scalar::Integer(value)) => Ok(Constant::Integer(value)),
            Some(Scalar::Address(value)) => Ok(Constant::Address(value)),
            Some(Scalar::ZonedTime(value)) => Ok(Constant::ZonedTime(value)),
            _ => Err(NotOfTheType),
        },
    }
}

/// What PostgreSQL takes for a boolean, but not beginnings of it.
fn bool_of(text: &str) -> Option<bool> {
    let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
    if is(&["true", "t", "yes", "y", "on", "1"]) {
        Some(true)
    } else if is(&["false", "f", "no", "n", "off", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// A number rounded to the column's type, as PostgreSQL reads it for the column.
fn float(kind: ColumnKind, text: &str) -> Result<f64, NotOfTheType> {
    let value = if kind == ColumnKind::Float4 {
        text.parse::<f32>().map(f64::from)
    } else {
        text.parse()
    };
    let value = value.map_err(|_| NotOfTheType)?;
    // Only what is called infinite is: 1e999 is out of range.
    let is_named = text.bytes().any(|b| b.eq_ignore_ascii_case(&b'i'));
    if value.is_infinite() && !is_named {
        return Err(NotOfTheType);
    }
    Ok(value)
}

/// The greatest integer that is not above a number, and whether it is the number.
fn floor(literal: &Literal) -> Result<(i64, bool), NotOfTheType> {
    let (Literal::Number(text) | Literal::Text(text)) = literal else {
        return Err(NotOfTheType);
    };
    let text = expanded(text).ok_or(NotOfTheType)?;
    match Decimal::parse(text.as_bytes()) {
        Some(Decimal::Finite(digits)) => Ok(digits.floor()),
        _ => Err(NotOfTheType),
    }
}

/// A uuid as PostgreSQL prints it, from the forms that it takes: in any case, with or without
/// hyphens and braces.
fn uuid(text: &str) -> Result<Box<[u8]>, NotOfTheType> {
    let bare = text
        .strip_prefix('{')
        .map_or(Some(text), |text| text.strip_suffix('}'));
    let digits: Vec<u8> = bare
        .ok_or(NotOfTheType)?
        .bytes()
        .filter(|b| *b != b'-')
        .map(|b| b.to_ascii_lowercase())
        .collect();
    if digits.len() != 32 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(NotOfTheType);
    }
    let mut printed = Vec::with_capacity(36);
    for (place, digit) in digits.into_iter().enumerate() {
        if matches!(place, 8 | 12 | 16 | 20) {
            printed.push(b'-');
        }
        printed.push(digit);
    }
    Ok(printed.into_boxed_slice())
}
