//! Which crate may know which: the arrows of ARCHITECTURE.md, read from the manifests.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// A crate of this workspace, and the crates of this workspace that it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("walgate-pgoutput", &[]),
    ("walgate-binary", &[]),
    ("walgate-core", &["walgate-pgoutput"]),
    ("walgate-connection", &[]),
    ("walgate-format", &["walgate-core", "walgate-pgoutput"]),
    ("walgate-journal", &["walgate-core", "walgate-pgoutput"]),
    (
        "walgate-replication",
        &[
            "walgate-binary",
            "walgate-connection",
            "walgate-core",
            "walgate-pgoutput",
        ],
    ),
    ("walgate-slot", &["walgate-connection", "walgate-core"]),
    ("walgate-alert", &["walgate-core"]),
    (
        "walgate-pipeline",
        &["walgate-core", "walgate-journal", "walgate-pgoutput"],
    ),
    ("walgate-sink-stdout", &["walgate-core"]),
    ("walgate-sink-kafka", &["walgate-core"]),
    ("walgate-sink-websocket", &["walgate-core"]),
    (
        "walgate-source-kafka",
        &["walgate-core", "walgate-pgoutput"],
    ),
    ("walgate-sink-testkit", &["walgate-core"]),
    ("walgate-throwaway", &[]),
];

/// These may depend on every crate: they wire, test and measure.
const ON_ALL: &[&str] = &["walgate", "walgate-tests", "walgate-bench"];

/// The codec and the core have no runtime, no socket, no clock and no logging, at any depth.
const PURE: &[&str] = &["walgate-pgoutput", "walgate-core"];

/// What gives them away. Everything else that is a runtime or a socket stands on one of these.
const IMPURE: &[&str] = &[
    "tokio", "mio", "socket2", "rustix", "libc", "async-io", "tracing", "log",
];

/// What `cargo metadata` says about the whole workspace.
fn metadata(extra: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1"])
        .args(extra)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

/// Each crate of the workspace with its normal dependencies, as its manifest names them.
fn manifests() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().unwrap();
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap();
            let normal = dependencies
                .iter()
                .filter(|dependency| dependency["kind"].is_null())
                .map(|dependency| text(dependency, "name").to_owned())
                .collect();
            (text(package, "name").to_owned(), normal)
        })
        .collect()
}

#[test]
fn every_crate_depends_only_on_what_it_may_know() {
    let manifests = manifests();
    let ours: BTreeSet<&str> = manifests.keys().map(String::as_str).collect();
    let mut wrong = Vec::new();
    for (name, dependencies) in &manifests {
        if ON_ALL.contains(&name.as_str()) {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(crate_name, _)| crate_name == name) else {
            wrong.push(format!("{name} has no line in ARROWS"));
            continue;
        };
        for dependency in dependencies {
            if ours.contains(dependency.as_str()) && !allowed.contains(&dependency.as_str()) {
                wrong.push(format!("{name} must not depend on {dependency}"));
            }
        }
    }
    for (name, _) in ARROWS {
        if !ours.contains(name) {
            wrong.push(format!("{name} has a line in ARROWS and is no crate"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_called_common_or_helpers() {
    for name in manifests().keys() {
        for vague in ["common", "util", "helper", "types", "misc", "shared"] {
            assert!(!name.contains(vague), "{name} says nothing about its job");
        }
    }
}

/// Normal dependencies of a package at any depth, by name.
fn reachable(metadata: &Value, root: &str) -> BTreeSet<String> {
    let name_of: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (text(package, "id"), text(package, "name")))
        .collect();
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| (text(node, "id"), node))
        .collect();
    let mut open: Vec<&str> = nodes
        .keys()
        .copied()
        .filter(|id| name_of[id] == root)
        .collect();
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        for dependency in nodes[id]["deps"].as_array().unwrap() {
            let kinds = dependency["dep_kinds"].as_array().unwrap();
            let package = text(dependency, "pkg");
            if kinds.iter().any(|kind| kind["kind"].is_null())
                && found.insert(name_of[package].to_owned())
            {
                open.push(package);
            }
        }
    }
    found
}

#[test]
fn the_codec_and_the_core_know_no_runtime_and_no_socket() {
    let metadata = metadata(&[]);
    for root in PURE {
        let found = reachable(&metadata, root);
        assert!(
            found.contains("bytes"),
            "{root}: the dependencies were not found: {found:?}"
        );
        for impure in IMPURE {
            assert!(
                !found.contains(*impure),
                "{root} reaches {impure} through its dependencies"
            );
        }
    }
}
