//! The policy: what is done at which level, in which order.

use std::time::{Duration, Instant};

use super::book::Book;
use super::level::Level;
use super::reading::Standing;
use super::{Rule, Verdict};

/// A step that loses data is taken only when the one before has had so long to show its effect, and
/// not before a process has looked for so long: what it has not seen itself is no reason to lose
/// anything.
const EFFECT_AFTER: Duration = Duration::from_secs(60);

/// What the names of the steps that release a sink begin with.
pub(super) const RELEASE: &str = "release-sink ";

/// What can be done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Tell people.
    Alert,
    /// Run the command.
    Run,
    /// Let a required sink lose what it lacks.
    ReleaseSink(String),
    /// Drop our slot.
    DropSlot,
}

impl Step {
    /// How the configuration writes it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Alert => "alert".to_owned(),
            Self::Run => "run".to_owned(),
            Self::ReleaseSink(sink) => format!("{RELEASE}{sink}"),
            Self::DropSlot => "drop-slot".to_owned(),
        }
    }

    /// It loses changes.
    #[must_use]
    pub const fn loses_data(&self) -> bool {
        matches!(self, Self::ReleaseSink(_) | Self::DropSlot)
    }
}

/// From which level on a step is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// When the command is run.
    pub run_at: Level,
    /// When sinks are released.
    pub release_at: Level,
    /// When the slot is dropped.
    pub drop_at: Level,
    /// Whether a step may lose changes.
    pub allow_data_loss: bool,
    /// How long the effect of a step that loses changes is waited for.
    pub effect_after: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            steps: vec![Step::Alert],
            run_at: Level::Critical,
            release_at: Level::Critical,
            drop_at: Level::Emergency,
            allow_data_loss: false,
            effect_after: EFFECT_AFTER,
        }
    }
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Run the command, because of this.
    Run(Box<Standing>),
    /// Release a sink, because of this.
    ReleaseSink(String, Box<Standing>),
    /// Drop our slot, because of this.
    DropSlot(Box<Standing>),
}

/// What else decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions {
    /// The required sinks.
    pub required: Vec<String>,
    /// Since when this process looks.
    pub looking_since: Instant,
    /// When a step that loses changes was taken last.
    pub last_loss: Option<Instant>,
}

impl Plan {
    /// Whether anything is told at all.
    #[must_use]
    pub fn alerts(&self) -> bool {
        self.steps.contains(&Step::Alert)
    }

    fn level_of(&self, step: &Step) -> Level {
        match step {
            Step::Alert => Level::Warning,
            Step::Run => self.run_at,
            Step::ReleaseSink(_) => self.release_at,
            Step::DropSlot => self.drop_at,
        }
    }

    /// What is to be done now, in order. What is returned counts as done in `book`, until all is well
    /// again. At most one of the actions loses changes.
    pub fn decide(
        &self,
        now: Instant,
        verdict: &Verdict,
        book: &mut Book,
        conditions: &Conditions,
    ) -> Vec<Action> {
        if verdict.level() == Level::Ok {
            book.rearm();
            return Vec::new();
        }
        let mut actions = Vec::new();
        for step in &self.steps {
            let level = match step {
                // Dropping the slot frees nothing of the journal.
                Step::DropSlot => verdict.server,
                _ => verdict.level(),
            };
            let Some(cause) = cause(verdict, step, self.level_of(step)) else {
                continue;
            };
            if level < self.level_of(step) {
                continue;
            }
            // The command hears of each level once.
            let name = match step {
                Step::Run => format!("run at {level}"),
                other => other.name(),
            };
            if *step == Step::Alert || book.is_done(&name) {
                continue;
            }
            let cause = Box::new(cause.clone());
            let action = match step {
                Step::Run => Action::Run(cause),
                _ if !self.may_lose(now, conditions) => break,
                Step::ReleaseSink(sink) if !conditions.required.contains(sink) => continue,
                Step::ReleaseSink(sink) => Action::ReleaseSink(sink.clone(), cause),
                _ => Action::DropSlot(cause),
            };
            book.done(&name);
            actions.push(action);
            if step.loses_data() {
                break;
            }
        }
        actions
    }

    fn may_lose(&self, now: Instant, conditions: &Conditions) -> bool {
        let waited = |since: Instant| now.saturating_duration_since(since) >= self.effect_after;
        self.allow_data_loss
            && waited(conditions.looking_since)
            && conditions.last_loss.is_none_or(waited)
    }
}

/// The worst that this step helps against. A step that loses changes needs to see the level at which
/// it is taken at this moment: one that stands from before, or is left only after its time, is no
/// reason to lose anything. Nor is one that something helps against already, nor one that giving up
/// what waits for us does not help against.
fn cause<'a>(verdict: &'a Verdict, step: &Step, at: Level) -> Option<&'a Standing> {
    let helps = |rule: Rule| match step {
        Step::DropSlot => rule.is_of_server_disk(),
        _ => rule.is_of_server_disk() || rule.is_of_journal(),
    };
    let is_reason = |standing: &&Standing| {
        let recovers = verdict.recovers && standing.rule.is_of_server_disk();
        let seen = standing.seen.is_some_and(|seen| seen >= at);
        !step.loses_data() || (seen && standing.ours && !recovers)
    };
    let of = verdict.standings.iter();
    of.filter(|standing| helps(standing.rule))
        .filter(is_reason)
        .max_by_key(|standing| standing.level)
}
