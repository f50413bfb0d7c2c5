//! What the guard does by policy. Each step is logged before it is taken.

use std::time::Instant;

use walgate_pipeline::{CheckpointFile, Demand};
use walgate_slot::guard::{Action, Conditions, Standing, Step, Verdict, may_drop};
use walgate_slot::words::bytes;

use super::dropping::identity;
use super::saying::{now, of_standing};
use super::task::Worker;
use crate::watch::Sight;

impl Worker {
    pub(super) async fn act(&mut self, sight: &Sight, verdict: &Verdict) {
        let required = sight.moment.sinks.iter();
        let required = required.filter(|sink| sink.status.demand == Demand::Required);
        let conditions = Conditions {
            required: required.map(|sink| sink.status.name.clone()).collect(),
            looking_since: self.looking_since,
            last_loss: self.last_loss,
        };
        let (at, plan) = (sight.moment.at, &self.settings.plan);
        let actions = plan.decide(at, verdict, &mut self.book, &conditions);
        if actions.is_empty() {
            return;
        }
        // What was decided is decided: a process that comes after does not take a step twice.
        self.keep().await;
        for action in actions {
            match action {
                Action::Run(cause) => self.run_command(&cause),
                Action::ReleaseSink(sink, cause) => self.release(&sink, &cause).await,
                Action::DropSlot(cause) => self.drop_slot(sight, &cause),
            }
        }
    }

    /// Nobody waits for it.
    fn run_command(&self, cause: &Standing) {
        let Some(program) = self.settings.run.clone() else {
            return;
        };
        let message = of_standing("run", cause, &self.settings.source, now());
        tracing::warn!(
            program = program.name(),
            level = cause.level.name(),
            "the guard runs the command, as configured: {}",
            cause.summary
        );
        tokio::spawn(async move {
            match program.run(&message).await {
                Ok(_) => tracing::info!(
                    program = program.name(),
                    "the guard's command has ended well"
                ),
                Err(error) => tracing::error!("the guard's command has failed: {error}"),
            }
        });
    }

    async fn release(&mut self, sink: &str, cause: &Standing) {
        tracing::error!(
            sink,
            level = cause.level.name(),
            "the guard releases the sink, as configured: it loses what nobody keeps for it: {}",
            cause.summary
        );
        match self.actions.releasing.release(sink).await {
            Ok(delivered) => {
                self.last_loss = Some(Instant::now());
                tracing::error!(
                    sink,
                    %delivered,
                    "the sink is released until the next start: nothing is held back for it any more"
                );
            }
            Err(failure) => {
                self.book.undo(&Step::ReleaseSink(sink.to_owned()).name());
                tracing::error!(sink, "the sink is not released: {failure}");
            }
        }
    }

    fn drop_slot(&mut self, sight: &Sight, cause: &Standing) {
        let slot = self.settings.slot.as_str();
        match self.may_drop(sight) {
            Ok(frees) => {
                self.said_refusal = None;
                self.last_loss = Some(Instant::now());
                tracing::error!(
                    slot,
                    level = cause.level.name(),
                    "the guard stops the stream to drop the slot, as configured, which frees {}: {}",
                    bytes(frees),
                    cause.summary
                );
                self.actions.dropping.ask(cause.summary.clone());
                self.actions.stop.drain();
            }
            Err(why) => {
                // It is tried again: the other slot may go.
                self.book.undo(&Step::DropSlot.name());
                if self.said_refusal.as_ref() != Some(&why) {
                    tracing::error!(slot, "the guard does not drop the slot: {why}");
                    self.said_refusal = Some(why);
                }
            }
        }
    }

    /// What a drop would free.
    fn may_drop(&self, sight: &Sight) -> Result<u64, String> {
        let view = sight.current();
        let view = view.ok_or_else(|| "the server can't be seen".to_owned())?;
        let state_dir = self.state_dir.as_ref();
        let state_dir = state_dir.ok_or_else(|| "the state directory is not ours".to_owned())?;
        let checkpoint = CheckpointFile::peek(state_dir, &self.settings.slot);
        let checkpoint = checkpoint.map_err(|failure| failure.to_string())?;
        let checkpoint = checkpoint.ok_or_else(|| "there is no checkpoint".to_owned())?;
        let ours = identity(&checkpoint, &self.settings.database);
        let own = sight.moment.counters.wal_sender_pid;
        may_drop(&view.seen, view.server.system_id, &ours, own).map_err(|why| why.to_string())
    }
}
