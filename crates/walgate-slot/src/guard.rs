//! The guard: what is watched is judged by rules, and what is declared is decided. Pure: facts and
//! `now` in, levels, alerts and actions out; nothing here talks to anybody.
//!
//! ```text
//! Facts ─▶ Rule::read ─▶ Gauge (hysteresis, dwell) ─▶ Verdict ─┬▶ Book ─▶ Notice (raised, repeated, resolved)
//!                                                              └▶ Plan ─▶ Action (run, release a sink, drop the slot)
//! ```
//!
//! What is not known changes nothing: it is neither good nor bad. A level rises only when the same was
//! seen at every look for some time, and falls only when the value was well on the good side of its
//! threshold for some longer time, so that nothing flaps. Time is [`Instant`], which no clock can set;
//! the book alone, which outlives the process, counts by the wall clock, and only when it repeats.

mod book;
mod dropping;
mod entry;
mod facts;
mod gauge;
mod level;
mod plan;
mod reading;
mod recent;
mod retained;
mod rule;

use std::collections::BTreeMap;
use std::time::Instant;

pub use book::Book;
pub use dropping::{OurIdentity, Refusal, Settled, may_drop};
pub use entry::{Answer, Kind, Notice, Telling};
pub use facts::{
    Concluded, Facts, HeartbeatFacts, JournalFacts, Orphan, SinkFacts, SlotFacts, Stage,
};
pub use gauge::{Dwell, Gauge};
pub use level::{Level, Thresholds};
pub use plan::{Action, Conditions, Plan, Step};
pub use reading::Standing;
pub use rule::{Rule, Rules};

use reading::Readings;
use recent::Recents;
use retained::Retained;

/// Judges facts; remembers what it needs for hysteresis and dwell.
#[derive(Debug, Clone)]
pub struct Guard {
    rules: Rules,
    dwell: Dwell,
    gauges: BTreeMap<(Rule, String), Gauge>,
    recents: Recents,
    retained: Retained,
}

/// What has been judged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// Everything that is not well, worst first.
    pub standings: Vec<Standing>,
    /// How near the disk of the server is to its end: the worst of the rules about log that is held
    /// back.
    pub server: Level,
    /// How near the journal on disk is to its end.
    pub journal: Level,
    /// Our slot holds back less log than a minute ago: something helps already.
    pub recovers: bool,
}

impl Verdict {
    /// The worst of everything that the guard acts on.
    #[must_use]
    pub fn level(&self) -> Level {
        self.server.max(self.journal)
    }
}

impl Guard {
    /// A guard that has seen nothing, with what was standing when the process before it ended: that
    /// stands until it is seen to be over.
    #[must_use]
    pub fn new(rules: Rules, dwell: Dwell, book: &Book) -> Self {
        let gauges = book
            .standing()
            .filter_map(|(rule, subject, level)| {
                let key = (Rule::named(rule)?, subject.to_owned());
                Some((key, Gauge::at(level)))
            })
            .collect();
        Self {
            rules,
            dwell,
            gauges,
            recents: Recents::default(),
            retained: Retained::default(),
        }
    }

    /// Judges by these from now on. What stands stands until it is over by them; what is of a rule that is
    /// off now is over.
    pub fn judge_by(&mut self, rules: Rules, dwell: Dwell) {
        (self.rules, self.dwell) = (rules, dwell);
    }

    /// Judges what is known at `now`.
    pub fn judge(&mut self, now: Instant, facts: &Facts) -> Verdict {
        // One look is one, however often it is judged.
        let looked_at = facts.seen.as_ref().and(facts.looked_at).unwrap_or(now);
        let mut readings = Readings::new(facts, &mut self.recents, now);
        let mut standings = Vec::new();
        let mut gauges = BTreeMap::new();
        for rule in Rule::ALL {
            let thresholds = self.rules.of(rule);
            if thresholds.is_off() {
                continue;
            }
            for reading in readings.of(rule) {
                let key = (rule, reading.subject.clone());
                let mut gauge = self.gauges.remove(&key).unwrap_or_default();
                let at = if rule.is_of_look() { looked_at } else { now };
                let level = gauge.observe(at, reading.value, &thresholds, self.dwell);
                if level > Level::Ok {
                    standings.push(reading.standing(rule, level, &thresholds));
                }
                gauges.insert(key, gauge);
            }
        }
        // What has no reading any more is of a rule that is off or a sink that is gone.
        self.gauges = gauges;
        let worst = |part: fn(Rule) -> bool| {
            let of = standings.iter().filter(|standing| part(standing.rule));
            of.map(|standing| standing.level).max().unwrap_or_default()
        };
        let (server, journal) = (worst(Rule::is_of_server_disk), worst(Rule::is_of_journal));
        standings.sort_by(|one, other| {
            let by_level = other.level.cmp(&one.level);
            by_level.then_with(|| (one.rule, &one.subject).cmp(&(other.rule, &other.subject)))
        });
        let retained = facts.seen.as_ref().and_then(|seen| seen.retained_bytes);
        Verdict {
            standings,
            server,
            journal,
            recovers: self.retained.falls(looked_at, retained),
        }
    }
}

#[cfg(test)]
mod book_tests;
#[cfg(test)]
mod tests;
