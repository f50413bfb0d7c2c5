//! A filter that was bound to a definition of a table, and its evaluation.

use std::cmp::Ordering;

use walgate_core::{Body, OldTuple, Relation, ReplicaIdentity, Tuple, Value};

use super::column_kind::ColumnKind;
use super::constant::Constant;
use super::expression::Comparison;
use super::scalar::Scalar;
use super::truth::Truth;

/// A [`Filter`](super::Filter) for one definition of a table. Rows that arrived under another
/// definition need another one.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    node: Node,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Test(Test),
    Not(Box<Self>),
    And(Box<[Self]>),
    Or(Box<[Self]>),
}

/// One test of one column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Test {
    pub(super) place: u16,
    /// Whether the log has the column where it has only the key of an old row.
    pub(super) in_key: bool,
    pub(super) kind: ColumnKind,
    pub(super) condition: Condition,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    Null,
    /// It equals one of these.
    In(Values),
    /// The same, and null is a value like others.
    Same(Values),
    Order(Comparison, Constant),
}

/// The values of a list.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    /// Most lists are an `=`: what is asked for the most is kept without a pointer to it.
    One(Constant),
    /// Any number, in order, each once.
    Many(Box<[Constant]>),
}

/// A row of which a filter asks values.
#[derive(Debug, Clone, Copy)]
pub(super) enum Row<'a> {
    /// A new row, with what the log holds of the old one.
    New(Tuple<'a>, Option<OldTuple<'a>>),
    /// An old row.
    Old(OldTuple<'a>),
}

/// What is known of a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell<'a> {
    Null,
    Text(&'a [u8]),
    /// It is not null, and that is all: a TOASTed value that was not sent, or a binary one.
    NotNull,
    /// The log does not hold it.
    Missing,
}

impl Bound {
    pub(super) const fn new(node: Node) -> Self {
        Self { node }
    }

    /// The filter that wants what all of these want, as a subscriber's own filter and the rules
    /// of its token; without any it wants every row. All are bound to the same definition.
    pub fn all(filters: impl IntoIterator<Item = Self>) -> Self {
        let mut nodes = Vec::new();
        for filter in filters {
            match filter.node {
                Node::And(inner) => nodes.extend(inner),
                other => nodes.push(other),
            }
        }
        Self::new(Node::And(nodes.into_boxed_slice()))
    }

    /// Whether a whole row matches: one of a snapshot, or one that was inserted.
    #[inline]
    pub fn truth(&self, row: &Tuple<'_>) -> Truth {
        self.evaluate(&Row::New(*row, None))
    }

    /// Whether the new row of an update matches. A value that was not sent because it has not
    /// changed is that of the old row, where the log holds it.
    #[inline]
    pub fn truth_of_new(&self, new: &Tuple<'_>, old: Option<&OldTuple<'_>>) -> Truth {
        self.evaluate(&Row::New(*new, old.copied()))
    }

    /// Whether an old row matches, as far as the log holds it.
    #[inline]
    pub fn truth_of_old(&self, old: &OldTuple<'_>) -> Truth {
        self.evaluate(&Row::Old(*old))
    }

    /// Whether the row of a change can't be judged because the log lacks a value that is tested,
    /// or has it in a form that is not read. The new row is meant where there is one. What is
    /// unknown because a value is null is judged: it does not match.
    pub fn is_undecided(&self, body: &Body<'_>) -> bool {
        let row = match body {
            Body::Insert { new, .. } | Body::Read { new, .. } => Row::New(*new, None),
            Body::Update { old, new, .. } => Row::New(*new, *old),
            Body::Delete { old, .. } => Row::Old(*old),
            Body::Leave { .. }
            | Body::Truncate { .. }
            | Body::Message { .. }
            | Body::Schema { .. }
            | Body::Begin
            | Body::Commit { .. }
            | Body::Gap(_) => return false,
        };
        self.evaluate(&row) == Truth::Unknown && self.node.lacks(&row)
    }

    /// The columns that it tests and that the log does not hold of an old row, by name. With any,
    /// a row can leave the filter unnoticed; with `REPLICA IDENTITY FULL` there is none. They may
    /// be columns that the subscriber does not see, if a rule was bound with them.
    pub fn inexact<'r>(&self, relation: &'r Relation) -> Vec<&'r str> {
        let mut places = Vec::new();
        collect_places(&self.node, &mut places);
        places.sort_unstable();
        places.dedup();
        let tested = places.into_iter();
        tested
            .filter_map(|place| relation.columns.get(usize::from(place)))
            .filter(|column| match relation.identity {
                ReplicaIdentity::Full => false,
                ReplicaIdentity::Nothing => true,
                ReplicaIdentity::Default | ReplicaIdentity::Index => !column.key,
            })
            .map(|column| column.name.as_str())
            .collect()
    }

    /// The places of the columns that it tests, some more than once.
    pub(crate) fn places(&self) -> Vec<u16> {
        let mut places = Vec::new();
        collect_places(&self.node, &mut places);
        places
    }

    pub(super) const fn node(&self) -> &Node {
        &self.node
    }

    fn evaluate(&self, row: &Row<'_>) -> Truth {
        self.node.truth(row)
    }
}

/// The places of the columns that are tested.
fn collect_places(node: &Node, places: &mut Vec<u16>) {
    match node {
        Node::Test(test) => places.push(test.place),
        Node::Not(inner) => collect_places(inner, places),
        Node::And(parts) | Node::Or(parts) => {
            for part in parts {
                collect_places(part, places);
            }
        }
    }
}

