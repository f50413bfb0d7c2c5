//! README.md is true: its commands are run in order, its SQL is executed, its configurations are
//! checked, and what can't be done here is on a list with the reason.

mod blocks;

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use blocks::{Block, blocks};
use postgres::Client;
use tempfile::TempDir;
use walgate_tests::{alarms, database, program, records, session, statements, step};
use walgate_throwaway::{PgVersion, shared_kafka};

/// Only bounds a test that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Blocks that are not run: heading, language, why.
const NOT_RUN: &[(&str, &str, &str)] = &[
    (
        "Into Kafka",
        "console",
        "Kafka's own program is not here; `the_topic_holds_the_events` reads the topic instead",
    ),
    (
        "Rewind a sink",
        "console",
        "it takes a service that runs beside it; the tests of `rewinds` do it",
    ),
    (
        "In the terminal",
        "console",
        "it takes a service that runs beside it; the tests of `follow` do it",
    ),
    ("What is promised", "text", "a recipe in pseudocode"),
    (
        "Amazon RDS",
        "console",
        "there is no AWS here; `rds_is_named_as_the_hints_name_it` looks at the names",
    ),
];

/// Commands that are run in a reduced form: how they begin, why.
const REDUCED: &[(&str, &str)] = &[
    (
        "make ",
        "a whole build or test run: only what make would do is asked, with -n",
    ),
    (
        "cargo build",
        "this test was built from the same sources: only the package is looked up",
    ),
    (
        "export DATABASE_URL=",
        "the address of a throw-away server takes its place",
    ),
];

/// Commands that go on until a signal. `tail` is ended once it has shown the next SQL block.
const ENDLESS: &[&str] = &["walgate tail \"$DATABASE_URL\"", "walgate run"];

fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("the tests lie in the repository")
        .into()
}

fn read(file: &str) -> String {
    std::fs::read_to_string(repository().join(file)).expect(file)
}

/// Who follows the README: a folder, a database, a Kafka.
struct Reader {
    folder: TempDir,
    url: String,
    sql: Client,
    bootstrap: String,
    /// An endless command, and how many lines it has to show.
    running: Option<Child>,
    /// What was neither run nor excused.
    done: Vec<String>,
}

impl Reader {
    fn new() -> Result<Self> {
        let url = database(PgVersion::V17, "readme")?;
        let mut sql = session(&url)?;
        // What only Amazon's servers have.
        sql.batch_execute("create role rds_replication; create role rds_iam")?;
        Ok(Self {
            folder: tempfile::tempdir()?,
            url,
            sql,
            bootstrap: shared_kafka()?.bootstrap(),
            running: None,
            done: Vec::new(),
        })
    }

    fn follow(&mut self, block: &Block) -> Result<()> {
        match block.language.as_str() {
            "sh" => block.text.lines().try_for_each(|line| self.command(line)),
            "sql" => self.execute(&block.text),
            "toml" => self.configuration(&block.text),
            "json" => {
                let _event: serde_json::Value = serde_json::from_str(&block.text)?;
                Ok(())
            }
            other => {
                let listed = NOT_RUN
                    .iter()
                    .any(|(heading, language, _)| *heading == block.heading && *language == other);
                self.done.push(format!("{} {other}", block.heading));
                ensure!(listed, "neither run nor on the list of what is not");
                Ok(())
            }
        }
    }

