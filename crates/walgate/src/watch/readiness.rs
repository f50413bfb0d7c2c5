//! Whether an instance does its work. Pure.

use walgate_pipeline::SinkState;
use walgate_replication::SourceState;
use walgate_source_kafka::{GatewayState, GatewayStats};

use super::Sight;

/// Whether changes flow, or would if there were any.
///
/// Not: while it starts, waits for a slot that another instance uses, has no connection, or stops;
/// and while nothing more is read because the journal on disk is full, or because a required sink that
/// fails has filled memory. A sink that fails is no reason by itself: the journal is there for that.
///
/// # Errors
///
/// Each reason, in words.
pub(crate) fn readiness(sight: &Sight) -> Result<(), Vec<String>> {
    let moment = &sight.moment;
    let mut reasons = Vec::new();
    if moment.stopping {
        reasons.push("it stops".to_owned());
    }
    match (&moment.gateway, &moment.source) {
        (Some(gateway), _) => reasons.extend(of_gateway(gateway)),
        (None, source) => reasons.extend(of_source(source)),
    }
    let Some(journal) = &moment.journal else {
        return fold(reasons);
    };
    match &journal.disk {
        Some(disk) if disk.full => {
            let held = disk.held_by.join(", ");
            let by = if held.is_empty() { "" } else { ", held by " };
            reasons.push(format!("the journal is full{by}{held}"));
        }
        Some(_) => {}
        None if journal.held_back => {
            let mut sinks = moment.sinks.iter().filter(|sink| sink.is_required());
            let fails = |state| matches!(state, SinkState::Retrying | SinkState::Failed);
            if let Some(sink) = sinks.find(|sink| fails(sink.status.state)) {
                let name = &sink.status.name;
                reasons.push(format!("the journal is full, held by {name}, which fails"));
            }
        }
        None => {}
    }
    fold(reasons)
}

/// Why a source can't be read.
fn of_source(source: &SourceState) -> Option<String> {
    Some(match source {
        SourceState::Streaming { .. } => return None,
        SourceState::Connecting => "it has not reached the server yet".to_owned(),
        SourceState::WaitingForSlot { holder, .. } => {
            let who = holder.map_or_else(String::new, |pid| format!(" (pid {pid})"));
            format!("another process{who} uses the slot")
        }
        SourceState::Down { last, .. } => format!("there is no connection to the server: {last}"),
        SourceState::Ended => "the source has ended".to_owned(),
    })
}

/// Why a gateway's window is not served yet. An outage of the brokers is no reason: its clients stay, and
/// who comes back resumes.
fn of_gateway(gateway: &GatewayStats) -> Option<String> {
    match &gateway.state {
        GatewayState::Beginning { why } => Some(why.clone()),
        GatewayState::Filling => Some("the window is being filled".to_owned()),
        GatewayState::Live => None,
    }
}

fn fold(reasons: Vec<String>) -> Result<(), Vec<String>> {
    match reasons.is_empty() {
        true => Ok(()),
        false => Err(reasons),
    }
}
