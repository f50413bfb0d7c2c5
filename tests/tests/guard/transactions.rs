//! What keeps the log that is none of our doing: transactions that nobody ends, and a busy neighbour.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use walgate_tests::{Program, session, slot, until};
use walgate_throwaway::{PgVersion, Postgres};

use super::watched::{Watched, on_each_version, says, small};

#[test]
fn who_holds_the_log_back_is_named_and_a_busy_neighbour_is_nobodys_alarm() -> Result<()> {
    on_each_version(on_one_server)
}

fn on_one_server(version: PgVersion) -> Result<()> {
    let server = Postgres::start(&small(version).setting("max_slot_wal_keep_size", "512MB"))?;
    let guard = "retained_bytes = [\"12MiB\"]\nlag = [\"1m\"]\n";
    let watched = Watched::on(&server, "holding", guard)?;
    let (mut program, at) = watched.serve()?;
    watched.bed.insert(1..=10)?;
    watched.bed.until_complete(&mut program)?;
    neighbour(&server, &watched, &mut program)?;
    ensure!(
        watched.receiver.all().is_empty(),
        "somebody was told: {:?}",
        watched.receiver.all()
    );
    transactions(&server, &watched, &at)?;
    watched.bed.until_complete(&mut program)?;
    walgate_tests::stop(program, &[])?;
    watched.bed.complete()
}

/// Log of another database, several times what an alert begins at. It is passed as it comes.
fn neighbour(server: &Postgres, watched: &Watched, program: &mut Program) -> Result<()> {
    server.sql("create database busy")?;
    let mut busy = session(&server.url_of("postgres", "busy"))?;
    busy.batch_execute("create table orders (id int, note text)")?;
    let from = watched.bed.head()?;
    for _ in 0..6 {
        busy.batch_execute(
            "insert into orders select id, repeat('x', 100) from generate_series(1, 24000) id",
        )?;
        watched.bed.until_confirmed(program)?;
        until("the slot follows", || {
            // The server logs by itself every 15 s who runs, and a slot moves then.
            watched.bed.sql("checkpoint;")?;
            Ok(retained(watched)? < 2 << 20)
        })?;
    }
    ensure!(watched.bed.head()? - from > 15 << 20, "too little");
    Ok(())
}

fn retained(watched: &Watched) -> Result<i64> {
    let query = "select (pg_current_wal_lsn() - restart_lsn)::bigint from pg_replication_slots \
                 where slot_name = $1";
    let mut admin = watched.bed.admin()?;
    Ok(admin.query_one(query, &[&watched.bed.name])?.get(0))
}

/// One that is open and one that is prepared, while others write all the time: the older one is named,
/// then the other one, then all is well.
fn transactions(server: &Postgres, watched: &Watched, at: &str) -> Result<()> {
    let mut next = 100;
    let mut write = || {
        next += 1;
        thread::sleep(Duration::from_millis(200));
        watched.bed.insert(next..=next)
    };
    // The log is held back from where the server logged who runs: some time before the transaction.
    watched.bed.sql("checkpoint;")?;
    for _ in 0..10 {
        write()?;
    }
    let mut open = server.admin_in(&watched.bed.name)?;
    open.query("begin")?;
    open.query("insert into ledger values (1001, 1, 0, 'open')")?;
    let pid = open.query("select pg_backend_pid()")?;
    let pid = pid[0][0].clone().context("a pid")?;
    let mut prepared = server.admin_in(&watched.bed.name)?;
    prepared.query("begin")?;
    prepared.query("insert into ledger values (1002, 1, 0, 'prepared')")?;
    prepared.query("prepare transaction 'order-7'")?;
    watched.hold(16)?;

    let mut named = |what: &str, words: &[&str]| -> Result<Value> {
        let mut found = None;
        until(what, || {
            write()?;
            found = watched.told("retained_bytes", |told| {
                let culprit = told["culprit"].as_str().unwrap_or_default();
                words.iter().all(|word| culprit.contains(word))
            });
            Ok(found.is_some())
        })
        .with_context(|| format!("the last: {:?}", watched.receiver.all().last()))?;
        found.context("a message")
    };
    let who = format!("pid {pid} (user postgres, application \"walgate-test\", database holding)");
    let words = [&*who, "has had a transaction open for", "and is idle"];
    let told = named("the open transaction is named", &words)?;
    let end = format!("pg_terminate_backend({pid})");
    says(
        &told,
        "command",
        &[&end, "idle_in_transaction_session_timeout"],
    )?;
    says(&told, "forecast", &["left until max_slot_wal_keep_size"])?;
    ensure!(told["severity"] == "warning", "{told}");
    watched.until(at, "it is shown", |slot| {
        slot["culprit"] == "open transaction"
    })?;
    open.query("commit")?;

    let words = ["'order-7', prepared by postgres in database holding"];
    let told = named("the prepared transaction is named", &words)?;
    says(&told, "command", &["ROLLBACK PREPARED 'order-7'"])?;
    watched.until(at, "it is shown", |slot| {
        slot["culprit"] == "prepared transaction"
    })?;
    prepared.query("commit prepared 'order-7'")?;

    until("all is well", || {
        watched.bed.sql("checkpoint;")?;
        write()?;
        let told = watched.told("retained_bytes", |told| told["kind"] == "resolved");
        Ok(told.is_some())
    })?;
    let raised = watched.receiver.told("retained_bytes");
    let raised = raised.iter().filter(|(kind, _)| kind == "raised").count();
    ensure!(raised == 1, "{:?}", watched.receiver.told("retained_bytes"));
    ensure!(watched.told("lag", |_| true).is_none(), "nothing was late");
    let row = slot(&mut watched.bed.admin()?, &watched.bed.name)?.context("the slot")?;
    ensure!(row.wal_status.as_deref() == Some("reserved"));
    Ok(())
}
