//! Scenario files: SQL in, events out.
//!
//! A file shows one behaviour. Lines that begin with `--!` divide it:
//!
//! ```sql
//! -- What it shows, in a sentence.
//! --! versions 15,16,17,18      (optional: only on these)
//! --! args --transactions       (optional: more arguments for `walgate tail`)
//! --! setup
//! create table t (…);
//! create publication walgate for table t;
//! --! run
//! insert into t …;
//! --! session b                 (optional: what follows runs in another session)
//! --! expect                    (or: expect 14,15)
//! {"id":"1.2","op":"insert",…}
//! ```
//!
//! The slot is made between setup and run. Expected lines are as [`compact`](crate::compact)
//! leaves them. `WALGATE_BLESS=1` writes them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use walgate_throwaway::PgVersion;

use crate::{
    Bed, Program, alarms, compact, database, file_sink, journal_on_disk, quiet, run_script, session,
};

/// A scenario file.
#[derive(Debug, Default)]
pub struct Scenario {
    name: String,
    versions: Vec<String>,
    args: Vec<String>,
    setup: String,
    run: Vec<(String, String)>,
    expect: Vec<(Vec<String>, Vec<String>)>,
    text: String,
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When it can't be read or a directive is not known.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .context("a name")?
            .to_owned();
        let mut scenario = Self {
            name,
            text: text.clone(),
            ..Self::default()
        };
        let mut part = String::new();
        for line in text.lines() {
            if let Some(directive) = line.strip_prefix("--!") {
                part = scenario.directive(directive.trim())?;
                continue;
            }
            match part.as_str() {
                "setup" => scenario.setup.push_str(&format!("{line}\n")),
                "run" => {
                    let (_, script) = scenario.run.last_mut().context("a run")?;
                    script.push_str(&format!("{line}\n"));
                }
                "expect" if !line.trim().is_empty() => {
                    let (_, lines) = scenario.expect.last_mut().context("an expect")?;
                    lines.push(line.to_owned());
                }
                _ => {}
            }
        }
        ensure!(!scenario.run.is_empty(), "a scenario runs something");
        Ok(scenario)
    }

    fn directive(&mut self, directive: &str) -> Result<String> {
        let (word, rest) = directive.split_once(' ').unwrap_or((directive, ""));
        let list = || {
            rest.split([',', ' '])
                .filter(|v| !v.is_empty())
                .map(str::to_owned)
                .collect()
        };
        match word {
            "versions" => self.versions = list(),
            "args" => self.args = rest.split_whitespace().map(str::to_owned).collect(),
            "setup" => {}
            "run" => self.run.push((String::new(), String::new())),
            "session" => {
                self.run.push((rest.to_owned(), String::new()));
                return Ok("run".into());
            }
            "expect" => self.expect.push((list(), Vec::new())),
            other => bail!("there is no directive {other}"),
        }
        Ok(word.to_owned())
    }

    /// Whether it says something about that version.
    pub fn applies_to(&self, version: PgVersion) -> bool {
        self.versions.is_empty() || self.versions.contains(&version.to_string())
    }

    fn expected(&self, version: PgVersion) -> &[String] {
        let version = version.to_string();
        let own = self
            .expect
            .iter()
            .find(|(versions, _)| versions.contains(&version));
        let any = || self.expect.iter().find(|(versions, _)| versions.is_empty());
        own.or_else(any).map_or(&[], |(_, lines)| lines)
    }

    /// Runs it on a server of that version and returns the events, compacted.
    ///
    /// # Errors
    ///
    /// When a statement fails, or the program does or raises an alarm.
    pub fn events(&self, version: PgVersion) -> Result<Vec<String>> {
        let name = format!("s_{}", self.name);
        let url = database(version, &name)?;
        let mut client = session(&url)?;
        run_script(&mut client, &self.setup)?;
        client.batch_execute(&format!(
            "select pg_create_logical_replication_slot('{name}', 'pgoutput')"
        ))?;
        let mut sessions = BTreeMap::from([(String::new(), client)]);
        for (who, script) in &self.run {
            if !sessions.contains_key(who) {
                sessions.insert(who.clone(), session(&url)?);
            }
            let client = sessions.get_mut(who).context("a session")?;
            run_script(client, script)?;
        }
        let mut args = vec!["tail", &url, "--slot", &name, "--publication", "walgate"];
        args.extend(["--until", "now", "--format", "json"]);
        args.extend(self.args.iter().map(String::as_str));
        let ended = Program::start(args)?.wait()?;
        let drop = format!("select pg_drop_replication_slot('{name}')");
        session(&url)?
            .batch_execute(&drop)
            .context("drop the slot")?;
        ensure!(
            ended.status.success(),
            "walgate ended with {}: {}",
            ended.status,
            ended.stderr
        );
        let alarms = alarms(&ended.stderr, &[]);
        ensure!(alarms.is_empty(), "unexpected in the log: {alarms:#?}");
        compact(&ended.lines)
    }

    /// Runs it and compares.
    ///
    /// # Errors
    ///
    /// With both sides, when they differ.
    pub fn check(&self, version: PgVersion) -> Result<()> {
        let events = self.events(version)?;
        let expected = self.expected(version);
        if events == expected {
            return Ok(());
        }
        let difference = events
            .iter()
            .zip(expected)
            .position(|(got, want)| got != want);
        let at = difference.unwrap_or_else(|| events.len().min(expected.len()));
        bail!(
            "{} on {version} differs at line {}:\n  expected {}\n  got      {}\nall events:\n{}",
            self.name,
            at + 1,
            expected.get(at).map_or("(nothing)", |line| line),
            events.get(at).map_or("(nothing)", |line| line),
            events.join("\n")
        );
    }

    /// Runs it once and reads it twice, each time with a journal on disk: with transactions that
    /// come while they run, as far as the server sends any so, and without. What the service writes
    /// has to be the same to the byte.
    ///
    /// # Errors
    ///
    /// When a statement or the program fails, or the two differ.
    pub fn differential(&self, version: PgVersion) -> Result<()> {
        let name = format!("d_{}", self.name);
        let url = database(version, &name)?;
        if version >= PgVersion::V16 {
            // As soon as there is a change, whatever its size.
            session(&url)?.batch_execute(&format!(
                "alter database {name} set debug_logical_replication_streaming = 'immediate'"
            ))?;
        }
        let mut plain = Bed::at(url.clone(), &format!("{name}_plain"), &self.setup)?;
        let mut streamed = Bed::at(url.clone(), &format!("{name}_streamed"), "")?;
        for (bed, streaming) in [(&mut plain, false), (&mut streamed, true)] {
            bed.source = "logical_decoding_work_mem = \"64KiB\"".to_owned();
            bed.more = journal_on_disk(&format!("streaming = {streaming}\nspool_memory = \"0B\""));
            bed.configure(&file_sink(&bed.path("all.ndjson")))?;
            session(&url)?.batch_execute(&format!(
                "select pg_create_logical_replication_slot('{}', 'pgoutput')",
                bed.name
            ))?;
        }
        let mut sessions = BTreeMap::new();
        for (who, script) in &self.run {
            if !sessions.contains_key(who) {
                sessions.insert(who.clone(), session(&url)?);
            }
            let client = sessions.get_mut(who).context("a session")?;
            run_script(client, script)?;
        }
        let mut written = Vec::new();
        for bed in [&plain, &streamed] {
            let ended = bed.run_until_now()?;
            ensure!(
                ended.status.success(),
                "{}: walgate ended with {}: {}",
                bed.name,
                ended.status,
                ended.stderr
            );
            quiet(&ended.stderr, &["nothing is known about it"])?;
            let text = std::fs::read_to_string(bed.path("all.ndjson")).unwrap_or_default();
            written.push(text);
        }
        let lines = |place: usize| written.get(place).into_iter().flat_map(|text| text.lines());
        let differs = lines(0).zip(lines(1)).find(|(plain, other)| plain != other);
        if let Some((plain, other)) = differs {
            bail!(
                "{} on {version}:\n  plain    {plain}\n  streamed {other}",
                self.name
            );
        }
        ensure!(
            lines(0).count() == lines(1).count(),
            "{} on {version}: {} events, streamed {}",
            self.name,
            lines(0).count(),
            lines(1).count()
        );
        Ok(())
    }

    /// The file's text with `events` as what is expected on every version.
    pub fn blessed(&self, events: &[String]) -> String {
        let head = self.text.split("\n--! expect").next().unwrap_or_default();
        format!("{head}\n--! expect\n{}\n", events.join("\n"))
    }
}
