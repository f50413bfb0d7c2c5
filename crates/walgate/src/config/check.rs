//! Compares a document with the schema: unknown keys, wrong types, values out of range.

use std::fmt;

use serde_json::{Map, Value};

use super::document::{Entry, Node, Tree};
use super::place::Place;
use super::problem::Problem;
use super::schema::{branches, choices, properties, property};
use super::secret::SECRET;
use super::text::TextKind;

/// Checks a document and turns it into the JSON that the definitions deserialize from. Whatever is
/// wrong is added to `problems` and left out.
pub(super) fn check(schema: &Value, document: &Node, problems: &mut Vec<Problem>) -> Value {
    let mut checker = Checker { problems };
    checker
        .value(schema, document, &KeyPath::default())
        .unwrap_or_default()
}

/// A dotted key, as TOML writes it.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyPath(pub(super) Vec<String>);

impl KeyPath {
    pub(super) fn join(&self, key: &str) -> Self {
        Self(self.0.iter().cloned().chain([key.to_owned()]).collect())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, key) in self.0.iter().enumerate() {
            let dot = if place > 0 { "." } else { "" };
            let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if !key.is_empty() && key.chars().all(bare) {
                write!(f, "{dot}{key}")?;
            } else {
                write!(f, "{dot}{key:?}")?;
            }
        }
        Ok(())
    }
}

/// The name among `known` that was probably meant.
pub(super) fn suggest<'a>(
    wrong: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // Over 0.8 are transposed, missing and added letters; under it are other words.
    const ALIKE: f64 = 0.8;
    let wrong = wrong.to_lowercase().replace('-', "_");
    let score = |name: &str| strsim::jaro_winkler(&wrong, &name.to_lowercase().replace('-', "_"));
    let scored = known.into_iter().map(|name| (score(name), name));
    let best = scored.max_by(|left, right| left.0.total_cmp(&right.0))?;
    (best.0 > ALIKE).then_some(best.1)
}

struct Checker<'a> {
    problems: &'a mut Vec<Problem>,
}

