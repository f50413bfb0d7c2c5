//! Damage of what PostgreSQL no longer has: found, named, never delivered, never cut off.

use anyhow::{Context, Result, ensure};
use walgate_tests::{Bed, journal_on_disk, refused, stop};

use super::beds::{DOWN, bed, begin_and_take_down, once_in_order, out, segments, up};

/// Rows of a segment and more.
const MUCH: &str =
    "insert into ledger select id, 1, 0, repeat('x', 500) from generate_series(1, 5000) id;";

/// A bed with a damaged segment that the sink has not read. Returns its name.
fn damaged(name: &str) -> Result<(Bed, String)> {
    let mut bed = bed(name)?;
    begin_and_take_down(&mut bed)?;
    let mut program = bed.serve()?;
    bed.sql("insert into ledger values (9001, 1, 0, 'before');")?;
    bed.until_confirmed(&mut program)?;
    bed.sql(MUCH)?;
    bed.sql("insert into ledger values (9002, 1, 0, 'behind');")?;
    bed.until_confirmed(&mut program)?;
    stop(program, DOWN)?;
    let files = segments(&bed)?;
    // The second one is in the midst of the large transaction.
    let file = files.get(files.len() - 2).context("several segments")?;
    let mut bytes = std::fs::read(file)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(file, bytes)?;
    let sink = up(&bed);
    bed.configure(&sink)?;
    let name = file.file_name().context("a name")?;
    Ok((bed, name.to_string_lossy().into_owned()))
}

#[test]
fn below_what_is_confirmed_stops_with_names() -> Result<()> {
    let (bed, segment) = damaged("journal_damage")?;
    let files = segments(&bed)?;
    let confirmed = bed.confirmed()?;
    for _ in 0..2 {
        let ended = bed.start()?.wait()?;
        refused(
            &ended,
            7,
            &[&segment, "is damaged", "offset", "changes behind"],
            &[],
        )?;
        ensure!(bed.confirmed()? >= confirmed);
        for file in &files {
            ensure!(file.exists(), "{} was removed", file.display());
        }
    }
    let all = out(&bed)?;
    once_in_order(&all)?;
    ensure!(
        all.len() < 5000,
        "what lies behind the damage is not delivered"
    );
    Ok(())
}

#[test]
fn below_what_is_confirmed_is_a_gap_by_policy() -> Result<()> {
    let (mut bed, _) = damaged("journal_damage_gap")?;
    bed.more = journal_on_disk("on_damage = \"gap\"");
    bed.catch_up(&["changes are lost", "journal"])?;
    let all = out(&bed)?;
    let (gaps, rest): (Vec<_>, Vec<_>) =
        all.iter().cloned().partition(|event| event["op"] == "gap");
    ensure!(gaps.len() == 1, "{gaps:?}");
    ensure!(gaps[0]["reason"] == "journal_damaged", "{gaps:?}");
    once_in_order(&all)?;
    let ids: Vec<_> = rest
        .iter()
        .map(|event| event["key"]["id"].as_i64())
        .collect();
    ensure!(
        ids.first() == Some(&Some(9001)) && ids.last() == Some(&Some(9002)),
        "{ids:?}"
    );
    ensure!(ids.len() < 5002, "what is damaged is not delivered");
    Ok(())
}
