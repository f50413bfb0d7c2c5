//! Row 45: one transaction with very many rows, sub-transactions and bytes.

use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use walgate_tests::{
    Bed, CREATED, Program, clean, file_sink, journal_on_disk, long, refused, stop, until,
};
use walgate_throwaway::PgVersion;

/// Memory beside the journal.
const REST_KIB: u64 = 64 << 10;

/// Rows of the transaction.
fn rows() -> u64 {
    if long() { 1_000_000 } else { 100_000 }
}

const SETUP: &str = "create table t (id int primary key, pad text, n numeric, j jsonb);
     create publication walgate for table t;";

fn insert(rows: u64) -> String {
    format!(
        "insert into t select n, repeat(md5(n::text), 4), n / 7.0, jsonb_build_object('n', n) \
         from generate_series(1, {rows}) n;"
    )
}

/// Every row once, in order, with one transaction and the index as counted: told line by line, so
/// that the test needs no memory either.
fn check_lines(lines: impl Iterator<Item = std::io::Result<String>>, rows: u64) -> Result<()> {
    let mut transaction = String::new();
    let mut expected = 1;
    for line in lines {
        let line = line?;
        let id = line.get(7..32).with_context(|| line.clone())?;
        if expected == 1 {
            transaction = id[..16].to_owned();
        }
        let due = format!("{transaction}-{:08x}", expected + 1);
        ensure!(id == due, "{due} is due, not {id}");
        ensure!(
            line.contains(&format!("\"key\":{{\"id\":{expected}}}")),
            "{line}"
        );
        expected += 1;
        if expected > rows {
            return Ok(());
        }
    }
    anyhow::bail!("{} rows of {rows}", expected - 1)
}

fn bounded(program: &Program, journal_kib: u64) -> Result<()> {
    let peak = program.memory_kib("VmHWM")?;
    ensure!(
        peak < journal_kib + REST_KIB,
        "it has held {peak} KiB with a journal of {journal_kib} KiB"
    );
    Ok(())
}

/// Whether a file ends with the whole line of a row.
fn ends_with_row(path: &Path, row: u64) -> Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    let Ok(mut file) = std::fs::File::open(path) else {
        return Ok(false);
    };
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(1024)))?;
    let mut tail = String::new();
    file.read_to_string(&mut tail)?;
    Ok(tail.ends_with('\n') && tail.contains(&format!("\"key\":{{\"id\":{row}}}")))
}

/// The commit LSN of the first event of a file.
fn first_commit(path: &Path) -> Result<Option<u64>> {
    let Ok(file) = std::fs::File::open(path) else {
        return Ok(None);
    };
    let Some(line) = BufReader::new(file).lines().next() else {
        return Ok(None);
    };
    let line = line?;
    let digits = line.get(9..23);
    Ok(digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()))
}

/// Row 45: into a file, with the default journal and a `wal_sender_timeout` of a second that no
/// keepalive may miss, although the server spills and decodes for long: one connection, one
/// confirmation, at the end.
#[test]
fn many_rows_into_a_file() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V17, "large_file", SETUP)?;
    let file = bed.path("all.ndjson");
    bed.source = "wal_sender_timeout = \"1s\"\nstatus_interval = \"100ms\"\n\
                  logical_decoding_work_mem = \"64KiB\""
        .to_owned();
    bed.configure(&file_sink(&file))?;
    let mut program = bed.serve()?;
    let walsender = bed.walsender()?;
    bed.sql(&insert(rows()))?;
    until("the last row is there", || {
        let confirmed = bed.confirmed()?;
        let arrived = ends_with_row(&file, rows())?;
        if let Some(commit) = first_commit(&file)? {
            ensure!(
                arrived || confirmed <= commit,
                "{confirmed:X} was confirmed before the commit at {commit:X} was delivered whole"
            );
        }
        Ok(arrived)
    })?;
    bed.until_confirmed(&mut program)?;
    ensure!(bed.walsender()? == walsender, "it is the same connection");
    bounded(&program, 64 << 10)?;
    stop(program, &[CREATED])?;
    check_lines(BufReader::new(std::fs::File::open(&file)?).lines(), rows())
}

/// Row 45: with a journal on disk it comes while it runs: the server writes none of it to its own
/// disk, and nothing of it is confirmed before all of it is safe here.
#[test]
fn many_rows_while_they_are_written() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V17, "large_streamed", SETUP)?;
    let file = bed.path("all.ndjson");
    bed.source = "logical_decoding_work_mem = \"64KiB\"".to_owned();
    bed.more = journal_on_disk("streaming = true");
    bed.configure(&file_sink(&file))?;
    let mut program = bed.serve()?;
    bed.sql(&insert(rows()))?;
    until("the last row is there", || ends_with_row(&file, rows()))?;
    bed.until_confirmed(&mut program)?;
    bounded(&program, 24 << 10)?;
    stop(program, &[CREATED])?;
    check_lines(BufReader::new(std::fs::File::open(&file)?).lines(), rows())?;
    let spilled_and_streamed = "select spill_bytes, stream_bytes from pg_stat_replication_slots \
                                where slot_name = 'large_streamed'";
    // The statistics of a slot are told when its walsender ends at the latest.
    until("the server has streamed", || {
        let row = bed.admin()?.query_one(spilled_and_streamed, &[])?;
        let (spilled, streamed): (i64, i64) = (row.get(0), row.get(1));
        ensure!(spilled == 0, "the server has spilled {spilled} bytes");
        Ok(streamed > 0)
    })?;
    let adopted = std::fs::read_dir(bed.path("journal"))?
        .filter_map(|entry| entry.ok())
        .any(|entry| entry.path().extension().is_some_and(|kind| kind == "spool"));
    ensure!(adopted, "its spool was adopted by the journal");
    Ok(())
}

