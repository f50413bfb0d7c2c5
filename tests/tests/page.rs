//! The page of the push server and its client library, in Node and in a real Chromium.

#[path = "page/driver.rs"]
mod driver;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use driver::{Stage, chromium, installed};
use walgate_tests::{Bed, journal_on_disk};
use walgate_throwaway::PgVersion;

const WEB: &str = "crates/walgate-sink-websocket/web";

/// The maze of `sql/`, published.
const MAZE: &str = include_str!("../../sql/maze.sql");

pub(crate) fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

fn bed(name: &str, lines: &str) -> Result<Bed> {
    let mut bed = Bed::shared(PgVersion::V17, name, "")?;
    bed.admin()?.batch_execute(MAZE)?;
    bed.sql("create publication walgate for all tables;")?;
    bed.more = journal_on_disk("");
    bed.sinks = crate::push::websocket(&format!("delivery = \"resumable\"\n{lines}"));
    Ok(bed)
}

/// All files below a folder, by their paths in it.
fn files(folder: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push((path.strip_prefix(folder)?.to_owned(), fs::read(&path)?));
            }
        }
    }
    found.sort();
    Ok(found)
}

#[test]
fn the_built_files_are_those_of_the_sources() -> Result<()> {
    let web = repository().join(WEB);
    let tools = installed(WEB)?;
    // Where it is built must not matter: the sources, with the tools beside them.
    let folder = tempfile::tempdir()?;
    for name in ["client/src", "page"] {
        for (path, bytes) in files(&web.join(name))? {
            let path = folder.path().join(name).join(path);
            fs::create_dir_all(path.parent().context("a folder")?)?;
            fs::write(path, bytes)?;
        }
    }
    for name in [
        "build.mjs",
        "tsconfig.json",
        "client/tsconfig.json",
        "client/package.json",
        "package.json",
    ] {
        fs::copy(web.join(name), folder.path().join(name))?;
    }
    std::os::unix::fs::symlink(
        tools.join("node_modules"),
        folder.path().join("node_modules"),
    )?;
    let built = Command::new("npm")
        .args(["run", "build"])
        .current_dir(folder.path())
        .output()
        .context("npm: run deploy/setup.sh npm")?;
    ensure!(
        built.status.success(),
        "{}{}",
        String::from_utf8_lossy(&built.stdout),
        String::from_utf8_lossy(&built.stderr)
    );
    for name in ["dist", "client/dist"] {
        let (there, here) = (files(&folder.path().join(name))?, files(&web.join(name))?);
        ensure!(!there.is_empty());
        let names = |files: &[(PathBuf, Vec<u8>)]| {
            files.iter().map(|file| file.0.clone()).collect::<Vec<_>>()
        };
        ensure!(names(&there) == names(&here), "{name}: run make web");
        for (new, old) in there.iter().zip(&here) {
            ensure!(new.1 == old.1, "{name}/{}: run make web", old.0.display());
        }
    }
    Ok(())
}

#[test]
fn the_client_does_what_it_is_told() -> Result<()> {
    let tested = Command::new("node")
        .args(["--test", "client/test/"])
        .current_dir(repository().join(WEB))
        .output()
        .context("node: run deploy/setup.sh npm")?;
    let said = String::from_utf8_lossy(&tested.stdout);
    ensure!(tested.status.success(), "{said}");
    ensure!(said.contains("pass 13"), "{said}");
    Ok(())
}

#[test]
fn the_client_follows_resumes_and_is_honest_in_node() -> Result<()> {
    let mut stage = Stage::start(bed("page_client", "")?)?;
    let modules = installed("tests/browser")?;
    let environment = [("MODULES", modules.to_str().context("a path")?)];
    stage.run("tests/browser/client.mjs", &environment)?;
    stage.end()
}

/// What a script that drives the browser is told.
fn drive(stage: &mut Stage, script: &str) -> Result<()> {
    let (modules, browser) = (installed("tests/browser")?, chromium()?);
    let environment = [
        ("MODULES", modules.to_str().context("a path")?),
        ("CHROMIUM", browser.to_str().context("a path")?),
        ("PICTURES", env!("CARGO_TARGET_TMPDIR")),
    ];
    stage.run(script, &environment)
}

#[test]
fn the_page_shows_every_step_once_across_a_restart() -> Result<()> {
    let mut stage = Stage::start(bed("page_maze", "")?)?;
    drive(&mut stage, "tests/browser/page.mjs")?;
    stage.end()
}

#[test]
fn the_page_asks_for_a_token_and_keeps_it_to_itself() -> Result<()> {
    // SHA-256 of "open sesame".
    let hash = "41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb";
    let policy = format!("policy = \"token\"\ntokens = {{ ali = {{ sha256 = \"{hash}\" }} }}");
    let mut stage = Stage::start(bed("page_token", &policy)?)?;
    drive(&mut stage, "tests/browser/token.mjs")?;
    stage.end()
}

/// Node and Chromium, over both carriers, and the page.
#[test]
fn a_token_that_ends_is_replaced_before_it_does() -> Result<()> {
    let key = "a key of sixty-four bytes that nobody but this test has got here";
    let policy = format!(
        "policy = \"token\"\njwt = {{ algorithm = \"HS256\", secret = \"{key}\", skew = \"0s\" }}"
    );
    let mut stage = Stage::start(bed("page_refresh", &policy)?)?;
    let (modules, browser) = (installed("tests/browser")?, chromium()?);
    let environment = [
        ("MODULES", modules.to_str().context("a path")?),
        ("CHROMIUM", browser.to_str().context("a path")?),
        ("JWT_KEY", key),
    ];
    stage.run("tests/browser/refresh.mjs", &environment)?;
    stage.end()
}

/// `make screenshot` copies it to where the README shows it.
#[test]
fn the_picture_of_the_readme_can_be_taken() -> Result<()> {
    let mut stage = Stage::start(bed("page_picture", "")?)?;
    drive(&mut stage, "tests/browser/screenshot.mjs")?;
    stage.end()
}
