//! Somebody else who notices when we do not speak any more.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::Secret;
use crate::client::Client;

/// An address that is asked for while all is well; who runs it raises an alarm when that ends.
#[derive(Debug, Clone)]
pub struct DeadMansSwitch {
    /// The address.
    pub url: Secret,
    /// How often it is asked for.
    pub every: Duration,
}

impl DeadMansSwitch {
    /// Asks for the address at each tick before the moment until which all is `well`, and ends when
    /// whoever says so has gone. One that says nothing any more is not well for long.
    pub async fn run(self, client: Client, well: watch::Receiver<Option<Instant>>) {
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut complained = false;
        let mut well = well;
        let is_well = |until: Option<Instant>| until.is_some_and(|until| Instant::now() < until);
        let mut was_well = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                changed = well.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now_well = is_well(*well.borrow_and_update());
                    // The first good news need not wait for a tick.
                    if std::mem::replace(&mut was_well, now_well) || !now_well {
                        continue;
                    }
                    ticks.reset();
                }
            }
            if !is_well(*well.borrow()) {
                continue;
            }
            match client.ping(&self.url).await {
                Ok(()) if std::mem::take(&mut complained) => {
                    tracing::info!("the dead man's switch answers again");
                }
                Ok(()) => {}
                Err(error) if !std::mem::replace(&mut complained, true) => {
                    tracing::warn!("the dead man's switch does not answer: {error}");
                }
                Err(_) => {}
            }
        }
    }
}
