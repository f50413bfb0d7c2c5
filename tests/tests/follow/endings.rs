//! How a follower ends, and what it says then.

use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use walgate_tests::{Bed, Program, failed, refused, stop};
use walgate_throwaway::{Certificates, FaultProxy, PgVersion};

use super::{TABLE, bed, expect, follow, follow_with, insert, serve};

/// SHA-256 of "hunter2".
const HASH: &str = "f52fbd32b2b3b86ff88ef6c490628285f482af15ddcb29541f94bcf526a3f6c7";

/// What it says besides.
const KNOWN: &[&str] = &["live-only"];

#[test]
fn every_end_has_its_code() -> Result<()> {
    let bed = bed(PgVersion::V17, "follow_ends")?;
    let (program, at) = serve(&bed)?;
    // It knows the table's columns once a change has come.
    let mut first = follow(at, &["--format", "json"])?;
    first.wait_for_log("following")?;
    insert(&bed, &(1..=3))?;
    expect(&mut first, 1..=3)?;
    drop(first);
    for (args, code, said) in [
        (&["--where", "nothing = 1"][..], 2, "has no column"),
        (&["--where", "v ="], 2, ""),
        (&["--op", "upsert"], 2, "upsert"),
        (&["--table", "nonsense"], 2, "schema.table"),
        (&["--since", "0/1"], 4, "not retained"),
        (
            &["--since", "0500000000000001-00000002"],
            4,
            "another epoch",
        ),
    ] {
        for transport in ["websocket", "sse", "auto"] {
            let args = [args, &["--transport", transport]].concat();
            let ended = follow(at, &args)?.wait()?;
            refused(&ended, code, &[said], &[]).with_context(|| format!("{args:?}"))?;
            ensure!(ended.lines.is_empty());
        }
    }
    let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let ended = follow(nobody, &["--no-reconnect"])?.wait()?;
    failed(&ended, 1, &["no connection"])?;
    let mut live = follow(at, &["--since", "0/1", "--accept-gaps", "--format", "json"])?;
    live.wait_for_log("changes are missing")?;
    live.wait_for_log("following")?;
    insert(&bed, &(4..=4))?;
    expect(&mut live, 4..=4)?;
    // Nobody reads any more, as behind `| head`.
    drop(live.take_stdout());
    insert(&bed, &(5..=5))?;
    ensure!(live.wait()?.status.success());
    let mut lost = follow(at, &["--no-reconnect"])?;
    lost.wait_for_log("following")?;
    stop(program, &[])?;
    failed(&lost.wait()?, 1, &["(1001)"])?;
    Ok(())
}

#[test]
fn a_token_is_needed_and_named_nowhere() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V14, "follow_token", TABLE)?;
    bed.sinks = super::websocket(&format!(
        "delivery = \"live-only\"\npolicy = \"token\"\n[sinks.push.tokens]\nann = {{ sha256 = \"{HASH}\" }}"
    ));
    bed.begin()?;
    let (program, at) = serve(&bed)?;
    let ended = follow(at, &[])?.wait()?;
    refused(&ended, 3, &["401", "WALGATE_TOKEN"], KNOWN)?;
    let ended = follow_with(at, &[], &[("WALGATE_TOKEN", "hunter3")])?.wait()?;
    refused(&ended, 3, &["401"], KNOWN)?;
    ensure!(!ended.stderr.contains("hunter3"), "{}", ended.stderr);
    let ended = follow(at, &["--token-command", "echo hunter3; exit 1"])?.wait()?;
    failed(&ended, 3, &["has failed"])?;
    ensure!(!ended.stderr.contains("hunter3"), "{}", ended.stderr);

    let file = bed.path("token");
    std::fs::write(&file, "hunter2\n")?;
    let file = file.to_str().context("a path")?;
    // The first is stale, and the second is not.
    let stale = bed.path("stale");
    let stale = format!(
        "test -e '{0}' && echo hunter2 || {{ touch '{0}'; echo hunter3; }}",
        stale.display()
    );
    for (row, args, variable) in [
        (1, &["--transport", "websocket"][..], "hunter2"),
        (2, &["--transport", "sse"], "hunter2"),
        (3, &["--token-file", file], ""),
        (4, &["--token-command", &stale], ""),
    ] {
        let args = [args, &["--format", "json"]].concat();
        let mut follower = follow_with(at, &args, &[("WALGATE_TOKEN", variable)])?;
        follower.wait_for_log("following")?;
        insert(&bed, &(row..=row))?;
        expect(&mut follower, row..=row)?;
        ensure!(
            !follower.stderr().contains("hunter"),
            "{}",
            follower.stderr()
        );
    }
    stop(program, &[])?;
    Ok(())
}