impl Checker<'_> {
    fn refuse(&mut self, place: Option<&Place>, message: String, hint: Option<String>) {
        let problem = Problem::new(place.cloned(), message);
        self.problems.push(match hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        });
    }

    fn value(&mut self, schema: &Value, node: &Node, path: &KeyPath) -> Option<Value> {
        if schema.get("x-any").is_some() {
            return self.any(node, path);
        }
        if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
            return self.scalar(options, node, path);
        }
        let expected = schema
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or("string");
        match (expected, &node.tree) {
            ("object", Tree::Table(entries)) => Some(self.table(schema, node, entries, path)),
            ("array", Tree::Array(items)) => self.list(schema, node, items, path),
            ("string", Tree::Text { value, .. }) => self.text(schema, node, value, path),
            ("integer", Tree::Integer(number)) => self.integer(schema, node, *number, path),
            ("boolean", Tree::Boolean(flag)) => Some(Value::Bool(*flag)),
            // A variable is always a string; what is put in may be a number or a boolean.
            ("integer", Tree::Text { value, .. }) if node.origin.is_hidden() => {
                match value.trim().parse() {
                    Ok(number) => self.integer(schema, node, number, path),
                    Err(_) => self.wrong_type(schema, node, path, "what was put in"),
                }
            }
            ("boolean", Tree::Text { value, .. }) if node.origin.is_hidden() => {
                match value.trim().parse() {
                    Ok(flag) => Some(Value::Bool(flag)),
                    Err(_) => self.wrong_type(schema, node, path, "what was put in"),
                }
            }
            (_, tree) => self.wrong_type(schema, node, path, tree.name()),
        }
    }

    fn wrong_type(
        &mut self,
        schema: &Value,
        node: &Node,
        path: &KeyPath,
        found: &str,
    ) -> Option<Value> {
        let expected = match schema.get("type").and_then(Value::as_str) {
            Some("object") => "a table",
            Some("array") => "a list",
            Some("integer") => "a whole number, written in decimal and without quotes",
            Some("boolean") => "true or false, without quotes",
            _ => "a string in quotes",
        };
        let message = format!("`{path}` is {found}, expected {expected}");
        let hint = match expected {
            "a list" => Some("write it as [\"…\", \"…\"]".to_owned()),
            _ => allowed(schema),
        };
        self.refuse(node.origin.place(), message, hint);
        None
    }

    /// What JSON has too, as deep as it goes.
    fn any(&mut self, node: &Node, path: &KeyPath) -> Option<Value> {
        Some(match &node.tree {
            Tree::Text { value, .. } => Value::from(value.as_str()),
            Tree::Integer(number) => Value::from(*number),
            Tree::Boolean(flag) => Value::from(*flag),
            Tree::Array(items) => {
                let items = items.iter().filter_map(|item| self.any(item, path));
                Value::Array(items.collect())
            }
            Tree::Table(entries) => {
                let entries = entries.iter().filter_map(|entry| {
                    let value = self.any(&entry.node, &path.join(&entry.key))?;
                    Some((entry.key.clone(), value))
                });
                Value::Object(entries.collect())
            }
            Tree::Other(name) => {
                let message =
                    format!("`{path}` is {name}, expected text, a whole number or a list");
                let hint = "write it as a string in quotes".to_owned();
                self.refuse(node.origin.place(), message, Some(hint));
                return None;
            }
        })
    }

    fn scalar(&mut self, options: &[Value], node: &Node, path: &KeyPath) -> Option<Value> {
        match &node.tree {
            Tree::Text { value, .. } => Some(Value::from(value.as_str())),
            Tree::Integer(number) => Some(Value::from(*number)),
            Tree::Boolean(flag) => Some(Value::from(*flag)),
            Tree::Array(_) | Tree::Table(_) | Tree::Other(_) => {
                let names: Vec<_> = options
                    .iter()
                    .filter_map(|one| one.get("type")?.as_str())
                    .collect();
                let message = format!(
                    "`{path}` is {}, expected {}",
                    node.tree.name(),
                    names.join(" or ")
                );
                let hint = "write it as a string in quotes".to_owned();
                self.refuse(node.origin.place(), message, Some(hint));
                None
            }
        }
    }

    fn table(&mut self, schema: &Value, node: &Node, entries: &[Entry], path: &KeyPath) -> Value {
        let branches = branches(schema);
        let branch = if branches.is_empty() {
            None
        } else {
            self.branch(&branches, node, path)
        };
        let mut read = Map::new();
        for entry in entries {
            let inner = path.join(&entry.key);
            // The branch itself was looked at above.
            if !branches.is_empty() && entry.key == "type" {
                if let (Tree::Text { value, .. }, Some(_)) = (&entry.node.tree, branch) {
                    read.insert(entry.key.clone(), Value::from(value.as_str()));
                }
                continue;
            }
            match property(schema, branch, &entry.key) {
                Some(known) => {
                    if let Some(value) = self.value(known, &entry.node, &inner) {
                        read.insert(entry.key.clone(), value);
                    }
                }
                // Without a type, a key of any type may be meant.
                None if !branches.is_empty() && branch.is_none() => {}
                None => self.unknown_key(schema, branch, entry, &inner),
            }
        }
        for required in [Some(schema), branch].into_iter().flatten() {
            self.missing(required, node, path);
        }
        Value::Object(read)
    }

    fn branch<'s>(
        &mut self,
        branches: &[(&str, &'s Value)],
        node: &Node,
        path: &KeyPath,
    ) -> Option<&'s Value> {
        let names: Vec<_> = branches.iter().map(|(name, _)| *name).collect();
        let allowed = format!("allowed are {}", list(&names));
        let Some(kind) = node.get("type") else {
            let message = format!("`{path}` has no `type`");
            self.refuse(node.origin.place(), message, Some(allowed));
            return None;
        };
        let Tree::Text { value, .. } = &kind.tree else {
            let message = format!("`{path}.type` is {}, expected a string", kind.tree.name());
            self.refuse(kind.origin.place(), message, Some(allowed));
            return None;
        };
        let found = branches.iter().find(|(name, _)| name == value);
        if found.is_none() {
            self.unknown_value(&path.join("type"), kind, value, &names);
        }
        found.map(|(_, branch)| *branch)
    }

    fn unknown_key(
        &mut self,
        schema: &Value,
        branch: Option<&Value>,
        entry: &Entry,
        path: &KeyPath,
    ) {
        let names: Vec<_> = properties(schema, branch)
            .into_iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let of_other = branches(schema)
            .into_iter()
            .find(|(_, other)| property(other, None, &entry.key).is_some())
            .map(|(name, _)| format!("`{}` belongs to type = \"{name}\"", entry.key));
        let hint = of_other
            .or_else(|| {
                suggest(&entry.key, names.iter().copied())
                    .map(|name| format!("did you mean `{name}`?"))
            })
            .unwrap_or_else(|| format!("known keys here: {}", names.join(", ")));
        self.refuse(
            entry.place.as_ref(),
            format!("unknown key `{path}`"),
            Some(hint),
        );
    }

    fn missing(&mut self, schema: &Value, node: &Node, path: &KeyPath) {
        let required = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        for name in required.filter_map(Value::as_str) {
            if name != "type" && node.get(name).is_none() {
                let example = property(schema, None, name)
                    .and_then(|known| known.pointer("/examples/0"))
                    .map(|example| {
                        format!("for example {name} = {}", super::example::toml(example))
                    });
                let message = format!("`{path}` has no `{name}`");
                self.refuse(node.origin.place(), message, example);
            }
        }
    }

    fn list(
        &mut self,
        schema: &Value,
        node: &Node,
        items: &[Node],
        path: &KeyPath,
    ) -> Option<Value> {
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
        if items.is_empty() && least > 0 {
            self.refuse(
                node.origin.place(),
                format!("`{path}` is empty"),
                allowed(schema),
            );
            return None;
        }
        let inner = schema.get("items").unwrap_or(&Value::Null);
        let read: Vec<_> = items
            .iter()
            .filter_map(|item| self.value(inner, item, path))
            .collect();
        Some(Value::Array(read))
    }

    fn text(&mut self, schema: &Value, node: &Node, text: &str, path: &KeyPath) -> Option<Value> {
        let hidden = node.origin.is_hidden() || schema.get(SECRET).is_some();
        let names: Vec<_> = choices(schema).into_iter().map(|(name, _)| name).collect();
        if !names.is_empty() && !names.contains(&text) {
            self.unknown_value(path, node, text, &names);
            return None;
        }
        let least = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0);
        if u64::try_from(text.chars().count()).is_ok_and(|length| length < least) {
            let problem = if text.is_empty() {
                "is empty".to_owned()
            } else {
                format!("is shorter than {least} characters")
            };
            self.refuse(node.origin.place(), format!("`{path}` {problem}"), None);
            return None;
        }
        if text.contains('\0') {
            self.refuse(
                node.origin.place(),
                format!("`{path}` contains a NUL character"),
                None,
            );
            return None;
        }
        let Some(kind) = TextKind::of(schema) else {
            return Some(Value::from(text));
        };
        if let Err(refused) = kind.check(text) {
            let message = if hidden {
                format!(
                    "`{path}` is not a valid {}, with what was put in",
                    kind.name()
                )
            } else {
                format!("`{path}` {}: {text:?}", refused.problem)
            };
            self.refuse(node.origin.place(), message, refused.hint);
            return None;
        }
        self.bounds(kind, schema, node, text, path)
    }

    fn bounds(
        &mut self,
        kind: TextKind,
        schema: &Value,
        node: &Node,
        text: &str,
        path: &KeyPath,
    ) -> Option<Value> {
        let bound = |key: &str| schema.get(key).and_then(Value::as_str);
        let beyond = |bound: Option<&str>, wrong: std::cmp::Ordering| {
            bound.is_some_and(|bound| kind.compare(text, bound) == Some(wrong))
        };
        let problem = if beyond(bound("x-min"), std::cmp::Ordering::Less) {
            "too small"
        } else if beyond(bound("x-max"), std::cmp::Ordering::Greater) {
            "too large"
        } else {
            return Some(Value::from(text));
        };
        self.refuse(
            node.origin.place(),
            format!("`{path}` is {problem}"),
            allowed(schema),
        );
        None
    }

    fn integer(
        &mut self,
        schema: &Value,
        node: &Node,
        number: i64,
        path: &KeyPath,
    ) -> Option<Value> {
        let (least, most) = integer_bounds(schema);
        if (least..=most).contains(&number) {
            return Some(Value::from(number));
        }
        let problem = if number < least {
            "too small"
        } else {
            "too large"
        };
        self.refuse(
            node.origin.place(),
            format!("`{path}` is {problem}"),
            allowed(schema),
        );
        None
    }

    fn unknown_value(&mut self, path: &KeyPath, node: &Node, value: &str, names: &[&str]) {
        let message = if node.origin.is_hidden() {
            format!("`{path}` is not one of the allowed values, with what was put in")
        } else {
            format!("`{path}` can't be {value:?}")
        };
        let meant = suggest(value, names.iter().copied()).filter(|_| !node.origin.is_hidden());
        let hint = match meant {
            Some(name) => format!("did you mean \"{name}\"? allowed are {}", list(names)),
            None => format!("allowed are {}", list(names)),
        };
        self.refuse(node.origin.place(), message, Some(hint));
    }
}

