//! What a connection has asked for, and what it is told of it.

use std::sync::Arc;
use std::time::SystemTime;

use walgate_core::{ParsePositionError, PgMicros, Position};

use crate::access::expiry::rfc3339;
use crate::access::{Access, Policy};
use crate::close::Close;
use crate::counters::Counters;
use crate::feed::{Feed, From, MakeEncoder};
use crate::filter::Bound;
use crate::frame::Carrier;
use crate::history::History;
use crate::hub::Hub;
use crate::interest::Interest;
use crate::options::PushOptions;
use crate::protocol::{Answer, Exactness, Inexact, Start, Wanted};
use crate::since;
use crate::snapshot::SnapshotDesk;
use crate::subjects::{MAX_TESTS_OF_CONNECTION, MAX_TESTS_OF_SUBJECT, Share, Subjects};
use crate::subscription::{MAX_SUBSCRIPTIONS, Subscription};

/// Too many connections.
const CROWD: &str = "too_many_connections";

/// Tables that are named at most of those whose old rows the log does not hold whole.
const MAX_INEXACT: usize = 16;

/// What all connections share.
pub(crate) struct Desk {
    /// What those who are known have taken.
    pub(crate) subjects: Arc<Subjects>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) history: Arc<dyn History>,
    pub(crate) encoder: MakeEncoder,
    pub(crate) snapshots: Arc<SnapshotDesk>,
    pub(crate) options: PushOptions,
}

/// What one connection has asked for.
pub(crate) struct Session {
    desk: Arc<Desk>,
    access: Access,
    /// What it takes of what its subject may have; none where nobody is known.
    share: Option<Share>,
    /// By the client's names, with how exact they were when they were added.
    subscriptions: Vec<(String, Subscription, Vec<Inexact>)>,
}

/// What other rights are to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Renewed {
    /// The same.
    Same,
    /// Fewer.
    Narrowed,
    /// More, or others: what it was not given before is missing.
    Widened,
    /// So few that what it has asked for makes no sense.
    Misfit(String),
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) subscription: Option<String>,
}

impl Refusal {
    /// The subject has as many connections as it may.
    fn crowd() -> Self {
        Self {
            code: CROWD,
            message: Close::Crowded.reason().to_owned(),
            subscription: None,
        }
    }

    /// Whether it is about how many others there are, and not about what was asked for.
    pub(crate) fn is_crowd(&self) -> bool {
        self.code == CROWD
    }

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

    /// Where a client resumes: an event id, or an LSN, which is one of the log that there is.
    ///
    /// # Errors
    ///
    /// When it is neither.
    pub(crate) fn resume_point(&self, text: &str) -> Result<Position, ParsePositionError> {
        let position: Position = text.parse()?;
        Ok(match text.contains('/') {
            true => Position::committed(self.history.head().epoch(), position.lsn()),
            false => position,
        })
    }
}

impl Start {
    /// The time that it begins with, if it does.
    ///
    /// # Errors
    ///
    /// When it is none, or the start says another beginning, too.
    pub(crate) fn since(&self) -> Result<Option<PgMicros>, String> {
        let Some(since) = &self.since else {
            return Ok(None);
        };
        if self.after.is_some() {
            return Err(since::ONE_BEGINNING.to_owned());
        }
        since::time(since, SystemTime::now()).map(Some)
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
        let share = access.subject.as_deref().map(|subject| {
            let share = desk.subjects.take(subject);
            share.ok_or_else(|| {
                Counters::count(&desk.hub.counters.refused);
                Refusal::crowd()
            })
        });
        let mut session = Self {
            desk: Arc::clone(desk),
            share: share.transpose()?,
            access,
            subscriptions: Vec::new(),
        };
        for wanted in wanted.unwrap_or_else(|| vec![Wanted::default()]) {
            session.add(&wanted)?;
        }
        Ok(session)
    }

    /// What is to be sent: behind `after` if that is given, or with the rows that there are.
    pub(crate) fn feed(&self, carrier: Carrier, after: Option<Position>, snapshot: bool) -> Feed {
        let desk = &self.desk;
        let interest = Arc::new(self.interest());
        let from = match after {
            Some(after) => From::After(after),
            None if snapshot => From::Snapshot(desk.snapshots.ask(&interest, carrier)),
            None => From::Now,
        };
        Feed::new(
            &desk.hub,
            &desk.history,
            carrier,
            interest,
            from,
            (desk.options.queue, Arc::clone(&desk.encoder)),
        )
    }

