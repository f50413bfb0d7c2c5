//! Who may connect, and to what.

use anyhow::{Result, ensure};
use serde_json::json;
use walgate_tests::{Bed, stop};
use walgate_throwaway::PgVersion;

use super::client::{Client, Events, Said};
use super::{address, websocket};

const TABLES: &str = "create table open (id int primary key); \
                      create table secret (id int primary key); \
                      create publication walgate for table open, secret;";

/// SHA-256 of "hunter2-all".
const ALL: &str = "8b9239a3a4700aea06c834609b50fffb2f359d3ec28f26b85602f53f164d5136";

/// SHA-256 of "hunter2-open".
const OPEN: &str = "29ec569ca5b5d0bf2cafdb66fb2ba3468342796b204402af45ef5a83c3f89b35";

#[test]
fn a_token_opens_what_it_names_and_nothing_else() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V17, "push_rights", TABLES)?;
    let tokens = format!(
        "delivery = \"live-only\"\npolicy = \"token\"\n[sinks.push.tokens]\n\
         all = {{ sha256 = \"{ALL}\" }}\nsome = {{ sha256 = \"{OPEN}\", tables = [\"public.open\"] }}"
    );
    bed.sinks = websocket(&tokens);
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    // Nothing, something wrong, and what is not for everybody.
    ensure!(Client::connect(&at, "?table=public.open").is_err());
    ensure!(Client::with_token(&at, "", Some("wrong")).is_err());
    ensure!(Events::open(&at, "", "")?.err() == Some(401));
    ensure!(Events::open(&at, "", "Authorization: Bearer wrong\r\n")?.err() == Some(401));
    let mut late = Client::connect(&at, "")?;
    late.say(&json!({"type": "start", "token": "wrong"}))?;
    late.answer("closed")?;
    ensure!(late.next()? == Said::Closed(4401));

    let mut some = Client::with_token(&at, "?table=*", Some("hunter2-open"))?;
    some.answer("ready")?;
    let mut all = Client::connect(&at, "")?;
    all.say(&json!({"type": "start", "token": "hunter2-all"}))?;
    all.answer("ready")?;
    some.say(&json!({"type": "subscribe", "id": "s", "tables": ["public.secret"]}))?;
    ensure!(some.answer("error")?["code"] == "forbidden");
    bed.sql("insert into secret values (1); insert into open values (1);")?;
    ensure!(all.event()?["table"] == "secret");
    ensure!(all.event()?["table"] == "open");
    ensure!(some.event()?["table"] == "open", "and nothing before it");
    let log = program.stderr();
    ensure!(!log.contains("hunter2"), "{log}");
    stop(program, &[])?;
    Ok(())
}

#[test]
fn a_page_of_another_origin_is_refused() -> Result<()> {
    let mut bed = Bed::shared(PgVersion::V15, "push_origin", TABLES)?;
    bed.sinks = websocket("delivery = \"live-only\"\norigins = [\"https://app.example.com\"]");
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    let code = |origin: &str| -> Result<u16> {
        let opened = Events::open(&at, "", &format!("Origin: {origin}\r\n"))?;
        Ok(opened.err().unwrap_or(200))
    };
    ensure!(code("https://evil.example.com")? == 403);
    ensure!(code("null")? == 403);
    ensure!(code("https://app.example.com")? == 200);
    ensure!(code(&format!("http://{at}"))? == 200, "its own");
    // A name that was made to mean this machine: without a token anybody's page could read.
    let rebound = Events::open(&at, "", "Host: evil.example:9465\r\n")?;
    ensure!(rebound.err() == Some(403));
    stop(program, &[])?;
    Ok(())
}
