//! Clients that come, read slowly, go, resume and want something else, beside a chain that encodes
//! ahead, goes back and starts again: each client is given exactly the filtered log from its position.
//!
//! A seed that fails says how it is run again alone (`WALGATE_TEST_SEED`); `WALGATE_TEST_SEEDS=from..to`
//! runs any others.
//!
//! # What has to hold
//!
//! - What a client is given behind the position it began at is the log as its subscriptions filter it:
//!   nothing is missing, comes twice or in another order, across replay, handover and changes of what it
//!   wants.
//! - `ready`, `position` and the position of a close never claim more than was given.
//! - At rest, everybody who is live has everything.

mod client;
mod log;
mod wants;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use walgate_core::{Batch, Encoder, Position, Sink};

use crate::close::Close;
use crate::encoder::PushEncoder;
use crate::feed::{Feed, From, MakeEncoder};
use crate::frame::Carrier;
use crate::history::History;
use crate::hub::Hub;
use crate::queue::QueueLimits;
use crate::sink::PushSink;
use client::{Client, Left};
pub(crate) use log::TextEncoder;
use log::{Journal, Shelf, random_log};
use wants::Wish;

/// A second or two.
const SEEDS: u64 = 400;
/// Seeds that have failed once, besides.
const ONCE_FAILED: &[u64] = &[];
const CLIENTS: usize = 6;
const STEPS: u32 = 400;

/// The chain and its hub, which a restart replaces.
struct Chain {
    hub: Arc<Hub>,
    encoder: PushEncoder<TextEncoder>,
    sink: PushSink,
    /// So much of the log was encoded.
    next: usize,
    building: Batch,
    full: VecDeque<Batch>,
}

struct World {
    random: fastrand::Rng,
    journal: Arc<Journal>,
    history: Arc<dyn History>,
    chain: Chain,
    clients: Vec<Client>,
    limits: QueueLimits,
    budget: usize,
}

impl Chain {
    fn new(budget: usize, from: Position, next: usize) -> Self {
        let hub = Arc::new(Hub::new(budget));
        hub.begin(from);
        Self {
            encoder: PushEncoder::for_all(TextEncoder, Arc::clone(&hub)),
            sink: PushSink::new(Arc::clone(&hub)),
            hub,
            next,
            building: Batch::default(),
            full: VecDeque::new(),
        }
    }

    fn encode(&mut self, journal: &Journal, events: usize) {
        let upto = (self.next + events).min(journal.visible());
        for logged in &journal.log[self.next..upto] {
            let change = logged.change();
            let encoded = self.encoder.encode(&change, &mut self.building.bytes);
            let encoded = encoded.expect("text is encoded");
            let table = change.body.table();
            self.building
                .push(change.position, change.body.op(), table, encoded);
        }
        self.next = upto;
    }

    fn cut(&mut self) {
        if !self.building.is_empty() {
            self.full.push_back(std::mem::take(&mut self.building));
        }
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let transactions = random.u32(1..30);
        let log = random_log(&mut random, transactions);
        let journal = Arc::new(Journal {
            log,
            visible: AtomicUsize::new(0),
            gone: AtomicUsize::new(0),
            random: Mutex::new(random.fork()),
        });
        let limits = QueueLimits {
            events: random.usize(2..40),
            bytes: random.usize(100..4000),
        };
        let budget = random.usize(500..20_000);
        let mut world = Self {
            history: Arc::new(Shelf(Arc::clone(&journal))),
            chain: Chain::new(budget, Position::ZERO, 0),
            clients: Vec::new(),
            random,
            journal,
            limits,
            budget,
        };
        world.clients = (0..CLIENTS).map(|_| world.client()).collect();
        world
    }

    fn client(&mut self) -> Client {
        let carrier = match self.random.bool() {
            true => Carrier::WebSocket,
            false => Carrier::EventStream,
        };
        let wish = Wish::random(&mut self.random);
        Client {
            feed: None,
            carrier,
            wish,
            wished: Vec::new(),
            given: Vec::new(),
            told: None,
            ready: false,
        }
    }

    /// A client comes, or comes back.
    fn connect(&mut self, place: usize) {
        // Some want what others want.
        if self.random.u8(0..3) == 0 {
            let other = self.random.usize(0..CLIENTS);
            self.clients[place].wish = self.clients[other].wish.clone();
        }
        let client = &mut self.clients[place];
        let last = client.given.last().map(|(position, _)| *position);
        let after = match self.random.u8(0..8) {
            0 => None,
            1..4 => last.or(client.told),
            _ => client.told,
        };
        client.given.clear();
        client.ready = false;
        client.told = after;
        let began = after.map(|after| (after, client.wish.clone()));
        client.wished = began.into_iter().collect();
        let make: MakeEncoder = Arc::new(|| Box::new(TextEncoder));
        client.feed = Some(Feed::new(
            &self.chain.hub,
            &self.history,
            client.carrier,
            Arc::new(client.wish.interest()),
            after.map_or(From::Now, From::After),
            (self.limits, make),
        ));
    }

    /// A client wants something else.
    fn change(&mut self, place: usize) {
        let wish = match self.random.bool() {
            true => Wish::random(&mut self.random),
            false => self.clients[self.random.usize(0..CLIENTS)].wish.clone(),
        };
        let client = &mut self.clients[place];
        let Some(feed) = &mut client.feed else { return };
        if let Some(head) = feed.change(wish.interest()) {
            client.wished.push((head, wish.clone()));
            client.wish = wish;
        }
    }

