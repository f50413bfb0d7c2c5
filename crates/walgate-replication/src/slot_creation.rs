//! A new slot, and who is in its way.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use walgate_connection::SqlClient;
use walgate_core::{Gap, GapReason, Lsn};

use crate::commands;
use crate::start::{Attempt, Slot};
use crate::trouble::Trouble;

impl Attempt<'_> {
    /// Creates the slot. Where something was known before, what lies between is a gap.
    pub(crate) async fn create(
        &mut self,
        temporary: bool,
        reason: GapReason,
    ) -> Result<Slot, Trouble> {
        // Before there is a slot that nobody would read.
        self.within_the_log(Lsn::ZERO, self.known.delivered)?;
        let name = &self.config.slot.name;
        let failover = self.config.slot.failover
            && !temporary
            && self.server.major() >= 17
            && !self.server.in_recovery;
        let began = Instant::now();
        let create =
            commands::create_slot(self.stream, name, temporary, failover, self.server.major());
        let created = tokio::select! {
            created = create => created,
            never = blockers(self.sql, name) => match never {},
        };
        let point = created.map_err(|error| Trouble::connect(&error))?;
        let point = point
            .ok_or_else(|| Trouble::retry("CREATE_REPLICATION_SLOT gave no consistent point"))?;
        tracing::info!(slot = %name, temporary, failover, consistent_point = %point, seconds = began.elapsed().as_secs(), "created the slot");
        if !temporary {
            self.warnings.push(format!(
                "created slot {name}: it keeps WAL on the server until it is read or dropped (SELECT pg_drop_replication_slot('{name}'))"
            ));
        }
        let from = self.known.position.filter(|_| !self.raised());
        let gap = from.map(|from| Gap {
            from,
            to: point,
            reason,
        });
        Ok(Slot {
            start: point,
            confirmed: point,
            consistent_point: point,
            created: !temporary,
            cut: false,
            gap,
        })
    }
}

/// Says every 5 s who is in the way of a new slot, for as long as it is polled.
async fn blockers(sql: &SqlClient, slot: &str) -> Infallible {
    loop {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let rows = sql
            .query(
                "SELECT pg_catalog.format('process %s (user %s, application %s, %s, transaction since %s)', \
                        pid, usename, application_name, state, xact_start) FROM pg_catalog.pg_stat_activity \
                  WHERE backend_xid IS NOT NULL UNION ALL \
                 SELECT pg_catalog.format('prepared transaction %s (owner %s, since %s)', gid, owner, prepared) \
                   FROM pg_catalog.pg_prepared_xacts LIMIT 5",
                &[],
            )
            .await;
        let who: Vec<String> = rows
            .unwrap_or_default()
            .iter()
            .filter_map(|row| row.try_get(0).ok())
            .collect();
        tracing::warn!(
            slot,
            "creating the slot waits for older transactions: {}",
            who.join("; ")
        );
    }
}
