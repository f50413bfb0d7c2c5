//! `source.url`, by libpq's rules.

use walgate_connection::{ConfigError, ConnectionConfig};

use super::document::Node;
use super::load::Surroundings;
use super::problem::Problem;
use super::{Config, Secret};

/// Adds what is wrong with the URL, or with the `PG*` variables that complete it. No server is
/// asked; files that it names are looked at.
pub(super) fn connection(
    config: &Config,
    document: &Node,
    surroundings: &Surroundings,
    problems: &mut Vec<Problem>,
) {
    let url = config.source.url.as_ref().map_or("", Secret::expose);
    let Err(error) = ConnectionConfig::parse(url, &surroundings.environment) else {
        return;
    };
    let path = ["source", "url"];
    let subject = if config.source.url.is_some() {
        "`source.url`"
    } else {
        "the PG* variables"
    };
    let hidden = is_hidden(document, &path);
    let said = if hidden {
        without_values(&error)
    } else {
        error.to_string()
    };
    let problem = Problem::new(document.place(&path), format!("{subject}: {said}"));
    problems.push(match error.hint().filter(|_| !hidden) {
        Some(hint) => problem.hint(hint),
        None => problem,
    });
}

/// What is wrong, for a URL with parts put in: any of its values may be a secret.
fn without_values(error: &ConfigError) -> String {
    match error {
        ConfigError::Syntax { problem, .. } => format!("connection string: {problem}"),
        ConfigError::UnknownParameter { .. } => "an unknown connection parameter".to_owned(),
        ConfigError::InvalidValue { parameter, .. } | ConfigError::File { parameter, .. } => {
            format!("connection parameter {parameter} can't be what was put in")
        }
        ConfigError::Contradiction { first, second, .. } => {
            format!("connection parameters {first} and {second} contradict each other")
        }
    }
}

fn is_hidden(document: &Node, path: &[&str]) -> bool {
    let found = path.iter().try_fold(document, |node, key| node.get(key));
    found.is_some_and(|node| node.origin.is_hidden())
}
