//! What is wrong with a configuration.

use std::fmt;

use walgate_core::{Failure, StopReason};

use super::Place;

/// One thing that is wrong. It never holds a value that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where; nothing for the command line and for a default.
    pub place: Option<Place>,
    /// What: lowercase, no period, with the key in backquotes.
    pub message: String,
    /// What is allowed, or what to do.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem at a place.
    pub fn new(place: Option<Place>, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what is allowed, or what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong, in the order of the file; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Sorts by place; `None` when there is nothing wrong.
    pub fn new(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort_by(|left, right| left.place.cmp(&right.place));
        problems.dedup();
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }

    /// Each as a [`Failure`], for printing.
    pub fn failures(&self) -> Vec<Failure> {
        self.iter()
            .map(|problem| Failure {
                hint: problem.hint.clone(),
                ..Failure::new(StopReason::Config, problem.to_string())
            })
            .collect()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("; ")?;
            }
            fmt::Display::fmt(problem, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
