//! `[guard]` and `[alerts]` into what the guard takes.

use std::time::Duration;

use walgate_alert::{Channel, Client, DeadMansSwitch, Program, Secret};
use walgate_connection::ConnectionConfig;
use walgate_slot::guard::{Dwell, Level, Plan, Rule, Rules, Step, Telling};

use crate::config::{self, Config, PolicyStep, Severity};
use crate::ending::Ending;

/// So many looks may be missing before a time begins anew.
const LOOKS_IN_A_GAP: u32 = 4;

/// Everything that the guard is told.
pub(crate) struct Settings {
    pub(super) rules: Rules,
    pub(super) dwell: Dwell,
    pub(super) plan: Plan,
    pub(super) telling: Telling,
    /// What the channels were made of.
    pub(super) alerts: config::Alerts,
    pub(super) channels: Channels,
    pub(super) run: Option<Program>,
    /// Whose alerts these are: slot, server and database.
    pub(super) source: String,
    pub(super) slot: String,
    pub(super) database: String,
}

/// How people are reached.
pub(crate) struct Channels {
    pub(crate) all: Vec<Channel>,
    pub(crate) client: Client,
    pub(crate) dead_mans_switch: Option<DeadMansSwitch>,
}

impl Settings {
    pub(crate) fn new(config: &Config, connection: &ConnectionConfig) -> Result<Self, Ending> {
        let guard = &config.guard;
        let interval = config.watch.interval.0;
        let run = guard.run_command.clone();
        let channels = Channels::new(&config.alerts)?;
        Ok(Self {
            rules: rules(guard),
            dwell: Dwell {
                raise_after: guard.raise_after.0,
                settle_after: guard.settle_after.0,
                hysteresis: f64::from(guard.hysteresis) / 100.0,
                longest_gap: Dwell::default()
                    .longest_gap
                    .max(interval.saturating_mul(LOOKS_IN_A_GAP)),
            },
            plan: Plan {
                steps: guard.policy.iter().map(step).collect(),
                run_at: level(guard.run_at),
                release_at: level(guard.release_at),
                drop_at: level(guard.drop_at),
                allow_data_loss: guard.allow_data_loss,
                effect_after: guard.effect_after.0,
            },
            telling: Telling {
                least: level(config.alerts.at),
                repeat: Some(config.alerts.repeat.0),
                channels: channels.names(),
            },
            alerts: config.alerts.clone(),
            channels,
            run: run.map(|words| Program::new(words, guard.run_timeout.0)),
            source: source_name(config, connection),
            slot: config.source.slot.as_str().to_owned(),
            database: connection.dbname().to_owned(),
        })
    }
}

impl Channels {
    pub(crate) fn new(alerts: &config::Alerts) -> Result<Self, Ending> {
        let client = Client::new(alerts.timeout.0)
            .map_err(|problem| Ending::other(format!("alerts can't be sent: {problem}")))?;
        let secret = |secret: &config::Secret| Secret::new(secret.expose());
        let mut all = Vec::new();
        if alerts.log {
            all.push(Channel::Log);
        }
        all.extend(alerts.webhook.as_ref().map(|url| Channel::Webhook {
            url: secret(url),
            token: alerts.webhook_token.as_ref().map(secret),
        }));
        let slack = alerts.slack.as_ref();
        all.extend(slack.map(|url| Channel::Slack { url: secret(url) }));
        all.extend(alerts.pagerduty_key.as_ref().map(|key| Channel::PagerDuty {
            url: Secret::new(alerts.pagerduty_url.as_str()),
            routing_key: secret(key),
        }));
        let command = alerts.command.clone();
        all.extend(
            command.map(|words| Channel::Command(Program::new(words, alerts.command_timeout.0))),
        );
        let url = alerts.dead_mans_switch.as_ref();
        Ok(Self {
            all,
            client,
            dead_mans_switch: url.map(|url| DeadMansSwitch {
                url: secret(url),
                every: alerts.dead_mans_switch_every.0,
            }),
        })
    }
}

impl Channels {
    fn names(&self) -> Vec<String> {
        let names = self.all.iter().map(Channel::name);
        names.map(str::to_owned).collect()
    }
}

/// `walgate@db.example.com:5432/shop`: what tells two databases' alerts apart.
pub(crate) fn source_name(config: &Config, connection: &ConnectionConfig) -> String {
    let slot = config.source.slot.as_str();
    let endpoints = connection.endpoints().join(",");
    format!("{slot}@{endpoints}/{}", connection.dbname())
}

fn rules(guard: &config::Guard) -> Rules {
    let mut rules = Rules::default();
    let seconds = |periods: &[config::Period]| -> Vec<f64> {
        let periods = periods.iter().map(|period| period.0);
        periods.map(|time: Duration| time.as_secs_f64()).collect()
    };
    #[expect(clippy::cast_precision_loss, reason = "round numbers")]
    let bytes =
        |sizes: &[config::Size]| -> Vec<f64> { sizes.iter().map(|size| size.0 as f64).collect() };
    let counts = |counts: &[u32]| -> Vec<f64> { counts.iter().copied().map(f64::from).collect() };
    let shares = |shares: &[u8]| -> Vec<f64> { shares.iter().copied().map(f64::from).collect() };
    rules.set(Rule::RetainedBytes, &bytes(&guard.retained_bytes));
    rules.set(Rule::Headroom, &shares(&guard.headroom));
    rules.set(Rule::Lag, &seconds(&guard.lag));
    rules.set(Rule::TimeToLimit, &seconds(&guard.time_to_limit));
    rules.set(Rule::SlotInactive, &seconds(&guard.slot_inactive));
    rules.set(Rule::ServerSilent, &seconds(&guard.server_silent));
    rules.set(Rule::HeartbeatLate, &seconds(&guard.heartbeat_late));
    rules.set(Rule::SinkDown, &seconds(&guard.sink_down));
    rules.set(Rule::ErrorRate, &shares(&guard.error_rate));
    rules.set(Rule::Backlog, &bytes(&guard.backlog));
    rules.set(Rule::DeadLetters, &counts(&guard.dead_letters));
    rules.set(Rule::CatalogXmin, &counts(&guard.catalog_xmin));
    rules.set(Rule::OrphanSlots, &counts(&guard.orphan_slots));
    rules.set(Rule::JournalFull, &shares(&guard.journal_full));
    rules.set(Rule::WatchBlind, &seconds(&guard.watch_blind));
    let flags = [
        (Rule::SlotStatus, guard.slot_status),
        (Rule::PublicationTables, guard.publication_tables),
        (Rule::SynchronousStandby, guard.synchronous_standby),
        (Rule::Gap, guard.gap),
    ];
    for (rule, on) in flags {
        if !on {
            rules.set(rule, &[]);
        }
    }
    rules
}

fn step(step: &PolicyStep) -> Step {
    match step {
        PolicyStep::Alert => Step::Alert,
        PolicyStep::Run => Step::Run,
        PolicyStep::ReleaseSink(sink) => Step::ReleaseSink(sink.clone()),
        PolicyStep::DropSlot => Step::DropSlot,
    }
}

const fn level(severity: Severity) -> Level {
    match severity {
        Severity::Warning => Level::Warning,
        Severity::Critical => Level::Critical,
        Severity::Emergency => Level::Emergency,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_configuration_says_by_default_is_what_the_rules_ship() {
        assert_eq!(rules(&config::Guard::default()), Rules::default());
        let (guard, dwell) = (config::Guard::default(), Dwell::default());
        assert_eq!(guard.raise_after.0, dwell.raise_after);
        assert_eq!(guard.settle_after.0, dwell.settle_after);
    }
}
