//! Alerts over time: told once, repeated, and over; also when the process ends in between.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::level::Level;
use super::plan::RELEASE;
use super::reading::Standing;

/// So many alerts are kept: there are 18 rules, and few sinks.
const MOST_ALERTS: usize = 256;

/// The version of the form in which a book is kept.
const VERSION: u32 = 1;

/// What is told, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Telling {
    /// The least level that is worth a word.
    pub least: Level,
    /// After so long without a change it is told again; never when it is none.
    pub repeat: Option<Duration>,
}

/// What has happened to an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

/// Something to tell.
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
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Entry {
    rule: String,
    subject: String,
    /// How bad it is.
    level: Level,
    /// How bad everybody was told that it is; `ok` before anybody was told.
    told: Level,
    /// When it was told last, in seconds since 1970.
    told_at: u64,
    /// When it began, in seconds since 1970.
    since: u64,
    summary: String,
    /// What is being told at the moment. A process that ends before it is told tells it again.
    #[serde(skip)]
    telling: Option<Level>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    v: u32,
    alerts: BTreeMap<String, Entry>,
    #[serde(default)]
    done: BTreeSet<String>,
}

/// The alerts that stand, and what was done about them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Book {
    entries: BTreeMap<String, Entry>,
    /// Steps of the policy that were taken since all was well.
    done: BTreeSet<String>,
    changed: bool,
}

impl Book {
    /// Reads what [`to_json`](Self::to_json) has written.
    ///
    /// # Errors
    ///
    /// When it is something else: what is wrong with it, as a fragment.
    pub fn from_json(bytes: &[u8]) -> Result<Self, String> {
        let document: Document =
            serde_json::from_slice(bytes).map_err(|error| format!("can't be read: {error}"))?;
        if document.v != VERSION {
            return Err(format!(
                "has version {}, and this reads {VERSION}",
                document.v
            ));
        }
        let mut entries = document.alerts;
        entries.retain(|key, entry| *key == key_of(&entry.rule, &entry.subject));
        while entries.len() > MOST_ALERTS {
            entries.pop_last();
        }
        Ok(Self {
            entries,
            done: document.done,
            changed: false,
        })
    }

