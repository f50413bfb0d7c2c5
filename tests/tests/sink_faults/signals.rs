//! What the operating system asks of a service under load.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use walgate_tests::{
    AFTER_A_KILL, Bed, CREATED, LEDGER, Workload, clean, events, file_sink, ledger, replay, seed,
    stop, until,
};
use walgate_throwaway::PgVersion;

fn bed(name: &str) -> Result<Bed> {
    let mut bed = Bed::shared(
        PgVersion::V17,
        name,
        &format!("{LEDGER};\ncreate publication walgate for table ledger;"),
    )?;
    bed.configure(&file_sink(&bed.path("all.ndjson")))?;
    Ok(bed)
}

/// SIGTERM under load: what was read is delivered and confirmed, it ends with 0, and the next
/// start repeats nothing. Several times, so that it hits many moments.
#[test]
fn sigterm_under_load_drains() -> Result<()> {
    let seed = seed();
    drains(seed).with_context(|| format!("WALGATE_TEST_SEED={seed}"))
}

fn drains(seed: u64) -> Result<()> {
    let bed = bed("signal_drain")?;
    bed.begin()?;
    let workload = Workload::start(&bed.url, seed, 2, Duration::from_millis(4));
    let mut held = 0;
    for round in 0..5 {
        let program = bed.serve()?;
        let path = bed.path("all.ndjson");
        until("something arrives", || Ok(events(&path)?.len() > held))?;
        let ended = stop(program, &[CREATED])?;
        ensure!(
            ended.stderr.contains("stopping"),
            "round {round}: {}",
            ended.stderr
        );
        let all = events(&path)?;
        held = all.len();
        // The last transaction may have been read in part: the sink's own position counts.
        let last = all
            .last()
            .map_or("", |event| event["id"].as_str().unwrap_or_default());
        let covered = checkpointed(&bed)?;
        ensure!(
            *covered >= *last,
            "round {round}: {covered} does not cover {last}"
        );
    }
    workload.stop()?;
    bed.catch_up(AFTER_A_KILL)?;
    let all = events(&bed.path("all.ndjson"))?;
    let ids: Vec<_> = all.iter().map(|event| event["id"].to_string()).collect();
    ensure!(ids.is_sorted_by(|a, b| a < b), "nothing is repeated");
    ensure!(
        replay(&all)? == ledger(&mut bed.admin()?)?,
        "the fold of the events is the table"
    );
    Ok(())
}

/// What the checkpoint says is delivered to the file.
fn checkpointed(bed: &Bed) -> Result<String> {
    let text = std::fs::read_to_string(bed.path("state").join("checkpoint"))?;
    let body = text.lines().nth(1).context("a checkpoint has two lines")?;
    let body: serde_json::Value = serde_json::from_str(body)?;
    Ok(body["sinks"]["file"]
        .as_str()
        .context("a position")?
        .to_owned())
}

/// The second signal ends at once, also while a blocked pipe makes draining impossible.
#[test]
fn the_second_signal_ends_at_once() -> Result<()> {
    let mut bed = bed("signal_twice")?;
    bed.more = "shutdown_timeout = \"1h\"".to_owned();
    bed.configure("[sinks.out]\ntype = \"stdout\"\n")?;
    let mut program = bed.serve()?;
    bed.sql(
        "insert into ledger select n, 1, 0, repeat('x', 1000) from generate_series(1, 5000) n;",
    )?;
    until("the pipe is full", || program.is_blocked())?;
    program.signal("TERM")?;
    program.wait_for_log("a second signal ends at once")?;
    program.signal("INT")?;
    until("it has ended", || Ok(bed.walsender()?.is_none()))?;
    drop(program.take_stdout());
    let ended = program.wait()?;
    clean(&ended, &[CREATED, "stopped before everything"])?;
    let file = bed.path("all.ndjson");
    bed.configure(&file_sink(&file))?;
    bed.catch_up(&[])?;
    let held = events(&file)?.len();
    ensure!(
        held == 5000,
        "what nobody has read was not confirmed: {held} rows come again"
    );
    Ok(())
}

/// SIGHUP reads the configuration again: the level of the log changes; a key that needs a restart is
/// named; a file that is broken keeps the old one, and the service goes on.
#[test]
fn sighup_reads_the_configuration_again() -> Result<()> {
    let mut bed = bed("signal_reload")?;
    let sink = file_sink(&bed.path("all.ndjson"));
    bed.configure(&sink)?;
    let mut program = bed.serve()?;
    bed.configure(&format!("[log]\nlevel = \"debug\"\n\n{sink}"))?;
    program.signal("HUP")?;
    program.wait_for_log("read the configuration again")?;
    program.wait_until("a line of debug", |log| log.contains("DEBUG"))?;
    bed.configure(&format!(
        "[log]\nlevel = \"debug\"\n\n[journal]\nmemory = \"32MiB\"\n\n{sink}"
    ))?;
    program.signal("HUP")?;
    program.wait_for_log("take effect with the next start")?;
    ensure!(
        program.stderr().contains("journal.memory"),
        "{}",
        program.stderr()
    );
    std::fs::write(
        bed.path("walgate.toml"),
        "[log]\nlevel = \"loud\"\nurl = \"postgres://u:topsecret@h/d\"",
    )?;
    program.signal("HUP")?;
    program.wait_for_log("the configuration is not read again")?;
    ensure!(
        !program.stderr().contains("topsecret"),
        "{}",
        program.stderr()
    );
    bed.sql("insert into ledger values (1, 1, 0, 'x');")?;
    bed.until_confirmed(&mut program)?;
    ensure!(events(&bed.path("all.ndjson"))?.len() == 1);
    let known = [
        CREATED,
        "the configuration is not read again",
        "take effect with the next start",
    ];
    stop(program, &known).map(drop)
}
