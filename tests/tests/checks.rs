//! `walgate check`: everything that is wrong, at once, with what fixes it.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use regex::Regex;
use serde_json::Value;
use walgate_tests::{
    Bed, CREATED, Ended, Program, failed, file_sink, journal_on_disk, quiet, refused, stop,
};
use walgate_throwaway::{PgAuth, PgVersion, Postgres, PostgresOptions, shared_kafka};

use crate::sink_faults::topics::{create, creating, kafka_sink};

fn run(words: &[&str]) -> Result<Ended> {
    let all = ["check", "--for", "500ms"].into_iter();
    Program::start(all.chain(words.iter().copied()))?.wait()
}

fn levels<'a>(report: &'a Value, level: &str) -> Vec<&'a str> {
    let findings = report["findings"].as_array().into_iter().flatten();
    findings
        .filter(|finding| finding["level"] == level)
        .filter_map(|finding| finding["check"].as_str())
        .collect()
}

#[test]
fn a_server_that_is_ready_and_one_that_is_not() -> Result<()> {
    let options = PostgresOptions::version(PgVersion::V17).setting("max_slot_wal_keep_size", "5GB");
    let server = Postgres::start(&options)?;
    let setup = "create table t (id int primary key); create publication walgate for table t;";
    let mut bed = Bed::on(&server, "check_ready", setup)?;
    let out = bed.path("out.ndjson");
    let config = bed.configure(&file_sink(&out))?;
    let config = config.to_str().context("a path")?;
    let ended = run(&["-c", config])?;
    ensure!(
        ended.status.success(),
        "{}\n{}",
        ended.lines.join("\n"),
        ended.stderr
    );
    quiet(&ended.stderr, &[])?;
    let last = ended.lines.last().context("a last line")?;
    ensure!(
        last.contains(" 0 warned, 0 failed"),
        "{}",
        ended.lines.join("\n")
    );

    bed.sql("create table keyless (id int); alter publication walgate add table keyless;")?;
    server.sql("alter system set max_slot_wal_keep_size = -1")?;
    server.sql("alter system set wal_level = replica")?;
    server.sql("create role nobody login")?;
    let mut server = server;
    server.restart(walgate_throwaway::StopMode::Fast)?;
    let url = server.url_of("nobody", "check_ready");
    let words = [
        &url,
        "-c",
        config,
        "--publication",
        "nope",
        "--publication",
        "walgate",
    ];
    let ended = run(&words)?;
    refused(&ended, 2, &["checks failed"], &[])?;
    let text = ended.lines.join("\n");
    for part in [
        "FAIL  wal_level",
        "fix: ALTER SYSTEM SET wal_level = 'logical'; then restart",
        "FAIL  role",
        "fix: ALTER ROLE nobody REPLICATION",
        "FAIL  replication",
        "FAIL  max_slot_wal_keep_size",
        "WARN  statistics",
        "FAIL  publication",
        "publication nope does not exist in database check_ready",
        "FAIL  replica_identity",
        "ALTER TABLE public.keyless",
    ] {
        ensure!(text.contains(part), "{part} is missing in {text}");
    }

    let ended = run(&[&words[..], &["--json", "--accept-unlimited-wal"]].concat())?;
    failed(&ended, 2, &["checks failed"])?;
    let report: Value = serde_json::from_str(&ended.lines.join("\n"))?;
    ensure!(
        report["failed"] == levels(&report, "fail").len(),
        "{report}"
    );
    ensure!(
        levels(&report, "warn").contains(&"max_slot_wal_keep_size"),
        "{report}"
    );
    ensure!(report["provider"] == "self_managed", "{report}");
    Ok(())
}

