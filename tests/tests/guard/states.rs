//! A slot on its way to be lost, on servers of every version: what is shown, who is told, and how it ends.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use walgate_tests::{CREATED, refused, until};
use walgate_throwaway::{PgVersion, Postgres};

use super::watched::{Watched, on_each_version, says, small};
use crate::source_faults::ledger_bed::DOWN;

/// Between `max_wal_size` and `max_slot_wal_keep_size`.
const EXTENDED_MIB: i64 = 44;

/// As much as may be held back; from the checkpoint here the server makes none by itself for 16 MiB.
const NEARLY_MIB: i64 = 58;

/// More than `max_slot_wal_keep_size`.
const UNRESERVED_MIB: i64 = 68;

/// What a dead sink says.
const DEAD: [&str; 4] = [DOWN, CREATED, "kafka is unreachable", "sink=\"file\""];

#[test]
fn a_slot_goes_from_extended_to_unreserved_and_back_and_is_lost() -> Result<()> {
    on_each_version(from_extended_to_lost)
}

fn from_extended_to_lost(version: PgVersion) -> Result<()> {
    let server = Postgres::start(&small(version).setting("max_slot_wal_keep_size", "64MB"))?;
    let mut watched = Watched::on(&server, "states", "")?;
    // A sink that is dead has nothing to finish.
    watched
        .bed
        .more
        .insert_str(0, "shutdown_timeout = \"2s\"\n");
    let up = watched.bed.sinks.clone();
    in_danger(&mut watched)?;
    saved(&mut watched, &up)?;
    lost_while_in_use(&mut watched, &up)
}

/// The sink is dead: extended, then unreserved.
fn in_danger(watched: &mut Watched) -> Result<()> {
    let (program, at) = watched.serve_dead()?;
    watched.bed.insert(1..=10)?;
    watched.hold(6)?;
    watched.until(&at, "the sink is to blame", |slot| {
        slot["culprit"] == "sink down"
    })?;
    watched.hold(EXTENDED_MIB)?;
    let slot = watched.until(&at, "it is extended, with a forecast", |slot| {
        slot["state"] == "extended" && slot["seconds_to_limit"].is_number()
    })?;
    ensure!(slot["wal_status"] == "extended", "{slot}");
    ensure!(slot["headroom_limit"] == "max_slot_wal_keep_size", "{slot}");
    let room = slot["headroom_bytes"].as_u64().context("headroom")?;
    ensure!(room > 0 && room < 48 << 20, "{slot}");
    ensure!(slot["danger"] == "near", "{slot}");
    says(&slot, "why", &["states holds back", "sink file is down"])?;
    says(&slot, "fix", &["bring sink file back"])?;
    watched
        .receiver
        .wait_for("slot_status", "raised", "warning")?;
    watched.unhealthy(&["NOT HEALTHY", "sink file is down"])?;

    watched.hold(NEARLY_MIB)?;
    watched.bed.sql("checkpoint;")?;
    ensure!(watched.wal_status()? == "extended", "too much was written");
    watched.hold(UNRESERVED_MIB)?;
    let slot = watched.until(&at, "it is unreserved", |slot| {
        slot["state"] == "unreserved"
    })?;
    ensure!(slot["headroom_bytes"] == 0, "{slot}");
    ensure!(slot["seconds_to_limit"] == 0.0, "{slot}");
    ensure!(slot["danger"] == "reached", "{slot}");
    watched
        .receiver
        .wait_for("slot_status", "escalated", "critical")?;
    ensure!(watched.stands(&at, "slot_status", "critical")?, "it stands");
    for (kind, state) in [
        (
            "raised",
            "states is extended: it holds back more than max_wal_size",
        ),
        (
            "escalated",
            "states is unreserved: the next checkpoint may remove what it needs",
        ),
    ] {
        let told = watched.told("slot_status", |told| told["kind"] == kind);
        let told = told.context("a message")?;
        ensure!(told["subject"] == "states", "{told}");
        says(&told, "culprit", &["sink file is down"])?;
        says(&told, "command", &["bring sink file back"])?;
        says(&told, "forecast", &["left until max_slot_wal_keep_size"])?;
        let held = told["facts"]["retained_bytes"].as_u64();
        ensure!(held > Some(40 << 20), "{told}");
        says(&told, "summary", &[state])?;
    }
    program.signal("KILL")?;
    program.wait().map(drop)
}

