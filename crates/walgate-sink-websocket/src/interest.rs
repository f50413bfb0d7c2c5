//! What a connection wants as a whole: connections that want the same share everything.

use std::sync::Arc;

use walgate_core::{Body, Position};

use crate::access::Rights;
use crate::subscription::Subscription;

/// The subscriptions of a connection, without their names, and what it may see of what they ask for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Interest {
    pub(crate) rights: Arc<Rights>,
    pub(crate) subscriptions: Vec<Subscription>,
}

impl Interest {
    /// The same subscriptions in another order are the same interest.
    pub(crate) fn new(rights: Arc<Rights>, mut subscriptions: Vec<Subscription>) -> Self {
        let key = |own: &Subscription| format!("{own:?}");
        subscriptions.sort_by_cached_key(key);
        subscriptions.dedup();
        Self {
            rights,
            subscriptions,
        }
    }

    /// Equal for equal interests, and different for different ones.
    pub(crate) fn key(&self) -> String {
        format!("{:?} {:?}", self.rights, self.subscriptions)
    }

    /// Whether it is given rows of this table: it has asked for them, and may see some.
    pub(crate) fn is_about(&self, schema: &str, table: &str) -> bool {
        let mut all = self.subscriptions.iter();
        all.any(|own| own.is_about(schema, table)) && self.rights.of(schema, table).is_some()
    }

    /// Whether it is given what has no table: a gap always is; a message only where it wants all tables,
    /// and may see them.
    pub(crate) fn wants_without_table(&self, body: &Body<'_>) -> bool {
        if matches!(body, Body::Message { .. }) && !self.rights.opens_all() {
            return false;
        }
        let mut all = self.subscriptions.iter();
        all.any(|own| own.wants_without_table(body))
    }

    /// Whether any of it wants the bounds of transactions.
    pub(crate) fn wants_transactions(&self) -> bool {
        self.subscriptions.iter().any(|own| own.transactions)
    }

    /// How far it has got when everything up to `position` is past and nothing of it was given.
    pub(crate) fn reached(&self, position: Position) -> Position {
        match self.wants_transactions() {
            true => before_begin(position),
            false => position,
        }
    }

    /// Where it can begin when everything up to `head` is past: bounds of a transaction are of use only
    /// around all of it.
    pub(crate) fn boundary(&self, head: Position) -> Position {
        match self.wants_transactions() {
            true => committed(head),
            false => head,
        }
    }
}

/// What of `position` can be claimed of who may not have been given its transaction's begin: that
/// comes with the first of its changes, whichever that is.
pub(crate) const fn before_begin(position: Position) -> Position {
    match position.index() {
        Position::COMMIT => position,
        _ => Position::new(position.epoch(), position.lsn(), 0),
    }
}

/// The end of the transaction that a position lies in.
pub(crate) const fn committed(position: Position) -> Position {
    match position.index() {
        // Of no transaction.
        0 => position,
        _ => Position::committed(position.epoch(), position.lsn()),
    }
}
