//! The slot is dropped, as the last resort.

use anyhow::{Result, ensure};
use walgate_tests::until;
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

use super::receiver::Receiver;
use super::{bed, down, sections, up, write};

const POLICY: &str = "policy = [\"alert\", \"drop-slot\"]\nallow_data_loss = true";

#[test]
fn our_slot_is_dropped_when_nothing_else_helps() -> Result<()> {
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V15))?;
    let mut bed = bed(&server, "guard_drop")?;
    let receiver = Receiver::start("200 OK")?;
    bed.more = sections(POLICY, &format!("webhook = \"{}\"", receiver.url));
    bed.configure(&down("out"))?;
    let mut program = bed.serve()?;
    bed.sql("insert into t values (1);")?;
    write(&bed, 60)?;
    program.wait_for_log("waiting for the next checkpoint")?;
    ensure!(bed.slot()?.is_none(), "it is still there");
    // Nobody waits for a checkpoint to be told.
    receiver.wait_for("gap", "raised", "critical")?;
    // The segments go with a checkpoint that begins behind the drop.
    write(&bed, 20)?;
    bed.sql("checkpoint;")?;
    let ended = program.wait()?;
    ensure!(
        ended.status.code() == Some(4),
        "{:?}: {}",
        ended.status,
        ended.stderr
    );
    for text in [
        "the guard stops the stream to drop the slot, as configured, which frees",
        "the gap is written into the checkpoint",
        "the slot is dropped",
        "with the checkpoint",
        "slot guard_drop was dropped by the policy",
    ] {
        ensure!(ended.stderr.contains(text), "no {text:?}: {}", ended.stderr);
    }
    let checkpoint = std::fs::read_to_string(bed.path("state/checkpoint"))?;
    ensure!(checkpoint.contains("slot_lost"), "{checkpoint}");
    let told = receiver.all();
    let gap = told.iter().find(|message| message["rule"] == "gap");
    let summary = gap.map_or("", |gap| gap["summary"].as_str().unwrap_or_default());
    ensure!(
        summary.contains("is lost until there is a new slot"),
        "{summary}"
    );
    // The next start does as on_gap says.
    let ended = bed.run_until_now()?;
    ensure!(ended.status.code() == Some(4), "{}", ended.stderr);
    Ok(())
}

#[test]
fn our_slot_stays_when_another_one_holds_the_log_all_the_same() -> Result<()> {
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V18))?;
    // Older than ours.
    server.sql("select pg_create_physical_replication_slot('older', true)")?;
    let mut bed = bed(&server, "guard_stays")?;
    bed.more = sections(POLICY, "");
    bed.configure(&down("out"))?;
    let mut program = bed.serve()?;
    bed.sql("insert into t values (1);")?;
    write(&bed, 60)?;
    program.wait_for_log("the guard does not drop the slot: slot older holds back")?;
    ensure!(bed.slot()?.is_some(), "it is gone");
    // It is tried again once that one has gone.
    server.sql("select pg_drop_replication_slot('older')")?;
    program.wait_for_log("waiting for the next checkpoint")?;
    until("it is gone", || Ok(bed.slot()?.is_none()))?;
    program.signal("TERM")?;
    let ended = program.wait()?;
    ensure!(ended.status.code() == Some(4), "{}", ended.stderr);
    Ok(())
}

/// Whichever step it is killed at: either the slot is there and nothing is lost, or it is gone and the next
/// start says so.
#[test]
fn a_kill_at_any_step_leaves_what_the_next_start_understands() -> Result<()> {
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V17))?;
    let steps = [
        "the guard stops the stream",
        "the gap is written into the checkpoint",
        "the slot is dropped now",
        "the slot is dropped\n",
    ];
    for (number, step) in steps.into_iter().enumerate() {
        let mut bed = bed(&server, &format!("guard_kill_{number}"))?;
        bed.more = sections(POLICY, "");
        bed.configure(&down("out"))?;
        let mut program = bed.serve()?;
        bed.sql("insert into t values (1);")?;
        write(&bed, 60)?;
        program.wait_until(step, |log| log.contains(step.trim_end()))?;
        program.signal("KILL")?;
        program.wait()?;
        bed.more.clear();
        let sink = up(&bed, "out");
        bed.configure(&sink)?;
        // A walsender of the process that was killed may still leave.
        let there = bed.slot()?.is_some();
        let ended = bed.run_until_now()?;
        if there {
            ensure!(ended.status.success(), "{step}: {}", ended.stderr);
            let out = std::fs::read_to_string(bed.path("out.ndjson"))?;
            ensure!(out.contains("\"id\":1"), "{step}: {out}");
            bed.sql(&format!("select pg_drop_replication_slot('{}');", bed.name))?;
        } else {
            ensure!(ended.status.code() == Some(4), "{step}: {}", ended.stderr);
        }
    }
    Ok(())
}
