//! A `schema` event into the definition that it was made of.

use walgate_core::{Column, Oid, Relation, ReplicaIdentity, Shape};

use crate::DecodeError;
use crate::scanner::{items, members, string};

/// `text`: what a masked column is, whatever its type was.
const TEXT_OID: Oid = 25;

/// The definition of `schema`.`table` by the `columns`, `oid` and `replica_identity` of its event.
pub(crate) fn relation(
    (schema, table): (&str, &str),
    columns: &str,
    oid: Option<&str>,
    identity: Option<&str>,
) -> Result<Relation, DecodeError> {
    let identity = match identity.map(string).transpose()?.as_deref() {
        Some("default") => ReplicaIdentity::Default,
        Some("index") => ReplicaIdentity::Index,
        Some("full") => ReplicaIdentity::Full,
        Some("nothing") => ReplicaIdentity::Nothing,
        Some(_) => return Err(DecodeError::Senseless("replica_identity")),
        None => return Err(DecodeError::Missing("replica_identity")),
    };
    let oid = oid.ok_or(DecodeError::Missing("oid"))?;
    let mut relation = Relation {
        oid: number(oid).ok_or(DecodeError::Senseless("oid"))?,
        schema: schema.to_owned(),
        name: table.to_owned(),
        identity,
        columns: Vec::new(),
        primary_key: Vec::new(),
    };
    items(columns, |text| {
        let (column, in_primary_key) = column(text, identity)?;
        let place = u16::try_from(relation.columns.len());
        let place = place.map_err(|_| DecodeError::Senseless("columns"))?;
        if in_primary_key {
            relation.primary_key.push(place);
        }
        relation.columns.push(column);
        Ok(())
    })?;
    Ok(relation)
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.trim_ascii().parse().ok()
}

/// A column, and whether it is in the primary key.
fn column(text: &str, identity: ReplicaIdentity) -> Result<(Column, bool), DecodeError> {
    let wrong = || DecodeError::Senseless("columns");
    let (mut name, mut type_name, mut shape) = (None, None, None);
    let (mut type_oid, mut typmod) = (None, None);
    let (mut key, mut primary, mut masked) = (identity == ReplicaIdentity::Full, false, false);
    members(text, |member, value| {
        let is_true = value.trim_ascii() == "true";
        match member.as_ref() {
            "name" => name = Some(string(value)?.into_owned()),
            "type" => type_name = Some(string(value)?.into_owned()),
            "type_oid" => type_oid = number::<Oid>(value),
            "typmod" => typmod = number::<i32>(value),
            "shape" => shape = Some(string(value)?.parse::<Shape>().map_err(|_| wrong())?),
            "identity" => key = is_true,
            "primary_key" => primary = is_true,
            "masked" => masked = is_true,
            _ => {}
        }
        Ok(())
    })?;
    let (name, type_oid) = (name.ok_or_else(wrong)?, type_oid.ok_or_else(wrong)?);
    let typmod = typmod.ok_or_else(wrong)?;
    let builtin = Shape::of_builtin(type_oid);
    let column = match masked {
        true => Column {
            name,
            type_oid: TEXT_OID,
            type_name: String::new(),
            typmod: -1,
            key,
            shape: Shape::TEXT,
        },
        false => Column {
            name,
            type_oid,
            // As the stream has it: a built-in type is known by its OID.
            type_name: match builtin {
                Some(_) => String::new(),
                None => type_name.unwrap_or_default(),
            },
            typmod,
            key,
            shape: builtin.or(shape).unwrap_or(Shape::TEXT),
        },
    };
    Ok((column, primary))
}
