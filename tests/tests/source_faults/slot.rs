//! Slots that are gone, lost, or not for us.

use anyhow::{Context, Result, ensure};
use walgate_tests::{CREATED, database, lsn, refused, session, slot, until};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

use super::ledger_bed::{DOWN, LedgerBed};

/// Row 26: the slot was dropped while we were down, and while we run. It is never made again
/// silently.
#[test]
fn a_slot_that_has_gone_is_named_and_not_created_again() -> Result<()> {
    let bed = LedgerBed::shared(PgVersion::V17, "slot_gone")?;
    bed.begin()?;
    bed.insert(1..=10)?;
    bed.catch_up(&[])?;
    let position = bed.checkpoint()?;
    bed.sql("select pg_drop_replication_slot('slot_gone');")?;
    bed.insert(11..=20)?;
    let text = ["slot slot_gone is gone", "on_gap"];
    let ended = bed.run_until_now()?;
    refused(&ended, 4, &text, &[])?;
    let at = format!("{:X}/{:X}", position >> 32, position & 0xffff_ffff);
    ensure!(
        ended.stderr.contains(&at),
        "it names {at}: {}",
        ended.stderr
    );
    ensure!(bed.slot()?.is_none(), "it was created again");
    ensure!(bed.events()?.len() == 10, "and nothing else has happened");
    Ok(())
}

/// Row 26 while it runs: the walsender is ended and the slot dropped before it is back.
#[test]
fn a_slot_that_goes_while_it_runs_stops_it() -> Result<()> {
    let bed = LedgerBed::shared(PgVersion::V14, "slot_goes")?;
    bed.begin()?;
    let mut program = bed.serve()?;
    bed.insert(1..=10)?;
    bed.until_complete(&mut program)?;
    let mut admin = bed.admin()?;
    let end = "select pg_terminate_backend(active_pid) from pg_replication_slots \
               where slot_name = 'slot_goes' and active";
    let drop = "select pg_drop_replication_slot('slot_goes')";
    until("the slot is dropped", || {
        admin.execute(end, &[])?;
        Ok(admin.execute(drop, &[]).is_ok())
    })?;
    let ended = program.wait()?;
    refused(&ended, 4, &["slot slot_goes is gone"], &[DOWN])?;
    ensure!(bed.slot()?.is_none(), "it was created again");
    Ok(())
}

/// Row 26: a slot that never was, where none may be made.
#[test]
fn a_missing_slot_is_named_when_none_may_be_created() -> Result<()> {
    let mut bed = LedgerBed::shared(PgVersion::V14, "slot_never")?;
    bed.source = "create_slot = false\n".to_owned();
    let text = [
        "slot slot_never does not exist in database slot_never",
        "pg_create_logical_replication_slot('slot_never', 'pgoutput')",
    ];
    refused(&bed.run_until_now()?, 2, &text, &[])?;
    ensure!(bed.slot()?.is_none(), "it was created");
    Ok(())
}

/// Row 26: who wants to go on behind the gap gets it announced.
#[test]
fn a_gap_that_may_be_continued_behind_is_announced_in_the_output() -> Result<()> {
    let mut bed = LedgerBed::shared(PgVersion::V17, "slot_gap")?;
    bed.begin()?;
    bed.insert(1..=10)?;
    bed.catch_up(&[])?;
    let from = bed.checkpoint()?;
    bed.sql("select pg_drop_replication_slot('slot_gap');")?;
    bed.insert(11..=20)?;
    bed.source = "on_gap = \"continue\"\n".to_owned();
    let ended = bed.run_until_now()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    ensure!(
        ended.stderr.contains("are lost"),
        "the log says so: {}",
        ended.stderr
    );
    bed.insert(21..=30)?;
    bed.catch_up(&[])?;
    let events = bed.events()?;
    let ops: Vec<_> = events.iter().filter_map(|e| e["op"].as_str()).collect();
    ensure!(ops.len() == 21 && ops[10] == "gap", "{ops:?}");
    let gap = &events[10];
    ensure!(
        lsn(gap["from"].as_str().context("from")?)? == from,
        "{gap} begins at {from:X}"
    );
    let to = lsn(gap["to"].as_str().context("to")?)?;
    ensure!(to > from, "{gap}");
    Ok(())
}

