//! A follower that begins with the rows that there are.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use walgate_tests::{Program, refused, stop};
use walgate_throwaway::{FaultProxy, PgVersion};

use super::{expect, follow, insert, serve};

/// The next lines are these rows, of a snapshot, in some order.
fn rows(follower: &mut Program, expected: std::ops::RangeInclusive<i64>) -> Result<()> {
    let mut missing: BTreeSet<i64> = expected.collect();
    while !missing.is_empty() {
        let line = follower.line()?;
        let event: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        ensure!(event["op"] == "read", "{line}");
        let row = event["key"]["id"].as_i64().context("an id")?;
        ensure!(missing.remove(&row), "{line}: twice, or never asked for");
    }
    Ok(())
}

#[test]
fn a_follower_is_given_the_rows_that_there_are_and_then_every_change() -> Result<()> {
    let mut bed = super::bed(PgVersion::V17, "follow_snapshot")?;
    bed.sinks = super::websocket("delivery = \"resumable\"\nsnapshot_rows = 8");
    insert(&bed, &(1..=4))?;
    let (program, at) = serve(&bed)?;
    let proxy = FaultProxy::start(at)?;
    for (transport, first) in [("websocket", 5), ("sse", 7)] {
        let args = ["--snapshot", "--format", "json", "--transport", transport];
        let mut follower = follow(proxy.address(), &args)?;
        rows(&mut follower, 1..=first - 1)?;
        follower.wait_for_log("following")?;
        insert(&bed, &(first..=first))?;
        expect(&mut follower, first..=first)?;
        // Behind a snapshot that is complete it is an ordinary follower: the rows do not come again.
        proxy.cut();
        insert(&bed, &(first + 1..=first + 1))?;
        expect(&mut follower, first + 1..=first + 1)?;
        follower.signal("INT")?;
        let ended = follower.wait()?;
        ensure!(
            ended.status.success() && ended.lines.is_empty(),
            "{ended:?}"
        );
    }
    insert(&bed, &(9..=9))?;
    let ended = follow(at, &["--snapshot"])?.wait()?;
    refused(
        &ended,
        2,
        &["more than 8 rows", "without --snapshot, or narrow it"],
        &[],
    )?;
    stop(program, &[])?;
    Ok(())
}