    /// A client's token shows less from here on: what waits is read again under it.
    fn narrow(&mut self, place: usize) {
        let client = &mut self.clients[place];
        let Some(feed) = &mut client.feed else { return };
        let wish = client.wish.narrowed(&mut self.random);
        let kept = feed.narrow(wish.interest(), 0);
        assert_eq!(kept, Some(0), "everything is kept");
        client.ready = false;
        if !client.wished.is_empty() {
            // What it wanted from further on, it wants from there on.
            let sent = feed.sent();
            client.wished.retain(|(from, _)| *from < sent);
            client.wished.push((sent, wish.clone()));
        }
        client.wish = wish;
    }

    fn write(&mut self) {
        let Some(mut batch) = self.chain.full.pop_front() else {
            return;
        };
        let written = {
            let mut write = std::pin::pin!(self.chain.sink.write(&mut batch));
            write.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        };
        assert_eq!(
            written,
            Poll::Ready(Ok(())),
            "it never waits and never fails"
        );
    }

    /// The process dies; the chain begins at or before what was dispatched.
    fn crash(&mut self) {
        let log = &self.journal.log;
        let dispatched = self.chain.hub.dispatched();
        let done = log.partition_point(|own| own.position <= dispatched);
        let next = done - self.random.usize(0..done.min(20) + 1);
        let from = next
            .checked_sub(1)
            .map_or(Position::ZERO, |last| log[last].position);
        for client in &mut self.clients {
            client.feed = None;
        }
        self.chain = Chain::new(self.budget, from, next);
    }

    /// The chain repeats what is behind what was dispatched, be it in the middle of a transaction.
    fn go_back(&mut self) {
        let dispatched = self.chain.hub.dispatched();
        let log = &self.journal.log;
        self.chain.next = log.partition_point(|own| own.position <= dispatched);
        self.chain.building.clear();
        self.chain.full.clear();
    }

    /// What was dispatched goes from the journal, whole transactions of it.
    fn retain(&mut self) {
        let log = &self.journal.log;
        let dispatched = self.chain.hub.dispatched();
        let done = log.partition_point(|own| own.position <= dispatched);
        let gone = self.journal.gone.load(Ordering::SeqCst);
        let gone = self.random.usize(gone..done.max(gone) + 1);
        let last = gone.checked_sub(1).map(|last| log[last].position.index());
        if matches!(last, Some(0 | Position::COMMIT)) {
            self.journal.gone.store(gone, Ordering::SeqCst);
        }
    }

    fn step(&mut self) {
        let place = self.random.usize(0..CLIENTS);
        match self.random.u8(0..64) {
            0..8 => {
                let more = self.journal.visible() + self.random.usize(1..12);
                let more = more.min(self.journal.log.len());
                self.journal.visible.store(more, Ordering::SeqCst);
            }
            8..18 => {
                let events = self.random.usize(1..8);
                self.chain.encode(&self.journal, events);
            }
            18..23 => self.chain.cut(),
            23..31 => self.write(),
            31 if self.random.bool() => self.crash(),
            32 => self.go_back(),
            33 if self.random.u8(0..4) == 0 => self.retain(),
            34 if self.random.u8(0..8) == 0 => self.chain.hub.close(Close::GoingAway),
            35..37 => self.clients[place].feed = None,
            37..41 => self.change(place),
            41..43 => self.narrow(place),
            _ if self.clients[place].feed.is_none() => self.connect(place),
            _ => drop(self.clients[place].take(&self.journal.log)),
        }
    }

    /// Everything is encoded, written and read.
    fn settle(&mut self) {
        let all = self.journal.log.len();
        self.journal.visible.store(all, Ordering::SeqCst);
        self.chain.encode(&self.journal, all);
        self.chain.cut();
        while !self.chain.full.is_empty() {
            self.write();
        }
        let last = self.journal.log.last().map(|own| own.position);
        // One may wait for room that another has.
        let mut idle = 0;
        while idle < 50 {
            idle += 1;
            for client in &mut self.clients {
                if client.feed.is_some() && client.take(&self.journal.log) != Left::Waiting {
                    idle = 0;
                }
            }
        }
        for client in &self.clients {
            if let Some(feed) = &client.feed {
                assert!(client.ready, "it is never ready");
                assert!(Some(feed.sent()) >= last, "it does not have everything");
            }
        }
    }

    fn run(&mut self) {
        let steps = self.random.u32(1..STEPS);
        (0..steps).for_each(|_| self.step());
        self.settle();
    }
}

/// Runs one seed; on failure says why.
fn run(seed: u64) -> Result<(), String> {
    let ran = catch_unwind(AssertUnwindSafe(|| World::new(seed).run()));
    ran.map_err(|panic| {
        let why = panic.downcast_ref::<String>().cloned().unwrap_or_default();
        format!(
            "{why}\n\nagain: WALGATE_TEST_SEED={seed} cargo test -p walgate-sink-websocket --lib \
             model_tests"
        )
    })
}

fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn seeds() -> Vec<u64> {
    let number = |text: &str| text.parse::<u64>().expect("a number");
    if let Some(seed) = setting("WALGATE_TEST_SEED") {
        return vec![number(&seed)];
    }
    if let Some(seeds) = setting("WALGATE_TEST_SEEDS") {
        let (from, to) = seeds.split_once("..").expect("from..to");
        return (number(from)..number(to)).collect();
    }
    (0..SEEDS).chain(ONCE_FAILED.iter().copied()).collect()
}

#[test]
fn every_client_is_given_the_filtered_log_from_its_position() {
    // Sleeping needs a runtime; nothing runs on it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let _inside = runtime.enter();
    for seed in seeds() {
        if let Err(why) = run(seed) {
            panic!("seed {seed}: {why}");
        }
    }
}