fn integer_bounds(schema: &Value) -> (i64, i64) {
    let bound = |key: &str| schema.get(key).and_then(Value::as_i64);
    let most = match schema.get("format").and_then(Value::as_str) {
        Some("uint8") => i64::from(u8::MAX),
        Some("uint16") => i64::from(u16::MAX),
        Some("uint32") => i64::from(u32::MAX),
        _ => i64::MAX,
    };
    (
        bound("minimum").unwrap_or(i64::MIN),
        bound("maximum").unwrap_or(most),
    )
}

/// What a schema allows, as a hint.
pub(super) fn allowed(schema: &Value) -> Option<String> {
    let names: Vec<_> = choices(schema).into_iter().map(|(name, _)| name).collect();
    if !names.is_empty() {
        return Some(format!("allowed are {}", list(&names)));
    }
    let bound = |key: &str| schema.get(key).and_then(Value::as_str);
    if let (Some(least), Some(most)) = (bound("x-min"), bound("x-max")) {
        return Some(format!("allowed is {least:?} to {most:?}"));
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("integer") => {
            let (least, most) = integer_bounds(schema);
            Some(format!("allowed is {least} to {most}"))
        }
        Some("array") if schema.get("minItems").is_some() => {
            Some("at least one is needed".to_owned())
        }
        _ => None,
    }
}

fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    quoted.join(", ")
}
