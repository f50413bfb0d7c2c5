//! One attempt to start: everything is looked at before the slot is touched, and the slot again
//! after.

use std::sync::Arc;
use std::time::{Duration, Instant};

use walgate_binary::TypeCatalog;
use walgate_connection::{ReplicationStream, SqlClient};
use walgate_core::{Failure, Gap, Lsn, SourceIdentity, StopReason};
use walgate_pgoutput::Dialect;

use crate::binary_types::{self, Wanted};
use crate::catalog::{self, Server};
use crate::commands::{self, Identity};
use crate::config::{SlotMode, SourceConfig, StopAtLsn};
use crate::publication;
use crate::sequencer::StopAt;
use crate::slot::wal_level_too_low;
use crate::sql;
use crate::trouble::Trouble;

/// The oldest server that is supported: it has the option `messages`, and `two_phase` in the row.
const OLDEST: i32 = 14;

/// What is known from before: from the checkpoint, or from the connection before.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Whose log it is.
    pub(crate) identity: Option<SourceIdentity>,
    /// Everything that commits below it was handed on, or is durable.
    pub(crate) position: Option<Lsn>,
    /// What a sink or a client has received lies before it, as far as is known.
    pub(crate) received: Lsn,
    /// Whether that is all: the last run ended with it.
    pub(crate) is_exact: bool,
    /// The same, with what waits here for a sink.
    pub(crate) delivered: Lsn,
    /// There was a connection before, in this life.
    pub(crate) reconnecting: bool,
    /// Where to stop, once it is known.
    pub(crate) stop_at: Option<StopAt>,
}

/// A connection that has just switched to copy-both mode.
pub(crate) struct Opened {
    pub(crate) stream: ReplicationStream,
    pub(crate) sql: SqlClient,
    pub(crate) server: Server,
    pub(crate) identity: SourceIdentity,
    /// Where replication starts.
    pub(crate) start: Lsn,
    /// What the slot has confirmed.
    pub(crate) confirmed: Lsn,
    /// The end of the server's log.
    pub(crate) flushed: Lsn,
    /// What waits here is to be cut at `start`.
    pub(crate) cut: bool,
    pub(crate) gap: Option<Gap>,
    pub(crate) warnings: Vec<String>,
    pub(crate) stop_at: Option<StopAt>,
    /// With these, values come in binary form; none when they come as text.
    pub(crate) types: Option<TypeCatalog>,
}

/// The slot as it will be used.
pub(crate) struct Slot {
    pub(crate) start: Lsn,
    pub(crate) confirmed: Lsn,
    pub(crate) consistent_point: Lsn,
    pub(crate) created: bool,
    /// What waits here is to be cut at `start`: behind it, it is not the server's history.
    pub(crate) cut: bool,
    pub(crate) gap: Option<Gap>,
}

pub(crate) struct Attempt<'a> {
    pub(crate) config: &'a SourceConfig,
    pub(crate) known: &'a Known,
    pub(crate) sql: &'a SqlClient,
    pub(crate) stream: &'a mut ReplicationStream,
    pub(crate) server: &'a Server,
    pub(crate) system: Identity,
    pub(crate) warnings: &'a mut Vec<String>,
}

