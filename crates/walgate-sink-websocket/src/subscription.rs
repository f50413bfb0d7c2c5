//! What a client wants, read once.

use std::collections::BTreeSet;

use walgate_core::{Body, Op};

use crate::filter::Filter;
use crate::protocol::Wanted;
use crate::table_pattern::TablePattern;

/// Most subscriptions of one connection.
pub(crate) const MAX_SUBSCRIPTIONS: usize = 64;

/// Most patterns, and most columns, of one subscription.
const MAX_LIST: usize = 256;

/// Longest id of a subscription, in bytes.
const MAX_ID: usize = 128;

/// A subscription without its name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Subscription {
    pub(crate) tables: Vec<TablePattern>,
    pub(crate) ops: Ops,
    pub(crate) filter: Option<Filter>,
    /// None: all.
    pub(crate) columns: Option<BTreeSet<String>>,
    pub(crate) transactions: bool,
    pub(crate) strict: bool,
}

/// Operations, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ops(u8);

const CHOICE: [Op; 5] = [
    Op::Insert,
    Op::Update,
    Op::Delete,
    Op::Truncate,
    Op::Message,
];

impl Ops {
    const ALL: Self = Self((1 << CHOICE.len()) - 1);

    fn parse(names: &[String]) -> Result<Self, String> {
        if names.is_empty() {
            return Ok(Self::ALL);
        }
        let mut ops = 0;
        for name in names {
            let place = CHOICE.iter().position(|op| op.name() == name);
            let place = place.ok_or_else(|| {
                let known: Vec<_> = CHOICE.iter().map(|op| op.name()).collect();
                format!("{name:?} is no operation: there are {}", known.join(", "))
            })?;
            ops |= 1 << place;
        }
        Ok(Self(ops))
    }

    /// Whether it is wanted. What a client can't do without (`gap`) is nobody's choice.
    pub(crate) fn has(self, op: Op) -> bool {
        match CHOICE.iter().position(|own| *own == op) {
            Some(place) => self.0 & (1 << place) != 0,
            None => true,
        }
    }
}

impl Subscription {
    /// Reads what a client has written.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn parse(wanted: &Wanted) -> Result<Self, String> {
        let too_many = |what: &str, len: usize| {
            (len > MAX_LIST).then(|| format!("{len} {what} are too many: at most {MAX_LIST}"))
        };
        if wanted.id.len() > MAX_ID {
            return Err(format!("an id has at most {MAX_ID} bytes"));
        }
        let columns = wanted.columns.as_ref();
        if let Some(error) = too_many("tables", wanted.tables.len())
            .or_else(|| too_many("columns", columns.map_or(0, Vec::len)))
        {
            return Err(error);
        }
        let tables: Result<Vec<_>, _> = wanted
            .tables
            .iter()
            .map(|text| TablePattern::parse(text))
            .collect();
        let mut tables = tables?;
        if tables.is_empty() {
            tables.push(TablePattern::ALL);
        }
        tables.sort();
        tables.dedup();
        let filter = wanted
            .filter
            .as_deref()
            .filter(|text| !text.trim().is_empty());
        let filter = filter.map(Filter::parse).transpose();
        Ok(Self {
            tables,
            ops: Ops::parse(&wanted.ops)?,
            filter: filter.map_err(|error| error.to_string())?,
            columns: columns.map(|columns| columns.iter().cloned().collect()),
            transactions: wanted.transactions,
            strict: wanted.strict,
        })
    }

    /// How many tests are made for every change of its tables because of it.
    pub(crate) fn standing_tests(&self) -> usize {
        self.filter.as_ref().map_or(0, Filter::standing_tests)
    }

    /// Whether it is about this table.
    pub(crate) fn is_about(&self, schema: &str, table: &str) -> bool {
        self.tables
            .iter()
            .any(|pattern| pattern.matches(schema, table))
    }

    /// Whether it names this table, and does not only match it.
    pub(crate) fn names(&self, schema: &str, table: &str) -> bool {
        let mut exact = self.tables.iter().filter(|pattern| pattern.is_exact());
        exact.any(|pattern| pattern.matches(schema, table))
    }

    /// Whether it wants what has no table: a message, if it wants every table.
    pub(crate) fn wants_without_table(&self, body: &Body<'_>) -> bool {
        match body {
            Body::Gap(_) => true,
            Body::Message { .. } => {
                self.ops.has(Op::Message) && self.tables.contains(&TablePattern::ALL)
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Subscription, String> {
        Subscription::parse(&serde_json::from_str::<Wanted>(json).expect("JSON"))
    }

    #[test]
    fn nothing_said_is_everything() {
        let all = parse("{}").expect("read");
        assert!(all.is_about("any", "thing") && !all.names("any", "thing"));
        assert!(all.ops.has(Op::Truncate) && all.ops.has(Op::Gap));
    }

    #[test]
    fn tables_and_operations_are_chosen() {
        let some = parse(r#"{"tables":["a.b","c.*","a.b"],"ops":["update"]}"#).expect("read");
        assert!(some.is_about("a", "b") && some.is_about("c", "x") && !some.is_about("a", "x"));
        assert!(some.names("a", "b") && !some.names("c", "x"));
        assert!(some.ops.has(Op::Update) && !some.ops.has(Op::Insert));
        assert_eq!(some.tables.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, part) in [
            (r#"{"tables":["x"]}"#, "schema.table"),
            (r#"{"ops":["upsert"]}"#, "insert, update"),
            (r#"{"where":"level = "}"#, ""),
        ] {
            let error = parse(json).expect_err(json);
            assert!(error.contains(part), "{error}");
        }
        let many = format!(r#"{{"tables":[{}"a.b"]}}"#, r#""a.b","#.repeat(300));
        assert!(parse(&many).is_err_and(|error| error.contains("too many")));
    }
}
