//! What the guard judges, from what the eye sees. Pure.

use std::time::Duration;

use walgate_pipeline::SinkState;
use walgate_replication::SourceState;
use walgate_slot::guard::{
    Concluded, Facts, HeartbeatFacts, JournalFacts, Orphan, SinkFacts, SlotFacts,
};

use crate::watch::{Moment, Sight, SinkSight, View};

impl Sight {
    /// What is known at this moment.
    pub(crate) fn facts(&self) -> Facts {
        let moment = &self.moment;
        let view = self.current();
        let since_start = moment.time.duration_since(moment.started);
        let since_start = since_start.unwrap_or_default();
        let blind = self.looks.blind.as_ref();
        Facts {
            slot: moment.slot.clone(),
            streaming: Some(matches!(moment.source, SourceState::Streaming { .. })),
            blind_for: Some(match (blind, view) {
                (Some(blind), _) => moment.at.saturating_duration_since(blind.since),
                (None, Some(_)) => Duration::ZERO,
                (None, None) => since_start,
            }),
            blind_because: blind.map(|blind| blind.why.clone()),
            seen: view.map(|view| slot_facts(moment, view)),
            looked_at: view.map(|view| view.at),
            silent_for: silent_for(moment, since_start),
            heartbeat: heartbeat(moment),
            sinks: moment
                .sinks
                .iter()
                .map(|sink| of_sink(sink, moment))
                .collect(),
            journal: of_journal(moment),
            journal_opens: moment.journal.is_none(),
            gaps: Some(moment.gaps),
            missing_tables: Some(moment.counters.missing_tables),
        }
    }

    /// Whether another instance does the work, so that this one has nothing to say. `waits`: it has not
    /// got the state directory yet. One that can't see the server knows nothing of another instance.
    pub(crate) fn is_idle_standby(&self, waits: bool) -> bool {
        let waits = waits || matches!(self.moment.source, SourceState::WaitingForSlot { .. });
        let ours = self.current().and_then(View::ours);
        waits && ours.is_some_and(|(slot, _)| slot.active)
    }
}

fn slot_facts(moment: &Moment, view: &View) -> SlotFacts {
    let orphans = view.slots().filter(|(_, sight)| sight.orphan);
    let orphans = orphans.filter_map(|(slot, _)| {
        Some(Orphan {
            slot: slot.name.clone(),
            retained_bytes: view.seen.retained_bytes(slot)?,
        })
    });
    let ours = view.ours();
    let concluded = ours.map(|(_, sight)| Concluded {
        forecast: &sight.forecast,
        culprit: &sight.culprit,
        lag: sight.lag,
        unused: sight.unused,
    });
    let facts = SlotFacts::of(&view.seen, &moment.slot, concluded, orphans.collect());
    // Before the first connection the slot may not be there yet.
    let began = moment.counters.last_message.is_some() || moment.journal.is_some();
    match ours {
        None if began => facts.gone(),
        _ => facts,
    }
}

/// Nobody speaks to an instance that waits for its turn.
fn silent_for(moment: &Moment, since_start: Duration) -> Option<Duration> {
    match moment.source {
        SourceState::WaitingForSlot { .. } | SourceState::Ended => Some(Duration::ZERO),
        // We don't listen.
        SourceState::Streaming { .. } if moment.is_held_back() => Some(Duration::ZERO),
        SourceState::Connecting | SourceState::Streaming { .. } | SourceState::Down { .. } => {
            let last = moment.counters.last_message;
            let silent = last.map(|last| moment.at.saturating_duration_since(last));
            Some(silent.unwrap_or(since_start))
        }
    }
}

/// Nothing comes back to who does not read.
fn heartbeat(moment: &Moment) -> Option<HeartbeatFacts> {
    let heartbeat = moment.heartbeat.as_ref()?;
    let late = |due| moment.at.saturating_duration_since(due);
    let late_for = moment.heartbeat_due().map_or(Duration::ZERO, late);
    Some(HeartbeatFacts {
        late_for: (!moment.is_held_back()).then_some(late_for),
        kept_by: heartbeat.kept_by.clone(),
    })
}

fn of_sink(sink: &SinkSight, moment: &Moment) -> SinkFacts {
    let status = &sink.status;
    let down = matches!(status.state, SinkState::Retrying | SinkState::Failed);
    let down_for = match down {
        true => moment.at.saturating_duration_since(status.since),
        false => Duration::ZERO,
    };
    SinkFacts {
        name: status.name.clone(),
        required: sink.is_required(),
        down_for: Some(down_for),
        last_error: status.last_error.clone().filter(|_| down),
        failures: status.failures,
        dead_letters: status.dead_letters,
        gaps: status.gaps,
        backlog_bytes: sink.backlog_bytes,
    }
}

fn of_journal(moment: &Moment) -> Option<JournalFacts> {
    let disk = moment.journal.as_ref()?.disk.as_ref()?;
    Some(JournalFacts {
        held_bytes: moment.journal_held_bytes()?,
        budget_bytes: disk.budget_bytes,
        full: disk.full,
        held_by: disk.held_by.clone(),
    })
}