    /// What is kept through a restart.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let document = Document {
            v: VERSION,
            alerts: self.entries.clone(),
            done: self.done.clone(),
        };
        // Maps with names as keys, and numbers: nothing that JSON can't say.
        serde_json::to_vec_pretty(&document).unwrap_or_default()
    }

    /// Whether something has changed since this was asked last, so that it is to be kept.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// What stands: rule, subject and level.
    pub fn standing(&self) -> impl Iterator<Item = (&str, &str, Level)> {
        let entries = self.entries.values();
        entries.map(|entry| (entry.rule.as_str(), entry.subject.as_str(), entry.level))
    }

    /// When an alert began, in seconds since 1970.
    #[must_use]
    pub fn since(&self, rule: &str, subject: &str) -> Option<u64> {
        let entry = self.entries.get(&key_of(rule, subject))?;
        Some(entry.since)
    }

    /// Raises an alert by hand: the process is about to end. Returns what is to be told, unless that
    /// was told before.
    pub fn raise(&mut self, now: u64, standing: &Standing, telling: Telling) -> Option<Notice> {
        let key = key_of(standing.rule.name(), &standing.subject);
        if !self.entries.contains_key(&key) {
            self.begin(now, &key, standing);
        }
        let entry = self.entries.get_mut(&key)?;
        entry.level = standing.level;
        entry.summary.clone_from(&standing.summary);
        self.changed = true;
        entry.tell(now, &key, Some(standing), telling)
    }

    /// Takes what stands at `now`, in seconds since 1970, and returns what is to be told. Whatever is
    /// told is told until [`told`](Self::told) is called for it.
    pub fn update(&mut self, now: u64, standings: &[Standing], telling: Telling) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut seen = BTreeSet::new();
        for standing in standings {
            let key = key_of(standing.rule.name(), &standing.subject);
            seen.insert(key.clone());
            if !self.entries.contains_key(&key) {
                if self.entries.len() >= MOST_ALERTS {
                    continue;
                }
                self.begin(now, &key, standing);
            }
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            if entry.level != standing.level {
                entry.level = standing.level;
                self.changed = true;
            }
            entry.summary.clone_from(&standing.summary);
            // A clock that was set back must not keep it silent for longer than its time.
            entry.told_at = entry.told_at.min(now);
            notices.extend(entry.tell(now, &key, Some(standing), telling));
        }
        for (key, entry) in &mut self.entries {
            if !seen.contains(key) {
                if entry.level != Level::Ok {
                    entry.level = Level::Ok;
                    self.changed = true;
                }
                notices.extend(entry.tell(now, key, None, telling));
            }
        }
        let before = self.entries.len();
        self.entries.retain(|_, entry| {
            entry.level > Level::Ok || entry.told > Level::Ok || entry.telling.is_some()
        });
        self.changed |= self.entries.len() != before;
        notices
    }

    /// An alert was told, with what `notice` said.
    pub fn told(&mut self, now: u64, key: &str, kind: Kind, level: Level) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        let level = match kind {
            Kind::Resolved => Level::Ok,
            _ => level,
        };
        if entry.telling == Some(level) {
            entry.telling = None;
        }
        (entry.told, entry.told_at) = (level, now);
        self.changed = true;
        if entry.level == Level::Ok && level == Level::Ok {
            self.entries.remove(key);
        }
    }

    /// Whether a step of the policy was taken since all was well.
    #[must_use]
    pub fn is_done(&self, step: &str) -> bool {
        self.done.contains(step)
    }

    /// A step of the policy is taken.
    pub fn done(&mut self, step: &str) {
        self.changed |= self.done.insert(step.to_owned());
    }

    /// A step that was decided was not taken after all.
    pub fn undo(&mut self, step: &str) {
        self.changed |= self.done.remove(step);
    }

    /// A process begins: what was released is released for as long as a process lives, so that a sink
    /// that is required again is released again before the next step is taken.
    pub fn begin_process(&mut self) {
        let before = self.done.len();
        let is_release = |step: &String| step.starts_with(RELEASE);
        self.done.retain(|step| !is_release(step));
        self.changed |= self.done.len() != before;
    }

    /// All is well: each step may be taken again.
    pub fn rearm(&mut self) {
        self.changed |= !self.done.is_empty();
        self.done.clear();
    }

    fn begin(&mut self, now: u64, key: &str, standing: &Standing) {
        let entry = Entry {
            rule: standing.rule.name().to_owned(),
            subject: standing.subject.clone(),
            level: standing.level,
            told: Level::Ok,
            told_at: now,
            since: now,
            summary: standing.summary.clone(),
            telling: None,
        };
        self.entries.insert(key.to_owned(), entry);
        self.changed = true;
    }
}

impl Entry {
    fn tell(
        &mut self,
        now: u64,
        key: &str,
        standing: Option<&Standing>,
        telling: Telling,
    ) -> Option<Notice> {
        let level = match standing {
            Some(_) if self.level >= telling.least => self.level,
            _ => Level::Ok,
        };
        // What was told last, or is being told.
        let told = self.telling.unwrap_or(self.told);
        let due = |repeat: Duration| now.saturating_sub(self.told_at) >= repeat.as_secs();
        let kind = match (told, level) {
            (Level::Ok, Level::Ok) => return None,
            (Level::Ok, _) => Kind::Raised,
            (_, Level::Ok) => Kind::Resolved,
            (told, level) if level > told => Kind::Escalated,
            (told, level) if level < told => Kind::Eased,
            _ if self.telling.is_none() && telling.repeat.is_some_and(due) => Kind::Repeated,
            _ => return None,
        };
        self.telling = Some(level);
        Some(Notice {
            kind,
            key: key.to_owned(),
            rule: self.rule.clone(),
            subject: self.subject.clone(),
            level: if level == Level::Ok { told } else { level },
            since: self.since,
            standing: standing.filter(|_| level > Level::Ok).cloned(),
            summary: self.summary.clone(),
        })
    }
}

fn key_of(rule: &str, subject: &str) -> String {
    format!("{rule}/{subject}")
}
