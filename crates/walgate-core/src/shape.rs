//! How the text of a value is to be read.

use std::fmt;
use std::str::FromStr;

use walgate_pgoutput::Oid;

/// How a value that is not an array is written in an event.
///
/// Everything that has no form of its own is [`Text`](Self::Text): an unknown type never stops
/// anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// `t` or `f`.
    Bool,
    /// int2, int4, oid: digits.
    Integer,
    /// int8: digits, which readers that are doubles can't hold.
    BigInt,
    /// float4, float8: a number, `NaN`, `Infinity`, `-Infinity`.
    Float,
    /// json, jsonb: a JSON value, taken verbatim.
    Json,
    /// bytea in its hex form.
    Bytea,
    /// `2026-11-21 09:30:00.5`, without a zone.
    Timestamp,
    /// `2026-11-21 09:30:00.5+00`: the connection pins UTC.
    TimestampTz,
    /// `10:00:00+02`.
    TimeTz,
    /// Text whose form needs no change and no escaping: numeric, uuid, date, time, interval, …
    Plain,
    /// PostgreSQL's text, escaped.
    Text,
}

impl Scalar {
    /// All of them, by the names that they have in `schema` events.
    const NAMES: [(Self, &'static str); 11] = [
        (Self::Bool, "bool"),
        (Self::Integer, "integer"),
        (Self::BigInt, "bigint"),
        (Self::Float, "float"),
        (Self::Json, "json"),
        (Self::Bytea, "bytea"),
        (Self::Timestamp, "timestamp"),
        (Self::TimestampTz, "timestamptz"),
        (Self::TimeTz, "timetz"),
        (Self::Plain, "plain"),
        (Self::Text, "text"),
    ];

    fn of_name(name: &str) -> Option<Self> {
        let mut names = Self::NAMES.iter();
        names
            .find(|(_, known)| *known == name)
            .map(|(scalar, _)| *scalar)
    }

    fn name(self) -> &'static str {
        let mut names = Self::NAMES.iter();
        names
            .find(|(scalar, _)| *scalar == self)
            .map_or("text", |(_, name)| name)
    }
}

/// How a value is written in an event. As text it is `integer`, of an array `integer[]`, and where its
/// elements are not parted by commas `text[;]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// One value.
    Scalar(Scalar),
    /// An array of any number of dimensions.
    Array {
        /// The form of its elements.
        element: Scalar,
        /// What stands between elements: `,`, or `;` for `box`.
        delimiter: u8,
    },
}

impl Shape {
    /// PostgreSQL's text.
    pub const TEXT: Self = Self::Scalar(Scalar::Text);

    /// The form of a built-in type; `None` for a type that is not one of PostgreSQL's own
    /// (OIDs from 10000 on are given out by `initdb` and later).
    ///
    /// OIDs as in `src/include/catalog/pg_type.dat`; they never change.
    pub fn of_builtin(oid: Oid) -> Option<Self> {
        if let Some(scalar) = scalar_of(oid) {
            return Some(Self::Scalar(scalar));
        }
        if let Some(element) = element_of(oid) {
            let delimiter = if oid == BOX_ARRAY { b';' } else { b',' };
            let element = scalar_of(element).unwrap_or(Scalar::Text);
            return Some(Self::Array { element, delimiter });
        }
        (oid < FIRST_GENBKI_OID).then_some(Self::TEXT)
    }

    /// The form of a type of `pg_catalog`, by its name: the stream's Type message names the base
    /// type of a domain that way.
    pub fn of_builtin_name(name: &str) -> Option<Self> {
        let oid_of = |name: &str| NAMES.iter().find(|(_, n)| *n == name).map(|(oid, _)| *oid);
        if let Some(oid) = oid_of(name) {
            return Self::of_builtin(oid);
        }
        let element = oid_of(name.strip_prefix('_')?)?;
        let array = ARRAYS.iter().find(|(_, e)| *e == element)?.0;
        Self::of_builtin(array)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(scalar) => f.write_str(scalar.name()),
            Self::Array {
                element,
                delimiter: b',',
            } => write!(f, "{}[]", element.name()),
            Self::Array { element, delimiter } => {
                write!(f, "{}[{}]", element.name(), char::from(*delimiter))
            }
        }
    }
}

