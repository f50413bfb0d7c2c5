//! The rows that there are, and then every change: nothing is missing, stale, or there twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use walgate_tests::{
    Bed, LEDGER, Workload, commit_lsn, journal_on_disk, seed, session, stop, until,
};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

use super::address;
use super::client::{Client, Events, Said};

/// A push server that waits for clients which read nothing for a while.
fn websocket(lines: &str) -> String {
    super::websocket(lines).replace("ping = \"1s\"", "ping = \"60s\"")
}

/// The rows that a client has built, by key: version and text.
type Rows = BTreeMap<i64, (i64, String)>;

/// A client's copy, whose every event must be the next of its row.
#[derive(Default)]
struct Copy {
    rows: Rows,
    /// The last version of each row, also of one that has gone.
    versions: BTreeMap<i64, i64>,
    is_whole: bool,
}

impl Copy {
    /// Takes the next thing that was said. Returns whether that was all: the last row of the test is there.
    fn take(&mut self, said: Said, is_filtered: bool) -> Result<bool> {
        let event = match said {
            Said::Event(event) => event,
            Said::Answer(answer) if answer["type"] == "snapshot" => {
                ensure!(!self.is_whole, "{answer}");
                ensure!(answer["rows"] == self.rows.len(), "{answer}");
                self.is_whole = true;
                return Ok(self.rows.contains_key(&LAST));
            }
            Said::Answer(answer) if answer["type"] == "ready" => {
                ensure!(self.is_whole, "before the snapshot: {answer}");
                return Ok(false);
            }
            other => bail!("{other:?}"),
        };
        let key = event["key"]["id"].as_i64().context("a key")?;
        let op = event["op"].as_str().unwrap_or_default();
        ensure!((op == "read") != self.is_whole, "out of turn: {event}");
        let row = || -> Result<(i64, String)> {
            let version = event["after"]["version"].as_i64().context("a version")?;
            let text = event["after"]["note"].as_str().context("a text")?;
            Ok((version, text.to_owned()))
        };
        match op {
            "read" | "insert" | "update" => {
                let row = row()?;
                let before = self.versions.insert(key, row.0);
                let follows = match (op, before) {
                    ("read", before) => before.is_none(),
                    // What is not in the filter is not seen.
                    (_, Some(before)) if is_filtered => row.0 > before,
                    ("insert", None) => true,
                    (_, before) => before == Some(row.0 - 1) || is_filtered,
                };
                ensure!(follows, "{before:?} is followed by {event}");
                self.rows.insert(key, row);
            }
            "delete" | "leave" => {
                ensure!(
                    self.rows.remove(&key).is_some(),
                    "it was not there: {event}"
                );
            }
            other => bail!("nobody does {other}: {event}"),
        }
        Ok(key == LAST && self.is_whole)
    }
}

/// The key of the row that is inserted when everybody else has stopped.
const LAST: i64 = -1;

const TABLES: &str = "create table moving (id int primary key, grp int not null, version int not null, note text not null);
     alter table moving replica identity full;
     create publication walgate for table ledger, moving;";

/// Rows that move in and out of a filter, with savepoints that are rolled back.
fn move_rows(url: &str, seed: u64, stop: &AtomicBool) -> Result<()> {
    let mut client = session(url)?;
    let mut random = StdRng::seed_from_u64(seed);
    while !stop.load(Ordering::Relaxed) {
        let id = random.random_range(0..50);
        let grp = random.random_range(0..3);
        let mut transaction = client.transaction()?;
        transaction.execute(
            "insert into moving values ($1, $2, 1, 'x') on conflict (id) do update \
             set grp = excluded.grp, version = moving.version + 1",
            &[&id, &grp],
        )?;
        let mut inner = transaction.transaction()?;
        inner.execute("update moving set grp = 1, version = version + 7", &[])?;
        inner.rollback()?;
        let mut inner = transaction.transaction()?;
        inner.execute(
            "update moving set note = note || 'y', version = version + 1 where id = $1",
            &[&id],
        )?;
        inner.commit()?;
        transaction.commit()?;
    }
    Ok(())
}

