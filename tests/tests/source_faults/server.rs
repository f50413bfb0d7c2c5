//! Servers that restart, die, shut down or are not up yet, and walsenders that are ended.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use walgate_tests::{CREATED, Program, Workload, commit_lsn, long, parse, quiet, seed, stop};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions, StopMode};

use super::ledger_bed::{DOWN, LedgerBed, folded};

/// Postgres 16, for a test of its own.
fn own() -> Result<Postgres> {
    Ok(Postgres::start(&PostgresOptions::version(PgVersion::V16))?)
}

/// Waits for the end of one more outage.
fn again(program: &mut Program, outages: usize) -> Result<()> {
    program.wait_until("a new connection", |log| {
        log.matches("connected again").count() >= outages
    })
}

/// Row 7: a walsender is ended by an administrator, again and again, under load.
#[test]
fn a_terminated_walsender_is_replaced_without_loss() -> Result<()> {
    let bed = LedgerBed::shared(PgVersion::V15, "terminated")?;
    bed.begin()?;
    // The long form waits for minutes in all, and is to collect no millions of changes meanwhile.
    let pause = Duration::from_millis(if long() { 200 } else { 4 });
    let workload = Workload::start(&bed.direct, seed(), 2, pause);
    let mut program = bed.serve()?;
    let mut admin = bed.admin()?;
    let end = "select pg_terminate_backend(active_pid) from pg_replication_slots \
               where slot_name = $1 and active";
    // The wait between two attempts grows up to half a minute.
    let times = if long() { 20 } else { 5 };
    for outage in 1..=times {
        let size = || std::fs::metadata(bed.path("events")).map_or(0, |file| file.len());
        let before = size();
        program.wait_until("new events", |_| size() > before)?;
        admin.execute(end, &[&bed.name])?;
        again(&mut program, outage)?;
    }
    workload.stop()?;
    bed.until_complete(&mut program)?;
    let ended = stop(program, &[DOWN])?;
    ensure!(
        ended.stderr.matches(DOWN).count() <= times,
        "one line for each outage: {}",
        ended.stderr
    );
    bed.complete()
}

/// Row 7: every walsender is ended within moments, for a while; the process lives.
#[test]
fn walsenders_that_are_terminated_all_the_time_do_not_end_it() -> Result<()> {
    let bed = LedgerBed::shared(PgVersion::V14, "terminated_often")?;
    bed.begin()?;
    let mut program = bed.serve()?;
    let mut admin = bed.admin()?;
    let end = "select pg_terminate_backend(active_pid) from pg_replication_slots \
               where slot_name = $1 and active";
    let duration = Duration::from_secs(if long() { 60 } else { 3 });
    let (begun, mut ended, mut id) = (Instant::now(), 0, 0);
    while begun.elapsed() < duration {
        id += 1;
        bed.insert(id..=id)?;
        ended += admin.execute(end, &[&bed.name])?;
        std::thread::sleep(Duration::from_millis(200));
    }
    ensure!(ended > 1, "they were ended: {ended}");
    bed.until_complete(&mut program)?;
    stop(program, &[DOWN])?;
    bed.complete()
}

/// Row 8: a fast restart. The server sends everything before it goes, and what was confirmed does
/// not come again.
#[test]
fn a_fast_restart_loses_and_repeats_nothing() -> Result<()> {
    // Before 17 a server does not write down at its end what was confirmed last.
    let mut server = Postgres::start(&PostgresOptions::version(PgVersion::V17))?;
    let mut bed = LedgerBed::on(&server, "fast_restart")?;
    bed.print_events();
    bed.begin()?;
    let mut program = bed.serve()?;
    bed.insert(1..=100)?;
    server.restart(StopMode::Fast)?;
    // Everything was confirmed before the server went.
    let mut printed: Vec<String> = (0..100).map(|_| program.line()).collect::<Result<_>>()?;
    let last = commit_lsn(&parse([printed[99].as_str()])?[0])?;
    let confirmed = bed.confirmed()?;
    ensure!(
        confirmed > last,
        "{confirmed:X} is confirmed, {last:X} delivered"
    );
    again(&mut program, 1)?;
    bed.insert(101..=110)?;
    for _ in 0..10 {
        printed.push(program.line()?);
    }
    bed.until_confirmed(&mut program)?;
    printed.extend(stop(program, &[DOWN])?.lines);
    let rows = folded(&parse(printed.iter().map(String::as_str))?)?;
    ensure!(
        rows.len() == 110 && printed.len() == 110,
        "each once: {}",
        printed.len()
    );
    Ok(())
}

/// Row 9: an immediate stop closes without a word; the server recovers.
#[test]
fn an_immediate_stop_loses_nothing() -> Result<()> {
    let mut server = own()?;
    let bed = LedgerBed::on(&server, "immediate_stop")?;
    bed.begin()?;
    let mut program = bed.serve()?;
    for outage in 1..=2 {
        let first = i32::try_from(outage)? * 100;
        bed.insert(first..=first + 49)?;
        server.restart(StopMode::Immediate)?;
        again(&mut program, outage)?;
        bed.insert(first + 50..=first + 60)?;
        bed.until_complete(&mut program)?;
    }
    stop(program, &[DOWN])?;
    bed.complete()
}

