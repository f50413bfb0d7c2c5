//! Runs programs, and as another user where the server refuses root.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::ThrowawayError;

/// How much of a failed program's output an error carries, in bytes.
const OUTPUT_TAIL_BYTES: usize = 4096;

/// User and group that a server runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    uid: u32,
    gid: u32,
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl User {
    /// The user for servers that refuse root: `postgres` if it exists, else `nobody`. `None` when
    /// we are not root and nothing needs to change.
    pub(crate) fn for_servers() -> Result<Option<Self>, ThrowawayError> {
        if !is_root() {
            return Ok(None);
        }
        let passwd =
            fs::read_to_string("/etc/passwd").map_err(ThrowawayError::io("read", "/etc/passwd"))?;
        find(&passwd, "postgres")
            .or_else(|| find(&passwd, "nobody"))
            .map(Some)
            .ok_or_else(|| {
                ThrowawayError::Setup(
                    "postgresql refuses to run as root and there is no user postgres or nobody\n\
                 hint: run as an ordinary user, or add one of them"
                        .into(),
                )
            })
    }

    /// Gives a file or folder to this user.
    pub(crate) fn own(self, path: &Path) -> Result<(), ThrowawayError> {
        chown(path, Some(self.uid), Some(self.gid)).map_err(ThrowawayError::io("chown", path))
    }

    /// `UID:GID`, as `chown` takes it.
    pub(crate) fn owner(self) -> String {
        format!("{}:{}", self.uid, self.gid)
    }

    /// Makes a command run as this user.
    pub(crate) fn run(self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

/// Looks a name up in the text of `/etc/passwd`.
fn find(passwd: &str, name: &str) -> Option<User> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(User { uid, gid })
    })
}

/// Runs a program to its end and gives what it wrote to stdout.
pub(crate) fn run_to_end(command: &mut Command) -> Result<String, ThrowawayError> {
    let line = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(ThrowawayError::io("run", command.get_program()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    Err(ThrowawayError::Command {
        command: line,
        status: output.status.to_string(),
        output: tail(&text).to_owned(),
    })
}

/// The end of a text, cut at a character.
pub(crate) fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(OUTPUT_TAIL_BYTES);
    let start = (start..text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    text.get(start..).unwrap_or(text)
}

/// Looks a program up on `PATH`.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

/// Fails with the command that installs `program` when it is not on `PATH`.
pub(crate) fn require(
    program: &'static str,
    purpose: impl Into<String>,
) -> Result<(), ThrowawayError> {
    if on_path(program).is_some() {
        return Ok(());
    }
    let (apt, brew) = match program {
        "npm" => ("nodejs npm", "node"),
        "java" => ("default-jre-headless", "openjdk"),
        "mvn" => ("maven", "maven"),
        other => (other, other),
    };
    let install = if cfg!(target_os = "macos") {
        format!("brew install {brew}")
    } else {
        format!("apt-get install {apt}, or run `make setup`")
    };
    Err(ThrowawayError::MissingProgram {
        program,
        purpose: purpose.into(),
        install,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_exact_name() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:7::/:\npostgres:x:101:104:,,:/:\n";
        assert_eq!(find(passwd, "postgres"), Some(User { uid: 101, gid: 104 }));
        assert_eq!(find(passwd, "nobody"), None);
    }

    #[test]
    fn a_tail_starts_at_a_character() {
        let text = "ä".repeat(OUTPUT_TAIL_BYTES);
        let end = tail(&text);
        assert!(end.len() <= OUTPUT_TAIL_BYTES);
        assert!(end.chars().all(|c| c == 'ä'));
    }

    #[test]
    fn a_missing_program_is_named_with_its_remedy() {
        let error = require("no-such-program-here", "a test")
            .unwrap_err()
            .to_string();
        assert!(error.contains("no-such-program-here"), "{error}");
        assert!(error.contains("install"), "{error}");
    }
}
