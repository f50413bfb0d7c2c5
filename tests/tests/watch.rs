//! The eye inside of `walgate run`: what it shows over HTTP and to `walgate status`, on real servers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use regex::Regex;
use serde_json::Value;
use walgate_tests::{Bed, Ended, Program, failed, file_sink, stop, until};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

const TABLE: &str = "create table t (id int primary key, v text); \
                     alter table t alter v set storage external; \
                     create publication walgate for table t;";

/// Listens on a port of its own, and looks often.
pub(crate) const SHOWN: &str = "[http]\nlisten = \"127.0.0.1:0\"\n[watch]\ninterval = \"500ms\"\n";

/// Where a program listens.
pub(crate) fn address(program: &mut Program) -> Result<String> {
    program.wait_for_log("listening for HTTP")?;
    let log = program.stderr();
    let pattern = Regex::new(r"listening for HTTP.*address=(\S+)")?;
    let found = pattern.captures(&log).context("an address in the log")?;
    Ok(found[1].trim_end_matches(',').to_owned())
}

/// The code, and the body.
pub(crate) fn get(address: &str, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("a head")?;
    let code = head.split(' ').nth(1).context("a code")?.parse()?;
    Ok((code, body.to_owned()))
}

pub(crate) fn status(address: &str) -> Result<Value> {
    let (code, body) = get(address, "/status")?;
    ensure!(code == 200, "{code}: {body}");
    Ok(serde_json::from_str(&body)?)
}

/// The value of the one series that begins so.
pub(crate) fn metric(page: &str, series: &str) -> Result<f64> {
    let mut lines = page.lines().filter_map(|line| line.strip_prefix(series));
    let value = lines
        .next()
        .with_context(|| format!("{series} in {page}"))?;
    ensure!(lines.next().is_none(), "{series} several times in {page}");
    Ok(value.trim().replace("+Inf", "inf").parse()?)
}

pub(crate) fn ask(bed: &Bed, words: &[&str]) -> Result<Ended> {
    let config = bed.path("walgate.toml");
    let config = config.to_str().context("a path")?;
    let args = ["status", "-c", config];
    Program::start(args.iter().chain(words).copied())?.wait()
}

/// Waits until the status says so of our slot.
pub(crate) fn until_slot(
    address: &str,
    what: &str,
    holds: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let mut found = Value::Null;
    until(what, || {
        found = status(address)?;
        let slots = found["slots"].as_array().cloned().unwrap_or_default();
        Ok(slots.iter().any(|slot| slot["ours"] == true && holds(slot)))
    })
    .with_context(|| format!("the last: {found}"))?;
    Ok(found)
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "the life of one service, in its order"
)]
fn a_service_shows_how_it_does_from_start_to_end() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V17, "watch_shows", TABLE)?;
    bed.more = SHOWN.to_owned();
    bed.sinks = file_sink(&bed.path("out.ndjson"));
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    until("it is ready", || Ok(get(&at, "/readyz")?.0 == 200))?;
    ensure!(get(&at, "/livez")? == (200, "ok\n".to_owned()));
    bed.sql("insert into t select g, 'x' from generate_series(1, 100) g")?;
    bed.until_confirmed(&mut program)?;
    until_slot(&at, "the slot is seen in use", |slot| {
        slot["state"] == "active"
    })?;
    let mut page = String::new();
    until("everything is delivered", || {
        page = get(&at, "/metrics")?.1;
        Ok(metric(&page, "walgate_sink_backlog_bytes{sink=\"file\"}")? == 0.0)
    })?;
    let ours = "{slot=\"watch_shows\",ours=\"true\"}";
    ensure!(
        metric(&page, &format!("walgate_slot_active{ours}"))? == 1.0,
        "{page}"
    );
    ensure!(metric(&page, &format!("walgate_slot_retained_wal_bytes{ours}"))? >= 0.0);
    ensure!(
        metric(&page, "walgate_sink_events_total{sink=\"file\"}")? >= 100.0,
        "{page}"
    );
    ensure!(
        metric(&page, "walgate_sink_up{sink=\"file\"}")? == 1.0,
        "{page}"
    );
    ensure!(
        metric(&page, "walgate_source_state{state=\"streaming\"}")? == 1.0,
        "{page}"
    );
    // Nothing is behind: that is no age.
    let oldest = "walgate_sink_oldest_undelivered_timestamp_seconds{sink=\"file\"}";
    ensure!(metric(&page, oldest)?.is_nan(), "{page}");

    let asked = ask(&bed, &[])?;
    ensure!(asked.status.success(), "{}{:?}", asked.stderr, asked.lines);
    let text = asked.lines.join("\n");
    for part in [
        "healthy",
        "streaming for",
        "in memory",
        "watch_shows: active",
        "file",
    ] {
        ensure!(text.contains(part), "{part} is missing in {text}");
    }
    let asked = ask(&bed, &["--json"])?;
    let said: Value = serde_json::from_str(&asked.lines.join(""))?;
    ensure!(said["healthy"] == true && said["ready"] == true, "{said}");
    ensure!(said["sinks"][0]["sink"] == "file", "{said}");
    let keys = |value: &Value| {
        let object = value.as_object().into_iter().flatten();
        object.map(|(key, _)| key.clone()).collect::<Vec<_>>()
    };
    ensure!(keys(&said) == keys(&status(&at)?), "the same document");

    ensure!(!bed.path("state/history.json").exists(), "not yet");
    program.signal("TERM")?;
    let ended = program.wait()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    ensure!(
        bed.path("state/history.json").exists(),
        "kept for the next start"
    );
    let asked = ask(&bed, &[])?;
    failed(&asked, 1, &["no walgate runs"])?;
    // What is damaged is no reason not to start.
    std::fs::write(bed.path("state/history.json"), b"\xff{")?;
    let mut again = bed.serve()?;
    let at = address(&mut again)?;
    until_slot(&at, "it is seen again", |slot| slot["state"] == "active")?;
    again.signal("TERM")?;
    ensure!(again.wait()?.status.success());
    Ok(())
}