/// How fast log is written while it is looked, and for how long there is room at that.
#[test]
fn the_rate_of_the_log_is_measured_under_load() -> Result<()> {
    // Hours at any rate that a machine which does anything at all has.
    let options =
        PostgresOptions::version(PgVersion::V16).setting("max_slot_wal_keep_size", "64MB");
    let server = Postgres::start(&options)?;
    let bed = Bed::on(
        &server,
        "check_rate",
        "alter system set synchronous_commit = off;",
    )?;
    bed.sql("select pg_reload_conf()")?;
    let done = AtomicBool::new(false);
    let ended = std::thread::scope(|scope| {
        let load = scope.spawn(|| -> Result<()> {
            let mut admin = bed.admin()?;
            while !done.load(Ordering::Relaxed) {
                admin.batch_execute(
                    "select pg_logical_emit_message(true, 'x', repeat('x', 99999))",
                )?;
            }
            Ok(())
        });
        let url = server.url_of("postgres", "check_rate");
        let ended = run(&[&url, "--json"]);
        done.store(true, Ordering::Relaxed);
        load.join().expect("no panic")?;
        ended
    })?;
    let found = report(&ended)?;
    let room = seen(&found, "max_slot_wal_keep_size").join("");
    let pattern = Regex::new(
        r"^warn: max_slot_wal_keep_size is 64.0 MiB: (\S.*) without a consumer at ([\d.]+) [KMG]iB/s",
    )?;
    ensure!(pattern.is_match(&room), "{found}");
    let commits = seen(&found, "synchronous_standby_names").join("");
    ensure!(
        commits.contains("synchronous_commit is off, which adds about 150 ms"),
        "{found}"
    );
    ensure!(
        seen(&found, "wal_sender_timeout") == ["pass: wal_sender_timeout is 1m 00s"],
        "{found}"
    );
    Ok(())
}

#[test]
fn a_login_that_is_refused() -> Result<()> {
    let options = PostgresOptions::version(PgVersion::V17).auth(PgAuth::ScramSha256);
    let server = Postgres::start(&options)?;
    let url = format!(
        "postgres://postgres:wrong@127.0.0.1:{}/postgres",
        server.port()
    );
    let ended = run(&[&url])?;
    failed(&ended, 3, &["password authentication failed"])
}

#[test]
fn the_scripts_prepare_a_server_and_can_be_run_again() -> Result<()> {
    for version in [PgVersion::V14, PgVersion::V18] {
        let options = PostgresOptions::version(version).setting("max_slot_wal_keep_size", "5GB");
        let server = Postgres::start(&options)?;
        server.sql(
            "create table keyed (id int primary key);
             create table keyless (id int);
             create table parts (id int primary key) partition by range (id);
             create table part partition of parts for values from (0) to (10);
             create table unlike (id int primary key) partition by range (id);
             create table unlike_1 partition of unlike for values from (0) to (10);
             alter table unlike_1 replica identity nothing;
             create table dropped (id int not null);
             create unique index dropped_id on dropped (id);
             alter table dropped replica identity using index dropped_id;
             drop index dropped_id;
             create table deferred (id int primary key deferrable);
             create role rds_replication",
        )?;
        for _ in 0..2 {
            for script in [
                include_str!("../../sql/role.sql"),
                include_str!("../../sql/role_rds.sql"),
                include_str!("../../sql/publication.sql"),
                include_str!("../../sql/monitoring.sql"),
            ] {
                server.sql(script)?;
            }
        }
        server.sql("select pg_create_logical_replication_slot('s', 'pgoutput')")?;
        let published = server.sql("select tablename from pg_publication_tables order by 1")?;
        let published: Vec<_> = published.into_iter().flatten().flatten().collect();
        ensure!(published == ["keyed", "parts"], "{version}: {published:?}");
        let mut open = server.admin()?;
        open.query("begin; insert into keyless values (1)")?;
        let mut monitor =
            postgres::Client::connect(&server.url_of("walgate", "postgres"), postgres::NoTls)?;
        let row = monitor.query_one(
            "select slot_name::text, retained_bytes::int8, consumer_role::text from walgate_monitoring.slots",
            &[],
        )?;
        ensure!(row.get::<_, String>(0) == "s" && row.get::<_, i64>(1) >= 0);
        let row = monitor.query_one(
            "select kind, pid is not null, role from walgate_monitoring.oldest_transactions",
            &[],
        )?;
        ensure!(row.get::<_, String>(0) == "open" && row.get::<_, bool>(1));

        // The role has what it needs, and nothing that is published is wrong.
        let url = server.url_of("walgate", "postgres");
        let ended = run(&[&url, "--publication", "walgate", "--json"])?;
        ensure!(
            ended.status.success(),
            "{version}: {}",
            ended.lines.join("\n")
        );
        let report: Value = serde_json::from_str(&ended.lines.join("\n"))?;
        ensure!(levels(&report, "warn").is_empty(), "{version}: {report}");
    }
    Ok(())
}

