//! Rows that an index can find are asked for by their values, as parameters.

use tokio_postgres::types::ToSql;
use walgate_core::{KeyValues, RowKey};

use crate::config::quote_identifier;

/// The condition that one of `keys` is met whole, and its parameters, of which the first is `$1`.
pub(super) fn condition(keys: &[Vec<RowKey>]) -> (String, Vec<&(dyn ToSql + Sync)>) {
    let mut parameters: Vec<&(dyn ToSql + Sync)> = Vec::new();
    let mut any = Vec::with_capacity(keys.len());
    for keys in keys {
        let mut all = Vec::with_capacity(keys.len());
        for key in keys {
            let (parameter, array): (&(dyn ToSql + Sync), _) = match &key.values {
                KeyValues::Integers(values) => (values, "pg_catalog.int8[]"),
                KeyValues::Texts(values) => (values, "pg_catalog.text[]"),
                KeyValues::Uuids(values) => (values, "pg_catalog.text[]::pg_catalog.uuid[]"),
            };
            parameters.push(parameter);
            let column = quote_identifier(&key.column);
            all.push(format!("{column} = ANY (${}::{array})", parameters.len()));
        }
        // Who has no key wants any row.
        any.push(match all.as_slice() {
            [] => "true".to_owned(),
            all => all.join(" AND "),
        });
    }
    match any.as_slice() {
        [] => ("false".to_owned(), parameters),
        any => (format!("({})", any.join(" OR ")), parameters),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_parameters() {
        let key = |column: &str, values| RowKey {
            column: column.to_owned(),
            values,
        };
        let id = key("id", KeyValues::Integers(vec![1, 2]));
        let level = key("the \"level\"", KeyValues::Texts(vec!["'; --".to_owned()]));
        let uid = key("uid", KeyValues::Uuids(Vec::new()));
        let keys = [vec![id, level], vec![uid]];
        let (condition, parameters) = condition(&keys);
        assert_eq!(
            condition,
            "(\"id\" = ANY ($1::pg_catalog.int8[]) AND \"the \"\"level\"\"\" = ANY ($2::pg_catalog.text[]) \
             OR \"uid\" = ANY ($3::pg_catalog.text[]::pg_catalog.uuid[]))"
        );
        assert_eq!(parameters.len(), 3);
        assert_eq!(super::condition(&[]).0, "false");
        assert_eq!(super::condition(&[Vec::new()]).0, "(true)");
    }
}
