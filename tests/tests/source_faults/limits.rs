//! Servers that have no room for us, or are not set up for us.

use anyhow::{Result, ensure};
use walgate_tests::{CREATED, Program, refused, run_script, stop};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions, StopMode};

use super::ledger_bed::{DOWN, LedgerBed};

/// Row 23: all walsenders are taken.
#[test]
fn too_few_walsenders_are_named_and_waited_for() -> Result<()> {
    let options = PostgresOptions::version(PgVersion::V17).setting("max_wal_senders", "1");
    let server = Postgres::start(&options)?;
    let bed = LedgerBed::on(&server, "few_walsenders")?;
    bed.begin()?;
    let mut other = Program::start(["tail", "-v", bed.url.as_str(), "--publication", "walgate"])?;
    other.wait_for_log("streaming")?;
    bed.insert(1..=10)?;
    let mut program = bed.start()?;
    program.wait_for_log("raise max_wal_senders")?;
    stop(other, &[])?;
    program.wait_for_log("streaming")?;
    bed.until_complete(&mut program)?;
    let ended = stop(program, &[DOWN])?;
    ensure!(
        ended.stderr.matches(DOWN).count() == 1,
        "one line: {}",
        ended.stderr
    );
    bed.complete()
}

/// Row 23: the role has no connection left.
#[test]
fn too_few_connections_are_named_and_waited_for() -> Result<()> {
    let mut bed = LedgerBed::shared(PgVersion::V15, "few_connections")?;
    bed.sql(
        "create role few_connections login replication connection limit 0;\n\
         grant select on ledger to few_connections;",
    )?;
    bed.url = bed.direct.replace("postgres@", "few_connections@");
    let mut program = bed.start()?;
    program.wait_for_log("too many connections for role")?;
    program.wait_for_log("raise max_connections")?;
    bed.sql("alter role few_connections connection limit 10;")?;
    program.wait_for_log("streaming")?;
    bed.insert(1..=10)?;
    bed.until_complete(&mut program)?;
    stop(program, &[DOWN, CREATED])?;
    bed.complete()?;
    bed.sql("drop owned by few_connections;\ndrop role few_connections;")
}

/// Rows 24 and 25: no slot is left, and `wal_level` is too low.
#[test]
fn a_server_without_a_free_slot_or_with_a_low_wal_level_is_refused() -> Result<()> {
    for (version, wal_level) in [(PgVersion::V14, "replica"), (PgVersion::V18, "minimal")] {
        let mut options = PostgresOptions::version(version)
            .setting("wal_level", wal_level)
            .setting("max_replication_slots", "1");
        if wal_level == "minimal" {
            options = options.setting("max_wal_senders", "0");
        }
        let mut server = Postgres::start(&options)?;
        let bed = LedgerBed::on(&server, "no_room")?;
        // With minimal there is no connection for replication either, which is not the point.
        let text = [
            &format!("wal_level is {wal_level}, and logical replication needs logical"),
            "ALTER SYSTEM SET wal_level",
        ];
        refused(&bed.run_until_now()?, 2, &text, &[])?;
        server.configure(&[("wal_level", "logical"), ("max_wal_senders", "5")])?;
        server.restart(StopMode::Fast)?;
        let mut admin = bed.admin()?;
        run_script(
            &mut admin,
            "select pg_create_physical_replication_slot('the_only_one');",
        )?;
        let ended = bed.run_until_now()?;
        refused(&ended, 2, &["raise max_replication_slots"], &[])?;
        run_script(
            &mut admin,
            "select pg_drop_replication_slot('the_only_one');",
        )?;
        bed.begin()?;
    }
    Ok(())
}
