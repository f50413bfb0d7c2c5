//! Which tables, operations, columns and rows an output is given.

use std::sync::Arc;

use walgate_core::{
    ColumnUse, Failure, OldTuple, Op, Relation, ReplicaIdentity, StopReason, Table, Tuple, Value,
};

use crate::TablePattern;

/// A set of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ops(u16);

impl Ops {
    /// Every operation that can be chosen: insert, update, delete, truncate, read, message.
    pub const ALL: [Op; 6] = [
        Op::Insert,
        Op::Update,
        Op::Delete,
        Op::Truncate,
        Op::Read,
        Op::Message,
    ];

    /// Whether it holds `op`.
    #[inline]
    pub const fn contains(self, op: Op) -> bool {
        self.0 & (1 << op as u16) != 0
    }
}

impl Default for Ops {
    /// All of [`ALL`](Self::ALL).
    fn default() -> Self {
        Self::from_iter(Self::ALL)
    }
}

impl FromIterator<Op> for Ops {
    fn from_iter<I: IntoIterator<Item = Op>>(ops: I) -> Self {
        Self(ops.into_iter().fold(0, |set, op| set | 1 << op as u16))
    }
}

/// What is different for some tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRule {
    /// The tables. A column that an exact pattern's table lacks is an error; the tables of a
    /// pattern with `*` need not all have it.
    pub tables: TablePattern,
    /// Columns that are left out.
    pub drop: Vec<String>,
    /// Columns whose values are replaced by a keyed hash.
    pub mask: Vec<String>,
    /// Columns of the event's key, in this order, instead of those of the replica identity.
    pub key: Option<Vec<String>>,
    /// Declares that columns of the key may be among those masked (the key holds the hash) or
    /// dropped (the key goes without them).
    pub allow_key_columns: bool,
}

/// A row passes when the column has this text, before or after the change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFilter {
    /// The column's name.
    pub column: String,
    /// PostgreSQL's text of the value.
    pub value: String,
}

/// Which tables, operations, columns and rows an output is given. The default is everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Tables that are taken; empty means all.
    pub include: Vec<TablePattern>,
    /// Tables that are not, even where `include` takes them.
    pub exclude: Vec<TablePattern>,
    /// Operations that are taken.
    pub ops: Ops,
    /// What is different for some tables; all rules that match a table apply.
    pub rules: Vec<TableRule>,
    /// Rows that are taken: those that pass every filter. A table that lacks such a column has no
    /// row that passes.
    pub filters: Vec<RowFilter>,
}

/// What of a relation an output is given.
#[derive(Debug, Clone)]
pub(crate) struct Selected {
    pub(crate) table: Arc<Table>,
    /// Place and text of each filtered column.
    filters: Vec<(usize, Vec<u8>)>,
}

impl Selection {
    /// Whether any definition of a table of this name is taken.
    pub fn takes(&self, schema: &str, table: &str) -> bool {
        let matches = |pattern: &TablePattern| pattern.matches(schema, table);
        (self.include.is_empty() || self.include.iter().any(matches))
            && !self.exclude.iter().any(matches)
    }

    /// What of a definition is taken, as the table `id`; none of it when the table is not taken.
    ///
    /// # Errors
    ///
    /// When a rule names a column that is not there, or takes a column out of the key undeclared.
    pub fn table(&self, relation: &Arc<Relation>, id: u32) -> Result<Option<Table>, Failure> {
        if !self.takes(&relation.schema, &relation.name) {
            return Ok(None);
        }
        let mut table = Table {
            id,
            relation: Arc::clone(relation),
            columns: vec![ColumnUse::Keep; relation.columns.len()],
            key: relation.key(),
        };
        let matches = |rule: &&TableRule| rule.tables.matches(&relation.schema, &relation.name);
        let rules = || self.rules.iter().filter(matches);
        for rule in rules() {
            if let Some(key) = &rule.key {
                table.key = configured_key(rule, key, relation)?;
            }
        }
        let mut declared = false;
        for rule in rules() {
            declared |= rule.allow_key_columns;
            apply(&mut table, rule, &rule.mask, ColumnUse::Mask)?;
            // Last, so that what is dropped by one rule is not masked by another.
            apply(&mut table, rule, &rule.drop, ColumnUse::Drop)?;
        }
        check_key(&mut table, declared)?;
        Ok(Some(table))
    }

    pub(crate) fn select(
        &self,
        relation: &Arc<Relation>,
        id: u32,
    ) -> Result<Option<Selected>, Failure> {
        let Some(table) = self.table(relation, id)? else {
            return Ok(None);
        };
        let mut filters = Vec::with_capacity(self.filters.len());
        for filter in &self.filters {
            let Some(place) = place_of(relation, &filter.column) else {
                return Ok(None);
            };
            filters.push((usize::from(place), filter.value.clone().into_bytes()));
        }
        Ok(Some(Selected {
            table: Arc::new(table),
            filters,
        }))
    }
}

