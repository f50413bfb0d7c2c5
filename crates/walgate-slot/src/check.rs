//! Is this server ready for Walgate? Each answer with what was seen, why it matters, and the fix.
//!
//! Facts are read by [`Facts::read`]; [`check`] is pure. All problems are told at once.

mod facts;
mod identities;
mod published;
mod query;
mod server;
mod session;
mod slots;
mod state;

use serde::Serialize;

use crate::history::History;
use crate::observation::Observation;
use crate::watcher::Server;

pub use facts::{
    Facts, LongSetting, OutsideIdentity, Publication, PublishedTable, Relation, UnpublishedTable,
};
pub use state::{Identified, Remembered};

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
    /// Statements that change it, need no restart, and take nothing from anybody.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<String>,
    /// The statements change this table's replica identity: they are run only for who names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub only_for: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn pass(check: &'static str, seen: impl Into<String>) -> Self {
        Self {
            check,
            level: Level::Pass,
            seen: seen.into(),
            why: None,
            fix: None,
            statements: Vec::new(),
            only_for: None,
        }
    }

    /// It works, and may hurt.
    pub fn warn(
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
            statements: Vec::new(),
            only_for: None,
        }
    }

    /// It does not work, or endangers the server.
    pub fn fail(
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

    fn with_statement(mut self, statement: impl Into<String>) -> Self {
        self.statements.push(statement.into());
        self
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
    /// The slot is to follow to standbys.
    pub failover: bool,
    /// A heartbeat is to be written.
    pub heartbeat: bool,
    /// The name under which Walgate's connections are seen, where it is known.
    pub application_name: Option<String>,
    /// `sslmode` of the connection does not verify who the server is.
    pub unverified: bool,
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
    pub replication: Result<Option<Identified>, (&'a str, Option<&'a str>)>,
    /// What is remembered of earlier runs; none when that is not known.
    pub remembered: Option<&'a Remembered>,
    /// What is meant to be used.
    pub wanted: &'a Wanted,
}

/// Judges everything, in the order in which problems are best solved.
#[must_use]
pub fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = server::check(subject);
    findings.extend(session::check(subject));
    findings.extend(slots::check(subject));
    findings.extend(state::check(subject));
    findings.extend(published::check(subject));
    findings
}

#[cfg(test)]
mod tests;