/// A text that is not a shape's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a form that values have")]
pub struct ParseShapeError(String);

impl FromStr for Shape {
    type Err = ParseShapeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ParseShapeError(text.chars().take(64).collect());
        let Some((element, rest)) = text.split_once('[') else {
            return Scalar::of_name(text).map(Self::Scalar).ok_or_else(refused);
        };
        let delimiter = match rest.as_bytes() {
            b"]" => b',',
            [delimiter, b']'] if delimiter.is_ascii() => *delimiter,
            _ => return Err(refused()),
        };
        let element = Scalar::of_name(element).ok_or_else(refused)?;
        Ok(Self::Array { element, delimiter })
    }
}

/// `FirstGenbkiObjectId`: below it OIDs are assigned by hand and never change.
const FIRST_GENBKI_OID: Oid = 10_000;
const BOX_ARRAY: Oid = 1020;

/// The types whose form is not plain text, and those whose arrays need a name.
const NAMES: &[(Oid, &str)] = &[
    (16, "bool"),
    (17, "bytea"),
    (18, "char"),
    (19, "name"),
    (20, "int8"),
    (21, "int2"),
    (22, "int2vector"),
    (23, "int4"),
    (24, "regproc"),
    (25, "text"),
    (26, "oid"),
    (27, "tid"),
    (28, "xid"),
    (29, "cid"),
    (30, "oidvector"),
    (114, "json"),
    (142, "xml"),
    (600, "point"),
    (601, "lseg"),
    (602, "path"),
    (603, "box"),
    (604, "polygon"),
    (628, "line"),
    (650, "cidr"),
    (700, "float4"),
    (701, "float8"),
    (718, "circle"),
    (774, "macaddr8"),
    (790, "money"),
    (829, "macaddr"),
    (869, "inet"),
    (1033, "aclitem"),
    (1042, "bpchar"),
    (1043, "varchar"),
    (1082, "date"),
    (1083, "time"),
    (1114, "timestamp"),
    (1184, "timestamptz"),
    (1186, "interval"),
    (1266, "timetz"),
    (1560, "bit"),
    (1562, "varbit"),
    (1700, "numeric"),
    (1790, "refcursor"),
    (2202, "regprocedure"),
    (2203, "regoper"),
    (2204, "regoperator"),
    (2205, "regclass"),
    (2206, "regtype"),
    (2950, "uuid"),
    (2970, "txid_snapshot"),
    (3220, "pg_lsn"),
    (3614, "tsvector"),
    (3615, "tsquery"),
    (3734, "regconfig"),
    (3769, "regdictionary"),
    (3802, "jsonb"),
    (3904, "int4range"),
    (3906, "numrange"),
    (3908, "tsrange"),
    (3910, "tstzrange"),
    (3912, "daterange"),
    (3926, "int8range"),
    (4072, "jsonpath"),
    (4089, "regnamespace"),
    (4096, "regrole"),
    (4191, "regcollation"),
    (4451, "int4multirange"),
    (4532, "nummultirange"),
    (4533, "tsmultirange"),
    (4534, "tstzmultirange"),
    (4535, "datemultirange"),
    (4536, "int8multirange"),
    (5038, "pg_snapshot"),
    (5069, "xid8"),
];

