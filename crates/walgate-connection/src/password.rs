//! Where the password comes from: the parameters, a command, or the password file.

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use crate::error::ConnectError;
use crate::host::{Host, Target};
use crate::passfile;
use crate::secret::Secret;

/// A command that asks a secret store over the network needs seconds, not minutes.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// An RDS IAM token has 2 KB. More output than this is not a password.
const MAX_OUTPUT: u64 = 64 << 10;

/// How much of what the command complains about is shown.
const SHOWN_STDERR: usize = 1000;

/// The sources of the password, in the order in which they count: command, value, file.
#[derive(Clone)]
pub(crate) struct PasswordSettings {
    value: Option<Secret>,
    from_text: bool,
    passfile: Option<PathBuf>,
    command: Vec<String>,
}

/// A password for one server, and where it came from, for messages.
#[derive(Debug, Clone)]
pub(crate) struct Password {
    pub(crate) secret: Option<Secret>,
    /// Such as `the password file /home/me/.pgpass`.
    pub(crate) origin: String,
}

impl fmt::Debug for PasswordSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordSettings")
            .field("given", &self.value.is_some())
            .field("passfile", &self.passfile)
            .field("command", &self.command.first())
            .finish_non_exhaustive()
    }
}

impl PasswordSettings {
    pub(crate) const fn new(
        value: Option<Secret>,
        from_text: bool,
        passfile: Option<PathBuf>,
    ) -> Self {
        Self {
            value,
            from_text,
            passfile,
            command: Vec::new(),
        }
    }

    pub(crate) fn set_command(&mut self, command: Vec<String>) {
        self.command = command;
    }

    /// The password for one server. Commands are run and files are read anew each time.
    pub(crate) async fn resolve(
        &self,
        host: &Host,
        user: &str,
        dbname: &str,
    ) -> Result<Password, ConnectError> {
        if let Some((program, arguments)) = self.command.split_first() {
            let secret = run(program, arguments, host, user, dbname).await?;
            let origin = format!("the password command {program}");
            return Ok(Password {
                secret: Some(secret),
                origin,
            });
        }
        if let Some(secret) = &self.value {
            let origin = if self.from_text {
                "the connection string"
            } else {
                "PGPASSWORD"
            };
            return Ok(Password {
                secret: Some(secret.clone()),
                origin: origin.to_owned(),
            });
        }
        let Some(path) = &self.passfile else {
            return Ok(Password {
                secret: None,
                origin: "nowhere".to_owned(),
            });
        };
        let name = host.passfile_name();
        let wanted = passfile::Entry {
            host: &name,
            port: host.port,
            dbname,
            user,
        };
        let shown = path.display();
        Ok(match passfile::look_up(path, &wanted) {
            Ok(Some(secret)) => Password {
                secret: Some(secret),
                origin: format!("the password file {shown}"),
            },
            Ok(None) => Password {
                secret: None,
                origin: format!("nowhere: the password file {shown} has no line for this server"),
            },
            Err(passfile::Ignored::Missing) => Password {
                secret: None,
                origin: "nowhere".to_owned(),
            },
            Err(passfile::Ignored::Because(reason)) => {
                tracing::warn!(path = %shown, reason, "password file ignored");
                let origin = format!("nowhere: the password file {shown} was ignored: {reason}");
                Password {
                    secret: None,
                    origin,
                }
            }
        })
    }
}

