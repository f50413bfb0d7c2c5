//! One alert, and what each channel was told of it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::level::Level;
use super::reading::Standing;

/// What a channel did not take is told to it anew after so long, in seconds: an address that was wrong
/// may be right then.
const AGAIN_AFTER: u64 = 300;

/// Whoever does not take for so long, in seconds, that an alert is over need not know it any more.
const OLD_AFTER: u64 = 24 * 3600;

/// What is told, to whom, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// The least level that is worth a word.
    pub least: Level,
    /// After so long without a change it is told again; never when it is none.
    pub repeat: Option<Duration>,
    /// The names of the channels. Each has its own account of what it was told.
    pub channels: Vec<String>,
}

/// What has happened to an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It is new.
    Raised,
    /// It is worse than what was told.
    Escalated,
    /// It is less bad than what was told, and not over.
    Eased,
    /// It is what it was.
    Repeated,
    /// It is over.
    Resolved,
}

impl Kind {
    /// The name in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Escalated => "escalated",
            Self::Eased => "eased",
            Self::Repeated => "repeated",
            Self::Resolved => "resolved",
        }
    }
}

/// Something to tell some of the channels.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Notice {
    /// What has happened.
    pub kind: Kind,
    /// Names the alert from its begin to its end: `rule/subject`.
    pub key: String,
    /// The rule's name.
    pub rule: String,
    /// The slot or the sink.
    pub subject: String,
    /// How bad it is; when it is over, how bad it was told to be.
    pub level: Level,
    /// When it began, in seconds since 1970.
    pub since: u64,
    /// What stands; none when it is over.
    pub standing: Option<Standing>,
    /// The last summary, when it is over.
    pub summary: String,
    /// Who is told.
    pub channels: Vec<String>,
}

/// What has become of a notice in one channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The alert's rule.
    pub rule: &'a str,
    /// What it is about.
    pub subject: &'a str,
    /// The channel's name.
    pub channel: &'a str,
    /// The level that was told: `ok` for an alert that is over.
    pub level: Level,
    /// Whether it has arrived. What has not is told again after a while.
    pub arrived: bool,
}

/// An alert from its begin until everybody knows that it is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) rule: String,
    pub(super) subject: String,
    /// How bad it is.
    pub(super) level: Level,
    /// When it began, in seconds since 1970.
    pub(super) since: u64,
    summary: String,
    /// Since when it is over, in seconds since 1970.
    #[serde(default)]
    over: Option<u64>,
    /// What each channel was told.
    told: BTreeMap<String, Heard>,
}

/// What a channel was told of an alert.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Heard {
    /// How bad it was said to be; `ok` before anything was said.
    level: Level,
    /// When that was, in seconds since 1970.
    at: u64,
    /// What is being told at the moment. A process that ends before it is told tells it again.
    #[serde(skip)]
    telling: Option<Level>,
    /// What did not arrive, and when that was known, in seconds since 1970.
    #[serde(skip)]
    missed: Option<(Level, u64)>,
}

impl Entry {
    pub(super) fn new(now: u64, standing: &Standing) -> Self {
        Self {
            rule: standing.rule.name().to_owned(),
            subject: standing.subject.clone(),
            level: standing.level,
            since: now,
            summary: standing.summary.clone(),
            over: None,
            told: BTreeMap::new(),
        }
    }

    /// It stands like this. Returns whether anything has changed that is kept.
    pub(super) fn stands(&mut self, standing: &Standing) -> bool {
        let changed = self.level != standing.level;
        (self.level, self.over) = (standing.level, None);
        self.summary.clone_from(&standing.summary);
        changed
    }

    /// It is over. Returns whether that is new.
    pub(super) fn is_over(&mut self, now: u64) -> bool {
        // Also when the clock was set back.
        let over = self.over.unwrap_or(now).min(now);
        self.over = Some(over);
        std::mem::replace(&mut self.level, Level::Ok) != Level::Ok
    }

