//! The JSON schema of the configuration, made from its definitions.

use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::Config;

/// Marks a key that must be given; schemars takes every key of a struct with defaults as optional.
const REQUIRED: &str = "x-required";

/// The JSON schema (draft 2020-12), for editors and for machines.
///
/// Keys that begin with `x-` are Walgate's own: `x-kind` (a syntax of its own), `x-min` and `x-max`
/// (bounds of durations and sizes), `x-secret`, `x-reload` (can change while running).
pub fn json_schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
        });
        let mut schema = settings
            .into_generator()
            .into_root_schema_for::<Config>()
            .to_value();
        normalise(&mut schema);
        schema
    })
}

/// The schema of one key of a table: one that is named, or any key of a map.
pub(super) fn property<'a>(
    schema: &'a Value,
    branch: Option<&'a Value>,
    key: &str,
) -> Option<&'a Value> {
    let named = |schema: &'a Value| schema.get("properties").and_then(|all| all.get(key));
    named(schema)
        .or_else(|| branch.and_then(named))
        .or_else(|| {
            schema
                .get("additionalProperties")
                .filter(|inner| inner.is_object())
        })
}

/// The keys of a table, in the order of their definition, with those of `branch` in front.
pub(super) fn properties<'a>(
    schema: &'a Value,
    branch: Option<&'a Value>,
) -> Vec<(&'a String, &'a Value)> {
    let of = |schema: &'a Value| {
        schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
    };
    branch.into_iter().flat_map(of).chain(of(schema)).collect()
}

/// The choices of a table with a `type`, each with its name.
pub(super) fn branches(schema: &Value) -> Vec<(&str, &Value)> {
    let all = schema
        .get("oneOf")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    all.iter()
        .filter_map(|branch| Some((branch_of(branch.as_object()?)?, branch)))
        .collect()
}

/// The `type` that a branch is for; a branch stays open for the keys that all types have.
fn branch_of(schema: &Map<String, Value>) -> Option<&str> {
    schema.get("properties")?.pointer("/type/const")?.as_str()
}

/// The values that a string may have, each with what it means.
pub(super) fn choices(schema: &Value) -> Vec<(&str, Option<&str>)> {
    let listed = |key: &str| {
        schema
            .get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    let described = listed("oneOf").filter_map(|choice| {
        let name = choice.get("const")?.as_str()?;
        Some((name, choice.get("description").and_then(Value::as_str)))
    });
    described
        .chain(
            listed("enum")
                .filter_map(Value::as_str)
                .map(|name| (name, None)),
        )
        .collect()
}

/// TOML has no null, tables take no unknown keys, and some keys must be given.
fn normalise(schema: &mut Value) {
    let Value::Object(object) = schema else {
        return;
    };
    unwrap_option(object);
    if object.get("default").is_some_and(Value::is_null) {
        object.shift_remove("default");
    }
    if let Some(Value::Object(properties)) = object.get_mut("properties") {
        properties.values_mut().for_each(normalise);
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(Value::Array(options)) = object.get_mut(key) {
            options.iter_mut().for_each(normalise);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(key) {
            normalise(inner);
        }
    }
    close_table(object);
}

fn unwrap_option(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [single] = types.as_slice() {
            let single = single.clone();
            object.insert("type".to_owned(), single);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let null = json!({ "type": "null" });
    let Some(Value::Array(options)) = object.get("anyOf") else {
        return;
    };
    let some: Vec<_> = options
        .iter()
        .filter(|option| **option != null)
        .cloned()
        .collect();
    if let (true, [Value::Object(inner)]) = (some.len() < options.len(), some.as_slice()) {
        object.shift_remove("anyOf");
        for (key, value) in inner {
            // The field's own description and defaults go before those of its type.
            object.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

fn close_table(object: &mut Map<String, Value>) {
    let Some(Value::Object(properties)) = object.get_mut("properties") else {
        return;
    };
    let mut required = Vec::new();
    for (name, property) in properties.iter_mut() {
        let Some(property) = property.as_object_mut() else {
            continue;
        };
        if property.contains_key(REQUIRED) {
            property.shift_remove("default");
            required.push(json!(name));
        }
    }
    if !required.is_empty() {
        let names = object.entry("required").or_insert_with(|| json!([]));
        if let Value::Array(names) = names {
            names.extend(required);
        }
    }
    if object.contains_key("oneOf") {
        object.insert("unevaluatedProperties".to_owned(), json!(false));
    } else if branch_of(object).is_none() && !object.contains_key("additionalProperties") {
        object.insert("additionalProperties".to_owned(), json!(false));
    }
}
