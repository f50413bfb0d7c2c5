//! Time that passes without anything: a stopped process, an idle database, a blocked sink.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use walgate_tests::{database, long, parse, session, stop, until};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

use super::ledger_bed::{DOWN, LedgerBed, folded};

/// The server gives us up after a second.
const SHORT: &str = "wal_sender_timeout = \"1s\"\nstatus_interval = \"300ms\"\n";

/// Row 6: stopped (SIGSTOP) until the server has given it up; the long form with the server's own
/// minute.
#[test]
fn a_process_that_was_stopped_for_longer_than_wal_sender_timeout_goes_on() -> Result<()> {
    let mut bed = LedgerBed::shared(PgVersion::V17, "stopped_process")?;
    if !long() {
        bed.source = SHORT.to_owned();
    }
    bed.begin()?;
    let mut program = bed.serve()?;
    bed.insert(1..=10)?;
    bed.until_complete(&mut program)?;
    program.signal("STOP")?;
    bed.insert(11..=20)?;
    until("the server has given it up", || {
        Ok(bed.slot()?.is_some_and(|slot| slot.walsender.is_none()))
    })?;
    program.signal("CONT")?;
    program.wait_for_log("connected again")?;
    bed.insert(21..=30)?;
    bed.until_complete(&mut program)?;
    let ended = stop(program, &[DOWN])?;
    ensure!(
        ended
            .stderr
            .contains("closed the connection without a word"),
        "it says what it saw: {}",
        ended.stderr
    );
    bed.complete()
}

/// What the server says before it closes the connection is heard, also by a process that writes to
/// it first: it was stopped, and goes on with a status that is overdue.
#[test]
fn the_last_words_of_the_server_are_heard_by_who_writes_first() -> Result<()> {
    let mut bed = LedgerBed::shared(PgVersion::V16, "last_words")?;
    bed.source = SHORT.replace("\"1s\"", "\"60s\"");
    bed.begin()?;
    let mut program = bed.serve()?;
    let mut admin = bed.admin()?;
    let end = "select pg_terminate_backend($1)";
    for heard in 1..=4 {
        program.wait_until("it is connected", |log| {
            let connected = log.matches("connected again").count();
            connected + 1 >= heard
        })?;
        let mut walsender = None;
        until("the server has a walsender", || {
            walsender = bed.walsender()?;
            Ok(walsender.is_some())
        })?;
        program.signal("STOP")?;
        admin.query_one(end, &[&walsender])?;
        until(
            "the walsender is gone",
            || Ok(bed.walsender()? != walsender),
        )?;
        program.signal("CONT")?;
        let words = "terminating connection due to administrator command";
        program.wait_until("it says what the server said", |log| {
            log.matches(words).count() >= heard
        })?;
    }
    stop(program, &[DOWN])?;
    bed.complete()
}

/// Row 62: the database is idle, and its neighbour on the same server is not: WAL must not pile up.
#[test]
fn an_idle_database_with_a_busy_neighbour_advances() -> Result<()> {
    let bed = LedgerBed::shared(PgVersion::V18, "idle_database")?;
    let neighbour = database(PgVersion::V18, "idle_neighbour")?;
    let mut neighbour = session(&neighbour)?;
    neighbour.batch_execute("create table noise (filler text)")?;
    bed.begin()?;
    let mut program = bed.serve()?;
    for _ in 0..3 {
        let before = bed.confirmed()?;
        neighbour.batch_execute(
            "insert into noise select repeat('x', 1000) from generate_series(1, 2000)",
        )?;
        let head = bed.head()?;
        ensure!(head > before + 1_000_000, "the neighbour is busy");
        bed.until_confirmed(&mut program)?;
    }
    // Also changes of tables that are not published, and of none of the sinks.
    bed.sql("create table unpublished (filler text);")?;
    bed.sql("insert into unpublished select repeat('x', 1000) from generate_series(1, 2000);")?;
    bed.until_confirmed(&mut program)?;
    stop(program, &[])?;
    ensure!(bed.events()?.is_empty(), "nothing was ours");
    bed.complete()
}

