//! The example is complete, and everything in it is accepted.

use walgate::config::{example, json_schema};

use super::{Folder, problems, read};

/// Takes the comment mark off everything that is directly behind one.
fn uncommented() -> String {
    let mut text = String::new();
    for line in example().lines() {
        let key = line.strip_prefix('#').filter(|rest| !rest.starts_with(' '));
        text.push_str(key.unwrap_or(line));
        text.push('\n');
    }
    text
}

#[test]
fn it_is_accepted() {
    read(example()).expect("the example");
}

#[test]
fn every_key_of_it_is_accepted_too() {
    let folder = Folder::with("");
    // Files that the example names are not here, and some of its keys exclude each other.
    let text = uncommented()
        .replace("secret = \"${file:/etc/walgate/jwt.secret}\"\n", "")
        .replace(
            "${file:/etc/walgate/",
            &format!("${{file:{}/", folder.path("").display()),
        )
        .replace("checkpoint_topic = \"walgate.checkpoints\"\n", "")
        .replace("checkpoint_sink = \"kafka\"\n", "")
        .replace("topic = \"walgate.dead-letters\"\n", "")
        .replace("on_definite = \"stop\"", "on_definite = \"dead-letter\"")
        .replace(
            "encryption_key_command = [\"vault\", \"kv\", \"get\", \"-field=keys\", \"secret/walgate\"]\n",
            "",
        )
        .replace("key = \"/etc/walgate/jwt.pem\"\n", "")
        .replace("tls = false", "tls = true")
        .replace("on_full = \"hold\"", "on_full = \"release-sink\"")
        .replace("allow_data_loss = false", "allow_data_loss = true")
        .replace(
            "policy = [\"alert\"]",
            "policy = [\"alert\", \"run\", \"release-sink kafka\", \"drop-slot\"]",
        )
        .replace("drop = [\"password_hash\"]", "mask = [\"password_hash\"]");
    for name in ["kafka.key.password", "kafka.password", "mask.key"] {
        folder.write(name, "0123456789abcdef");
    }
    for name in ["http.token", "webhook.token", "pagerduty.key"] {
        folder.write(name, "0123456789abcdef");
    }
    for name in ["slack.url", "dead-mans-switch.url"] {
        folder.write(name, "https://example.com/0123456789abcdef");
    }
    folder.write("walgate.toml", &text);
    folder
        .load()
        .unwrap_or_else(|problems| panic!("{problems}\n{text}"));
}

#[test]
fn defaults_in_it_are_the_defaults() {
    let plain = read(
        "[sinks.kafka]\ntype = \"kafka\"\nbrokers = [\"kafka-1.example.com:9092\", \"kafka-2.example.com:9092\"]\n",
    );
    let plain = plain.expect("valid").config;
    let mut shown = read(example()).expect("valid").config;
    shown.sinks.retain(|name, _| name == "kafka");
    shown.source.url = None;
    shown.state.dir = plain.state.dir.clone();
    assert_eq!(shown, plain);
}

#[test]
fn every_key_is_documented() {
    fn walk(schema: &serde_json::Value, path: &str, bare: &mut Vec<String>) {
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if inner.get("description").is_none() && name != "type" {
                bare.push(path.clone());
            }
            walk(inner, &path, bare);
        }
        for branch in schema["oneOf"].as_array().into_iter().flatten() {
            walk(branch, path, bare);
        }
        if let Some(inner) = schema.get("additionalProperties") {
            walk(inner, &format!("{path}.*"), bare);
        }
    }
    let mut bare = Vec::new();
    walk(json_schema(), "", &mut bare);
    assert_eq!(bare, Vec::<String>::new());
    let schema = json_schema().to_string();
    assert!(!schema.contains("\"null\""), "TOML has no null");
}

#[test]
fn every_key_of_the_schema_is_in_it() {
    let page = example();
    fn walk(schema: &serde_json::Value, page: &str) {
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            let shown = [
                format!("\n{name} = "),
                format!("\n#{name} = "),
                format!("[{name}]"),
                format!(".{name}]"),
            ];
            assert!(
                name == "sinks" || shown.iter().any(|shown| page.contains(shown)),
                "{name}"
            );
            walk(inner, page);
        }
        for branch in schema["oneOf"].as_array().into_iter().flatten() {
            walk(branch, page);
        }
    }
    walk(json_schema(), &page);
    walk(
        &json_schema()["properties"]["sinks"]["additionalProperties"],
        &page,
    );
}

#[test]
fn a_wrong_key_in_it_is_found() {
    let text = example().replace("\nslot = ", "\nslott = ");
    assert_eq!(problems(text).len(), 1);
}
