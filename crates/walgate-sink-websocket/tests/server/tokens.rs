//! Tokens that end, that are replaced, and that are tried.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use walgate_sink_websocket::{
    Guard, Jwt, JwtAlgorithm, JwtKeys, Policy, PushOptions, QueueLimits, Rule, RuleText,
};

use crate::bed::{Server, options};
use crate::wire::{Wire, handshake};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

fn signed_by(secret: &str, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&json!({"alg": "HS256"})), part(claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let signature = ring::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A token of ann's, for these ids, that ends so many seconds from now.
pub(crate) fn token(ids: &[u32], seconds: u64) -> String {
    signed_by(
        SECRET,
        &json!({"sub": "ann", "exp": now() + seconds, "ids": ids}),
    )
}

/// A server that shows the rows whose id a token lists.
fn server() -> Server {
    server_with(|_| {})
}

/// The same, with other options.
fn server_with(change: impl FnOnce(&mut PushOptions)) -> Server {
    let mut options = guarded();
    change(&mut options);
    Server::start(options)
}

/// What such a server is given.
pub(crate) fn guarded() -> PushOptions {
    let tables = ["public.t".to_owned()];
    let rule = Rule::new(RuleText {
        tables: &tables,
        rows: Some("id in claims.ids"),
        ..RuleText::default()
    });
    let jwt = Jwt {
        algorithm: JwtAlgorithm::Hs256,
        keys: JwtKeys::secret(SECRET).expect("a secret"),
        audience: Vec::new(),
        issuer: Vec::new(),
        skew: Duration::ZERO,
        tables_claim: None,
    };
    PushOptions {
        policy: Policy::Guarded(Guard {
            jwt: Some(jwt),
            rules: vec![rule.expect("a rule")],
            ..Guard::default()
        }),
        origins: vec!["https://app.example.com".to_owned()],
        queue: QueueLimits {
            events: 1 << 20,
            bytes: 1 << 30,
        },
        ..options()
    }
}

/// A WebSocket that has begun with this token, and is ready unless it resumes.
fn socket(server: &Server, token: &str, after: Option<String>) -> Wire {
    let mut wire = server.socket("");
    wire.say(&json!({"type": "start", "token": token, "after": after}).to_string());
    wire
}

pub(crate) fn say_token(wire: &mut Wire, token: &str) {
    wire.say(&json!({"type": "token", "token": token}).to_string());
}

/// The head of the answer to a request, with these header lines.
fn ask(server: &Server, request: &str, headers: &str) -> (String, Wire) {
    let mut wire = server.connect();
    wire.send(format!("{request} HTTP/1.0\r\nHost: localhost\r\n{headers}\r\n").as_bytes());
    let head = wire.head();
    (head, wire)
}

fn status(server: &Server, request: &str, headers: &str) -> u16 {
    let (head, _) = ask(server, request, headers);
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    code.unwrap_or_else(|| panic!("no status: {head}"))
}

#[test]
fn a_connection_ends_with_its_token_unless_it_is_given_another() {
    let server = server();
    let mut renewed = socket(&server, &token(&[1], 8), None);
    let ready = renewed.expect("ready");
    assert!(
        ready["expires"]
            .as_str()
            .is_some_and(|text| text.ends_with('Z')),
        "{ready}"
    );
    let mut ends = socket(&server, &token(&[1], 8), None);
    ends.expect("ready");
    let header = format!("Authorization: Bearer {}\r\n", token(&[1], 8));
    let (head, mut stream) = ask(&server, "GET /v1/events", &header);
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    stream.until("event: ready");
    say_token(&mut renewed, &token(&[1], 3600));
    let answer = renewed.expect("token");
    assert!(
        answer["expires"].as_str() > ready["expires"].as_str(),
        "{answer} {ready}"
    );

    let closed = ends.expect("closed");
    assert_eq!(
        (&closed["code"], &closed["reason"]),
        (
            &json!(4401),
            &json!("the token, or the certificate, has expired")
        )
    );
    assert_eq!(ends.code(), Some(4401));
    let rest = stream.rest();
    assert!(
        rest.contains("event: closed") && rest.contains("4401"),
        "{rest}"
    );
    server.publish(&["a"]);
    assert_eq!(renewed.rows(1), [1]);
}

#[test]
fn a_token_that_opens_nothing_changes_nothing() {
    let server = server();
    let mut wire = socket(&server, &token(&[1, 2], 3600), None);
    wire.expect("ready");
    let other = json!({"sub": "bob", "exp": now() + 3600, "ids": [1, 2, 3]});
    let tokens = [
        String::new(),
        "guess".to_owned(),
        token(&[1, 2, 3], 0),
        signed_by(
            "another secret that has 32 bytes",
            &json!({"sub": "ann", "exp": now() + 60}),
        ),
        // Right, but somebody else's.
        signed_by(SECRET, &other),
    ];
    for token in &tokens {
        say_token(&mut wire, token);
        let refused = wire.expect("error");
        assert_eq!(refused["code"], "unauthorized", "{refused}");
        assert!(token.len() < 2 || !refused.to_string().contains(token.as_str()));
        let header = format!("Authorization: Bearer {token}\r\n");
        if token != &tokens[4] {
            assert_eq!(status(&server, "GET /v1/events", &header), 401);
        }
    }
    server.publish(&["a", "b", "c"]);
    assert_eq!(wire.rows(2), [1, 2]);
}

#[test]
fn who_may_see_less_sees_less_at_once_and_misses_nothing_of_it() {
    let server = server();
    let all: Vec<u32> = (1..=600).collect();
    let odd: Vec<u32> = (1..=600).filter(|id| id % 2 == 1).collect();
    // Longer than what the kernel holds for who does not read.
    let note = "x".repeat(40_000);
    let notes: Vec<&str> = all.iter().map(|_| note.as_str()).collect();
    let mut live = socket(&server, &token(&all, 3600), None);
    live.expect("ready");
    server.publish(&notes);
    let mut replayed = socket(
        &server,
        &token(&all, 3600),
        Some(server.log.at(0).to_string()),
    );
    for wire in [&mut live, &mut replayed] {
        assert_eq!(wire.rows(2), [1, 2]);
        say_token(wire, &token(&odd, 3600));
        let (mut seen, mut told) = (vec![1, 2], None);
        let ready = loop {
            let json = wire.json();
            match json["n"].as_u64() {
                Some(n) => seen.push(n),
                None if json["type"] == "token" => told = Some(seen.len()),
                None => break json,
            }
        };
        assert_eq!(ready["type"], "ready", "{ready}");
        let (before, after) = seen.split_at(told.expect("it was answered"));
        assert!(
            seen.is_sorted_by(|one, other| one < other),
            "once, and in order"
        );
        assert!(after.iter().all(|n| n % 2 == 1), "{after:?}");
        assert!(before.len() < 600 && !after.is_empty(), "{}", before.len());
        let seen: Vec<u64> = seen.into_iter().filter(|n| n % 2 == 1).collect();
        let odd: Vec<u64> = odd.iter().map(|n| u64::from(*n)).collect();
        assert_eq!(seen, odd);
    }
    // And from there on.
    server.publish(&["a", "b"]);
    server.publish(&["c"]);
    live.say("{\"type\":\"unsubscribe\",\"id\":\"none\"}");
    live.expect("error");
}

#[test]
fn who_may_see_more_takes_a_new_copy() {
    let server = server();
    for wider in [json!([1, 2, 3]), json!([2, 3])] {
        let mut wire = socket(&server, &token(&[1, 2], 3600), None);
        wire.expect("ready");
        let claims = json!({"sub": "ann", "exp": now() + 3600, "ids": wider});
        say_token(&mut wire, &signed_by(SECRET, &claims));
        wire.expect("token");
        wire.expect("resync_required");
        assert_eq!(wire.expect("closed")["code"], 4410);
    }
}

#[test]
fn nobody_resumes_into_what_the_token_does_not_show() {
    let server = server();
    server.publish(&["a", "b", "c"]);
    let start = server.log.at(0).to_string();
    let mut wire = socket(&server, &token(&[2], 3600), Some(start.clone()));
    assert_eq!(wire.rows(1), [2]);
    wire.expect("ready");
    let header = format!(
        "Authorization: Bearer {}\r\nLast-Event-ID: {start}\r\n",
        token(&[3], 60)
    );
    let (_, mut stream) = ask(&server, "GET /v1/events", &header);
    let seen = stream.until("event: ready");
    assert!(
        seen.contains("\"n\":3") && !seen.contains("\"n\":1") && !seen.contains("\"n\":2"),
        "{seen}"
    );
    // A claim that is missing.
    let claims = json!({"sub": "ann", "exp": now() + 60});
    let mut none = socket(&server, &signed_by(SECRET, &claims), Some(start));
    none.expect("ready");
}

#[test]
fn a_cookie_stands_for_the_header_on_pages_of_the_server() {
    let server = server();
    let right = token(&[1], 3600);
    let bearer = format!("Authorization: Bearer {right}\r\n");
    let (head, mut wire) = ask(&server, "POST /v1/session", &bearer);
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    assert!(wire.rest().contains("\"expires\":\""));
    let cookie = head
        .lines()
        .find_map(|line| line.strip_prefix("set-cookie: "));
    let cookie = cookie.expect("a cookie");
    for part in ["HttpOnly", "SameSite=Strict", "Path=/v1", "Max-Age="] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let pair = cookie.split(';').next().expect("a pair");
    let cookie = format!("Cookie: other=1; {pair}\r\n");
    assert_eq!(status(&server, "GET /v1/events", &cookie), 200);
    assert_eq!(status(&server, "GET /v1/events", ""), 401);
    // It opens a WebSocket too, and none for a page of somebody else.
    let open = |origin: &str| {
        let mut wire = server.connect();
        let request = handshake("/v1/stream?table=*");
        let headers = format!("Host: localhost\r\n{cookie}Origin: {origin}\r\n");
        wire.send(request.replace("Host: localhost\r\n", &headers).as_bytes());
        wire.head().split(' ').nth(1).map(str::to_owned)
    };
    assert_eq!(open("http://localhost").as_deref(), Some("101"));
    assert_eq!(open("https://evil.example").as_deref(), Some("403"));
    // Nobody is logged in by another page, or prolongs a cookie by itself.
    let foreign = format!("{bearer}Origin: https://evil.example\r\n");
    assert_eq!(status(&server, "POST /v1/session", &foreign), 403);
    assert_eq!(status(&server, "DELETE /v1/session", &foreign), 403);
    assert_eq!(status(&server, "POST /v1/session", &cookie), 401);
    assert_eq!(
        status(&server, "POST /v1/session", "Authorization: Bearer x\r\n"),
        401
    );
    let (head, _) = ask(&server, "DELETE /v1/session", &cookie);
    assert!(
        head.contains(" 204 ") && head.contains("Max-Age=0"),
        "{head}"
    );
    // One that opens nothing keeps nobody from saying a token.
    let mut wire = server.connect();
    let stale = "Host: localhost\r\nCookie: walgate_session=Z3Vlc3M\r\n";
    wire.send(
        handshake("/v1/stream")
            .replace("Host: localhost\r\n", stale)
            .as_bytes(),
    );
    assert!(wire.head().starts_with("HTTP/1.1 101"));
    wire.say(&json!({"type": "start", "token": right}).to_string());
    wire.expect("ready");
}

#[test]
fn pages_of_listed_origins_may_read_the_answers() {
    let server = server();
    let listed = "Origin: https://app.example.com\r\n";
    let asks =
        "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: authorization\r\n";
    for path in ["/v1/events", "/v1/session"] {
        let (head, _) = ask(
            &server,
            &format!("OPTIONS {path}"),
            &format!("{listed}{asks}"),
        );
        assert!(head.contains(" 204 "), "{head}");
        assert!(
            head.contains("access-control-allow-origin: https://app.example.com\r\n"),
            "{head}"
        );
        assert!(
            head.contains("access-control-allow-headers: Authorization"),
            "{head}"
        );
        let foreign = format!("Origin: https://evil.example\r\n{asks}");
        let (head, _) = ask(&server, &format!("OPTIONS {path}"), &foreign);
        assert!(
            head.contains(" 403 ") && !head.contains("access-control-allow"),
            "{head}"
        );
        assert!(head.contains("vary: Origin"), "{head}");
    }
    let bearer = format!("Authorization: Bearer {}\r\n", token(&[1], 60));
    let (head, _) = ask(&server, "GET /v1/events", &format!("{listed}{bearer}"));
    assert!(
        head.contains(" 200 ") && head.contains("access-control-allow-origin: https://app"),
        "{head}"
    );
    // Also what is wrong.
    let (head, _) = ask(&server, "GET /v1/events", listed);
    assert!(
        head.contains(" 401 ") && head.contains("access-control-allow-origin"),
        "{head}"
    );
    let (head, _) = ask(&server, "GET /v1/events", &bearer);
    assert!(
        !head.contains("access-control") && head.contains("vary: Origin"),
        "{head}"
    );
}

#[test]
fn a_subject_has_so_many_connections_at_once_and_others_have_theirs() {
    let server = server_with(|options| options.max_connections_of_subject = 2);
    let bob = signed_by(
        SECRET,
        &json!({"sub": "bob", "exp": now() + 3600, "ids": [1]}),
    );
    let mut first = socket(&server, &token(&[1], 3600), None);
    first.expect("ready");
    // Whatever it shows and however it comes: it is the same one.
    let header = format!("Authorization: Bearer {}\r\n", token(&[2], 3600));
    let (head, mut second) = ask(&server, "GET /v1/events", &header);
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    second.until("event: ready");
    let mut third = socket(&server, &token(&[1], 60), None);
    assert_eq!(third.expect("closed")["code"], 4430);
    assert_eq!(third.code(), Some(4430));
    let (head, _) = ask(&server, "GET /v1/events", &header);
    assert!(head.starts_with("HTTP/1.0 429"), "{head}");
    assert!(head.contains("retry-after: 10\r\n"), "{head}");
    assert_eq!(server.stats().refused, 2);
    // What is no stream is none of its connections.
    assert_eq!(status(&server, "GET /v1/tables", &header), 200);
    socket(&server, &bob, None).expect("ready");
    drop(second);
    let freed = || status(&server, "GET /v1/events", &header) == 200;
    server.until("a place", |_| freed());
    server.publish(&["a"]);
    assert_eq!(first.rows(1), [1]);
}

#[test]
fn filters_that_are_asked_for_every_change_are_so_many() {
    let server = server();
    let mut wire = socket(&server, &token(&[1], 3600), None);
    wire.expect("ready");
    let tests = |count: usize| vec!["id > 0"; count].join(" and ");
    let mut subscribe = |id: &str, filter: &str| {
        let request =
            json!({"type": "subscribe", "id": id, "tables": ["public.t"], "where": filter});
        wire.say(&request.to_string());
        wire.json()
    };
    for id in ["a", "b", "c", "d"] {
        assert_eq!(subscribe(id, &tests(256))["type"], "subscriptions");
    }
    let refused = subscribe("e", "id > 0");
    assert_eq!(refused["code"], "too_many", "{refused}");
    assert_eq!(refused["subscription"], "e", "{refused}");
    // What a value finds costs the others nothing.
    let found = format!("id = 1 and {}", tests(255));
    assert_eq!(subscribe("e", &found)["type"], "subscriptions");
    wire.say("{\"type\":\"unsubscribe\",\"id\":\"a\"}");
    wire.expect("subscriptions");
    let request = json!({"type": "subscribe", "id": "f", "where": tests(256)});
    wire.say(&request.to_string());
    wire.expect("subscriptions");
    server.publish(&["a"]);
    assert_eq!(wire.rows(1), [1], "once");
    // Another connection has its own.
    let start = json!({"type": "start", "token": token(&[1], 3600),
                       "subscriptions": [{"id": "a", "where": tests(256)}]});
    let mut other = server.socket("");
    other.say(&start.to_string());
    other.expect("ready");
}
