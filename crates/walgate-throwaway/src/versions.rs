//! The pinned versions of `versions.toml`, and which platform this is.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::error::ThrowawayError;

/// The file that pins every download.
const VERSIONS: &str = include_str!("../versions.toml");

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Versions {
    postgres: BTreeMap<String, PostgresRelease>,
    pub(crate) kafka: KafkaRelease,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostgresRelease {
    /// The npm version.
    pub(crate) release: String,
    /// Platform to the tarball's `integrity`.
    pub(crate) integrity: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaRelease {
    pub(crate) release: String,
    pub(crate) slf4j: String,
    pub(crate) maven_dependency_plugin: String,
    pub(crate) jars_sha256: String,
}

impl Versions {
    /// Parses the file that was compiled in.
    pub(crate) fn pinned() -> Result<Self, ThrowawayError> {
        toml::from_str(VERSIONS)
            .map_err(|error| ThrowawayError::Setup(format!("versions.toml: {error}")))
    }

    /// The prebuilt release of a major version.
    pub(crate) fn postgres(&self, major: u32) -> Result<&PostgresRelease, ThrowawayError> {
        self.postgres.get(&major.to_string()).ok_or_else(|| {
            ThrowawayError::Setup(format!("versions.toml pins no PostgreSQL {major}"))
        })
    }
}

/// This platform in npm's words, e.g. `linux-x64` or `darwin-arm64`.
pub(crate) fn platform() -> String {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{system}-{processor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_five_versions_are_pinned_with_sha512() {
        let versions = Versions::pinned().unwrap();
        for major in 14..=18 {
            let release = versions.postgres(major).unwrap();
            assert!(
                release.release.starts_with(&format!("{major}.")),
                "{release:?}"
            );
            assert!(release.integrity.contains_key("linux-x64"), "{release:?}");
            assert!(
                release
                    .integrity
                    .values()
                    .all(|hash| hash.starts_with("sha512-"))
            );
        }
    }
}
