//! Which interests a change concerns, and in which form. Pure state.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use walgate_core::{Body, ColumnUse, OldTuple, Op, ReplicaIdentity, RowKey, Table, Tuple, Value};

use crate::filter::{Bound, Index, Verdict};
use crate::interest::Interest;
use crate::parcel::InterestId;
use crate::subscription::{Ops, Subscription};

/// Definitions that are kept at most; more are met only when tables are altered all the time.
const MAX_TABLES: usize = 4096;

/// Choices of columns of one definition that are kept at most.
const MAX_VIEWS: usize = 1024;

/// Tables with fewer columns have ids from here on: a chain counts its own from below.
const FIRST_VIEW: u32 = 1 << 31;

/// What an interest is given of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Given {
    /// The event, with these columns.
    Event(View),
    /// The event without what the row was before, which is not known to have been the client's to see.
    Bare(View),
    /// That the row has left, by these columns of its key.
    Leave(View),
}

/// A choice of a table's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct View(usize);

impl View {
    /// All columns.
    const ALL: Self = Self(0);
}

/// An interest that can't be followed: it asks of a table what the table does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    pub(crate) interest: InterestId,
    pub(crate) message: String,
}

/// The interests, and what is derived of them for each definition of a table.
#[derive(Debug, Default)]
pub(crate) struct Matcher {
    interests: BTreeMap<InterestId, Arc<Interest>>,
    tables: HashMap<u32, Selected>,
    views: u32,
    /// What the last change has found, reused.
    found: BTreeMap<InterestId, Given>,
    /// Whether somebody was not given the last change because a row rule could not be judged.
    undecided: bool,
}

/// One definition, and who wants something of it.
#[derive(Debug)]
struct Selected {
    table: Arc<Table>,
    /// Each choice of columns, with the table that an encoder is shown for it.
    views: Vec<(Option<BTreeSet<String>>, Arc<Table>)>,
    /// Without a filter.
    plain: Vec<Entry>,
    /// With one.
    filtered: Index<usize>,
    entries: Vec<Option<Filtered>>,
    /// Places in `entries` that are free.
    free: Vec<usize>,
    /// The places of an interest.
    places: BTreeMap<InterestId, Vec<usize>>,
    /// Of whose rows nobody can tell whether they may be seen, as a rule does not fit the definition.
    blind: Vec<Entry>,
    /// Places of the columns that row rules test, also of rules that have gone.
    ruled: BTreeSet<u16>,
    /// Who asks of it what it does not have. Told with the next change under this definition: one that
    /// was superseded has none.
    misfits: Vec<Misfit>,
}

/// A subscription that is about the table.
#[derive(Debug, Clone, Copy)]
struct Entry {
    interest: InterestId,
    ops: Ops,
    view: View,
    /// What of the key may be seen.
    leave: View,
}

/// One that gets some of its rows.
#[derive(Debug)]
struct Filtered {
    entry: Entry,
    /// The rows that are wanted and may be seen.
    bound: Bound,
    /// Those that may be seen; none for all.
    rule: Option<Bound>,
}

impl Matcher {
    /// Adds an interest.
    pub(crate) fn add(&mut self, id: InterestId, interest: &Arc<Interest>) {
        self.interests.insert(id, Arc::clone(interest));
        for selected in self.tables.values_mut() {
            selected.add(id, interest, &mut self.views);
        }
    }

    /// Takes an interest away.
    pub(crate) fn remove(&mut self, id: InterestId) {
        self.interests.remove(&id);
        for selected in self.tables.values_mut() {
            selected.remove(id);
        }
    }

    /// Who wants the bounds of transactions.
    pub(crate) fn wants_transactions(&self, id: InterestId) -> bool {
        let interest = self.interests.get(&id);
        interest.is_some_and(|interest| interest.wants_transactions())
    }

    /// Who is given what of a change, each interest once.
    pub(crate) fn judge(
        &mut self,
        body: &Body<'_>,
        misfits: &mut Vec<Misfit>,
    ) -> &BTreeMap<InterestId, Given> {
        self.found.clear();
        self.undecided = false;
        match body.table() {
            None => {
                let all = self.interests.iter();
                for (id, _) in all.filter(|(_, interest)| interest.wants_without_table(body)) {
                    self.found.insert(*id, Given::Event(View::ALL));
                }
            }
            Some(table) => {
                self.meet(table);
                if let Some(selected) = self.tables.get_mut(&table.id) {
                    misfits.append(&mut selected.misfits);
                    selected.judge(body, &mut self.views, &mut self.found);
                    self.undecided = selected.is_undecided(body);
                }
            }
        }
        &self.found
    }

