//! A page for each alert, which says what the commands are that help.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use regex::Regex;
use serde_json::Value;
use walgate_tests::program;

use super::{content, deploy, files, named, read};

/// The part of each page that a person who was woken up looks for.
const PARTS: &[&str] = &[
    "## See it",
    "## Causes, the likely ones first",
    "## If nobody acts",
    "## On RDS",
];

#[test]
fn every_alert_has_a_page_and_every_page_an_alert() -> Result<()> {
    let rules = read("prometheus/walgate.rules.yml")?;
    let index = read("runbooks/README.md")?;
    let rule = Regex::new(r"alert: (\w+)[\s\S]*?rule: (\w+)[\s\S]*?runbook: (\S+)")?;
    let mut pages = vec!["README".to_owned()];
    for found in rule.captures_iter(&rules) {
        let (alert, name, page) = (&found[1], &found[2], &found[3]);
        ensure!(
            page == format!("deploy/runbooks/{name}.md"),
            "{alert}: {page}"
        );
        let text = read(&format!("runbooks/{name}.md")).context(alert.to_owned())?;
        ensure!(
            text.starts_with(&format!("# {alert}\n")),
            "{page} is not about {alert}"
        );
        for part in PARTS {
            ensure!(text.contains(part), "{page} has no part {part}");
        }
        ensure!(
            index.contains(&format!("| {alert} | [{name}.md]({name}.md) |")),
            "{name} is not in the index"
        );
        pages.push(name.to_owned());
    }
    ensure!(pages.len() > 20, "the rules were not found");
    for file in files("runbooks", ".md")? {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        ensure!(
            pages.contains(&name.into_owned()),
            "{} has no alert",
            file.display()
        );
    }
    Ok(())
}

#[test]
fn pages_name_pages_and_files_that_are_there() -> Result<()> {
    for file in files("runbooks", ".md")? {
        let text = std::fs::read_to_string(&file)?;
        let pages = named(r"\b([a-z_]+\.md)\b", &text)?;
        let paths = named(r"`((?:deploy|sql)/[\w./-]+)`", &text)?;
        for path in pages.iter().map(|page| deploy("runbooks").join(page)) {
            ensure!(path.exists(), "{}: {}", file.display(), path.display());
        }
        for path in paths.iter().map(|path| super::repository().join(path)) {
            ensure!(path.exists(), "{}: {}", file.display(), path.display());
        }
    }
    Ok(())
}

/// Each command of ours is one that the program takes, with these options.
#[test]
fn pages_name_commands_and_keys_that_exist() -> Result<()> {
    let mut commands = Vec::new();
    let mut keys = Vec::new();
    for file in files("runbooks", ".md")? {
        let text = std::fs::read_to_string(&file)?;
        commands.extend(named(r"(?m)(?:`|^)walgate ([a-z][^`\n#]*)", &text)?);
        keys.extend(named(
            r"`((?:source|journal|state|watch|http|guard|alerts)\.[a-z_]+)`",
            &text,
        )?);
    }
    for command in &commands {
        let words: Vec<_> = command.split_whitespace().collect();
        let names = words
            .iter()
            .take_while(|word| word.chars().all(|letter| letter.is_ascii_lowercase()));
        let names: Vec<_> = names.collect();
        let help = content(Command::new(program()).args(&names).arg("--help"))
            .with_context(|| format!("walgate {command}"))?;
        for option in words.iter().filter(|word| word.starts_with('-')) {
            let option = option.split('=').next().unwrap_or(option);
            ensure!(help.contains(option), "walgate {command}: no {option}");
        }
    }
    let schema = content(Command::new(program()).args(["config", "schema"]))?;
    for key in &keys {
        let name = key.split('.').next_back().unwrap_or_default();
        ensure!(schema.contains(&format!("\"{name}\"")), "no key {key}");
    }
    Ok(())
}

/// Who is alerted by Walgate itself finds the same page as who is by Prometheus.
#[test]
fn every_rule_of_the_guard_has_a_page() -> Result<()> {
    let schema = content(Command::new(program()).args(["config", "schema"]))?;
    let schema: Value = serde_json::from_str(&schema)?;
    let keys = schema["properties"]["guard"]["properties"]
        .as_object()
        .context("the keys of [guard]")?;
    for file in files("runbooks", ".md")? {
        let page = file.file_stem().unwrap_or_default().to_string_lossy();
        let of_prometheus = ["README", "down", "absent"].contains(&page.as_ref());
        ensure!(
            of_prometheus || keys.contains_key(page.as_ref()),
            "no rule {page}"
        );
    }
    let lists = keys.iter().filter(|(_, key)| key["type"] == "array");
    let rules = lists.filter(|(name, _)| !["policy", "run_command"].contains(&name.as_str()));
    let rules: Vec<_> = rules.map(|(name, _)| name).collect();
    ensure!(rules.len() > 10, "the rules were not found");
    for rule in rules {
        ensure!(
            deploy("runbooks").join(format!("{rule}.md")).exists(),
            "no page for {rule}"
        );
    }
    Ok(())
}

/// The role of `source.url` may read: what changes the server is refused to it in the middle of the night.
#[test]
fn what_needs_rights_is_asked_as_who_has_them() -> Result<()> {
    let needs = Regex::new(
        r"(?i)\b(?:alter|create|drop|grant|revoke|vacuum|commit|rollback)\b|pg_reload_conf|pg_terminate_backend|-f sql/",
    )?;
    let mut asked = 0;
    for file in files("runbooks", ".md")? {
        let text = std::fs::read_to_string(&file)?;
        for command in named(r"(?m)(?:`|^)(psql [^`\n]+ -[cf] [^`\n]+)", &text)? {
            let role = match needs.is_match(&command) {
                true => "psql \"$ADMIN_URL\" ",
                false => "psql \"$DATABASE_URL\"",
            };
            asked += usize::from(needs.is_match(&command));
            ensure!(
                command.starts_with(role),
                "{}: {command} is not for {role}",
                file.display()
            );
        }
        // How much fits is not for a page to know.
        let size = named(r"max_slot_wal_keep_size = '(\w+)'", &text)?;
        ensure!(
            size.iter().all(|size| size == "SIZE"),
            "{}: {size:?}",
            file.display()
        );
    }
    ensure!(asked > 4, "the commands were not found");
    Ok(())
}

/// One port everywhere.
#[test]
fn addresses_have_the_port_of_the_examples() -> Result<()> {
    let values = read("helm/walgate/values.yaml")?;
    for file in files("runbooks", ".md")? {
        let text = std::fs::read_to_string(&file)?;
        for port in named(r"HOST:(\d+)", &text)? {
            ensure!(
                values.contains(&format!(":{port}\"")),
                "{}: {port}",
                file.display()
            );
        }
    }
    Ok(())
}
