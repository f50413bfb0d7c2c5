//! Is this server ready for Walgate? Each answer with what was seen, why it matters, and the fix.
//!
//! Facts are read by [`Facts::read`]; [`check`] is pure. All problems are told at once.

mod facts;
mod published;
mod server;
mod slots;

use serde::Serialize;

use crate::history::History;
use crate::observation::Observation;
use crate::watcher::Server;

pub use facts::{Facts, LongSetting, Publication, PublishedTable};

/// How good an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Pass,
    /// It works, and may hurt.
    Warn,
    /// It does not work, or endangers the server.
    Fail,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What was looked at: stable, for machines.
    pub check: &'static str,
    /// How good it is.
    pub level: Level,
    /// What was seen: lowercase, no period.
    pub seen: String,
    /// Why it matters; none where all is well.
    pub why: Option<String>,
    /// The statement or parameter that changes it; none where all is well.
    pub fix: Option<String>,
}

impl Finding {
    fn pass(check: &'static str, seen: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Pass,
            seen: seen.into(),
            why: None,
            fix: None,
        }
    }

    fn warn(
        check: &'static str,
        seen: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            check,
            level: Level::Warn,
            seen: seen.into(),
            why: Some(why.into()),
            fix: Some(fix.into()),
        }
    }

    fn fail(
        check: &'static str,
        seen: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Fail,
            ..Self::warn(check, seen, why, fix)
        }
    }
}

/// What is meant to be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The slot.
    pub slot: Option<String>,
    /// The publications.
    pub publications: Vec<String>,
    /// Tables that must be published, as schema and name.
    pub tables: Vec<(String, String)>,
    /// The operator knows that nothing bounds what a slot holds back.
    pub accept_unlimited: bool,
}

/// Everything that is judged.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Who the server is.
    pub server: &'a Server,
    /// A look at it.
    pub seen: &'a Observation,
    /// At least two looks, for the rate at which log is written.
    pub history: &'a History,
    /// What [`Facts::read`] has read.
    pub facts: &'a Facts,
    /// What came of a connection for replication: an error, with what to do about it.
    pub replication: Result<(), (&'a str, Option<&'a str>)>,
    /// What is meant to be used.
    pub wanted: &'a Wanted,
}

/// Judges everything, in the order in which problems are best solved.
#[must_use]
pub fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = server::check(subject);
    findings.extend(slots::check(subject));
    findings.extend(published::check(subject));
    findings
}

#[cfg(test)]
mod tests;