    /// Which rows of a table somebody is given: those that meet all keys of one of these, or any, if that can't be said.
    pub(crate) fn row_keys(
        &mut self,
        table: &Arc<Table>,
        misfits: &mut Vec<Misfit>,
    ) -> Option<Vec<Vec<RowKey>>> {
        self.meet(table);
        let selected = self.tables.get_mut(&table.id)?;
        misfits.append(&mut selected.misfits);
        if !selected.plain.is_empty() {
            return None;
        }
        let own = selected.entries.iter().flatten();
        let keys = own.map(|own| own.bound.row_keys(&table.relation));
        keys.map(|keys| Some(keys).filter(|keys| !keys.is_empty()))
            .collect()
    }

    /// Whether somebody was not given the last change because a row rule could not be judged.
    pub(crate) const fn was_undecided(&self) -> bool {
        self.undecided
    }

    /// The table as an encoder is to be shown it.
    pub(crate) fn table(&self, table: &Arc<Table>, view: View) -> Option<&Arc<Table>> {
        let selected = self.tables.get(&table.id)?;
        selected.views.get(view.0).map(|(_, table)| table)
    }

    /// Derives what is needed of a definition that was not met before.
    fn meet(&mut self, table: &Arc<Table>) {
        if self.tables.contains_key(&table.id) {
            return;
        }
        if self.tables.len() >= MAX_TABLES {
            self.tables.clear();
        }
        let mut selected = Selected::new(table);
        for (id, interest) in &self.interests {
            selected.add(*id, interest, &mut self.views);
        }
        self.tables.insert(table.id, selected);
    }
}

impl Selected {
    fn new(table: &Arc<Table>) -> Self {
        Self {
            table: Arc::clone(table),
            views: vec![(None, Arc::clone(table))],
            plain: Vec::new(),
            filtered: Index::new(),
            entries: Vec::new(),
            free: Vec::new(),
            places: BTreeMap::new(),
            blind: Vec::new(),
            ruled: BTreeSet::new(),
            misfits: Vec::new(),
        }
    }

    fn add(&mut self, id: InterestId, interest: &Interest, views: &mut u32) {
        let table = Arc::clone(&self.table);
        let (schema, name) = (&table.relation.schema, &table.relation.name);
        let Some(sight) = interest.rights.of(schema, name) else {
            return;
        };
        let shown = sight.shown(&table);
        let rule = sight.rows(&table);
        let is_shown = |place: &u16| shown.get(usize::from(*place)) == Some(&true);
        let has_key = table.key.iter().all(is_shown);
        if let Ok(Some(rule)) = &rule {
            self.ruled.extend(rule.places());
        }
        let about = |own: &&Subscription| own.is_about(schema, name);
        for own in interest.subscriptions.iter().filter(about) {
            let bound = match &own.filter {
                None => None,
                Some(filter) => match sight.bind(filter, &table) {
                    Ok(bound) => Some(bound),
                    // Who takes whatever there is takes what fits.
                    Err(_) if !own.names(schema, name) => continue,
                    Err(error) => {
                        self.misfit(id, error.to_string());
                        continue;
                    }
                },
            };
            let Some(view) = self.view(own.columns.as_ref(), &shown, views) else {
                self.misfit(
                    id,
                    format!("too many choices of columns of {schema}.{name}"),
                );
                continue;
            };
            let entry = Entry {
                interest: id,
                ops: own.ops,
                view,
                leave: if has_key { View::ALL } else { view },
            };
            match (&rule, bound) {
                (Err(_), _) => self.blind.push(entry),
                (Ok(None), None) => self.plain.push(entry),
                (Ok(None), Some(bound)) => self.insert(entry, bound, None),
                (Ok(Some(rule)), None) => self.insert(entry, rule.clone(), Some(rule.clone())),
                (Ok(Some(rule)), Some(bound)) => {
                    let both = Bound::all([rule.clone(), bound]);
                    self.insert(entry, both, Some(rule.clone()));
                }
            }
        }
    }

    fn misfit(&mut self, interest: InterestId, message: String) {
        self.misfits.push(Misfit { interest, message });
    }

    fn insert(&mut self, entry: Entry, bound: Bound, rule: Option<Bound>) {
        let place = self.free.pop().unwrap_or(self.entries.len());
        if place == self.entries.len() {
            self.entries.push(None);
        }
        self.filtered.insert(place, &bound);
        self.places.entry(entry.interest).or_default().push(place);
        if let Some(slot) = self.entries.get_mut(place) {
            *slot = Some(Filtered { entry, bound, rule });
        }
    }