fn seen(report: &Value, check: &str) -> Vec<String> {
    let findings = report["findings"].as_array().into_iter().flatten();
    let of = findings.filter(|finding| finding["check"] == check);
    of.map(|finding| format!("{}: {}", finding["level"], finding["seen"]).replace('"', ""))
        .collect()
}

fn report(ended: &Ended) -> Result<Value> {
    let text = ended.lines.join("\n");
    serde_json::from_str(&text).with_context(|| format!("{text}\n{}", ended.stderr))
}

/// Statements are shown, run only after a yes, and what is left is told again.
#[test]
fn what_is_safe_is_fixed_after_a_yes() -> Result<()> {
    let options = PostgresOptions::version(PgVersion::V17).setting("max_slot_wal_keep_size", "5GB");
    let server = Postgres::start(&options)?;
    let setup = "create table t (id int primary key);
        create table late (id int primary key);
        create table keyless (id int);
        create publication walgate for table t, keyless;";
    let mut bed = Bed::on(&server, "check_fix", setup)?;
    bed.source = "tables = [\"public.t\", \"public.late\", \"public.keyless\"]".to_owned();
    let out = bed.path("out.ndjson");
    let config = bed.configure(&file_sink(&out))?;
    let config = config.to_str().context("a path")?;
    // Not ours to take from a role that others may use.
    server.sql("alter role postgres set idle_session_timeout = '1h'")?;

    let ended = run(&["-c", config, "--fix"])?;
    refused(&ended, 2, &["nobody can be asked", "--yes"], &[])?;
    let text = ended.lines.join("\n");
    let add = "ALTER PUBLICATION walgate ADD TABLE public.late";
    for part in ["These statements are safe", add, "WARN  session_limits"] {
        ensure!(text.contains(part), "{part} is missing in {text}");
    }
    let published = "select count(*)::text from pg_publication_tables";
    let count = |bed: &Bed| -> Result<i64> {
        let row = bed
            .admin()?
            .query_one(&published.replace("::text", ""), &[])?;
        Ok(row.get(0))
    };
    ensure!(count(&bed)? == 2, "nothing is run without a yes");

    let ended = run(&["-c", config, "--fix", "--yes", "--json"])?;
    failed(&ended, 2, &["checks failed"])?;
    let found = report(&ended)?;
    let ran = serde_json::json!([{"statement": add, "error": null}]);
    ensure!(found["fixed"] == ran, "{found}");
    ensure!(levels(&found, "fail") == ["replica_identity"], "{found}");
    ensure!(count(&bed)? == 3);

    let words = ["-c", config, "--fix", "--yes", "--fix-replica-identity"];
    let ended = run(&[&words[..], &["public.t"]].concat())?;
    refused(
        &ended,
        2,
        &["public.t does not lack a replica identity"],
        &[],
    )?;
    let ended = run(&[&words[..], &["public.keyless"]].concat())?;
    ensure!(ended.status.success(), "{}", ended.lines.join("\n"));
    let full = "select relreplident::text from pg_class where relname = 'keyless'";
    let identity: String = bed.admin()?.query_one(full, &[])?.get(0);
    ensure!(identity == "f", "{identity}");
    Ok(())
}

/// A statement that the server refuses is told, and keeps no other.
#[test]
fn a_fix_that_is_refused_is_told() -> Result<()> {
    let options = PostgresOptions::version(PgVersion::V16).setting("max_slot_wal_keep_size", "5GB");
    let server = Postgres::start(&options)?;
    server.sql("create role weak login")?;
    let url = server.url_of("weak", "postgres");
    let ended = run(&[&url, "--fix", "--yes"])?;
    refused(&ended, 2, &["checks failed"], &[])?;
    let text = ended.lines.join("\n");
    ensure!(
        text.contains("GRANT pg_monitor TO weak\n  REFUSED:"),
        "{text}"
    );
    ensure!(
        text.contains("ALTER ROLE weak REPLICATION\n  REFUSED:"),
        "the first that is refused keeps no other: {text}"
    );
    Ok(())
}