/// Transactions that stay open while others come and go.
fn hold_open(url: &str, first: i32, seed: u64, stop: &AtomicBool) -> Result<()> {
    let mut client = session(url)?;
    let can_prepare: bool = client
        .query_one(
            "select current_setting('max_prepared_transactions')::int > 0",
            &[],
        )?
        .get(0);
    let mut random = StdRng::seed_from_u64(seed);
    for id in first.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        client.batch_execute(&format!(
            "begin; insert into ledger values ({id}, 1, 9, 'held'); savepoint s;
             update ledger set version = 2 where id = {id};"
        ))?;
        thread::sleep(Duration::from_millis(random.random_range(1..150)));
        if can_prepare {
            let name = format!("held_{seed}_{id}");
            client.batch_execute(&format!("prepare transaction '{name}'"))?;
            thread::sleep(Duration::from_millis(random.random_range(1..20)));
            client.batch_execute(&format!("commit prepared '{name}'"))?;
        } else {
            client.batch_execute("commit")?;
        }
    }
    Ok(())
}

/// A client's copy up to the last row. Who reads more slowly than a log in memory lets go is told to begin anew, and does.
fn follow(address: &str, query: &str) -> Result<Copy> {
    let is_filtered = query.contains("where");
    loop {
        let mut client = Client::connect(address, query)?;
        let mut copy = Copy::default();
        loop {
            let said = client.next()?;
            if matches!(&said, Said::Answer(answer) if answer["type"] == "resync_required") {
                break;
            }
            if copy.take(said, is_filtered)? {
                return Ok(copy);
            }
        }
    }
}

fn table(bed: &Bed, query: &str) -> Result<Rows> {
    let rows = bed.admin()?.query(query, &[])?;
    let row = |row: &postgres::Row| {
        let (id, version): (i32, i32) = (row.get(0), row.get(1));
        (i64::from(id), (i64::from(version), row.get(2)))
    };
    Ok(rows.iter().map(row).collect())
}

/// Snapshots at any moments of a busy database.
fn whatever_runs(mut bed: Bed, journal: &str, delivery: &str) -> Result<()> {
    bed.more = journal.to_owned();
    bed.sinks = websocket(&format!("delivery = \"{delivery}\"\nsnapshots = 3"));
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let done = Arc::new(AtomicBool::new(false));
    let seed = seed();
    let writers = Workload::start(&bed.direct, seed, 3, Duration::from_millis(3));
    let held: Vec<_> = (0..3)
        .map(|number| {
            let (url, done) = (bed.direct.clone(), Arc::clone(&done));
            let first = 1_000_000 * (number + 1);
            thread::spawn(move || hold_open(&url, first, seed ^ 77, &done))
        })
        .collect();
    let moved = {
        let (url, done) = (bed.direct.clone(), Arc::clone(&done));
        thread::spawn(move || move_rows(&url, seed, &done))
    };
    let mut random = StdRng::seed_from_u64(seed);
    let mut clients = Vec::new();
    for number in 0..18 {
        thread::sleep(Duration::from_millis(random.random_range(0..200)));
        let (of, query) = match number % 3 {
            0 => ("moving", "?table=public.moving&where=grp=1&snapshot=true"),
            1 => (
                "writer",
                "?table=public.ledger&where=writer=1%20or%20id=-1&snapshot=true",
            ),
            _ => ("ledger", "?table=public.ledger&snapshot=true"),
        };
        let at = at.clone();
        clients.push((of, thread::spawn(move || follow(&at, query))));
    }
    thread::sleep(Duration::from_millis(300));
    done.store(true, Ordering::Relaxed);
    writers.stop()?;
    for held in held {
        held.join().expect("no panic")?;
    }
    moved.join().expect("no panic")?;
    bed.sql("insert into moving values (-1, 1, 1, 'last')")?;
    bed.sql("insert into ledger values (-1, 1, 0, 'last')")?;
    for (of, client) in clients {
        let copy = client.join().expect("no panic").context(of)?;
        let expected = table(
            &bed,
            match of {
                "moving" => "select id, version, note from moving where grp = 1",
                "writer" => "select id, version, note from ledger where writer = 1 or id = -1",
                _ => "select id, version, note from ledger",
            },
        )?;
        ensure!(copy.rows == expected, "of {of}, seed {seed}");
    }
    stop(program, &[])?;
    Ok(())
}

fn ledger(version: PgVersion, name: &str) -> Result<Bed> {
    let full = "alter table ledger replica identity full;";
    Bed::shared(version, name, &format!("{LEDGER}; {full} {TABLES}"))
}

