//! Access rules on the line: which rows and columns are shown to whom.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use walgate_tests::{Bed, Program, journal_on_disk, stop, until};
use walgate_throwaway::PgVersion;

use super::client::{Client, Said};
use super::{address, websocket};
use crate::watch::{self, SHOWN, get, metric};

/// `steps` logs old rows whole, `keyed` its key only.
const TABLES: &str = "create table steps (id int primary key, experiment_id int, note text, salary int); \
                      alter table steps replica identity full; \
                      create table keyed (secret_part int, id int, experiment_id int, v int, \
                                          primary key (secret_part, id)); \
                      create publication walgate for table steps, keyed;";

/// A token is named as it is written. What it says: the experiments of one, of two, that it is free of
/// the rules; nothing; something of another kind; and what would be text of a filter.
const TOKENS: [(&str, &str); 6] = [
    ("one", "{ experiments = [1] }"),
    ("two", "{ experiments = [1, 2] }"),
    ("chief", "{ admin = true }"),
    ("nobody", "{}"),
    ("kind", "{ experiments = 1, admin = \"true\" }"),
    (
        "inject",
        "{ experiments = [\"1) or (true\", \"1 or true --\", \"claims.experiments\"] }",
    ),
];

fn hash(token: &str) -> String {
    let digest = Sha256::digest(token.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sink(delivery: &str) -> String {
    let tokens = TOKENS.map(|(name, claims)| {
        let hash = hash(name);
        format!("{name} = {{ sha256 = \"{hash}\", claims = {claims} }}\n")
    });
    websocket(&format!(
        "delivery = \"{delivery}\"\npolicy = \"token\"\n[sinks.push.tokens]\n{}\
         [sinks.push.access_rules.rows]\ntables = [\"public.*\"]\n\
         where = \"experiment_id in claims.experiments\"\nunless = \"admin\"\n\
         [sinks.push.access_rules.columns]\ntables = [\"*\"]\n\
         hidden = [\"salary\", \"secret_part\"]\nunless = \"admin\"",
        tokens.concat()
    ))
}

fn bed(version: PgVersion, name: &str) -> Result<Bed> {
    let mut bed = Bed::shared(version, name, TABLES)?;
    bed.more = format!("{SHOWN}\n{}", journal_on_disk(""));
    bed.sinks = sink("resumable");
    Ok(bed)
}

/// A client of a token, that is ready.
fn ready(at: &str, query: &str, token: &str) -> Result<Client> {
    let mut client = Client::with_token(at, query, Some(token))?;
    client.answer("ready")?;
    Ok(client)
}

/// What a change is for a client: its operation, key, and what it shows of the row.
fn told(client: &mut Client) -> Result<Value> {
    let event = client.event()?;
    ensure!(!event.to_string().contains("salary"), "{event}");
    ensure!(!event.to_string().contains("secret_part"), "{event}");
    Ok(json!([
        event["op"],
        event["key"],
        event["before"],
        event["after"]["note"]
    ]))
}

fn expect(client: &mut Client, expected: &[Value]) -> Result<()> {
    for wanted in expected {
        let event = told(client)?;
        ensure!(event == *wanted, "{event} is not {wanted}");
    }
    Ok(())
}

/// Rows that come and go in experiments 1 and 2, as one transaction each.
fn script(bed: &Bed) -> Result<()> {
    bed.sql("insert into steps values (1, 1, 'a', 10), (2, 2, 'b', 20), (3, null, 'c', 30)")?;
    bed.sql("update steps set note = 'a2' where id = 1")?;
    bed.sql("update steps set experiment_id = 1, note = 'b2' where id = 2")?;
    bed.sql("update steps set experiment_id = 2 where id = 1")?;
    bed.sql("update steps set experiment_id = null where id = 1")?;
    bed.sql("delete from steps where id = 2")?;
    bed.sql("delete from steps where id = 3")?;
    bed.sql("truncate steps")
}

/// What the holder of `one` is told of it.
fn of_one() -> [Value; 6] {
    let key = |id: i64| json!({"id": id});
    let row = |id: i64, note: &str| json!({"id": id, "experiment_id": 1, "note": note});
    [
        json!(["insert", key(1), null, "a"]),
        json!(["update", key(1), row(1, "a"), "a2"]),
        // It moves in: what it was is not told.
        json!(["update", key(2), null, "b2"]),
        // And one moves out.
        json!(["leave", key(1), null, null]),
        json!(["delete", key(2), row(2, "b2"), null]),
        json!(["truncate", null, null, null]),
    ]
}

#[test]
fn rows_and_columns_are_shown_to_whom_the_rules_say() -> Result<()> {
    let bed = bed(PgVersion::V17, "push_rules")?;
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let mut one = ready(&at, "?table=public.steps", "one")?;
    let mut two = ready(&at, "?table=public.steps&where=experiment_id%3D2", "two")?;
    let mut chief = ready(&at, "?table=public.steps", "chief")?;
    let mut inject = Client::with_token(&at, "?table=*", Some("inject"))?;
    inject.answer("ready")?;
    let start = inject.last.clone().unwrap_or_default();
    script(&bed)?;
    expect(&mut one, &of_one())?;
    // The rule and the client's own filter both have to hold.
    let key = |id: i64| json!({"id": id});
    let row = |id: i64, experiment: i64, note: &str| json!({"id": id, "experiment_id": experiment, "note": note});
    expect(
        &mut two,
        &[
            json!(["insert", key(2), null, "b"]),
            json!(["leave", key(2), null, null]),
            json!(["update", key(1), row(1, 1, "a2"), "a2"]),
            json!(["leave", key(1), null, null]),
            json!(["truncate", null, null, null]),
        ],
    )?;
    let all = chief.events(10)?;
    ensure!(all[0]["after"]["salary"] == 10, "{}", all[0]);
    ensure!(all[4]["before"]["salary"] == 20, "{}", all[4]);
    // Nothing but the truncate, which is of no row.
    ensure!(inject.event()?["op"] == "truncate");

    // Into what was before, with the same right: the same.
    let behind = format!("?table=public.steps&after={start}");
    let mut again = Client::with_token(&at, &behind, Some("one"))?;
    expect(&mut again, &of_one())?;
    again.answer("ready")?;

    // And of the rows that there are: the same rows and columns.
    bed.sql("insert into steps values (4, 1, 'x', 9), (5, 2, 'y', 9)")?;
    let mut copy = Client::with_token(&at, "?table=*&snapshot=true", Some("one"))?;
    expect(&mut copy, &[json!(["read", key(4), null, "x"])])?;
    ensure!(copy.answer("snapshot")?["rows"] == 1);
    copy.answer("ready")?;
    bed.sql("update steps set note = 'x2'")?;
    let before = row(4, 1, "x");
    expect(&mut copy, &[json!(["update", key(4), before, "x2"])])?;
    stop(program, &[])?;
    Ok(())
}

#[test]
fn what_the_log_does_not_hold_is_not_told_and_counted() -> Result<()> {
    let bed = bed(PgVersion::V16, "push_undecided")?;
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let mut one = ready(&at, "?table=public.keyed", "one")?;
    bed.sql("insert into keyed values (7, 1, 1, 0), (8, 2, 2, 0)")?;
    bed.sql("update keyed set v = 1")?;
    bed.sql("update keyed set id = 3 where id = 1")?;
    bed.sql("delete from keyed")?;
    bed.sql("truncate keyed")?;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let event = one.event()?;
        ensure!(!event.to_string().contains("secret_part"), "{event}");
        seen.push(json!([event["op"], event["key"], event["before"]]));
    }
    let expected = [
        json!(["insert", {"id": 1}, null]),
        json!(["update", {"id": 1}, null]),
        // That it was 1 could be what is not to be seen: the log does not say whose it was.
        json!(["update", {"id": 3}, null]),
        json!(["truncate", null, null]),
    ];
    ensure!(seen == expected, "{seen:?}");
    let shown = watch::address(&mut program)?;
    until("the two deletes are counted", || {
        let page = get(&shown, "/metrics")?.1;
        Ok(metric(&page, "walgate_push_undecided_total{sink=\"push\"}")? == 2.0)
    })?;
    // Nobody is told which columns a rule asks for.
    let mut strict = Client::with_token(&at, "", Some("one"))?;
    strict.say(&json!({"type": "start", "subscriptions": [
        {"tables": ["public.keyed"], "strict": true}]}))?;
    let refused = strict.answer("error")?;
    ensure!(refused["code"] == "inexact", "{refused}");
    stop(program, &[])?;
    Ok(())
}

/// Every answer of the server to a subscription, as text.
fn answer(client: &mut Client, subscription: &Value) -> Result<String> {
    let mut request = subscription.clone();
    request["type"] = json!("subscribe");
    client.say(&request)?;
    let answer = match client.next()? {
        Said::Answer(answer) => answer,
        other => anyhow::bail!("no answer: {other:?}"),
    };
    let text = answer.to_string();
    client.say(&json!({"type": "unsubscribe", "id": subscription["id"]}))?;
    client.next()?;
    Ok(text)
}

#[test]
fn what_is_hidden_can_not_be_asked_for() -> Result<()> {
    let bed = bed(PgVersion::V15, "push_oracle")?;
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let mut one = ready(&at, "?table=public.steps", "one")?;
    bed.sql("insert into steps values (1, 1, 'a', 10)")?;
    one.event()?;
    // A column that is hidden, and one that there is not: the same in every way of asking.
    for filter in [
        "COLUMN > 5",
        "COLUMN = 10",
        "COLUMN is null",
        "not COLUMN is null",
        "experiment_id = 1 or COLUMN = 10",
        "COLUMN in (1, 'x')",
        "COLUMN < 'text'",
    ] {
        for strict in [false, true] {
            let ask = |column: &str| {
                let filter = filter.replace("COLUMN", column);
                json!({"id": "x", "tables": ["public.steps"], "where": filter, "strict": strict})
            };
            let hidden = answer(&mut one, &ask("salary"))?.replace("salary", "COLUMN");
            let absent = answer(&mut one, &ask("nothing"))?.replace("nothing", "COLUMN");
            ensure!(hidden == absent, "{hidden}\n{absent}");
            ensure!(hidden.contains("has no column COLUMN"), "{hidden}");
        }
    }
    // Chosen columns: what is hidden is not there, and changes nothing.
    let mut chosen = ready(&at, "?table=public.steps&column=salary&column=note", "one")?;
    bed.sql("insert into steps values (2, 1, 'b', 20)")?;
    let event = chosen.event()?;
    ensure!(event["after"] == json!({"id": 2, "note": "b"}), "{event}");
    one.event()?;

    // Filters of a client are added to the rule and never loosen it.
    for filter in [
        "true or true",
        "experiment_id = 1) or (experiment_id = 2",
        "experiment_id = 1 or 1 = 1",
        "experiment_id = 1 -- and",
        "experiment_id in claims.experiments",
    ] {
        let refused = answer(&mut one, &json!({"id": "y", "where": filter}))?;
        ensure!(refused.contains("\"error\""), "{filter}: {refused}");
    }
    for wide in [
        json!({"type": "subscribe", "id": "a", "tables": ["*"]}),
        json!({"type": "subscribe", "id": "b", "where": "experiment_id = 2 or experiment_id is null or id > 0"}),
        json!({"type": "subscribe", "id": "c", "tables": ["public.steps"], "where": "note = 'claims.experiments' or not experiment_id = 1"}),
    ] {
        one.say(&wide)?;
        one.answer("subscriptions")?;
    }
    bed.sql("insert into steps values (3, 2, 'c', 30), (4, null, 'd', 40), (5, 1, 'e', 50)")?;
    ensure!(
        one.event()?["key"]["id"] == 5,
        "what its rule shows, and nothing before it"
    );

    who_has_no_claim(&bed, &mut program, &at)
}

/// A claim that is missing, or of another kind, opens nothing: the table is not there.
fn who_has_no_claim(bed: &Bed, program: &mut Program, at: &str) -> Result<()> {
    for token in ["nobody", "kind"] {
        let refused = Client::with_token(at, "?table=public.steps", Some(token));
        let mut refused = refused?;
        ensure!(refused.answer("error")?["code"] == "forbidden");
        refused.answer("closed")?;
        let mut all = ready(at, "?table=*", token)?;
        bed.sql("insert into steps values (9, 1, 'x', 1); delete from steps where id = 9;")?;
        bed.sql("truncate steps")?;
        let mut chief = ready(at, "?table=*", "chief")?;
        let head = chief.last.take().unwrap_or_default();
        // Everything is past, and it was told none of it.
        all.until_position(|position| position >= head.as_str())?;
    }
    let log = program.stderr();
    ensure!(!log.contains("experiments"), "no claim is in a log: {log}");
    Ok(())
}
