//! Our own crashes: what comes again, and what does not.

use anyhow::{Context, Result, ensure};
use walgate_tests::{CREATED, Program, commit_lsn, parse, quiet, stop, until};
use walgate_throwaway::{Direction, FaultProxy, PgVersion};

use super::ledger_bed::{LedgerBed, folded};

/// The next `count` lines that it prints.
fn lines(program: &mut Program, count: usize) -> Result<Vec<String>> {
    (0..count).map(|_| program.line()).collect()
}

fn fold(lines: &[String]) -> Result<walgate_tests::Ledger> {
    folded(&parse(lines.iter().map(String::as_str))?)
}

fn kill(program: Program, known: &[&str]) -> Result<Vec<String>> {
    program.signal("KILL")?;
    let ended = program.wait()?;
    quiet(&ended.stderr, known)?;
    Ok(ended.lines)
}

/// A bed whose program is behind a proxy and has confirmed ten rows, with the state of then in the
/// folder `earlier`.
fn behind_a_proxy(name: &str) -> Result<(LedgerBed, FaultProxy, Vec<String>)> {
    let mut bed = LedgerBed::shared(PgVersion::V16, name)?;
    let port = bed.direct.rsplit_once('/').context("a database")?.0;
    let port = port.rsplit_once(':').context("a port")?.1.parse::<u16>()?;
    let proxy = FaultProxy::start(([127, 0, 0, 1], port).into())?;
    bed.through(&proxy)?;
    bed.print_events();
    bed.begin()?;
    let mut program = bed.serve()?;
    bed.insert(1..=10)?;
    let before = lines(&mut program, 10)?;
    bed.until_confirmed(&mut program)?;
    stop(program, &[])?;
    bed.copy_state("state", "earlier")?;
    Ok((bed, proxy, before))
}

/// Row 1: killed while it has nothing to do.
#[test]
fn a_kill_while_idle_repeats_nothing() -> Result<()> {
    let mut bed = LedgerBed::shared(PgVersion::V16, "kill_idle")?;
    bed.print_events();
    bed.begin()?;
    let mut program = bed.serve()?;
    bed.insert(1..=10)?;
    let mut printed = lines(&mut program, 10)?;
    bed.until_confirmed(&mut program)?;
    ensure!(
        kill(program, &[])?.is_empty(),
        "ten rows are ten events, and no more"
    );
    bed.insert(11..=12)?;
    let mut program = bed.serve()?;
    printed.extend(lines(&mut program, 2)?);
    printed.extend(stop(program, &[])?.lines);
    ensure!(
        fold(&printed)?.len() == 12,
        "each row comes once: {printed:#?}"
    );
    Ok(())
}

/// Row 2: killed in the midst of a transaction's delivery.
#[test]
fn a_kill_inside_a_transaction_repeats_it_as_a_whole() -> Result<()> {
    let mut bed = LedgerBed::shared(PgVersion::V16, "kill_inside")?;
    bed.print_events();
    bed.begin()?;
    let mut program = bed.serve()?;
    // More than a pipe holds, which nobody reads: it can't get to the end.
    bed.insert(1..=5000)?;
    let first = program.line()?;
    let mut some = vec![first];
    some.extend(kill(program, &[])?);
    let torn = some.pop().context("something was printed")?;
    ensure!(
        some.len() < 5000,
        "the transaction was not delivered: {}",
        some.len()
    );
    let mut program = bed.serve()?;
    let again = lines(&mut program, 5000)?;
    ensure!(again[..some.len()] == some, "the same events, in order");
    ensure!(again[some.len()].starts_with(&torn), "and the torn one");
    ensure!(fold(&again)?.len() == 5000, "whole");
    stop(program, &[])?;
    Ok(())
}

/// Row 3: killed when the sink has taken an event and nothing was written down or confirmed.
#[test]
fn a_kill_between_delivery_and_checkpoint_repeats_once_with_the_same_ids() -> Result<()> {
    let (bed, proxy, _) = behind_a_proxy("kill_unwritten")?;
    let mut program = bed.serve()?;
    proxy.stall_only(Direction::ToServer);
    bed.insert(11..=13)?;
    let delivered = lines(&mut program, 3)?;
    kill(program, &[])?;
    proxy.cut();
    proxy.resume();
    // The checkpoint of the moment before.
    bed.copy_state("earlier", "state")?;
    let mut program = bed.serve()?;
    ensure!(
        lines(&mut program, 3)? == delivered,
        "the same again, to the byte"
    );
    bed.until_confirmed(&mut program)?;
    ensure!(stop(program, &[])?.lines.is_empty(), "and once");
    ensure!(bed.run_until_now()?.lines.is_empty(), "never again");
    Ok(())
}

/// Row 4: killed between the checkpoint and the confirmation: the slot is behind.
#[test]
fn a_slot_behind_the_checkpoint_is_no_gap_and_repeats_nothing() -> Result<()> {
    let (bed, proxy, _) = behind_a_proxy("kill_unconfirmed")?;
    let mut program = bed.serve()?;
    proxy.stall_only(Direction::ToServer);
    bed.insert(11..=13)?;
    let delivered = parse(lines(&mut program, 3)?.iter().map(String::as_str))?;
    let commit = commit_lsn(&delivered[2])?;
    until("the checkpoint is ahead", || Ok(bed.checkpoint()? > commit))?;
    kill(program, &[])?;
    proxy.cut();
    proxy.resume();
    ensure!(
        bed.confirmed()? <= commit,
        "the slot does not know of the delivery"
    );
    bed.insert(14..=14)?;
    let mut program = bed.serve()?;
    let next = program.line()?;
    ensure!(
        next.contains(r#""key":{"id":14}"#),
        "only what is new: {next}"
    );
    bed.until_confirmed(&mut program)?;
    ensure!(
        stop(program, &[])?.lines.is_empty(),
        "and nothing is repeated"
    );
    Ok(())
}

/// Row 1 again: the slot was made by a program that died before it had written anything down.
#[test]
fn a_kill_right_after_the_slot_was_made_loses_nothing() -> Result<()> {
    let bed = LedgerBed::shared(PgVersion::V16, "kill_new_slot")?;
    let mut program = bed.start()?;
    program.wait_for_log("created the slot")?;
    program.signal("KILL")?;
    program.wait()?;
    std::fs::remove_dir_all(bed.path("state"))?;
    bed.insert(1..=10)?;
    let mut program = bed.serve()?;
    bed.until_complete(&mut program)?;
    stop(program, &[CREATED, "nothing is known about it"])?;
    bed.complete()
}