#[test]
fn a_copy_is_the_table_whatever_runs_on_14() -> Result<()> {
    let bed = ledger(PgVersion::V14, "push_copy_14")?;
    whatever_runs(bed, &journal_on_disk(""), "resumable")
}

#[test]
fn a_copy_is_the_table_whatever_runs_on_18() -> Result<()> {
    let bed = ledger(PgVersion::V18, "push_copy_18")?;
    whatever_runs(bed, &journal_on_disk(""), "resumable")
}

#[test]
fn a_copy_is_the_table_whatever_runs_without_a_journal_on_disk() -> Result<()> {
    whatever_runs(ledger(PgVersion::V16, "push_copy_live")?, "", "live-only")
}

#[test]
fn values_are_those_of_the_stream_and_publications_and_rules_apply() -> Result<()> {
    let setup = "create type mood as enum ('sad', 'happy');
        create domain price as numeric(10, 2);
        create table t (id int primary key, flag bool, code char(5), price price, moods mood[], at timestamptz, raw bytea,
                        net inet, doc jsonb, span interval, secret text, hidden text,
                        twice int generated always as (id * 2) stored);
        create table parent (id int primary key); create table child (more text) inherits (parent);
        create publication walgate for table t (id, flag, code, price, moods, at, raw, net, doc, span, secret)
            where (id < 100), table only parent;";
    let mut bed = Bed::shared(PgVersion::V17, "push_snapshot_values", setup)?;
    bed.sinks = websocket("delivery = \"live-only\"")
        + "[sinks.push.rules.\"public.t\"]\ndrop = [\"secret\"]\n";
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let mut witness = Client::connect(&at, "?table=*")?;
    witness.answer("ready")?;
    bed.sql(
        "insert into t values (1, true, 'ab', 1.5, '{sad,NULL}', '2026-11-22 05:00+02', '\\xdead', '10.0.0.1', \
         '{\"a\": [1, 2]}', '1 day 2 hours', 'secret', 'hidden');
         insert into t (id) values (2), (200);
         insert into parent values (7); insert into child values (8, 'x');",
    )?;
    let streamed = witness.events(3)?;
    let mut client = Client::connect(&at, "?table=*&snapshot=true")?;
    let mut read = client.events(3)?;
    read.sort_by_key(|event| event["key"]["id"].as_i64());
    let answer = client.answer("snapshot")?;
    ensure!(answer["rows"] == 3, "{answer}");
    client.answer("ready")?;
    for (read, streamed) in read.iter().zip(&streamed) {
        ensure!(read["op"] == "read" && read.get("id").is_none(), "{read}");
        for key in ["schema", "table", "key", "after"] {
            ensure!(read[key] == streamed[key], "{read}\n{streamed}");
        }
    }
    ensure!(read[0]["after"].get("secret").is_none() && read[0]["after"].get("twice").is_none());

    let query = "?table=public.t&where=id=2&column=flag&snapshot=true";
    let mut events = Events::open(&at, query, "")?.map_err(|code| anyhow::anyhow!("{code}"))?;
    let row = events.expect("message")?;
    ensure!(row["after"] == json!({"id": 2, "flag": null}), "{row}");
    ensure!(events.last.is_none(), "a row is nothing to come back with");
    let done = events.expect("snapshot")?;
    ensure!(done["rows"] == 1 && events.last.as_deref() == done["position"].as_str());
    events.expect("ready")?;
    bed.sql("update t set flag = false")?;
    ensure!(events.expect("message")?["after"] == json!({"id": 2, "flag": false}));
    stop(program, &[])?;
    Ok(())
}

/// How a request for a snapshot ends: the code, and the reason.
fn refused(at: &str, query: &str) -> Result<(u16, String)> {
    let mut client = Client::connect(at, query)?;
    loop {
        match client.next()? {
            Said::Answer(answer) if answer["type"] == "closed" => {
                let reason = answer["reason"].as_str().unwrap_or_default().to_owned();
                match client.next()? {
                    Said::Closed(code) => return Ok((code, reason)),
                    other => bail!("{other:?}"),
                }
            }
            Said::Event(event) if event["op"] == "read" => {}
            other => bail!("{other:?}"),
        }
    }
}

