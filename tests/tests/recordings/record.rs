//! A recording straight from a slot.

use anyhow::{Result, ensure};
use walgate_tests::{Program, clean, refused, until};

use super::beds::{TRAFFIC, args, bed, object, run, said};

/// What a recording says when it has begun and when it ends.
const BEGUN: &str = "recording into";

#[test]
fn ctrl_c_seals_what_a_temporary_slot_has_brought() -> Result<()> {
    let bed = bed("record_temporary")?;
    let out = bed.path("recording");
    let words = format!("record {} @ --table public.shop", bed.url);
    let mut program = Program::start(args(&words, &[&out]))?;
    program.wait_for_log(BEGUN)?;
    bed.sql(TRAFFIC)?;
    bed.sql("insert into shop values (3001, 'last', 0);")?;
    // Read beside the process that writes it.
    until("the last change is recorded", || {
        let lines = run(args("replay @ --format json", &[&out]))?.lines;
        Ok(lines.last().is_some_and(|line| line.contains("3001")))
    })?;
    program.signal("INT")?;
    let ended = program.wait()?;
    clean(&ended, &[])?;
    ensure!(ended.stderr.contains("changes of"), "{}", ended.stderr);
    let listed = object("journal ls @ --json", &[&out])?;
    ensure!(listed["segments"][0]["state"] == "sealed", "{listed}");
    said("journal verify @", &[&out], &[])?;
    let lines = said("replay @ --format json", &[&out], &[])?;
    let rows: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("\"table\":"))
        .collect();
    ensure!(
        rows.iter().all(|line| line.contains("\"table\":\"shop\"")),
        "{rows:?}"
    );
    ensure!(rows.len() > 50, "{} rows", rows.len());
    let left = bed.admin()?.query(
        "select slot_name::text from pg_replication_slots where temporary and database = current_database()
         union all select pubname::text from pg_publication where pubname <> 'walgate'",
        &[],
    )?;
    ensure!(left.is_empty(), "slots or publications are left");
    Ok(())
}

#[test]
fn a_named_slot_is_recorded_as_tail_shows_it_and_confirmed() -> Result<()> {
    let bed = bed("record_named")?;
    bed.sql(TRAFFIC)?;
    let source = format!(
        "{} --slot {} --publication walgate --until now",
        bed.url, bed.name
    );
    let shown = said(
        &format!("tail {source} --peek --format json --transactions"),
        &[],
        &[],
    )?;
    let before = bed.confirmed()?;

    let peeked = bed.path("peeked");
    said(&format!("record {source} --peek @"), &[&peeked], &[])?;
    ensure!(bed.confirmed()? == before, "--peek confirms nothing");
    let head = bed.head()?;
    let out = bed.path("recording");
    said(&format!("record {source} @"), &[&out], &[])?;
    ensure!(bed.confirmed()? >= head, "what is recorded is confirmed");
    for recording in [&peeked, &out] {
        let replayed = said("replay @ --format json --transactions", &[recording], &[])?;
        ensure!(replayed == shown, "{}", recording.display());
    }
    // A recording is never added to.
    let ended = run(args(&format!("record {source} @"), &[&out]))?;
    refused(&ended, 8, &["is not empty"], &[])
}

#[test]
fn a_large_transaction_is_recorded_while_it_runs() -> Result<()> {
    let bed = bed("record_large")?;
    bed.sql(
        "do $$ begin execute format('alter database %I set logical_decoding_work_mem = ''64kB''', \
         current_database()); end $$;",
    )?;
    let out = bed.path("recording");
    let words = format!("record {} @ --publication walgate", bed.url);
    let mut program = Program::start(args(&words, &[&out]))?;
    program.wait_for_log(BEGUN)?;
    bed.sql(
        "begin; insert into shop select id, 'item ' || id, id from generate_series(1, 5000) id;
         savepoint one; insert into shop select id, 'no', id from generate_series(5001, 9000) id;
         rollback to one; insert into notes values ('behind'); commit;
         insert into notes values ('small');",
    )?;
    let counted =
        "select coalesce(sum(stream_txns), 0)::bigint, coalesce(sum(spill_bytes), 0)::bigint
         from pg_stat_replication_slots join pg_replication_slots using (slot_name)
         where temporary and database = current_database()";
    until("the server has streamed", || {
        let row = bed.admin()?.query_one(counted, &[])?;
        let (streamed, spilled): (i64, i64) = (row.get(0), row.get(1));
        ensure!(spilled == 0, "the server has spilled {spilled} bytes");
        Ok(streamed > 0)
    })?;
    until("the last change is recorded", || {
        let lines = run(args("replay @ --format json", &[&out]))?.lines;
        Ok(lines.last().is_some_and(|line| line.contains("small")))
    })?;
    program.signal("INT")?;
    let ended = program.wait()?;
    clean(&ended, &[])?;
    let counted = "5002 changes of 2 transactions";
    ensure!(ended.stderr.contains(counted), "{}", ended.stderr);
    said("journal verify @", &[&out], &[])?;
    let replayed = said("replay @ --format json --transactions", &[&out], &[])?;
    let tail = format!(
        "tail {} --slot {} --publication walgate --until now --peek --format json --transactions",
        bed.url, bed.name
    );
    let shown = said(&tail, &[], &[])?;
    let lines = (replayed.len(), shown.len());
    ensure!(replayed == shown && lines.0 > 5000, "{lines:?} lines");
    Ok(())
}