async fn run(
    program: &str,
    arguments: &[String],
    host: &Host,
    user: &str,
    dbname: &str,
) -> Result<Secret, ConnectError> {
    let failed = |problem: String| ConnectError::PasswordCommand {
        program: program.to_owned(),
        problem,
    };
    let name = match &host.target {
        Target::Socket(folder) => folder.display().to_string(),
        Target::Address(address) if host.name.is_empty() => address.to_string(),
        Target::Address(_) | Target::Name(_) => host.name.clone(),
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env("PGHOST", name)
        .env("PGPORT", host.port.to_string())
        .env("PGUSER", user)
        .env("PGDATABASE", dbname)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("cannot be started: {error}")))?;
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    let finished = async { tokio::join!(child.wait(), collect(stdout), collect(stderr)) };
    let (status, output, complaint) = tokio::time::timeout(COMMAND_TIMEOUT, finished)
        .await
        .map_err(|_| {
            failed(format!(
                "not finished after {} s",
                COMMAND_TIMEOUT.as_secs()
            ))
        })?;
    let status = status.map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        let complaint = String::from_utf8_lossy(&complaint);
        let complaint: String = complaint.trim().chars().take(SHOWN_STDERR).collect();
        let separator = if complaint.is_empty() { "" } else { ": " };
        return Err(failed(format!(
            "failed with {status}{separator}{complaint}"
        )));
    }
    let text = String::from_utf8(output).map_err(|_| failed("printed no UTF-8".to_owned()))?;
    let line = text.lines().next().unwrap_or_default().trim();
    if line.is_empty() {
        return Err(failed("printed no password".to_owned()));
    }
    if line.contains('\0') {
        return Err(failed("printed a password with a NUL character".to_owned()));
    }
    Ok(Secret::new(line))
}

/// What a stream gives, up to the limit. The rest is read and dropped: a command that cannot write
/// would not end.
async fn collect(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut stream) = stream {
        let kept = (&mut stream).take(MAX_OUTPUT).read_to_end(&mut bytes).await;
        let mut sink = tokio::io::sink();
        let dropped = tokio::io::copy(&mut stream, &mut sink).await;
        for error in [kept.err(), dropped.err()].into_iter().flatten() {
            tracing::debug!(%error, "output of the password command cut off");
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::{Password, PasswordSettings};
    use crate::host::{Host, hosts};
    use crate::secret::Secret;

    fn host() -> Host {
        hosts(Some("db.example"), None, Some("6000"))
            .expect("valid")
            .remove(0)
    }

    fn command(script: &str) -> PasswordSettings {
        let mut settings = PasswordSettings::new(Some(Secret::new("static")), true, None);
        settings.set_command(["sh", "-c", script].map(str::to_owned).to_vec());
        settings
    }

    async fn resolve(settings: &PasswordSettings) -> Result<Password, String> {
        settings
            .resolve(&host(), "me", "app")
            .await
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_first_line_trimmed_is_the_password_and_the_command_wins() {
        let settings = command("printf '  tok en \\r\\nsecond\\n'");
        let password = resolve(&settings).await.expect("resolved");
        assert_eq!(password.secret, Some(Secret::new("tok en")));
    }

    #[tokio::test]
    async fn the_command_learns_which_server_it_is_for() {
        let settings = command("echo $PGHOST:$PGPORT:$PGUSER:$PGDATABASE");
        let password = resolve(&settings).await.expect("resolved");
        assert_eq!(password.secret, Some(Secret::new("db.example:6000:me:app")));
    }

    #[tokio::test]
    async fn a_failure_shows_stderr_and_never_stdout() {
        let error = resolve(&command("echo hunter2; echo no token >&2; exit 3")).await;
        let error = error.expect_err("failed");
        assert!(error.contains("no token") && error.contains('3'), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        let error = resolve(&command("true")).await.expect_err("empty");
        assert!(error.contains("printed no password"), "{error}");
        let error = resolve(&command("printf 'a\\000b'"))
            .await
            .expect_err("NUL");
        assert!(error.contains("NUL"), "{error}");
        let mut missing = command("");
        missing.set_command(vec!["/does/not/exist".to_owned()]);
        assert!(
            resolve(&missing)
                .await
                .expect_err("missing")
                .contains("cannot be started")
        );
    }

    #[tokio::test]
    async fn a_command_that_prints_without_end_is_bounded() {
        let settings = command("yes | head -c 10000000");
        assert_eq!(
            resolve(&settings).await.expect("resolved").secret,
            Some(Secret::new("y"))
        );
    }

    #[tokio::test]
    async fn without_a_source_the_origin_says_so() {
        let settings = PasswordSettings::new(None, false, None);
        let password = resolve(&settings).await.expect("resolved");
        assert_eq!(
            (password.secret, password.origin.as_str()),
            (None, "nowhere")
        );
    }
}