    /// All that it wants.
    pub(crate) fn interest(&self) -> Interest {
        let all = self.subscriptions.iter().map(|(_, own, _)| own.clone());
        Interest::new(Arc::clone(&self.access.rights), all.collect())
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
        let own = Subscription::parse(wanted).map_err(|message| refused("invalid", message))?;
        let rights = &self.access.rights;
        if !own.tables.iter().any(|pattern| rights.opens(pattern)) {
            let message = "the token allows none of these tables".to_owned();
            return Err(refused("forbidden", message));
        }
        let inexact = self
            .judge(&own)
            .map_err(|message| refused("invalid", message))?;
        if own.strict
            && let Some(first) = inexact.first()
        {
            let columns = match first.columns.is_empty() {
                // A rule asks for them, and they are not to be seen.
                true => "all that is asked for".to_owned(),
                false => first.columns.join(", "),
            };
            let message = format!(
                "the log does not hold {columns} of an old row of {}.{}: {}",
                first.schema, first.table, first.fix
            );
            return Err(refused("inexact", message));
        }
        self.set_tests(self.standing_tests() + own.standing_tests())
            .map_err(|message| refused("too_many", message))?;
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
            // Fewer are never too many.
            let _fewer = self.set_tests(self.standing_tests());
            return Ok(());
        }
        Err(Refusal {
            code: "unknown",
            message: format!("there is no subscription {id:?}"),
            subscription: Some(id.to_owned()),
        })
    }

    /// How many tests are made for every change because of it.
    fn standing_tests(&self) -> usize {
        let all = self.subscriptions.iter();
        all.map(|(_, own, _)| own.standing_tests()).sum()
    }

    /// Has so many made from here on.
    ///
    /// # Errors
    ///
    /// When they are too many; nothing has changed then.
    fn set_tests(&mut self, tests: usize) -> Result<(), String> {
        if tests > MAX_TESTS_OF_CONNECTION {
            return Err(format!(
                "the filters of a connection make at most {MAX_TESTS_OF_CONNECTION} tests for every change, and \
                 these make {tests}: ask for equality with a column's value, which is found without a test"
            ));
        }
        let share = self.share.as_mut();
        match share.is_none_or(|share| share.set_tests(tests)) {
            true => Ok(()),
            false => Err(format!(
                "the filters of all connections of one subject make at most {MAX_TESTS_OF_SUBJECT} tests for \
                 every change"
            )),
        }
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
            expires: self.access.expires.map(rfc3339),
        }
    }

    /// When its rights end.
    pub(crate) fn expires(&self) -> Option<SystemTime> {
        self.access.expires
    }

    /// Goes on with other rights.
    ///
    /// # Errors
    ///
    /// When they are somebody else's; nothing has changed then.
    pub(crate) fn renew(&mut self, access: Access) -> Result<Renewed, Refusal> {
        if access.subject != self.access.subject {
            return Err(Refusal {
                code: "unauthorized",
                message: "the token is somebody else's: it needs a new connection".to_owned(),
                subscription: None,
            });
        }
        let old = std::mem::replace(&mut self.access, access);
        let rights = &self.access.rights;
        if *rights == old.rights {
            return Ok(Renewed::Same);
        }
        if !rights.is_within(&old.rights) {
            return Ok(Renewed::Widened);
        }
        let mut all = std::mem::take(&mut self.subscriptions);
        for (_, own, inexact) in &mut all {
            match self.judge(own) {
                Ok(judged) => *inexact = judged,
                Err(message) => return Ok(Renewed::Misfit(message)),
            }
        }
        self.subscriptions = all;
        Ok(Renewed::Narrowed)
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

    /// Where the log does not hold what a filter, or a row rule, asks for. Of the columns those are named
    /// that may be seen.
    fn judge(&self, own: &Subscription) -> Result<Vec<Inexact>, String> {
        let mut found = Vec::new();
        if own.filter.is_none() && !self.access.rights.has_rules() {
            return Ok(found);
        }
        for table in self.desk.hub.tables() {
            let relation = &table.relation;
            let (schema, name) = (&relation.schema, &relation.name);
            let sight = self.access.rights.of(schema, name);
            let Some(sight) = sight.filter(|_| own.is_about(schema, name)) else {
                continue;
            };
            let bound = own.filter.as_ref().map(|filter| sight.bind(filter, &table));
            let bound = match bound.transpose() {
                Ok(bound) => bound,
                Err(error) if own.names(schema, name) => return Err(error.to_string()),
                Err(_) => continue,
            };
            // A rule that does not fit shows no rows at all.
            let rule = sight.rows(&table).unwrap_or_default();
            let all = Bound::all(bound.into_iter().chain(rule));
            let columns = all.inexact(relation);
            if !columns.is_empty() && found.len() < MAX_INEXACT {
                let columns = columns.into_iter().filter(|name| sight.shows(name));
                found.push(Inexact {
                    schema: schema.clone(),
                    table: name.clone(),
                    columns: columns.map(str::to_owned).collect(),
                    fix: format!(
                        "ALTER TABLE {}.{} REPLICA IDENTITY FULL",
                        quoted(schema),
                        quoted(name)
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
