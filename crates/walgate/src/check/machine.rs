//! This machine: the address to listen on, and the folders.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use walgate_slot::check::Finding;

use crate::config::{Config, Destination};
use crate::control::{Command, ask};
use crate::http::TlsFiles;

/// Judges what a start needs here.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    let mut findings = vec![state_dir(&config.state.dir)];
    let runs = || ask(&config.state.dir, &Command::Status).is_ok();
    let http = &config.http;
    if let Some(listen) = &http.listen {
        findings.push(address("http_listen", "[http]", listen, runs));
        let pair = http.tls_cert.as_ref().zip(http.tls_key.as_ref());
        let files = pair.map(|(cert, key)| TlsFiles::of_server(cert, key));
        findings.extend(files.map(|files| tls("http_tls", "[http]", &files)));
    }
    for (name, sink) in &config.sinks {
        let Destination::Websocket(push) = &sink.destination else {
            continue;
        };
        let section = format!("[sinks.{name}]");
        findings.push(address("push_listen", &section, &push.listen, runs));
        let files = crate::wiring::push_tls(push);
        findings.extend(files.map(|files| tls("push_tls", &section, &files)));
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
fn address(
    check: &'static str,
    section: &str,
    listen: &str,
    runs: impl FnOnce() -> bool,
) -> Finding {
    match TcpListener::bind(listen) {
        Ok(_) => Finding::pass(check, format!("{section}: {listen} is free")),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && runs() => Finding::pass(
            check,
            format!("{section}: {listen} is used by the Walgate that runs"),
        ),
        Err(error) => Finding::fail(
            check,
            format!("{section}: can't listen on {listen}: {error}"),
            "the start stops at it",
            format!(
                "give {section} listen an address of this machine, and a port that is free (ss -ltnp)"
            ),
        ),
    }
}

fn tls(check: &'static str, section: &str, files: &TlsFiles) -> Finding {
    match files.check() {
        Ok(()) => Finding::pass(
            check,
            format!("{section}: certificate and key belong together"),
        ),
        Err(failure) => Finding::fail(
            check,
            format!("{section}: {}", failure.message),
            "the start stops at it",
            failure.hint.unwrap_or_default(),
        ),
    }
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
        fn of(listen: &str, runs: impl FnOnce() -> bool) -> Finding {
            address("http_listen", "[http]", listen, runs)
        }
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let listen = taken.local_addr().expect("an address").to_string();
        let found = of(&listen, || false);
        assert_eq!(found.level, Level::Fail);
        assert!(found.seen.contains("in use"), "{found:?}");
        assert_eq!(of(&listen, || true).level, Level::Pass);
        drop(taken);
        assert_eq!(of(&listen, || false).level, Level::Pass);
        // Not of this machine (RFC 5737).
        assert_eq!(of("192.0.2.1:9187", || true).level, Level::Fail);
    }
    #[test]
    fn push_is_looked_at_as_http_is() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let folder = tempfile::tempdir().expect("a folder");
        let made = rcgen::generate_simple_self_signed(["x".to_owned()]).expect("a certificate");
        let file = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let cert = file("tls.crt", made.cert.pem());
        let (key, wrong) = (
            file("tls.key", made.signing_key.serialize_pem()),
            file("wrong", "no key".to_owned()),
        );
        let mut config = Config::default();
        config.state.dir = folder.path().to_owned();
        for (name, key) in [("good", &key), ("bad", &wrong)] {
            let listen = taken.local_addr().expect("an address");
            let sink = format!(
                "type = \"websocket\"\ndelivery = \"live-only\"\nlisten = \"{listen}\"\n\
                 tls_cert = {cert:?}\ntls_key = {key:?}"
            );
            let sink = toml::from_str(&sink).expect("a sink");
            config.sinks.insert(name.to_owned(), sink);
        }
        let found = check(&config);
        let levels: Vec<_> = found.iter().map(|one| (one.check, one.level)).collect();
        let expected = [
            ("state_dir", Level::Pass),
            ("push_listen", Level::Fail),
            ("push_tls", Level::Fail),
            ("push_listen", Level::Fail),
            ("push_tls", Level::Pass),
        ];
        assert_eq!(levels, expected, "{found:?}");
        assert!(found[1].seen.starts_with("[sinks.bad]: can't listen on"));
    }
}
