//! Two programs, one slot.

use anyhow::{Context, Result, ensure};
use walgate_tests::{CREATED, Program, clean, events, ledger, parse, refused, stop};
use walgate_throwaway::PgVersion;

use super::ledger_bed::{LedgerBed, folded, without_repeats};

/// Row 29: the slot is in use; it is waited for, and never stolen.
#[test]
fn a_slot_in_use_is_waited_for_and_not_stolen() -> Result<()> {
    let bed = LedgerBed::shared(PgVersion::V15, "slot_in_use")?;
    bed.begin()?;
    let args = [
        "tail",
        "-v",
        &bed.url,
        "--slot",
        &bed.name,
        "--publication",
        "walgate",
        "--peek",
    ];
    let mut other = Program::start(args)?;
    other.wait_for_log("streaming")?;
    let walsender = bed.walsender()?;
    let walsender = walsender.context("a walsender")?;
    bed.insert(1..=10)?;
    let mut program = bed.start()?;
    program.wait_for_log(&format!("the slot is in use by process {walsender}"))?;
    for _ in 0..10 {
        ensure!(other.line()?.contains("insert"), "the other one goes on");
    }
    let now = bed.walsender()?;
    ensure!(now == Some(walsender), "it was stolen: {now:?}");
    stop(other, &[])?;
    program.wait_for_log("streaming")?;
    bed.until_complete(&mut program)?;
    stop(program, &[])?;
    bed.complete()
}

/// Row 29: who looks with a command is told at once, without `-v`, who has the slot, and sees what
/// comes as soon as it is free.
#[test]
fn a_tail_on_a_slot_in_use_says_who_has_it() -> Result<()> {
    let bed = LedgerBed::shared(PgVersion::V16, "slot_tail")?;
    bed.begin()?;
    let mut service = bed.serve()?;
    let walsender = bed.walsender()?.context("a walsender")?;
    let selection = [
        "--slot",
        &bed.name,
        "--publication",
        "walgate",
        "--count",
        "1",
    ];
    let mut tail = Program::start(["tail", &bed.url].into_iter().chain(selection))?;
    tail.wait_for_log("waiting for it up to ")?;
    let said = tail.stderr();
    let who =
        format!("the slot is in use by process {walsender} (user postgres, application walgate");
    ensure!(
        said.contains(&who) && said.contains("from 127.0.0.1"),
        "{said}"
    );
    ensure!(said.contains("WARN") && said.lines().count() == 1, "{said}");
    bed.insert(1..=1)?;
    bed.until_complete(&mut service)?;
    bed.until_confirmed(&mut service)?;
    stop(service, &[])?;
    bed.insert(2..=2)?;
    let ended = tail.wait()?;
    clean(&ended, &["the slot is in use"])?;
    let ids: Vec<_> = parse(ended.lines.iter().map(String::as_str))?
        .iter()
        .map(|event| event["after"]["id"].clone())
        .collect();
    ensure!(ids == [2], "{ids:?}");
    Ok(())
}

/// Row 29: what waits for the slot can be told to end.
#[test]
fn an_end_while_it_waits_for_the_slot_is_clean() -> Result<()> {
    let mut bed = LedgerBed::shared(PgVersion::V18, "slot_wait_end")?;
    bed.begin()?;
    let program = bed.serve()?;
    bed.sinks = bed.sinks.replace("/events\"", "/second\"");
    let config = bed.write_config_as("second.toml", "second-state")?;
    let mut second = Program::start(["run".as_ref(), "-c".as_ref(), config.as_os_str()])?;
    second.wait_for_log("waiting for it")?;
    stop(second, &[])?;
    stop(program, &[])?;
    Ok(())
}

/// Row 66: a second instance by mistake, on another machine: it waits, and takes over when the
/// first one dies.
#[test]
fn a_second_instance_takes_over_from_a_dead_one_without_loss() -> Result<()> {
    let mut bed = LedgerBed::shared(PgVersion::V16, "second_instance")?;
    bed.begin()?;
    let mut first = bed.serve()?;
    bed.insert(1..=10)?;
    bed.until_complete(&mut first)?;
    let files = bed.sinks.clone();
    bed.sinks = files.replace("/events\"", "/second\"");
    let config = bed.write_config_as("second.toml", "second-state")?;
    let mut second = Program::start(["run".as_ref(), "-c".as_ref(), config.as_os_str()])?;
    second.wait_for_log("waiting for it")?;
    bed.insert(11..=20)?;
    bed.until_complete(&mut first)?;
    first.signal("KILL")?;
    first.wait()?;
    bed.insert(21..=30)?;
    second.wait_for_log("streaming")?;
    bed.until_confirmed(&mut second)?;
    stop(second, &["nothing is known about it"])?;
    let mut both = bed.events()?;
    both.extend(events(&bed.path("second"))?);
    ensure!(
        folded(&without_repeats(&both)?)? == ledger(&mut bed.admin()?)?,
        "nothing is lost"
    );
    Ok(())
}

/// Row 66 on one machine: the state folder is locked.
#[test]
fn a_second_instance_with_the_same_state_is_refused() -> Result<()> {
    let bed = LedgerBed::shared(PgVersion::V16, "same_state")?;
    let mut program = bed.serve()?;
    let ended = bed.run_until_now()?;
    refused(&ended, 8, &["state"], &[])?;
    bed.insert(1..=10)?;
    bed.until_complete(&mut program)?;
    stop(program, &[CREATED])?;
    bed.complete()
}
