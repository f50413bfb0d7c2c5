//! Rules of a configuration: which rows and columns of a table are shown to whom.

use std::collections::BTreeSet;

use serde_json::Value;

use super::claims::Claims;
use super::grant::patterns;
use crate::filter::{Filter, Template};
use crate::table_pattern::TablePattern;

/// Which rows and columns of some tables are shown, by the claims of who looks.
#[derive(Debug, Clone)]
pub struct Rule {
    tables: Vec<TablePattern>,
    rows: Option<Template>,
    columns: Option<BTreeSet<String>>,
    hidden: BTreeSet<String>,
    unless: Option<String>,
}

/// A rule as a configuration writes it.
#[derive(Debug, Clone, Copy, Default)]
pub struct RuleText<'a> {
    /// `schema.table`, `schema.*`, `*`.
    pub tables: &'a [String],
    /// The rows that are shown: a row filter in which `claims.NAME` stands for a claim.
    pub rows: Option<&'a str>,
    /// The only columns that are shown.
    pub columns: Option<&'a [String]>,
    /// Columns that are not.
    pub hidden: &'a [String],
    /// The claim that, where it is `true`, frees of the rule.
    pub unless: Option<&'a str>,
}

/// What a rule is for who has certain claims.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resolved {
    /// Which of the configured rules it is.
    pub(super) place: usize,
    pub(super) tables: Vec<TablePattern>,
    pub(super) rows: Rows,
    pub(super) columns: Option<BTreeSet<String>>,
    pub(super) hidden: BTreeSet<String>,
}

/// The rows of a table that are shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rows {
    All,
    Matching(Filter),
    /// The claims are not what the rule asks for: the table is not there at all.
    None,
}

impl Rows {
    /// Whether they are surely no more than others.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, _) | (_, Self::All) => true,
            (Self::Matching(own), Self::Matching(other)) => own.is_within(other),
            (Self::All | Self::Matching(_), _) => false,
        }
    }
}

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn new(text: RuleText<'_>) -> Result<Self, String> {
        let rows = text.rows.map(Template::parse).transpose();
        let columns = text.columns.map(|names| names.iter().cloned().collect());
        if rows.as_ref().is_ok_and(Option::is_none) && columns.is_none() && text.hidden.is_empty() {
            return Err("a rule needs where, columns or hidden".to_owned());
        }
        Ok(Self {
            tables: patterns(text.tables)?,
            rows: rows.map_err(|error| error.to_string())?,
            columns,
            hidden: text.hidden.iter().cloned().collect(),
            unless: text.unless.map(str::to_owned),
        })
    }

    /// What it, the rule at `place`, is for who has these claims; none where it does not hold.
    pub(super) fn resolve(&self, place: usize, claims: &Claims) -> Option<Resolved> {
        let is_free = |name: &String| claims.get(name) == Some(&Value::Bool(true));
        if self.unless.as_ref().is_some_and(is_free) {
            return None;
        }
        let rows = match &self.rows {
            None => Rows::All,
            Some(template) => template
                .fill(|name| claims.get(name))
                .map_or(Rows::None, Rows::Matching),
        };
        Some(Resolved {
            place,
            tables: self.tables.clone(),
            rows,
            columns: self.columns.clone(),
            hidden: self.hidden.clone(),
        })
    }
}
