//! Somebody else who notices when we do not speak any more.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::client::Client;
use crate::secret::Secret;

/// An address that is asked for while all is well; who runs it raises an alarm when that ends.
#[derive(Debug, Clone)]
pub struct DeadMansSwitch {
    /// The address.
    pub url: Secret,
    /// How often it is asked for.
    pub every: Duration,
}

impl DeadMansSwitch {
    /// Asks for the address at each tick at which `well` says so, until whoever says it has gone.
    pub async fn run(self, client: Client, well: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut complained = false;
        let mut well = well;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                changed = well.changed() => match changed {
                    // The first good news need not wait for a tick.
                    Ok(()) if *well.borrow_and_update() => ticks.reset(),
                    Ok(()) => continue,
                    Err(_) => return,
                },
            }
            if !*well.borrow() {
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
