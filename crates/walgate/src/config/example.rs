//! The complete example, written from the schema.

use serde_json::Value;

use super::check::allowed;
use super::schema::{branches, choices, json_schema, properties};

/// Width of comments.
const WIDTH: usize = 98;

/// A complete configuration with every key, its meaning, its default and what it may be. Text is
/// behind `# `; a key that is commented out is directly behind `#`, as in postgresql.conf.
pub fn example() -> String {
    let mut page = String::new();
    comment(
        &mut page,
        "Configuration of Walgate. Values behind # are the defaults, or examples where there is none. \
         In every string ${NAME} stands for an environment variable, ${file:PATH} for the content of a \
         file and $$ for a dollar sign. Durations and sizes have units: \"500ms\", \"10s\", \"5m\"; \
         \"64MiB\", \"20GiB\", \"1MB\". Unknown keys are refused.",
    );
    comment(
        &mut page,
        "walgate config check tells what is wrong, walgate config explain what is in effect.",
    );
    let schema = json_schema();
    let (tables, keys): (Vec<_>, Vec<_>) = properties(schema, None).into_iter().partition(is_table);
    for key in keys {
        setting(&mut page, key);
    }
    for (name, table) in tables {
        page.push('\n');
        if name == "sinks" {
            sinks(&mut page, table);
        } else {
            describe(&mut page, table);
            page.push_str(&format!("[{name}]\n"));
            section(&mut page, name, table, None, true);
        }
    }
    page
}

/// A value as TOML writes it, in one line.
pub(super) fn toml(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(toml).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) => {
            let entries: Vec<_> = entries
                .iter()
                .map(|(key, value)| format!("{} = {}", toml_key(key), toml(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn toml_key(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        quote(key)
    }
}

fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn is_table((_, schema): &(&String, &Value)) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object")
}

/// One sink of each kind; what all have is explained once, at the first.
fn sinks(page: &mut String, table: &Value) {
    describe(page, table);
    let Some(sink) = table.get("additionalProperties") else {
        return;
    };
    let mut kinds = branches(sink);
    // The service's own use first.
    kinds.sort_by_key(|(name, _)| {
        ["kafka", "websocket", "file", "stdout"]
            .iter()
            .position(|kind| kind == name)
    });
    for (place, (kind, branch)) in kinds.into_iter().enumerate() {
        let first = place == 0;
        let name = format!("sinks.{kind}");
        page.push('\n');
        if let Some(text) = branch.get("description").and_then(Value::as_str) {
            comment(page, &format!("A sink of type {kind}: {text}"));
        }
        if !first {
            comment(
                page,
                "It also takes the keys that every sink has, shown with the first one.",
            );
        }
        page.push_str(&format!("[{name}]\ntype = \"{kind}\"\n"));
        if kind == "stdout" {
            page.push_str("required = false\n");
        }
        section(
            page,
            &name,
            if first { sink } else { branch },
            first.then_some(branch),
            true,
        );
    }
}

/// The keys of a table and then its inner tables, as TOML wants it.
fn section(page: &mut String, path: &str, schema: &Value, branch: Option<&Value>, active: bool) {
    let all = properties(schema, branch)
        .into_iter()
        .filter(|(name, _)| *name != "type");
    let (tables, keys): (Vec<_>, Vec<_>) = all.partition(is_table);
    // A map is written as one inline table.
    let (maps, tables): (Vec<_>, Vec<_>) = tables
        .into_iter()
        .partition(|(_, inner)| inner.get("properties").is_none());
    for key in keys.into_iter().chain(maps) {
        page.push('\n');
        setting(page, key);
    }
    for (name, inner) in tables {
        page.push('\n');
        describe(page, inner);
        let path = format!("{path}.{name}");
        page.push_str(&format!("{}[{path}]\n", if active { "#" } else { "" }));
        section(page, &path, inner, None, active);
    }
}

fn setting(page: &mut String, (name, schema): (&String, &Value)) {
    describe(page, schema);
    let listed = schema.get("items").unwrap_or(schema);
    let names = choices(listed);
    if names.is_empty() {
        let bounded = schema.get("x-min").is_some() || schema.get("maximum").is_some();
        if let Some(allowed) = allowed(schema).filter(|_| bounded) {
            comment(page, &format!("{}.", capital(&allowed)));
        }
    }
    for (choice, meaning) in names {
        comment(
            page,
            &format!(
                "  \"{choice}\"{}",
                meaning.map_or_else(String::new, |text| format!(": {text}"))
            ),
        );
    }
    if schema.get("x-reload").is_some_and(|live| *live == true) {
        comment(page, "Can change while Walgate runs: SIGHUP.");
    }
    let flag = |key: &str| schema.get(key).is_some();
    let example = schema.pointer("/examples/0");
    let default = schema
        .get("default")
        .filter(|value| !value.as_array().is_some_and(Vec::is_empty));
    let (mark, value) = match (default, example) {
        (_, Some(example)) if flag("x-required") || (flag("x-active") && default.is_none()) => {
            ("", example)
        }
        (Some(default), _) => (if flag("x-active") { "" } else { "#" }, default),
        (None, Some(example)) => ("#", example),
        (None, None) => return,
    };
    page.push_str(&format!("{mark}{name} = {}\n", toml(value)));
}

fn describe(page: &mut String, schema: &Value) {
    if let Some(text) = schema.get("description").and_then(Value::as_str) {
        comment(page, text);
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

/// Writes a comment, wrapped; leading blanks are kept.
fn comment(page: &mut String, text: &str) {
    let indent: String = text.chars().take_while(|c| *c == ' ').collect();
    let mut line = format!("# {indent}");
    let start = line.chars().count();
    for word in text.split_whitespace() {
        let length = line.chars().count();
        if length > start && length + 1 + word.chars().count() > WIDTH {
            page.push_str(line.trim_end());
            page.push('\n');
            line = format!("# {indent}{}", if indent.is_empty() { "" } else { "  " });
        } else if length > start {
            line.push(' ');
        }
        line.push_str(word);
    }
    page.push_str(line.trim_end());
    page.push('\n');
}
