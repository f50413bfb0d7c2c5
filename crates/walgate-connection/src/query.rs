//! Simple queries on a byte stream: the only kind of query that a walsender knows.
//!
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SIMPLE-QUERY>

use std::sync::Arc;

use bytes::Bytes;
use pgwire_replication::protocol::framing::write_query;

use crate::error::ConnectError;
use crate::framing::{MAX_QUERY_MESSAGE, Messages, convert, split_cstr};
use crate::remedy::Circumstances;
use crate::server_error::Notice;
use crate::startup::{Session, refusal, unexpected};
use crate::transport::Transport;

/// All rows of one query together. What is asked here has a handful of rows; catalogs are read
/// through the connection for SQL.
const MAX_RESULT_BYTES: usize = 64 << 20;

/// Most columns of a result, PostgreSQL's `MaxTupleAttributeNumber`.
const MAX_COLUMNS: usize = 1664;

/// A row in text form, with the names of its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    columns: Arc<[String]>,
    values: Vec<Option<Bytes>>,
}

impl Row {
    /// The value of a column by its name, as text; `None` for NULL, for an unknown column, and for
    /// bytes that are not UTF-8.
    #[must_use]
    pub fn get(&self, column: &str) -> Option<&str> {
        self.bytes(column)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The value of a column by its index from 0, as text; `None` as for [`get`](Self::get).
    #[must_use]
    pub fn at(&self, index: usize) -> Option<&str> {
        self.values
            .get(index)?
            .as_deref()
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The bytes of a column by its name, as the server sent them. The content of
    /// `TIMELINE_HISTORY` is such raw bytes.
    #[must_use]
    pub fn bytes(&self, column: &str) -> Option<&[u8]> {
        let index = self.columns.iter().position(|name| name == column)?;
        self.values.get(index)?.as_deref()
    }

    /// The names of the columns, in order.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The values in order, as text where they are UTF-8.
    #[must_use]
    pub fn texts(&self) -> Vec<Option<String>> {
        (0..self.values.len())
            .map(|index| self.at(index).map(str::to_owned))
            .collect()
    }
}

/// Runs a query and collects its rows. An error of the server is returned after the session is
/// ready again.
pub(crate) async fn simple_query(
    stream: &mut Transport,
    session: &mut Session,
    sql: &str,
    circumstances: &Circumstances<'_>,
) -> Result<Vec<Row>, ConnectError> {
    let endpoint = circumstances.endpoint;
    send(stream, sql, endpoint).await?;
    let mut messages = Messages::with_limit(MAX_QUERY_MESSAGE);
    let mut columns: Arc<[String]> = Arc::from([]);
    let mut rows = Vec::new();
    let mut failure = None;
    let mut budget = MAX_RESULT_BYTES;
    loop {
        let message = messages.next(stream, endpoint).await?;
        let broken = |what: &str| ConnectError::protocol(endpoint, format!("{what} is malformed"));
        match message.tag {
            b'T' => {
                columns =
                    row_description(&message.payload).ok_or_else(|| broken("RowDescription"))?;
            }
            b'D' => {
                let size = message.payload.len() + 64;
                budget = budget.checked_sub(size).ok_or_else(|| {
                    ConnectError::protocol(endpoint, "a result of more than 64 MiB")
                })?;
                let values = data_row(&message.payload).filter(|row| row.len() == columns.len());
                let values = values.ok_or_else(|| broken("DataRow"))?;
                rows.push(Row {
                    columns: Arc::clone(&columns),
                    values,
                });
            }
            b'C' | b'I' => {}
            b'E' => failure = Some(refusal(circumstances, &message.payload)),
            b'Z' => return failure.map_or(Ok(rows), Err),
            tag => aside(session, tag, &message.payload, endpoint)?,
        }
    }
}

/// Runs a command that answers with `CopyBothResponse`, and returns when that has come.
pub(crate) async fn start_copy_both(
    stream: &mut Transport,
    session: &mut Session,
    sql: &str,
    circumstances: &Circumstances<'_>,
) -> Result<(), ConnectError> {
    let endpoint = circumstances.endpoint;
    send(stream, sql, endpoint).await?;
    let mut messages = Messages::with_limit(MAX_QUERY_MESSAGE);
    let mut failure = None;
    loop {
        let message = messages.next(stream, endpoint).await?;
        match (message.tag, failure) {
            (b'W', None) => return Ok(()),
            (b'E', _) => failure = Some(refusal(circumstances, &message.payload)),
            (b'Z', Some(error)) => return Err(error),
            (tag, earlier) => {
                aside(session, tag, &message.payload, endpoint)?;
                failure = earlier;
            }
        }
    }
}

async fn send(stream: &mut Transport, sql: &str, endpoint: &str) -> Result<(), ConnectError> {
    if sql.contains('\0') {
        return Err(ConnectError::protocol(
            endpoint,
            "a query with a NUL character was not sent",
        ));
    }
    write_query(stream, sql)
        .await
        .map_err(|error| convert(error, endpoint, "send a query"))
}

/// Messages that may come at any time.
fn aside(
    session: &mut Session,
    tag: u8,
    payload: &[u8],
    endpoint: &str,
) -> Result<(), ConnectError> {
    /// More than this is dropped: a query must not fill our memory with warnings.
    const MAX_NOTICES: usize = 1000;
    match tag {
        b'N' => {
            let notice = Notice::parse(payload);
            tracing::debug!(%notice, "notice of the server");
            if session.notices.len() < MAX_NOTICES {
                session.notices.push(notice);
            }
            Ok(())
        }
        b'S' => {
            let pair = split_cstr(payload)
                .and_then(|(name, rest)| split_cstr(rest).map(|(value, _)| (name, value)));
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            // Only known names are updated, so that the map cannot grow.
            if let Some((name, value)) = pair
                && let Some(known) = session.parameters.get_mut(&text(name))
            {
                *known = text(value);
            }
            Ok(())
        }
        tag => Err(unexpected(endpoint, tag, "a query")),
    }
}

/// Names of the columns: a count, then for each a name and 18 bytes about its type.
fn row_description(payload: &[u8]) -> Option<Arc<[String]>> {
    const ABOUT_TYPE: usize = 18;
    let (count, mut rest) = payload.split_first_chunk::<2>()?;
    let count = usize::from(u16::from_be_bytes(*count));
    if count > MAX_COLUMNS {
        return None;
    }
    let mut names = Vec::with_capacity(count);
    for _ in 0..count {
        let (name, tail) = split_cstr(rest)?;
        names.push(String::from_utf8_lossy(name).into_owned());
        rest = tail.get(ABOUT_TYPE..)?;
    }
    rest.is_empty().then(|| names.into())
}

/// Values: a count, then for each a length (-1 for NULL) and its bytes.
fn data_row(payload: &Bytes) -> Option<Vec<Option<Bytes>>> {
    let (count, mut rest) = payload.split_first_chunk::<2>()?;
    let count = usize::from(u16::from_be_bytes(*count));
    if count > MAX_COLUMNS {
        return None;
    }
    let mut values = Vec::with_capacity(count);
    for _ in 0..count {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let length = i32::from_be_bytes(*length);
        if length == -1 {
            values.push(None);
            rest = tail;
            continue;
        }
        let (value, tail) = tail.split_at_checked(usize::try_from(length).ok()?)?;
        values.push(Some(payload.slice_ref(value)));
        rest = tail;
    }
    rest.is_empty().then_some(values)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::{data_row, row_description};

    const DESCRIPTION: &[u8] = b"\0\x02a\0ABCDEFGHIJKLMNOPQRb\0ABCDEFGHIJKLMNOPQR";
    const ROW: &[u8] = b"\0\x02\0\0\0\x02hi\xff\xff\xff\xff";

    #[test]
    fn well_formed_messages() {
        let columns = row_description(DESCRIPTION).expect("well-formed");
        assert_eq!(columns.as_ref(), ["a", "b"]);
        let values = data_row(&Bytes::from_static(ROW)).expect("well-formed");
        assert_eq!(values, [Some(Bytes::from_static(b"hi")), None]);
    }

    #[test]
    fn cut_or_too_long_messages_are_refused() {
        for end in 0..DESCRIPTION.len() {
            assert_eq!(row_description(&DESCRIPTION[..end]), None, "cut at {end}");
        }
        for end in 0..ROW.len() {
            assert_eq!(
                data_row(&Bytes::from_static(&ROW[..end])),
                None,
                "cut at {end}"
            );
        }
        assert_eq!(row_description(&[DESCRIPTION, b"x"].concat()), None);
        assert_eq!(data_row(&Bytes::from([ROW, b"x"].concat())), None);
        assert_eq!(
            data_row(&Bytes::from_static(b"\0\x01\xff\xff\xff\xfe")),
            None
        );
        assert_eq!(
            data_row(&Bytes::from_static(b"\0\x01\x7f\xff\xff\xff")),
            None
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(row_description(&bytes));
            drop(data_row(&Bytes::from(bytes)));
        }
    }
}
