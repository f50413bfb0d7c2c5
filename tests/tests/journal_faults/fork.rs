//! A standby takes over that lacks the end of its primary's log, while a sink is behind: what the
//! journal has of that end never happened, and nobody gets it.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use walgate_tests::{Bed, CREATED, LEDGER, journal_on_disk, refused, session, stop, until};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

use super::beds::{DOWN, begin_and_take_down, down, once_in_order, out, up};

/// A server whose slot may follow to a standby, and a bed on it.
fn primary() -> Result<(Postgres, Bed)> {
    let primary = Postgres::start(&PostgresOptions::version(PgVersion::V17))?;
    let setup = format!("{LEDGER};\ncreate publication walgate for table ledger;");
    let mut bed = Bed::on(&primary, "fork", &setup)?;
    bed.more = journal_on_disk("");
    bed.source = "failover = true\n".to_owned();
    Ok((primary, bed))
}

/// The standby becomes the primary, and the bed is on it.
fn take_over(primary: &mut Postgres, standby: &Postgres, bed: &mut Bed) -> Result<()> {
    primary.kill_9()?;
    standby.promote()?;
    bed.direct = standby.url_of("postgres", "fork");
    Ok(())
}

fn insert(bed: &Bed, ids: std::ops::RangeInclusive<i32>) -> Result<()> {
    let (first, last) = ids.into_inner();
    // One transaction for each row: a fork lies somewhere among them.
    bed.sql(&format!(
        "do $$ begin for id in {first}..{last} loop \
         insert into ledger values (id, 1, 0, 'n'); commit; end loop; end $$;"
    ))
}

fn inserted(bed: &Bed) -> Result<BTreeSet<i64>> {
    let events = out(bed)?;
    once_in_order(&events)?;
    let rows = events.iter().filter(|event| event["op"] == "insert");
    rows.map(|event| event["after"]["id"].as_i64().context("an id"))
        .collect()
}

/// The standby of a primary, which has the slot of the bed.
fn standby_with_the_slot(primary: &Postgres, bed: &Bed) -> Result<Postgres> {
    let standby = primary.start_standby(&[("sync_replication_slots", "off")])?;
    bed.until_synced(&standby)?;
    Ok(standby)
}

/// Nothing more of the primary reaches the standby.
fn cut_off(standby: &Postgres) -> Result<()> {
    standby.configure(&[("primary_conninfo", "")])?;
    standby.reload()?;
    let mut there = session(&standby.url())?;
    until("the standby gets nothing more", || {
        let query = "select count(*) = 0 from pg_stat_wal_receiver";
        Ok(there.query_one(query, &[])?.get(0))
    })
}

#[test]
fn what_the_new_primary_never_had_is_cut_off_where_no_sink_has_it() -> Result<()> {
    let (mut primary, mut bed) = primary()?;
    begin_and_take_down(&mut bed)?;
    let program = bed.serve()?;
    let standby = standby_with_the_slot(&primary, &bed)?;
    stop(program, DOWN)?;
    let (first, second) = (primary.port(), standby.port());
    bed.url = format!(
        "postgres://postgres@127.0.0.1:{first},127.0.0.1:{second}/fork?target_session_attrs=read-write"
    );
    let mut program = bed.serve()?;
    insert(&bed, 1..=100)?;
    bed.until_confirmed(&mut program)?;
    let head = bed.head()?.to_string();
    let mut there = session(&standby.url())?;
    until("the standby has it too", || {
        let query = "select pg_last_wal_receive_lsn() - '0/0' >= $1::text::numeric";
        Ok(there.query_one(query, &[&head])?.get(0))
    })?;

    // The standby is cut off; Walgate is not.
    cut_off(&standby)?;
    insert(&bed, 101..=200)?;
    bed.until_confirmed(&mut program)?;
    take_over(&mut primary, &standby, &mut bed)?;
    insert(&bed, 301..=400)?;

    // While it runs, what a sink may have got meanwhile is not known: it ends.
    let ended = program.wait()?;
    let down_too: Vec<_> = DOWN
        .iter()
        .copied()
        .chain(["replication is down"])
        .collect();
    let texts = ["the server is on timeline 2", "start again"];
    refused(&ended, 4, &texts, &down_too)?;

    // Its next start knows, whatever the sink does.
    bed.configure(&down())?;
    let mut program = bed.serve()?;
    program.wait_for_log("it is cut off")?;
    bed.until_confirmed(&mut program)?;
    program.signal("KILL")?;
    program.wait()?;
    let sink = up(&bed);
    bed.configure(&sink)?;
    bed.catch_up(&[])?;
    let expected: BTreeSet<_> = (1..=100).chain(301..=400).collect();
    let found = inserted(&bed)?;
    ensure!(found == expected, "{found:?}");
    Ok(())
}

/// After a crash nobody knows what a sink has got beyond what the checkpoint says.
#[test]
fn after_a_crash_nothing_is_cut_off() -> Result<()> {
    let (mut primary, mut bed) = primary()?;
    begin_and_take_down(&mut bed)?;
    let mut program = bed.serve()?;
    let standby = standby_with_the_slot(&primary, &bed)?;
    cut_off(&standby)?;
    insert(&bed, 101..=200)?;
    bed.until_confirmed(&mut program)?;
    program.signal("KILL")?;
    program.wait()?;
    take_over(&mut primary, &standby, &mut bed)?;
    bed.url.clone_from(&bed.direct);
    let ended = bed.start()?.wait()?;
    let texts = ["the server is on timeline 2", "did not end cleanly"];
    refused(&ended, 4, &texts, DOWN)
}

/// What a sink has got already can't be taken back: the operator decides.
#[test]
fn what_a_sink_has_got_behind_the_fork_is_refused() -> Result<()> {
    let (mut primary, mut bed) = primary()?;
    let sink = up(&bed);
    bed.configure(&sink)?;
    let program = bed.serve()?;
    let standby = standby_with_the_slot(&primary, &bed)?;
    stop(program, &[CREATED])?;
    cut_off(&standby)?;
    insert(&bed, 101..=200)?;
    bed.catch_up(&[])?;
    ensure!(inserted(&bed)?.len() == 100, "it has them");
    take_over(&mut primary, &standby, &mut bed)?;
    bed.url.clone_from(&bed.direct);
    let ended = bed.start()?.wait()?;
    let texts = ["the server is on timeline 2", "raise [source] epoch"];
    refused(&ended, 4, &texts, &[])?;
    ensure!(inserted(&bed)?.len() == 100, "nothing more");
    Ok(())
}