    fn command(&mut self, line: &str) -> Result<()> {
        step(|| line.to_owned());
        if ENDLESS.contains(&line) {
            return self.start(line);
        }
        if let Some((begin, _)) = REDUCED.iter().find(|(begin, _)| line.starts_with(begin)) {
            self.done.push((*begin).to_owned());
        }
        let repository = repository();
        let repository = repository.display();
        let line = match line.split_once(' ') {
            Some(("make", targets)) => format!("make -n -C {repository} {targets}"),
            Some(("cargo", _)) => {
                format!("cargo pkgid --manifest-path {repository}/Cargo.toml -p walgate")
            }
            Some(("export", _)) => return Ok(()),
            _ => line.to_owned(),
        };
        let output = self.shell(&line).output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{line}: {}: {stderr}",
            output.status
        );
        let silent = [" run", " > ", " record "]
            .iter()
            .any(|part| line.contains(part));
        ensure!(silent || !output.stdout.is_empty(), "{line} says nothing");
        // A new slot is worth a warning, always.
        let alarms = alarms(&stderr, &["created slot"]);
        ensure!(alarms.is_empty(), "{line}: {alarms:?}");
        Ok(())
    }

    /// A shell as a reader has it: the built program on PATH, the database in the environment.
    fn shell(&self, line: &str) -> Command {
        let mut path = program()
            .parent()
            .map(Path::to_owned)
            .unwrap_or_default()
            .into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new("sh");
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG")) {
            command.env_remove(name);
        }
        command
            .args(["-c", &format!("exec {line}")])
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env("DATABASE_URL", &self.url)
            .stdin(Stdio::null());
        command
    }

    /// Starts what goes on until a signal. `run` has nothing to show: it is ended once it streams.
    fn start(&mut self, line: &str) -> Result<()> {
        let mut command = self.shell(line);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        self.running = Some(child);
        let query = "select 1 from pg_replication_slots where active and database = 'readme'";
        let deadline = Instant::now() + PATIENCE;
        while self.sql.query(query, &[])?.is_empty() {
            ensure!(Instant::now() < deadline, "{line} does not stream");
            thread::sleep(Duration::from_millis(5));
        }
        if line.starts_with("walgate run") {
            return self.end(0);
        }
        Ok(())
    }

    /// Ends the endless command with Ctrl-C once it has shown `lines` lines.
    fn end(&mut self, lines: usize) -> Result<()> {
        let mut child = self.running.take().context("nothing runs")?;
        let mut stdout = BufReader::new(child.stdout.take().context("its output")?);
        for _ in 0..lines {
            let mut line = String::new();
            stdout.read_line(&mut line)?;
            ensure!(line.contains("orders"), "shown: {line:?}");
        }
        let sent = Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status()?;
        ensure!(sent.success(), "it has ended by itself");
        let mut stderr = String::new();
        child
            .stderr
            .take()
            .context("its errors")?
            .read_to_string(&mut stderr)?;
        let status = child.wait()?;
        ensure!(status.success(), "{status}: {stderr}");
        Ok(())
    }

    fn execute(&mut self, script: &str) -> Result<()> {
        let statements = statements(script);
        for statement in &statements {
            self.sql
                .batch_execute(statement)
                .context(statement.clone())?;
        }
        if self.running.is_some() {
            self.end(statements.len())?;
        }
        Ok(())
    }

    /// Writes a file under the name in its first line, and has the program check it.
    fn configuration(&mut self, text: &str) -> Result<()> {
        let name = text.lines().next().and_then(|line| line.strip_prefix("# "));
        let Some(name) = name else {
            bail!("the first line names the file");
        };
        let text = text.replace("localhost:9092", &self.bootstrap);
        std::fs::write(self.folder.path().join(name), text)?;
        self.command(&format!("walgate config check -c {name}"))
    }

    /// The events that the README has sent to Kafka.
    fn the_topic_holds_the_events(&self) -> Result<()> {
        let mut events = Vec::new();
        for partition in records(&self.bootstrap, "public.orders")? {
            events.extend(partition.into_iter().filter_map(|record| record.value));
        }
        for (op, status) in [("insert", "new"), ("update", "paid")] {
            let op = format!("\"op\":\"{op}\"");
            let row = format!("\"after\":{{\"id\":3,\"status\":\"{status}\"");
            let found = events
                .iter()
                .any(|event| event.contains(&op) && event.contains(&row));
            ensure!(found, "no {op} with {row} in {events:?}");
        }
        Ok(())
    }

    /// What the RDS section grants is enough: the attribute stands in for `rds_replication`.
    fn the_role_of_rds_can_read(&mut self) -> Result<()> {
        self.sql.batch_execute("alter role walgate replication")?;
        let url = self.url.replace("postgres@", "walgate@");
        ensure!(url != self.url, "the url names the superuser");
        let line = format!("walgate tail '{url}' --publication shop --until now --schema-events");
        let output = self.shell(&line).output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }
}

