//! Who is there and what they want: between the chain, which encodes, and the connections.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::{Semaphore, watch};
use walgate_core::{Position, Table, Transaction, Watermark};

use crate::chunk::{Chunk, weighed};
use crate::close::Close;
use crate::counters::Counters;
use crate::frame::Carrier;
use crate::interest::{Interest, committed};
use crate::parcel::InterestId;
use crate::queue::Queue;
use crate::server::PushStats;
use crate::snapshot::{Unsettled, behind};

/// Definitions of tables that are remembered for what is said of filters.
const MAX_TABLES: usize = 4096;

/// Clients that read what they missed at a time. Each takes a processor and the memory of a piece of the
/// log; a few more than there are cores keep all of them busy.
const MAX_REPLAYS: usize = 64;

/// What the encoder has to know.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// An interest that was not there.
    Added(InterestId, Arc<Interest>),
    /// Nobody has it any more.
    Removed(InterestId),
}

/// Who is there.
#[derive(Debug)]
pub(crate) struct Hub {
    state: Mutex<State>,
    /// Everything up to here was put into the queues of those whom it concerns.
    dispatched: Watermark<Position>,
    /// Memory of all events that wait.
    waiting: Arc<AtomicUsize>,
    budget: usize,
    /// Who may read what it missed now.
    replays: Arc<Semaphore>,
    /// Connections that are given something, or soon will be.
    present: AtomicUsize,
    /// Why everybody is sent away, once that is so.
    closing: watch::Sender<Option<Close>>,
    pub(crate) counters: Counters,
    /// What may not be visible yet on the server.
    pub(crate) unsettled: Unsettled,
}

#[derive(Debug, Default)]
struct State {
    /// Everything up to here was encoded for who was there then. It may fall when the chain goes back.
    head: Position,
    news: Vec<News>,
    interests: BTreeMap<InterestId, Group>,
    ids: HashMap<String, InterestId>,
    /// Somebody wants something else than before, and may not have got all of that.
    moved: bool,
    next_interest: InterestId,
    next_member: u64,
    tables: BTreeMap<(String, String), Arc<Table>>,
    closed: Option<Close>,
}

#[derive(Debug)]
struct Group {
    key: String,
    has_transactions: bool,
    members: Vec<Member>,
}

#[derive(Debug, Clone)]
struct Member {
    number: u64,
    queue: Arc<Queue>,
    carrier: Carrier,
    /// It gets what lies behind this.
    from: Position,
    /// And up to this, when it wants something else from there on.
    until: Option<Position>,
}

/// A place among the members of an interest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Membership {
    interest: InterestId,
    number: u64,
}