#[test]
fn what_can_not_be_given_is_refused_with_the_reason() -> Result<()> {
    let setup = "create table t (id int primary key); insert into t select generate_series(1, 101);
        create table secret (id int primary key);
        create publication walgate for table t, secret;";
    let mut bed = Bed::shared(PgVersion::V15, "push_snapshot_refused", setup)?;
    bed.sql(
        "do $$ begin create role push_reader login replication password 'walgate';
         exception when duplicate_object then null; end $$; grant select on t to push_reader;",
    )?;
    bed.url = as_role(&bed.direct, "push_reader")?;
    bed.sinks = websocket("delivery = \"live-only\"\nsnapshot_rows = 100");
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let (code, reason) = refused(&at, "?table=public.t&snapshot=true")?;
    ensure!(
        code == 4412 && reason.contains("more than 100 rows"),
        "{code} {reason}"
    );
    let (code, reason) = refused(&at, "?table=*&snapshot=true")?;
    let grant = "GRANT SELECT ON \"public\".\"secret\" TO \"push_reader\"";
    ensure!(code == 4411 && reason.contains(grant), "{code} {reason}");
    let (code, reason) = refused(&at, "?table=public.t&where=nope=1&snapshot=true")?;
    ensure!(code == 4411 && reason.contains("nope"), "{code} {reason}");
    let (code, reason) = refused(&at, "?snapshot=true&after=0/1")?;
    ensure!(
        code == 4400 && reason.contains("exclude"),
        "{code} {reason}"
    );
    let both = Events::open(&at, "?snapshot=true&after=0/1", "")?;
    ensure!(both.err() == Some(400));
    // It is not the end of anything else.
    let mut some = Client::connect(&at, "?table=public.t&where=id%20%3C=%20100&snapshot=true")?;
    some.events(100)?;
    some.answer("snapshot")?;
    stop(program, &[])?;
    Ok(())
}

fn as_role(url: &str, role: &str) -> Result<String> {
    let (_, rest) = url.split_once('@').context("a user in the URL")?;
    Ok(format!("postgresql://{role}:walgate@{rest}"))
}

#[test]
fn a_client_that_goes_away_frees_the_connection() -> Result<()> {
    let setup = "create table wide (id int primary key, v text);
        insert into wide select g, repeat('x', 1500) from generate_series(1, 40000) g;
        create publication walgate for table wide;";
    let mut bed = Bed::shared(PgVersion::V17, "push_snapshot_gone", setup)?;
    bed.sinks = websocket("delivery = \"live-only\"");
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let mut client = Client::connect(&at, "?snapshot=true")?;
    client.event()?;
    let reading = || -> Result<bool> {
        let query = "select count(*) from pg_stat_activity \
                     where datname = current_database() and query like '%ONLY \"public\".\"wide\"%' \
                       and pid <> pg_backend_pid()";
        let count: i64 = bed.admin()?.query_one(query, &[])?.get(0);
        Ok(count > 0)
    };
    // It waits for the client, which reads nothing.
    ensure!(reading()?, "it reads");
    drop(client);
    until("the connection is free", || Ok(!reading()?))?;
    stop(program, &[])?;
    Ok(())
}

