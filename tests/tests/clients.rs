//! Clients that are none of ours on a push server: curl, Python and Node, with nothing but their own libraries.

#[path = "clients/installed.rs"]
mod installed;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use walgate_tests::{Bed, PATIENCE, journal_on_disk, step, stop};
use walgate_throwaway::{FaultProxy, PgVersion};

use crate::push::{serve, websocket};

const TABLE: &str = "create table t (id int primary key, v text); \
                     create publication walgate for table t;";

/// SHA-256 of "hunter2".
const HASH: &str = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";

/// Where the programs of the clients are.
const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients");

/// A client as a process, and what it prints.
struct Client {
    child: Child,
    lines: Receiver<String>,
}

impl Client {
    fn start(command: &mut Command, token: &str) -> Result<Self> {
        let mut child = command
            .env("WALGATE_TOKEN", token)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let stdout = child.stdout.take().context("an output")?;
        let (tell, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    fn line(&mut self) -> Result<String> {
        step(|| format!("wait for {}", self.child.id()));
        self.lines
            .recv_timeout(PATIENCE)
            .context("the client says nothing")
    }

    /// Its next events are about these rows, in this order; `ready` may come between.
    fn expect(&mut self, rows: std::ops::RangeInclusive<i64>, last: &mut String) -> Result<()> {
        for expected in rows {
            let line = loop {
                let line = self.line()?;
                if line != "ready" {
                    break line;
                }
            };
            let (id, row) = line.split_once(' ').with_context(|| line.clone())?;
            ensure!(row.parse() == Ok(expected), "{line} instead of {expected}");
            ensure!(id > last.as_str(), "{id} comes after {last}");
            id.clone_into(last);
        }
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn bed(version: PgVersion, name: &str) -> Result<Bed> {
    let mut bed = Bed::shared(version, name, TABLE)?;
    bed.more = journal_on_disk("");
    bed.sinks = websocket(&format!(
        "delivery = \"resumable\"\npolicy = \"token\"\n[sinks.push.tokens]\nann = {{ sha256 = \"{HASH}\" }}"
    ));
    bed.begin()?;
    Ok(bed)
}

fn insert(bed: &Bed, first: i64, last: i64) -> Result<()> {
    bed.sql(&format!(
        "insert into t select g, 'x' from generate_series({first}, {last}) g"
    ))
}

/// A client that comes back by itself gets everything once, across a cut, a kill and a deploy; and one
/// without a right is told so.
fn comes_back(
    name: &str,
    version: PgVersion,
    command: impl Fn(SocketAddr) -> Command,
) -> Result<()> {
    let bed = bed(version, name)?;
    let (program, at) = serve(&bed)?;
    let proxy = FaultProxy::start(at)?;
    let mut refused = Client::start(&mut command(at), "wrong")?;
    ensure!(refused.line()? == "refused 401");
    let mut client = Client::start(&mut command(proxy.address()), "hunter2")?;
    ensure!(client.line()? == "ready");
    let mut last = String::new();
    insert(&bed, 1, 1_000)?;
    client.expect(1..=100, &mut last)?;
    proxy.cut();
    client.expect(101..=1_000, &mut last)?;
    program.signal("KILL")?;
    program.wait()?;
    insert(&bed, 1_001, 1_050)?;
    let (program, at) = serve(&bed)?;
    proxy.set_target(at);
    client.expect(1_001..=1_050, &mut last)?;
    stop(program, &[])?;
    let (program, at) = serve(&bed)?;
    proxy.set_target(at);
    insert(&bed, 1_051, 1_100)?;
    client.expect(1_051..=1_100, &mut last)?;
    stop(program, &[])?;
    Ok(())
}

#[test]
fn python_s_websockets_resumes() -> Result<()> {
    let python = installed::python()?;
    comes_back("clients_python", PgVersion::V16, |at| {
        let mut command = Command::new(&python);
        command
            .arg(format!("{PROGRAMS}/websocket.py"))
            .arg(format!("ws://{at}"));
        command
    })
}

#[test]
fn node_s_ws_resumes() -> Result<()> {
    let modules = installed::node_modules()?;
    comes_back("clients_ws", PgVersion::V17, |at| {
        let mut command = Command::new("node");
        command
            .env("NODE_PATH", &modules)
            .arg(format!("{PROGRAMS}/websocket.cjs"))
            .arg(format!("ws://{at}"));
        command
    })
}

#[test]
fn node_s_fetch_resumes() -> Result<()> {
    comes_back("clients_fetch", PgVersion::V15, |at| {
        let mut command = Command::new("node");
        command
            .arg(format!("{PROGRAMS}/events.mjs"))
            .arg(format!("http://{at}"));
        command
    })
}

/// Asks with `curl -N`, as a person does.
fn curl(at: SocketAddr, args: &[&str], token: &str) -> Result<Client> {
    let mut command = Command::new("curl");
    command
        .args(["-N", "-sS", "--fail", "--noproxy", "*", "-H"])
        .arg(format!("Authorization: Bearer {token}"))
        .args(args)
        .arg(format!("http://{at}/v1/events?table=public.t"));
    Client::start(&mut command, "")
}

/// The next block of the stream that has data: its name, its id and its data.
fn next_block(client: &mut Client) -> Result<(String, String, Value)> {
    let (mut name, mut id, mut data) = ("message".to_owned(), String::new(), None);
    loop {
        let line = client.line()?;
        match (line.split_once(": "), &data) {
            (Some(("event", text)), _) => text.clone_into(&mut name),
            (Some(("id", text)), _) => text.clone_into(&mut id),
            (Some(("data", text)), _) => data = Some(serde_json::from_str(text)?),
            (None, Some(_)) if line.is_empty() => {
                return Ok((name, id, data.unwrap_or_default()));
            }
            // A heartbeat, or a block that only moves the id.
            _ => {}
        }
    }
}

/// The next event of the log that curl prints, and its id.
fn next_event(client: &mut Client) -> Result<(String, Value)> {
    loop {
        let (name, id, data) = next_block(client)?;
        match name.as_str() {
            "message" => return Ok((id, data)),
            "ready" => {}
            _ => bail!("{name}: {data}"),
        }
    }
}

#[test]
fn curl_follows_and_goes_on_behind_the_last_id() -> Result<()> {
    let bed = bed(PgVersion::V18, "clients_curl")?;
    let (program, at) = serve(&bed)?;
    let mut refused = curl(at, &[], "wrong")?;
    // 22: the answer is an error, by --fail.
    ensure!(refused.child.wait()?.code() == Some(22));
    let mut first = curl(at, &[], "hunter2")?;
    let (name, ..) = next_block(&mut first)?;
    ensure!(name == "ready", "{name}");
    insert(&bed, 1, 20)?;
    let mut last = String::new();
    for row in 1..=10 {
        let (id, event) = next_event(&mut first)?;
        ensure!(event["key"]["id"] == row && event["id"] == id, "{event}");
        last = id;
    }
    program.signal("KILL")?;
    program.wait()?;
    // 18: the rest is missing.
    ensure!(first.child.wait()?.code() == Some(18));
    insert(&bed, 21, 25)?;
    let (program, at) = serve(&bed)?;
    let resume = format!("Last-Event-ID: {last}");
    let mut second = curl(at, &["-H", &resume], "hunter2")?;
    for row in 11..=25 {
        let (_, event) = next_event(&mut second)?;
        ensure!(event["key"]["id"] == row, "{event} instead of {row}");
    }
    stop(program, &[])?;
    Ok(())
}
