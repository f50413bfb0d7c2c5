//! What a connection has asked for, and what it is told of it.

use std::sync::Arc;

use walgate_core::Position;

use crate::access::{Access, Policy};
use crate::feed::{Feed, MakeEncoder};
use crate::frame::Carrier;
use crate::history::History;
use crate::hub::Hub;
use crate::interest::Interest;
use crate::matcher::bind;
use crate::options::PushOptions;
use crate::protocol::{Answer, Exactness, Inexact, Wanted};
use crate::subscription::{MAX_SUBSCRIPTIONS, Subscription};

/// Tables that are named at most of those whose old rows the log does not hold whole.
const MAX_INEXACT: usize = 16;

/// What all connections share.
pub(crate) struct Desk {
    pub(crate) hub: Arc<Hub>,
    pub(crate) history: Arc<dyn History>,
    pub(crate) encoder: MakeEncoder,
    pub(crate) options: PushOptions,
}

/// What one connection has asked for.
pub(crate) struct Session {
    desk: Arc<Desk>,
    access: Access,
    /// By the client's names, with how exact they were when they were added.
    subscriptions: Vec<(String, Subscription, Vec<Inexact>)>,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) subscription: Option<String>,
}

impl Refusal {
    /// What the client is told.
    pub(crate) fn answer(self) -> Answer {
        Answer::Error {
            code: self.code,
            message: self.message,
            subscription: self.subscription,
        }
    }
}

impl Desk {
    /// Who has no right gets none.
    pub(crate) fn policy(&self) -> &Policy {
        &self.options.policy
    }
}

impl Session {
    /// A connection that may see what `access` says, and wants all of that when nothing else is said.
    ///
    /// # Errors
    ///
    /// What is wrong with what it wants.
    pub(crate) fn new(
        desk: &Arc<Desk>,
        access: Access,
        wanted: Option<Vec<Wanted>>,
    ) -> Result<Self, Refusal> {
        let mut session = Self {
            desk: Arc::clone(desk),
            access,
            subscriptions: Vec::new(),
        };
        for wanted in wanted.unwrap_or_else(|| vec![Wanted::default()]) {
            session.add(&wanted)?;
        }
        Ok(session)
    }

    /// What is to be sent, behind `after` if that is given.
    pub(crate) fn feed(&self, carrier: Carrier, after: Option<Position>) -> Feed {
        let desk = &self.desk;
        Feed::new(
            &desk.hub,
            &desk.history,
            carrier,
            self.interest(),
            after,
            (desk.options.queue, Arc::clone(&desk.encoder)),
        )
    }

    /// All that it wants.
    pub(crate) fn interest(&self) -> Interest {
        let all = self.subscriptions.iter().map(|(_, own, _)| own.clone());
        Interest::new(all.collect())
    }

    /// Adds a subscription.
    ///
    /// # Errors
    ///
    /// What is wrong with it; nothing has changed then.
    pub(crate) fn add(&mut self, wanted: &Wanted) -> Result<(), Refusal> {
        let refused = |code, message: String| Refusal {
            code,
            message,
            subscription: Some(wanted.id.clone()),
        };
        if self.subscriptions.iter().any(|(id, _, _)| *id == wanted.id) {
            let message = format!("there is a subscription {:?} already", wanted.id);
            return Err(refused("duplicate", message));
        }
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            let message = format!("a connection has at most {MAX_SUBSCRIPTIONS} subscriptions");
            return Err(refused("too_many", message));
        }
        let mut own = Subscription::parse(wanted).map_err(|message| refused("invalid", message))?;
        if let Some(allowed) = &self.access.tables {
            let both = own
                .tables
                .iter()
                .flat_map(|pattern| allowed.iter().filter_map(|allowed| pattern.and(allowed)));
            own.tables = both.collect();
            own.tables.sort();
            own.tables.dedup();
            if own.tables.is_empty() {
                let message = "the token allows none of these tables".to_owned();
                return Err(refused("forbidden", message));
            }
        }
        let inexact = self
            .judge(&own)
            .map_err(|message| refused("invalid", message))?;
        if own.strict
            && let Some(first) = inexact.first()
        {
            let message = format!(
                "the log does not hold {} of an old row of {}.{}: {}",
                first.columns.join(", "),
                first.schema,
                first.table,
                first.fix
            );
            return Err(refused("inexact", message));
        }
        self.subscriptions.push((wanted.id.clone(), own, inexact));
        Ok(())
    }

    /// Takes a subscription away.
    ///
    /// # Errors
    ///
    /// When there is none of this name.
    pub(crate) fn remove(&mut self, id: &str) -> Result<(), Refusal> {
        let before = self.subscriptions.len();
        self.subscriptions.retain(|(own, _, _)| own != id);
        if self.subscriptions.len() < before {
            return Ok(());
        }
        Err(Refusal {
            code: "unknown",
            message: format!("there is no subscription {id:?}"),
            subscription: Some(id.to_owned()),
        })
    }

    /// Whose token it was.
    pub(crate) fn subject(&self) -> Option<&str> {
        self.access.subject.as_deref()
    }

    /// That it is live from here on.
    pub(crate) fn ready(&self, position: Position) -> Answer {
        let delivery = match self.desk.history.is_durable() {
            true => "resumable",
            false => "live-only",
        };
        Answer::Ready {
            position,
            delivery,
            subscriptions: self.exactness(),
        }
    }

    /// How exact each filter is.
    pub(crate) fn exactness(&self) -> Vec<Exactness> {
        let all = self.subscriptions.iter();
        let all = all.map(|(id, _, inexact)| Exactness {
            id: id.clone(),
            exact: inexact.is_empty(),
            inexact: inexact.clone(),
        });
        all.collect()
    }

    /// Where the log does not hold what a filter asks for.
    fn judge(&self, own: &Subscription) -> Result<Vec<Inexact>, String> {
        let Some(filter) = &own.filter else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for table in self.desk.hub.tables() {
            let relation = &table.relation;
            if !own.is_about(&relation.schema, &relation.name) {
                continue;
            }
            let bound = match bind(filter, &table) {
                Ok(bound) => bound,
                Err(error) if own.names(&relation.schema, &relation.name) => {
                    return Err(error.to_string());
                }
                Err(_) => continue,
            };
            let columns = bound.inexact(relation);
            if !columns.is_empty() && found.len() < MAX_INEXACT {
                found.push(Inexact {
                    schema: relation.schema.clone(),
                    table: relation.name.clone(),
                    columns: columns.into_iter().map(str::to_owned).collect(),
                    fix: format!(
                        "ALTER TABLE {}.{} REPLICA IDENTITY FULL",
                        quoted(&relation.schema),
                        quoted(&relation.name)
                    ),
                });
            }
        }
        Ok(found)
    }
}

/// A name as SQL reads it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
