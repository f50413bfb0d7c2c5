//! What a configuration file may be: everything that users and editors do to it.

mod contradictions;
mod effective;
mod example;
mod files;
mod hostile;
mod reload;
mod substitution;
mod values;

use std::path::PathBuf;

use tempfile::TempDir;
use walgate::config::{Loaded, Overrides, Problems, Surroundings, load};
use walgate_connection::Environment;

/// What makes any other text a whole configuration.
const SINK: &str = "[sinks.out]\ntype = \"stdout\"\n";

/// A folder with a configuration.
struct Folder(TempDir);

impl Folder {
    fn with(text: impl AsRef<[u8]>) -> Self {
        let folder = Self(tempfile::tempdir().expect("a temporary folder"));
        folder.write("walgate.toml", text);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), text).expect("written");
    }

    fn load(&self) -> Result<Loaded, Problems> {
        load(
            Some(&self.path("walgate.toml")),
            &Overrides::default(),
            &surroundings(),
        )
    }
}

/// A machine of 8 GiB, with a user and a secret.
fn surroundings() -> Surroundings {
    let pairs = [
        ("PGUSER", "app"),
        ("SECRET", "geheim-geheim-geheim"),
        ("NUMBER", "7"),
        ("YES", "true"),
    ];
    Surroundings {
        environment: Environment::from_pairs(pairs),
        memory: Some(8 << 30),
    }
}

fn read(text: impl AsRef<[u8]>) -> Result<Loaded, Problems> {
    Folder::with(text).load()
}

/// Everything that is wrong, one line each: `line:column: message | hint`.
fn problems(text: impl AsRef<[u8]>) -> Vec<String> {
    match read(text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems
            .iter()
            .map(|problem| {
                let place = problem.place.as_ref();
                let place =
                    place.map_or_else(String::new, |at| format!("{}:{}: ", at.line, at.column));
                format!(
                    "{place}{} | {}",
                    problem.message,
                    problem.hint.as_deref().unwrap_or_default()
                )
            })
            .collect(),
    }
}

/// Asserts that there is exactly one problem, and that it says all of `parts`.
#[track_caller]
fn refused(text: &str, parts: &[&str]) {
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "{text}\n{problems:#?}");
    for part in parts {
        assert!(
            problems[0].contains(part),
            "{text}\n{:?} does not say {part:?}",
            problems[0]
        );
    }
}
