//! `walgate demo`, from outside: what it shows, how it ends, and that nothing stays behind.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Only bounds a test that hangs; the first run may fetch the servers.
const PATIENCE: Duration = Duration::from_secs(300);

/// A demo whose servers keep their folders in a place of its own.
struct Demo {
    child: Child,
    /// `TMPDIR`: open to the user that PostgreSQL runs as.
    root: TempDir,
}

impl Demo {
    fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    fn start_with(args: &[&str], environment: &[(&str, &Path)]) -> Self {
        // Short: the path of a socket has little room.
        let root = tempfile::Builder::new()
            .prefix("wgd-")
            .tempdir_in("/tmp")
            .expect("a folder");
        open_to_all(root.path());
        let child = Command::new(env!("CARGO_BIN_EXE_walgate"))
            .arg("demo")
            .args(args)
            .env("TMPDIR", root.path())
            .env_remove("NO_COLOR")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        Self { child, root }
    }

    fn interrupt(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", "INT", &pid]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for its end and checks that nothing is left.
    fn end(self) -> Output {
        let Self { child, root } = self;
        let output = child.wait_with_output().expect("it ends");
        let left: Vec<_> = std::fs::read_dir(root.path())
            .expect("the folder")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        assert!(left.is_empty(), "left on disk: {left:?}");
        let running = running_in(root.path());
        assert!(running.is_empty(), "left running: {running:?}");
        output
    }
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).expect("permissions");
}

/// Command lines of processes that name this folder.
fn running_in(folder: &Path) -> BTreeSet<String> {
    let listed = Command::new("ps")
        .args(["-A", "-ww", "-o", "args="])
        .output();
    let listed = listed.expect("ps runs").stdout;
    let folder = folder.to_str().expect("text");
    String::from_utf8_lossy(&listed)
        .lines()
        .filter(|line| line.contains(folder))
        .map(str::to_owned)
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn assert_clean(output: &Output) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    for alarm in ["WARN", "ERROR", "error:"] {
        assert!(!stderr.contains(alarm), "{stderr}");
    }
}

fn count_of(stdout: &str, op: &str, table: &str) -> usize {
    let matching = stdout
        .lines()
        .filter(|line| line.contains(op) && line.contains(table));
    matching.count()
}

/// The total of the summary, which must be the number of lines.
fn assert_summary(output: &Output) {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    let lines = stdout.lines().count();
    assert!(
        stderr.contains(&format!("\n{lines} changes in ")),
        "{lines} lines, {stderr}"
    );
    assert!(stderr.contains("from commit to printed: p50 "), "{stderr}");
    assert!(!stderr.contains("p50 0.0 ms"), "measured: {stderr}");
}

#[test]
fn shows_the_maze_and_ends_by_itself() {
    let output = Demo::start(&["--seconds", "4"]).end();
    assert_clean(&output);
    let stdout = text(&output.stdout);
    assert!(
        count_of(&stdout, "insert", "maze.agent_actions") > 20,
        "{stdout}"
    );
    assert!(
        count_of(&stdout, "insert", "maze.experiments") > 2,
        "{stdout}"
    );
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("psql postgres://postgres@127.0.0.1:"),
        "{stderr}"
    );
    assert_summary(&output);
}

#[test]
fn json_lines_are_the_events_in_order() {
    let output = Demo::start(&["--seconds", "2", "--format", "json"]).end();
    assert_clean(&output);
    let mut last = String::new();
    for line in text(&output.stdout).lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("an event");
        assert_eq!(event["schema"], "maze");
        let id = event["id"].as_str().expect("an id").to_owned();
        assert!(id > last, "{id} behind {last}");
        last = id;
    }
    assert_summary(&output);
}

#[test]
fn through_a_real_kafka_and_back() {
    let output = Demo::start(&["--kafka", "--seconds", "4"]).end();
    assert_clean(&output);
    let stdout = text(&output.stdout);
    assert!(
        count_of(&stdout, "insert", "maze.agent_actions/") > 20,
        "{stdout}"
    );
    assert!(text(&output.stderr).contains("Apache Kafka runs at 127.0.0.1:"));
    assert_summary(&output);
}

