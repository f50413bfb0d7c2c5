//! Why log is held back, as a value, and in words.

use std::time::Duration;

use crate::words::{bytes, duration};

/// Why log is held back.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Cause {
    /// It holds back no more than what always waits.
    Nothing,
    /// It is lost: why, in PostgreSQL's word.
    Lost {
        /// `wal_removed`, `idle_timeout`, `rows_removed` and the like.
        why: String,
    },
    /// Nobody reads it.
    Absent {
        /// Since when, at least; none when that was never seen.
        since: Option<Duration>,
    },
    /// It is a standby's copy of a slot of the primary, and moves with that.
    Copy,
    /// A sink of ours is behind.
    SinkBehind {
        /// Its name.
        sink: String,
        /// Since when.
        since: Option<Duration>,
    },
    /// A sink of ours is down.
    SinkDown {
        /// Its name.
        sink: String,
        /// Since when.
        since: Option<Duration>,
    },
    /// A transaction that runs and has written.
    OpenTransaction(OpenTransaction),
    /// A transaction that waits for its second phase.
    Prepared {
        /// Its global identifier.
        gid: String,
        /// Where, to end it there.
        database: String,
        /// Who prepared it.
        owner: String,
        /// How long ago.
        age: Option<Duration>,
        /// It is as old as the log; else it only may be.
        certain: bool,
    },
    /// It is being created, which waits for every transaction that was running.
    BeingCreated {
        /// The process that creates it.
        pid: Option<i32>,
        /// What it waits for, where that can be seen.
        waits_for: Option<OpenTransaction>,
        /// It is on a standby: what it waits for is on the primary.
        on_standby: bool,
    },
    /// It is on a standby and has confirmed everything: transactions of the primary hold it back, or
    /// no snapshot of them has come.
    PrimaryTransactions,
    /// A copy of the first rows of a subscription runs.
    Snapshot,
    /// It waits for standbys: those of `synchronized_standby_slots`.
    Standbys {
        /// Names of slots, and what is wrong with each.
        blocking: Vec<(String, StandbyFault)>,
    },
    /// The consumer has everything and confirms nothing, because nothing it wants was written.
    IdleTables {
        /// Which database is busy.
        busy: Option<String>,
    },
    /// The server has not sent everything yet: it decodes, or the network or the consumer is slow.
    NotSent {
        /// Bytes.
        unsent: u64,
        /// The server waits until the consumer reads what it sends.
        blocked: bool,
        /// How old the consumer's last message is by its own clock, when that is long.
        silent: Option<Duration>,
    },
    /// The consumer was sent everything up to the last transaction, and has not confirmed it.
    NotConfirmed {
        /// Bytes.
        unconfirmed: u64,
    },
    /// A physical standby is behind.
    StandbyBehind,
    /// The position from which it would decode again has not moved yet.
    Settling,
}

/// A transaction that runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenTransaction {
    /// It is as old as the log that is held back; else that can't be seen, and it only may be it.
    pub certain: bool,
    /// Its process.
    pub pid: i32,
    /// Its role.
    pub user: Option<String>,
    /// Its `application_name`.
    pub application: Option<String>,
    /// Its database.
    pub database: Option<String>,
    /// How long it has been open; none when that is hidden from us.
    pub age: Option<Duration>,
    /// It waits for its client.
    pub idle: bool,
    /// How its last statement begins; none when it is hidden from us, or on request.
    pub query: Option<String>,
}

/// What is wrong with a slot of `synchronized_standby_slots`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StandbyFault {
    /// There is no such slot.
    Missing,
    /// Nobody uses it.
    Inactive,
    /// It is lost.
    Lost,
    /// It is so many bytes behind.
    Behind(u64),
}

/// Why log is held back, with the fix.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Culprit {
    /// The slot.
    pub slot: String,
    /// Why.
    pub cause: Cause,
    /// Another slot that holds back more, so that nothing is won by this one: its name, who uses it
    /// or where it belongs, and how many bytes.
    pub held_anyway: Option<(String, String, u64)>,
    /// Bytes that it holds back.
    pub retained: u64,
    /// It is one of ours.
    pub ours: bool,
    /// Who uses it, in words.
    pub holder: Option<String>,
}