#[test]
fn who_waits_for_a_server_or_a_slot_is_alive_and_not_ready() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V17, "watch_waits", TABLE)?;
    bed.more = SHOWN.to_owned();
    bed.sinks = file_sink(&bed.path("out.ndjson"));
    let first = bed.serve()?;
    // The slot is in use.
    bed.sinks = file_sink(&bed.path("out2.ndjson"));
    let second = bed.write_config_as("second.toml", "state2")?;
    let second = second.to_str().context("a path")?;
    let mut second = Program::start(["run", "-c", second])?;
    let at = address(&mut second)?;
    until("it says who uses the slot", || {
        let (code, body) = get(&at, "/readyz")?;
        Ok(code == 503 && body.contains("uses the slot"))
    })?;
    ensure!(get(&at, "/livez")?.0 == 200);
    until_slot(&at, "it watches all the same", |slot| {
        slot["state"] == "active"
    })?;
    let found = status(&at)?;
    ensure!(found["source"]["state"] == "waiting_for_slot", "{found}");
    ensure!(found["healthy"] == false, "{found}");
    second.signal("TERM")?;
    second.wait()?;
    first.signal("TERM")?;
    first.wait()?;

    // Nobody listens there.
    let url = "postgres://nobody@127.0.0.1:1/none?connect_timeout=1";
    bed.url = url.to_owned();
    let mut third = bed.start()?;
    let at = address(&mut third)?;
    ensure!(get(&at, "/livez")?.0 == 200);
    ensure!(get(&at, "/readyz")?.0 == 503);
    until("looks fail", || {
        let (_, page) = get(&at, "/metrics")?;
        let ours = "walgate_slot_wal_headroom_ratio{slot=\"watch_waits\",ours=\"true\"}";
        ensure!(metric(&page, ours)? == 1.0, "{page}");
        ensure!(metric(&page, "walgate_sink_failures_total{sink=\"file\"}")? == 0.0);
        Ok(metric(&page, "walgate_watch_failures_total")? >= 1.0)
    })?;
    until("the socket is there", || {
        Ok(bed.path("state/control.sock").exists())
    })?;
    failed(&ask(&bed, &[])?, 1, &["server"])?;
    third.signal("TERM")?;
    third.signal("TERM")?;
    third.wait()?;
    Ok(())
}

/// Writes some 60 MB of log that is published.
const LOAD: &str =
    "insert into t select g, repeat(md5(g::text), 320) from generate_series(1, 6000) g";

/// Serves and writes until the slot's log is held back for this reason.
fn blamed(bed: &Bed, culprit: &str) -> Result<(Program, String, Value)> {
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    bed.sql(LOAD)?;
    let found = until_slot(&at, "the sink is to blame", |slot| {
        slot["culprit"] == culprit
    })?;
    Ok((program, at, found))
}

/// It can't deliver what it has: the second signal ends it.
fn end_at_once(program: Program) -> Result<()> {
    program.signal("TERM")?;
    program.signal("TERM")?;
    program.wait()?;
    Ok(())
}