fn follow_the_readme() -> Result<()> {
    let mut reader = Reader::new()?;
    for block in blocks(&read("README.md")) {
        let place = || format!("README.md:{} ({})", block.line, block.heading);
        reader.follow(&block).with_context(place)?;
        if block.heading == "Into Kafka" && block.language == "console" {
            reader.the_topic_holds_the_events().with_context(place)?;
        }
        if block.heading == "Amazon RDS" && block.language == "toml" {
            reader.the_role_of_rds_can_read().with_context(place)?;
        }
    }
    ensure!(
        reader.running.is_none(),
        "an endless command is behind the last SQL block"
    );
    for (heading, language, why) in NOT_RUN {
        let name = format!("{heading} {language}");
        ensure!(
            reader.done.contains(&name),
            "the list has {name} ({why}), the README not"
        );
    }
    for (begin, why) in REDUCED {
        let used = reader.done.iter().any(|done| done == begin);
        ensure!(used, "the list has {begin} ({why}), the README not");
    }
    drop(reader.sql);
    Ok(())
}

#[test]
fn readme_is_true() {
    follow_the_readme().unwrap_or_else(|error| panic!("{error:#}"));
}

/// Only what was measured is claimed.
#[test]
fn readme_has_the_figures_of_the_results() {
    let (readme, results) = (read("README.md"), read("bench/RESULTS.md"));
    let (_, section) = readme
        .split_once("## What it costs\n")
        .expect("the section");
    let (section, _) = section.split_once("\n## ").expect("the next one");
    let measured: Vec<&str> = results.split([' ', '(', ')', '\n']).collect();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let cells = rows.flat_map(|row| row.split('|').map(str::trim));
    let figures: Vec<&str> = cells.filter(|cell| cell.parse::<f64>().is_ok()).collect();
    assert!(figures.len() > 20, "{figures:?}");
    for figure in figures {
        assert!(
            measured.contains(&figure),
            "{figure} is not in bench/RESULTS.md"
        );
    }
}

#[test]
fn readme_lists_the_exit_codes_of_the_program() {
    let help = Command::new(program())
        .arg("--help")
        .output()
        .expect("walgate runs");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let (_, codes) = help.split_once("Exit codes:\n").expect("the codes");
    let readme = read("README.md");
    for line in codes.lines() {
        let (code, meaning) = line
            .trim()
            .split_once("  ")
            .expect("a code and its meaning");
        let row = format!("| {code} | {meaning} |");
        assert!(readme.contains(&row), "README.md lacks {row}");
    }
}

/// All sources of the crates, as one text.
fn sources(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&std::fs::read_to_string(&path).expect("a source"));
        }
    }
}

/// Text in back-quotes, line by line.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn readme_quotes_errors_that_exist() {
    let mut code = String::new();
    sources(&repository().join("crates"), &mut code);
    let readme = read("README.md");
    let (_, section) = readme
        .split_once("## Troubleshooting")
        .expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let errors = section.lines().filter(|line| line.starts_with("**`"));
    let mut seen = 0;
    for error in errors.flat_map(|line| quoted(line).take(1)) {
        // Names and states of the example stand in for what the program fills in.
        let parts = error.split(['…']).flat_map(|part| {
            ["walgate", "replica,"]
                .iter()
                .find_map(|filled| part.split_once(filled))
                .map_or_else(|| vec![part], |(before, after)| vec![before, after])
        });
        for part in parts.map(str::trim).filter(|part| part.len() > 3) {
            assert!(code.contains(part), "no error says {part:?}");
        }
        seen += 1;
    }
    assert!(seen >= 6, "{seen} errors");
}

#[test]
fn rds_is_named_as_the_hints_name_it() {
    let mut code = String::new();
    sources(&repository().join("crates"), &mut code);
    let readme = read("README.md");
    for name in [
        "rds.logical_replication",
        "rds.iam_auth_for_replication",
        "rds_replication",
    ] {
        assert!(readme.contains(name) && code.contains(name), "{name}");
    }
}

#[test]
fn links_of_the_documents_lead_somewhere() {
    for file in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "crates/README.md",
        "crates/walgate-format/README.md",
    ] {
        let text = read(file);
        let path = repository().join(file);
        let folder = path.parent().expect("a folder");
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap_or_default();
            if target.starts_with("http") || target.is_empty() {
                continue;
            }
            assert!(folder.join(target).exists(), "{file} links to {target}");
        }
    }
}
