//! `[alerts]`: who is told.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Period, Secret, Severity};

/// Who is told when a rule of `[guard]` is passed. `walgate alerts test` sends one message through
/// each of these channels. SIGHUP changes all of it while Walgate runs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("x-reload" = true))]
pub struct Alerts {
    /// The least that is told.
    pub at: Severity,
    /// What has not changed is told again after this time.
    #[schemars(extend("x-min" = "1s", "x-max" = "30d"))]
    pub repeat: Period,
    /// Into the log, too: warnings as such, everything worse as an error.
    pub log: bool,
    /// An address that gets each message as JSON, by POST.
    #[schemars(extend("examples" = ["https://alerts.example.com/walgate"]))]
    pub webhook: Option<Secret>,
    /// What is sent there in the header: Authorization: Bearer …
    #[schemars(extend("examples" = ["${file:/etc/walgate/webhook.token}"]))]
    pub webhook_token: Option<Secret>,
    /// An incoming webhook of Slack, or of what takes the same (Mattermost, Discord with /slack).
    #[schemars(extend("examples" = ["${file:/etc/walgate/slack.url}"]))]
    pub slack: Option<Secret>,
    /// The integration key of a PagerDuty service (Events API v2).
    #[schemars(extend("examples" = ["${file:/etc/walgate/pagerduty.key}"]))]
    pub pagerduty_key: Option<Secret>,
    /// Where PagerDuty is; accounts in Europe have events.eu.pagerduty.com instead.
    pub pagerduty_url: String,
    /// A program and its arguments, run without a shell for each message; what is known is in its
    /// environment (`WALGATE_…`), and as JSON on its standard input.
    #[schemars(length(min = 1), extend("examples" = [["/usr/local/bin/page-me"]]))]
    pub command: Option<Vec<String>>,
    /// How long it may take before it is killed, with all that it has started.
    #[schemars(extend("x-min" = "1s", "x-max" = "10m"))]
    pub command_timeout: Period,
    /// How long an address may take to answer. What can't be sent is tried again.
    #[schemars(extend("x-min" = "1s", "x-max" = "1m"))]
    pub timeout: Period,
    /// An address that is asked for as long as nothing critical stands: who runs it (healthchecks.io,
    /// Dead Man's Snitch) raises an alarm when that ends, also when this machine does.
    #[schemars(extend("examples" = ["${file:/etc/walgate/dead-mans-switch.url}"]))]
    pub dead_mans_switch: Option<Secret>,
    /// How often.
    #[schemars(extend("x-min" = "1s", "x-max" = "1d"))]
    pub dead_mans_switch_every: Period,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            at: Severity::Warning,
            repeat: Period::seconds(4 * 3600),
            log: true,
            webhook: None,
            webhook_token: None,
            slack: None,
            pagerduty_key: None,
            pagerduty_url: "https://events.pagerduty.com/v2/enqueue".to_owned(),
            command: None,
            command_timeout: Period::seconds(30),
            timeout: Period::seconds(10),
            dead_mans_switch: None,
            dead_mans_switch_every: Period::seconds(60),
        }
    }
}
