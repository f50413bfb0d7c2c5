//! Rewinds that make no sense, with the reason; and a sink that is not a Kafka.

use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use walgate_tests::{Bed, CREATED, events, file_sink, journal_on_disk, refused, stop, until};
use walgate_throwaway::PgVersion;

use super::beds::{OVER, command};

const SETUP: &str = "create table t (id int primary key);\ncreate publication walgate for table t;";

fn with_journal(name: &str) -> Result<Bed> {
    let mut bed = Bed::shared(PgVersion::V17, name, SETUP)?;
    bed.more = journal_on_disk("");
    let sinks = file_sink(&bed.path("all.ndjson"));
    bed.configure(&format!(
        "{sinks}\n[sinks.out]\ntype = \"stdout\"\n\
         [sinks.kafka]\ntype = \"kafka\"\nrequired = false\nbrokers = [\"127.0.0.1:1\"]\n"
    ))?;
    Ok(bed)
}

#[test]
fn what_makes_no_sense_is_refused() -> Result<()> {
    let bed = with_journal("rewind_refused")?;
    let refuse = |words: &[&str], code, texts: &[&str]| -> Result<()> {
        let words: Vec<_> = ["rewind"].iter().chain(words).copied().collect();
        refused(&command(&bed, &words)?, code, texts, &[]).with_context(|| format!("{words:?}"))
    };
    refuse(&["out", "--to", "0/1"], 1, &["no walgate runs", "state"])?;
    let mut program = bed.serve()?;
    let mode = std::fs::metadata(bed.path("state/control.sock"))?.permissions();
    ensure!(mode.mode() & 0o777 == 0o600, "{mode:?}");
    bed.sql("insert into t values (1);\ninsert into t values (2);")?;
    bed.until_confirmed(&mut program)?;
    until("the file has it", || {
        Ok(events(&bed.path("all.ndjson"))?.len() == 2)
    })?;
    refuse(
        &["other", "--to", "0/1"],
        2,
        &["no sink other", "file, kafka, out"],
    )?;
    refuse(
        &["kafka", "--to", "0/1"],
        2,
        &["is a Kafka", "--accept-reorder", "walgate-replay"],
    )?;
    refuse(
        &["file", "--to", "0/1"],
        2,
        &["each event once", "walgate replay"],
    )?;
    refuse(
        &["out", "--to", "0/1"],
        2,
        &["does not retain", "its oldest is", "or later"],
    )?;
    refuse(&["out", "--to", "F/0"], 2, &["is at", "anyway"])?;
    refuse(&["out", "--to", "2100-01-01"], 2, &["no transaction"])?;
    let ended = command(&bed, &["rewind", "out", "--to", "yesterday"])?;
    ensure!(ended.status.code() == Some(2), "{}", ended.stderr);
    let known = [
        CREATED,
        "sink=\"kafka\"",
        "kafka is unreachable",
        "optional",
    ];
    stop(program, &known)?;
    ensure!(!bed.path("state/control.sock").exists(), "it goes");
    Ok(())
}

#[test]
fn without_a_journal_on_disk_there_is_nothing() -> Result<()> {
    let mut bed = with_journal("rewind_no_disk")?;
    bed.more.clear();
    bed.configure("[sinks.out]\ntype = \"stdout\"\n")?;
    let program = bed.serve()?;
    let mut ended = command(&bed, &["rewind", "out", "--to", "0/1"])?;
    until("it runs", || {
        ended = command(&bed, &["rewind", "out", "--to", "0/1"])?;
        Ok(!ended.stderr.contains("still starting"))
    })?;
    refused(&ended, 2, &["no journal on disk", "[journal] path"], &[])?;
    stop(program, &[CREATED]).map(drop)
}

/// Standard output gets the same lines again.
#[test]
fn standard_output_gets_the_same_lines_again() -> Result<()> {
    let mut bed = with_journal("rewind_stdout")?;
    bed.configure("[sinks.out]\ntype = \"stdout\"\n")?;
    let mut program = bed.serve()?;
    bed.sql("insert into t values (1);\ninsert into t values (2);\ninsert into t values (3);")?;
    let first = [program.line()?, program.line()?, program.line()?];
    bed.until_confirmed(&mut program)?;
    let second = first[1].get(7..32).context("an id")?.to_owned();
    until("it is accepted", || {
        let ended = command(&bed, &["rewind", "out", "--to", &second])?;
        Ok(ended.status.success())
    })?;
    ensure!([program.line()?, program.line()?] == first[1..], "the same");
    program.wait_for_log(OVER)?;
    // A time is that of the first transaction which comes again.
    let time = serde_json::from_str::<Value>(&first[2])?["time"].clone();
    let time = time.as_str().context("a time")?.to_owned();
    until("it is accepted", || {
        let ended = command(&bed, &["rewind", "out", "--to", &time])?;
        Ok(ended.status.success())
    })?;
    ensure!(program.line()? == first[2], "the last again");
    bed.sql("insert into t values (4);")?;
    let next = program.line()?;
    ensure!(next.contains("\"key\":{\"id\":4}"), "{next}");
    stop(program, &[CREATED]).map(drop)
}