/// Row 64: a sink blocks for many times `wal_sender_timeout`; the server goes on hearing from us.
#[test]
fn a_blocked_sink_does_not_cost_the_connection() -> Result<()> {
    let mut bed = LedgerBed::shared(PgVersion::V14, "blocked_sink")?;
    bed.print_events();
    bed.source = SHORT.to_owned();
    bed.more = "[journal]\nmemory = \"1MiB\"\n".to_owned();
    bed.begin()?;
    let mut program = bed.serve()?;
    bed.insert(1..=40_000)?;
    let walsender = bed.walsender()?;
    let walsender = walsender.context("a walsender")?;
    let mut admin = bed.admin()?;
    let mut reply = || -> Result<Option<SystemTime>> {
        let query = "select reply_time from pg_stat_replication where pid = $1";
        let row = admin.query_opt(query, &[&walsender])?;
        Ok(row
            .context("the walsender of the start is gone")?
            .get::<_, Option<SystemTime>>(0))
    };
    let first = reply()?;
    // Five time-outs, by the times at which the server heard from us.
    until("the server has heard from us for 5 s", || {
        let (Some(first), Some(now)) = (first, reply()?) else {
            return Ok(false);
        };
        Ok(now.duration_since(first)? > Duration::from_secs(5))
    })?;
    let mut printed = Vec::new();
    for _ in 0..40_000 {
        printed.push(program.line()?);
    }
    let rows = folded(&parse(printed.iter().map(String::as_str))?)?;
    ensure!(rows.len() == 40_000, "everything comes: {}", rows.len());
    let ended = stop(program, &[])?;
    ensure!(ended.lines.is_empty(), "nothing is repeated");
    Ok(())
}

/// Row 61: the server's disk is full while it decodes; it is tried again until there is space.
///
/// A full disk of a few megabytes takes the right to mount one, so this is in the long form only.
#[test]
fn a_full_disk_of_the_server_is_waited_for() -> Result<()> {
    if !long() {
        return Ok(());
    }
    let server = Postgres::start(
        &PostgresOptions::version(PgVersion::V17).setting("logical_decoding_work_mem", "64kB"),
    )?;
    let bed = LedgerBed::on(&server, "full_disk")?;
    bed.begin()?;
    // What does not fit into memory goes to a file beside the slot.
    let disk = SmallDisk::mount(&server.data_dir().join("pg_replslot").join(&bed.name))?;
    bed.insert(1..=40_000)?;
    let mut program = bed.start()?;
    program.wait_for_log("No space left on device")?;
    program.wait_for_log("the disk of the source is full")?;
    ensure!(bed.events()?.is_empty(), "nothing of it is delivered");
    disk.grow()?;
    bed.until_complete(&mut program)?;
    stop(program, &[DOWN])?;
    bed.complete()
}

/// A file system in memory over a folder, with what was in it.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(folder: &std::path::Path) -> Result<Self> {
        let folder = folder.display();
        // Owned as before; the files of the slot come along.
        shell(&format!(
            "set -e; owner=$(stat -c %u:%g {folder}); copy=$(mktemp -d); \
             cp -a {folder}/. $copy; mount -t tmpfs -o size=512k none {folder}; \
             cp -a $copy/. {folder}; chown $owner {folder}; chmod 700 {folder}; rm -r $copy"
        ))?;
        Ok(Self(folder.to_string().into()))
    }

    fn grow(&self) -> Result<()> {
        shell(&format!("mount -o remount,size=256m {}", self.0.display()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server still uses it.
        let _unmounted = shell(&format!("umount -l {}", self.0.display()));
    }
}

fn shell(script: &str) -> Result<()> {
    let ended = std::process::Command::new("sh")
        .args(["-c", script])
        .output()?;
    let stderr = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{script}: {stderr}");
    Ok(())
}
