//! Which interests a change concerns, and in which form. Pure state.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use walgate_core::{Body, ColumnUse, Op, Table};

use crate::filter::{BindError, Bound, Filter, Index, Verdict};
use crate::interest::Interest;
use crate::parcel::InterestId;
use crate::subscription::{Ops, Subscription};

/// Definitions that are kept at most; more are met only when tables are altered all the time.
const MAX_TABLES: usize = 4096;

/// Choices of columns of one definition that are kept at most; who makes more is given all columns.
const MAX_VIEWS: usize = 1024;

/// Tables with fewer columns have ids from here on: a chain counts its own from below.
const FIRST_VIEW: u32 = 1 << 31;

/// What an interest is given of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Given {
    /// The event, with these columns.
    Event(View),
    /// That the row has left.
    Leave,
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
    entries: Vec<Option<(Entry, Bound)>>,
    /// Places in `entries` that are free.
    free: Vec<usize>,
    /// The places of an interest.
    places: BTreeMap<InterestId, Vec<usize>>,
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
        match body.table() {
            None => {
                let wants = |interest: &Interest| {
                    let mut all = interest.subscriptions.iter();
                    all.any(|own| own.wants_without_table(body))
                };
                let all = self.interests.iter();
                for (id, _) in all.filter(|(_, interest)| wants(interest)) {
                    self.found.insert(*id, Given::Event(View::ALL));
                }
            }
            Some(table) => {
                self.meet(table);
                if let Some(selected) = self.tables.get_mut(&table.id) {
                    misfits.append(&mut selected.misfits);
                    selected.judge(body, &mut self.views, &mut self.found);
                }
            }
        }
        &self.found
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
            misfits: Vec::new(),
        }
    }

    fn add(&mut self, id: InterestId, interest: &Interest, views: &mut u32) {
        let (schema, name) = (&self.table.relation.schema, &self.table.relation.name);
        let about = |own: &&Subscription| own.is_about(schema, name);
        let mut entries = Vec::new();
        for own in interest.subscriptions.iter().filter(about) {
            let bound = match &own.filter {
                None => None,
                Some(filter) => match bind(filter, &self.table) {
                    Ok(bound) => Some(bound),
                    // Who takes whatever there is takes what fits.
                    Err(_) if !own.names(schema, name) => continue,
                    Err(error) => {
                        self.misfits.push(Misfit {
                            interest: id,
                            message: error.to_string(),
                        });
                        continue;
                    }
                },
            };
            entries.push((own, bound));
        }
        for (own, bound) in entries {
            let entry = Entry {
                interest: id,
                ops: own.ops,
                view: self.view(own.columns.as_ref(), views),
            };
            match bound {
                None => self.plain.push(entry),
                Some(bound) => {
                    let place = self.free.pop().unwrap_or(self.entries.len());
                    if place == self.entries.len() {
                        self.entries.push(None);
                    }
                    self.filtered.insert(place, &bound);
                    if let Some(slot) = self.entries.get_mut(place) {
                        *slot = Some((entry, bound));
                    }
                    self.places.entry(id).or_default().push(place);
                }
            }
        }
    }

    fn remove(&mut self, id: InterestId) {
        self.plain.retain(|entry| entry.interest != id);
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
                (Given::Leave, Given::Event(_)) => *before = given,
                (Given::Event(one), Given::Event(other)) if one != other => {
                    unions.push((entry.interest, one, other));
                }
                _ => {}
            },
        };
        for entry in self.plain.iter().filter(|entry| wanted(entry)) {
            give(entry, Given::Event(entry.view));
        }
        let entries = &self.entries;
        if matches!(op, Op::Truncate | Op::Schema) {
            let all = entries.iter().flatten().map(|(entry, _)| entry);
            for entry in all.filter(|entry| wanted(entry)) {
                give(entry, Given::Event(entry.view));
            }
        } else {
            self.filtered.candidates(body, |place| {
                let Some(Some((entry, bound))) = entries.get(place) else {
                    return;
                };
                if !wanted(entry) {
                    return;
                }
                match bound.judge(body) {
                    Verdict::Event => give(entry, Given::Event(entry.view)),
                    Verdict::Leave => give(entry, Given::Leave),
                    Verdict::Nothing => {}
                }
            });
        }
        for (interest, one, other) in unions {
            let one = match found.get(&interest) {
                Some(Given::Event(view)) => *view,
                _ => one,
            };
            let union = self.union(one, other, views);
            found.insert(interest, Given::Event(union));
        }
    }

    /// The columns of both.
    fn union(&mut self, one: View, other: View, views: &mut u32) -> View {
        let columns = |view: View| {
            self.views
                .get(view.0)
                .and_then(|(columns, _)| columns.clone())
        };
        match (columns(one), columns(other)) {
            (Some(one), Some(other)) => {
                let both = &one | &other;
                self.view(Some(&both), views)
            }
            _ => View::ALL,
        }
    }

    /// The view with these columns. Those of the key always belong to it.
    fn view(&mut self, columns: Option<&BTreeSet<String>>, views: &mut u32) -> View {
        let relation = Arc::clone(&self.table.relation);
        // Of what the client has named only what the table has: names of its own make no view.
        let columns: Option<BTreeSet<String>> = columns.map(|columns| {
            let places = (0u16..).zip(&relation.columns);
            let chosen = places.filter(|(place, column)| {
                columns.contains(&column.name) || self.table.key.contains(place)
            });
            chosen.map(|(_, column)| column.name.clone()).collect()
        });
        let columns = columns.filter(|columns| columns.len() < relation.columns.len());
        let found = self.views.iter().position(|(own, _)| *own == columns);
        if let Some(place) = found {
            return View(place);
        }
        if self.views.len() >= MAX_VIEWS {
            return View::ALL;
        }
        let mut table = Table::clone(&self.table);
        table.id = FIRST_VIEW | *views;
        *views = views.wrapping_add(1) & !FIRST_VIEW;
        for (column, used) in relation.columns.iter().zip(&mut table.columns) {
            let chosen = columns.as_ref();
            if chosen.is_some_and(|columns| !columns.contains(&column.name)) {
                *used = ColumnUse::Drop;
            }
        }
        self.views.push((columns, Arc::new(table)));
        View(self.views.len() - 1)
    }
}

/// A filter for a definition, of what is passed on of it as it is: a filter on something hidden would
/// tell of it.
pub(crate) fn bind(filter: &Filter, table: &Table) -> Result<Bound, BindError> {
    filter.bind(&table.relation, |place| {
        table.columns.get(usize::from(place)) == Some(&ColumnUse::Keep)
    })
}
