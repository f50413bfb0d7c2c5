//! Whatever a server says is what the description for programs (`asyncapi.json`) says.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use jsonschema::Validator;
use serde_json::{Value, json};

const ASYNCAPI: &str = include_str!("../../../crates/walgate-sink-websocket/asyncapi.json");

/// What tells whether something is a message, and the keys that are described, by the message's name.
static MESSAGES: LazyLock<BTreeMap<String, (Validator, Value)>> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(ASYNCAPI).expect("JSON");
    let messages = document["components"]["messages"].as_object();
    let names = messages.expect("messages").keys();
    let message = |name: &String| {
        let mut schema = document.clone();
        schema["$ref"] = json!(format!("#/components/schemas/{name}"));
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let properties = &document["components"]["schemas"][name]["properties"];
        (name.clone(), (validator, properties.clone()))
    };
    names.map(message).collect()
});

/// Whether the server's message is described as it came.
pub(super) fn check(message: &Value) -> Result<()> {
    let name = match message.get("op") {
        Some(_) => "event",
        None => message["type"].as_str().context("neither op nor type")?,
    };
    let (validator, described) = MESSAGES
        .get(name)
        .with_context(|| format!("what is {message}"))?;
    if let Err(error) = validator.validate(message) {
        anyhow::bail!("{message} is no {name}: {error}");
    }
    let keys = message.as_object().context("an object")?.keys();
    for key in keys {
        ensure!(
            described.get(key).is_some(),
            "nobody describes {key} of {message}"
        );
    }
    Ok(())
}
