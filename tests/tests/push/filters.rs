//! What a client asks for is what it gets.

use anyhow::{Result, ensure};
use serde_json::json;
use walgate_tests::{Bed, stop, until};
use walgate_throwaway::PgVersion;

use super::client::{Client, Said};
use super::{address, websocket};
use crate::watch::{self, SHOWN, get, metric};

const TABLES: &str = "create table t (id int primary key, kind text, v int); \
                      alter table t replica identity full; \
                      create table u (id int primary key, kind text); \
                      create publication walgate for table t, u;";

fn bed(version: PgVersion, name: &str) -> Result<Bed> {
    let mut bed = Bed::shared(version, name, TABLES)?;
    bed.more = SHOWN.to_owned();
    bed.sinks = websocket("delivery = \"live-only\"");
    Ok(bed)
}

#[test]
fn rows_come_and_leave_as_they_match() -> Result<()> {
    let bed = bed(PgVersion::V17, "push_filters")?;
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let mut client = Client::connect(
        &at,
        "?table=public.t&where=kind%20in%20(a,b)%20and%20v%20%3E%205",
    )?;
    client.answer("ready")?;
    bed.sql("insert into t values (1, 'a', 1), (2, 'a', 6), (3, 'c', 9), (4, null, 9)")?;
    bed.sql("update t set v = 7 where id = 1")?;
    bed.sql("update t set v = 8 where id = 2")?;
    bed.sql("update t set kind = 'c' where id = 1")?;
    bed.sql("delete from t where id = 2")?;
    bed.sql("delete from t where id = 3")?;
    bed.sql("truncate t")?;
    let mut seen = Vec::new();
    for _ in 0..6 {
        let event = client.event()?;
        seen.push((
            event["op"].as_str().unwrap_or_default().to_owned(),
            event["key"]["id"].as_i64(),
        ));
    }
    let expected = [
        ("insert", Some(2)),
        ("update", Some(1)),
        ("update", Some(2)),
        ("leave", Some(1)),
        ("delete", Some(2)),
        ("truncate", None),
    ];
    let expected = expected.map(|(op, id)| (op.to_owned(), id));
    ensure!(seen == expected, "{seen:?}");
    stop(program, &[])?;
    Ok(())
}

#[test]
fn subscriptions_come_and_go_on_one_connection_without_loss_or_repeat() -> Result<()> {
    let bed = bed(PgVersion::V16, "push_subscriptions")?;
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let mut client = Client::connect(&at, "")?;
    client.say(&json!({"type": "start", "subscriptions": [
        {"id": "t", "tables": ["public.t"], "ops": ["insert"], "columns": ["kind"], "transactions": true},
        {"id": "both", "tables": ["public.*"], "ops": ["delete"]},
    ]}))?;
    let ready = client.answer("ready")?;
    ensure!(
        ready["subscriptions"]
            .as_array()
            .is_some_and(|all| all.len() == 2),
        "{ready}"
    );
    let shown = watch::address(&mut program)?;
    until("the client is counted", || {
        let page = get(&shown, "/metrics")?.1;
        Ok(metric(&page, "walgate_push_clients{sink=\"push\"}")? == 1.0)
    })?;
    bed.sql("begin; insert into t values (1, 'a', 1); insert into u values (1, 'a'); delete from u; commit;")?;
    let events = client.events(4)?;
    let ops: Vec<_> = events
        .iter()
        .map(|event| event["op"].as_str().unwrap_or_default())
        .collect();
    ensure!(ops == ["begin", "insert", "delete", "commit"], "{ops:?}");
    ensure!(
        events[1]["after"] == json!({"id": 1, "kind": "a"}),
        "{}",
        events[1]
    );
    ensure!(events[3]["changes"] == 2, "{}", events[3]);

    client.say(&json!({"type": "subscribe", "id": "t", "tables": ["public.t"]}))?;
    ensure!(client.answer("error")?["code"] == "duplicate");
    client.say(&json!({"type": "subscribe", "id": "u", "tables": ["public.u"]}))?;
    client.answer("subscriptions")?;
    bed.sql("insert into u values (2, 'b')")?;
    let event = loop {
        let event = client.event()?;
        if event["op"] == "insert" {
            break event;
        }
    };
    ensure!(event["table"] == "u", "{event}");
    client.say(&json!({"type": "unsubscribe", "id": "u"}))?;
    let answer = loop {
        match client.next()? {
            Said::Answer(answer) => break answer,
            Said::Event(event) if event["op"] == "commit" => {}
            other => anyhow::bail!("{other:?}"),
        }
    };
    ensure!(answer["type"] == "subscriptions", "{answer}");
    bed.sql("insert into u values (3, 'c')")?;
    bed.sql("insert into t values (2, 'a', 2)")?;
    // The commit of what came before may have been on its way still.
    let event = loop {
        let event = client.event()?;
        if event["op"] == "insert" {
            break event;
        }
    };
    ensure!(event["table"] == "t", "{event}");
    until("what it was given is counted", || {
        let page = get(&shown, "/metrics")?.1;
        Ok(metric(&page, "walgate_push_deliveries_total{sink=\"push\"}")? >= 8.0)
    })?;
    stop(program, &[])?;
    Ok(())
}

#[test]
fn a_filter_that_can_not_be_right_is_refused_with_the_reason() -> Result<()> {
    let bed = bed(PgVersion::V14, "push_refused")?;
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let mut first = Client::connect(&at, "?table=*")?;
    first.answer("ready")?;
    // The tables are known from their first change on.
    bed.sql("insert into t values (1, 'a', 1); insert into u values (1, 'a')")?;
    first.events(2)?;
    let refused = |wanted: serde_json::Value| -> Result<String> {
        let mut client = Client::connect(&at, "")?;
        client.say(&json!({"type": "start", "subscriptions": [wanted]}))?;
        let error = client.answer("error")?;
        client.answer("closed")?;
        ensure!(client.next()? == Said::Closed(4400));
        Ok(error["message"].as_str().unwrap_or_default().to_owned())
    };
    let message = refused(json!({"id": "x", "tables": ["public.t"], "where": "nope = 1"}))?;
    ensure!(
        message.contains("nope") && message.contains("public.t"),
        "{message}"
    );
    let message = refused(json!({"id": "x", "tables": ["public.t"], "where": "v = 'many'"}))?;
    ensure!(message.contains('v'), "{message}");
    let message =
        refused(json!({"id": "x", "tables": ["public.u"], "where": "kind = 'a'", "strict": true}))?;
    ensure!(message.contains("REPLICA IDENTITY FULL"), "{message}");
    let mut inexact = Client::connect(&at, "?table=public.u&where=kind=a")?;
    let ready = inexact.answer("ready")?;
    let first = &ready["subscriptions"][0];
    ensure!(
        first["exact"] == false && first["inexact"][0]["columns"] == json!(["kind"]),
        "{ready}"
    );
    stop(program, &[])?;
    Ok(())
}
