//! An event cut into its keys.

use std::borrow::Cow;

use walgate_core::{Lsn, Position, Transaction};

use crate::DecodeError;
use crate::clock::commit_time;
use crate::scanner::{members, string};

/// The keys of an event, verbatim; what is not there, or is not known, is none.
#[derive(Debug, Default)]
pub(crate) struct Event<'a> {
    id: Option<&'a str>,
    op: Option<&'a str>,
    schema: Option<&'a str>,
    table: Option<&'a str>,
    pub(crate) before: Option<&'a str>,
    pub(crate) after: Option<&'a str>,
    pub(crate) unchanged: Option<&'a str>,
    lsn: Option<&'a str>,
    xid: Option<&'a str>,
    time: Option<&'a str>,
    cascade: Option<&'a str>,
    restart_identity: Option<&'a str>,
    prefix: Option<&'a str>,
    content: Option<&'a str>,
    content_base64: Option<&'a str>,
    pub(crate) columns: Option<&'a str>,
    pub(crate) oid: Option<&'a str>,
    pub(crate) replica_identity: Option<&'a str>,
    from: Option<&'a str>,
    to: Option<&'a str>,
    reason: Option<&'a str>,
}

type Text<'a> = Result<Cow<'a, str>, DecodeError>;

fn text<'a>(value: Option<&'a str>, name: &'static str) -> Text<'a> {
    string(value.ok_or(DecodeError::Missing(name))?).map_err(|_| DecodeError::Senseless(name))
}

fn flag(value: Option<&str>, name: &'static str) -> Result<bool, DecodeError> {
    match value.map(str::trim_ascii) {
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(_) => Err(DecodeError::Senseless(name)),
        None => Err(DecodeError::Missing(name)),
    }
}

impl<'a> Event<'a> {
    /// Reads a record's value.
    pub(crate) fn read(value: &'a [u8]) -> Result<Self, DecodeError> {
        let value = std::str::from_utf8(value).map_err(|_| DecodeError::NotUtf8)?;
        let mut event = Self::default();
        members(value, |name, value| {
            let place = match name.as_ref() {
                "id" => &mut event.id,
                "op" => &mut event.op,
                "schema" => &mut event.schema,
                "table" => &mut event.table,
                "before" => &mut event.before,
                "after" => &mut event.after,
                "unchanged" => &mut event.unchanged,
                "lsn" => &mut event.lsn,
                "xid" => &mut event.xid,
                "time" => &mut event.time,
                "cascade" => &mut event.cascade,
                "restart_identity" => &mut event.restart_identity,
                "prefix" => &mut event.prefix,
                "content" => &mut event.content,
                "content_base64" => &mut event.content_base64,
                "columns" => &mut event.columns,
                "oid" => &mut event.oid,
                "replica_identity" => &mut event.replica_identity,
                "from" => &mut event.from,
                "to" => &mut event.to,
                "reason" => &mut event.reason,
                // Keys may be added.
                _ => return Ok(()),
            };
            *place = Some(value);
            Ok(())
        })?;
        Ok(event)
    }

    pub(crate) fn op(&self) -> Text<'a> {
        text(self.op, "op")
    }

    pub(crate) fn position(&self) -> Result<Position, DecodeError> {
        let id = text(self.id, "id")?;
        // An LSN is a position elsewhere; an id is none.
        let id = Some(id).filter(|id| !id.contains('/'));
        id.and_then(|id| id.parse().ok())
            .ok_or(DecodeError::Senseless("id"))
    }

    pub(crate) fn schema(&self) -> Text<'a> {
        text(self.schema, "schema")
    }

    pub(crate) fn table(&self) -> Text<'a> {
        text(self.table, "table")
    }

    pub(crate) fn transaction(&self) -> Result<Transaction, DecodeError> {
        let xid = self.xid.ok_or(DecodeError::Missing("xid"))?.trim_ascii();
        let time = text(self.time, "time")?;
        Ok(Transaction {
            xid: xid.parse().map_err(|_| DecodeError::Senseless("xid"))?,
            commit_lsn: lsn(self.lsn, "lsn")?,
            commit_time: commit_time(&time).ok_or(DecodeError::Senseless("time"))?,
        })
    }

    pub(crate) fn cascade(&self) -> Result<bool, DecodeError> {
        flag(self.cascade, "cascade")
    }

    pub(crate) fn restart_identity(&self) -> Result<bool, DecodeError> {
        flag(self.restart_identity, "restart_identity")
    }

    pub(crate) fn prefix(&self) -> Text<'a> {
        text(self.prefix, "prefix")
    }

    pub(crate) fn content(&self) -> Result<Vec<u8>, DecodeError> {
        use base64::Engine as _;

        if self.content.is_some() {
            return Ok(text(self.content, "content")?.into_owned().into_bytes());
        }
        let base64 = text(self.content_base64, "content_base64")?;
        let bytes = base64::prelude::BASE64_STANDARD.decode(base64.as_bytes());
        bytes.map_err(|_| DecodeError::Senseless("content_base64"))
    }

    /// From where to where changes are lost, and why.
    pub(crate) fn gap(&self) -> Result<(Lsn, Lsn, Cow<'a, str>), DecodeError> {
        let reason = text(self.reason, "reason")?;
        Ok((lsn(self.from, "from")?, lsn(self.to, "to")?, reason))
    }
}

fn lsn(value: Option<&str>, name: &'static str) -> Result<Lsn, DecodeError> {
    let text = text(value, name)?;
    text.parse().map_err(|_| DecodeError::Senseless(name))
}
