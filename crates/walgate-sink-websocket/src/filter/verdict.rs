//! What a change is to the subscriber of a filter.

use walgate_core::Body;

use super::bound::Bound;
use super::truth::Truth;

/// What a change is to the subscriber of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The event as it is.
    Event,
    /// Its row matched and does not match any more: `leave`, with the key only.
    Leave,
    /// It does not concern the subscriber.
    Nothing,
}

impl Bound {
    /// What a change of the table is to the subscriber.
    ///
    /// A row that matches now is told, whatever it was before: the subscriber may not know it yet.
    /// One that matched as far as the log knows, and does not now, or nobody can tell, leaves. A
    /// truncate, a gap and a definition concern everybody. Messages and the ends of transactions
    /// are of no table, so that no filter asks for them.
    pub fn judge(&self, body: &Body<'_>) -> Verdict {
        let event_if = |truth: Truth| {
            if truth.is_true() {
                Verdict::Event
            } else {
                Verdict::Nothing
            }
        };
        match body {
            Body::Insert { new, .. } | Body::Read { new, .. } => event_if(self.truth(new)),
            Body::Update { old, new, .. } => {
                let has_left =
                    || (old.as_ref()).is_some_and(|old| self.truth_of_old(old).is_true());
                if self.truth_of_new(new, old.as_ref()).is_true() {
                    Verdict::Event
                } else if has_left() {
                    Verdict::Leave
                } else {
                    Verdict::Nothing
                }
            }
            Body::Delete { old, .. } => event_if(self.truth_of_old(old)),
            // Made for a subscriber, after its filter was asked.
            Body::Leave { .. } => Verdict::Leave,
            Body::Truncate { .. } | Body::Schema { .. } | Body::Gap(_) => Verdict::Event,
            Body::Message { .. } | Body::Begin | Body::Commit { .. } => Verdict::Nothing,
        }
    }
}