#[test]
fn a_person_gets_lines_and_asks_twice_when_nobody_reads() -> Result<()> {
    let bed = bed(PgVersion::V16, "follow_pretty")?;
    let (program, at) = serve(&bed)?;
    let mut follower = follow(
        at,
        &["--format", "pretty", "--color", "always", "--where", "v=x"],
    )?;
    follower.wait_for_log("following")?;
    insert(&bed, &(1..=1))?;
    let line = follower.line()?;
    ensure!(line.contains("\u{1b}[32minsert\u{1b}[0m"), "{line:?}");
    ensure!(line.contains("public.t") && line.ends_with('x'), "{line:?}");
    // The output is full, and its reader does not move.
    bed.sql("insert into t select g, 'x' from generate_series(2, 20000) g")?;
    walgate_tests::until("the output is full", || follower.is_blocked())?;
    follower.signal("INT")?;
    walgate_tests::until("it still waits", || follower.is_blocked())?;
    follower.signal("INT")?;
    let ended = follower.wait()?;
    ensure!(ended.status.success(), "{ended:?}");
    stop(program, &[])?;
    Ok(())
}

#[test]
fn a_certificate_of_an_unknown_authority_is_refused_with_what_mends_it() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V18, "follow_tls", TABLE)?;
    let authority = Certificates::new(bed.folder())?;
    let server = authority.issue_server("push", &["127.0.0.1"])?;
    bed.sinks = super::websocket(&format!(
        "delivery = \"live-only\"\npolicy = \"token\"\ntls_cert = \"{}\"\ntls_key = \"{}\"\n\
         [sinks.push.tokens]\nann = {{ sha256 = \"{HASH}\" }}",
        server.certificate.display(),
        server.key.display()
    ));
    bed.begin()?;
    let (program, at) = serve(&bed)?;
    let url = format!("wss://{at}");
    let environment = [("WALGATE_TOKEN", "hunter2"), ("NO_PROXY", "127.0.0.1")];
    let ended = Program::start_with(["follow", &url], &environment)?.wait()?;
    refused(&ended, 2, &["not who it says", "--ca FILE"], KNOWN)?;
    let ca = authority.ca();
    let ca = ca.to_str().context("a path")?;
    for (row, transport) in [(1, "websocket"), (2, "sse")] {
        let args = [
            "follow",
            &url,
            "--ca",
            ca,
            "--format",
            "json",
            "--transport",
            transport,
        ];
        let mut follower = Program::start_with(args, &environment)?;
        follower.wait_for_log("following")?;
        insert(&bed, &(row..=row))?;
        expect(&mut follower, row..=row)?;
    }
    // What is no TLS is no reason to give up, but said.
    let proxy = FaultProxy::start(at)?;
    let ended = follow(proxy.address(), &["--no-reconnect"])?.wait()?;
    failed(&ended, 1, &["error: "])?;
    stop(program, &[])?;
    Ok(())
}

#[test]
fn the_tables_of_a_server_complete_a_line() -> Result<()> {
    let bed = bed(PgVersion::V15, "follow_tables")?;
    let (server, at) = serve(&bed)?;
    let mut first = follow(at, &["--format", "json"])?;
    first.wait_for_log("following")?;
    insert(&bed, &(1..=1))?;
    expect(&mut first, 1..=1)?;
    let ended = follow(at, &["--list-tables"])?.wait()?;
    ensure!(
        ended.status.success() && ended.lines == ["public.t"],
        "{ended:?}"
    );
    // As bash asks: a URL is several words for it.
    let script = format!(
        "source <(walgate completions bash)\n\
         COMP_LINE='walgate follow ws://{at} --table pu'\n\
         COMP_WORDS=(walgate follow ws : //{at} --table pu)\nCOMP_CWORD=6\n\
         _walgate_with_tables walgate pu --table\necho \"tables: ${{COMPREPLY[*]}}\"\n\
         COMP_LINE='walgate follow --transp'\n\
         COMP_WORDS=(walgate follow --transp)\nCOMP_CWORD=2\nCOMPREPLY=()\n\
         _walgate_with_tables walgate --transp follow\necho \"options: ${{COMPREPLY[*]}}\"\n"
    );
    let folder = walgate_tests::program();
    let folder = folder.parent().context("a folder")?.display().to_string();
    let path = format!("{folder}:{}", std::env::var("PATH")?);
    let output = std::process::Command::new("bash")
        .args(["--norc", "-c", &script])
        .env("PATH", path)
        .env("NO_PROXY", "127.0.0.1")
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(said.contains("tables: public.t\n"), "{said} {output:?}");
    ensure!(said.contains("options: --transport\n"), "{said} {output:?}");
    stop(server, &[])?;
    Ok(())
}
