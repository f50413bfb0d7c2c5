//! What somebody may see of each table.

use walgate_core::{ColumnUse, Table};

use super::claims::Claims;
use super::rule::{Resolved, Rows, Rule};
use crate::filter::{BindError, Bound, Filter};
use crate::table_pattern::TablePattern;

/// What somebody may see. Equal for all whose tokens say the same, whoever they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Rights {
    /// None: every table.
    tables: Option<Vec<TablePattern>>,
    rules: Vec<Resolved>,
}

/// What somebody may see of one table: the rules that hold for it, all of them at once.
#[derive(Debug, Clone)]
pub(crate) struct Sight<'r> {
    rules: Vec<&'r Resolved>,
}

impl Rights {
    /// The rights of who may see these tables, or all where none are said, under these rules.
    pub(crate) fn new(tables: Option<&[TablePattern]>, rules: &[Rule], claims: &Claims) -> Self {
        Self {
            tables: tables.map(<[_]>::to_vec),
            rules: (rules.iter().enumerate())
                .filter_map(|(place, rule)| rule.resolve(place, claims))
                .collect(),
        }
    }

    /// What may be seen of a table; none when nothing, and then it is as if there were no such table.
    pub(crate) fn of(&self, schema: &str, table: &str) -> Option<Sight<'_>> {
        let about = |patterns: &[TablePattern]| {
            patterns
                .iter()
                .any(|pattern| pattern.matches(schema, table))
        };
        if !self.tables.as_deref().is_none_or(about) {
            return None;
        }
        let rules = self.rules.iter().filter(|rule| about(&rule.tables));
        let rules: Vec<_> = rules.collect();
        let is_shown = rules.iter().all(|rule| rule.rows != Rows::None);
        is_shown.then_some(Sight { rules })
    }

    /// Whether a pattern means a table that may be seen, as far as that can be said without knowing the
    /// tables.
    pub(crate) fn opens(&self, pattern: &TablePattern) -> bool {
        if let Some((schema, table)) = pattern.exact() {
            return self.of(schema, table).is_some();
        }
        let both = |own: &TablePattern| pattern.and(own).is_some();
        self.tables.as_ref().is_none_or(|own| own.iter().any(both))
    }

    /// Whether they surely open no more than others that come of the same configuration.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        let opened = |own: &TablePattern, all: &[TablePattern]| {
            all.iter().any(|wide| own.and(wide).as_ref() == Some(own))
        };
        let tables = match (&self.tables, &other.tables) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(wide)) => own.iter().all(|own| opened(own, wide)),
        };
        let mut rules = other.rules.iter();
        tables
            && rules.all(|wide| {
                let mut own = self.rules.iter();
                own.any(|own| own.place == wide.place && own.rows.is_within(&wide.rows))
            })
    }

    /// Whether not everything of a table that may be seen is.
    pub(crate) const fn has_rules(&self) -> bool {
        !self.rules.is_empty()
    }

    /// Whether all tables may be seen, and with them what is of no table.
    pub(crate) fn opens_all(&self) -> bool {
        let all = |tables: &Vec<TablePattern>| tables.contains(&TablePattern::ALL);
        self.tables.as_ref().is_none_or(all)
    }
}

impl Sight<'_> {
    /// Whether a column may be seen.
    pub(crate) fn shows(&self, column: &str) -> bool {
        self.rules.iter().all(|rule| {
            let chosen = rule.columns.as_ref();
            chosen.is_none_or(|columns| columns.contains(column)) && !rule.hidden.contains(column)
        })
    }

    /// Which columns of a table may be seen, by their place.
    pub(crate) fn shown(&self, table: &Table) -> Vec<bool> {
        let columns = table.relation.columns.iter();
        columns.map(|column| self.shows(&column.name)).collect()
    }

    /// A client's filter for a definition, of what is passed on of it as it is and may be seen: a
    /// filter on something hidden would tell of it.
    ///
    /// # Errors
    ///
    /// What does not fit. It tells of no column that may not be seen.
    pub(crate) fn bind(&self, filter: &Filter, table: &Table) -> Result<Bound, BindError> {
        filter.bind(&table.relation, |place| {
            let place = usize::from(place);
            let column = table.relation.columns.get(place);
            table.columns.get(place) == Some(&ColumnUse::Keep)
                && column.is_some_and(|column| self.shows(&column.name))
        })
    }

    /// Which rows of a definition may be seen, judged on all columns; none for all of them.
    ///
    /// # Errors
    ///
    /// When a rule does not fit the definition, so that nobody can tell of any row whether it may be.
    pub(crate) fn rows(&self, table: &Table) -> Result<Option<Bound>, BindError> {
        let filters = self.rules.iter().filter_map(|rule| match &rule.rows {
            Rows::Matching(filter) => Some(filter),
            Rows::All | Rows::None => None,
        });
        let bound = filters.map(|filter| filter.bind(&table.relation, |_| true));
        let bound: Vec<Bound> = bound.collect::<Result<_, _>>()?;
        Ok((!bound.is_empty()).then(|| Bound::all(bound)))
    }
}
