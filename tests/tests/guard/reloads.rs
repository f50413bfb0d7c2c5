//! SIGHUP: what the guard judges by, and who is told, changes while it runs.

use anyhow::{Result, ensure};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

use super::receiver::Receiver;
use super::{bed, down, sections, write};

#[test]
fn thresholds_that_are_lowered_raise_an_alert_and_a_policy_waits_for_the_next_start() -> Result<()>
{
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V17))?;
    let mut bed = bed(&server, "guard_reload")?;
    let with = |headroom: &str, guard: &str, alerts: &str| {
        let of_all = "headroom = [60, 40, 20]";
        sections(guard, alerts).replace(of_all, &format!("headroom = {headroom}"))
    };
    bed.more = with("[1]", "", "");
    bed.configure(&down("out"))?;
    let mut program = bed.serve()?;
    bed.sql("insert into t values (1);")?;
    write(&bed, 30)?;
    let receiver = Receiver::start("200 OK")?;
    let webhook = format!("webhook = \"{}\"", receiver.url);
    let policy =
        "policy = [\"alert\", \"drop-slot\"]\nallow_data_loss = true\ndrop_at = \"warning\"";
    bed.more = with("[90]", policy, &webhook);
    bed.write_config()?;
    program.signal("HUP")?;
    program.wait_for_log("read the configuration again")?;
    receiver.wait_for("headroom", "raised", "warning")?;
    // Back, and told as over to the one who was told.
    bed.more = with("[1]", policy, &webhook);
    bed.write_config()?;
    program.signal("HUP")?;
    receiver.wait_for("headroom", "resolved", "warning")?;
    ensure!(bed.slot()?.is_some(), "the policy was taken over");
    program.signal("KILL")?;
    let ended = program.wait()?;
    for text in [
        "alerts.webhook",
        "guard.policy",
        "take effect with the next start",
    ] {
        ensure!(ended.stderr.contains(text), "no {text:?}: {}", ended.stderr);
    }
    ensure!(!ended.stderr.contains("geheim"), "{}", ended.stderr);
    Ok(())
}
