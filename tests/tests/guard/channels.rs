//! Each channel is told, whatever the others do.

use anyhow::{Result, ensure};
use walgate_tests::{Program, until};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions, StopMode};

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

/// Whoever waits for its turn says nothing while it sees that another one does the work, and speaks when it
/// sees nothing.
#[test]
fn a_standby_that_can_not_see_the_server_tells_somebody() -> Result<()> {
    let mut server = Postgres::start(&PostgresOptions::version(PgVersion::V18))?;
    let mut bed = bed(&server, "guard_standby")?;
    let receiver = Receiver::start("200 OK")?;
    let mut first = bed.serve()?;
    bed.more = sections(
        "watch_blind = [\"10s\"]",
        &format!("webhook = \"{}\"", receiver.url),
    );
    let config = bed.write_config_as("second.toml", "state")?;
    let text = std::fs::read_to_string(&config)?;
    let standby = text.replace("[state]\n", "[state]\nstandby = true\n");
    std::fs::write(&config, standby)?;
    let mut second = Program::start(["run".as_ref(), "-c".as_ref(), config.as_os_str()])?;
    second.wait_for_log("waiting as a standby: the state directory")?;
    bed.sql("insert into t values (1);")?;
    bed.until_confirmed(&mut first)?;
    ensure!(receiver.all().is_empty(), "{:?}", receiver.all());
    server.stop(StopMode::Immediate)?;
    receiver.wait_for("watch_blind", "raised", "warning")?;
    ensure!(second.stderr().contains("waiting as a standby"));
    Ok(())
}
