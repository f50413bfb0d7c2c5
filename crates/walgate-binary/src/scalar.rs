//! Types without parts that are values.

use crate::field::{Fields, Refused};
use crate::{bits, clock, float, geometry, network, number};

/// A type of `pg_type.dat`, or whatever is sent as one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// What is sent as it is printed: text, varchar, bpchar, name, json, enums, …
    Text,
    /// jsonb, jsonpath: a version, which is 1, and text.
    VersionedText,
    /// bool
    Bool,
    /// "char"
    Char,
    /// bytea
    Bytea,
    /// int2
    Int2,
    /// int4
    Int4,
    /// int8
    Int8,
    /// oid, xid, cid
    Unsigned4,
    /// xid8
    Unsigned8,
    /// tid
    Tid,
    /// `pg_lsn`
    Lsn,
    /// int2vector
    Int2Vector,
    /// oidvector
    OidVector,
    /// float4
    Float4,
    /// float8
    Float8,
    /// numeric
    Numeric,
    /// money
    Money,
    /// date
    Date,
    /// time
    Time,
    /// timetz
    TimeTz,
    /// timestamp
    Timestamp,
    /// timestamptz
    TimestampTz,
    /// interval
    Interval,
    /// uuid
    Uuid,
    /// inet, cidr
    Inet,
    /// macaddr, macaddr8
    MacAddr,
    /// bit, varbit
    Bits,
    /// point
    Point,
    /// lseg
    Lseg,
    /// path
    Path,
    /// box
    Box,
    /// polygon
    Polygon,
    /// line
    Line,
    /// circle
    Circle,
}

impl Scalar {
    /// The form of a built-in type, by its OID in `src/include/catalog/pg_type.dat`; these never
    /// change. None for a type that is sent in a way of its own, which nobody has written here: xml
    /// (it is sent with an encoding declaration that is not printed), tsvector, regclass and its kin
    /// (an OID is sent, a name is printed), …
    #[must_use]
    pub const fn of_builtin(oid: u32) -> Option<Self> {
        Some(match oid {
            16 => Self::Bool,
            17 => Self::Bytea,
            18 => Self::Char,
            // name, text, json, bpchar, varchar, refcursor
            19 | 25 | 114 | 1042 | 1043 | 1790 => Self::Text,
            // jsonb, jsonpath
            3802 | 4072 => Self::VersionedText,
            20 => Self::Int8,
            21 => Self::Int2,
            22 => Self::Int2Vector,
            23 => Self::Int4,
            // oid, xid, cid
            26 | 28 | 29 => Self::Unsigned4,
            27 => Self::Tid,
            30 => Self::OidVector,
            5069 => Self::Unsigned8,
            3220 => Self::Lsn,
            700 => Self::Float4,
            701 => Self::Float8,
            1700 => Self::Numeric,
            790 => Self::Money,
            1082 => Self::Date,
            1083 => Self::Time,
            1266 => Self::TimeTz,
            1114 => Self::Timestamp,
            1184 => Self::TimestampTz,
            1186 => Self::Interval,
            2950 => Self::Uuid,
            // cidr, inet
            650 | 869 => Self::Inet,
            // macaddr8, macaddr
            774 | 829 => Self::MacAddr,
            // bit, varbit
            1560 | 1562 => Self::Bits,
            600 => Self::Point,
            601 => Self::Lseg,
            602 => Self::Path,
            603 => Self::Box,
            604 => Self::Polygon,
            628 => Self::Line,
            718 => Self::Circle,
            _ => return None,
        })
    }

    #[inline]
    pub(crate) fn write(self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Refused> {
        let mut fields = Fields::new(bytes);
        match self {
            Self::Text => {
                out.extend_from_slice(bytes);
                return Ok(());
            }
            Self::VersionedText => return write_versioned(fields, out),
            Self::Numeric => return number::write_numeric(fields, out),
            Self::Bool => match fields.u8()? {
                0 => out.push(b'f'),
                1 => out.push(b't'),
                _ => return Err(Refused),
            },
            Self::Char => return write_char(fields, out),
            Self::Bytea => {
                bits::write_bytea(bytes, out);
                return Ok(());
            }
            Self::Int2 => number::write_integer(fields.i16()?, out),
            Self::Int4 => number::write_integer(fields.i32()?, out),
            Self::Int8 => number::write_integer(fields.i64()?, out),
            Self::Unsigned4 => number::write_integer(fields.u32()?, out),
            Self::Unsigned8 => number::write_integer(fields.i64()?.cast_unsigned(), out),
            Self::Tid => number::write_tid(fields.u32()?, fields.u16()?, out),
            Self::Lsn => number::write_lsn(fields.u32()?, fields.u32()?, out),
            Self::Int2Vector => return number::write_vector(fields, Self::Int2, out),
            Self::OidVector => return number::write_vector(fields, Self::Unsigned4, out),
            Self::Float4 => float::write_float4(f32::from_bits(fields.u32()?), out),
            Self::Float8 => float::write_float8(fields.f64()?, out),
            Self::Money => number::write_money(fields.i64()?, out),
            Self::Date => clock::write_date(fields.i32()?, out)?,
            Self::Time => clock::write_time(fields.i64()?, out)?,
            Self::TimeTz => clock::write_timetz(fields.i64()?, fields.i32()?, out)?,
            Self::Timestamp => clock::write_timestamp(fields.i64()?, b"", out)?,
            Self::TimestampTz => clock::write_timestamp(fields.i64()?, b"+00", out)?,
            Self::Interval => {
                clock::write_interval(fields.i64()?, fields.i32()?, fields.i32()?, out)?;
            }
            Self::Uuid => bits::write_uuid(fields.array()?, out),
            Self::Inet => return network::write_inet(fields, out),
            Self::MacAddr => return network::write_macaddr(bytes, out),
            Self::Bits => return bits::write_bits(fields, out),
            Self::Point => geometry::write_point(&mut fields, out)?,
            Self::Lseg => geometry::write_points(&mut fields, 2, geometry::Around::Brackets, out)?,
            Self::Box => geometry::write_points(&mut fields, 2, geometry::Around::Nothing, out)?,
            Self::Path => geometry::write_path(&mut fields, out)?,
            Self::Polygon => geometry::write_polygon(&mut fields, out)?,
            Self::Line => geometry::write_line(&mut fields, out)?,
            Self::Circle => geometry::write_circle(&mut fields, out)?,
        }
        fields.end()
    }
}

fn write_versioned(mut fields: Fields<'_>, out: &mut Vec<u8>) -> Result<(), Refused> {
    if fields.u8()? != 1 {
        return Err(Refused);
    }
    out.extend_from_slice(fields.rest());
    Ok(())
}

/// A byte of zero is printed as nothing. From 16 on one that is not ASCII is printed in octal, before
/// as it is.
fn write_char(mut fields: Fields<'_>, out: &mut Vec<u8>) -> Result<(), Refused> {
    match fields.u8()? {
        0 => {}
        byte if byte.is_ascii() => out.push(byte),
        _ => return Err(Refused),
    }
    fields.end()
}
