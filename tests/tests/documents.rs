//! What the documents for contributors name is there: paths, crates, targets of make, tests and
//! variables. README.md has tests of its own.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

const DOCUMENTS: &[&str] = &["ARCHITECTURE.md", "CONTRIBUTING.md", "crates/README.md"];

fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent()
        .expect("the tests lie in the repository")
        .into()
}

fn read(file: &str) -> String {
    std::fs::read_to_string(repository().join(file)).expect(file)
}

/// The first group of `pattern`, wherever it occurs in a document.
fn named(pattern: &str) -> BTreeSet<(&'static str, String)> {
    let pattern = Regex::new(pattern).expect(pattern);
    let mut named = BTreeSet::new();
    for document in DOCUMENTS {
        for found in pattern.captures_iter(&read(document)) {
            named.insert((*document, found[1].to_owned()));
        }
    }
    assert!(named.len() > 1, "{pattern} finds nothing");
    named
}

/// The source of every program and test.
fn sources() -> String {
    let mut text = String::new();
    let mut folders = vec![repository().join("crates"), repository().join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && path.file_name().is_none_or(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&std::fs::read_to_string(&path).expect("a source"));
            }
        }
    }
    text
}

fn assert_none(wrong: &[(&str, String)]) {
    assert!(wrong.is_empty(), "named and not there: {wrong:#?}");
}

#[test]
fn every_path_is_there() {
    // In code spans, relative to the repository or to the document; and files of the top level in
    // plain text. Links are looked at with those of the README.
    let mut paths = named(r"`((?:\.?[\w-][\w.-]*/)+[\w.-]*)`");
    paths.extend(named(r"\b([A-Z]+\.md)\b"));
    let wrong: Vec<_> = paths
        .into_iter()
        .filter(|(document, path)| {
            let beside = repository().join(document).with_file_name(path);
            !beside.exists() && !repository().join(path).exists()
        })
        .collect();
    assert_none(&wrong);
}

#[test]
fn every_crate_is_there_and_on_the_map() {
    let known: BTreeSet<String> = std::fs::read_dir(repository().join("crates"))
        .expect("crates")
        .map(|entry| entry.expect("an entry"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let named = named(r"`(walgate(?:-[a-z]+)+)`");
    let wrong: Vec<_> = named
        .iter()
        .filter(|(_, name)| !known.contains(name))
        .cloned()
        .collect();
    assert_none(&wrong);
    let map = read("ARCHITECTURE.md");
    for name in &known {
        let found = map.contains(&format!("`{name}`"));
        assert!(found, "{name} is not in ARCHITECTURE.md");
    }
}

#[test]
fn every_target_of_make_is_there() {
    let makefile = read("Makefile");
    let wrong: Vec<_> = named(r"[`$] ?make ([a-z][a-z-]*)")
        .into_iter()
        .filter(|(_, target)| !makefile.contains(&format!("\n{target}: ")))
        .collect();
    assert_none(&wrong);
}

#[test]
fn every_test_and_every_variable_is_there() {
    let sources = sources();
    let mut wrong: Vec<_> = named(r"cargo test -p [a-z-]+ (\w+)")
        .into_iter()
        .filter(|(_, test)| !sources.contains(&format!("fn {test}")))
        .collect();
    // `WALGATE_TEST_PG_17` stands for one variable of each version.
    let variables = named(r"\b(WALGATE_[A-Z_]*[A-Z])");
    wrong.extend(
        variables
            .into_iter()
            .filter(|(_, name)| !sources.contains(&format!("\"{name}"))),
    );
    assert_none(&wrong);
}
