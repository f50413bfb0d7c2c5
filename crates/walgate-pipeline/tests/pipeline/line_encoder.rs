//! One readable line for each change.

use std::fmt::Write;

use bytes::BytesMut;
use walgate_core::{Body, Change, EncodeError, Encoded, Encoder, Span};

/// Writes `id op table detail`. Refuses a row whose id column is among `poison`.
#[derive(Debug, Default, Clone)]
pub(crate) struct LineEncoder {
    pub(crate) poison: Vec<String>,
    /// Stands behind each line.
    pub(crate) mark: String,
}

impl Encoder for LineEncoder {
    fn encode(&mut self, change: &Change<'_>, out: &mut BytesMut) -> Result<Encoded, EncodeError> {
        let line = line_of(change) + &self.mark;
        if self
            .poison
            .iter()
            .any(|poison| line.contains(poison.as_str()))
        {
            out.write_str("half of it").expect("room");
            out.truncate(out.len() - "half of it".len());
            return Err(EncodeError {
                message: "column note is poison".into(),
                hint: None,
            });
        }
        let start = out.len() as u32;
        out.write_str(&line).expect("room");
        let value = Span {
            start,
            end: out.len() as u32,
        };
        out.write_str("\n").expect("room");
        Ok(Encoded {
            value,
            key: None,
            old_key: None,
        })
    }
}

pub(crate) fn line_of(change: &Change<'_>) -> String {
    let op = change.body.op().name();
    let table = change
        .body
        .table()
        .map_or("-", |table| table.relation.name.as_str());
    let detail = match change.body {
        Body::Commit { changes } => changes.to_string(),
        Body::Gap(gap) => format!("{}..{} {}", gap.from, gap.to, gap.reason),
        Body::Message { content, .. } => String::from_utf8_lossy(content).into_owned(),
        _ => change
            .transaction
            .map_or(String::new(), |t| t.xid.to_string()),
    };
    format!("{} {op} {table} {detail}", change.position)
}
