//! Two configurations over one recording.

use anyhow::{Result, ensure};
use walgate_tests::refused;

use super::beds::{args, filled, object, run, said};

const FILE: &str = "[sinks.out]\ntype = \"file\"\npath = \"never.ndjson\"\n";

#[test]
fn what_would_change_is_counted_and_shown() -> Result<()> {
    let bed = filled("diff_counted")?;
    let (journal, old, new) = (
        bed.path("journal"),
        bed.path("old.toml"),
        bed.path("new.toml"),
    );
    std::fs::write(
        &old,
        format!("{FILE}ops = [\"insert\", \"update\", \"delete\"]\n"),
    )?;
    let changed = "exclude_tables = [\"public.notes\"]\nmask_key = \"0123456789abcdef\"\n\
                   ops = [\"insert\", \"update\", \"truncate\"]\n\
                   [sinks.out.rules.\"public.shop\"]\nmask = [\"name\"]\n";
    std::fs::write(&new, format!("{FILE}{changed}"))?;
    let words = "diff @ -c @ -c @ --json --examples 2";
    let report = object(words, &[&journal, &old, &new])?;
    let sink = &report["sinks"][0];
    ensure!(sink["sink"] == "out", "{report}");
    let (shop, notes) = (
        &sink["tables"]["public.shop"],
        &sink["tables"]["public.notes"],
    );
    // 41 inserts and 2 updates are masked, 8 deletes go, a truncate comes.
    ensure!(shop["different"] == 43 && shop["only_old"] == 8, "{shop}");
    ensure!(shop["only_new"] == 1 && shop["same"] == 0, "{shop}");
    ensure!(notes["only_old"] == 3 && notes["only_new"] == 0, "{notes}");
    let examples = shop["examples"].as_array().map_or(0, Vec::len);
    ensure!(examples == 5, "two, two and one: {shop}");
    let example = &shop["examples"][0];
    let (before, after) = (&example["old"]["value"], &example["new"]["value"]);
    ensure!(
        before.as_str().is_some_and(|text| text.contains("item 1")),
        "{example}"
    );
    ensure!(
        after.as_str().is_some_and(|text| !text.contains("item 1")),
        "{example}"
    );
    let text = said("diff @ -c @ -c @", &[&journal, &old, &new], &[])?;
    ensure!(text[0] == "sink out", "{text:?}");
    ensure!(
        text.iter()
            .any(|line| line.contains("0 the same, 8 only in old, 1 only in new, 43 different")),
        "{text:?}"
    );
    ensure!(!bed.path("never.ndjson").exists(), "no sink is opened");
    Ok(())
}

#[test]
fn the_same_is_the_same_and_a_new_sink_is_new() -> Result<()> {
    let bed = filled("diff_same")?;
    let (journal, old, new) = (
        bed.path("journal"),
        bed.path("old.toml"),
        bed.path("new.toml"),
    );
    std::fs::write(&old, FILE)?;
    std::fs::write(&new, format!("{FILE}[sinks.more]\ntype = \"stdout\"\n"))?;
    let report = object("diff @ -c @ -c @ --json", &[&journal, &old, &new])?;
    let (more, out) = (&report["sinks"][0], &report["sinks"][1]);
    ensure!(more["in_old"] == false && more["in_new"] == true, "{more}");
    ensure!(more["tables"]["public.shop"]["only_new"] == 52, "{more}");
    ensure!(out["tables"]["public.shop"]["same"] == 52, "{out}");
    ensure!(out["tables"][""]["same"] == 2, "messages: {out}");

    let ended = run(args("diff @ -c @", &[&journal, &old]))?;
    refused(&ended, 2, &["two configurations"], &[])?;
    let ended = run(args(
        "diff @ -c @ -c @ --sink none",
        &[&journal, &old, &new],
    ))?;
    refused(&ended, 2, &["neither configuration has a sink none"], &[])
}
