//! The commands of a walsender.
//!
//! <https://www.postgresql.org/docs/current/protocol-replication.html>

use walgate_connection::{ConnectError, ReplicationStream};
use walgate_core::Lsn;
use walgate_pgoutput::{Dialect, Streaming};

use crate::config::{quote_identifier, quote_literal};

/// What IDENTIFY_SYSTEM says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// `systemid`.
    pub(crate) system_id: u64,
    /// `timeline`.
    pub(crate) timeline: u32,
    /// `xlogpos`: where the log has been flushed, on a standby replayed.
    pub(crate) flushed: Lsn,
}

/// IDENTIFY_SYSTEM; none when the answer makes no sense.
pub(crate) async fn identify(
    stream: &mut ReplicationStream,
) -> Result<Option<Identity>, ConnectError> {
    let rows = stream.simple_query("IDENTIFY_SYSTEM").await?;
    let read = || {
        let row = rows.first()?;
        Some(Identity {
            system_id: row.get("systemid")?.parse().ok()?,
            timeline: row.get("timeline")?.parse().ok()?,
            flushed: row.get("xlogpos")?.parse().ok()?,
        })
    };
    Ok(read())
}

/// Where the history of `timeline` left `ancestor`; none when `ancestor` is not in it.
pub(crate) async fn left_at(
    stream: &mut ReplicationStream,
    timeline: u32,
    ancestor: u32,
) -> Result<Option<Lsn>, ConnectError> {
    let rows = stream
        .simple_query(&format!("TIMELINE_HISTORY {timeline}"))
        .await?;
    let content = rows
        .first()
        .and_then(|row| row.bytes("content"))
        .unwrap_or_default();
    Ok(switch_point(&String::from_utf8_lossy(content), ancestor))
}

/// Lines of a history file: the parent timeline, where it was left, and why, with tabs between.
fn switch_point(history: &str, ancestor: u32) -> Option<Lsn> {
    history.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let timeline: u32 = fields.next()?.parse().ok()?;
        (timeline == ancestor)
            .then(|| fields.next()?.parse().ok())
            .flatten()
    })
}

/// CREATE_REPLICATION_SLOT; returns the consistent point. Server 14 has no parentheses, and
/// `failover` exists from 17 on.
pub(crate) async fn create_slot(
    stream: &mut ReplicationStream,
    name: &str,
    temporary: bool,
    failover: bool,
    major: i32,
) -> Result<Option<Lsn>, ConnectError> {
    let temporary = if temporary { " TEMPORARY" } else { "" };
    let options = match (major, failover) {
        (..=14, _) => "NOEXPORT_SNAPSHOT".to_owned(),
        (15..=16, _) | (_, false) => "(SNAPSHOT 'nothing')".to_owned(),
        (_, true) => "(SNAPSHOT 'nothing', FAILOVER true)".to_owned(),
    };
    let name = quote_identifier(name);
    let command = format!("CREATE_REPLICATION_SLOT {name}{temporary} LOGICAL pgoutput {options}");
    let rows = stream.simple_query(&command).await?;
    Ok(rows
        .first()
        .and_then(|row| row.get("consistent_point"))
        .and_then(|lsn| lsn.parse().ok()))
}

/// DROP_REPLICATION_SLOT.
pub(crate) async fn drop_slot(
    stream: &mut ReplicationStream,
    name: &str,
) -> Result<(), ConnectError> {
    stream
        .simple_query(&format!("DROP_REPLICATION_SLOT {}", quote_identifier(name)))
        .await?;
    Ok(())
}

/// START_REPLICATION, with values in binary form or as text. Messages are always asked for, so that
/// positions don't depend on the configuration.
pub(crate) async fn start(
    stream: &mut ReplicationStream,
    slot: &str,
    at: Lsn,
    publications: &[String],
    (dialect, binary): (Dialect, bool),
) -> Result<(), ConnectError> {
    stream
        .start_copy_both(&start_command(slot, at, publications, dialect, binary))
        .await
}

fn start_command(
    slot: &str,
    at: Lsn,
    publications: &[String],
    dialect: Dialect,
    binary: bool,
) -> String {
    let names: Vec<String> = publications
        .iter()
        .map(|name| quote_identifier(name))
        .collect();
    let names = quote_literal(&names.join(","));
    let streaming = match dialect.streaming {
        Streaming::Off => "",
        Streaming::On => ", streaming 'on'",
        Streaming::Parallel => ", streaming 'parallel'",
    };
    let binary = if binary { ", binary 'true'" } else { "" };
    format!(
        "START_REPLICATION SLOT {} LOGICAL {at} (proto_version '{}', publication_names {names}, messages 'true'{streaming}{binary})",
        quote_identifier(slot),
        dialect.version.number()
    )
}

#[cfg(test)]
mod tests {
    use walgate_pgoutput::ProtocolVersion;

    use super::*;

    #[test]
    fn names_are_quoted_for_the_list_and_for_the_literal() {
        let publications = ["plain".to_owned(), "it's \"odd\", really".to_owned()];
        let dialect = Dialect {
            version: ProtocolVersion::V1,
            streaming: Streaming::Off,
        };
        assert_eq!(
            start_command("s", Lsn(0x1_0000_0028), &publications, dialect, false),
            "START_REPLICATION SLOT \"s\" LOGICAL 1/28 (proto_version '1', publication_names \
             '\"plain\",\"it''s \"\"odd\"\", really\"', messages 'true')"
        );
    }

    #[test]
    fn a_history_tells_where_each_ancestor_was_left() {
        let history =
            "1\t0/3000000\tno recovery target specified\n\n2\t0/5000148\tbefore 2000-01-01\n";
        assert_eq!(switch_point(history, 1), Some(Lsn(0x300_0000)));
        assert_eq!(switch_point(history, 2), Some(Lsn(0x500_0148)));
        assert_eq!(switch_point(history, 3), None);
        assert_eq!(switch_point("nonsense", 1), None);
    }
}
