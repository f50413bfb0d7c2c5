//! Ways to people.

use crate::Secret;
use crate::client::Client;
use crate::command::Program;
use crate::error::SendError;
use crate::message::{Message, Severity};
use crate::{pagerduty, slack};

/// A way to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    /// The message as JSON, by POST.
    Webhook {
        /// Where to.
        url: Secret,
        /// `Authorization: Bearer …`.
        token: Option<Secret>,
    },
    /// An incoming webhook of Slack, or of what takes the same.
    Slack {
        /// Where to.
        url: Secret,
    },
    /// Events API v2.
    PagerDuty {
        /// Where to.
        url: Secret,
        /// Whose incident it is.
        routing_key: Secret,
    },
    /// A program.
    Command(Program),
    /// The log of this process.
    Log,
}

impl Channel {
    /// The name in logs and metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Slack { .. } => "slack",
            Self::PagerDuty { .. } => "pagerduty",
            Self::Command(_) => "command",
            Self::Log => "log",
        }
    }

    /// Sends a message once.
    ///
    /// # Errors
    ///
    /// When it did not arrive, or nobody knows.
    pub async fn send(&self, client: &Client, message: &Message) -> Result<(), SendError> {
        match self {
            Self::Webhook { url, token } => {
                let body = serde_json::to_value(message);
                let body = body.map_err(|error| SendError::refused(error.to_string()))?;
                client.post(url, token.as_ref(), &body).await
            }
            Self::Slack { url } => client.post(url, None, &slack::text(message)).await,
            Self::PagerDuty { url, routing_key } => {
                let event = pagerduty::event(message, routing_key);
                client.post(url, None, &event).await
            }
            Self::Command(program) => program.run(message).await.map(|_| ()),
            Self::Log => {
                log(message);
                Ok(())
            }
        }
    }
}

fn log(message: &Message) {
    let (rule, kind) = (message.rule.as_str(), message.kind.as_str());
    let (culprit, hint) = (message.culprit.as_deref(), message.command.as_deref());
    let forecast = message.forecast.as_deref();
    let headline = message.headline();
    if message.is_over() || kind == "test" {
        tracing::info!(rule, "alert {headline}");
    } else if message.severity >= Severity::Critical {
        tracing::error!(rule, kind, culprit, forecast, hint, "alert {headline}");
    } else {
        tracing::warn!(rule, kind, culprit, forecast, hint, "alert {headline}");
    }
}
