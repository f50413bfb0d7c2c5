//! Each channel is told, whatever the others do.

use anyhow::{Result, ensure};
use walgate_tests::until;
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

use super::receiver::Receiver;
use super::{NOWHERE, bed, down, sections, write};

/// One has it, the other can't be reached, and the process is killed: the other one is told by the next
/// process, the first one is not told again.
#[test]
fn a_channel_that_was_away_is_told_after_a_restart() -> Result<()> {
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V16))?;
    let mut bed = bed(&server, "guard_channels")?;
    let (webhook, pagerduty) = (Receiver::start("200 OK")?, Receiver::start("202 Accepted")?);
    let guard = |headroom: &str, pagerduty: &str| {
        let alerts = format!(
            "webhook = \"{}\"\npagerduty_key = \"key\"\npagerduty_url = \"{pagerduty}\"",
            webhook.url
        );
        sections("", &alerts).replace("headroom = [60, 40, 20]", headroom)
    };
    bed.more = guard("headroom = [90]", &format!("http://{NOWHERE}/"));
    bed.configure(&down("out"))?;
    let program = bed.serve()?;
    write(&bed, 15)?;
    webhook.wait_for("headroom", "raised", "warning")?;
    until("it is kept who was told", || {
        let kept = std::fs::read_to_string(bed.path("state/alerts.json")).unwrap_or_default();
        Ok(kept.contains("\"webhook\": {\n          \"level\": \"warning\""))
    })?;
    program.signal("KILL")?;
    program.wait()?;
    bed.more = guard("headroom = [90]", &pagerduty.url);
    bed.configure(&down("out"))?;
    let program = bed.serve()?;
    until("the other channel is told", || {
        let all = pagerduty.all();
        Ok(all.iter().any(|event| event["event_action"] == "trigger"))
    })?;
    program.signal("KILL")?;
    program.wait()?;
    let raised = webhook.told("headroom");
    ensure!(raised.len() == 1, "{raised:?}");
    Ok(())
}
