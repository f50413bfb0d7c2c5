//! JSON Web Tokens whose keys are replaced while the server runs.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use walgate_tests::{Bed, Program, stop};
use walgate_throwaway::PgVersion;

use super::client::{Client, Events, Said};
use super::{address, websocket};

/// A key of who signs tokens.
struct Key {
    kid: &'static str,
    pair: Ed25519KeyPair,
}

impl Key {
    fn new(kid: &'static str) -> Result<Self> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| anyhow::anyhow!("no key was made"))?;
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref());
        let pair = pair.map_err(|_| anyhow::anyhow!("no key was read"))?;
        Ok(Self { kid, pair })
    }

    /// A set of this key alone.
    fn set(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": x}]}).to_string()
    }

    fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA", "kid": self.kid});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(claims));
        let signature = self.pair.sign(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Who has the keys: what it answers every request with, if it does, and how often it was asked.
#[derive(Default)]
struct Issuer {
    answer: Mutex<Option<String>>,
    asked: AtomicUsize,
}

impl Issuer {
    fn answers(&self, answer: Option<String>) -> Result<()> {
        let poisoned = |_| anyhow::anyhow!("poisoned");
        *self.answer.lock().map_err(poisoned)? = answer;
        Ok(())
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Answers at an address until the process ends.
    fn serve(self: &Arc<Self>) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let own = Arc::clone(self);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut head = [0; 4096];
                let _request = stream.read(&mut head);
                own.asked.fetch_add(1, Ordering::SeqCst);
                let Some(body) = own.answer.lock().ok().and_then(|own| own.clone()) else {
                    continue;
                };
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                // Who asks has gone.
                let _answered = stream.write_all(answer.as_bytes());
            }
        });
        Ok(format!("http://{address}/keys"))
    }
}

/// The status of the answer to who asks for an event stream with a token.
fn status(at: &str, token: &str) -> Result<u16> {
    let header = format!("Authorization: Bearer {token}\r\n");
    Ok(Events::open(at, "", &header)?.err().unwrap_or(200))
}

fn serve(url: &str) -> Result<(Bed, Program, String)> {
    let tables = "create table t (id int primary key, team text); \
                  alter table t replica identity full; \
                  create publication walgate for table t;";
    let mut bed = Bed::shared(PgVersion::V17, "push_jwt", tables)?;
    bed.more = "[log]\nlevel = \"trace\"\n".to_owned();
    bed.sinks = websocket(&format!(
        "delivery = \"live-only\"\n[sinks.push.jwt]\nalgorithm = \"EdDSA\"\njwks = \"{url}\"\n\
         jwks_refresh = \"1h\"\naudience = [\"walgate\"]\n\
         [sinks.push.access_rules.team]\ntables = [\"public.t\"]\nwhere = \"team = claims.team\""
    ));
    bed.begin()?;
    let mut program = bed.serve()?;
    let at = address(&mut program)?;
    Ok((bed, program, at))
}

#[test]
fn a_token_opens_by_a_key_that_may_be_replaced() -> Result<()> {
    let (old, new) = (Key::new("old")?, Key::new("new")?);
    let issuer = Arc::new(Issuer::default());
    issuer.answers(Some(old.set()))?;
    let (bed, program, at) = serve(&issuer.serve()?)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = json!({"sub": "ann", "aud": "walgate", "exp": now + 3600, "team": "red"});
    let right = old.sign(&claims);
    // It has waited for the keys, when they were not read yet.
    let mut client = Client::with_token(&at, "?table=public.t", Some(&right))?;
    let ready = client.answer("ready")?;
    ensure!(ready["expires"].is_string(), "{ready}");
    bed.sql("insert into t values (1, 'blue'), (2, 'red')")?;
    ensure!(client.event()?["key"]["id"] == 2);

    let with = |key: &str, value: Value| {
        let mut claims = claims.clone();
        claims[key] = value;
        old.sign(&claims)
    };
    let (message, _) = right.rsplit_once('.').context("three parts")?;
    for wrong in [
        with("exp", json!(now - 3600)),
        with("nbf", json!(now + 3600)),
        with("aud", json!("somebody else")),
        format!("{message}."),
    ] {
        ensure!(status(&at, &wrong)? == 401, "{wrong}");
    }
    let asked = issuer.asked();
    issuer.answers(Some(new.set()))?;
    let fresh = new.sign(&claims);
    wait_for_the_key(&bed, &at, client, &fresh)?;
    // Once for all of them; and once more, when the first of them came before the keys were read first.
    let asked = issuer.asked() - asked;
    ensure!((1..=2).contains(&asked), "{asked}");
    // What is no set changes nothing, and neither does who does not answer.
    for down in [Some("<html>".to_owned()), None] {
        issuer.answers(down)?;
        ensure!(status(&at, &fresh)? == 200);
    }
    let log = program.stderr();
    for token in [&right, &fresh] {
        for part in token.split('.') {
            ensure!(!log.contains(part), "a token is in the log: {part}");
        }
    }
    ensure!(log.contains("a client follows"), "{log}");
    stop(program, &[])?;
    Ok(())
}

/// Whoever shows a token whose key is not known, in whatever way, is answered when the keys were read again;
/// what a connection is sent need not wait for that.
fn wait_for_the_key(bed: &Bed, at: &str, mut renews: Client, fresh: &str) -> Result<()> {
    renews.say(&json!({"type": "token", "token": fresh}))?;
    renews.say(&json!({"type": "unsubscribe", "id": "nothing"}))?;
    let mut starts = Client::connect(at, "")?;
    starts.say(&json!({"type": "start", "token": fresh}))?;
    let header = {
        let (at, fresh) = (at.to_owned(), fresh.to_owned());
        std::thread::spawn(move || status(&at, &fresh))
    };
    bed.sql("insert into t values (3, 'red')")?;
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(match renews.next()? {
            Said::Event(event) => event["op"].clone(),
            Said::Answer(answer) => answer["type"].clone(),
            Said::Closed(code) => json!(code),
        });
    }
    let place = |what: &str| told.iter().position(|told| told == what);
    ensure!(place("insert").is_some(), "{told:?}");
    // What is said behind a token is heard behind it.
    ensure!(
        place("token").is_some() && place("token") < place("error"),
        "{told:?}"
    );
    starts.answer("ready")?;
    let status = header
        .join()
        .map_err(|_| anyhow::anyhow!("it panicked"))??;
    ensure!(status == 200, "{status}");
    Ok(())
}
