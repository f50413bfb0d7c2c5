//! What a follower misses comes when it is back, once.

use anyhow::{Context, Result, ensure};
use walgate_tests::stop;
use walgate_throwaway::{FaultProxy, PgVersion};

use super::{bed, expect, follow, insert, serve};

#[test]
fn a_follower_goes_on_across_kills_of_the_server_and_cuts_of_its_connection() -> Result<()> {
    let bed = bed(PgVersion::V17, "follow_resume")?;
    let (program, at) = serve(&bed)?;
    let proxy = FaultProxy::start(at)?;
    let mut follower = follow(proxy.address(), &["--format", "json"])?;
    follower.wait_for_log("following")?;
    insert(&bed, &(1..=100))?;
    expect(&mut follower, 1..=100)?;
    // In the middle of what comes.
    insert(&bed, &(101..=5_000))?;
    expect(&mut follower, 101..=200)?;
    proxy.cut();
    insert(&bed, &(5_001..=5_100))?;
    expect(&mut follower, 201..=5_100)?;
    follower.wait_for_log("connected again")?;

    program.signal("KILL")?;
    program.wait()?;
    insert(&bed, &(5_101..=5_150))?;
    let (program, at) = serve(&bed)?;
    proxy.set_target(at);
    expect(&mut follower, 5_101..=5_150)?;
    // A deploy, which says that it goes.
    stop(program, &["the slot is in use"])?;
    follower.wait_for_log("(1001); again in")?;
    let (program, at) = serve(&bed)?;
    proxy.set_target(at);
    insert(&bed, &(5_151..=5_200))?;
    expect(&mut follower, 5_151..=5_200)?;

    follower.signal("INT")?;
    let ended = follower.wait()?;
    ensure!(ended.status.success(), "{ended:?}");
    ensure!(ended.lines.is_empty(), "nothing twice: {:?}", ended.lines);
    ensure!(ended.stderr.contains(", behind 00"), "{}", ended.stderr);
    stop(program, &[])?;
    Ok(())
}

#[test]
fn a_server_that_falls_silent_is_left_and_found_again() -> Result<()> {
    let bed = bed(PgVersion::V16, "follow_silent")?;
    let (program, at) = serve(&bed)?;
    let proxy = FaultProxy::start(at)?;
    for transport in ["websocket", "sse"] {
        // Longer than the server's own pings, which come each second.
        let args = [
            "--format",
            "json",
            "--heartbeat",
            "2s",
            "--transport",
            transport,
        ];
        let mut follower = follow(proxy.address(), &args)?;
        follower.wait_for_log("following")?;
        proxy.stall();
        let row = if transport == "sse" { 2 } else { 1 };
        insert(&bed, &(row..=row))?;
        follower.wait_for_log("nothing was heard for 6s")?;
        proxy.resume();
        expect(&mut follower, row..=row)?;
        follower.signal("TERM")?;
        let ended = follower.wait()?;
        ensure!(
            ended.status.success() && ended.lines.is_empty(),
            "{ended:?}"
        );
    }
    stop(program, &[])?;
    Ok(())
}

#[test]
fn a_reader_of_the_output_that_waits_loses_nothing() -> Result<()> {
    let mut bed = bed(PgVersion::V15, "follow_slow")?;
    bed.sinks =
        super::websocket("delivery = \"resumable\"\nqueue_events = 64\nqueue_bytes = \"64KiB\"");
    let (program, at) = serve(&bed)?;
    let mut follower = follow(at, &["--format", "json"])?;
    follower.wait_for_log("following")?;
    bed.sql("insert into t select g, repeat('x', 2000) from generate_series(1, 20000) g")?;
    walgate_tests::until("the output is full", || follower.is_blocked())?;
    // More than all buffers between hold: the server sends it away, and it comes back.
    let mut output = follower.take_stdout().context("an output")?;
    let mut line = String::new();
    for expected in 1..=20_000 {
        line.clear();
        std::io::BufRead::read_line(&mut output, &mut line)?;
        let event: serde_json::Value = serde_json::from_str(&line)?;
        ensure!(
            event["key"]["id"] == expected,
            "{expected}: {}",
            follower.stderr()
        );
    }
    follower.signal("INT")?;
    ensure!(follower.wait()?.status.success());
    stop(program, &[])?;
    Ok(())
}

#[test]
fn a_script_goes_on_from_its_file() -> Result<()> {
    let bed = bed(PgVersion::V18, "follow_file")?;
    let (program, at) = serve(&bed)?;
    let file = bed.path("orders.pos");
    let file = file.to_str().context("a path")?;
    let args = ["--format", "json", "--resume-file", file];
    let mut follower = follow(at, &args)?;
    follower.wait_for_log("following")?;
    insert(&bed, &(1..=10))?;
    expect(&mut follower, 1..=10)?;
    follower.signal("INT")?;
    ensure!(follower.wait()?.status.success());
    insert(&bed, &(11..=20))?;
    // A limit ends it within a transaction.
    let mut follower = follow(at, &[&args[..], &["--limit", "4"]].concat())?;
    expect(&mut follower, 11..=14)?;
    let ended = follower.wait()?;
    ensure!(
        ended.status.success() && ended.lines.is_empty(),
        "{ended:?}"
    );
    let mut follower = follow(at, &args)?;
    expect(&mut follower, 15..=20)?;
    // Killed, it may repeat and leaves nothing out.
    follower.signal("KILL")?;
    follower.wait()?;
    insert(&bed, &(21..=21))?;
    let mut follower = follow(at, &args)?;
    let first = super::row(&mut follower)?;
    ensure!((15..=21).contains(&first), "{first}");
    expect(&mut follower, first + 1..=21)?;
    drop(follower);
    std::fs::write(file, "rubbish")?;
    let ended = follow(at, &args)?.wait()?;
    walgate_tests::refused(&ended, 8, &["orders.pos holds no position"], &[])?;
    stop(program, &[])?;
    Ok(())
}

#[test]
fn a_follower_begins_at_a_time() -> Result<()> {
    let bed = bed(PgVersion::V14, "follow_since")?;
    let (program, at) = serve(&bed)?;
    let mut witness = follow(at, &["--format", "json"])?;
    witness.wait_for_log("following")?;
    insert(&bed, &(1..=3))?;
    expect(&mut witness, 1..=3)?;
    let mut admin = bed.admin()?;
    let now =
        "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let between: String = admin.query_one(now, &[])?.get(0);
    insert(&bed, &(4..=6))?;
    expect(&mut witness, 4..=6)?;
    for transport in ["websocket", "sse"] {
        let args = ["--format", "json", "--transport", transport];
        let mut since = follow(at, &[&args[..], &["--since", &between]].concat())?;
        expect(&mut since, 4..=6)?;
        // Nothing is as young as that.
        let mut since = follow(at, &[&args[..], &["--since", "0s"]].concat())?;
        since.wait_for_log("following")?;
        since.signal("INT")?;
        ensure!(since.wait()?.lines.is_empty());
        // The journal is younger than an hour.
        let ended = follow(at, &[&args[..], &["--since", "1h"]].concat())?.wait()?;
        let texts = ["what is retained begins later", "--since 0"];
        walgate_tests::refused(&ended, 4, &texts, &[])?;
    }
    stop(program, &[])?;
    Ok(())
}
