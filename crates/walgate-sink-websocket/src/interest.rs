//! What a connection wants as a whole: connections that want the same share everything.

use crate::subscription::Subscription;

/// The subscriptions of a connection, without their names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Interest {
    pub(crate) subscriptions: Vec<Subscription>,
}

impl Interest {
    /// The same subscriptions in another order are the same interest.
    pub(crate) fn new(mut subscriptions: Vec<Subscription>) -> Self {
        let key = |own: &Subscription| format!("{own:?}");
        subscriptions.sort_by_cached_key(key);
        subscriptions.dedup();
        Self { subscriptions }
    }

    /// Equal for equal interests, and different for different ones.
    pub(crate) fn key(&self) -> String {
        format!("{:?}", self.subscriptions)
    }

    /// Whether any of it wants the bounds of transactions.
    pub(crate) fn wants_transactions(&self) -> bool {
        self.subscriptions.iter().any(|own| own.transactions)
    }
}