    fn remove(&mut self, id: InterestId) {
        self.plain.retain(|entry| entry.interest != id);
        self.blind.retain(|entry| entry.interest != id);
        self.misfits.retain(|misfit| misfit.interest != id);
        for place in self.places.remove(&id).unwrap_or_default() {
            self.filtered.remove(&place);
            if let Some(slot) = self.entries.get_mut(place) {
                *slot = None;
                self.free.push(place);
            }
        }
    }

    fn judge(&mut self, body: &Body<'_>, views: &mut u32, found: &mut BTreeMap<InterestId, Given>) {
        let op = body.op();
        let wanted = |entry: &Entry| entry.ops.has(op);
        let mut unions = Vec::new();
        let mut give = |entry: &Entry, given: Given| match found.get_mut(&entry.interest) {
            None => {
                found.insert(entry.interest, given);
            }
            Some(before) => match (*before, given) {
                (Given::Leave(_), Given::Event(_) | Given::Bare(_)) => *before = given,
                (Given::Event(one), Given::Event(other))
                | (Given::Bare(one), Given::Bare(other))
                    if one != other =>
                {
                    unions.push((entry.interest, other));
                }
                _ => {}
            },
        };
        for entry in self.plain.iter().filter(|entry| wanted(entry)) {
            give(entry, Given::Event(entry.view));
        }
        let entries = &self.entries;
        if matches!(op, Op::Truncate | Op::Schema) {
            let all = entries.iter().flatten().map(|own| &own.entry);
            for entry in all.chain(&self.blind).filter(|entry| wanted(entry)) {
                give(entry, Given::Event(entry.view));
            }
        } else {
            let table = &self.table;
            self.filtered.candidates(body, |place| {
                let Some(Some(own)) = entries.get(place) else {
                    return;
                };
                if wanted(&own.entry)
                    && let Some(given) = own.judge(body, table)
                {
                    give(&own.entry, given);
                }
            });
        }
        for (interest, other) in unions {
            let Some(given) = found.get(&interest).copied() else {
                continue;
            };
            let union = match given {
                Given::Event(one) => Given::Event(self.union(one, other, views)),
                Given::Bare(one) => Given::Bare(self.union(one, other, views)),
                Given::Leave(_) => continue,
            };
            found.insert(interest, union);
        }
    }

    /// Whether somebody is not given a row because a rule can't be judged. Rules are only looked at one
    /// by one when the log lacks a value that one may have asked for.
    fn is_undecided(&self, body: &Body<'_>) -> bool {
        let op = body.op();
        if !matches!(op, Op::Insert | Op::Update | Op::Delete) {
            return false;
        }
        if self.blind.iter().any(|entry| entry.ops.has(op)) {
            return true;
        }
        if self.ruled.is_empty() || !self.lacks(body) {
            return false;
        }
        let mut own = self.entries.iter().flatten();
        own.any(|own| {
            let undecided = |rule: &Bound| rule.is_undecided(body);
            own.entry.ops.has(op) && own.rule.as_ref().is_some_and(undecided)
        })
    }

