//! How much those who are connected take, by who they are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tests of columns that are made for every change of a table because of one connection: those of
/// filters that no value finds.
pub(crate) const MAX_TESTS_OF_CONNECTION: usize = 1024;

/// The same, of all connections of one subject together: at some 20 ns each, a millisecond for a change.
pub(crate) const MAX_TESTS_OF_SUBJECT: usize = 50_000;

/// What subjects have taken.
#[derive(Debug)]
pub(crate) struct Subjects {
    taken: Mutex<BTreeMap<String, Taken>>,
    /// Connections of one at once.
    connections: usize,
}

#[derive(Debug, Default)]
struct Taken {
    connections: usize,
    tests: usize,
}

/// A connection of a subject, which counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    subjects: Arc<Subjects>,
    subject: String,
    tests: usize,
}

impl Subjects {
    /// At most so many connections of one.
    pub(crate) fn new(connections: usize) -> Arc<Self> {
        Arc::new(Self {
            taken: Mutex::default(),
            connections,
        })
    }

    /// Another connection of a subject, if it may have one.
    pub(crate) fn take(self: &Arc<Self>, subject: &str) -> Option<Share> {
        let mut all = self.lock();
        let taken = all.entry(subject.to_owned()).or_default();
        if taken.connections >= self.connections {
            return None;
        }
        taken.connections += 1;
        drop(all);
        Some(Share {
            subjects: Arc::clone(self),
            subject: subject.to_owned(),
            tests: 0,
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Taken>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// The connection makes so many tests for each change from here on; false when the subject may not
    /// have so many, and then nothing has changed.
    pub(crate) fn set_tests(&mut self, tests: usize) -> bool {
        let mut all = self.subjects.lock();
        let Some(taken) = all.get_mut(&self.subject) else {
            return false;
        };
        let sum = taken.tests - self.tests + tests;
        if tests > self.tests && sum > MAX_TESTS_OF_SUBJECT {
            return false;
        }
        taken.tests = sum;
        self.tests = tests;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut all = self.subjects.lock();
        if let Some(taken) = all.get_mut(&self.subject) {
            taken.connections -= 1;
            taken.tests -= self.tests;
            if taken.connections == 0 {
                all.remove(&self.subject);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_so_many_connections_and_tests_and_no_more() {
        let subjects = Subjects::new(2);
        let mut one = subjects.take("ann").expect("a place");
        let mut two = subjects.take("ann").expect("a place");
        assert!(subjects.take("ann").is_none());
        let other = subjects.take("bob").expect("a place of its own");
        assert!(one.set_tests(MAX_TESTS_OF_SUBJECT - 1));
        assert!(two.set_tests(1));
        assert!(!two.set_tests(2));
        assert!(one.set_tests(1));
        assert!(two.set_tests(2));
        drop((one, two, other));
        assert!(subjects.lock().is_empty());
        assert!(
            subjects
                .take("ann")
                .is_some_and(|mut one| one.set_tests(MAX_TESTS_OF_SUBJECT))
        );
    }
}
