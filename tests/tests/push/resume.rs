//! Who comes back gets what it missed: all of it, in order, once.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use walgate_tests::{Bed, journal_on_disk, stop};
use walgate_throwaway::PgVersion;

use super::client::{Client, Events, Said};
use super::{address, websocket};

const TABLE: &str = "create table t (id int primary key, v text); \
                     create publication walgate for table t;";

fn ids(events: &[Value]) -> Vec<i64> {
    let ids = events.iter().map(|event| event["key"]["id"].as_i64());
    ids.map(Option::unwrap_or_default).collect()
}

fn bed(version: PgVersion, name: &str) -> Result<Bed> {
    let mut bed = Bed::shared(version, name, TABLE)?;
    bed.more = journal_on_disk("");
    bed.sinks = websocket("delivery = \"resumable\"");
    Ok(bed)
}

#[test]
fn a_client_goes_on_where_it_was_across_restarts_of_the_server() -> Result<()> {
    let bed = bed(PgVersion::V17, "push_resume")?;
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let mut client = Client::connect(&at, "?table=public.t")?;
    let ready = client.answer("ready")?;
    ensure!(ready["delivery"] == "resumable", "{ready}");
    bed.sql("insert into t select g, 'x' from generate_series(1, 50) g")?;
    let first = client.events(50)?;
    ensure!(ids(&first) == (1..=50).collect::<Vec<_>>());
    ensure!(
        first[0]["op"] == "insert" && first[0]["after"]["v"] == "x",
        "{}",
        first[0]
    );
    // In the middle of a transaction.
    let middle = first[24]["id"].as_str().unwrap_or_default().to_owned();
    // Nobody is there.
    bed.sql("insert into t select g, 'y' from generate_series(51, 100) g")?;
    let missed = client.events(50)?;
    stop(program, &[])?;
    let end = loop {
        if let Said::Closed(code) = client.next()? {
            break code;
        }
    };
    ensure!(end == 1001, "{end}");

    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let mut again = Client::connect(&at, &format!("?table=public.t&after={middle}"))?;
    let replayed = again.events(75)?;
    ensure!(
        replayed[..25] == first[25..],
        "the same events: {:?}",
        replayed[0]
    );
    ensure!(replayed[25..] == missed[..]);
    let ready = again.answer("ready")?;
    ensure!(
        ready["position"].as_str() >= replayed[74]["id"].as_str(),
        "{ready}"
    );
    // By an LSN: everything up to and including it was had.
    let lsn = first[0]["lsn"].as_str().unwrap_or_default();
    let mut by_lsn = Client::connect(&at, &format!("?after={lsn}"))?;
    ensure!(by_lsn.events(50)? == missed);
    by_lsn.answer("ready")?;
    bed.sql("delete from t where id <= 10")?;
    ensure!(ids(&again.events(10)?) == (1..=10).collect::<Vec<_>>());
    ensure!(
        by_lsn
            .events(10)?
            .iter()
            .all(|event| event["op"] == "delete")
    );
    stop(program, &[])?;
    Ok(())
}

#[test]
fn a_position_that_can_not_be_resumed_from_is_never_silently_live() -> Result<()> {
    let bed = bed(PgVersion::V15, "push_resync")?;
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    for (after, why) in [
        ("0000000000000001-00000002", "not retained"),
        ("0500000000000001-00000002", "another epoch"),
    ] {
        let mut client = Client::connect(&at, &format!("?after={after}"))?;
        let answer = client.answer("resync_required")?;
        ensure!(
            answer["reason"]
                .as_str()
                .is_some_and(|text| text.contains(why)),
            "{answer}"
        );
        ensure!(answer["oldest"].is_string(), "{answer}");
        client.answer("closed")?;
        ensure!(client.next()? == Said::Closed(4410));
        let mut events = Events::open(&at, &format!("?after={after}"), "")?
            .map_err(|code| anyhow::anyhow!("{code}"))?;
        events.expect("resync_required")?;
        ensure!(
            events.last.as_deref() == Some(""),
            "a browser forgets it: {:?}",
            events.last
        );
        ensure!(events.next()?.is_none(), "it ends");
    }
    let refused = Events::open(&at, "?after=yesterday", "")?;
    ensure!(refused.err() == Some(400));
    stop(program, &[])?;
    Ok(())
}

#[test]
fn a_client_for_which_nothing_comes_keeps_a_position_and_an_ahead_one_gets_nothing_twice()
-> Result<()> {
    let bed = bed(PgVersion::V16, "push_position")?;
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let mut quiet = Client::connect(&at, "?table=public.other")?;
    let ready = quiet.answer("ready")?;
    let mut seen = Client::connect(&at, "?table=*")?;
    seen.answer("ready")?;
    bed.sql("insert into t values (1, 'x')")?;
    let event = seen.event()?;
    let id = event["id"].as_str().unwrap_or_default().to_owned();
    ensure!(ready["position"].as_str() < Some(id.as_str()));
    quiet.until_position(|position| position >= id.as_str())?;
    // Resumed from there, nothing is missing and nothing comes again.
    let after = quiet.last.clone().unwrap_or_default();
    let mut resumed = Client::connect(&at, &format!("?after={after}"))?;
    resumed.answer("ready")?;
    bed.sql("insert into t values (2, 'x')")?;
    ensure!(resumed.event()?["key"] == json!({"id": 2}));
    stop(program, &[])?;
    Ok(())
}

#[test]
fn a_browser_s_event_stream_resumes_by_its_last_id() -> Result<()> {
    let bed = bed(PgVersion::V18, "push_events")?;
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let open = |headers: &str| -> Result<Events> {
        Events::open(&at, "?table=public.t", headers)?.map_err(|code| anyhow::anyhow!("{code}"))
    };
    let mut witness = Client::connect(&at, "?table=public.t")?;
    witness.answer("ready")?;
    let mut first = open("")?;
    first.expect("ready")?;
    bed.sql("insert into t select g, 'x' from generate_series(1, 3) g")?;
    for id in 1..=3 {
        ensure!(first.expect("message")?["key"] == json!({"id": id}));
    }
    let last = first.last.clone().unwrap_or_default();
    drop(first);
    bed.sql("insert into t values (4, 'y')")?;
    // It has come before the other comes back.
    witness.events(4)?;
    let mut second = open(&format!("Last-Event-ID: {last}\r\n"))?;
    ensure!(second.expect("message")?["key"] == json!({"id": 4}));
    second.expect("ready")?;
    stop(program, &[])?;
    ensure!(second.expect("closed")?["code"] == 1001);
    Ok(())
}

#[test]
fn without_a_journal_on_disk_it_says_that_it_is_live_only() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V14, "push_live_only", TABLE)?;
    bed.sinks = websocket("delivery = \"live-only\"");
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let mut client = Client::connect(&at, "?table=*")?;
    let ready = client.answer("ready")?;
    ensure!(ready["delivery"] == "live-only", "{ready}");
    bed.sql("insert into t values (1, 'x')")?;
    let event = client.event()?;
    let id = event["id"].as_str().unwrap_or_default();
    let mut back = Client::connect(&at, &format!("?after={id}"))?;
    back.answer("resync_required")?;
    stop(program, &[])?;
    Ok(())
}