impl Selected {
    /// Whether a row passes the filters, as it was or as it is.
    #[inline]
    pub(crate) fn passes(&self, old: Option<OldTuple<'_>>, new: Option<Tuple<'_>>) -> bool {
        self.filters.is_empty() || self.passes_all(old, new)
    }

    fn passes_all(&self, old: Option<OldTuple<'_>>, new: Option<Tuple<'_>>) -> bool {
        let holds = |tuple: Tuple<'_>, place: usize, text: &[u8]| matches!(tuple.iter().nth(place), Some(Value::Text(value)) if value == text);
        self.filters.iter().all(|(place, text)| {
            new.is_some_and(|tuple| holds(tuple, *place, text))
                || old.is_some_and(|tuple| holds(tuple.tuple(), *place, text))
        })
    }
}

fn place_of(relation: &Relation, column: &str) -> Option<u16> {
    let place = relation.columns.iter().position(|c| c.name == column)?;
    u16::try_from(place).ok()
}

fn configured_key(
    rule: &TableRule,
    key: &[String],
    relation: &Relation,
) -> Result<Vec<u16>, Failure> {
    let mut places = Vec::with_capacity(key.len());
    for column in key {
        let Some(place) = place_of(relation, column) else {
            return Err(missing(rule, relation, "key", column));
        };
        if places.contains(&place) {
            let message = format!(
                "the key configured for {} names column {column:?} twice",
                name(relation)
            );
            return Err(Failure::new(StopReason::Config, message));
        }
        places.push(place);
    }
    check_logged(&places, relation)?;
    Ok(places)
}

/// The log holds no more of an old row than the replica identity: with any other column in the key
/// a delete would have half a key, and a change of the key would go unseen. A relation without an
/// identity has inserts alone.
fn check_logged(key: &[u16], relation: &Relation) -> Result<(), Failure> {
    let identity = relation.key();
    if relation.identity == ReplicaIdentity::Full || identity.is_empty() {
        return Ok(());
    }
    let Some(column) = key.iter().find(|place| !identity.contains(place)) else {
        return Ok(());
    };
    let column = relation
        .columns
        .get(usize::from(*column))
        .map_or("", |c| c.name.as_str());
    let table = name(relation);
    let message = format!(
        "the key configured for {table} has column {column:?}, which is not part of the replica \
         identity: the log does not hold it for a delete"
    );
    Err(Failure::new(StopReason::Config, message).hint(format!(
        "choose columns of the replica identity, or have whole old rows logged: \
         ALTER TABLE {table} REPLICA IDENTITY FULL"
    )))
}

fn apply(
    table: &mut Table,
    rule: &TableRule,
    columns: &[String],
    use_: ColumnUse,
) -> Result<(), Failure> {
    let what = if use_ == ColumnUse::Mask {
        "mask"
    } else {
        "drop"
    };
    for column in columns {
        match place_of(&table.relation, column) {
            Some(place) => {
                if let Some(used) = table.columns.get_mut(usize::from(place))
                    && *used != ColumnUse::Drop
                {
                    *used = use_;
                }
            }
            // A misspelt name must not let a value out that was to be hidden.
            None if rule.tables.one_table().is_some() => {
                return Err(missing(rule, &table.relation, what, column));
            }
            None => {}
        }
    }
    Ok(())
}

fn check_key(table: &mut Table, declared: bool) -> Result<(), Failure> {
    let use_of = |place: &u16| table.columns.get(usize::from(*place)).copied();
    let hidden = table
        .key
        .iter()
        .find(|place| use_of(place) != Some(ColumnUse::Keep));
    let Some(hidden) = hidden else {
        return Ok(());
    };
    if declared {
        let columns = &table.columns;
        let dropped = |place: &u16| columns.get(usize::from(*place)) == Some(&ColumnUse::Drop);
        table.key.retain(|place| !dropped(place));
        return Ok(());
    }
    let relation = &table.relation;
    let column = relation
        .columns
        .get(usize::from(*hidden))
        .map_or("", |c| c.name.as_str());
    let message = format!(
        "column {column:?} of {} is masked or dropped, and it is part of the key",
        name(relation)
    );
    Err(Failure::new(StopReason::Config, message).hint(
        "choose another key, leave the column as it is, or declare allow_key_columns = true for \
         this table",
    ))
}

fn missing(rule: &TableRule, relation: &Relation, what: &str, column: &str) -> Failure {
    let message = format!(
        "{what} of the table rule {} names column {column:?}, which {} does not have (or does \
         not publish)",
        rule.tables,
        name(relation)
    );
    Failure::new(StopReason::Config, message)
        .hint("correct the column's name, or add the column to the publication's column list")
}

fn name(relation: &Relation) -> String {
    format!("{}.{}", relation.schema, relation.name)
}