#[test]
fn ctrl_c_ends_it_with_the_summary() {
    let mut demo = Demo::start(&[]);
    let mut stdout = BufReader::new(demo.child.stdout.take().expect("its output"));
    let mut shown = String::new();
    stdout.read_line(&mut shown).expect("a change");
    demo.interrupt();
    stdout.read_to_string(&mut shown).expect("the rest");
    let mut output = demo.end();
    output.stdout = shown.into_bytes();
    assert_clean(&output);
    assert_summary(&output);
}

#[test]
fn ctrl_c_while_it_starts_leaves_nothing() {
    let mut demo = Demo::start(&[]);
    let mut stderr = BufReader::new(demo.child.stderr.take().expect("its errors"));
    let mut said = String::new();
    stderr.read_line(&mut said).expect("a word");
    assert!(said.starts_with("starting PostgreSQL"), "{said}");
    demo.interrupt();
    stderr.read_to_string(&mut said).expect("the rest");
    let output = demo.end();
    assert_eq!(output.status.code(), Some(0), "{said}");
}

#[test]
fn a_reader_that_has_seen_enough_ends_it() {
    let mut demo = Demo::start(&[]);
    let mut stdout = BufReader::new(demo.child.stdout.take().expect("its output"));
    for _ in 0..3 {
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a change");
        assert!(line.contains("maze."), "{line}");
    }
    drop(stdout);
    let output = demo.end();
    assert_clean(&output);
    assert!(text(&output.stderr).contains("changes in "));
}

#[test]
fn kill_9_leaves_nothing_either() {
    let mut demo = Demo::start(&[]);
    let mut stdout = BufReader::new(demo.child.stdout.take().expect("its output"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a change");
    let Demo { mut child, root } = demo;
    child.kill().expect("killed");
    child.wait().expect("reaped");
    let deadline = Instant::now() + PATIENCE;
    let empty = || {
        std::fs::read_dir(root.path())
            .expect("the folder")
            .next()
            .is_none()
    };
    while !(empty() && running_in(root.path()).is_empty()) {
        assert!(Instant::now() < deadline, "something is left");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn without_any_postgresql_it_says_what_to_do() {
    let empty = tempfile::tempdir().expect("a folder");
    // Neither an installed server, nor a cached one, nor npm to fetch one.
    let demo = Demo::start_with(
        &[],
        &[("PATH", empty.path()), ("WALGATE_CACHE", empty.path())],
    );
    let installed = Path::new("/usr/lib/postgresql").exists();
    if installed {
        // Then it is found without PATH; it can't start without a shell for its guard.
        let output = demo.end();
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("error: run sh"));
        return;
    }
    let output = demo.end();
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: npm is needed"), "{stderr}");
    assert!(stderr.contains("hint: "), "{stderr}");
}

/// What a server on this machine answers to a GET.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_page_shows_it_and_what_the_slot_holds_back() {
    let mut demo = Demo::start(&[]);
    let stderr = BufReader::new(demo.child.stderr.take().expect("its errors"));
    let mut lines = stderr.lines().map_while(Result::ok);
    let address = lines.find_map(|line| {
        let address = line.strip_prefix("the page runs at http://")?;
        Some(address.trim_end_matches('/').to_owned())
    });
    let address = address.expect("an address");
    // Whoever says more must not wait for a reader.
    let rest = std::thread::spawn(move || lines.count());
    let page = get(&address, "/");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.contains("<title>Walgate"), "{page}");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let source = get(&address, "/v1/source");
        if source.contains("\"retained_bytes\"") {
            break;
        }
        assert!(Instant::now() < deadline, "{source}");
        std::thread::sleep(Duration::from_millis(50));
    }
    demo.interrupt();
    let output = demo.end();
    assert!(output.status.success());
    rest.join().expect("read to its end");
}
