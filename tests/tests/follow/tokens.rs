//! A follower whose token ends while it follows.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use walgate_tests::{Program, stop};
use walgate_throwaway::PgVersion;

use super::{expect, follow, insert, serve};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Writes a token that ends so many seconds from now to where the command finds it; tells when.
fn write_token(folder: &Path, seconds: u64) -> Result<SystemTime> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let end = now + seconds;
    let claims = format!("{{\"sub\":\"ann\",\"exp\":{end}}}");
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", part("{\"alg\":\"HS256\"}"), part(&claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, message.as_bytes()));
    let new = folder.join("token.new");
    std::fs::write(&new, format!("{message}.{signature}\n"))?;
    // Whole, or not at all.
    std::fs::rename(new, folder.join("token"))?;
    Ok(UNIX_EPOCH + Duration::from_secs(end))
}

/// Followers over both carriers, and how often each has asked for a token.
fn followers(
    at: std::net::SocketAddr,
    folder: &Path,
    round: u64,
) -> Result<Vec<(Program, String)>> {
    let token = folder.join("token").display().to_string();
    let mut all = Vec::new();
    for transport in ["websocket", "sse"] {
        let asked = folder.join(format!("{transport}-{round}"));
        let command = format!("echo asked >> {}; cat {token}", asked.display());
        let args = [
            "--format",
            "json",
            "--transport",
            transport,
            "--token-command",
            &command,
        ];
        let mut follower = follow(at, &args)?;
        follower.wait_for_log("following")?;
        all.push((follower, asked.display().to_string()));
    }
    Ok(all)
}

#[test]
fn a_token_is_replaced_before_it_ends_and_nothing_is_lost() -> Result<()> {
    let mut bed = super::bed(PgVersion::V18, "follow_tokens")?;
    bed.sinks = super::websocket(&format!(
        "delivery = \"resumable\"\npolicy = \"token\"\n\
         jwt = {{ algorithm = \"HS256\", secret = \"{SECRET}\", skew = \"0s\" }}"
    ));
    let (program, at) = serve(&bed)?;
    let folder = bed.folder().to_owned();
    let mut row = 0;
    // On a machine that stands still for seconds a token ends before it is replaced: the next lives longer.
    for round in 0..5 {
        let end = write_token(&folder, 5 << round)?;
        let mut all = followers(at, &folder, round)?;
        write_token(&folder, 3_600)?;
        while SystemTime::now() < end + Duration::from_millis(300) {
            row += 1;
            insert(&bed, &(row..=row))?;
            for (follower, _) in &mut all {
                expect(follower, row..=row)?;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut in_time = true;
        for (follower, asked) in all {
            let asked = std::fs::read_to_string(asked).context("it has asked")?;
            in_time &= !follower.stderr().contains("again with a new token");
            in_time &= asked.lines().count() == 2;
            follower.signal("INT")?;
            let ended = follower.wait()?;
            ensure!(
                ended.status.success() && ended.lines.is_empty(),
                "{ended:?}"
            );
            in_time &= !ended.stderr.contains("; again in");
        }
        if in_time {
            stop(program, &[])?;
            return Ok(());
        }
    }
    anyhow::bail!("no token was replaced in time")
}
