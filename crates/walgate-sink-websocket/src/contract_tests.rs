//! The contract of clients says the same in all places: the code, `asyncapi.json` and `PROTOCOL.md`.

use std::collections::BTreeSet;

use jsonschema::Validator;
use serde_json::{Value, json};
use walgate_core::Position;

use crate::close::Close;
use crate::handshake::start_of;
use crate::protocol::{Answer, Exactness, Inexact, Request};

const PROTOCOL: &str = include_str!("../PROTOCOL.md");

/// Codes that are the library's, and not ours (RFC 6455, section 7.4.1).
const OF_THE_LIBRARY: [u16; 4] = [1002, 1003, 1007, 1009];

fn asyncapi() -> Value {
    serde_json::from_str(crate::resources::ASYNCAPI).expect("JSON")
}

fn names(object: &Value) -> BTreeSet<String> {
    let object = object.as_object().expect("an object");
    object.keys().cloned().collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What stands in the first column of the table below this heading, in backquotes or as numbers.
fn first_column(heading: &str) -> BTreeSet<String> {
    let below = PROTOCOL.split(heading).nth(1).expect(heading);
    let rows = below
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let words = cells.flat_map(|cell| cell.split(','));
    words
        .map(|word| word.trim().trim_matches('`').to_owned())
        .collect()
}

/// Tells whether something is what a schema of the document says.
fn validator(schema: &str) -> Validator {
    let mut document = asyncapi();
    document["$ref"] = json!(format!("#/components/schemas/{schema}"));
    jsonschema::validator_for(&document).expect(schema)
}

fn assert_valid(schema: &str, value: &Value) {
    let validator = validator(schema);
    let errors: Vec<_> = validator
        .iter_errors(value)
        .map(|e| e.to_string())
        .collect();
    assert!(errors.is_empty(), "{schema}: {value}: {errors:?}");
}

/// The name of what a client says. A request that is new has to be named here, and then everywhere.
fn name_of(request: &Request) -> &'static str {
    match request {
        Request::Start(_) => "start",
        Request::Subscribe(_) => "subscribe",
        Request::Unsubscribe { .. } => "unsubscribe",
        Request::Token { .. } => "token",
    }
}

const REQUESTS: [&str; 4] = ["start", "subscribe", "unsubscribe", "token"];

/// One of each thing that a client is told. What is new has to be added here, and then everywhere.
fn answers() -> Vec<(&'static str, Answer)> {
    let position = Position::ZERO;
    let subscriptions = || {
        vec![Exactness {
            id: "a".to_owned(),
            exact: false,
            inexact: vec![Inexact {
                schema: "public".to_owned(),
                table: "t".to_owned(),
                columns: vec!["c".to_owned()],
                fix: "ALTER TABLE".to_owned(),
            }],
        }]
    };
    let all = [
        Answer::Ready {
            position,
            delivery: "live-only",
            subscriptions: subscriptions(),
            expires: Some("2026-11-22T07:00:00Z".to_owned()),
        },
        Answer::Token {
            expires: Some("2026-11-22T07:00:00Z".to_owned()),
        },
        Answer::Subscriptions {
            position,
            subscriptions: subscriptions(),
        },
        Answer::Position { position },
        Answer::Snapshot { rows: 3, position },
        Answer::ResyncRequired {
            reason: "old".to_owned(),
            oldest: position,
        },
        Answer::Error {
            code: "unknown",
            message: "what".to_owned(),
            subscription: None,
        },
        Answer::Closed {
            code: 1001,
            reason: "it stops".to_owned(),
            position: Some(position),
        },
        Answer::Closed {
            code: 4401,
            reason: "no".to_owned(),
            position: None,
        },
    ];
    let named = all.into_iter().map(|answer| {
        let name = match answer {
            Answer::Ready { .. } => "ready",
            Answer::Token { .. } => "token",
            Answer::Subscriptions { .. } => "subscriptions",
            Answer::Position { .. } => "position",
            Answer::Snapshot { .. } => "snapshot",
            Answer::ResyncRequired { .. } => "resync_required",
            Answer::Error { .. } => "error",
            Answer::Closed { .. } => "closed",
        };
        (name, answer)
    });
    named.collect()
}

