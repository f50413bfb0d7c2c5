//! Transactions that the source sends while they run: from their spools into the journal.

use std::time::Duration;

use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;
use tracing::{info, warn};
use walgate_core::{Failure, StopReason, Streamed, Xid};
use walgate_journal::Journal;
use walgate_journal::log::{Committed, Spools, Taken};

/// A disk that is full is tried again after this time, as by the journal itself.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// The spools of the source's transactions, and the journal that they commit into.
#[derive(Debug)]
pub struct Streams {
    journal: Journal,
    /// Away while its disk is at work.
    spools: Option<Spools>,
}

/// A transaction that can't be kept, and why.
pub type GivenUp = (Xid, String);

impl Streams {
    /// None yet, for a journal on disk.
    pub fn new(journal: Journal) -> Self {
        let spools = journal.spools();
        Self { journal, spools }
    }

    /// Takes news of a transaction; when it has committed, it is in the journal when this returns.
    /// Returns what can't be kept: the source has to be told. What is not awaited to its end ends
    /// all streams.
    ///
    /// # Errors
    ///
    /// When the journal can't take it, or is in memory.
    pub async fn take(&mut self, streamed: Streamed) -> Result<Option<GivenUp>, Failure> {
        let mut taken = self.run(move |spools| spools.take(streamed)).await?;
        let mut said = false;
        while let Taken::Waits(why) = taken {
            if !std::mem::replace(&mut said, true) {
                warn!("a streamed transaction has committed and waits for the disk: {why}");
            }
            sleep(RETRY_EVERY).await;
            taken = self.run(Spools::go_on).await?;
        }
        if said {
            info!("the streamed transaction is on disk");
        }
        match taken {
            Taken::Kept | Taken::Waits(_) => Ok(None),
            Taken::GivenUp { xid, why } => Ok(Some((xid, why))),
            Taken::Committed(Committed::Spool(spool)) => {
                self.journal.adopt(&spool)?;
                Ok(None)
            }
            Taken::Committed(Committed::Runs(runs)) => {
                for run in runs {
                    self.journal.append(run).await?;
                }
                Ok(None)
            }
        }
    }

    /// Lets the spools work where they may block.
    async fn run<F>(&mut self, work: F) -> Result<Taken, Failure>
    where
        F: FnOnce(&mut Spools) -> Result<Taken, Failure> + Send + 'static,
    {
        let Some(mut spools) = self.spools.take() else {
            let what = "the source streams transactions, and there is no journal on disk for them";
            return Err(Failure::new(StopReason::Config, what));
        };
        let worked = spawn_blocking(move || {
            let taken = work(&mut spools);
            (spools, taken)
        });
        let (spools, taken) = worked.await.map_err(|error| broken_off(&error))?;
        self.spools = Some(spools);
        taken
    }
}

fn broken_off(error: &JoinError) -> Failure {
    let message = format!("the spools of streamed transactions have broken off: {error}");
    Failure::new(StopReason::State, message)
}