/// Row 9: a backend dies of SIGKILL and takes the others with it; then everything does.
#[test]
fn killed_backends_and_a_killed_server_lose_nothing() -> Result<()> {
    let mut server = own()?;
    let bed = LedgerBed::on(&server, "killed_server")?;
    bed.begin()?;
    let mut program = bed.serve()?;
    bed.insert(1..=50)?;
    let walsender = bed.walsender()?;
    let walsender = walsender.context("a walsender")?.to_string();
    let killed = Command::new("kill").args(["-KILL", &walsender]).status()?;
    ensure!(killed.success(), "kill -KILL {walsender}");
    again(&mut program, 1)?;
    bed.insert(51..=60)?;
    bed.until_complete(&mut program)?;
    bed.insert(61..=70)?;
    server.kill_9()?;
    server.start_again()?;
    again(&mut program, 2)?;
    bed.insert(71..=80)?;
    bed.until_complete(&mut program)?;
    stop(program, &[DOWN])?;
    bed.complete()
}

/// Row 10: the server waits at its end until we have confirmed everything, which a blocked sink
/// can't; we let go.
#[test]
fn a_blocked_sink_does_not_hold_up_a_fast_stop() -> Result<()> {
    let mut server = own()?;
    let mut bed = LedgerBed::on(&server, "blocked_stop")?;
    bed.print_events();
    bed.more = "[journal]\nmemory = \"1MiB\"\n".to_owned();
    bed.begin()?;
    let mut program = bed.serve()?;
    // More than the pipe and the journal take: nobody reads yet.
    bed.insert(1..=40_000)?;
    let begun = Instant::now();
    server.stop(StopMode::Fast)?;
    let took = begun.elapsed();
    ensure!(
        took < Duration::from_secs(25),
        "the server waited for us for {took:?}"
    );
    server.start_again()?;
    let mut printed = Vec::new();
    for _ in 0..40_000 {
        printed.push(program.line()?);
    }
    let rows = folded(&parse(printed.iter().map(String::as_str))?)?;
    ensure!(rows.len() == 40_000, "everything comes: {}", rows.len());
    bed.insert(40_001..=40_001)?;
    let last = program.line()?;
    ensure!(last.contains(r#""key":{"id":40001}"#), "{last}");
    let ended = stop(program, &[DOWN])?;
    ensure!(ended.lines.is_empty(), "nothing is repeated");
    Ok(())
}

/// Row 10 with little to send: the walsender is caught up and asks us again and again.
#[test]
fn a_blocked_sink_with_everything_received_does_not_hold_up_a_fast_stop() -> Result<()> {
    let mut server = own()?;
    let mut bed = LedgerBed::on(&server, "blocked_stop_idle")?;
    bed.print_events();
    bed.begin()?;
    let mut program = bed.serve()?;
    // More than the pipe takes, less than the journal.
    bed.insert(1..=3000)?;
    let head = bed.head()?;
    let mut admin = bed.admin()?;
    let sent = "select exists (select from pg_stat_replication \
                where write_lsn - '0/0' >= $1::text::numeric)";
    program.wait_until("everything is received", |_| {
        admin
            .query_one(sent, &[&head.to_string()])
            .is_ok_and(|row| row.get(0))
    })?;
    drop(admin);
    let begun = Instant::now();
    server.stop(StopMode::Fast)?;
    let took = begun.elapsed();
    ensure!(
        took < Duration::from_secs(25),
        "the server waited for us for {took:?}"
    );
    server.start_again()?;
    let printed: Vec<String> = (0..3000).map(|_| program.line()).collect::<Result<_>>()?;
    let rows = folded(&parse(printed.iter().map(String::as_str))?)?;
    ensure!(rows.len() == 3000, "everything comes: {}", rows.len());
    again(&mut program, 1)?;
    stop(program, &[DOWN])?;
    Ok(())
}

/// Row 11: the server is down, or shutting down, when we start; we wait for it.
#[test]
fn a_server_that_is_down_or_shutting_down_is_waited_for() -> Result<()> {
    let mut server = own()?;
    let bed = LedgerBed::on(&server, "not_up_yet")?;
    // Refused.
    server.stop(StopMode::Fast)?;
    let mut program = bed.start()?;
    program.wait_for_log(DOWN)?;
    server.start_again()?;
    program.wait_for_log("streaming")?;
    bed.insert(1..=10)?;
    bed.until_complete(&mut program)?;
    stop(program, &[DOWN, CREATED])?;
    // A session keeps the server from its end: 57P03 for everybody else.
    let session = bed.admin()?;
    server.begin_stop(StopMode::Smart)?;
    let mut program = bed.start()?;
    program.wait_for_log("the database system is shutting down")?;
    drop(session);
    server.stop(StopMode::Smart)?;
    server.start_again()?;
    program.wait_for_log("streaming")?;
    bed.insert(11..=20)?;
    bed.until_complete(&mut program)?;
    stop(program, &[DOWN])?;
    bed.complete()
}

/// Row 11 for `tail`: who looks at a database now wants to know that it is down.
#[test]
fn tail_says_at_once_that_the_server_is_down() -> Result<()> {
    let mut server = own()?;
    let url = server.url();
    server.stop(StopMode::Fast)?;
    let ended = Program::start(["tail", url.as_str()])?.wait()?;
    ensure!(
        ended.status.code() == Some(2) && ended.stderr.contains("refused"),
        "{}: {}",
        ended.status,
        ended.stderr
    );
    quiet(&ended.stderr, &["error: "])
}
