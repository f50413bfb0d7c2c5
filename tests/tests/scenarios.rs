//! Every scenario file on every supported version.

use std::path::{Path, PathBuf};

use anyhow::Result;
use walgate_tests::{Scenario, versions};
use walgate_throwaway::PgVersion;

fn files() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = std::fs::read_dir(&folder).expect("the scenarios' folder");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
    if let Ok(wanted) = std::env::var("WALGATE_SCENARIO") {
        files.retain(|file| file.to_string_lossy().contains(&wanted));
    }
    files.sort();
    assert!(!files.is_empty(), "no scenario in {}", folder.display());
    files
}

/// Does something with each scenario of a version; all failures are reported at once.
fn each(version: PgVersion, what: &str, act: impl Fn(&Scenario, &Path) -> Result<()>) {
    if !versions().contains(&version) {
        return;
    }
    let mut failures = Vec::new();
    for file in files() {
        let scenario =
            Scenario::read(&file).unwrap_or_else(|error| panic!("{}: {error:#}", file.display()));
        if !scenario.applies_to(version) {
            continue;
        }
        if let Err(error) = act(&scenario, &file) {
            failures.push(format!("{}: {error:#}", file.display()));
        }
    }
    assert!(
        failures.is_empty(),
        "{} scenarios {what}:\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

/// Runs all scenarios on one version.
fn run(version: PgVersion) {
    let bless = std::env::var_os("WALGATE_BLESS").is_some();
    each(version, "failed", |scenario, file| {
        if !bless {
            return scenario.check(version);
        }
        let events = scenario.events(version)?;
        std::fs::write(file, scenario.blessed(&events)).expect("a blessed file");
        Ok(())
    });
}

/// Reads each scenario with and without transactions that come while they run: on 14 and 15 only
/// those that are large, later all of them.
fn stream(version: PgVersion) {
    each(version, "differ when they are streamed", |scenario, _| {
        scenario.differential(version)
    });
}

#[test]
fn scenarios_streamed_on_14() {
    stream(PgVersion::V14);
}

#[test]
fn scenarios_streamed_on_15() {
    stream(PgVersion::V15);
}

#[test]
fn scenarios_streamed_on_16() {
    stream(PgVersion::V16);
}

#[test]
fn scenarios_streamed_on_17() {
    stream(PgVersion::V17);
}

#[test]
fn scenarios_streamed_on_18() {
    stream(PgVersion::V18);
}

#[test]
fn scenarios_on_14() {
    run(PgVersion::V14);
}

#[test]
fn scenarios_on_15() {
    run(PgVersion::V15);
}

#[test]
fn scenarios_on_16() {
    run(PgVersion::V16);
}

#[test]
fn scenarios_on_17() {
    run(PgVersion::V17);
}

#[test]
fn scenarios_on_18() {
    run(PgVersion::V18);
}
