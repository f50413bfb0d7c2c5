//! From a source that has started to what the pipeline begins with.

use std::collections::BTreeMap;

use walgate_core::{Checkpoint, Failure, Lsn, Position, SourceIdentity, StopReason};
use walgate_journal::segment::SegmentFacts;
use walgate_pipeline::{CheckpointStore, Log, Lost, Pipeline};
use walgate_replication::{OnGap, Started};

use super::Keeping;
use super::journal::{blocking, facts};

/// What is known before the pipeline begins.
pub(crate) struct Begin {
    pub(crate) journal: Keeping,
    /// Of earlier runs.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// The same, with what the journal has beyond it.
    pub(crate) reached: Option<Checkpoint>,
    pub(crate) store: Option<Box<dyn CheckpointStore>>,
    /// What is done when sinks lack something that nobody has.
    pub(crate) on_gap: OnGap,
}

/// What a source that has started says of its log.
pub(crate) struct Origin {
    /// Whose log it is.
    pub(crate) identity: SourceIdentity,
    /// Where it goes on.
    pub(crate) resume: Lsn,
    /// Everything that anybody can have been sent lies before this.
    pub(crate) flushed: Lsn,
    /// The log behind what was confirmed is another one now.
    pub(crate) cut: bool,
    /// What the journal keeps of it.
    pub(crate) facts: SegmentFacts,
}

impl From<&Started> for Origin {
    fn from(started: &Started) -> Self {
        Self {
            identity: started.identity.clone(),
            resume: started.resume,
            flushed: started.flushed,
            cut: started.cut,
            facts: facts(started),
        }
    }
}

/// What the pipeline begins with.
pub(crate) struct Begun {
    pub(crate) log: Log,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) store: Option<Box<dyn CheckpointStore>>,
}

impl Begin {
    /// Begins the journal where the log goes on, with its checkpoint beside it.
    ///
    /// # Errors
    ///
    /// When checkpoint or journal can't be written, or a required sink lacks changes that nobody has
    /// any more and the policy is to stop.
    pub(crate) async fn begin(
        self,
        pipeline: &Pipeline,
        started: Origin,
    ) -> Result<Begun, Failure> {
        let (identity, resume) = (started.identity, started.resume);
        let (mut journal, mut known, mut reached) = (self.journal, self.checkpoint, self.reached);
        let mut store = self.store;
        if let Some(known) = known.as_mut().filter(|_| started.cut) {
            let confirmed = known.confirmed;
            journal = journal.cut(known, &mut store, resume).await?;
            reached = journal.reached(Some(known));
            // What only the journal has is not confirmed by this.
            known.confirmed = confirmed.min(resume);
        }
        // After a crash nobody knows: what was sent lies before the end of the server's log.
        let flushed = Position::new(identity.epoch, started.flushed, 0);
        let received = known
            .as_ref()
            .map_or(Some(Position::ZERO), |known| known.received);
        let goes_on = from(reached, identity.clone(), resume).confirmed;
        let mut checkpoint = from(known, identity.clone(), resume);
        if journal.is_on_disk() {
            // A journal without its checkpoint would be refused, so that one is there first.
            store = saved(store, checkpoint.clone()).await?;
        }
        let start = Position::new(identity.epoch, goes_on, 0);
        let log = journal.start(started.facts, start).await?;
        let lost = pipeline.lost(&checkpoint, &log);
        judge(&lost, self.on_gap)?;
        checkpoint
            .gaps
            .extend(lost.into_iter().map(|lost| lost.gap));
        checkpoint.received = received.or(Some(flushed));
        Ok(Begun {
            log,
            checkpoint,
            store,
        })
    }
}

type Store = Option<Box<dyn CheckpointStore>>;

async fn saved(store: Store, checkpoint: Checkpoint) -> Result<Store, Failure> {
    let Some(mut store) = store else {
        return Ok(None);
    };
    blocking(move || store.save(&checkpoint).map(|()| Some(store))).await
}

