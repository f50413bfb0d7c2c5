//! A script in Node that drives a page or a client, and asks the test for what only it can do.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use walgate_tests::{Bed, Program, stop};
use walgate_throwaway::FaultProxy;

use super::repository;
use crate::push::address;

/// Only bounds a script that hangs: on a busy machine a browser alone takes many seconds to start.
const PATIENCE: Duration = Duration::from_secs(400);

/// Installs what `package-lock.json` of this folder of the repository names, once for each run, and gives
/// the folder that it is in.
pub(crate) fn installed(folder: &str) -> Result<PathBuf> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let from = repository().join(folder);
    let into = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder.replace('/', "-"));
    fs::create_dir_all(&into)?;
    let lock = fs::read(from.join("package-lock.json"))?;
    let done = into.join("installed.json");
    if fs::read(&done).is_ok_and(|installed| installed == lock) {
        return Ok(into);
    }
    for name in ["package.json", "package-lock.json", ".npmrc"] {
        fs::copy(from.join(name), into.join(name))?;
    }
    let npm = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&into)
        .output()
        .context("npm: run deploy/setup.sh npm")?;
    ensure!(
        npm.status.success(),
        "npm ci in {folder}: {}",
        String::from_utf8_lossy(&npm.stderr)
    );
    fs::write(done, lock)?;
    Ok(into)
}

/// The browser of the machine.
pub(crate) fn chromium() -> Result<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    let known = [
        "/usr/bin/chromium",
        "/usr/bin/chromium-browser",
        "/usr/bin/google-chrome",
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
    ];
    let known = known.into_iter().map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).flat_map(|folder| {
        ["chromium", "chromium-browser", "google-chrome"].map(|name| folder.join(name))
    });
    named
        .into_iter()
        .chain(known)
        .chain(on_path)
        .find(|path| path.exists())
        .context("there is no Chromium: run deploy/setup.sh browser")
}

/// A service behind an address that stays while it is started anew.
pub(crate) struct Stage {
    bed: Bed,
    proxy: FaultProxy,
    program: Option<Program>,
}

impl Stage {
    /// Starts the service of `bed`, whose only sink is a push server.
    pub(crate) fn start(bed: Bed) -> Result<Self> {
        bed.begin()?;
        let mut stage = Self {
            bed,
            proxy: FaultProxy::without_target()?,
            program: None,
        };
        stage.up()?;
        Ok(stage)
    }

    /// Where a page finds it.
    fn url(&self) -> String {
        format!("http://{}", self.proxy.address())
    }

    fn up(&mut self) -> Result<()> {
        let mut program = self.bed.serve()?;
        self.proxy.set_target(address(&mut program)?.parse()?);
        self.proxy.accept();
        self.program = Some(program);
        Ok(())
    }

    fn down(&mut self) -> Result<()> {
        let program = self.program.take().context("it does not run")?;
        // That is what it says when it has forgotten everything.
        stop(program, &["nothing is known about it"]).map(drop)
    }

    /// Does what the script asks for.
    fn act(&mut self, asked: &Value) -> Result<Value> {
        let text = asked["text"].as_str().unwrap_or_default();
        match asked["do"].as_str().unwrap_or_default() {
            "sql" => self.bed.admin()?.batch_execute(text)?,
            // The first column of each row, as text.
            "query" => {
                let rows = self.bed.admin()?.query(text, &[])?;
                let values = rows.iter().map(|row| row.try_get::<_, String>(0));
                return Ok(json!(values.collect::<Result<Vec<_>, _>>()?));
            }
            "stop" => self.down()?,
            "start" => self.up()?,
            "cut" => self.proxy.cut(),
            "forget" => self.forget()?,
            other => bail!("the script asks for {other:?}"),
        }
        Ok(Value::Null)
    }

    /// A service that remembers nothing: what it had retained is gone.
    fn forget(&mut self) -> Result<()> {
        for folder in ["state", "journal"] {
            fs::remove_dir_all(self.bed.path(folder))?;
        }
        Ok(())
    }

    #[expect(clippy::print_stdout, reason = "what a script has measured")]
    /// Runs a script of the repository with Node until it ends well. What it prints is shown when it does not.
    pub(crate) fn run(&mut self, script: &str, environment: &[(&str, &str)]) -> Result<()> {
        let mut node = Command::new("node")
            .arg(repository().join(script))
            .env("WALGATE", self.url())
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("node: run deploy/setup.sh npm")?;
        let mut answers = node.stdin.take().context("stdin")?;
        let asked = BufReader::new(node.stdout.take().context("stdout")?);
        let errors = BufReader::new(node.stderr.take().context("stderr")?);
        let errors = thread::spawn(move || {
            let lines = errors.lines().map_while(Result::ok);
            lines.collect::<Vec<_>>().join("\n")
        });
        let (watched, pid) = (Instant::now(), node.id());
        let (done, is_done) = std::sync::mpsc::channel::<()>();
        // Its end closes the pipe that is read below.
        thread::spawn(move || {
            if is_done.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let _gone = Command::new("kill")
                    .args(["-KILL", &pid.to_string()])
                    .status();
            }
        });
        let mut said = Vec::new();
        for line in asked.lines() {
            let line = line?;
            let Some(text) = line.strip_prefix("ask ") else {
                said.push(line);
                continue;
            };
            let answer = match self.act(&serde_json::from_str(text)?) {
                Ok(value) => json!({ "value": value }),
                Err(error) => json!({ "error": format!("{error:#}") }),
            };
            if writeln!(answers, "{answer}").is_err() {
                break;
            }
        }
        let status = node.wait()?;
        drop(done);
        let errors = errors.join().unwrap_or_default();
        ensure!(
            status.success(),
            "{script} ended with {status} after {:?}\n{}\n{errors}\n{}",
            watched.elapsed(),
            said.join("\n"),
            self.program
                .as_ref()
                .map(Program::stderr)
                .unwrap_or_default(),
        );
        for line in said {
            println!("{line}");
        }
        Ok(())
    }

    /// Ends the service.
    pub(crate) fn end(mut self) -> Result<()> {
        self.down()
    }
}
