//! Programs in other languages: their sources are in `bench/peers`, and are built beside the figures.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::say;

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");

/// In the checkout, from wherever the program is called.
const BUILT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench/peers");

/// What npm has installed, in the folder in which it has.
const INSTALLED: &str = "node_modules/.installed";

/// The folder in which one was built.
pub(crate) fn built(name: &str) -> Result<PathBuf> {
    let folder = Path::new(BUILT).join(name);
    std::fs::canonicalize(&folder).with_context(|| format!("{} is not built", folder.display()))
}

/// Builds one with this command.
pub(crate) fn build(name: &str, program: &str, arguments: &[&str]) -> Result<()> {
    let folder = Path::new(BUILT).join(name);
    std::fs::create_dir_all(&folder)?;
    copy(&Path::new(SOURCES).join(name), &folder)?;
    say(&format!("building {name}"));
    let status = Command::new(program)
        .args(arguments)
        .current_dir(&folder)
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("{name} needs {program}: deploy/setup.sh peers"))?;
    ensure!(status.success(), "{program} of {name} ended with {status}");
    Ok(())
}

/// Installs the packages of one for Node, unless just these are there.
pub(crate) fn install(name: &str) -> Result<()> {
    let wanted = std::fs::read(Path::new(SOURCES).join(name).join("package-lock.json"))?;
    let folder = Path::new(BUILT).join(name);
    let installed = folder.join(INSTALLED);
    if std::fs::read(&installed).is_ok_and(|there| there == wanted) {
        return copy(&Path::new(SOURCES).join(name), &folder);
    }
    build(name, "npm", &["ci", "--no-audit", "--no-fund", "--silent"])?;
    std::fs::write(&installed, wanted).with_context(|| installed.display().to_string())
}

/// Copies a folder of sources: what is built does not go beside them.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            std::fs::create_dir_all(&target)?;
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
