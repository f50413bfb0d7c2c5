//! The dashboard of Grafana.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{content, metrics_in, named, read, repository, tool};

/// Metrics that Walgate has, as its table of them says.
pub(super) fn known_metrics() -> Result<BTreeSet<String>> {
    let table = repository().join("crates/walgate/METRICS.md");
    let table = std::fs::read_to_string(table)?;
    let known = named(r"(?m)^\| `([a-z_]+)` \|", &table)?;
    ensure!(known.len() > 50, "the table of metrics was not found");
    Ok(known)
}

fn panels() -> Result<Vec<Value>> {
    let dashboard: Value = serde_json::from_str(&read("grafana/walgate.json")?)?;
    let panels = dashboard["panels"].as_array().context("panels")?;
    ensure!(panels.len() > 40, "the panels were not found");
    Ok(panels.clone())
}

/// Every expression, with the title of its panel.
fn expressions() -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for panel in panels()? {
        let title = panel["title"].as_str().context("a title")?;
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expression = target["expr"].as_str().context("an expression")?;
            found.push((title.to_owned(), expression.to_owned()));
        }
    }
    Ok(found)
}

#[test]
fn every_metric_in_it_exists() -> Result<()> {
    let known = known_metrics()?;
    for (title, expression) in expressions()? {
        for metric in metrics_in(&expression)? {
            ensure!(known.contains(&metric), "{title}: no metric {metric}");
        }
    }
    Ok(())
}

#[test]
fn every_metric_is_in_it() -> Result<()> {
    let dashboard = read("grafana/walgate.json")?;
    let shown = metrics_in(&dashboard)?;
    let missing: Vec<_> = known_metrics()?.difference(&shown).cloned().collect();
    ensure!(missing.is_empty(), "no panel shows {missing:?}");
    Ok(())
}

#[test]
fn every_expression_is_promql() -> Result<()> {
    let mut rules = "groups:\n  - name: panels\n    rules:\n".to_owned();
    for (number, (title, expression)) in expressions()?.into_iter().enumerate() {
        let expression = expression.replace("$__rate_interval", "5m");
        rules.push_str(&format!(
            "      # {title}\n      - record: panel_{number}\n        expr: {}\n",
            serde_json::to_string(&expression)?
        ));
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("panels.yml");
    std::fs::write(&file, rules)?;
    content(tool("promtool")?.args(["check", "rules"]).arg(file))?;
    Ok(())
}

#[test]
fn no_panel_hides_another() -> Result<()> {
    let mut seen = BTreeSet::new();
    let mut used = BTreeSet::new();
    for panel in panels()? {
        let title = &panel["title"];
        ensure!(
            seen.insert(panel["id"].as_u64()),
            "{title}: its id is used twice"
        );
        let place = |name: &str| panel["gridPos"][name].as_u64().context("a place");
        let (left, top) = (place("x")?, place("y")?);
        ensure!(left + place("w")? <= 24, "{title}: wider than the page");
        for x in left..left + place("w")? {
            for y in top..top + place("h")? {
                ensure!(used.insert((x, y)), "{title}: over another one at {x}, {y}");
            }
        }
    }
    Ok(())
}
