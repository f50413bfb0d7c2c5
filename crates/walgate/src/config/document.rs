//! A file as a tree that remembers where everything stands.

use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use walgate_connection::Environment;

use super::place::{Origin, Place};
use super::problem::Problem;
use super::substitute::substitute;

/// A value and where it comes from.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) tree: Tree,
}

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Tree {
    /// With what was put in; `raw` is what the file says.
    Text {
        raw: String,
        value: String,
    },
    /// Written in decimal.
    Integer(i64),
    Boolean(bool),
    Array(Vec<Node>),
    Table(Vec<Entry>),
    /// What no key takes, by its name: a number with a fraction, a date, …
    Other(&'static str),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Where the key stands; nothing for the command line.
    pub(super) place: Option<Place>,
    pub(super) node: Node,
}

impl Tree {
    /// What it is, for a message.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Text { .. } => "a string",
            Self::Integer(_) => "a whole number",
            Self::Boolean(_) => "a boolean",
            Self::Array(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(name) => name,
        }
    }
}

impl Node {
    /// A text from the command line.
    pub(super) fn given(value: &str) -> Self {
        let tree = Tree::Text {
            raw: value.to_owned(),
            value: value.to_owned(),
        };
        Self {
            origin: Origin::CommandLine,
            tree,
        }
    }

    pub(super) const fn given_table() -> Self {
        Self {
            origin: Origin::CommandLine,
            tree: Tree::Table(Vec::new()),
        }
    }

    /// The value of a key of this table.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match &self.tree {
            Tree::Table(entries) => entries
                .iter()
                .find(|entry| entry.key == key)
                .map(|entry| &entry.node),
            _ => None,
        }
    }

    /// The keys of this table; none for anything else.
    pub(super) fn keys(&self) -> Vec<String> {
        match &self.tree {
            Tree::Table(entries) => entries.iter().map(|entry| entry.key.clone()).collect(),
            _ => Vec::new(),
        }
    }

    /// Puts a value at a path, over what is there.
    pub(super) fn set(&mut self, path: &[&str], node: Self) {
        let Some((key, rest)) = path.split_first() else {
            *self = node;
            return;
        };
        // What is no table is refused later, where it stands.
        let Tree::Table(entries) = &mut self.tree else {
            return;
        };
        let place = match entries.iter().position(|entry| entry.key == *key) {
            Some(place) => place,
            None => {
                let entry = Entry {
                    key: (*key).to_owned(),
                    place: None,
                    node: Self::given_table(),
                };
                entries.push(entry);
                entries.len() - 1
            }
        };
        if let Some(entry) = entries.get_mut(place) {
            entry.node.set(rest, node);
        }
    }

    /// Where the deepest part of a path stands that the file has.
    pub(super) fn place(&self, path: &[&str]) -> Option<Place> {
        let mut node = self;
        let mut place = self.origin.place();
        for key in path {
            let Some(inner) = node.get(key) else { break };
            node = inner;
            place = inner.origin.place().or(place);
        }
        place.cloned()
    }
}

/// Reads TOML and puts in what `${…}` names.
///
/// What is wrong is added to `problems`, and what can be read all the same is returned.
pub(super) fn read_document(
    file: &str,
    text: &str,
    environment: &Environment,
    folder: &Path,
    problems: &mut Vec<Problem>,
) -> Node {
    let lines = Lines {
        file: file.into(),
        text,
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let place = error
            .span()
            .map_or_else(|| lines.whole(), |span| lines.place(span.start));
        problems.push(Problem::new(Some(place), syntax_error(error, text)));
    }
    let mut reader = Reader {
        lines: &lines,
        environment,
        folder,
        problems,
    };
    let entries = reader.table(table.into_inner());
    Node {
        origin: Origin::File(lines.whole()),
        tree: Tree::Table(entries),
    }
}

/// Not the error's own display: that quotes the line, which may hold a secret. A key is none.
fn syntax_error(error: &toml::de::Error, text: &str) -> String {
    let message = error.message();
    let key = error.span().and_then(|span| text.get(span));
    match key.filter(|_| message == "duplicate key") {
        Some(key) => format!("duplicate key `{}`", key.trim()),
        None => message.to_lowercase(),
    }
}

/// Turns offsets into lines and columns.
struct Lines<'a> {
    file: Arc<str>,
    text: &'a str,
}

impl Lines<'_> {
    fn whole(&self) -> Place {
        Place::whole(Arc::clone(&self.file))
    }

    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
        let in_line = before.rsplit('\n').next().unwrap_or_default();
        Place {
            file: Arc::clone(&self.file),
            line,
            column: 1 + in_line.chars().count(),
        }
    }
}

struct Reader<'a> {
    lines: &'a Lines<'a>,
    environment: &'a Environment,
    folder: &'a Path,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn table(&mut self, table: DeTable<'_>) -> Vec<Entry> {
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut read = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let place = self.lines.place(key.span().start);
            let name = key.into_inner().into_owned();
            let node = self.node(&name, &place, value);
            read.push(Entry {
                key: name,
                place: Some(place),
                node,
            });
        }
        read
    }

    fn node(&mut self, key: &str, key_place: &Place, value: Spanned<DeValue<'_>>) -> Node {
        let place = self.lines.place(value.span().start);
        let tree = match value.into_inner() {
            DeValue::String(text) => return self.text(key, place, text.into_owned()),
            DeValue::Integer(number) if number.radix() != 10 => {
                Tree::Other("a number that is not decimal")
            }
            DeValue::Integer(number) => match number.as_str().parse() {
                Ok(number) => Tree::Integer(number),
                Err(_) => Tree::Other("a number out of range"),
            },
            DeValue::Float(_) => Tree::Other("a number with a fraction or an exponent"),
            DeValue::Datetime(_) => Tree::Other("a date or time"),
            DeValue::Boolean(flag) => Tree::Boolean(flag),
            DeValue::Array(items) => Tree::Array(
                items
                    .into_iter()
                    .map(|item| self.node(key, key_place, item))
                    .collect(),
            ),
            DeValue::Table(table) => {
                let tree = Tree::Table(self.table(table));
                // A table is where its name stands; the span of a value may be that of a key in it.
                return Node {
                    origin: Origin::File(key_place.clone()),
                    tree,
                };
            }
        };
        Node {
            origin: Origin::File(place),
            tree,
        }
    }

    fn text(&mut self, key: &str, place: Place, raw: String) -> Node {
        match substitute(&raw, self.environment, self.folder) {
            Ok(done) => {
                let origin = if done.sources.is_empty() {
                    Origin::File(place)
                } else {
                    Origin::Substituted {
                        place,
                        sources: done.sources,
                    }
                };
                Node {
                    origin,
                    tree: Tree::Text {
                        raw,
                        value: done.value,
                    },
                }
            }
            Err(refused) => {
                let problem =
                    Problem::new(Some(place.clone()), format!("`{key}` {}", refused.problem));
                self.problems.push(match refused.hint {
                    Some(hint) => problem.hint(hint),
                    None => problem,
                });
                let sources = vec!["not resolved".to_owned()];
                let origin = Origin::Substituted { place, sources };
                Node {
                    origin,
                    tree: Tree::Text {
                        value: raw.clone(),
                        raw,
                    },
                }
            }
        }
    }
}
