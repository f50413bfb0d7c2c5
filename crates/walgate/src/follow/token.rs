//! The token: where it comes from, and when the next is needed.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;
use walgate_core::{Failure, StopReason};

use crate::args::FollowArgs;
use crate::config::Secret;

/// The variable that holds a token.
pub(super) const VARIABLE: &str = "WALGATE_TOKEN";

/// How long a command may take for a token: a person may have to confirm it somewhere.
const COMMAND_WITHIN: Duration = Duration::from_secs(60);

/// So long before a token expires the next one is there, unless it lives for less than four times that.
const AHEAD: Duration = Duration::from_secs(60);

/// Between two attempts to get a new one, at least.
const AGAIN: Duration = Duration::from_secs(5);

/// No timer is set further ahead than this: who expires later is looked at again.
const FAR: Duration = Duration::from_secs(86_400);

/// Where tokens come from.
#[derive(Debug, Clone)]
pub(super) enum TokenSource {
    /// None is sent.
    Nowhere,
    /// It is this one, for good.
    Fixed(Secret),
    /// The first line of a file.
    File(PathBuf),
    /// What a command prints.
    Command(String),
}

impl TokenSource {
    /// As the arguments and the environment say.
    pub(super) fn new(args: &FollowArgs, variable: Option<String>) -> Self {
        if let Some(file) = &args.token_file {
            return Self::File(file.clone());
        }
        if let Some(command) = &args.token_command {
            return Self::Command(command.clone());
        }
        let variable = variable.map(|token| token.trim().to_owned());
        match variable.filter(|token| !token.is_empty()) {
            Some(token) => Self::Fixed(Secret::new(token)),
            None => Self::Nowhere,
        }
    }

    /// Whether another one can be had.
    pub(super) const fn has_more(&self) -> bool {
        matches!(self, Self::File(_) | Self::Command(_))
    }

    /// The token of now.
    ///
    /// # Errors
    ///
    /// When there is none where one should be.
    pub(super) async fn fetch(&self) -> Result<Option<Secret>, Failure> {
        let denied = |what: String| Failure::new(StopReason::Permission, what);
        let text = match self {
            Self::Nowhere => return Ok(None),
            Self::Fixed(token) => return Ok(Some(token.clone())),
            Self::File(file) => tokio::fs::read_to_string(file).await.map_err(|error| {
                denied(format!(
                    "can't read the token of {}: {error}",
                    file.display()
                ))
            })?,
            Self::Command(command) => printed(command).await.map_err(denied)?,
        };
        let token = text.lines().next().unwrap_or_default().trim();
        if token.is_empty() {
            return Err(denied("the token is empty".to_owned()));
        }
        Ok(Some(Secret::new(token)))
    }

    /// The next token, in time before `expires`, once there is another than `present`. Never, where
    /// there is none to be had or to be needed.
    pub(super) async fn renewed(
        self,
        present: Option<Secret>,
        expires: Option<SystemTime>,
    ) -> Secret {
        let expires = expires.or_else(|| expiry(present.as_ref()?.expose()));
        let (Some(expires), true) = (expires, self.has_more()) else {
            return std::future::pending().await;
        };
        loop {
            let left = expires
                .duration_since(SystemTime::now())
                .unwrap_or_default();
            let wait = left.saturating_sub(AHEAD.min(left / 4));
            tokio::time::sleep(wait.min(FAR)).await;
            if wait > FAR {
                continue;
            }
            match self.fetch().await {
                Ok(Some(token)) if Some(&token) != present.as_ref() => return token,
                Ok(_) => tracing::debug!("the token is still the one that is about to expire"),
                Err(failure) => tracing::warn!("no new token yet: {}", failure.message),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// What a command of the shell prints; never what it says of a failure with a token in it.
async fn printed(command: &str) -> Result<String, String> {
    let shell = if cfg!(windows) {
        ("cmd", "/C")
    } else {
        ("sh", "-c")
    };
    let running = Command::new(shell.0)
        .arg(shell.1)
        .arg(command)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = timeout(COMMAND_WITHIN, running).await.map_err(|_| {
        format!(
            "the command for the token takes longer than {} s",
            COMMAND_WITHIN.as_secs()
        )
    })?;
    let output =
        output.map_err(|error| format!("the command for the token can't be run: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "the command for the token has failed: {}",
            output.status
        ));
    }
    String::from_utf8(output.stdout).map_err(|_| "the token is no text".to_owned())
}

/// When a token expires by its own words, if it is a JSON Web Token (RFC 7519). Nothing of it is
/// checked: that is the server's part.
pub(super) fn expiry(token: &str) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(claims.trim_end_matches('='))
        .ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    let since = Duration::try_from_secs_f64(claims.exp).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        let encode =
            |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text.as_bytes());
        format!("{}.{}.c2ln", encode(r#"{"alg":"HS256"}"#), encode(claims))
    }

    #[test]
    fn a_json_web_token_says_when_it_expires() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        assert_eq!(expiry(&jwt(r#"{"sub":"a","exp":1795000000}"#)), Some(at));
        for token in [
            "hunter2",
            "a.b.c",
            &jwt("{}"),
            &jwt(r#"{"exp":-1}"#),
            &jwt(r#"{"exp":1e300}"#),
        ] {
            assert_eq!(expiry(token), None, "{token}");
        }
    }

    #[tokio::test]
    async fn a_token_comes_from_a_file_or_a_command() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        let source = TokenSource::File(file.clone());
        let failure = source.fetch().await.expect_err("no file");
        assert_eq!(failure.reason, StopReason::Permission);
        std::fs::write(&file, " one \nsecond line\n").expect("written");
        assert_eq!(source.fetch().await, Ok(Some(Secret::new("one"))));
        std::fs::write(&file, "\n").expect("written");
        assert!(source.fetch().await.is_err());
        let command = |text: &str| TokenSource::Command(text.to_owned());
        assert_eq!(
            command("echo two").fetch().await,
            Ok(Some(Secret::new("two")))
        );
        let failure = command("echo secret; exit 3")
            .fetch()
            .await
            .expect_err("failed");
        assert!(!failure.message.contains("secret"), "{}", failure.message);
        assert_eq!(TokenSource::Nowhere.fetch().await, Ok(None));
    }

    #[tokio::test]
    async fn a_new_token_is_fetched_before_the_old_one_expires() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        std::fs::write(&file, "new").expect("written");
        let soon = SystemTime::now() + Duration::from_secs(2);
        let old = Some(Secret::new("old"));
        let renewed = TokenSource::File(file)
            .renewed(old.clone(), Some(soon))
            .await;
        assert_eq!(renewed, Secret::new("new"));
        // One that can't be had again, or does not expire, is left alone.
        let never = [
            TokenSource::Fixed(Secret::new("old")).renewed(old.clone(), Some(soon)),
            TokenSource::Command("echo new".to_owned()).renewed(old, None),
        ];
        for renewed in never {
            let waited = timeout(Duration::from_millis(20), renewed).await;
            assert!(waited.is_err());
        }
    }
}