/// What required sinks lack is confirmed, and so gone from the server.
fn judge(lost: &[Lost], on_gap: OnGap) -> Result<(), Failure> {
    for Lost {
        sink,
        gap,
        released,
    } in lost
    {
        let (from, to) = (gap.from, gap.to);
        if *released {
            tracing::error!(sink, %from, %to, "changes are lost for this sink: it was released, and goes on behind them");
        } else if on_gap == OnGap::Continue {
            tracing::error!(sink, %from, %to, "changes are lost for this sink: they are confirmed, and the journal does not have them");
        }
    }
    let lost: Vec<_> = lost.iter().filter(|lost| !lost.released).collect();
    if lost.is_empty() || on_gap == OnGap::Continue {
        return Ok(());
    }
    let each = lost.iter().map(|Lost { sink, gap, .. }| {
        format!(
            "sink {sink} lacks what commits between {} and {}",
            gap.from, gap.to
        )
    });
    let each: Vec<_> = each.collect();
    let message = format!(
        "{}: that is confirmed, so the server has forgotten it, and the journal does not have it",
        each.join(", ")
    );
    Err(Failure::new(StopReason::Gap, message).hint(
        "bring the folder of [journal] path back; or set [source] on_gap = \"continue\" to go on behind it, with a gap event",
    ))
}

/// What is known when the pipeline begins. Where the source goes on behind what is known it
/// announces a gap, which each sink is told of before it counts as being there. LSNs of an earlier
/// epoch say nothing about this log.
fn from(known: Option<Checkpoint>, source: SourceIdentity, resume: Lsn) -> Checkpoint {
    let (sinks, gaps, confirmed) = match known {
        Some(known) if known.source.epoch == source.epoch && known.confirmed > Lsn::ZERO => {
            (known.sinks, known.gaps, known.confirmed.min(resume))
        }
        Some(known) => (known.sinks, known.gaps, resume),
        None => (BTreeMap::new(), Vec::new(), resume),
    };
    Checkpoint {
        source,
        confirmed,
        sinks,
        received: None,
        gaps,
    }
}

#[cfg(test)]
mod tests {
    use walgate_core::{Gap, GapReason};

    use super::*;

    fn identity(epoch: u8) -> SourceIdentity {
        SourceIdentity {
            system_id: 1,
            timeline: 1,
            epoch,
            slot: "walgate".into(),
            consistent_point: Lsn::ZERO,
            created_by_us: false,
        }
    }

    #[test]
    fn nobody_counts_as_being_behind_a_gap_before_it_is_told() {
        let known = |confirmed| {
            let (sinks, gaps) = (BTreeMap::new(), Vec::new());
            Some(Checkpoint {
                source: identity(0),
                confirmed,
                sinks,
                received: None,
                gaps,
            })
        };
        let confirmed = |known, epoch, resume| from(known, identity(epoch), resume).confirmed;
        assert_eq!(confirmed(known(Lsn(100)), 0, Lsn(100)), Lsn(100));
        assert_eq!(confirmed(known(Lsn(100)), 0, Lsn(200)), Lsn(100), "a gap");
        assert_eq!(confirmed(known(Lsn(100)), 1, Lsn(200)), Lsn(200), "raised");
        assert_eq!(confirmed(known(Lsn::ZERO), 0, Lsn(200)), Lsn(200));
        assert_eq!(confirmed(None, 0, Lsn(200)), Lsn(200), "adopted");
    }

    #[test]
    fn what_nobody_has_stops_with_names_unless_the_policy_is_to_go_on() {
        let lost = ["kafka", "search"].map(|sink| Lost {
            sink: sink.into(),
            gap: Gap {
                from: Lsn(0x100),
                to: Lsn(0x200),
                reason: GapReason::SinkFellBehind,
            },
            released: false,
        });
        let failure = judge(&lost, OnGap::Stop).expect_err("stops");
        assert_eq!(failure.reason, StopReason::Gap);
        for part in ["sink kafka lacks", "sink search lacks", "0/100 and 0/200"] {
            assert!(failure.message.contains(part), "{failure}");
        }
        assert_eq!(judge(&lost, OnGap::Continue), Ok(()));
        let released = lost.clone().map(|lost| Lost {
            released: true,
            ..lost
        });
        assert_eq!(judge(&released, OnGap::Stop), Ok(()), "given up on purpose");
        assert_eq!(judge(&[], OnGap::Stop), Ok(()));
    }
}
