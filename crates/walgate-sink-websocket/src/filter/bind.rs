//! A filter for one definition of a table.

use walgate_core::{Column, Relation};

use super::Filter;
use super::bind_error::BindError;
use super::bound::{Bound, Condition, Node, Test, Values};
use super::column_kind::{ColumnKind, type_name};
use super::constant::{equal_to, ordered_by};
use super::expression::{Comparison, Expression, Literal, Predicate};

/// So many columns of a table are named to somebody who has asked for one that there is not.
const NAMED_COLUMNS: usize = 20;

impl Filter {
    /// Resolves the names and literals of the filter for one definition of a table. `visible` says
    /// of a place in [`Relation::columns`] whether the subscriber may see that column as it is: a
    /// column that is dropped or masked is none, or a filter would be an oracle on what is hidden.
    ///
    /// # Errors
    /// A column that there is not, or a literal or a comparison that its type does not have.
    pub fn bind(
        &self,
        relation: &Relation,
        visible: impl Fn(u16) -> bool,
    ) -> Result<Bound, BindError> {
        let binder = Binder {
            relation,
            visible: &visible,
        };
        binder.node(&self.expression).map(Bound::new)
    }
}

struct Binder<'a> {
    relation: &'a Relation,
    visible: &'a dyn Fn(u16) -> bool,
}

impl Binder<'_> {
    fn node(&self, expression: &Expression) -> Result<Node, BindError> {
        let nodes = |parts: &[Expression]| -> Result<Box<[Node]>, BindError> {
            parts.iter().map(|part| self.node(part)).collect()
        };
        Ok(match expression {
            Expression::Test { column, predicate } => return self.test(column, predicate),
            Expression::Not(inner) => Node::Not(Box::new(self.node(inner)?)),
            Expression::And(parts) => Node::And(nodes(parts)?),
            Expression::Or(parts) => Node::Or(nodes(parts)?),
        })
    }

    fn test(&self, name: &str, predicate: &Predicate) -> Result<Node, BindError> {
        let (place, column) = self.column(name)?;
        let kind = ColumnKind::of(column);
        let mut negated = false;
        let condition = match predicate {
            Predicate::Null => Condition::Null,
            _ if !kind.has_equality() => return Err(self.null_tests_only(column)),
            Predicate::Compare(comparison, literal) if comparison.is_ordering() => {
                if !kind.has_order() {
                    return Err(self.unordered(column));
                }
                let ordered = ordered_by(kind, *comparison, literal);
                let (comparison, constant) =
                    ordered.map_err(|_| self.not_of_the_type(column, kind, literal))?;
                Condition::Order(comparison, constant)
            }
            Predicate::Compare(comparison, literal) => {
                negated = *comparison == Comparison::NotEqual;
                Condition::In(self.values(column, kind, std::slice::from_ref(literal))?)
            }
            Predicate::In(literals) => Condition::In(self.values(column, kind, literals)?),
            Predicate::Same(literal) => {
                Condition::Same(self.values(column, kind, std::slice::from_ref(literal))?)
            }
        };
        let test = Node::Test(Test {
            place,
            in_key: column.key,
            kind,
            condition,
        });
        Ok(if negated {
            Node::Not(Box::new(test))
        } else {
            test
        })
    }

    /// The visible column of a name, with its place.
    fn column(&self, name: &str) -> Result<(u16, &Column), BindError> {
        let mut columns = (0_u16..).zip(&self.relation.columns);
        columns
            .find(|(place, column)| column.name == name && (self.visible)(*place))
            .ok_or_else(|| BindError::UnknownColumn {
                column: name.to_owned(),
                table: self.table(),
                columns: self.visible_columns(),
            })
    }

    /// The values that literals stand for.
    fn values(
        &self,
        column: &Column,
        kind: ColumnKind,
        literals: &[Literal],
    ) -> Result<Values, BindError> {
        let mut values = Vec::with_capacity(literals.len());
        for literal in literals {
            let value =
                equal_to(kind, literal).map_err(|_| self.not_of_the_type(column, kind, literal))?;
            values.extend(value);
        }
        Ok(Values::new(values))
    }

    fn table(&self) -> String {
        format!("{}.{}", self.relation.schema, self.relation.name)
    }

    fn visible_columns(&self) -> String {
        let columns = (0_u16..).zip(&self.relation.columns);
        let names: Vec<&str> = columns
            .filter(|(place, _)| (self.visible)(*place))
            .map(|(_, column)| column.name.as_str())
            .collect();
        match names.get(..NAMED_COLUMNS) {
            _ if names.is_empty() => "it has none that can be seen".to_owned(),
            Some(first) if names.len() > NAMED_COLUMNS => {
                let more = names.len() - first.len();
                format!("its columns are {} and {more} more", first.join(", "))
            }
            _ => format!("its columns are {}", names.join(", ")),
        }
    }

    fn not_of_the_type(&self, column: &Column, kind: ColumnKind, literal: &Literal) -> BindError {
        BindError::Literal {
            column: column.name.clone(),
            table: self.table(),
            type_name: type_name(column).into_owned(),
            literal: literal.to_string(),
            wanted: kind.wants(),
        }
    }

    fn unordered(&self, column: &Column) -> BindError {
        BindError::Unordered {
            column: column.name.clone(),
            table: self.table(),
            type_name: type_name(column).into_owned(),
        }
    }

    fn null_tests_only(&self, column: &Column) -> BindError {
        BindError::NullTestsOnly {
            column: column.name.clone(),
            table: self.table(),
            type_name: type_name(column).into_owned(),
        }
    }
}
