//! `walgate alerts`.

use std::collections::BTreeMap;
use std::io::Write as _;

use walgate_alert::{Channel, Message, Severity};

use crate::args::{AlertsCommand, ConfigFile};
use crate::config::{Overrides, Surroundings, load};
use crate::ending::Ending;
use crate::guard::{Channels, now, source_name};
use crate::wiring::{block_on, source_config};

/// Runs `walgate alerts`.
///
/// # Errors
///
/// When the configuration is wrong, or a channel has not taken the message.
pub fn alerts(command: &AlertsCommand) -> Result<(), Ending> {
    match command {
        AlertsCommand::Test(file) => block_on(Box::pin(test(file))),
    }
}

async fn test(file: &ConfigFile) -> Result<(), Ending> {
    let overrides = Overrides::default();
    let loaded = load(Some(file.path()), &overrides, &Surroundings::of_process())?;
    let config = &loaded.config;
    let channels = Channels::new(&config.alerts)?;
    let connection = source_config(&config.source)?.connection;
    let message = message(&source_name(config, &connection));
    let mut failed = Vec::new();
    let mut others = 0;
    for channel in channels
        .all
        .iter()
        .filter(|channel| **channel != Channel::Log)
    {
        others += 1;
        let (name, sent) = (
            channel.name(),
            channel.send(&channels.client, &message).await,
        );
        match sent {
            Ok(()) => print(&format!("{name}: sent\n"))?,
            Err(error) => {
                print(&format!("{name}: not sent: {error}\n"))?;
                failed.push(name);
            }
        }
    }
    if others == 0 {
        return Err(Ending::other_with_hint(
            "there is no channel but the log: nobody would be told",
            "give [alerts] a webhook, slack, pagerduty_key or command",
        ));
    }
    if failed.is_empty() {
        return Ok(());
    }
    let message = format!(
        "not every channel has taken the message: {}",
        failed.join(", ")
    );
    Err(Ending::other(message))
}

fn message(source: &str) -> Message {
    let at = now();
    Message {
        v: 1,
        kind: "test".to_owned(),
        key: format!("{source}/test"),
        rule: "test".to_owned(),
        subject: "walgate".to_owned(),
        severity: Severity::Warning,
        summary: "this is a test of walgate's alerts, nothing is wrong".to_owned(),
        since: at,
        at,
        source: source.to_owned(),
        facts: BTreeMap::new(),
        forecast: None,
        culprit: None,
        command: None,
    }
}

fn print(text: &str) -> Result<(), Ending> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    written.map_err(|error| Ending::of_output(&error))
}
