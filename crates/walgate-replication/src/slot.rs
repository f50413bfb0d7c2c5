//! Which slot is used and where it starts: what its row, the server's identity and what we know
//! from before say together.

use std::sync::Arc;
use std::time::Duration;

use walgate_core::{Failure, Gap, GapReason, Lsn, Position, StopReason};

use crate::catalog::{self, Server};
use crate::commands;
use crate::config::{OnGap, SlotMode};
use crate::start::{Attempt, Slot};
use crate::trouble::{Limit, Retry, Trouble};
use crate::verdict::{Expected, SlotRow, Verdict, judge, prevention};

impl Attempt<'_> {
    pub(crate) async fn slot(&mut self) -> Result<Slot, Trouble> {
        self.epoch_is_not_lower()?;
        let name = &self.config.slot.name;
        let temporary = self.config.slot.mode == SlotMode::Temporary;
        let row = if temporary {
            None
        } else {
            catalog::slot(self.sql, self.server, name)
                .await
                .map_err(|error| Trouble::sql(&error, "read the slot's row"))?
        };
        // A look from outside starts wherever the slot is; once it has begun it must not skip.
        let must_follow = !self.config.peek || self.known.reconnecting;
        let expected = Expected {
            database: &self.server.database,
            identity: self.known.identity.as_ref(),
            position: self.known.position.filter(|_| must_follow),
            system_id: Some(self.system.system_id),
            in_recovery: self.server.in_recovery,
            wal_level: &self.server.wal_level,
            epoch: self.config.epoch,
        };
        let verdict = judge(row.as_ref(), &expected);
        match verdict {
            Verdict::Missing if temporary => self.create(true, GapReason::TemporarySlot).await,
            Verdict::Missing => self.missing().await,
            Verdict::Standby if temporary => self.create(true, GapReason::TemporarySlot).await,
            Verdict::Lost(why) => self.lost(&why).await,
            Verdict::Sound => self.existing(row.unwrap_or_default()).await,
            Verdict::Ahead { from, to } => self.ahead(from, to, row.unwrap_or_default()).await,
            Verdict::Active(pid) => Err(self.busy(pid).await),
            other => Err(self.refuse(other)),
        }
    }

    async fn busy(&self, pid: Option<i32>) -> Trouble {
        let who = match pid {
            Some(pid) => catalog::holder(self.sql, pid).await,
            None => None,
        };
        Trouble::Busy(pid, who)
    }

    fn epoch_is_not_lower(&self) -> Result<(), Trouble> {
        let known = self.known.identity.as_ref().map(|known| known.epoch);
        let reached = known.max(self.config.held.map(Position::epoch));
        if let Some(reached) = reached
            && reached > self.config.epoch
        {
            let what = format!(
                "[source] epoch is {}, and {reached} was reached before",
                self.config.epoch
            );
            let failure = Failure::new(StopReason::Config, what);
            return Err(Trouble::Stop(
                failure.hint("an epoch never falls: positions must go on growing"),
            ));
        }
        Ok(())
    }

    fn refuse(&self, verdict: Verdict) -> Trouble {
        let name = &self.config.slot.name;
        match verdict {
            Verdict::OtherSystem { found, expected } => Trouble::Stop(
                Failure::new(
                    StopReason::Gap,
                    format!("the server is another one: its system identifier is {found}, and our positions are of {expected}"),
                )
                .hint("connect to the right server; or, if this one takes its place, raise [source] epoch"),
            ),
            Verdict::Standby => retry_for(format!("the server is a standby and slot {name} is not usable there yet"), Duration::from_secs(300)),
            Verdict::Unusable(why) => Trouble::Stop(
                Failure::new(StopReason::Config, format!("slot {name} can't be used: {why}"))
                    .hint("choose another [source] slot, or drop this one and let a new one be created"),
            ),
            Verdict::WalLevel(_) => wal_level_too_low(self.server),
            Verdict::Active(pid) => Trouble::Busy(pid, None),
            Verdict::Sound | Verdict::Missing | Verdict::Lost(_) | Verdict::Ahead { .. } => Trouble::retry("the slot has changed"),
        }
    }

    /// The slot is there and sound.
    async fn existing(&mut self, row: SlotRow) -> Result<Slot, Trouble> {
        let name = &self.config.slot.name;
        let Some(confirmed) = row.confirmed_flush_lsn else {
            return Err(retry_for(
                format!("slot {name} is still being created"),
                Duration::from_secs(60),
            ));
        };
        let known = self.known.position.filter(|_| !self.raised());
        if known.is_none()
            && !self.known.reconnecting
            && self.config.start_at.is_none()
            && !self.config.peek
        {
            self.warnings.push(format!(
                "slot {name} exists and nothing is known about it: going on at {confirmed}, which it has confirmed"
            ));
        }
        let start = match (known, self.config.start_at) {
            (Some(known), _) if self.known.reconnecting => known,
            (_, Some(at)) => self.start_at(at, confirmed)?,
            (Some(known), None) => known.max(confirmed),
            (None, None) => confirmed,
        };
        let cut = self.timeline(confirmed).await?;
        let start = cut.unwrap_or(start);
        let have = match cut {
            Some(_) => self.known.received,
            None => self.known.delivered,
        };
        self.within_the_log(start, have)?;
        Ok(Slot {
            start,
            confirmed,
            consistent_point: Lsn::ZERO,
            created: false,
            cut: cut.is_some(),
            gap: None,
        })
    }

    fn start_at(&self, at: Lsn, confirmed: Lsn) -> Result<Lsn, Trouble> {
        let name = &self.config.slot.name;
        if at < confirmed {
            let what = format!(
                "slot {name} has confirmed {confirmed}: what commits below is gone, and {at} was asked for"
            );
            return Err(Trouble::Stop(
                Failure::new(StopReason::Gap, what).hint("start there, or leave the position out"),
            ));
        }
        if at > confirmed && !self.config.peek {
            let what = format!(
                "starting slot {name} at {at} would skip what commits between {confirmed} and there"
            );
            let failure = Failure::new(StopReason::Config, what);
            return Err(Trouble::Stop(failure.hint(
                "look without confirming (--peek), or leave the position out",
            )));
        }
        Ok(at)
    }

    /// The server takes any position; one that its log has not reached ruins the slot.
    /// `have`: what we have of it, as far as we know before we were connected.
    pub(crate) fn within_the_log(&self, start: Lsn, have: Lsn) -> Result<(), Trouble> {
        let flushed = self.system.flushed;
        // A standby that has restarted may not have replayed again what it has sent.
        let is_first = !self.known.reconnecting && !self.raised() && !self.server.in_recovery;
        let at = if is_first { start.max(have) } else { start };
        if at <= flushed {
            return Ok(());
        }
        let what = format!(
            "we are at {at}, and the server's log ends at {flushed}: it is not the log that we know"
        );
        Err(Trouble::Stop(Failure::new(StopReason::Gap, what).hint(
            "the server was restored to an earlier time, or the state is another's: if this server takes the place of the old one, raise [source] epoch",
        )))
    }

    /// A timeline that is not ours must have left ours behind everything that was delivered. What
    /// waits here and was not is cut off at the position that this returns.
    async fn timeline(&mut self, confirmed: Lsn) -> Result<Option<Lsn>, Trouble> {
        let Some(identity) = self.known.identity.as_ref().filter(|_| !self.raised()) else {
            return Ok(None);
        };
        let (ours, theirs) = (identity.timeline, self.system.timeline);
        if ours == theirs || ours == 0 {
            return Ok(None);
        }
        let delivered = self
            .known
            .delivered
            .max(self.known.position.unwrap_or_default());
        let left = if theirs > ours {
            commands::left_at(self.stream, theirs, ours)
                .await
                .map_err(|error| Trouble::connect(&error))?
        } else {
            None
        };
        let cut = match left {
            Some(left) if left < delivered => self.cut(left, confirmed).await?,
            _ => None,
        };
        match left {
            Some(left) if left >= delivered => {
                self.warnings.push(format!(
                    "the server is on timeline {theirs} now, which left {ours} at {left}"
                ));
                Ok(None)
            }
            Some(left) if cut.is_some() => {
                self.warnings.push(format!(
                    "the server is on timeline {theirs} now, which left {ours} at {left}: what the journal has behind that never happened there, and no sink has it, so it is cut off"
                ));
                Ok(cut)
            }
            left => {
                let at = left.map_or_else(
                    || "is not of its history".to_owned(),
                    |left| format!("was left at {left}"),
                );
                let what = format!(
                    "the server is on timeline {theirs}; ours, {ours}, {at}, and we have got up to {delivered}"
                );
                let again = self.known.reconnecting && self.config.waiting.is_some();
                let is_behind = left.is_some_and(|left| self.known.received <= left);
                let hint = match (again, is_behind) {
                    (true, _) => {
                        "start again: what no sink has got is cut off from the journal then, if that is all"
                    }
                    (false, true) => {
                        "a sink may have got what never happened on this server (the last run did not end cleanly), or the journal can't be cut there: raise [source] epoch to go on"
                    }
                    (false, false) => {
                        "what was delivered is not the history of this server: raise [source] epoch to go on with it"
                    }
                };
                let failure = Failure::new(StopReason::Gap, what).hint(hint);
                let gap = Gap {
                    from: delivered,
                    to: left.unwrap_or_default(),
                    reason: GapReason::Timeline,
                };
                Err(Trouble::Gap(gap, failure))
            }
        }
    }

    /// Where what waits here can be cut, so that nothing of it lies behind `left` and the slot still
    /// has what comes next. While it runs it can't: the chains read it.
    async fn cut(&self, left: Lsn, confirmed: Lsn) -> Result<Option<Lsn>, Trouble> {
        let waiting = self.config.waiting.as_ref().filter(|waiting| {
            !self.known.reconnecting
                && waiting.newest.epoch() == self.config.epoch
                && self.known.is_exact
                && self.known.received <= left
        });
        let Some(waiting) = waiting else {
            return Ok(None);
        };
        let whole_before = Arc::clone(&waiting.whole_before);
        let found = tokio::task::spawn_blocking(move || whole_before(left)).await;
        let found =
            found.map_err(|panic| Trouble::retry(format!("looking at the journal: {panic}")))?;
        let found = found.map_err(Trouble::Stop)?;
        Ok(found.filter(|whole| *whole >= confirmed))
    }

    /// There is no such slot.
    async fn missing(&mut self) -> Result<Slot, Trouble> {
        let name = &self.config.slot.name;
        let known = self.known.position.filter(|_| !self.raised());
        let may_create = self.config.slot.mode == SlotMode::CreateIfMissing;
        if known.is_none() && may_create {
            return self.create(false, GapReason::SlotLost).await;
        }
        if let Some(from) = known {
            if may_create && self.config.on_gap == OnGap::Continue {
                return self.create(false, GapReason::SlotLost).await;
            }
            let what = format!("slot {name} is gone: what commits behind {from} may be lost");
            let failure = Failure::new(StopReason::Gap, what).hint(
                "restore the slot if a failover lost it; or set [source] on_gap = \"continue\" to go on with a new one, which announces the gap",
            );
            return Err(Trouble::Gap(
                Gap {
                    from,
                    to: from,
                    reason: GapReason::SlotLost,
                },
                failure,
            ));
        }
        let what = format!(
            "slot {name} does not exist in database {}",
            self.server.database
        );
        let hint = format!(
            "SELECT pg_create_logical_replication_slot('{name}', 'pgoutput'); or let it be created (create_slot = true)"
        );
        Err(Trouble::Stop(
            Failure::new(StopReason::Config, what).hint(hint),
        ))
    }

    async fn lost(&mut self, why: &str) -> Result<Slot, Trouble> {
        let name = self.config.slot.name.clone();
        let from = self.known.position.unwrap_or_default();
        let ours = self
            .known
            .identity
            .as_ref()
            .is_some_and(|identity| identity.created_by_us);
        let may = self.config.slot.mode == SlotMode::CreateIfMissing
            && self.config.on_gap == OnGap::Continue;
        if ours && may {
            tracing::warn!(slot = %name, why, "the slot was invalidated: dropping it for a new one");
            commands::drop_slot(self.stream, &name)
                .await
                .map_err(|error| Trouble::connect(&error))?;
            return self.create(false, GapReason::SlotLost).await;
        }
        let what =
            format!("slot {name} was invalidated ({why}): what commits behind {from} is lost");
        let hint = format!(
            "drop it (SELECT pg_drop_replication_slot('{name}')) and start anew; so that it does not happen again: {}",
            prevention(why)
        );
        let gap = Gap {
            from,
            to: from,
            reason: GapReason::SlotLost,
        };
        Err(Trouble::Gap(
            gap,
            Failure::new(StopReason::Gap, what).hint(hint),
        ))
    }

    async fn ahead(&mut self, from: Lsn, to: Lsn, row: SlotRow) -> Result<Slot, Trouble> {
        let name = &self.config.slot.name;
        let gap = Gap {
            from,
            to,
            reason: GapReason::SlotAhead,
        };
        if self.config.on_gap == OnGap::Continue && !row.active {
            self.within_the_log(to, self.known.delivered)?;
            return Ok(Slot {
                start: to,
                confirmed: to,
                consistent_point: Lsn::ZERO,
                created: false,
                cut: false,
                gap: Some(gap),
            });
        }
        if row.active {
            return Err(self.busy(row.active_pid).await);
        }
        let what = format!(
            "slot {name} has confirmed {to}, and we have only got to {from}: somebody moved or re-created it, and what commits in between is lost"
        );
        Err(Trouble::Gap(
            gap,
            Failure::new(StopReason::Gap, what)
                .hint("set [source] on_gap = \"continue\" to go on there, which announces the gap"),
        ))
    }
}

/// `wal_level` is not `logical`.
pub(crate) fn wal_level_too_low(server: &Server) -> Trouble {
    let what = format!(
        "wal_level is {}, and logical replication needs logical",
        server.wal_level
    );
    let hint = if server.is_rds {
        "set rds.logical_replication = 1 in the instance's parameter group, then reboot the instance"
    } else {
        "ALTER SYSTEM SET wal_level = 'logical'; then restart the server"
    };
    Trouble::Stop(Failure::new(StopReason::Config, what).hint(hint))
}

fn retry_for(what: String, time: Duration) -> Trouble {
    Trouble::Retry(Retry {
        what,
        hint: None,
        limit: Limit::For(time, StopReason::Config),
    })
}
