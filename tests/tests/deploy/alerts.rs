//! Prometheus' rules and Alertmanager's example.

use anyhow::{Result, ensure};

use super::{content, deploy, files, metrics_in, named, read, tool};

const RULES: &str = "prometheus/walgate.rules.yml";

#[test]
fn rules_are_sound() -> Result<()> {
    let said = content(
        tool("promtool")?
            .args(["check", "rules"])
            .arg(deploy(RULES)),
    )?;
    // Two of one name need labels that tell them apart.
    ensure!(!said.contains("duplicate"), "{said}");
    Ok(())
}

#[test]
fn rules_fire_when_they_should_and_only_then() -> Result<()> {
    let tests = files("prometheus/tests", ".test.yml")?;
    content(tool("promtool")?.args(["test", "rules"]).args(&tests))?;
    Ok(())
}

#[test]
fn every_alert_is_seen_to_fire() -> Result<()> {
    let alerts = named(r"alert: (\w+)", &read(RULES)?)?;
    let mut seen = String::new();
    for file in files("prometheus/tests", ".test.yml")? {
        seen.push_str(&std::fs::read_to_string(file)?);
    }
    let fired = named(r#"labels: '[A-Z]*\{alertname="(\w+)""#, &seen)?;
    let unseen: Vec<_> = alerts.difference(&fired).collect();
    ensure!(unseen.is_empty(), "no test sees these fire: {unseen:?}");
    Ok(())
}

/// A comparison with NaN is never true, unless it is turned round.
#[test]
fn no_rule_can_be_true_of_what_is_not_known() -> Result<()> {
    let rules = read(RULES)?;
    ensure!(!rules.contains("!="), "x != y is true of an x that is NaN");
    ensure!(!rules.contains(" bool "), "0 or 1 of a NaN is a number");
    Ok(())
}

#[test]
fn rules_name_metrics_that_exist() -> Result<()> {
    let known = super::dashboard::known_metrics()?;
    let unknown: Vec<_> = metrics_in(&read(RULES)?.replace("walgate_rules", ""))?
        .into_iter()
        .filter(|metric| !known.contains(metric))
        .collect();
    ensure!(unknown.is_empty(), "no such metrics: {unknown:?}");
    Ok(())
}

#[test]
fn the_example_of_alertmanager_is_sound() -> Result<()> {
    let example = deploy("prometheus/alertmanager.yml");
    content(tool("amtool")?.arg("check-config").arg(example))?;
    Ok(())
}

/// What the example holds back, and after what, are alerts of ours.
#[test]
fn the_example_of_alertmanager_names_alerts_that_exist() -> Result<()> {
    let alerts = named(r"alert: Walgate(\w+)", &read(RULES)?)?;
    let example = read("prometheus/alertmanager.yml")?;
    let lists = named(r#"alertname=~?"Walgate\(?([\w|]+)"#, &example)?;
    for name in lists.iter().flat_map(|list| list.split('|')) {
        ensure!(alerts.contains(name), "no alert Walgate{name}");
    }
    Ok(())
}
