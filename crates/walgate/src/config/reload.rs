//! What a changed file changes while Walgate runs.

use std::collections::BTreeMap;

use serde_json::Value;

use super::check::KeyPath;
use super::load::Loaded;
use super::schema::{branches, json_schema, property};

/// Marks a key, or all keys of a table, that can change while Walgate runs; false marks a key of such a
/// table that can't.
const RELOAD: &str = "x-reload";

/// The keys in which two configurations differ. Names only: values may be secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReloadPlan {
    /// Keys that take effect at once.
    pub now: Vec<String>,
    /// Keys that wait for a restart.
    pub restart: Vec<String>,
}

impl ReloadPlan {
    /// Whether nothing changed.
    pub const fn is_empty(&self) -> bool {
        self.now.is_empty() && self.restart.is_empty()
    }
}

/// Compares two configurations. A key that was left out and one that says its default are the same.
pub fn diff(old: &Loaded, new: &Loaded) -> ReloadPlan {
    let mut plan = ReloadPlan::default();
    let (old, new) = (effective(old), effective(new));
    let keys = old
        .keys()
        .chain(new.keys().filter(|key| !old.contains_key(*key)));
    for key in keys {
        let (before, after) = (old.get(key), new.get(key));
        let values = |leaf: Option<&Leaf<'_>>| leaf.map(|leaf| leaf.value.clone());
        if values(before) == values(after) {
            continue;
        }
        let live = before.or(after).is_some_and(|leaf| leaf.live);
        let list = if live {
            &mut plan.now
        } else {
            &mut plan.restart
        };
        list.push(key.clone());
    }
    plan
}

struct Leaf<'a> {
    value: &'a Value,
    live: bool,
}

fn effective(loaded: &Loaded) -> BTreeMap<String, Leaf<'_>> {
    let mut leaves = BTreeMap::new();
    walk(
        json_schema(),
        Some(&loaded.values),
        (&KeyPath::default(), false),
        &mut leaves,
    );
    leaves
}

/// Collects every value that is given or has a default. `live` is what the table says that it is in.
fn walk<'a>(
    schema: &'a Value,
    value: Option<&'a Value>,
    (path, live): (&KeyPath, bool),
    leaves: &mut BTreeMap<String, Leaf<'a>>,
) {
    let live = schema.get(RELOAD).map_or(live, |live| *live == true);
    let is_table = schema.get("type").is_some_and(|kind| kind == "object");
    if !is_table {
        if let Some(value) = value.or_else(|| schema.get("default")) {
            leaves.insert(path.to_string(), Leaf { value, live });
        }
        return;
    }
    let kind = value
        .and_then(|value| value.get("type"))
        .and_then(Value::as_str);
    let branch = branches(schema)
        .into_iter()
        .find(|(name, _)| Some(*name) == kind);
    let branch = branch.map(|(_, branch)| branch);
    for (name, inner) in super::schema::properties(schema, branch) {
        walk(
            inner,
            value.and_then(|value| value.get(name)),
            (&path.join(name), live),
            leaves,
        );
    }
    let given = value.and_then(Value::as_object).into_iter().flatten();
    for (name, inner) in given {
        let named = super::schema::properties(schema, branch)
            .iter()
            .any(|(known, _)| *known == name);
        if let (false, Some(schema)) = (named, property(schema, branch, name)) {
            walk(schema, Some(inner), (&path.join(name), live), leaves);
        }
    }
}
