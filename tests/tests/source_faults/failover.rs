//! A standby takes over.

use anyhow::{Result, ensure};
use walgate_tests::{CREATED, ledger, refused, session, stop, until};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

use super::ledger_bed::{DOWN, LedgerBed, folded};

/// A primary and a standby that knows the primary's failover slots.
fn pair(version: PgVersion) -> Result<(Postgres, LedgerBed)> {
    let server = Postgres::start(&PostgresOptions::version(version))?;
    let bed = LedgerBed::on(&server, "failover")?;
    Ok((server, bed))
}

/// Both servers in one URL; whoever takes writes is the right one.
pub(crate) fn both(primary: &Postgres, standby: &Postgres) -> String {
    let (first, second) = (primary.port(), standby.port());
    format!(
        "postgres://postgres@127.0.0.1:{first},127.0.0.1:{second}/failover\
         ?target_session_attrs=read-write"
    )
}

/// Waits until the standby has replayed everything of the primary.
pub(crate) fn replayed(bed: &LedgerBed, standby: &Postgres) -> Result<()> {
    let head = bed.head()?.to_string();
    let mut there = session(&standby.url())?;
    until("the standby has replayed everything", || {
        let query = "select pg_last_wal_replay_lsn() - '0/0' >= $1::text::numeric";
        Ok(there.query_one(query, &[&head])?.get(0))
    })
}

/// Row 12: with a slot that follows (17 and later) it goes on at the new primary.
#[test]
fn a_failover_with_a_synchronised_slot_loses_nothing() -> Result<()> {
    for version in [PgVersion::V17, PgVersion::V18] {
        let (mut primary, mut bed) = pair(version)?;
        let standby = primary.start_standby(&[("sync_replication_slots", "off")])?;
        // Nothing reaches us before it reaches the standby.
        let slot = "select slot_name::text from pg_replication_slots where slot_type = 'physical'";
        let slot: String = bed.admin()?.query_one(slot, &[])?.get(0);
        primary.configure(&[("synchronized_standby_slots", &slot)])?;
        primary.reload()?;
        bed.url = both(&primary, &standby);
        bed.source = "failover = true\n".to_owned();
        let mut program = bed.serve()?;
        bed.insert(1..=100)?;
        bed.until_complete(&mut program)?;
        bed.until_confirmed(&mut program)?;
        bed.until_synced(&standby)?;
        // Delivered and confirmed here, and not yet known to the slot there.
        bed.insert(101..=200)?;
        bed.until_complete(&mut program)?;
        replayed(&bed, &standby)?;
        primary.kill_9()?;
        program.wait_for_log(DOWN)?;
        standby.promote()?;
        bed.direct = standby.url_of("postgres", "failover");
        bed.insert(201..=300)?;
        program.wait_for_log("connected again")?;
        bed.until_complete(&mut program)?;
        let known = [DOWN, CREATED, "the server is on timeline 2 now"];
        stop(program, &known)?;
        bed.complete()?;
        // And a new start finds its way, too.
        bed.insert(301..=310)?;
        bed.catch_up(&[])?;
        bed.complete()?;
    }
    Ok(())
}

/// Row 13: the slot did not follow.
#[test]
fn a_failover_without_the_slot_stops_it() -> Result<()> {
    let (mut primary, mut bed) = pair(PgVersion::V16)?;
    let standby = primary.start_standby(&[])?;
    bed.url = both(&primary, &standby);
    let mut program = bed.serve()?;
    bed.insert(1..=100)?;
    bed.until_complete(&mut program)?;
    replayed(&bed, &standby)?;
    primary.kill_9()?;
    standby.promote()?;
    bed.direct = standby.url_of("postgres", "failover");
    bed.insert(101..=110)?;
    let ended = program.wait()?;
    refused(
        &ended,
        4,
        &["slot failover is gone", "failover"],
        &[DOWN, CREATED],
    )?;
    ensure!(bed.events()?.len() == 100, "nothing more");
    ensure!(bed.slot()?.is_none(), "no new slot was made");
    ensure!(
        folded(&bed.events()?)?.len() + 10 == ledger(&mut bed.admin()?)?.len(),
        "what is missing is what was said"
    );
    Ok(())
}
