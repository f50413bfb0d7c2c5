//! The examples beside `deploy/`'s descriptions: what they mount and name is there.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use walgate_tests::program;

use super::{content, deploy, named, read, repository, tool};

#[test]
fn the_scrape_of_compose_is_sound() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for file in ["compose/prometheus.yml", "prometheus/walgate.rules.yml"] {
        let name = deploy(file);
        let name = name.file_name().context("a name")?;
        std::fs::write(folder.path().join(name), read(file)?)?;
    }
    let scrape = folder.path().join("prometheus.yml");
    content(tool("promtool")?.args(["check", "config"]).arg(scrape))?;
    Ok(())
}

#[test]
fn what_compose_mounts_is_there() -> Result<()> {
    let text = read("compose/compose.yaml")?;
    let mounted = named(r"(?m)^ +- (\.{1,2}/[^:\n]+):", &text)?;
    ensure!(mounted.len() > 6, "the mounts were not found");
    for path in mounted {
        let path = deploy("compose").join(path);
        ensure!(path.exists(), "{}", path.display());
    }
    Ok(())
}

#[test]
fn what_the_image_is_built_from_is_there() -> Result<()> {
    let text = read("docker/Dockerfile")?;
    let sources = named(r"(?m)^COPY ([a-z]\w*) ", &text)?;
    ensure!(sources.len() > 2, "the sources were not found");
    let ignored = read("docker/Dockerfile.dockerignore")?;
    for source in sources {
        ensure!(repository().join(&source).exists(), "{source} is not there");
        ensure!(
            ignored.contains(&format!("\n!{source}\n")),
            "{source} is ignored"
        );
    }
    // What else the workspace needs to be read at all.
    let members = std::fs::read_to_string(repository().join("Cargo.toml"))?;
    let members = named(
        r#""([a-z]+)(?:/\*)?"[,\]]"#,
        members
            .lines()
            .find(|line| line.starts_with("members"))
            .unwrap_or_default(),
    )?;
    for member in members {
        ensure!(
            text.contains(&format!("COPY {member} ")),
            "{member} is not in the image's build"
        );
    }
    Ok(())
}

/// A file that the program takes in while it is compiled may lie outside of the folders of its packages.
#[test]
fn what_the_program_takes_in_is_in_the_image_s_build() -> Result<()> {
    let text = read("docker/Dockerfile")?;
    let copied = named(r"(?m)^COPY ([a-z]\w*) ", &text)?;
    let root = repository().canonicalize()?;
    let mut outside = 0;
    for folder in ["crates", "bench"] {
        for source in sources(&root.join(folder))? {
            let content = std::fs::read_to_string(&source)?;
            for path in named(r#"include_(?:str|bytes)!\(\s*"([^"]+)""#, &content)? {
                let taken = source.parent().context("a folder")?.join(path);
                let taken = taken
                    .canonicalize()
                    .with_context(|| taken.display().to_string())?;
                let first = taken.strip_prefix(&root)?.components().next();
                let first = first.context("a folder")?.as_os_str().to_string_lossy();
                ensure!(
                    copied.iter().any(|copied| *copied == first),
                    "{} needs {}, which is not in the image's build",
                    source.display(),
                    taken.display()
                );
                outside += usize::from(first != folder);
            }
        }
    }
    ensure!(outside > 0, "the demonstration's script was not found");
    Ok(())
}

/// All sources below a folder.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

/// The chart takes rules and dashboard from where they are tested.
#[test]
fn the_chart_has_no_rules_of_its_own() -> Result<()> {
    for (own, tested) in [
        ("walgate.rules.yml", "prometheus/walgate.rules.yml"),
        ("walgate.json", "grafana/walgate.json"),
    ] {
        let link = deploy("helm/walgate/files").join(own).canonicalize()?;
        ensure!(
            link == deploy(tested).canonicalize()?,
            "{own} is another file"
        );
    }
    Ok(())
}

/// The configuration among the chart's values.
fn of_the_chart(values: &str) -> Result<String> {
    let values = read(&format!("helm/walgate/{values}"))?;
    let (_, config) = values.split_once("\nconfig: |\n").context("config")?;
    let lines = config
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with("  "));
    Ok(lines
        .map(|line| format!("{}\n", line.trim_start()))
        .collect())
}

#[test]
fn every_configuration_is_accepted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (name, text) in [
        ("compose", read("compose/walgate.toml")?),
        ("systemd", read("systemd/walgate.toml")?),
        ("terraform", read("terraform/aws/example/walgate.toml")?),
        ("helm", of_the_chart("values.yaml")?),
        ("compose_gateway", read("compose/gateway.toml")?),
        ("helm_gateway", of_the_chart("gateway.yaml")?),
    ] {
        ensure!(
            text.contains("[sinks."),
            "{name}: no configuration was found"
        );
        let secret = "postgres://walgate:secret@db:5432/shop";
        let url = folder.path().join("database.url");
        std::fs::write(&url, secret)?;
        let text = text.replace("/etc/walgate/database.url", &url.display().to_string());
        let file = folder.path().join(name);
        std::fs::write(&file, text)?;
        let mut check = Command::new(program());
        check.args(["config", "check", "-c"]).arg(&file);
        // The hash of a token, where one is configured.
        check.env("PUSH_TOKEN_SHA256", "00".repeat(32));
        content(check.env("DATABASE_URL", secret)).context(name)?;
    }
    Ok(())
}
