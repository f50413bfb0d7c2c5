//! The built program, from outside: what it prints, where, and how it ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Runs the program in a folder, without the variables that would change what it does.
fn walgate(folder: &Path, args: &[&str]) -> Output {
    command(folder, args).output().expect("the program starts")
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walgate"));
    command.current_dir(folder).args(args).stdin(Stdio::null());
    for name in [
        "WALGATE_CONFIG",
        "NO_COLOR",
        "RUST_BACKTRACE",
        "PGHOST",
        "PGSERVICE",
    ] {
        command.env_remove(name);
    }
    command.env("PGUSER", "app");
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

const COMMANDS: [&[&str]; 8] = [
    &[],
    &["run"],
    &["tail"],
    &["demo"],
    &["completions"],
    &["man"],
    &["config"],
    &["config", "check"],
];

#[test]
fn every_command_has_help_with_examples() {
    let here = folder();
    for command in COMMANDS {
        for flag in ["-h", "--help"] {
            let output = walgate(here.path(), &[command, &[flag]].concat());
            let page = stdout(&output);
            assert_eq!(output.status.code(), Some(0), "{command:?} {flag}");
            assert!(
                page.contains("Usage: walgate") && page.contains("Example"),
                "{command:?} {flag}\n{page}"
            );
            assert_eq!(stderr(&output), "");
        }
    }
    for command in ["", "run", "tail"] {
        let args: Vec<_> = command.split_whitespace().chain(["--help"]).collect();
        let page = stdout(&walgate(here.path(), &args));
        for line in [
            "0  a clean end",
            "4  the slot is lost",
            "8  the state folder",
        ] {
            assert!(page.contains(line), "{command}: {line}\n{page}");
        }
    }
}

#[test]
fn the_exit_codes_in_the_help_are_those_of_the_program() {
    use walgate_core::StopReason;
    let codes = [
        (StopReason::Config, "configuration"),
        (StopReason::Permission, "right is missing"),
        (StopReason::Gap, "changes are missing"),
        (StopReason::SlotBusy, "uses the slot"),
        (StopReason::Sink, "sink"),
        (StopReason::Data, "record"),
        (StopReason::State, "state folder"),
    ];
    for (reason, words) in codes {
        let start = format!("  {}  ", reason.exit_code());
        let line = walgate::args::EXIT_CODES
            .lines()
            .find(|line| line.starts_with(&start));
        assert!(
            line.is_some_and(|line| line.contains(words)),
            "{reason:?}: {line:?}"
        );
    }
}

#[test]
fn version_is_said() {
    let output = walgate(folder().path(), &["--version"]);
    assert!(stdout(&output).starts_with("walgate "), "{output:?}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let here = folder();
    for args in [
        &["fly"][..],
        &["run", "--fly"],
        &["tail", "--from", "0/10"],
        &["tail", "--peek"],
        &["tail", "--count", "0"],
        &["config"],
        &["completions", "vi"],
        &["-v", "-q", "demo"],
        &["demo", "--seconds", "0"],
    ] {
        let output = walgate(here.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(stdout(&output), "", "{args:?}");
        assert!(
            stderr(&output).contains("--help"),
            "{args:?}\n{}",
            stderr(&output)
        );
    }
}

#[test]
fn the_example_is_written_and_accepted() {
    let here = folder();
    let example = walgate(here.path(), &["config", "example"]);
    assert_eq!(example.status.code(), Some(0));
    std::fs::write(here.path().join("walgate.toml"), &example.stdout).expect("written");
    for args in [
        &["config", "check"][..],
        &["config", "check", "-c", "walgate.toml"],
    ] {
        let output = walgate(here.path(), args);
        assert_eq!(
            (output.status.code(), stdout(&output)),
            (Some(0), "walgate.toml is valid\n".to_owned())
        );
        assert_eq!(stderr(&output), "");
    }
    assert_eq!(
        std::fs::read_dir(here.path()).expect("a folder").count(),
        1,
        "nothing else is written"
    );
    let output = walgate(here.path(), &["config", "explain"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stdout(&output).lines().all(|line| line.contains("  # ")),
        "{}",
        stdout(&output)
    );
}

#[test]
fn the_deployed_example_is_the_written_one() {
    let output = walgate(folder().path(), &["config", "example"]);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/walgate.example.toml");
    let deployed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        deployed == stdout(&output),
        "run: walgate config example > deploy/walgate.example.toml"
    );
}

#[test]
fn a_wrong_file_ends_with_2_and_says_everything() {
    let here = folder();
    std::fs::write(
        here.path().join("bad.toml"),
        "[source]\nslto = \"a\"\nepoch = 300\n",
    )
    .expect("written");
    for command in ["check", "explain"] {
        let output = walgate(here.path(), &["config", command, "-c", "bad.toml"]);
        assert_eq!(
            (output.status.code(), stdout(&output)),
            (Some(2), String::new())
        );
        assert_eq!(
            stderr(&output),
            "error: bad.toml:2:1: unknown key `source.slto`\n\
             hint: did you mean `slot`?\n\
             error: bad.toml:3:9: `source.epoch` is too large\n\
             hint: allowed is 0 to 255\n"
        );
    }
    let output = walgate(here.path(), &["run", "-c", "bad.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("unknown key `source.slto`"));
}

#[test]
fn a_missing_file_says_how_to_get_one() {
    let here = folder();
    for args in [&["run"][..], &["config", "check"], &["config", "explain"]] {
        let output = walgate(here.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(
            stderr(&output),
            "error: the configuration walgate.toml does not exist\n\
             hint: name a file with -c, or write one: walgate config example > walgate.toml\n"
        );
    }
}

#[test]
fn the_file_may_be_named_by_the_environment() {
    let here = folder();
    std::fs::write(
        here.path().join("other.toml"),
        "[sinks.out]\ntype = \"stdout\"\n",
    )
    .expect("written");
    let output = command(here.path(), &["config", "check"])
        .env("WALGATE_CONFIG", "other.toml")
        .output();
    assert_eq!(
        stdout(&output.expect("the program starts")),
        "other.toml is valid\n"
    );
}

#[test]
fn colours_are_asked_for() {
    let here = folder();
    let coloured = |args: &[&str]| stderr(&walgate(here.path(), args)).contains('\x1b');
    assert!(!coloured(&["config", "check"]), "stderr is no terminal");
    assert!(coloured(&["--color", "always", "config", "check"]));
    assert!(!coloured(&["--color", "never", "config", "check"]));
}

#[test]
fn secrets_stay_out_of_every_output() {
    let here = folder();
    let text = "[source]\nurl = \"postgres://app:hunter2hunter2@h/d\"\nslot = \"${TOKEN}\"\n[sinks.out]\ntype = \"stdout\"\n";
    std::fs::write(here.path().join("walgate.toml"), text).expect("written");
    for (token, code) in [("Hunter2-Token", 2), ("hunter2_token", 0)] {
        for args in [&["config", "check"][..], &["config", "explain"]] {
            let output = command(here.path(), args)
                .env("TOKEN", token)
                .output()
                .expect("started");
            let said = stdout(&output) + &stderr(&output);
            assert_eq!(output.status.code(), Some(code), "{said}");
            assert!(!said.to_lowercase().contains("hunter2"), "{said}");
        }
    }
}

#[test]
fn the_schema_is_json() {
    let output = walgate(folder().path(), &["config", "schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(schema["title"], "walgate.toml");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(
        schema["properties"]["source"]["properties"]["slot"]["default"],
        "walgate"
    );
    assert_eq!(
        schema["properties"]["sinks"]["additionalProperties"]["unevaluatedProperties"],
        false
    );
}

#[test]
fn completions_and_manual_pages_know_the_commands() {
    let here = folder();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = walgate(here.path(), &["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(stdout(&output).contains("schema-events"), "{shell}");
    }
    let page = stdout(&walgate(here.path(), &["man"]));
    assert!(
        page.contains(".TH walgate 1") && page.contains("Exit codes"),
        "{page}"
    );
    let output = walgate(here.path(), &["man", "--dir", "pages"]);
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(0), String::new())
    );
    for name in [
        "walgate.1",
        "walgate-run.1",
        "walgate-tail.1",
        "walgate-config-check.1",
    ] {
        let page = std::fs::read_to_string(here.path().join("pages").join(name)).expect(name);
        assert!(page.contains(".SH NAME"), "{name}");
    }
}

#[test]
fn a_closed_pipe_is_a_clean_end() {
    let here = folder();
    let mut child = command(here.path(), &["config", "schema"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // Closed before it can have written more than a pipe holds.
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(
        (output.status.code(), stderr(&output)),
        (Some(0), String::new())
    );
}
