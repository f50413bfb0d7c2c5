//! Row 60 for the journal's folder: of another slot, without its checkpoint, in use, lost.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use walgate_tests::{Bed, Ended, Program, events, failed, journal_on_disk, refused, stop, until};

use super::beds::{DOWN, bed, begin_and_take_down, out, segments, up};

/// A bed whose sink is down and lacks row 1, which is confirmed.
fn behind(name: &str) -> Result<Bed> {
    let mut bed = bed(name)?;
    begin_and_take_down(&mut bed)?;
    bed.sql("insert into ledger values (1, 1, 0, 'x');")?;
    let mut program = bed.serve()?;
    bed.until_confirmed(&mut program)?;
    stop(program, DOWN)?;
    let sink = up(&bed);
    bed.configure(&sink)?;
    Ok(bed)
}

/// It is refused, and neither the slot nor the files of the journal are touched.
fn is_refused(bed: &Bed, texts: &[&str]) -> Result<Ended> {
    let before = (bed.confirmed()?, segments(bed)?);
    let ended = bed.start()?.wait()?;
    refused(&ended, 8, texts, &[])?;
    ensure!(
        (bed.confirmed()?, segments(bed)?) == before,
        "it is as it was"
    );
    Ok(ended)
}

fn ids(path: &Path) -> Result<Vec<i64>> {
    let ids = events(path)?;
    ids.iter()
        .map(|event| event["key"]["id"].as_i64().context("an id"))
        .collect()
}

#[test]
fn of_another_slot() -> Result<()> {
    let (one, other) = (behind("journal_of_one")?, behind("journal_of_other")?);
    let (own, kept) = (one.path("journal"), one.path("kept"));
    std::fs::rename(&own, &kept)?;
    std::fs::rename(other.path("journal"), &own)?;
    is_refused(&one, &["journal_of_one", "journal_of_other"])?;
    std::fs::remove_dir_all(&own)?;
    std::fs::rename(&kept, &own)?;
    one.catch_up(&[])?;
    ensure!(ids(&one.path("out.ndjson"))? == [1]);
    Ok(())
}

#[test]
fn without_its_checkpoint() -> Result<()> {
    let bed = behind("journal_alone")?;
    let (state, kept) = (bed.path("state"), bed.path("kept"));
    std::fs::rename(&state, &kept)?;
    is_refused(&bed, &["checkpoint"])?;
    std::fs::remove_dir_all(&state)?;
    std::fs::rename(&kept, &state)?;
    bed.catch_up(&[])?;
    ensure!(ids(&bed.path("out.ndjson"))? == [1]);
    Ok(())
}

#[test]
fn in_use() -> Result<()> {
    let mut bed = behind("journal_in_use")?;
    let program = bed.serve()?;
    let pid = program.pid().to_string();
    let config = bed.write_config_as("other.toml", "other_state")?;
    // The other has a slot of its own, and the same folder.
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(
        &config,
        text.replace("slot = \"journal_in_use\"", "slot = \"journal_second\""),
    )?;
    let args = ["run".as_ref(), "-c".as_ref(), config.as_os_str()];
    let ended = Program::start(args)?.wait()?;
    failed(&ended, 8, &["in use by process", &pid, "hint: "])?;
    stop(program, &[])?;
    bed.more = journal_on_disk("");
    bed.catch_up(&[])?;
    ensure!(ids(&bed.path("out.ndjson"))? == [1]);
    Ok(())
}

/// What was confirmed by its fsync and not delivered is nowhere any more: it stops with the sink and
/// the positions; by policy it goes on, with a gap event.
#[test]
fn lost_while_a_sink_is_behind() -> Result<()> {
    for keeps_a_journal in [true, false] {
        let mut bed = behind(&format!("journal_lost_{keeps_a_journal}"))?;
        std::fs::remove_dir_all(bed.path("journal"))?;
        if !keeps_a_journal {
            bed.more = String::new();
        }
        let confirmed = bed.confirmed()?;
        let ended = bed.start()?.wait()?;
        refused(
            &ended,
            4,
            &["sink out lacks", "the journal does not have it", "on_gap"],
            &[],
        )?;
        ensure!(bed.confirmed()? == confirmed && out(&bed)?.is_empty());
        bed.source = "on_gap = \"continue\"".into();
        bed.sql("insert into ledger values (2, 1, 0, 'x');")?;
        let ended = bed.catch_up(&["changes are lost for this sink"])?;
        ensure!(ended.stderr.contains("sink=\"out\""), "{}", ended.stderr);
        let all = out(&bed)?;
        ensure!(all.len() == 2, "{all:?}");
        ensure!(all[0]["op"] == "gap" && all[1]["key"]["id"] == 2, "{all:?}");
        // It was told, and is not told again.
        bed.source = String::new();
        bed.catch_up(&[])?;
        ensure!(out(&bed)?.len() == 2);
    }
    Ok(())
}

/// Lost while nobody is behind: nothing is missing, and it begins anew.
#[test]
fn lost_while_nobody_is_behind() -> Result<()> {
    let bed = behind("journal_lost_idle")?;
    bed.catch_up(&[])?;
    std::fs::remove_dir_all(bed.path("journal"))?;
    bed.sql("insert into ledger values (2, 1, 0, 'x');")?;
    bed.catch_up(&[])?;
    ensure!(ids(&bed.path("out.ndjson"))? == [1, 2]);
    Ok(())
}

/// With `confirm = "sinks"` the journal may get lost at any time: the slot has what a sink lacks.
#[test]
fn lost_where_the_sinks_confirm() -> Result<()> {
    let mut bed = bed("journal_sinks")?;
    bed.more = journal_on_disk("confirm = \"sinks\"");
    begin_and_take_down(&mut bed)?;
    let before = bed.confirmed()?;
    let program = bed.serve()?;
    bed.sql(
        "insert into ledger select id, 1, 0, repeat('x', 500) from generate_series(1, 5000) id;",
    )?;
    until("it is in the journal", || Ok(segments(&bed)?.len() > 2))?;
    stop(program, DOWN)?;
    ensure!(bed.confirmed()? == before, "no sink has anything");
    std::fs::remove_dir_all(bed.path("journal"))?;
    let sink = up(&bed);
    bed.configure(&sink)?;
    bed.catch_up(&[])?;
    let ids = ids(&bed.path("out.ndjson"))?;
    ensure!(ids.iter().copied().eq(1..=5000), "{} events", ids.len());
    ensure!(bed.confirmed()? > before);
    Ok(())
}