impl Node {
    fn truth(&self, row: &Row<'_>) -> Truth {
        match self {
            Self::Test(test) => test.truth(row),
            Self::Not(inner) => !inner.truth(row),
            Self::And(parts) => {
                let mut truth = Truth::True;
                for part in parts {
                    truth = truth.and(part.truth(row));
                    if truth == Truth::False {
                        break;
                    }
                }
                truth
            }
            Self::Or(parts) => {
                let mut truth = Truth::False;
                for part in parts {
                    truth = truth.or(part.truth(row));
                    if truth == Truth::True {
                        break;
                    }
                }
                truth
            }
        }
    }
}

impl Node {
    /// Whether a value that is tested is neither null nor readable.
    fn lacks(&self, row: &Row<'_>) -> bool {
        match self {
            Self::Test(test) => match row.cell(test.place, test.in_key) {
                Cell::Null => false,
                Cell::NotNull | Cell::Missing => true,
                Cell::Text(text) => test.kind.read(text).is_none(),
            },
            Self::Not(inner) => inner.lacks(row),
            Self::And(parts) | Self::Or(parts) => parts.iter().any(|part| part.lacks(row)),
        }
    }
}

impl Test {
    fn truth(&self, row: &Row<'_>) -> Truth {
        let cell = row.cell(self.place, self.in_key);
        let text = match (cell, &self.condition) {
            (Cell::Missing, _) => return Truth::Unknown,
            (Cell::Null, Condition::Null) => return Truth::True,
            (Cell::Text(_) | Cell::NotNull, Condition::Null) => return Truth::False,
            (Cell::Null, Condition::Same(_)) => return Truth::False,
            (Cell::Null | Cell::NotNull, _) => return Truth::Unknown,
            (Cell::Text(text), _) => text,
        };
        let Some(value) = self.kind.read(text) else {
            // The server prints nothing of the kind.
            return Truth::Unknown;
        };
        self.condition.holds(&value).into()
    }
}

impl Values {
    /// Of constants of one kind, in any order.
    pub(super) fn new(mut constants: Vec<Constant>) -> Self {
        constants.sort_by(|a, b| a.scalar().cmp(&b.scalar()));
        constants.dedup_by(|a, b| a.scalar() == b.scalar());
        match constants.pop() {
            Some(only) if constants.is_empty() => Self::One(only),
            last => {
                constants.extend(last);
                Self::Many(constants.into_boxed_slice())
            }
        }
    }

    pub(super) fn as_slice(&self) -> &[Constant] {
        match self {
            Self::One(constant) => std::slice::from_ref(constant),
            Self::Many(constants) => constants,
        }
    }
}

impl Condition {
    fn holds(&self, value: &Scalar<'_>) -> bool {
        match self {
            Self::Null => false,
            Self::In(Values::One(constant)) | Self::Same(Values::One(constant)) => {
                constant.scalar() == *value
            }
            Self::In(Values::Many(values)) | Self::Same(Values::Many(values)) => values
                .binary_search_by(|probe| probe.scalar().cmp(value))
                .is_ok(),
            Self::Order(comparison, constant) => {
                let order = value.cmp(&constant.scalar());
                match comparison {
                    Comparison::Equal => order == Ordering::Equal,
                    Comparison::NotEqual => order != Ordering::Equal,
                    Comparison::Less => order == Ordering::Less,
                    Comparison::LessOrEqual => order != Ordering::Greater,
                    Comparison::Greater => order == Ordering::Greater,
                    Comparison::GreaterOrEqual => order != Ordering::Less,
                }
            }
        }
    }
}

impl<'a> Row<'a> {
    /// The value at a place.
    #[inline]
    fn cell(&self, place: u16, in_key: bool) -> Cell<'a> {
        let place = usize::from(place);
        match self {
            Self::New(new, old) => {
                let old = || old.and_then(|old| old.tuple().iter().nth(place).zip(Some(old)));
                new_cell(new.iter().nth(place), old, in_key)
            }
            Self::Old(old) => old_cell(old, old.tuple().iter().nth(place), in_key),
        }
    }
}

/// What is known of a value of a new row; `old` is that of the old one, where there is one.
#[inline]
pub(super) fn new_cell<'a>(
    new: Option<Value<'a>>,
    old: impl FnOnce() -> Option<(Value<'a>, OldTuple<'a>)>,
    in_key: bool,
) -> Cell<'a> {
    let cell = cell_of(new);
    if !matches!(new, Some(Value::Unchanged)) {
        return cell;
    }
    // It is not null, whatever an old key without it seems to say.
    match old().map(|(value, old)| old_cell(&old, Some(value), in_key)) {
        Some(old @ Cell::Text(_)) => old,
        _ => cell,
    }
}

/// What is known of a value of an old row.
#[inline]
pub(super) fn old_cell<'a>(old: &OldTuple<'a>, value: Option<Value<'a>>, in_key: bool) -> Cell<'a> {
    match old {
        // The others are sent as null and mean nothing.
        OldTuple::Key(_) if !in_key => Cell::Missing,
        OldTuple::Key(_) | OldTuple::Full(_) => cell_of(value),
    }
}

#[inline]
const fn cell_of(value: Option<Value<'_>>) -> Cell<'_> {
    match value {
        Some(Value::Null) => Cell::Null,
        Some(Value::Text(text)) => Cell::Text(text),
        Some(Value::Unchanged | Value::Binary(_)) => Cell::NotNull,
        None => Cell::Missing,
    }
}
