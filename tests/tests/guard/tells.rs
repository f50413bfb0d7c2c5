//! Who is told what, and how often.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use walgate_tests::{Program, events, until};
use walgate_throwaway::{PgVersion, Postgres, PostgresOptions};

use super::receiver::Receiver;
use super::{bed, down, sections, up, write};

/// A destination that is dead, under load, with a small budget.
#[test]
#[expect(clippy::too_many_lines, reason = "the life of one alert, in its order")]
fn each_level_is_raised_once_repeated_kept_through_a_kill_and_resolved() -> Result<()> {
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V17))?;
    let mut bed = bed(&server, "guard_tells")?;
    let receiver = Receiver::start("204 No Content")?;
    let switch = Receiver::start("200 OK")?;
    let ran = bed.path("ran");
    let run = format!("echo $WALGATE_SEVERITY $WALGATE_RULE >> {}", ran.display());
    bed.more = sections(
        &format!("policy = [\"alert\", \"run\"]\nrun_command = [\"sh\", \"-c\", \"{run}\"]"),
        &format!(
            "repeat = \"3s\"\nwebhook = \"{}\"\nwebhook_token = \"t0ken\"\n\
             dead_mans_switch = \"{}\"\ndead_mans_switch_every = \"1s\"",
            receiver.url, switch.url
        ),
    );
    bed.configure(&down("out"))?;
    let mut program = bed.serve()?;
    bed.sql("insert into t values (1);")?;
    for (mib, kind, severity) in [
        (30, "raised", "warning"),
        (12, "escalated", "critical"),
        (11, "escalated", "emergency"),
    ] {
        write(&bed, mib)?;
        receiver.wait_for("headroom", kind, severity)?;
    }
    let pinged = switch.all().len();
    ensure!(pinged > 0, "all was well at first");
    receiver.wait_for("headroom", "repeated", "emergency")?;
    // One may have been on its way.
    ensure!(switch.all().len() <= pinged + 1, "the switch is held");
    program.signal("KILL")?;
    program.wait()?;
    let before = receiver.told("headroom").len();
    program = bed.serve()?;
    until("it is repeated by the next process", || {
        Ok(receiver.told("headroom").len() >= before + 2)
    })?;
    program.signal("KILL")?;
    program.wait()?;
    let sink = up(&bed, "out");
    bed.configure(&sink)?;
    let program = bed.serve()?;
    until("it is resolved", || {
        bed.sql("checkpoint;")?;
        std::thread::sleep(Duration::from_millis(200));
        let told = receiver.told("headroom");
        Ok(told.iter().any(|(kind, _)| kind == "resolved"))
    })?;
    program.signal("TERM")?;
    let ended = program.wait()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    let told = receiver.told("headroom");
    let count = |kind: &str, severity: &str| {
        let of = told
            .iter()
            .filter(|(one, other)| one == kind && other == severity);
        of.count()
    };
    ensure!(count("raised", "warning") == 1, "{told:?}");
    ensure!(count("escalated", "critical") == 1, "{told:?}");
    ensure!(count("escalated", "emergency") == 1, "{told:?}");
    let raised = told.iter().filter(|(kind, _)| kind == "raised").count();
    ensure!(raised == 1, "{told:?}");
    let all = receiver.all();
    let emergency = all
        .iter()
        .find(|message| message["rule"] == "headroom" && message["severity"] == "emergency");
    let emergency = serde_json::to_value(emergency)?;
    ensure!(emergency["authorization"] == "Bearer t0ken", "{emergency}");
    let culprit = emergency["culprit"].as_str().unwrap_or_default();
    ensure!(culprit.contains("sink out is"), "{emergency}");
    ensure!(emergency["forecast"].as_str().is_some(), "{emergency}");
    ensure!(emergency["command"].as_str().is_some(), "{emergency}");
    ensure!(
        emergency["facts"]["retained_bytes"].as_u64() > Some(40 << 20),
        "{emergency}"
    );
    ensure!(!ended.stderr.contains("geheim"), "{}", ended.stderr);
    let ran = std::fs::read_to_string(ran)?;
    ensure!(ran == "critical headroom\nemergency headroom\n", "{ran:?}");
    Ok(())
}

