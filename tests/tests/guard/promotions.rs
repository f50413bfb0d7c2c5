//! A standby takes over while people are told: for the time without a primary, and no longer.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use walgate_tests::{CREATED, refused, session, stop, until};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

use super::watched::{Watched, on_each_version, says};
use crate::source_faults::failover::{both, replayed};
use crate::source_faults::ledger_bed::DOWN;
use crate::watch::status;

/// Who is told soon of a server that is away.
const GUARD: &str = "server_silent = [\"6s\"]\nwatch_blind = [\"2s\"]\n";

const TIMELINE: &str = "the server is on timeline 2 now";

#[test]
fn the_time_without_a_primary_is_an_alarm_that_ends_with_the_promotion() -> Result<()> {
    on_each_version(promoted)
}

/// Slots follow from 17 on.
fn promoted(version: PgVersion) -> Result<()> {
    if version < PgVersion::V17 {
        return Ok(());
    }
    let mut primary = Postgres::start(&PostgresOptions::version(version))?;
    let mut watched = Watched::on(&primary, "failover", GUARD)?;
    watched
        .bed
        .sql("select pg_drop_replication_slot('failover');")?;
    std::fs::remove_dir_all(watched.bed.path("state"))?;
    let standby = primary.start_standby(&[("sync_replication_slots", "off")])?;
    // Nothing reaches us before it reaches the standby.
    let slot = "select slot_name::text from pg_replication_slots where slot_type = 'physical'";
    let slot: String = watched.bed.admin()?.query_one(slot, &[])?.get(0);
    primary.configure(&[("synchronized_standby_slots", &slot)])?;
    primary.reload()?;
    watched.bed.url = both(&primary, &standby);
    watched.bed.source = "failover = true\nstatus_interval = \"1s\"\n".to_owned();
    let (mut program, at) = watched.serve()?;
    watched.bed.insert(1..=100)?;
    watched.bed.until_complete(&mut program)?;
    watched.bed.until_confirmed(&mut program)?;
    watched.bed.until_synced(&standby)?;
    watched.bed.insert(101..=200)?;
    watched.bed.until_complete(&mut program)?;
    replayed(&watched.bed, &standby)?;
    watched.until(&at, "it is seen on the primary", |slot| {
        slot["failover"] == true && slot["state"] == "active"
    })?;

    primary.kill_9()?;
    for rule in ["server_silent", "watch_blind"] {
        watched.receiver.wait_for(rule, "raised", "warning")?;
        let told = watched.told(rule, |told| told["kind"] == "raised");
        says(&told.context("a message")?, "command", &["walgate check"])?;
    }
    let seen = status(&at)?;
    ensure!(seen["source"]["state"] == "down", "{seen}");
    ensure!(seen["ready"] == false && seen["healthy"] == false, "{seen}");
    watched.unhealthy(&["NOT HEALTHY"])?;

    standby.promote()?;
    watched.bed.direct = standby.url_of("postgres", "failover");
    watched.bed.insert(201..=300)?;
    for rule in ["server_silent", "watch_blind"] {
        watched.receiver.wait_for(rule, "resolved", "warning")?;
    }
    watched.bed.until_complete(&mut program)?;
    // The slot that was a copy is ours, and in use.
    watched.until(&at, "it is seen on the new primary", |slot| {
        slot["state"] == "active" && slot["danger"] != "reached"
    })?;
    until("it is ready", || Ok(status(&at)?["ready"] == true))?;
    stop(program, &[DOWN, CREATED, TIMELINE])?;
    watched.bed.complete()?;
    // Of nothing else: a standby that takes over is no gap, and its log no burst.
    let rules = watched.receiver.all();
    let rules: BTreeSet<_> = rules
        .iter()
        .filter_map(|told| told["rule"].as_str())
        .collect();
    ensure!(
        rules.is_subset(&BTreeSet::from(["server_silent", "watch_blind"])),
        "{rules:?}"
    );
    Ok(())
}

/// The standby never got the end of the log, and we have: the process ends, and people are told why.
#[test]
fn a_promotion_that_loses_the_end_of_the_log_is_told_when_it_ends_us() -> Result<()> {
    let mut primary = Postgres::start(&PostgresOptions::version(PgVersion::V18))?;
    let mut watched = Watched::on(&primary, "failover", GUARD)?;
    watched
        .bed
        .sql("select pg_drop_replication_slot('failover');")?;
    std::fs::remove_dir_all(watched.bed.path("state"))?;
    let standby = primary.start_standby(&[("sync_replication_slots", "off")])?;
    watched.bed.url = both(&primary, &standby);
    watched.bed.source = "failover = true\nstatus_interval = \"1s\"\n".to_owned();
    let (mut program, _) = watched.serve()?;
    watched.bed.insert(1..=100)?;
    watched.bed.until_complete(&mut program)?;
    watched.bed.until_confirmed(&mut program)?;
    watched.bed.until_synced(&standby)?;
    standby.configure(&[("primary_conninfo", "")])?;
    standby.reload()?;
    let mut there = session(&standby.url())?;
    until("the standby gets nothing more", || {
        let query = "select count(*) = 0 from pg_stat_wal_receiver";
        Ok(there.query_one(query, &[])?.get(0))
    })?;
    watched.bed.insert(101..=200)?;
    watched.bed.until_complete(&mut program)?;
    watched.bed.until_confirmed(&mut program)?;
    primary.kill_9()?;
    standby.promote()?;
    let ended = program.wait()?;
    refused(&ended, 4, &["timeline 2"], &[DOWN, CREATED])?;
    ensure!(
        watched.bed.events()?.len() == 200,
        "nothing more, nothing less"
    );
    let told = watched.told("gap", |told| told["kind"] == "raised");
    let told = told.with_context(|| format!("{:?}", watched.receiver.all()))?;
    ensure!(told["severity"] == "critical", "{told}");
    says(&told, "summary", &["walgate has stopped", "timeline 2"])?;
    says(&told, "command", &["epoch"])
}
