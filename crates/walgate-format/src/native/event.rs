//! Everything that is not a row: truncate, message, schema, begin, commit, gap.

use bytes::{BufMut, BytesMut};
use walgate_core::{Column, ColumnUse, Gap, Lsn, Relation, ReplicaIdentity, Shape, Table};

use super::stamp::put_lsn;
use crate::escape::write_str;
use crate::type_name::builtin_type_name;
use crate::value::write_base64;

pub(super) fn put_bool(lead: &[u8], value: bool, out: &mut BytesMut) {
    out.put_slice(lead);
    out.put_slice(if value { b"true" } else { b"false" });
}

/// A message's own LSN, when no transaction tells where it stands.
pub(super) fn put_message_lsn(lsn: Lsn, out: &mut BytesMut) {
    put_lsn(b",\"lsn\":\"", lsn, out);
}

pub(super) fn put_message(prefix: &str, content: &[u8], transactional: bool, out: &mut BytesMut) {
    out.put_slice(b",\"prefix\":");
    write_str(prefix, out);
    match str::from_utf8(content) {
        Ok(text) => {
            out.put_slice(b",\"content\":");
            write_str(text, out);
        }
        Err(_) => {
            out.put_slice(b",\"content_base64\":");
            write_base64(content, out);
        }
    }
    put_bool(b",\"transactional\":", transactional, out);
}

/// The columns that the sink gets, in table order, and what makes the definition whole: who has the
/// events can read the rows as if they came from the log itself.
pub(super) fn put_definition(table: &Table, out: &mut BytesMut) {
    put_columns(table, out);
    let identity = match table.relation.identity {
        ReplicaIdentity::Default => "default",
        ReplicaIdentity::Nothing => "nothing",
        ReplicaIdentity::Full => "full",
        ReplicaIdentity::Index => "index",
    };
    let oid = table.relation.oid;
    let rest = format!(",\"oid\":{oid},\"replica_identity\":\"{identity}\"");
    out.put_slice(rest.as_bytes());
}

fn put_columns(table: &Table, out: &mut BytesMut) {
    out.put_slice(b",\"columns\":[");
    let mut first = true;
    for ((place, column), usage) in (0u16..).zip(&table.relation.columns).zip(&table.columns) {
        if *usage == ColumnUse::Drop {
            continue;
        }
        if !std::mem::take(&mut first) {
            out.put_u8(b',');
        }
        out.put_slice(b"{\"name\":");
        write_str(&column.name, out);
        let known = Some(column.type_name.as_str()).filter(|name| !name.is_empty());
        if let Some(name) = known.or_else(|| builtin_type_name(column.type_oid)) {
            out.put_slice(b",\"type\":");
            write_str(name, out);
        }
        let numbers = format!(
            ",\"type_oid\":{},\"typmod\":{}",
            column.type_oid, column.typmod
        );
        out.put_slice(numbers.as_bytes());
        put_bool(b",\"key\":", table.key.contains(&place), out);
        put_traits(&table.relation, place, column, *usage, out);
        out.put_u8(b'}');
    }
    out.put_u8(b']');
}

/// What few columns have.
fn put_traits(
    relation: &Relation,
    place: u16,
    column: &Column,
    usage: ColumnUse,
    out: &mut BytesMut,
) {
    // Under FULL all columns are in the identity.
    if column.key && relation.identity != ReplicaIdentity::Full {
        out.put_slice(b",\"identity\":true");
    }
    if relation.primary_key.contains(&place) {
        out.put_slice(b",\"primary_key\":true");
    }
    if usage == ColumnUse::Mask {
        out.put_slice(b",\"masked\":true");
    } else if Shape::of_builtin(column.type_oid).is_none() && column.shape != Shape::TEXT {
        out.put_slice(format!(",\"shape\":\"{}\"", column.shape).as_bytes());
    }
}

pub(super) fn put_gap(gap: &Gap, out: &mut BytesMut) {
    put_lsn(b",\"from\":\"", gap.from, out);
    put_lsn(b",\"to\":\"", gap.to, out);
    out.put_slice(b",\"reason\":");
    write_str(gap.reason.name(), out);
}
