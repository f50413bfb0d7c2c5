//! What is wrong with a service.

use std::time::Duration;

use walgate_pipeline::SinkState;
use walgate_slot::Danger;

use crate::watch::{Sight, View, readiness};

/// A watch that sees nothing for so long is a trouble: a restart takes less.
const BLIND: Duration = Duration::from_secs(60);

/// What a human should look at, each in one sentence.
pub(super) fn troubles(sight: &Sight) -> Vec<String> {
    let moment = &sight.moment;
    let mut troubles = readiness(sight).err().unwrap_or_default();
    // Its clients stay, so that it is ready all the same.
    let down = moment.gateway.as_ref().and_then(|it| it.down.as_ref());
    if let Some((_, why)) = down {
        troubles.push(format!("kafka can't be reached: {why}"));
    }
    for sink in &moment.sinks {
        let status = &sink.status;
        if matches!(status.state, SinkState::Retrying | SinkState::Failed) {
            let why = status
                .last_error
                .as_deref()
                .unwrap_or("no reason was given");
            troubles.push(format!("sink {} fails: {why}", status.name));
        }
    }
    if let Some((slot, ours)) = sight.current().and_then(View::ours) {
        let name = &slot.name;
        let why = ours.culprit.sentence();
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        match ours.forecast.danger {
            Danger::Reached => troubles.push(format!("slot {name} has reached its limit{why}")),
            Danger::Near => troubles.push(format!("slot {name} is near its limit{why}")),
            Danger::None | Danger::Unknown => {}
        }
    }
    if let Some(blind) = &sight.looks.blind
        && moment.at.saturating_duration_since(blind.since) >= BLIND
    {
        let why = &blind.why;
        troubles.push(format!("what the slots hold back can't be seen: {why}"));
    }
    let firing = moment.shown.firing.iter();
    for alert in firing.filter(|alert| alert.severity != "warning") {
        troubles.push(format!("{} alert: {}", alert.severity, alert.summary));
    }
    troubles
}