/// The sink is back before a checkpoint comes: nothing is lost.
fn saved(watched: &mut Watched, up: &str) -> Result<()> {
    watched.bed.configure(up)?;
    let (mut program, at) = watched.serve()?;
    watched.bed.until_complete(&mut program)?;
    // It moves by itself, within the 15 s after which the server logs who runs.
    until("nothing is in danger", || {
        std::thread::sleep(Duration::from_millis(100));
        Ok(watched.wal_status()? != "unreserved")
    })?;
    until("all is well", || {
        watched.bed.sql("checkpoint;")?;
        std::thread::sleep(Duration::from_millis(200));
        let told = watched.told("slot_status", |told| told["kind"] == "resolved");
        Ok(told.is_some())
    })?;
    let slot = watched.until(&at, "it is well", |slot| slot["state"] == "active")?;
    ensure!(slot["wal_status"] == "reserved", "{slot}");
    let raised = watched.receiver.told("slot_status");
    let raised = raised.iter().filter(|(kind, _)| kind == "raised").count();
    ensure!(raised == 1, "{:?}", watched.receiver.told("slot_status"));
    program.signal("KILL")?;
    program.wait().map(drop)
}

/// The server takes the slot away from under the walsender.
fn lost_while_in_use(watched: &mut Watched, up: &str) -> Result<()> {
    let (mut program, _) = watched.serve_dead()?;
    program.wait_for_log("streaming")?;
    watched.bed.insert(11..=20)?;
    ensure!(watched.bed.walsender()?.is_some(), "it is not in use");
    until("it is lost", || {
        watched.hold(UNRESERVED_MIB)?;
        watched.bed.sql("checkpoint;")?;
        Ok(watched.wal_status()? == "lost")
    })?;
    let ended = program.wait()?;
    let texts = [
        "slot states was invalidated",
        "pg_drop_replication_slot('states')",
        "raise max_slot_wal_keep_size",
    ];
    refused(&ended, 4, &texts, &DEAD)?;
    watched.receiver.wait_for("gap", "raised", "critical")?;
    let told = watched.told("gap", |_| true).context("a message")?;
    says(&told, "summary", &["walgate has stopped", "states"])?;
    says(&told, "command", &["raise max_slot_wal_keep_size"])?;

    // Nothing is done about it that nobody has declared, and nobody is told of the same again.
    watched.bed.configure(up)?;
    refused(&watched.bed.run_until_now()?, 4, &texts, &DEAD)?;
    ensure!(watched.bed.slot()?.is_some(), "it was not touched");
    ensure!(
        watched.bed.events()?.len() == 10,
        "what it had, it has once"
    );
    let raised = watched.receiver.told("gap");
    let raised = raised.iter().filter(|(kind, _)| kind == "raised").count();
    ensure!(raised == 1, "{:?}", watched.receiver.told("gap"));
    // Who declares that it goes on gets the range, and everything behind it.
    watched.bed.source = "on_gap = \"continue\"\n".to_owned();
    watched
        .bed
        .sql("select pg_drop_replication_slot('states');")?;
    let ended = watched.bed.run_until_now()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    watched.bed.insert(21..=30)?;
    ensure!(watched.bed.run_until_now()?.status.success());
    let events = watched.bed.events()?;
    let ops: Vec<_> = events.iter().filter_map(|e| e["op"].as_str()).collect();
    ensure!(ops.len() == 21 && ops[10] == "gap", "{ops:?}");
    let ids: Vec<_> = events
        .iter()
        .filter_map(|e| e["after"]["id"].as_i64())
        .collect();
    ensure!(ids.iter().copied().eq((1..=10).chain(21..=30)), "{ids:?}");
    Ok(())
}

/// The server takes a slot away that nobody has used for some time: while we are down, and while we hang.
#[test]
fn a_slot_that_is_idle_for_too_long_is_lost_and_the_setting_is_named() -> Result<()> {
    let options = small(PgVersion::V18)
        .setting("idle_replication_slot_timeout", "2s")
        .setting("wal_sender_timeout", "2s");
    let server = Postgres::start(&options)?;
    let watched = Watched::on(&server, "idle", "")?;
    let lost = || {
        until("it is lost", || {
            std::thread::sleep(Duration::from_millis(100));
            watched.bed.sql("checkpoint;")?;
            Ok(watched.wal_status()? == "lost")
        })
    };
    lost()?;
    let texts = [
        "slot idle was invalidated (idle_timeout)",
        "raise idle_replication_slot_timeout",
    ];
    refused(&watched.bed.run_until_now()?, 4, &texts, &[])?;
    watched.receiver.wait_for("gap", "raised", "critical")?;
    let told = watched.told("gap", |_| true).context("a message")?;
    says(&told, "summary", &["idle_timeout"])?;
    says(&told, "command", &["raise idle_replication_slot_timeout"])?;

    watched
        .bed
        .sql("select pg_drop_replication_slot('idle');")?;
    std::fs::remove_dir_all(watched.bed.path("state"))?;
    let (program, _) = watched.serve()?;
    program.signal("STOP")?;
    lost()?;
    program.signal("CONT")?;
    refused(&program.wait()?, 4, &texts, &[DOWN, CREATED])
}
