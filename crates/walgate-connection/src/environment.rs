//! Where environment variables come from: the process, or a list in a test.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

/// A source of environment variables, so that nothing in this crate reads the process's own
/// environment behind the caller's back.
#[derive(Clone)]
pub struct Environment(Source);

#[derive(Clone)]
enum Source {
    Process,
    Pairs(HashMap<String, String>),
}

impl Environment {
    /// The environment of this process, read at each look-up.
    #[must_use]
    pub const fn process() -> Self {
        Self(Source::Process)
    }

    /// A fixed environment: the given pairs and nothing else. A later pair replaces an earlier one.
    pub fn from_pairs<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<String>,
        V: Into<String>,
    {
        Self(Source::Pairs(
            pairs
                .into_iter()
                .map(|(k, v)| (k.into(), v.into()))
                .collect(),
        ))
    }

    /// The value of a variable. An unset and an empty one are the same, as for libpq's parameters;
    /// a value that is not UTF-8 counts as unset.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        let value = match &self.0 {
            Source::Process => std::env::var(name).ok(),
            Source::Pairs(pairs) => pairs.get(name).cloned(),
        };
        value.filter(|text| !text.is_empty())
    }

    /// A file below the home folder, where `HOME` names one.
    pub(crate) fn home_file(&self, name: &str) -> Option<PathBuf> {
        self.get("HOME").map(|home| PathBuf::from(home).join(name))
    }
}

impl fmt::Debug for Environment {
    /// Names the source only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::Process => "Environment(process)",
            Source::Pairs(_) => "Environment(pairs)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Environment;

    #[test]
    fn empty_is_unset_and_values_are_not_printed() {
        let environment = Environment::from_pairs([("PGHOST", ""), ("PGPASSWORD", "hunter2")]);
        assert_eq!(environment.get("PGHOST"), None);
        assert_eq!(environment.get("PGPASSWORD").as_deref(), Some("hunter2"));
        assert!(!format!("{environment:?}").contains("hunter2"));
    }
}