#[test]
fn every_message_is_described_and_its_example_is_one() {
    let document = asyncapi();
    let messages = &document["components"]["messages"];
    let told: Vec<_> = answers().iter().map(|(name, _)| *name).collect();
    let mut expected = set(&REQUESTS);
    expected.extend(set(&told));
    expected.insert("event".to_owned());
    assert_eq!(names(messages), expected);
    assert_eq!(names(&document["channels"]["stream"]["messages"]), expected);
    let mut heard = BTreeSet::new();
    for (name, message) in messages.as_object().expect("an object") {
        let schema = message["payload"]["$ref"].as_str().expect("a schema");
        assert_eq!(schema, format!("#/components/schemas/{name}"));
        let examples = message["examples"].as_array().expect("examples");
        assert!(!examples.is_empty(), "{name}");
        for example in examples {
            let payload = &example["payload"];
            assert_valid(name, payload);
            if REQUESTS.contains(&name.as_str()) {
                let request: Request = serde_json::from_value(payload.clone()).expect(name);
                assert_eq!(name_of(&request), name);
                heard.insert(name.clone());
            }
        }
    }
    assert_eq!(heard, set(&REQUESTS));
}

#[test]
fn everything_that_is_told_is_what_its_schema_says() {
    for (name, answer) in answers() {
        let said: Value = serde_json::from_str(&answer.json()).expect("JSON");
        assert_eq!(said["type"], name);
        assert_valid(name, &said);
        // What it holds is described, and not only allowed.
        let document = asyncapi();
        let described = names(&document["components"]["schemas"][name]["properties"]);
        let told = names(&said);
        assert!(told.is_subset(&described), "{name}: {told:?} {described:?}");
    }
    let wrong = json!({"type": "position", "position": "yesterday"});
    assert!(!validator("position").is_valid(&wrong));
}

#[test]
fn parameters_are_the_same_everywhere() {
    let document = asyncapi();
    let parameters = document["components"]["schemas"]["parameters"]["properties"].clone();
    for (name, parameter) in parameters.as_object().expect("an object") {
        for example in parameter["examples"].as_array().expect("examples") {
            let value = example
                .as_str()
                .map_or_else(|| example.to_string(), str::to_owned);
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair(name, &value)
                .finish();
            let start = start_of(Some(&query));
            assert!(matches!(start, Ok(Some(_))), "{query}: {start:?}");
        }
    }
    let refused = start_of(Some("nonsense=1")).expect_err("no parameter");
    let known = refused.split(": ").nth(1).expect("a list");
    let known: Vec<_> = known.split(", ").collect();
    assert_eq!(names(&parameters), set(&known));
    assert_eq!(first_column("## What a connection says"), set(&known));
}

#[test]
fn messages_and_codes_are_those_of_the_page() {
    let told: Vec<_> = answers().iter().map(|(name, _)| *name).collect();
    assert_eq!(first_column("## What it is told"), set(&told));
    let mut codes: BTreeSet<String> = Close::ALL
        .iter()
        .map(|close| close.code().to_string())
        .collect();
    codes.extend(OF_THE_LIBRARY.iter().map(u16::to_string));
    assert_eq!(first_column("## How it ends"), codes);
    let document = asyncapi();
    let described = document["components"]["schemas"]["code"]["oneOf"].clone();
    let described = described.as_array().expect("codes").iter();
    let described: BTreeSet<_> = described.map(|code| code["const"].to_string()).collect();
    assert_eq!(described, codes);
}

#[test]
fn what_comes_as_server_sent_events_is_named_as_its_type() {
    let document = asyncapi();
    let of_events = names(&document["channels"]["events"]["messages"]);
    for (name, answer) in answers() {
        if of_events.contains(name) {
            assert_eq!(answer.event(), name);
        }
    }
    // A position is a block without data, and nobody changes subscriptions or is refused midway.
    let never = set(&["position", "subscriptions", "error"]);
    assert!(of_events.is_disjoint(&never));
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    fn look(document: &Value, value: &Value) {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(reference)) = object.get("$ref") {
                    let pointer = reference.strip_prefix('#').expect(reference);
                    assert!(document.pointer(pointer).is_some(), "{reference}");
                }
                object.values().for_each(|value| look(document, value));
            }
            Value::Array(list) => list.iter().for_each(|value| look(document, value)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = asyncapi();
    assert_eq!(document["asyncapi"], "3.0.0");
    look(&document, &document);
}
