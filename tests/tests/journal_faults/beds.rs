//! A bed with a journal on disk, and a sink that is down.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use serde_json::Value;
use walgate_tests::{
    Bed, CREATED, LEDGER, Program, Workload, events, file_sink, journal_on_disk, until,
};
use walgate_throwaway::PgVersion;

/// What a sink that is down may say.
pub(crate) const DOWN: &[&str] = &[
    CREATED,
    "kafka is unreachable",
    "sink=\"out\"",
    "sink=\"kafka\"",
];

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

/// A database with the table of the workload, and a journal on disk in small segments.
pub(crate) fn bed(name: &str) -> Result<Bed> {
    let setup = format!("{LEDGER};\ncreate publication walgate for table ledger;");
    let mut bed = Bed::shared(PgVersion::V17, name, &setup)?;
    bed.more = journal_on_disk("");
    Ok(bed)
}

/// A sink named `out` that is a file.
pub(crate) fn up(bed: &Bed) -> String {
    file_sink(&bed.path("out.ndjson")).replace("[sinks.file]", "[sinks.out]")
}

/// A sink named `out` that is a Kafka which is not there.
pub(crate) fn down() -> String {
    format!(
        "[sinks.out]\ntype = \"kafka\"\nbrokers = [\"{NOWHERE}\"]\ntopic = \"nowhere\"\nbuffer = \"1MiB\"\n"
    )
}

/// What the sink `out` has, when it is a file.
pub(crate) fn out(bed: &Bed) -> Result<Vec<Value>> {
    events(&bed.path("out.ndjson"))
}

/// Makes the slot while everything is up, and takes the sink down.
pub(crate) fn begin_and_take_down(bed: &mut Bed) -> Result<()> {
    let sink = up(bed);
    bed.configure(&sink)?;
    bed.begin()?;
    bed.configure(&down()).map(drop)
}

/// Waits until the workload has committed so many more transactions: time passes for everybody.
pub(crate) fn work(workload: &Workload, transactions: u64) -> Result<()> {
    let from = workload.committed();
    until("the workload goes on", || {
        Ok(workload.committed() >= from + transactions)
    })
}

/// The events of a sink come in the order of the log, each once.
pub(crate) fn once_in_order(events: &[Value]) -> Result<()> {
    let ids: Vec<_> = events.iter().map(|event| event["id"].as_str()).collect();
    ensure!(
        ids.is_sorted_by(|a, b| a < b),
        "an event is repeated or out of order"
    );
    Ok(())
}

/// The files of the journal, oldest first.
pub(crate) fn segments(bed: &Bed) -> Result<Vec<PathBuf>> {
    let mut files: Vec<_> = std::fs::read_dir(bed.path("journal"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|kind| kind == "segment"));
    files.sort();
    Ok(files)
}

/// Ends it as a crash does.
pub(crate) fn kill(program: Program) -> Result<String> {
    program.signal("KILL")?;
    Ok(program.wait()?.stderr)
}
