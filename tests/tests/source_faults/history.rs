//! Slots and servers whose history is not ours any more. PostgreSQL starts all of them without a
//! word.

use std::process::Command;

use anyhow::{Result, ensure};
use walgate_tests::refused;
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions, StopMode};

use super::ledger_bed::{DOWN, LedgerBed};

/// A bed on a shared server that has delivered ten rows and is down.
fn delivered(version: PgVersion, name: &str) -> Result<LedgerBed> {
    let bed = LedgerBed::shared(version, name)?;
    bed.begin()?;
    bed.insert(1..=10)?;
    bed.catch_up(&[])?;
    Ok(bed)
}

fn text(lsn: u64) -> String {
    format!("{:X}/{:X}", lsn >> 32, lsn & 0xffff_ffff)
}

/// Row 27: somebody has dropped the slot and made a new one under its name.
#[test]
fn a_slot_that_was_created_anew_is_found_out() -> Result<()> {
    let bed = delivered(PgVersion::V14, "slot_anew")?;
    let ours = bed.checkpoint()?;
    bed.insert(11..=20)?;
    bed.sql(
        "select pg_drop_replication_slot('slot_anew');\n\
         select pg_create_logical_replication_slot('slot_anew', 'pgoutput');",
    )?;
    let theirs = bed.confirmed()?;
    bed.insert(21..=30)?;
    let (ours, theirs) = (text(ours), text(theirs));
    let wanted = ["slot slot_anew", "re-created it", &ours, &theirs, "on_gap"];
    refused(&bed.run_until_now()?, 4, &wanted, &[])?;
    ensure!(bed.events()?.len() == 10, "nothing from behind the gap");
    ensure!(text(bed.confirmed()?) == theirs, "and nothing confirmed");
    Ok(())
}

/// Row 27 while it runs: the walsender is ended and the slot re-created before it is back.
#[test]
fn a_slot_that_is_created_anew_while_it_runs_is_found_out() -> Result<()> {
    let bed = delivered(PgVersion::V18, "slot_anew_now")?;
    let program = bed.serve()?;
    program.signal("STOP")?;
    let mut admin = bed.admin()?;
    admin.batch_execute(
        "select pg_terminate_backend(active_pid, 10000) from pg_replication_slots \
         where slot_name = 'slot_anew_now'",
    )?;
    bed.insert(11..=20)?;
    admin.batch_execute("select pg_drop_replication_slot('slot_anew_now')")?;
    admin
        .batch_execute("select pg_create_logical_replication_slot('slot_anew_now', 'pgoutput')")?;
    program.signal("CONT")?;
    let ended = program.wait()?;
    refused(&ended, 4, &["slot slot_anew_now", "re-created it"], &[DOWN])?;
    ensure!(bed.events()?.len() == 10, "nothing from behind the gap");
    Ok(())
}

/// Row 31: somebody has advanced the slot past what we have delivered.
#[test]
fn a_slot_that_was_advanced_is_found_out() -> Result<()> {
    let mut bed = delivered(PgVersion::V16, "slot_advanced")?;
    let ours = bed.checkpoint()?;
    bed.insert(11..=20)?;
    bed.sql("select pg_replication_slot_advance('slot_advanced', pg_current_wal_flush_lsn());")?;
    let theirs = bed.confirmed()?;
    bed.insert(21..=30)?;
    let wanted = ["slot slot_advanced", &text(ours), &text(theirs), "on_gap"];
    refused(&bed.run_until_now()?, 4, &wanted, &[])?;
    ensure!(bed.events()?.len() == 10, "nothing from behind the gap");
    bed.source = "on_gap = \"continue\"\n".to_owned();
    let ended = bed.run_until_now()?;
    ensure!(
        ended.status.success() && ended.stderr.contains("are lost"),
        "{}",
        ended.stderr
    );
    let events = bed.events()?;
    let ops: Vec<_> = events.iter().filter_map(|e| e["op"].as_str()).collect();
    ensure!(ops.len() == 21 && ops[10] == "gap", "{ops:?}");
    Ok(())
}

/// Rows 32 and 33: the server was put back to an earlier time; it takes any position, and one that
/// its log has not reached ruins the slot.
#[test]
fn a_server_that_was_put_back_in_time_is_found_out_and_its_slot_left_alone() -> Result<()> {
    let mut server = Postgres::start(&PostgresOptions::version(PgVersion::V15))?;
    let bed = LedgerBed::on(&server, "back_in_time")?;
    bed.begin()?;
    bed.insert(1..=10)?;
    bed.catch_up(&[])?;
    server.stop(StopMode::Fast)?;
    let (data, backup) = (server.data_dir(), server.dir().join("backup"));
    copy(&data, &backup)?;
    server.start_again()?;
    // Much, so that the restored server does not get there by itself.
    bed.insert(11..=20_000)?;
    bed.catch_up(&[])?;
    let ours = bed.checkpoint()?;
    server.stop(StopMode::Fast)?;
    std::fs::remove_dir_all(&data)?;
    copy(&backup, &data)?;
    server.start_again()?;
    let before = bed.confirmed()?;
    bed.insert(50_001..=50_002)?;
    let wanted = [&text(ours), "the server's log ends at", "epoch"];
    refused(&bed.run_until_now()?, 4, &wanted, &[])?;
    ensure!(bed.confirmed()? == before, "the slot was moved");
    Ok(())
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(copied.success(), "cp -a {}", from.display());
    Ok(())
}
