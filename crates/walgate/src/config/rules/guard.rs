//! Rules of `[guard]` and `[alerts]`.

use std::fmt::Display;

use super::Rules;
use crate::config::{Config, Guard, PolicyStep};

impl Rules<'_> {
    pub(super) fn guard(&mut self, config: &Config) {
        let guard = &config.guard;
        self.rising("retained_bytes", &guard.retained_bytes);
        self.falling("headroom", &guard.headroom);
        self.rising("lag", &guard.lag);
        self.falling("time_to_limit", &guard.time_to_limit);
        self.rising("slot_inactive", &guard.slot_inactive);
        self.rising("server_silent", &guard.server_silent);
        self.rising("heartbeat_late", &guard.heartbeat_late);
        self.rising("sink_down", &guard.sink_down);
        self.rising("error_rate", &guard.error_rate);
        self.rising("backlog", &guard.backlog);
        self.rising("dead_letters", &guard.dead_letters);
        self.rising("catalog_xmin", &guard.catalog_xmin);
        self.rising("orphan_slots", &guard.orphan_slots);
        self.rising("journal_full", &guard.journal_full);
        self.rising("watch_blind", &guard.watch_blind);
        self.seen_often(config);
        self.budget(config);
        self.policy(config);
        self.alerts(config);
    }

    fn rising<T: PartialOrd + Display>(&mut self, rule: &str, thresholds: &[T]) {
        self.in_order(rule, thresholds, "at least", |one, next| one <= next);
    }

    fn falling<T: PartialOrd + Display>(&mut self, rule: &str, thresholds: &[T]) {
        self.in_order(rule, thresholds, "at most", |one, next| one >= next);
    }

    fn in_order<T: Display>(
        &mut self,
        rule: &str,
        thresholds: &[T],
        bound: &str,
        may_follow: fn(&T, &T) -> bool,
    ) {
        const LEVELS: [&str; 3] = ["warning", "critical", "emergency"];
        let key = ["guard", rule];
        if thresholds.len() > LEVELS.len() {
            let message = format!("`guard.{rule}` has {} thresholds", thresholds.len());
            let hint = "at most three: of warning, critical and emergency";
            return self.refuse(&key, message, hint);
        }
        for ((one, next), names) in thresholds
            .iter()
            .zip(thresholds.iter().skip(1))
            .zip(LEVELS.windows(2))
        {
            if let (false, [before, after]) = (may_follow(one, next), names) {
                let message = format!(
                    "`guard.{rule}` contradicts itself: {after} at {next} comes before {before} at {one}"
                );
                let hint = format!("{after} is {bound} {one}");
                self.refuse(&key, message, hint);
            }
        }
    }

    /// What is looked at less often than this is never seen for so long at every look.
    fn seen_often(&mut self, config: &Config) {
        let (guard, interval) = (&config.guard, config.watch.interval);
        if guard.settle_after < guard.raise_after {
            let message = "`guard.settle_after` is shorter than `guard.raise_after`: it would flap";
            let hint = format!("at least \"{}\"", guard.raise_after);
            self.refuse(&["guard", "settle_after"], message, hint);
        }
        let acts = guard.policy.iter().any(|step| *step != PolicyStep::Alert);
        if acts && interval.0 > guard.raise_after.0.max(guard.effect_after.0) {
            let message = "`watch.interval` is longer than the times after which the guard acts";
            let hint = "look at least as often as guard.raise_after says";
            self.refuse(&["watch", "interval"], message, hint);
        }
    }

    /// A budget below a threshold of bytes makes that one say nothing.
    fn budget(&mut self, config: &Config) {
        let Some(budget) = config.watch.budget else {
            return;
        };
        let given = config.guard.retained_bytes != Guard::default().retained_bytes;
        let Some(beyond) = config.guard.retained_bytes.iter().find(|at| **at > budget) else {
            return;
        };
        if given {
            let message = format!(
                "`guard.retained_bytes` has {beyond}, and `watch.budget` is used up at {budget}"
            );
            let hint = "lower the threshold, or raise the budget";
            self.refuse(&["guard", "retained_bytes"], message, hint);
        }
    }

    fn policy(&mut self, config: &Config) {
        let guard = &config.guard;
        let key = ["guard", "policy"];
        for (place, step) in guard.policy.iter().enumerate() {
            if guard.policy.iter().take(place).any(|other| other == step) {
                self.refuse(
                    &key,
                    format!("`guard.policy` has \"{step}\" twice"),
                    "leave one out",
                );
            }
            let loses = matches!(step, PolicyStep::ReleaseSink(_) | PolicyStep::DropSlot);
            if loses && !guard.allow_data_loss {
                let message = format!("`guard.policy` has \"{step}\", which loses changes");
                let hint = "if that is meant, set [guard] allow_data_loss = true";
                self.refuse(&key, message, hint);
            }
            if *step == PolicyStep::DropSlot && config.state.checkpoint_topic.is_some() {
                let message = "`guard.policy` has \"drop-slot\", which needs the checkpoint in the state folder";
                self.refuse(
                    &key,
                    message,
                    "leave out `state.checkpoint_topic`, or the step",
                );
            }
            if let PolicyStep::ReleaseSink(name) = step {
                let missing = match config.sinks.get(name) {
                    None => "which is not there",
                    Some(sink) if !sink.required => "which is not required",
                    Some(_) => continue,
                };
                let message = format!("`guard.policy` releases the sink {name:?}, {missing}");
                self.refuse(
                    &key,
                    message,
                    "name a table [sinks.NAME] with required = true",
                );
            }
        }
        let runs = guard.policy.contains(&PolicyStep::Run);
        match (&guard.run_command, runs) {
            (None, true) => {
                let message = "`guard.policy` has \"run\", and there is no `guard.run_command`";
                self.refuse(
                    &key,
                    message,
                    "give run_command = [\"program\", \"argument\", …]",
                );
            }
            (Some(_), false) => {
                let message = "`guard.run_command` is never used without \"run\" in `guard.policy`";
                self.refuse(
                    &["guard", "run_command"],
                    message,
                    "add the step, or leave it out",
                );
            }
            (Some(words), true) => self.program(&["guard", "run_command"], words),
            (None, false) => {}
        }
        let loses = guard
            .policy
            .iter()
            .any(|step| matches!(step, PolicyStep::ReleaseSink(_) | PolicyStep::DropSlot));
        if guard.allow_data_loss && !loses {
            let message =
                "`guard.allow_data_loss` is never used: no step of the policy loses changes";
            self.refuse(&["guard", "allow_data_loss"], message, "leave it out");
        }
    }

    fn alerts(&mut self, config: &Config) {
        let alerts = &config.alerts;
        if alerts.webhook_token.is_some() && alerts.webhook.is_none() {
            let message = "`alerts.webhook_token` is never used without `alerts.webhook`";
            self.refuse(&["alerts", "webhook_token"], message, "leave it out");
        }
        let addresses = [
            ("webhook", alerts.webhook.as_ref().map(|url| url.expose())),
            ("slack", alerts.slack.as_ref().map(|url| url.expose())),
            ("pagerduty_url", Some(alerts.pagerduty_url.as_str())),
            (
                "dead_mans_switch",
                alerts.dead_mans_switch.as_ref().map(|url| url.expose()),
            ),
        ];
        for (key, address) in addresses {
            let web = |url: &str| url.starts_with("https://") || url.starts_with("http://");
            if address.is_some_and(|address| !web(address)) {
                let message = format!("`alerts.{key}` is no address of the web");
                self.refuse(
                    &["alerts", key],
                    message,
                    "it begins with https:// or http://",
                );
            }
        }
        if let Some(words) = &alerts.command {
            self.program(&["alerts", "command"], words);
        }
    }

    fn program(&mut self, key: &[&str], words: &[String]) {
        if words
            .first()
            .is_some_and(|program| program.trim().is_empty())
        {
            let message = format!("`{}` has an empty program", key.join("."));
            self.refuse(key, message, "write [\"program\", \"argument\", …]");
        }
    }
}
