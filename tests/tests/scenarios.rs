//! Every scenario file on every supported version.

use std::path::PathBuf;

use walgate_tests::{Scenario, versions};

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

/// Runs all scenarios on one version; all failures are reported at once.
fn run(version: walgate_throwaway::PgVersion) {
    if !versions().contains(&version) {
        return;
    }
    let bless = std::env::var_os("WALGATE_BLESS").is_some();
    let mut failures = Vec::new();
    for file in files() {
        let scenario =
            Scenario::read(&file).unwrap_or_else(|error| panic!("{}: {error:#}", file.display()));
        if !scenario.applies_to(version) {
            continue;
        }
        if bless {
            match scenario.events(version) {
                Ok(events) => {
                    std::fs::write(&file, scenario.blessed(&events)).expect("a blessed file");
                }
                Err(error) => failures.push(format!("{}: {error:#}", file.display())),
            }
        } else if let Err(error) = scenario.check(version) {
            failures.push(format!("{}: {error:#}", file.display()));
        }
    }
    assert!(
        failures.is_empty(),
        "{} scenarios failed:\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

/// Reads each scenario with and without transactions that come while they run: on 14 and 15 only
/// those that are large, later all of them.
fn stream(version: walgate_throwaway::PgVersion) {
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
        if let Err(error) = scenario.differential(version) {
            failures.push(format!("{}: {error:#}", file.display()));
        }
    }
    assert!(
        failures.is_empty(),
        "{} scenarios differ when they are streamed:\n{}",
        failures.len(),
        failures.join("\n\n")
    );
}

#[test]
fn scenarios_streamed_on_14() {
    stream(walgate_throwaway::PgVersion::V14);
}

#[test]
fn scenarios_streamed_on_15() {
    stream(walgate_throwaway::PgVersion::V15);
}

#[test]
fn scenarios_streamed_on_16() {
    stream(walgate_throwaway::PgVersion::V16);
}

#[test]
fn scenarios_streamed_on_17() {
    stream(walgate_throwaway::PgVersion::V17);
}

#[test]
fn scenarios_streamed_on_18() {
    stream(walgate_throwaway::PgVersion::V18);
}

#[test]
fn scenarios_on_14() {
    run(walgate_throwaway::PgVersion::V14);
}

#[test]
fn scenarios_on_15() {
    run(walgate_throwaway::PgVersion::V15);
}

#[test]
fn scenarios_on_16() {
    run(walgate_throwaway::PgVersion::V16);
}

#[test]
fn scenarios_on_17() {
    run(walgate_throwaway::PgVersion::V17);
}

#[test]
fn scenarios_on_18() {
    run(walgate_throwaway::PgVersion::V18);
}
