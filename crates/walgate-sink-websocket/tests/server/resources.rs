//! What can be asked for besides the streams.

use serde_json::{Value, json};
use walgate_sink_websocket::{Claims, Guard, Policy, PushOptions, Rule, RuleText, Token};

use crate::bed::{Server, options};

/// SHA-256 of "hunter2".
const HASH: &str = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";

/// The head and the body of a resource.
fn get(server: &Server, path: &str, headers: &str) -> (String, String) {
    let mut wire = server.connect();
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n");
    wire.send(request.as_bytes());
    (wire.head(), wire.rest())
}

fn tables(server: &Server, headers: &str) -> Value {
    let (head, body) = get(server, "/v1/tables", headers);
    assert!(head.starts_with("HTTP/1.0 200 "), "{head}");
    assert!(head.contains("application/json"), "{head}");
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn tables_are_told_once_they_are_known() {
    let server = Server::start(options());
    assert_eq!(tables(&server, ""), json!({"tables": []}));
    server.publish(&["a"]);
    let known = json!({"tables": [{
        "schema": "public",
        "table": "t",
        "columns": [
            {"name": "id", "type": "int4", "key": true},
            {"name": "note", "type": "text", "key": false},
        ],
    }]});
    assert_eq!(tables(&server, ""), known);
}

/// Whoever has the token may see these tables, and nothing of a column `note` where it is `hidden`.
fn guarded(tables: &str, hidden: bool) -> PushOptions {
    let tables = [tables.to_owned()];
    let token = Token::new("ann", HASH, Some(&tables), Claims::default()).expect("a token");
    let rule = RuleText {
        tables: &["public.t".to_owned()],
        rows: None,
        columns: None,
        hidden: &["note".to_owned()],
        unless: None,
    };
    let rules = hidden.then(|| Rule::new(rule).expect("a rule"));
    PushOptions {
        policy: Policy::Guarded(Guard {
            tokens: vec![token],
            rules: rules.into_iter().collect(),
            ..Guard::default()
        }),
        ..options()
    }
}

#[test]
fn what_a_token_does_not_open_is_not_told() {
    for (tables_of_token, hidden, columns) in [
        ("public.*", false, &["id", "note"][..]),
        ("public.t", true, &["id"]),
        ("public.other", false, &[]),
    ] {
        let server = Server::start(guarded(tables_of_token, hidden));
        server.publish(&["a"]);
        let (head, body) = get(&server, "/v1/tables", "");
        assert!(head.starts_with("HTTP/1.0 401 "), "{head}");
        assert!(!body.contains("note"), "{body}");
        let told = tables(&server, "Authorization: Bearer hunter2\r\n");
        let told = told["tables"].as_array().expect("a list").iter();
        let told = told.flat_map(|table| table["columns"].as_array().expect("a list"));
        let told: Vec<_> = told.filter_map(|column| column["name"].as_str()).collect();
        assert_eq!(told, columns);
    }
}

#[test]
fn the_description_of_the_protocol_is_for_everybody() {
    let server = Server::start(options());
    let (head, body) = get(&server, "/v1/asyncapi.json", "");
    assert!(head.starts_with("HTTP/1.0 200 "), "{head}");
    let document: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(document["asyncapi"], "3.0.0");
}
