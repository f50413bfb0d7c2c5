//! Who comes back, and how everybody ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use walgate_sink_websocket::{PushOptions, QueueLimits};

use crate::bed::{Server, UNENCODABLE, options};

#[test]
fn who_waits_or_reads_what_it_missed_is_told_of_the_end_with_its_position() {
    let server = Server::start(options());
    server.publish(&["a", "b", "c"]);
    server.log.holds.store(true, Ordering::SeqCst);
    let mut reads = server.socket(&format!("?after={}", server.log.at(0)));
    assert_eq!(reads.rows(2), [1, 2]);
    let mut stream = server.events(&format!("?after={}", server.log.at(1)));
    stream.until("\"n\":2");
    let ahead = server.log.at(9).to_string();
    let mut waits = server.socket(&format!("?after={ahead}"));
    // It is there: what it asks for is answered.
    waits.say("{\"type\":\"unsubscribe\",\"id\":\"\"}");
    waits.expect("error");
    server.stop();
    for (wire, position) in [
        (&mut reads, server.log.at(2).to_string()),
        (&mut waits, ahead),
    ] {
        let closed = wire.expect("closed");
        assert_eq!(closed["position"], position, "{closed}");
        assert_eq!(wire.code(), Some(1001));
    }
    let rest = stream.rest();
    let end = format!("event: closed\nid: {}\n", server.log.at(2));
    assert!(rest.contains(&end) && rest.contains("1001"), "{rest}");
}

#[test]
fn an_event_that_can_not_be_encoded_does_not_end_each_resume() {
    let server = Server::start(options());
    server.publish(&["a", UNENCODABLE, "c"]);
    for _ in 0..2 {
        let mut client = server.socket(&format!("?after={}", server.log.at(0)));
        assert_eq!(client.rows(2), [1, 3]);
        client.expect("ready");
    }
    assert_eq!(server.stats().unencodable, 2);
}

#[test]
fn a_long_replay_tells_how_far_it_has_come() {
    let server = Server::start(PushOptions {
        ping_every: Duration::from_millis(50),
        ..options()
    });
    server.publish(&["a", "b", "c"]);
    server.log.holds.store(true, Ordering::SeqCst);
    let query = format!("?where=note=none&after={}", server.log.at(0));
    let mut stream = server.events(&query);
    stream.until(&format!("\nid: {}\n\n", server.log.at(2)));
    let mut client = server.socket(&query);
    let position = server.log.at(2).to_string();
    while client.expect("position")["position"] != position {}
    server.log.holds.store(false, Ordering::SeqCst);
    stream.until("event: ready");
}

#[test]
fn an_lsn_is_one_of_the_log_that_there_is() {
    let server = Server::of_epoch(options(), 3);
    server.publish(&["a", "b", "c"]);
    let mut client = server.socket("?after=0/10");
    assert_eq!(client.rows(2), [2, 3]);
    let mut stream = server.events("?after=0/20");
    stream.until("\"n\":3");
    let mut of_another = server.socket("?after=0000000000000010-00000002");
    of_another.expect("resync_required");
}

#[test]
fn from_what_is_not_retained_nobody_is_told_to_resume() {
    let server = Server::start(options());
    server.publish(&["a", "b", "c"]);
    server.log.retain_from(3);
    let mut client = server.socket(&format!("?after={}", server.log.at(1)));
    let answer = client.expect("resync_required");
    assert_eq!(answer["oldest"], server.log.at(2).to_string(), "{answer}");
    let closed = client.expect("closed");
    assert!(closed.get("position").is_none(), "{closed}");
    assert_eq!(client.code(), Some(4410));
    let mut stream = server.events(&format!("?after={}", server.log.at(1)));
    let rest = stream.rest();
    assert!(rest.contains("event: resync_required\nid:\n"), "{rest}");
}

#[test]
fn memory_is_taken_from_who_holds_it_and_from_nobody_else() {
    let budget = 4 << 20;
    let server = Server::start(PushOptions {
        memory: budget,
        queue: QueueLimits {
            events: 1 << 20,
            bytes: 1 << 30,
        },
        ..options()
    });
    // It takes a byte now and then at most.
    let mut stuck = server.socket("?table=public.t");
    stuck.expect("ready");
    let mut follows = server.socket("?table=public.t&op=insert");
    follows.expect("ready");
    let note = "x".repeat(1 << 20);
    // More than the kernel's buffers take, in the end.
    for n in 1..=200 {
        server.publish(&[&note]);
        assert_eq!(follows.rows(1), [n]);
    }
    server.until("the one that is stuck is gone", |stats| stats.clients == 1);
    server.until("its memory is free", |stats| stats.waiting_bytes < budget);
    server.publish(&["last"]);
    assert_eq!(follows.rows(1), [201]);
}
