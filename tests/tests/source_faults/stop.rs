//! Orderly stops.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use walgate_tests::{Workload, commit_lsn, quiet, seed, stop, until};
use walgate_throwaway::PgVersion;

use super::ledger_bed::LedgerBed;

/// Row 5: SIGTERM under load.
#[test]
fn sigterm_under_load_delivers_confirms_and_exits_0() -> Result<()> {
    let mut bed = LedgerBed::shared(PgVersion::V17, "stop_load")?;
    // The last transaction may be delivered in part; the rest of it comes with the next start.
    bed.sinks.push_str("transactions = true\n");
    bed.begin()?;
    let workload = Workload::start(&bed.direct, seed(), 3, Duration::from_millis(2));
    for round in 1..=4 {
        let mut program = bed.serve()?;
        let known = bed.events()?.len();
        program.wait_until("events in the file", |_| {
            bed.events().is_ok_and(|events| events.len() > known + 200)
        })?;
        let begun = Instant::now();
        let ended = stop(program, &[])?;
        ensure!(
            begun.elapsed() < Duration::from_secs(20),
            "within the time it is given"
        );
        ensure!(
            ended.stderr.contains("stopped"),
            "it says so: {}",
            ended.stderr
        );
        // What was delivered is confirmed when it ends: round by round the slot is where we are.
        let events = bed.events()?;
        let last = events.iter().rfind(|event| event["op"] == "commit");
        let last = last.map(commit_lsn).transpose()?.unwrap_or(0);
        let confirmed = bed.confirmed()?;
        ensure!(
            confirmed > last,
            "round {round}: {confirmed:X} is confirmed, and {last:X} delivered: {}",
            ended.stderr
        );
        ensure!(
            bed.slot()?.is_some_and(|slot| slot.walsender.is_none()),
            "the slot is free at once"
        );
    }
    workload.stop()?;
    bed.run_until_now()?;
    bed.complete()
}

/// Row 5: the second signal does not wait for anything.
#[test]
fn a_second_sigterm_ends_it_at_once() -> Result<()> {
    let mut bed = LedgerBed::shared(PgVersion::V17, "stop_twice")?;
    bed.print_events();
    bed.more = "[journal]\nmemory = \"1MiB\"\n".to_owned();
    bed.source = "status_interval = \"200ms\"\n".to_owned();
    bed.begin()?;
    let mut program = bed.serve()?;
    // Nobody reads what it prints.
    bed.insert(1..=20_000)?;
    // What was read by then would be drained, and not come again.
    until("the pipe is full", || program.is_blocked())?;
    let before = bed.confirmed()?;
    program.signal("TERM")?;
    program.wait_for_log("a second signal ends at once")?;
    program.signal("TERM")?;
    let begun = Instant::now();
    let ended = program.wait()?;
    ensure!(
        begun.elapsed() < Duration::from_secs(10),
        "it waits for the reader: {:?}",
        begun.elapsed()
    );
    quiet(&ended.stderr, &["stopped before everything"])?;
    ensure!(
        bed.confirmed()? >= before,
        "what is not delivered is not confirmed"
    );
    // Everything comes again.
    let ended = bed.run_until_now()?;
    ensure!(
        ended.lines.len() == 20_000,
        "{} of 20000",
        ended.lines.len()
    );
    until("the slot is free", || {
        Ok(bed.slot()?.is_some_and(|slot| slot.walsender.is_none()))
    })
}
