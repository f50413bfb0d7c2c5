//! The unit of systemd, on systems that have it.
#![cfg(target_os = "linux")]

use anyhow::Result;
use walgate_tests::program;

use super::{content, deploy, read, tool};

/// The most that `systemd-analyze security` may find exposed, in tenths: "OK" ends at 5.
const EXPOSURE: &str = "20";

#[test]
fn the_unit_is_sound() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let unit = folder.path().join("walgate.service");
    let built = program().display().to_string();
    let text = read("systemd/walgate.service")?;
    std::fs::write(&unit, text.replace("/usr/local/bin/walgate", &built))?;
    let mut verify = tool("systemd-analyze")?;
    content(verify.args(["verify", "--man=no"]).arg(unit))?;
    Ok(())
}

#[test]
fn the_unit_is_hardened() -> Result<()> {
    let mut security = tool("systemd-analyze")?;
    security.args(["security", "--offline=true", "--no-pager"]);
    security.arg(format!("--threshold={EXPOSURE}"));
    content(security.arg(deploy("systemd/walgate.service")))?;
    Ok(())
}