/// Row 28: the server has thrown away the slot's WAL (`max_slot_wal_keep_size`), while we were
/// down, and while we were behind.
#[test]
fn an_invalidated_slot_is_named_with_its_remedy() -> Result<()> {
    for version in [PgVersion::V15, PgVersion::V18] {
        let options = PostgresOptions::version(version)
            .setting("max_slot_wal_keep_size", "1MB")
            .setting("max_wal_size", "32MB")
            .setting("min_wal_size", "32MB");
        let server = Postgres::start(&options)?;
        let bed = LedgerBed::on(&server, "slot_lost")?;
        bed.begin()?;
        bed.insert(1..=10)?;
        bed.catch_up(&[])?;
        lose(&bed)?;
        let text = [
            "slot slot_lost was invalidated",
            "pg_drop_replication_slot('slot_lost')",
            "raise max_slot_wal_keep_size",
        ];
        refused(&bed.run_until_now()?, 4, &text, &[])?;
        ensure!(bed.slot()?.is_some(), "it was not touched");
        bed.sql("select pg_drop_replication_slot('slot_lost');")?;
        // Behind: it does not even notice at first.
        std::fs::remove_dir_all(bed.path("state"))?;
        let program = bed.serve()?;
        program.signal("STOP")?;
        lose(&bed)?;
        program.signal("CONT")?;
        let known = [DOWN, CREATED];
        refused(&program.wait()?, 4, &text, &known)?;
        ensure!(bed.events()?.len() == 10, "nothing came of it");
    }
    Ok(())
}

/// Writes WAL and lets it be recycled until the slot is lost.
fn lose(bed: &LedgerBed) -> Result<()> {
    let mut admin = bed.admin()?;
    until("the slot is lost", || {
        for statement in [
            "select txid_current()",
            "select pg_switch_wal()",
            "checkpoint",
        ] {
            admin.batch_execute(statement)?;
        }
        let row = slot(&mut admin, &bed.name)?.context("the slot")?;
        Ok(row.wal_status.as_deref() == Some("lost"))
    })
}

/// Row 30: a slot of another plugin, of another database, and a physical one.
#[test]
fn a_slot_that_is_not_for_us_is_refused_with_the_difference() -> Result<()> {
    let bed = LedgerBed::shared(PgVersion::V17, "slot_kinds")?;
    let drop = "select pg_drop_replication_slot('slot_kinds');";
    bed.sql("select pg_create_logical_replication_slot('slot_kinds', 'test_decoding');")?;
    let text = [
        "slot slot_kinds can't be used",
        "its plugin is test_decoding, not pgoutput",
    ];
    refused(&bed.run_until_now()?, 2, &text, &[])?;
    bed.sql(drop)?;
    bed.sql("select pg_create_physical_replication_slot('slot_kinds', true);")?;
    refused(
        &bed.run_until_now()?,
        2,
        &["slot slot_kinds", "it is a physical slot"],
        &[],
    )?;
    bed.sql(drop)?;
    let mut other = session(&database(PgVersion::V17, "slot_kinds_other")?)?;
    other.batch_execute("select pg_create_logical_replication_slot('slot_kinds', 'pgoutput')")?;
    let text = ["it belongs to database slot_kinds_other, and this is slot_kinds"];
    refused(&bed.run_until_now()?, 2, &text, &[])?;
    bed.sql(drop)?;
    bed.sql("select pg_create_logical_replication_slot('slot_kinds', 'pgoutput', false, true);")?;
    refused(&bed.run_until_now()?, 2, &["two_phase"], &[])
}

/// Row 65: the database is dropped with our slot in it, which the server allows.
#[test]
fn a_dropped_database_is_named() -> Result<()> {
    let bed = LedgerBed::shared(PgVersion::V17, "dropped_database")?;
    bed.begin()?;
    bed.insert(1..=10)?;
    bed.catch_up(&[])?;
    let (base, _) = bed.direct.rsplit_once('/').context("a database")?;
    let mut admin = session(&format!("{base}/postgres"))?;
    admin.batch_execute("drop database dropped_database")?;
    ensure!(
        slot(&mut admin, "dropped_database")?.is_none(),
        "the slot went along"
    );
    let text = ["database \"dropped_database\" does not exist"];
    refused(&bed.run_until_now()?, 2, &text, &[])
}