#[test]
fn a_sink_that_is_down_is_named_for_the_log_that_it_holds_back() -> Result<()> {
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V17))?;
    let mut bed = Bed::on(&server, "watch_down", TABLE)?;
    bed.more = format!("{SHOWN}budget = \"100GiB\"\n[journal]\nmemory = \"8MiB\"\n");
    let memory = "batch = { bytes = \"1MiB\" }";
    bed.sinks = format!("[sinks.kafka]\ntype = \"kafka\"\nbrokers = [\"127.0.0.1:1\"]\n{memory}\n");
    let (program, at, found) = blamed(&bed, "sink down")?;
    let why = found["slots"][0]["why"].as_str().unwrap_or_default();
    ensure!(why.contains("sink kafka is down"), "{found}");
    ensure!(found["slots"][0]["headroom_limit"] == "budget", "{found}");
    let asked = ask(&bed, &[])?;
    failed(&asked, 1, &["sink kafka fails"])?;
    let text = asked.lines.join("\n");
    ensure!(
        text.contains("NOT HEALTHY") && text.contains("sink kafka is down"),
        "{text}"
    );
    until("its age is known", || {
        let (_, page) = get(&at, "/metrics")?;
        ensure!(
            metric(&page, "walgate_sink_up{sink=\"kafka\"}")? == 0.0,
            "{page}"
        );
        let oldest = "walgate_sink_oldest_undelivered_timestamp_seconds{sink=\"kafka\"}";
        let backlog = metric(&page, "walgate_sink_backlog_bytes{sink=\"kafka\"}")?;
        Ok(metric(&page, oldest)? > 1e9 && backlog > 4e6)
    })?;
    end_at_once(program)
}

#[test]
fn a_sink_that_is_slow_is_named_for_the_log_that_it_holds_back() -> Result<()> {
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V17))?;
    let mut bed = Bed::on(&server, "watch_slow", TABLE)?;
    bed.more = format!("{SHOWN}[journal]\nmemory = \"8MiB\"\n");
    bed.sinks = "[sinks.out]\ntype = \"stdout\"\nbatch = { bytes = \"1MiB\" }\n".to_owned();
    // Nobody reads what it writes.
    let (program, at, found) = blamed(&bed, "sink behind")?;
    let why = found["slots"][0]["why"].as_str().unwrap_or_default();
    ensure!(why.contains("sink out is behind"), "{found}");
    // Nothing is read: that the server is not heard is not its fault.
    until("nothing is read", || {
        let (_, page) = get(&at, "/metrics")?;
        let heard = metric(&page, "walgate_source_last_message_timestamp_seconds")?;
        Ok(heard.is_nan() && metric(&page, "walgate_journal_full")? == 1.0)
    })?;
    end_at_once(program)
}

/// Another instance has the folder or the slot: that is no trouble, and everybody who looks is told so.
#[test]
fn an_instance_that_waits_for_its_turn_is_seen_to_wait() -> Result<()> {
    let setup = "create table t (id int primary key); create publication walgate for table t;";
    let mut bed = Bed::shared(PgVersion::V16, "watch_waits", setup)?;
    let out = bed.path("out.ndjson");
    bed.configure(&format!("{}{SHOWN}", file_sink(&out)))?;
    let start = |bed: &Bed, file: &str, state: &str| -> Result<Program> {
        let config = bed.write_config_as(file, state)?;
        let text = std::fs::read_to_string(&config)?;
        let text = text.replace("[state]\n", "[state]\nstandby = true\n");
        std::fs::write(&config, text)?;
        Program::start(["run".as_ref(), "-c".as_ref(), config.as_os_str()])
    };
    let mut first = start(&bed, "one.toml", "one")?;
    first.wait_for_log("streaming")?;
    let mut folder = start(&bed, "two.toml", "one")?;
    let mut slot = start(&bed, "three.toml", "three")?;
    for waiting in [&mut folder, &mut slot] {
        waiting.wait_for_log("waiting as a standby")?;
        let address = address(waiting)?;
        let state =
            |name: &str, value: u8| format!("walgate_source_state{{state=\"{name}\"}} {value}\n");
        until("it is seen to wait", || {
            let (_, text) = get(&address, "/metrics")?;
            Ok(text.contains(&state("waiting_for_slot", 1))
                && text.contains(&state("connecting", 0)))
        })?;
    }
    stop(folder, &[])?;
    stop(slot, &[])?;
    first.signal("KILL")?;
    Ok(())
}
