//! From a file to a configuration.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use walgate_connection::Environment;

use super::bounded::{MAX_CONFIG_BYTES, read_text};
use super::check::check;
use super::connection::connection;
use super::document::{Node, Tree, read_document};
use super::problem::{Problem, Problems};
use super::rules::rules;
use super::{Config, Destination, Origin, Place, Secret, json_schema};

/// What a configuration depends on besides its file.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// For `${NAME}`, and for what a connection URL leaves out (`PG*`).
    pub environment: Environment,
    /// Memory of the machine in bytes, where it is known: no buffer may be larger.
    pub memory: Option<u64>,
}

impl Surroundings {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self {
            environment: Environment::process(),
            memory: machine_memory(),
        }
    }
}

/// What the command line says instead of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `source.url`.
    pub url: Option<Secret>,
    /// `source.slot`.
    pub slot: Option<String>,
    /// `source.publications`; empty: as the file says.
    pub publications: Vec<String>,
    /// Write to standard output, as a required sink named `stdout`: for a run without a file.
    pub to_stdout: bool,
}

/// A configuration with what it was made from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file, if there is one.
    pub path: Option<PathBuf>,
    pub(super) document: Node,
    /// As it was deserialized: without defaults, with secrets.
    pub(super) values: Value,
}

impl Loaded {
    /// Where the value of a key comes from (`&["source", "slot"]`).
    pub fn origin(&self, path: &[&str]) -> Origin {
        let found = path
            .iter()
            .try_fold(&self.document, |node, key| node.get(key));
        found.map_or(Origin::Default, |node| node.origin.clone())
    }

    /// Where a key stands, or the nearest table around it: for problems that are found later.
    pub fn place(&self, path: &[&str]) -> Option<Place> {
        self.document.place(path)
    }
}

/// Reads and checks a configuration: the file, if there is one, with what the command line says.
///
/// # Errors
///
/// Everything that is wrong, as far as it can be told at once.
pub fn load(
    file: Option<&Path>,
    overrides: &Overrides,
    surroundings: &Surroundings,
) -> Result<Loaded, Problems> {
    let mut problems = Vec::new();
    let name = file.map_or_else(|| "command line".into(), |path| path.to_string_lossy());
    let folder = file.and_then(Path::parent).unwrap_or_else(|| Path::new(""));
    let text = match file {
        Some(path) => {
            read_text(path, MAX_CONFIG_BYTES).map_err(|problem| unreadable(&name, &problem))?
        }
        None => String::new(),
    };
    let mut document = read_document(
        &name,
        &text,
        &surroundings.environment,
        folder,
        &mut problems,
    );
    if let Some(problems) = Problems::new(problems) {
        return Err(problems);
    }
    apply(overrides, &mut document);
    let mut problems = Vec::new();
    let values = check(json_schema(), &document, &mut problems);
    if let Some(problems) = Problems::new(problems) {
        return Err(problems);
    }
    // The schema is made from the definitions, so what it lets through they take.
    let mut config = Config::deserialize(&values)
        .map_err(|error| Problem::new(Some(Place::whole(&*name)), error.to_string()))?;
    let mut problems = Vec::new();
    rules(&config, &document, surroundings, &mut problems);
    connection(&config, &document, surroundings, &mut problems);
    if let Some(problems) = Problems::new(problems) {
        return Err(problems);
    }
    place_paths(&mut config, folder);
    Ok(Loaded {
        config,
        path: file.map(Path::to_path_buf),
        document,
        values,
    })
}

fn unreadable(name: &str, problem: &str) -> Problems {
    // The name is part of the sentence here, not a place in front of it.
    let problem = Problem::new(None, format!("the configuration {name} {problem}"));
    problem
        .hint("name a file with -c, or write one: walgate config example > walgate.toml")
        .into()
}

fn apply(overrides: &Overrides, document: &mut Node) {
    if let Some(url) = &overrides.url {
        document.set(&["source", "url"], Node::given(url.expose()));
    }
    if let Some(slot) = &overrides.slot {
        document.set(&["source", "slot"], Node::given(slot));
    }
    if !overrides.publications.is_empty() {
        let names = overrides
            .publications
            .iter()
            .map(|name| Node::given(name))
            .collect();
        let node = Node {
            origin: Origin::CommandLine,
            tree: Tree::Array(names),
        };
        document.set(&["source", "publications"], node);
    }
    if overrides.to_stdout {
        document.set(&["sinks", "stdout", "type"], Node::given("stdout"));
    }
}

/// Relative paths start at the folder of the file, whatever folder Walgate is started in: the
/// checkpoint of a service must not depend on where somebody stood.
fn place_paths(config: &mut Config, folder: &Path) {
    let place = |path: &mut PathBuf| *path = folder.join(&*path);
    place(&mut config.state.dir);
    config.journal.path.iter_mut().for_each(place);
    let keys = &mut config.journal.encryption_key_file;
    keys.iter_mut().for_each(place);
    config.http.tls_cert.iter_mut().for_each(place);
    config.http.tls_key.iter_mut().for_each(place);
    config.gateway.tls_ca_file.iter_mut().for_each(place);
    let gateway = &mut config.gateway;
    gateway.tls_certificate_file.iter_mut().for_each(place);
    gateway.tls_key_file.iter_mut().for_each(place);
    for sink in config.sinks.values_mut() {
        sink.dead_letter.file.iter_mut().for_each(place);
        match &mut sink.destination {
            Destination::File(file) => place(&mut file.path),
            Destination::Kafka(kafka) => {
                kafka.tls_ca_file.iter_mut().for_each(place);
                kafka.tls_certificate_file.iter_mut().for_each(place);
                kafka.tls_key_file.iter_mut().for_each(place);
            }
            Destination::Websocket(push) => {
                push.tls_cert.iter_mut().for_each(place);
                push.tls_key.iter_mut().for_each(place);
            }
            Destination::Stdout(_) => {}
        }
    }
}

/// The machine's memory in bytes, on Linux.
fn machine_memory() -> Option<u64> {
    let text = read_text(Path::new("/proc/meminfo"), MAX_CONFIG_BYTES).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim()
        .strip_suffix("kB")?
        .trim()
        .parse::<u64>()
        .ok()?
        .checked_mul(1024)
}