/// Tries to start, with values in binary form when that is wanted and can be.
pub(crate) async fn open(
    config: Arc<SourceConfig>,
    known: Known,
    dialect: Dialect,
    binary: Wanted,
) -> Result<Opened, Trouble> {
    let sql = sql::connect(&config)
        .await
        .map_err(|error| Trouble::connect(&error))?;
    let server = catalog::server(&sql)
        .await
        .map_err(|error| Trouble::sql(&error, "ask the server for its settings"))?;
    if server.major() < OLDEST {
        let what = format!(
            "the server is PostgreSQL {}, and 14 is the oldest that is supported",
            server.version
        );
        return Err(Trouble::Stop(Failure::new(StopReason::Config, what)));
    }
    if server.wal_level == "minimal" {
        // It takes no replication connection either, and that error names another setting.
        return Err(wal_level_too_low(&server));
    }
    let published = publication::prepare(&sql, &config).await?;
    let mut stream = sql::connect_replication(&config, &server)
        .await
        .map_err(|error| Trouble::connect(&error))?;
    let system = commands::identify(&mut stream)
        .await
        .map_err(|error| Trouble::connect(&error))?;
    let system =
        system.ok_or_else(|| Trouble::retry("IDENTIFY_SYSTEM gave no answer that makes sense"))?;
    let mut warnings = Vec::new();
    let mut attempt = Attempt {
        config: &config,
        known: &known,
        sql: &sql,
        stream: &mut stream,
        server: &server,
        system,
        warnings: &mut warnings,
    };
    let flushed = attempt.system.flushed;
    let slot = attempt.slot().await?;
    let stop_at = attempt.stop_at().await?;
    let identity = attempt.identity(&slot);
    let names = &published.names;
    let types = binary_types::readable(binary, &sql, &server, names).await;
    let form = (dialect, types.is_some());
    commands::start(&mut stream, &config.slot.name, slot.start, names, form)
        .await
        .map_err(|error| Trouble::connect(&error))?;
    look_again(&config, &sql, &server, &slot).await?;
    for notice in stream.take_notices() {
        warnings.push(notice.to_string());
    }
    Ok(Opened {
        stream,
        sql,
        server,
        identity,
        start: slot.start,
        confirmed: slot.confirmed,
        flushed,
        cut: slot.cut,
        gap: slot.gap,
        warnings,
        stop_at,
        types,
    })
}

impl Attempt<'_> {
    /// The epoch was raised: what is known from before is about another log.
    pub(crate) fn raised(&self) -> bool {
        self.known
            .identity
            .as_ref()
            .is_some_and(|identity| self.config.epoch > identity.epoch)
    }

    async fn stop_at(&self) -> Result<Option<StopAt>, Trouble> {
        if self.known.stop_at.is_some() {
            return Ok(self.known.stop_at);
        }
        let Some(wanted) = self.config.stop_at else {
            return Ok(None);
        };
        let doing = "ask where the log ends";
        let (mut insert, mut flushed) = catalog::log_end(self.sql)
            .await
            .map_err(|error| Trouble::sql(&error, doing))?;
        let lsn = match wanted {
            StopAtLsn::Lsn(lsn) => lsn,
            StopAtLsn::Now => {
                // What was committed with synchronous_commit = off is flushed within moments; a
                // message outside of transactions may stay unflushed, and unsent, for long.
                let now = insert;
                let patience = Instant::now() + Duration::from_secs(2);
                while flushed < now && Instant::now() < patience {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    (insert, flushed) = catalog::log_end(self.sql)
                        .await
                        .map_err(|error| Trouble::sql(&error, doing))?;
                }
                now.min(flushed)
            }
        };
        Ok(Some(StopAt {
            lsn,
            log_goes_on: lsn < flushed.min(insert),
        }))
    }

    fn identity(&self, slot: &Slot) -> SourceIdentity {
        let before = self
            .known
            .identity
            .as_ref()
            .filter(|identity| identity.slot == self.config.slot.name);
        SourceIdentity {
            system_id: self.system.system_id,
            timeline: self.system.timeline,
            epoch: self.config.epoch,
            slot: self.config.slot.name.clone(),
            consistent_point: match before {
                Some(before) if !slot.created && slot.consistent_point == Lsn::ZERO => {
                    before.consistent_point
                }
                _ => slot.consistent_point,
            },
            created_by_us: slot.created || before.is_some_and(|before| before.created_by_us),
        }
    }
}

/// The slot may have moved between our look and the start; the server would have gone on behind
/// the gap without a word.
async fn look_again(
    config: &SourceConfig,
    sql: &SqlClient,
    server: &Server,
    slot: &Slot,
) -> Result<(), Trouble> {
    if config.slot.mode == SlotMode::Temporary {
        return Ok(());
    }
    let name = &config.slot.name;
    let row = catalog::slot(sql, server, name)
        .await
        .map_err(|error| Trouble::sql(&error, "read the slot's row again"))?;
    let confirmed = row
        .and_then(|row| row.confirmed_flush_lsn)
        .unwrap_or_default();
    if confirmed > slot.start {
        return Err(Trouble::retry(format!(
            "slot {name} moved to {confirmed} while we were starting at {}",
            slot.start
        )));
    }
    Ok(())
}