/// Row 45: a transaction for which the journal keeps no room while it runs comes when it has
/// committed, or stops the program, as configured.
#[test]
fn many_rows_without_room_while_they_are_written() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V17, "large_unstreamed", SETUP)?;
    let file = bed.path("all.ndjson");
    bed.source = "logical_decoding_work_mem = \"64KiB\"".to_owned();
    // Half of it is for spools, which is less than the transaction takes, and all of it is more.
    let journal =
        journal_on_disk("replay_bytes = \"0B\"\nbudget = \"32MiB\"\nspool_memory = \"1MiB\"");
    bed.more = format!("{journal}on_large_transaction = \"stop\"\n");
    bed.configure(&file_sink(&file))?;
    let program = bed.serve()?;
    bed.sql(&insert(100_000))?;
    let texts = [
        "bytes so far, in public.t, can't be kept",
        "may take 16777216 bytes",
        "unstream",
    ];
    refused(&program.wait()?, 7, &texts, &[CREATED])?;
    bed.more = journal.to_owned();
    let ended = bed.catch_up(&[])?;
    ensure!(
        ended.stderr.contains("connecting again without streaming"),
        "{}",
        ended.stderr
    );
    let lines = BufReader::new(std::fs::File::open(&file)?).lines();
    check_lines(lines, 100_000)
}

/// Row 45: one that is larger than all that the journal may take, and does not come while it runs,
/// can't end: it is refused by name and size, and comes when there is room.
#[test]
fn many_rows_in_a_budget_that_is_too_small() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V17, "large_budget", SETUP)?;
    let file = bed.path("all.ndjson");
    let small = "streaming = false\nreplay_bytes = \"0B\"\nbudget = ";
    bed.more = journal_on_disk(&format!("{small}\"16MiB\""));
    bed.configure(&file_sink(&file))?;
    let program = bed.serve()?;
    bed.sql(&insert(200_000))?;
    let texts = [
        "is larger than the journal may be",
        "budget is 16777216",
        "raise [journal] budget",
    ];
    refused(
        &program.wait()?,
        2,
        &texts,
        &[CREATED, "the journal is full", "the journal has failed"],
    )?;
    bed.more = journal_on_disk(&format!("{small}\"256MiB\""));
    bed.catch_up(&[])?;
    let lines = BufReader::new(std::fs::File::open(&file)?).lines();
    check_lines(lines, 200_000)
}

/// Row 45: into a pipe that is read slowly, with `tail`.
#[test]
fn many_rows_into_a_pipe() -> Result<()> {
    let bed = Bed::shared(PgVersion::V17, "large_pipe", SETUP)?;
    bed.sql("select pg_create_logical_replication_slot('large_pipe', 'pgoutput');")?;
    let args = [
        "tail",
        &bed.url,
        "--slot",
        "large_pipe",
        "--publication",
        "walgate",
        "--format",
        "json",
    ];
    let mut program = Program::start(args)?;
    bed.sql(&insert(rows()))?;
    let output = program.take_stdout().context("its output")?;
    check_lines(output.lines(), rows())?;
    bounded(&program, 64 << 10)?;
    bed.until_confirmed(&mut program)?;
    program.signal("TERM")?;
    let ended = program.wait()?;
    clean(&ended, &[])
}

/// Row 45: a transaction far larger than a journal of 4 MiB passes through it, in few large rows.
#[test]
fn large_rows_through_a_small_journal() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V17, "large_journal", SETUP)?;
    let file = bed.path("all.ndjson");
    bed.configure(&format!(
        "[journal]\nmemory = \"4MiB\"\n\n{}",
        file_sink(&file)
    ))?;
    let mut program = bed.serve()?;
    let count = if long() { 1000 } else { 60 };
    bed.sql(&format!(
        "alter table t alter pad set storage external;
         insert into t select n, repeat(md5(n::text), 32768), 0, null from generate_series(1, {count}) n;"
    ))?;
    bed.until_confirmed(&mut program)?;
    bounded(&program, 4 << 10)?;
    stop(program, &[CREATED])?;
    check_lines(BufReader::new(std::fs::File::open(&file)?).lines(), count)
}

/// Rows 45 and 46: very many sub-transactions, of which every other one is rolled back.
#[test]
fn many_savepoints() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V17, "large_savepoints", SETUP)?;
    let file = bed.path("all.ndjson");
    bed.configure(&file_sink(&file))?;
    let mut program = bed.serve()?;
    let count = if long() { 100_000 } else { 10_000 };
    // A block with an exception clause is a sub-transaction.
    bed.sql(&format!(
        "do $$
         declare survivors int := 0;
         begin
             for n in 1 .. {count} loop
                 begin
                     insert into t values (survivors + 1, 'pad', n, null);
                     if n % 2 = 0 then
                         raise exception 'undo';
                     end if;
                     survivors := survivors + 1;
                 exception when raise_exception then null;
                 end;
             end loop;
         end $$;"
    ))?;
    bed.until_confirmed(&mut program)?;
    bounded(&program, 64 << 10)?;
    stop(program, &[CREATED])?;
    let survivors = count / 2;
    check_lines(
        BufReader::new(std::fs::File::open(&file)?).lines(),
        survivors,
    )?;
    let lines = BufReader::new(std::fs::File::open(&file)?).lines().count();
    ensure!(u64::try_from(lines)? == survivors, "{lines} lines");
    Ok(())
}
