//! Everything that is not a row: truncate, message, schema, begin, commit, gap.

use bytes::{BufMut, BytesMut};
use walgate_core::{ColumnUse, Gap, Lsn, Table};

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

/// The columns that the sink gets, in table order.
pub(super) fn put_columns(table: &Table, out: &mut BytesMut) {
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
        out.put_u8(b'}');
    }
    out.put_u8(b']');
}

pub(super) fn put_gap(gap: &Gap, out: &mut BytesMut) {
    put_lsn(b",\"from\":\"", gap.from, out);
    put_lsn(b",\"to\":\"", gap.to, out);
    out.put_slice(b",\"reason\":");
    write_str(gap.reason.name(), out);
}
