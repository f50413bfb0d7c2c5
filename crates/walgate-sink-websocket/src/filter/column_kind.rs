//! How the values of a column are compared.

use std::borrow::Cow;

use walgate_core::{Column, Oid, Scalar as Form, Shape};

use super::address::address;
use super::decimal::Decimal;
use super::moment;
use super::scalar::Scalar;

/// How the values of a column are compared, by its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnKind {
    Bool,
    /// int2, int4, int8, oid.
    Integer,
    Float4,
    Float8,
    Numeric,
    /// Compared byte by byte, whatever the column's collation.
    Text,
    /// `char(n)`: blanks at the end mean nothing.
    PaddedText,
    Uuid,
    /// inet and cidr. Their order is not needed by anybody yet.
    Address,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    /// Its text is its identity, and its order is not that of its text: enums, whose order is not
    /// in the stream, and types that nobody here knows.
    Opaque,
    /// Equal values can have different texts, or there is no equality: json, jsonb, bytea,
    /// interval, xml, arrays.
    NullOnly,
}

/// The types that filters know, as `pg_type.dat` numbers them.
#[rustfmt::skip]
const TYPES: &[(Oid, &str, ColumnKind)] = &[
    (16, "bool", ColumnKind::Bool),
    (17, "bytea", ColumnKind::NullOnly),
    (18, "char", ColumnKind::Text),
    (19, "name", ColumnKind::Text),
    (20, "int8", ColumnKind::Integer),
    (21, "int2", ColumnKind::Integer),
    (23, "int4", ColumnKind::Integer),
    (25, "text", ColumnKind::Text),
    (26, "oid", ColumnKind::Integer),
    (114, "json", ColumnKind::NullOnly),
    (142, "xml", ColumnKind::NullOnly),
    (650, "cidr", ColumnKind::Address),
    (700, "float4", ColumnKind::Float4),
    (701, "float8", ColumnKind::Float8),
    (869, "inet", ColumnKind::Address),
    (1042, "bpchar", ColumnKind::PaddedText),
    (1043, "varchar", ColumnKind::Text),
    (1082, "date", ColumnKind::Date),
    (1083, "time", ColumnKind::Time),
    (1114, "timestamp", ColumnKind::Timestamp),
    (1184, "timestamptz", ColumnKind::TimestampTz),
    (1186, "interval", ColumnKind::NullOnly),
    (1266, "timetz", ColumnKind::TimeTz),
    (1700, "numeric", ColumnKind::Numeric),
    (2950, "uuid", ColumnKind::Uuid),
    (3802, "jsonb", ColumnKind::NullOnly),
];

impl ColumnKind {
    pub(super) fn of(column: &Column) -> Self {
        let by_oid = TYPES.iter().find(|(oid, ..)| *oid == column.type_oid);
        if let Some((_, _, kind)) = by_oid {
            return *kind;
        }
        // A domain has the form of its base type and is named like it.
        let is_named = |(oid, name, _): &&(Oid, &str, Self)| {
            *name == column.type_name && Shape::of_builtin(*oid) == Some(column.shape)
        };
        match (TYPES.iter().find(is_named), column.shape) {
            (Some((_, _, kind)), _) => *kind,
            (None, Shape::Scalar(Form::Text)) => Self::Opaque,
            (None, _) => Self::NullOnly,
        }
    }

    /// Whether its values can be compared with a literal.
    pub(super) const fn has_equality(self) -> bool {
        !matches!(self, Self::NullOnly)
    }

    /// Whether its values can be ordered.
    pub(super) const fn has_order(self) -> bool {
        !matches!(self, Self::NullOnly | Self::Opaque | Self::Address)
    }

    /// What a literal for it has to be, with an example.
    pub(super) const fn wants(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Integer | Self::Numeric => "a number, such as 20",
            Self::Float4 | Self::Float8 => "a number, such as 0.5",
            Self::Text | Self::PaddedText | Self::Opaque => "a text in single quotes",
            Self::Uuid => "a uuid, such as 018f4f6e-0000-7000-8000-000000000000",
            Self::Address => "an address or a network, such as 10.0.0.1 or 10.0.0.0/8",
            Self::Date => "a date, such as 2026-11-21, or infinity",
            Self::Time => "a time without a zone, such as 09:30:00",
            Self::TimeTz => "a time, such as 09:30:00+02",
            Self::Timestamp => {
                "a time without a zone, such as 2026-11-21T09:30:00, or infinity; the column has \
                 none"
            }
            Self::TimestampTz => "a time, such as 2026-11-21T09:30:00Z, or infinity",
            Self::NullOnly => "nothing",
        }
    }

    /// Reads a value as the server prints it: `None` for what it would not print.
    #[inline]
    pub(super) fn read(self, text: &[u8]) -> Option<Scalar<'_>> {
        match self {
            Self::Bool => match text {
                b"t" => Some(Scalar::Bool(true)),
                b"f" => Some(Scalar::Bool(false)),
                _ => None,
            },
            Self::Integer => parse(text).map(Scalar::Integer),
            Self::Float4 => parse(text).map(|value: f32| Scalar::Float(f64::from(value))),
            Self::Float8 => parse(text).map(Scalar::Float),
            Self::Numeric => Decimal::parse(text).map(Scalar::Decimal),
            Self::Text | Self::Uuid | Self::Opaque => Some(Scalar::Text(text)),
            Self::PaddedText => Some(Scalar::Text(without_padding(text))),
            Self::Address => address(text).map(Scalar::Address),
            Self::Date => moment::date(text).map(Scalar::Integer),
            Self::Time => moment::time(text).map(Scalar::Integer),
            Self::TimeTz => moment::zoned_time(text).map(Scalar::ZonedTime),
            Self::Timestamp => moment::timestamp(text).map(Scalar::Integer),
            Self::TimestampTz => moment::zoned_timestamp(text).map(Scalar::Integer),
            Self::NullOnly => None,
        }
    }
}

/// The name of a column's type for people.
pub(super) fn type_name(column: &Column) -> Cow<'_, str> {
    match (known_type_name(column), column.shape) {
        (Some(name), _) => Cow::Borrowed(name),
        (None, Shape::Array { .. }) => Cow::Borrowed("an array"),
        (None, Shape::Scalar(_)) => Cow::Owned(format!("the type with OID {}", column.type_oid)),
    }
}

/// The name of a column's type (`pg_type.typname`), where the log or [`TYPES`] has it.
pub(crate) fn known_type_name(column: &Column) -> Option<&str> {
    if !column.type_name.is_empty() {
        return Some(&column.type_name);
    }
    let by_oid = TYPES.iter().find(|(oid, ..)| *oid == column.type_oid);
    by_oid.map(|(_, name, _)| *name)
}

/// Only blanks: the end of a `char(n)` is nothing else.
pub(super) fn without_padding(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b' '] = text {
        text = rest;
    }
    text
}

fn parse<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