    /// Whether a column that a rule asks for has no value in the row that decides.
    fn lacks(&self, body: &Body<'_>) -> bool {
        let has_none = |tuple: &Tuple<'_>| {
            let values = (0u16..).zip(tuple.iter());
            let mut ruled = values.filter(|(place, _)| self.ruled.contains(place));
            ruled.any(|(_, value)| matches!(value, Value::Unchanged | Value::Binary(_)))
        };
        match body {
            Body::Insert { new, .. } | Body::Update { new, .. } => has_none(new),
            Body::Delete { old, .. } => match old {
                OldTuple::Full(tuple) => has_none(tuple),
                OldTuple::Key(_) => {
                    let relation = &self.table.relation;
                    let column = |place: &u16| relation.columns.get(usize::from(*place));
                    let mut columns = self.ruled.iter().map(column);
                    columns.any(|column| column.is_none_or(|column| !column.key))
                }
            },
            _ => false,
        }
    }

    /// The columns of both; of the first, when there are too many choices.
    fn union(&mut self, one: View, other: View, views: &mut u32) -> View {
        let columns = |view: View| {
            self.views
                .get(view.0)
                .and_then(|(columns, _)| columns.clone())
        };
        match (columns(one), columns(other)) {
            (Some(first), Some(other)) => {
                let both = &first | &other;
                let both = Some(both);
                match self.known_view(both.as_ref()) {
                    Some(view) => view,
                    None if self.views.len() < MAX_VIEWS => self.new_view(both, views),
                    None => one,
                }
            }
            _ => View::ALL,
        }
    }

    /// The view with these columns, of those that may be seen. Those of the key always belong to it.
    fn view(
        &mut self,
        columns: Option<&BTreeSet<String>>,
        shown: &[bool],
        views: &mut u32,
    ) -> Option<View> {
        let relation = &self.table.relation;
        // Of what the client has named only what the table has: names of its own make no view.
        let places = (0u16..).zip(&relation.columns).zip(shown);
        let chosen = places.filter(|((place, column), shown)| {
            let is_chosen = columns.is_none_or(|columns| {
                columns.contains(&column.name) || self.table.key.contains(place)
            });
            **shown && is_chosen
        });
        let chosen: BTreeSet<String> = chosen.map(|((_, column), _)| column.name.clone()).collect();
        let is_all = chosen.len() == relation.columns.len();
        let columns = (!is_all).then_some(chosen);
        match self.known_view(columns.as_ref()) {
            Some(view) => Some(view),
            None if self.views.len() < MAX_VIEWS => Some(self.new_view(columns, views)),
            None => {
                let place = self.unused_view()?;
                let table = self.with_columns(columns.as_ref(), views);
                *self.views.get_mut(place)? = (columns, table);
                Some(View(place))
            }
        }
    }

    /// The place of a choice that nobody has any more.
    fn unused_view(&self) -> Option<usize> {
        let filtered = self.entries.iter().flatten().map(|own| &own.entry);
        let all = filtered.chain(&self.plain).chain(&self.blind);
        let used: BTreeSet<usize> = all.map(|entry| entry.view.0).collect();
        (1..self.views.len()).find(|place| !used.contains(place))
    }

    fn known_view(&self, columns: Option<&BTreeSet<String>>) -> Option<View> {
        let mut own = self.views.iter();
        own.position(|(own, _)| own.as_ref() == columns).map(View)
    }

    fn new_view(&mut self, columns: Option<BTreeSet<String>>, views: &mut u32) -> View {
        let table = self.with_columns(columns.as_ref(), views);
        self.views.push((columns, table));
        View(self.views.len() - 1)
    }

    /// The definition as who has chosen these columns is shown it.
    fn with_columns(&self, columns: Option<&BTreeSet<String>>, views: &mut u32) -> Arc<Table> {
        let mut table = Table::clone(&self.table);
        let Some(columns) = columns else {
            return Arc::new(table);
        };
        table.id = FIRST_VIEW | *views;
        *views = views.wrapping_add(1) & !FIRST_VIEW;
        let relation = Arc::clone(&table.relation);
        for (column, used) in relation.columns.iter().zip(&mut table.columns) {
            if !columns.contains(&column.name) {
                *used = ColumnUse::Drop;
            }
        }
        table.key.retain(|place| {
            let column = relation.columns.get(usize::from(*place));
            column.is_some_and(|column| columns.contains(&column.name))
        });
        Arc::new(table)
    }
}

impl Filtered {
    /// What it is given of a change; none when nothing.
    fn judge(&self, body: &Body<'_>, table: &Table) -> Option<Given> {
        let event = Given::Event(self.entry.view);
        let leave = Given::Leave(self.entry.leave);
        let verdict = self.bound.judge(body);
        let Some(rule) = &self.rule else {
            return match verdict {
                Verdict::Event => Some(event),
                Verdict::Leave => Some(leave),
                Verdict::Nothing => None,
            };
        };
        match (verdict, body) {
            (
                Verdict::Event,
                Body::Update {
                    old: Some(old),
                    new,
                    ..
                },
            ) if !rule.truth_of_old(old).is_true() => {
                has_own_key(table, new).then_some(Given::Bare(self.entry.view))
            }
            (Verdict::Event, _) => Some(event),
            (Verdict::Leave, _) => is_key_logged(table).then_some(leave),
            (Verdict::Nothing, _) => None,
        }
    }
}

/// Whether the key of an update is in its new row alone.
fn has_own_key(table: &Table, new: &Tuple<'_>) -> bool {
    let mut key = table.key.iter();
    key.all(|place| {
        let value = new.iter().nth(usize::from(*place));
        !matches!(value, None | Some(Value::Unchanged))
    })
}

/// Whether the log holds the key of every old row: where it does not, a `leave` tells that of the new
/// one.
fn is_key_logged(table: &Table) -> bool {
    let relation = &table.relation;
    relation.identity == ReplicaIdentity::Full
        || table.key.iter().all(|place| {
            let column = relation.columns.get(usize::from(*place));
            column.is_some_and(|column| column.key)
        })
}