impl Culprit {
    /// The cause in two words, for a table.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match &self.cause {
            Cause::Nothing => "-",
            Cause::Lost { .. } => "lost",
            Cause::Absent { .. } => "no consumer",
            Cause::Copy => "primary's slot",
            Cause::SinkBehind { .. } => "sink behind",
            Cause::SinkDown { .. } => "sink down",
            Cause::OpenTransaction(_) => "open transaction",
            Cause::Prepared { .. } => "prepared transaction",
            Cause::BeingCreated { .. } => "being created",
            Cause::PrimaryTransactions => "primary",
            Cause::Snapshot => "snapshot",
            Cause::Standbys { .. } => "standby",
            Cause::IdleTables { .. } => "idle tables",
            Cause::NotSent { .. } => "not sent yet",
            Cause::NotConfirmed { .. } => "not confirmed",
            Cause::StandbyBehind => "standby behind",
            Cause::Settling => "settling",
        }
    }

    /// One sentence that says why; none when nothing is held back. Lowercase, no period.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        let what = format!("{} holds back {}: ", self.slot, bytes(self.retained));
        let why = match &self.cause {
            Cause::Nothing => return None,
            Cause::Lost { why } => {
                return Some(format!(
                    "{} is lost ({why}): the changes behind it can't be read any more",
                    self.slot
                ));
            }
            Cause::Absent { since: None } => "nobody reads it".to_owned(),
            Cause::Absent { since: Some(since) } => {
                format!("nobody has read it for {}", duration(*since))
            }
            Cause::Copy => {
                "it is a copy of the primary's slot of this name, and moves when that moves"
                    .to_owned()
            }
            Cause::SinkBehind { sink, since } => format!("sink {sink} is behind{}", ago(*since)),
            Cause::SinkDown { sink, since } => format!("sink {sink} is down{}", ago(*since)),
            Cause::OpenTransaction(open) => open.in_words(),
            Cause::Prepared {
                gid,
                database,
                owner,
                age,
                certain,
            } => {
                let may = if *certain { "" } else { "it may be that " };
                may.to_owned() + &prepared(gid, database, owner, *age)
            }
            Cause::BeingCreated {
                pid,
                waits_for,
                on_standby,
            } => being_created(*pid, waits_for.as_ref(), *on_standby),
            Cause::PrimaryTransactions => "the place to decode again from has not moved: a \
                 transaction of the primary may be open for long, or no snapshot of its running \
                 transactions has come"
                .to_owned(),
            Cause::Snapshot => "a subscription copies the first rows of a table".to_owned(),
            Cause::Standbys { blocking } => standbys(blocking),
            Cause::IdleTables { busy } => format!(
                "its consumer {} has everything that it wants and confirms nothing while {}",
                self.who(),
                busy.as_ref().map_or_else(
                    || "other tables and databases are busy".to_owned(),
                    |busy| format!("database {busy} is busy")
                )
            ),
            Cause::NotSent {
                unsent,
                blocked,
                silent,
            } => self.not_sent(*unsent, *blocked, *silent),
            Cause::NotConfirmed { unconfirmed } => format!(
                "{} has not confirmed {} that were decoded for it",
                self.who(),
                bytes(*unconfirmed)
            ),
            Cause::StandbyBehind => format!("the standby {} is behind", self.who()),
            Cause::Settling => {
                "the place to decode again from has not moved yet; it follows with the next \
                 snapshot of running transactions in the log"
                    .to_owned()
            }
        };
        Some(what + &why + &self.anyway())
    }

    /// What to do about it; none where nothing needs to be done.
    #[must_use]
    pub fn fix(&self) -> Option<String> {
        let slot = &self.slot;
        Some(match &self.cause {
            Cause::Nothing | Cause::Settling => return None,
            Cause::Lost { why } => format!(
                "{}; then walgate slots drop {slot}, and let its consumer begin anew",
                prevention(why)
            ),
            Cause::Absent { .. } => format!(
                "start its consumer, or if it will never come back: walgate slots drop {slot}"
            ),
            Cause::Copy => {
                "look at this slot on the primary, and whether the standby keeps up".to_owned()
            }
            Cause::SinkBehind { sink, .. } | Cause::SinkDown { sink, .. } => format!(
                "bring sink {sink} back, make it optional (required = false), or keep the log \
                 elsewhere ([journal] path)"
            ),
            Cause::OpenTransaction(open) => open.fix(),
            Cause::Prepared { gid, database, .. } => format!(
                "ask who prepared it whether it is to be committed; in database {database}: COMMIT PREPARED '{gid}' or ROLLBACK PREPARED '{gid}'",
                gid = gid.replace('\'', "''")
            ),
            Cause::PrimaryTransactions
            | Cause::BeingCreated {
                on_standby: true, ..
            } => LOOK_AT_PRIMARY.to_owned(),
            Cause::BeingCreated { waits_for, .. } => waits_for.as_ref().map_or_else(
                || "wait for the transactions that were running to end".to_owned(),
                OpenTransaction::fix,
            ),
            Cause::Snapshot => "wait for the copy to end".to_owned(),
            Cause::Standbys { .. } => "start these standbys, or take their slots out of \
                 synchronized_standby_slots and reload"
                .to_owned(),
            Cause::IdleTables { .. } => "let the consumer confirm the positions of keepalives \
                 (Walgate does), or write to a published table from time to time"
                .to_owned(),
            Cause::NotSent { .. } if self.ours => {
                "nothing while it shrinks; else look at the network, and at large transactions \
                 (SELECT * FROM pg_stat_replication_slots)"
                    .to_owned()
            }
            Cause::NotSent { .. } | Cause::NotConfirmed { .. } => {
                "look at its consumer, and at what it writes to".to_owned()
            }
            Cause::StandbyBehind => "look at the standby, and at the network to it".to_owned(),
        })
    }

    fn not_sent(&self, unsent: u64, blocked: bool, silent: Option<Duration>) -> String {
        let what = match blocked {
            true => format!("the server waits until {} reads what it sends", self.who()),
            false => format!(
                "{} of it are not decoded and sent yet to {}",
                bytes(unsent),
                self.who()
            ),
        };
        let silent = silent.map_or_else(String::new, |silent| {
            format!(
                ", whose last message is dated {} ago, by its own clock",
                duration(silent)
            )
        });
        what + &silent
    }

    fn who(&self) -> &str {
        self.holder.as_deref().unwrap_or("its consumer")
    }

    fn anyway(&self) -> String {
        self.held_anyway
            .as_ref()
            .map_or_else(String::new, |(slot, whose, retained)| {
                format!(
                    "; slot {slot} ({whose}) holds back {} all the same",
                    bytes(*retained)
                )
            })
    }
}