/// Topics, and the largest row against what they take.
#[test]
fn sinks_are_looked_at() -> Result<()> {
    let kafka = shared_kafka()?.bootstrap();
    let setup = "create table fits (id int primary key);
        create table large (id int primary key, body text);
        alter table large alter body set storage external;
        insert into large values (1, repeat('x', 100000));
        create publication walgate for table fits, large;";
    let mut bed = Bed::shared(PgVersion::V15, "check_sinks", setup)?;
    create(
        &kafka,
        "check_sinks.large",
        1,
        &[("max.message.bytes", "50000")],
    )?;
    let letters = bed.path("nowhere/letters.json");
    let more = format!(
        "topic = \"check_sinks.{{table}}\"\nmeta_topic = \"check_sinks.meta\"\n\
         on_definite = \"dead-letter\"\ndead_letter = {{ file = {letters:?} }}"
    );
    let config = bed.configure(&kafka_sink(&kafka, &more))?;
    let words = |config: &std::path::Path| -> Result<Value> {
        let config = config.to_str().context("a path")?;
        report(&run(&["-c", config, "--json", "--accept-unlimited-wal"])?)
    };
    let found = words(&config)?;
    ensure!(
        seen(&found, "kafka_topic")
            == [
                "fail: sink kafka: topic check_sinks.meta does not exist",
                "fail: sink kafka: topic check_sinks.fits does not exist"
            ],
        "{found}"
    );
    ensure!(
        seen(&found, "max_message_bytes")
            == [
                "warn: sink kafka: topic check_sinks.large takes 48.8 KiB, and a sample of large has a row of 97.7 KiB"
            ],
        "{found}"
    );
    ensure!(
        seen(&found, "dead_letter_file")
            .join("")
            .starts_with("fail"),
        "{found}"
    );

    let more = format!("topic = \"check_sinks.{{table}}\"\n{}", creating(1));
    let config = bed.configure(&kafka_sink(&kafka, &more))?;
    let found = words(&config)?;
    let good = "pass: sink kafka: the cluster answers, 1 topics are there, 1 will be created";
    ensure!(seen(&found, "kafka") == [good], "{found}");
    Ok(())
}

/// Address, folders, disk and memory: of the machine that the check runs on.
#[test]
fn what_a_start_needs_of_the_machine_is_looked_at() -> Result<()> {
    let setup = "create table t (id int primary key); create publication walgate for table t;";
    let mut bed = Bed::shared(PgVersion::V18, "check_machine", setup)?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let listen = taken.local_addr()?;
    let shown = format!("[http]\nlisten = \"{listen}\"\n");
    // All but a little of what the machine has: a start takes more.
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let memory = Regex::new(r"MemTotal:\s+(\d+) kB")?
        .captures(&memory)
        .context("the machine's memory")?[1]
        .parse::<u64>()?
        / 1024
        - 1;
    bed.more = format!(
        "{shown}{}",
        journal_on_disk(&format!("memory = \"{memory}MiB\""))
    );
    let out = bed.path("out.ndjson");
    let config = bed.configure(&file_sink(&out))?;
    let look = || -> Result<Value> {
        let config = config.to_str().context("a path")?;
        report(&run(&["-c", config, "--json", "--accept-unlimited-wal"])?)
    };
    let found = look()?;
    let listens = seen(&found, "http_listen").join("");
    ensure!(
        listens.starts_with(&format!("fail: [http]: can't listen on {listen}")),
        "{found}"
    );
    let memory = seen(&found, "memory").join("");
    ensure!(memory.starts_with("fail: Walgate takes up to"), "{found}");
    let disk = seen(&found, "journal_disk").join("");
    ensure!(disk.contains("the journal may take"), "{found}");
    let state = seen(&found, "state_dir").join("");
    ensure!(state.starts_with("pass"), "{found}");

    // Its own address is no obstacle.
    drop(taken);
    bed.more = shown;
    bed.write_config()?;
    let mut service = bed.serve()?;
    service.wait_for_log("listening for HTTP")?;
    let found = look()?;
    let own = format!("pass: [http]: {listen} is used by the Walgate that runs");
    ensure!(seen(&found, "http_listen") == [own], "{found}");
    ensure!(
        seen(&found, "memory").join("").starts_with("pass"),
        "{found}"
    );
    stop(service, &[CREATED])?;
    Ok(())
}