/// Array types and their elements.
const ARRAYS: &[(Oid, Oid)] = &[
    (143, 142),
    (199, 114),
    (271, 5069),
    (629, 628),
    (651, 650),
    (719, 718),
    (775, 774),
    (791, 790),
    (1000, 16),
    (1001, 17),
    (1002, 18),
    (1003, 19),
    (1005, 21),
    (1006, 22),
    (1007, 23),
    (1008, 24),
    (1009, 25),
    (1010, 27),
    (1011, 28),
    (1012, 29),
    (1013, 30),
    (1014, 1042),
    (1015, 1043),
    (1016, 20),
    (1017, 600),
    (1018, 601),
    (1019, 602),
    (1020, 603),
    (1021, 700),
    (1022, 701),
    (1027, 604),
    (1028, 26),
    (1034, 1033),
    (1040, 829),
    (1041, 869),
    (1115, 1114),
    (1182, 1082),
    (1183, 1083),
    (1185, 1184),
    (1187, 1186),
    (1231, 1700),
    (1270, 1266),
    (1561, 1560),
    (1563, 1562),
    (2201, 1790),
    (2207, 2202),
    (2208, 2203),
    (2209, 2204),
    (2210, 2205),
    (2211, 2206),
    (2949, 2970),
    (2951, 2950),
    (3221, 3220),
    (3643, 3614),
    (3645, 3615),
    (3735, 3734),
    (3770, 3769),
    (3807, 3802),
    (3905, 3904),
    (3907, 3906),
    (3909, 3908),
    (3911, 3910),
    (3913, 3912),
    (3927, 3926),
    (4073, 4072),
    (4090, 4089),
    (4097, 4096),
    (4192, 4191),
    (5039, 5038),
    (6150, 4451),
    (6151, 4532),
    (6152, 4533),
    (6153, 4534),
    (6155, 4535),
    (6157, 4536),
];

fn element_of(oid: Oid) -> Option<Oid> {
    ARRAYS
        .iter()
        .find(|(array, _)| *array == oid)
        .map(|(_, element)| *element)
}

fn scalar_of(oid: Oid) -> Option<Scalar> {
    if element_of(oid).is_some() {
        return None;
    }
    Some(match oid {
        16 => Scalar::Bool,
        17 => Scalar::Bytea,
        20 => Scalar::BigInt,
        21 | 23 | 26 => Scalar::Integer,
        114 | 3802 => Scalar::Json,
        700 | 701 => Scalar::Float,
        1114 => Scalar::Timestamp,
        1184 => Scalar::TimestampTz,
        1266 => Scalar::TimeTz,
        1082 | 1083 | 1186 | 1700 | 2950 => Scalar::Plain,
        _ if NAMES.iter().any(|(known, _)| *known == oid) => Scalar::Text,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_types_have_their_forms() {
        assert_eq!(Shape::of_builtin(23), Some(Shape::Scalar(Scalar::Integer)));
        assert_eq!(Shape::of_builtin(1043), Some(Shape::TEXT));
        let ints = Shape::Array {
            element: Scalar::Integer,
            delimiter: b',',
        };
        assert_eq!(Shape::of_builtin(1007), Some(ints));
        assert_eq!(Shape::of_builtin_name("_int4"), Some(ints));
        assert_eq!(
            Shape::of_builtin_name("numeric"),
            Some(Shape::Scalar(Scalar::Plain))
        );
        let boxes = Shape::Array {
            element: Scalar::Text,
            delimiter: b';',
        };
        assert_eq!(Shape::of_builtin_name("_box"), Some(boxes));
        assert_eq!(Shape::of_builtin(16_400), None);
        assert_eq!(Shape::of_builtin(9_999), Some(Shape::TEXT));
    }

    #[test]
    fn vectors_are_text() {
        assert_eq!(Shape::of_builtin(22), Some(Shape::TEXT));
        assert_eq!(Shape::of_builtin(30), Some(Shape::TEXT));
    }

    #[test]
    fn every_shape_is_read_back_from_its_text() {
        for (element, name) in Scalar::NAMES {
            let shapes = [b',', b';'].map(|delimiter| Shape::Array { element, delimiter });
            for shape in shapes.into_iter().chain([Shape::Scalar(element)]) {
                let text = shape.to_string();
                assert!(text.starts_with(name), "{text}");
                assert_eq!(text.parse(), Ok(shape));
            }
        }
        for text in ["", "int4", "integer[", "integer[,,]", "[]", "integer]"] {
            assert!(text.parse::<Shape>().is_err(), "{text}");
        }
    }
}
