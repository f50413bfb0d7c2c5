//! Finds `initdb` and `postgres` of a version: installed, cached or fetched.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::download;
use crate::error::ThrowawayError;
use crate::postgres::options::PgVersion;
use crate::run_as::{on_path, run_to_end};
use crate::versions::platform;

/// The version that is fetched when any would do: the newest one with all its minor releases
/// behind it that is published for every platform.
const FETCHED_BY_DEFAULT: u32 = 17;

/// The versions that Walgate supports, newest first.
const NEWEST_FIRST: [u32; 5] = [18, 17, 16, 15, 14];

/// Binaries of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binaries {
    pub(crate) bin: PathBuf,
    pub(crate) major: u32,
}

impl Binaries {
    /// Finds them, fetching what is not here.
    pub(crate) fn find(version: PgVersion) -> Result<Self, ThrowawayError> {
        if let Some(major) = version.major() {
            return match installed(major) {
                Some(bin) => Ok(Self { bin, major }),
                None => Ok(Self {
                    bin: download::postgres_bin(major)?,
                    major,
                }),
            };
        }
        let newest = NEWEST_FIRST
            .into_iter()
            .find_map(|major| match installed(major) {
                Some(bin) => Some(Ok(Self { bin, major })),
                None if version == PgVersion::Any && download::postgres_is_cached(major) => {
                    Some(download::postgres_bin(major).map(|bin| Self { bin, major }))
                }
                None => None,
            });
        match newest {
            Some(found) => found,
            None if version == PgVersion::Any => Ok(Self {
                bin: download::postgres_bin(FETCHED_BY_DEFAULT)?,
                major: FETCHED_BY_DEFAULT,
            }),
            None => Err(ThrowawayError::NoBinaries {
                version: version.to_string(),
                platform: platform(),
                hint: "install PostgreSQL 14 to 18, or put its bin folder on PATH".into(),
            }),
        }
    }
}

/// The folder with an installed server of this major version.
fn installed(major: u32) -> Option<PathBuf> {
    if let Some(dir) = env::var_os(format!("WALGATE_PG_BIN_{major}")) {
        return Some(PathBuf::from(dir));
    }
    let places = [
        format!("/usr/lib/postgresql/{major}/bin"),
        format!("/usr/pgsql-{major}/bin"),
        format!("/opt/homebrew/opt/postgresql@{major}/bin"),
        format!("/usr/local/opt/postgresql@{major}/bin"),
    ];
    if let Some(dir) = places
        .into_iter()
        .map(PathBuf::from)
        .find(|dir| is_server(dir))
    {
        return Some(dir);
    }
    let dir = on_path("postgres")?.parent()?.to_owned();
    (is_server(&dir) && major_of(&dir.join("postgres")) == Some(major)).then_some(dir)
}

fn is_server(dir: &Path) -> bool {
    dir.join("postgres").is_file() && dir.join("initdb").is_file()
}

/// The major version that `postgres --version` names.
fn major_of(postgres: &Path) -> Option<u32> {
    parse_major(&run_to_end(Command::new(postgres).arg("--version")).ok()?)
}

/// Takes 17 from `postgres (PostgreSQL) 17.10`.
fn parse_major(answer: &str) -> Option<u32> {
    let number = answer.split_whitespace().nth(2)?;
    number
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// An installed client program of PostgreSQL (`psql`, `pg_recvlogical`, `pgbench`, …): from `PATH`,
/// else from the newest installed version. The prebuilt servers come without them.
pub fn client_program(name: &str) -> Option<PathBuf> {
    let beside_server = || {
        NEWEST_FIRST
            .into_iter()
            .filter_map(installed)
            .map(|dir| dir.join(name))
            .find(|file| file.is_file())
    };
    on_path(name).or_else(beside_server)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_any_vendor_s_answer() {
        assert_eq!(
            parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(parse_major("postgres"), None);
    }
}
