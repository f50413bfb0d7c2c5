//! Who is there and what they want: between the chain, which encodes, and the connections.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use walgate_core::{Position, Table, Watermark};

use crate::chunk::{Chunk, Weight};
use crate::close::Close;
use crate::counters::Counters;
use crate::frame::Carrier;
use crate::interest::{Interest, committed};
use crate::parcel::InterestId;
use crate::queue::Queue;
use crate::server::PushStats;

/// Definitions of tables that are remembered for what is said of filters.
const MAX_TABLES: usize = 4096;

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
    pub(crate) counters: Counters,
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
            counters: Counters::default(),
        }
    }

    /// The chain begins behind `from`.
    pub(crate) fn begin(&self, from: Position) {
        let mut state = self.state();
        state.head = state.head.max(from);
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
    pub(crate) fn encoding(&self, position: Position) -> Vec<News> {
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
        let over = self.waiting.load(Ordering::Relaxed) > self.budget;
        for (member, chunk) in now {
            // The memory is held by who does not read.
            if over && member.queue.bytes() > 0 {
                member.queue.close(Close::Overloaded);
                continue;
            }
            member.queue.push(chunk, member.from);
        }
        self.dispatched.advance(upto);
    }

    /// Everything up to here is in the queues of those whom it concerns.
    pub(crate) fn dispatched(&self) -> Position {
        self.dispatched.get()
    }

    /// Grows with each batch that is dispatched.
    pub(crate) fn watermark(&self) -> Watermark<Position> {
        self.dispatched.clone()
    }

    /// Memory of framed events, counted while they wait.
    pub(crate) fn weigh(&self, bytes: usize) -> Arc<Weight> {
        Weight::new(bytes, &self.waiting)
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
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