impl Hub {
    /// Nobody is there; at most `budget` bytes of events wait for all of them.
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            state: Mutex::default(),
            dispatched: Watermark::default(),
            waiting: Arc::default(),
            budget,
            replays: Arc::new(Semaphore::new(MAX_REPLAYS)),
            present: AtomicUsize::new(0),
            closing: watch::Sender::new(None),
            counters: Counters::default(),
            unsettled: Unsettled::default(),
        }
    }

    /// The chain begins behind `from`.
    pub(crate) fn begin(&self, from: Position) {
        let mut state = self.state();
        state.head = state.head.max(from);
        self.unsettled.start(behind(from));
        self.dispatched.advance(from);
    }

    /// How it is doing.
    pub(crate) fn stats(&self) -> PushStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PushStats {
            clients: self.members(),
            waiting_bytes: self.waiting.load(Ordering::Relaxed),
            connections: count(&self.counters.connections),
            refused: count(&self.counters.refused),
            slow: count(&self.counters.slow),
            resumed: count(&self.counters.resumed),
            resyncs: count(&self.counters.resyncs),
            unencodable: count(&self.counters.unencodable),
            undecided: count(&self.counters.undecided),
            snapshots: count(&self.counters.snapshots),
            snapshot_rows: count(&self.counters.snapshot_rows),
            snapshots_failed: count(&self.counters.snapshots_failed),
            deliveries: count(&self.counters.deliveries),
        }
    }

    /// Joins those who want the same, with everything up to `read`. Returns the position from which on
    /// everything comes into the queue.
    pub(crate) fn join(
        &self,
        interest: &Arc<Interest>,
        queue: &Arc<Queue>,
        carrier: Carrier,
        read: Position,
    ) -> (Membership, Position) {
        let key = interest.key();
        let mut state = self.state();
        // It may have read further than the chain has encoded.
        let head = interest.boundary(state.head.max(read));
        if let Some(why) = state.closed {
            queue.close(why);
        }
        let membership = state.join(
            (key, interest),
            Member {
                number: 0,
                queue: Arc::clone(queue),
                carrier,
                from: head,
                until: None,
            },
        );
        (membership, head)
    }

    /// Wants something else from here on, or from the end of this transaction on where its bounds are
    /// wanted. Returns from where.
    pub(crate) fn change(
        &self,
        old: Membership,
        interest: &Arc<Interest>,
    ) -> Option<(Membership, Position)> {
        let key = interest.key();
        let mut state = self.state();
        let head = interest.boundary(state.head);
        let group = state.interests.get_mut(&old.interest)?;
        let member = group
            .members
            .iter_mut()
            .find(|member| member.number == old.number)?;
        let head = match group.has_transactions {
            true => committed(head),
            false => head,
        };
        // What it has wanted before may reach further, to the end of a transaction.
        let head = head.max(member.from);
        member.until = Some(head);
        let new = Member {
            from: head,
            until: None,
            ..member.clone()
        };
        state.moved = true;
        let joined = state.join((key, interest), new);
        // On a log that is idle nothing more comes that would take the old one off.
        if head <= self.dispatched.get() {
            state.forget(old);
        }
        Some((joined, head))
    }

    /// Wants nothing any more.
    pub(crate) fn leave(&self, membership: Membership) {
        self.state().forget(membership);
    }

    /// Called for each change before it is matched: whoever joins later gets only what is behind it.
    /// `begun` is the transaction that begins with it.
    pub(crate) fn encoding(&self, position: Position, begun: Option<&Transaction>) -> Vec<News> {
        if let Some(transaction) = begun {
            // Before the head: whoever sees that sees this.
            self.unsettled.begun(position, transaction.xid);
        }
        let mut state = self.state();
        state.head = position;
        std::mem::take(&mut state.news)
    }

    /// Everybody whose interest can't be followed is told and sent away.
    pub(crate) fn refuse(&self, interest: InterestId, message: &str) {
        let state = self.state();
        if let Some(group) = state.interests.get(&interest) {
            for member in group.members.iter().filter(|member| member.until.is_none()) {
                member.queue.close_with(Close::Refused, message);
            }
        }
    }

    /// A definition that changes come under now.
    pub(crate) fn know(&self, table: &Arc<Table>) {
        let mut state = self.state();
        if state.tables.len() >= MAX_TABLES {
            state.tables.clear();
        }
        let relation = &table.relation;
        let name = (relation.schema.clone(), relation.name.clone());
        state.tables.insert(name, Arc::clone(table));
    }

    /// The definitions that are known.
    pub(crate) fn tables(&self) -> Vec<Arc<Table>> {
        self.state().tables.values().cloned().collect()
    }

    /// Which carriers an interest's events are needed for.
    pub(crate) fn carriers(&self, interest: InterestId) -> (bool, bool) {
        let state = self.state();
        let members = state.interests.get(&interest).map(|group| &group.members);
        let has = |carrier| members.is_some_and(|all| all.iter().any(|m| m.carrier == carrier));
        (has(Carrier::WebSocket), has(Carrier::EventStream))
    }

    /// Puts framed events into the queues of an interest's members, and then of nobody else: who
    /// wants something else since then has to be given its old events before its new ones.
    pub(crate) fn dispatch(&self, chunks: &[(InterestId, Carrier, Arc<Chunk>)], upto: Position) {
        let mut late: Vec<(Position, Member, Arc<Chunk>)> = Vec::new();
        let mut now: Vec<(Member, &Arc<Chunk>)> = Vec::new();
        {
            let mut state = self.state();
            for (interest, carrier, chunk) in chunks {
                let Some(group) = state.interests.get(interest) else {
                    continue;
                };
                for member in group.members.iter().filter(|m| m.carrier == *carrier) {
                    match member.until {
                        Some(until) if chunk.first() > until => {}
                        Some(until) => {
                            let part = chunk.cut(until);
                            late.push((until, member.clone(), part));
                        }
                        None => now.push((member.clone(), chunk)),
                    }
                }
            }
            state.forget_moved(upto);
        }
        late.sort_by_key(|(until, _, _)| *until);
        for (_, member, chunk) in &late {
            member.queue.push(chunk, member.from);
        }
        let events: usize = now.iter().map(|(_, chunk)| chunk.events()).sum();
        let events = events
            + late
                .iter()
                .map(|(_, _, chunk)| chunk.events())
                .sum::<usize>();
        self.counters
            .deliveries
            .fetch_add(events as u64, Ordering::Relaxed);
        for (member, chunk) in now {
            member.queue.push(chunk, member.from);
        }
        self.dispatched.advance(upto);
        if self.waiting.load(Ordering::Relaxed) > self.budget {
            self.relieve();
        }
    }

    /// Sends those away who hold the memory, until the rest fits: who is furthest behind first, as what
    /// it holds nobody else needs, and among those who holds most.
    fn relieve(&self) {
        let mut holding = Vec::new();
        for member in self.state().interests.values().flat_map(|g| &g.members) {
            let held = member.queue.held();
            if let Some(oldest) = held.oldest {
                holding.push((
                    oldest,
                    Reverse(held.waiting),
                    held,
                    Arc::clone(&member.queue),
                ));
            }
        }
        holding.sort_by_key(|(oldest, waiting, _, _)| (*oldest, *waiting));
        // What somebody writes goes a little later; several may write the same.
        let (mut soon, mut last) = (0, None);
        for (oldest, _, held, queue) in holding {
            let waiting = self.waiting.load(Ordering::Relaxed);
            if waiting.saturating_sub(soon) <= self.budget {
                break;
            }
            if last.replace(oldest) != Some(oldest) {
                soon += held.taken;
            }
            if !held.is_closed {
                queue.close_and_cut(Close::Overloaded);
            }
        }
    }

    /// Everything up to here is in the queues of those whom it concerns.
    pub(crate) fn dispatched(&self) -> Position {
        self.dispatched.get()
    }

    /// Every transaction that commits below this LSN has passed the encoder, or lies before where the
    /// chain began.
    pub(crate) fn passed(&self) -> Position {
        behind(self.state().head.max(self.dispatched.get()))
    }

    /// Grows with each batch that is dispatched.
    pub(crate) fn watermark(&self) -> Watermark<Position> {
        self.dispatched.clone()
    }

    /// Framed events, counted while any of them waits.
    pub(crate) fn weigh(&self, frames: BytesMut) -> Bytes {
        match frames.is_empty() {
            true => Bytes::new(),
            false => weighed(frames, &self.waiting),
        }
    }

    /// Turns of those who read what they missed.
    pub(crate) fn replays(&self) -> &Arc<Semaphore> {
        &self.replays
    }

    /// Whether one more may take memory for what it missed: it can wait, who is live can't.
    pub(crate) fn has_room_for_replays(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) <= self.budget / 2
    }

    /// One more is there, live or not.
    pub(crate) fn enter(&self) {
        self.present.fetch_add(1, Ordering::Relaxed);
    }

    /// One of them has gone, or was told everything.
    pub(crate) fn exit(&self) {
        self.present.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many are there, live or not.
    pub(crate) fn present(&self) -> usize {
        self.present.load(Ordering::Relaxed)
    }

    /// Tells when everybody is sent away.
    pub(crate) fn closing(&self) -> Leaving {
        Leaving(self.closing.subscribe())
    }

    /// How many are there.
    fn members(&self) -> usize {
        let state = self.state();
        let groups = state.interests.values();
        groups
            .map(|group| group.members.iter().filter(|m| m.until.is_none()).count())
            .sum()
    }

    /// Sends everybody away, and who comes later too.
    pub(crate) fn close(&self, why: Close) {
        let mut state = self.state();
        state.closed = Some(why);
        for group in state.interests.values() {
            for member in &group.members {
                member.queue.close(why);
            }
        }
        drop(state);
        self.closing.send_replace(Some(why));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells when everybody is sent away.
pub(crate) struct Leaving(watch::Receiver<Option<Close>>);

impl Leaving {
    /// Waits for that. Cancel-safe.
    pub(crate) async fn closed(&mut self) -> Close {
        match self.0.wait_for(Option::is_some).await {
            Ok(why) => why.unwrap_or(Close::GoingAway),
            Err(_) => Close::GoingAway,
        }
    }
}

impl State {
    fn join(&mut self, (key, interest): (String, &Arc<Interest>), member: Member) -> Membership {
        let id = match self.ids.get(&key) {
            Some(id) => *id,
            None => {
                self.next_interest = self.next_interest.wrapping_add(1);
                let id = self.next_interest;
                self.ids.insert(key.clone(), id);
                self.news.push(News::Added(id, Arc::clone(interest)));
                let group = Group {
                    key,
                    has_transactions: interest.wants_transactions(),
                    members: Vec::new(),
                };
                self.interests.insert(id, group);
                id
            }
        };
        self.next_member += 1;
        let number = self.next_member;
        if let Some(group) = self.interests.get_mut(&id) {
            group.members.push(Member { number, ..member });
        }
        Membership {
            interest: id,
            number,
        }
    }

    fn forget(&mut self, membership: Membership) {
        if let Some(group) = self.interests.get_mut(&membership.interest) {
            let is_other = |member: &Member| member.number != membership.number;
            group.members.retain(is_other);
        }
        self.forget_empty(membership.interest);
    }

    fn forget_empty(&mut self, id: InterestId) {
        if self
            .interests
            .get(&id)
            .is_some_and(|group| group.members.is_empty())
            && let Some(group) = self.interests.remove(&id)
        {
            self.ids.remove(&group.key);
            // Who has come and gone while nothing changed was never news.
            let added = |news: &News| matches!(news, News::Added(own, _) if *own == id);
            match self.news.iter().rposition(added) {
                Some(place) => {
                    self.news.remove(place);
                }
                None => self.news.push(News::Removed(id)),
            }
        }
    }

    /// Those who wanted something else before `upto` have got all of it.
    fn forget_moved(&mut self, upto: Position) {
        if !std::mem::take(&mut self.moved) {
            return;
        }
        let mut empty = Vec::new();
        for (id, group) in &mut self.interests {
            let moved = |member: &Member| member.until.is_some_and(|until| until <= upto);
            self.moved |= group.members.iter().any(|member| member.until > Some(upto));
            if group.members.iter().any(moved) {
                group.members.retain(|member| !moved(member));
                empty.push(*id);
            }
        }
        for id in empty {
            self.forget_empty(id);
        }
    }
}
