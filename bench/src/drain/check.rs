//! Whether what was drained is what was written: a program that loses or repeats changes has no rate.

use std::hash::{DefaultHasher, Hasher};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use postgres::{Client, NoTls};

use crate::contender::{self, Contender, Run};
use crate::measure::Figure;

/// How many events there are, and a sum over the bytes of each that does not depend on their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Digest {
    events: u64,
    sum: u64,
}

impl Digest {
    fn add(&mut self, event: &[u8]) {
        let mut hasher = DefaultHasher::new();
        hasher.write(event);
        self.events += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

/// What Walgate makes of a backlog.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Printed {
    /// Messages into Kafka: an event each, and a tombstone behind each deletion.
    pub(crate) messages: u64,
    /// Of all events.
    bytes: u64,
}

impl Printed {
    /// The mean of a message's value, in bytes.
    pub(crate) const fn bytes_a_message(self) -> u64 {
        match self.bytes.checked_div(self.messages) {
            Some(bytes) => bytes,
            None => 0,
        }
    }
}

/// Fails unless what `walgate tail` prints is all of the backlog, each change once and in order, and what
/// it says is what the table holds.
pub(super) fn tailed(run: &Run<'_>) -> Result<(Digest, Printed)> {
    printed(contender::tail(run)?, run).context("walgate tail")
}

/// Fails unless `walgate run` prints the same bytes where it asks for binary values.
pub(super) fn binary(run: &Run<'_>, expected: Digest) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (digest, _) = printed(contender::binary(run, folder.path())?, run)?;
    ensure!(
        digest == expected,
        "binary values make {digest:?}, text {expected:?}"
    );
    Ok(())
}

fn printed(mut command: Command, run: &Run<'_>) -> Result<(Digest, Printed)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = BufReader::new(child.stdout.take().context("no output")?);
    let (mut digest, mut of_all) = (Digest::default(), Printed::default());
    let (mut rows, mut last) = (0_i64, String::new());
    for line in output.lines() {
        let line = line?;
        let event: serde_json::Value = serde_json::from_str(&line)?;
        let id = event["id"].as_str().context("an event without id")?;
        ensure!(id > last.as_str(), "{id} comes behind {last}");
        id.clone_into(&mut last);
        digest.add(line.as_bytes());
        let (of_row, messages) = match event["op"].as_str() {
            Some("insert") => (1, 1),
            Some("delete") => (-1, 2),
            _ => (0, 1),
        };
        rows += of_row;
        of_all.messages += messages;
        of_all.bytes += line.len() as u64;
    }
    ensure!(child.wait()?.success(), "it failed");
    let (printed, expected) = (digest.events, run.backlog.changes);
    ensure!(
        printed == expected,
        "it has {printed} of {expected} changes"
    );
    let held = rows_held(run.admin)?;
    ensure!(
        rows == held,
        "it leaves {rows} rows, the server holds {held}"
    );
    Ok((digest, of_all))
}

/// Fails unless the topics of a drain into Kafka hold the same events, byte for byte, each once.
pub(super) fn stored(run: &Run<'_>, expected: Digest) -> Result<()> {
    let mut digest = Digest::default();
    for table in tables(run.admin)? {
        let topic = format!("{}.{table}", run.slot);
        walgate_tests::each_record(&run.bootstrap, &topic, |_, record| {
            // What has no value is the tombstone behind a deletion.
            if let Some(value) = record.value {
                digest.add(value.as_bytes());
            }
            Ok(())
        })?;
    }
    ensure!(
        digest == expected,
        "Kafka holds {digest:?}, walgate tail prints {expected:?}"
    );
    Ok(())
}

/// Fails unless a contender has told the server that it has everything. Programs of others tell when they
/// like.
pub(super) fn confirmed(contender: &Contender, run: &Run<'_>) -> Result<()> {
    let is_free = matches!(
        contender,
        Contender::Peer(_) | Contender::Pgwire | Contender::Producer
    );
    if is_free {
        return Ok(());
    }
    let mut client = Client::connect(run.admin, NoTls)?;
    let confirmed = "select confirmed_flush_lsn >= $2::text::pg_lsn, confirmed_flush_lsn::text
        from pg_replication_slots where slot_name = $1";
    let row = client.query_one(confirmed, &[&run.slot, &run.backlog.end])?;
    ensure!(
        row.get::<_, bool>(0),
        "{} has confirmed {}, the backlog ends at {}",
        contender.name(),
        row.get::<_, &str>(1),
        run.backlog.end
    );
    Ok(())
}

/// Fails unless all who count messages have counted the same, and at least one for each change.
pub(super) fn counted(contenders: &[Contender], figures: &[Figure], changes: u64) -> Result<()> {
    let mut first = None;
    for (contender, figure) in contenders.iter().zip(figures) {
        if !contender.counts_messages() {
            continue;
        }
        let name = contender.name();
        let counted = figure
            .counted
            .with_context(|| format!("{name} says no count"))?;
        ensure!(
            counted >= changes,
            "{name} has counted {counted} messages for {changes} changes"
        );
        let (other, expected) = *first.get_or_insert((name, counted));
        ensure!(
            counted == expected,
            "{name} has counted {counted} messages, {other} {expected}"
        );
    }
    Ok(())
}

/// Rows in all tables of the backlog.
fn rows_held(url: &str) -> Result<i64> {
    let mut client = Client::connect(url, NoTls)?;
    let mut rows = 0;
    for table in tables(url)? {
        let count = client.query_one(&format!("select count(*) from {table}"), &[])?;
        rows += count.get::<_, i64>(0);
    }
    Ok(rows)
}

/// The tables of the backlog.
fn tables(url: &str) -> Result<Vec<String>> {
    let mut client = Client::connect(url, NoTls)?;
    let tables = client.query("select tablename from pg_publication_tables", &[])?;
    Ok(tables.iter().map(|row| row.get(0)).collect())
}
