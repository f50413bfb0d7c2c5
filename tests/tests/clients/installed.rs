//! Libraries of other languages, each in one pinned version, in a folder of the build.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use walgate_tests::program;

const WEBSOCKETS: &str = "websockets==15.0.1";
const WS: &str = "ws@8.18.3";

/// One installation at a time.
static INSTALLING: Mutex<()> = Mutex::new(());

/// A Python with `websockets`.
pub(super) fn python() -> Result<PathBuf> {
    let folder = folder(WEBSOCKETS)?;
    let python = folder.join("bin/python");
    once(&folder, || {
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder))
        .context("python3 with its module venv is needed: deploy/setup.sh clients")?;
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ];
        run(Command::new(&python).args(pip).arg(WEBSOCKETS))
    })?;
    Ok(python)
}

/// The folder of modules for Node with `ws`.
pub(super) fn node_modules() -> Result<PathBuf> {
    let folder = folder(WS)?;
    once(&folder, || {
        std::fs::create_dir_all(&folder)?;
        let npm = [
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--no-save",
        ];
        run(Command::new("npm").current_dir(&folder).args(npm).arg(WS))
            .context("npm is needed: deploy/setup.sh npm")
    })?;
    Ok(folder.join("node_modules"))
}

/// A folder for this version of a library.
fn folder(library: &str) -> Result<PathBuf> {
    let program = program();
    let target = program
        .ancestors()
        .nth(2)
        .context("the folder of the build")?;
    Ok(target.join("clients").join(library))
}

/// Fills a folder unless it was filled whole before.
fn once(folder: &Path, fill: impl FnOnce() -> Result<()>) -> Result<()> {
    let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    let whole = folder.join("whole");
    if !whole.exists() {
        fill()?;
        std::fs::write(whole, "")?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("run {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
