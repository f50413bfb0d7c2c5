//! What is in effect, and who said so.

use serde_json::{Value, json};

use super::check::KeyPath;
use super::document::{Node, Tree};
use super::example::toml;
use super::load::Loaded;
use super::schema::{branches, json_schema, properties, property};
use super::secret::{HIDDEN, SECRET, is_secret_key, redact_url};

/// Every key with its effective value and where that comes from, one a line. Secrets are hidden, and
/// a value with something put in is shown as the file has it.
pub fn explain(loaded: &Loaded) -> String {
    let mut lines = Vec::new();
    walk(
        json_schema(),
        Some(&loaded.document),
        &KeyPath::default(),
        &mut lines,
    );
    let width = lines
        .iter()
        .map(|(setting, _)| setting.chars().count())
        .max()
        .unwrap_or(0);
    // A few long values must not push every origin out of sight.
    let width = width.min(60);
    let mut text = String::new();
    for (setting, origin) in lines {
        text.push_str(&format!("{setting:<width$}  # {origin}\n"));
    }
    text
}

fn walk(schema: &Value, node: Option<&Node>, path: &KeyPath, lines: &mut Vec<(String, String)>) {
    if schema.get("type").is_none_or(|kind| kind != "object") {
        leaf(schema, node, path, lines);
        return;
    }
    let kind = node.and_then(|node| match &node.get("type")?.tree {
        Tree::Text { value, .. } => Some(value.as_str()),
        _ => None,
    });
    let branch = branches(schema)
        .into_iter()
        .find(|(name, _)| Some(*name) == kind);
    let branch = branch.map(|(_, branch)| branch);
    let known = properties(schema, branch);
    for (name, inner) in &known {
        walk(
            inner,
            node.and_then(|node| node.get(name)),
            &path.join(name),
            lines,
        );
    }
    let Some(Node {
        tree: Tree::Table(entries),
        ..
    }) = node
    else {
        return;
    };
    for entry in entries
        .iter()
        .filter(|entry| known.iter().all(|(name, _)| **name != entry.key))
    {
        if let Some(inner) = property(schema, branch, &entry.key) {
            walk(inner, Some(&entry.node), &path.join(&entry.key), lines);
        }
    }
}

fn leaf(schema: &Value, node: Option<&Node>, path: &KeyPath, lines: &mut Vec<(String, String)>) {
    let secret =
        path.0.last().is_some_and(|key| is_secret_key(key)) || schema.get(SECRET).is_some();
    match node {
        Some(node) => {
            let shown = show(node, secret, schema.get("x-url").is_some());
            lines.push((format!("{path} = {}", toml(&shown)), origin_of(node)));
        }
        None => {
            let value = schema.get("default").or_else(|| schema.get("const"));
            if let Some(value) = value {
                lines.push((format!("{path} = {}", toml(value)), "default".to_owned()));
            }
        }
    }
}

/// A list may have parts put in, and so its origin is that of the first such part.
fn origin_of(node: &Node) -> String {
    if let Tree::Array(items) = &node.tree
        && let Some(hidden) = items.iter().find(|item| item.origin.is_hidden())
    {
        return hidden.origin.to_string();
    }
    node.origin.to_string()
}

fn show(node: &Node, secret: bool, url: bool) -> Value {
    match &node.tree {
        // The template is what the file says, and what is put in stays unsaid.
        Tree::Text { raw, .. } if node.origin.is_hidden() && only_templates(raw) => json!(raw),
        Tree::Text { raw, .. } if url => json!(redact_url(raw)),
        _ if secret => json!(HIDDEN),
        Tree::Text { raw, .. } => json!(raw),
        Tree::Integer(number) => json!(number),
        Tree::Boolean(flag) => json!(flag),
        Tree::Array(items) => items.iter().map(|item| show(item, secret, url)).collect(),
        Tree::Table(_) | Tree::Other(_) => json!(HIDDEN),
    }
}

/// Whether a value is nothing but one `${…}`: then its template holds no secret of its own.
fn only_templates(raw: &str) -> bool {
    raw.starts_with("${") && raw.find('}') == Some(raw.len() - 1)
}
