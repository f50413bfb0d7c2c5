//! What is in effect: defaults, paths, the command line, and who said what.

use walgate::config::{Destination, Origin, Overrides, Secret, explain, load};

use super::{Folder, SINK, read, surroundings};

#[test]
fn explain_names_value_and_origin() {
    let text = format!(
        "[source]\nslot = \"s\"\nurl = \"postgres://a:geheim@h/d\"\n[sinks.k]\ntype = \"kafka\"\n\
                        brokers = [\"${{SECRET}}.example:9092\"]\n[sinks.k.properties]\n\"ssl.key.password\" = \"geheim\"\n\
                        \"linger.ms\" = 5\n{SINK}"
    );
    let folder = Folder::with(text);
    let page = explain(&folder.load().expect("valid"));
    let file = folder.path("walgate.toml");
    let line = |key: &str| {
        let line = page
            .lines()
            .find(|line| line.starts_with(&format!("{key} = ")));
        let line = line.unwrap_or_else(|| panic!("no {key} in\n{page}"));
        line.split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .replace(&file.display().to_string(), "FILE")
    };
    assert_eq!(line("source.slot"), "source.slot = \"s\" # FILE:2");
    assert_eq!(
        line("source.url"),
        "source.url = \"postgres://a:***@h/d\" # FILE:3"
    );
    assert_eq!(line("source.epoch"), "source.epoch = 0 # default");
    assert_eq!(line("sinks.k.type"), "sinks.k.type = \"kafka\" # FILE:5");
    assert_eq!(
        line("sinks.k.brokers"),
        "sinks.k.brokers = [\"${SECRET}.example:9092\"] # FILE:6, environment SECRET"
    );
    assert_eq!(
        line("sinks.k.properties.\"linger.ms\""),
        "sinks.k.properties.\"linger.ms\" = 5 # FILE:9"
    );
    assert_eq!(
        line("sinks.k.properties.\"ssl.key.password\""),
        "sinks.k.properties.\"ssl.key.password\" = \"***\" # FILE:8"
    );
    assert_eq!(
        line("sinks.out.format"),
        "sinks.out.format = \"json\" # default"
    );
    assert!(!page.contains("geheim"));
}

#[test]
fn relative_paths_start_at_the_file() {
    let folder = Folder::with(
        "[state]\ndir = \"s\"\n[sinks.f]\ntype = \"file\"\npath = \"f\"\n[sinks.g]\ntype = \"file\"\npath = \"/g\"\n",
    );
    let config = folder.load().expect("valid").config;
    assert_eq!(config.state.dir, folder.path("s"));
    let path = |name: &str| match &config.sinks[name].destination {
        Destination::File(file) => file.path.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((path("f"), path("g")), (folder.path("f"), "/g".into()));
}

#[test]
fn the_command_line_goes_before_the_file() {
    let folder = Folder::with(format!(
        "[source]\nurl = \"postgres://file@h/d\"\nslot = \"of_file\"\n{SINK}"
    ));
    let overrides = Overrides {
        url: Some(Secret::new("postgres://given@h/d")),
        publications: vec!["given".to_owned()],
        ..Overrides::default()
    };
    let loaded = load(
        Some(&folder.path("walgate.toml")),
        &overrides,
        &surroundings(),
    )
    .expect("valid");
    assert_eq!(
        loaded.config.source.url.as_ref().map(Secret::expose),
        Some("postgres://given@h/d")
    );
    assert_eq!(loaded.config.source.slot.as_str(), "of_file");
    assert_eq!(loaded.config.source.publications, ["given"]);
    assert_eq!(loaded.origin(&["source", "url"]), Origin::CommandLine);
    assert_eq!(loaded.origin(&["source", "epoch"]), Origin::Default);
    assert!(matches!(loaded.origin(&["source", "slot"]), Origin::File(place) if place.line == 3));
}

#[test]
fn without_a_file_changes_go_to_stdout() {
    let overrides = Overrides {
        url: Some(Secret::new("postgres://a@h/d")),
        slot: Some("mine".to_owned()),
        to_stdout: true,
        ..Overrides::default()
    };
    let loaded = load(None, &overrides, &surroundings()).expect("valid");
    assert!(matches!(
        loaded.config.sinks["stdout"].destination,
        Destination::Stdout(_)
    ));
    assert!(loaded.config.sinks["stdout"].required);
    let wrong = Overrides {
        slot: Some("Not-A-Slot".to_owned()),
        ..overrides
    };
    let problems = load(None, &wrong, &surroundings()).expect_err("a bad slot");
    assert!(
        problems.to_string().contains("`source.slot` contains 'N'"),
        "{problems}"
    );
}

#[test]
fn sinks_keep_what_they_are_told() {
    let loaded = read(
        "[sinks.a]\ntype = \"stdout\"\nformat = \"pretty\"\ntables = [\"public.*\"]\nexclude_tables = [\"public.x\"]\n\
         ops = [\"insert\"]\ntransactions = true\nint8 = \"string\"\nbatch = { changes = 5, bytes = \"1KiB\", delay = \"1s\" }\n",
    )
    .expect("valid");
    let sink = &loaded.config.sinks["a"];
    assert_eq!(sink.tables[0].to_string(), "public.*");
    assert_eq!(sink.exclude_tables[0].0.one_table(), Some(("public", "x")));
    assert_eq!(
        (sink.ops.len(), sink.transactions, sink.schema_events),
        (1, true, false)
    );
    assert_eq!(
        (
            sink.batch.changes,
            sink.batch.bytes.0,
            sink.batch.delay.0.as_secs()
        ),
        (5, 1024, 1)
    );
}