    /// It stands, or there is somebody who does not know that it is over.
    pub(super) fn is_of_use(&self, now: u64) -> bool {
        let old = |over: u64| now.saturating_sub(over) >= OLD_AFTER;
        let is_waited_for = |heard: &Heard| heard.level > Level::Ok || heard.telling.is_some();
        self.level > Level::Ok
            || (!self.over.is_some_and(old) && self.told.values().any(is_waited_for))
    }

    /// What is to be told to whom.
    pub(super) fn tell(
        &mut self,
        now: u64,
        standing: Option<&Standing>,
        telling: &Telling,
    ) -> Vec<Notice> {
        let level = match standing {
            Some(_) if self.level >= telling.least => self.level,
            _ => Level::Ok,
        };
        // Who is no channel any more is nobody to wait for.
        self.told
            .retain(|channel, _| telling.channels.contains(channel));
        let mut groups: BTreeMap<(Kind, Level), Vec<String>> = BTreeMap::new();
        for channel in &telling.channels {
            let heard = self.told.entry(channel.clone()).or_default();
            if let Some(what) = heard.tell(now, level, telling.repeat) {
                groups.entry(what).or_default().push(channel.clone());
            }
        }
        let notices = groups.into_iter().map(|((kind, said), channels)| Notice {
            kind,
            key: key_of(&self.rule, &self.subject),
            rule: self.rule.clone(),
            subject: self.subject.clone(),
            level: said,
            since: self.since,
            standing: standing.filter(|_| level > Level::Ok).cloned(),
            summary: self.summary.clone(),
            channels,
        });
        notices.collect()
    }

    pub(super) fn answered(&mut self, now: u64, answer: &Answer<'_>) {
        let Some(heard) = self.told.get_mut(answer.channel) else {
            return;
        };
        let is_the_last = heard.telling == Some(answer.level);
        if is_the_last {
            heard.telling = None;
        }
        if answer.arrived {
            (heard.level, heard.at, heard.missed) = (answer.level, now, None);
        } else if is_the_last {
            heard.missed = Some((answer.level, now));
        }
    }

    pub(super) fn forget_answers(&mut self) {
        for heard in self.told.values_mut() {
            (heard.telling, heard.missed) = (None, None);
        }
    }

    /// What was told by another process, of the same alert.
    pub(super) fn heard_too(&mut self, other: Self) {
        self.since = self.since.min(other.since);
        for (channel, heard) in other.told {
            let known = self.told.entry(channel).or_default();
            if heard.telling.is_some() || heard.at >= known.at {
                *known = heard;
            }
        }
    }
}

impl Heard {
    /// What is to be told, and how bad it is, or was told to be when it is over.
    fn tell(&mut self, now: u64, level: Level, repeat: Option<Duration>) -> Option<(Kind, Level)> {
        // A clock that was set back must not keep it silent for longer than its time.
        self.at = self.at.min(now);
        let missed = self.missed.map(|(level, at)| (level, at.min(now)));
        self.missed = missed.filter(|(_, at)| now - at < AGAIN_AFTER);
        if self.missed.is_some_and(|(missed, _)| missed == level) {
            return None;
        }
        // What was told last, or is being told.
        let told = self.telling.unwrap_or(self.level);
        let due = |repeat: Duration| now.saturating_sub(self.at) >= repeat.as_secs();
        let kind = match (told, level) {
            (Level::Ok, Level::Ok) => return None,
            (Level::Ok, _) => Kind::Raised,
            (_, Level::Ok) => Kind::Resolved,
            (told, level) if level > told => Kind::Escalated,
            (told, level) if level < told => Kind::Eased,
            _ if self.telling.is_none() && repeat.is_some_and(due) => Kind::Repeated,
            _ => return None,
        };
        self.telling = Some(level);
        Some((kind, if level == Level::Ok { told } else { level }))
    }
}

pub(super) fn key_of(rule: &str, subject: &str) -> String {
    format!("{rule}/{subject}")
}