/// A checkpoint against its slot: after a run, and when the slot has gone.
#[test]
fn the_state_is_compared_with_the_slot() -> Result<()> {
    let setup = "create table t (id int primary key); create publication walgate for table t;";
    let mut bed = Bed::shared(PgVersion::V18, "check_state", setup)?;
    let out = bed.path("out.ndjson");
    let config = bed.configure(&file_sink(&out))?;
    let look = || -> Result<Value> {
        let config = config.to_str().context("a path")?;
        report(&run(&["-c", config, "--json", "--accept-unlimited-wal"])?)
    };
    ensure!(seen(&look()?, "checkpoint") == ["pass: there is none yet: the first start begins it"]);
    let service = bed.serve()?;
    ensure!(
        seen(&look()?, "checkpoint")
            .join("")
            .starts_with("pass: the next start goes on at")
    );
    stop(service, &[CREATED])?;
    ensure!(
        seen(&look()?, "checkpoint")
            .join("")
            .starts_with("pass: the next start goes on at")
    );
    bed.sql("insert into t values (1)")?;
    bed.sql(&format!(
        "select pg_replication_slot_advance('{}', pg_current_wal_lsn())",
        bed.name
    ))?;
    let found = look()?;
    let text = seen(&found, "checkpoint").join("");
    ensure!(
        text.starts_with("fail") && text.contains("ahead of the checkpoint"),
        "{found}"
    );
    bed.sql(&format!("select pg_drop_replication_slot('{}')", bed.name))?;
    let found = look()?;
    let text = seen(&found, "checkpoint").join("");
    ensure!(
        text.starts_with("fail") && text.ends_with("was there, and is gone"),
        "{found}"
    );
    Ok(())
}

/// A service that runs is asked, and says what troubles it.
#[test]
fn a_running_instance_explains_its_trouble() -> Result<()> {
    let setup = "create table t (id int primary key); create publication walgate for table t;";
    let mut bed = Bed::shared(PgVersion::V16, "check_instance", setup)?;
    let out = bed.path("out.ndjson");
    let config = bed.configure(&file_sink(&out))?;
    let config = config.to_str().context("a path")?;
    let look = || run(&["-c", config, "--instance", "--json"]);
    failed(&look()?, 1, &["no walgate runs"])?;
    let service = bed.serve()?;
    let found = report(&look()?)?;
    ensure!(
        seen(&found, "source") == ["pass: the source is streaming"],
        "{found}"
    );
    let sink = seen(&found, "sink").join("");
    ensure!(sink.starts_with("pass: sink file is"), "{found}");
    stop(service, &[CREATED])?;
    // Somebody else has the slot: the service that waits says who.
    let args = [
        "tail",
        &bed.url,
        "--slot",
        &bed.name,
        "--publication",
        "walgate",
        "--peek",
        "-v",
    ];
    let mut other = Program::start(args)?;
    other.wait_for_log("streaming")?;
    let holder = bed.walsender()?.context("a walsender")?;
    let mut service = bed.start()?;
    service.wait_for_log("the slot is in use by")?;
    let ended = look()?;
    failed(&ended, 2, &["checks failed"])?;
    let found = report(&ended)?;
    let source = seen(&found, "source").join("");
    ensure!(
        source.ends_with(&format!("process {holder} has the slot")),
        "{found}"
    );
    stop(other, &[])?;
    service.wait_for_log("streaming")?;
    stop(service, &[])?;
    Ok(())
}