/// Nobody answers, and that is nobody else's business.
#[test]
fn a_webhook_that_hangs_delays_neither_delivery_nor_a_stop() -> Result<()> {
    let server = Postgres::start(&PostgresOptions::version(PgVersion::V14))?;
    let mut bed = bed(&server, "guard_hangs")?;
    let hook = Receiver::silent()?;
    bed.more = sections(
        "headroom = [100]",
        &format!("timeout = \"60s\"\nwebhook = \"{hook}\""),
    )
    .replace("headroom = [60, 40, 20]\n", "");
    let mut program = bed.serve()?;
    program.wait_for_log("alert warning: slot guard_hangs has")?;
    bed.sql("insert into t select generate_series(1, 1000);")?;
    bed.until_confirmed(&mut program)?;
    let since = Instant::now();
    program.signal("TERM")?;
    let ended = program.wait()?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    ensure!(
        since.elapsed() < Duration::from_secs(40),
        "{:?}",
        since.elapsed()
    );
    let rows = events(&bed.path("out.ndjson"))?;
    ensure!(rows.len() >= 1000, "{} events", rows.len());
    ensure!(
        ended.stderr.contains("some alerts were not sent"),
        "{}",
        ended.stderr
    );
    ensure!(!ended.stderr.contains("geheim"), "{}", ended.stderr);
    Ok(())
}

/// `walgate alerts test` tries each channel.
#[test]
fn alerts_can_be_tried() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("walgate.toml");
    let tried = |alerts: &str| -> Result<_> {
        let text = format!(
            "[source]\nurl = \"postgres://localhost/nothing\"\n[sinks.out]\ntype = \"stdout\"\n\
             [alerts]\ntimeout = \"30s\"\n{alerts}\n"
        );
        std::fs::write(&config, text)?;
        Program::start([
            "alerts".as_ref(),
            "test".as_ref(),
            "-c".as_ref(),
            config.as_os_str(),
        ])?
        .wait()
    };
    let receiver = Receiver::start("200 OK")?;
    let url = &receiver.url;
    let command = format!(
        "command = [\"sh\", \"-c\", \"echo $WALGATE_KIND > {}/told\"]",
        folder.path().display()
    );
    let all = format!(
        "webhook = \"{url}\"\nslack = \"{url}\"\npagerduty_key = \"key\"\npagerduty_url = \"{url}\"\n{command}"
    );
    let ended = tried(&all)?;
    ensure!(ended.status.success(), "{}", ended.stderr);
    let sent = [
        "webhook: sent",
        "slack: sent",
        "pagerduty: sent",
        "command: sent",
    ];
    ensure!(ended.lines == sent, "{:?}", ended.lines);
    let told = receiver.all();
    ensure!(told[0]["kind"] == "test" && told[0]["v"] == 1, "{told:?}");
    ensure!(
        told[1]["text"]
            .as_str()
            .is_some_and(|text| text.contains("test")),
        "{told:?}"
    );
    ensure!(told[2]["event_action"] == "trigger", "{told:?}");
    ensure!(std::fs::read_to_string(folder.path().join("told"))? == "test\n");
    let refusing = Receiver::start("403 Forbidden")?;
    for alerts in [
        format!("webhook = \"{}\"", refusing.url),
        "slack = \"http://127.0.0.1:1/geheim\"".to_owned(),
        String::new(),
    ] {
        let ended = tried(&alerts)?;
        ensure!(ended.status.code() == Some(1), "{alerts}: {}", ended.stderr);
        let said = format!("{:?}{}", ended.lines, ended.stderr);
        ensure!(!said.contains("geheim"), "{said}");
    }
    Ok(())
}