fn ago(since: Option<Duration>) -> String {
    since.map_or_else(String::new, |since| format!(" for {}", duration(since)))
}

fn prepared(gid: &str, database: &str, owner: &str, age: Option<Duration>) -> String {
    let ago = age.map_or_else(String::new, |age| format!(" {} ago", duration(age)));
    format!(
        "the transaction '{gid}', prepared by {owner} in database {database}{ago}, was neither \
         committed nor rolled back"
    )
}

/// What helps where only the primary knows who holds back a slot of a standby.
pub const LOOK_AT_PRIMARY: &str = "look at the primary for transactions that are open or prepared for \
     long; if there are none (16 and later), there: SELECT pg_log_standby_snapshot()";

fn being_created(
    pid: Option<i32>,
    waits_for: Option<&OpenTransaction>,
    on_standby: bool,
) -> String {
    let who = pid.map_or_else(String::new, |pid| format!(" by pid {pid}"));
    let open = waits_for.map_or_else(String::new, |open| format!(": {}", open.in_words()));
    if on_standby {
        return format!(
            "it is being created{who}, and waits for the primary: for a snapshot of its running \
             transactions, and for those to end"
        );
    }
    format!("it is being created{who}, and waits for the transactions that were running{open}")
}

fn standbys(blocking: &[(String, StandbyFault)]) -> String {
    let each: Vec<_> = blocking
        .iter()
        .map(|(name, fault)| match fault {
            StandbyFault::Missing => format!("{name}, which does not exist"),
            StandbyFault::Inactive => format!("{name}, which nobody uses"),
            StandbyFault::Lost => format!("{name}, which is lost"),
            StandbyFault::Behind(by) => format!("{name}, which is {} behind", bytes(*by)),
        })
        .collect();
    format!(
        "it waits for the standbys of synchronized_standby_slots: {}",
        each.join("; ")
    )
}

/// What to change so that it does not happen again.
fn prevention(why: &str) -> &'static str {
    match why {
        "idle_timeout" => "raise idle_replication_slot_timeout above the longest planned downtime",
        "rows_removed" => "set hot_standby_feedback = on on the standby",
        // 16 does not tell which of the two it was.
        "conflict" => {
            "set hot_standby_feedback = on on the standby, and keep wal_level = logical on the primary"
        }
        "wal_level_insufficient" => "set wal_level = logical again",
        _ => "raise max_slot_wal_keep_size, or be down for less long",
    }
}

impl OpenTransaction {
    /// Who it is, since when, and what it does.
    fn in_words(&self) -> String {
        let mut who = Vec::new();
        if let Some(user) = &self.user {
            who.push(format!("user {user}"));
        }
        if let Some(application) = self.application.as_deref().filter(|name| !name.is_empty()) {
            who.push(format!("application \"{application}\""));
        }
        if let Some(database) = &self.database {
            who.push(format!("database {database}"));
        }
        let who = match who.is_empty() {
            true => String::new(),
            false => format!(" ({})", who.join(", ")),
        };
        let age = self
            .age
            .map_or_else(String::new, |age| format!(" for {}", duration(age)));
        let idle = if self.idle { " and is idle" } else { "" };
        let query = self
            .query
            .as_ref()
            .map_or_else(String::new, |query| format!("; its statement: {query}"));
        let may = if self.certain { "" } else { "it may be that " };
        format!(
            "{may}pid {}{who} has had a transaction open{age}{idle}{query}",
            self.pid
        )
    }

    fn fix(&self) -> String {
        if !self.certain {
            return "look with a role that has pg_monitor how long that transaction has been open; \
                    only one that is older than the log that is held back can hold it"
                .to_owned();
        }
        format!(
            "end it: SELECT pg_terminate_backend({}); and set idle_in_transaction_session_timeout \
             or transaction_timeout",
            self.pid
        )
    }
}
