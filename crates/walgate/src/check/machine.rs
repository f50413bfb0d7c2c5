//! This machine: the address to listen on, and the folders.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use walgate_slot::check::Finding;

use crate::config::{Config, Http};
use crate::control::{Command, ask};
use crate::http::certificate;

/// Judges what a start needs here.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    let mut findings = vec![state_dir(&config.state.dir)];
    if let Some(listen) = &config.http.listen {
        let runs = || ask(&config.state.dir, &Command::Status).is_ok();
        findings.push(address(listen, runs));
        findings.extend(tls(&config.http));
    }
    findings
}

/// The start makes it, and its parents.
fn state_dir(dir: &Path) -> Finding {
    const CHECK: &str = "state_dir";
    let nearest = nearest(dir);
    let shown = dir.display();
    let wrong = |problem: String| {
        Finding::fail(
            CHECK,
            problem,
            "what was delivered can't be remembered: the start stops at it",
            format!("mkdir -p {shown}, owned by who runs Walgate; or another [state] dir"),
        )
    };
    if !nearest.is_dir() {
        return wrong(format!("{} is no folder", nearest.display()));
    }
    match access(&nearest, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) if nearest == dir => Finding::pass(CHECK, format!("{shown} can be written to")),
        Ok(()) => Finding::pass(
            CHECK,
            format!("{shown} is not there; the first start makes it"),
        ),
        Err(error) => wrong(format!(
            "{} can't be written to: {error}",
            nearest.display()
        )),
    }
}

/// The path itself, or the nearest of its parents that is there.
pub(super) fn nearest(path: &Path) -> PathBuf {
    let there = path.ancestors().find(|path| path.exists());
    let there = there.filter(|path| !path.as_os_str().is_empty());
    there.unwrap_or_else(|| Path::new(".")).to_owned()
}

/// `runs`: whether the Walgate of this configuration does.
fn address(listen: &str, runs: impl FnOnce() -> bool) -> Finding {
    const CHECK: &str = "http_listen";
    match TcpListener::bind(listen) {
        Ok(_) => Finding::pass(CHECK, format!("{listen} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && runs() => {
            Finding::pass(CHECK, format!("{listen} is used by the Walgate that runs"))
        }
        Err(error) => Finding::fail(
            CHECK,
            format!("can't listen on {listen}: {error}"),
            "the start stops at it",
            "give [http] listen an address of this machine, and a port that is free (ss -ltnp)",
        ),
    }
}

fn tls(http: &Http) -> Option<Finding> {
    const CHECK: &str = "http_tls";
    let failure = match certificate(http)? {
        Ok(()) => return Some(Finding::pass(CHECK, "certificate and key belong together")),
        Err(failure) => failure,
    };
    Some(Finding::fail(
        CHECK,
        failure.message,
        "the start stops at it",
        failure.hint.unwrap_or_default(),
    ))
}

#[cfg(test)]
mod tests {
    use walgate_slot::check::Level;

    use super::*;

    #[test]
    fn a_folder_that_can_be_made_is_good_and_a_file_in_its_place_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        assert_eq!(state_dir(folder.path()).level, Level::Pass);
        let new = state_dir(&path("a/b/c"));
        assert_eq!(new.level, Level::Pass);
        assert!(new.seen.ends_with("the first start makes it"), "{new:?}");
        std::fs::write(path("file"), "").expect("written");
        for taken in ["file", "file/state"] {
            let found = state_dir(&path(taken));
            assert_eq!(found.level, Level::Fail, "{found:?}");
            assert!(found.seen.ends_with("file is no folder"), "{found:?}");
        }
    }

    #[test]
    fn an_address_in_use_is_good_only_when_it_is_our_own() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let listen = taken.local_addr().expect("an address").to_string();
        let found = address(&listen, || false);
        assert_eq!(found.level, Level::Fail);
        assert!(found.seen.contains("in use"), "{found:?}");
        assert_eq!(address(&listen, || true).level, Level::Pass);
        drop(taken);
        assert_eq!(address(&listen, || false).level, Level::Pass);
        // Not of this machine (RFC 5737).
        assert_eq!(address("192.0.2.1:9187", || true).level, Level::Fail);
    }
}