/// A server of its own whose commits wait, when they say so, for a standby that is not there.
fn with_standbys() -> Result<Postgres> {
    let mut options = PostgresOptions::version(PgVersion::V16);
    options.settings = [
        ("synchronous_standby_names", "nobody"),
        ("synchronous_commit", "local"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    Ok(Postgres::start(&options)?)
}

/// Changes a database, and returns when the standby has it.
fn change_and_wait(url: &str, change: &str) -> thread::JoinHandle<Result<()>> {
    let (url, change) = (
        url.to_owned(),
        format!("set synchronous_commit = on; {change}"),
    );
    thread::spawn(move || {
        let mut client = session(&url)?;
        for statement in change.split("; ") {
            client.batch_execute(statement)?;
        }
        Ok(())
    })
}

/// Nobody waits for a standby any more.
fn without_standbys(server: &Postgres) -> Result<()> {
    server.configure(&[("synchronous_standby_names", "")])?;
    Ok(server.reload()?)
}

#[test]
fn what_was_streamed_before_it_is_visible_is_not_missing() -> Result<()> {
    let server = with_standbys()?;
    let setup =
        "create table ledger (id int primary key, version int not null, note text not null);
        insert into ledger values (1, 1, 'a'), (2, 1, 'a'), (3, 1, 'a');
        create publication walgate for table ledger;";
    let mut bed = Bed::on(&server, "push_unseen", setup)?;
    bed.more = journal_on_disk("");
    bed.sinks = websocket("delivery = \"resumable\"");
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let mut witness = Client::connect(&at, "?table=*")?;
    witness.answer("ready")?;
    // One before the commits that wait: the log does not begin with them.
    bed.sql("update ledger set version = 2 where id = 3")?;
    witness.event()?;
    let waiting = [
        "update ledger set version = 2, note = 'b' where id = 1",
        "begin; delete from ledger where id = 2; savepoint s; insert into ledger values (4, 1, 'b'); commit",
    ]
    .map(|change| change_and_wait(&bed.direct, change));
    // They are streamed, and nobody else sees them: not for as long as nobody answers for the standby.
    witness.events(3)?;
    bed.sql("update ledger set version = 3 where id = 3")?;
    ensure!(witness.event()?["after"]["version"] == 3);
    let visible = table(&bed, "select id, version, note from ledger")?;
    ensure!(visible.len() == 3 && visible[&1].0 == 1, "{visible:?}");

    let mut client = Client::connect(&at, "?snapshot=true")?;
    let mut rows = BTreeMap::new();
    for event in client.events(3)? {
        rows.insert(
            event["key"]["id"].as_i64(),
            event["after"]["version"].as_i64(),
        );
    }
    ensure!(
        rows == [(1, 1), (2, 1), (3, 3)]
            .map(|(id, v)| (Some(id), Some(v)))
            .into()
    );
    let answer = client.answer("snapshot")?;
    let mut later = client.events(3)?;
    later.sort_by_key(|event| event["key"]["id"].as_i64());
    let seen: Vec<_> = later
        .iter()
        .map(|event| (event["op"].as_str(), event["key"]["id"].as_i64()))
        .collect();
    let expected = [("update", 1), ("delete", 2), ("insert", 4)];
    ensure!(
        seen == expected.map(|(op, id)| (Some(op), Some(id))),
        "{seen:?}"
    );
    for event in &later {
        ensure!(
            event["id"].as_str() > answer["position"].as_str(),
            "{event}"
        );
    }
    client.answer("ready")?;
    // What the snapshot had is not sent again to who resumes from a change.
    without_standbys(&server)?;
    for waiting in waiting {
        waiting.join().expect("no panic")?;
    }
    bed.sql("update ledger set version = 4 where id = 3")?;
    ensure!(client.event()?["after"]["version"] == 4);
    let copy = Client::connect(&at, "?snapshot=true")?.events(3)?;
    ensure!(copy.iter().all(|event| event["op"] == "read"), "{copy:?}");
    stop(program, &["synchronous"])?;
    Ok(())
}

#[test]
fn commits_that_waited_since_before_the_start_are_found_in_the_journal() -> Result<()> {
    let server = with_standbys()?;
    let setup =
        "create table ledger (id int primary key); create publication walgate for table ledger;";
    let mut bed = Bed::on(&server, "push_unseen_restart", setup)?;
    bed.more = journal_on_disk("");
    bed.sinks = websocket("delivery = \"resumable\"");
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let mut witness = Client::connect(&at, "?table=*")?;
    witness.answer("ready")?;
    let waiting = change_and_wait(&bed.direct, "insert into ledger values (1)");
    let event = witness.event()?;
    ensure!(event["key"]["id"] == 1);
    // A row is sent before its commit has come, and what is cut there comes again with the next start.
    let commit = commit_lsn(&event)?;
    until("the commit is in the journal", || {
        Ok(bed.confirmed()? > commit)
    })?;
    stop(program, &["synchronous"])?;

    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let mut client = Client::connect(&at, "?snapshot=true")?;
    ensure!(client.answer("snapshot")?["rows"] == 0);
    let event = client.event()?;
    ensure!(
        event["op"] == "insert" && event["key"]["id"] == 1,
        "{event}"
    );
    client.answer("ready")?;
    without_standbys(&server)?;
    waiting.join().expect("no panic")?;
    stop(program, &["synchronous"])?;
    Ok(())
}
