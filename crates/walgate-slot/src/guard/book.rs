//! Alerts over time: told once, repeated, and over; also when the process ends in between.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::entry::{Answer, Entry, Notice, Telling, key_of};
use super::level::Level;
use super::plan::RELEASE;
use super::reading::Standing;

/// So many alerts are kept: there are 18 rules, and few sinks.
const MOST_ALERTS: usize = 256;

/// The version of the form in which a book is kept.
const VERSION: u32 = 2;

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

    /// Raises an alert by hand: the process is about to end. Returns what is to be told to those who were
    /// not told before.
    pub fn raise(&mut self, now: u64, standing: &Standing, telling: &Telling) -> Vec<Notice> {
        self.stands(now, standing);
        let Some(entry) = self.entry(standing) else {
            return Vec::new();
        };
        let notices = entry.tell(now, Some(standing), telling);
        self.changed = true;
        notices
    }

    /// Takes what stands at `now`, in seconds since 1970, and returns what is to be told. Whatever is
    /// told is told until each channel has [`answered`](Self::answered).
    pub fn update(&mut self, now: u64, standings: &[Standing], telling: &Telling) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut seen = BTreeSet::new();
        for standing in standings {
            let key = key_of(standing.rule.name(), &standing.subject);
            seen.insert(key);
            self.stands(now, standing);
            if let Some(entry) = self.entry(standing) {
                notices.extend(entry.tell(now, Some(standing), telling));
            }
        }
        for (key, entry) in &mut self.entries {
            if !seen.contains(key) {
                self.changed |= entry.is_over(now);
                notices.extend(entry.tell(now, None, telling));
            }
        }
        let before = self.entries.len();
        self.entries.retain(|_, entry| entry.is_of_use(now));
        self.changed |= self.entries.len() != before;
        notices
    }

    /// A channel has answered for what it was told.
    pub fn answered(&mut self, now: u64, answer: &Answer<'_>) {
        let key = key_of(answer.rule, answer.subject);
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        entry.answered(now, answer);
        self.changed |= answer.arrived;
        if !entry.is_of_use(now) {
            self.entries.remove(&key);
        }
    }

    /// Nobody answers any more for what is being told: it is told anew.
    pub fn forget_answers(&mut self) {
        for entry in self.entries.values_mut() {
            entry.forget_answers();
        }
    }

    /// Takes over what another process has kept, which knows longer what stands. What this one has told
    /// itself is still told.
    pub fn take_over(&mut self, kept: Self) {
        let waited = std::mem::replace(self, kept);
        for (key, entry) in waited.entries {
            if let Some(kept) = self.entries.get_mut(&key) {
                kept.heard_too(entry);
            } else if self.entries.len() < MOST_ALERTS {
                self.entries.insert(key, entry);
            }
        }
        self.changed = true;
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

    fn entry(&mut self, standing: &Standing) -> Option<&mut Entry> {
        let key = key_of(standing.rule.name(), &standing.subject);
        self.entries.get_mut(&key)
    }

    /// This stands now.
    fn stands(&mut self, now: u64, standing: &Standing) {
        let key = key_of(standing.rule.name(), &standing.subject);
        if let Some(entry) = self.entries.get_mut(&key) {
            self.changed |= entry.stands(standing);
        } else if self.entries.len() < MOST_ALERTS {
            self.entries.insert(key, Entry::new(now, standing));
            self.changed = true;
        }
    }
}
