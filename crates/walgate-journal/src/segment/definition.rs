//! A definition of a relation as a record.

use walgate_core::{Column, Relation, ReplicaIdentity};

use super::codes;
use super::error::Unreadable;
use super::fields::{Fields, put_count, put_text};

/// What a column takes at least: the lengths of two texts, type, modifier, key and shape.
const LEAST_COLUMN_BYTES: usize = 4 + 4 + 4 + 4 + 1 + 3;

pub(super) fn put(out: &mut Vec<u8>, number: u32, relation: &Relation) {
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&relation.oid.to_le_bytes());
    put_text(out, &relation.schema);
    put_text(out, &relation.name);
    out.push(relation.identity.byte());
    put_count(out, relation.columns.len());
    for column in &relation.columns {
        put_text(out, &column.name);
        out.extend_from_slice(&column.type_oid.to_le_bytes());
        put_text(out, &column.type_name);
        out.extend_from_slice(&column.typmod.to_le_bytes());
        out.push(u8::from(column.key));
        out.extend_from_slice(&codes::shape_codes(column.shape));
    }
    put_count(out, relation.primary_key.len());
    for place in &relation.primary_key {
        out.extend_from_slice(&place.to_le_bytes());
    }
}

/// The definition's number and the relation.
pub(super) fn decode(mut fields: Fields<'_>) -> Result<(u32, Relation), Unreadable> {
    let number = fields.u32("a definition without number")?;
    let oid = fields.u32("a definition without oid")?;
    let schema = fields.text("a definition without schema")?.to_owned();
    let name = fields.text("a definition without name")?.to_owned();
    let at = fields;
    let letter = fields.u8("a definition without replica identity")?;
    let identity =
        ReplicaIdentity::from_byte(letter).ok_or_else(|| at.newer("replica identity", letter))?;
    let count = fields.count("a definition with too many columns", LEAST_COLUMN_BYTES)?;
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        columns.push(column(&mut fields)?);
    }
    let at = fields;
    let count = fields.count("a definition with too long a primary key", 2)?;
    let mut primary_key = Vec::with_capacity(count);
    for _ in 0..count {
        let place = fields.u16("a primary key without its columns")?;
        if usize::from(place) >= columns.len() {
            return Err(at.damage("a primary key of columns that are not there"));
        }
        primary_key.push(place);
    }
    fields.end()?;
    let relation = Relation {
        oid,
        schema,
        name,
        identity,
        columns,
        primary_key,
    };
    Ok((number, relation))
}

fn column(fields: &mut Fields<'_>) -> Result<Column, Unreadable> {
    let name = fields.text("a column without name")?.to_owned();
    let type_oid = fields.u32("a column without type")?;
    let type_name = fields.text("a column without type name")?.to_owned();
    let typmod = fields.i32("a column without type modifier")?;
    let at = *fields;
    let key = match fields.u8("a column without key flag")? {
        0 => false,
        1 => true,
        flags => return Err(at.newer("column flags", flags)),
    };
    let at = *fields;
    let codes = [
        fields.u8("a column without shape")?,
        fields.u8("a column without shape")?,
        fields.u8("a column without shape")?,
    ];
    let shape = codes::shape(codes).ok_or_else(|| at.newer("shape", format!("{codes:?}")))?;
    Ok(Column {
        name,
        type_oid,
        type_name,
        typmod,
        key,
        shape,
    })
}
